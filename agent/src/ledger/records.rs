//! The plan's records applied, tombstones, and a triangle's own row.

use diesel::dsl::max;
use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::Class;

use super::faults::put_in_quarantine;
use super::messages::{content_of, copy_of, insert_rows, set_copy, set_origin};
use super::schema::{folder, message, quarantine, tombstone, triangle};
use super::{Ledger, NewRow, Result, generation_of, generation_to, unsigned};
use crate::plan::identity::{Flags, InternalDate, LogicalFolder, MemberId};
use crate::plan::mirror::Record;
use crate::plan::view::{FolderId, Origin, Place, Tombstone};
use crate::store::Member;

/// A triangle's own row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TriangleState {
    /// When a mirror run first came to its end.
    pub first_mirror_at: Option<i64>,
    /// Counts failovers and returns.
    pub epoch: u32,
}

pub(super) fn key(place: Place) -> (i64, i32, i64) {
    (
        place.folder.0,
        generation_to(place.generation),
        i64::from(place.uid),
    )
}

fn from_database(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

type LinkTuple = (Option<Vec<u8>>, Option<i64>, Option<i32>, Option<i64>, i32);

/// Hands a row's place in the store and its copy on to another row and deletes it.
fn transfer(db: &mut SqliteConnection, from: Place, to: Place) -> Result<()> {
    // Not `first`: its LIMIT is bound, and SQLite prepares such a statement anew at each use.
    let found: Option<LinkTuple> = message::table
        .find(key(from))
        .select((
            message::member,
            message::copy_folder,
            message::copy_generation,
            message::copy_uid,
            message::put_backs,
        ))
        .get_result(db)
        .optional()?;
    if let Some((member, copy_folder, copy_generation, copy_uid, put_backs)) = found {
        diesel::update(message::table.find(key(to)))
            .set((
                message::member.eq(member),
                message::copy_folder.eq(copy_folder),
                message::copy_generation.eq(copy_generation),
                message::copy_uid.eq(copy_uid),
                message::put_backs.eq(put_backs),
            ))
            .execute(db)?;
        diesel::delete(message::table.find(key(from))).execute(db)?;
        diesel::delete(quarantine::table.find(key(from))).execute(db)?;
    }
    Ok(())
}

type BuriedTuple = (
    Vec<u8>,
    i64,
    i64,
    String,
    Option<Vec<u8>>,
    Option<i64>,
    Option<i32>,
    Option<i64>,
);

/// Writes a source row's tombstone; the row itself stays.
fn bury(
    db: &mut SqliteConnection,
    triangle: &str,
    source: Place,
    copy: Option<Place>,
    left_in: Option<&LogicalFolder>,
    now: i64,
    epoch: u32,
) -> Result<()> {
    let found: Option<BuriedTuple> = message::table
        .find(key(source))
        .select((
            message::content,
            message::size,
            message::date,
            message::flags,
            message::member,
            message::copy_folder,
            message::copy_generation,
            message::copy_uid,
        ))
        .get_result(db)
        .optional()?;
    let Some((content, size, date, flags, member, copy_folder, copy_generation, copy_uid)) = found
    else {
        return Ok(());
    };
    let logical: String = match left_in {
        Some(folder) => folder.as_str().to_owned(),
        None => folder::table
            .find(source.folder.0)
            .select(folder::logical)
            .get_result(db)?,
    };
    let copy = match copy {
        Some(copy) => Some(copy),
        None => copy_of(copy_folder, copy_generation, copy_uid)?,
    };
    diesel::insert_into(tombstone::table)
        .values((
            tombstone::triangle.eq(triangle),
            tombstone::logical.eq(logical),
            tombstone::content.eq(content),
            tombstone::size.eq(size),
            tombstone::date.eq(date),
            tombstone::flags.eq(flags),
            tombstone::member.eq(member.unwrap_or_default()),
            tombstone::copy_folder.eq(copy.map(|c| c.folder.0)),
            tombstone::copy_generation.eq(copy.map(|c| generation_to(c.generation))),
            tombstone::copy_uid.eq(copy.map(|c| i64::from(c.uid))),
            tombstone::moved.eq(left_in.is_some()),
            tombstone::vanished_at.eq(now),
            tombstone::epoch.eq(generation_to(epoch)),
        ))
        .execute(db)?;
    Ok(())
}

fn apply_one(
    db: &mut SqliteConnection,
    triangle: &str,
    record: &Record,
    now: i64,
    epoch: u32,
) -> Result<()> {
    match record {
        Record::SourceAgain { from, to } | Record::Moved { from, to, .. } => {
            transfer(db, *from, *to)?
        }
        Record::TargetAgain { source, from, to } => {
            set_copy(db, *source, Some(*to))?;
            let origin: Option<i32> = message::table
                .find(key(*from))
                .select(message::origin)
                .get_result(db)
                .optional()?;
            if let Some(origin) = origin {
                diesel::update(message::table.find(key(*to)))
                    .set(message::origin.eq(origin))
                    .execute(db)?;
            }
            diesel::delete(message::table.find(key(*from))).execute(db)?;
        }
        Record::TombstoneAgain {
            tombstone,
            from,
            to,
        } => {
            diesel::update(tombstone::table.find(tombstone))
                .set((
                    tombstone::copy_folder.eq(to.folder.0),
                    tombstone::copy_generation.eq(generation_to(to.generation)),
                    tombstone::copy_uid.eq(i64::from(to.uid)),
                ))
                .execute(db)?;
            diesel::delete(message::table.find(key(*from))).execute(db)?;
        }
        Record::Adopt { source, copy } => {
            set_copy(db, *source, Some(*copy))?;
            diesel::delete(quarantine::table.find(key(*source))).execute(db)?;
        }
        Record::Strayed { source, from, to } => {
            set_copy(db, *source, Some(*to))?;
            set_origin(db, *to, Origin::Strayed)?;
            diesel::delete(message::table.find(key(*from))).execute(db)?;
        }
        Record::Placed { copy } => set_origin(db, *copy, Origin::Foreign)?,
        Record::Revive {
            tombstone, source, ..
        } => {
            let member: Option<Vec<u8>> = tombstone::table
                .find(tombstone)
                .select(tombstone::member)
                .get_result(db)
                .optional()?;
            if let Some(member) = member {
                diesel::update(message::table.find(key(*source)))
                    .set(message::member.eq(member))
                    .execute(db)?;
                diesel::delete(tombstone::table.find(tombstone)).execute(db)?;
            }
        }
        Record::Tombstone { source } => {
            bury(db, triangle, *source, None, None, now, epoch)?;
            diesel::delete(message::table.find(key(*source))).execute(db)?;
            diesel::delete(quarantine::table.find(key(*source))).execute(db)?;
        }
        Record::LeftBehind {
            source,
            copy,
            folder,
        } => {
            bury(db, triangle, *source, Some(*copy), Some(folder), now, epoch)?;
            set_copy(db, *source, None)?;
            // What was put back in the old folder does not count in the new one.
            diesel::update(message::table.find(key(*source)))
                .set(message::put_backs.eq(0))
                .execute(db)?;
        }
        Record::ForgetCopy { source, copy } => {
            set_copy(db, *source, None)?;
            diesel::delete(message::table.find(key(*copy))).execute(db)?;
        }
        Record::Forget { at } => {
            diesel::delete(message::table.find(key(*at))).execute(db)?;
        }
        Record::DoesNotStay { source } => {
            set_copy(db, *source, None)?;
            let reason = "was put back on the standby once and is gone or changed again";
            put_in_quarantine(db, *source, Class::DoesNotStay, reason, now)?;
        }
        Record::SourceFlags { source, flags }
        | Record::TargetFlags {
            target: source,
            flags,
        } => {
            diesel::update(message::table.find(key(*source)))
                .set(message::flags.eq(flags.to_string()))
                .execute(db)?;
        }
    }
    Ok(())
}

impl Ledger {
    /// Applies a plan's records, all or none.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn apply(
        &mut self,
        triangle: &str,
        records: &[Record],
        now: i64,
        epoch: u32,
    ) -> Result<()> {
        self.transact(|db| {
            for record in records {
                apply_one(db, triangle, record, now, epoch)?;
            }
            Ok(())
        })
    }

    /// Gives source rows their place in the store.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_members(&mut self, members: &[(Place, MemberId)]) -> Result<()> {
        self.transact(|db| {
            for (at, member) in members {
                diesel::update(message::table.find(key(*at)))
                    .set(message::member.eq(member.0.to_vec()))
                    .execute(db)?;
            }
            Ok(())
        })
    }

    /// Notes messages of a source's folder that the store has and no row knows, as of an ended generation: 0,
    /// which no folder ever has.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn remember(&mut self, folder: FolderId, members: &[Member]) -> Result<()> {
        self.transact(|db| {
            let last: Option<i64> = message::table
                .filter(
                    message::folder_id
                        .eq(folder.0)
                        .and(message::generation.eq(0)),
                )
                .select(max(message::uid))
                .first(db)?;
            let uids = unsigned(last.unwrap_or(0))?.saturating_add(1)..;
            let rows: Vec<NewRow> = uids
                .zip(members)
                .map(|(uid, member)| NewRow {
                    at: Place {
                        folder,
                        generation: 0,
                        uid,
                    },
                    content: member.content,
                    size: member.size,
                    date: member.date,
                    flags: member.flags.clone(),
                    verified_at: None,
                    origin: Origin::Foreign,
                    member: Some(member.member),
                })
                .collect();
            insert_rows(db, &rows)
        })
    }

    /// The tombstones of a triangle.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn tombstones(&mut self, triangle: &str) -> Result<Vec<Tombstone>> {
        type Tuple = (
            i64,
            String,
            Vec<u8>,
            i64,
            i64,
            Vec<u8>,
            Option<i64>,
            Option<i32>,
            Option<i64>,
            bool,
        );
        let rows: Vec<Tuple> = tombstone::table
            .filter(tombstone::triangle.eq(triangle))
            .order(tombstone::id)
            .select((
                tombstone::id,
                tombstone::logical,
                tombstone::content,
                tombstone::size,
                tombstone::date,
                tombstone::member,
                tombstone::copy_folder,
                tombstone::copy_generation,
                tombstone::copy_uid,
                tombstone::moved,
            ))
            .load(&mut self.db)?;
        rows.into_iter()
            .map(
                |(id, logical, content, size, date, member, folder, generation, uid, moved)| {
                    Ok(Tombstone {
                        id,
                        folder: LogicalFolder::from_stored(&logical),
                        content: content_of(&content)?,
                        size: unsigned(size)?,
                        date: InternalDate(date),
                        member: MemberId::from_slice(&member).unwrap_or(MemberId([0; 16])),
                        copy: copy_of(folder, generation, uid)?,
                        moved,
                    })
                },
            )
            .collect()
    }

    /// How many tombstones no Tx has reported yet.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn new_tombstones(&mut self, triangle: &str) -> Result<u64> {
        let count: i64 = tombstone::table
            .filter(
                tombstone::triangle
                    .eq(triangle)
                    .and(tombstone::reported.eq(false)),
            )
            .filter(tombstone::moved.eq(false))
            .count()
            .get_result(&mut self.db)?;
        Ok(from_database(count))
    }

    /// A triangle's state; one that is new is noted.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn triangle(&mut self, name: &str) -> Result<TriangleState> {
        diesel::insert_into(triangle::table)
            .values((triangle::name.eq(name), triangle::epoch.eq(0)))
            .on_conflict_do_nothing()
            .execute(&mut self.db)?;
        let (first_mirror_at, epoch) = triangle::table
            .find(name)
            .select((triangle::first_mirror_at, triangle::epoch))
            .first::<(Option<i64>, i32)>(&mut self.db)?;
        Ok(TriangleState {
            first_mirror_at,
            epoch: generation_of(epoch)?,
        })
    }

    /// Moves a copy that has been moved on the target.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn copy_moved(&mut self, moved: &[(Place, Place, Option<Place>)]) -> Result<()> {
        self.transact(|db| {
            for (source, from, to) in moved {
                let row: Option<(Vec<u8>, i64, i64, String)> = message::table
                    .find(key(*from))
                    .select((
                        message::content,
                        message::size,
                        message::date,
                        message::flags,
                    ))
                    .get_result(db)
                    .optional()?;
                diesel::delete(message::table.find(key(*from))).execute(db)?;
                if let (Some(to), Some((content, size, date, flags))) = (to, row) {
                    let flags: Flags = flags.parse().unwrap_or_default();
                    let row = NewRow {
                        at: *to,
                        content: content_of(&content)?,
                        size: unsigned(size)?,
                        date: InternalDate(date),
                        flags,
                        verified_at: None,
                        origin: Origin::Written,
                        member: None,
                    };
                    insert_rows(db, &[row])?;
                }
                set_copy(db, *source, *to)?;
            }
            Ok(())
        })
    }
}
