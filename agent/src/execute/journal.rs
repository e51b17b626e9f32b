//! The journal around an APPEND: what is about to be sent is in the ledger before it is sent, and what
//! became of it afterwards.

use super::Execution;
use super::transfer::Item;
use crate::clock;
use crate::error::AgentError;
use crate::imap::Appended;
use crate::ledger::NewRow;
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::view::{Origin, Place};

use super::TargetFolder;

impl Execution<'_> {
    /// Notes a batch and the source rows that it carries.
    pub(super) fn open_batch(
        &self,
        folder: &TargetFolder,
        items: &[Item],
    ) -> Result<i64, AgentError> {
        let contents: Vec<ContentId> = items.iter().map(|i| i.content).collect();
        let rows: Vec<NewRow> = items.iter().filter_map(|i| i.row.clone()).collect();
        let now = clock::now_s();
        Ok(self.ledger.borrow_mut().open_batch(
            self.triangle,
            folder.known.id,
            folder.uidnext,
            &contents,
            &rows,
            now,
        )?)
    }

    /// Notes the copies that a batch made. One whose UID the server did not tell is found by its content in
    /// the next round, which the batch stays open for.
    pub(super) fn close_batch(
        &self,
        id: Option<i64>,
        folder: &TargetFolder,
        logical: &LogicalFolder,
        appended: &[(Item, Appended)],
    ) -> Result<(), AgentError> {
        let now = clock::now_s();
        let mut copies = Vec::with_capacity(appended.len());
        let (mut put_back, mut repairs) = (Vec::new(), Vec::new());
        let mut all_told = true;
        for (item, told) in appended {
            if let Some(class) = item.repair {
                put_back.push(item.source);
                repairs.push((
                    self.triangle,
                    class,
                    self.target_corner,
                    logical.clone(),
                    item.content,
                ));
            }
            match told {
                Some((uidvalidity, uid)) if *uidvalidity == folder.known.uidvalidity => {
                    let at = Place {
                        folder: folder.known.id,
                        generation: folder.known.generation,
                        uid: *uid,
                    };
                    let row = NewRow {
                        at,
                        content: item.content,
                        size: item.size,
                        date: item.date,
                        flags: item.flags.clone(),
                        verified_at: None,
                        origin: Origin::Written,
                        member: None,
                    };
                    copies.push((item.source, row));
                }
                _ => all_told = false,
            }
        }
        let id = id.filter(|_| all_told);
        self.ledger
            .borrow_mut()
            .close_batch(id, &copies, &put_back, &repairs, now)?;
        Ok(())
    }
}
