//! Triangles.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{AccountId, SiteId, TriangleId};
use maildreieck_api_spec::text::{FolderName, GraceMinutes, Name, StandbyPrefix};

use super::one;
use super::page::Window;
use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::triangles;
use crate::db::types::{Count, Instant, JsonText, MaybeSmall, Word, big};
use crate::error::{Error, Result};

/// A triangle.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = triangles)]
pub struct Triangle {
    /// Which.
    #[diesel(column_name = triangle_id, deserialize_as = Word<TriangleId>)]
    pub id: TriangleId,
    /// The site whose agent works on it.
    #[diesel(deserialize_as = Word<SiteId>)]
    pub site_id: SiteId,
    /// Its name.
    #[diesel(deserialize_as = Word<Name>)]
    pub name: Name,
    /// The primary.
    #[diesel(deserialize_as = Word<AccountId>)]
    pub primary_account_id: AccountId,
    /// The standby.
    #[diesel(deserialize_as = Word<AccountId>)]
    pub standby_account_id: AccountId,
    /// Below which folder of the standby.
    #[diesel(deserialize_as = Word<StandbyPrefix>)]
    pub standby_prefix: StandbyPrefix,
    /// What is left out.
    #[diesel(deserialize_as = JsonText<Vec<FolderName>>)]
    pub exclude_folders: Vec<FolderName>,
    /// How long after its due time a Tx may arrive, where the tenant's does not do.
    #[diesel(deserialize_as = MaybeSmall<GraceMinutes>)]
    pub grace_min: Option<GraceMinutes>,
    /// Grows with each change.
    #[diesel(deserialize_as = Count)]
    pub version: u64,
    /// Since when.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
}

fn folders(of: &[FolderName]) -> Result<String> {
    serde_json::to_string(of).map_err(|error| Error::internal("writing folders", error))
}

/// Adds a triangle.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, triangle: &Triangle) -> Result<()> {
    diesel::insert_into(triangles::table)
        .values((
            triangles::tenant_id.eq(ctx.tenant_key()),
            triangles::triangle_id.eq(triangle.id.to_string()),
            triangles::site_id.eq(triangle.site_id.to_string()),
            triangles::name.eq(triangle.name.as_str()),
            triangles::primary_account_id.eq(triangle.primary_account_id.to_string()),
            triangles::standby_account_id.eq(triangle.standby_account_id.to_string()),
            triangles::standby_prefix.eq(triangle.standby_prefix.as_str()),
            triangles::exclude_folders.eq(folders(&triangle.exclude_folders)?),
            triangles::grace_min.eq(triangle.grace_min.map(|grace| i32::from(grace.get()))),
            triangles::version.eq(big(triangle.version)),
            triangles::created_at.eq(triangle.created_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// A triangle of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: TriangleId) -> Result<Option<Triangle>> {
    Ok(triangles::table
        .filter(triangles::tenant_id.eq(ctx.tenant_key()))
        .filter(triangles::triangle_id.eq(id.to_string()))
        .select(Triangle::as_select())
        .first(db)
        .optional()?)
}

/// Changes a triangle, if its version is still the one that was read.
///
/// # Errors
/// The database's.
pub fn update(ctx: &Ctx, db: &mut Conn, triangle: &Triangle, read: u64) -> Result<bool> {
    Ok(one(diesel::update(triangles::table)
        .filter(triangles::tenant_id.eq(ctx.tenant_key()))
        .filter(triangles::triangle_id.eq(triangle.id.to_string()))
        .filter(triangles::version.eq(big(read)))
        .set((
            triangles::site_id.eq(triangle.site_id.to_string()),
            triangles::name.eq(triangle.name.as_str()),
            triangles::primary_account_id.eq(triangle.primary_account_id.to_string()),
            triangles::standby_account_id.eq(triangle.standby_account_id.to_string()),
            triangles::standby_prefix.eq(triangle.standby_prefix.as_str()),
            triangles::exclude_folders.eq(folders(&triangle.exclude_folders)?),
            triangles::grace_min.eq(triangle.grace_min.map(|grace| i32::from(grace.get()))),
            triangles::version.eq(big(triangle.version)),
        ))
        .execute(db)?))
}

/// A page of the tenant's triangles.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<Triangle>> {
    Ok(triangles::table
        .filter(triangles::tenant_id.eq(ctx.tenant_key()))
        .filter(triangles::triangle_id.lt(window.bound()))
        .order(triangles::triangle_id.desc())
        .limit(window.ask())
        .select(Triangle::as_select())
        .load(db)?)
}

/// All triangles of a site, oldest first.
///
/// # Errors
/// The database's.
pub fn of_site(ctx: &Ctx, db: &mut Conn, site: SiteId) -> Result<Vec<Triangle>> {
    Ok(triangles::table
        .filter(triangles::tenant_id.eq(ctx.tenant_key()))
        .filter(triangles::site_id.eq(site.to_string()))
        .order(triangles::triangle_id.asc())
        .select(Triangle::as_select())
        .load(db)?)
}

/// All triangles that an account is a corner of.
///
/// # Errors
/// The database's.
pub fn of_account(ctx: &Ctx, db: &mut Conn, account: AccountId) -> Result<Vec<Triangle>> {
    Ok(triangles::table
        .filter(triangles::tenant_id.eq(ctx.tenant_key()))
        .filter(
            triangles::primary_account_id
                .eq(account.to_string())
                .or(triangles::standby_account_id.eq(account.to_string())),
        )
        .order(triangles::triangle_id.asc())
        .select(Triangle::as_select())
        .load(db)?)
}

/// All triangles of the tenant by name, for its report.
///
/// # Errors
/// The database's.
pub fn all(ctx: &Ctx, db: &mut Conn) -> Result<Vec<Triangle>> {
    Ok(triangles::table
        .filter(triangles::tenant_id.eq(ctx.tenant_key()))
        .order((triangles::name.asc(), triangles::triangle_id.asc()))
        .select(Triangle::as_select())
        .load(db)?)
}
