//! Messages in the ledger: what each UID of each generation is, and which copy belongs to it.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::Corner;

use super::schema::{folder, message, quarantine};
use super::{Ledger, LedgerError, Result, generation_of, generation_to, unsigned};
use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};
use crate::plan::mirror::Shape;
use crate::plan::view::{FolderId, Origin, Place, Row};
use crate::store::Event;

/// A message whose octets have just become known.
#[derive(Debug, Clone)]
pub struct NewRow {
    /// Where it lies.
    pub at: Place,
    /// What it is.
    pub content: ContentId,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords.
    pub flags: Flags,
    /// When its bytes were read from there, seconds since 1970; `None` if they were only written.
    pub verified_at: Option<i64>,
    /// How it came there.
    pub origin: Origin,
    /// Its place in the store (source).
    pub member: Option<MemberId>,
}

/// A message of the source that the store ought to have.
#[derive(Debug, Clone)]
pub struct StoredRow {
    /// Where it lies on the source.
    pub at: Place,
    /// The folder that is.
    pub folder: LogicalFolder,
    /// What it is.
    pub content: ContentId,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords.
    pub flags: Flags,
    /// Its place in the store.
    pub member: MemberId,
}

impl StoredRow {
    /// What the store is told of it.
    #[must_use]
    pub fn into_add(self, triangle: &str) -> Event {
        Event::Add {
            member: self.member,
            triangle: triangle.into(),
            folder: self.folder,
            content: self.content,
            date: self.date,
            flags: self.flags,
            size: self.size,
        }
    }
}

#[derive(Queryable)]
struct MessageTuple {
    generation: i32,
    uid: i64,
    content: Vec<u8>,
    size: i64,
    date: i64,
    flags: String,
    origin: i32,
    member: Option<Vec<u8>>,
    copy_folder: Option<i64>,
    copy_generation: Option<i32>,
    copy_uid: Option<i64>,
    put_backs: i32,
    verified_at: Option<i64>,
}

/// What the ledger knows of one folder.
#[derive(Debug, Default)]
pub(crate) struct FolderRows {
    pub rows: BTreeMap<u32, Row>,
    pub stale: BTreeMap<(u32, u32), Row>,
    pub unreadable: BTreeSet<u32>,
    pub altered: BTreeMap<u32, ContentId>,
}

pub(super) fn content_of(octets: &[u8]) -> Result<ContentId> {
    ContentId::from_slice(octets).ok_or(LedgerError::Damaged(
        "a content id that is not 32 octets long",
    ))
}

pub(super) fn copy_of(
    folder: Option<i64>,
    generation: Option<i32>,
    uid: Option<i64>,
) -> Result<Option<Place>> {
    match (folder, generation, uid) {
        (Some(folder), Some(generation), Some(uid)) => Ok(Some(Place {
            folder: FolderId(folder),
            generation: generation_of(generation)?,
            uid: unsigned(uid)?,
        })),
        _ => Ok(None),
    }
}

fn row(tuple: MessageTuple) -> Result<Row> {
    Ok(Row {
        content: content_of(&tuple.content)?,
        size: unsigned(tuple.size)?,
        date: InternalDate(tuple.date),
        flags: tuple.flags.parse().unwrap_or_default(),
        origin: origin_of(tuple.origin),
        member: tuple.member.as_deref().and_then(MemberId::from_slice),
        copy: copy_of(tuple.copy_folder, tuple.copy_generation, tuple.copy_uid)?,
        put_backs: u32::try_from(tuple.put_backs).unwrap_or(u32::MAX),
        quarantined: false,
        verified_at: tuple.verified_at,
    })
}

pub(super) fn origin_of(number: i32) -> Origin {
    match number {
        3 => Origin::Strayed,
        2 => Origin::Written,
        1 => Origin::Preexisting,
        _ => Origin::Foreign,
    }
}

fn origin_number(origin: Origin) -> i32 {
    match origin {
        Origin::Foreign => 0,
        Origin::Preexisting => 1,
        Origin::Written => 2,
        Origin::Strayed => 3,
    }
}

