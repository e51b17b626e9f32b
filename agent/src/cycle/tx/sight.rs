//! The three corners as entries, and what they differ by.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner, Depth};

use super::read_back::Proved;
use crate::clock;
use crate::cycle::Round;
use crate::error::AgentError;
use crate::ledger::Quarantined;
use crate::plan::guard::Lost;
use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder};
use crate::plan::names::excluded;
use crate::plan::reconcile::{
    Corners, Difference, Entry, Explanations, Gone, unread_copy, unreadable_content, waits,
};
use crate::plan::view::{FolderId, Origin, Place, Row, Shown, Side, Tombstone};
use crate::report::figures::{Counted, Figures};
use crate::snapshot::{self, Cut, SeenFolder, Stands};
use crate::store::{Member, Store};

/// How long a quarantine explains a difference, seconds.
const QUARANTINE_GRACE_S: i64 = 3 * 86_400;

/// What a look at all corners showed: what is alike is only counted, the rest is held as entries.
pub(super) struct Sight {
    alike: Figures,
    rest: Corners,
}

impl Sight {
    /// The figures of all that was seen.
    pub(super) fn count(self) -> Counted {
        let Corners {
            primary,
            standby,
            store,
        } = &self.rest;
        self.alike.finish([primary, standby, store])
    }
}

impl Round<'_> {
    /// The corners as they are listed now, the primary as it was at the cut, and what they differ by. Folder by folder,
    /// so that memory grows with the largest folder and with what is not alike, and not with the mailbox.
    pub(super) async fn compare(
        &mut self,
        cut: &Cut,
        proved: &Proved,
        depth: Depth,
    ) -> Result<(Sight, Vec<Difference>), AgentError> {
        let mut stored = self.stored(proved).await?;
        let choice = self.choice();
        let mut ledger = self.site.ledger.borrow_mut();
        let tombstones = ledger.tombstones(choice.triangle)?;
        snapshot::close_both(
            &mut ledger,
            choice,
            &tombstones,
            &mut self.source,
            &mut self.target,
        )?;
        let mut seen = Sight {
            alike: Figures::new(self.site.report_key()),
            rest: Corners::default(),
        };
        let mut waiting = Vec::new();
        let mut names = snapshot::names(&self.source, &self.target);
        names.extend(stored.keys().cloned());
        for name in &names {
            let (source, target) = (&mut self.source, &mut self.target);
            let pair = snapshot::pair(&mut ledger, choice, source, target, name)?;
            let mut here = Corners::default();
            if let Some(side) = pair.source {
                let quarantined = ledger.quarantined(side.folder, side.generation)?;
                let primary = Primary {
                    name,
                    target: pair.target.as_ref().map(|target| target.folder),
                    cut,
                    quarantine: quarantined.into_iter().map(|q| (q.at.uid, q)).collect(),
                    short: self.short,
                    side: &side,
                };
                let unread = primary.unread();
                waiting.extend(unread.map(|count| (name.clone(), count)));
                here.primary = primary.entries();
            }
            if let Some(side) = pair.target {
                let folder = self.target.folders.get(name);
                let found = folder.map_or(0, |folder| folder.known.found_uidnext);
                here.standby = target_entries(name, &side, &cut.standby, found);
            }
            let stored = stored.remove(name).unwrap_or_default().into_iter();
            here.store = stored
                .map(|message| message.entry(name, proved.store_oldest))
                .collect();
            if depth != Depth::Volume {
                here.set_aside(|alike| seen.alike.add_alike(alike));
            }
            if here.is_empty() {
                seen.alike.settle(name);
            }
            seen.rest.append(here);
        }
        let known = ledger.count_messages(choice.triangle, self.source.corner.as_str())?;
        let history = ledger.history(choice.triangle, clock::now_s())?;
        let ordinary = |lost| choice.pop_delete || !self.triangle.guard.holds(lost, history, known);
        judge_losses(&mut seen.rest.primary, ordinary);
        let places = self.target.folders.iter();
        let places = places.map(|(name, folder)| (folder.known.id, (name, folder)));
        let places: BTreeMap<FolderId, _> = places.collect();
        let buried = |t: &Tombstone| (lies_in(t, &places).clone(), t.content, t.moved);
        let explanations = Explanations {
            tombstones: tombstones.iter().map(buried).collect(),
            refused_keywords: ledger.refused_keywords(choice.triangle, self.target.corner)?,
            equivalent: ledger.equivalents()?,
            unfilled: self.unfilled.iter().map(|row| row.content).collect(),
        };
        let mut found = seen.rest.compare(&explanations, depth);
        let is_foreign = |d: &&mut Difference| d.class == Class::ForeignAtStandby;
        let foreign = found.iter_mut().filter(is_foreign);
        let foreign: BTreeSet<ContentId> = foreign.filter_map(|d| d.content).collect();
        if !foreign.is_empty() {
            // Of what is alike nothing is left to compare with: it may be what was copied here.
            let known = ledger.places_of(choice.triangle, Corner::Primary, &foreign)?;
            let known: BTreeSet<ContentId> =
                known.into_values().flat_map(|m| m.into_values()).collect();
            let copied = |d: &&mut Difference| d.content.is_some_and(|c| known.contains(&c));
            for difference in found.iter_mut().filter(is_foreign).filter(copied) {
                difference.class = Class::Duplicate;
                difference.detail =
                    "a further copy of a message that the primary has in another folder".to_owned();
            }
        }
        for (folder, count) in waiting {
            found.extend(
                [Corner::Standby, Corner::Store].map(|corner| waits(&folder, corner, count)),
            );
        }
        found.sort();
        Ok((seen, found))
    }

    /// V(store), from the store's own records, by folder.
    async fn stored(
        &self,
        proved: &Proved,
    ) -> Result<BTreeMap<LogicalFolder, Vec<Stored>>, AgentError> {
        let triangle = self.triangle.name.clone();
        let exclude = self.triangle.exclude_folders.clone();
        let damaged = proved.damaged.clone();
        let closed = self.source.closed.keys().chain(self.target.closed.keys());
        let closed: BTreeSet<LogicalFolder> = closed.cloned().collect();
        let read = move |store: &mut Store| {
            let mut folders: BTreeMap<LogicalFolder, Option<Vec<Stored>>> = BTreeMap::new();
            store.each_member(&triangle, |member| {
                if member.tombstone.is_some() || damaged.contains(&member.content) {
                    return;
                }
                let counts = |folder: &LogicalFolder| {
                    !excluded(folder, &exclude) && !closed.contains(folder)
                };
                let folder = match folders.get_mut(&member.folder) {
                    Some(folder) => folder,
                    None => {
                        let new = counts(&member.folder).then(Vec::new);
                        folders.entry(member.folder.clone()).or_insert(new)
                    }
                };
                if let Some(folder) = folder {
                    folder.push(Stored::of(member));
                }
            })?;
            let counted = folders.into_iter();
            Ok(counted
                .filter_map(|(name, folder)| Some((name, folder?)))
                .collect())
        };
        self.site.store.with(read).await
    }
}

