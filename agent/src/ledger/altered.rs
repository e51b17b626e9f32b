//! Messages of the primary that turned out to hold other octets than were copied from there: a server must never change a
//! message (RFC 9051, 2.3.1.1), so it is another one, and the one that was copied is gone from its place.

use std::collections::BTreeMap;

use diesel::dsl::max;
use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::Corner;

use super::messages::content_of;
use super::schema::{altered, folder, message};
use super::{Ledger, Result, generation_to, unsigned};
use crate::plan::identity::ContentId;
use crate::plan::view::{FolderId, Place};

impl Ledger {
    /// Notes what a message of the primary turned out to be.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn note_altered(&mut self, at: Place, content: ContentId) -> Result<()> {
        let content = content.0.to_vec();
        diesel::insert_into(altered::table)
            .values((
                altered::folder_id.eq(at.folder.0),
                altered::generation.eq(generation_to(at.generation)),
                altered::uid.eq(i64::from(at.uid)),
                altered::content.eq(&content),
            ))
            .on_conflict((altered::folder_id, altered::generation, altered::uid))
            .do_update()
            .set(altered::content.eq(&content))
            .execute(&mut self.db)?;
        Ok(())
    }

    /// Has the copies of altered messages read back: whatever changed the one may have changed the other.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn doubt_copies_of_altered(&mut self, triangle: &str) -> Result<()> {
        self.transact(|db| {
            for (folder, generation, uid) in copies_of_altered(db, triangle)? {
                diesel::update(message::table.find((folder, generation, uid)))
                    .set(message::verified_at.eq(None::<i64>))
                    .execute(db)?;
            }
            Ok(())
        })
    }

    /// What messages of a folder turned out to be.
    pub(super) fn altered(
        &mut self,
        folder: FolderId,
        generation: u32,
    ) -> Result<BTreeMap<u32, ContentId>> {
        let rows: Vec<(i64, Vec<u8>)> = altered::table
            .filter(altered::folder_id.eq(folder.0))
            .filter(altered::generation.eq(generation_to(generation)))
            .select((altered::uid, altered::content))
            .load(&mut self.db)?;
        let rows = rows.into_iter();
        rows.map(|(uid, content)| Ok((unsigned(uid)?, content_of(&content)?)))
            .collect()
    }

    /// Forgets that messages were altered: they are as they were.
    pub(super) fn unaltered(db: &mut SqliteConnection, place: Place) -> Result<()> {
        diesel::delete(altered::table.find((
            place.folder.0,
            generation_to(place.generation),
            i64::from(place.uid),
        )))
        .execute(db)?;
        Ok(())
    }

    /// Takes what was copied of altered messages out of their places, like messages of an ended generation: the places
    /// are looked at anew. How many there are.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn part_from_altered(&mut self, triangle: &str) -> Result<usize> {
        self.transact(|db| {
            let places: Vec<(i64, i32, i64)> = altered::table
                .inner_join(folder::table.on(folder::id.eq(altered::folder_id)))
                .filter(folder::triangle.eq(triangle))
                .filter(folder::corner.eq(Corner::Primary.as_str()))
                .filter(folder::generation.eq(altered::generation))
                .select((altered::folder_id, altered::generation, altered::uid))
                .load(db)?;
            // What their copies are is read again too.
            for (folder, generation, uid) in copies_of_altered(db, triangle)? {
                diesel::delete(message::table.find((folder, generation, uid))).execute(db)?;
                diesel::update(folder::table.find(folder))
                    .set(folder::uidnext.eq(0))
                    .execute(db)?;
            }
            for (id, generation, uid) in &places {
                let of_before = message::folder_id.eq(id).and(message::generation.eq(0));
                let last: Option<i64> = message::table
                    .filter(of_before)
                    .select(max(message::uid))
                    .first(db)?;
                diesel::update(message::table.find((id, generation, uid)))
                    .set((
                        message::generation.eq(0),
                        message::uid.eq(last.unwrap_or(0) + 1),
                    ))
                    .execute(db)?;
                // It is to be listed, whatever the server says has changed.
                diesel::update(folder::table.find(id))
                    .set(folder::uidnext.eq(0))
                    .execute(db)?;
            }
            let of_triangle = folder::table
                .filter(folder::triangle.eq(triangle))
                .select(folder::id);
            diesel::delete(altered::table.filter(altered::folder_id.eq_any(of_triangle)))
                .execute(db)?;
            Ok(places.len())
        })
    }
}

/// Where the copies of altered messages lie.
fn copies_of_altered(db: &mut SqliteConnection, triangle: &str) -> Result<Vec<(i64, i32, i64)>> {
    let here = altered::folder_id
        .eq(message::folder_id)
        .and(altered::generation.eq(message::generation))
        .and(altered::uid.eq(message::uid));
    let copies: Vec<(Option<i64>, Option<i32>, Option<i64>)> = altered::table
        .inner_join(message::table.on(here))
        .inner_join(folder::table.on(folder::id.eq(altered::folder_id)))
        .filter(folder::triangle.eq(triangle))
        .select((
            message::copy_folder,
            message::copy_generation,
            message::copy_uid,
        ))
        .load(db)?;
    let copies = copies.into_iter();
    Ok(copies
        .filter_map(|(folder, generation, uid)| Some((folder?, generation?, uid?)))
        .collect())
}
