//! The view with what is looked up again and again: whose a copy is, what vanished, what has to be read
//! first, and copies that have to find their owners before anything else is decided.

use std::collections::{BTreeMap, BTreeSet};

use super::folder::{FolderPlan, Found, Free, take, take_best};
use super::{Plan, Read, Record};
use crate::plan::identity::{ContentId, InternalDate, LogicalFolder};
use crate::plan::view::{FolderId, Pair, Place, Row, Shown, Side, View};

/// Whose a copy is.
#[derive(Clone, Copy)]
pub(super) enum Owner {
    Source(Place),
    Tombstone(i64),
}

/// The view with what is looked up again and again.
pub(super) struct Scene<'a> {
    pub(super) view: &'a View,
    /// Only this folder is looked at.
    pub(super) only: Option<&'a LogicalFolder>,
    /// The target's folders by number.
    pub(super) targets: BTreeMap<FolderId, &'a Side>,
    /// Copies that a source row or a tombstone points at, and whose they are.
    pub(super) owners: BTreeMap<Place, Owner>,
    /// Source rows of ended generations whose message is shown again with the same date, by its place now.
    pub(super) again: BTreeMap<Place, (Place, &'a Row)>,
    /// Source rows whose message is shown no more: by content and date.
    pub(super) vanished: BTreeMap<(ContentId, InternalDate), Vec<Place>>,
    pub(super) vanished_shapes: BTreeSet<(u32, InternalDate)>,
    /// Source rows that were read, and then vanished before anything was done with them.
    pub(super) untouched: Vec<Place>,
}

pub(super) fn place(side: &Side, uid: u32) -> Place {
    Place {
        folder: side.folder,
        generation: side.generation,
        uid,
    }
}

pub(super) fn row_in(side: &Side, at: Place) -> Option<&Row> {
    if side.generation == at.generation {
        side.rows.get(&at.uid)
    } else {
        side.stale.get(&(at.generation, at.uid))
    }
}

pub(super) fn shown_at(side: &Side, uid: u32) -> Option<&Shown> {
    let index = side.shown.binary_search_by_key(&uid, |s| s.uid).ok()?;
    side.shown.get(index)
}

/// What is known of ended generations, by place.
pub(super) fn stale(side: &Side) -> impl Iterator<Item = (Place, &Row)> {
    side.stale.iter().map(|((generation, uid), row)| {
        let at = Place {
            folder: side.folder,
            generation: *generation,
            uid: *uid,
        };
        (at, row)
    })
}

/// Whether a message of the source was read and nothing has been done with it: it is in no corner yet.
pub(super) fn untouched(row: &Row) -> bool {
    row.member.is_none() && row.copy.is_none()
}

/// Rows of ended generations that messages without copy are again, by the messages' place: of the same date.
pub(super) fn again(source: &Side) -> BTreeMap<Place, (Place, &Row)> {
    let mut known: BTreeMap<(ContentId, InternalDate), Vec<(Place, &Row)>> = BTreeMap::new();
    for (from, row) in stale(source).filter(|(_, row)| !untouched(row)) {
        let same = known.entry((row.content, row.date));
        same.or_default().push((from, row));
    }
    let mut again = BTreeMap::new();
    for shown in source.shown.iter().rev() {
        if let Some(row) = source.rows.get(&shown.uid).filter(|row| untouched(row))
            && let Some(found) = known.get_mut(&(row.content, row.date)).and_then(Vec::pop)
        {
            again.insert(place(source, shown.uid), found);
        }
    }
    again
}

pub(super) fn shown_uids(side: &Side) -> BTreeSet<u32> {
    side.shown.iter().map(|s| s.uid).collect()
}

/// What is shown and has never been read.
pub(super) fn unknown(side: &Side) -> impl Iterator<Item = &Shown> {
    side.shown
        .iter()
        .filter(|s| !side.rows.contains_key(&s.uid) && !side.unreadable.contains(&s.uid))
}

/// Whether one of these rows' copies is gone, lies elsewhere or holds other octets.
pub(super) fn copies_lost<'r>(mut rows: impl Iterator<Item = &'r Row>, target: &Side) -> bool {
    let shown = shown_uids(target);
    rows.any(|row| {
        row.copy.is_some_and(|copy| {
            copy.folder != target.folder
                || !shown.contains(&copy.uid)
                || target
                    .rows
                    .get(&copy.uid)
                    .is_some_and(|there| there.content != row.content)
        })
    })
}

