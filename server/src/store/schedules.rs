//! Schedules of triangles, and which of them are due.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{ScheduleId, TenantId, TriangleId};
use maildreieck_api_spec::text::GraceMinutes;

use crate::context::Ctx;
use crate::db::schema::{schedule_lines, schedules};
use crate::db::types::{MaybeInstant, Small, Word};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// The schedule of a Tx.
pub const TX: &str = "tx";
/// The schedule of a mirror run.
pub const MIRROR: &str = "mirror";

/// A schedule.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = schedules)]
pub struct Schedule {
    /// Whose.
    #[diesel(deserialize_as = Word<TenantId>)]
    pub tenant_id: TenantId,
    /// Which.
    #[diesel(column_name = schedule_id, deserialize_as = Word<ScheduleId>)]
    pub id: ScheduleId,
    /// Of which triangle.
    #[diesel(deserialize_as = Word<TriangleId>)]
    pub triangle_id: TriangleId,
    /// [`TX`] or [`MIRROR`].
    pub kind: String,
    /// The cron line.
    pub cron: String,
    /// Its zone.
    pub timezone: String,
    /// How long after its due time the result may arrive.
    #[diesel(deserialize_as = Small<GraceMinutes>)]
    pub grace_min: GraceMinutes,
    /// When it is due next, as far as the server expects anything of it.
    #[diesel(deserialize_as = MaybeInstant)]
    pub next_due_at: Option<DateTime<Utc>>,
}

/// A line that a schedule has or had.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = schedule_lines)]
pub struct Line {
    /// Of which triangle.
    #[diesel(deserialize_as = Word<TriangleId>)]
    pub triangle_id: TriangleId,
    /// [`TX`] or [`MIRROR`].
    pub kind: String,
    /// The cron line.
    pub cron: String,
    /// Its zone.
    pub timezone: String,
}

/// The lines of a schedule, the one set last first; also of one that was taken away.
///
/// # Errors
/// The database's.
pub fn lines(ctx: &Ctx, db: &mut Conn, id: ScheduleId) -> Result<Vec<Line>> {
    Ok(schedule_lines::table
        .filter(schedule_lines::tenant_id.eq(ctx.tenant_key()))
        .filter(schedule_lines::schedule_id.eq(id.to_string()))
        .order(schedule_lines::set_at.desc())
        .select(Line::as_select())
        .load(db)?)
}

/// Sets the schedule of its kind of a triangle, new or instead of the one it has. Its line is kept for good.
///
/// # Errors
/// The database's.
pub fn put(ctx: &Ctx, db: &mut Conn, schedule: &Schedule) -> Result<()> {
    let settings = (
        schedules::cron.eq(schedule.cron.clone()),
        schedules::timezone.eq(schedule.timezone.clone()),
        schedules::grace_min.eq(i32::from(schedule.grace_min.get())),
        schedules::next_due_at.eq(schedule.next_due_at.map(|at| at.naive_utc())),
    );
    let statement = diesel::insert_into(schedules::table)
        .values((
            schedules::tenant_id.eq(ctx.tenant_key()),
            schedules::schedule_id.eq(schedule.id.to_string()),
            schedules::triangle_id.eq(schedule.triangle_id.to_string()),
            schedules::kind.eq(schedule.kind.clone()),
            settings.clone(),
        ))
        .on_conflict((
            schedules::tenant_id,
            schedules::triangle_id,
            schedules::kind,
        ))
        .do_update()
        .set(settings);
    on_each!(db, |conn| statement.execute(conn))?;
    let set_at = schedule_lines::set_at.eq(ctx.now.naive_utc());
    let statement = diesel::insert_into(schedule_lines::table)
        .values((
            schedule_lines::tenant_id.eq(ctx.tenant_key()),
            schedule_lines::schedule_id.eq(schedule.id.to_string()),
            schedule_lines::cron.eq(schedule.cron.clone()),
            schedule_lines::timezone.eq(schedule.timezone.clone()),
            schedule_lines::triangle_id.eq(schedule.triangle_id.to_string()),
            schedule_lines::kind.eq(schedule.kind.clone()),
            set_at,
        ))
        .on_conflict((
            schedule_lines::tenant_id,
            schedule_lines::schedule_id,
            schedule_lines::cron,
            schedule_lines::timezone,
        ))
        .do_update()
        .set(set_at);
    on_each!(db, |conn| statement.execute(conn))?;
    Ok(())
}

