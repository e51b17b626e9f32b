//! The octets of a segment: its header, its frames, and how a frame is sealed and opened. No files here.
//!
//! STORE.md is the specification; what this module writes and what that file says must stay the same.

use std::io;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use zstd::bulk::{Compressor, Decompressor};

use super::ContentId;
use super::error::StoreError;
use super::key::Nonces;

/// The format version that is written.
pub(super) const VERSION: u16 = 2;
/// The first one. It had no pieces, and is read like this one.
pub(super) const FIRST_VERSION: u16 = 1;
/// Where the second copy of the segment header begins.
pub(super) const SECOND_HEADER: u64 = 4096;
/// Where the first frame begins.
pub(super) const FIRST_FRAME: u64 = 4192;
/// Octets of a segment header.
pub(super) const SEGMENT_HEADER: usize = 96;
/// Octets of a frame header.
pub(super) const FRAME_HEADER: usize = 40;
/// Octets that a frame header has before its checksum.
const FRAME_CHECKED: usize = 32;
/// Octets of the authentication tag at a frame's end.
const TAG: usize = 16;
/// Octets before the body in a message's plaintext: id, length, encoding.
const MESSAGE_PREFIX: usize = 37;
/// Octets before the body in a membership plaintext: length, encoding.
const MEMBERSHIP_PREFIX: usize = 5;
/// The largest message.
pub(super) const LARGEST_MESSAGE: usize = 1 << 30;
/// The most that one membership frame holds before compression.
pub(super) const LARGEST_BATCH: usize = 1 << 26;

const SEGMENT_MAGIC: [u8; 8] = *b"MDSTORE\n";
/// The octets that every frame begins with.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"MDF\n";
const ENCODING_RAW: u8 = 0;
const ENCODING_ZSTD: u8 = 1;
const LEVEL: i32 = 1;

/// A segment's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) version: u16,
    pub(super) number: u32,
    pub(super) store_id: [u8; 16],
    pub(super) salt: [u8; 32],
    pub(super) key_check: [u8; 16],
}

/// What 96 octets at a header's place are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFound {
    Good(SegmentHeader),
    OtherVersion(u16),
    Damaged,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.key_check);
        let checksum = blake3::hash(&out);
        out.extend(checksum.as_bytes().iter().take(16));
        out
    }

    pub(super) fn decode(octets: &[u8]) -> HeaderFound {
        let Some(octets) = octets.first_chunk::<SEGMENT_HEADER>() else {
            return HeaderFound::Damaged;
        };
        let (checked, checksum) = octets.split_at(SEGMENT_HEADER - 16);
        let mut cursor = Cursor(checked);
        let expected = blake3::hash(checked);
        if !expected.as_bytes().starts_with(checksum) || cursor.take() != Some(SEGMENT_MAGIC) {
            return HeaderFound::Damaged;
        }
        let parsed = (|| {
            let version = u16::from_le_bytes(cursor.take()?);
            cursor.take::<2>()?;
            let header = Self {
                version,
                number: u32::from_le_bytes(cursor.take()?),
                store_id: cursor.take()?,
                salt: cursor.take()?,
                key_check: cursor.take()?,
            };
            Some(header)
        })();
        match parsed {
            Some(header) if (FIRST_VERSION..=VERSION).contains(&header.version) => {
                HeaderFound::Good(header)
            }
            Some(header) => HeaderFound::OtherVersion(header.version),
            None => HeaderFound::Damaged,
        }
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Membership,
    /// A part of a large message.
    Piece,
    /// What makes pieces a message.
    Closing,
    /// A kind that a later version may write; it is skipped.
    Unknown(u8),
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Membership => 2,
            Self::Piece => 3,
            Self::Closing => 4,
            Self::Unknown(code) => code,
        }
    }

    fn of(code: u8) -> Self {
        match code {
            1 => Self::Message,
            2 => Self::Membership,
            3 => Self::Piece,
            4 => Self::Closing,
            code => Self::Unknown(code),
        }
    }
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    /// Octets after the header, the tag included.
    pub(super) sealed_len: u32,
    pub(super) nonce: [u8; 12],
    /// Where the frame begins in its segment.
    pub(super) offset: u64,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER] {
        let mut out = Vec::with_capacity(FRAME_HEADER);
        out.extend_from_slice(&FRAME_MAGIC);
        out.push(self.kind.code());
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(&self.sealed_len.to_le_bytes());
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.offset.to_le_bytes());
        let checksum = blake3::hash(&out);
        out.extend(checksum.as_bytes().iter().take(8));
        out.first_chunk().copied().unwrap_or([0; FRAME_HEADER])
    }

    /// The header in these octets; `None` unless they are a whole one for this place.
    pub(super) fn decode(octets: &[u8], offset: u64) -> Option<Self> {
        let octets = octets.first_chunk::<FRAME_HEADER>()?;
        if !octets.starts_with(&FRAME_MAGIC) {
            return None;
        }
        let (checked, checksum) = octets.split_at(FRAME_CHECKED);
        if !blake3::hash(checked).as_bytes().starts_with(checksum) {
            return None;
        }
        let mut cursor = Cursor(checked);
        cursor.take::<4>()?;
        let [kind, ..] = cursor.take::<4>()?;
        let header = Self {
            kind: Kind::of(kind),
            sealed_len: u32::from_le_bytes(cursor.take()?),
            nonce: cursor.take()?,
            offset: u64::from_le_bytes(cursor.take()?),
        };
        (header.offset == offset).then_some(header)
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.offset
            .saturating_add(40)
            .saturating_add(u64::from(self.sealed_len))
    }

    /// Octets after the header.
    pub(super) fn sealed_octets(&self) -> usize {
        usize::try_from(self.sealed_len).unwrap_or(usize::MAX)
    }
}

