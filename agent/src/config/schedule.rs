//! Schedules: a cron line of exactly five fields in an IANA zone. What happens where a zone's clock jumps is croner's: a time that
//! a gap swallows comes right after it, a time that comes twice comes once.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use serde::Serialize;
use serde::ser::SerializeStruct as _;

use super::section::nearest;

/// A cron line of five fields in a zone; neither seconds nor words like `@daily`.
#[derive(Debug, Clone)]
pub struct Schedule {
    line: String,
    zone: Tz,
    cron: Box<Cron>,
}

/// What is wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The line.
    #[error("{0}")]
    Cron(String),
    /// The zone.
    #[error("{0}")]
    Timezone(String),
}

impl Schedule {
    /// From line and zone.
    ///
    /// # Errors
    /// When the line is none or is never due, or the zone does not exist.
    pub fn new(line: &str, zone: &str) -> Result<Self, ScheduleError> {
        let fields = line.split_ascii_whitespace().count();
        if line.len() > 200 {
            let text = "must have at most 200 characters".to_owned();
            return Err(ScheduleError::Cron(text));
        }
        if fields != 5 {
            return Err(ScheduleError::Cron(format!(
                "must be a cron line of exactly five fields (minute, hour, day of month, month, day of week), like \"0 18 * * mon-fri\"; this one has {fields}"
            )));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .build()
            .parse(line)
            .map_err(|error| ScheduleError::Cron(format!("is no cron line: {error}")))?;
        let zone = zone.parse::<Tz>().map_err(|_| {
            let zones = chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name());
            // Continents are alike in all their cities.
            let (_, city) = zone.rsplit_once('/').unwrap_or(("", zone));
            let cities = zones.filter(|known| {
                let (_, known) = known.rsplit_once('/').unwrap_or(("", known));
                nearest(city, [known]).is_some()
            });
            let hint = match nearest(zone, cities) {
                Some(near) => format!("; did you mean \"{near}\"?"),
                None => ", like \"Europe/Berlin\"".to_owned(),
            };
            ScheduleError::Timezone(format!("must be an IANA time zone{hint}"))
        })?;
        let schedule = Self {
            line: line.to_owned(),
            zone,
            cron: Box::new(cron),
        };
        if schedule.next_after(DateTime::UNIX_EPOCH).is_none() {
            let text = "names a time that never comes".to_owned();
            return Err(ScheduleError::Cron(text));
        }
        Ok(schedule)
    }

    /// The cron line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The first due time after an instant, if there is one in the years that croner looks ahead.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = instant.with_timezone(&self.zone);
        let mut next = self.cron.find_next_occurrence(&local, false).ok()?;
        // Where a clock goes back a line can name an instant again; due times only grow.
        while next.with_timezone(&Utc) <= instant {
            next = self.cron.find_next_occurrence(&next, false).ok()?;
        }
        Some(next.with_timezone(&Utc))
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line && self.zone == other.zone
    }
}

impl Serialize for Schedule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Schedule", 2)?;
        fields.serialize_field("cron", &self.line)?;
        fields.serialize_field("timezone", self.zone())?;
        fields.end()
    }
}

/// When mail is mirrored besides Tx.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorSchedule {
    /// At once, whenever the source says that something came (IDLE, RFC 2177).
    Continuous,
    /// By the clock.
    At(Schedule),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_zones_are_checked() {
        let check = |line: &str, zone: &str, expected: &str| {
            let found = match Schedule::new(line, zone) {
                Ok(schedule) => format!("{} {}", schedule.line(), schedule.zone()),
                Err(error) => error.to_string(),
            };
            assert!(found.contains(expected), "{line} {zone}: {found}");
        };
        check(
            "0 18 * * mon-fri",
            "Europe/Berlin",
            "0 18 * * mon-fri Europe/Berlin",
        );
        check("0 18 * *", "UTC", "five fields");
        check("0 18 * *", "UTC", "this one has 4");
        check("30 0 18 * * *", "UTC", "this one has 6");
        check("0 0 0 18 * * 2026", "UTC", "this one has 7");
        check("@daily", "UTC", "this one has 1");
        check("0 25 * * *", "UTC", "no cron line");
        check("0 0 30 2 *", "UTC", "never comes");
        check(
            "0 18 * * *",
            "Europe/Berlim",
            "did you mean \"Europe/Berlin\"?",
        );
        check("0 18 * * *", "Europe/Nowhere", "like \"Europe/Berlin\"");
        check("0 18 * * *", "MEZ in Deutschland", "like \"Europe/Berlin\"");
    }

    #[test]
    fn due_times_follow_the_zone() {
        let check = |line: &str, after: &str, expected: &str| {
            let next = Schedule::new(line, "Europe/Berlin")
                .unwrap()
                .next_after(after.parse().unwrap())
                .unwrap();
            assert_eq!(
                next,
                expected.parse::<DateTime<Utc>>().unwrap(),
                "{line} {after}"
            );
        };
        check("0 18 * * *", "2026-07-01T15:59:59Z", "2026-07-01T16:00:00Z");
        check("0 18 * * *", "2026-07-01T16:00:00Z", "2026-07-02T16:00:00Z");
        check("0 18 * * *", "2026-12-01T16:00:00Z", "2026-12-01T17:00:00Z");
        // The last Sunday of March has no 02:30, the last one of October has it twice.
        check("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
        check("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
        check("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    }
}
