//! What went wrong and what was mended: quarantine, refused keywords, repairs until a Tx has reported them.

use std::collections::BTreeSet;

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::messages::content_of;
use super::records::key;
use super::schema::{
    equivalent, folder, last_certificate, quarantine, refused_keyword, repair, tombstone,
};
use super::{Ledger, LedgerError, Result, generation_of, generation_to, unsigned};
use crate::plan::identity::{ContentId, LastCertificate, LogicalFolder};
use crate::plan::view::{FolderId, Place};

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

impl Ledger {
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

    /// Notes a Tx: which repairs it reported, and that it reported the tombstones.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn close_tx(&mut self, name: &str, reported: &[i64]) -> Result<()> {
        self.transact(|db| {
            diesel::update(repair::table.filter(repair::id.eq_any(reported)))
                .set(repair::reported.eq(true))
                .execute(db)?;
            diesel::update(tombstone::table.filter(tombstone::triangle.eq(name)))
                .set(tombstone::reported.eq(true))
                .execute(db)?;
            Ok(())
        })
    }

    /// The last certificate of a chain, by the name that certificates give the triangle.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn last_certificate(&mut self, triangle: &str) -> Result<Option<LastCertificate>> {
        let row: Option<(i64, String)> = last_certificate::table
            .find(triangle)
            .select((last_certificate::sequence, last_certificate::sha256))
            .first(&mut self.db)
            .optional()?;
        Ok(row.map(|(sequence, sha256)| LastCertificate {
            sequence: u64::try_from(sequence).unwrap_or(0),
            sha256,
        }))
    }

    /// Notes the last certificate of a chain.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn note_certificate(&mut self, triangle: &str, last: &LastCertificate) -> Result<()> {
        let sequence = i64::try_from(last.sequence).unwrap_or(i64::MAX);
        let now = (
            last_certificate::sequence.eq(sequence),
            last_certificate::sha256.eq(&last.sha256),
        );
        diesel::insert_into(last_certificate::table)
            .values((last_certificate::triangle.eq(triangle), now))
            .on_conflict(last_certificate::triangle)
            .do_update()
            .set(now)
            .execute(&mut self.db)?;
        Ok(())
    }

    /// Puts a message in quarantine.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn quarantine(&mut self, at: Place, class: Class, reason: &str, now: i64) -> Result<()> {
        self.transact(|db| put_in_quarantine(db, at, class, reason, now))
    }

    /// Has messages tried again that were refused, and were tried last at `before` or earlier, seconds since 1970.
    /// Since when they are in quarantine stays as it is.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn retry_quarantined(&mut self, triangle: &str, before: i64) -> Result<()> {
        let folders = folder::table
            .filter(folder::triangle.eq(triangle))
            .select(folder::id);
        let due = quarantine::table
            .filter(quarantine::folder_id.eq_any(folders))
            .filter(quarantine::class.eq(Class::Quarantined.as_str()))
            .filter(quarantine::tried_at.between(1, before));
        diesel::update(due)
            .set(quarantine::tried_at.eq(0))
            .execute(&mut self.db)?;
        Ok(())
    }

    /// Takes messages out of quarantine.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn release(&mut self, places: &[Place]) -> Result<()> {
        self.transact(|db| {
            for at in places {
                diesel::delete(quarantine::table.find(key(*at))).execute(db)?;
            }
            Ok(())
        })
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

    /// Notes what a hoster made of a message, where both say the same.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn note_equivalent(&mut self, original: ContentId, rewritten: ContentId) -> Result<()> {
        diesel::insert_into(equivalent::table)
            .values((
                equivalent::original.eq(original.0.to_vec()),
                equivalent::rewritten.eq(rewritten.0.to_vec()),
            ))
            .on_conflict_do_nothing()
            .execute(&mut self.db)?;
        Ok(())
    }

    /// What hosters made of messages: each original with what says the same.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn equivalents(&mut self) -> Result<BTreeSet<(ContentId, ContentId)>> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = equivalent::table.load(&mut self.db)?;
        rows.iter()
            .map(|(original, rewritten)| Ok((content_of(original)?, content_of(rewritten)?)))
            .collect()
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
}

pub(super) fn insert_repairs(
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

pub(super) fn put_in_quarantine(
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
            quarantine::tried_at.eq(now),
        ))
        .on_conflict((
            quarantine::folder_id,
            quarantine::generation,
            quarantine::uid,
        ))
        .do_update()
        .set((
            quarantine::class.eq(class.as_str()),
            quarantine::reason.eq(reason),
            quarantine::tried_at.eq(now),
        ))
        .execute(db)?;
    Ok(())
}
