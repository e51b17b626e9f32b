//! The audit chains: heads, records, and the keys of personal fields.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::page::Window;
use crate::context::Ctx;
use crate::db::schema::{audit_heads, audit_records, person_keys};
use crate::db::types::{Count, Instant, big};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// How many records it has, with the place that has just been taken.
    pub seq: u64,
    /// The hash of the last record.
    pub hash: String,
}

/// A record as its row has it: the canonical text, its hash, and what of it can be asked for.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = audit_records)]
pub struct Row {
    /// Its place in the chain.
    #[diesel(deserialize_as = Count)]
    pub seq: u64,
    /// Its id, which is its place in lists.
    pub audit_id: String,
    /// When.
    #[diesel(deserialize_as = Instant)]
    pub at: DateTime<Utc>,
    /// What was done.
    pub action: String,
    /// By whom.
    pub actor_id: String,
    /// To what.
    pub object_id: String,
    /// The record, canonical JSON.
    pub record: String,
    /// SHA-256 of it.
    pub hash: String,
}

/// Which records.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this action.
    pub action: Option<String>,
    /// By this person or agent.
    pub actor_id: Option<String>,
    /// To this object.
    pub object_id: Option<String>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub until: Option<DateTime<Utc>>,
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
pub fn append(ctx: &Ctx, db: &mut Conn, row: &Row) -> Result<()> {
    diesel::insert_into(audit_records::table)
        .values((
            audit_records::tenant_id.eq(ctx.tenant_key()),
            audit_records::seq.eq(big(row.seq)),
            audit_records::audit_id.eq(&row.audit_id),
            audit_records::at.eq(row.at.naive_utc()),
            audit_records::action.eq(&row.action),
            audit_records::actor_id.eq(&row.actor_id),
            audit_records::object_id.eq(&row.object_id),
            audit_records::record.eq(&row.record),
            audit_records::hash.eq(&row.hash),
        ))
        .execute(db)?;
    diesel::update(audit_heads::table)
        .filter(audit_heads::tenant_id.eq(ctx.tenant_key()))
        .set(audit_heads::hash.eq(&row.hash))
        .execute(db)?;
    Ok(())
}

/// Where the chain stands, if it has been begun.
///
/// # Errors
/// The database's.
pub fn head(ctx: &Ctx, db: &mut Conn) -> Result<Option<Head>> {
    let head: Option<(Count, String)> = audit_heads::table
        .filter(audit_heads::tenant_id.eq(ctx.tenant_key()))
        .select((audit_heads::seq, audit_heads::hash))
        .first(db)
        .optional()?;
    Ok(head.map(|(seq, hash)| Head { seq: seq.0, hash }))
}

/// A page of the chain's records, newest first.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, filter: &Filter, window: &Window) -> Result<Vec<Row>> {
    let mut query = audit_records::table
        .filter(audit_records::tenant_id.eq(ctx.tenant_key()))
        .filter(audit_records::audit_id.lt(window.bound()))
        .order(audit_records::audit_id.desc())
        .limit(window.ask())
        .select(Row::as_select())
        .into_boxed();
    if let Some(action) = &filter.action {
        query = query.filter(audit_records::action.eq(action));
    }
    if let Some(actor) = &filter.actor_id {
        query = query.filter(audit_records::actor_id.eq(actor));
    }
    if let Some(object) = &filter.object_id {
        query = query.filter(audit_records::object_id.eq(object));
    }
    if let Some(from) = filter.from {
        query = query.filter(audit_records::at.ge(from.naive_utc()));
    }
    if let Some(until) = filter.until {
        query = query.filter(audit_records::at.lt(until.naive_utc()));
    }
    Ok(query.load(db)?)
}

/// The chain's records behind a place, or from whatever is its first, oldest first.
///
/// # Errors
/// The database's.
pub fn behind(ctx: &Ctx, db: &mut Conn, seq: Option<u64>, limit: u16) -> Result<Vec<Row>> {
    Ok(audit_records::table
        .filter(audit_records::tenant_id.eq(ctx.tenant_key()))
        .filter(audit_records::seq.gt(seq.map_or(i64::MIN, big)))
        .order(audit_records::seq.asc())
        .limit(limit.into())
        .select(Row::as_select())
        .load(db)?)
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
