//! What the store has lost and the primary cannot give, fetched from copies on the standby. A copy counts only if its
//! octets are those that were lost: by their content id, whatever the ledger says.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::{Bodies, Execution, Narrowing};
use crate::account::Account;
use crate::clock;
use crate::error::AgentError;
use crate::imap::{BodyEvent, Mailbox};
use crate::ledger::StoredRow;
use crate::plan::identity::{ContentId, LogicalFolder};

/// Copies in a folder of the standby, by UID.
pub struct Copies {
    /// The folder.
    pub folder: LogicalFolder,
    /// Its name there.
    pub mailbox: Mailbox,
    /// Its UIDVALIDITY.
    pub uidvalidity: u32,
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
        let mut narrowing = Narrowing::default();
        for folder in copies {
            let messages = folder.messages.iter();
            let wanted = messages.filter(|(_, content)| !again.contains(content));
            let uids: Vec<u32> = wanted.map(|(uid, _)| *uid).collect();
            if uids.is_empty() {
                continue;
            }
            standby
                .open_listed(&folder.mailbox, folder.uidvalidity)
                .await?;
            let there = (&folder.mailbox, folder.uidvalidity);
            let mut bodies = Bodies::new(there, &mut narrowing, &uids, 50);
            let mut repairs = Vec::new();
            while let Some(event) = bodies.next(standby).await? {
                let body = match event {
                    BodyEvent::Body(body) => body,
                    BodyEvent::Gone(_) | BodyEvent::Unreadable(..) => continue,
                    BodyEvent::End => {
                        self.store.with(|store| Ok(store.commit()?)).await?;
                        let mut ledger = self.ledger.borrow_mut();
                        ledger.add_repairs(&std::mem::take(&mut repairs), clock::now_s())?;
                        continue;
                    }
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
        }
        Ok(again.len())
    }
}
