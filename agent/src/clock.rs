//! The one place that reads the clock.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::certificate::EARLIEST;

/// The time now, UTC. A clock that was never set (machines without a battery begin in 1970) is taken to say
/// [`EARLIEST`], since no report may say less.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn now() -> DateTime<Utc> {
    Utc::now().max(EARLIEST)
}

/// The time now, whole seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    now().timestamp()
}
