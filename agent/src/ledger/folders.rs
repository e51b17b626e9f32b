//! Folders in the ledger: which an account has, where each stood, and which generation of UIDs it is in.

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::Corner;

use super::schema::{folder, message, quarantine, renaming, tombstone};
use super::{Ledger, LedgerError, Result, generation_of, generation_to, unsigned};
use crate::plan::identity::LogicalFolder;
use crate::plan::view::FolderId;

/// A folder as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFolder {
    /// Its number.
    pub id: FolderId,
    /// Its name on the server.
    pub mailbox: String,
    /// The name that all corners share.
    pub logical: LogicalFolder,
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// Its generation.
    pub generation: u32,
    /// UIDNEXT when everything in it had been dealt with; 0 while it has not.
    pub uidnext: u32,
    /// HIGHESTMODSEQ at that time.
    pub highestmodseq: Option<u64>,
    /// Messages at that time.
    pub messages: u32,
    /// UIDNEXT of a standby's folder when the first mirror met it: what lies below was there before the triangle.
    pub found_uidnext: u32,
}

/// Where a folder stood: UIDNEXT, HIGHESTMODSEQ, messages.
pub type Stood = (u32, Option<u64>, u32);

type Tuple = (i64, String, String, i64, i32, i64, Option<i64>, i64, i64);

fn known(tuple: Tuple) -> Result<KnownFolder> {
    let (id, mailbox, logical, uidvalidity, generation, uidnext, highestmodseq, messages, found) =
        tuple;
    Ok(KnownFolder {
        id: FolderId(id),
        mailbox,
        logical: LogicalFolder::from_stored(&logical),
        uidvalidity: unsigned(uidvalidity)?,
        generation: generation_of(generation)?,
        uidnext: unsigned(uidnext)?,
        highestmodseq: highestmodseq.and_then(|v| u64::try_from(v).ok()),
        messages: unsigned(messages)?,
        found_uidnext: unsigned(found)?,
    })
}

