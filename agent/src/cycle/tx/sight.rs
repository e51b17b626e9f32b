//! The three corners as entries, and what they differ by.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner, Depth};

use super::read_back::Proved;
use crate::clock;
use crate::cycle::Round;
use crate::error::AgentError;
use crate::ledger::Quarantined;
use crate::plan::guard::{History, Lost};
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::names::excluded;
use crate::plan::reconcile::{Difference, Entry, Explanations, compare, compare_volume, waits};
use crate::plan::view::{FolderId, Origin, Place, Side, Tombstone, View};
use crate::snapshot::{Cut, Stands};

/// How long a quarantine explains a difference, seconds.
const QUARANTINE_GRACE_S: i64 = 3 * 86_400;

/// The three corners as entries.
#[derive(Default)]
pub(super) struct Sight {
    /// Messages of the primary that wait for a budget and have not been read, by folder.
    unread: BTreeMap<LogicalFolder, u64>,
    /// What the store has lost and gets again when a budget has room for it.
    unfilled: BTreeSet<ContentId>,
    pub primary: Vec<Entry>,
    pub standby: Vec<Entry>,
    pub store: Vec<Entry>,
    explanations: Explanations,
}

impl Round<'_> {
    pub(super) async fn sight(
        &mut self,
        cut: &Cut,
        mirrored: bool,
        proved: &Proved,
    ) -> Result<Sight, AgentError> {
        let view = self.full_view()?;
        let mut sight = Sight {
            unfilled: self.unfilled.iter().map(|row| row.content).collect(),
            ..Sight::default()
        };
        let mut vanished = Vec::new();
        let known = view.known_on_source;
        for (name, pair) in &view.pairs {
            if let Some(side) = &pair.source {
                let quarantine = self
                    .site
                    .ledger
                    .borrow_mut()
                    .quarantined(side.folder, side.generation)?;
                let shown = shown_rows(side);
                if self.short {
                    let unread = unread(name, side, &cut.primary);
                    sight
                        .unread
                        .extend(unread.map(|count| (name.clone(), count)));
                }
                vanished.extend(
                    side.rows
                        .iter()
                        .filter(|(uid, _)| !shown.contains(uid))
                        .map(|(_, r)| (name.clone(), r.content)),
                );
                vanished.extend(side.stale.values().map(|r| (name.clone(), r.content)));
                sight.primary.extend(source_entries(
                    name,
                    side,
                    pair.target.as_ref().map(|target| target.folder),
                    &cut.primary,
                    &quarantine,
                    mirrored,
                    self.short,
                ));
            }
            if let Some(side) = &pair.target {
                sight
                    .standby
                    .extend(target_entries(name, side, &cut.standby));
            }
        }
        // Of an ended generation only what is not shown again has vanished.
        let mut here: BTreeMap<(LogicalFolder, ContentId), u64> = BTreeMap::new();
        for entry in &sight.primary {
            *here
                .entry((entry.folder.clone(), entry.content))
                .or_default() += 1;
        }
        let stale_only = |v: &(LogicalFolder, ContentId)| match here.get_mut(v) {
            Some(left)
                if *left > 0
                    && view
                        .pairs
                        .get(&v.0)
                        .and_then(|p| p.source.as_ref())
                        .is_some_and(|s| !s.stale.is_empty()) =>
            {
                *left -= 1;
                false
            }
            _ => true,
        };
        let mut stale_only = stale_only;
        vanished.retain(|v| stale_only(v));
        let lost = Lost {
            vanished: u64::try_from(vanished.len()).unwrap_or(u64::MAX),
            put_back: 0,
        };
        let ordinary =
            view.pop_delete || !self.triangle.guard.holds(lost, History::default(), known);
        sight.explanations = Explanations {
            tombstones: view
                .tombstones
                .iter()
                .map(|t| (lies_in(t, &view).clone(), t.content, t.moved))
                .collect(),
            vanished: vanished
                .into_iter()
                .map(|(folder, content)| (folder, content, ordinary))
                .collect(),
            refused_keywords: view.refused_keywords.clone(),
            equivalent: view.equivalent.clone(),
        };
        let triangle = self.triangle.name.clone();
        let members = self
            .site
            .store
            .with(move |store| Ok(store.members(&triangle)?))
            .await?;
        let exclude = &self.triangle.exclude_folders;
        let closed = |folder: &LogicalFolder| {
            self.source.closed.contains_key(folder) || self.target.closed.contains_key(folder)
        };
        sight.store = members
            .into_iter()
            .filter(|m| {
                m.tombstone.is_none()
                    && !proved.damaged.contains(&m.content)
                    && !excluded(&m.folder, exclude)
                    && !closed(&m.folder)
            })
            .map(|m| Entry {
                folder: m.folder,
                content: m.content,
                date: m.date,
                flags: m.flags,
                size: m.size,
                uid: 0,
                copy: None,
                late: false,
                preexisting: false,
                quarantine: None,
                verified_at: proved.store_oldest,
            })
            .collect();
        Ok(sight)
    }
}

