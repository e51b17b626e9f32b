//! How a change is made: in one transaction, on the audit chain, and once for each `Idempotency-Key`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit::{Event, audited};
use crate::app::App;
use crate::context::Ctx;
use crate::error::{Error, Kind, Result};
use crate::store;
use crate::store::idempotency::Kept;
pub use crate::store::idempotency::Place;
use crate::store::{Conn, try_hold};

/// How long an answer is kept.
const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// An answer, complete, so that it can be given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: serde_json::Value,
    /// Where what was made is.
    pub location: Option<String>,
    /// Its version.
    pub etag: Option<String>,
}

/// How to answer a creation, and how to answer it again.
pub struct Once<T> {
    /// Where the answer is kept, and the body's fingerprint, if the request has an `Idempotency-Key`.
    pub kept: Option<(Place, String)>,
    /// The answer.
    pub answer: fn(&T) -> Answer,
    /// The answer without its secrets, to be kept; the same where it has none.
    pub repeat: fn(&T) -> Answer,
}

/// Makes a change of the closed list.
///
/// # Errors
/// The change's; then nothing happened.
pub async fn change<T, F>(app: &App, ctx: &Ctx, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&Ctx, &mut Conn) -> Result<(T, Event)> + Send + 'static,
{
    let keys = Arc::clone(&app.keys);
    app.db
        .write(ctx, move |ctx, db| {
            audited(ctx, db, &keys, |db| work(ctx, db))
        })
        .await
}

/// Makes something new, once for each key: the same request again gets the same answer.
///
/// # Errors
/// The change's, and then nothing happened; `KeyReused` for another body, `InFlight` while the first is
/// being answered.
pub async fn create<T, F>(app: &App, ctx: &Ctx, once: Once<T>, work: F) -> Result<Answer>
where
    T: Send + 'static,
    F: FnOnce(&Ctx, &mut Conn) -> Result<(T, Event)> + Send + 'static,
{
    let keys = Arc::clone(&app.keys);
    let flight = match &once.kept {
        Some((place, _)) => Some(Flight::begin(&app.in_flight, name(ctx, place))?),
        None => None,
    };
    let done = app
        .db
        .write(ctx, move |ctx, db| {
            let Some((place, fingerprint)) = once.kept else {
                let made = audited(ctx, db, &keys, |db| work(ctx, db))?;
                return Ok((once.answer)(&made));
            };
            if !try_hold(db, number(&name(ctx, &place)))? {
                return Err(in_flight());
            }
            if let Some(kept) = store::idempotency::find(ctx, db, &place)? {
                return repeat(&kept, &fingerprint);
            }
            let made = audited(ctx, db, &keys, |db| work(ctx, db))?;
            let kept = (once.repeat)(&made);
            let text = serde_json::to_string(&kept)
                .map_err(|error| Error::internal("keeping an answer", error))?;
            store::idempotency::keep(
                ctx,
                db,
                &place,
                &Kept {
                    fingerprint,
                    answer: text,
                },
                kept.status,
                KEPT_FOR,
            )?;
            Ok((once.answer)(&made))
        })
        .await;
    drop(flight);
    done
}

fn repeat(kept: &Kept, fingerprint: &str) -> Result<Answer> {
    if kept.fingerprint != fingerprint {
        return Err(Error::new(
            Kind::KeyReused,
            "This Idempotency-Key belongs to a request with another body; take a new key.",
        ));
    }
    serde_json::from_str(&kept.answer)
        .map_err(|error| Error::internal("reading a kept answer", error))
}

fn in_flight() -> Error {
    Error::new(
        Kind::InFlight,
        "The first request with this Idempotency-Key is still being answered; try again.",
    )
}

fn name(ctx: &Ctx, place: &Place) -> String {
    format!(
        "{} {} {} {} {}",
        ctx.tenant_key(),
        place.principal,
        place.method,
        place.path,
        place.key
    )
}

fn number(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    digest
        .first_chunk::<8>()
        .map_or(0, |head| i64::from_be_bytes(*head))
}

/// A request that is being answered by this instance.
struct Flight {
    all: Arc<Mutex<HashSet<String>>>,
    name: String,
}

impl Flight {
    fn begin(all: &Arc<Mutex<HashSet<String>>>, name: String) -> Result<Self> {
        let fresh = all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone());
        if fresh {
            Ok(Self {
                all: Arc::clone(all),
                name,
            })
        } else {
            Err(in_flight())
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}
