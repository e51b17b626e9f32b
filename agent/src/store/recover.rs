//! Opening: the lock, which store and which key it is, and an index that is up to the segments.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::error::{StoreError, io};
use super::event::{Event, decode_batch};
use super::frame::{self, FIRST_FRAME, Kind, Opener};
use super::index::{Index, NewContent, Salt, SegmentRow, Unusable};
use super::key::{StoreKey, random};
use super::opener;
use super::piece::{Closing, Followed, SealedPiece};
use super::proof::REFILLED;
use super::rebuild::rebuild;
use super::segment::{self, Found, Opened, Scan, Segment, Stat, Stray};
use super::write::Current;

/// Frames taken into the index with one transaction.
const REPLAY_BATCH: usize = 4096;

/// What opening did to the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexState {
    /// It held what the segments hold.
    #[default]
    Current,
    /// The store was begun.
    Created,
    /// It lacked the last frames, as after a crash, and has them now.
    CaughtUp,
    /// It was missing, damaged or another store's, and was made anew.
    Rebuilt,
}

/// What opening or rebuilding met.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Recovery {
    /// What was done to the index.
    pub index: IndexState,
    /// Frames that were taken into the index.
    pub frames: u64,
    /// Octets at ends of segments that are no whole frame: what a crash left. They stay where they are.
    pub torn_bytes: u64,
    /// Octets of large messages that were broken off. They were never stored, and stay where they are.
    pub unfinished_bytes: u64,
    /// Frames, or runs of octets between frames, that cannot be read.
    pub unreadable: u64,
    /// Numbers of segments that the index knows and whose files are gone.
    pub lost_segments: Vec<u32>,
    /// Numbers that the row of segments lacks where no index says why: lost, or forgotten after that was mended.
    pub gaps: Vec<u32>,
    /// Numbers that the row of segments lacks and the index did not expect either: their loss was mended or named before.
    pub forgotten_segments: Vec<u32>,
    /// Numbers of segments whose end, as the index knows it, is cut off or cannot be read.
    pub cut_segments: Vec<u32>,
    /// Numbers of segments that have no readable header, and which nothing shows to be this store's.
    pub headless_segments: Vec<u32>,
    /// Files that are no segments of this store, though they are called so.
    pub strays: Vec<Stray>,
    /// Numbers of segments whose damaged header was written back.
    pub restored_headers: Vec<u32>,
    /// Members of which the index said what no segment says any more. It was written to the segments again.
    pub kept_members: u64,
    /// Contents of present messages that no segment holds any more.
    pub missing_contents: u64,
    /// Contents that no segment holds any more, of messages that vanished on the source.
    pub missing_of_vanished: u64,
}

/// An opened store's parts.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) current: Option<Current>,
    pub(super) next_number: u32,
    pub(super) recovery: Recovery,
}

pub(super) fn index_path(dir: &Path) -> PathBuf {
    dir.join("index.sqlite")
}

/// Demands that there is a store: a segment, or an index that says what was in them.
pub(super) fn expect_store(dir: &Path) -> Result<(), StoreError> {
    if segment::list(dir)?.is_empty() && !index_path(dir).exists() {
        return Err(StoreError::NoStore {
            dir: dir.to_owned(),
        });
    }
    Ok(())
}

/// Makes the folder where it is missing, and takes its lock.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io("making the folder", dir))?;
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io("opening", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = (&file).take(20).read_to_string(&mut pid);
            let pid = pid.trim();
            return Err(StoreError::Locked {
                dir: dir.to_owned(),
                pid: if pid.is_empty() { "(unknown)" } else { pid }.to_owned(),
            });
        }
        Err(TryLockError::Error(e)) => return Err(io("locking", &path)(e)),
    }
    // As long as what stood there: cutting the file first can take longer than all the rest of opening.
    writeln!(file, "{:<19}", std::process::id()).map_err(io("writing", &path))?;
    Ok(file)
}

