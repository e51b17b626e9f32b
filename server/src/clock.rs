//! The server's clock: the one that decides about due, late and expired. Nothing else asks for the time,
//! so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Where the time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands until it is moved; microseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at an instant.
    #[must_use]
    pub fn standing_at(instant: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(instant.timestamp_micros())))
    }

    /// Now, in whole microseconds: what both databases can keep.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
            Self::System => Utc::now().trunc_subsecs(6),
            Self::Manual(micros) => {
                DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default()
            }
        }
    }

    /// Moves a standing clock; the machine's is left alone.
    pub fn advance(&self, by: TimeDelta) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// Sets a standing clock; the machine's is left alone.
    pub fn set(&self, instant: DateTime<Utc>) {
        if let Self::Manual(micros) = self {
            micros.store(instant.timestamp_micros(), Ordering::SeqCst);
        }
    }
}
