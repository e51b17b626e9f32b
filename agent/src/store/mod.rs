//! The store: the third corner of the triangle, on site. It owns what was mirrored and never asks a mail
//! server about it.
//!
//! Truth are append-only segments (`seg-00000001.mds` …) of sealed frames: messages, and membership, which
//! is what lies where. The index beside them (`index.sqlite`) is a cache that opening brings up to date or
//! makes anew. The segments' form is specified in STORE.md, so that they can be read without this program.
//!
//! Nothing in here deletes: what vanished on the source is a tombstone, and damaged octets stay where they
//! are while the content is put again behind them. There is no clock in here either; times are handed in.
//!
//! A commit is one fsync of one segment and then one transaction of the index. Before it nothing that was
//! put or recorded counts; if anything in it fails, the segment is cut back to where the last commit left it.

mod error;
mod event;
mod frame;
mod index;
mod key;
mod large;
mod mend;
mod piece;
mod proof;
mod read;
mod rebuild;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod write;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::error::StoreError;
pub(crate) use self::error::advice;
pub use self::event::{Event, Member};
pub use self::key::StoreKey;
pub use self::large::Large;
pub use self::mend::Mended;
pub use self::proof::{CheckReport, Inspected, ReadBack, Verified};
pub use self::read::Pieces;
pub use self::rebuild::rebuild_index;
pub use self::recover::{IndexState, Recovery};
pub use self::segment::Stray;
pub use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};

use self::frame::{Opener, Sealer};
use self::index::Index;
use self::piece::LARGEST_PIECE;
use self::segment::{Segment, Stat};
use self::write::{Pending, Writer};

/// The size at which a segment is left and the next one begun.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Segments held open for reading.
const READERS: usize = 32;

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The size at which a segment is left and the next one begun.
    pub segment_bytes: u64,
    /// The most octets of a message in one frame: a larger one is stored in pieces of this size. At most
    /// 1 MiB.
    pub piece_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            piece_bytes: LARGEST_PIECE,
        }
    }
}

/// What [`Store::put`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// The content's id.
    pub id: ContentId,
    /// Whether it was written; `false` where the store, or this commit, has it already.
    pub new: bool,
}

/// Figures of a store.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Stats {
    /// Segment files.
    pub segments: u64,
    /// Octets of the segment files.
    pub segment_bytes: u64,
    /// Octets of the index, its log included.
    pub index_bytes: u64,
    /// Both.
    pub disk_bytes: u64,
    /// Live members.
    pub messages: u64,
    /// Members that vanished on the source.
    pub tombstones: u64,
    /// Distinct contents.
    pub contents: u64,
    /// Contents that cannot be read.
    pub damaged: u64,
    /// Octets of the distinct contents.
    pub raw_bytes: u64,
    /// Octets of their frames.
    pub stored_bytes: u64,
    /// `stored_bytes` by `raw_bytes`; 1 for an empty store.
    pub ratio: f64,
}

/// A store. One thread at a time uses it; it can be sent from one to another.
pub struct Store {
    dir: PathBuf,
    key: StoreKey,
    index: RefCell<Index>,
    opener: RefCell<Opener>,
    readers: RefCell<HashMap<u32, Arc<Segment>>>,
    writer: Option<Writer>,
    recovery: Recovery,
}

impl Store {
    /// Opens the store in a folder, making both where they are missing; brings the index up to the
    /// segments. [`Self::recovery`] says what had to be done.
    ///
    /// # Errors
    /// When another process has it open, the key is not its key, or a file cannot be read or written.
    pub fn open(dir: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        Self::open_with(dir, key, Options::default())
    }

