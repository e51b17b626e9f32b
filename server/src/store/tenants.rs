//! Tenants.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{TenantId, UserId};
use maildreieck_api_spec::text::{EmailAddress, GraceMinutes, Name, ZoneName};
use maildreieck_api_spec::vocabulary::Language;

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::{memberships, tenants};
use crate::db::types::{Count, Instant, JsonText, Small, Word, big, word};
use crate::error::{Error, Result};

/// A tenant.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = tenants)]
pub struct Tenant {
    /// Which.
    #[diesel(column_name = tenant_id, deserialize_as = Word<TenantId>)]
    pub id: TenantId,
    /// Its name.
    #[diesel(deserialize_as = Word<Name>)]
    pub name: Name,
    /// The zone of its days.
    #[diesel(deserialize_as = Word<ZoneName>)]
    pub timezone: ZoneName,
    /// The language of its reports.
    #[diesel(deserialize_as = Word<Language>)]
    pub language: Language,
    /// Who gets them.
    #[diesel(deserialize_as = JsonText<Vec<EmailAddress>>)]
    pub report_to: Vec<EmailAddress>,
    /// How long after its due time a Tx may arrive.
    #[diesel(deserialize_as = Small<GraceMinutes>)]
    pub grace_min: GraceMinutes,
    /// Grows with each change.
    #[diesel(deserialize_as = Count)]
    pub version: u64,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
}

fn addresses(of: &[EmailAddress]) -> Result<String> {
    serde_json::to_string(of).map_err(|error| Error::internal("writing addresses", error))
}

/// Adds a tenant; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn insert(_ctx: &Ctx, db: &mut Conn, tenant: &Tenant) -> Result<()> {
    diesel::insert_into(tenants::table)
        .values((
            tenants::tenant_id.eq(tenant.id.to_string()),
            tenants::name.eq(tenant.name.as_str()),
            tenants::timezone.eq(tenant.timezone.as_str()),
            tenants::language.eq(word(&tenant.language)),
            tenants::report_to.eq(addresses(&tenant.report_to)?),
            tenants::grace_min.eq(i32::from(tenant.grace_min.get())),
            tenants::version.eq(big(tenant.version)),
            tenants::created_at.eq(tenant.created_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// The tenant of the context.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn) -> Result<Option<Tenant>> {
    Ok(tenants::table
        .filter(tenants::tenant_id.eq(ctx.tenant_key()))
        .select(Tenant::as_select())
        .first(db)
        .optional()?)
}

/// Changes the tenant of the context, if its version is still the one that was read.
///
/// # Errors
/// The database's.
pub fn update(ctx: &Ctx, db: &mut Conn, tenant: &Tenant, read: u64) -> Result<bool> {
    Ok(one(diesel::update(tenants::table)
        .filter(tenants::tenant_id.eq(ctx.tenant_key()))
        .filter(tenants::version.eq(big(read)))
        .set((
            tenants::name.eq(tenant.name.as_str()),
            tenants::timezone.eq(tenant.timezone.as_str()),
            tenants::language.eq(word(&tenant.language)),
            tenants::report_to.eq(addresses(&tenant.report_to)?),
            tenants::grace_min.eq(i32::from(tenant.grace_min.get())),
            tenants::version.eq(big(tenant.version)),
        ))
        .execute(db)?))
}

/// A page of all tenants; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn list_all(_ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<Tenant>> {
    Ok(tenants::table
        .filter(tenants::tenant_id.lt(window.bound()))
        .order(tenants::tenant_id.desc())
        .limit(window.ask())
        .select(Tenant::as_select())
        .load(db)?)
}

/// A page of the tenants that a person works in; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn list_of_user(
    _ctx: &Ctx,
    db: &mut Conn,
    user: UserId,
    window: &Window,
) -> Result<Vec<Tenant>> {
    let his = memberships::table
        .filter(memberships::user_id.eq(user.to_string()))
        .select(memberships::tenant_id);
    Ok(tenants::table
        .filter(tenants::tenant_id.eq_any(his))
        .filter(tenants::tenant_id.lt(window.bound()))
        .order(tenants::tenant_id.desc())
        .limit(window.ask())
        .select(Tenant::as_select())
        .load(db)?)
}
