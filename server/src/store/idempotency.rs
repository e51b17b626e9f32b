//! Answers that are kept for a day, to be given again when the same request comes again.

use diesel::prelude::*;

use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::idempotency_keys;
use crate::error::Result;

/// What a kept answer stands under, besides the tenant.
#[derive(Debug, Clone)]
pub struct Place {
    /// Who asked.
    pub principal: String,
    /// With which method.
    pub method: String,
    /// For which path.
    pub path: String,
    /// Under which key.
    pub key: String,
}

/// A kept answer.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = idempotency_keys)]
pub struct Kept {
    /// Of the request's body.
    pub fingerprint: String,
    /// The answer, as the service keeps it.
    pub answer: String,
}

/// The answer that is kept, if there is one and it is not too old.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, place: &Place) -> Result<Option<Kept>> {
    Ok(idempotency_keys::table
        .filter(idempotency_keys::tenant_id.eq(ctx.tenant_key()))
        .filter(idempotency_keys::principal.eq(&place.principal))
        .filter(idempotency_keys::method.eq(&place.method))
        .filter(idempotency_keys::path.eq(&place.path))
        .filter(idempotency_keys::key.eq(&place.key))
        .filter(idempotency_keys::expires_at.gt(ctx.now.naive_utc()))
        .select(Kept::as_select())
        .first(db)
        .optional()?)
}

/// Keeps an answer, instead of one that is too old.
///
/// # Errors
/// A conflict if another instance was faster.
pub fn keep(
    ctx: &Ctx,
    db: &mut Conn,
    place: &Place,
    kept: &Kept,
    status: u16,
    for_how_long: chrono::TimeDelta,
) -> Result<()> {
    diesel::delete(idempotency_keys::table)
        .filter(idempotency_keys::tenant_id.eq(ctx.tenant_key()))
        .filter(idempotency_keys::principal.eq(&place.principal))
        .filter(idempotency_keys::method.eq(&place.method))
        .filter(idempotency_keys::path.eq(&place.path))
        .filter(idempotency_keys::key.eq(&place.key))
        .filter(idempotency_keys::expires_at.le(ctx.now.naive_utc()))
        .execute(db)?;
    diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::tenant_id.eq(ctx.tenant_key()),
            idempotency_keys::principal.eq(&place.principal),
            idempotency_keys::method.eq(&place.method),
            idempotency_keys::path.eq(&place.path),
            idempotency_keys::key.eq(&place.key),
            idempotency_keys::fingerprint.eq(&kept.fingerprint),
            idempotency_keys::status.eq(i32::from(status)),
            idempotency_keys::answer.eq(&kept.answer),
            idempotency_keys::expires_at.eq((ctx.now + for_how_long).naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// Forgets answers that are too old; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn sweep(ctx: &Ctx, db: &mut Conn) -> Result<usize> {
    Ok(diesel::delete(idempotency_keys::table)
        .filter(idempotency_keys::expires_at.lt(ctx.now.naive_utc()))
        .execute(db)?)
}
