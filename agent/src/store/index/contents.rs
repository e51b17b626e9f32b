//! Where each content lies, when it was last proved, and what all of them come to.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::super::ContentId;
use super::super::error::{StoreError, sql};
use super::super::event::Event;
use super::super::segment::{signed, unsigned};
use super::{Index, Lookup, ROWS, to_lookup};

/// `verified_at` of a content that was not read back since it was written.
const NEVER: i64 = 0;
/// `verified_at` of a content that cannot be read.
const DAMAGED: i64 = -1;

diesel::table! {
    contents (lookup) {
        lookup -> Binary,
        segment -> BigInt,
        position -> BigInt,
        sealed_len -> BigInt,
        raw_len -> BigInt,
        verified_at -> BigInt,
        sealed -> Binary,
        stored_len -> BigInt,
    }
}

diesel::table! {
    totals (id) {
        id -> Integer,
        contents -> BigInt,
        damaged -> BigInt,
        raw_bytes -> BigInt,
        stored_bytes -> BigInt,
        live -> BigInt,
        tombstones -> BigInt,
    }
}

/// Where a content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// 0 for a content that a member names and no segment has.
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    /// Octets behind the header of its frame, or of the closing frame of what lies in pieces.
    pub(crate) sealed_len: u64,
    pub(crate) raw_len: u64,
    /// Octets of all its frames.
    pub(crate) stored_len: u64,
    pub(crate) damaged: bool,
}

/// A content that was put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewContent {
    pub(crate) id: ContentId,
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    /// Octets behind the header of its frame, or of the closing frame of what lies in pieces.
    pub(crate) sealed_len: u64,
    pub(crate) raw_len: u64,
    /// Octets of all its frames.
    pub(crate) stored_len: u64,
}

/// A content whose proof is due.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) lookup: Lookup,
    pub(crate) place: Place,
    sealed: Vec<u8>,
}

/// Figures of the whole.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) contents: u64,
    pub(crate) damaged: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) live: u64,
    pub(crate) tombstones: u64,
}

#[derive(Insertable)]
#[diesel(table_name = contents, treat_none_as_default_value = false)]
struct ContentRow {
    lookup: Vec<u8>,
    segment: i64,
    position: i64,
    sealed_len: i64,
    raw_len: i64,
    verified_at: i64,
    sealed: Vec<u8>,
    stored_len: i64,
}

impl Index {
    /// Where a content lies.
    pub(crate) fn place(&mut self, id: &ContentId) -> Result<Option<Place>, StoreError> {
        let lookup = self.content_lookup(id);
        // Not `first`: its LIMIT is bound, and SQLite prepares such a statement anew at each use.
        let row: Option<PlaceColumns> = contents::table
            .find(&lookup[..])
            .select(PLACE)
            .get_result(&mut self.connection)
            .optional()
            .map_err(sql("looking up a content in"))?;
        Ok(row.map(place))
    }

    pub(super) fn unseal_content(
        &self,
        lookup: &[u8],
        sealed: &[u8],
    ) -> Result<ContentId, StoreError> {
        let mut buffer = Vec::new();
        let plaintext = Self::unseal(&self.cipher, lookup, sealed, &mut buffer)?;
        ContentId::from_slice(plaintext).ok_or(StoreError::IndexDamaged {
            detail: "a row holds no content id",
        })
    }

    pub(crate) fn due_id(&self, due: &Due) -> Result<ContentId, StoreError> {
        self.unseal_content(&due.lookup, &due.sealed)
    }

    fn content_row(
        &mut self,
        new: &NewContent,
        verified_at: i64,
    ) -> Result<ContentRow, StoreError> {
        let lookup = self.content_lookup(&new.id);
        Ok(ContentRow {
            lookup: lookup.to_vec(),
            segment: i64::from(new.segment),
            position: signed(new.offset),
            sealed_len: signed(new.sealed_len),
            raw_len: signed(new.raw_len),
            verified_at,
            sealed: self.seal(&lookup, new.id.0.to_vec())?,
            stored_len: signed(new.stored_len),
        })
    }

