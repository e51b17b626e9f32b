//! The part of the plan that concerns one folder: each message of the source and its copy.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::Class;

use super::scene::{Owner, Scene, place, row_in, shown_at, shown_uids, untouched};
use super::{Copy, FlagStep, MoveStep, Plan, Record, Send};
use crate::plan::identity::{ContentId, Flags, InternalDate, Keyword, LogicalFolder};
use crate::plan::view::{FolderId, Origin, Pair, Place, Row, Shown, Side, Tombstone};

/// What was found again, so that it is found once.
#[derive(Default)]
pub(super) struct Found {
    /// Source places whose message is somewhere else now.
    pub(super) places: BTreeSet<Place>,
    /// Tombstones whose message is back.
    pub(super) tombstones: BTreeSet<i64>,
    /// Copies on the target that nothing pointed at.
    pub(super) adopted: BTreeSet<Place>,
    /// Misplaced copies whose message has found one in its own folder.
    pub(super) released: Vec<(ContentId, Place)>,
}

/// Copies on the target that nothing points at, by content.
pub(super) type Free = BTreeMap<ContentId, Vec<(Place, InternalDate)>>;

/// Takes a copy out of those that are free: one of this date, or any.
pub(super) fn take(
    free: &mut Free,
    content: ContentId,
    date: Option<InternalDate>,
) -> Option<Place> {
    let copies = free.get_mut(&content)?;
    let fits = |(_, d): &(Place, InternalDate)| date.is_none_or(|date| date == *d);
    let best = copies.iter().position(fits)?;
    Some(copies.remove(best).0)
}

pub(super) fn take_best(free: &mut Free, content: ContentId, date: InternalDate) -> Option<Place> {
    take(free, content, Some(date)).or_else(|| take(free, content, None))
}

/// A message of the source for which a copy has to be found, or else made.
pub(super) struct Lacking<'a> {
    pub(super) at: Place,
    pub(super) row: &'a Row,
    pub(super) shown: &'a Shown,
    /// The copy that it had, and what became of it.
    pub(super) had: Option<(Place, Class)>,
    /// The copy that is gone from where it was, if it may have strayed.
    pub(super) gone: Option<Place>,
    /// Whether it has a copy, which lies in another folder than its own.
    pub(super) misplaced: bool,
    /// How often that has been put back.
    pub(super) put_backs: u32,
}

impl Lacking<'_> {
    /// When it takes a copy that is free, after others.
    fn turn(&self) -> u8 {
        u8::from(self.misplaced) + u8::from(self.misplaced || self.gone.is_some())
    }
}

/// The part of the plan that concerns one folder.
pub(super) struct FolderPlan<'a, 'b> {
    pub(super) scene: &'b Scene<'a>,
    pub(super) folder: &'b LogicalFolder,
    pub(super) pair: &'a Pair,
    pub(super) plan: &'b mut Plan,
    pub(super) found: &'b mut Found,
}

