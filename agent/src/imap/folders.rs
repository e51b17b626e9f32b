//! Which folders an account has and where each stands: one round trip where the server can (RFC 5819),
//! pipelined STATUS commands where it cannot.

use std::collections::BTreeMap;

use async_imap::imap_proto::{MailboxDatum, NameAttribute, Response, StatusAttribute};

use super::error::{ImapError, Kind};
use super::link::{AnyResponse as _, Link, in_folder};
use super::wire::{Mailbox, unescaped};

/// Where a folder stands (RFC 9051, 6.3.11; RFC 7162, 3.1.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderStatus {
    /// UIDVALIDITY, never 0 in a status that is complete.
    pub uidvalidity: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// HIGHESTMODSEQ, where the server keeps one.
    pub highestmodseq: Option<u64>,
    /// How many messages.
    pub messages: u32,
}

/// A folder of an account.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Its name on the server.
    pub mailbox: Mailbox,
    /// The hierarchy separator; `None` in a flat name space.
    pub separator: Option<char>,
    /// Its special use (RFC 6154): `\Sent` and the like.
    pub role: Option<&'static str>,
    /// Whether it can hold messages.
    pub selectable: bool,
    /// Where it stands; `None` for one that is not selectable.
    pub status: Option<FolderStatus>,
}

/// The folders of an account by name.
#[derive(Debug, Clone, Default)]
pub struct Folders(pub BTreeMap<Mailbox, Folder>);

impl Link {
    /// All folders, each with its status.
    pub async fn folders(&mut self) -> Result<Folders, ImapError> {
        let items = self.status_items();
        let mut line = "LIST \"\" \"*\"".to_owned();
        let mut wanted = Vec::new();
        if self.capabilities.has("SPECIAL-USE") {
            wanted.push("SPECIAL-USE".to_owned());
        }
        if self.capabilities.has("LIST-STATUS") {
            wanted.push(format!("STATUS ({items})"));
        }
        // RETURN is from LIST-EXTENDED (RFC 5258), which LIST-STATUS implies.
        if self.capabilities.has("LIST-STATUS")
            || (self.capabilities.has("LIST-EXTENDED") && !wanted.is_empty())
        {
            line = format!("{line} RETURN ({})", wanted.join(" "));
        }
        let mut folders = BTreeMap::new();
        let mut statuses = BTreeMap::new();
        self.run("LIST", None, &line, |response| {
            match response {
                Response::MailboxData(MailboxDatum::List(list)) => {
                    let folder =
                        folder(&list.name, list.delimiter.as_deref(), &list.name_attributes)?;
                    folders.insert(folder.mailbox.clone(), folder);
                }
                Response::MailboxData(MailboxDatum::Status { mailbox, status }) => {
                    statuses.insert(name(mailbox)?, status_of(status));
                }
                _ => {}
            }
            Ok(())
        })
        .await?;
        if folders.is_empty() {
            // Every account has an INBOX: an empty list is no answer.
            return Err(self.error(
                Kind::Unexpected,
                "LIST",
                "the server listed no folder, not even INBOX",
            ));
        }
        for (mailbox, status) in statuses {
            if let Some(folder) = folders.get_mut(&mailbox) {
                folder.status = status;
            }
        }
        self.ask_missing_statuses(&mut folders, items).await?;
        Ok(Folders(folders))
    }

