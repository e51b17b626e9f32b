//! How long each part of a Tx takes, for whoever asks in the log: `cargo xtask bench` does.

use std::time::Instant;

/// A watch that runs from one part to the next.
pub(super) struct Laps(Instant);

impl Laps {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Says that a part has come to its end.
    pub(super) fn end(&mut self, part: &'static str) {
        let took_ms = self.0.elapsed().as_millis();
        tracing::debug!(part, took_ms, "a part of a Tx is done");
        self.0 = Instant::now();
    }
}