impl<'a> Scene<'a> {
    pub(super) fn new(view: &'a View) -> Self {
        let mut scene = Self {
            view,
            only: None,
            targets: BTreeMap::new(),
            owners: BTreeMap::new(),
            again: BTreeMap::new(),
            vanished: BTreeMap::new(),
            vanished_shapes: BTreeSet::new(),
            untouched: Vec::new(),
        };
        let buried = view.tombstones.iter();
        let buried = buried.filter_map(|t| Some((t.copy?, Owner::Tombstone(t.id))));
        scene.owners.extend(buried);
        for pair in view.pairs.values() {
            let target = pair.target.iter().map(|side| (side.folder, side));
            scene.targets.extend(target);
            let Some(side) = &pair.source else { continue };
            let current = side.rows.iter().map(|(uid, row)| (place(side, *uid), row));
            let copies = current.chain(stale(side));
            let copies = copies.filter_map(|(at, row)| Some((row.copy?, Owner::Source(at))));
            scene.owners.extend(copies);
            if side.stale.is_empty()
                && side.rows.len() == side.shown.len()
                && side.rows.keys().eq(side.shown.iter().map(|s| &s.uid))
            {
                continue;
            }
            let again = again(side);
            let matched: BTreeSet<Place> = again.values().map(|(from, _)| *from).collect();
            let shown = shown_uids(side);
            let rows = side.rows.iter().filter(|(uid, _)| !shown.contains(uid));
            let rows = rows.map(|(uid, row)| (place(side, *uid), row));
            let stale = stale(side).filter(|(from, _)| !matched.contains(from));
            for (from, row) in rows.chain(stale) {
                if untouched(row) {
                    scene.untouched.push(from);
                    continue;
                }
                let same = scene.vanished.entry((row.content, row.date));
                same.or_default().push(from);
                scene.vanished_shapes.insert((row.size, row.date));
            }
            scene.again.extend(again);
        }
        scene
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a LogicalFolder, &'a Pair)> {
        let within = |(name, _): &(&LogicalFolder, &Pair)| self.only.is_none_or(|o| o == *name);
        self.view.pairs.iter().filter(within)
    }

    /// What has to be read before anything can be decided about it.
    pub(super) fn to_read(&self) -> Read {
        let mut read = Read::default();
        for (folder, pair) in self.pairs() {
            let new: Vec<&Shown> = pair.source.iter().flat_map(unknown).collect();
            let stale = || pair.source.iter().flat_map(|s| s.stale.values());
            let rows = || pair.source.iter().flat_map(|s| s.rows.values());
            let rows = || rows().chain(stale());
            let mut sizes: BTreeSet<u32> = stale().map(|row| row.size).collect();
            sizes.extend(
                self.view
                    .tombstones
                    .iter()
                    .filter(|t| t.folder == *folder)
                    .map(|t| t.size),
            );
            if let Some(target) = &pair.target {
                let unlinked = rows().any(|row| row.copy.is_none() && !row.quarantined);
                let lacking = !new.is_empty()
                    || unlinked
                    || !target.stale.is_empty()
                    || copies_lost(rows(), target);
                let uids: Vec<u32> = unknown(target).map(|s| s.uid).collect();
                if lacking && !uids.is_empty() {
                    read.target.insert(target.folder, uids);
                    continue;
                }
                let unlinked = target
                    .rows
                    .iter()
                    .filter(|(uid, _)| !self.owners.contains_key(&place(target, **uid)));
                sizes.extend(unlinked.map(|(_, row)| row.size));
                sizes.extend(target.stale.values().map(|row| row.size));
            }
            // A hint rules nothing out.
            let hinted = pair.source.as_ref().is_some_and(|source| source.hinted);
            let any = hinted && !(sizes.is_empty() && self.vanished_shapes.is_empty());
            let wanted: Vec<u32> = new
                .iter()
                .filter(|s| {
                    any || sizes.contains(&s.size)
                        || self.vanished_shapes.contains(&(s.size, s.date))
                })
                .map(|s| s.uid)
                .collect();
            if let (Some(source), false) = (&pair.source, wanted.is_empty()) {
                read.source.insert(source.folder, wanted);
            }
        }
        read
    }

