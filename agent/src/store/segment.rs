//! Segment files: their names, making one, reading frames by place, and going through one frame by frame.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::LessSafeKey;

use super::error::{self, StoreError};
use super::frame::{
    FIRST_FRAME, FRAME_HEADER, FRAME_MAGIC, FrameHeader, HeaderFound, SECOND_HEADER,
    SEGMENT_HEADER, SegmentHeader, VERSION,
};
use super::index::Salt;
use super::key::{StoreKey, random, sync_folder};

const SCAN_CHUNK: usize = 64 * 1024;

/// What a file system says of a segment; another value means that somebody else wrote to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stat {
    pub(super) size: i64,
    pub(super) mtime_ns: i64,
    pub(super) inode: i64,
}

impl Stat {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            size: signed(metadata.size()),
            mtime_ns: metadata
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.mtime_nsec()),
            inode: i64::from_le_bytes(metadata.ino().to_le_bytes()),
        }
    }

    /// Of a file by name; `None` where there is none.
    pub(super) fn of_path(path: &Path) -> Result<Option<Self>, StoreError> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(error::io("looking at", path)(e)),
        }
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The name of a segment's file.
pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("seg-{number:08}.mds"))
}

/// The numbers of the segments in a folder, ascending; none where there is no folder.
pub(super) fn list(dir: &Path) -> Result<Vec<u32>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(error::io("listing", dir)(e)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(error::io("listing", dir))?.file_name();
        let digits = name
            .to_str()
            .and_then(|name| name.strip_prefix("seg-")?.strip_suffix(".mds"))
            .filter(|digits| digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit()));
        if let Some(number) = digits.and_then(|digits| digits.parse().ok())
            && path(dir, number).file_name() == Some(&name)
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A file that is called like a segment and is another, as its header says: a copy, or one that was renamed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stray {
    /// Its name in the store's folder.
    pub file: String,
    /// The number that its name gives it.
    #[serde(skip)]
    pub(super) number: u32,
    /// The segment of this store that it is; `None` for one of another store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
    /// That segment's own name, where no file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

impl Stray {
    /// The file with a segment's name, where it is another segment.
    pub(super) fn at(
        dir: &Path,
        number: u32,
        store_id: [u8; 16],
    ) -> Result<Option<Self>, StoreError> {
        let at = path(dir, number);
        let file = match File::open(&at) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error::io("opening", &at)(e)),
        };
        for offset in [0, SECOND_HEADER] {
            let mut octets = [0; SEGMENT_HEADER];
            if file.read_exact_at(&mut octets, offset).is_err() {
                continue;
            }
            if let HeaderFound::Good(header) = SegmentHeader::decode(&octets)
                && header.number != number
            {
                let segment = (header.store_id == store_id).then_some(header.number);
                let own = segment.map(|number| path(dir, number));
                return Ok(Some(Self {
                    file: name(&at),
                    number,
                    segment,
                    missing: own.filter(|own| !own.exists()).map(|own| name(&own)),
                }));
            }
        }
        Ok(None)
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match (self.segment, &self.missing) {
            (Some(segment), Some(own)) => {
                write!(f, "{file} is segment {segment}; rename it to {own}")
            }
            (Some(segment), None) => write!(
                f,
                "{file} does not belong to the store, it is a copy of segment {segment}: move it away"
            ),
            (None, _) => write!(
                f,
                "{file} belongs to another store: move it back to where it came from"
            ),
        }
    }
}

/// A segment open for reading, with its cipher.
pub(super) struct Segment {
    /// What its header says; the newest where it has none, which any other can be read as.
    pub(super) version: u16,
    pub(super) number: u32,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) store_id: [u8; 16],
    pub(super) salt: Salt,
    pub(super) cipher: Arc<LessSafeKey>,
    /// A header of its own says what it is; without one, only a frame that opens proves it.
    pub(super) proved: bool,
}

/// What opening a segment's file brought.
pub(super) enum Opened {
    Segment(Segment),
    Absent,
    /// Neither copy of its header is whole.
    Headless,
}

