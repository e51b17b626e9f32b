//! What a message that lies in pieces is made of: the plaintexts of its piece frames and of the closing frame
//! that names them. No files here; STORE.md is the specification.
//!
//! Every piece bears the transfer, a random number of the one writing of one message, and its place in it, and
//! the closing frame says where each piece lies: so none can stand for another, of this message or of any.

use std::collections::HashMap;

use aws_lc_rs::aead::LessSafeKey;

use super::ContentId;
use super::error::StoreError;
use super::frame::{
    Cursor, FRAME_HEADER, FrameHeader, Kind, LARGEST_MESSAGE, Opener, Sealer, seal,
};
use super::index::NewContent;

/// The most octets of a message that one piece holds, and the largest message that is not in pieces.
pub(super) const LARGEST_PIECE: usize = 1 << 20;

/// One writing of one message.
pub(super) type Transfer = [u8; 16];

/// Where a piece lies in the segment of its closing frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PiecePlace {
    pub(super) offset: u64,
    /// Octets behind its header.
    pub(super) sealed_len: u32,
}

impl PiecePlace {
    pub(super) fn of(header: &FrameHeader) -> Self {
        Self {
            offset: header.offset,
            sealed_len: header.sealed_len,
        }
    }

    /// Octets of the frame.
    pub(super) fn stored_len(&self) -> u64 {
        u64::from(self.sealed_len).saturating_add(40)
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.stored_len())
    }
}

/// Octets of the frames of these pieces.
fn stored_len(pieces: &[PiecePlace]) -> u64 {
    pieces
        .iter()
        .map(PiecePlace::stored_len)
        .fold(0, u64::saturating_add)
}

/// What makes pieces a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) id: ContentId,
    pub(super) transfer: Transfer,
    /// Octets of the message.
    pub(super) raw_len: u64,
    /// In their order.
    pub(super) pieces: Vec<PiecePlace>,
}

impl Closing {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56 + 12 * self.pieces.len());
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.transfer);
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        for piece in &self.pieces {
            out.extend_from_slice(&piece.offset.to_le_bytes());
            out.extend_from_slice(&piece.sealed_len.to_le_bytes());
        }
        out
    }

    /// What the index shall know of it, with the header of its frame.
    pub(super) fn content(&self, segment: u32, header: &FrameHeader) -> NewContent {
        let frame = PiecePlace::of(header);
        NewContent {
            id: self.id,
            segment,
            offset: frame.offset,
            sealed_len: u64::from(frame.sealed_len),
            raw_len: self.raw_len,
            stored_len: stored_len(&self.pieces).saturating_add(frame.stored_len()),
        }
    }

    pub(super) fn decode(plaintext: &[u8]) -> Result<Self, &'static str> {
        let mut cursor = Cursor(plaintext);
        let closing = (|| {
            let mut closing = Self {
                id: ContentId(cursor.take()?),
                transfer: cursor.take()?,
                raw_len: u64::from_le_bytes(cursor.take()?),
                pieces: Vec::with_capacity(cursor.0.len() / 12),
            };
            while !cursor.0.is_empty() {
                closing.pieces.push(PiecePlace {
                    offset: u64::from_le_bytes(cursor.take()?),
                    sealed_len: u32::from_le_bytes(cursor.take()?),
                });
            }
            (!closing.pieces.is_empty()).then_some(closing)
        })()
        .ok_or("the closing frame is malformed")?;
        let limit = u64::try_from(LARGEST_MESSAGE).unwrap_or(u64::MAX);
        if closing.raw_len > limit {
            return Err("the length is beyond the limit");
        }
        Ok(closing)
    }
}

/// The pieces of large messages while a segment is gone through.
#[derive(Default)]
pub(super) struct Followed(HashMap<Transfer, Begun>);

#[derive(Default)]
struct Begun {
    pieces: Vec<PiecePlace>,
    raw_len: u64,
    hasher: Box<blake3::Hasher>,
}

