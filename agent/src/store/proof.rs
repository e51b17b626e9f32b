//! Proving that the store can still be read: at each Tx what somebody else has touched, day by day a share
//! of the rest, and on demand everything.

use std::collections::HashMap;

use super::error::StoreError;
use super::frame::{self, FIRST_FRAME, Kind};
use super::index::{Lookup, SegmentRow};
use super::segment::{Found, Scan, Stat, unsigned};
use super::{ContentId, Store};

/// Contents read between two notes of what was proved.
const VERIFY_BATCH: i64 = 512;
/// Members written anew with one commit.
const HEAL_BATCH: i64 = 4096;

/// What [`Store::inspect`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Segments that were not as we left them, and were read whole.
    pub changed_segments: Vec<u32>,
    /// All contents that cannot be read now, found this time or before.
    pub damaged: Vec<ContentId>,
    /// Membership frames could not be read; what they said was written anew from the index.
    pub membership_rewritten: bool,
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
    /// Contents read and found right.
    pub messages: u64,
    /// Membership frames read and found right.
    pub membership_frames: u64,
    /// Frames, or runs of octets between frames, that cannot be read.
    pub unreadable: u64,
    /// Octets at ends of segments that are no whole frame: what a crash left.
    pub torn_bytes: u64,
    /// Numbers of segments that are gone or have no readable header.
    pub lost_segments: Vec<u32>,
    /// Contents that cannot be read.
    pub damaged: Vec<ContentId>,
    /// Membership frames could not be read; what they said was written anew from the index.
    pub membership_rewritten: bool,
}

impl CheckReport {
    /// Whether everything that was ever committed can be read.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.damaged.is_empty() && self.unreadable == 0 && self.lost_segments.is_empty()
    }
}

/// What reading a segment whole showed.
#[derive(Default)]
struct SegmentProof {
    good: Vec<Lookup>,
    damaged: Vec<Lookup>,
    membership_frames: u64,
    unreadable: u64,
    membership_lost: bool,
    lost: bool,
    bytes: u64,
}

impl Store {
    /// Looks whether a segment is not as our last write left it (size, time of change, inode), and reads
    /// those whole. Costs one look at each file where nothing was touched.
    ///
    /// # Errors
    /// When the index or a file fails, and when the store was opened for reading only.
    pub fn inspect(&mut self, now: i64) -> Result<Inspected, StoreError> {
        let mut inspected = Inspected::default();
        let mut membership_lost = false;
        for row in self.index.get_mut().segments()? {
            let stat = Stat::of_path(&super::segment::path(&self.dir, row.number))?;
            if stat == Some(row.stat) || self.has_pending_in(row.number) {
                continue;
            }
            inspected.changed_segments.push(row.number);
            let proof = self.prove(row, now, &mut |_| {})?;
            membership_lost |= proof.membership_lost && !row.healed;
        }
        if membership_lost {
            self.rewrite_membership()?;
            inspected.membership_rewritten = true;
        }
        inspected.damaged = self.damaged()?;
        Ok(inspected)
    }

