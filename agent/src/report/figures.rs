//! Figures of the corners, in the form that leaves the site: counts, octets, hashes keyed per site, folders
//! without their names.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use maildreieck_api_spec::certificate::{CornerCoverage, CornerFigures, FolderRef};
use maildreieck_api_spec::vocabulary::{Corner, Depth};

use crate::plan::identity::LogicalFolder;
use crate::plan::reconcile::Entry;

/// Lanes of the set hash.
const LANES: usize = 1024;

/// A hash of a multiset: the sum, lane by lane modulo 2^16, of each element's expansion by keyed BLAKE3, and
/// BLAKE3 of the sum. It does not depend on the order and takes elements one by one. The construction is
/// LtHash (Bellare and Micciancio 1997, "A New Paradigm for Collision-Free Hashing"; Lewi et al., "Securing
/// Update Propagation with Homomorphic Hashing", 2019, for these sizes): to find another set with the same
/// hash is a lattice problem, and without the site's key not even an element's expansion is known.
pub struct SetHash {
    key: [u8; 32],
    lanes: Box<[u16; LANES]>,
}

impl SetHash {
    /// Of the empty set.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            lanes: Box::new([0; LANES]),
        }
    }

    /// Takes a message: folder, content id, INTERNALDATE, flags.
    pub fn add(&mut self, entry: &Entry) {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(
            &u64::try_from(entry.folder.as_str().len())
                .unwrap_or(u64::MAX)
                .to_le_bytes(),
        );
        hasher.update(entry.folder.as_str().as_bytes());
        hasher.update(&entry.content.0);
        hasher.update(&entry.date.0.to_le_bytes());
        hasher.update(entry.flags.to_string().to_ascii_lowercase().as_bytes());
        let mut expansion = [0; LANES * 2];
        hasher.finalize_xof().fill(&mut expansion);
        for (lane, pair) in self.lanes.iter_mut().zip(expansion.as_chunks::<2>().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*pair));
        }
    }

    /// The hash, 64 hex digits.
    #[must_use]
    pub fn finish(&self) -> String {
        let octets: Vec<u8> = self
            .lanes
            .iter()
            .flat_map(|lane| lane.to_le_bytes())
            .collect();
        blake3::keyed_hash(&self.key, &octets).to_hex().to_string()
    }
}

/// The figures of a corner and of each folder in it.
#[must_use]
pub fn figures(
    entries: &[Entry],
    key: &[u8; 32],
) -> (CornerFigures, BTreeMap<LogicalFolder, CornerFigures>) {
    let mut all = (CornerFigures::default(), SetHash::new(key));
    let mut folders: BTreeMap<LogicalFolder, (CornerFigures, SetHash)> = BTreeMap::new();
    for entry in entries {
        let folder = folders
            .entry(entry.folder.clone())
            .or_insert_with(|| (CornerFigures::default(), SetHash::new(key)));
        for (figures, hash) in [&mut all, folder] {
            figures.messages += 1;
            figures.bytes += u64::from(entry.size);
            hash.add(entry);
        }
    }
    let close = |(mut figures, hash): (CornerFigures, SetHash)| {
        figures.set_hash = hash.finish();
        figures
    };
    (
        close(all),
        folders
            .into_iter()
            .map(|(name, folder)| (name, close(folder)))
            .collect(),
    )
}

/// How much of a corner was proved by reading bytes, by what is counted in it: `now` messages in this Tx. A
/// proof by a clock that was set back since counts as one of `now_at`, in whole seconds as each is.
#[must_use]
pub fn coverage(
    corner: Corner,
    entries: &[Entry],
    depth: Depth,
    now: u64,
    now_at: DateTime<Utc>,
) -> CornerCoverage {
    let proofs = || entries.iter().filter_map(|entry| entry.verified_at);
    let verified = proofs().count();
    let oldest = proofs().min().filter(|_| verified == entries.len());
    let oldest = oldest.and_then(|at| DateTime::from_timestamp(at, 0));
    let verified = u64::try_from(verified).unwrap_or(u64::MAX);
    // Messages can be gone again that were read.
    let now = now.min(verified);
    CornerCoverage {
        corner,
        whole: depth != Depth::Content || now > 0 || entries.is_empty(),
        content_verified: verified,
        content_verified_now: now,
        oldest_proof: oldest.map(|at| at.min(now_at.trunc_subsecs(0))),
    }
}