    /// As [`Self::open`], with options.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(dir: &Path, key: &StoreKey, options: Options) -> Result<Self, StoreError> {
        let lock = recover::lock(dir)?;
        let recovered = recover::recover(dir, key, options.segment_bytes)
            .map_err(|error| error.in_folder(dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            key: key.clone(),
            index: RefCell::new(recovered.index),
            opener: RefCell::new(opener()?),
            readers: RefCell::default(),
            writer: Some(Writer {
                _lock: lock,
                sealer: Sealer::new()?,
                segment_bytes: options.segment_bytes,
                piece_bytes: options.piece_bytes.clamp(1, LARGEST_PIECE),
                next_number: recovered.next_number,
                current: recovered.current,
                pending: Pending::default(),
                buffer: Vec::new(),
                halted: None,
            }),
            recovery: recovered.recovery,
        })
    }

    /// Opens a store for reading, also while another process writes to it. What the index lacks is not
    /// seen.
    ///
    /// # Errors
    /// When there is no store or no index, or the key is another's.
    pub fn open_read_only(dir: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        Ok(Self {
            dir: dir.to_owned(),
            key: key.clone(),
            index: RefCell::new(recover::index_for_reading(dir, key)?),
            opener: RefCell::new(opener()?),
            readers: RefCell::default(),
            writer: None,
            recovery: Recovery::default(),
        })
    }

    /// What opening had to mend.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Whether a content is committed and, as far as is known, readable.
    ///
    /// # Errors
    /// When the index fails.
    pub fn contains(&self, id: &ContentId) -> Result<bool, StoreError> {
        Ok(self
            .index
            .borrow_mut()
            .place(id)?
            .is_some_and(|place| !place.damaged))
    }

    /// Whether it says or has said anything of a member.
    ///
    /// # Errors
    /// When the index fails.
    pub fn knows(&self, member: &MemberId) -> Result<bool, StoreError> {
        self.index.borrow_mut().knows(member)
    }

    /// The id of a member of this content: the one given, or one beside it where that is the id of another content. That
    /// has vanished then, and is buried if nobody has done so.
    ///
    /// # Errors
    /// When the index fails.
    pub fn member_for(
        &mut self,
        id: MemberId,
        content: ContentId,
        now: i64,
    ) -> Result<MemberId, StoreError> {
        let known = self.index.borrow_mut().known(&id)?;
        let Some(known) = known.filter(|known| known.content != content) else {
            return Ok(id);
        };
        if known.tombstone.is_none() {
            self.record(Event::Tombstone {
                member: id,
                at: now,
            })?;
        }
        Ok(id.beside(content))
    }

    /// Records that a content cannot be read, so that putting it again stores it anew.
    ///
    /// # Errors
    /// When the index fails.
    pub fn mark_damaged(&mut self, id: &ContentId) -> Result<(), StoreError> {
        let index = self.index.get_mut();
        let lookup = index.content_lookup(id);
        index.mark(&[], &[lookup], 0)
    }

    /// The contents that are known to be damaged or lost, and have not been put again.
    ///
    /// # Errors
    /// When the index fails.
    pub fn damaged(&self) -> Result<Vec<ContentId>, StoreError> {
        self.index.borrow_mut().damaged()
    }

    /// The members of a triangle, tombstones too, in the order in which they were first added.
    ///
    /// # Errors
    /// When the index fails; [`StoreError::index_damaged`] tells whether making it anew helps.
    pub fn members(&self, triangle: &str) -> Result<Vec<Member>, StoreError> {
        let mut members = Vec::new();
        self.each_member(triangle, |member| members.push(member))?;
        Ok(members)
    }

    /// Hands out the members of a triangle one by one, without holding them all. `each` must not use the
    /// store.
    ///
    /// # Errors
    /// As [`Self::members`].
    pub fn each_member(&self, triangle: &str, each: impl FnMut(Member)) -> Result<(), StoreError> {
        self.index.borrow_mut().each_member(triangle, each)
    }

    /// Tells whether the store has been written to, or put in another's place: it is the same as long as the
    /// segments hold the same.
    ///
    /// # Errors
    /// When the index fails.
    pub fn mark(&self) -> Result<[u8; 32], StoreError> {
        let mut hasher = blake3::Hasher::new();
        for row in self.index.borrow_mut().segments()? {
            hasher.update(&row.number.to_le_bytes());
            hasher.update(&row.covered.to_le_bytes());
            hasher.update(&row.salt.unwrap_or_default());
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// Figures of the whole.
    ///
    /// # Errors
    /// When the index or a file fails.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let counts = self.index.borrow_mut().counts()?;
        let numbers = segment::list(&self.dir)?;
        let segment_bytes = disk_bytes(
            numbers
                .iter()
                .map(|number| segment::path(&self.dir, *number)),
        )?;
        let index_bytes = disk_bytes(index::files(&recover::index_path(&self.dir)))?;
        Ok(Stats {
            segments: u64::try_from(numbers.len()).unwrap_or(u64::MAX),
            segment_bytes,
            index_bytes,
            disk_bytes: segment_bytes.saturating_add(index_bytes),
            messages: counts.live,
            tombstones: counts.tombstones,
            contents: counts.contents,
            damaged: counts.damaged,
            raw_bytes: counts.raw_bytes,
            stored_bytes: counts.stored_bytes,
            ratio: ratio(counts.stored_bytes, counts.raw_bytes),
        })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let uncommitted = self.writer.as_ref().is_some_and(|writer| {
            writer
                .current
                .as_ref()
                .is_some_and(|current| current.end > current.committed)
        });
        if uncommitted {
            self.rollback();
        }
    }
}

/// Octets of these files; those that are missing have none.
fn disk_bytes(paths: impl IntoIterator<Item = PathBuf>) -> Result<u64, StoreError> {
    let mut sum: u64 = 0;
    for path in paths {
        let size = Stat::of_path(&path)?.map_or(0, |stat| segment::unsigned(stat.size));
        sum = sum.saturating_add(size);
    }
    Ok(sum)
}

fn octets(slice: &[u8]) -> u64 {
    u64::try_from(slice.len()).unwrap_or(u64::MAX)
}

fn opener() -> Result<Opener, StoreError> {
    Opener::new().map_err(|_| StoreError::Codec {
        action: "setting up decompression",
    })
}

fn ratio(stored: u64, raw: u64) -> f64 {
    if raw == 0 {
        return 1.0;
    }
    // In thousandths, which both fit: precise enough to be read.
    let thousandths = u128::from(stored) * 1000 / u128::from(raw);
    u32::try_from(thousandths).map_or(f64::INFINITY, |thousandths| f64::from(thousandths) / 1000.0)
}