impl Ledger {
    /// Everything known of a folder whose present generation is `generation`.
    pub(crate) fn rows(&mut self, folder: FolderId, generation: u32) -> Result<FolderRows> {
        let mut known = FolderRows::default();
        let rows = message::table
            .filter(message::folder_id.eq(folder.0))
            .select((
                message::generation,
                message::uid,
                message::content,
                message::size,
                message::date,
                message::flags,
                message::origin,
                message::member,
                message::copy_folder,
                message::copy_generation,
                message::copy_uid,
                message::put_backs,
                message::verified_at,
            ))
            .load_iter::<MessageTuple, _>(&mut self.db)?;
        for tuple in rows {
            let tuple = tuple?;
            let (of, uid) = (generation_of(tuple.generation)?, unsigned(tuple.uid)?);
            let row = row(tuple)?;
            if of == generation {
                known.rows.insert(uid, row);
            } else {
                known.stale.insert((of, uid), row);
            }
        }
        let quarantined: Vec<(i32, i64, i64)> = quarantine::table
            .filter(quarantine::folder_id.eq(folder.0))
            .select((
                quarantine::generation,
                quarantine::uid,
                quarantine::tried_at,
            ))
            .load(&mut self.db)?;
        for (of, uid, tried_at) in quarantined {
            let uid = unsigned(uid)?;
            if generation_of(of)? != generation {
                continue;
            }
            match known.rows.get_mut(&uid) {
                Some(row) => row.quarantined = tried_at > 0,
                None => {
                    known.unreadable.insert(uid);
                }
            }
        }
        known.altered = self.altered(folder, generation)?;
        Ok(known)
    }

