//! Tx: what differs between two corners, each message and corner counted once, each difference by its class.
//!
//! Pure: from entries of the corners and what the ledger can explain to a list of differences. Matching
//! runs in passes over what is left; the first that fits wins.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner, Reason};
use serde::Serialize;

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
    /// Whether it was on the standby before the triangle.
    pub preexisting: bool,
    /// Why it could not be copied, and whether its days are over (primary).
    pub quarantine: Option<(Class, bool)>,
    /// When its bytes were last read there, seconds since 1970.
    pub verified_at: Option<i64>,
}

/// A difference between the primary and another corner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Its class.
    pub class: Class,
    /// In which folder.
    pub folder: LogicalFolder,
    /// The corner that differs from the primary.
    pub corner: Corner,
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
}

/// What explains a message that the primary lacks.
#[derive(Debug, Clone, Default)]
pub struct Explanations {
    /// Tombstones: folder and content, each good for one message; `true` for the old copy of a moved one.
    pub tombstones: Vec<(LogicalFolder, ContentId, bool)>,
    /// Vanished on the primary since it was mirrored; `false` where so many did that the guard holds them back.
    pub vanished: Vec<(LogicalFolder, ContentId, bool)>,
    /// Keywords that the corner refuses, lower case.
    pub refused_keywords: BTreeSet<String>,
    /// What the corner made of messages that it rewrites: each original with what says the same.
    pub equivalent: BTreeSet<(ContentId, ContentId)>,
}

/// Compares a corner with the primary.
#[must_use]
pub fn compare(
    primary: &[Entry],
    corner: Corner,
    other: &[Entry],
    explanations: &Explanations,
) -> Vec<Difference> {
    let mut matching = Matching {
        corner,
        explanations,
        left: primary.iter().map(Some).collect(),
        right: other.iter().map(Some).collect(),
        found: Vec::new(),
    };
    matching.equal();
    matching.but_for_flags();
    matching.but_for_date();
    matching.elsewhere();
    matching.altered();
    matching.rest(primary, other);
    matching.found.sort();
    matching.found
}

struct Matching<'a> {
    corner: Corner,
    explanations: &'a Explanations,
    left: Vec<Option<&'a Entry>>,
    right: Vec<Option<&'a Entry>>,
    found: Vec<Difference>,
}

impl<'a> Matching<'a> {
    /// Pairs what has the same key, in the order of the lists, and says each pair.
    fn pair<K: Ord>(
        &mut self,
        key: impl Fn(&Entry) -> K,
        copy_key: impl Fn(&Entry) -> K,
        mut say: impl FnMut(&mut Vec<Difference>, &'a Entry, &'a Entry),
    ) {
        let mut free: BTreeMap<K, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.right.iter().enumerate().rev() {
            if let Some(entry) = entry {
                free.entry(copy_key(entry)).or_default().push(index);
            }
        }
        if free.is_empty() {
            return;
        }
        for slot in &mut self.left {
            let Some(entry) = *slot else { continue };
            let Some(index) = free.get_mut(&key(entry)).and_then(Vec::pop) else {
                continue;
            };
            if let Some(other) = self.right.get_mut(index).and_then(Option::take) {
                say(&mut self.found, entry, other);
                *slot = None;
            }
        }
    }

    fn equal(&mut self) {
        let key = |e: &Entry| {
            (
                e.folder.clone(),
                e.content,
                e.date,
                e.flags.to_string().to_ascii_lowercase(),
            )
        };
        self.pair(key, key, |_, _, _| {});
    }

    fn but_for_flags(&mut self) {
        let key = |e: &Entry| (e.folder.clone(), e.content, e.date);
        let (corner, refused) = (self.corner, &self.explanations.refused_keywords);
        self.pair(key, key, |found, left, right| {
            let kept = left
                .flags
                .retain_keywords(|k| !refused.contains(&k.as_str().to_ascii_lowercase()));
            let reason = kept
                .same(&right.flags)
                .then_some(Reason::UnsupportedKeyword);
            let detail = format!(
                "primary: {}; {corner}: {}",
                words(&left.flags),
                words(&right.flags)
            );
            found.push(difference(
                Class::FlagsDiffer,
                corner,
                right,
                reason,
                detail,
            ));
        });
    }

