//! What crosses to or from an account, over all its connections: how much it was, how fast it may be, and over
//! what line it comes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::line::Line;

/// The meter of an account: octets fetched from it, and the pace of its messages either way.
#[derive(Debug, Default)]
pub struct Meter {
    octets: AtomicU64,
    messages_per_second: Option<u32>,
    /// The way to it.
    pub line: Line,
    /// When the next message may cross.
    next: Mutex<Option<Instant>>,
}

impl Meter {
    /// A meter that lets so many messages cross in a second.
    #[must_use]
    pub fn new(messages_per_second: Option<u32>) -> Self {
        Self {
            messages_per_second,
            ..Self::default()
        }
    }

    pub(crate) fn count(&self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Octets that crossed since this was asked last.
    pub fn take(&self) -> u64 {
        self.octets.swap(0, Ordering::Relaxed)
    }

    /// How many messages may be asked for at once, at most `most`.
    #[must_use]
    pub fn at_once(&self, most: usize) -> usize {
        let rate = self.messages_per_second;
        rate.map_or(most, |rate| {
            usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, most)
        })
    }

    /// Waits until so many messages may cross.
    pub(crate) async fn turn(&self, messages: u32) {
        let Some(rate) = self.messages_per_second else {
            return;
        };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + Duration::from_secs(1) * messages / rate.max(1));
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_cross_at_their_rate() {
        let meter = Meter::new(Some(10));
        let begun = Instant::now();
        for (messages, after_ms) in [(1, 0), (1, 100), (5, 200), (1, 700)] {
            meter.turn(messages).await;
            assert_eq!(begun.elapsed(), Duration::from_millis(after_ms));
        }
        assert_eq!((meter.at_once(200), meter.at_once(4)), (10, 4));
        let any = Meter::new(None);
        any.turn(1000).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(700));
        assert_eq!(any.at_once(200), 200);
    }
}
