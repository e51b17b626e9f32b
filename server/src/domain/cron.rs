//! Schedules: a cron line of exactly five fields in an IANA zone; neither seconds nor words like `@daily`.
//! DST gaps and overlaps are croner's: a time that a gap swallows comes right after it, a time that comes
//! twice comes once.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use super::field::Field;

/// A schedule that can be computed with.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// Reads line and zone; `pointer` is where they stand in the request.
    ///
    /// # Errors
    /// The fields that are wrong: a line that is none, or that never is due; a zone that does not exist.
    pub fn parse(line: &str, zone: &str, pointer: &str) -> Result<Self, Vec<Field>> {
        let mut wrong = Vec::new();
        let mut complain = |name: &str, rule: String| {
            wrong.push(Field {
                pointer: format!("{pointer}/{name}"),
                rule,
            });
        };
        let cron = read_line(line).map_err(|rule| complain("cron", rule)).ok();
        let zone = zone.parse::<Tz>();
        if zone.is_err() {
            complain(
                "timezone",
                "an IANA time zone like Europe/Berlin".to_owned(),
            );
        }
        match (cron, zone) {
            (Some(cron), Ok(zone)) => {
                let schedule = Self { cron, zone };
                if schedule.next_after(DateTime::UNIX_EPOCH).is_none() {
                    complain("cron", "a cron line that is due at some time".to_owned());
                    return Err(wrong);
                }
                Ok(schedule)
            }
            _ => Err(wrong),
        }
    }

    /// The first due time after an instant, if there is one in the years that croner looks ahead.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = instant.with_timezone(&self.zone);
        let mut next = self.cron.find_next_occurrence(&local, false).ok()?;
        // Across a zone's change a pattern can name an instant again; due times only grow.
        while next.with_timezone(&Utc) <= instant {
            next = self.cron.find_next_occurrence(&next, false).ok()?;
        }
        Some(next.with_timezone(&Utc))
    }

    /// Whether an instant is a due time.
    #[must_use]
    pub fn is_due(&self, instant: DateTime<Utc>) -> bool {
        self.next_after(instant - TimeDelta::seconds(1)) == Some(instant)
    }
}

fn read_line(line: &str) -> Result<Cron, String> {
    const RULE: &str = "a cron line of exactly five fields (minute, hour, day of month, month, day of week), like `0 18 * * mon-fri`";
    if line.len() > 200 {
        return Err(format!("{RULE}, of at most 200 characters"));
    }
    let fields = line.split_ascii_whitespace().count();
    if fields != 5 {
        return Err(format!("{RULE}; this one has {fields}"));
    }
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .build()
        .parse(line)
        .map_err(|error| format!("{RULE}; here: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &str, zone: &str, after: &str) -> String {
        Schedule::parse(line, zone, "/tx")
            .unwrap()
            .next_after(after.parse().unwrap())
            .unwrap()
            .to_rfc3339()
    }

    #[test]
    fn due_times_follow_the_zone() {
        let check =
            |line, zone, after, expected: &str| assert_eq!(next(line, zone, after), expected);
        check(
            "0 18 * * mon-fri",
            "Europe/Berlin",
            "2026-11-24T12:00:00Z",
            "2026-11-24T17:00:00+00:00",
        );
        check(
            "0 18 * * mon-fri",
            "Europe/Berlin",
            "2026-11-27T18:00:00Z",
            "2026-11-30T17:00:00+00:00",
        );
        check(
            "0 18 * * *",
            "Europe/Berlin",
            "2026-07-01T12:00:00Z",
            "2026-07-01T16:00:00+00:00",
        );
        check(
            "5 6 * * *",
            "UTC",
            "2026-07-01T06:04:59Z",
            "2026-07-01T06:05:00+00:00",
        );
        // Exactly due is past: the next one.
        check(
            "0 18 * * *",
            "UTC",
            "2026-07-01T18:00:00Z",
            "2026-07-02T18:00:00+00:00",
        );
        // 2:30 does not exist on 29 March 2026 in Berlin.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:00:00+00:00",
        );
        // 2:30 comes twice on 25 October 2026.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00+00:00",
        );
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00+00:00",
        );
    }

    #[test]
    fn what_is_no_schedule_names_its_field() {
        let check = |line: &str, zone: &str, expected: &[&str]| {
            let wrong = Schedule::parse(line, zone, "/tx").unwrap_err();
            let pointers: Vec<_> = wrong.iter().map(|field| field.pointer.as_str()).collect();
            assert_eq!(pointers, expected, "{line} {zone}");
        };
        check("", "Europe/Berlin", &["/tx/cron"]);
        check("@daily", "Europe/Berlin", &["/tx/cron"]);
        check("0 0 18 * * *", "Europe/Berlin", &["/tx/cron"]);
        check("0 18 * *", "Europe/Berlin", &["/tx/cron"]);
        check("61 * * * *", "Europe/Berlin", &["/tx/cron"]);
        check("* * * * * * *", "Europe/Berlin", &["/tx/cron"]);
        check("0 0 30 2 *", "Europe/Berlin", &["/tx/cron"]);
        check("0 18 * * *", "Europe/Entenhausen", &["/tx/timezone"]);
        check("x", "x", &["/tx/cron", "/tx/timezone"]);
        check(&"*".repeat(10_000), "UTC", &["/tx/cron"]);
    }

    #[test]
    fn a_line_that_is_none_says_why() {
        let said = |line: &str| {
            Schedule::parse(line, "UTC", "/tx").unwrap_err()[0]
                .rule
                .clone()
        };
        let rule = "a cron line of exactly five fields (minute, hour, day of month, month, day of week), like `0 18 * * mon-fri`";
        assert_eq!(said("0 0 18 * * *"), format!("{rule}; this one has 6"));
        assert_eq!(said("@daily"), format!("{rule}; this one has 1"));
        assert!(said("61 * * * *").starts_with(&format!("{rule}; here: ")));
        assert_eq!(said("0 0 30 2 *"), "a cron line that is due at some time");
    }

    /// Whatever the moment that somebody asks at, what he is told is a due time.
    #[test]
    fn what_comes_next_is_due() {
        for line in ["30 2 * * *", "*/15 1-3 * * *", "0 3 29 3 *", "17 * * * *"] {
            for zone in ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo"] {
                let schedule = Schedule::parse(line, zone, "").unwrap();
                for start in [
                    "2026-03-27T12:00:00Z",
                    "2026-04-03T12:00:00Z",
                    "2026-10-02T12:00:00Z",
                    "2026-10-23T12:00:00Z",
                ] {
                    let start: DateTime<Utc> = start.parse().unwrap();
                    for minutes in (0..4 * 24 * 60).step_by(7) {
                        let asked = start + TimeDelta::minutes(minutes);
                        let next = schedule.next_after(asked).unwrap();
                        assert!(schedule.is_due(next), "{line} {zone} {asked}: {next}");
                        assert!(!schedule.is_due(next + TimeDelta::seconds(1)));
                    }
                }
            }
        }
    }
}
