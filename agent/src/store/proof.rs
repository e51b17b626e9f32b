//! Proving that the store can still be read: at each Tx what somebody else has touched, day by day a share
//! of the rest, and on demand everything.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use super::error::StoreError;
use super::frame::{self, FIRST_FRAME, Kind};
use super::index::{Lookup, Salt, SegmentRow};
use super::mend::{Mended, Wound};
use super::piece::{Closing, Followed, PiecePlace, SealedPiece};
use super::recover::{named, strays};
use super::segment::{Found, Scan, Segment, Stat, Stray, unsigned};
use super::{ContentId, Store};

/// Contents read between two notes of what was proved.
const VERIFY_BATCH: i64 = 512;

/// What [`Store::inspect`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Segments that were not as we left them, and were read whole.
    pub changed_segments: Vec<u32>,
    /// All contents that cannot be read now, found this time or before.
    pub damaged: Vec<ContentId>,
    /// What was mended.
    pub mended: Mended,
}

/// How much [`Store::verify`] shall read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBack {
    /// Octets of mail, the last message whole.
    pub budget_bytes: u64,
    /// Only what was last proved before this moment, seconds since 1970. 1 takes what was never proved.
    pub before: i64,
}

impl ReadBack {
    /// All that was never read back since it was written.
    pub const NEW: Self = Self {
        budget_bytes: u64::MAX,
        before: 1,
    };
}

/// What [`Store::verify`] proved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Contents read and found right.
    pub messages: u64,
    /// Their octets.
    pub bytes: u64,
    /// Contents that cannot be read.
    pub damaged: Vec<ContentId>,
    /// The oldest proof among all contents that are not damaged, seconds since 1970; `None` while one was
    /// never proved, and for an empty store.
    pub oldest_proof: Option<i64>,
}

/// What [`Store::check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CheckReport {
    /// Segments read.
    pub segments: u64,
    /// Octets read.
    pub bytes: u64,
    /// Distinct contents read and found right.
    pub contents: u64,
    /// Live members; several can have one content.
    pub messages: u64,
    /// Membership frames read and found right.
    pub membership_frames: u64,
    /// Frames, or runs of octets between frames, that cannot be read. They stay where they are; what they
    /// held and is not stored elsewhere is in `damaged`.
    pub unreadable: u64,
    /// Octets at ends of segments that are no whole frame: what a crash left.
    pub torn_bytes: u64,
    /// Octets of large messages that were broken off and never stored.
    pub unfinished_bytes: u64,
    /// Numbers of segments that are gone or unreadable and held what is not stored elsewhere.
    pub lost_segments: Vec<u32>,
    /// Numbers of files that are called like segments, have no readable header and are in no index: nobody knows
    /// what they hold or held.
    pub headless_segments: Vec<u32>,
    /// Files that are no segments of this store, though they are called so. They do it no harm.
    pub strays: Vec<Stray>,
    /// Contents that cannot be read and that a present message needs, or that could be read when they were last
    /// looked at.
    pub damaged: Vec<ContentId>,
    /// Contents that cannot be read, were named as that before, and are needed by no present message: theirs were
    /// deleted on the primary, so that only the standby may have them.
    pub lost: Vec<ContentId>,
    /// What was mended.
    #[serde(flatten)]
    pub mended: Mended,
}

impl CheckReport {
    /// Whether everything that present messages need can be read, nothing was found damaged for the first time, and
    /// nothing had to be mended this time.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.damaged.is_empty()
            && self.lost_segments.is_empty()
            && self.headless_segments.is_empty()
            && self.mended.is_nothing()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} segments, {} bytes read: {} distinct contents good, {} damaged or lost; {} live messages",
            self.segments,
            self.bytes,
            self.contents,
            self.damaged.len(),
            self.messages
        )?;
        named(f, "lost: segment", &self.lost_segments)?;
        named(
            f,
            "without readable header, put it back from a copy or move it away: segment",
            &self.headless_segments,
        )?;
        strays(f, &self.strays)?;
        if self.unreadable > 0 {
            write!(f, "; {} unreadable frames", self.unreadable)?;
            if self.damaged.is_empty() {
                f.write_str(" (nothing of them is needed any more)")?;
            }
        }
        if !self.lost.is_empty() {
            write!(
                f,
                "; {} of messages that were deleted on the primary cannot be read either",
                self.lost.len()
            )?;
        }
        if self.unfinished_bytes > 0 {
            write!(
                f,
                "; {} octets of large messages that were broken off",
                self.unfinished_bytes
            )?;
        }
        let mended = &self.mended;
        if mended.membership_rewritten {
            f.write_str("; mended: membership written anew from the index")?;
        }
        named(
            f,
            "mended: header written back in segment",
            &mended.restored_headers,
        )?;
        named(
            f,
            "mended: copied, because its header could not be written back: segment",
            &mended.copied_segments,
        )?;
        named(
            f,
            "forgotten, because nothing of it is needed any more: segment",
            &mended.forgotten_segments,
        )?;
        if !self.damaged.is_empty() || !self.lost.is_empty() {
            write!(f, "; {REFILLED}")?;
        }
        Ok(())
    }
}

