//! The one place that reads the clock.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::certificate::EARLIEST;

/// The time now, UTC. A clock that was never set (machines without a battery begin in 1970) is taken to say
/// [`EARLIEST`], since no report may say less.
#[must_use]
pub fn now() -> DateTime<Utc> {
    machine().max(EARLIEST)
}

#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
#[cfg(not(debug_assertions))]
fn machine() -> DateTime<Utc> {
    Utc::now()
}

/// What the machine's clock says; where the variable `MAILDREIECK_CLOCK` is set, by so many seconds otherwise as it
/// says: `N:SECONDS N:SECONDS…`, each from the Nth time on (from 1) that the clock is read. Release builds do not ask.
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
#[cfg(debug_assertions)]
fn machine() -> DateTime<Utc> {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static READ: AtomicU64 = AtomicU64::new(1);
    static JUMPS: LazyLock<Vec<(u64, chrono::TimeDelta)>> = LazyLock::new(|| {
        let text = std::env::var("MAILDREIECK_CLOCK").unwrap_or_default();
        let jump = |word: &str| {
            let (nth, seconds) = word.split_once(':')?;
            let by = chrono::TimeDelta::try_seconds(seconds.parse().ok()?)?;
            Some((nth.parse().ok()?, by))
        };
        text.split(' ').filter_map(jump).collect()
    });
    let nth = READ.fetch_add(1, Ordering::Relaxed);
    let jumped = JUMPS.iter().take_while(|(from, _)| *from <= nth).last();
    jumped.map_or_else(Utc::now, |(_, by)| Utc::now() + *by)
}

/// The time now, whole seconds since 1970.
#[must_use]
pub fn now_s() -> i64 {
    now().timestamp()
}