/// A message in a folder of the store.
struct Stored {
    content: ContentId,
    date: InternalDate,
    flags: Flags,
    size: u32,
}

impl Stored {
    fn of(member: Member) -> Self {
        Self {
            content: member.content,
            date: member.date,
            flags: member.flags,
            size: member.size,
        }
    }

    fn entry(self, folder: &LogicalFolder, verified_at: Option<i64>) -> Entry {
        Entry {
            folder: folder.clone(),
            content: self.content,
            date: self.date,
            flags: self.flags,
            size: self.size,
            uid: 0,
            copy: None,
            late: false,
            gone: None,
            preexisting: false,
            quarantine: None,
            verified_at,
        }
    }
}

/// Says of what the primary lost before the cut whether it is ordinary.
fn judge_losses(primary: &mut [Entry], ordinary: impl Fn(Lost) -> bool) {
    let lost = primary.iter_mut().filter_map(|e| e.gone.as_mut());
    let mut lost: Vec<&mut Gone> = lost.filter(|gone| **gone != Gone::Late).collect();
    let ordinary = ordinary(Lost {
        vanished: u64::try_from(lost.len()).unwrap_or(u64::MAX),
        put_back: 0,
    });
    for gone in &mut lost {
        **gone = Gone::Before { ordinary };
    }
}

/// Where a tombstone's copy lies, if it is there; else where its message was.
fn lies_in<'a>(
    tombstone: &'a Tombstone,
    places: &BTreeMap<FolderId, (&'a LogicalFolder, &SeenFolder)>,
) -> &'a LogicalFolder {
    let copy = tombstone.copy;
    let there = copy.and_then(|copy| Some((copy, places.get(&copy.folder)?)));
    let there = there.filter(|(copy, (_, folder))| folder.shows(*copy));
    there.map_or(&tombstone.folder, |(_, (name, _))| *name)
}

/// Whether a UID came after the cut; a folder that was not there then is new as a whole.
fn is_late(stands: &Stands, name: &LogicalFolder, side: &Side, uid: u32) -> bool {
    stands
        .get(name)
        .is_none_or(|stood| stood.uidvalidity == side.uidvalidity && uid >= stood.uidnext)
}

/// A folder of the primary.
struct Primary<'a> {
    name: &'a LogicalFolder,
    side: &'a Side,
    /// Where its copies are.
    target: Option<FolderId>,
    cut: &'a Cut,
    quarantine: BTreeMap<u32, Quarantined>,
    /// Whether mail waits for a budget.
    short: bool,
}