    /// An account's messages that have one of these sizes and dates.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of_shapes(
        &mut self,
        triangle: &str,
        corner: Corner,
        shapes: &BTreeSet<Shape>,
    ) -> Result<BTreeMap<Shape, BTreeSet<Place>>> {
        let known = message::table
            .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
            .filter(
                folder::triangle
                    .eq(triangle)
                    .and(folder::corner.eq(corner.as_str())),
            )
            .select((
                message::folder_id,
                message::generation,
                message::uid,
                message::size,
                message::date,
            ))
            .load_iter::<(i64, i32, i64, i64, i64), _>(&mut self.db)?;
        let mut found: BTreeMap<Shape, BTreeSet<Place>> = BTreeMap::new();
        for row in known {
            let (folder, generation, uid, size, date) = row?;
            let shape = (unsigned(size)?, InternalDate(date));
            if shapes.contains(&shape) {
                found.entry(shape).or_default().insert(Place {
                    folder: FolderId(folder),
                    generation: generation_of(generation)?,
                    uid: unsigned(uid)?,
                });
            }
        }
        Ok(found)
    }

    /// How many messages of an account are known, in all its folders.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn count_messages(&mut self, triangle: &str, corner: &str) -> Result<u64> {
        let count: i64 = message::table
            .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
            .filter(folder::triangle.eq(triangle).and(folder::corner.eq(corner)))
            .count()
            .get_result(&mut self.db)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Notes messages; one that is known already is replaced in what was read of it, its copy kept.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_rows(&mut self, rows: &[NewRow]) -> Result<()> {
        self.transact(|db| insert_rows(db, rows))
    }

    /// Notes size and date of messages as the server lists them, where it keeps others than it was given.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn listed_as(&mut self, rows: &[(Place, u32, InternalDate)]) -> Result<()> {
        self.transact(|db| {
            for (at, size, date) in rows {
                diesel::update(message::table.find((
                    at.folder.0,
                    generation_to(at.generation),
                    i64::from(at.uid),
                )))
                .set((message::size.eq(i64::from(*size)), message::date.eq(date.0)))
                .execute(db)?;
            }
            Ok(())
        })
    }

    /// Where copies of these contents lie in a corner, by folder with its generation, and UID.
    ///
    /// # Errors
    /// The database fails.
    pub fn places_of(
        &mut self,
        triangle: &str,
        corner: Corner,
        contents: &BTreeSet<ContentId>,
    ) -> Result<BTreeMap<(FolderId, u32), BTreeMap<u32, ContentId>>> {
        let rows: Vec<(i64, i32, i64, Vec<u8>)> = message::table
            .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
            .filter(
                folder::triangle
                    .eq(triangle)
                    .and(folder::corner.eq(corner.as_str())),
            )
            .filter(message::generation.eq(folder::generation))
            .select((
                message::folder_id,
                message::generation,
                message::uid,
                message::content,
            ))
            .load(&mut self.db)?;
        let mut places: BTreeMap<_, BTreeMap<u32, ContentId>> = BTreeMap::new();
        for (folder, generation, uid, content) in rows {
            let content = content_of(&content)?;
            if contents.contains(&content) {
                let at = (FolderId(folder), generation_of(generation)?);
                places
                    .entry(at)
                    .or_default()
                    .insert(unsigned(uid)?, content);
            }
        }
        Ok(places)
    }

    /// Every message of an account that has a place in the store.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn stored_rows(&mut self, triangle: &str, corner: Corner) -> Result<Vec<StoredRow>> {
        type Tuple = (
            i64,
            i32,
            i64,
            Vec<u8>,
            i64,
            i64,
            String,
            Option<Vec<u8>>,
            String,
        );
        let rows: Vec<Tuple> = message::table
            .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
            .filter(
                folder::triangle
                    .eq(triangle)
                    .and(folder::corner.eq(corner.as_str())),
            )
            .filter(message::member.is_not_null())
            .select((
                message::folder_id,
                message::generation,
                message::uid,
                message::content,
                message::size,
                message::date,
                message::flags,
                message::member,
                folder::logical,
            ))
            .load(&mut self.db)?;
        rows.into_iter()
            .map(
                |(folder, generation, uid, content, size, date, flags, member, logical)| {
                    Ok(StoredRow {
                        at: Place {
                            folder: FolderId(folder),
                            generation: generation_of(generation)?,
                            uid: unsigned(uid)?,
                        },
                        folder: LogicalFolder::from_stored(&logical),
                        content: content_of(&content)?,
                        size: unsigned(size)?,
                        date: InternalDate(date),
                        flags: flags.parse().unwrap_or_default(),
                        member: member.as_deref().and_then(MemberId::from_slice).ok_or(
                            LedgerError::Damaged("a member id that is not 16 octets long"),
                        )?,
                    })
                },
            )
            .collect()
    }

    /// Folders of the target in which copies lie that strayed, each with the source's folders that have copies
    /// there: (source, target).
    pub(crate) fn strayed(&mut self, triangle: &str) -> Result<Vec<(FolderId, FolderId)>> {
        let holding: Vec<i64> = message::table
            .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
            .filter(folder::triangle.eq(triangle))
            .filter(message::origin.eq(origin_number(Origin::Strayed)))
            .select(message::folder_id)
            .distinct()
            .load(&mut self.db)?;
        if holding.is_empty() {
            return Ok(Vec::new());
        }
        let pairs: Vec<(i64, Option<i64>)> = message::table
            .filter(message::copy_folder.eq_any(holding.iter().copied().map(Some)))
            .select((message::folder_id, message::copy_folder))
            .distinct()
            .load(&mut self.db)?;
        Ok(pairs
            .into_iter()
            .filter_map(|(source, target)| Some((FolderId(source), FolderId(target?))))
            .collect())
    }

    /// Notes when bytes were read back from an account.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn verified(&mut self, places: &[Place], at: i64) -> Result<()> {
        self.transact(|db| {
            for place in places {
                diesel::update(message::table.find((
                    place.folder.0,
                    generation_to(place.generation),
                    i64::from(place.uid),
                )))
                .set(message::verified_at.eq(at))
                .execute(db)?;
                Self::unaltered(db, *place)?;
            }
            Ok(())
        })
    }

    /// Messages of an account whose bytes have to be read back: all that never were, and of the rest the
    /// `share`-th part, the oldest proof first; or all.
    pub(crate) fn due_for_proof(
        &mut self,
        triangle: &str,
        corner: Corner,
        share: Option<u64>,
    ) -> Result<BTreeMap<FolderId, Vec<(u32, ContentId)>>> {
        let account = || {
            message::table
                .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
                .filter(
                    folder::triangle
                        .eq(triangle)
                        .and(folder::corner.eq(corner.as_str())),
                )
                .filter(message::generation.eq(folder::generation))
        };
        let proved: i64 = account()
            .filter(message::verified_at.is_not_null())
            .count()
            .get_result(&mut self.db)?;
        let share = share.map_or(1, |share| i64::try_from(share.max(1)).unwrap_or(i64::MAX));
        let columns = (message::folder_id, message::uid, message::content);
        let mut due: BTreeMap<FolderId, Vec<(u32, ContentId)>> = BTreeMap::new();
        let mut take = |row: (i64, i64, Vec<u8>)| -> Result<()> {
            let (folder, uid, content) = row;
            let messages = due.entry(FolderId(folder)).or_default();
            messages.push((unsigned(uid)?, content_of(&content)?));
            Ok(())
        };
        let never = account()
            .filter(message::verified_at.is_null())
            .select(columns);
        for row in never.load_iter(&mut self.db)? {
            take(row?)?;
        }
        // So many of the oldest are found without sorting all.
        let oldest = account()
            .filter(message::verified_at.is_not_null())
            .order((message::verified_at, message::folder_id, message::uid))
            .limit(proved / share + i64::from(proved % share > 0))
            .select(columns);
        for row in oldest.load_iter(&mut self.db)? {
            take(row?)?;
        }
        for messages in due.values_mut() {
            messages.sort_unstable();
        }
        Ok(due)
    }

    /// Notes that a message of the standby has turned out to hold other octets than was known.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn found_altered(&mut self, place: Place, content: ContentId, at: i64) -> Result<()> {
        diesel::update(message::table.find((
            place.folder.0,
            generation_to(place.generation),
            i64::from(place.uid),
        )))
        .set((
            message::content.eq(content.0.to_vec()),
            message::verified_at.eq(at),
        ))
        .execute(&mut self.db)?;
        Ok(())
    }
}