    pub(super) fn put_contents(&mut self, new: &[NewContent]) -> Result<(), StoreError> {
        for chunk in new.chunks(ROWS) {
            let rows = chunk
                .iter()
                .map(|new| self.content_row(new, NEVER))
                .collect::<Result<Vec<_>, _>>()?;
            // An upsert and not a replacement: that would pass the totals' triggers by.
            diesel::insert_into(contents::table)
                .values(&rows)
                .on_conflict(contents::lookup)
                .do_update()
                .set((
                    contents::segment.eq(excluded(contents::segment)),
                    contents::position.eq(excluded(contents::position)),
                    contents::sealed_len.eq(excluded(contents::sealed_len)),
                    contents::raw_len.eq(excluded(contents::raw_len)),
                    contents::verified_at.eq(excluded(contents::verified_at)),
                    contents::sealed.eq(excluded(contents::sealed)),
                    contents::stored_len.eq(excluded(contents::stored_len)),
                ))
                .execute(&mut self.connection)
                .map_err(sql("writing contents to"))?;
        }
        Ok(())
    }

    /// Members may name contents that no segment has (any more): each gets a row that says so. Those that
    /// came with them have one.
    pub(super) fn put_placeholders(
        &mut self,
        new: &[NewContent],
        events: &[Event],
    ) -> Result<(), StoreError> {
        let new: HashSet<ContentId> = new.iter().map(|new| new.id).collect();
        let mut named: HashMap<Lookup, (ContentId, u32)> = HashMap::new();
        for event in events {
            if let Event::Add { content, size, .. } = event
                && !new.contains(content)
            {
                named.insert(self.content_lookup(content), (*content, *size));
            }
        }
        let lookups: Vec<Lookup> = named.keys().copied().collect();
        for chunk in lookups.chunks(256) {
            let known: Vec<Vec<u8>> = contents::table
                .filter(contents::lookup.eq_any(chunk.iter().map(|lookup| &lookup[..])))
                .select(contents::lookup)
                .load(&mut self.connection)
                .map_err(sql("looking up contents in"))?;
            for lookup in known {
                if let Ok(lookup) = Lookup::try_from(lookup.as_slice()) {
                    named.remove(&lookup);
                }
            }
        }
        for (id, size) in named.into_values() {
            let row = self.content_row(
                &NewContent {
                    id,
                    segment: 0,
                    offset: 0,
                    sealed_len: 0,
                    raw_len: u64::from(size),
                    stored_len: 0,
                },
                DAMAGED,
            )?;
            diesel::insert_into(contents::table)
                .values(&row)
                .execute(&mut self.connection)
                .map_err(sql("writing contents to"))?;
        }
        Ok(())
    }

    /// Whether a content is expected in a segment.
    pub(crate) fn refers_to(&mut self, segment: u32) -> Result<bool, StoreError> {
        let one: Option<i64> = contents::table
            .filter(contents::segment.eq(i64::from(segment)))
            .select(contents::segment)
            .first(&mut self.connection)
            .optional()
            .map_err(sql("reading contents from"))?;
        Ok(one.is_some())
    }

    /// The contents that lie in a segment, by place.
    pub(crate) fn contents_in(&mut self, segment: u32) -> Result<Vec<(Lookup, Place)>, StoreError> {
        type Row = (Vec<u8>, PlaceColumns);
        let rows: Vec<Row> = contents::table
            .filter(contents::segment.eq(i64::from(segment)))
            .order(contents::position)
            .select((contents::lookup, PLACE))
            .load(&mut self.connection)
            .map_err(sql("reading contents from"))?;
        rows.into_iter()
            .map(|(lookup, row)| Ok((to_lookup(&lookup)?, place(row))))
            .collect()
    }

    /// Records the outcome of a proof.
    pub(crate) fn mark(
        &mut self,
        good: &[Lookup],
        damaged: &[Lookup],
        now: i64,
    ) -> Result<(), StoreError> {
        self.transaction("recording a proof in", |index| {
            for (lookups, at) in [(good, now.max(1)), (damaged, DAMAGED)] {
                for chunk in lookups.chunks(256) {
                    let rows = contents::table
                        .filter(contents::lookup.eq_any(chunk.iter().map(|lookup| &lookup[..])));
                    diesel::update(rows)
                        .set(contents::verified_at.eq(at))
                        .execute(&mut index.connection)
                        .map_err(sql("recording a proof in"))?;
                }
            }
            Ok(())
        })
    }