/// The index of a store that is only read.
pub(super) fn index_for_reading(dir: &Path, key: &StoreKey) -> Result<Index, StoreError> {
    expect_store(dir)?;
    let numbers = segment::list(dir)?;
    let store_id = identify(dir, &numbers, key)?;
    let path = index_path(dir);
    let mut index = Index::open(&path, key, store_id, false)?.map_err(|_| {
        if access(dir, AccessFlags::W_OK).is_err() {
            return StoreError::IndexOpen {
                path,
                detail: "its folder cannot be written, and SQLite reads it with a small file beside it: make the \
                         folder writable, or copy the store to where it is"
                    .to_owned(),
            };
        }
        StoreError::IndexDamaged {
            detail: "it is missing or cannot be opened",
        }
    })?;
    if index.is_older() {
        return Err(StoreError::IndexOlder {
            dir: dir.to_owned(),
        });
    }
    Ok(index)
}

/// Which store the segments are, as the first readable header says; proves that the key is its.
pub(super) fn identify(
    dir: &Path,
    numbers: &[u32],
    key: &StoreKey,
) -> Result<Option<[u8; 16]>, StoreError> {
    for number in numbers {
        if let Opened::Segment(segment) = Segment::open(dir, *number, key)? {
            return Ok(Some(segment.store_id));
        }
    }
    Ok(None)
}

/// Brings a locked store into a state to work with.
pub(super) fn recover(
    dir: &Path,
    key: &StoreKey,
    segment_bytes: u64,
) -> Result<Recovered, StoreError> {
    let numbers = segment::list(dir)?;
    let store_id = identify(dir, &numbers, key)?;
    let path = index_path(dir);
    let mut recovery = Recovery::default();
    let mut index = match Index::open(&path, key, store_id, true)? {
        Ok(index) => index,
        Err(unusable) => {
            let store_id = match (store_id, numbers.is_empty()) {
                (Some(id), _) => id,
                (None, true) => new_id()?,
                (None, false) => {
                    return Err(StoreError::Unreadable {
                        dir: dir.to_owned(),
                    });
                }
            };
            if !matches!(unusable, Unusable::Absent) {
                tracing::warn!("the store's index is damaged or another store's; it is made anew");
            }
            recovery = rebuild(dir, key, store_id, &numbers, &mut |_, _| {})?;
            open_made_anew(dir, key, store_id)?
        }
    };
    if comes_late(dir, key, &numbers, &mut index)? {
        tracing::warn!("a segment of the store was put back; the index is made anew");
        let store_id = index.store_id;
        drop(index);
        recovery = rebuild(dir, key, store_id, &numbers, &mut |_, _| {})?;
        index = open_made_anew(dir, key, store_id)?;
    }
    if numbers.is_empty() && index.segments()?.is_empty() {
        recovery.index = IndexState::Created;
        let current = Current::begin(dir, 1, index.store_id, key)?;
        index.put_segment(SegmentRow {
            number: 1,
            covered: FIRST_FRAME,
            stat: current.stat,
            healed: false,
            salt: Some(current.segment.salt),
        })?;
        return Ok(Recovered {
            index,
            current: Some(current),
            next_number: 2,
            recovery,
        });
    }
    if recovery.index == IndexState::Current {
        catch_up(dir, key, &numbers, &mut index, &mut recovery)?;
    }
    recovery.sort_out_strays(dir, index.store_id)?;
    let rows = index.segments()?;
    let numbers = recovery.without_strays(&numbers);
    let last = numbers.last().copied().unwrap_or_default();
    let current = match rows.last() {
        Some(row)
            if row.number == last
                && (row.covered == FIRST_FRAME || row.covered < segment_bytes) =>
        {
            match Segment::open(dir, last, key)? {
                Opened::Segment(segment) => Current::resume(segment, row)?,
                Opened::Absent | Opened::Headless => None,
            }
        }
        _ => None,
    };
    if recovery != Recovery::default() {
        tracing::info!(
            index = ?recovery.index,
            frames = recovery.frames,
            torn_bytes = recovery.torn_bytes,
            unfinished_bytes = recovery.unfinished_bytes,
            unreadable = recovery.unreadable,
            lost_segments = recovery.lost_segments.len(),
            gaps = recovery.gaps.len(),
            kept_members = recovery.kept_members,
            missing_contents = recovery.missing_contents,
            strays = recovery.strays.len(),
            "the store was brought up to date at opening"
        );
    }
    Ok(Recovered {
        index,
        current,
        next_number: next_number(&recovery, &numbers, &rows),
        recovery,
    })
}

