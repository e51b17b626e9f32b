//! What the server does, one file a noun. Each call authorises its operation first, then works in one
//! transaction; a change of the closed list is written to the audit chain in the same transaction. Knows
//! no HTTP, no SQL.

pub mod accounts;
pub mod agents;
pub mod assignment;
pub mod audit;
pub mod auth;
pub mod authorise;
pub mod certificates;
pub mod daily_reports;
pub mod due;
pub mod enrolment_codes;
pub mod members;
pub mod outbox;
pub mod page;
pub mod passwords;
pub mod runs;
pub mod sites;
pub mod tenants;
pub mod tokens;
pub mod transact;
pub mod triangles;
pub mod users;

use crate::error::{Error, Kind, Result};

/// Checks that a change was made to the version that was read.
pub(crate) fn fresh(done: bool) -> Result<()> {
    if done { Ok(()) } else { Err(stale()) }
}

/// What was to be changed has changed meanwhile.
pub(crate) fn stale() -> Error {
    Error::new(
        Kind::PreconditionFailed,
        "It has changed since it was read; read it again.",
    )
}

/// Forgets nonces and kept answers that are too old to matter.
///
/// # Errors
/// The database's.
pub async fn sweep(app: &crate::app::App, ctx: &crate::context::Ctx) -> Result<()> {
    app.db
        .write(ctx, |ctx, db| {
            crate::store::nonces::sweep(ctx, db)?;
            crate::store::idempotency::sweep(ctx, db)?;
            Ok(())
        })
        .await
}

/// Whether the database answers.
///
/// # Errors
/// It does not.
pub async fn health(app: &crate::app::App, ctx: &crate::context::Ctx) -> Result<()> {
    authorise::authorise(ctx, crate::domain::operations::Operation::Health)?;
    app.db
        .read(ctx, |ctx, db| crate::store::nonces::any(ctx, db).map(drop))
        .await
}
