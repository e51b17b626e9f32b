//! What a certificate must be in itself, whatever the mail: what agent and server both hold it against. Only
//! relations that no true certificate can break, since one that is refused is evidence lost.
//!
//! Octets are not held against each other across corners: each server states its messages' sizes, and some
//! state others than they deliver. What the octets are is in the set hash. At [`Depth::Volume`] mail after
//! the cut, mail from before the triangle and tombstones explain a gap without being listed, so that counts
//! say nothing there; and an `unproven` certificate claims nothing of its corners.
//!
//! Cut points are not held against counts: the cut is made before the figures are, mail comes meanwhile, and
//! a folder without mail has a cut and no figures.

mod coverage;
mod figures;
mod forms;
mod times;

use super::{Certificate, CornerFigures, FORMAT, FolderFigures};
use crate::problem::FieldError;
use crate::vocabulary::{Corner, Depth, Verdict};

pub(crate) use self::forms::is_hex;
pub use self::forms::{LARGEST, ROLES, is_run_nonce};
pub use self::times::EARLIEST;
pub(crate) use self::times::too_early;

/// Contradictions that are named at most.
const MOST: usize = 20;

const CORNERS: [Corner; 3] = [Corner::Primary, Corner::Standby, Corner::Store];

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
        self.check_times(&mut found);
        if found.0.is_empty() {
            self.check_sums(&mut found);
            self.check_verdict(&mut found);
        }
        if found.0.is_empty() {
            if self.depth != Depth::Volume && self.verdict != Verdict::Unproven {
                self.check_corner(Corner::Standby, &mut found);
                self.check_corner(Corner::Store, &mut found);
                self.check_pair(&mut found);
                self.check_cut(&mut found);
            }
            self.check_coverage(&mut found);
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

#[cfg(test)]
mod tests;