    /// Whose a copy is: that has to be known before anything is decided about what vanished or moved.
    pub(super) fn sort_out(&self) -> Option<Plan> {
        for sort_out in [Self::ended, Self::cut_off] {
            let mut plan = Plan::default();
            for (_, pair) in self.pairs() {
                plan.records.extend(sort_out(self, pair));
            }
            if !plan.records.is_empty() {
                plan.records.sort();
                return Some(plan);
            }
        }
        None
    }

    /// Copies of an ended generation, found again.
    fn ended(&self, pair: &'a Pair) -> Vec<Record> {
        let mut free = self.free_copies(pair);
        let stale = pair.target.iter().flat_map(stale);
        let mut stale: Vec<(Place, &Row)> = stale
            .filter(|(from, _)| self.owners.contains_key(from))
            .collect();
        let mut again = Vec::new();
        for dated in [true, false] {
            stale.retain(|(from, row)| {
                let to = take(&mut free, row.content, dated.then_some(row.date));
                again.extend(to.map(|to| (*from, to)));
                to.is_none()
            });
            // With another date it may be the copy of a message whose batch was cut off, or one that strayed
            // here.
            if dated && !stale.is_empty() {
                let elsewhere = self.gone_from_others(pair);
                stale.retain(|(_, row)| !elsewhere.contains(&row.content));
            }
            let unlinked = |row: &&Row| row.copy.is_none() && !row.quarantined && !untouched(row);
            for row in pair
                .source
                .iter()
                .flat_map(|s| s.rows.values())
                .filter(unlinked)
            {
                take(&mut free, row.content, Some(row.date));
            }
        }
        let again = again.into_iter().filter_map(|(from, to)| {
            Some(match *self.owners.get(&from)? {
                Owner::Source(source) => Record::TargetAgain { source, from, to },
                Owner::Tombstone(tombstone) => Record::TombstoneAgain {
                    tombstone,
                    from,
                    to,
                },
            })
        });
        again.collect()
    }

    /// Copies of a batch or a move that was cut off, of messages that have vanished on the source since.
    fn cut_off(&self, pair: &'a Pair) -> Vec<Record> {
        let Some(source) = &pair.source else {
            return Vec::new();
        };
        let here = pair.target.as_ref().map(|t| t.folder);
        let lacking = |row: &Row| match row.copy {
            None => !row.quarantined && row.put_backs == 0,
            Some(copy) => {
                here != Some(copy.folder) && !self.is_shown(copy) && !self.had_strayed(copy)
            }
        };
        let vanished = self.vanished.values().flatten();
        let vanished: Vec<(Place, &Row)> = vanished
            .filter(|at| at.folder == source.folder)
            .filter_map(|at| Some((*at, row_in(source, *at)?)))
            .filter(|(_, row)| lacking(row))
            .collect();
        if vanished.is_empty() {
            return Vec::new();
        }
        let mut free = self.free_copies(pair);
        // What is still there comes first.
        for shown in source.shown.iter() {
            let at = place(source, shown.uid);
            let again = self.again.get(&at).map(|(_, row)| *row);
            if let Some(row) = again.or_else(|| source.rows.get(&shown.uid))
                && lacking(row)
                && !untouched(row)
            {
                take_best(&mut free, row.content, row.date);
            }
        }
        let adopt = |(source, row): (Place, &Row)| {
            let copy = take_best(&mut free, row.content, row.date)?;
            Some(Record::Adopt { source, copy })
        };
        vanished.into_iter().filter_map(adopt).collect()
    }

    /// Copies on the target that nothing points at, or that are none any more of what points at them.
    pub(super) fn free_copies(&self, pair: &Pair) -> Free {
        let mut free = Free::new();
        if let Some(target) = &pair.target {
            for shown in target.shown.iter() {
                let at = place(target, shown.uid);
                if let Some(row) = target.rows.get(&shown.uid)
                    && (!self.owners.contains_key(&at) || self.is_altered(at, row))
                {
                    free.entry(row.content).or_default().push((at, shown.date));
                }
            }
        }
        free
    }

