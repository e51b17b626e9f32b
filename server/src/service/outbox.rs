//! Mails that wait to be sent: claimed for some minutes, sent outside any transaction, then noted. An
//! instance that dies in between lets its claim run out, and the mail goes out again under the same
//! Message-ID.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::ids::TenantId;
use maildreieck_api_spec::vocabulary::DeliveryState;

use crate::app::App;
use crate::context::Ctx;
use crate::domain::letter::{Letter, Outcome};
use crate::error::Result;
use crate::store;

/// How long a claim holds.
const CLAIM: TimeDelta = TimeDelta::minutes(5);
/// Mails claimed at once.
const BATCH: i64 = 20;
/// Attempts before a mail is given up: with the back-off below, after some four days.
const ATTEMPTS: u64 = 25;

/// A claimed mail.
pub struct Claimed {
    /// Whose.
    pub tenant: TenantId,
    /// Its row.
    pub mail: String,
    /// What it says.
    pub letter: Letter,
}

/// Claims mails that are due.
///
/// # Errors
/// The database's.
pub async fn claim(app: &App, ctx: &Ctx) -> Result<Vec<Claimed>> {
    let rows = app
        .db
        .write(ctx, |ctx, db| {
            store::outbox::claim_due(ctx, db, ctx.now + CLAIM, BATCH)
        })
        .await?;
    let mut claimed = Vec::new();
    for (tenant, mail) in rows {
        let row = mail.clone();
        let letter = app
            .db
            .read(&ctx.for_tenant(tenant), move |ctx, db| {
                store::outbox::letter(ctx, db, &row)
            })
            .await?;
        claimed.extend(letter.map(|letter| Claimed {
            tenant,
            mail,
            letter,
        }));
    }
    Ok(claimed)
}

/// Notes what became of an attempt.
///
/// # Errors
/// The database's; then the mail goes out again.
pub async fn note(app: &App, ctx: &Ctx, claimed: Claimed, outcome: Outcome) -> Result<()> {
    let (state, next, error) = after(outcome, claimed.letter.attempts, ctx.now);
    app.db
        .write(&ctx.for_tenant(claimed.tenant), move |ctx, db| {
            store::outbox::note_attempt(ctx, db, &claimed.mail, state, next, error)
        })
        .await
}

/// The state after an attempt, and when to try again: after one minute, then twice as long each time, six
/// hours at most.
fn after(
    outcome: Outcome,
    attempts: u64,
    now: DateTime<Utc>,
) -> (DeliveryState, DateTime<Utc>, Option<&'static str>) {
    match outcome {
        Outcome::Sent => (DeliveryState::Sent, now, None),
        Outcome::Never(code) => (DeliveryState::Failed, now, Some(code)),
        Outcome::Later(code) if attempts >= ATTEMPTS => (DeliveryState::Failed, now, Some(code)),
        Outcome::Later(code) => {
            let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
            let minutes = 1_i64.checked_shl(doublings.min(20)).unwrap_or(360).min(360);
            let next = now + TimeDelta::minutes(minutes);
            (DeliveryState::Pending, next, Some(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spaced_and_end() {
        let now: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().unwrap();
        let check = |attempts, state, minutes| {
            let got = after(Outcome::Later("refused"), attempts, now);
            assert_eq!(
                (got.0, (got.1 - now).num_minutes()),
                (state, minutes),
                "{attempts}"
            );
        };
        check(1, DeliveryState::Pending, 1);
        check(2, DeliveryState::Pending, 2);
        check(5, DeliveryState::Pending, 16);
        check(24, DeliveryState::Pending, 360);
        check(25, DeliveryState::Failed, 0);
        assert_eq!(after(Outcome::Sent, 1, now).0, DeliveryState::Sent);
        assert_eq!(after(Outcome::Never("x"), 1, now).0, DeliveryState::Failed);
    }
}