/// The number of the next segment: behind all that are or were the store's, and no stray's.
pub(super) fn next_number(recovery: &Recovery, numbers: &[u32], rows: &[SegmentRow]) -> u32 {
    let last = numbers.iter().copied().max().unwrap_or_default();
    let mut next = rows.last().map_or(last, |row| row.number.max(last));
    loop {
        next = next.saturating_add(1);
        if !recovery.strays.iter().any(|stray| stray.number == next) {
            return next;
        }
    }
}

fn open_made_anew(dir: &Path, key: &StoreKey, store_id: [u8; 16]) -> Result<Index, StoreError> {
    Index::open(&index_path(dir), key, Some(store_id), true)?.map_err(|_| {
        StoreError::IndexDamaged {
            detail: "it was made anew and still cannot be opened",
        }
    })
}

/// Whether a segment that the index does not know lies before one that it knows: it was lost, forgotten,
/// and put back. Its events must not be applied behind those that came after them.
fn comes_late(
    dir: &Path,
    key: &StoreKey,
    numbers: &[u32],
    index: &mut Index,
) -> Result<bool, StoreError> {
    let rows = index.segments()?;
    let Some(last) = rows.last() else {
        return Ok(false);
    };
    for number in numbers.iter().filter(|number| **number < last.number) {
        if rows.binary_search_by_key(number, |row| row.number).is_err()
            && open_own(dir, *number, key, index.store_id, None)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes what the index lacks from the segments: whatever lies behind what it covers.
pub(super) fn catch_up(
    dir: &Path,
    key: &StoreKey,
    numbers: &[u32],
    index: &mut Index,
    recovery: &mut Recovery,
) -> Result<(), StoreError> {
    let rows = index.segments()?;
    recovery.lost_segments = rows
        .iter()
        .map(|row| row.number)
        .filter(|number| numbers.binary_search(number).is_err())
        .collect();
    let mut opener = opener()?;
    for number in numbers {
        let row = rows
            .binary_search_by_key(number, |row| row.number)
            .ok()
            .and_then(|at| rows.get(at));
        let path = segment::path(dir, *number);
        let Some(stat) = Stat::of_path(&path)? else {
            continue;
        };
        if row.is_some_and(|row| stat.size <= row.stat.size) {
            continue;
        }
        let salt = row.and_then(|row| row.salt);
        let segment = match open_own(dir, *number, key, index.store_id, salt)? {
            Some(segment) => segment,
            None => {
                recovery.headless_segments.push(*number);
                continue;
            }
        };
        // What is taken into the index must be as durable as what a commit leaves.
        segment
            .file
            .sync_all()
            .map_err(io("making durable", &segment.path))?;
        let from = row.map_or(FIRST_FRAME, |row| row.covered);
        // What lies before was not looked at: the next inspection shall do so.
        let stat = Stat {
            mtime_ns: if row.is_some() { 0 } else { stat.mtime_ns },
            ..stat
        };
        let start = SegmentRow {
            number: *number,
            covered: from,
            stat,
            healed: row.is_some_and(|row| row.healed),
            salt: Some(segment.salt),
        };
        let replayed = replay(index, &segment, start, &mut opener, &mut |_| {})?;
        if replayed.frames > 0 {
            recovery.index = IndexState::CaughtUp;
        }
        recovery.add(&replayed);
    }
    Ok(())
}

impl Recovery {
    /// Whether everything that was met could be read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unreadable == 0
            && self.lost_segments.is_empty()
            && self.gaps.is_empty()
            && self.cut_segments.is_empty()
            && self.headless_segments.is_empty()
            && self.missing_contents == 0
    }

    /// Takes what is another segment, as its header says, for what it is.
    pub(super) fn sort_out_strays(
        &mut self,
        dir: &Path,
        store_id: [u8; 16],
    ) -> Result<(), StoreError> {
        let mut headless = Vec::new();
        for number in std::mem::take(&mut self.headless_segments) {
            match Stray::at(dir, number, store_id)? {
                Some(stray) => self.strays.push(stray),
                None => headless.push(number),
            }
        }
        self.headless_segments = headless;
        Ok(())
    }

    /// The numbers that are not strays'.
    pub(super) fn without_strays(&self, numbers: &[u32]) -> Vec<u32> {
        let stray = |number: &u32| self.strays.iter().any(|stray| stray.number == *number);
        numbers.iter().copied().filter(|n| !stray(n)).collect()
    }

    pub(super) fn add(&mut self, replayed: &Replayed) {
        self.frames += replayed.frames;
        self.torn_bytes += replayed.torn_bytes;
        self.unfinished_bytes += replayed.unfinished_bytes;
        self.unreadable += replayed.unreadable;
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            IndexState::Current => f.write_str("the index held what the segments hold")?,
            IndexState::Created => f.write_str("the store was begun")?,
            IndexState::CaughtUp => write!(
                f,
                "the index lacked {} frames, as after a crash, and has them now",
                self.frames
            )?,
            IndexState::Rebuilt => write!(
                f,
                "the index was made anew from {} frames of the segments",
                self.frames
            )?,
        }
        if self.torn_bytes > 0 {
            write!(
                f,
                "; {} octets at the end of a segment were never committed",
                self.torn_bytes
            )?;
        }
        if self.unfinished_bytes > 0 {
            write!(
                f,
                "; {} octets of large messages were broken off and never stored",
                self.unfinished_bytes
            )?;
        }
        named(f, "header written back in segment", &self.restored_headers)?;
        named(f, "missing since before: segment", &self.forgotten_segments)?;
        strays(f, &self.strays)?;
        if self.is_whole() && self.missing_of_vanished == 0 {
            return f.write_str(if self.forgotten_segments.is_empty() {
                "; nothing is missing"
            } else {
                "; nothing else is missing"
            });
        }
        if self.unreadable > 0 {
            write!(f, "; {} frames cannot be read", self.unreadable)?;
        }
        named(f, "gone: segment", &self.lost_segments)?;
        named(
            f,
            "not there, lost or mended and forgotten, which without the index nobody can tell: segment",
            &self.gaps,
        )?;
        named(f, "without its end: segment", &self.cut_segments)?;
        named(
            f,
            "without readable header: segment",
            &self.headless_segments,
        )?;
        if self.kept_members > 0 {
            write!(
                f,
                "; what the index alone knew of {} messages was written to the segments again",
                self.kept_members
            )?;
        }
        if self.missing_contents > 0 {
            write!(f, "; {} contents are in no segment", self.missing_contents)?;
        }
        if self.missing_of_vanished > 0 {
            write!(
                f,
                "; {} contents of messages that were deleted on the primary are in no segment",
                self.missing_of_vanished
            )?;
        }
        write!(f, "; {REFILLED}")
    }
}