/// A folder without its name.
#[must_use]
pub fn folder_ref(folder: &LogicalFolder, key: &[u8; 32]) -> FolderRef {
    let (role, components) = folder.components();
    match role {
        Some(role) if components.is_empty() => {
            FolderRef(role.trim_start_matches('\\').to_ascii_lowercase())
        }
        _ => {
            let hash = blake3::keyed_hash(key, folder.as_str().as_bytes()).to_hex();
            FolderRef(format!("f:{}", hash.as_str().get(..16).unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::identity::{ContentId, Flags, InternalDate};

    fn entry(octets: &str) -> Entry {
        Entry {
            folder: LogicalFolder::from_stored("INBOX"),
            content: ContentId::of(octets.as_bytes()),
            date: InternalDate(1),
            flags: Flags::default(),
            size: 3,
            uid: 1,
            copy: None,
            late: false,
            gone: None,
            preexisting: false,
            quarantine: None,
            verified_at: None,
        }
    }

    #[test]
    fn the_set_hash_is_of_the_multiset() {
        let hash = |entries: &[Entry]| figures(entries, &[7; 32]).0.set_hash;
        let (a, b) = (entry("a"), entry("b"));
        assert_eq!(hash(&[a.clone(), b.clone()]), hash(&[b.clone(), a.clone()]));
        assert_ne!(
            hash(&[a.clone(), a.clone()]),
            hash(std::slice::from_ref(&a))
        );
        assert_ne!(
            hash(std::slice::from_ref(&a)),
            hash(std::slice::from_ref(&b))
        );
        assert_ne!(
            hash(std::slice::from_ref(&a)),
            figures(std::slice::from_ref(&a), &[8; 32]).0.set_hash
        );
        let seen = Entry {
            flags: "\\Seen".parse().unwrap(),
            ..a.clone()
        };
        assert_ne!(hash(&[seen]), hash(std::slice::from_ref(&a)));
        assert_eq!(
            hash(&[Entry {
                uid: 9,
                ..a.clone()
            }]),
            hash(&[a])
        );
    }

    #[test]
    fn coverage_is_of_what_is_counted() {
        let now_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let check = |proofs: &[Option<i64>], depth, now, expected| {
            let of = |verified_at: &Option<i64>| Entry {
                verified_at: *verified_at,
                ..entry("a")
            };
            let entries: Vec<Entry> = proofs.iter().map(of).collect();
            let found = coverage(Corner::Standby, &entries, depth, now, now_at);
            let oldest = found.oldest_proof.map(|at| at.timestamp());
            let counts = (found.content_verified, found.content_verified_now);
            assert_eq!(
                (found.whole, counts, oldest),
                expected,
                "{proofs:?} {depth:?}"
            );
        };
        let (early, late) = (Some(1_790_000_000), Some(1_790_000_001));
        check(&[], Depth::Ledger, 0, (true, (0, 0), None));
        check(&[], Depth::Content, 3, (true, (0, 0), None));
        check(&[late, early], Depth::Ledger, 1, (true, (2, 1), early));
        // One was never read; one that was read is gone again.
        check(&[late, None], Depth::Ledger, 2, (true, (1, 1), None));
        check(&[None], Depth::Ledger, 0, (true, (0, 0), None));
        // Read when a clock ran ahead.
        let ahead = Some(1_900_000_000);
        check(
            &[ahead],
            Depth::Ledger,
            0,
            (true, (1, 0), Some(1_800_000_000)),
        );
        let within = now_at + chrono::TimeDelta::milliseconds(250);
        let found = coverage(
            Corner::Standby,
            &[Entry {
                verified_at: ahead,
                ..entry("a")
            }],
            Depth::Ledger,
            0,
            within,
        );
        assert_eq!(found.oldest_proof, Some(now_at));
        // Nothing could be read, though there is something.
        check(&[None], Depth::Content, 0, (false, (0, 0), None));
        check(&[early], Depth::Content, 0, (false, (1, 0), early));
        check(&[early], Depth::Content, 1, (true, (1, 1), early));
    }

    #[test]
    fn folders_lose_their_names() {
        let check = |form: &str, expected: &str| {
            assert_eq!(
                folder_ref(&LogicalFolder::from_stored(form), &[7; 32])
                    .0
                    .get(..5),
                Some(expected),
                "{form}"
            );
        };
        check("INBOX", "inbox");
        check("\\Trash", "trash");
        let name = folder_ref(
            &LogicalFolder::from_stored("Personal/Kündigungen"),
            &[7; 32],
        )
        .0;
        assert!(name.starts_with("f:") && name.len() == 18, "{name}");
    }
}
