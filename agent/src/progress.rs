//! Progress for a person: on a terminal a bar for the whole and one for each folder under way, a line a minute in a
//! log otherwise. Where it stands it is silent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use maildreieck_api_spec::runs::Volume;

use crate::plan::identity::LogicalFolder;

const SPINNER: &str = "{spinner} {msg} {human_pos} messages, {elapsed_precise}";
const SHARE: &str = "{msg} {wide_bar} {percent} %, {eta} left";
const WHOLE: &str = "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
const FOLDER: &str = "  {prefix:30!} {wide_bar} {human_pos} of {human_len} messages";
/// Folders that have a bar at once.
const SHOWN: usize = 8;
/// How often a log is told.
const EVERY: Duration = Duration::from_secs(60);

/// Shows how far a run is.
pub struct Progress {
    bars: MultiProgress,
    whole: ProgressBar,
    way: RefCell<Option<Way>>,
}

/// Messages on their way to the target.
struct Way {
    triangle: String,
    tally: Tally,
    began: Instant,
    /// When the log was told last.
    told: Instant,
    folders: BTreeMap<LogicalFolder, Tally>,
    shown: BTreeMap<LogicalFolder, ProgressBar>,
}

/// How much of a work is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    done: Volume,
    of: Volume,
}

impl Tally {
    fn add(&mut self, octets: u64) {
        self.done.messages += 1;
        self.done.bytes += octets;
    }

    /// Octets a second, and how long the rest takes at that pace.
    fn pace(&self, elapsed: Duration) -> (u64, Option<Duration>) {
        let millis = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = self.done.bytes.saturating_mul(1000) / millis;
        let left = self.of.bytes.saturating_sub(self.done.bytes);
        (rate, left.checked_div(rate).map(Duration::from_secs))
    }
}

fn restyle(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
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
        let bars = MultiProgress::with_draw_target(target);
        let whole = bars.add(ProgressBar::no_length());
        restyle(&whole, SPINNER);
        Self {
            bars,
            whole,
            way: RefCell::new(None),
        }
    }

    /// As [`Self::new`], for work of which it is known how much there is.
    #[must_use]
    pub fn towards_end(quiet: bool, what: &'static str) -> Self {
        let progress = Self::new(quiet);
        restyle(&progress.whole, SHARE);
        progress.whole.set_message(what);
        progress
    }

    /// Says how far the work is.
    pub fn at(&self, done: u64, total: u64) {
        self.whole.set_length(total);
        self.whole.set_position(done);
    }

    /// Says what is being done.
    pub fn say(&self, what: impl Into<String>) {
        self.leave();
        restyle(&self.whole, SPINNER);
        self.whole.set_message(what.into());
        self.whole.set_position(0);
    }

    /// Counts a message that was read.
    pub fn moved(&self) {
        if self.way.borrow().is_none() {
            self.whole.inc(1);
        }
    }

    /// Says what is on its way to the target, by folder.
    pub fn expect(&self, triangle: &str, folders: BTreeMap<LogicalFolder, Volume>) {
        self.leave();
        let mut tally = Tally::default();
        for volume in folders.values() {
            tally.of.messages += volume.messages;
            tally.of.bytes += volume.bytes;
        }
        restyle(&self.whole, WHOLE);
        self.whole.set_length(tally.of.bytes);
        self.whole.set_position(0);
        self.whole.reset_eta();
        let of = |of| Tally {
            of,
            ..Tally::default()
        };
        let now = Instant::now();
        let way = Way {
            triangle: triangle.to_owned(),
            tally,
            began: now,
            told: now,
            folders: folders.into_iter().map(|(f, v)| (f, of(v))).collect(),
            shown: BTreeMap::new(),
        };
        *self.way.borrow_mut() = Some(way);
    }

    /// Counts a message that arrived in a folder of the target.
    pub fn arrived(&self, folder: &LogicalFolder, octets: u64) {
        let mut way = self.way.borrow_mut();
        let Some(way) = way.as_mut() else { return };
        way.tally.add(octets);
        if self.bars.is_hidden() {
            way.tell_log(Instant::now());
        } else {
            self.draw(way, folder, octets);
        }
    }

    fn draw(&self, way: &mut Way, folder: &LogicalFolder, octets: u64) {
        let Volume { messages, .. } = way.tally.done;
        self.whole.inc(octets);
        self.whole.set_message(format!(
            "{}: {messages} of {} messages",
            way.triangle, way.tally.of.messages
        ));
        let Some(tally) = way.folders.get_mut(folder) else {
            return;
        };
        tally.add(octets);
        if !way.shown.contains_key(folder) && way.shown.len() < SHOWN {
            let bar = ProgressBar::new(tally.of.messages).with_prefix(folder.to_string());
            restyle(&bar, FOLDER);
            way.shown.insert(folder.clone(), self.bars.add(bar));
        }
        if let Some(bar) = way.shown.get(folder) {
            bar.set_position(tally.done.messages);
        }
        if tally.done.messages >= tally.of.messages
            && let Some(bar) = way.shown.remove(folder)
        {
            self.clear(&bar);
        }
    }

    fn clear(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    /// Takes the folders' bars away.
    fn leave(&self) {
        if let Some(way) = self.way.borrow_mut().take() {
            way.shown.values().for_each(|bar| self.clear(bar));
        }
    }

    /// Takes the bars away.
    pub fn end(&self) {
        self.leave();
        self.whole.finish_and_clear();
    }
}

