//! Reading contents, a piece at a time, each proved before it is given.

use std::sync::Arc;

use super::error::StoreError;
use super::frame::{self, Kind};
use super::index::Place;
use super::piece::{Closing, PiecePlace, SealedPiece};
use super::segment::{self, Opened, Segment};
use super::{ContentId, READERS, Store};

/// A content that is read piece by piece. What fits into one piece comes as one.
///
/// Each piece is proved to be what was written at its place in this content, and the last is given only when
/// the whole is proved by its content id: who has got all pieces has got the content, and who has not must not
/// take what he has for it.
pub struct Pieces {
    id: ContentId,
    place: Place,
    reading: Reading,
}

impl Pieces {
    /// The octets of all pieces together.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.reading.raw_len
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it cannot be read, as with [`Store::read`].
    pub fn next(&mut self, store: &Store) -> Result<Option<Vec<u8>>, StoreError> {
        match self.reading.next(store)? {
            Ok(piece) => Ok(piece),
            Err(detail) => Err(store.found_damaged(&self.id, &self.place, detail)?),
        }
    }
}

/// What is read at a place of the index.
pub(super) struct Reading {
    pub(super) id: ContentId,
    raw_len: u64,
    form: Form,
}

enum Form {
    /// The plaintext of a message frame, or nothing after it was given.
    Whole(Option<Vec<u8>>),
    Pieces {
        segment: Arc<Segment>,
        closing: Closing,
        hasher: Box<blake3::Hasher>,
        next: usize,
        given: u64,
        buffer: Vec<u8>,
    },
}

impl Reading {
    /// The next piece. The inner error says what is wrong with it or with the whole.
    pub(super) fn next(
        &mut self,
        store: &Store,
    ) -> Result<Result<Option<Vec<u8>>, &'static str>, StoreError> {
        match &mut self.form {
            Form::Whole(plaintext) => {
                let Some(plaintext) = plaintext.take() else {
                    return Ok(Ok(None));
                };
                Ok(frame::message_parts(&plaintext)
                    .and_then(|message| store.opener.borrow_mut().message(&message))
                    .map(Some))
            }
            Form::Pieces {
                segment,
                closing,
                hasher,
                next,
                given,
                buffer,
            } => {
                let Some(place) = closing.pieces.get(*next) else {
                    return Ok(Ok(None));
                };
                let plaintext = segment.open_frame(*place, Kind::Piece, buffer)?;
                Ok(plaintext.and_then(|plaintext| {
                    let piece = SealedPiece::of(plaintext)?;
                    piece.is(&closing.transfer, *next)?;
                    let octets = store.opener.borrow_mut().piece(&piece)?;
                    hasher.update(&octets);
                    *given = given.saturating_add(super::octets(&octets));
                    *next += 1;
                    if *next == closing.pieces.len() {
                        if *given != closing.raw_len {
                            return Err("the length is another");
                        }
                        if ContentId(*hasher.finalize().as_bytes()) != closing.id {
                            return Err("the octets are not those of the content id");
                        }
                    }
                    Ok(Some(octets))
                }))
            }
        }
    }
}

impl Segment {
    /// The plaintext of the frame of a kind at a place.
    fn open_frame<'a>(
        &self,
        place: PiecePlace,
        kind: Kind,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Result<&'a [u8], &'static str>, StoreError> {
        let header = match self.frame_at(place.offset, u64::from(place.sealed_len))? {
            Ok(header) if header.kind == kind => header,
            Ok(_) => return Ok(Err("another kind of frame lies there")),
            Err(detail) => return Ok(Err(detail)),
        };
        Ok(match self.read_sealed(&header, buffer)? {
            Ok(()) => frame::open(&self.cipher, &header, buffer),
            Err(detail) => Err(detail),
        })
    }

