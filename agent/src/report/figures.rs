//! Figures of the corners, in the form that leaves the site: counts, octets, hashes keyed per site, folders
//! without their names.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use maildreieck_api_spec::certificate::{CornerCoverage, CornerFigures, FolderRef};
use maildreieck_api_spec::vocabulary::{Corner, Depth};

use crate::plan::identity::LogicalFolder;
use crate::plan::reconcile::Entry;

/// Lanes of the set hash, 16 bits each.
const LANES: usize = 1024;

/// A hash of a multiset of messages: LtHash16 with 1024 lanes. Each message (folder, content id, INTERNALDATE, flags) is
/// expanded to 2,048 octets by the extendable output of keyed BLAKE3; the lanes are the sum of all expansions, each lane
/// modulo 2^16; the hash is keyed BLAKE3 of the lanes.
///
/// *Free of order, and kept up message by message:* sums do not ask in which order they were made. What two sets hold
/// together has the sum of their lanes ([`SetHash::join`]), so a message is expanded once, whichever corners and sums it
/// is counted in; taking it away would be subtracting it. A message that is there twice counts twice.
///
/// *Resists forging:* another multiset with the same lanes is a short, non-zero, whole-numbered relation between
/// expansions that sums to zero in 1024 coordinates modulo 2^16: a lattice problem (short integer solution), for which
/// these sizes are estimated at 200 bits of security and more (Lewi, Kim, Maykov, Weis: "Securing Update Propagation
/// with Homomorphic Hashing", 2019). Wagner's generalised birthday attack, which breaks XOR and sums modulo one word of
/// usual size, has to cancel 16,384 bits here. (The construction is Bellare's and Micciancio's, "A New Paradigm for
/// Collision-Free Hashing", 1997.) Besides, the key is the site's own and leaves it never: a hoster, or a sender who
/// picks his messages, does not know a single expansion.
#[derive(Clone)]
struct SetHash(Box<[u16; LANES]>);

/// What one message adds to the lanes.
struct Expansion([u8; LANES * 2]);

impl Expansion {
    /// Of the message's folder, content id, INTERNALDATE and flags. Keywords are compared without case, so they are
    /// taken in lower case and in the order of that.
    fn of(entry: &Entry, key: &[u8; 32]) -> Self {
        let folder = entry.folder.as_str();
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(
            &u64::try_from(folder.len())
                .unwrap_or(u64::MAX)
                .to_le_bytes(),
        );
        hasher.update(folder.as_bytes());
        hasher.update(&entry.content.0);
        hasher.update(&entry.date.0.to_le_bytes());
        for (number, word) in entry.flags.folded_words().iter().enumerate() {
            hasher.update(if number > 0 { b" " } else { b"" });
            hasher.update(word.as_bytes());
        }
        let mut expansion = [0; LANES * 2];
        hasher.finalize_xof().fill(&mut expansion);
        Self(expansion)
    }
}

impl SetHash {
    /// Of the empty set.
    fn new() -> Self {
        Self(Box::new([0; LANES]))
    }

    /// Takes a message.
    fn add(&mut self, message: &Expansion) {
        for (lane, pair) in self.0.iter_mut().zip(message.0.as_chunks::<2>().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*pair));
        }
    }

    /// Takes all messages of another set, those that are in both twice.
    fn join(&mut self, other: &Self) {
        for (lane, other) in self.0.iter_mut().zip(other.0.iter()) {
            *lane = lane.wrapping_add(*other);
        }
    }

    /// The hash, 64 hex digits.
    fn finish(&self, key: &[u8; 32]) -> String {
        let octets: Vec<u8> = self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        blake3::keyed_hash(key, &octets).to_hex().to_string()
    }
}

/// What is counted of a corner, or of a folder in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    messages: u64,
    bytes: u64,
    verified: u64,
    oldest_proof: Option<i64>,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.messages += 1;
        self.bytes += u64::from(entry.size);
        if let Some(at) = entry.verified_at {
            self.verified += 1;
            self.oldest_proof = Some(self.oldest_proof.map_or(at, |oldest| oldest.min(at)));
        }
    }

    fn figures(self, set_hash: String) -> CornerFigures {
        CornerFigures {
            messages: self.messages,
            bytes: self.bytes,
            set_hash,
        }
    }

    /// How much of the corner was proved by reading bytes: `now` messages in this Tx. A proof by a clock that was set
    /// back since counts as one of `now_at`, in whole seconds as each is.
    #[must_use]
    pub fn coverage(
        self,
        corner: Corner,
        depth: Depth,
        now: u64,
        now_at: DateTime<Utc>,
    ) -> CornerCoverage {
        let oldest = self.oldest_proof.filter(|_| self.verified == self.messages);
        let oldest = oldest.and_then(|at| DateTime::from_timestamp(at, 0));
        // Messages can be gone again that were read.
        let now = now.min(self.verified);
        CornerCoverage {
            corner,
            whole: depth != Depth::Content || now > 0 || self.messages == 0,
            content_verified: self.verified,
            content_verified_now: now,
            oldest_proof: oldest.map(|at| at.min(now_at.trunc_subsecs(0))),
        }
    }
}