/// Numbers with a word before them, where there are any.
pub(super) fn named(f: &mut fmt::Formatter<'_>, what: &str, numbers: &[u32]) -> fmt::Result {
    if numbers.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    write!(f, "; {what} {}", numbers.join(", "))
}

/// Files that do not belong to the store, with what to do about each.
pub(super) fn strays(f: &mut fmt::Formatter<'_>, strays: &[Stray]) -> fmt::Result {
    strays.iter().try_for_each(|stray| write!(f, "; {stray}"))
}

/// A segment of this store; `None` where its header is unreadable and its salt is not known.
pub(super) fn open_own(
    dir: &Path,
    number: u32,
    key: &StoreKey,
    store_id: [u8; 16],
    salt: Option<Salt>,
) -> Result<Option<Segment>, StoreError> {
    let mut opened = Segment::open(dir, number, key)?;
    if let (Opened::Headless, Some(salt)) = (&opened, salt) {
        opened = Segment::open_by_salt(dir, number, key, store_id, salt)?;
    }
    match opened {
        Opened::Segment(segment) if segment.store_id != store_id => {
            Err(StoreError::ForeignSegment { path: segment.path })
        }
        Opened::Segment(segment) => Ok(Some(segment)),
        Opened::Absent | Opened::Headless => Ok(None),
    }
}