/// How contents that cannot be read come back.
pub(super) const REFILLED: &str =
    "the next mirror run stores anew what the primary or the standby still has";

/// What reading a segment whole showed.
#[derive(Default)]
struct SegmentProof {
    good: Vec<Lookup>,
    damaged: Vec<Lookup>,
    membership_frames: u64,
    unreadable: u64,
    membership_lost: bool,
    /// There is no file, or nothing in it shows that it is this segment.
    lost: bool,
    beginning_damaged: bool,
    bytes: u64,
    unfinished_bytes: u64,
}

impl Store {
    /// Looks whether a segment is not as our last write left it (size, time of change, inode), and reads
    /// those whole. Costs one look at each file where nothing was touched.
    ///
    /// # Errors
    /// When the index or a file fails, and when the store was opened for reading only.
    pub fn inspect(&mut self, now: i64) -> Result<Inspected, StoreError> {
        let mut inspected = Inspected::default();
        let mut wounds = Vec::new();
        for row in self.index.get_mut().segments()? {
            let stat = Stat::of_path(&super::segment::path(&self.dir, row.number))?;
            if stat == Some(row.stat) || self.has_pending_in(row.number) {
                continue;
            }
            inspected.changed_segments.push(row.number);
            let (_, wound) = self.prove(row, now, &mut |_| {})?;
            wounds.extend(wound);
        }
        let (mended, _) = self.mend(wounds)?;
        inspected.mended = mended;
        inspected.damaged = self.damaged()?;
        Ok(inspected)
    }