    /// The closing frame at a place.
    pub(super) fn closing_at(
        &self,
        place: PiecePlace,
    ) -> Result<Result<Closing, &'static str>, StoreError> {
        let mut buffer = Vec::new();
        let plaintext = self.open_frame(place, Kind::Closing, &mut buffer)?;
        Ok(plaintext.and_then(Closing::decode))
    }

    /// Whether the pieces that a closing frame names are there and authentic.
    pub(super) fn has_pieces(&self, closing: &Closing) -> Result<bool, StoreError> {
        let mut buffer = Vec::new();
        for (number, place) in closing.pieces.iter().enumerate() {
            let plaintext = self.open_frame(*place, Kind::Piece, &mut buffer)?;
            let found = plaintext
                .and_then(SealedPiece::of)
                .and_then(|piece| piece.is(&closing.transfer, number));
            if found.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Store {
    /// A content's octets, proved to be those of its id. For what may be large, [`Self::pieces`] needs less
    /// memory.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it was never stored, [`StoreError::Damaged`] where it cannot be read
    /// any more; from then on it counts as damaged, and putting it again stores it anew.
    pub fn read(&self, id: &ContentId) -> Result<Vec<u8>, StoreError> {
        let mut pieces = self.pieces(id)?;
        let mut octets = pieces.next(self)?.unwrap_or_default();
        let total = usize::try_from(pieces.total_bytes()).unwrap_or_default();
        octets.reserve_exact(total.saturating_sub(octets.len()));
        while let Some(piece) = pieces.next(self)? {
            octets.extend_from_slice(&piece);
        }
        Ok(octets)
    }

    /// Begins to read a content piece by piece.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn pieces(&self, id: &ContentId) -> Result<Pieces, StoreError> {
        let place = self
            .index
            .borrow_mut()
            .place(id)?
            .ok_or(StoreError::Missing { id: *id })?;
        let detail = match self.read_place(&place)? {
            Ok(reading) if reading.id == *id => {
                return Ok(Pieces {
                    id: *id,
                    place,
                    reading,
                });
            }
            Ok(_) => "another content lies there",
            Err(detail) => detail,
        };
        Err(self.found_damaged(id, &place, detail)?)
    }

    /// Hands a content out piece by piece. Only when this has returned without error were the pieces the
    /// content: the last is not given otherwise.
    ///
    /// # Errors
    /// As [`Self::read`], and whatever `each` returns.
    pub fn read_into<E: From<StoreError>>(
        &self,
        id: &ContentId,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut pieces = self.pieces(id)?;
        while let Some(piece) = pieces.next(self)? {
            each(&piece)?;
        }
        Ok(())
    }

    /// Notes that a content cannot be read, and gives the error that says so.
    fn found_damaged(
        &self,
        id: &ContentId,
        place: &Place,
        detail: &'static str,
    ) -> Result<StoreError, StoreError> {
        if self.writer.is_some() && !place.damaged {
            let mut index = self.index.borrow_mut();
            let lookup = index.content_lookup(id);
            index.mark(&[], &[lookup], 0)?;
        }
        Ok(StoreError::Damaged {
            id: *id,
            path: segment::path(&self.dir, place.segment),
            offset: place.offset,
            detail,
        })
    }

    /// Begins to read what lies at a place, whatever its id.
    pub(super) fn read_place(
        &self,
        place: &Place,
    ) -> Result<Result<Reading, &'static str>, StoreError> {
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
            let length = frame::open(&segment.cipher, &header, &mut buffer)?.len();
            buffer.truncate(length);
            match header.kind {
                Kind::Message => {
                    let message = frame::message_parts(&buffer)?;
                    Ok(Reading {
                        id: message.id,
                        raw_len: u64::from(message.raw_len),
                        form: Form::Whole(Some(buffer)),
                    })
                }
                Kind::Closing => {
                    let closing = Closing::decode(&buffer)?;
                    Ok(Reading {
                        id: closing.id,
                        raw_len: closing.raw_len,
                        form: Form::Pieces {
                            segment,
                            closing,
                            hasher: Box::default(),
                            next: 0,
                            given: 0,
                            buffer: Vec::new(),
                        },
                    })
                }
                Kind::Membership | Kind::Piece | Kind::Unknown(_) => {
                    Err("there is no message frame")
                }
            }
        })())
    }

    /// Reads what lies at a place to its end; gives the id that it is proved by.
    pub(super) fn prove_place(
        &self,
        place: &Place,
    ) -> Result<Result<ContentId, &'static str>, StoreError> {
        let mut reading = match self.read_place(place)? {
            Ok(reading) => reading,
            Err(detail) => return Ok(Err(detail)),
        };
        loop {
            match reading.next(self)? {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Ok(reading.id)),
                Err(detail) => return Ok(Err(detail)),
            }
        }
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

    pub(super) fn open_segment(
        &self,
        number: u32,
    ) -> Result<Result<Segment, &'static str>, StoreError> {
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
}