pub(super) fn insert_rows(db: &mut SqliteConnection, rows: &[NewRow]) -> Result<()> {
    use diesel::upsert::excluded;
    for chunk in rows.chunks(256) {
        let values: Vec<_> = chunk
            .iter()
            .map(|row| {
                (
                    message::folder_id.eq(row.at.folder.0),
                    message::generation.eq(generation_to(row.at.generation)),
                    message::uid.eq(i64::from(row.at.uid)),
                    message::content.eq(row.content.0.to_vec()),
                    message::size.eq(i64::from(row.size)),
                    message::date.eq(row.date.0),
                    message::flags.eq(row.flags.to_string()),
                    message::verified_at.eq(row.verified_at),
                    message::origin.eq(origin_number(row.origin)),
                    message::member.eq(row.member.map(|m| m.0.to_vec())),
                    message::put_backs.eq(0),
                )
            })
            .collect();
        diesel::insert_into(message::table)
            .values(&values)
            .on_conflict((message::folder_id, message::generation, message::uid))
            .do_update()
            .set((
                message::content.eq(excluded(message::content)),
                message::size.eq(excluded(message::size)),
                message::date.eq(excluded(message::date)),
                message::flags.eq(excluded(message::flags)),
                message::verified_at.eq(excluded(message::verified_at)),
            ))
            .execute(db)?;
    }
    Ok(())
}

pub(super) fn set_origin(db: &mut SqliteConnection, at: Place, origin: Origin) -> Result<()> {
    diesel::update(message::table.find((
        at.folder.0,
        generation_to(at.generation),
        i64::from(at.uid),
    )))
    .set(message::origin.eq(origin_number(origin)))
    .execute(db)?;
    Ok(())
}

pub(super) fn set_copy(
    db: &mut SqliteConnection,
    source: Place,
    copy: Option<Place>,
) -> Result<()> {
    diesel::update(message::table.find((
        source.folder.0,
        generation_to(source.generation),
        i64::from(source.uid),
    )))
    .set((
        message::copy_folder.eq(copy.map(|c| c.folder.0)),
        message::copy_generation.eq(copy.map(|c| generation_to(c.generation))),
        message::copy_uid.eq(copy.map(|c| i64::from(c.uid))),
    ))
    .execute(db)?;
    Ok(())
}
