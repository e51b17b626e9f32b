//! Runs: reports of agents, each taken once. The server believes an agent's figures, since only the agent
//! sees the mail, but not its arithmetic: the verdict is recomputed from them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use maildreieck_api_spec::certificate::Countersignature;
use maildreieck_api_spec::ids::{RunId, ScheduleId};
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::runs::{RunKind, RunReport};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::agents::acting;
use super::authorise::authorise;
use super::certificates;
use super::page::{List, Paged};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::cron::Schedule as Times;
use crate::domain::day;
use crate::domain::field::Field;
use crate::domain::operations::Operation;
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::Conn;
use crate::store::due::Expected;
pub use crate::store::runs::{Filter, Run};
use crate::store::schedules::Line;

/// How far ahead of the server's clock a report's times may lie. Beyond it a run would settle a Tx that has
/// not come yet.
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// An agent whose clock runs ahead by no more than this keeps its report until the time has come.
const WORTH_WAITING: TimeDelta = TimeDelta::hours(24);

/// How much older than its triangle a run may be: an agent whose clock runs behind by no more is believed.
const BEHIND: TimeDelta = TimeDelta::hours(24);

/// Takes a report: when it was first received, and what the server says of its certificate.
///
/// # Errors
/// `NotFound` for the triangle; `Invalid` where the report contradicts itself, is older than its triangle or
/// names a due time that is none; `ClocksDiffer` for a time that has not come; `Conflict` for another report under the same id.
pub async fn put(
    app: &App,
    ctx: &Ctx,
    id: RunId,
    report: RunReport,
) -> Result<(DateTime<Utc>, Option<Countersignature>)> {
    authorise(ctx, Operation::PutRun)?;
    let (agent_id, site_id) = acting(ctx)?;
    check(id, &report, ctx.now)?;
    let nonce_at = certificates::nonce_at(app, ctx, id, report.certificate.as_ref())?;
    let key = app.keys.countersigning.clone();
    let text = serde_json::to_string(&report)
        .map_err(|error| Error::internal("keeping a report", error))?;
    let run = Run {
        id,
        received_id: Uuid::now_v7().to_string(),
        site_id,
        agent_id,
        triangle_id: report.triangle_id,
        kind: report.kind.as_str().to_owned(),
        outcome: report.outcome.as_str().to_owned(),
        verdict: report.certificate.as_ref().map(|proof| proof.verdict),
        report_hash: hex::encode(Sha256::digest(text.as_bytes())),
        report: text,
        received_at: ctx.now,
    };
    app.db
        .write(ctx, move |ctx, db| {
            let triangle = store::triangles::find(ctx, db, report.triangle_id)?
                .filter(|triangle| triangle.site_id == site_id)
                .ok_or_else(|| Error::not_found("triangle"))?;
            check_age(&report, triangle.created_at)?;
            if !store::runs::insert(ctx, db, &run)? {
                return again(ctx, db, &run);
            }
            let said = match &report.certificate {
                Some(certificate) => {
                    certificates::check_signature(ctx, db, site_id, certificate)?;
                    let said = certificates::take(ctx, db, &run, certificate, nonce_at, &key)?;
                    Some(said)
                }
                None => None,
            };
            let answer = (ctx.now, said);
            let (Some(schedule_id), Some(due_at)) = (report.schedule_id, report.due_at) else {
                return Ok(answer);
            };
            check_due(ctx, db, &run, schedule_id, due_at)?;
            if report.kind == RunKind::Tx {
                let schedule = store::schedules::find(ctx, db, schedule_id)?
                    .ok_or_else(|| Error::not_found("schedule"))?;
                let expected = Expected {
                    tenant_id: schedule.tenant_id,
                    schedule_id,
                    due_at,
                    triangle_id: triangle.id,
                    grace_ends_at: due_at + TimeDelta::minutes(i64::from(schedule.grace_min.get())),
                };
                store::due::settle(ctx, db, &expected, id)?;
                look_at_day(ctx, db)?;
            }
            Ok(answer)
        })
        .await
}

/// Whether the run can have been: its triangle's schedules are as old as the triangle. What a run looks back
/// at can be older, since a site works without a server too.
fn check_age(report: &RunReport, created_at: DateTime<Utc>) -> Result<()> {
    let earliest = created_at - BEHIND;
    let times = [
        ("/due_at", report.due_at),
        ("/started_at", Some(report.started_at)),
    ];
    let wrong: Vec<Field> = times
        .into_iter()
        .filter(|(_, at)| at.is_some_and(|at| at < earliest))
        .map(|(pointer, _)| Field {
            pointer: pointer.to_owned(),
            rule: format!(
                "not before {}, a day before the triangle was made",
                earliest.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
        })
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Error::of_fields(wrong))
    }
}

/// Whether the run was due then: by a line that the schedule has or ever had, since an agent that could not
/// ask goes by an earlier one; or because the server itself expected it.
fn check_due(
    ctx: &Ctx,
    db: &mut Conn,
    run: &Run,
    schedule_id: ScheduleId,
    due_at: DateTime<Utc>,
) -> Result<()> {
    let lines = store::schedules::lines(ctx, db, schedule_id)?;
    let line = lines
        .first()
        .filter(|line| line.triangle_id == run.triangle_id && line.kind == run.kind)
        .ok_or_else(|| {
            Error::invalid(
                "/schedule_id",
                format!("the {} schedule of the triangle", run.kind),
            )
        })?;
    let due = |line: &Line| {
        Times::parse(&line.cron, &line.timezone, "").is_ok_and(|times| times.is_due(due_at))
    };
    if lines.iter().any(due) || store::due::is_expected(ctx, db, schedule_id, due_at)? {
        return Ok(());
    }
    Err(Error::invalid(
        "/due_at",
        format!(
            "a time at which the schedule is or was due; now it is `{}` in {}",
            line.cron, line.timezone
        ),
    ))
}