    fn but_for_date(&mut self) {
        let key = |e: &Entry| (e.folder.clone(), e.content);
        let corner = self.corner;
        self.pair(key, key, |found, left, right| {
            // Beyond what a 32-bit time holds servers clamp silently.
            let clamped = i32::try_from(left.date.0).is_err() || left.date.0 < 0;
            let detail = format!("primary: {}; {corner}: {}", day(left.date), day(right.date));
            let reason = clamped.then_some(Reason::ClampedDate);
            found.push(difference(
                Class::DateDiffers,
                corner,
                right,
                reason,
                detail,
            ));
        });
    }

    fn elsewhere(&mut self) {
        // What a tombstone explains is no misplaced copy of an equal message.
        let mut kept: Vec<(usize, &Entry)> = Vec::new();
        let mut tombstones = self.tombstones();
        for (index, slot) in self.right.iter_mut().enumerate() {
            if let Some(entry) = *slot
                && let Some(left) = tombstones
                    .get_mut(&(entry.folder.clone(), entry.content))
                    .filter(|left| **left > 0)
            {
                *left -= 1;
                kept.push((index, entry));
                *slot = None;
            }
        }
        // Mail that came after the cut has no counterpart yet, an equal one elsewhere is another message.
        let late: Vec<(usize, &Entry)> = self
            .left
            .iter()
            .enumerate()
            .filter_map(|(i, e)| e.filter(|e| e.late).map(|e| (i, e)))
            .collect();
        for (index, _) in &late {
            if let Some(slot) = self.left.get_mut(*index) {
                *slot = None;
            }
        }
        let key = |e: &Entry| e.content;
        let corner = self.corner;
        self.pair(key, key, |found, left, right| {
            let detail = format!("on the primary in '{}'", left.folder);
            found.push(difference(Class::Misplaced, corner, right, None, detail));
        });
        for (index, entry) in late {
            if let Some(slot) = self.left.get_mut(index) {
                *slot = Some(entry);
            }
        }
        for (index, entry) in kept {
            if let Some(slot) = self.right.get_mut(index) {
                *slot = Some(entry);
            }
        }
    }

    fn tombstones(&self) -> BTreeMap<(LogicalFolder, ContentId), u32> {
        let mut counts = BTreeMap::new();
        let vanished = self
            .explanations
            .vanished
            .iter()
            .filter(|(.., ordinary)| *ordinary);
        for (folder, content, _) in self.explanations.tombstones.iter().chain(vanished) {
            *counts.entry((folder.clone(), *content)).or_insert(0) += 1;
        }
        counts
    }

    fn altered(&mut self) {
        if self.corner == Corner::Store {
            return;
        }
        let (corner, equivalent) = (self.corner, &self.explanations.equivalent);
        let key = |e: &Entry| (e.folder.clone(), e.copy.unwrap_or(0));
        let copy_key = |e: &Entry| (e.folder.clone(), e.uid);
        self.pair(key, copy_key, |found, left, right| {
            let (class, reason, detail) = if equivalent.contains(&(left.content, right.content)) {
                let detail = format!(
                    "the primary's UID {} says the same in another form",
                    left.uid
                );
                (Class::Equivalent, Some(Reason::ByClass), detail)
            } else {
                let detail = format!("the primary's UID {} has other octets", left.uid);
                (Class::Altered, None, detail)
            };
            found.push(difference(class, corner, right, reason, detail));
        });
    }

