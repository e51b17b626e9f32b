//! What a report must be in itself: what agent and server both hold it against. Whether its times can be
//! yet, and whether its due time is one, the server knows.

use super::{RunKind, RunOutcome, RunReport};
use crate::certificate::{LARGEST, is_hex, too_early};
use crate::ids::RunId;
use crate::problem::FieldError;
use crate::vocabulary::Depth;

impl RunReport {
    /// Where the report of this run contradicts itself: JSON pointers from its root, each with the rule that
    /// is broken there. Empty for a report that can be true.
    #[must_use]
    pub fn contradictions(&self, id: RunId) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut say = |pointer: &str, rule: &str| {
            found.push(FieldError {
                pointer: pointer.to_owned(),
                rule: rule.to_owned(),
            });
        };
        if id.0.get_version_num() != 5 {
            say("/run_id", "a UUID of version 5");
        }
        match (self.schedule_id, self.due_at) {
            (Some(schedule), Some(due_at)) => {
                if RunId::of_schedule(schedule, due_at) != id {
                    let rule = "the schedule and due time that the run's id was made from";
                    say("/schedule_id", rule);
                }
                if due_at.timestamp_subsec_nanos() != 0 {
                    say("/due_at", "a whole second");
                }
            }
            (None, None) => {}
            _ => say("/due_at", "there if and only if schedule_id is"),
        }
        for (pointer, at) in [
            ("/due_at", self.due_at),
            ("/started_at", Some(self.started_at)),
        ] {
            if let Some(rule) = at.and_then(too_early) {
                say(pointer, &rule);
            }
        }
        if self.due_at.is_some_and(|due_at| self.started_at < due_at) {
            say("/started_at", "not before due_at");
        }
        if self.finished_at < self.started_at {
            say("/finished_at", "not before started_at");
        }
        if (self.outcome == RunOutcome::Failed) != self.failure.is_some() {
            say("/failure", "there if and only if the outcome is failed");
        }
        match self.outcome {
            RunOutcome::HeldBack if self.halt.is_none() => {
                say("/halt", "there where the outcome is held_back");
            }
            RunOutcome::Done if self.halt.is_some() => {
                say(
                    "/halt",
                    "there only where the outcome is held_back or failed",
                );
            }
            _ => {}
        }
        if self.mirrored.messages == 0 && self.mirrored.bytes > 0 {
            say("/mirrored/bytes", "0 where there are no messages");
        }
        if self.mirrored.bytes < self.mirrored.messages {
            say("/mirrored/bytes", "at least an octet of each message");
        }
        let mut numbers = vec![
            ("/mirrored/messages", self.mirrored.messages),
            ("/mirrored/bytes", self.mirrored.bytes),
        ];
        if let Some(halt) = &self.halt {
            numbers.extend([("/halt/messages", halt.messages), ("/halt/of", halt.of)]);
            if halt.messages == 0 {
                say("/halt/messages", "1 or more");
            }
            if halt.messages > halt.of {
                let rule = format!("at most {}, of which they are", halt.of);
                say("/halt/messages", &rule);
            }
            if !is_hex(&halt.id, 16) {
                say("/halt/id", "16 hex digits in lower case");
            }
        }
        for (pointer, number) in numbers {
            if number > LARGEST {
                say(pointer, &format!("at most {LARGEST}"));
            }
        }
        let Some(proof) = &self.certificate else {
            if self.kind == RunKind::Tx && self.outcome != RunOutcome::Failed {
                say("/certificate", "there for a Tx that is done or held back");
            }
            return found;
        };
        if self.kind != RunKind::Tx || self.outcome == RunOutcome::Failed {
            say(
                "/certificate",
                "there only for a Tx that is done or held back",
            );
        }
        if proof.triangle != self.triangle_id.to_string() {
            say("/certificate/triangle", "the id of the run's triangle");
        }
        if proof.tx_at < self.started_at {
            say("/certificate/tx_at", "not before started_at");
        }
        for (i, coverage) in proof.coverage.iter().enumerate() {
            if coverage
                .oldest_proof
                .is_some_and(|at| at > self.finished_at)
            {
                let pointer = format!("/certificate/coverage/{i}/oldest_proof");
                say(&pointer, "not after finished_at");
            }
        }
        if proof.tx_at > self.finished_at {
            say("/certificate/tx_at", "not after finished_at");
        }
        if self.schedule_id.is_some() && proof.depth == Depth::Volume {
            let rule = "ledger or content for a Tx of a schedule";
            say("/certificate/depth", rule);
        }
        found.extend(proof.contradictions().into_iter().map(|error| FieldError {
            pointer: format!("/certificate{}", error.pointer),
            ..error
        }));
        found
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::certificate::{Certificate, EARLIEST};
    use crate::ids::{ScheduleId, TriangleId};
    use crate::runs::{Failure, FailureCode, HaltFigures, Volume};
    use crate::vocabulary::Verdict;

