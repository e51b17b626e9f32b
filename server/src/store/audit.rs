//! The audit chains: heads, records, and the keys of personal fields.

use diesel::prelude::*;

use crate::context::Ctx;
use crate::db::schema::{audit_heads, audit_records, person_keys};
use crate::db::types::{Count, big};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// Where a chain stands.
#[derive(Debug, Clone)]
pub struct Head {
    /// The place that has just been taken.
    pub seq: u64,
    /// The hash of the record before it.
    pub hash: String,
}

/// Takes the next place of the chain. The head row stays locked until the transaction ends, so that the
/// chain has no gap and nobody waits for a retry.
///
/// # Errors
/// The database's.
pub fn take_place(ctx: &Ctx, db: &mut Conn, no_record: &str) -> Result<Head> {
    let statement = diesel::insert_into(audit_heads::table)
        .values((
            audit_heads::tenant_id.eq(ctx.tenant_key()),
            audit_heads::seq.eq(1),
            audit_heads::hash.eq(no_record.to_owned()),
        ))
        .on_conflict(audit_heads::tenant_id)
        .do_update()
        .set(audit_heads::seq.eq(audit_heads::seq + 1))
        .returning((audit_heads::seq, audit_heads::hash));
    let (seq, hash): (Count, String) = on_each!(db, |conn| statement.get_result(conn))?;
    Ok(Head { seq: seq.0, hash })
}

/// Writes a record and its hash as the new head.
///
/// # Errors
/// The database's.
pub fn append(
    ctx: &Ctx,
    db: &mut Conn,
    seq: u64,
    id: &str,
    action: &str,
    record: &str,
    hash: &str,
) -> Result<()> {
    diesel::insert_into(audit_records::table)
        .values((
            audit_records::tenant_id.eq(ctx.tenant_key()),
            audit_records::seq.eq(big(seq)),
            audit_records::audit_id.eq(id),
            audit_records::at.eq(ctx.now.naive_utc()),
            audit_records::action.eq(action),
            audit_records::record.eq(record),
            audit_records::hash.eq(hash),
        ))
        .execute(db)?;
    diesel::update(audit_heads::table)
        .filter(audit_heads::tenant_id.eq(ctx.tenant_key()))
        .set(audit_heads::hash.eq(hash))
        .execute(db)?;
    Ok(())
}

/// The wrapped key of a person in the tenant.
///
/// # Errors
/// The database's.
pub fn person_key(ctx: &Ctx, db: &mut Conn, person: &str) -> Result<Option<Vec<u8>>> {
    Ok(person_keys::table
        .filter(person_keys::tenant_id.eq(ctx.tenant_key()))
        .filter(person_keys::person_id.eq(person))
        .select(person_keys::wrapped_key)
        .first(db)
        .optional()?)
}

/// Adds the wrapped key of a person in the tenant.
///
/// # Errors
/// The database's.
pub fn add_person_key(ctx: &Ctx, db: &mut Conn, person: &str, wrapped: &[u8]) -> Result<()> {
    diesel::insert_into(person_keys::table)
        .values((
            person_keys::tenant_id.eq(ctx.tenant_key()),
            person_keys::person_id.eq(person),
            person_keys::wrapped_key.eq(wrapped),
        ))
        .execute(db)?;
    Ok(())
}
