//! Batches under way: noted before they are sent, closed when their end is known.

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::faults::insert_repairs;
use super::messages::{content_of, insert_rows, set_copy};
use super::records::key;
use super::schema::{batch, message, quarantine};
use super::{Ledger, NewRow, Result, unsigned};
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::view::{FolderId, Place};

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
    /// When it was journalled, seconds since 1970.
    pub opened_at: i64,
}

impl Ledger {
    /// Notes batches before they are sent to a folder, together with the source rows that they carry; their
    /// numbers. It is durable once [`Ledger::written`] is settled, and must not be sent before.
    ///
    /// # Errors
    /// The ledger cannot be written: then they must not be sent.
    pub fn open_batches(
        &mut self,
        triangle: &str,
        folder: FolderId,
        uidnext: u32,
        contents: &[Vec<ContentId>],
        rows: &[NewRow],
        now: i64,
    ) -> Result<Vec<i64>> {
        self.transact_lightly(|db| {
            insert_rows(db, rows)?;
            let mut ids = Vec::with_capacity(contents.len());
            for contents in contents {
                let octets: Vec<u8> = contents.iter().flat_map(|c| c.0).collect();
                let id = diesel::insert_into(batch::table)
                    .values((
                        batch::triangle.eq(triangle),
                        batch::folder_id.eq(folder.0),
                        batch::uidnext.eq(i64::from(uidnext)),
                        batch::contents.eq(octets),
                        batch::opened_at.eq(now),
                    ))
                    .returning(batch::id)
                    .get_result(db)?;
                ids.push(id);
            }
            Ok(ids)
        })
    }

    /// Notes what became of batches: the copies, and whose they are; and the repairs that they were. Those that
    /// are named are closed. Without repairs it need not survive a loss of power: the batches are open then
    /// again, and the next run finds the copies by their content.
    ///
    /// # Errors
    /// The ledger cannot be written: the next run then finds the copies by their content.
    pub fn close_batches(
        &mut self,
        ids: &[i64],
        copies: &[(Place, NewRow)],
        put_back: &[Place],
        repairs: &[(&str, Class, Corner, LogicalFolder, ContentId)],
        now: i64,
    ) -> Result<()> {
        let work = |db: &mut SqliteConnection| {
            let rows: Vec<NewRow> = copies.iter().map(|(_, row)| row.clone()).collect();
            insert_rows(db, &rows)?;
            for (source, row) in copies {
                set_copy(db, *source, Some(row.at))?;
                diesel::delete(quarantine::table.find(key(*source))).execute(db)?;
            }
            for source in put_back {
                diesel::update(message::table.find(key(*source)))
                    .set(message::put_backs.eq(message::put_backs + 1))
                    .execute(db)?;
            }
            insert_repairs(db, repairs, now)?;
            diesel::delete(batch::table.filter(batch::id.eq_any(ids))).execute(db)?;
            Ok(())
        };
        if repairs.is_empty() && put_back.is_empty() {
            self.transact_lightly(work)
        } else {
            self.transact(work)
        }
    }

    /// The batches of a triangle whose end is not known.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn batches_in_doubt(&mut self, triangle: &str) -> Result<Vec<Batch>> {
        let rows: Vec<(i64, i64, i64, Vec<u8>, i64)> = batch::table
            .filter(batch::triangle.eq(triangle))
            .order(batch::id)
            .select((
                batch::id,
                batch::folder_id,
                batch::uidnext,
                batch::contents,
                batch::opened_at,
            ))
            .load(&mut self.db)?;
        rows.into_iter()
            .map(|(id, folder, uidnext, contents, opened_at)| {
                let contents: Result<Vec<ContentId>> =
                    contents.chunks(32).map(content_of).collect();
                Ok(Batch {
                    id,
                    folder: FolderId(folder),
                    uidnext: unsigned(uidnext)?,
                    contents: contents?,
                    opened_at,
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
}
