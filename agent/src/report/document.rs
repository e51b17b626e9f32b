//! The JSON document of a command, as it goes to standard output. It stays on site, so it names folders.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::certificate::{Certificate, Corners};
use maildreieck_api_spec::runs::Volume;
use maildreieck_api_spec::vocabulary::{Corner, Depth, Verdict};
use serde::Serialize;

use crate::config::TriangleConfig;
use crate::error::AgentError;
use crate::imap::Protocol;
use crate::ledger::Halt;
use crate::plan::mirror::Plan;
use crate::plan::reconcile::{Contrast, Difference};

use super::{Head, Mirrored, Pending, Proof, RefusedFolder, UnreadMessage};

/// What a command says of all its triangles.
#[derive(Debug, Default, Serialize)]
pub struct Document {
    /// The triangles, in the order of the file.
    pub triangles: Vec<TriangleReport>,
}

/// What a command says of one triangle.
#[derive(Debug, Default, Serialize)]
pub struct TriangleReport {
    /// Its name.
    pub triangle: String,
    /// What is spoken with the primary, where that is POP3: its INBOX alone is mirrored and compared, without flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_protocol: Option<Protocol>,
    /// The verdict of a Tx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// When it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_at: Option<DateTime<Utc>>,
    /// How deep it looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// The corners' figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corners: Option<Corners>,
    /// Sent to the target.
    pub mirrored: Volume,
    /// Repairs since the last Tx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<Vec<RepairLine>>,
    /// The differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discrepancies: Option<Vec<Discrepancy>>,
    /// What this proof did not look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_at_this_depth: Option<Vec<Unseen>>,
    /// How much was proved by reading bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// What the guard holds back.
    pub halt: Option<HaltLine>,
    /// What waits for an account's budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Folders that a server lists and refuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_folders: Vec<RefusedFolder>,
    /// Messages that could not be read back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread_messages: Vec<UnreadMessage>,
    /// What may leave the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What a dry run would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorLine>,
}

/// A repair.
#[derive(Debug, Serialize)]
pub struct RepairLine {
    /// What had been wrong.
    pub class: &'static str,
    /// In which folder.
    pub folder: String,
    /// In which corner.
    pub corner: Corner,
    /// Which message.
    pub content_id: String,
    /// When it was mended.
    pub at: Option<DateTime<Utc>>,
}

/// A difference.
#[derive(Debug, Serialize)]
pub struct Discrepancy {
    /// Its class.
    pub class: &'static str,
    /// In which folder.
    pub folder: String,
    /// In which corner.
    pub corner: Corner,
    /// Which message; none at volume depth.
    pub content_id: Option<String>,
    /// Its UID.
    pub uid: Option<u32>,
    /// In which corner it has that UID: what a corner lacks has that of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid_corner: Option<Corner>,
    /// How many messages; more than one where it names a folder.
    pub messages: u64,
    /// Whether something explains it.
    pub explained: bool,
    /// In words.
    pub detail: String,
    /// The message's subject, decoded and made harmless; absent where nobody knows it. It stays on site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who it says it is from; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Its Date line, or when it came where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateTime<Utc>>,
    /// What the primary and the corner have.
    #[serde(skip)]
    pub(super) contrast: Option<Contrast>,
}

/// What a proof does not look at, so that nobody takes it for seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// Which messages they are, where a folder holds as many, of as many bytes.
    Messages,
    /// Flags and keywords.
    Flags,
    /// When each came.
    Dates,
    /// The octets of what was not read back this time: what a disk changes behind a UID shows nowhere else.
    Octets,
}

/// How much was proved by reading bytes.
#[derive(Debug, Serialize)]
pub struct Coverage {
    /// Messages, all corners together.
    pub messages: u64,
    /// Messages whose bytes have been verified, all corners together.
    pub content_verified: u64,
    /// Those of them whose bytes this proof has read.
    pub content_verified_now: u64,
    /// The oldest of the last verifications; none while a message has none.
    pub oldest_proof: Option<DateTime<Utc>>,
    /// Whether the primary's budget of bytes a day ended reading back: the rest is read by later proofs.
    pub budget_ended: bool,
}

/// What the guard holds back.
#[derive(Debug, Serialize)]
pub struct HaltLine {
    /// Its id, for `confirm`.
    pub id: String,
    /// Messages that vanished or need putting back.
    pub messages: u64,
    /// Of how many.
    pub of: u64,
}

/// Why a triangle failed.
#[derive(Debug, Serialize)]
pub struct ErrorLine {
    /// In words.
    pub message: String,
    /// Whether trying again can help.
    pub temporary: bool,
}

impl TriangleReport {
    /// A report of nothing yet.
    #[must_use]
    pub fn new(triangle: &TriangleConfig) -> Self {
        let protocol = triangle.primary.protocol;
        Self {
            triangle: triangle.name.clone(),
            primary_protocol: (protocol != Protocol::Imap).then_some(protocol),
            ..Self::default()
        }
    }

    /// Takes what a mirror run did.
    pub fn take_mirrored(&mut self, mirrored: &Mirrored) {
        self.mirrored = mirrored.volume;
        self.halt = mirrored.halt.as_ref().map(
            |Halt {
                 id, messages, of, ..
             }| HaltLine {
                id: id.clone(),
                messages: *messages,
                of: *of,
            },
        );
        self.pending.clone_from(&mirrored.pending);
        self.refused_folders.clone_from(&mirrored.refused);
        self.plan.clone_from(&mirrored.dry_run);
    }

