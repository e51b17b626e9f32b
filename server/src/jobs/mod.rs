//! What the server does by itself. One tick a second, in UTC; all that it works on stands in the
//! database, so that any number of instances may tick at once and one that dies loses nothing. Due times
//! are never the scheduler's: it only wakes us.

mod outbox;
mod reports;

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::app::App;
use crate::context::Ctx;
use crate::error::Result;
use crate::mail::smtp::Sender;
use crate::service;

/// Does all that is due now.
///
/// # Errors
/// The first failure; what was done before it stays done.
pub async fn tick(app: &App, sender: Option<&Sender>) -> Result<()> {
    let ctx = Ctx::system("tick", app.clock.now());
    // A server that was away has to catch up, but not in one tick for ever.
    for _ in 0..50 {
        if service::due::expect(app, &ctx).await? == 0 {
            break;
        }
    }
    reports::write(app, &ctx).await?;
    if let Some(sender) = sender {
        outbox::send(app, &ctx, sender).await?;
    }
    Ok(())
}

/// Forgets what is too old to matter.
///
/// # Errors
/// The database's.
pub async fn sweep(app: &App) -> Result<()> {
    let ctx = Ctx::system("sweep", app.clock.now());
    service::sweep(app, &ctx).await
}

/// Starts ticking.
///
/// # Errors
/// The scheduler's.
pub async fn start(
    app: App,
    sender: Option<Sender>,
) -> std::result::Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    let busy = Arc::new(Mutex::new(0_u32));
    scheduler
        .add(Job::new_async("* * * * * *", move |_, _| {
            let (app, sender, busy) = (app.clone(), sender.clone(), Arc::clone(&busy));
            Box::pin(async move {
                // A tick that takes longer than a second is not met by the next.
                let Ok(mut ticks) = busy.try_lock() else {
                    return;
                };
                if let Err(error) = tick(&app, sender.as_ref()).await {
                    let why = error.private.as_ref().map(ToString::to_string);
                    tracing::error!(%error, why, "a tick failed; the next tries again");
                }
                *ticks = ticks.wrapping_add(1);
                if *ticks % 60 == 0
                    && let Err(error) = sweep(&app).await
                {
                    let why = error.private.as_ref().map(ToString::to_string);
                    tracing::error!(%error, why, "sweeping failed; the next tries again");
                }
            })
        })?)
        .await?;
    scheduler.start().await?;
    Ok(scheduler)
}
