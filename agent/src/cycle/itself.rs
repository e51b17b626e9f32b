//! A standby that is the primary itself under another name of its host: all would be equal there and nothing be kept, and
//! below a prefix the account be copied into itself.

use crate::account::Account;
use crate::cycle::Round;
use crate::error::AgentError;
use crate::imap::{Folder, Folders, Kind, Mailbox, wire};
use crate::plan::names::with_namespace;

impl Round<'_> {
    /// Refuses such a standby. Accounts that look alike to the last UIDNEXT are told apart by a folder that is made on
    /// the standby and looked for on the primary.
    pub(super) async fn refuse_itself(
        &mut self,
        source: &Folders,
        target: &Folders,
    ) -> Result<(), AgentError> {
        let Account::Imap(primary) = &mut self.source_link else {
            return Ok(());
        };
        if !alike(source, target) {
            return Ok(());
        }
        let name = format!("maildreieck-{}", uuid::Uuid::new_v4().simple());
        let name = with_namespace(&name, &wire::decode_utf7(&target.namespace));
        let Some(probe) = Mailbox::new(&wire::encode_utf7(&name)) else {
            return Ok(());
        };
        let standby = self.target_link.imap()?;
        let there = match standby.with_probe(&probe, primary.status(&probe)).await {
            Ok(there) => there,
            Err(error) if error.kind == Kind::No => {
                tracing::warn!(%error, "the accounts look alike, and whether they are one could not be found out");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        match there {
            Ok(_) => Err(AgentError::Config(format!(
                "the standby ({}) is the primary ({}) itself under another name: what is done to one shows in the other; name an account of another hoster",
                self.target_link.endpoint().account(),
                self.source_link.endpoint().account()
            ))),
            Err(error) if error.kind == Kind::No => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether two accounts that hold mail have the same folders, and each stands where its like does.
fn alike(one: &Folders, other: &Folders) -> bool {
    let same = |one: &Folder, other: &Folder| {
        (&one.mailbox, one.selectable, one.status)
            == (&other.mailbox, other.selectable, other.status)
    };
    let (one, other) = (&one.all, &other.all);
    let holds_mail = |folder: &Folder| folder.status.is_some_and(|status| status.messages > 0);
    one.values().any(holds_mail)
        && one.len() == other.len()
        && one.values().zip(other.values()).all(|(a, b)| same(a, b))
}