/// Makes frames.
pub(super) struct Sealer {
    compressor: Compressor<'static>,
    nonces: Nonces,
}

impl Sealer {
    pub(super) fn new() -> Result<Self, StoreError> {
        Ok(Self {
            compressor: Compressor::new(LEVEL).map_err(|_| StoreError::Codec {
                action: "setting up compression",
            })?,
            nonces: Nonces::new(),
        })
    }

    pub(super) fn nonce(&mut self) -> Result<[u8; 12], StoreError> {
        self.nonces.next()
    }

    /// Puts the whole frame of a message into `out`.
    pub(super) fn message(
        &mut self,
        cipher: &LessSafeKey,
        offset: u64,
        id: &ContentId,
        octets: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, StoreError> {
        if octets.len() > LARGEST_MESSAGE {
            return Err(StoreError::TooLarge {
                size: octets.len(),
                limit: LARGEST_MESSAGE,
            });
        }
        out.clear();
        out.resize(FRAME_HEADER, 0);
        out.extend_from_slice(&id.0);
        self.body(octets, out)?;
        seal(cipher, Kind::Message, offset, self.nonces.next()?, out)
    }

    /// Puts the whole frame of a membership batch into `out`.
    pub(super) fn membership(
        &mut self,
        cipher: &LessSafeKey,
        offset: u64,
        batch: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<FrameHeader, StoreError> {
        out.clear();
        out.resize(FRAME_HEADER, 0);
        self.body(batch, out)?;
        seal(cipher, Kind::Membership, offset, self.nonces.next()?, out)
    }

    /// Length, encoding, and the octets so encoded.
    pub(super) fn body(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Result<(), StoreError> {
        let length = u32::try_from(octets.len()).map_err(|_| StoreError::TooLarge {
            size: octets.len(),
            limit: LARGEST_MESSAGE,
        })?;
        out.extend_from_slice(&length.to_le_bytes());
        let encoding_at = out.len();
        out.push(ENCODING_ZSTD);
        let start = out.len();
        // Room that nobody fills with zeros first.
        out.reserve_exact(zstd::zstd_safe::compress_bound(octets.len()));
        let mut target = io::Cursor::new(std::mem::take(out));
        target.set_position(u64::try_from(start).unwrap_or(u64::MAX));
        let compressed = self.compressor.compress_to_buffer(octets, &mut target);
        *out = target.into_inner();
        let compressed = compressed.map_err(|_| StoreError::Codec {
            action: "compressing a message",
        })?;
        if compressed < octets.len() {
            out.truncate(start + compressed);
        } else {
            out.truncate(start);
            out.extend_from_slice(octets);
            if let Some(encoding) = out.get_mut(encoding_at) {
                *encoding = ENCODING_RAW;
            }
        }
        Ok(())
    }
}

pub(super) fn seal(
    cipher: &LessSafeKey,
    kind: Kind,
    offset: u64,
    nonce: [u8; 12],
    out: &mut Vec<u8>,
) -> Result<FrameHeader, StoreError> {
    let failed = StoreError::Codec {
        action: "encrypting a frame",
    };
    let Ok(sealed_len) = u32::try_from(out.len() - FRAME_HEADER + TAG) else {
        return Err(failed);
    };
    let header = FrameHeader {
        kind,
        sealed_len,
        nonce,
        offset,
    };
    let encoded = header.encode();
    let Some((head, plaintext)) = out.split_at_mut_checked(FRAME_HEADER) else {
        return Err(failed);
    };
    head.copy_from_slice(&encoded);
    let sealed = cipher.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(encoded),
        plaintext,
    );
    let Ok(tag) = sealed else {
        return Err(failed);
    };
    out.extend_from_slice(tag.as_ref());
    Ok(header)
}

/// Opens frames.
pub(super) struct Opener {
    decompressor: Decompressor<'static>,
}

/// The plaintext of a message frame, not yet decompressed.
pub(super) struct SealedMessage<'a> {
    pub(super) id: ContentId,
    pub(super) raw_len: u32,
    encoding: u8,
    body: &'a [u8],
}

impl Opener {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            decompressor: Decompressor::new()?,
        })
    }

    /// The message's octets, proved to be those of its id.
    pub(super) fn message(&mut self, sealed: &SealedMessage<'_>) -> Result<Vec<u8>, &'static str> {
        let octets = self.body(
            sealed.raw_len,
            sealed.encoding,
            sealed.body,
            LARGEST_MESSAGE,
        )?;
        if ContentId::of(&octets) == sealed.id {
            Ok(octets)
        } else {
            Err("the octets are not those of the content id")
        }
    }

    /// The octets of a membership batch.
    pub(super) fn membership(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, &'static str> {
        let (prefix, body) = plaintext
            .split_first_chunk::<MEMBERSHIP_PREFIX>()
            .ok_or("the membership frame is too short")?;
        let [a, b, c, d, encoding] = *prefix;
        self.body(
            u32::from_le_bytes([a, b, c, d]),
            encoding,
            body,
            LARGEST_BATCH,
        )
    }

    pub(super) fn body(
        &mut self,
        raw_len: u32,
        encoding: u8,
        body: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, &'static str> {
        let raw_len = usize::try_from(raw_len).unwrap_or(usize::MAX);
        if raw_len > limit {
            return Err("the length is beyond the limit");
        }
        let octets = match encoding {
            ENCODING_RAW => body.to_vec(),
            ENCODING_ZSTD => self
                .decompressor
                .decompress(body, raw_len)
                .map_err(|_| "it does not decompress")?,
            _ => return Err("the encoding is unknown"),
        };
        if octets.len() == raw_len {
            Ok(octets)
        } else {
            Err("the length is another")
        }
    }
}

