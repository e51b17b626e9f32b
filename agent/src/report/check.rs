//! What `store check` says: what the store found, and which messages that concerns. It stays on site.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use maildreieck_api_spec::vocabulary::Corner;
use serde::Serialize;

use super::head::harmless;
use crate::ledger::Ledger;
use crate::plan::identity::{ContentId, MemberId};
use crate::store::{CheckReport, Store, StoreError};

/// Messages that are named in words; all of them are in the document.
const NAMED: usize = 20;

/// A check with the messages that cannot be read.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What the store found.
    #[serde(flatten)]
    pub report: CheckReport,
    /// The messages whose octets are damaged or lost.
    pub unreadable_messages: Vec<Unreadable>,
}

/// A message whose octets cannot be read.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// Of which triangle.
    pub triangle: String,
    /// Where it lies, or lay, on the primary.
    pub folder: String,
    /// Its UID there, where the ledger knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// What it is.
    pub content_id: String,
    /// When it came.
    pub date: Option<DateTime<Utc>>,
    /// Octets.
    pub bytes: u32,
    /// When it was seen to be gone from the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Checked {
    /// Names the messages of these triangles whose octets the check could not read. The ledger only adds UIDs.
    ///
    /// # Errors
    /// The store's index cannot be read.
    pub fn new<'a>(
        report: CheckReport,
        store: &Store,
        triangles: impl Iterator<Item = &'a str>,
        mut ledger: Option<Ledger>,
    ) -> Result<Self, StoreError> {
        let contents = report.damaged.iter().chain(&report.lost).copied();
        let contents: BTreeSet<ContentId> = contents.collect();
        let mut unreadable_messages = Vec::new();
        for triangle in triangles.filter(|_| !contents.is_empty()) {
            let rows = ledger.as_mut().and_then(|ledger| {
                let rows = ledger.stored_rows(triangle, Corner::Primary);
                rows.ok()
            });
            let uids = rows
                .into_iter()
                .flatten()
                .map(|row| (row.member, row.at.uid));
            let uids: BTreeMap<MemberId, u32> = uids.collect();
            store.each_member(triangle, |member| {
                if contents.contains(&member.content) {
                    let at = |seconds| DateTime::from_timestamp(seconds, 0);
                    unreadable_messages.push(Unreadable {
                        triangle: triangle.to_owned(),
                        folder: member.folder.to_string(),
                        uid: uids.get(&member.member).copied(),
                        content_id: member.content.to_string(),
                        date: member.date.to_utc(),
                        bytes: member.size,
                        deleted_at: member.tombstone.and_then(at),
                    });
                }
            })?;
        }
        Ok(Self {
            report,
            unreadable_messages,
        })
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        for message in self.unreadable_messages.iter().take(NAMED) {
            let folder = harmless(&message.folder, 60);
            write!(f, "\n  unreadable: {} '{folder}'", message.triangle)?;
            if let Some(uid) = message.uid {
                write!(f, " UID {uid}")?;
            }
            if let Some(date) = message.date {
                write!(f, ", of {}", date.format("%F %R UTC"))?;
            }
            write!(f, ", {} bytes", message.bytes)?;
            if message.deleted_at.is_some() {
                f.write_str(", deleted on the primary since")?;
            }
            let id = message.content_id.get(..16).unwrap_or_default();
            write!(f, ", content {id}…")?;
        }
        match self.unreadable_messages.len().checked_sub(NAMED) {
            Some(more) if more > 0 => write!(f, "\n  and {more} more; --json lists all"),
            _ => Ok(()),
        }
    }
}
