//! Local days: which day an instant falls on in a zone, when that day begins and ends, and what the day's
//! verdict is.

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use maildreieck_api_spec::vocabulary::{DayVerdict, Verdict};

/// The day of an instant in a zone.
#[must_use]
pub fn of(instant: DateTime<Utc>, zone: Tz) -> NaiveDate {
    instant.with_timezone(&zone).date_naive()
}

/// When a day begins in a zone: midnight, or where a gap swallows it, the first instant after the gap.
#[must_use]
pub fn start(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    // No gap is longer than a day (Samoa left one out); quarters of an hour fit every zone.
    let steps = (0..=96).map(|step| midnight + TimeDelta::minutes(15 * step));
    steps
        .filter_map(|local| match zone.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at),
            LocalResult::None => None,
        })
        .map(|at| at.with_timezone(&Utc))
        .next()
        .unwrap_or_else(|| midnight.and_utc())
}

/// When a day ends in a zone: when the next begins.
#[must_use]
pub fn end(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    start(next(day), zone)
}

/// The day after.
#[must_use]
pub fn next(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

/// What became of one Tx that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxResult {
    /// Nothing arrived within its grace.
    Missing,
    /// A run arrived that came to no proof.
    Failed,
    /// A run arrived with its proof.
    Proved(Verdict),
}

impl TxResult {
    /// What it makes of the day.
    #[must_use]
    pub fn verdict(self) -> DayVerdict {
        match self {
            Self::Missing => DayVerdict::Missing,
            Self::Failed | Self::Proved(Verdict::Unproven) => DayVerdict::Unproven,
            Self::Proved(Verdict::Unbalanced) => DayVerdict::Unbalanced,
            Self::Proved(Verdict::Balanced) => DayVerdict::Balanced,
        }
    }

    /// The word by which a report remembers what it said.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::Proved(verdict) => verdict.as_str(),
        }
    }
}

/// The verdict of a day: the worst of its results, silence first.
pub fn verdict(results: impl IntoIterator<Item = TxResult>) -> DayVerdict {
    results
        .into_iter()
        .map(TxResult::verdict)
        .min()
        .unwrap_or(DayVerdict::NoTx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_where_the_zone_says() {
        let check = |day: &str, zone: &str, expected: &str| {
            let begin = start(day.parse().unwrap(), zone.parse().unwrap());
            assert_eq!(begin.to_rfc3339(), expected, "{day} {zone}");
        };
        check("2026-11-24", "Europe/Berlin", "2026-11-23T23:00:00+00:00");
        check("2026-07-01", "Europe/Berlin", "2026-06-30T22:00:00+00:00");
        // Midnight does not exist there on that day.
        check(
            "2026-09-06",
            "America/Santiago",
            "2026-09-06T04:00:00+00:00",
        );
        check("2026-11-24", "Asia/Kathmandu", "2026-11-23T18:15:00+00:00");
    }

    #[test]
    fn the_worst_triangle_gives_the_verdict() {
        use TxResult::{Failed, Missing, Proved};
        let check =
            |results: &[TxResult], expected| assert_eq!(verdict(results.iter().copied()), expected);
        check(&[], DayVerdict::NoTx);
        check(&[Proved(Verdict::Balanced)], DayVerdict::Balanced);
        check(&[Proved(Verdict::Balanced), Failed], DayVerdict::Unproven);
        check(
            &[Failed, Proved(Verdict::Unbalanced)],
            DayVerdict::Unbalanced,
        );
        check(&[Proved(Verdict::Unbalanced), Missing], DayVerdict::Missing);
    }
}
