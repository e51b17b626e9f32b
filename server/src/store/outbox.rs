//! The outbox: mails that were decided in a transaction and are sent after it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use maildreieck_api_spec::ids::{DailyReportId, TenantId};
use maildreieck_api_spec::vocabulary::DeliveryState;

use crate::context::Ctx;
use crate::db::Conn;
use crate::db::schema::{daily_reports, outbox};
use crate::db::types::{Count, Word, word};
use crate::domain::letter::Letter;
use crate::error::Result;

/// A mail to one recipient.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its row.
    pub id: String,
    /// The report that it carries.
    pub report_id: DailyReportId,
    /// Who.
    pub recipient: String,
    /// The same in each attempt.
    pub message_id: String,
}

/// How far a mail has come.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Who.
    pub recipient: String,
    /// The same in each attempt.
    pub message_id: String,
    /// How far.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: u64,
}

/// Puts a mail into the outbox.
///
/// # Errors
/// The database's.
pub fn insert(ctx: &Ctx, db: &mut Conn, mail: &Mail) -> Result<()> {
    diesel::insert_into(outbox::table)
        .values((
            outbox::tenant_id.eq(ctx.tenant_key()),
            outbox::mail_id.eq(&mail.id),
            outbox::report_id.eq(mail.report_id.to_string()),
            outbox::recipient.eq(&mail.recipient),
            outbox::message_id.eq(&mail.message_id),
            outbox::state.eq(word(&DeliveryState::Pending)),
            outbox::attempts.eq(0),
            outbox::next_attempt_at.eq(ctx.now.naive_utc()),
            outbox::created_at.eq(ctx.now.naive_utc()),
        ))
        .execute(db)?;
    Ok(())
}

/// Claims mails of all tenants that are due, until an instant by which they have gone out or may be tried
/// again; in the provider's scope. Each claim counts as an attempt.
///
/// # Errors
/// The database's.
pub fn claim_due(
    ctx: &Ctx,
    db: &mut Conn,
    until: DateTime<Utc>,
    at_most: i64,
) -> Result<Vec<(TenantId, String)>> {
    let due = outbox::table
        .filter(outbox::state.eq(word(&DeliveryState::Pending)))
        .filter(outbox::next_attempt_at.le(ctx.now.naive_utc()))
        .order(outbox::next_attempt_at.asc())
        .limit(at_most)
        .select((outbox::tenant_id, outbox::mail_id));
    let rows: Vec<(Word<TenantId>, String)> = match db {
        Conn::Postgres(conn) => due.for_update().skip_locked().load(conn)?,
        Conn::Sqlite(conn) => due.load(conn)?,
    };
    for (tenant, mail) in &rows {
        diesel::update(outbox::table)
            .filter(outbox::tenant_id.eq(tenant.0.to_string()))
            .filter(outbox::mail_id.eq(mail))
            .set((
                outbox::attempts.eq(outbox::attempts + 1),
                outbox::next_attempt_at.eq(until.naive_utc()),
            ))
            .execute(db)?;
    }
    Ok(rows
        .into_iter()
        .map(|(tenant, mail)| (tenant.0, mail))
        .collect())
}

/// A claimed mail with what it says.
///
/// # Errors
/// The database's.
pub fn letter(ctx: &Ctx, db: &mut Conn, mail: &str) -> Result<Option<Letter>> {
    type Row = (
        (String, String, Count, chrono::NaiveDateTime),
        (String, String, String),
    );
    let row: Option<Row> = outbox::table
        .inner_join(
            daily_reports::table.on(daily_reports::tenant_id
                .eq(outbox::tenant_id)
                .and(daily_reports::report_id.eq(outbox::report_id))),
        )
        .filter(outbox::tenant_id.eq(ctx.tenant_key()))
        .filter(outbox::mail_id.eq(mail))
        .filter(outbox::state.eq(word(&DeliveryState::Pending)))
        .select((
            (
                outbox::recipient,
                outbox::message_id,
                outbox::attempts,
                outbox::created_at,
            ),
            (
                daily_reports::subject,
                daily_reports::body_text,
                daily_reports::body_html,
            ),
        ))
        .first(db)
        .optional()?;
    Ok(row.map(
        |((recipient, message_id, attempts, created_at), (subject, text, html))| Letter {
            recipient,
            message_id,
            attempts: attempts.0,
            created_at: created_at.and_utc(),
            subject,
            text,
            html,
        },
    ))
}

/// Notes what became of an attempt: its state, when to try again, and a code of what went wrong.
///
/// # Errors
/// The database's.
pub fn note_attempt(
    ctx: &Ctx,
    db: &mut Conn,
    mail: &str,
    state: DeliveryState,
    next_attempt_at: DateTime<Utc>,
    last_error: Option<&str>,
) -> Result<()> {
    diesel::update(outbox::table)
        .filter(outbox::tenant_id.eq(ctx.tenant_key()))
        .filter(outbox::mail_id.eq(mail))
        .set((
            outbox::state.eq(word(&state)),
            outbox::next_attempt_at.eq(next_attempt_at.naive_utc()),
            outbox::last_error.eq(last_error),
        ))
        .execute(db)?;
    Ok(())
}

/// The mails of a report.
///
/// # Errors
/// The database's.
pub fn of_report(ctx: &Ctx, db: &mut Conn, report: DailyReportId) -> Result<Vec<Delivery>> {
    let rows: Vec<(String, String, Word<DeliveryState>, Count)> = outbox::table
        .filter(outbox::tenant_id.eq(ctx.tenant_key()))
        .filter(outbox::report_id.eq(report.to_string()))
        .order(outbox::mail_id.asc())
        .select((
            outbox::recipient,
            outbox::message_id,
            outbox::state,
            outbox::attempts,
        ))
        .load(db)?;
    Ok(rows
        .into_iter()
        .map(|(recipient, message_id, state, attempts)| Delivery {
            recipient,
            message_id,
            state: state.0,
            attempts: attempts.0,
        })
        .collect())
}
