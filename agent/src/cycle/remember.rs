//! What the store has as present and the ledger does not know: a ledger that was lost, or restored from an
//! older copy.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::Corner;

use super::Round;
use crate::error::AgentError;
use crate::imap::wire;
use crate::ledger::KnownFolder;
use crate::plan::identity::{LogicalFolder, MemberId};
use crate::plan::names::new_name;
use crate::plan::view::FolderId;
use crate::snapshot::Seen;
use crate::store::{Member, Store};

/// What the store has as present, against what the ledger knows.
#[derive(Default)]
struct InStore {
    /// What it calls the folders that the ledger knows.
    named: BTreeMap<FolderId, BTreeSet<LogicalFolder>>,
    /// What the ledger does not know, by folder.
    forgotten: BTreeMap<LogicalFolder, Vec<Member>>,
    /// What the ledger does not know either, under the id that a message gets that is shown now.
    shown: Vec<Member>,
}

impl InStore {
    /// What the ledger has forgotten. What a killed run had stored before it could note it is none of it: it comes
    /// again under the same id. But of two equal messages nobody knows which of them is shown.
    fn forgotten(self) -> BTreeMap<LogicalFolder, Vec<Member>> {
        let mut forgotten = self.forgotten;
        for member in self.shown {
            if let Some(others) = forgotten.get_mut(&member.folder)
                && others
                    .iter()
                    .any(|other| (other.content, other.date) == (member.content, member.date))
            {
                others.push(member);
            }
        }
        forgotten
    }
}

impl Round<'_> {
    /// Notes what the ledger has forgotten as messages of an ended generation, so that they are matched again
    /// by content: what stayed keeps its place in the store, what was moved is followed, what vanished is buried.
    pub(super) async fn remember(&mut self) -> Result<(), AgentError> {
        let name = &self.triangle.name;
        let (known, folders) = {
            let mut ledger = self.site.ledger.borrow_mut();
            let rows = ledger.stored_rows(name, Corner::Primary)?;
            let known: BTreeMap<MemberId, FolderId> =
                rows.iter().map(|row| (row.member, row.at.folder)).collect();
            (known, ledger.folders(name, Corner::Primary)?)
        };
        let shown: BTreeSet<MemberId> = shown_members(&self.source, name).collect();
        let triangle = name.clone();
        let find = move |store: &mut Store| {
            let mut found = InStore::default();
            store.each_member(&triangle, |member| {
                if member.tombstone.is_some() {
                } else if let Some(folder) = known.get(&member.member) {
                    found
                        .named
                        .entry(*folder)
                        .or_default()
                        .insert(member.folder);
                } else if shown.contains(&member.member) {
                    found.shown.push(member);
                } else {
                    let folder = found.forgotten.entry(member.folder.clone());
                    folder.or_default().push(member);
                }
            })?;
            Ok(found)
        };
        let found = self.site.store.with(find).await?;
        let renamed = self.follow_names(&folders, &found.named)?;
        let forgotten = found.forgotten();
        if forgotten.is_empty() {
            return if renamed {
                self.look_again(true).await
            } else {
                Ok(())
            };
        }
        let messages: usize = forgotten.values().map(Vec::len).sum();
        tracing::warn!(
            messages,
            "the store has messages that the ledger has forgotten; matching them by content"
        );
        for (folder, members) in forgotten {
            if self.source.closed.contains_key(&folder) {
                continue;
            }
            let id = self.source_folder(&folder)?;
            let mut ledger = self.site.ledger.borrow_mut();
            ledger.remember(id, &members)?;
        }
        self.look_again(true).await
    }

    /// Folders of the standby that we have renamed since the ledger was kept, as the store tells. Whether there are
    /// any: what has to follow is moved then, and nothing counts as a stranger's doing.
    fn follow_names(
        &mut self,
        folders: &[KnownFolder],
        named: &BTreeMap<FolderId, BTreeSet<LogicalFolder>>,
    ) -> Result<bool, AgentError> {
        let mut renamed = false;
        for source in folders {
            let Some(names) = named.get(&source.id) else {
                continue;
            };
            let (Some(name), 1) = (names.first(), names.len()) else {
                continue;
            };
            let (Some(before), Some(after)) = (
                self.target.folders.get(&source.logical),
                self.target.folders.get(name),
            ) else {
                continue;
            };
            let (gone, there) = (before.status.is_none(), after.status.is_some());
            if *name == source.logical
                || !gone
                || !there
                || before.known.uidvalidity != after.known.uidvalidity
            {
                continue;
            }
            let (id, mailbox) = (before.known.id, after.mailbox.as_str().to_owned());
            let mut ledger = self.site.ledger.borrow_mut();
            if ledger.holds_messages(after.known.id)? {
                continue;
            }
            ledger.rename_folder(id, &mailbox, name)?;
            renamed = true;
        }
        Ok(renamed)
    }

    /// The number of a folder of the source; of one that is gone, a new one.
    fn source_folder(&self, folder: &LogicalFolder) -> Result<FolderId, AgentError> {
        if let Some(seen) = self.source.folders.get(folder) {
            return Ok(seen.known.id);
        }
        let name = &self.triangle.name;
        let mut ledger = self.site.ledger.borrow_mut();
        let known = ledger.folders(name, Corner::Primary)?;
        if let Some(known) = known.iter().find(|known| known.logical == *folder) {
            return Ok(known.id);
        }
        let separator = self.source.separator;
        let role = folder.components().0.unwrap_or_default();
        let text = new_name(folder, separator, "", &BTreeMap::new(), role).text;
        let taken = |mailbox: &str| {
            self.source.taken.contains(mailbox) || known.iter().any(|k| k.mailbox == mailbox)
        };
        let mut mailbox = wire::encode_utf7(&text);
        while taken(&mailbox) {
            mailbox.push_str("=gone");
        }
        Ok(ledger
            .add_folder(name, Corner::Primary, &mailbox, folder, 0, 0)?
            .id)
    }
}

/// The ids that messages get where they are shown now.
fn shown_members(source: &Seen, triangle: &str) -> impl Iterator<Item = MemberId> {
    source.folders.values().flat_map(move |folder| {
        let known = &folder.known;
        let listed = folder
            .listing
            .iter()
            .flat_map(|listing| listing.messages.iter());
        listed.map(move |message| {
            let (uidvalidity, generation) = (known.uidvalidity, known.generation);
            MemberId::of(
                triangle,
                &known.mailbox,
                uidvalidity,
                generation,
                message.uid,
            )
        })
    })
}
