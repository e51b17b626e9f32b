//! Making the index anew from the segments, and keeping what the present one alone knows.
//!
//! The segments are the truth, so where they can all be read nothing else is asked. Where one is lost, cut or
//! damaged, the present index still says what was in it: what it says of members is written to the segments
//! again, before the new index takes its place, so that nothing known is forgotten. Octets come back from the
//! mail servers; that they are missing the new index knows from the members.

use std::collections::BTreeSet;
use std::path::Path;

use super::SEGMENT_BYTES;
use super::error::{StoreError, io};
use super::frame::{FIRST_FRAME, Sealer};
use super::index::{self, Index, SegmentRow};
use super::key::StoreKey;
use super::opener;
use super::recover::{
    IndexState, Recovery, catch_up, expect_store, identify, index_path, lock, next_number,
    open_own, replay,
};
use super::segment::{self, Stat};
use super::write::Current;

/// Members compared, and written anew with one commit.
const KEPT_BATCH: i64 = 4096;

/// Makes the index of a store anew from its segments, and puts it in the old one's place. What is lost from the
/// segments and the old one knows is written to the segments again.
/// `progress` is told octets done and octets in all.
///
/// # Errors
/// When the store is in use or absent, the key is not its key, or a file cannot be read or written.
pub fn rebuild_index(
    dir: &Path,
    key: &StoreKey,
    mut progress: impl FnMut(u64, u64),
) -> Result<Recovery, StoreError> {
    expect_store(dir)?;
    let _lock = lock(dir)?;
    let numbers = segment::list(dir)?;
    let store_id = match identify(dir, &numbers, key)? {
        Some(id) => id,
        None => match Index::open(&index_path(dir), key, None, false)? {
            Ok(old) => old.store_id,
            Err(_) => {
                return Err(StoreError::Unreadable {
                    dir: dir.to_owned(),
                });
            }
        },
    };
    rebuild(dir, key, store_id, &numbers, &mut progress).map_err(|error| error.in_folder(dir))
}

