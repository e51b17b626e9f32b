//! Writing: what was put and recorded since the last commit, the segment that it goes to, and the commit.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::io;
use super::frame::{FIRST_FRAME, LARGEST_MESSAGE, Sealer, VERSION};
use super::index::{NewContent, SegmentRow};
use super::segment::{self, Segment, Stat};
use super::{ContentId, Event, Put, Store, StoreError, StoreKey, event, octets};
use crate::kill;

/// Events are written in frames of about this size.
const BATCH_BYTES: usize = 1 << 20;
/// Frames are gathered up to this before they are written.
const GATHERED: usize = 256 << 10;
/// A frame buffer larger than this is given back after use.
const BUFFER_KEPT: usize = (1 << 20) + (8 << 10);

/// What only a store open for writing has.
pub(super) struct Writer {
    /// Held for as long as the store is open; the system frees it with the process.
    pub(super) _lock: File,
    pub(super) sealer: Sealer,
    pub(super) segment_bytes: u64,
    /// The most octets of a message in one frame.
    pub(super) piece_bytes: usize,
    pub(super) next_number: u32,
    pub(super) current: Option<Current>,
    pub(super) pending: Pending,
    pub(super) buffer: Vec<u8>,
    pub(super) halted: Option<PathBuf>,
}

/// The segment that is written to.
pub(super) struct Current {
    pub(super) segment: Segment,
    /// Its end as of the last commit.
    pub(super) committed: u64,
    /// Its end with what is pending.
    pub(super) end: u64,
    /// Frames that are still to be written, the last before `end`.
    pub(super) unwritten: Vec<u8>,
    /// What the file was after our last write.
    pub(super) stat: Stat,
    /// Shared by the large messages that are being put; another one after what was written is gone.
    pub(super) pin: Arc<()>,
}

/// What the next commit will bring.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) contents: Vec<NewContent>,
    pub(super) ids: HashSet<ContentId>,
    pub(super) events: Vec<Event>,
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
        if octets.len() > LARGEST_MESSAGE {
            return Err(StoreError::TooLarge {
                size: octets.len(),
                limit: LARGEST_MESSAGE,
            });
        }
        if self.has(&id)? {
            return Ok(Put { id, new: false });
        }
        let done = if octets.len() > self.piece_bytes()? {
            self.put_in_pieces(id, octets)
        } else {
            self.put_frame(id, octets)
        };
        self.or_rollback(done)?;
        Ok(Put { id, new: true })
    }

    /// Whether the store, or the next commit, has a content.
    pub(super) fn has(&mut self, id: &ContentId) -> Result<bool, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        if writer.pending.ids.contains(id) {
            return Ok(true);
        }
        let index = self.index.get_mut();
        index.hold()?;
        Ok(index.place(id)?.is_some_and(|place| !place.damaged))
    }

    /// Writes a message as one frame.
    pub(super) fn put_frame(&mut self, id: ContentId, octets: &[u8]) -> Result<(), StoreError> {
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
            raw_len: super::octets(octets),
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
        current.append_events(&pending.events, sealer, buffer)?;
        let row = current.settle()?;
        self.index
            .get_mut()
            .apply(&pending.contents, &pending.events, row)?;
        current.committed = row.covered;
        current.stat = row.stat;
        pending.clear();
        kill::point("store committed");
        Ok(())
    }

    /// Makes sure that there is a segment to append to: within its size, and as we left it. What somebody
    /// else has written to is left as it is, for [`Self::inspect`] to find.
    pub(super) fn ready_current(&mut self) -> Result<(), StoreError> {
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
            if untouched && (room || current.is_pinned()) {
                return Ok(());
            }
        }
        let store_id = self.index.get_mut().store_id;
        let current = Current::begin(&self.dir, writer.next_number, store_id, &self.key)?;
        writer.next_number = writer.next_number.saturating_add(1);
        writer.current = Some(current);
        Ok(())
    }

    pub(super) fn or_rollback<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if done.is_err() {
            self.rollback();
        }
        done.map_err(|error| error.in_folder(&self.dir))
    }

    /// Drops what is pending, and cuts it off the segment. None of it was ever committed.
    pub(super) fn rollback(&mut self) {
        let Some(writer) = self.writer.as_mut() else {
            return;
        };
        writer.pending.clear();
        let Some(current) = writer.current.as_mut() else {
            return;
        };
        current.pin = Arc::default();
        if current.cut(current.committed).is_err() {
            writer.halted = Some(current.segment.path.clone());
            return;
        }
        let row = current.row();
        // If this fails, the segment looks changed and is proved at the next inspection: no harm.
        let _ = self.index.get_mut().put_segment(row);
    }
}

impl Current {
    pub(super) fn begin(
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
            pin: Arc::default(),
        })
    }

    /// Goes on with a segment that is as we left it; `None` where it is not.
    pub(super) fn resume(
        mut segment: Segment,
        row: &SegmentRow,
    ) -> Result<Option<Self>, StoreError> {
        segment.file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&segment.path)
            .map_err(io("opening", &segment.path))?;
        let stat = segment.stat()?;
        let clean = segment.version == VERSION
            && !row.healed
            && stat == row.stat
            && segment::unsigned(stat.size) == row.covered;
        Ok(clean.then_some(Self {
            segment,
            committed: row.covered,
            end: row.covered,
            unwritten: Vec::new(),
            stat,
            pin: Arc::default(),
        }))
    }

    /// What the index shall know of it as of the last commit.
    pub(super) fn row(&self) -> SegmentRow {
        SegmentRow {
            number: self.segment.number,
            covered: self.committed,
            stat: self.stat,
            healed: false,
            salt: Some(self.segment.salt),
        }
    }

    /// Whether a large message is being put into it.
    fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.pin) > 1
    }

    /// Takes back what lies behind a place at or behind the last commit.
    pub(super) fn cut(&mut self, to: u64) -> Result<(), StoreError> {
        let written = self.end.saturating_sub(octets(&self.unwritten));
        match usize::try_from(to.saturating_sub(written)) {
            Ok(kept) if to > written => self.unwritten.truncate(kept),
            _ => {
                self.unwritten.clear();
                self.segment
                    .file
                    .set_len(to)
                    .map_err(io("cutting back", &self.segment.path))?;
                self.stat = self.segment.stat()?;
            }
        }
        self.end = to;
        Ok(())
    }

    /// Adds a frame at the end. Small ones are gathered.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<(), StoreError> {
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

    /// Adds events in frames of membership.
    pub(super) fn append_events(
        &mut self,
        events: &[Event],
        sealer: &mut Sealer,
        buffer: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        let mut events = events.iter().peekable();
        while let Some(event) = events.next() {
            event::encode_into_batch(&mut batch, event)?;
            if batch.len() < BATCH_BYTES && events.peek().is_some() {
                continue;
            }
            sealer.membership(&self.segment.cipher, self.end, &batch, buffer)?;
            self.append(buffer)?;
            batch.clear();
        }
        Ok(())
    }

    /// Makes everything that was added durable. Gives what the index shall know of the segment then.
    pub(super) fn settle(&mut self) -> Result<SegmentRow, StoreError> {
        self.flush()?;
        kill::point("store written");
        self.segment
            .file
            .sync_data()
            .map_err(io("making durable", &self.segment.path))?;
        kill::point("store durable");
        Ok(SegmentRow {
            covered: self.end,
            stat: self.segment.stat()?,
            ..self.row()
        })
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
