//! Sites.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{AgentId, SiteId};
use maildreieck_api_spec::text::Name;

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::sites;
use crate::db::types::{Count, Instant, MaybeWord, Word, big};
use crate::error::Result;

/// A site.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = sites)]
pub struct Site {
    /// Which.
    #[diesel(column_name = site_id, deserialize_as = Word<SiteId>)]
    pub id: SiteId,
    /// Its name.
    #[diesel(deserialize_as = Word<Name>)]
    pub name: Name,
    /// The agent that works there.
    #[diesel(deserialize_as = MaybeWord<AgentId>)]
    pub agent_id: Option<AgentId>,
    /// Grows with each change of what the agent has to do.
    #[diesel(deserialize_as = Count)]
    pub assignment_version: u64,
    /// Grows with each change of the site.
    #[diesel(deserialize_as = Count)]
    pub version: u64,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
}

/// Adds a site.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, site: &Site) -> Result<()> {
    diesel::insert_into(sites::table)
        .values((
            sites::tenant_id.eq(ctx.tenant_key()),
            sites::site_id.eq(site.id.to_string()),
            sites::name.eq(site.name.as_str()),
            sites::assignment_version.eq(big(site.assignment_version)),
            sites::version.eq(big(site.version)),
            sites::created_at.eq(site.created_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// A site of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: SiteId) -> Result<Option<Site>> {
    Ok(sites::table
        .filter(sites::tenant_id.eq(ctx.tenant_key()))
        .filter(sites::site_id.eq(id.to_string()))
        .select(Site::as_select())
        .first(db)
        .optional()?)
}

/// Changes a site, if its version is still the one that was read.
///
/// # Errors
/// The database's.
pub fn update(ctx: &Ctx, db: &mut Conn, site: &Site, read: u64) -> Result<bool> {
    Ok(one(diesel::update(sites::table)
        .filter(sites::tenant_id.eq(ctx.tenant_key()))
        .filter(sites::site_id.eq(site.id.to_string()))
        .filter(sites::version.eq(big(read)))
        .set((
            sites::name.eq(site.name.as_str()),
            sites::version.eq(big(site.version)),
        ))
        .execute(db)?))
}

/// Puts an agent to work at a site.
///
/// # Errors
/// The database's.
pub fn set_agent(ctx: &Ctx, db: &mut Conn, id: SiteId, agent: AgentId) -> Result<bool> {
    Ok(one(diesel::update(sites::table)
        .filter(sites::tenant_id.eq(ctx.tenant_key()))
        .filter(sites::site_id.eq(id.to_string()))
        .set(sites::agent_id.eq(agent.to_string()))
        .execute(db)?))
}

/// Lets the site's agent know that it has something else to do.
///
/// # Errors
/// The database's.
pub fn bump_assignment(ctx: &Ctx, db: &mut Conn, id: SiteId) -> Result<()> {
    diesel::update(sites::table)
        .filter(sites::tenant_id.eq(ctx.tenant_key()))
        .filter(sites::site_id.eq(id.to_string()))
        .set(sites::assignment_version.eq(sites::assignment_version + 1))
        .execute(db)?;
    Ok(())
}

/// A page of the tenant's sites.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<Site>> {
    Ok(sites::table
        .filter(sites::tenant_id.eq(ctx.tenant_key()))
        .filter(sites::site_id.lt(window.bound()))
        .order(sites::site_id.desc())
        .limit(window.ask())
        .select(Site::as_select())
        .load(db)?)
}
