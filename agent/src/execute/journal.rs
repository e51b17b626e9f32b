//! The journal around an APPEND: what is about to be sent is in the ledger before it is sent, and what
//! became of it afterwards.

use super::Execution;
use super::transfer::Item;
use crate::clock;
use crate::error::AgentError;
use crate::imap::Appended;
use crate::kill;
use crate::ledger::NewRow;
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::view::{Origin, Place};

use crate::snapshot::TargetFolder;

impl Execution<'_> {
    /// Writes down octets that have been fetched from the source, and those that are about to be sent to the target.
    pub(super) fn note_spent(&self, to_send: u64) -> Result<(), AgentError> {
        let now = clock::now_s();
        let mut ledger = self.ledger.borrow_mut();
        let fetched = self.source_endpoint.meter.take();
        ledger.spend(&self.source_endpoint.account(), fetched, now)?;
        ledger.spend(&self.target_endpoint.account(), to_send, now)?;
        Ok(())
    }

    /// Notes batches for a folder and the source rows that they carry, durably.
    pub(super) async fn open_batches(
        &self,
        folder: &TargetFolder,
        contents: &[Vec<ContentId>],
        rows: &[NewRow],
    ) -> Result<Vec<i64>, AgentError> {
        let (ids, written) = {
            let mut ledger = self.ledger.borrow_mut();
            let (id, uidnext) = (folder.known.id, folder.uidnext);
            let now = clock::now_s();
            let ids = ledger.open_batches(self.triangle, id, uidnext, contents, rows, now)?;
            (ids, ledger.written()?)
        };
        kill::point("journal written");
        tokio::task::spawn_blocking(|| written.settle())
            .await
            .map_err(|_| AgentError::Internal("the ledger's work ended in a panic"))??;
        kill::point("journal durable");
        Ok(ids)
    }

    /// Notes the copies that batches made. One whose UID the server did not tell is found by its content in
    /// the next round, which the batches stay open for.
    pub(super) fn close_batches(
        &self,
        ids: &[i64],
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
        let ids = if all_told { ids } else { &[] };
        self.ledger
            .borrow_mut()
            .close_batches(ids, &copies, &put_back, &repairs, now)?;
        kill::point("copies noted");
        Ok(())
    }
}
