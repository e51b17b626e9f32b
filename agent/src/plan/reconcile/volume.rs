//! The essay's test: counts and octets alone.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner, Reason};

use super::{ContentId, Contrast, Difference, Entry, Explanations, Gone, LogicalFolder};

/// Compares counts and octets alone, folder by folder: the essay's test. It names folders, not messages.
pub(super) fn compare_volume(
    primary: &[Entry],
    corner: Corner,
    other: &[Entry],
    explanations: &Explanations,
) -> Vec<Difference> {
    let mut wanted: BTreeMap<(&LogicalFolder, ContentId), u64> = BTreeMap::new();
    for entry in primary.iter().filter(|e| counts(e)) {
        *wanted.entry((&entry.folder, entry.content)).or_default() += 1;
    }
    // What the primary has takes its copies first, before what explains those that are left.
    let mut living = wanted.clone();
    let (own, before): (Vec<&Entry>, Vec<&Entry>) = other
        .iter()
        .filter(|e| counts(e))
        .partition(|e| !e.preexisting);
    // What was there before counts where it is the copy of a message that has no other.
    let mut counted = own.clone();
    let mut beside: BTreeMap<(&LogicalFolder, Class), u64> = BTreeMap::new();
    for entry in own.iter().chain(&before) {
        let left = wanted.get_mut(&(&entry.folder, entry.content));
        if let Some(left) = left.filter(|left| **left > 0) {
            *left -= 1;
            if entry.preexisting {
                counted.push(entry);
            }
        } else if entry.preexisting {
            let key = (&entry.folder, Class::Preexisting);
            *beside.entry(key).or_default() += 1;
        }
    }
    let here = volume(primary.iter().filter(|e| counts(e)));
    let mut there = volume(counted.iter().copied());
    let mut explained: BTreeMap<(&LogicalFolder, ContentId), Vec<bool>> = BTreeMap::new();
    let tombstones = explanations.tombstones.iter();
    let tombstones = tombstones.map(|(folder, content, moved)| ((folder, *content), *moved));
    let gone = primary.iter();
    let gone = gone.filter(|e| matches!(e.gone, Some(Gone::Before { ordinary: true })));
    for (key, moved) in tombstones.chain(gone.map(|e| ((&e.folder, e.content), false))) {
        explained.entry(key).or_default().push(moved);
    }
    for entry in counted {
        let living = living.get_mut(&(&entry.folder, entry.content));
        if let Some(left) = living.filter(|left| **left > 0) {
            *left -= 1;
            continue;
        }
        if let Some(moved) = explained
            .get_mut(&(&entry.folder, entry.content))
            .and_then(Vec::pop)
            && let Some(volume) = there.get_mut(&entry.folder)
        {
            let class = if moved {
                Class::Moved
            } else {
                Class::MissingAtPrimary
            };
            *beside.entry((&entry.folder, class)).or_default() += 1;
            volume.0 = volume.0.saturating_sub(1);
            volume.1 = volume.1.saturating_sub(u64::from(entry.size));
        }
    }
    let names: BTreeSet<&LogicalFolder> = here.keys().chain(there.keys()).collect();
    let explained = beside.into_iter().map(|((name, class), count)| Difference {
        class,
        folder: name.clone(),
        corner,
        against: None,
        content: None,
        uid: None,
        count,
        reason: Some(Reason::ByClass),
        detail: match class {
            Class::Preexisting => "was on the standby before the triangle",
            Class::Moved => "the old copies of messages that were moved on the primary",
            _ => "vanished on the primary; the copies stay",
        }
        .to_owned(),
        lies: None,
        contrast: None,
    });
    let mut found: Vec<Difference> = explained.collect();
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
            against: None,
            content: None,
            uid: None,
            count: left.0.abs_diff(right.0).max(1),
            reason: None,
            detail: format!(
                "primary: {} messages, {} bytes; {corner}: {} messages, {} bytes",
                left.0, left.1, right.0, right.1
            ),
            lies: None,
            contrast: Some(Contrast::Volumes(left.into(), right.into())),
        });
    }
    found
}

/// Whether a message is one of those that are counted: it was there at the cut.
fn counts(entry: &Entry) -> bool {
    !entry.late && !matches!(entry.gone, Some(Gone::Before { .. }))
}

/// Messages and octets of each folder.
fn volume<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeMap<LogicalFolder, (u64, u64)> {
    let mut volumes: BTreeMap<LogicalFolder, (u64, u64)> = BTreeMap::new();
    for entry in entries {
        let volume = volumes.entry(entry.folder.clone()).or_default();
        volume.0 += 1;
        volume.1 += u64::from(entry.size);
    }
    volumes
}
