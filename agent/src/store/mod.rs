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
mod mend;
mod proof;
mod recover;
mod segment;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::error::StoreError;
pub(crate) use self::error::advice;
pub use self::event::{Event, Member};
pub use self::key::StoreKey;
pub use self::mend::Mended;
pub use self::proof::{CheckReport, Inspected, ReadBack, Verified};
pub use self::recover::{IndexState, Recovery, rebuild_index};
pub use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};

use self::error::io;
use self::frame::{FIRST_FRAME, Opener, Sealer};
use self::index::{Index, NewContent, Place, SegmentRow};
use self::segment::{Opened, Segment, Stat};

/// The size at which a segment is left and the next one begun.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Events are written in frames of about this size.
const BATCH_BYTES: usize = 1 << 20;
/// Frames are gathered up to this before they are written.
const GATHERED: usize = 256 << 10;
/// A frame buffer larger than this is given back after use.
const BUFFER_KEPT: usize = 1 << 20;
/// Segments held open for reading.
const READERS: usize = 32;

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The size at which a segment is left and the next one begun.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
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

/// What only a store open for writing has.
struct Writer {
    /// Held for as long as the store is open; the system frees it with the process.
    _lock: File,
    sealer: Sealer,
    segment_bytes: u64,
    next_number: u32,
    current: Option<Current>,
    pending: Pending,
    buffer: Vec<u8>,
    halted: Option<PathBuf>,
}

/// The segment that is written to.
struct Current {
    segment: Segment,
    /// Its end as of the last commit.
    committed: u64,
    /// Its end with what is pending.
    end: u64,
    /// Frames that are still to be written, the last before `end`.
    unwritten: Vec<u8>,
    /// What the file was after our last write.
    stat: Stat,
}

