//! A corner against the primary, message by message. Matching runs in passes over what is left; the first that fits
//! wins.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner, Reason};

use super::{
    ContentId, Contrast, Difference, Entry, Explanations, Flags, Gone, InternalDate, Lies,
    LogicalFolder, WAITS,
};

/// What came of comparing a corner with the primary.
#[derive(Default)]
pub(super) struct Compared {
    pub found: Vec<Difference>,
    /// Which of the primary's entries went after the cut and are not in the corner as they were.
    pub lacking: Vec<usize>,
}

/// Compares a corner with the primary.
pub(super) fn compare(
    primary: &[Entry],
    corner: Corner,
    other: &[Entry],
    explanations: &Explanations,
) -> Compared {
    let mut matching = Matching {
        corner,
        explanations,
        left: primary.iter().map(Some).collect(),
        right: other.iter().map(Some).collect(),
        compared: Compared::default(),
    };
    matching.equal(of_the_cut);
    matching.but_for_flags();
    matching.but_for_date();
    matching.equal(is_late);
    matching.late();
    matching.moved();
    // What a tombstone or an ordinary loss explains is no misplaced copy of an equal message.
    matching.gone(|gone| gone != Gone::Before { ordinary: false });
    matching.elsewhere();
    matching.gone(|_| true);
    matching.altered();
    matching.rest(primary, other);
    matching.compared
}

struct Matching<'a> {
    corner: Corner,
    explanations: &'a Explanations,
    left: Vec<Option<&'a Entry>>,
    right: Vec<Option<&'a Entry>>,
    compared: Compared,
}

