//! Putting a message piece by piece, so that it is never held whole.
//!
//! Anything may be put, recorded and committed between the pieces of a message, pieces of others included:
//! a piece is no message before its closing frame, which comes with the commit after [`Large::finish`]. Until
//! then the segment is not left, however large it becomes. What is broken off is cut away again where nothing
//! lies behind it, else its pieces stay as octets that mean nothing.

use std::sync::Arc;

use super::frame::LARGEST_MESSAGE;
use super::key::random;
use super::piece::{Closing, PiecePlace, Transfer};
use super::write::Writer;
use super::{ContentId, Put, Store, StoreError};

/// A message that is being put piece by piece, from [`Store::begin_large`]. End it with [`Self::finish`] or
/// [`Self::abandon`]; one that is simply dropped leaves its pieces in the store until the next rollback or
/// for ever, as octets that mean nothing.
#[derive(Default)]
pub struct Large {
    hasher: blake3::Hasher,
    length: usize,
    buffer: Vec<u8>,
    pieces: Written,
    /// A write failed, and what was written is gone.
    dropped: bool,
}

/// The pieces of one message that have been written.
#[derive(Default)]
pub(super) struct Written {
    pieces: Vec<PiecePlace>,
    transfer: Transfer,
    /// The segment's pin when the first was written; another one there means that they are gone.
    pin: Option<Arc<()>>,
}

impl Written {
    fn end(&self) -> Option<u64> {
        self.pieces.last().map(PiecePlace::end)
    }

    /// Whether nothing lies between them.
    fn adjoin(&self) -> bool {
        self.pieces
            .windows(2)
            .all(|two| matches!(two, [one, next] if one.end() == next.offset))
    }
}

impl Store {
    /// Begins to put a message piece by piece. One that turns out to be small is stored like any other.
    #[must_use]
    pub fn begin_large(&self) -> Large {
        Large::default()
    }
}

impl Large {
    /// Adds octets, as many as there are.
    ///
    /// # Errors
    /// When the message gets too large. When writing fails; then all that was put or recorded since the last
    /// commit is dropped and this message with it, and [`StoreError::LargeDropped`] says so from then on, as
    /// also after another write to the store has failed.
    pub fn write(&mut self, store: &mut Store, mut octets: &[u8]) -> Result<(), StoreError> {
        self.still_there(store)?;
        let length = self.length.saturating_add(octets.len());
        if length > LARGEST_MESSAGE {
            return Err(StoreError::TooLarge {
                size: length,
                limit: LARGEST_MESSAGE,
            });
        }
        let piece_bytes = store.piece_bytes()?;
        self.hasher.update(octets);
        self.length = length;
        while !octets.is_empty() {
            // A full buffer is written only when more comes: what fits into one piece is not large.
            if self.buffer.len() >= piece_bytes {
                self.write_piece(store)?;
            }
            let room = piece_bytes.saturating_sub(self.buffer.len());
            let (now, rest) = octets.split_at(room.min(octets.len()));
            self.buffer.extend_from_slice(now);
            octets = rest;
        }
        Ok(())
    }