/// Where a tombstone's copy lies, if it is there; else where its message was.
fn lies_in<'a>(tombstone: &'a Tombstone, view: &'a View) -> &'a LogicalFolder {
    let holds = |side: &Side, copy: Place| {
        let uid = side
            .shown
            .binary_search_by_key(&copy.uid, |shown| shown.uid);
        side.folder == copy.folder && side.generation == copy.generation && uid.is_ok()
    };
    let there = tombstone.copy.and_then(|copy| {
        let mut pairs = view.pairs.iter();
        pairs.find(|(_, pair)| pair.target.as_ref().is_some_and(|side| holds(side, copy)))
    });
    there.map_or(&tombstone.folder, |(name, _)| name)
}

fn shown_rows(side: &Side) -> BTreeSet<u32> {
    side.shown.iter().map(|s| s.uid).collect()
}

/// Whether a UID came after the cut; a folder that was not there then is new as a whole.
fn is_late(stands: &Stands, name: &LogicalFolder, side: &Side, uid: u32) -> bool {
    stands
        .get(name)
        .is_none_or(|stood| stood.uidvalidity == side.uidvalidity && uid >= stood.uidnext)
}

/// Messages that were there at the cut and have not been read.
fn unread(name: &LogicalFolder, side: &Side, cut: &Stands) -> Option<u64> {
    let unread = side.shown.iter().filter(|shown| {
        !side.rows.contains_key(&shown.uid)
            && !side.unreadable.contains(&shown.uid)
            && !is_late(cut, name, side, shown.uid)
    });
    let count = u64::try_from(unread.count()).unwrap_or(u64::MAX);
    (count > 0).then_some(count)
}

fn source_entries(
    name: &LogicalFolder,
    side: &Side,
    target: Option<FolderId>,
    cut: &Stands,
    quarantine: &[Quarantined],
    mirrored: bool,
    short: bool,
) -> Vec<Entry> {
    let now = clock::now_s();
    let aside = |uid: u32| {
        let found = quarantine.iter().find(|q| q.at.uid == uid)?;
        Some((found.class, now - found.since > QUARANTINE_GRACE_S))
    };
    side.shown
        .iter()
        .filter_map(|shown| {
            let late = is_late(cut, name, side, shown.uid);
            let entry = |content, copy| Entry {
                folder: name.clone(),
                content,
                date: shown.date,
                flags: shown.flags.clone(),
                size: shown.size,
                uid: shown.uid,
                copy,
                late,
                preexisting: false,
                quarantine: aside(shown.uid),
                verified_at: None,
            };
            match side.rows.get(&shown.uid) {
                Some(row) => {
                    let copy_here = row.copy.filter(|c| Some(c.folder) == target);
                    let mut entry = entry(row.content, copy_here.map(|c| c.uid));
                    entry.verified_at = row.verified_at;
                    if short && row.copy.is_none() {
                        entry.quarantine = entry.quarantine.or(Some((Class::Pending, false)));
                    }
                    if mirrored && !row.flags.same(&shown.flags) {
                        // Changed after the mirror that came before: the flags of the cut count.
                        entry.flags = row.flags.clone();
                    }
                    Some(entry)
                }
                // It cannot be read: what it is nobody knows, and nothing equals it.
                None if side.unreadable.contains(&shown.uid) => Some(entry(
                    ContentId::of(format!("unreadable {name} {}", shown.uid).as_bytes()),
                    None,
                )),
                // Arrived between two steps of this Tx, or waits for a budget.
                None => None,
            }
        })
        .collect()
}

fn target_entries(name: &LogicalFolder, side: &Side, cut: &Stands) -> Vec<Entry> {
    side.shown
        .iter()
        .filter_map(|shown| {
            let row = side.rows.get(&shown.uid)?;
            Some(Entry {
                folder: name.clone(),
                content: row.content,
                date: shown.date,
                flags: shown.flags.clone(),
                size: shown.size,
                uid: shown.uid,
                copy: None,
                late: is_late(cut, name, side, shown.uid),
                preexisting: row.origin == Origin::Preexisting,
                quarantine: None,
                verified_at: row.verified_at,
            })
        })
        .collect()
}

pub(super) fn differences(sight: &Sight, depth: Depth) -> Vec<Difference> {
    // What the target refused is in the store all the same; what could not be read is not.
    let unreadable = |e: &Entry| {
        e.content == ContentId::of(format!("unreadable {} {}", e.folder, e.uid).as_bytes())
    };
    let for_store: Vec<Entry> = sight
        .primary
        .iter()
        .map(|e| Entry {
            quarantine: e
                .quarantine
                .filter(|(class, _)| *class == Class::Pending || unreadable(e))
                .or_else(|| {
                    sight
                        .unfilled
                        .get(&e.content)
                        .map(|_| (Class::Pending, false))
                }),
            ..e.clone()
        })
        .collect();
    let store_explanations = Explanations {
        tombstones: Vec::new(),
        refused_keywords: BTreeSet::new(),
        ..sight.explanations.clone()
    };
    let how = if depth == Depth::Volume {
        compare_volume
    } else {
        compare
    };
    let mut found = how(
        &sight.primary,
        Corner::Standby,
        &sight.standby,
        &sight.explanations,
    );
    found.extend(how(
        &for_store,
        Corner::Store,
        &sight.store,
        &store_explanations,
    ));
    for (folder, count) in &sight.unread {
        found.extend([Corner::Standby, Corner::Store].map(|corner| waits(folder, corner, *count)));
    }
    found.sort();
    found
}
