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
                say("/halt", "there only where the outcome is held_back or failed");
            }
            _ => {}
        }
        if self.mirrored.messages == 0 && self.mirrored.bytes > 0 {
            say("/mirrored/bytes", "0 where there are no messages");
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
            say("/certificate", "there only for a Tx that is done or held back");
        }
        if proof.triangle != self.triangle_id.to_string() {
            say("/certificate/triangle", "the id of the run's triangle");
        }
        if proof.tx_at < self.started_at {
            say("/certificate/tx_at", "not before started_at");
        }
        for (i, coverage) in proof.coverage.iter().enumerate() {
            if coverage.oldest_proof.is_some_and(|at| at > self.finished_at) {
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