impl Ledger {
    /// The folders of one account of a triangle.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn folders(&mut self, triangle: &str, corner: Corner) -> Result<Vec<KnownFolder>> {
        self.folders_of(triangle, corner, None)
    }

    /// The folder of an account that bears a name on its server.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn folder(
        &mut self,
        triangle: &str,
        corner: Corner,
        mailbox: &str,
    ) -> Result<Option<KnownFolder>> {
        Ok(self.folders_of(triangle, corner, Some(mailbox))?.pop())
    }

    fn folders_of(
        &mut self,
        triangle: &str,
        corner: Corner,
        mailbox: Option<&str>,
    ) -> Result<Vec<KnownFolder>> {
        let mut query = folder::table
            .filter(folder::triangle.eq(triangle))
            .filter(folder::corner.eq(corner.as_str()))
            .order(folder::mailbox)
            .select((
                folder::id,
                folder::mailbox,
                folder::logical,
                folder::uidvalidity,
                folder::generation,
                folder::uidnext,
                folder::highestmodseq,
                folder::messages,
                folder::found_uidnext,
            ))
            .into_boxed();
        if let Some(mailbox) = mailbox {
            query = query.filter(folder::mailbox.eq(mailbox));
        }
        let rows: Vec<Tuple> = query.load(&mut self.db)?;
        rows.into_iter().map(known).collect()
    }

    /// Notes a folder that was not known, with its [`KnownFolder::found_uidnext`].
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_folder(
        &mut self,
        triangle: &str,
        corner: Corner,
        mailbox: &str,
        logical: &LogicalFolder,
        uidvalidity: u32,
        found_uidnext: u32,
    ) -> Result<KnownFolder> {
        let id: i64 = self.transact_lightly(|db| {
            Ok(diesel::insert_into(folder::table)
                .values((
                    folder::triangle.eq(triangle),
                    folder::corner.eq(corner.as_str()),
                    folder::mailbox.eq(mailbox),
                    folder::logical.eq(logical.as_str()),
                    folder::uidvalidity.eq(i64::from(uidvalidity)),
                    folder::generation.eq(1),
                    folder::uidnext.eq(0),
                    folder::messages.eq(0),
                    folder::found_uidnext.eq(i64::from(found_uidnext)),
                ))
                .returning(folder::id)
                .get_result(db)?)
        })?;
        Ok(KnownFolder {
            id: FolderId(id),
            mailbox: mailbox.to_owned(),
            logical: logical.clone(),
            uidvalidity,
            generation: 1,
            uidnext: 0,
            highestmodseq: None,
            messages: 0,
            found_uidnext,
        })
    }

    /// Begins a new generation: what was known of the folder is stale until it is matched again.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn begin_generation(&mut self, known: &mut KnownFolder, uidvalidity: u32) -> Result<()> {
        let generation = known.generation + 1;
        diesel::update(folder::table.find(known.id.0))
            .set((
                folder::uidvalidity.eq(i64::from(uidvalidity)),
                folder::generation.eq(generation_to(generation)),
                folder::uidnext.eq(0),
                folder::highestmodseq.eq(None::<i64>),
                folder::messages.eq(0),
            ))
            .execute(&mut self.db)?;
        known.generation = generation;
        known.uidvalidity = uidvalidity;
        known.uidnext = 0;
        known.highestmodseq = None;
        Ok(())
    }

    /// Notes where folders stood when everything in them had been dealt with: until one stands elsewhere it
    /// need not be listed. `None` takes the note back.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn settle(&mut self, folders: &[(FolderId, Option<Stood>)]) -> Result<()> {
        self.transact(|db| {
            for (id, stood) in folders {
                let (uidnext, modseq, messages) = stood.unwrap_or_default();
                diesel::update(folder::table.find(id.0))
                    .set((
                        folder::uidnext.eq(i64::from(uidnext)),
                        folder::highestmodseq.eq(modseq.and_then(|v| i64::try_from(v).ok())),
                        folder::messages.eq(i64::from(messages)),
                    ))
                    .execute(db)?;
            }
            Ok(())
        })
    }

    /// Notes that a folder is about to be renamed on its server.
    ///
    /// # Errors
    /// The ledger cannot be written: then it must not be.
    pub fn begin_rename(
        &mut self,
        id: FolderId,
        mailbox: &str,
        logical: &LogicalFolder,
    ) -> Result<()> {
        self.transact(|db| {
            diesel::replace_into(renaming::table)
                .values((
                    renaming::folder_id.eq(id.0),
                    renaming::mailbox.eq(mailbox),
                    renaming::logical.eq(logical.as_str()),
                ))
                .execute(db)?;
            Ok(())
        })
    }

    /// Finds out what became of renames under way, by the names that the server lists now.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn end_renames(
        &mut self,
        triangle: &str,
        corner: Corner,
        listed: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let open: Vec<(i64, String, String, String)> = renaming::table
            .inner_join(folder::table.on(folder::id.eq(renaming::folder_id)))
            .filter(
                folder::triangle
                    .eq(triangle)
                    .and(folder::corner.eq(corner.as_str())),
            )
            .select((
                renaming::folder_id,
                folder::mailbox,
                renaming::mailbox,
                renaming::logical,
            ))
            .load(&mut self.db)?;
        for (id, from, to, logical) in open {
            if listed(&to) && !listed(&from) {
                let logical = LogicalFolder::from_stored(&logical);
                self.rename_folder(FolderId(id), &to, &logical)?;
            } else {
                diesel::delete(renaming::table.find(id)).execute(&mut self.db)?;
            }
        }
        Ok(())
    }

    /// Gives a folder another name, in the place of a row that may have been made under that name meanwhile.
    ///
    /// # Errors
    /// The ledger cannot be written, or the other row already holds messages.
    pub fn rename_folder(
        &mut self,
        id: FolderId,
        mailbox: &str,
        logical: &LogicalFolder,
    ) -> Result<()> {
        self.transact(|db| {
            let (triangle, corner): (String, String) = folder::table
                .find(id.0)
                .select((folder::triangle, folder::corner))
                .first(db)?;
            let other: Option<i64> = folder::table
                .filter(
                    folder::triangle
                        .eq(triangle)
                        .and(folder::corner.eq(corner))
                        .and(folder::mailbox.eq(mailbox)),
                )
                .filter(folder::id.ne(id.0))
                .select(folder::id)
                .first(db)
                .optional()?;
            if let Some(other) = other {
                if holds_messages(db, other)? {
                    return Err(LedgerError::Damaged(
                        "a folder was renamed to one that holds messages",
                    ));
                }
                diesel::delete(folder::table.find(other)).execute(db)?;
            }
            diesel::update(folder::table.find(id.0))
                .set((
                    folder::mailbox.eq(mailbox),
                    folder::logical.eq(logical.as_str()),
                    folder::uidnext.eq(0),
                ))
                .execute(db)?;
            diesel::delete(renaming::table.find(id.0)).execute(db)?;
            // Copies that tombstones point at lie in the renamed folder of the target.
            diesel::update(tombstone::table.filter(tombstone::copy_folder.eq(id.0)))
                .set(tombstone::logical.eq(logical.as_str()))
                .execute(db)?;
            Ok(())
        })
    }

    /// Whether anything is known of messages in a folder.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn holds_messages(&mut self, id: FolderId) -> Result<bool> {
        holds_messages(&mut self.db, id.0)
    }

    /// Drops folders that are gone and of which nothing is remembered any more.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn drop_empty_folders(&mut self, gone: &[FolderId]) -> Result<()> {
        self.transact(|db| {
            for id in gone {
                if !holds_messages(db, id.0)? {
                    diesel::delete(quarantine::table.filter(quarantine::folder_id.eq(id.0)))
                        .execute(db)?;
                    diesel::delete(folder::table.find(id.0)).execute(db)?;
                }
            }
            Ok(())
        })
    }
}

fn holds_messages(db: &mut SqliteConnection, id: i64) -> Result<bool> {
    let held = message::table.filter(message::folder_id.eq(id));
    Ok(diesel::select(diesel::dsl::exists(held)).get_result(db)?)
}
