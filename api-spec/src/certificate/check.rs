//! What a certificate must be in itself, whatever the mail: what agent and server both hold it against. Only
//! relations that no true certificate can break, since one that is refused is evidence lost.
//!
//! Octets are not held against each other across corners: each server states its messages' sizes, and some
//! state others than they deliver. What the octets are is in the set hash. At [`Depth::Volume`] mail after
//! the cut, mail from before the triangle and tombstones explain a gap without being listed, so that counts
//! say nothing there; and an `unproven` certificate claims nothing of its corners.

use std::collections::{BTreeMap, BTreeSet};

use super::{Certificate, CornerFigures, DifferenceCount, FORMAT, FolderFigures, FolderRef};
use crate::problem::FieldError;
use crate::vocabulary::{Class, Corner, Depth, Verdict};

/// The largest count: what canonical JSON can say exactly (RFC 8785, 3.2.2.3; RFC 7493, 2.2).
pub const LARGEST: u64 = (1 << 53) - 1;

/// The folders that have a name in a certificate.
pub const ROLES: [&str; 8] = [
    "inbox", "sent", "archive", "drafts", "junk", "trash", "flagged", "all",
];

/// Contradictions that are named at most.
const MOST: usize = 20;

const CORNERS: [Corner; 3] = [Corner::Primary, Corner::Standby, Corner::Store];