    /// Takes what a Tx proved, and what the messages of its differences are called.
    pub fn take_proof(&mut self, proof: &Proof, heads: Vec<Head>) {
        let certificate = &proof.certificate;
        self.verdict = Some(proof.verdict);
        self.tx_at = Some(proof.tx_at);
        self.depth = Some(certificate.depth);
        self.corners = Some(certificate.corners.clone());
        let repair = |r: &crate::ledger::RepairRow| RepairLine {
            class: r.class.as_str(),
            folder: r.folder.to_string(),
            corner: r.corner,
            content_id: r.content.to_string(),
            at: DateTime::from_timestamp(r.at, 0),
        };
        self.repairs = Some(proof.repairs.iter().map(repair).collect());
        let discrepancy = |(d, head): (&Difference, Head)| Discrepancy {
            class: d.class.as_str(),
            folder: d.folder.to_string(),
            corner: d.corner,
            content_id: d.content.map(|c| c.to_string()),
            uid: d.uid,
            uid_corner: d.uid.and(d.lies).map(|lies| lies.corner),
            messages: d.count,
            explained: d.reason.is_some(),
            detail: d.detail.clone(),
            subject: head.subject,
            sender: head.sender,
            date: head.date,
            contrast: d.contrast.clone(),
        };
        let heads = heads
            .into_iter()
            .chain(std::iter::repeat_with(Head::default));
        let named = proof.differences.iter().zip(heads);
        self.discrepancies = Some(named.map(discrepancy).collect());
        let coverage = Coverage {
            budget_ended: proof.budget_ended,
            ..coverage(certificate)
        };
        self.unseen_at_this_depth = Some(unseen(certificate, &coverage));
        self.coverage = Some(coverage);
        // A proof that follows a mirror looked at both accounts again.
        self.refused_folders.clone_from(&proof.refused);
        self.unread_messages.clone_from(&proof.unread);
        self.certificate = Some(certificate.clone());
    }

    /// Takes a failure.
    pub fn take_error(&mut self, error: &AgentError) {
        self.error = Some(ErrorLine {
            message: error.to_string(),
            temporary: error.temporary(),
        });
    }
}

/// The corners' coverage in one.
fn coverage(certificate: &Certificate) -> Coverage {
    let corners = &certificate.corners;
    let messages = [
        corners.primary.messages,
        corners.standby.messages,
        corners.store.messages,
    ];
    let coverage = || certificate.coverage.iter();
    let filled = coverage().zip(messages).filter(|(_, n)| *n > 0);
    let oldest: Option<Vec<DateTime<Utc>>> = filled.map(|(c, _)| c.oldest_proof).collect();
    Coverage {
        messages: messages.into_iter().sum(),
        content_verified: coverage().map(|c| c.content_verified).sum(),
        content_verified_now: coverage().map(|c| c.content_verified_now).sum(),
        oldest_proof: oldest.and_then(|times| times.into_iter().min()),
        budget_ended: false,
    }
}

/// What a proof did not look at. At depth `content` all is read, or a corner is not whole.
fn unseen(certificate: &Certificate, coverage: &Coverage) -> Vec<Unseen> {
    let all_read = coverage.content_verified_now >= coverage.messages;
    let whole = certificate.coverage.iter().all(|c| c.whole);
    match certificate.depth {
        Depth::Volume => vec![
            Unseen::Messages,
            Unseen::Flags,
            Unseen::Dates,
            Unseen::Octets,
        ],
        Depth::Content if whole => vec![],
        _ if all_read => vec![],
        _ => vec![Unseen::Octets],
    }
}

impl Document {
    /// The exit code: 4 held back, else 1 failed, else 3 unbalanced, unproven, waiting for a budget or with a folder
    /// that was refused, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let any = |test: fn(&TriangleReport) -> bool| self.triangles.iter().any(test);
        if any(|t| t.halt.is_some()) {
            4
        } else if any(|t| t.error.is_some()) {
            1
        } else if any(|t| {
            t.verdict.is_some_and(|v| v != Verdict::Balanced)
                || t.pending.is_some()
                || !t.refused_folders.is_empty()
        }) {
            3
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_exit_code_that_applies() {
        let halt = || HaltLine {
            id: "x".to_owned(),
            messages: 1,
            of: 2,
        };
        let error = || ErrorLine {
            message: "x".to_owned(),
            temporary: false,
        };
        let check = |verdict, halted: bool, failed: bool, expected| {
            let report = TriangleReport {
                verdict,
                halt: halted.then(halt),
                error: failed.then(error),
                ..TriangleReport::default()
            };
            assert_eq!(
                Document {
                    triangles: vec![report]
                }
                .exit_code(),
                expected
            );
        };
        check(None, false, false, 0);
        check(Some(Verdict::Balanced), false, false, 0);
        check(Some(Verdict::Unbalanced), false, false, 3);
        check(Some(Verdict::Unproven), false, false, 3);
        check(None, false, true, 1);
        check(Some(Verdict::Unbalanced), true, true, 4);
    }
}
