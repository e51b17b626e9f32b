//! The three corners as entries, and what they differ by.

use std::collections::BTreeMap;

use maildreieck_api_spec::vocabulary::{Class, Corner, Depth};

use super::read_back::Proved;
use crate::clock;
use crate::cycle::Round;
use crate::error::AgentError;
use crate::ledger::Quarantined;
use crate::plan::guard::Lost;
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::names::excluded;
use crate::plan::reconcile::{
    Corners, Difference, Entry, Explanations, Gone, unreadable_content, waits,
};
use crate::plan::view::{FolderId, Origin, Place, Row, Shown, Side, Tombstone, View};
use crate::snapshot::{Cut, Stands};
use crate::store::Member;

/// How long a quarantine explains a difference, seconds.
const QUARANTINE_GRACE_S: i64 = 3 * 86_400;

impl Round<'_> {
    /// The corners as they are listed now, the primary as it was at the cut, and what they differ by.
    pub(super) async fn compare(
        &mut self,
        cut: &Cut,
        proved: &Proved,
        depth: Depth,
    ) -> Result<(Corners, Vec<Difference>), AgentError> {
        let view = self.full_view()?;
        let mut corners = Corners {
            store: self.stored(proved).await?,
            ..Corners::default()
        };
        let mut waiting = Vec::new();
        for (name, pair) in &view.pairs {
            if let Some(side) = &pair.source {
                let target = pair.target.as_ref().map(|target| target.folder);
                let mut ledger = self.site.ledger.borrow_mut();
                let primary = Primary {
                    name,
                    side,
                    target,
                    cut,
                    quarantine: ledger.quarantined(side.folder, side.generation)?,
                    short: self.short,
                };
                let unread = primary.unread();
                waiting.extend(unread.map(|count| (name.clone(), count)));
                corners.primary.extend(primary.entries());
            }
            if let Some(side) = &pair.target {
                let entries = target_entries(name, side, &cut.standby);
                corners.standby.extend(entries);
            }
        }
        self.judge_losses(&view, &mut corners.primary)?;
        let explanations = Explanations {
            tombstones: view
                .tombstones
                .iter()
                .map(|t| (lies_in(t, &view).clone(), t.content, t.moved))
                .collect(),
            refused_keywords: view.refused_keywords,
            equivalent: view.equivalent,
            unfilled: self.unfilled.iter().map(|row| row.content).collect(),
        };
        let mut found = corners.compare(&explanations, depth);
        for (folder, count) in waiting {
            found.extend(
                [Corner::Standby, Corner::Store].map(|corner| waits(&folder, corner, count)),
            );
        }
        found.sort();
        Ok((corners, found))
    }

    /// Says of what the primary lost before the cut whether it is ordinary.
    fn judge_losses(&self, view: &View, primary: &mut [Entry]) -> Result<(), AgentError> {
        let lost = primary.iter_mut().filter_map(|e| e.gone.as_mut());
        let mut lost: Vec<&mut Gone> = lost.filter(|gone| **gone != Gone::Late).collect();
        let vanished = Lost {
            vanished: u64::try_from(lost.len()).unwrap_or(u64::MAX),
            put_back: 0,
        };
        let history = {
            let mut ledger = self.site.ledger.borrow_mut();
            ledger.history(&self.triangle.name, clock::now_s())?
        };
        let guard = self.triangle.guard;
        let ordinary = view.pop_delete || !guard.holds(vanished, history, view.known_on_source);
        for gone in &mut lost {
            **gone = Gone::Before { ordinary };
        }
        Ok(())
    }

    /// V(store), from the store's own records.
    async fn stored(&self, proved: &Proved) -> Result<Vec<Entry>, AgentError> {
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
        let entries = members.into_iter().filter(|m| {
            m.tombstone.is_none()
                && !proved.damaged.contains(&m.content)
                && !excluded(&m.folder, exclude)
                && !closed(&m.folder)
        });
        let entry = |m: Member| Entry {
            folder: m.folder,
            content: m.content,
            date: m.date,
            flags: m.flags,
            size: m.size,
            uid: 0,
            copy: None,
            late: false,
            gone: None,
            preexisting: false,
            quarantine: None,
            verified_at: proved.store_oldest,
        };
        Ok(entries.map(entry).collect())
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
    quarantine: Vec<Quarantined>,
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
        let quarantine = self.quarantine.iter().find(|q| q.at.uid == shown.uid);
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
            // It cannot be read; or it arrived between two steps of this Tx, or waits for a budget.
            return side.unreadable.contains(&shown.uid).then_some(entry);
        };
        entry.content = row.content;
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
        let late = generation == side.generation && self.is_late(uid);
        let listed = self.cut.listed(side.folder);
        let stood = self.cut.primary.contains_key(self.name);
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
                gone: None,
                preexisting: row.origin == Origin::Preexisting,
                quarantine: None,
                verified_at: row.verified_at,
            })
        })
        .collect()
}