    fn rest(&mut self, primary: &[Entry], other: &[Entry]) {
        let corner = self.corner;
        let merged = merged(primary, other);
        for entry in self.left.iter().flatten() {
            let missing = if corner == Corner::Store {
                Class::MissingInStore
            } else {
                Class::MissingAtStandby
            };
            let (class, reason, detail) = match entry.quarantine {
                _ if entry.late => (
                    Class::Late,
                    Some(Reason::ByClass),
                    "came after the cut".to_owned(),
                ),
                Some((class, over)) => {
                    let reason =
                        (class == Class::Quarantined && !over).then_some(Reason::WithinGrace);
                    (
                        class,
                        reason,
                        match class {
                            Class::Pending => WAITS,
                            Class::DoesNotStay => {
                                "was put back once and is gone or changed again; it is not sent a third time"
                            }
                            _ => "cannot be read or was refused; it is tried again twice a day",
                        }
                        .to_owned(),
                    )
                }
                None if entry
                    .copy
                    .is_some_and(|uid| merged.contains(&(&entry.folder, uid))) =>
                {
                    (
                        Class::HostMerged,
                        Some(Reason::ByClass),
                        format!("the {corner} keeps it and an equal one as one"),
                    )
                }
                None => (
                    missing,
                    None,
                    format!("the primary's UID {} is not in this corner", entry.uid),
                ),
            };
            self.found
                .push(difference(class, corner, entry, reason, detail));
        }
        let mut tombstones: BTreeMap<(&LogicalFolder, ContentId), Vec<bool>> = BTreeMap::new();
        for (folder, content, moved) in &self.explanations.tombstones {
            tombstones
                .entry((folder, *content))
                .or_default()
                .push(*moved);
        }
        let mut vanished: BTreeMap<(&LogicalFolder, ContentId), Vec<bool>> = BTreeMap::new();
        for (folder, content, ordinary) in &self.explanations.vanished {
            vanished
                .entry((folder, *content))
                .or_default()
                .push(*ordinary);
        }
        let known: BTreeSet<(&LogicalFolder, ContentId)> =
            primary.iter().map(|e| (&e.folder, e.content)).collect();
        for entry in self.right.iter().flatten() {
            let key = (&entry.folder, entry.content);
            let by_class = Some(Reason::ByClass);
            let (class, reason, detail) = if entry.late {
                (Class::Late, by_class, "came after the cut")
            } else if let Some(moved) = tombstones.get_mut(&key).and_then(Vec::pop) {
                if moved {
                    (
                        Class::Moved,
                        by_class,
                        "the old copy of a message that was moved on the primary",
                    )
                } else {
                    (
                        Class::MissingAtPrimary,
                        by_class,
                        "vanished on the primary; its copy stays",
                    )
                }
            } else if let Some(ordinary) = vanished.get_mut(&key).and_then(Vec::pop) {
                let reason = by_class.filter(|_| ordinary);
                (
                    Class::MissingAtPrimary,
                    reason,
                    "vanished on the primary since it was last mirrored",
                )
            } else if entry.preexisting {
                (
                    Class::Preexisting,
                    by_class,
                    "was on the standby before the triangle",
                )
            } else if known.contains(&key) {
                (Class::Duplicate, None, "more copies than the primary has")
            } else if corner == Corner::Store {
                (
                    Class::MissingAtPrimary,
                    None,
                    "the store has it as present, the primary does not",
                )
            } else {
                (Class::ForeignAtStandby, None, "put there by somebody else")
            };
            self.found
                .push(difference(class, corner, entry, reason, detail.to_owned()));
        }
    }
}

/// The copies that are one for several equal messages, by folder and UID: the server told the same UID for each.
fn merged<'a>(primary: &'a [Entry], other: &[Entry]) -> BTreeSet<(&'a LogicalFolder, u32)> {
    let mut copies: BTreeMap<(&LogicalFolder, u32, ContentId), u32> = BTreeMap::new();
    for entry in primary {
        if let Some(uid) = entry.copy {
            *copies
                .entry((&entry.folder, uid, entry.content))
                .or_default() += 1;
        }
    }
    copies.retain(|_, count| *count > 1);
    if copies.is_empty() {
        return BTreeSet::new();
    }
    let there = other.iter().map(|e| (&e.folder, e.uid, e.content));
    let there: BTreeSet<(&LogicalFolder, u32, ContentId)> = there.collect();
    let copies = copies.into_keys().filter(|copy| there.contains(copy));
    copies.map(|(folder, uid, _)| (folder, uid)).collect()
}

fn difference(
    class: Class,
    corner: Corner,
    entry: &Entry,
    reason: Option<Reason>,
    detail: String,
) -> Difference {
    Difference {
        class,
        folder: entry.folder.clone(),
        corner,
        content: Some(entry.content),
        uid: (entry.uid > 0).then_some(entry.uid),
        count: 1,
        reason,
        detail,
    }
}

fn words(flags: &Flags) -> String {
    if flags.is_empty() {
        "no flags".to_owned()
    } else {
        flags.to_string()
    }
}

