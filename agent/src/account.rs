//! An account as it is read: by IMAP or by POP3. It passes on, and knows nothing itself.

use std::sync::Arc;

use crate::error::AgentError;
use crate::imap::{
    Ask, BodyEvent, Endpoint, FolderStatus, Folders, ImapError, Link, Listing, Mailbox, Opened,
    Protocol,
};
use crate::pop::{Numbered, Pop};

/// A connection to an account that messages are read from.
pub enum Account {
    /// By IMAP; can be written to as well.
    Imap(Box<Link>),
    /// By POP3.
    Pop(Box<Pop>),
}

impl Account {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When no connection comes about, or the login is refused.
    pub async fn open(endpoint: Arc<Endpoint>) -> Result<Self, ImapError> {
        Ok(match endpoint.protocol {
            Protocol::Imap => Self::Imap(Box::new(Link::open(endpoint).await?)),
            Protocol::Pop3 => Self::Pop(Box::new(Pop::open(endpoint).await?)),
        })
    }

    /// The account.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        match self {
            Self::Imap(link) => link.endpoint(),
            Self::Pop(pop) => pop.endpoint(),
        }
    }

    /// The connection, for what IMAP alone can.
    ///
    /// # Errors
    /// It speaks POP3: nothing can be put into it.
    pub fn imap(&mut self) -> Result<&mut Link, AgentError> {
        match self {
            Self::Imap(link) => Ok(link),
            Self::Pop(pop) => Err(AgentError::Config(format!(
                "{} ({}): nothing can be put into an account by POP3; mail can be sent there only with protocol = \"imap\"",
                pop.endpoint().corner,
                pop.endpoint().host
            ))),
        }
    }

    /// Whether the server named an IMAP capability.
    #[must_use]
    pub fn has(&self, capability: &str) -> bool {
        matches!(self, Self::Imap(link) if link.capabilities.has(capability))
    }

    /// As [`Link::compress`]; POP3 knows nothing of the kind.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn compress(&mut self) -> Result<(), ImapError> {
        match self {
            Self::Imap(link) => link.compress().await,
            Self::Pop(_) => Ok(()),
        }
    }

    /// Whether large messages can be read in parts. By POP3 each comes whole.
    #[must_use]
    pub fn reads_in_parts(&self) -> bool {
        matches!(self, Self::Imap(_))
    }

    /// All folders, each with its status. `number` gives the messages of a maildrop their UIDs, by their unique-ids.
    ///
    /// # Errors
    /// They cannot be listed, or the numbers cannot be kept.
    pub async fn folders(
        &mut self,
        number: impl FnOnce(&[&[u8]]) -> Result<Numbered, AgentError>,
    ) -> Result<Folders, AgentError> {
        match self {
            Self::Imap(link) => Ok(link.folders().await?),
            Self::Pop(pop) => pop.folders(number).await,
        }
    }

    /// A folder's status; of a maildrop, as it was looked at last.
    ///
    /// # Errors
    /// The server refuses, or the connection ended.
    pub async fn status(&mut self, mailbox: &Mailbox) -> Result<FolderStatus, ImapError> {
        match self {
            Self::Imap(link) => link.status(mailbox).await,
            Self::Pop(pop) => Ok(pop.opened().status),
        }
    }

    /// What mailboxes hold, in the order asked for; one that is refused has its refusal.
    ///
    /// # Errors
    /// The connection ended, or a listing is not complete.
    pub async fn list_messages(
        &mut self,
        asks: &[Ask],
    ) -> Result<Vec<Result<Listing, ImapError>>, ImapError> {
        match self {
            Self::Imap(link) => link.list_messages(asks).await,
            Self::Pop(pop) => Ok(pop.list_messages(asks)),
        }
    }

    /// Opens a mailbox, of that UIDVALIDITY, for reading.
    ///
    /// # Errors
    /// The server refuses, another mailbox has its name by now, or the connection ended.
    pub async fn open_listed(
        &mut self,
        mailbox: &Mailbox,
        uidvalidity: u32,
    ) -> Result<Opened, ImapError> {
        match self {
            Self::Imap(link) => link.open_listed(mailbox, uidvalidity, false).await,
            Self::Pop(pop) => Ok(pop.opened()),
        }
    }

    /// As [`Link::ask_to_open`].
    ///
    /// # Errors
    /// The connection ended.
    pub async fn ask_to_open(&mut self, mailbox: &Mailbox) -> Result<String, ImapError> {
        match self {
            Self::Imap(link) => link.ask_to_open(mailbox).await,
            Self::Pop(_) => Ok(String::new()),
        }
    }

    /// As [`Link::opened_for_reading`].
    ///
    /// # Errors
    /// The server refuses, or the connection ended.
    pub async fn opened_for_reading(
        &mut self,
        mailbox: &Mailbox,
        tag: &str,
    ) -> Result<Opened, ImapError> {
        match self {
            Self::Imap(link) => link.opened_for_reading(mailbox, tag).await,
            Self::Pop(pop) => Ok(pop.opened()),
        }
    }

    /// Asks for the bodies of a set of UIDs in the open mailbox; read them with [`Self::next_body`].
    ///
    /// # Errors
    /// The connection ended.
    pub async fn ask_bodies(&mut self, set: &str) -> Result<String, ImapError> {
        match self {
            Self::Imap(link) => link.ask_bodies(set).await,
            Self::Pop(pop) => Ok(pop.ask_bodies(set).await),
        }
    }

    /// The next of the bodies asked for under `tag`.
    ///
    /// # Errors
    /// The connection ended, or an answer is not what it promises.
    pub async fn next_body(&mut self, tag: &str) -> Result<BodyEvent, ImapError> {
        match self {
            Self::Imap(link) => link.next_body(tag).await,
            Self::Pop(pop) => pop.next_body(tag).await,
        }
    }

    /// Nothing will be asked for a while: a maildrop is left to others meanwhile.
    pub async fn rest(&mut self) {
        if let Self::Pop(pop) = self {
            pop.rest().await;
        }
    }

    /// Says goodbye.
    pub async fn logout(self) {
        match self {
            Self::Imap(link) => link.logout().await,
            Self::Pop(mut pop) => pop.rest().await,
        }
    }
}