    /// Whether a copy has other octets than the message that it is of: where two were swapped, each is the other's.
    fn is_altered(&self, at: Place, copy: &Row) -> bool {
        let Some(Owner::Source(source)) = self.owners.get(&at) else {
            return false;
        };
        self.row_at(*source).is_some_and(|row| {
            row.content != copy.content
                && !self.view.equivalent.contains(&(row.content, copy.content))
        })
    }

    pub(super) fn sides(&self) -> impl Iterator<Item = (&Side, bool)> {
        self.view.pairs.values().flat_map(|pair| {
            pair.source
                .iter()
                .map(|s| (s, false))
                .chain(pair.target.iter().map(|t| (t, true)))
        })
    }

    pub(super) fn row_at(&self, at: Place) -> Option<&Row> {
        let (side, _) = self.sides().find(|(side, _)| side.folder == at.folder)?;
        row_in(side, at)
    }

    pub(super) fn is_shown(&self, copy: Place) -> bool {
        self.shown_copy(copy).is_some()
    }

    pub(super) fn shown_copy(&self, copy: Place) -> Option<&'a Shown> {
        let side = self.targets.get(&copy.folder)?;
        shown_at(side, copy.uid).filter(|_| side.generation == copy.generation)
    }

    /// A copy's row, of the present or an ended generation.
    pub(super) fn copy_row(&self, copy: Place) -> Option<&'a Row> {
        row_in(self.targets.get(&copy.folder)?, copy)
    }

    fn part<'b>(
        &'b self,
        folder: &'b LogicalFolder,
        pair: &'a Pair,
        plan: &'b mut Plan,
        found: &'b mut Found,
    ) -> FolderPlan<'a, 'b> {
        FolderPlan {
            scene: self,
            folder,
            pair,
            plan,
            found,
        }
    }

    pub(super) fn decide(&self) -> Plan {
        let mut plan = Plan::default();
        let mut found = Found::default();
        let mut lacking = Vec::new();
        for (folder, pair) in self.pairs() {
            let mut part = self.part(folder, pair, &mut plan, &mut found);
            let left = part.decide();
            lacking.extend(left.into_iter().map(|l| (folder, pair, l)));
        }
        // Each folder has taken what lies in it; what is left may be a copy that strayed.
        let vanished = self.vanished.values().flatten();
        let vanished: Vec<Place> = vanished
            .filter(|at| !found.places.contains(at))
            .copied()
            .collect();
        let bereft = |at: &Place| {
            let copy = self.row_at(*at).and_then(|row| row.copy);
            copy.is_some_and(|copy| !self.is_shown(copy))
        };
        if lacking.iter().any(|(.., l)| l.gone.is_some()) || vanished.iter().any(bereft) {
            let mut free = Free::new();
            for (_, pair) in self.pairs() {
                for (content, mut copies) in self.free_copies(pair) {
                    copies.retain(|(at, _)| !found.adopted.contains(at));
                    free.entry(content).or_default().append(&mut copies);
                }
            }
            for (content, copy) in std::mem::take(&mut found.released) {
                let date = self.shown_copy(copy).map(|shown| (copy, shown.date));
                free.entry(content).or_default().extend(date);
            }
            for here in [false, true] {
                lacking.retain(|(folder, pair, l)| {
                    let mut part = self.part(folder, pair, &mut plan, &mut found);
                    !part.found_again(l, &mut free, here)
                });
            }
            // What is left of it may be the copy of a message that has vanished.
            for source in vanished.iter().filter(|at| bereft(at)) {
                if let Some(row) = self.row_at(*source)
                    && let Some(from) = row.copy
                    && let Some(to) = take(&mut free, row.content, Some(row.date))
                {
                    let source = *source;
                    plan.records.push(Record::Strayed { source, from, to });
                }
            }
        }
        for (folder, pair, lacking) in &lacking {
            let mut part = self.part(folder, pair, &mut plan, &mut found);
            part.make(lacking);
        }
        for source in vanished {
            plan.records.push(Record::Tombstone { source });
            plan.lost.vanished += 1;
        }
        let untouched = self.untouched.iter();
        plan.records
            .extend(untouched.map(|at| Record::Forget { at: *at }));
        plan.records.sort();
        plan
    }
}