    /// Takes proofs of a time to come as of now: a clock that was ahead has noted them.
    pub(crate) fn mind_clock(&mut self, now: i64) -> Result<(), StoreError> {
        diesel::update(contents::table.filter(contents::verified_at.gt(now)))
            .set(contents::verified_at.eq(now.saturating_sub(1)))
            .execute(&mut self.connection)
            .map_err(sql("correcting times in"))?;
        Ok(())
    }

    /// The contents that were last proved before a moment, the oldest proof first.
    pub(crate) fn due(&mut self, before: i64, limit: i64) -> Result<Vec<Due>, StoreError> {
        type Row = (Vec<u8>, PlaceColumns, Vec<u8>);
        let rows: Vec<Row> = contents::table
            .filter(contents::verified_at.ge(NEVER))
            .filter(contents::verified_at.lt(before))
            .order((contents::verified_at, contents::segment, contents::position))
            .limit(limit)
            .select((contents::lookup, PLACE, contents::sealed))
            .load(&mut self.connection)
            .map_err(sql("reading contents from"))?;
        rows.into_iter()
            .map(|(lookup, row, sealed)| {
                Ok(Due {
                    lookup: to_lookup(&lookup)?,
                    place: place(row),
                    sealed,
                })
            })
            .collect()
    }

    /// The oldest proof of all readable contents; 0 for one that was never proved.
    pub(crate) fn oldest_proof(&mut self) -> Result<Option<i64>, StoreError> {
        contents::table
            .filter(contents::verified_at.ge(NEVER))
            .order((contents::verified_at, contents::segment, contents::position))
            .select(contents::verified_at)
            .first(&mut self.connection)
            .optional()
            .map_err(sql("reading contents from"))
    }

    /// The contents that are known to be unreadable.
    pub(crate) fn damaged(&mut self) -> Result<Vec<ContentId>, StoreError> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = contents::table
            .filter(contents::verified_at.eq(DAMAGED))
            .select((contents::lookup, contents::sealed))
            .load(&mut self.connection)
            .map_err(sql("reading contents from"))?;
        let mut ids = rows
            .iter()
            .map(|(lookup, sealed)| self.unseal_content(lookup, sealed))
            .collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// Figures of the whole, as the index keeps them.
    pub(crate) fn counts(&mut self) -> Result<Counts, StoreError> {
        let (contents, damaged, raw_bytes, stored_bytes, live, tombstones) = totals::table
            .select((
                totals::contents,
                totals::damaged,
                totals::raw_bytes,
                totals::stored_bytes,
                totals::live,
                totals::tombstones,
            ))
            .first::<(i64, i64, i64, i64, i64, i64)>(&mut self.connection)
            .map_err(sql("reading the totals of"))?;
        Ok(Counts {
            contents: unsigned(contents),
            damaged: unsigned(damaged),
            raw_bytes: unsigned(raw_bytes),
            stored_bytes: unsigned(stored_bytes),
            live: unsigned(live),
            tombstones: unsigned(tombstones),
        })
    }
}

/// The columns that say where a content lies.
type PlaceColumns = (i64, i64, i64, i64, i64, i64);
const PLACE: (
    contents::segment,
    contents::position,
    contents::sealed_len,
    contents::raw_len,
    contents::stored_len,
    contents::verified_at,
) = (
    contents::segment,
    contents::position,
    contents::sealed_len,
    contents::raw_len,
    contents::stored_len,
    contents::verified_at,
);

fn place((segment, position, sealed_len, raw_len, stored_len, verified_at): PlaceColumns) -> Place {
    Place {
        segment: u32::try_from(segment).unwrap_or_default(),
        offset: unsigned(position),
        sealed_len: unsigned(sealed_len),
        raw_len: unsigned(raw_len),
        stored_len: unsigned(stored_len),
        damaged: verified_at == DAMAGED,
    }
}