    fn status_items(&self) -> &'static str {
        if self.capabilities.condstore() {
            "MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ"
        } else {
            "MESSAGES UIDNEXT UIDVALIDITY"
        }
    }

    async fn ask_missing_statuses(
        &mut self,
        folders: &mut BTreeMap<Mailbox, Folder>,
        items: &str,
    ) -> Result<(), ImapError> {
        let mut open = BTreeMap::new();
        for folder in folders.values_mut() {
            if folder.selectable && folder.status.is_none() {
                let line = format!("STATUS {} ({items})", folder.mailbox.quoted());
                open.insert(self.send("STATUS", &line).await?, folder);
            }
        }
        while !open.is_empty() {
            let response = self.read("STATUS").await?;
            let parsed = response.parsed();
            if let Response::MailboxData(MailboxDatum::Status { mailbox, status }) = parsed {
                let mailbox =
                    name(mailbox).map_err(|text| self.error(Kind::Unexpected, "STATUS", text))?;
                if let Some(folder) = open.values_mut().find(|f| f.mailbox == mailbox) {
                    folder.status = status_of(status);
                }
            }
            let Response::Done { tag, .. } = parsed else {
                self.absorb("STATUS", "", parsed)?;
                continue;
            };
            let Some(folder) = open.remove(&tag.0) else {
                return Err(self.error(
                    Kind::Unexpected,
                    "STATUS",
                    "an answer to a command that was not sent",
                ));
            };
            let finished = self.absorb("STATUS", &tag.0, parsed)?;
            if let Some(finished) = finished {
                self.demand_ok("STATUS", Some(&folder.mailbox), finished)?;
            }
            if folder.status.is_none() {
                let error = self.error(
                    Kind::Unexpected,
                    "STATUS",
                    "OK, but without the figures that were asked for",
                );
                return Err(in_folder(error, Some(&folder.mailbox)));
            }
        }
        Ok(())
    }

    /// One folder's status, asked afresh.
    pub async fn status(&mut self, mailbox: &Mailbox) -> Result<FolderStatus, ImapError> {
        let line = format!("STATUS {} ({})", mailbox.quoted(), self.status_items());
        let mut found = None;
        self.run("STATUS", Some(mailbox), &line, |response| {
            if let Response::MailboxData(MailboxDatum::Status {
                mailbox: listed,
                status,
            }) = response
                && name(listed)? == *mailbox
            {
                found = status_of(status);
            }
            Ok(())
        })
        .await?;
        found.ok_or_else(|| {
            let error = self.error(
                Kind::Unexpected,
                "STATUS",
                "OK, but without the figures that were asked for",
            );
            in_folder(error, Some(mailbox))
        })
    }
}

fn name(raw: &str) -> Result<Mailbox, String> {
    let text = if raw.eq_ignore_ascii_case("INBOX") {
        "INBOX".to_owned()
    } else {
        unescaped(raw)
    };
    Mailbox::new(&text).ok_or_else(|| "a folder name that is not modified UTF-7".to_owned())
}

fn folder(
    raw: &str,
    separator: Option<&str>,
    attributes: &[NameAttribute<'_>],
) -> Result<Folder, String> {
    let mailbox = name(raw)?;
    let mut folder = Folder {
        mailbox,
        separator: separator.and_then(|s| unescaped(s).chars().next()),
        role: None,
        selectable: true,
        status: None,
    };
    for attribute in attributes {
        match attribute {
            NameAttribute::NoSelect => folder.selectable = false,
            NameAttribute::Extension(word) if word.eq_ignore_ascii_case("\\NonExistent") => {
                folder.selectable = false
            }
            NameAttribute::All => folder.role = Some("\\All"),
            NameAttribute::Archive => folder.role = Some("\\Archive"),
            NameAttribute::Drafts => folder.role = Some("\\Drafts"),
            NameAttribute::Flagged => folder.role = Some("\\Flagged"),
            NameAttribute::Junk => folder.role = Some("\\Junk"),
            NameAttribute::Sent => folder.role = Some("\\Sent"),
            NameAttribute::Trash => folder.role = Some("\\Trash"),
            _ => {}
        }
    }
    Ok(folder)
}

fn status_of(attributes: &[StatusAttribute]) -> Option<FolderStatus> {
    let mut status = FolderStatus::default();
    let mut seen = 0;
    for attribute in attributes {
        match attribute {
            StatusAttribute::Messages(count) => {
                status.messages = *count;
                seen |= 1;
            }
            StatusAttribute::UidNext(uid) => {
                status.uidnext = *uid;
                seen |= 2;
            }
            StatusAttribute::UidValidity(value) => {
                status.uidvalidity = *value;
                seen |= 4;
            }
            // 0 says that this folder keeps none (RFC 7162, 3.1.2.2).
            StatusAttribute::HighestModSeq(value) => {
                status.highestmodseq = (*value > 0).then_some(*value)
            }
            _ => {}
        }
    }
    (seen == 7 && status.uidvalidity > 0).then_some(status)
}