/// What the next commit will bring.
#[derive(Default)]
struct Pending {
    contents: Vec<NewContent>,
    ids: HashSet<ContentId>,
    events: Vec<Event>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.contents.is_empty() && self.events.is_empty()
    }

    fn clear(&mut self) {
        self.contents.clear();
        self.ids.clear();
        self.events.clear();
    }
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
        let recovered = recover::recover(dir, key, options.segment_bytes)?;
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

    /// Puts a message's octets, to be durable with the next [`Self::commit`]. A content that is known to
    /// be damaged is written anew.
    ///
    /// # Errors
    /// When writing fails; then all that was put or recorded since the last commit is dropped.
    pub fn put(&mut self, octets: &[u8]) -> Result<Put, StoreError> {
        self.put_hashed(ContentId::of(octets), octets)
    }

    /// As [`Self::put`], for octets whose id is known: it must come from [`ContentId::of`] over them.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_hashed(&mut self, id: ContentId, octets: &[u8]) -> Result<Put, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        if writer.pending.ids.contains(&id) {
            return Ok(Put { id, new: false });
        }
        let index = self.index.get_mut();
        index.hold()?;
        if index.place(&id)?.is_some_and(|place| !place.damaged) {
            return Ok(Put { id, new: false });
        }
        let done = self.put_frame(id, octets);
        self.or_rollback(done)?;
        Ok(Put { id, new: true })
    }

    fn put_frame(&mut self, id: ContentId, octets: &[u8]) -> Result<(), StoreError> {
        self.ready_current()?;
        let Some(Writer {
            current: Some(current),
            sealer,
            buffer,
            pending,
            ..
        }) = &mut self.writer
        else {
            return Err(StoreError::ReadOnly);
        };
        let header = sealer.message(&current.segment.cipher, current.end, &id, octets, buffer)?;
        current.append(buffer)?;
        buffer.truncate(BUFFER_KEPT);
        buffer.shrink_to(BUFFER_KEPT);
        pending.ids.insert(id);
        pending.contents.push(NewContent {
            id,
            segment: current.segment.number,
            offset: header.offset,
            sealed_len: u64::from(header.sealed_len),
            raw_len: self::octets(octets),
            stored_len: header.end().saturating_sub(header.offset),
        });
        Ok(())
    }

    /// Records a change of a member, to be durable with the next [`Self::commit`].
    ///
    /// # Errors
    /// When its texts are too long.
    pub fn record(&mut self, event: Event) -> Result<(), StoreError> {
        let writer = self.writer.as_mut().ok_or(StoreError::ReadOnly)?;
        if !event::fits(&event) {
            return Err(StoreError::RecordTooLong);
        }
        writer.pending.events.push(event);
        Ok(())
    }

    /// Makes everything that was put and recorded durable and visible.
    ///
    /// # Errors
    /// When writing fails; then all that was put or recorded since the last commit is dropped, and may be
    /// put and recorded again.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        if writer.pending.is_empty() {
            return Ok(());
        }
        let done = self.commit_pending();
        self.or_rollback(done)
    }

    fn commit_pending(&mut self) -> Result<(), StoreError> {
        self.ready_current()?;
        self.write_events()?;
        let Some(Writer {
            current: Some(current),
            pending,
            ..
        }) = &mut self.writer
        else {
            return Err(StoreError::ReadOnly);
        };
        current.flush()?;
        current
            .segment
            .file
            .sync_data()
            .map_err(io("making durable", &current.segment.path))?;
        let stat = current.segment.stat()?;
        self.index.get_mut().apply(
            &pending.contents,
            &pending.events,
            SegmentRow {
                number: current.segment.number,
                covered: current.end,
                stat,
                healed: false,
                salt: Some(current.segment.salt),
            },
        )?;
        current.committed = current.end;
        current.stat = stat;
        pending.clear();
        Ok(())
    }

    fn write_events(&mut self) -> Result<(), StoreError> {
        let Some(Writer {
            current: Some(current),
            sealer,
            buffer,
            pending,
            ..
        }) = &mut self.writer
        else {
            return Err(StoreError::ReadOnly);
        };
        let mut batch = Vec::new();
        let mut events = pending.events.iter().peekable();
        while let Some(event) = events.next() {
            event::encode_into_batch(&mut batch, event)?;
            if batch.len() < BATCH_BYTES && events.peek().is_some() {
                continue;
            }
            sealer.membership(&current.segment.cipher, current.end, &batch, buffer)?;
            current.append(buffer)?;
            batch.clear();
        }
        Ok(())
    }

    /// Makes sure that there is a segment to append to: within its size, and as we left it. What somebody
    /// else has written to is left as it is, for [`Self::inspect`] to find.
    fn ready_current(&mut self) -> Result<(), StoreError> {
        let writer = self.writer.as_mut().ok_or(StoreError::ReadOnly)?;
        if let Some(path) = &writer.halted {
            return Err(StoreError::Halted { path: path.clone() });
        }
        if let Some(current) = &writer.current {
            if current.end > current.committed {
                return Ok(());
            }
            let untouched = Stat::of_path(&current.segment.path)? == Some(current.stat);
            let room = current.end == FIRST_FRAME || current.end < writer.segment_bytes;
            if untouched && room {
                return Ok(());
            }
        }
        let store_id = self.index.get_mut().store_id;
        let current = Current::begin(&self.dir, writer.next_number, store_id, &self.key)?;
        writer.next_number = writer.next_number.saturating_add(1);
        writer.current = Some(current);
        Ok(())
    }

    fn or_rollback<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() {
            self.rollback();
        }
        done
    }

    /// Drops what is pending, and cuts it off the segment. None of it was ever committed.
    fn rollback(&mut self) {
        let Some(writer) = self.writer.as_mut() else {
            return;
        };
        writer.pending.clear();
        let Some(current) = writer.current.as_mut() else {
            return;
        };
        current.unwritten.clear();
        let cut = current.segment.file.set_len(current.committed);
        let stat = current.segment.stat();
        let (Ok(()), Ok(stat)) = (cut, stat) else {
            writer.halted = Some(current.segment.path.clone());
            return;
        };
        current.end = current.committed;
        current.stat = stat;
        // If this fails, the segment looks changed and is proved at the next inspection: no harm.
        let _ = self.index.get_mut().put_segment(SegmentRow {
            number: current.segment.number,
            covered: current.committed,
            stat,
            healed: false,
            salt: Some(current.segment.salt),
        });
    }

    /// A content's octets, proved to be those of its id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it was never stored, [`StoreError::Damaged`] where it cannot be read
    /// any more; from then on it counts as damaged, and putting it again stores it anew.
    pub fn read(&self, id: &ContentId) -> Result<Vec<u8>, StoreError> {
        let place = self
            .index
            .borrow_mut()
            .place(id)?
            .ok_or(StoreError::Missing { id: *id })?;
        let detail = match self.read_place(&place)? {
            Ok((found, octets)) if found == *id => return Ok(octets),
            Ok(_) => "another content lies there",
            Err(detail) => detail,
        };
        if self.writer.is_some() && !place.damaged {
            let mut index = self.index.borrow_mut();
            let lookup = index.content_lookup(id);
            index.mark(&[], &[lookup], 0)?;
        }
        Err(StoreError::Damaged {
            id: *id,
            path: segment::path(&self.dir, place.segment),
            offset: place.offset,
            detail,
        })
    }

    fn read_place(
        &self,
        place: &Place,
    ) -> Result<Result<(ContentId, Vec<u8>), &'static str>, StoreError> {
        if place.segment == 0 {
            return Ok(Err("no segment holds it"));
        }
        let segment = match self.reader(place.segment)? {
            Ok(segment) => segment,
            Err(detail) => return Ok(Err(detail)),
        };
        let header = match segment.frame_at(place.offset, place.sealed_len)? {
            Ok(header) => header,
            Err(detail) => return Ok(Err(detail)),
        };
        let mut buffer = Vec::new();
        if let Err(detail) = segment.read_sealed(&header, &mut buffer)? {
            return Ok(Err(detail));
        }
        Ok((|| {
            let plaintext = frame::open(&segment.cipher, &header, &mut buffer)?;
            let message = frame::message_parts(plaintext)?;
            let octets = self.opener.borrow_mut().message(&message)?;
            Ok((message.id, octets))
        })())
    }

    fn reader(&self, number: u32) -> Result<Result<Arc<Segment>, &'static str>, StoreError> {
        if let Some(segment) = self.readers.borrow().get(&number) {
            return Ok(Ok(Arc::clone(segment)));
        }
        let segment = match self.open_segment(number)? {
            Ok(segment) => Arc::new(segment),
            Err(detail) => return Ok(Err(detail)),
        };
        let mut readers = self.readers.borrow_mut();
        if readers.len() >= READERS {
            readers.clear();
        }
        readers.insert(number, Arc::clone(&segment));
        Ok(Ok(segment))
    }

    fn open_segment(&self, number: u32) -> Result<Result<Segment, &'static str>, StoreError> {
        let mut index = self.index.borrow_mut();
        let store_id = index.store_id;
        let mut opened = Segment::open(&self.dir, number, &self.key)?;
        if matches!(opened, Opened::Headless)
            && let Some(salt) = index.salt(number)?
        {
            opened = Segment::open_by_salt(&self.dir, number, &self.key, store_id, salt)?;
        }
        Ok(match opened {
            Opened::Segment(segment) if segment.store_id == store_id => Ok(segment),
            Opened::Segment(_) => Err("the segment is another store's"),
            Opened::Absent => Err("the segment is gone"),
            Opened::Headless => Err("the segment has no readable header"),
        })
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