impl Way {
    /// Tells a log once a minute.
    fn tell_log(&mut self, now: Instant) -> bool {
        let due = now.duration_since(self.told) >= EVERY;
        if due {
            self.told = now;
            let Tally { done, of } = self.tally;
            let (bytes_per_second, left) = self.tally.pace(now.duration_since(self.began));
            tracing::info!(
                triangle = self.triangle,
                messages = done.messages,
                of_messages = of.messages,
                bytes = done.bytes,
                of_bytes = of.bytes,
                bytes_per_second,
                seconds_left = left.map(|left| left.as_secs()),
                "mirroring"
            );
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(messages: u64, bytes: u64) -> Volume {
        Volume { messages, bytes }
    }

    fn folders() -> BTreeMap<LogicalFolder, Volume> {
        let folder =
            |name, messages, bytes| (LogicalFolder::from_stored(name), volume(messages, bytes));
        [folder("INBOX", 2, 300), folder("\\Sent", 1, 700)].into()
    }

    #[test]
    fn the_pace_says_what_is_left() {
        let check = |done, millis, rate, left: Option<u64>| {
            let tally = Tally {
                done: volume(1, done),
                of: volume(9, 10_000),
            };
            let expected = (rate, left.map(Duration::from_secs));
            assert_eq!(tally.pace(Duration::from_millis(millis)), expected);
        };
        check(2500, 500, 5000, Some(1));
        check(10_000, 1000, 10_000, Some(0));
        check(0, 1000, 0, None);
        check(100, 0, 100_000, Some(0));
    }

    #[test]
    fn a_log_is_told_once_a_minute() {
        let progress = Progress::new(true);
        progress.expect("info", folders());
        progress.arrived(&LogicalFolder::from_stored("INBOX"), 100);
        let mut way = progress.way.borrow_mut();
        let way = way.as_mut().unwrap();
        assert_eq!(
            (way.tally.done, way.tally.of),
            (volume(1, 100), volume(3, 1000))
        );
        let after = |seconds| way.began + Duration::from_secs(seconds);
        let times = [59, 60, 61, 119, 120, 300].map(after);
        assert_eq!(
            times.map(|now| way.tell_log(now)),
            [false, true, false, false, true, true]
        );
    }

    #[test]
    fn what_was_expected_is_over_when_something_else_is_said() {
        let progress = Progress::new(true);
        progress.expect("info", folders());
        progress.say("looking");
        progress.moved();
        assert_eq!(progress.whole.position(), 1);
        progress.arrived(&LogicalFolder::from_stored("INBOX"), 100);
        assert_eq!(progress.whole.position(), 1);
    }
}
