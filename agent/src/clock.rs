//! The one place that reads the clock.

use chrono::{DateTime, Utc};

/// The time now, UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The time now, whole seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    now().timestamp()
}
