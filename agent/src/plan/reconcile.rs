//! Tx: what differs between the corners, each message and corner counted once, each difference by its class.
//!
//! Pure: from entries of the corners and what the ledger can explain to a list of differences. What the primary lost
//! since it was last mirrored stands among its entries as [`Gone`]: its copies are looked for like all others.

mod alike;
mod matching;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner, Depth, Reason};
use serde::Serialize;

use self::matching::compare;
use self::volume::compare_volume;
use super::identity::{ContentId, Flags, InternalDate, LogicalFolder};

/// A message in a corner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The folder.
    pub folder: LogicalFolder,
    /// What it is.
    pub content: ContentId,
    /// When it came.
    pub date: InternalDate,
    /// How it is marked.
    pub flags: Flags,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// Its UID; 0 in the store.
    pub uid: u32,
    /// The UID of its copy, as the ledger has it (primary).
    pub copy: Option<u32>,
    /// Whether it came after the cut.
    pub late: bool,
    /// Whether, and when, it went from there (primary).
    pub gone: Option<Gone>,
    /// Whether it was on the standby before the triangle.
    pub preexisting: bool,
    /// Why it could not be copied, and whether its days are over (primary).
    pub quarantine: Option<(Class, bool)>,
    /// When its bytes were last read there, seconds since 1970.
    pub verified_at: Option<i64>,
}

/// A message that the ledger knows on the primary and that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It was there at the cut.
    Late,
    /// It went before the cut, and the mirror has not buried it yet. Its copies are held against each other.
    Before {
        /// Whether so few went with it that the guard lets them go.
        ordinary: bool,
    },
}

/// A difference between two corners, the primary and another where none is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Its class.
    pub class: Class,
    /// In which folder.
    pub folder: LogicalFolder,
    /// The corner that differs.
    pub corner: Corner,
    /// The corner that it differs from, where that is not the primary.
    pub against: Option<Corner>,
    /// What the message is.
    pub content: Option<ContentId>,
    /// Its UID in that corner, or on the primary where the corner lacks it.
    pub uid: Option<u32>,
    /// How many messages: more than one where it names a folder.
    pub count: u64,
    /// Why it counts as explained.
    pub reason: Option<Reason>,
    /// In words for the site.
    pub detail: String,
    /// Where the message lies that has this UID, so that somebody can look at it.
    pub lies: Option<Lies>,
    /// What the primary and the corner have, where they differ in one thing of a message.
    pub contrast: Option<Contrast>,
}

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lies {
    /// In which corner.
    pub corner: Corner,
    /// When it came there.
    pub date: InternalDate,
}

/// What the primary has, and then what the corner has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Contrast {
    /// Flags, as words.
    Flags(String, String),
    /// Dates.
    Dates(InternalDate, InternalDate),
    /// Folders.
    Folders(LogicalFolder, LogicalFolder),
    /// Messages and bytes of a folder.
    Volumes([u64; 2], [u64; 2]),
}

/// What explains a difference.
#[derive(Debug, Clone, Default)]
pub struct Explanations {
    /// Tombstones: folder and content, each good for one message that the primary lacks; `true` for the old copy of a
    /// moved one.
    pub tombstones: Vec<(LogicalFolder, ContentId, bool)>,
    /// Keywords that the corner refuses, lower case.
    pub refused_keywords: BTreeSet<String>,
    /// What the corner made of messages that it rewrites: each original with what says the same.
    pub equivalent: BTreeSet<(ContentId, ContentId)>,
    /// What waits in the store for a budget.
    pub unfilled: BTreeSet<ContentId>,
}

/// The corners as a Tx sees them.
#[derive(Debug, Clone, Default)]
pub struct Corners {
    /// The primary, as it was at the cut and as it is now.
    pub primary: Vec<Entry>,
    /// The standby.
    pub standby: Vec<Entry>,
    /// The store, by its own records.
    pub store: Vec<Entry>,
}

impl Corners {
    /// Compares all three pairs. Afterwards the primary's entries are those that count as its messages: what went after
    /// the cut is among them where a corner lacks it, since the primary had it then.
    pub fn compare(&mut self, explanations: &Explanations, depth: Depth) -> Vec<Difference> {
        let found = if depth == Depth::Volume {
            self.compare_volumes(explanations)
        } else {
            self.compare_messages(explanations)
        };
        self.primary.retain(|entry| entry.gone.is_none());
        found
    }

    fn compare_volumes(&self, explanations: &Explanations) -> Vec<Difference> {
        let (primary, standby) = (&self.primary, &self.standby);
        let mut found = compare_volume(primary, Corner::Standby, standby, explanations);
        let of_store = of_store(explanations);
        found.extend(compare_volume(
            primary,
            Corner::Store,
            &self.store,
            &of_store,
        ));
        found.sort();
        found
    }

