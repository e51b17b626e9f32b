//! Enrolment codes: their hashes alone.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{AgentId, EnrolmentCodeId, SiteId, TenantId};

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::enrolment_codes;
use crate::db::types::{Instant, MaybeWord, Word};
use crate::error::Result;

/// A code.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = enrolment_codes)]
pub struct EnrolmentCode {
    /// Which.
    #[diesel(column_name = code_id, deserialize_as = Word<EnrolmentCodeId>)]
    pub id: EnrolmentCodeId,
    /// Of which tenant.
    #[diesel(deserialize_as = Word<TenantId>)]
    pub tenant_id: TenantId,
    /// Bound to which site.
    #[diesel(deserialize_as = Word<SiteId>)]
    pub site_id: SiteId,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
    /// Until when.
    #[diesel(deserialize_as = Instant)]
    pub expires_at: DateTime<Utc>,
    /// The agent that used it.
    #[diesel(deserialize_as = MaybeWord<AgentId>)]
    pub agent_id: Option<AgentId>,
}

/// Adds a code by its hash.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, code: &EnrolmentCode, hash: &str) -> Result<()> {
    diesel::insert_into(enrolment_codes::table)
        .values((
            enrolment_codes::tenant_id.eq(ctx.tenant_key()),
            enrolment_codes::code_id.eq(code.id.to_string()),
            enrolment_codes::site_id.eq(code.site_id.to_string()),
            enrolment_codes::code_hash.eq(hash),
            enrolment_codes::created_at.eq(code.created_at.naive_utc()),
            enrolment_codes::expires_at.eq(code.expires_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// The code with a hash, of whatever tenant; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn find_by_hash(_ctx: &Ctx, db: &mut Conn, hash: &str) -> Result<Option<EnrolmentCode>> {
    Ok(enrolment_codes::table
        .filter(enrolment_codes::code_hash.eq(hash))
        .select(EnrolmentCode::as_select())
        .first(db)
        .optional()?)
}

/// Uses a code up. `false` if it was used meanwhile, or is too old.
///
/// # Errors
/// The database's.
pub fn use_up(ctx: &Ctx, db: &mut Conn, id: EnrolmentCodeId, agent: AgentId) -> Result<bool> {
    Ok(one(diesel::update(enrolment_codes::table)
        .filter(enrolment_codes::tenant_id.eq(ctx.tenant_key()))
        .filter(enrolment_codes::code_id.eq(id.to_string()))
        .filter(enrolment_codes::agent_id.is_null())
        .filter(enrolment_codes::expires_at.gt(ctx.now.naive_utc()))
        .set(enrolment_codes::agent_id.eq(agent.to_string()))
        .execute(db)?))
}

/// A page of a site's codes.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, site: SiteId, window: &Window) -> Result<Vec<EnrolmentCode>> {
    Ok(enrolment_codes::table
        .filter(enrolment_codes::tenant_id.eq(ctx.tenant_key()))
        .filter(enrolment_codes::site_id.eq(site.to_string()))
        .filter(enrolment_codes::code_id.lt(window.bound()))
        .order(enrolment_codes::code_id.desc())
        .limit(window.ask())
        .select(EnrolmentCode::as_select())
        .load(db)?)
}