impl FolderRef {
    /// Whether it is a role, or `f:` and 16 hex digits, lower case.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        ROLES.contains(&self.0.as_str())
            || self.0.strip_prefix("f:").is_some_and(|hex| is_hex(hex, 16))
    }

    /// Whether it is `*`: no folder in particular.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Certificate {
    /// Where the certificate contradicts itself: JSON pointers from its root, each with the rule that is
    /// broken there. Empty for a certificate that can be true.
    #[must_use]
    pub fn contradictions(&self) -> Vec<FieldError> {
        let mut found = Found(Vec::new());
        if self.format != FORMAT {
            found.say("/format", FORMAT);
        }
        self.check_forms(&mut found);
        self.check_numbers(&mut found);
        if found.0.is_empty() {
            self.check_sums(&mut found);
            self.check_verdict(&mut found);
        }
        if found.0.is_empty() && self.depth != Depth::Volume && self.verdict != Verdict::Unproven {
            self.check_corner(Corner::Standby, &mut found);
            self.check_corner(Corner::Store, &mut found);
        }
        found.0
    }

    /// The figures of a corner, with where they stand: all folders together first.
    fn figures(&self) -> impl Iterator<Item = (String, Corner, &CornerFigures)> {
        let all = CORNERS.map(|corner| (format!("/corners/{corner}"), corner, self.of(corner)));
        let folders = self.folders.iter().enumerate().flat_map(|(i, folder)| {
            CORNERS.into_iter().filter_map(move |corner| {
                let figures = folder.of(corner)?;
                Some((format!("/folders/{i}/{corner}"), corner, figures))
            })
        });
        all.into_iter().chain(folders)
    }

    fn of(&self, corner: Corner) -> &CornerFigures {
        match corner {
            Corner::Primary => &self.corners.primary,
            Corner::Standby => &self.corners.standby,
            Corner::Store => &self.corners.store,
        }
    }

    fn whole(&self, corner: Corner) -> bool {
        self.coverage.iter().any(|c| c.corner == corner && c.whole)
    }

    fn check_forms(&self, found: &mut Found) {
        const FOLDER: &str = "a role, or `f:` and 16 hex digits in lower case";
        const PLACE: &str = "a role, `f:` and 16 hex digits in lower case, or `*`";
        let mut seen = BTreeSet::new();
        for (i, folder) in self.folders.iter().enumerate() {
            if !folder.folder.is_folder() {
                found.say(format!("/folders/{i}/folder"), FOLDER);
            }
            if !seen.insert(&folder.folder) {
                found.say(format!("/folders/{i}/folder"), "each folder once");
            }
        }
        let mut seen = BTreeSet::new();
        for (i, cut) in self.cut.iter().enumerate() {
            if !cut.folder.is_folder() {
                found.say(format!("/cut/{i}/folder"), FOLDER);
            }
            if !seen.insert((cut.corner, &cut.folder)) {
                found.say(format!("/cut/{i}"), "each folder of a corner once");
            }
        }
        let mut seen = BTreeSet::new();
        for (i, d) in self.differences.iter().enumerate() {
            if !d.folder.is_folder() && !d.folder.is_any() {
                found.say(format!("/differences/{i}/folder"), PLACE);
            }
            if !seen.insert((d.class, d.corner, &d.folder, d.reason)) {
                let rule = "each class, corner, folder and reason once";
                found.say(format!("/differences/{i}"), rule);
            }
        }
        let mut seen = BTreeSet::new();
        for (i, r) in self.repairs.iter().enumerate() {
            if !r.folder.is_folder() && !r.folder.is_any() {
                found.say(format!("/repairs/{i}/folder"), PLACE);
            }
            if !seen.insert((r.class, r.corner, &r.folder)) {
                let rule = "each class, corner and folder once";
                found.say(format!("/repairs/{i}"), rule);
            }
        }
        let mut seen = BTreeSet::new();
        for (i, c) in self.coverage.iter().enumerate() {
            if !seen.insert(c.corner) {
                found.say(format!("/coverage/{i}/corner"), "each corner once");
            }
        }
        for (at, corner, figures) in self.figures() {
            // A corner that could not be read has no hash.
            let none = figures.set_hash.is_empty() && !self.whole(corner);
            if !none && !is_hex(&figures.set_hash, 64) {
                found.say(format!("{at}/set_hash"), "64 hex digits in lower case");
            }
        }
    }

    fn check_numbers(&self, found: &mut Found) {
        let mut check = |at: String, number: u64| {
            if number > LARGEST {
                found.say(at, format!("at most {LARGEST}"));
            }
        };
        for (at, _, figures) in self.figures() {
            check(format!("{at}/messages"), figures.messages);
            check(format!("{at}/bytes"), figures.bytes);
        }
        for (i, d) in self.differences.iter().enumerate() {
            check(format!("/differences/{i}/count"), d.count);
        }
        for (i, r) in self.repairs.iter().enumerate() {
            check(format!("/repairs/{i}/count"), r.count);
        }
        check("/new_tombstones".to_owned(), self.new_tombstones);
        for (i, c) in self.coverage.iter().enumerate() {
            let (ever, now) = (c.content_verified, c.content_verified_now);
            check(format!("/coverage/{i}/content_verified"), ever);
            check(format!("/coverage/{i}/content_verified_now"), now);
        }
    }

    fn check_sums(&self, found: &mut Found) {
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

    fn check_verdict(&self, found: &mut Found) {
        let demanded = self.verdict_of_figures();
        if demanded != self.verdict {
            let rule = format!("{demanded}, which is what the figures demand");
            found.say("/verdict", rule);
        }
    }

    /// A corner against the primary: what they differ by must be among the differences.
    fn check_corner(&self, corner: Corner, found: &mut Found) {
        let listed = || {
            self.differences
                .iter()
                .filter(|d| d.corner == corner || d.corner == Corner::Primary)
        };
        let mut all = Gap::default();
        // What may be anywhere: without a folder, or with the one of two folders that is not named.
        let mut anywhere = Gap::default();
        let mut by_folder: BTreeMap<&FolderRef, Gap> = BTreeMap::new();
        for d in listed() {
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
        all.check(here, there, &format!("/corners/{corner}"), found);
        let nothing = CornerFigures::default();
        for (i, folder) in self.folders.iter().enumerate() {
            let mut gap = by_folder.remove(&folder.folder).unwrap_or_default();
            gap.add(&anywhere);
            let here = folder.primary.as_ref().unwrap_or(&nothing);
            let there = folder.of(corner).unwrap_or(&nothing);
            gap.check(here, there, &format!("/folders/{i}/{corner}"), found);
        }
    }
}

impl FolderFigures {
    fn of(&self, corner: Corner) -> Option<&CornerFigures> {
        match corner {
            Corner::Primary => self.primary.as_ref(),
            Corner::Standby => self.standby.as_ref(),
            Corner::Store => self.store.as_ref(),
        }
    }
}

struct Found(Vec<FieldError>);

impl Found {
    fn say(&mut self, pointer: impl Into<String>, rule: impl Into<String>) {
        if self.0.len() < MOST {
            self.0.push(FieldError {
                pointer: pointer.into(),
                rule: rule.into(),
            });
        }
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

#[cfg(test)]
mod tests;