    fn compare_messages(&mut self, explanations: &Explanations) -> Vec<Difference> {
        let of_store = of_store(explanations);
        loop {
            let for_store: Vec<Entry> = self
                .primary
                .iter()
                .map(|entry| for_store(entry, explanations))
                .collect();
            let standby = compare(&self.primary, Corner::Standby, &self.standby, explanations);
            let store = compare(&for_store, Corner::Store, &self.store, &of_store);
            let mut lacking = standby.lacking.into_iter().chain(store.lacking).peekable();
            if lacking.peek().is_none() {
                let mut found = standby.found;
                found.extend(store.found);
                drop_what_both_lack(&mut found);
                found.sort();
                return found;
            }
            // A corner lacks it: then it counts as one of the primary's, which had it at the cut.
            for index in lacking {
                if let Some(entry) = self.primary.get_mut(index) {
                    entry.gone = None;
                }
            }
        }
    }
}

/// What explains a difference of the store: it has no folder of its own making, and no tombstone is in V(store).
fn of_store(explanations: &Explanations) -> Explanations {
    Explanations {
        tombstones: Vec::new(),
        refused_keywords: BTreeSet::new(),
        ..explanations.clone()
    }
}

/// A message of the primary as it is looked for in the store: what the standby refused is there all the same, what
/// could not be read is not.
fn for_store(entry: &Entry, explanations: &Explanations) -> Entry {
    let waits = || explanations.unfilled.get(&entry.content);
    let lacks = |(class, _): &(Class, bool)| *class == Class::Pending || unreadable(entry);
    let quarantine = entry.quarantine.filter(lacks);
    Entry {
        quarantine: quarantine.or_else(|| waits().map(|_| (Class::Pending, false))),
        ..entry.clone()
    }
}

/// What stands for a message that cannot be read: nothing equals it.
#[must_use]
pub fn unreadable_content(folder: &LogicalFolder, uid: u32) -> ContentId {
    ContentId::of(format!("unreadable {folder} {uid}").as_bytes())
}

/// As [`unreadable_content`], of a message on the standby.
#[must_use]
pub fn unread_copy(folder: &LogicalFolder, uid: u32) -> ContentId {
    ContentId::of(format!("unreadable copy {folder} {uid}").as_bytes())
}

fn unreadable(entry: &Entry) -> bool {
    entry.content == unreadable_content(&entry.folder, entry.uid)
}

/// What the primary lost before the cut is in no corner's V that lacks it too: only what one of the two others has is a
/// difference between them.
fn drop_what_both_lack(found: &mut Vec<Difference>) {
    let mut lacking: BTreeMap<(LogicalFolder, ContentId), [u64; 2]> = BTreeMap::new();
    let key = |d: &Difference| Some((d.folder.clone(), d.content.filter(|_| d.against.is_some())?));
    for d in found.iter() {
        if let Some(key) = key(d) {
            let [standby, store] = lacking.entry(key).or_default();
            *if d.corner == Corner::Store {
                store
            } else {
                standby
            } += 1;
        }
    }
    let mut both: BTreeMap<(LogicalFolder, ContentId), [u64; 2]> = lacking
        .into_iter()
        .map(|(key, [standby, store])| (key, [standby.min(store); 2]))
        .collect();
    found.retain(|d| {
        let Some([standby, store]) = key(d).and_then(|key| both.get_mut(&key)) else {
            return true;
        };
        let left = if d.corner == Corner::Store {
            store
        } else {
            standby
        };
        let kept = *left == 0;
        *left = left.saturating_sub(1);
        kept
    });
}

const WAITS: &str = "waits for an account's budget of octets a day";

/// Messages of a folder that have not been read because they wait for a budget.
#[must_use]
pub fn waits(folder: &LogicalFolder, corner: Corner, count: u64) -> Difference {
    Difference {
        class: Class::Pending,
        folder: folder.clone(),
        corner,
        against: None,
        content: None,
        uid: None,
        count,
        reason: None,
        detail: WAITS.to_owned(),
        lies: None,
        contrast: None,
    }
}

/// Folders that the triangle leaves out, with what they hold on the primary: said, so that nobody takes
/// them for mirrored.
#[must_use]
pub fn left_out(folders: &[(LogicalFolder, u32)]) -> Vec<Difference> {
    let difference = |corner, (folder, messages): &(LogicalFolder, u32)| Difference {
        class: Class::Excluded,
        folder: folder.clone(),
        corner,
        against: None,
        content: None,
        uid: None,
        count: u64::from(*messages),
        reason: Some(Reason::ByClass),
        detail: format!("{messages} messages on the primary, left out by exclude_folders"),
        lies: None,
        contrast: None,
    };
    let filled = || folders.iter().filter(|(_, messages)| *messages > 0);
    let standby = filled().map(|f| difference(Corner::Standby, f));
    standby
        .chain(filled().map(|f| difference(Corner::Store, f)))
        .collect()
}