/// Decrypts what follows a header, in place.
pub(super) fn open<'a>(
    cipher: &LessSafeKey,
    header: &FrameHeader,
    sealed: &'a mut [u8],
) -> Result<&'a [u8], &'static str> {
    cipher
        .open_in_place(
            Nonce::assume_unique_for_key(header.nonce),
            Aad::from(header.encode()),
            sealed,
        )
        .map(|plaintext| &*plaintext)
        .map_err(|_| "the frame does not authenticate")
}

/// The parts of a message frame's plaintext.
pub(super) fn message_parts(plaintext: &[u8]) -> Result<SealedMessage<'_>, &'static str> {
    let (prefix, body) = plaintext
        .split_first_chunk::<MESSAGE_PREFIX>()
        .ok_or("the message frame is too short")?;
    let mut cursor = Cursor(prefix);
    (|| {
        Some(SealedMessage {
            id: ContentId(cursor.take()?),
            raw_len: u32::from_le_bytes(cursor.take()?),
            encoding: u8::from_le_bytes(cursor.take()?),
            body,
        })
    })()
    .ok_or("the message frame is too short")
}

/// Takes fixed numbers of octets from the front.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    pub(super) fn octets(&mut self, length: usize) -> Option<&'a [u8]> {
        let (octets, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{StoreKey, random};
    use super::*;

    fn cipher() -> LessSafeKey {
        StoreKey::from_octets([7; 32])
            .segment_cipher(&[1; 16], &[2; 32])
            .unwrap()
    }

    #[test]
    fn a_segment_header_is_refused_for_any_changed_octet() {
        let header = SegmentHeader {
            version: FIRST_VERSION,
            number: 3,
            store_id: [1; 16],
            salt: [2; 32],
            key_check: [3; 16],
        };
        let octets = header.encode();
        assert_eq!(octets.len(), SEGMENT_HEADER);
        assert_eq!(SegmentHeader::decode(&octets), HeaderFound::Good(header));
        for at in 0..octets.len() {
            let mut changed = octets.clone();
            changed[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&changed), HeaderFound::Damaged);
            assert_eq!(SegmentHeader::decode(&octets[..at]), HeaderFound::Damaged);
        }
    }

    #[test]
    fn a_frame_is_refused_for_any_changed_octet() {
        let octets = b"Subject: x\r\n\r\nThe same, the same, the same, the same, the same\r\n";
        let id = ContentId::of(octets);
        let mut out = Vec::new();
        let header = Sealer::new()
            .unwrap()
            .message(&cipher(), 4192, &id, octets, &mut out)
            .unwrap();
        let read = |frame: &[u8]| -> Option<Vec<u8>> {
            let header = FrameHeader::decode(frame, 4192)?;
            let mut sealed = frame.get(FRAME_HEADER..)?.to_vec();
            let plaintext = open(&cipher(), &header, &mut sealed).ok()?;
            let parts = message_parts(plaintext).ok()?;
            assert_eq!(parts.id, id);
            Opener::new().unwrap().message(&parts).ok()
        };
        assert_eq!(header.end(), 4192 + u64::try_from(out.len()).unwrap());
        assert_eq!(read(&out).as_deref(), Some(&octets[..]));
        assert!(FrameHeader::decode(&out, 4193).is_none());
        for at in 0..out.len() {
            let mut changed = out.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed), None, "octet {at}");
            assert_eq!(read(&out[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn what_does_not_compress_is_stored_raw() {
        let mut octets = vec![0; 1000];
        random(&mut octets).unwrap();
        let mut out = Vec::new();
        Sealer::new()
            .unwrap()
            .message(&cipher(), 0, &ContentId::of(&octets), &octets, &mut out)
            .unwrap();
        assert_eq!(out.len(), FRAME_HEADER + MESSAGE_PREFIX + 1000 + TAG);
        let empty = ContentId::of(b"");
        Sealer::new()
            .unwrap()
            .message(&cipher(), 0, &empty, b"", &mut out)
            .unwrap();
        assert_eq!(out.len(), FRAME_HEADER + MESSAGE_PREFIX + TAG);
    }

    /// STORE.md's test vectors are what this code writes.
    #[test]
    fn the_specification_shows_what_is_written() {
        use super::super::event::{Event, encode_into_batch};
        use super::super::piece::{Closing, PiecePlace};
        use super::super::{Flags, InternalDate, LogicalFolder, MemberId};

        let specification: String = include_str!("../../STORE.md").split_whitespace().collect();
        let check = |name: &str, octets: &[u8]| {
            let digits = hex::encode(octets);
            assert!(specification.contains(&digits), "{name}: {digits}");
        };
        let mut octets = [0; 32];
        for (octet, value) in octets.iter_mut().zip(0..) {
            *octet = value;
        }
        let key = StoreKey::from_octets(octets);
        let (store_id, salt) = ([0x11; 16], [0x22; 32]);
        let key_check = key.check_value(&store_id);
        check("key check", &key_check);
        check(
            "segment key",
            &key.derive("maildreieck 2026 store segment", &[&store_id, &salt]),
        );
        let header = SegmentHeader {
            version: VERSION,
            number: 1,
            store_id,
            salt,
            key_check,
        };
        check("header", &header.encode());

        let cipher = key.segment_cipher(&store_id, &salt).unwrap();
        let mail = b"Subject: a\r\n\r\nb\r\n";
        let id = ContentId::of(mail);
        check("content id", &id.0);
        let mut sealer = Sealer::new().unwrap();
        let mut out = vec![0; FRAME_HEADER];
        out.extend_from_slice(&id.0);
        sealer.body(mail, &mut out).unwrap();
        check("message plaintext", &out[FRAME_HEADER..]);
        seal(&cipher, Kind::Message, FIRST_FRAME, [0x33; 12], &mut out).unwrap();
        check("message frame", &out);

        let transfer = [0x55; 16];
        let mut out = vec![0; FRAME_HEADER];
        out.extend_from_slice(&transfer);
        out.extend_from_slice(&[1, 0, 0, 0]);
        sealer.body(&mail[9..], &mut out).unwrap();
        check("piece plaintext", &out[FRAME_HEADER..]);
        seal(&cipher, Kind::Piece, 4300, [0x66; 12], &mut out).unwrap();
        check("piece frame", &out);
        let mut drawn = Vec::new();
        let header = sealer
            .piece(&cipher, 4300, &transfer, 1, &mail[9..], &mut drawn)
            .unwrap();
        assert_eq!((header.sealed_len, drawn.len()), (49, out.len()));
        let closing = Closing {
            id,
            transfer,
            raw_len: 17,
            pieces: [(4192, 50), (4300, 49)]
                .map(|(offset, sealed_len)| PiecePlace { offset, sealed_len })
                .to_vec(),
        };
        check("closing plaintext", &closing.encode());
        let mut out = vec![0; FRAME_HEADER];
        out.extend_from_slice(&closing.encode());
        seal(&cipher, Kind::Closing, 4389, [0x77; 12], &mut out).unwrap();
        check("closing frame", &out);
        assert_eq!(Closing::decode(&closing.encode()), Ok(closing));

        let mut batch = Vec::new();
        let member = MemberId([0x44; 16]);
        let events = [
            Event::Add {
                member,
                triangle: "info".into(),
                folder: LogicalFolder::from_stored("\\Sent/2024"),
                content: id,
                date: InternalDate(1_700_000_000),
                flags: Flags::from_words(["\\Seen", "x"]),
                size: 17,
            },
            Event::Tombstone {
                member,
                at: 1_700_000_100,
            },
        ];
        for event in &events {
            encode_into_batch(&mut batch, event).unwrap();
        }
        check("membership batch", &batch);
    }
}
