//! Points at which a test has the process killed, as a loss of power or the kernel would, or held while something
//! happens at a server. Release builds have none.

/// All of them, in the order in which a first mirror comes by; then those of a rename that is followed.
pub const POINTS: [&str; 15] = [
    "folders listed",
    "looked",
    "store written",
    "store durable",
    "store committed",
    "journal written",
    "journal durable",
    "append begun",
    "append ended",
    "append answered",
    "copies noted",
    "run settled",
    "certificate kept",
    "rename noted",
    "renamed",
];

/// Kills the process where the variable `MAILDREIECK_KILL_AT` says so, and stops it (SIGSTOP) where `MAILDREIECK_STOP_AT`
/// does: `POINT` or `POINT:N`, the Nth time (from 1) that it is come by.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::signal::{Signal, raise};

    type At = LazyLock<Option<(String, AtomicU32)>>;
    static KILL: At = LazyLock::new(|| at("MAILDREIECK_KILL_AT"));
    static STOP: At = LazyLock::new(|| at("MAILDREIECK_STOP_AT"));
    fn at(variable: &str) -> Option<(String, AtomicU32)> {
        let text = std::env::var(variable).ok()?;
        let (point, nth) = match text.split_once(':') {
            Some((point, nth)) => (point.to_owned(), nth.parse().ok()?),
            None => (text, 1),
        };
        Some((point, AtomicU32::new(nth)))
    }
    debug_assert!(POINTS.contains(&name), "{name} is no point");
    for (at, signal) in [(&STOP, Signal::SIGSTOP), (&KILL, Signal::SIGKILL)] {
        if let Some((point, left)) = &**at
            && point == name
            && left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            let _ = raise(signal);
        }
    }
}

/// None.
#[cfg(not(debug_assertions))]
pub fn point(_: &'static str) {}