    /// Reads contents back, the oldest proof first.
    ///
    /// # Errors
    /// When the index or a file fails; damage is no error.
    pub fn verify(&mut self, read_back: ReadBack, now: i64) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
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
                match self.read_place(&due.place)? {
                    Ok((found, _)) if found == id => {
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
        verified.oldest_proof = self.index.get_mut().oldest_proof()?.filter(|at| *at > 0);
        Ok(verified)
    }

    /// Reads and proves every frame. `progress` is told octets done and octets in all.
    ///
    /// # Errors
    /// When the index or a file fails; damage is no error.
    pub fn check(
        &mut self,
        now: i64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        let rows = self.index.get_mut().segments()?;
        let total = rows
            .iter()
            .map(|row| row.covered)
            .fold(0, u64::saturating_add);
        let mut done: u64 = 0;
        let mut membership_lost = false;
        for row in rows {
            let proof = self.prove(row, now, &mut |at| {
                progress(done.saturating_add(at), total);
            })?;
            done = done.saturating_add(row.covered);
            report.segments += 1;
            report.bytes += proof.bytes;
            report.messages += u64::try_from(proof.good.len()).unwrap_or_default();
            report.membership_frames += proof.membership_frames;
            report.unreadable += proof.unreadable;
            report.torn_bytes += unsigned(row.stat.size).saturating_sub(row.covered);
            if proof.lost {
                report.lost_segments.push(row.number);
            }
            membership_lost |= proof.membership_lost && !row.healed;
        }
        progress(total, total);
        if membership_lost {
            self.rewrite_membership()?;
            report.membership_rewritten = true;
        }
        report.damaged = self.damaged()?;
        Ok(report)
    }

    /// Reads a segment whole, and notes in the index which of its contents are good.
    fn prove(
        &mut self,
        row: SegmentRow,
        now: i64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<SegmentProof, StoreError> {
        let mut proof = SegmentProof::default();
        let rows = self.index.get_mut().contents_in(row.number)?;
        self.readers.get_mut().remove(&row.number);
        let before = Stat::of_path(&super::segment::path(&self.dir, row.number))?;
        let good = self.read_whole(&row, &rows, &mut proof, progress)?;
        for (lookup, place) in &rows {
            if good.get(&place.offset) == Some(lookup) {
                proof.good.push(*lookup);
            } else {
                proof.damaged.push(*lookup);
            }
        }
        let index = self.index.get_mut();
        index.mark(&proof.good, &proof.damaged, now)?;
        if let Some(stat) = before {
            let clean = proof.damaged.is_empty() && !proof.membership_lost;
            index.put_segment(SegmentRow {
                stat,
                healed: row.healed || proof.membership_lost,
                ..row
            })?;
            // A segment that was touched is left as it is; what comes goes into a new one.
            if let Some(writer) = self.writer.as_mut()
                && let Some(current) = &writer.current
                && current.segment.number == row.number
                && current.end == current.committed
                && !(clean && stat == current.stat)
            {
                writer.current = None;
            }
        }
        Ok(proof)
    }

    /// Goes through the frames; gives each readable message's place and lookup.
    fn read_whole(
        &mut self,
        row: &SegmentRow,
        rows: &[(Lookup, super::index::Place)],
        proof: &mut SegmentProof,
        progress: &mut dyn FnMut(u64),
    ) -> Result<HashMap<u64, Lookup>, StoreError> {
        let mut good = HashMap::new();
        let Ok(segment) = self.open_segment(row.number)? else {
            proof.lost = true;
            proof.membership_lost = row.covered > FIRST_FRAME;
            return Ok(good);
        };
        let mut scan = Scan::new(&segment, FIRST_FRAME, row.covered);
        let mut buffer = Vec::new();
        let opener = self.opener.get_mut();
        let index = self.index.get_mut();
        while let Some(found) = scan.next()? {
            let header = match found {
                Found::Gap { from, to } => {
                    proof.unreadable += 1;
                    proof.membership_lost |= !messages_fill(rows, from, to);
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
                Kind::Membership => {
                    super::event::decode_batch(&opener.membership(plaintext)?)?;
                    proof.membership_frames += 1;
                    Ok(())
                }
                Kind::Unknown(_) => Ok(()),
            });
            if proved.is_err() {
                proof.unreadable += 1;
                proof.membership_lost |= header.kind != Kind::Message;
            }
            proof.bytes += header.end() - header.offset;
            progress(header.end());
        }
        Ok(good)
    }

    /// Writes the whole membership anew behind everything, so that the segments alone say it again.
    fn rewrite_membership(&mut self) -> Result<(), StoreError> {
        tracing::warn!("membership frames of the store are damaged; they are written anew");
        let mut after = i64::MIN;
        loop {
            let members = self.index.get_mut().members_after(after, HEAL_BATCH)?;
            let Some((last, _)) = members.last() else {
                return Ok(());
            };
            after = *last;
            for (_, state) in members {
                for event in state.events() {
                    self.record(event)?;
                }
            }
            self.commit()?;
        }
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

/// Whether the frames of known messages fill a run of octets, so that no other frame can have been there.
fn messages_fill(rows: &[(Lookup, super::index::Place)], from: u64, to: u64) -> bool {
    let mut at = from;
    for (_, place) in rows {
        if place.offset == at {
            at = at.saturating_add(40).saturating_add(place.sealed_len);
        }
    }
    at == to
}
