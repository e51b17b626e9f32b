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

    /// As [`Self::new`], for work of which it is known how much there is.
    #[must_use]
    pub fn towards_end(quiet: bool, what: &'static str) -> Self {
        let progress = Self::new(quiet);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent} %, {eta} left")
        {
            progress.bar.set_style(style);
        }
        progress.bar.set_message(what);
        progress
    }

    /// Says how far the work is.
    pub fn at(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
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
