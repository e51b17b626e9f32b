//! The Tx that are expected, each once, and what became of them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{RunId, ScheduleId, TenantId, TriangleId};
use maildreieck_api_spec::vocabulary::Verdict;

use crate::context::Ctx;
use crate::db::schema::{due, runs};
use crate::db::types::{Instant, MaybeWord, Word};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// A Tx that is expected.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Whose.
    pub tenant_id: TenantId,
    /// By which schedule.
    pub schedule_id: ScheduleId,
    /// When.
    pub due_at: DateTime<Utc>,
    /// Of which triangle.
    pub triangle_id: TriangleId,
    /// Until when it may arrive.
    pub grace_ends_at: DateTime<Utc>,
}

/// A Tx that was due, with the run that settled it.
#[derive(Debug, Clone)]
pub struct Due {
    /// By which schedule.
    pub schedule_id: ScheduleId,
    /// When.
    pub due_at: DateTime<Utc>,
    /// Of which triangle.
    pub triangle_id: TriangleId,
    /// Until when it may arrive.
    pub grace_ends_at: DateTime<Utc>,
    /// The run.
    pub run_id: Option<RunId>,
    /// Its report, as it came.
    pub report: Option<String>,
    /// Its verdict.
    pub verdict: Option<Verdict>,
    /// What a daily report last said of it.
    pub reported_as: Option<String>,
}

type DueRow = (
    Word<ScheduleId>,
    Instant,
    Word<TriangleId>,
    Instant,
    Option<String>,
);

type RunRow = (Word<RunId>, String, MaybeWord<Verdict>);

/// Notes what is expected, once; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn expect(_ctx: &Ctx, db: &mut Conn, expected: &Expected) -> Result<()> {
    let statement = diesel::insert_into(due::table)
        .values((
            due::tenant_id.eq(expected.tenant_id.to_string()),
            due::schedule_id.eq(expected.schedule_id.to_string()),
            due::due_at.eq(expected.due_at.naive_utc()),
            due::triangle_id.eq(expected.triangle_id.to_string()),
            due::grace_ends_at.eq(expected.grace_ends_at.naive_utc()),
        ))
        .on_conflict_do_nothing();
    on_each!(db, |conn| statement.execute(conn))?;
    Ok(())
}

/// Whether something was expected of a schedule then.
///
/// # Errors
/// The database's.
pub fn is_expected(
    ctx: &Ctx,
    db: &mut Conn,
    schedule: ScheduleId,
    due_at: DateTime<Utc>,
) -> Result<bool> {
    let known: Option<String> = due::table
        .filter(due::tenant_id.eq(ctx.tenant_key()))
        .filter(due::schedule_id.eq(schedule.to_string()))
        .filter(due::due_at.eq(due_at.naive_utc()))
        .select(due::schedule_id)
        .first(db)
        .optional()?;
    Ok(known.is_some())
}

/// Notes the run that came, whether it was expected yet or not.
///
/// # Errors
/// The database's.
pub fn settle(ctx: &Ctx, db: &mut Conn, expected: &Expected, run: RunId) -> Result<()> {
    let statement = diesel::insert_into(due::table)
        .values((
            due::tenant_id.eq(ctx.tenant_key()),
            due::schedule_id.eq(expected.schedule_id.to_string()),
            due::due_at.eq(expected.due_at.naive_utc()),
            due::triangle_id.eq(expected.triangle_id.to_string()),
            due::grace_ends_at.eq(expected.grace_ends_at.naive_utc()),
            due::run_id.eq(run.to_string()),
        ))
        .on_conflict((due::tenant_id, due::schedule_id, due::due_at))
        .do_update()
        .set(due::run_id.eq(run.to_string()));
    on_each!(db, |conn| statement.execute(conn))?;
    Ok(())
}

/// What was due in a stretch of time, the first included, the last not, in order.
///
/// # Errors
/// The database's.
pub fn between(
    ctx: &Ctx,
    db: &mut Conn,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<Due>> {
    let rows: Vec<(DueRow, Option<RunRow>)> = due::table
        .left_join(
            runs::table.on(runs::tenant_id
                .eq(due::tenant_id)
                .and(due::run_id.eq(runs::run_id.nullable()))),
        )
        .filter(due::tenant_id.eq(ctx.tenant_key()))
        .filter(due::due_at.ge(from.naive_utc()))
        .filter(due::due_at.lt(until.naive_utc()))
        .order((due::due_at.asc(), due::schedule_id.asc()))
        .select((
            (
                due::schedule_id,
                due::due_at,
                due::triangle_id,
                due::grace_ends_at,
                due::reported_as,
            ),
            (runs::run_id, runs::report, runs::verdict).nullable(),
        ))
        .load(db)?;
    Ok(rows
        .into_iter()
        .map(|((schedule, due_at, triangle, grace, reported_as), run)| {
            let (run_id, report, verdict) = run
                .map_or((None, None, None), |(id, report, verdict)| {
                    (Some(id.0), Some(report), verdict.0)
                });
            Due {
                schedule_id: schedule.0,
                due_at: due_at.0,
                triangle_id: triangle.0,
                grace_ends_at: grace.0,
                run_id,
                report,
                verdict,
                reported_as,
            }
        })
        .collect())
}

/// Remembers what the daily report said of a Tx.
///
/// # Errors
/// The database's.
pub fn mark_reported(ctx: &Ctx, db: &mut Conn, of: &Due, said: &str) -> Result<()> {
    diesel::update(due::table)
        .filter(due::tenant_id.eq(ctx.tenant_key()))
        .filter(due::schedule_id.eq(of.schedule_id.to_string()))
        .filter(due::due_at.eq(of.due_at.naive_utc()))
        .set(due::reported_as.eq(said))
        .execute(db)?;
    Ok(())
}