    fn due() -> DateTime<Utc> {
        EARLIEST + TimeDelta::days(30)
    }

    fn seconds(after: i64) -> DateTime<Utc> {
        due() + TimeDelta::seconds(after)
    }

    /// A mirror run without mail, or the Tx of three corners without mail.
    fn report(kind: RunKind) -> RunReport {
        let triangle_id = TriangleId::new();
        RunReport {
            triangle_id,
            kind,
            schedule_id: Some(ScheduleId::new()),
            due_at: Some(due()),
            started_at: seconds(1),
            finished_at: seconds(3),
            offline: false,
            outcome: RunOutcome::Done,
            failure: None,
            mirrored: Volume::default(),
            halt: None,
            certificate: (kind == RunKind::Tx).then(|| proof(&triangle_id.to_string())),
        }
    }

    fn proof(triangle: &str) -> Certificate {
        let none = serde_json::json!({"messages": 0, "bytes": 0, "set_hash": "9".repeat(64)});
        let corner = |corner| serde_json::json!({"corner": corner, "whole": true, "content_verified": 0, "content_verified_now": 0});
        let corners = ["primary", "standby", "store"].map(corner);
        let lost = serde_json::json!({"vanished": 0, "put_back": 0});
        serde_json::from_value(serde_json::json!({
            "format": "maildreieck-certificate/1", "triangle": triangle, "tx_at": seconds(2), "depth": "ledger",
            "verdict": "balanced", "direction": "primary_to_standby", "epoch": 0, "cut": [],
            "corners": {"primary": none, "standby": none, "store": none}, "folders": [], "differences": [],
            "repairs": [], "new_tombstones": 0, "coverage": corners, "sequence": 1,
            "guard": {"day": lost, "week": lost, "of": 0}, "signing_key": "A".repeat(43),
            "nonce": "unanchored", "configuration_hash": "d".repeat(64), "agent_version": "0.1.0",
        }))
        .unwrap()
    }

    fn halt() -> HaltFigures {
        HaltFigures {
            id: "0123456789abcdef".to_owned(),
            messages: 21,
            of: 100,
        }
    }

    fn failure() -> Failure {
        Failure {
            code: FailureCode::Unreachable,
            corner: None,
            temporary: true,
        }
    }

    fn check(kind: RunKind, change: impl FnOnce(&mut RunReport), expected: &[&str]) {
        let mut report = report(kind);
        change(&mut report);
        let id = RunId::of_schedule(
            report.schedule_id.unwrap(),
            report.due_at.unwrap_or_else(due),
        );
        let found = report.contradictions(id);
        let found: Vec<String> = found.into_iter().map(|error| error.pointer).collect();
        assert_eq!(found, expected, "{report:#?}");
    }

    #[test]
    fn times_follow_each_other() {
        use RunKind::Tx;
        check(RunKind::Mirror, |_| {}, &[]);
        check(Tx, |_| {}, &[]);
        // All at one moment.
        check(
            Tx,
            |r| {
                (r.started_at, r.finished_at) = (due(), due());
                r.certificate.as_mut().unwrap().tx_at = due();
            },
            &[],
        );
        check(Tx, |r| r.started_at = seconds(-1), &["/started_at"]);
        check(
            Tx,
            |r| {
                (r.started_at, r.finished_at) = (seconds(-3), seconds(-1));
                r.certificate.as_mut().unwrap().tx_at = seconds(-2);
            },
            &["/started_at"],
        );
        check(
            Tx,
            |r| r.certificate.as_mut().unwrap().tx_at = seconds(-86_400),
            &["/certificate/tx_at"],
        );
        check(
            Tx,
            |r| r.certificate.as_mut().unwrap().tx_at = seconds(4),
            &["/certificate/tx_at"],
        );
        check(
            RunKind::Mirror,
            |r| r.finished_at = seconds(0),
            &["/finished_at"],
        );
        check(
            Tx,
            |r| {
                // Of a corner that was not read whole.
                let proof = r.certificate.as_mut().unwrap();
                proof.verdict = Verdict::Unproven;
                for (c, after) in proof.coverage.iter_mut().zip([3, 4, 3]) {
                    c.whole = false;
                    c.oldest_proof = Some(seconds(after));
                }
            },
            &["/certificate/coverage/1/oldest_proof"],
        );
    }

