//! Which standby the ledger speaks of. What it knows of another account, or of another prefix, says nothing here.

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::Corner;

use super::schema::{batch, folder, message, quarantine, refused_keyword, tombstone, triangle};
use super::{Ledger, Result};

impl Ledger {
    /// Notes where a triangle's standby is. If it was elsewhere before, all that was known there is forgotten:
    /// folders, copies, how often one was put back, what was refused. The mail that the new place holds is matched
    /// by content. Whether it was elsewhere.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn standby_is_at(&mut self, name: &str, place: &str) -> Result<bool> {
        let known: Option<String> = triangle::table
            .find(name)
            .select(triangle::standby_place)
            .first(&mut self.db)
            .optional()?
            .flatten();
        if known.as_deref() == Some(place) {
            return Ok(false);
        }
        self.transact(|db| {
            if known.is_some() {
                forget_standby(db, name)?;
            }
            diesel::update(triangle::table.find(name))
                .set(triangle::standby_place.eq(place))
                .execute(db)?;
            Ok(known.is_some())
        })
    }
}

fn forget_standby(db: &mut SqliteConnection, name: &str) -> Result<()> {
    let folders = |corner: Corner| {
        folder::table
            .filter(folder::triangle.eq(name.to_owned()))
            .filter(folder::corner.eq(corner.as_str()))
    };
    let sources: Vec<i64> = folders(Corner::Primary).select(folder::id).load(db)?;
    for source in sources {
        let copied = message::table.filter(message::folder_id.eq(source));
        diesel::update(copied)
            .set((
                message::copy_folder.eq(None::<i64>),
                message::copy_generation.eq(None::<i32>),
                message::copy_uid.eq(None::<i64>),
                message::put_backs.eq(0),
            ))
            .execute(db)?;
        // What has no row could not be read on the primary, and still cannot.
        let refused: Vec<(i32, i64)> = quarantine::table
            .inner_join(
                message::table.on(message::folder_id
                    .eq(quarantine::folder_id)
                    .and(message::generation.eq(quarantine::generation))
                    .and(message::uid.eq(quarantine::uid))),
            )
            .filter(quarantine::folder_id.eq(source))
            .select((quarantine::generation, quarantine::uid))
            .load(db)?;
        for (generation, uid) in refused {
            diesel::delete(quarantine::table.find((source, generation, uid))).execute(db)?;
        }
    }
    diesel::update(tombstone::table.filter(tombstone::triangle.eq(name)))
        .set((
            tombstone::copy_folder.eq(None::<i64>),
            tombstone::copy_generation.eq(None::<i32>),
            tombstone::copy_uid.eq(None::<i64>),
        ))
        .execute(db)?;
    // An old copy that was left behind is not at the new place.
    let left_behind = tombstone::table.filter(tombstone::triangle.eq(name));
    diesel::delete(left_behind.filter(tombstone::moved.eq(true))).execute(db)?;
    diesel::delete(batch::table.filter(batch::triangle.eq(name))).execute(db)?;
    let refused = refused_keyword::table.filter(refused_keyword::triangle.eq(name));
    diesel::delete(refused.filter(refused_keyword::corner.eq(Corner::Standby.as_str())))
        .execute(db)?;
    diesel::delete(folders(Corner::Standby)).execute(db)?;
    diesel::update(triangle::table.find(name))
        .set(triangle::first_mirror_at.eq(None::<i64>))
        .execute(db)?;
    Ok(())
}
