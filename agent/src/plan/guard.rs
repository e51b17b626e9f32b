//! The guard: an unusual share of vanished mail is held back until a person confirms it.

use serde::{Deserialize, Serialize};

/// What counts as unusual.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// The share of known messages, 0 to 1, above which a run is held back.
    #[serde(default = "default_share")]
    pub max_share: f64,
    /// Below so many messages nothing is held back.
    #[serde(default = "default_messages")]
    pub min_messages: u64,
}

fn default_share() -> f64 {
    0.2
}

fn default_messages() -> u64 {
    20
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            max_share: default_share(),
            min_messages: default_messages(),
        }
    }
}

/// Messages that vanished from the source or need putting back on the target, in one span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Vanished on the source.
    pub vanished: u64,
    /// Needing to be put back.
    pub put_back: u64,
}

/// What earlier runs let pass within 24 hours and 7 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// In the last 24 hours.
    pub day: Lost,
    /// In the last 7 days.
    pub week: Lost,
}

impl Guard {
    /// Whether this run's losses, alone or with those of the last 24 hours or 7 days, are unusual. A run that
    /// loses nothing is never held back.
    #[must_use]
    pub fn holds(&self, now: Lost, history: History, known: u64) -> bool {
        let spans = [Lost::default(), history.day, history.week];
        spans.iter().any(|earlier| {
            self.unusual(now.vanished, earlier.vanished, known)
                || self.unusual(now.put_back, earlier.put_back, known)
        })
    }

    fn unusual(&self, now: u64, earlier: u64, known: u64) -> bool {
        let all = now.saturating_add(earlier);
        // What has vanished earlier is no longer among the known.
        let of = known.saturating_add(earlier);
        #[expect(
            clippy::as_conversions,
            reason = "counts of messages are far below 2^53, exact in an f64"
        )]
        let unusual = all as f64 > self.max_share * of as f64;
        now > 0 && all >= self.min_messages && unusual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_unusual_shares() {
        let check = |vanished, put_back, day, week, known, expected| {
            let lost = |vanished| Lost {
                vanished,
                put_back: 0,
            };
            let history = History {
                day: lost(day),
                week: lost(week),
            };
            let held = Guard::default().holds(Lost { vanished, put_back }, history, known);
            assert_eq!(held, expected, "{vanished} {put_back} {day} {week} {known}");
        };
        check(0, 0, 0, 0, 100, false);
        check(20, 0, 0, 0, 100, false);
        check(21, 0, 0, 0, 100, true);
        check(19, 0, 0, 0, 20, false);
        check(20, 0, 0, 0, 20, true);
        check(0, 30, 0, 0, 100, true);
        check(5, 0, 20, 20, 80, true);
        check(0, 0, 90, 90, 10, false);
        check(5, 0, 0, 40, 100, true);
        check(10, 0, 0, 0, 0, false);
        check(25, 0, 0, 0, 0, true);
    }
}
