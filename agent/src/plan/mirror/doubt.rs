//! What one look at the source cannot be trusted with. Its folders are looked at one after another: a message that is moved
//! meanwhile is seen in both folders or in neither, a folder that is renamed under both names or under none.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, Record};
use crate::plan::identity::{InternalDate, LogicalFolder};
use crate::plan::view::{FolderId, Place, View};

/// What a message looks like in a list: size and date.
pub type Shape = (u32, InternalDate);

/// Messages that may be somewhere else than a look showed, each with all others that look like it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubt {
    vanished: BTreeMap<Place, BTreeSet<Place>>,
    /// New ones that another folder may have lost.
    new: BTreeMap<Place, BTreeSet<Place>>,
}

impl Doubt {
    /// What this doubts and an earlier look did not show just so.
    #[must_use]
    pub fn beyond(&self, earlier: &Self) -> Self {
        type Likes = BTreeMap<Place, BTreeSet<Place>>;
        let beyond = |now: &Likes, earlier: &Likes| -> Likes {
            let other = now
                .iter()
                .filter(|(at, like)| earlier.get(at) != Some(like));
            other.map(|(at, like)| (*at, like.clone())).collect()
        };
        Self {
            vanished: beyond(&self.vanished, &earlier.vanished),
            new: beyond(&self.new, &earlier.new),
        }
    }

    /// What cannot be decided without these folders, of which nobody knows what is in them now.
    #[must_use]
    pub fn about(self, unseen: &BTreeSet<FolderId>) -> Self {
        let mut new = self.new;
        new.retain(|_, like| like.iter().any(|at| unseen.contains(&at.folder)));
        Self { new, ..self }
    }

    /// The first new message of each folder that is doubted.
    pub fn first_new(&self) -> BTreeMap<FolderId, u32> {
        // Places ascend by UID.
        let new = self.new.keys().rev();
        new.map(|at| (at.folder, at.uid)).collect()
    }

    /// Whether nothing is doubted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vanished.is_empty() && self.new.is_empty()
    }
}

impl Plan {
    /// Whether it decides about messages by what several folders of the source showed.
    #[must_use]
    pub fn hangs_on_the_look(&self, view: &View) -> bool {
        self.held.is_some()
            || self.buried(view).next().is_some()
            || view.known_on_source > 0 && self.first_sent(view).next().is_some()
    }

    /// What the messages look like that may be somewhere else.
    #[must_use]
    pub fn shapes(&self, view: &View) -> BTreeSet<Shape> {
        let all = self.buried(view).chain(self.first_sent(view));
        all.map(|(_, shape)| shape).collect()
    }

    /// What is in doubt of it. `known` is what the ledger knows of such shapes on the source.
    #[must_use]
    pub fn doubt(&self, view: &View, mut known: BTreeMap<Shape, BTreeSet<Place>>) -> Doubt {
        for (at, shape) in self.first_sent(view) {
            known.entry(shape).or_default().insert(at);
        }
        let like = |(at, shape): (Place, Shape)| {
            let mut like = known.get(&shape).cloned().unwrap_or_default();
            like.remove(&at);
            (at, like)
        };
        let elsewhere = |(at, like): &(Place, BTreeSet<Place>)| {
            like.iter().any(|other| other.folder != at.folder)
        };
        Doubt {
            vanished: self.buried(view).map(like).collect(),
            new: self.first_sent(view).map(like).filter(elsewhere).collect(),
        }
    }

    /// Leaves out what is in doubt.
    pub fn leave(&mut self, view: &View, doubt: &Doubt) {
        self.records.retain(
            |record| !matches!(record, Record::Tombstone { source } if doubt.vanished.contains_key(source)),
        );
        let vanished = u64::try_from(doubt.vanished.len()).unwrap_or(0);
        self.lost.vanished = self.lost.vanished.saturating_sub(vanished);
        for (folder, copies) in &mut self.copies {
            let at = place_in(view, folder);
            copies.retain(|copy| at(copy.uid).is_none_or(|at| !doubt.new.contains_key(&at)));
        }
        self.copies.retain(|_, copies| !copies.is_empty());
        for sends in self.sends.values_mut() {
            sends.retain(|send| send.repair.is_some() || !doubt.new.contains_key(&send.source));
        }
        self.sends.retain(|_, sends| !sends.is_empty());
    }

    /// Messages that have vanished.
    fn buried(&self, view: &View) -> impl Iterator<Item = (Place, Shape)> {
        self.records.iter().filter_map(|record| match record {
            Record::Tombstone { source } => {
                let row = view.source_row(*source)?;
                Some((*source, (row.size, row.date)))
            }
            _ => None,
        })
    }

    /// Messages that are sent for the first time.
    fn first_sent(&self, view: &View) -> impl Iterator<Item = (Place, Shape)> {
        let copies = self.copies.iter().flat_map(|(folder, copies)| {
            let at = place_in(view, folder);
            let copy = move |copy: &super::Copy| Some((at(copy.uid)?, (copy.size, copy.date)));
            copies.iter().filter_map(copy)
        });
        let sends = self.sends.values().flatten();
        let sends = sends.filter(|send| send.repair.is_none());
        copies.chain(sends.map(|send| (send.source, (send.size, send.date))))
    }
}

/// Where a message of a folder of the source is.
fn place_in(view: &View, folder: &LogicalFolder) -> impl Fn(u32) -> Option<Place> + use<> {
    let side = view.pairs.get(folder).and_then(|pair| pair.source.as_ref());
    let side = side.map(|side| (side.folder, side.generation));
    move |uid| {
        let (folder, generation) = side?;
        Some(Place {
            folder,
            generation,
            uid,
        })
    }
}