impl Segment {
    /// Opens a segment by its number, and proves that the key is its.
    pub(super) fn open(dir: &Path, number: u32, key: &StoreKey) -> Result<Opened, StoreError> {
        let path = path(dir, number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Opened::Absent),
            Err(e) => return Err(error::io("opening", &path)(e)),
        };
        for offset in [0, SECOND_HEADER] {
            let mut octets = [0; SEGMENT_HEADER];
            match file.read_exact_at(&mut octets, offset) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(error::io("reading the header of", &path)(e)),
            }
            let header = match SegmentHeader::decode(&octets) {
                HeaderFound::Good(header) if header.number == number => header,
                HeaderFound::OtherVersion(version) => {
                    return Err(StoreError::UnknownVersion { path, version });
                }
                HeaderFound::Good(_) | HeaderFound::Damaged => continue,
            };
            if header.key_check != key.check_value(&header.store_id) {
                return Err(StoreError::WrongKey { path });
            }
            let cipher = key.segment_cipher(&header.store_id, &header.salt)?;
            return Ok(Opened::Segment(Self {
                version: header.version,
                number,
                path,
                file,
                store_id: header.store_id,
                salt: header.salt,
                cipher: Arc::new(cipher),
                proved: true,
            }));
        }
        Ok(Opened::Headless)
    }

    /// Opens a segment neither copy of whose header is whole, by the salt that the index knows.
    pub(super) fn open_by_salt(
        dir: &Path,
        number: u32,
        key: &StoreKey,
        store_id: [u8; 16],
        salt: Salt,
    ) -> Result<Opened, StoreError> {
        let path = path(dir, number);
        let file = File::open(&path).map_err(error::io("opening", &path))?;
        Ok(Opened::Segment(Self {
            version: VERSION,
            number,
            path,
            file,
            store_id,
            salt,
            cipher: Arc::new(key.segment_cipher(&store_id, &salt)?),
            proved: false,
        }))
    }

    /// What a segment has before its first frame.
    fn beginning(&self, key: &StoreKey) -> Vec<u8> {
        beginning(&SegmentHeader {
            version: self.version,
            number: self.number,
            store_id: self.store_id,
            salt: self.salt,
            key_check: key.check_value(&self.store_id),
        })
    }

    /// Whether both copies of the header and the zeros between them are as they were written.
    pub(super) fn has_whole_beginning(&self, key: &StoreKey) -> Result<bool, StoreError> {
        let expected = self.beginning(key);
        let mut found = vec![0; expected.len()];
        Ok(self.read_at(&mut found, 0)?.is_ok() && found == expected)
    }

    /// Writes what is damaged before the first frame anew. A copy of the header that is whole is not
    /// touched, so that at no moment there is less than before.
    pub(super) fn restore_beginning(&self, key: &StoreKey) -> Result<(), StoreError> {
        let expected = self.beginning(key);
        let (first, second) = expected.split_at(expected.len() - SEGMENT_HEADER);
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map_err(error::io("opening", &self.path))?;
        for (part, at) in [(second, SECOND_HEADER), (first, 0)] {
            let mut found = vec![0; part.len()];
            if self.read_at(&mut found, at)?.is_ok() && found == part {
                continue;
            }
            file.write_all_at(part, at)
                .and_then(|()| file.sync_data())
                .map_err(error::io("writing the header of", &self.path))?;
        }
        Ok(())
    }

    /// Makes an empty segment. Its file appears under its name when it is whole and durable.
    pub(super) fn create(
        dir: &Path,
        number: u32,
        store_id: [u8; 16],
        key: &StoreKey,
    ) -> Result<Self, StoreError> {
        let path = path(dir, number);
        let temporary = dir.join(format!("seg-{number:08}.tmp"));
        let mut salt = [0; 32];
        random(&mut salt)?;
        let header = SegmentHeader {
            version: VERSION,
            number,
            store_id,
            salt,
            key_check: key.check_value(&store_id),
        };
        let beginning = beginning(&header);
        let file = (|| {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&beginning)?;
            file.sync_all()?;
            if path.exists() {
                return Err(io::Error::from(ErrorKind::AlreadyExists));
            }
            fs::rename(&temporary, &path)?;
            Ok(file)
        })()
        .map_err(error::io("making the segment", &path))?;
        sync_folder(dir)?;
        let cipher = Arc::new(key.segment_cipher(&store_id, &salt)?);
        Ok(Self {
            version: VERSION,
            number,
            path,
            file,
            store_id,
            salt,
            cipher,
            proved: true,
        })
    }

    pub(super) fn stat(&self) -> Result<Stat, StoreError> {
        self.file
            .metadata()
            .map(|metadata| Stat::of(&metadata))
            .map_err(error::io("looking at", &self.path))
    }

    /// Reads what follows a frame's header.
    pub(super) fn read_sealed(
        &self,
        header: &FrameHeader,
        buffer: &mut Vec<u8>,
    ) -> Result<Result<(), &'static str>, StoreError> {
        buffer.clear();
        buffer.resize(header.sealed_octets(), 0);
        let at = header.offset.saturating_add(40);
        self.read_at(buffer, at)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<Result<(), &'static str>, StoreError> {
        match self.file.read_exact_at(buffer, at) {
            Ok(()) => Ok(Ok(())),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(Err("the file ends before it")),
            // A sector that cannot be read any more is damage like any other.
            Err(e) if e.raw_os_error() == Some(nix::libc::EIO) => {
                Ok(Err("the disk cannot read it"))
            }
            Err(e) => Err(error::io("reading", &self.path)(e)),
        }
    }

    /// The frame that an index row says lies at a place; its header is checked, its size not believed
    /// beyond what the row says.
    pub(super) fn frame_at(
        &self,
        offset: u64,
        sealed_len: u64,
    ) -> Result<Result<FrameHeader, &'static str>, StoreError> {
        let mut octets = [0; FRAME_HEADER];
        if let Err(detail) = self.read_at(&mut octets, offset)? {
            return Ok(Err(detail));
        }
        Ok(FrameHeader::decode(&octets, offset)
            .filter(|header| u64::from(header.sealed_len) == sealed_len)
            .ok_or("there is no frame header"))
    }
}

