//! The owner's daily report: one per tenant and local day, written when all that was due that day has
//! settled or its grace has ended. What the report says, that it was written, and its mails are one
//! transaction, so that none goes out twice and none is lost.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use maildreieck_api_spec::certificate::Chained;
use maildreieck_api_spec::ids::{AccountId, DailyReportId, RunId, TenantId, TriangleId};
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::runs::RunReport;
use maildreieck_api_spec::vocabulary::{Class, Corner};
use uuid::Uuid;

use super::authorise::authorise;
use super::page::{List, Paged};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::day::{self, TxResult};
use crate::domain::operations::Operation;
use crate::domain::report::{Correction, Day, Difference, Proof, Triangle, Tx, Words};
use crate::error::{Error, Result};
use crate::store;
pub use crate::store::daily_reports::DailyReport;
use crate::store::due::Due;
pub use crate::store::outbox::Delivery;
use crate::store::outbox::Mail;
use crate::store::tenants::Tenant;
use crate::store::{Conn, word};

/// For how long a report looks back for results that came late.
const LOOK_BACK: TimeDelta = TimeDelta::days(14);

/// Says a day in words; `mail` does.
pub type Say = fn(&Day) -> std::result::Result<Words, Box<dyn std::error::Error + Send + Sync>>;

/// The tenant's zone.
pub(super) fn zone(tenant: &Tenant) -> Result<Tz> {
    tenant
        .timezone
        .as_str()
        .parse()
        .map_err(|error| Error::internal("the tenant's zone", format!("{error}")))
}

/// Tenants whose day is to be looked at.
///
/// # Errors
/// The database's.
pub async fn to_check(app: &App, ctx: &Ctx) -> Result<Vec<TenantId>> {
    app.db
        .read(ctx, |ctx, db| store::daily_reports::to_check(ctx, db, 500))
        .await
}

/// Looks at the tenant's day, and writes its report if it is over. Whether a report was written.
///
/// # Errors
/// The database's, or the words'.
pub async fn settle(app: &App, ctx: &Ctx, say: Say) -> Result<bool> {
    let domain = app.settings.mail_domain.clone();
    app.db
        .write(ctx, move |ctx, db| {
            let Some(local_day) = store::daily_reports::claim_day(ctx, db)? else {
                return Ok(false);
            };
            let tenant =
                store::tenants::find(ctx, db)?.ok_or_else(|| Error::not_found("tenant"))?;
            let zone = zone(&tenant)?;
            let (from, until) = (day::start(local_day, zone), day::end(local_day, zone));
            // In this order: what an instance's tick turns from a due time into an expectation meanwhile is
            // seen as one or as the other, never as neither.
            let next = store::schedules::next_due(ctx, db)?;
            let due = store::due::between(ctx, db, from, until)?;
            if let Some(wait) = open_until(ctx, next, &due, until) {
                store::daily_reports::move_cursor(ctx, db, local_day, wait)?;
                return Ok(false);
            }
            let today = compose(ctx, db, &tenant, zone, local_day, &due)?;
            let written =
                !today.triangles.is_empty() && write(ctx, db, &tenant, &today, say, &domain)?;
            let next = day::next(local_day);
            store::daily_reports::move_cursor(ctx, db, next, day::start(next, zone).max(ctx.now))?;
            Ok(written)
        })
        .await
}

/// Until when the day stays open; `None` once it is over. A day on which nothing was due lasts to its end,
/// another as long as something is due or within its grace.
fn open_until(
    ctx: &Ctx,
    next: Option<DateTime<Utc>>,
    due: &[Due],
    until: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if let Some(next) = next.filter(|next| *next < until) {
        // At once after the tick has made it an expectation.
        return Some(next.max(ctx.now + TimeDelta::milliseconds(200)));
    }
    if due.is_empty() {
        return (ctx.now < until).then_some(until);
    }
    due.iter()
        .filter(|due| due.report.is_none() && due.grace_ends_at > ctx.now)
        .map(|due| due.grace_ends_at)
        .min()
}

fn result(due: &Due) -> TxResult {
    match (&due.report, due.verdict) {
        (None, _) => TxResult::Missing,
        (Some(_), None) => TxResult::Failed,
        (Some(_), Some(verdict)) => TxResult::Proved(verdict),
    }
}

fn compose(
    ctx: &Ctx,
    db: &mut Conn,
    tenant: &Tenant,
    zone: Tz,
    local_day: NaiveDate,
    due: &[Due],
) -> Result<Day> {
    let runs: Vec<RunId> = due.iter().filter_map(|due| due.run_id).collect();
    let said = super::certificates::said_of(ctx, db, &runs)?;
    let chain = |due: &Due| due.run_id.and_then(|run| Some(said.get(&run)?.chain));
    let mut triangles = Vec::new();
    let mut names = BTreeMap::new();
    for triangle in store::triangles::all(ctx, db)? {
        names.insert(triangle.id, triangle.name.to_string());
        let tx = due
            .iter()
            .filter(|due| due.triangle_id == triangle.id)
            .map(|due| tx(due, chain(due)))
            .collect::<Result<_>>()?;
        triangles.push(Triangle {
            name: triangle.name.to_string(),
            primary: account(ctx, db, triangle.primary_account_id)?,
            standby: account(ctx, db, triangle.standby_account_id)?,
            tx,
        });
    }
    Ok(Day {
        tenant: tenant.name.to_string(),
        day: local_day,
        zone,
        language: tenant.language,
        verdict: day::verdict(due.iter().map(result)),
        triangles,
        corrections: corrections(ctx, db, day::start(local_day, zone), &names)?,
    })
}