impl Followed {
    /// Takes a piece that could be read. After one that could not, those behind it do not count.
    pub(super) fn piece(&mut self, header: &FrameHeader, piece: &SealedPiece<'_>, octets: &[u8]) {
        let begun = self.0.entry(piece.transfer).or_default();
        if piece.is(&piece.transfer, begun.pieces.len()).is_ok() {
            begun.pieces.push(PiecePlace::of(header));
            begun.raw_len = begun.raw_len.saturating_add(super::octets(octets));
            begun.hasher.update(octets);
        }
    }

    /// Whether the pieces that a closing frame names were all met.
    pub(super) fn has_all(&mut self, closing: &Closing) -> bool {
        self.end(closing).is_some()
    }

    /// Whether they were, and are the content that it says.
    pub(super) fn is_whole(&mut self, closing: &Closing) -> bool {
        self.end(closing).is_some_and(|begun| {
            begun.raw_len == closing.raw_len && *begun.hasher.finalize().as_bytes() == closing.id.0
        })
    }

    fn end(&mut self, closing: &Closing) -> Option<Begun> {
        self.0
            .remove(&closing.transfer)
            .filter(|begun| begun.pieces == closing.pieces)
    }

    /// Octets of pieces whose closing frame was not met.
    pub(super) fn unfinished_bytes(&self) -> u64 {
        self.0
            .values()
            .map(|begun| stored_len(&begun.pieces))
            .fold(0, u64::saturating_add)
    }
}

/// The plaintext of a piece frame, not yet decompressed.
pub(super) struct SealedPiece<'a> {
    pub(super) transfer: Transfer,
    /// Counted from 0.
    pub(super) number: u32,
    raw_len: u32,
    encoding: u8,
    body: &'a [u8],
}

impl<'a> SealedPiece<'a> {
    pub(super) fn of(plaintext: &'a [u8]) -> Result<Self, &'static str> {
        let mut cursor = Cursor(plaintext);
        (|| {
            Some(Self {
                transfer: cursor.take()?,
                number: u32::from_le_bytes(cursor.take()?),
                raw_len: u32::from_le_bytes(cursor.take()?),
                encoding: u8::from_le_bytes(cursor.take()?),
                body: cursor.0,
            })
        })()
        .ok_or("the piece is too short")
    }

    /// Whether it is this piece of this transfer.
    pub(super) fn is(&self, transfer: &Transfer, number: usize) -> Result<(), &'static str> {
        if self.transfer == *transfer && usize::try_from(self.number) == Ok(number) {
            Ok(())
        } else {
            Err("another piece lies there")
        }
    }
}

impl Sealer {
    /// Puts the whole frame of a piece into `out`.
    pub(super) fn piece(
        &mut self,
        cipher: &LessSafeKey,
        offset: u64,
        transfer: &Transfer,
        number: usize,
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, StoreError> {
        let too_large = |_| StoreError::TooLarge {
            size: octets.len(),
            limit: LARGEST_MESSAGE,
        };
        let number = u32::try_from(number).map_err(too_large)?;
        out.clear();
        out.resize(FRAME_HEADER, 0);
        out.extend_from_slice(transfer);
        out.extend_from_slice(&number.to_le_bytes());
        self.body(octets, out)?;
        seal(cipher, Kind::Piece, offset, self.nonce()?, out)
    }

    /// Puts the whole closing frame of a message into `out`.
    pub(super) fn closing(
        &mut self,
        cipher: &LessSafeKey,
        offset: u64,
        closing: &Closing,
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, StoreError> {
        out.clear();
        out.resize(FRAME_HEADER, 0);
        out.extend_from_slice(&closing.encode());
        seal(cipher, Kind::Closing, offset, self.nonce()?, out)
    }
}

impl Opener {
    /// The octets of a piece.
    pub(super) fn piece(&mut self, sealed: &SealedPiece<'_>) -> Result<Vec<u8>, &'static str> {
        self.body(sealed.raw_len, sealed.encoding, sealed.body, LARGEST_PIECE)
    }
}