impl Current {
    fn begin(
        dir: &Path,
        number: u32,
        store_id: [u8; 16],
        key: &StoreKey,
    ) -> Result<Self, StoreError> {
        let segment = Segment::create(dir, number, store_id, key)?;
        let stat = segment.stat()?;
        Ok(Self {
            segment,
            committed: FIRST_FRAME,
            end: FIRST_FRAME,
            unwritten: Vec::new(),
            stat,
        })
    }

    /// Goes on with a segment that is as we left it; `None` where it is not.
    fn resume(mut segment: Segment, row: &SegmentRow) -> Result<Option<Self>, StoreError> {
        segment.file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&segment.path)
            .map_err(io("opening", &segment.path))?;
        let stat = segment.stat()?;
        let clean = !row.healed && stat == row.stat && segment::unsigned(stat.size) == row.covered;
        Ok(clean.then_some(Self {
            segment,
            committed: row.covered,
            end: row.covered,
            unwritten: Vec::new(),
            stat,
        }))
    }

    /// Adds a frame at the end. Small ones are gathered.
    fn append(&mut self, frame: &[u8]) -> Result<(), StoreError> {
        if self.unwritten.len().saturating_add(frame.len()) > GATHERED {
            self.flush()?;
        }
        if frame.len() < GATHERED {
            self.unwritten.extend_from_slice(frame);
        } else {
            self.write(frame, self.end)?;
        }
        self.end = self.end.saturating_add(octets(frame));
        Ok(())
    }

    /// Writes what was gathered.
    fn flush(&mut self) -> Result<(), StoreError> {
        let at = self.end.saturating_sub(octets(&self.unwritten));
        self.write(&self.unwritten, at)?;
        self.unwritten.clear();
        Ok(())
    }

    fn write(&self, frames: &[u8], at: u64) -> Result<(), StoreError> {
        self.segment
            .file
            .write_all_at(frames, at)
            .map_err(io("writing", &self.segment.path))
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
