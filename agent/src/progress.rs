//! Progress for a person: bars on a terminal, silence otherwise.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far a run is.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Bars on standard error if that is a terminal and `quiet` is not set.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {msg} {human_pos} messages, {elapsed_precise}")
        {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Says what is being done.
    pub fn say(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
        self.bar.set_position(0);
    }

    /// Counts a message that arrived where it belongs.
    pub fn moved(&self, _octets: u64) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