fn account(ctx: &Ctx, db: &mut Conn, id: AccountId) -> Result<String> {
    Ok(store::accounts::find(ctx, db, id)?
        .map(|account| account.name.to_string())
        .unwrap_or_default())
}

/// Tx of earlier days whose result is another than the last report said.
fn corrections(
    ctx: &Ctx,
    db: &mut Conn,
    before: DateTime<Utc>,
    names: &BTreeMap<TriangleId, String>,
) -> Result<Vec<Correction>> {
    let mut corrections = Vec::new();
    for due in store::due::between(ctx, db, before - LOOK_BACK, before)? {
        let is = result(&due);
        if due.reported_as.as_deref() == Some(is.as_str()) {
            continue;
        }
        corrections.push(Correction {
            triangle: names.get(&due.triangle_id).cloned().unwrap_or_default(),
            due_at: due.due_at,
            said: due.reported_as.clone(),
            is,
        });
        store::due::mark_reported(ctx, db, &due, is.as_str())?;
    }
    Ok(corrections)
}

fn tx(due: &Due, chain: Option<Chained>) -> Result<Tx> {
    let report: Option<RunReport> = due
        .report
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| Error::internal("reading a kept report", error))?;
    let failure = report
        .as_ref()
        .and_then(|report| report.failure.as_ref())
        .map(|failure| (word(&failure.code), failure.corner));
    let proof = report.and_then(|report| report.certificate).map(|proof| {
        let mut differences: BTreeMap<(Class, Corner, bool), u64> = BTreeMap::new();
        for found in &proof.differences {
            let explained = found
                .reason
                .is_some_and(|reason| found.class.reasons().contains(&reason));
            let sum = differences
                .entry((found.class, found.corner, explained))
                .or_default();
            *sum = sum.saturating_add(found.count);
        }
        let mut repairs: BTreeMap<(Class, Corner), u64> = BTreeMap::new();
        for made in &proof.repairs {
            let sum = repairs.entry((made.class, made.corner)).or_default();
            *sum = sum.saturating_add(made.count);
        }
        let oldest = proof.coverage.iter().map(|corner| corner.oldest_proof);
        Proof {
            oldest_proof: oldest.min().flatten(),
            differences: differences
                .into_iter()
                .map(|((class, corner, explained), count)| Difference {
                    class,
                    corner,
                    explained,
                    count,
                })
                .collect(),
            repairs: repairs
                .into_iter()
                .map(|((class, corner), count)| (class, corner, count))
                .collect(),
            new_tombstones: proof.new_tombstones,
            corners: proof.corners,
            chain,
        }
    });
    Ok(Tx {
        due_at: due.due_at,
        result: result(due),
        proof,
        failure,
    })
}

fn write(
    ctx: &Ctx,
    db: &mut Conn,
    tenant: &Tenant,
    today: &Day,
    say: Say,
    domain: &str,
) -> Result<bool> {
    let words = say(today).map_err(|error| Error::internal("saying a report", error))?;
    let report = DailyReport {
        id: DailyReportId::new(),
        local_day: today.day,
        verdict: today.verdict,
        language: today.language,
        subject: words.subject,
        text: words.text,
        html: words.html,
        created_at: ctx.now,
    };
    if !store::daily_reports::insert(ctx, db, &report)? {
        return Ok(false);
    }
    for (number, recipient) in tenant.report_to.iter().enumerate() {
        store::outbox::insert(
            ctx,
            db,
            &Mail {
                id: Uuid::now_v7().to_string(),
                report_id: report.id,
                recipient: recipient.to_string(),
                message_id: format!("<{}.{number}@{domain}>", report.id),
            },
        )?;
    }
    let zone = today.zone;
    let due = store::due::between(
        ctx,
        db,
        day::start(today.day, zone),
        day::end(today.day, zone),
    )?;
    for due in &due {
        store::due::mark_reported(ctx, db, due, result(due).as_str())?;
    }
    Ok(true)
}

/// A report with its mails.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: DailyReportId) -> Result<(DailyReport, Vec<Delivery>)> {
    authorise(ctx, Operation::ReadDailyReport)?;
    app.db
        .read(ctx, move |ctx, db| {
            let report = store::daily_reports::find(ctx, db, id)?
                .ok_or_else(|| Error::not_found("daily report"))?;
            let deliveries = store::outbox::of_report(ctx, db, id)?;
            Ok((report, deliveries))
        })
        .await
}

/// A page of the tenant's reports.
///
/// # Errors
/// A cursor of another list.
pub async fn list(app: &App, ctx: &Ctx, query: &PageQuery) -> Result<Paged<DailyReport>> {
    authorise(ctx, Operation::ListDailyReports)?;
    let list = List::new(ctx, "daily_reports", &[]);
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::daily_reports::list(ctx, db, &window)?;
            Ok(list.page(&window, rows, |report| report.id.to_string()))
        })
        .await
}
