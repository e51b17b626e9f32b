//! Daily reports, and the day that each tenant has come to.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{DailyReportId, TenantId};
use maildreieck_api_spec::vocabulary::{DayVerdict, Language};

use super::page::Window;
use crate::context::Ctx;
use crate::db::schema::{daily_reports, report_cursors};
use crate::db::types::{Instant, Word, word};
use crate::db::{Conn, on_each};
use crate::error::Result;

/// A report.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = daily_reports)]
pub struct DailyReport {
    /// Which.
    #[diesel(column_name = report_id, deserialize_as = Word<DailyReportId>)]
    pub id: DailyReportId,
    /// Of which day.
    pub local_day: NaiveDate,
    /// Its verdict.
    #[diesel(deserialize_as = Word<DayVerdict>)]
    pub verdict: DayVerdict,
    /// Its language.
    #[diesel(deserialize_as = Word<Language>)]
    pub language: Language,
    /// The mail's subject.
    pub subject: String,
    /// The plain text.
    #[diesel(column_name = body_text)]
    pub text: String,
    /// The HTML.
    #[diesel(column_name = body_html)]
    pub html: String,
    /// When it was written.
    #[diesel(deserialize_as = Instant)]
    pub created_at: DateTime<Utc>,
}

/// Adds the report of a day, unless there is one. Whether it was added.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, report: &DailyReport) -> Result<bool> {
    let statement = diesel::insert_into(daily_reports::table)
        .values((
            daily_reports::tenant_id.eq(ctx.tenant_key()),
            daily_reports::report_id.eq(report.id.to_string()),
            daily_reports::local_day.eq(report.local_day),
            daily_reports::verdict.eq(word(&report.verdict)),
            daily_reports::language.eq(word(&report.language)),
            daily_reports::subject.eq(report.subject.clone()),
            daily_reports::body_text.eq(report.text.clone()),
            daily_reports::body_html.eq(report.html.clone()),
            daily_reports::created_at.eq(report.created_at.naive_utc()),
        ))
        .on_conflict((daily_reports::tenant_id, daily_reports::local_day))
        .do_nothing();
    Ok(super::one(on_each!(db, |conn| statement.execute(conn))?))
}

/// A report of the tenant.
///
/// # Errors
/// The database's.
pub fn find(ctx: &Ctx, db: &mut Conn, id: DailyReportId) -> Result<Option<DailyReport>> {
    Ok(daily_reports::table
        .filter(daily_reports::tenant_id.eq(ctx.tenant_key()))
        .filter(daily_reports::report_id.eq(id.to_string()))
        .select(DailyReport::as_select())
        .first(db)
        .optional()?)
}

/// A page of the tenant's reports.
///
/// # Errors
/// The database's.
pub fn list(ctx: &Ctx, db: &mut Conn, window: &Window) -> Result<Vec<DailyReport>> {
    Ok(daily_reports::table
        .filter(daily_reports::tenant_id.eq(ctx.tenant_key()))
        .filter(daily_reports::report_id.lt(window.bound()))
        .order(daily_reports::report_id.desc())
        .limit(window.ask())
        .select(DailyReport::as_select())
        .load(db)?)
}

/// Has the tenant's day looked at no later than an instant; begins with a day if there is none yet.
///
/// # Errors
/// The database's.
pub fn check_by(ctx: &Ctx, db: &mut Conn, day: NaiveDate, at: DateTime<Utc>) -> Result<()> {
    let statement = diesel::insert_into(report_cursors::table)
        .values((
            report_cursors::tenant_id.eq(ctx.tenant_key()),
            report_cursors::local_day.eq(day),
            report_cursors::check_at.eq(at.naive_utc()),
        ))
        .on_conflict(report_cursors::tenant_id)
        .do_update()
        .set(report_cursors::check_at.eq(at.naive_utc()));
    on_each!(db, |conn| statement.execute(conn))?;
    Ok(())
}

/// Tenants whose day is to be looked at; in the provider's scope.
///
/// # Errors
/// The database's.
pub fn to_check(ctx: &Ctx, db: &mut Conn, at_most: i64) -> Result<Vec<TenantId>> {
    let rows: Vec<Word<TenantId>> = report_cursors::table
        .filter(report_cursors::check_at.le(ctx.now.naive_utc()))
        .order(report_cursors::check_at.asc())
        .limit(at_most)
        .select(report_cursors::tenant_id)
        .load(db)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Claims the tenant's day for this transaction, if it is still to be looked at.
///
/// # Errors
/// The database's.
pub fn claim_day(ctx: &Ctx, db: &mut Conn) -> Result<Option<NaiveDate>> {
    let query = report_cursors::table
        .filter(report_cursors::tenant_id.eq(ctx.tenant_key()))
        .filter(report_cursors::check_at.le(ctx.now.naive_utc()))
        .select(report_cursors::local_day);
    Ok(match db {
        Conn::Postgres(conn) => query.for_update().skip_locked().first(conn).optional()?,
        Conn::Sqlite(conn) => query.first(conn).optional()?,
    })
}

/// Moves the tenant's cursor: to which day, and when to look at it.
///
/// # Errors
/// The database's.
pub fn move_cursor(
    ctx: &Ctx,
    db: &mut Conn,
    day: NaiveDate,
    check_at: DateTime<Utc>,
) -> Result<()> {
    diesel::update(report_cursors::table)
        .filter(report_cursors::tenant_id.eq(ctx.tenant_key()))
        .set((
            report_cursors::local_day.eq(day),
            report_cursors::check_at.eq(check_at.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}
