//! What happened: the plan's records applied, tombstones, quarantine, repairs, batches under way, halts.

use std::collections::BTreeSet;

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::messages::{content_of, copy_of, insert_rows, set_copy};
use super::schema::{
    activity, batch, folder, halt, message, quarantine, refused_keyword, repair, tombstone,
    triangle,
};
use super::{Ledger, LedgerError, NewRow, Result, generation_of, generation_to, unsigned};
use crate::plan::guard::{History, Lost};
use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};
use crate::plan::mirror::Record;
use crate::plan::view::{FolderId, Place, Tombstone};

/// A triangle's own row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TriangleState {
    /// When a mirror run first came to its end.
    pub first_mirror_at: Option<i64>,
    /// When it was last proved.
    pub last_tx_at: Option<i64>,
    /// Counts failovers and returns.
    pub epoch: u32,
}

/// A batch that was sent, or was about to be, and whose end is not known.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its number.
    pub id: i64,
    /// The target's folder.
    pub folder: FolderId,
    /// The target folder's UIDNEXT before it.
    pub uidnext: u32,
    /// What was sent.
    pub contents: Vec<ContentId>,
}

/// A message that could not be copied.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// Where it lies.
    pub at: Place,
    /// `quarantined` or `does_not_stay`.
    pub class: Class,
    /// Why, in words for the site.
    pub reason: String,
    /// Since when, seconds since 1970.
    pub since: i64,
}

/// A repair that no Tx has reported yet.
#[derive(Debug, Clone)]
pub struct RepairRow {
    /// Its number.
    pub id: i64,
    /// What had been wrong.
    pub class: Class,
    /// Where.
    pub corner: Corner,
    /// In which folder.
    pub folder: LogicalFolder,
    /// Which message.
    pub content: ContentId,
    /// When it was mended, seconds since 1970.
    pub at: i64,
}

/// What the guard holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Its id.
    pub id: String,
    /// Messages that vanished or need putting back.
    pub messages: u64,
    /// Of how many.
    pub of: u64,
    /// Whether a person has released it.
    pub confirmed: bool,
}

fn key(place: Place) -> (i64, i32, i64) {
    (
        place.folder.0,
        generation_to(place.generation),
        i64::from(place.uid),
    )
}