fn day(date: InternalDate) -> String {
    date.to_utc().map_or_else(
        || "no date".to_owned(),
        |d| d.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Compares counts and octets alone, folder by folder: the essay's test. It names folders, not messages.
#[must_use]
pub fn compare_volume(
    primary: &[Entry],
    corner: Corner,
    other: &[Entry],
    explanations: &Explanations,
) -> Vec<Difference> {
    let volume = |entries: &[Entry]| {
        let mut volumes: BTreeMap<LogicalFolder, (u64, u64)> = BTreeMap::new();
        for entry in entries.iter().filter(|e| !e.late && !e.preexisting) {
            let volume = volumes.entry(entry.folder.clone()).or_default();
            volume.0 += 1;
            volume.1 += u64::from(entry.size);
        }
        volumes
    };
    let (here, mut there) = (volume(primary), volume(other));
    let mut explained: BTreeMap<(&LogicalFolder, ContentId), u32> = BTreeMap::new();
    for (folder, content, _) in &explanations.tombstones {
        *explained.entry((folder, *content)).or_default() += 1;
    }
    for entry in other {
        if let Some(left) = explained
            .get_mut(&(&entry.folder, entry.content))
            .filter(|left| **left > 0)
            && let Some(volume) = there.get_mut(&entry.folder)
        {
            *left -= 1;
            volume.0 = volume.0.saturating_sub(1);
            volume.1 = volume.1.saturating_sub(u64::from(entry.size));
        }
    }
    let names: BTreeSet<&LogicalFolder> = here.keys().chain(there.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (left, right) = (
            here.get(name).copied().unwrap_or_default(),
            there.get(name).copied().unwrap_or_default(),
        );
        let class = match left.0.cmp(&right.0) {
            std::cmp::Ordering::Equal if left.1 == right.1 => continue,
            std::cmp::Ordering::Equal => Class::Altered,
            std::cmp::Ordering::Greater if corner == Corner::Store => Class::MissingInStore,
            std::cmp::Ordering::Greater => Class::MissingAtStandby,
            std::cmp::Ordering::Less if corner == Corner::Store => Class::Duplicate,
            std::cmp::Ordering::Less => Class::ForeignAtStandby,
        };
        found.push(Difference {
            class,
            folder: name.clone(),
            corner,
            content: None,
            uid: None,
            count: left.0.abs_diff(right.0).max(1),
            reason: None,
            detail: format!(
                "primary: {} messages, {} bytes; {corner}: {} messages, {} bytes",
                left.0, left.1, right.0, right.1
            ),
        });
    }
    found
}

const WAITS: &str = "waits for an account's budget of octets a day";

/// Messages of a folder that have not been read because they wait for a budget.
#[must_use]
pub fn waits(folder: &LogicalFolder, corner: Corner, count: u64) -> Difference {
    Difference {
        class: Class::Pending,
        folder: folder.clone(),
        corner,
        content: None,
        uid: None,
        count,
        reason: None,
        detail: WAITS.to_owned(),
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
        content: None,
        uid: None,
        count: u64::from(*messages),
        reason: Some(Reason::ByClass),
        detail: format!("{messages} messages on the primary, left out by exclude_folders"),
    };
    let filled = || folders.iter().filter(|(_, messages)| *messages > 0);
    let standby = filled().map(|f| difference(Corner::Standby, f));
    standby
        .chain(filled().map(|f| difference(Corner::Store, f)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(folder: &str, octets: &str, uid: u32) -> Entry {
        Entry {
            folder: LogicalFolder::from_stored(folder),
            content: ContentId::of(octets.as_bytes()),
            date: InternalDate(1_700_000_000),
            flags: Flags::default(),
            size: 10,
            uid,
            copy: None,
            late: false,
            preexisting: false,
            quarantine: None,
            verified_at: None,
        }
    }

    fn check(
        primary: &[Entry],
        standby: &[Entry],
        explanations: &Explanations,
        expected: &[(Class, bool)],
    ) {
        let found = compare(primary, Corner::Standby, standby, explanations);
        let found: Vec<(Class, bool)> = found
            .iter()
            .map(|d| (d.class, d.reason.is_some()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_message_counts_once() {
        let none = Explanations::default();
        check(&[], &[], &none, &[]);
        let (a, b) = (entry("INBOX", "a", 1), entry("INBOX", "b", 2));
        check(&[a.clone(), b.clone()], &[b.clone(), a.clone()], &none, &[]);
        check(&[a.clone(), a.clone()], &[a.clone(), a.clone()], &none, &[]);
        check(
            &[a.clone(), a.clone()],
            std::slice::from_ref(&a),
            &none,
            &[(Class::MissingAtStandby, false)],
        );
        check(
            std::slice::from_ref(&a),
            &[a.clone(), a.clone()],
            &none,
            &[(Class::Duplicate, false)],
        );
        check(
            std::slice::from_ref(&a),
            &[a.clone(), b.clone()],
            &none,
            &[(Class::ForeignAtStandby, false)],
        );
        check(
            std::slice::from_ref(&a),
            &[entry("Sent", "a", 1)],
            &none,
            &[(Class::Misplaced, false)],
        );
        let flagged = Entry {
            flags: "\\Seen".parse().unwrap(),
            ..a.clone()
        };
        check(
            std::slice::from_ref(&a),
            std::slice::from_ref(&flagged),
            &none,
            &[(Class::FlagsDiffer, false)],
        );
        let later = Entry {
            date: InternalDate(1),
            ..a.clone()
        };
        check(
            std::slice::from_ref(&a),
            std::slice::from_ref(&later),
            &none,
            &[(Class::DateDiffers, false)],
        );
        let old = Entry {
            date: InternalDate(-1),
            ..a.clone()
        };
        check(
            std::slice::from_ref(&old),
            std::slice::from_ref(&a),
            &none,
            &[(Class::DateDiffers, true)],
        );
        let linked = Entry {
            copy: Some(7),
            ..a.clone()
        };
        check(
            &[linked],
            &[entry("INBOX", "x", 7)],
            &none,
            &[(Class::Altered, false)],
        );
        let late = Entry {
            late: true,
            ..a.clone()
        };
        check(&[late], &[], &none, &[(Class::Late, true)]);
        let aside = Entry {
            quarantine: Some((Class::Quarantined, false)),
            ..a.clone()
        };
        check(&[aside], &[], &none, &[(Class::Quarantined, true)]);
        let over = Entry {
            quarantine: Some((Class::Quarantined, true)),
            ..a
        };
        check(&[over], &[], &none, &[(Class::Quarantined, false)]);
    }

    #[test]
    fn tombstones_explain_one_message_each() {
        let a = entry("INBOX", "a", 1);
        let tombstone = (a.folder.clone(), a.content, false);
        let once = Explanations {
            tombstones: vec![tombstone.clone()],
            ..Default::default()
        };
        check(
            &[],
            std::slice::from_ref(&a),
            &once,
            &[(Class::MissingAtPrimary, true)],
        );
        check(
            &[],
            &[a.clone(), a.clone()],
            &once,
            &[
                (Class::ForeignAtStandby, false),
                (Class::MissingAtPrimary, true),
            ],
        );
        check(
            std::slice::from_ref(&a),
            &[a.clone(), a.clone()],
            &once,
            &[(Class::MissingAtPrimary, true)],
        );
        // A message moved on the primary that the target could not follow: the old copy is no misplaced one.
        let moved = Explanations {
            tombstones: vec![(a.folder.clone(), a.content, true)],
            ..Default::default()
        };
        let new = entry("Sent", "a", 5);
        check(
            std::slice::from_ref(&new),
            std::slice::from_ref(&a),
            &moved,
            &[(Class::MissingAtStandby, false), (Class::Moved, true)],
        );
        let held = Explanations {
            vanished: vec![(a.folder.clone(), a.content, false)],
            ..Default::default()
        };
        check(&[], &[a], &held, &[(Class::MissingAtPrimary, false)]);
    }

    #[test]
    fn volume_sees_counts_and_bytes() {
        let none = Explanations::default();
        let volume = |p: &[Entry], s: &[Entry]| -> Vec<Class> {
            compare_volume(p, Corner::Standby, s, &none)
                .iter()
                .map(|d| d.class)
                .collect()
        };
        let (a, b) = ([entry("INBOX", "a", 1)], [entry("INBOX", "b", 2)]);
        let both = [a.as_slice(), b.as_slice()].concat();
        let larger = b.clone().map(|e| Entry { size: 11, ..e });
        assert_eq!(volume(&a, &b), []);
        assert_eq!(volume(&both, &b), [Class::MissingAtStandby]);
        assert_eq!(volume(&a, &larger), [Class::Altered]);
        assert_eq!(volume(&[], &b), [Class::ForeignAtStandby]);
    }
}