    #[test]
    fn nothing_is_older_than_the_first_agent() {
        let early = EARLIEST - TimeDelta::seconds(1);
        check(
            RunKind::Mirror,
            |r| (r.due_at, r.started_at) = (Some(early), early),
            &["/due_at", "/started_at"],
        );
        check(
            RunKind::Mirror,
            |r| r.started_at = DateTime::UNIX_EPOCH,
            &["/started_at", "/started_at"],
        );
    }

    #[test]
    fn what_is_held_back_has_its_halt() {
        use RunOutcome::{Failed, HeldBack};
        for kind in [RunKind::Mirror, RunKind::Tx] {
            check(
                kind,
                |r| (r.outcome, r.halt) = (HeldBack, Some(halt())),
                &[],
            );
            check(kind, |r| r.outcome = HeldBack, &["/halt"]);
            check(kind, |r| r.halt = Some(halt()), &["/halt"]);
            // The mirror was held back, and the proof failed.
            check(
                kind,
                |r| {
                    (r.outcome, r.halt) = (Failed, Some(halt()));
                    (r.failure, r.certificate) = (Some(failure()), None);
                },
                &[],
            );
        }
        let held = |halt| move |r: &mut RunReport| (r.outcome, r.halt) = (HeldBack, Some(halt));
        let none = HaltFigures {
            messages: 0,
            ..halt()
        };
        check(RunKind::Mirror, held(none), &["/halt/messages"]);
        for (messages, of) in [(11, 10), (1, 0)] {
            let beyond = HaltFigures {
                messages,
                of,
                ..halt()
            };
            check(RunKind::Mirror, held(beyond), &["/halt/messages"]);
        }
        let all = HaltFigures {
            messages: 10,
            of: 10,
            ..halt()
        };
        check(RunKind::Mirror, held(all), &[]);
        let named = HaltFigures {
            id: "Lohn".to_owned(),
            ..halt()
        };
        check(RunKind::Mirror, held(named), &["/halt/id"]);
    }

    #[test]
    fn a_tx_has_its_proof_unless_it_failed() {
        let without = |outcome| {
            move |r: &mut RunReport| {
                (r.outcome, r.certificate) = (outcome, None);
                r.halt = (outcome == RunOutcome::HeldBack).then(halt);
            }
        };
        check(RunKind::Tx, without(RunOutcome::Done), &["/certificate"]);
        check(
            RunKind::Tx,
            without(RunOutcome::HeldBack),
            &["/certificate"],
        );
        check(
            RunKind::Tx,
            |r| (r.outcome, r.failure) = (RunOutcome::Failed, Some(failure())),
            &["/certificate"],
        );
    }

    #[test]
    fn octets_are_of_messages() {
        check(
            RunKind::Mirror,
            |r| r.mirrored.bytes = 1,
            &["/mirrored/bytes"],
        );
        let mirrored =
            |messages, bytes| move |r: &mut RunReport| r.mirrored = Volume { messages, bytes };
        check(RunKind::Mirror, mirrored(5, 5), &[]);
        check(RunKind::Mirror, mirrored(5, 4), &["/mirrored/bytes"]);
        check(RunKind::Mirror, mirrored(5, 0), &["/mirrored/bytes"]);
    }

    #[test]
    fn a_runs_id_is_made_of_something() {
        let mut report = report(RunKind::Mirror);
        (report.schedule_id, report.due_at) = (None, None);
        let found = |id: uuid::Uuid| {
            let found = report.contradictions(RunId(id));
            found
                .into_iter()
                .map(|error| error.pointer)
                .collect::<Vec<_>>()
        };
        let by_hand = uuid::Uuid::new_v5(&uuid::Uuid::nil(), b"by hand");
        assert_eq!(found(by_hand), [""; 0]);
        assert_eq!(found(uuid::Uuid::nil()), ["/run_id"]);
        assert_eq!(found(uuid::Uuid::now_v7()), ["/run_id"]);
    }

    #[test]
    fn what_nobody_named_is_not_taken() {
        let whole = serde_json::to_value(report(RunKind::Tx)).unwrap();
        let parse = serde_json::from_value::<RunReport>;
        parse(whole.clone()).unwrap();
        for pointer in [
            "",
            "/mirrored",
            "/certificate",
            "/certificate/corners",
            "/certificate/corners/store",
            "/certificate/coverage/0",
        ] {
            let mut more = whole.clone();
            let object = more.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            object.insert("subject".to_owned(), "Re: offer".into());
            let error = parse(more).unwrap_err().to_string();
            assert!(error.contains("unknown field `subject`"), "{error}");
        }
    }
}
