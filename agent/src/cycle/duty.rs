//! What is due, and when: by a clock that may be set while the agent runs. It reads no clock itself.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::agents::{AssignedTriangle, CronSchedule};
use maildreieck_api_spec::ids::{ScheduleId, TriangleId};
use maildreieck_api_spec::runs::RunKind;

use crate::config::{MirrorSchedule, Schedule, TriangleConfig};
use crate::error::AgentError;
use crate::imap::Protocol;

/// How often a continuous mirror looks.
const CONTINUOUS: TimeDelta = TimeDelta::seconds(60);
/// And where each look is a login that locks the maildrop for others: well within the ten minutes after which mail
/// programs ask by themselves, and what they fetch and delete before we look nobody can mirror.
const CONTINUOUS_POP3: TimeDelta = TimeDelta::seconds(120);
/// A clock that was set back by more was wrong: what it said is due anew. What it said within so much time has been
/// done already, and is not done a second time.
const SET_BACK: TimeDelta = TimeDelta::hours(1);

/// A triangle and what is due of it.
#[derive(Debug)]
pub(super) struct Duty {
    pub(super) triangle: TriangleConfig,
    /// Its id on the server.
    pub(super) id: Option<TriangleId>,
    tx: Option<(Schedule, Option<ScheduleId>, Option<DateTime<Utc>>)>,
    mirror: Option<(MirrorSchedule, Option<ScheduleId>, Option<DateTime<Utc>>)>,
}

/// A run that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) kind: RunKind,
    pub(super) schedule_id: Option<ScheduleId>,
    pub(super) at: DateTime<Utc>,
}

/// All of an agent's, and what the clock said last.
#[derive(Debug)]
pub(super) struct Duties {
    all: Vec<Duty>,
    before: DateTime<Utc>,
}

impl Duty {
    /// A triangle's, of the server's schedules where it assigns some. The first is due after `now`.
    pub(super) fn new(
        triangle: TriangleConfig,
        assigned: Option<&AssignedTriangle>,
        now: DateTime<Utc>,
    ) -> Result<Self, AgentError> {
        let schedule = |when: &CronSchedule| {
            Schedule::new(&when.cron, &when.timezone).map_err(AgentError::config)
        };
        let (tx, mirror) = match assigned {
            None => (
                triangle.tx.clone().map(|s| (s, None)),
                triangle.mirror.clone().map(|s| (s, None)),
            ),
            Some(assigned) => {
                let tx = (schedule(&assigned.tx.when)?, Some(assigned.tx.schedule_id));
                let mirror = match &assigned.mirror {
                    Some(m) => Some((MirrorSchedule::At(schedule(&m.when)?), Some(m.schedule_id))),
                    None => None,
                };
                (Some(tx), mirror)
            }
        };
        let mut duty = Self {
            triangle,
            id: assigned.map(|a| a.triangle_id),
            tx: tx.map(|(schedule, id)| (schedule, id, None)),
            mirror: mirror.map(|(schedule, id)| (schedule, id, None)),
        };
        duty.begin(now);
        Ok(duty)
    }

    fn begin(&mut self, now: DateTime<Utc>) {
        if let Some((schedule, _, at)) = &mut self.tx {
            *at = schedule.next_after(now);
        }
        if let Some((schedule, _, at)) = &mut self.mirror {
            *at = match schedule {
                MirrorSchedule::Continuous => Some(now),
                MirrorSchedule::At(schedule) => schedule.next_after(now),
            };
        }
    }

    fn every(&self) -> TimeDelta {
        match self.triangle.primary.protocol {
            Protocol::Imap => CONTINUOUS,
            Protocol::Pop3 => CONTINUOUS_POP3,
        }
    }

    /// A continuous mirror is due where its primary has changed; and nobody waits longer because a clock was set back.
    fn look_at(&mut self, changed: bool, now: DateTime<Utc>) {
        let latest = now + self.every();
        if let Some((MirrorSchedule::Continuous, _, at)) = &mut self.mirror {
            *at = match changed {
                true => Some(now),
                false => at.map(|at| at.min(latest)),
            };
        }
    }

    fn next(&self) -> Option<DateTime<Utc>> {
        let tx = self.tx.as_ref().and_then(|(.., at)| *at);
        let mirror = self.mirror.as_ref().and_then(|(.., at)| *at);
        [tx, mirror].into_iter().flatten().min()
    }

    /// What is due by now, Tx before mirror. Of several that are overdue one is done.
    fn take(&mut self, now: DateTime<Utc>) -> Option<Due> {
        let every = self.every();
        let due = |at: &Option<DateTime<Utc>>| at.filter(|at| *at <= now);
        if let Some((schedule, schedule_id, next)) = &mut self.tx
            && let Some(at) = due(next)
        {
            *next = schedule.next_after(now);
            return Some(Due {
                kind: RunKind::Tx,
                schedule_id: *schedule_id,
                at,
            });
        }
        let (schedule, schedule_id, next) = self.mirror.as_mut()?;
        let at = due(next)?;
        *next = match schedule {
            MirrorSchedule::Continuous => Some(now + every),
            MirrorSchedule::At(schedule) => schedule.next_after(now),
        };
        Some(Due {
            kind: RunKind::Mirror,
            schedule_id: *schedule_id,
            at,
        })
    }

    fn is_continuous(&self) -> bool {
        let mirror = self.mirror.as_ref();
        mirror.is_some_and(|(when, ..)| matches!(when, MirrorSchedule::Continuous))
    }
}

