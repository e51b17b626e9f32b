//! Points at which a test has the process killed, as a loss of power or the kernel would. Release builds have none.

/// All of them, in the order in which a first mirror comes by; then those of a rename that is followed.
pub const POINTS: [&str; 12] = [
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
    "rename noted",
    "renamed",
];

/// Kills the process where the variable `MAILDREIECK_KILL_AT` says so: `POINT` or `POINT:N`, the Nth time (from 1)
/// that it is come by.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::signal::{Signal, raise};

    static WHERE: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("MAILDREIECK_KILL_AT").ok()?;
        let (point, nth) = match text.split_once(':') {
            Some((point, nth)) => (point.to_owned(), nth.parse().ok()?),
            None => (text, 1),
        };
        Some((point, AtomicU32::new(nth)))
    });
    debug_assert!(POINTS.contains(&name), "{name} is no point");
    if let Some((point, left)) = &*WHERE
        && point == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ = raise(Signal::SIGKILL);
    }
}

/// None.
#[cfg(not(debug_assertions))]
pub fn point(_: &'static str) {}
