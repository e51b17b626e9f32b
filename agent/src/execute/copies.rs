//! What the store has lost and the primary cannot give, fetched from copies on the standby. A copy counts only if its
//! octets are those that were lost: by their content id, whatever the ledger says.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::Execution;
use crate::account::Account;
use crate::clock;
use crate::error::AgentError;
use crate::imap::{BodyEvent, Mailbox, wire};
use crate::ledger::StoredRow;
use crate::plan::identity::{ContentId, LogicalFolder};

/// Copies in a folder of the standby, by UID.
pub struct Copies {
    /// The folder.
    pub folder: LogicalFolder,
    /// Its name there.
    pub mailbox: Mailbox,
    /// What each is thought to be.
    pub messages: BTreeMap<u32, ContentId>,
}

impl Execution<'_> {
    /// Fetches each content once. `lost` is what the primary had of them, whose membership may be lost too. How many
    /// contents the store has again.
    ///
    /// # Errors
    /// The standby cannot be read or the store not written.
    pub async fn refill_from_copies(
        &self,
        copies: &[Copies],
        lost: &[StoredRow],
        standby: &mut Account,
    ) -> Result<usize, AgentError> {
        let mut again: BTreeSet<ContentId> = BTreeSet::new();
        for folder in copies {
            let messages = folder.messages.iter();
            let wanted = messages.filter(|(_, content)| !again.contains(content));
            let uids: Vec<u32> = wanted.map(|(uid, _)| *uid).collect();
            if uids.is_empty() {
                continue;
            }
            standby.open_mailbox(&folder.mailbox).await?;
            for set in uids.chunks(50).flat_map(|some| wire::uid_sets(some, 4000)) {
                let tag = standby.ask_bodies(&set).await?;
                let mut repairs = Vec::new();
                loop {
                    let body = match standby.next_body(&tag).await? {
                        BodyEvent::End => break,
                        BodyEvent::Body(body) => body,
                        BodyEvent::Gone(_) | BodyEvent::Unreadable(..) => continue,
                    };
                    let content = ContentId::of(&body.octets);
                    if folder.messages.get(&body.uid) != Some(&content) || !again.insert(content) {
                        continue;
                    }
                    self.progress.moved();
                    let rows = lost.iter().filter(|row| row.content == content).cloned();
                    let events: Vec<_> = rows.map(|row| row.into_add(self.triangle)).collect();
                    let keep = move |store: &mut crate::store::Store| {
                        store.put(&body.octets)?;
                        for event in events {
                            store.record(event)?;
                        }
                        Ok(())
                    };
                    self.store.with(keep).await?;
                    let (class, corner) = (Class::MissingInStore, Corner::Store);
                    repairs.push((self.triangle, class, corner, folder.folder.clone(), content));
                }
                self.store.with(|store| Ok(store.commit()?)).await?;
                let mut ledger = self.ledger.borrow_mut();
                ledger.add_repairs(&repairs, clock::now_s())?;
            }
        }
        Ok(again.len())
    }
}