    /// Reads contents back, the oldest proof first.
    ///
    /// # Errors
    /// When the index or a file fails; damage is no error.
    pub fn verify(&mut self, read_back: ReadBack, now: i64) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        self.index.get_mut().mind_clock(now)?;
        let mut left = read_back.budget_bytes;
        // What is proved now must not come round again.
        let before = read_back.before.min(now);
        while left > 0 {
            let due = self.index.get_mut().due(before, VERIFY_BATCH)?;
            if due.is_empty() {
                break;
            }
            let (mut good, mut damaged) = (Vec::new(), Vec::new());
            for due in due {
                let id = self.index.get_mut().due_id(&due)?;
                match self.prove_place(&due.place)? {
                    Ok(found) if found == id => {
                        good.push(due.lookup);
                        verified.messages += 1;
                        verified.bytes += due.place.raw_len;
                    }
                    _ => {
                        damaged.push(due.lookup);
                        verified.damaged.push(id);
                    }
                }
                left = left.saturating_sub(due.place.raw_len.max(1));
                if left == 0 {
                    break;
                }
            }
            self.index.get_mut().mark(&good, &damaged, now)?;
        }
        verified.oldest_proof = self.oldest_proof()?;
        Ok(verified)
    }

    /// The oldest of the last proofs among all contents that are not damaged, seconds since 1970; `None` while
    /// one was never proved, and for an empty store.
    ///
    /// # Errors
    /// When the index fails.
    pub fn oldest_proof(&mut self) -> Result<Option<i64>, StoreError> {
        Ok(self.index.get_mut().oldest_proof()?.filter(|at| *at > 0))
    }

    /// Reads and proves every octet, after a [`Self::commit`]. `progress` is told octets done and octets in
    /// all.
    ///
    /// # Errors
    /// When the index or a file fails; damage is no error.
    pub fn check(
        &mut self,
        now: i64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<CheckReport, StoreError> {
        self.commit()?;
        self.index.get_mut().is_whole()?;
        let noted: HashSet<ContentId> = self.damaged()?.into_iter().collect();
        let mut report = CheckReport::default();
        let rows = self.index.get_mut().segments()?;
        let known: HashSet<u32> = rows.iter().map(|row| row.number).collect();
        let total = rows
            .iter()
            .map(|row| row.covered)
            .fold(0, u64::saturating_add);
        let mut done: u64 = 0;
        let mut wounds = Vec::new();
        for row in rows {
            let (proof, wound) = self.prove(row, now, &mut |at| {
                progress(done.saturating_add(at), total);
            })?;
            wounds.extend(wound);
            done = done.saturating_add(row.covered);
            report.segments += u64::from(!proof.lost);
            report.bytes += proof.bytes;
            report.contents += u64::try_from(proof.good.len()).unwrap_or_default();
            report.membership_frames += proof.membership_frames;
            report.unreadable += proof.unreadable;
            report.unfinished_bytes += proof.unfinished_bytes;
            if !proof.lost {
                report.torn_bytes += unsigned(row.stat.size).saturating_sub(row.covered);
            }
        }
        progress(total, total);
        (report.mended, report.lost_segments) = self.mend(wounds)?;
        let damaged: BTreeSet<ContentId> = self.damaged()?.into_iter().collect();
        let needed = self.index.get_mut().needed(&damaged)?;
        let missed = |id: &ContentId| needed.contains(id) || !noted.contains(id);
        (report.damaged, report.lost) = damaged.into_iter().partition(missed);
        let index = self.index.get_mut();
        let lost = report.lost.iter().map(|id| index.content_lookup(id));
        let lost: HashSet<Lookup> = lost.collect();
        let mut segments = Vec::new();
        for number in std::mem::take(&mut report.lost_segments) {
            let held = self.index.get_mut().contents_in(number)?;
            if held.is_empty() || held.iter().any(|(held, _)| !lost.contains(held)) {
                segments.push(number);
            }
        }
        report.lost_segments = segments;
        let store_id = self.index.get_mut().store_id;
        for number in super::segment::list(&self.dir)? {
            if known.contains(&number) || self.open_segment(number)?.is_ok() {
                continue;
            }
            match Stray::at(&self.dir, number, store_id)? {
                Some(stray) => report.strays.push(stray),
                None => report.headless_segments.push(number),
            }
        }
        report.messages = self.index.get_mut().counts()?.live;
        Ok(report)
    }

    /// Reads a segment whole, and notes in the index which of its contents are good.
    fn prove(
        &mut self,
        row: SegmentRow,
        now: i64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(SegmentProof, Option<Wound>), StoreError> {
        let mut proof = SegmentProof::default();
        let rows = self.index.get_mut().contents_in(row.number)?;
        self.readers.get_mut().remove(&row.number);
        let stat = Stat::of_path(&super::segment::path(&self.dir, row.number))?;
        let (good, salt) = self.read_whole(&row, &rows, &mut proof, progress)?;
        let row = SegmentRow {
            salt: salt.or(row.salt),
            ..row
        };
        for (lookup, place) in &rows {
            if good.get(&place.offset) == Some(lookup) {
                proof.good.push(*lookup);
            } else {
                proof.damaged.push(*lookup);
            }
        }
        self.index
            .get_mut()
            .mark(&proof.good, &proof.damaged, now)?;
        let wounded = proof.lost || proof.membership_lost || proof.beginning_damaged;
        // A segment that was touched is left as it is; what comes goes into a new one.
        if let Some(writer) = self.writer.as_mut()
            && let Some(current) = &writer.current
            && current.segment.number == row.number
            && (wounded || !proof.damaged.is_empty() || stat != Some(current.stat))
        {
            writer.current = None;
        }
        let wound = wounded.then_some(Wound {
            row,
            stat,
            membership_lost: proof.membership_lost,
            beginning_damaged: proof.beginning_damaged,
            lost: proof.lost,
        });
        // What has to be mended is not noted as seen before that is done.
        if let (None, Some(stat)) = (&wound, stat) {
            self.index
                .get_mut()
                .put_segment(SegmentRow { stat, ..row })?;
        }
        Ok((proof, wound))
    }

    /// Goes through the frames; gives each readable message's place and lookup, and the segment's salt.
    fn read_whole(
        &mut self,
        row: &SegmentRow,
        rows: &[(Lookup, super::index::Place)],
        proof: &mut SegmentProof,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(HashMap<u64, Lookup>, Option<Salt>), StoreError> {
        let mut good = HashMap::new();
        let Ok(segment) = self.open_segment(row.number)? else {
            proof.lost = true;
            proof.membership_lost = row.covered > FIRST_FRAME;
            return Ok((good, None));
        };
        let mut opened: u64 = 0;
        let mut known = None;
        let mut large = Followed::default();
        let mut scan = Scan::new(&segment, FIRST_FRAME, row.covered);
        let mut buffer = Vec::new();
        let opener = self.opener.get_mut();
        let index = self.index.get_mut();
        while let Some(found) = scan.next()? {
            let header = match found {
                Found::Gap { from, to } => {
                    proof.unreadable += 1;
                    let frames = match &known {
                        Some(frames) => frames,
                        None => known.insert(known_frames(&segment, rows)?),
                    };
                    proof.membership_lost |= !frames_fill(frames, from, to);
                    continue;
                }
                Found::Frame(header) => header,
            };
            let read = match segment.read_sealed(&header, &mut buffer)? {
                Ok(()) => frame::open(&segment.cipher, &header, &mut buffer),
                Err(detail) => Err(detail),
            };
            let proved = read.and_then(|plaintext| match header.kind {
                Kind::Message => {
                    let message = frame::message_parts(plaintext)?;
                    opener.message(&message)?;
                    good.insert(header.offset, index.content_lookup(&message.id));
                    Ok(())
                }
                Kind::Piece => {
                    let piece = SealedPiece::of(plaintext)?;
                    let octets = opener.piece(&piece)?;
                    large.piece(&header, &piece, &octets);
                    Ok(())
                }
                Kind::Closing => {
                    let closing = Closing::decode(plaintext)?;
                    if large.is_whole(&closing) {
                        good.insert(header.offset, index.content_lookup(&closing.id));
                    }
                    Ok(())
                }
                Kind::Membership => {
                    super::event::decode_batch(&opener.membership(plaintext)?)?;
                    proof.membership_frames += 1;
                    Ok(())
                }
                Kind::Unknown(_) => Ok(()),
            });
            if proved.is_err() {
                proof.unreadable += 1;
                proof.membership_lost |= matches!(header.kind, Kind::Membership | Kind::Unknown(_));
            } else {
                opened += 1;
            }
            proof.bytes += header.end() - header.offset;
            progress(header.end());
        }
        proof.unfinished_bytes = large.unfinished_bytes();
        if segment.proved || opened > 0 {
            proof.beginning_damaged = !segment.has_whole_beginning(&self.key)?;
            proof.bytes += FIRST_FRAME;
        } else {
            proof.lost = true;
        }
        Ok((good, Some(segment.salt)))
    }

    fn has_pending_in(&self, number: u32) -> bool {
        self.writer
            .as_ref()
            .and_then(|writer| writer.current.as_ref())
            .is_some_and(|current| {
                current.segment.number == number && current.end > current.committed
            })
    }
}

/// The frames in a segment that known contents lie in, as far as they can be told, by place.
fn known_frames(
    segment: &Segment,
    rows: &[(Lookup, super::index::Place)],
) -> Result<Vec<PiecePlace>, StoreError> {
    let mut frames = Vec::with_capacity(rows.len());
    for (_, place) in rows {
        let Ok(sealed_len) = u32::try_from(place.sealed_len) else {
            continue;
        };
        let frame = PiecePlace {
            offset: place.offset,
            sealed_len,
        };
        frames.push(frame);
        if place.stored_len > frame.stored_len()
            && let Ok(closing) = segment.closing_at(frame)?
        {
            frames.extend(closing.pieces);
        }
    }
    frames.sort_unstable_by_key(|frame| frame.offset);
    Ok(frames)
}

/// Whether frames of known contents fill a run of octets, so that no other frame can have been there.
fn frames_fill(frames: &[PiecePlace], from: u64, to: u64) -> bool {
    let mut at = from;
    for frame in frames {
        if frame.offset == at && at < to {
            at = frame.end();
        }
    }
    at == to
}
