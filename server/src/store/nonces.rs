//! Nonces that were used. Global: a nonce is given before it is known who asks.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::context::Ctx;
use crate::db::schema::used_nonces;
use crate::db::{Conn, on_each};
use crate::error::Result;

/// Uses a nonce up. `false` if it was used before.
///
/// # Errors
/// The database's.
pub fn use_up(_ctx: &Ctx, db: &mut Conn, hash: &str, expires_at: DateTime<Utc>) -> Result<bool> {
    let statement = diesel::insert_into(used_nonces::table)
        .values((
            used_nonces::nonce_hash.eq(hash),
            used_nonces::expires_at.eq(expires_at.naive_utc()),
        ))
        .on_conflict_do_nothing();
    Ok(super::one(on_each!(db, |conn| statement.execute(conn))?))
}

/// Forgets nonces that are too old to be good; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn sweep(ctx: &Ctx, db: &mut Conn) -> Result<usize> {
    Ok(diesel::delete(used_nonces::table)
        .filter(used_nonces::expires_at.lt(ctx.now.naive_utc()))
        .execute(db)?)
}

/// Whether there is any; it is the cheapest question that needs the database.
///
/// # Errors
/// The database's.
pub fn any(_ctx: &Ctx, db: &mut Conn) -> Result<bool> {
    let one: Option<String> = used_nonces::table
        .select(used_nonces::nonce_hash)
        .first(db)
        .optional()?;
    Ok(one.is_some())
}
