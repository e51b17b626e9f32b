//! Runs: reports of agents, each taken once. The server believes an agent's figures, since only the agent
//! sees the mail, but not its arithmetic: the verdict is recomputed from them.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::certificate::FORMAT;
use maildreieck_api_spec::ids::RunId;
use maildreieck_api_spec::page::PageQuery;
use maildreieck_api_spec::runs::{RunKind, RunOutcome, RunReport};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::agents::acting;
use super::authorise::authorise;
use super::page::{List, Paged};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::day;
use crate::domain::operations::Operation;
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::Conn;
use crate::store::due::Expected;
pub use crate::store::runs::{Filter, Run};

/// How far ahead of the server's clock a due time may lie. Beyond it a run would settle a Tx that has not
/// come yet.
const AHEAD: TimeDelta = TimeDelta::minutes(2);

/// Takes a report: when it was first received.
///
/// # Errors
/// `NotFound` for the triangle; `Invalid` where the report contradicts itself; `Conflict` for another
/// report under the same id.
pub async fn put(app: &App, ctx: &Ctx, id: RunId, report: RunReport) -> Result<DateTime<Utc>> {
    authorise(ctx, Operation::PutRun)?;
    let (agent_id, site_id) = acting(ctx)?;
    check(id, &report, ctx.now)?;
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
            if !store::runs::insert(ctx, db, &run)? {
                return again(ctx, db, &run);
            }
            if let (RunKind::Tx, Some(schedule_id), Some(due_at)) =
                (report.kind, report.schedule_id, report.due_at)
            {
                let schedule = store::schedules::find(ctx, db, schedule_id)?
                    .filter(|schedule| schedule.triangle_id == triangle.id)
                    .filter(|schedule| schedule.kind == store::schedules::TX)
                    .ok_or_else(|| {
                        Error::invalid("/schedule_id", "the Tx schedule of the triangle")
                    })?;
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
            Ok(ctx.now)
        })
        .await
}

/// The same report again gets the same answer, another one does not.
fn again(ctx: &Ctx, db: &mut Conn, run: &Run) -> Result<DateTime<Utc>> {
    let first = store::runs::find(ctx, db, run.id)?
        .ok_or_else(|| Error::internal("a run", "it is there and is not"))?;
    if first.report_hash == run.report_hash {
        Ok(first.received_at)
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

/// What a report must be in itself.
fn check(id: RunId, report: &RunReport, now: DateTime<Utc>) -> Result<()> {
    match (report.schedule_id, report.due_at) {
        (Some(schedule), Some(due_at)) => {
            if RunId::of_schedule(schedule, due_at) != id {
                return Err(Error::invalid(
                    "/schedule_id",
                    "the schedule and due time that the run's id was made from",
                ));
            }
            if due_at.timestamp_subsec_nanos() != 0 {
                return Err(Error::invalid("/due_at", "a whole second"));
            }
            if due_at > now + AHEAD {
                return Err(Error::new(
                    Kind::Unavailable,
                    "The due time has not come by the server's clock; the agent's runs ahead.",
                ));
            }
        }
        (None, None) => {}
        _ => {
            return Err(Error::invalid(
                "/due_at",
                "there if and only if schedule_id is",
            ));
        }
    }
    if (report.outcome == RunOutcome::Failed) != report.failure.is_some() {
        return Err(Error::invalid(
            "/failure",
            "there if and only if the outcome is failed",
        ));
    }
    let Some(proof) = &report.certificate else {
        if report.kind == RunKind::Tx && report.outcome == RunOutcome::Done {
            return Err(Error::invalid(
                "/certificate",
                "there for a Tx that is done",
            ));
        }
        return Ok(());
    };
    if report.kind != RunKind::Tx {
        return Err(Error::invalid("/certificate", "there for a Tx alone"));
    }
    if proof.format != FORMAT {
        return Err(Error::invalid("/certificate/format", FORMAT));
    }
    if proof.triangle != report.triangle_id.to_string() {
        return Err(Error::invalid(
            "/certificate/triangle",
            "the id of the run's triangle",
        ));
    }
    let demanded = proof.verdict_of_figures();
    if demanded != proof.verdict {
        return Err(Error::invalid(
            "/certificate/verdict",
            format!("{demanded}, which is what the figures demand"),
        ));
    }
    Ok(())
}

/// A run with its report, for people.
pub struct Told {
    /// What is kept of it.
    pub run: Run,
    /// What the agent reported.
    pub report: RunReport,
}

fn told(run: Run) -> Result<Told> {
    let report = serde_json::from_str(&run.report)
        .map_err(|error| Error::internal("reading a kept report", error))?;
    Ok(Told { run, report })
}

/// A run.
///
/// # Errors
/// `NotFound`.
pub async fn read(app: &App, ctx: &Ctx, id: RunId) -> Result<Told> {
    authorise(ctx, Operation::ReadRun)?;
    let run = app
        .db
        .read(ctx, move |ctx, db| store::runs::find(ctx, db, id))
        .await?
        .ok_or_else(|| Error::not_found("run"))?;
    told(run)
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
    let page = app
        .db
        .read(ctx, move |ctx, db| {
            let rows = store::runs::list(ctx, db, &filter, &window)?;
            Ok(list.page(&window, rows, |run| run.received_id.clone()))
        })
        .await?;
    Ok(Paged {
        items: page.items.into_iter().map(told).collect::<Result<_>>()?,
        next: page.next,
    })
}