/// What a segment has before its first frame: the header, zeros, and the header again.
fn beginning(header: &SegmentHeader) -> Vec<u8> {
    let header = header.encode();
    let mut octets = header.clone();
    octets.resize(usize::try_from(SECOND_HEADER).unwrap_or(SCAN_CHUNK), 0);
    octets.extend_from_slice(&header);
    octets
}

/// What going through a segment meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame whose header is whole, and which ends before the end.
    Frame(FrameHeader),
    /// Octets in which no frame header is.
    Gap { from: u64, to: u64 },
}

/// Goes through the frames of a segment from one place to another.
pub(super) struct Scan<'a> {
    segment: &'a Segment,
    at: u64,
    end: u64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(segment: &'a Segment, from: u64, end: u64) -> Self {
        Self {
            segment,
            at: from.max(FIRST_FRAME),
            end,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Found>, StoreError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let from = self.at;
        if let Some(header) = self.header(from)? {
            self.at = header.end();
            return Ok(Some(Found::Frame(header)));
        }
        self.at = self.search(from.saturating_add(1))?;
        Ok(Some(Found::Gap { from, to: self.at }))
    }

    fn header(&self, at: u64) -> Result<Option<FrameHeader>, StoreError> {
        let mut octets = [0; FRAME_HEADER];
        if self.segment.read_at(&mut octets, at)?.is_err() {
            return Ok(None);
        }
        Ok(FrameHeader::decode(&octets, at).filter(|header| header.end() <= self.end))
    }

    /// The place of the next whole header, or the end.
    fn search(&self, mut at: u64) -> Result<u64, StoreError> {
        let mut chunk = vec![0; SCAN_CHUNK];
        while at < self.end {
            let wanted = usize::try_from(self.end - at)
                .unwrap_or(SCAN_CHUNK)
                .min(SCAN_CHUNK);
            let read = match self
                .segment
                .file
                .read_at(chunk.get_mut(..wanted).unwrap_or_default(), at)
            {
                Ok(0) => return Ok(self.end),
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.raw_os_error() == Some(nix::libc::EIO) => {
                    at = at.saturating_add(4096);
                    continue;
                }
                Err(e) => return Err(error::io("reading", &self.segment.path)(e)),
            };
            let octets = chunk.get(..read).unwrap_or_default();
            for (index, window) in octets.windows(FRAME_MAGIC.len()).enumerate() {
                if window != FRAME_MAGIC {
                    continue;
                }
                let place = at.saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
                if self.header(place)?.is_some() {
                    return Ok(place);
                }
            }
            // The magic may lie across two chunks.
            let step = read.saturating_sub(FRAME_MAGIC.len() - 1).max(1);
            at = at.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
        }
        Ok(self.end)
    }
}
