//! What a site's agent has to do.

use super::agents::acting;
use super::authorise::authorise;
use super::triangles::{Scheduled, with_schedules};
use crate::app::App;
use crate::context::Ctx;
use crate::domain::operations::Operation;
use crate::error::{Error, Result};
use crate::store;
use crate::store::accounts::Account;

/// A triangle with all that the agent needs of it.
pub struct Task {
    /// The triangle and its schedules.
    pub scheduled: Scheduled,
    /// The primary.
    pub primary: Account,
    /// The standby.
    pub standby: Account,
}

/// What a site's agent has to do.
pub struct Assignment {
    /// Grows with each change.
    pub version: u64,
    /// The site's triangles, oldest first.
    pub tasks: Vec<Task>,
}

/// The assignment of the agent that asks.
///
/// # Errors
/// The database's.
pub async fn read(app: &App, ctx: &Ctx) -> Result<Assignment> {
    authorise(ctx, Operation::Assignment)?;
    let (_, site) = acting(ctx)?;
    app.db
        .read(ctx, move |ctx, db| {
            let site =
                store::sites::find(ctx, db, site)?.ok_or_else(|| Error::not_found("site"))?;
            let triangles = store::triangles::of_site(ctx, db, site.id)?;
            let mut tasks = Vec::new();
            for scheduled in with_schedules(ctx, db, triangles)? {
                let mut account = |id| {
                    store::accounts::find(ctx, db, id)?
                        .ok_or_else(|| Error::internal("a triangle", "its account is gone"))
                };
                let primary = account(scheduled.triangle.primary_account_id)?;
                let standby = account(scheduled.triangle.standby_account_id)?;
                tasks.push(Task {
                    scheduled,
                    primary,
                    standby,
                });
            }
            Ok(Assignment {
                version: site.assignment_version,
                tasks,
            })
        })
        .await
}
