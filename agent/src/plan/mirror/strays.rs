//! Copies that somebody moved on the target: they are misplaced, not missing. Nothing is sent for them and
//! nothing done to them; the link goes where they went, so that a run notices when they come back or go for
//! good, even where only the folder changed in which they lie.

use std::collections::BTreeSet;

use super::folder::{FolderPlan, Free, Lacking, take};
use super::scene::{Scene, unknown, untouched};
use super::{Read, Record};
use crate::plan::identity::{ContentId, InternalDate};
use crate::plan::view::{Origin, Pair, Place, Row, Side};

impl Scene<'_> {
    /// Whether somebody moved a copy from its folder to where it lies.
    pub(super) fn strayed(&self, copy: Place) -> bool {
        self.is_shown(copy) && self.had_strayed(copy)
    }

    /// The same of a copy that may be gone from there.
    pub(super) fn had_strayed(&self, copy: Place) -> bool {
        let strayed = |row: &Row| row.origin == Origin::Strayed;
        self.copy_row(copy).is_some_and(strayed)
    }

    /// Whether a message's copy lies in another folder than its own, because somebody moved it there.
    pub(super) fn misplaced(&self, row: &Row, copy: Place, own: Option<&Side>) -> bool {
        let same = |there: &Row| there.content == row.content;
        own.is_none_or(|own| own.folder != copy.folder)
            && self.strayed(copy)
            && self.copy_row(copy).is_some_and(same)
    }

    /// Sizes and dates of copies that are gone from where they were: an unknown message that has one of them
    /// may be such a copy.
    pub(super) fn gone(&self) -> BTreeSet<(u32, InternalDate)> {
        let mut shapes = BTreeSet::new();
        for (folder, pair) in &self.view.pairs {
            let Some(source) = &pair.source else { continue };
            let known = source
                .shown
                .iter()
                .filter_map(|shown| source.rows.get(&shown.uid));
            let mut back = BTreeSet::new();
            for row in known.filter(|row| !row.quarantined) {
                match row.copy {
                    Some(copy) if self.is_gone(row, copy, pair.target.as_ref()) => {
                        let rows = [Some(row), self.copy_row(copy)];
                        shapes.extend(rows.iter().flatten().map(|row| (row.size, row.date)));
                    }
                    None if untouched(row) => {
                        back.insert((row.content, row.date));
                    }
                    _ => {}
                }
            }
            if back.is_empty() {
                continue;
            }
            for buried in &self.view.tombstones {
                if let Some(copy) = buried.copy
                    && buried.folder == *folder
                    && back.contains(&(buried.content, buried.date))
                    && !self.is_shown(copy)
                {
                    shapes.insert((buried.size, buried.date));
                }
            }
        }
        shapes
    }

    /// What copies were that are gone from other folders than this.
    pub(super) fn gone_from_others(&self, pair: &Pair) -> BTreeSet<ContentId> {
        let here = pair.target.as_ref().map(|target| target.folder);
        let sources = self.view.pairs.values().filter_map(|p| p.source.as_ref());
        let rows = sources.flat_map(|source| source.rows.values().chain(source.stale.values()));
        rows.filter(|row| !row.quarantined)
            .filter(|row| {
                row.copy
                    .is_some_and(|copy| Some(copy.folder) != here && !self.is_shown(copy))
            })
            .map(|row| row.content)
            .collect()
    }

    fn is_gone(&self, row: &Row, copy: Place, own: Option<&Side>) -> bool {
        // One that strayed and holds other octets by now is none any more.
        !self.is_shown(copy)
            || self.strayed(copy)
                && own.is_none_or(|own| own.folder != copy.folder)
                && !self.misplaced(row, copy, own)
    }

    /// Unknown messages of the target that may be copies which are gone from their folders.
    pub(super) fn strays_to_read(&self, gone: &BTreeSet<(u32, InternalDate)>) -> Read {
        let mut read = Read::default();
        for target in self.targets.values() {
            let fits = unknown(target).filter(|s| gone.contains(&(s.size, s.date)));
            let uids: Vec<u32> = fits.map(|s| s.uid).collect();
            if !uids.is_empty() {
                read.target.insert(target.folder, uids);
            }
        }
        read
    }
}

impl FolderPlan<'_, '_> {
    /// Whether a copy that is gone lies elsewhere, with the message's date or the one that the target had given
    /// it; or here, with another.
    pub(super) fn found_again(
        &mut self,
        lacking: &Lacking<'_>,
        free: &mut Free,
        here: bool,
    ) -> bool {
        let Some(from) = lacking.gone else {
            return false;
        };
        let (source, content) = (lacking.at, lacking.row.content);
        if here {
            let (Some(own), Some(copies)) = (&self.pair.target, free.get_mut(&content)) else {
                return false;
            };
            let here = copies.iter().position(|(at, _)| at.folder == own.folder);
            let Some(to) = here.map(|index| copies.remove(index).0) else {
                return false;
            };
            let linked = lacking.row.copy == Some(from);
            if linked && from.folder == own.folder && from.generation != own.generation {
                let again = Record::TargetAgain { source, from, to };
                self.plan.records.push(again);
                self.flags_at(to, &lacking.shown.flags);
            } else {
                self.adopt(source, to, lacking.shown);
            }
            return true;
        }
        let listed = self.scene.copy_row(from).map(|there| there.date);
        let to = take(free, content, Some(lacking.row.date))
            .or_else(|| take(free, content, Some(listed?)));
        let strayed = to.map(|to| Record::Strayed { source, from, to });
        self.plan.records.extend(strayed);
        to.is_some()
    }

    /// Notes the flags of a copy that is left as it is.
    pub(super) fn note_flags(&mut self, copy: Place) {
        if let (Some(known), Some(there)) = (self.scene.copy_row(copy), self.scene.shown_copy(copy))
            && !known.flags.same(&there.flags)
        {
            self.plan.records.push(Record::TargetFlags {
                target: copy,
                flags: there.flags.clone(),
            });
        }
    }
}
