//! Agents: their keys, their counter, their last sign of life.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{AgentId, SiteId, TenantId};

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::agents;
use crate::db::types::{Count, Instant, MaybeInstant, Word, big};
use crate::error::Result;

/// An agent.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = agents)]
pub struct Agent {
    /// Which.
    #[diesel(column_name = agent_id, deserialize_as = Word<AgentId>)]
    pub id: AgentId,
    /// Of which tenant.
    #[diesel(deserialize_as = Word<TenantId>)]
    pub tenant_id: TenantId,
    /// At which site.
    #[diesel(deserialize_as = Word<SiteId>)]
    pub site_id: SiteId,
    /// Its Ed25519 public key, base64url.
    pub signing_key: String,
    /// Its X25519 public key, base64url.
    pub sealing_key: String,
    /// The counter of its last assertion.
    #[diesel(deserialize_as = Count)]
    pub counter: u64,
    /// Its version.
    pub version: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub enrolled_at: DateTime<Utc>,
    /// When another took its site.
    #[diesel(deserialize_as = MaybeInstant)]
    pub replaced_at: Option<DateTime<Utc>>,
    /// When an assertion's counter had not grown.
    #[diesel(deserialize_as = MaybeInstant)]
    pub clone_seen_at: Option<DateTime<Utc>>,
    /// Its last sign of life.
    #[diesel(deserialize_as = MaybeInstant)]
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// When a cycle last came to its end.
    #[diesel(deserialize_as = MaybeInstant)]
    pub last_cycle_at: Option<DateTime<Utc>>,
    /// Its clock minus the server's.
    pub skew_ms: Option<i64>,
    /// Reports that waited.
    #[diesel(deserialize_as = Count)]
    pub spooled_runs: u64,
    /// Octets of its store.
    #[diesel(deserialize_as = Count)]
    pub store_bytes: u64,
    /// Octets free.
    #[diesel(deserialize_as = Count)]
    pub free_disk_bytes: u64,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Sign {
    /// Its version.
    pub version: String,
    /// Operating system and architecture.
    pub platform: String,
    /// When a cycle last came to its end.
    pub last_cycle_at: Option<DateTime<Utc>>,
    /// Its clock minus the server's.
    pub skew_ms: i64,
    /// Reports that wait.
    pub spooled_runs: u64,
    /// Octets of its store.
    pub store_bytes: u64,
    /// Octets free.
    pub free_disk_bytes: u64,
}

/// Adds an agent.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, agent: &Agent) -> Result<()> {
    diesel::insert_into(agents::table)
        .values((
            agents::tenant_id.eq(ctx.tenant_key()),
            agents::agent_id.eq(agent.id.to_string()),
            agents::site_id.eq(agent.site_id.to_string()),
            agents::signing_key.eq(&agent.signing_key),
            agents::sealing_key.eq(&agent.sealing_key),
            agents::counter.eq(big(agent.counter)),
            agents::version.eq(&agent.version),
            agents::platform.eq(&agent.platform),
            agents::enrolled_at.eq(agent.enrolled_at.naive_utc()),
            agents::spooled_runs.eq(0),
            agents::store_bytes.eq(0),
            agents::free_disk_bytes.eq(0),
        ))
        .execute(db)?;
    Ok(())
}

/// Marks the agents that work at a site as replaced.
///
/// # Errors
/// The database's.
pub fn replace_at(ctx: &Ctx, db: &mut Conn, site: SiteId) -> Result<()> {
    diesel::update(agents::table)
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::site_id.eq(site.to_string()))
        .filter(agents::replaced_at.is_null())
        .set(agents::replaced_at.eq(ctx.now.naive_utc()))
        .execute(db)?;
    Ok(())
}

/// An agent of whatever tenant; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn find_anywhere(_ctx: &Ctx, db: &mut Conn, id: AgentId) -> Result<Option<Agent>> {
    Ok(agents::table
        .filter(agents::agent_id.eq(id.to_string()))
        .select(Agent::as_select())
        .first(db)
        .optional()?)
}

/// An agent of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: AgentId) -> Result<Option<Agent>> {
    Ok(agents::table
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::agent_id.eq(id.to_string()))
        .select(Agent::as_select())
        .first(db)
        .optional()?)
}

/// The signing keys of the agents that a site has or had, as they were given.
///
/// # Errors
/// The database's.
pub fn signing_keys(ctx: &Ctx, db: &mut Conn, site: SiteId) -> Result<Vec<String>> {
    Ok(agents::table
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::site_id.eq(site.to_string()))
        .select(agents::signing_key)
        .load(db)?)
}

/// Raises an agent's counter. `false` if it would not grow.
///
/// # Errors
/// The database's.
pub fn raise_counter(ctx: &Ctx, db: &mut Conn, id: AgentId, counter: u64) -> Result<bool> {
    Ok(one(diesel::update(agents::table)
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::agent_id.eq(id.to_string()))
        .filter(agents::counter.lt(big(counter)))
        .set(agents::counter.eq(big(counter)))
        .execute(db)?))
}

/// Notes that somebody else has an agent's key.
///
/// # Errors
/// The database's.
pub fn note_clone(ctx: &Ctx, db: &mut Conn, id: AgentId) -> Result<()> {
    diesel::update(agents::table)
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::agent_id.eq(id.to_string()))
        .set(agents::clone_seen_at.eq(ctx.now.naive_utc()))
        .execute(db)?;
    Ok(())
}

/// Notes a sign of life.
///
/// # Errors
/// The database's.
pub fn note_sign(ctx: &Ctx, db: &mut Conn, id: AgentId, sign: &Sign) -> Result<()> {
    diesel::update(agents::table)
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::agent_id.eq(id.to_string()))
        .set((
            agents::version.eq(&sign.version),
            agents::platform.eq(&sign.platform),
            agents::last_heartbeat_at.eq(ctx.now.naive_utc()),
            agents::last_cycle_at.eq(sign.last_cycle_at.map(|at| at.naive_utc())),
            agents::skew_ms.eq(sign.skew_ms),
            agents::spooled_runs.eq(big(sign.spooled_runs)),
            agents::store_bytes.eq(big(sign.store_bytes)),
            agents::free_disk_bytes.eq(big(sign.free_disk_bytes)),
        ))
        .execute(db)?;
    Ok(())
}

/// A page of the tenant's agents.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<Agent>> {
    Ok(agents::table
        .filter(agents::tenant_id.eq(ctx.tenant_key()))
        .filter(agents::agent_id.lt(window.bound()))
        .order(agents::agent_id.desc())
        .limit(window.ask())
        .select(Agent::as_select())
        .load(db)?)
}
