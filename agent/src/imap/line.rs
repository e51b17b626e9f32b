//! The way to an account: how far it is and how much it carries, seen from what crosses it anyway.
//!
//! The width is that of the first mail that comes: a listing comes as fast as a server makes it up, and later mail as
//! fast as what follows takes it.
//!
//! What a sender has under way at once arrives as fast as the line carries it, and then nothing comes until he has
//! heard of it. So only what comes within half a round trip of what came before is measured: the pauses say how far
//! the sender is, not how fast the line.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is nearer than this is the same machine or the same house, where no line is the limit.
const FAR: Duration = Duration::from_millis(5);
/// A line that carries less than this, octets a second, is slower than both ends compress, whatever their discs are
/// doing: 40 Mbit/s.
const SLOW: u64 = 5_000_000;
/// So many octets say how wide it is; fewer say nothing.
const ENOUGH: u64 = 256 * 1024;
/// A round trip that has not been measured.
const UNKNOWN: u64 = u64::MAX;

/// What is known of the way to an account, over all its connections.
#[derive(Debug)]
pub struct Line {
    /// The shortest round trip so far, nanoseconds.
    round_trip: AtomicU64,
    /// Octets that came close upon others, and how long they took, nanoseconds.
    octets: AtomicU64,
    time: AtomicU64,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            round_trip: AtomicU64::new(UNKNOWN),
            octets: AtomicU64::new(0),
            time: AtomicU64::new(0),
        }
    }
}

impl Line {
    /// Notes how long a command took that is answered in a round trip, or in more.
    pub(super) fn answered_after(&self, took: Duration) {
        self.round_trip.fetch_min(nanos(took), Ordering::Relaxed);
    }

    /// Notes octets of mail that came, and how long after those before them on the same connection.
    pub(super) fn came(&self, octets: usize, after: Duration) {
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        let measured = self.octets.load(Ordering::Relaxed) >= ENOUGH;
        if !measured && round_trip != UNKNOWN && nanos(after) < round_trip / 2 {
            let octets = u64::try_from(octets).unwrap_or(u64::MAX);
            self.octets.fetch_add(octets, Ordering::Relaxed);
            self.time.fetch_add(nanos(after), Ordering::Relaxed);
        }
    }

    /// Whether the account is on another site: what crosses to it crosses a line of unknown width.
    #[must_use]
    pub fn is_far(&self) -> bool {
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        round_trip != UNKNOWN && round_trip >= nanos(FAR)
    }

    /// Whether it is the line that is waited for, and not a processor; `None` as long as nobody knows.
    #[must_use]
    pub fn is_slow(&self) -> Option<bool> {
        if !self.is_far() {
            return Some(false);
        }
        let octets = u128::from(self.octets.load(Ordering::Relaxed));
        let time = u128::from(self.time.load(Ordering::Relaxed));
        let within = Duration::from_secs(1).as_nanos();
        (octets >= u128::from(ENOUGH))
            .then(|| octets.saturating_mul(within) < u128::from(SLOW).saturating_mul(time))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line where each part comes so many microseconds after the one before it, and a pause stands between groups.
    fn line(round_trip_ms: u64, parts: &[(usize, u64)]) -> Line {
        let line = Line::default();
        line.came(1 << 20, Duration::from_secs(1));
        line.answered_after(Duration::from_secs(3));
        line.answered_after(Duration::from_millis(round_trip_ms));
        for (octets, after_us) in parts {
            line.came(*octets, Duration::from_micros(*after_us));
        }
        line
    }

    #[test]
    fn a_line_is_slow_by_what_comes_close_together() {
        let check = |round_trip_ms, parts: &[(usize, u64)], slow| {
            let line = line(round_trip_ms, parts);
            assert_eq!(line.is_slow(), slow, "{round_trip_ms} {parts:?}");
        };
        // 2 MB/s, packet by packet.
        check(40, &[(1448, 724); 200], Some(true));
        // Fast, with the pauses of a sender who waits to be heard.
        let fast = [(14_480, 50), (14_480, 40_000)].repeat(20);
        check(40, &fast, Some(false));
        // Slow, with the same pauses.
        let slow = [(1448, 724), (1448, 724), (1448, 30_000)].repeat(100);
        check(40, &slow, Some(true));
        // As slow as that, and next door.
        check(4, &[(1448, 724); 200], Some(false));
        // Too little to say.
        check(40, &[(1448, 724); 20], None);
        check(40, &[], None);
        // What comes later comes as fast as it is taken.
        let taken_slowly = [&[(14_480, 50); 20][..], &[(1448, 15_000); 200]].concat();
        check(40, &taken_slowly, Some(false));
    }

    #[test]
    fn what_was_never_measured_is_near() {
        let line = Line::default();
        line.came(1 << 20, Duration::from_millis(500));
        assert_eq!((line.is_far(), line.is_slow()), (false, Some(false)));
    }
}