/// As [`rebuild_index`], of a locked store.
pub(super) fn rebuild(
    dir: &Path,
    key: &StoreKey,
    store_id: [u8; 16],
    numbers: &[u32],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Recovery, StoreError> {
    let mut recovery = Recovery {
        index: IndexState::Rebuilt,
        ..Recovery::default()
    };
    let mut old = Index::open(&index_path(dir), key, Some(store_id), true)?.ok();
    let known = old.as_mut().and_then(|old| old.segments().ok());
    let temporary = dir.join("index.sqlite.new");
    let mut index = Index::create(&temporary, key, store_id)?;
    let rows = known.as_deref().unwrap_or_default();
    take_segments(dir, key, numbers, rows, &mut index, &mut recovery, progress)?;
    recovery.sort_out_strays(dir, store_id)?;
    let numbers = recovery.without_strays(numbers);
    recovery.compare(&numbers, known.as_deref());
    if let (Some(old), Some(rows), false) = (&mut old, &known, recovery.is_whole()) {
        let number = next_number(&recovery, &numbers, rows);
        match keep(dir, key, &numbers, old, &mut index, number) {
            Ok(kept) => recovery.kept_members = kept,
            Err(error) if error.index_damaged() => {
                tracing::warn!(%error, "what the old index alone knows cannot be kept");
            }
            Err(error) => return Err(error),
        }
    }
    let missing: BTreeSet<_> = index.damaged()?.into_iter().collect();
    let needed = index.needed(&missing)?.len();
    recovery.missing_contents = u64::try_from(needed).unwrap_or(u64::MAX);
    recovery.missing_of_vanished =
        u64::try_from(missing.len().saturating_sub(needed)).unwrap_or(u64::MAX);
    drop(old);
    index::finish(index, &temporary, &index_path(dir))?;
    Ok(recovery)
}

/// Takes all segments into an empty index. `known` is what the old one knows of them.
fn take_segments(
    dir: &Path,
    key: &StoreKey,
    numbers: &[u32],
    known: &[SegmentRow],
    index: &mut Index,
    recovery: &mut Recovery,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), StoreError> {
    let mut total: u64 = 0;
    for number in numbers {
        if let Some(stat) = Stat::of_path(&segment::path(dir, *number))? {
            total = total.saturating_add(segment::unsigned(stat.size));
        }
    }
    let mut done: u64 = 0;
    let mut opener = opener()?;
    for number in numbers {
        let known = known.iter().find(|row| row.number == *number);
        let salt = known.and_then(|row| row.salt);
        let Some(segment) = open_own(dir, *number, key, index.store_id, salt)? else {
            recovery.headless_segments.push(*number);
            continue;
        };
        segment
            .file
            .sync_all()
            .map_err(io("making durable", &segment.path))?;
        let stat = segment.stat()?;
        let start = SegmentRow {
            number: *number,
            covered: FIRST_FRAME,
            stat,
            healed: false,
            salt: Some(segment.salt),
        };
        let mut replayed = replay(index, &segment, start, &mut opener, &mut |at| {
            progress(done.saturating_add(at), total);
        })?;
        done = done.saturating_add(segment::unsigned(stat.size));
        if !segment.proved && replayed.frames == 0 {
            index.forget_segment(*number)?;
            recovery.headless_segments.push(*number);
            continue;
        }
        let mut row = replayed.row;
        if let Some(known) = known.filter(|known| known.covered > row.covered) {
            // What lies there was committed once. What was mended is not said again.
            replayed.torn_bytes = 0;
            if !known.healed {
                recovery.cut_segments.push(*number);
            }
        }
        if !segment.has_whole_beginning(key)? {
            row.stat = match segment.restore_beginning(key) {
                Ok(()) => {
                    recovery.restored_headers.push(*number);
                    segment.stat()?
                }
                Err(error) => {
                    tracing::warn!(segment = number, %error, "a damaged header cannot be written back");
                    // The next inspection shall copy what the segment holds.
                    Stat::default()
                }
            };
        }
        index.put_segment(row)?;
        recovery.add(&replayed);
    }
    Ok(())
}

impl Recovery {
    /// Names what the row of segments lacks, by what the old index knows of them; `None` where it cannot be read.
    fn compare(&mut self, numbers: &[u32], known: Option<&[SegmentRow]>) {
        let rows = known.unwrap_or_default().iter().map(|row| row.number);
        let rows: BTreeSet<u32> = rows.collect();
        let highest = numbers.last().max(rows.last()).copied().unwrap_or_default();
        for number in (1..=highest).filter(|number| numbers.binary_search(number).is_err()) {
            let lacks = match known {
                None => &mut self.gaps,
                Some(_) if rows.contains(&number) => &mut self.lost_segments,
                Some(_) => &mut self.forgotten_segments,
            };
            lacks.push(number);
        }
    }
}

/// Writes what the old index says of members, and the new one does not, to segments from `number` on and into the
/// new one. Gives how many members that were. Where it fails the old index stays, and the next opening takes up what
/// was written.
fn keep(
    dir: &Path,
    key: &StoreKey,
    numbers: &[u32],
    old: &mut Index,
    new: &mut Index,
    mut number: u32,
) -> Result<u64, StoreError> {
    old.is_whole()?;
    // What the segments say later counts. A segment that was put back before those that it knows is not later.
    let rows = old.segments()?;
    let last = rows.last().map_or(0, |row| row.number);
    let known = |number: u32| rows.binary_search_by_key(&number, |row| row.number).is_ok();
    let numbers = numbers.iter().copied();
    let numbers: Vec<u32> = numbers.filter(|n| *n > last || known(*n)).collect();
    catch_up(dir, key, &numbers, old, &mut Recovery::default())?;
    let mut sealer = Sealer::new()?;
    let mut buffer = Vec::new();
    let mut current: Option<Current> = None;
    let mut kept = 0;
    let mut after = i64::MIN;
    loop {
        let members = old.members_after(after, KEPT_BATCH)?;
        let Some((last, _)) = members.last() else {
            return Ok(kept);
        };
        after = *last;
        let mut events = Vec::new();
        for (_, state) in members {
            if new.state(&state.member.member)?.as_ref() != Some(&state) {
                kept += 1;
                events.extend(state.events());
            }
        }
        if events.is_empty() {
            continue;
        }
        let mut segment = match current.take() {
            Some(segment) if segment.end < SEGMENT_BYTES => segment,
            _ => {
                number = number.saturating_add(1);
                Current::begin(dir, number.saturating_sub(1), new.store_id, key)?
            }
        };
        segment.append_events(&events, &mut sealer, &mut buffer)?;
        new.apply(&[], &events, segment.settle()?)?;
        current = Some(segment);
    }
}