impl<'a> FolderPlan<'a, '_> {
    /// Decides what this folder alone can tell; what still lacks its copy then.
    pub(super) fn decide(&mut self) -> Vec<Lacking<'a>> {
        let mut lacking = Vec::new();
        if let Some(source) = &self.pair.source {
            let mut free = self.scene.free_copies(self.pair);
            lacking = self.messages(source);
            // The copy with the same date first, so that none takes another's, and what has none before what
            // may have one elsewhere.
            for (turn, dated) in [(0, true), (1, true), (0, false), (2, true)] {
                lacking.retain(|l| {
                    if l.turn() != turn {
                        return true;
                    }
                    let date = dated.then_some(l.row.date);
                    let copy = take(&mut free, l.row.content, date);
                    if let Some(copy) = copy {
                        self.adopt(l.at, copy, l.shown);
                        let released = l.row.copy.filter(|_| l.misplaced);
                        let released = released.map(|copy| (l.row.content, copy));
                        self.found.released.extend(released);
                    }
                    copy.is_none()
                });
            }
            lacking.retain(|l| !l.misplaced);
            if self.pair.target.as_ref().is_none_or(|t| t.gone) && !source.gone {
                self.plan.create.insert(self.folder.clone());
            }
        }
        self.forget_foreign();
        lacking
    }

    /// Goes through what the source shows: what is new is copied, what has its copy is compared. What has none
    /// comes back.
    fn messages(&mut self, source: &'a Side) -> Vec<Lacking<'a>> {
        let mut lacking = Vec::new();
        for shown in source.shown.iter() {
            if source.unreadable.contains(&shown.uid) {
                continue;
            }
            let at = place(source, shown.uid);
            let Some(row) = source.rows.get(&shown.uid) else {
                let copy = Copy {
                    uid: shown.uid,
                    size: shown.size,
                    date: shown.date,
                };
                let copies = self.plan.copies.entry(self.folder.clone());
                copies.or_default().push(copy);
                continue;
            };
            if (row.copy.is_some() || row.quarantined) && !row.flags.same(&shown.flags) {
                self.plan.records.push(Record::SourceFlags {
                    source: at,
                    flags: shown.flags.clone(),
                });
            }
            match row.copy {
                _ if row.quarantined => {}
                Some(copy) => lacking.extend(self.linked(at, row, shown, copy)),
                None => lacking.extend(self.unlinked(at, row, shown)),
            }
        }
        lacking
    }

    pub(super) fn adopt(&mut self, source: Place, copy: Place, shown: &Shown) {
        self.found.adopted.insert(copy);
        self.plan.records.push(Record::Adopt { source, copy });
        self.flags_at(copy, &shown.flags);
    }

    /// Sends a message that has no copy, unless that did not help before.
    pub(super) fn make(&mut self, lacking: &Lacking<'_>) {
        let source = lacking.at;
        if lacking.put_backs > 0 {
            self.plan.records.push(Record::DoesNotStay { source });
            return;
        }
        if let Some((copy, class)) = lacking.had {
            if class == Class::MissingAtStandby {
                self.plan.records.push(Record::ForgetCopy { source, copy });
            }
            self.plan.lost.put_back += 1;
        }
        let repair = lacking.had.map(|(_, class)| class);
        self.send(source, lacking.row, &lacking.shown.flags, repair);
    }

    /// A message whose copy is known; it comes back if that copy is none any more.
    fn linked(
        &mut self,
        at: Place,
        row: &'a Row,
        shown: &'a Shown,
        copy: Place,
    ) -> Option<Lacking<'a>> {
        let lacking = |had| Lacking {
            at,
            row,
            shown,
            had,
            gone: None,
            misplaced: false,
            put_backs: row.put_backs,
        };
        let target = self.pair.target.as_ref();
        let here = target.filter(|t| t.folder == copy.folder);
        let there = here
            .filter(|t| t.generation == copy.generation)
            .and_then(|t| Some((t, shown_at(t, copy.uid)?)));
        if let Some((target, there)) = there {
            let known = target.rows.get(&copy.uid);
            let says_the_same = |other| self.scene.view.equivalent.contains(&(row.content, other));
            let altered =
                |known: &Row| known.content != row.content && !says_the_same(known.content);
            if known.is_some_and(altered) {
                // The right copy is put beside it.
                return Some(lacking(Some((copy, Class::Altered))));
            }
            let wanted = self.sendable(&shown.flags);
            if there.flags.same(&wanted)
                && known.is_some_and(|known| !known.flags.same(&there.flags))
            {
                self.plan.records.push(Record::TargetFlags {
                    target: copy,
                    flags: there.flags.clone(),
                });
            }
            if known.is_some_and(|known| known.origin == Origin::Strayed) {
                self.plan.records.push(Record::Placed { copy });
            }
            // What was right and is not is a repair, and no change that a run has noted and not carried out. What is
            // wrong is noted when it is right again: until then the next run has to know it for a repair.
            let was_right = known.is_some_and(|known| known.flags.same(&wanted));
            let repair = was_right && row.flags.same(&shown.flags);
            self.flags(target.folder, &shown.flags, there, repair);
            return None;
        }
        if self.scene.misplaced(row, copy, target) {
            self.note_flags(copy);
            self.flags_at(copy, &shown.flags);
            return Some(Lacking {
                misplaced: true,
                ..lacking(None)
            });
        }
        if here.is_none() && self.scene.is_shown(copy) && !self.scene.strayed(copy) {
            // A move or a rename was written down, and the copy has not followed it.
            if self.moves(copy) {
                self.move_copy(copy, at);
                return None;
            }
            self.leave_behind(at, copy);
            return Some(Lacking {
                put_backs: 0,
                ..lacking(None)
            });
        }
        Some(Lacking {
            gone: Some(copy),
            ..lacking(Some((copy, Class::MissingAtStandby)))
        })
    }

    /// A message that was read and has no copy yet; it comes back if it still has none.
    fn unlinked(&mut self, at: Place, row: &'a Row, shown: &'a Shown) -> Option<Lacking<'a>> {
        let mut lacking = Lacking {
            at,
            row,
            shown,
            had: None,
            gone: None,
            misplaced: false,
            put_backs: 0,
        };
        if !untouched(row) {
            // It is a message of its own, and its batch was cut off.
            lacking.put_backs = row.put_backs;
        } else if let Some((from, old)) = self.scene.again.get(&at).copied() {
            return self.again(from, old, lacking);
        } else if let Some(from) = self.moved_from(row, at) {
            let copy = self.scene.row_at(from).and_then(|old| old.copy);
            self.found.places.insert(from);
            self.plan.records.push(Record::Moved {
                from,
                to: at,
                folder: self.folder.clone(),
            });
            if let Some(copy) = copy {
                let target = self.pair.target.as_ref();
                if target.is_some_and(|t| t.folder == copy.folder) {
                    // Another UID in the same folder.
                    self.flags_at(copy, &shown.flags);
                    return None;
                }
                if !self.scene.is_shown(copy) {
                    // Lost, or of an ended generation: the next round sees it as this message's own.
                    return None;
                }
                if self.scene.strayed(copy) {
                    // Misplaced it was and stays.
                    return None;
                }
                if self.moves(copy) {
                    self.move_copy(copy, at);
                    return None;
                }
                self.leave_behind(at, copy);
            }
        } else if let Some((from, old)) = self.again_undated(row) {
            self.found.places.insert(from);
            return self.again(from, old, lacking);
        } else if let Some(tombstone) = self.tombstone(row) {
            let (id, copy) = (tombstone.id, tombstone.copy);
            self.found.tombstones.insert(id);
            self.plan.records.push(Record::Revive {
                tombstone: id,
                source: at,
                folder: self.folder.clone(),
            });
            if let Some(copy) = copy.filter(|copy| self.scene.is_shown(*copy)) {
                self.adopt(at, copy, shown);
                return None;
            }
            lacking.gone = copy;
        }
        Some(lacking)
    }

    /// Whether a message's copy can be moved on the target. One that was adopted is ours as much as one that we
    /// wrote: else it would be sent a second time.
    fn moves(&self, copy: Place) -> bool {
        self.scene.view.target_moves && self.scene.copy_row(copy).is_some()
    }

    fn leave_behind(&mut self, source: Place, copy: Place) {
        let folder = self.scene.view.pairs.iter().find_map(|(name, pair)| {
            let target = pair.target.as_ref()?;
            (target.folder == copy.folder).then(|| name.clone())
        });
        self.plan
            .records
            .extend(folder.map(|folder| Record::LeftBehind {
                source,
                copy,
                folder,
            }));
    }

    /// A message of an ended generation, found again; it comes back if it had no copy.
    fn again(&mut self, from: Place, old: &Row, mut lacking: Lacking<'a>) -> Option<Lacking<'a>> {
        let to = lacking.at;
        self.plan.records.push(Record::SourceAgain { from, to });
        if let Some(copy) = old.copy {
            self.flags_at(copy, &lacking.shown.flags);
            return None;
        }
        lacking.put_backs = old.put_backs;
        Some(lacking)
    }

    /// A row of an ended generation with this content, whatever its date: a restored mailbox may have others.
    fn again_undated(&self, row: &Row) -> Option<(Place, &'a Row)> {
        let side = self.pair.source.as_ref()?;
        let first = (row.content, InternalDate(i64::MIN));
        let last = (row.content, InternalDate(i64::MAX));
        let places = self.scene.vanished.range(first..=last).flat_map(|(_, p)| p);
        places
            .filter(|at| at.folder == side.folder && at.generation != side.generation)
            .find(|at| !self.found.places.contains(at))
            .and_then(|at| Some((*at, row_in(side, *at)?)))
    }

    /// Where a message vanished that is this one: first one that has a copy, and in the same folder.
    fn moved_from(&self, row: &Row, at: Place) -> Option<Place> {
        let places = self.scene.vanished.get(&(row.content, row.date))?;
        places
            .iter()
            .filter(|from| !self.found.places.contains(from))
            .min_by_key(|from| {
                let has_copy = self
                    .scene
                    .row_at(**from)
                    .is_some_and(|row| row.copy.is_some());
                (!has_copy, from.folder != at.folder)
            })
            .copied()
    }

    /// The tombstone of a message that is back. With another date it is another message: the copies that
    /// corners hold of the old one cannot be given a new date.
    fn tombstone(&self, row: &Row) -> Option<&Tombstone> {
        self.scene.view.tombstones.iter().find(|t| {
            !t.moved
                && t.folder == *self.folder
                && t.content == row.content
                && t.date == row.date
                && !self.found.tombstones.contains(&t.id)
        })
    }

    fn move_copy(&mut self, copy: Place, at: Place) {
        if self.pair.target.as_ref().is_none_or(|t| t.gone) {
            self.plan.create.insert(self.folder.clone());
        }
        let step = self
            .plan
            .moves
            .iter_mut()
            .find(|m| m.from == copy.folder && m.to == *self.folder);
        match step {
            Some(step) => {
                let index = step.messages.partition_point(|(uid, _)| *uid < copy.uid);
                step.messages.insert(index, (copy.uid, at));
            }
            None => self.plan.moves.push(MoveStep {
                from: copy.folder,
                to: self.folder.clone(),
                messages: vec![(copy.uid, at)],
            }),
        }
    }

    fn send(&mut self, at: Place, row: &Row, flags: &Flags, repair: Option<Class>) {
        let send = Send {
            source: at,
            content: row.content,
            size: row.size,
            date: row.date,
            flags: self.sendable(flags),
            repair,
        };
        self.plan
            .sends
            .entry(self.folder.clone())
            .or_default()
            .push(send);
    }

    fn sendable(&self, flags: &Flags) -> Flags {
        let refused = &self.scene.view.refused_keywords;
        flags.retain_keywords(|k: &Keyword| !refused.contains(&k.as_str().to_ascii_lowercase()))
    }

    pub(super) fn flags_at(&mut self, copy: Place, wanted: &Flags) {
        if let Some(there) = self.scene.shown_copy(copy) {
            self.flags(copy.folder, wanted, there, false);
        }
    }

    fn flags(&mut self, folder: FolderId, wanted: &Flags, there: &Shown, repair: bool) {
        let wanted = self.sendable(wanted);
        let mut repair = repair;
        for (add, flags) in [
            (true, wanted.minus(&there.flags)),
            (false, there.flags.minus(&wanted)),
        ] {
            if flags.is_empty() {
                continue;
            }
            // One repair, however many commands it takes.
            let repair = std::mem::take(&mut repair);
            let same = |s: &&mut FlagStep| {
                s.folder == folder && s.add == add && s.repair == repair && s.flags == flags
            };
            match self.plan.flags.iter_mut().find(same) {
                Some(step) => {
                    let index = step.uids.partition_point(|uid| *uid < there.uid);
                    step.uids.insert(index, there.uid);
                }
                None => self.plan.flags.push(FlagStep {
                    folder,
                    add,
                    flags,
                    uids: vec![there.uid],
                    repair,
                }),
            }
        }
    }

    /// Rows of the target whose message is gone and that no source row points at.
    fn forget_foreign(&mut self) {
        let Some(target) = &self.pair.target else {
            return;
        };
        let shown = shown_uids(target);
        for uid in target.rows.keys() {
            let at = place(target, *uid);
            match self.scene.owners.get(&at) {
                None if !shown.contains(uid) => self.plan.records.push(Record::Forget { at }),
                // So that the ledger knows the folder as it is: flags of what is linked are noted with the link.
                None | Some(Owner::Tombstone(_)) if !self.found.adopted.contains(&at) => {
                    self.note_flags(at);
                }
                _ => {}
            }
        }
        for (generation, uid) in target.stale.keys() {
            let at = Place {
                folder: target.folder,
                generation: *generation,
                uid: *uid,
            };
            if !self.scene.owners.contains_key(&at) {
                self.plan.records.push(Record::Forget { at });
            }
        }
    }
}