impl Primary<'_> {
    fn is_late(&self, uid: u32) -> bool {
        is_late(&self.cut.primary, self.name, self.side, uid)
    }

    /// Messages that were there at the cut and wait for a budget.
    fn unread(&self) -> Option<u64> {
        let unread = self.side.shown.iter().filter(|shown| {
            !self.side.rows.contains_key(&shown.uid)
                && !self.side.unreadable.contains(&shown.uid)
                && !self.is_late(shown.uid)
        });
        let count = u64::try_from(unread.count()).unwrap_or(u64::MAX);
        (self.short && count > 0).then_some(count)
    }

    fn entries(&self) -> Vec<Entry> {
        let side = self.side;
        let shown = side.shown.iter().filter_map(|shown| self.entry(shown));
        let mut entries: Vec<Entry> = shown.collect();
        let there = |uid: &u32| side.shown.binary_search_by_key(uid, |s| s.uid).is_ok();
        let gone = side.rows.iter().filter(|(uid, _)| !there(uid));
        let mut gone: Vec<Entry> = gone
            .map(|(uid, row)| self.gone(side.generation, *uid, row))
            .collect();
        // Of an ended generation only what is not shown again is gone.
        let mut again: BTreeMap<ContentId, u64> = BTreeMap::new();
        for entry in entries.iter().filter(|_| !side.stale.is_empty()) {
            *again.entry(entry.content).or_default() += 1;
        }
        for ((generation, uid), row) in &side.stale {
            match again.get_mut(&row.content) {
                Some(left) if *left > 0 => *left -= 1,
                _ => gone.push(self.gone(*generation, *uid, row)),
            }
        }
        entries.append(&mut gone);
        entries
    }

    fn copy_of(&self, row: &Row) -> Option<u32> {
        let here = row.copy.filter(|copy| Some(copy.folder) == self.target);
        here.map(|copy| copy.uid)
    }

    fn entry(&self, shown: &Shown) -> Option<Entry> {
        let side = self.side;
        let quarantine = self.quarantine.get(&shown.uid);
        let since = |q: &Quarantined| clock::now_s() - q.since > QUARANTINE_GRACE_S;
        let mut entry = Entry {
            folder: self.name.clone(),
            content: unreadable_content(self.name, shown.uid),
            date: shown.date,
            flags: shown.flags.clone(),
            size: shown.size,
            uid: shown.uid,
            copy: None,
            late: self.is_late(shown.uid),
            gone: None,
            preexisting: false,
            quarantine: quarantine.map(|q| (q.class, since(q))),
            verified_at: None,
        };
        let Some(row) = side.rows.get(&shown.uid) else {
            // It cannot be read, or is listed and not given; else it arrived between two steps of this Tx, or waits for a
            // budget.
            let given = entry.late || self.short;
            let lacks = side.unreadable.contains(&shown.uid) || !given;
            return lacks.then_some(entry);
        };
        entry.content = side.altered.get(&shown.uid).copied().unwrap_or(row.content);
        entry.copy = self.copy_of(row);
        entry.verified_at = row.verified_at;
        if self.short && row.copy.is_none() {
            entry.quarantine = entry.quarantine.or(Some((Class::Pending, false)));
        }
        // Flags that changed since count as they were at the cut.
        let at = Place {
            folder: side.folder,
            generation: side.generation,
            uid: shown.uid,
        };
        if let Some(then) = self.cut.shown(at) {
            entry.flags = then.flags.clone();
        } else if !self.cut.listed(side.folder) && !entry.late && !row.flags.same(&shown.flags) {
            entry.flags = row.flags.clone();
        }
        Some(entry)
    }

    /// What the ledger knows and the primary shows no more.
    fn gone(&self, generation: u32, uid: u32, row: &Row) -> Entry {
        let side = self.side;
        let at = Place {
            folder: side.folder,
            generation,
            uid,
        };
        let stood = self.cut.primary.contains_key(self.name);
        // What is known of a folder that was not there at the cut had gone with it.
        let late = stood && generation == side.generation && self.is_late(uid);
        let listed = self.cut.listed(side.folder);
        let there = self.cut.shown(at).is_some() || (stood && !listed);
        let gone = if late || there {
            Gone::Late
        } else {
            Gone::Before { ordinary: true }
        };
        Entry {
            folder: self.name.clone(),
            content: row.content,
            date: row.date,
            flags: row.flags.clone(),
            size: row.size,
            uid,
            copy: self.copy_of(row),
            late,
            gone: Some(gone),
            preexisting: false,
            quarantine: row.quarantined.then_some((Class::Quarantined, false)),
            verified_at: row.verified_at,
        }
    }
}

/// What lies on the standby; what the server lists and does not give is foreign, since nobody knows what it is. `found` is
/// UIDNEXT as the first mirror met it.
fn target_entries(name: &LogicalFolder, side: &Side, cut: &Stands, found: u32) -> Vec<Entry> {
    let entry = |shown: &Shown| {
        let late = is_late(cut, name, side, shown.uid);
        let row = side.rows.get(&shown.uid);
        if row.is_none() && late {
            return None;
        }
        let was_there = side.generation == 1 && shown.uid < found;
        Some(Entry {
            folder: name.clone(),
            content: row.map_or_else(|| unread_copy(name, shown.uid), |row| row.content),
            date: shown.date,
            flags: shown.flags.clone(),
            size: shown.size,
            uid: shown.uid,
            copy: None,
            late,
            gone: None,
            preexisting: row.map_or(was_there, |row| row.origin == Origin::Preexisting),
            quarantine: None,
            verified_at: row.and_then(|row| row.verified_at),
        })
    };
    side.shown.iter().filter_map(entry).collect()
}