pub(super) struct Replayed {
    pub(super) row: SegmentRow,
    pub(super) frames: u64,
    pub(super) torn_bytes: u64,
    unfinished_bytes: u64,
    unreadable: u64,
}

/// Takes the frames of a segment into the index, from where `start` covers it to its end.
pub(super) fn replay(
    index: &mut Index,
    segment: &Segment,
    start: SegmentRow,
    opener: &mut Opener,
    progress: &mut dyn FnMut(u64),
) -> Result<Replayed, StoreError> {
    let end = segment::unsigned(start.stat.size);
    let mut scan = Scan::new(segment, start.covered, end);
    let mut row = start;
    let (mut frames, mut unreadable) = (0, 0);
    let mut contents: Vec<NewContent> = Vec::new();
    let mut events: Vec<Event> = Vec::new();
    let mut buffer = Vec::new();
    let mut large = Followed::default();
    let mut unreadable_since_good = 0;
    while let Some(found) = scan.next()? {
        let taken = match found {
            Found::Gap { .. } => false,
            Found::Frame(header) => {
                let read = match segment.read_sealed(&header, &mut buffer)? {
                    Ok(()) => frame::open(&segment.cipher, &header, &mut buffer),
                    Err(detail) => Err(detail),
                };
                let mut closing = None;
                let taken = read.and_then(|plaintext| match header.kind {
                    Kind::Message => {
                        let message = frame::message_parts(plaintext)?;
                        contents.push(NewContent {
                            id: message.id,
                            segment: segment.number,
                            offset: header.offset,
                            sealed_len: u64::from(header.sealed_len),
                            raw_len: u64::from(message.raw_len),
                            stored_len: header.end().saturating_sub(header.offset),
                        });
                        Ok(())
                    }
                    Kind::Piece => {
                        large.piece(&header, &SealedPiece::of(plaintext)?, &[]);
                        Ok(())
                    }
                    Kind::Closing => {
                        closing = Some(Closing::decode(plaintext)?);
                        Ok(())
                    }
                    Kind::Membership => {
                        events.extend(decode_batch(&opener.membership(plaintext)?)?);
                        Ok(())
                    }
                    Kind::Unknown(_) => Ok(()),
                });
                // The first pieces can lie before what is gone through. Without one it is no content.
                if let Some(closing) = closing
                    && (large.has_all(&closing) || segment.has_pieces(&closing)?)
                {
                    contents.push(closing.content(segment.number, &header));
                }
                if taken.is_ok() {
                    row.covered = header.end();
                    frames += 1;
                    unreadable += unreadable_since_good;
                    unreadable_since_good = 0;
                    progress(header.end());
                }
                taken.is_ok()
            }
        };
        if !taken {
            unreadable_since_good += 1;
        }
        if contents.len() + events.len() >= REPLAY_BATCH {
            index.apply(&contents, &events, row)?;
            contents.clear();
            events.clear();
        }
    }
    index.apply(&contents, &events, row)?;
    progress(end);
    Ok(Replayed {
        row,
        frames,
        torn_bytes: end.saturating_sub(row.covered),
        unfinished_bytes: large.unfinished_bytes(),
        unreadable,
    })
}

fn new_id() -> Result<[u8; 16], StoreError> {
    let mut id = [0; 16];
    random(&mut id)?;
    Ok(id)
}