/// The same report again gets the same answer, another one does not.
fn again(ctx: &Ctx, db: &mut Conn, run: &Run) -> Result<(DateTime<Utc>, Option<Countersignature>)> {
    let first = store::runs::find(ctx, db, run.id)?
        .ok_or_else(|| Error::internal("a run", "it is there and is not"))?;
    if first.report_hash == run.report_hash {
        let said = certificates::said_of(ctx, db, &[run.id])?.remove(&run.id);
        Ok((first.received_at, said))
    } else {
        Err(Error::new(
            Kind::Conflict,
            "Another report was received under this id.",
        ))
    }
}

/// Has the tenant's day looked at: this may have been the last Tx it waited for.
fn look_at_day(ctx: &Ctx, db: &mut Conn) -> Result<()> {
    let tenant = store::tenants::find(ctx, db)?.ok_or_else(|| Error::not_found("tenant"))?;
    let zone = super::daily_reports::zone(&tenant)?;
    store::daily_reports::check_by(ctx, db, day::of(ctx.now, zone), ctx.now)
}

/// What a report must be in itself, and by the server's clock.
fn check(id: RunId, report: &RunReport, now: DateTime<Utc>) -> Result<()> {
    let wrong: Vec<Field> = report
        .contradictions(id)
        .into_iter()
        .map(|error| Field {
            pointer: error.pointer,
            rule: error.rule,
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Error::of_fields(wrong));
    }
    // Nothing in it is later than the end.
    let times = [
        ("/due_at", report.due_at),
        ("/finished_at", Some(report.finished_at)),
        (
            "/certificate/tx_at",
            report.certificate.as_ref().map(|proof| proof.tx_at),
        ),
    ];
    let ahead: Vec<(&str, TimeDelta)> = times
        .into_iter()
        .filter_map(|(pointer, at)| Some((pointer, at? - now)))
        .filter(|(_, ahead)| *ahead > SKEW)
        .collect();
    let Some(most) = ahead.iter().map(|(_, ahead)| *ahead).max() else {
        return Ok(());
    };
    let seconds = most.num_seconds();
    let (kind, public) = if most > WORTH_WAITING {
        let public = format!(
            "The report says a time that is {seconds} seconds to come by the server's clock; set the agent's clock."
        );
        (Kind::Invalid, public)
    } else {
        let public = format!(
            "The report says a time that is {seconds} seconds to come by the server's clock; set the agent's clock. The report is taken once that time has come."
        );
        (Kind::ClocksDiffer, public)
    };
    let rule = format!(
        "at most {} seconds later than the server's clock, which says {}",
        SKEW.num_seconds(),
        now.to_rfc3339_opts(SecondsFormat::Secs, true)
    );
    Err(Error {
        fields: ahead
            .into_iter()
            .map(|(pointer, _)| Field {
                pointer: pointer.to_owned(),
                rule: rule.clone(),
            })
            .collect(),
        ..Error::new(kind, public)
    })
}

/// A run with its report, for people.
pub struct Told {
    /// What is kept of it.
    pub run: Run,
    /// What the agent reported.
    pub report: RunReport,
    /// What the server said of its certificate.
    pub countersignature: Option<Countersignature>,
}

fn told(run: Run, countersignature: Option<Countersignature>) -> Result<Told> {
    let report = serde_json::from_str(&run.report)
        .map_err(|error| Error::internal("reading a kept report", error))?;
    Ok(Told {
        run,
        report,
        countersignature,
    })
}

/// A run.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: RunId) -> Result<Told> {
    authorise(ctx, Operation::ReadRun)?;
    app.db
        .read(ctx, move |ctx, db| {
            let run = store::runs::find(ctx, db, id)?.ok_or_else(|| Error::not_found("run"))?;
            let said = certificates::said_of(ctx, db, &[id])?.remove(&id);
            told(run, said)
        })
        .await
}

/// A page of the tenant's runs, last received first.
///
/// # Errors
/// A cursor of another list or of other filters.
pub async fn list(app: &App, ctx: &Ctx, filter: Filter, query: &PageQuery) -> Result<Paged<Told>> {
    authorise(ctx, Operation::ListRuns)?;
    let list = List::new(
        ctx,
        "runs",
        &[
            &filter.triangle.map(|id| id.to_string()).unwrap_or_default(),
            filter.kind.unwrap_or_default(),
            filter
                .verdict
                .map(|verdict| verdict.as_str())
                .unwrap_or_default(),
        ],
    );
    let window = list.window(query)?;
    app.db
        .read(ctx, move |ctx, db| {
            let rows = store::runs::list(ctx, db, &filter, &window)?;
            let page = list.page(&window, rows, |run| run.received_id.clone());
            let ids: Vec<RunId> = page.items.iter().map(|run| run.id).collect();
            let mut said = certificates::said_of(ctx, db, &ids)?;
            let told = |run: Run| {
                let said = said.remove(&run.id);
                told(run, said)
            };
            Ok(Paged {
                items: page.items.into_iter().map(told).collect::<Result<_>>()?,
                next: page.next,
            })
        })
        .await
}