/// Takes a schedule away.
///
/// # Errors
/// The database's.
pub fn remove(ctx: &Ctx, db: &mut Conn, id: ScheduleId) -> Result<()> {
    diesel::delete(schedules::table)
        .filter(schedules::tenant_id.eq(ctx.tenant_key()))
        .filter(schedules::schedule_id.eq(id.to_string()))
        .execute(db)?;
    Ok(())
}

/// The schedules of some triangles of the tenant.
///
/// # Errors
/// The database's.
pub fn of_triangles(ctx: &Ctx, db: &mut Conn, triangles: &[TriangleId]) -> Result<Vec<Schedule>> {
    let ids: Vec<String> = triangles.iter().map(ToString::to_string).collect();
    Ok(schedules::table
        .filter(schedules::tenant_id.eq(ctx.tenant_key()))
        .filter(schedules::triangle_id.eq_any(ids))
        .select(Schedule::as_select())
        .load(db)?)
}

/// A schedule of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: ScheduleId) -> Result<Option<Schedule>> {
    Ok(schedules::table
        .filter(schedules::tenant_id.eq(ctx.tenant_key()))
        .filter(schedules::schedule_id.eq(id.to_string()))
        .select(Schedule::as_select())
        .first(db)
        .optional()?)
}

/// Sets the grace of the tenant's Tx schedules whose triangle has none of its own.
///
/// # Errors
/// The database's.
pub fn set_grace(ctx: &Ctx, db: &mut Conn, of: &[TriangleId], grace: GraceMinutes) -> Result<()> {
    let ids: Vec<String> = of.iter().map(ToString::to_string).collect();
    diesel::update(schedules::table)
        .filter(schedules::tenant_id.eq(ctx.tenant_key()))
        .filter(schedules::triangle_id.eq_any(ids))
        .set(schedules::grace_min.eq(i32::from(grace.get())))
        .execute(db)?;
    Ok(())
}

/// When a Tx of the tenant is due next.
///
/// # Errors
/// The database's.
pub fn next_due(ctx: &Ctx, db: &mut Conn) -> Result<Option<DateTime<Utc>>> {
    let next: Option<Option<chrono::NaiveDateTime>> = schedules::table
        .filter(schedules::tenant_id.eq(ctx.tenant_key()))
        .filter(schedules::next_due_at.is_not_null())
        .order(schedules::next_due_at.asc())
        .select(schedules::next_due_at)
        .first(db)
        .optional()?;
    Ok(next.flatten().map(|at| at.and_utc()))
}

/// Schedules of all tenants that are due, claimed for this transaction: another instance passes them by.
///
/// # Errors
/// The database's.
pub fn claim_due(ctx: &Ctx, db: &mut Conn, at_most: i64) -> Result<Vec<Schedule>> {
    let due = schedules::table
        .filter(schedules::next_due_at.le(ctx.now.naive_utc()))
        .order(schedules::next_due_at.asc())
        .limit(at_most);
    Ok(match db {
        Conn::Postgres(conn) => due
            .select(Schedule::as_select())
            .for_update()
            .skip_locked()
            .load(conn)?,
        // Its transactions that write stand in line.
        Conn::Sqlite(conn) => due.select(Schedule::as_select()).load(conn)?,
    })
}

/// Moves a claimed schedule on; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn advance(
    _ctx: &Ctx,
    db: &mut Conn,
    claimed: &Schedule,
    next: Option<DateTime<Utc>>,
) -> Result<()> {
    diesel::update(schedules::table)
        .filter(schedules::tenant_id.eq(claimed.tenant_id.to_string()))
        .filter(schedules::schedule_id.eq(claimed.id.to_string()))
        .set(schedules::next_due_at.eq(next.map(|at| at.naive_utc())))
        .execute(db)?;
    Ok(())
}