impl<'a> Matching<'a> {
    /// Pairs those of the primary's that are wanted with what has the same key, in the order of the lists, and says
    /// each pair.
    fn pair<K: Ord>(
        &mut self,
        wanted: impl Fn(&Entry) -> bool,
        key: impl Fn(&'a Entry) -> K,
        copy_key: impl Fn(&'a Entry) -> K,
        mut say: impl FnMut(&mut Compared, usize, &'a Entry, &'a Entry),
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
        for (at, slot) in self.left.iter_mut().enumerate() {
            let Some(entry) = slot.filter(|entry| wanted(entry)) else {
                continue;
            };
            let Some(index) = free.get_mut(&key(entry)).and_then(Vec::pop) else {
                continue;
            };
            if let Some(other) = self.right.get_mut(index).and_then(Option::take) {
                say(&mut self.compared, at, entry, other);
                *slot = None;
            }
        }
    }

    fn equal(&mut self, wanted: impl Fn(&Entry) -> bool) {
        let key = |e: &'a Entry| (&e.folder, e.content, e.date, e.flags.folded());
        self.pair(wanted, key, key, |_, _, _, _| {});
    }

    fn but_for_flags(&mut self) {
        let key = |e: &'a Entry| (&e.folder, e.content, e.date);
        let (corner, refused) = (self.corner, &self.explanations.refused_keywords);
        self.pair(of_the_cut, key, key, |compared, _, left, right| {
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
            let written = |flags: &Flags| flags.to_string();
            compared.found.push(Difference {
                contrast: Some(Contrast::Flags(written(&left.flags), written(&right.flags))),
                ..difference(Class::FlagsDiffer, corner, right, reason, detail)
            });
        });
    }

    fn but_for_date(&mut self) {
        let key = |e: &'a Entry| (&e.folder, e.content);
        let corner = self.corner;
        self.pair(of_the_cut, key, key, |compared, _, left, right| {
            // Beyond what a 32-bit time holds servers clamp silently.
            let clamped = i32::try_from(left.date.0).is_err() || left.date.0 < 0;
            let detail = format!("primary: {}; {corner}: {}", day(left.date), day(right.date));
            let reason = clamped.then_some(Reason::ClampedDate);
            compared.found.push(Difference {
                contrast: Some(Contrast::Dates(left.date, right.date)),
                ..difference(Class::DateDiffers, corner, right, reason, detail)
            });
        });
    }

    /// What came after the cut and is there already, in whichever state.
    fn late(&mut self) {
        let corner = self.corner;
        let key = |e: &'a Entry| (&e.folder, e.content);
        self.pair(is_late, key, key, |compared, _, _, right| {
            let by_class = Some(Reason::ByClass);
            compared
                .found
                .push(difference(Class::Late, corner, right, by_class, LATE));
        });
    }

    /// What lies in another folder of the primary than when it was last mirrored: its copy is where it was.
    fn moved(&mut self) {
        let mut gone: BTreeMap<(ContentId, InternalDate), Vec<usize>> = BTreeMap::new();
        for (at, entry) in self.left.iter().enumerate().rev() {
            if let Some(entry) = entry
                && matches!(entry.gone, Some(Gone::Before { .. }))
            {
                let same = gone.entry((entry.content, entry.date));
                same.or_default().push(at);
            }
        }
        if gone.is_empty() {
            return;
        }
        let mut copies: BTreeMap<(&LogicalFolder, ContentId), Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.right.iter().enumerate().rev() {
            if let Some(entry) = entry {
                let same = copies.entry((&entry.folder, entry.content));
                same.or_default().push(index);
            }
        }
        for at in 0..self.left.len() {
            let Some(entry) = self.entry_at(at).filter(|entry| of_the_cut(entry)) else {
                continue;
            };
            let Some(gone) = gone.get_mut(&(entry.content, entry.date)) else {
                continue;
            };
            let copy = |at: &usize| {
                let was = self.entry_at(*at)?;
                copies.get_mut(&(&was.folder, was.content))?.pop()
            };
            let Some((which, index)) = (gone.iter().map(copy).enumerate())
                .find_map(|(which, index)| Some((which, index?)))
            else {
                continue;
            };
            let was = gone.remove(which);
            let Some(right) = self.right.get_mut(index).and_then(Option::take) else {
                continue;
            };
            for at in [at, was] {
                if let Some(slot) = self.left.get_mut(at) {
                    *slot = None;
                }
            }
            let detail = format!(
                "moved on the primary to '{}' since it was last mirrored",
                entry.folder
            );
            let folders = Contrast::Folders(entry.folder.clone(), right.folder.clone());
            self.compared.found.push(Difference {
                contrast: Some(folders),
                ..difference(Class::Misplaced, self.corner, right, None, detail)
            });
        }
    }

    fn entry_at(&self, at: usize) -> Option<&'a Entry> {
        self.left.get(at).copied().flatten()
    }

    /// Copies of what is gone from the primary.
    fn gone(&mut self, wanted: impl Fn(Gone) -> bool) {
        let corner = self.corner;
        let key = |e: &'a Entry| (&e.folder, e.content);
        let gone = |e: &Entry| e.gone.is_some_and(&wanted);
        self.pair(gone, key, key, |compared, _, left, right| {
            let by_class = Some(Reason::ByClass);
            let (class, reason, detail) = match left.gone {
                Some(Gone::Before { ordinary }) => (
                    Class::MissingAtPrimary,
                    by_class.filter(|_| ordinary),
                    "vanished on the primary since it was last mirrored",
                ),
                _ => (
                    Class::Late,
                    by_class,
                    "vanished on the primary after the cut",
                ),
            };
            compared
                .found
                .push(difference(class, corner, right, reason, detail));
        });
    }

    fn elsewhere(&mut self) {
        let mut kept: Vec<(usize, &Entry)> = Vec::new();
        let mut tombstones = self.tombstones();
        for (index, slot) in self.right.iter_mut().enumerate() {
            if let Some(entry) = *slot
                && let Some(left) = tombstones
                    .get_mut(&(&entry.folder, entry.content))
                    .filter(|left| **left > 0)
            {
                *left -= 1;
                kept.push((index, entry));
                *slot = None;
            }
        }
        // Mail that came after the cut has no counterpart yet, an equal one elsewhere is another message.
        let key = |e: &'a Entry| e.content;
        let corner = self.corner;
        self.pair(of_the_cut, key, key, |compared, _, left, right| {
            let detail = format!("on the primary in '{}'", left.folder);
            let folders = Contrast::Folders(left.folder.clone(), right.folder.clone());
            compared.found.push(Difference {
                contrast: Some(folders),
                ..difference(Class::Misplaced, corner, right, None, detail)
            });
        });
        for (index, entry) in kept {
            if let Some(slot) = self.right.get_mut(index) {
                *slot = Some(entry);
            }
        }
    }

    fn tombstones(&self) -> BTreeMap<(&'a LogicalFolder, ContentId), u32> {
        let mut counts = BTreeMap::new();
        for (folder, content, _) in &self.explanations.tombstones {
            *counts.entry((folder, *content)).or_insert(0) += 1;
        }
        counts
    }

    fn altered(&mut self) {
        if self.corner == Corner::Store {
            return;
        }
        let (corner, equivalent) = (self.corner, &self.explanations.equivalent);
        let key = |e: &'a Entry| (&e.folder, e.copy.unwrap_or(0));
        let copy_key = |e: &'a Entry| (&e.folder, e.uid);
        // What the primary lost before the cut is missing where it is not as it was.
        let wanted = |e: &Entry| match e.gone {
            None => true,
            Some(gone) => gone == Gone::Late && !e.late,
        };
        self.pair(wanted, key, copy_key, |compared, at, left, right| {
            compared.lacking.extend(left.gone.map(|_| at));
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
            compared
                .found
                .push(difference(class, corner, right, reason, detail));
        });
    }

    fn rest(&mut self, primary: &[Entry], other: &[Entry]) {
        let corner = self.corner;
        let merged = merged(primary, other);
        for (at, entry) in self.left.iter().enumerate() {
            let Some(entry) = entry else { continue };
            let missing = if corner == Corner::Store {
                Class::MissingInStore
            } else {
                Class::MissingAtStandby
            };
            match entry.gone {
                // What was never at the standby is in the store alone.
                Some(Gone::Before { .. }) if entry.copy.is_none() => continue,
                Some(Gone::Before { .. }) => {
                    let other = other_than(corner);
                    let detail = format!("vanished on the primary; the {other} has it still");
                    self.compared.found.push(Difference {
                        against: Some(other),
                        lies: lies(Corner::Primary, entry),
                        ..difference(missing, corner, entry, None, detail)
                    });
                    continue;
                }
                // It came and went after the cut.
                Some(Gone::Late) if entry.late => continue,
                Some(Gone::Late) => self.compared.lacking.push(at),
                None => {}
            }
            let (class, reason, detail) = match entry.quarantine {
                _ if entry.late => (Class::Late, Some(Reason::ByClass), LATE.to_owned()),
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
            self.compared.found.push(Difference {
                lies: lies(Corner::Primary, entry),
                ..difference(class, corner, entry, reason, detail)
            });
        }
        let mut tombstones: BTreeMap<(&LogicalFolder, ContentId), Vec<bool>> = BTreeMap::new();
        for (folder, content, moved) in &self.explanations.tombstones {
            tombstones
                .entry((folder, *content))
                .or_default()
                .push(*moved);
        }
        let there = primary.iter().filter(|e| e.gone.is_none());
        let known: BTreeSet<(&LogicalFolder, ContentId)> =
            there.map(|e| (&e.folder, e.content)).collect();
        for entry in self.right.iter().flatten() {
            let key = (&entry.folder, entry.content);
            let by_class = Some(Reason::ByClass);
            let (class, reason, detail) = if entry.late {
                (Class::Late, by_class, LATE)
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
                (
                    Class::ForeignAtStandby,
                    None,
                    "the primary has nothing like it: put there by somebody else, or altered there",
                )
            };
            self.compared
                .found
                .push(difference(class, corner, entry, reason, detail));
        }
    }
}

const LATE: &str = "came after the cut";

/// The corner of the two besides the primary that is not this one.
fn other_than(corner: Corner) -> Corner {
    match corner {
        Corner::Store => Corner::Standby,
        _ => Corner::Store,
    }
}

pub(super) fn of_the_cut(entry: &Entry) -> bool {
    entry.gone.is_none() && !entry.late
}

fn is_late(entry: &Entry) -> bool {
    entry.gone.is_none() && entry.late
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
    detail: impl Into<String>,
) -> Difference {
    Difference {
        class,
        folder: entry.folder.clone(),
        corner,
        against: None,
        content: Some(entry.content),
        uid: (entry.uid > 0).then_some(entry.uid),
        count: 1,
        reason,
        detail: detail.into(),
        lies: lies(corner, entry),
        contrast: None,
    }
}

fn lies(corner: Corner, entry: &Entry) -> Option<Lies> {
    let date = entry.date;
    Some(Lies { corner, date })
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
