//! The tick's first half: schedules that have come due become expectations. A claim is a transaction, so
//! that an instance that dies gives its claims back, and two never take the same.

use chrono::TimeDelta;

use crate::app::App;
use crate::context::Ctx;
use crate::domain::cron::Schedule as Times;
use crate::error::Result;
use crate::store;
use crate::store::due::Expected;

/// Schedules claimed in one transaction.
const BATCH: i64 = 200;

/// Notes what is expected of all schedules that are due: how many were moved on. A schedule that missed
/// several due times, since no server ran, is moved on by one of them with each round.
///
/// # Errors
/// The database's.
pub async fn expect(app: &App, ctx: &Ctx) -> Result<usize> {
    app.db
        .write(ctx, move |ctx, db| {
            let due = store::schedules::claim_due(ctx, db, BATCH)?;
            for schedule in &due {
                let Some(due_at) = schedule.next_due_at else {
                    continue;
                };
                // A server that was away gives the agent its time from now on.
                let from = due_at.max(ctx.now - TimeDelta::seconds(5));
                let expected = Expected {
                    tenant_id: schedule.tenant_id,
                    schedule_id: schedule.id,
                    due_at,
                    triangle_id: schedule.triangle_id,
                    grace_ends_at: from + TimeDelta::minutes(i64::from(schedule.grace_min.get())),
                };
                store::due::expect(ctx, db, &expected)?;
                let next = Times::parse(&schedule.cron, &schedule.timezone, "")
                    .ok()
                    .and_then(|times| times.next_after(due_at));
                store::schedules::advance(ctx, db, schedule, next)?;
            }
            Ok(due.len())
        })
        .await
}