fn to_database(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_database(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn class_of(word: &str) -> Result<Class> {
    Class::ALL
        .into_iter()
        .find(|c| c.as_str() == word)
        .ok_or(LedgerError::Damaged("an unknown class"))
}

fn corner_of(word: &str) -> Result<Corner> {
    [Corner::Primary, Corner::Standby, Corner::Store]
        .into_iter()
        .find(|c| c.as_str() == word)
        .ok_or(LedgerError::Damaged("an unknown corner"))
}

type LinkTuple = (Option<Vec<u8>>, Option<i64>, Option<i32>, Option<i64>, i32);

/// Hands a row's place in the store and its copy on to another row and deletes it.
fn transfer(db: &mut SqliteConnection, from: Place, to: Place) -> Result<()> {
    let found: Option<LinkTuple> = message::table
        .find(key(from))
        .select((
            message::member,
            message::copy_folder,
            message::copy_generation,
            message::copy_uid,
            message::put_backs,
        ))
        .first(db)
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
        .first(db)
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
            .first(db)?,
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
                .first(db)
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
        Record::Adopt { source, copy } => set_copy(db, *source, Some(*copy))?,
        Record::Revive {
            tombstone, source, ..
        } => {
            let member: Option<Vec<u8>> = tombstone::table
                .find(tombstone)
                .select(tombstone::member)
                .first(db)
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
        }
        Record::ForgetCopy { source, copy } => {
            set_copy(db, *source, None)?;
            diesel::delete(message::table.find(key(*copy))).execute(db)?;
        }
        Record::Forget { target } => {
            diesel::delete(message::table.find(key(*target))).execute(db)?;
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

fn put_in_quarantine(
    db: &mut SqliteConnection,
    at: Place,
    class: Class,
    reason: &str,
    now: i64,
) -> Result<()> {
    let (folder_id, generation, uid) = key(at);
    diesel::insert_into(quarantine::table)
        .values((
            quarantine::folder_id.eq(folder_id),
            quarantine::generation.eq(generation),
            quarantine::uid.eq(uid),
            quarantine::class.eq(class.as_str()),
            quarantine::reason.eq(reason),
            quarantine::since.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(db)?;
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

    /// How many tombstones have been written since an instant.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn new_tombstones(&mut self, triangle: &str, since: i64) -> Result<u64> {
        let count: i64 = tombstone::table
            .filter(
                tombstone::triangle
                    .eq(triangle)
                    .and(tombstone::vanished_at.gt(since)),
            )
            .filter(tombstone::moved.eq(false))
            .count()
            .get_result(&mut self.db)?;
        Ok(from_database(count))
    }

    /// Notes a batch before it is sent, together with the source rows that it carries.
    ///
    /// # Errors
    /// The ledger cannot be written: then it must not be sent.
    pub fn open_batch(
        &mut self,
        triangle: &str,
        folder: FolderId,
        uidnext: u32,
        contents: &[ContentId],
        rows: &[NewRow],
        now: i64,
    ) -> Result<i64> {
        let octets: Vec<u8> = contents.iter().flat_map(|c| c.0).collect();
        self.transact(|db| {
            insert_rows(db, rows)?;
            Ok(diesel::insert_into(batch::table)
                .values((
                    batch::triangle.eq(triangle),
                    batch::folder_id.eq(folder.0),
                    batch::uidnext.eq(i64::from(uidnext)),
                    batch::contents.eq(octets),
                    batch::opened_at.eq(now),
                ))
                .returning(batch::id)
                .get_result(db)?)
        })
    }

    /// Notes what became of a batch: the copies, and whose they are; and the repairs that they were. Without
    /// its number the batch stays open.
    ///
    /// # Errors
    /// The ledger cannot be written: the next run then finds the copies by their content.
    pub fn close_batch(
        &mut self,
        id: Option<i64>,
        copies: &[(Place, NewRow)],
        put_back: &[Place],
        repairs: &[(&str, Class, Corner, LogicalFolder, ContentId)],
        now: i64,
    ) -> Result<()> {
        self.transact(|db| {
            let rows: Vec<NewRow> = copies.iter().map(|(_, row)| row.clone()).collect();
            insert_rows(db, &rows)?;
            for (source, row) in copies {
                set_copy(db, *source, Some(row.at))?;
            }
            for source in put_back {
                diesel::update(message::table.find(key(*source)))
                    .set(message::put_backs.eq(message::put_backs + 1))
                    .execute(db)?;
            }
            insert_repairs(db, repairs, now)?;
            if let Some(id) = id {
                diesel::delete(batch::table.find(id)).execute(db)?;
            }
            Ok(())
        })
    }

    /// The batches of a triangle whose end is not known.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn open_batches(&mut self, triangle: &str) -> Result<Vec<Batch>> {
        let rows: Vec<(i64, i64, i64, Vec<u8>)> = batch::table
            .filter(batch::triangle.eq(triangle))
            .order(batch::id)
            .select((batch::id, batch::folder_id, batch::uidnext, batch::contents))
            .load(&mut self.db)?;
        rows.into_iter()
            .map(|(id, folder, uidnext, contents)| {
                let contents: Result<Vec<ContentId>> =
                    contents.chunks(32).map(content_of).collect();
                Ok(Batch {
                    id,
                    folder: FolderId(folder),
                    uidnext: unsigned(uidnext)?,
                    contents: contents?,
                })
            })
            .collect()
    }

    /// Drops batches whose folders have been looked at since.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn drop_batches(&mut self, ids: &[i64]) -> Result<()> {
        diesel::delete(batch::table.filter(batch::id.eq_any(ids))).execute(&mut self.db)?;
        Ok(())
    }

    /// Notes repairs.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_repairs(
        &mut self,
        repairs: &[(&str, Class, Corner, LogicalFolder, ContentId)],
        now: i64,
    ) -> Result<()> {
        self.transact(|db| insert_repairs(db, repairs, now))
    }

    /// The repairs that no Tx has reported yet.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn open_repairs(&mut self, triangle: &str) -> Result<Vec<RepairRow>> {
        let rows: Vec<(i64, String, String, String, Vec<u8>, i64)> = repair::table
            .filter(
                repair::triangle
                    .eq(triangle)
                    .and(repair::reported.eq(false)),
            )
            .order(repair::id)
            .select((
                repair::id,
                repair::class,
                repair::corner,
                repair::logical,
                repair::content,
                repair::at,
            ))
            .load(&mut self.db)?;
        rows.into_iter()
            .map(|(id, class, corner, logical, content, at)| {
                Ok(RepairRow {
                    id,
                    class: class_of(&class)?,
                    corner: corner_of(&corner)?,
                    folder: LogicalFolder::from_stored(&logical),
                    content: content_of(&content)?,
                    at,
                })
            })
            .collect()
    }

    /// Notes a Tx: which repairs it reported.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn close_tx(&mut self, name: &str, tx_at: i64, reported: &[i64]) -> Result<()> {
        self.transact(|db| {
            diesel::update(repair::table.filter(repair::id.eq_any(reported)))
                .set(repair::reported.eq(true))
                .execute(db)?;
            diesel::update(triangle::table.find(name))
                .set(triangle::last_tx_at.eq(tx_at))
                .execute(db)?;
            Ok(())
        })
    }

    /// Puts a message in quarantine.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn quarantine(&mut self, at: Place, class: Class, reason: &str, now: i64) -> Result<()> {
        self.transact(|db| put_in_quarantine(db, at, class, reason, now))
    }

    /// What is in quarantine in a folder's present generation.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn quarantined(&mut self, folder: FolderId, generation: u32) -> Result<Vec<Quarantined>> {
        let rows: Vec<(i32, i64, String, String, i64)> = quarantine::table
            .filter(
                quarantine::folder_id
                    .eq(folder.0)
                    .and(quarantine::generation.eq(generation_to(generation))),
            )
            .select((
                quarantine::generation,
                quarantine::uid,
                quarantine::class,
                quarantine::reason,
                quarantine::since,
            ))
            .load(&mut self.db)?;
        rows.into_iter()
            .map(|(generation, uid, class, reason, since)| {
                let at = Place {
                    folder,
                    generation: generation_of(generation)?,
                    uid: unsigned(uid)?,
                };
                Ok(Quarantined {
                    at,
                    class: class_of(&class)?,
                    reason,
                    since,
                })
            })
            .collect()
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
        let (first_mirror_at, last_tx_at, epoch) = triangle::table
            .find(name)
            .select((
                triangle::first_mirror_at,
                triangle::last_tx_at,
                triangle::epoch,
            ))
            .first::<(Option<i64>, Option<i64>, i32)>(&mut self.db)?;
        Ok(TriangleState {
            first_mirror_at,
            last_tx_at,
            epoch: generation_of(epoch)?,
        })
    }

    /// Notes that a mirror run came to its end, and what the guard let pass.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn close_mirror(&mut self, name: &str, lost: Lost, now: i64) -> Result<()> {
        self.transact(|db| {
            diesel::update(
                triangle::table
                    .find(name)
                    .filter(triangle::first_mirror_at.is_null()),
            )
            .set(triangle::first_mirror_at.eq(now))
            .execute(db)?;
            if lost != Lost::default() {
                diesel::insert_into(activity::table)
                    .values((
                        activity::triangle.eq(name),
                        activity::at.eq(now),
                        activity::vanished.eq(to_database(lost.vanished)),
                        activity::put_back.eq(to_database(lost.put_back)),
                    ))
                    .execute(db)?;
            }
            Ok(())
        })
    }

    /// What the guard let pass in the last 24 hours and 7 days.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn history(&mut self, triangle: &str, now: i64) -> Result<History> {
        let rows: Vec<(i64, i64, i64)> = activity::table
            .filter(
                activity::triangle
                    .eq(triangle)
                    .and(activity::at.gt(now - 7 * 86_400)),
            )
            .select((activity::at, activity::vanished, activity::put_back))
            .load(&mut self.db)?;
        let mut history = History::default();
        for (at, vanished, put_back) in rows {
            let add = |lost: &mut Lost| {
                lost.vanished += from_database(vanished);
                lost.put_back += from_database(put_back);
            };
            add(&mut history.week);
            if at > now - 86_400 {
                add(&mut history.day);
            }
        }
        Ok(history)
    }

    /// Notes a halt; one that is there already stays as it is.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_halt(
        &mut self,
        triangle: &str,
        id: &str,
        messages: u64,
        of: u64,
        now: i64,
    ) -> Result<()> {
        self.transact(|db| {
            // What was held back before and is not the same any more is void, its release too.
            diesel::delete(halt::table.filter(halt::triangle.eq(triangle).and(halt::id.ne(id))))
                .execute(db)?;
            diesel::insert_into(halt::table)
                .values((
                    halt::triangle.eq(triangle),
                    halt::id.eq(id),
                    halt::messages.eq(to_database(messages)),
                    halt::known.eq(to_database(of)),
                    halt::held_at.eq(now),
                ))
                .on_conflict_do_nothing()
                .execute(db)?;
            Ok(())
        })
    }

    /// The halt of a triangle.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn halt(&mut self, triangle: &str) -> Result<Option<Halt>> {
        let row: Option<(String, i64, i64, Option<i64>)> = halt::table
            .filter(halt::triangle.eq(triangle))
            .select((halt::id, halt::messages, halt::known, halt::confirmed_at))
            .first(&mut self.db)
            .optional()?;
        Ok(row.map(|(id, messages, of, confirmed)| Halt {
            id,
            messages: from_database(messages),
            of: from_database(of),
            confirmed: confirmed.is_some(),
        }))
    }

    /// Releases a halt; whether there was one of this id.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn confirm_halt(&mut self, triangle: &str, id: &str, now: i64) -> Result<bool> {
        let count = diesel::update(halt::table.find((triangle, id)))
            .set(halt::confirmed_at.eq(now))
            .execute(&mut self.db)?;
        Ok(count > 0)
    }

    /// Forgets a triangle's halt: nothing is held back any more.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn clear_halt(&mut self, triangle: &str) -> Result<()> {
        diesel::delete(halt::table.filter(halt::triangle.eq(triangle))).execute(&mut self.db)?;
        Ok(())
    }

    /// Notes a keyword that an account refused.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn refuse_keyword(&mut self, triangle: &str, corner: Corner, keyword: &str) -> Result<()> {
        diesel::insert_into(refused_keyword::table)
            .values((
                refused_keyword::triangle.eq(triangle),
                refused_keyword::corner.eq(corner.as_str()),
                refused_keyword::keyword.eq(keyword.to_ascii_lowercase()),
            ))
            .on_conflict_do_nothing()
            .execute(&mut self.db)?;
        Ok(())
    }

    /// The keywords that an account refused, lower case.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn refused_keywords(&mut self, triangle: &str, corner: Corner) -> Result<BTreeSet<String>> {
        Ok(refused_keyword::table
            .filter(
                refused_keyword::triangle
                    .eq(triangle)
                    .and(refused_keyword::corner.eq(corner.as_str())),
            )
            .select(refused_keyword::keyword)
            .load::<String>(&mut self.db)?
            .into_iter()
            .collect())
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
                    .first(db)
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
                        origin: crate::plan::view::Origin::Written,
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

fn insert_repairs(
    db: &mut SqliteConnection,
    repairs: &[(&str, Class, Corner, LogicalFolder, ContentId)],
    now: i64,
) -> Result<()> {
    for (triangle, class, corner, folder, content) in repairs {
        diesel::insert_into(repair::table)
            .values((
                repair::triangle.eq(*triangle),
                repair::class.eq(class.as_str()),
                repair::corner.eq(corner.as_str()),
                repair::logical.eq(folder.as_str()),
                repair::content.eq(content.0.to_vec()),
                repair::at.eq(now),
                repair::reported.eq(false),
            ))
            .execute(db)?;
    }
    Ok(())
}