    /// Ends the message: it is durable with the next [`Store::commit`]. If the store has it already, what was
    /// written of it is taken back.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(self, store: &mut Store) -> Result<Put, StoreError> {
        self.finish_with(store, false)
    }

    /// As [`Self::finish`], also where the store has it.
    pub(super) fn finish_again(self, store: &mut Store) -> Result<Put, StoreError> {
        self.finish_with(store, true)
    }

    fn finish_with(mut self, store: &mut Store, again: bool) -> Result<Put, StoreError> {
        self.still_there(store)?;
        let id = ContentId(*self.hasher.finalize().as_bytes());
        if !again && store.has(&id)? {
            self.abandon(store)?;
            return Ok(Put { id, new: false });
        }
        let done = if self.pieces.pieces.is_empty() {
            store.put_frame(id, &self.buffer)
        } else {
            store
                .put_piece(&mut self.pieces, &self.buffer)
                .and_then(|()| store.put_closing(id, self.length, self.pieces))
        };
        store.or_rollback(done)?;
        Ok(Put { id, new: true })
    }

    /// Gives the message up. What was written of it is cut off again, unless something was committed or
    /// written behind it.
    ///
    /// # Errors
    /// When cutting fails; then all that was put or recorded since the last commit is dropped.
    pub fn abandon(self, store: &mut Store) -> Result<(), StoreError> {
        if self.still_there(store).is_err() || !self.pieces.adjoin() {
            return Ok(());
        }
        let (Some(first), Some(end)) = (self.pieces.pieces.first(), self.pieces.end()) else {
            return Ok(());
        };
        let done = store.cut_off(first.offset, end);
        store.or_rollback(done)
    }

    fn write_piece(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let done = store.put_piece(&mut self.pieces, &self.buffer);
        self.dropped = done.is_err();
        self.buffer.clear();
        store.or_rollback(done)
    }

    fn still_there(&self, store: &Store) -> Result<(), StoreError> {
        if self.dropped || !store.holds(&self.pieces) {
            return Err(StoreError::LargeDropped);
        }
        Ok(())
    }
}

impl Store {
    pub(super) fn piece_bytes(&self) -> Result<usize, StoreError> {
        let writer = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        Ok(writer.piece_bytes)
    }

    /// Whether the pieces are still where they were written.
    fn holds(&self, written: &Written) -> bool {
        let Some(pin) = &written.pin else {
            return true;
        };
        self.writer
            .as_ref()
            .and_then(|writer| writer.current.as_ref())
            .is_some_and(|current| Arc::ptr_eq(&current.pin, pin))
    }

    /// A message that is in memory whole, in pieces.
    pub(super) fn put_in_pieces(&mut self, id: ContentId, octets: &[u8]) -> Result<(), StoreError> {
        let mut written = Written::default();
        for piece in octets.chunks(self.piece_bytes()?) {
            self.put_piece(&mut written, piece)?;
        }
        self.put_closing(id, octets.len(), written)
    }

    fn put_piece(&mut self, written: &mut Written, octets: &[u8]) -> Result<(), StoreError> {
        self.ready_current()?;
        if !self.holds(written) {
            return Err(StoreError::LargeDropped);
        }
        let Some(Writer {
            current: Some(current),
            sealer,
            buffer,
            ..
        }) = &mut self.writer
        else {
            return Err(StoreError::ReadOnly);
        };
        if written.pin.is_none() {
            random(&mut written.transfer)?;
            written.pin = Some(Arc::clone(&current.pin));
        }
        let header = sealer.piece(
            &current.segment.cipher,
            current.end,
            &written.transfer,
            written.pieces.len(),
            octets,
            buffer,
        )?;
        current.append(buffer)?;
        written.pieces.push(PiecePlace::of(&header));
        Ok(())
    }

    fn put_closing(
        &mut self,
        id: ContentId,
        length: usize,
        written: Written,
    ) -> Result<(), StoreError> {
        self.ready_current()?;
        if !self.holds(&written) {
            return Err(StoreError::LargeDropped);
        }
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
        let closing = Closing {
            id,
            transfer: written.transfer,
            raw_len: u64::try_from(length).unwrap_or(u64::MAX),
            pieces: written.pieces,
        };
        let header = sealer.closing(&current.segment.cipher, current.end, &closing, buffer)?;
        current.append(buffer)?;
        pending.ids.insert(id);
        let content = closing.content(current.segment.number, &header);
        pending.contents.push(content);
        Ok(())
    }

    /// Cuts the segment back to `from`, if it ends at `end` and nothing behind `from` was committed.
    fn cut_off(&mut self, from: u64, end: u64) -> Result<(), StoreError> {
        let Some(current) = self.writer.as_mut().and_then(|w| w.current.as_mut()) else {
            return Ok(());
        };
        if current.end != end || from < current.committed {
            return Ok(());
        }
        current.cut(from)?;
        if current.end == current.committed {
            let row = current.row();
            self.index.get_mut().put_segment(row)?;
        }
        Ok(())
    }
}
