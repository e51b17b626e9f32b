//! What the store has as present and the ledger does not know: a ledger that was lost, or restored from an
//! older copy.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::Corner;

use super::Round;
use crate::error::AgentError;
use crate::imap::wire;
use crate::plan::identity::{LogicalFolder, MemberId};
use crate::plan::names::new_name;
use crate::plan::view::FolderId;
use crate::snapshot::Seen;
use crate::store::{Member, Store};

impl Round<'_> {
    /// Notes what the ledger has forgotten as messages of an ended generation, so that they are matched again
    /// by content: what stayed keeps its place in the store, what was moved is followed, what vanished is buried.
    /// What a killed run had stored before it could note it is left out: it comes again under the same id.
    pub(super) async fn remember(&mut self) -> Result<(), AgentError> {
        let name = &self.triangle.name;
        let mut known: BTreeSet<MemberId> = {
            let mut ledger = self.site.ledger.borrow_mut();
            let rows = ledger.stored_rows(name, Corner::Primary)?;
            rows.into_iter().map(|row| row.member).collect()
        };
        known.extend(shown_members(&self.source, name));
        let triangle = name.clone();
        let find = move |store: &mut Store| {
            let mut forgotten: BTreeMap<LogicalFolder, Vec<Member>> = BTreeMap::new();
            store.each_member(&triangle, |member| {
                if member.tombstone.is_none() && !known.contains(&member.member) {
                    let folder = forgotten.entry(member.folder.clone());
                    folder.or_default().push(member);
                }
            })?;
            Ok(forgotten)
        };
        let forgotten = self.site.store.with(find).await?;
        if forgotten.is_empty() {
            return Ok(());
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
            .add_folder(name, Corner::Primary, &mailbox, folder, 0)?
            .id)
    }
}

/// The ids that messages get where they are shown now.
fn shown_members(source: &Seen, triangle: &str) -> impl Iterator<Item = MemberId> {
    source.folders.values().flat_map(move |folder| {
        let known = &folder.known;
        let listed = folder.listing.iter().flat_map(|listing| &listing.messages);
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
