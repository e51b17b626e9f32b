//! Figures against each other: totals are sums, the verdict is what the figures demand, what two corners
//! differ by is listed, and what is listed is in the figures.

use std::collections::BTreeMap;

use super::{CORNERS, Certificate, Found};
use crate::certificate::{CornerFigures, DifferenceCount, FolderRef};
use crate::vocabulary::{Class, Corner};

impl Certificate {
    pub(super) fn check_sums(&self, found: &mut Found) {
        for corner in CORNERS {
            let all = self.of(corner);
            let folders = || self.folders.iter().filter_map(|folder| folder.of(corner));
            let messages: u128 = folders().map(|f| u128::from(f.messages)).sum();
            let bytes: u128 = folders().map(|f| u128::from(f.bytes)).sum();
            for (name, total, sum) in [
                ("messages", all.messages, messages),
                ("bytes", all.bytes, bytes),
            ] {
                if u128::from(total) != sum {
                    let rule = format!("{sum}, which is the sum over the folders");
                    found.say(format!("/corners/{corner}/{name}"), rule);
                }
            }
        }
        for (at, _, figures) in self.figures() {
            if figures.messages == 0 && figures.bytes > 0 {
                found.say(format!("{at}/bytes"), "0 where there are no messages");
            }
        }
    }

    pub(super) fn check_verdict(&self, found: &mut Found) {
        let demanded = self.verdict_of_figures();
        if demanded != self.verdict {
            let rule = format!("{demanded}, which is what the figures demand");
            found.say("/verdict", rule);
        }
    }

    /// A corner against the primary: what they differ by must be among the differences, and what is among
    /// the differences must be there to differ.
    pub(super) fn check_corner(&self, corner: Corner, found: &mut Found) {
        let mut all = Gap::default();
        // What may be anywhere: without a folder, or with the one of two folders that is not named.
        let mut anywhere = Gap::default();
        let mut by_folder: BTreeMap<&FolderRef, Gap> = BTreeMap::new();
        for d in self
            .differences
            .iter()
            .filter(|d| d.corner == corner && d.against.is_none())
        {
            all.take(d);
            if d.folder.is_any() {
                anywhere.take(d);
            } else {
                by_folder.entry(&d.folder).or_default().take(d);
            }
            if d.class == Class::Misplaced {
                anywhere.missing = anywhere.missing.saturating_add(d.count);
                anywhere.surplus = anywhere.surplus.saturating_add(d.count);
                anywhere.any = true;
            }
        }
        let (here, there) = (&self.corners.primary, self.of(corner));
        let at = format!("/corners/{corner}");
        all.check(here, there, &at, found);
        all.check_hash(here, there, &at, found);
        let nothing = CornerFigures::default();
        for (i, folder) in self.folders.iter().enumerate() {
            let mut gap = by_folder.remove(&folder.folder).unwrap_or_default();
            let here = folder.primary.as_ref().unwrap_or(&nothing);
            let there = folder.of(corner).unwrap_or(&nothing);
            let at = format!("/folders/{i}/{corner}");
            gap.check_hash(here, there, &at, found);
            gap.add(&anywhere);
            gap.check(here, there, &at, found);
        }
        self.check_listed(corner, found);
    }

    /// What one corner lacks and another has is in the figures of that one.
    pub(super) fn check_pair(&self, found: &mut Found) {
        let pairs = self.differences.iter().enumerate();
        for (i, d) in pairs {
            let Some(against) = d.against else { continue };
            let folder = self.folders.iter().find(|f| f.folder == d.folder);
            let most = folder.and_then(|f| f.of(against));
            let most = most.map_or(0, |figures| figures.messages);
            if d.count > most {
                let rule = format!("at most {most}, the messages of the {against} there");
                found.say(format!("/differences/{i}/count"), rule);
            }
        }
    }

    /// That no more differs than there is, folder by folder and in all.
    fn check_listed(&self, corner: Corner, found: &mut Found) {
        let mut all = Listed::default();
        let mut by_folder: BTreeMap<&FolderRef, (usize, Listed)> = BTreeMap::new();
        for (i, d) in self.differences.iter().enumerate() {
            if d.corner != corner || d.against.is_some() {
                continue;
            }
            all.take(d);
            if d.class == Class::Misplaced {
                // On the primary it is in a folder that is not named.
                all.here += u128::from(d.count);
            }
            if !d.folder.is_any() {
                let listed = by_folder.entry(&d.folder).or_default();
                if listed.1 == Listed::default() {
                    listed.0 = i;
                }
                listed.1.take(d);
            }
        }
        let nothing = CornerFigures::default();
        for (name, (i, listed)) in by_folder {
            let folder = self.folders.iter().find(|f| f.folder == *name);
            let figures = |corner| folder.and_then(|f| f.of(corner)).unwrap_or(&nothing);
            let (here, there) = (figures(Corner::Primary), figures(corner));
            if let Some(rule) = listed.exceeds(here, there, corner) {
                found.say(format!("/differences/{i}/count"), rule);
            }
        }
        if let Some(rule) = all.exceeds(&self.corners.primary, self.of(corner), corner) {
            found.say("/differences", rule);
        }
    }
}

