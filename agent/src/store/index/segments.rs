//! What the index knows of each segment.

use diesel::prelude::*;

use super::super::error::{StoreError, sql};
use super::super::segment::{Stat, signed, unsigned};
use super::Index;

diesel::table! {
    segments (number) {
        number -> BigInt,
        covered -> BigInt,
        size -> BigInt,
        mtime_ns -> BigInt,
        inode -> BigInt,
        healed -> Bool,
        salt -> Nullable<Binary>,
    }
}

/// The salt of a segment's header.
pub(crate) type Salt = [u8; 32];

/// What the index knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub(crate) number: u32,
    /// The end of the last frame that the index holds.
    pub(crate) covered: u64,
    /// What the file was after our last write.
    pub(crate) stat: Stat,
    /// Its membership has been written anew behind it and is not needed any more.
    pub(crate) healed: bool,
    /// The salt of its header, so that a damaged one can be written back; `None` from an older version.
    pub(crate) salt: Option<Salt>,
}

impl Index {
    /// All segments that the index knows, ascending.
    pub(crate) fn segments(&mut self) -> Result<Vec<SegmentRow>, StoreError> {
        type Row = (i64, i64, i64, i64, i64, bool, Option<Vec<u8>>);
        let rows: Vec<Row> = segments::table
            .order(segments::number)
            .load(&mut self.connection)
            .map_err(sql("reading the segments from"))?;
        rows.into_iter()
            .map(|(number, covered, size, mtime_ns, inode, healed, salt)| {
                Ok(SegmentRow {
                    number: u32::try_from(number).map_err(|_| StoreError::IndexDamaged {
                        detail: "a segment's number is none",
                    })?,
                    covered: unsigned(covered),
                    stat: Stat {
                        size,
                        mtime_ns,
                        inode,
                    },
                    healed,
                    salt: salt.and_then(|salt| salt.try_into().ok()),
                })
            })
            .collect()
    }

    /// The salt of a segment's header, where it is known.
    pub(crate) fn salt(&mut self, number: u32) -> Result<Option<Salt>, StoreError> {
        let salt: Option<Option<Vec<u8>>> = segments::table
            .find(i64::from(number))
            .select(segments::salt)
            .get_result(&mut self.connection)
            .optional()
            .map_err(sql("reading the segments from"))?;
        Ok(salt.flatten().and_then(|salt| salt.try_into().ok()))
    }

    /// Forgets a segment.
    pub(crate) fn forget_segment(&mut self, number: u32) -> Result<(), StoreError> {
        self.transaction("removing a segment from", |index| {
            diesel::delete(segments::table.find(i64::from(number)))
                .execute(&mut index.connection)
                .map_err(sql("removing a segment from"))?;
            Ok(())
        })
    }

    pub(crate) fn put_segment(&mut self, row: SegmentRow) -> Result<(), StoreError> {
        self.transaction("writing a segment to", |index| index.write_segment(row))
    }

    /// As [`Self::put_segment`], within a transaction.
    pub(super) fn write_segment(&mut self, row: SegmentRow) -> Result<(), StoreError> {
        diesel::replace_into(segments::table)
            .values((
                segments::number.eq(i64::from(row.number)),
                segments::covered.eq(signed(row.covered)),
                segments::size.eq(row.stat.size),
                segments::mtime_ns.eq(row.stat.mtime_ns),
                segments::inode.eq(row.stat.inode),
                segments::healed.eq(row.healed),
                segments::salt.eq(row.salt.map(Vec::from)),
            ))
            .execute(&mut self.connection)
            .map_err(sql("writing a segment to"))?;
        Ok(())
    }
}