/// The figures of primary, standby and store, kept up message by message.
#[derive(Clone)]
pub struct Figures {
    key: [u8; 32],
    alike: SetHash,
    sums: [Sum; 3],
    folders: BTreeMap<LogicalFolder, OfFolder>,
}

#[derive(Clone)]
struct OfFolder {
    alike: Alike,
    sums: [Sum; 3],
}

/// What the corners hold alike in a folder.
#[derive(Clone)]
enum Alike {
    /// More may come.
    Open(SetHash),
    /// Nothing comes any more, in whichever corner: the hash is all that is kept of the lanes.
    Settled(String),
}

/// Figures that nothing is added to any more: primary, standby, store.
pub struct Counted {
    /// The corners' figures.
    pub corners: [CornerFigures; 3],
    /// What their coverage is made from.
    pub sums: [Sum; 3],
    /// The figures of the folders; none where a corner has no message in it.
    pub folders: BTreeMap<LogicalFolder, [Option<CornerFigures>; 3]>,
}

impl Figures {
    /// Of empty corners. The key is the site's.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            alike: SetHash::new(),
            sums: [Sum::default(); 3],
            folders: BTreeMap::new(),
        }
    }

    /// Takes a message that is the same in all corners, but for its size and when it was proved: it is expanded once.
    pub fn add_alike(&mut self, message: [&Entry; 3]) {
        let [primary, ..] = message;
        let expansion = Expansion::of(primary, &self.key);
        self.alike.add(&expansion);
        let folder = of_folder(&mut self.folders, &primary.folder);
        if let Alike::Open(alike) = &mut folder.alike {
            alike.add(&expansion);
        }
        for (index, entry) in message.into_iter().enumerate() {
            for sums in [&mut self.sums, &mut folder.sums] {
                if let Some(sum) = sums.get_mut(index) {
                    sum.add(entry);
                }
            }
        }
    }

    /// Says that nothing more comes into a folder in any corner.
    pub fn settle(&mut self, folder: &LogicalFolder) {
        if let Some(folder) = self.folders.get_mut(folder)
            && let Alike::Open(hash) = &folder.alike
        {
            folder.alike = Alike::Settled(hash.finish(&self.key));
        }
    }

    /// Takes what each corner holds besides, and closes.
    #[must_use]
    pub fn finish(mut self, rest: [&[Entry]; 3]) -> Counted {
        let mut lanes = [self.alike.clone(), self.alike.clone(), self.alike];
        let mut besides: BTreeMap<&LogicalFolder, [SetHash; 3]> = BTreeMap::new();
        let corners = rest.into_iter().zip(&mut lanes).zip(&mut self.sums);
        for (index, ((entries, lanes), sum)) in corners.enumerate() {
            for entry in entries {
                let expansion = Expansion::of(entry, &self.key);
                lanes.add(&expansion);
                sum.add(entry);
                let folder = of_folder(&mut self.folders, &entry.folder);
                if let Some(sum) = folder.sums.get_mut(index) {
                    sum.add(entry);
                }
                let besides = besides.entry(&entry.folder);
                let besides = besides.or_insert_with(|| std::array::from_fn(|_| SetHash::new()));
                if let Some(besides) = besides.get_mut(index) {
                    besides.add(&expansion);
                }
            }
        }
        let key = self.key;
        let folders = self.folders.into_iter().map(|(name, folder)| {
            let mut besides = besides.remove(&name);
            let mut index = 0..;
            let figures = folder.sums.map(|sum| {
                let besides = besides.as_mut().zip(index.next());
                let besides = besides.and_then(|(besides, index)| besides.get_mut(index));
                let hash = match (&folder.alike, besides) {
                    (Alike::Settled(hash), _) => hash.clone(),
                    (Alike::Open(alike), None) => alike.finish(&key),
                    (Alike::Open(alike), Some(besides)) => {
                        besides.join(alike);
                        besides.finish(&key)
                    }
                };
                (sum.messages > 0).then(|| sum.figures(hash))
            });
            (name, figures)
        });
        let folders = folders.collect();
        let mut lanes = lanes.iter();
        Counted {
            corners: self.sums.map(|sum| {
                sum.figures(
                    lanes
                        .next()
                        .map(|lanes| lanes.finish(&key))
                        .unwrap_or_default(),
                )
            }),
            sums: self.sums,
            folders,
        }
    }
}