/// What listed differences speak of.
#[derive(Default, PartialEq)]
struct Listed {
    /// Messages that the primary has.
    here: u128,
    /// Messages that the corner has.
    there: u128,
    /// Messages that one of them has.
    either: u128,
}

impl Listed {
    fn take(&mut self, d: &DifferenceCount) {
        let count = u128::from(d.count);
        match d.class {
            Class::MissingAtStandby
            | Class::MissingInStore
            | Class::DoesNotStay
            | Class::Quarantined => self.here += count,
            Class::FlagsDiffer | Class::DateDiffers | Class::Altered => {
                self.here += count;
                self.there += count;
            }
            Class::ForeignAtStandby
            | Class::Duplicate
            | Class::Misplaced
            | Class::MissingAtPrimary
            | Class::Moved
            | Class::Preexisting => self.there += count,
            Class::Late => self.either += count,
            // In no figure, or in whichever it came about.
            Class::Excluded
            | Class::Unseen
            | Class::Equivalent
            | Class::HostMerged
            | Class::NotYetOnMedium
            | Class::Pending => {}
        }
    }

    /// The rule that is broken, where more is listed than there is.
    fn exceeds(
        &self,
        here: &CornerFigures,
        there: &CornerFigures,
        corner: Corner,
    ) -> Option<String> {
        let both = u128::from(here.messages) + u128::from(there.messages);
        let (where_, most, listed) = if self.here > u128::from(here.messages) {
            (Corner::Primary.as_str(), here.messages.into(), self.here)
        } else if self.there > u128::from(there.messages) {
            (corner.as_str(), there.messages.into(), self.there)
        } else if self.here + self.there + self.either > both {
            ("two corners", both, self.here + self.there + self.either)
        } else {
            return None;
        };
        Some(format!(
            "at most {most} with what else is listed there ({listed}), since the {where_} counts no more messages"
        ))
    }
}

/// What listed differences can account for.
#[derive(Default)]
struct Gap {
    /// Messages that the primary has and the corner lacks.
    missing: u64,
    /// Messages that the corner has and the primary lacks.
    surplus: u64,
    /// Whether anything differs at all.
    any: bool,
    /// Whether a message differs that is in the figures.
    counted: bool,
}

impl Gap {
    fn take(&mut self, d: &DifferenceCount) {
        let (missing, surplus) = match d.class {
            // Not in the figures.
            Class::Excluded => return,
            // In both corners, one beside the other.
            Class::Altered | Class::FlagsDiffer | Class::DateDiffers | Class::Misplaced => (0, 0),
            Class::MissingAtStandby | Class::MissingInStore => (d.count, 0),
            Class::ForeignAtStandby
            | Class::Duplicate
            | Class::MissingAtPrimary
            | Class::Moved
            | Class::Preexisting => (0, d.count),
            // On either side, by what came about.
            Class::Late
            | Class::DoesNotStay
            | Class::Unseen
            | Class::Equivalent
            | Class::HostMerged
            | Class::Quarantined
            | Class::NotYetOnMedium
            | Class::Pending => (d.count, d.count),
        };
        self.missing = self.missing.saturating_add(missing);
        self.surplus = self.surplus.saturating_add(surplus);
        self.any = true;
        // What no listing showed, and what a medium lacks, are in neither set.
        self.counted |= !matches!(
            d.class,
            Class::Unseen | Class::NotYetOnMedium | Class::Pending
        );
    }

    /// Equal sets are matched message by message, so that nothing is left to differ.
    fn check_hash(&self, here: &CornerFigures, there: &CornerFigures, at: &str, found: &mut Found) {
        let equal = here.messages == there.messages && here.set_hash == there.set_hash;
        if self.counted && equal && here.messages > 0 {
            let rule = "another than the primary's, since differences are listed";
            found.say(format!("{at}/set_hash"), rule);
        }
    }

    fn add(&mut self, other: &Self) {
        self.missing = self.missing.saturating_add(other.missing);
        self.surplus = self.surplus.saturating_add(other.surplus);
        self.any |= other.any;
    }

    fn check(&self, here: &CornerFigures, there: &CornerFigures, at: &str, found: &mut Found) {
        let least = here.messages.saturating_sub(self.missing);
        let most = here.messages.saturating_add(self.surplus);
        if !(least..=most).contains(&there.messages) {
            let rule = if least == most {
                format!(
                    "{least} like the primary, since no difference is listed that explains another"
                )
            } else {
                format!("{least} to {most}, which the primary and the listed differences allow")
            };
            found.say(format!("{at}/messages"), rule);
        } else if here.messages == 0 && there.messages == 0 {
            // A folder of which one corner has nothing has no hash there.
        } else if here.set_hash == there.set_hash && here.messages != there.messages {
            let rule = "another than the primary's, which counts other messages";
            found.say(format!("{at}/set_hash"), rule);
        } else if here.set_hash != there.set_hash && !self.any {
            let rule = "the primary's, since no difference is listed";
            found.say(format!("{at}/set_hash"), rule);
        }
    }
}