impl Duties {
    /// None, at an instant.
    pub(super) fn none(now: DateTime<Utc>) -> Self {
        Self {
            all: Vec::new(),
            before: now,
        }
    }

    /// Takes others in place of those that there are. What was due before and has not been done stays due.
    pub(super) fn replace(&mut self, mut all: Vec<Duty>) {
        for duty in &mut all {
            let name = &duty.triangle.name;
            let before = self.all.iter().find(|d| d.triangle.name == *name);
            if let (Some((schedule, _, at)), Some((old, _, old_at))) =
                (&mut duty.tx, before.and_then(|d| d.tx.as_ref()))
                && schedule == old
            {
                *at = *old_at;
            }
        }
        self.all = all;
    }

    /// The triangles that are mirrored as their mail arrives.
    pub(super) fn continuous(&self) -> Vec<TriangleConfig> {
        let continuous = self.all.iter().filter(|duty| duty.is_continuous());
        continuous.map(|duty| duty.triangle.clone()).collect()
    }

    /// Whether anything will ever be due.
    pub(super) fn is_idle(&self) -> bool {
        self.all.iter().all(|duty| duty.next().is_none())
    }

    /// The first that is due when the clock says `now`; `changed` are the triangles whose primaries have changed.
    pub(super) fn take(
        &mut self,
        now: DateTime<Utc>,
        changed: &BTreeSet<String>,
    ) -> Option<(&Duty, Due)> {
        if self.before - now > SET_BACK {
            tracing::warn!(from = %self.before, to = %now, "the clock was set back; what is due is reckoned anew");
            self.all.iter_mut().for_each(|duty| duty.begin(now));
        }
        self.before = now;
        for duty in &mut self.all {
            duty.look_at(changed.contains(&duty.triangle.name), now);
        }
        let mut taken = None;
        for (index, duty) in self.all.iter_mut().enumerate() {
            taken = duty.take(now).map(|due| (index, due));
            if taken.is_some() {
                break;
            }
        }
        let (index, due) = taken?;
        Some((self.all.get(index)?, due))
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.all.iter().filter_map(Duty::next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What is done when the clock says one thing after another: `T` and `m`, with the instant that it was due.
    fn done(triangle: &str, readings: &[&str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        let account = |corner: &str| {
            format!(
                "[triangle.{corner}]\nhost = \"{corner}.example\"\nusername = \"u\"\npassword_file = \"p\"\n"
            )
        };
        let text = format!(
            "data_dir = \"data\"\n[[triangle]]\nname = \"info\"\n{triangle}\n{}{}",
            account("primary"),
            account("standby")
        );
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let readings: Vec<DateTime<Utc>> = readings
            .iter()
            .map(|at| format!("{at}:00Z").parse().unwrap())
            .collect();
        let mut duties = Duties::none(readings[0]);
        duties.replace(vec![
            Duty::new(config.triangles[0].clone(), None, readings[0]).unwrap(),
        ]);
        let mut done = Vec::new();
        for now in readings {
            while let Some((_, due)) = duties.take(now, &BTreeSet::new()) {
                let kind = if due.kind == RunKind::Tx { 'T' } else { 'm' };
                done.push(format!("{kind} {}", due.at.format("%Y-%m-%dT%H:%M")));
            }
        }
        done
    }

    #[test]
    fn a_clock_that_jumps_neither_doubles_nor_stalls_what_is_due() {
        let tx = "tx = { cron = \"0 18 * * *\", timezone = \"UTC\" }";
        let check = |readings: &[&str], expected: &[&str]| {
            assert_eq!(done(tx, readings), expected, "{readings:?}");
        };
        check(
            &["2026-11-25T17:59", "2026-11-25T18:00", "2026-11-25T18:01"],
            &["T 2026-11-25T18:00"],
        );
        // Set back a little: what was done is not done again.
        check(
            &[
                "2026-11-25T17:59",
                "2026-11-25T18:05",
                "2026-11-25T17:50",
                "2026-11-25T18:00",
                "2026-11-26T18:00",
            ],
            &["T 2026-11-25T18:00", "T 2026-11-26T18:00"],
        );
        // It was a year ahead: nothing waits for that year.
        check(
            &["2027-11-25T18:30", "2026-11-25T17:50", "2026-11-25T18:00"],
            &["T 2026-11-25T18:00"],
        );
        check(
            &[
                "2027-11-25T17:59",
                "2027-11-25T18:00",
                "2026-11-25T17:50",
                "2026-11-25T18:00",
            ],
            &["T 2027-11-25T18:00", "T 2026-11-25T18:00"],
        );
        // It was set forward by days: one is done.
        check(
            &["2026-11-25T17:59", "2026-11-28T18:30", "2026-11-28T18:31"],
            &["T 2026-11-25T18:00"],
        );
    }

    #[test]
    fn a_continuous_mirror_looks_once_a_minute_whatever_the_clock_says() {
        let readings = [
            "2026-11-25T17:59",
            "2026-11-25T18:00",
            "2026-11-25T17:10",
            "2026-11-25T17:11",
            "2026-11-20T17:11",
        ];
        assert_eq!(
            done("mirror = \"continuous\"", &readings),
            [
                "m 2026-11-25T17:59",
                "m 2026-11-25T18:00",
                "m 2026-11-25T17:11",
                "m 2026-11-20T17:11"
            ]
        );
    }
}