fn of_folder<'a>(
    folders: &'a mut BTreeMap<LogicalFolder, OfFolder>,
    name: &LogicalFolder,
) -> &'a mut OfFolder {
    folders.entry(name.clone()).or_insert_with(|| OfFolder {
        alike: Alike::Open(SetHash::new()),
        sums: [Sum::default(); 3],
    })
}

/// The figures of a corner by itself and of each folder in it.
#[must_use]
pub fn figures(
    entries: &[Entry],
    key: &[u8; 32],
) -> (CornerFigures, BTreeMap<LogicalFolder, CornerFigures>) {
    let counted = Figures::new(key).finish([entries, &[], &[]]);
    let [corner, ..] = counted.corners;
    let folders = counted.folders.into_iter();
    let folders = folders.filter_map(|(name, [figures, ..])| Some((name, figures?)));
    (corner, folders.collect())
}

/// [`Sum::coverage`] of a corner's entries.
#[must_use]
pub fn coverage(
    corner: Corner,
    entries: &[Entry],
    depth: Depth,
    now: u64,
    now_at: DateTime<Utc>,
) -> CornerCoverage {
    let mut sum = Sum::default();
    entries.iter().for_each(|entry| sum.add(entry));
    sum.coverage(corner, depth, now, now_at)
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

    /// The hash of a set and a key is a part of the certificate's format: a change of it is a new format.
    #[test]
    fn the_set_hash_of_a_set_stays_what_it_is() {
        let hash = |entries: &[Entry]| figures(entries, &[7; 32]).0.set_hash;
        let dated = Entry {
            folder: LogicalFolder::from_stored("\\Sent"),
            date: InternalDate(1_700_000_000),
            flags: "\\Seen \\Answered $Forwarded wichtig".parse().unwrap(),
            ..entry("b")
        };
        assert_eq!(
            hash(&[]),
            "bef11a7678116c8dca0e8abd80c33eec7ddffa206880e873503d85a3c2a5af04"
        );
        assert_eq!(
            hash(&[entry("a")]),
            "e23ec114621cbe18c8bdaf504107ca258a5e4e33d422aea87753a1c4764456b3"
        );
        assert_eq!(
            hash(&[entry("a"), dated.clone(), dated]),
            "66fd1e480bf8ec8ff9d127b1fcfce17141463892d4b4e55e90ea764ea5ad10ab"
        );
    }

    #[test]
    fn keywords_that_differ_in_case_alone_are_the_same_set() {
        let hash = |flags: &str| {
            let flags = flags.parse().unwrap();
            let entries = [Entry {
                flags,
                ..entry("a")
            }];
            figures(&entries, &[7; 32]).0.set_hash
        };
        // Sorted as they are spelt, the first would come in another order.
        assert_eq!(hash("\\Seen a B"), hash("\\Seen A b"));
        assert_ne!(hash("a B"), hash("a B c"));
    }

    proptest::proptest! {
        /// What is counted for all corners at once comes to what each corner comes to by itself.
        #[test]
        fn what_is_alike_counts_as_in_each_corner(
            alike in proptest::collection::vec((0_u8..3, 0_u8..9), 0..9),
            rest in proptest::collection::vec((0_u8..3, 0_u8..9), 0..9), settled in 0_u8..4,
        ) {
            let of = |(folder, octet): &(u8, u8)| Entry {
                folder: LogicalFolder::from_stored(&folder.to_string()),
                verified_at: (*octet > 1).then_some(i64::from(*octet)),
                ..entry(&octet.to_string())
            };
            // A folder with nothing besides may be settled.
            let rest = rest.iter().filter(|(folder, _)| *folder != settled);
            let (alike, rest): (Vec<Entry>, Vec<Entry>) = (alike.iter().map(of).collect(), rest.map(of).collect());
            let mut figures = Figures::new(&[7; 32]);
            for entry in &alike {
                figures.add_alike([entry, entry, entry]);
            }
            figures.settle(&LogicalFolder::from_stored(&settled.to_string()));
            let split = rest.len() / 2;
            let (some, others) = rest.split_at(split);
            let counted = figures.finish([&rest, some, others]);
            for (index, rest) in [&rest[..], some, others].into_iter().enumerate() {
                let all: Vec<Entry> = rest.iter().chain(&alike).cloned().collect();
                let (corner, folders) = super::figures(&all, &[7; 32]);
                proptest::prop_assert_eq!(&counted.corners[index], &corner);
                let counted_folders = counted.folders.iter();
                let counted_folders = counted_folders.filter_map(|(name, f)| Some((name.clone(), f[index].clone()?)));
                proptest::prop_assert_eq!(counted_folders.collect::<BTreeMap<_, _>>(), folders);
                let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
                proptest::prop_assert_eq!(
                    counted.sums[index].coverage(Corner::Store, Depth::Ledger, 1, at),
                    coverage(Corner::Store, &all, Depth::Ledger, 1, at)
                );
            }
        }
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
