//! Mending what a proof found damaged or lost, as far as the store can do that by itself: a header is written
//! back, membership is written anew from the index, and a segment that cannot be mended is copied. Contents
//! that are lost come back from the mail server.

use super::Store;
use super::error::StoreError;
use super::index::SegmentRow;
use super::segment::Stat;

/// Members written anew with one commit.
const HEAL_BATCH: i64 = 4096;
/// Octets of mail copied to another segment with one commit.
const COPY_BATCH: u64 = 32 << 20;

/// What was found damaged or lost and could be mended without the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Mended {
    /// Membership could not be read; what it said was written anew from the index.
    pub membership_rewritten: bool,
    /// Segments whose header, or the zeros behind it, was damaged and was written back.
    pub restored_headers: Vec<u32>,
    /// Segments whose header could not be written back: what they hold was copied to another segment.
    pub copied_segments: Vec<u32>,
    /// Segments whose files are gone and which held nothing any more that is not stored elsewhere.
    pub forgotten_segments: Vec<u32>,
}

impl Mended {
    /// Whether there was nothing to mend. A segment that is forgotten was mended before.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.membership_rewritten
            && self.restored_headers.is_empty()
            && self.copied_segments.is_empty()
    }
}

/// A segment that has to be mended.
pub(super) struct Wound {
    pub(super) row: SegmentRow,
    /// What the file was before it was read; `None` where there is none.
    pub(super) stat: Option<Stat>,
    pub(super) membership_lost: bool,
    pub(super) beginning_damaged: bool,
    pub(super) lost: bool,
}

impl Store {
    /// Mends what can be mended without the source. Gives what was done, and the segments that are lost.
    /// Repeating it after a failure does what is left.
    pub(super) fn mend(&mut self, wounds: Vec<Wound>) -> Result<(Mended, Vec<u32>), StoreError> {
        let mut mended = Mended::default();
        let mut lost = Vec::new();
        let mut open = Vec::new();
        for mut wound in wounds {
            let number = wound.row.number;
            let needed = !wound.row.healed || self.index.get_mut().refers_to(number)?;
            if wound.beginning_damaged && needed {
                match self.restore_beginning(&mut wound) {
                    Ok(()) => mended.restored_headers.push(number),
                    Err(error) => {
                        tracing::warn!(
                            segment = number,
                            %error,
                            "the header of a segment of the store is damaged and cannot be written back; what the segment holds is copied"
                        );
                        self.copy_out(number)?;
                        wound.membership_lost = true;
                        mended.copied_segments.push(number);
                    }
                }
            }
            open.push(wound);
        }
        if open
            .iter()
            .any(|wound| wound.membership_lost && !wound.row.healed)
        {
            self.rewrite_membership()?;
            mended.membership_rewritten = true;
        }
        for wound in open {
            let number = wound.row.number;
            let referred = self.index.get_mut().refers_to(number)?;
            if wound.lost && referred {
                lost.push(number);
            }
            if wound.stat.is_none() && !referred {
                self.index.get_mut().forget_segment(number)?;
                mended.forgotten_segments.push(number);
                continue;
            }
            self.index.get_mut().put_segment(SegmentRow {
                stat: wound.stat.unwrap_or(wound.row.stat),
                healed: wound.row.healed || wound.membership_lost,
                ..wound.row
            })?;
        }
        if !mended.is_nothing() {
            tracing::warn!(
                membership_rewritten = mended.membership_rewritten,
                restored_headers = ?mended.restored_headers,
                copied_segments = ?mended.copied_segments,
                "the store was damaged and has been mended"
            );
        }
        Ok((mended, lost))
    }

    /// Writes a damaged header back.
    fn restore_beginning(&self, wound: &mut Wound) -> Result<(), StoreError> {
        let number = wound.row.number;
        let path = super::segment::path(&self.dir, number);
        let untouched = Stat::of_path(&path)? == wound.stat;
        let Ok(segment) = self.open_segment(number)? else {
            return Err(StoreError::Halted { path });
        };
        segment.restore_beginning(&self.key)?;
        if untouched {
            wound.stat = Some(segment.stat()?);
        }
        Ok(())
    }

    /// Puts every readable content of a segment again, behind everything else.
    fn copy_out(&mut self, number: u32) -> Result<(), StoreError> {
        let mut gathered: u64 = 0;
        for (lookup, place) in self.index.get_mut().contents_in(number)? {
            let Ok(mut reading) = self.read_place(&place)? else {
                continue;
            };
            if self.index.get_mut().content_lookup(&reading.id) != lookup {
                continue;
            }
            let mut large = self.begin_large();
            let whole = loop {
                match reading.next(self)? {
                    Ok(Some(piece)) => large.write(self, &piece)?,
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            if !whole {
                large.abandon(self)?;
                continue;
            }
            large.finish_again(self)?;
            gathered = gathered.saturating_add(place.raw_len);
            if gathered >= COPY_BATCH {
                self.commit()?;
                gathered = 0;
            }
        }
        self.commit()
    }

    /// Writes the whole membership anew behind everything, so that the segments alone say it again.
    fn rewrite_membership(&mut self) -> Result<(), StoreError> {
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
}
