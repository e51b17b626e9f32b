//! Which folders an account has and where each stands: one round trip where the server can (RFC 5819),
//! pipelined STATUS commands where it cannot.

use std::collections::{BTreeMap, BTreeSet};

use async_imap::imap_proto::{MailboxDatum, NameAttribute, Response, StatusAttribute};
use tokio::time::Instant;

use super::error::{ImapError, Kind};
use super::gmail;
use super::link::{Link, in_folder};
use super::room::{GETQUOTAROOT, QuotaLeft};
use super::wire::{self, Mailbox, unescaped};

/// Where a folder stands (RFC 9051, 6.3.11; RFC 7162, 3.1.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderStatus {
    /// UIDVALIDITY, never 0 in a status that is complete.
    pub uidvalidity: u32,
    /// UIDNEXT, never 0 in a status that is complete: all mail would come after such a cut.
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
    /// Where it stands; `None` for one that is not selectable, or refused.
    pub status: Option<FolderStatus>,
    /// Why the server does not say where it stands, though it lists it.
    pub refused: Option<ImapError>,
}

/// The folders of an account by name.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// What the names of the account's own folders begin with, besides INBOX; often nothing.
    pub namespace: String,
    /// The folders.
    pub all: BTreeMap<Mailbox, Folder>,
    /// What is left of the account's quota, where that was asked too.
    pub left: QuotaLeft,
}

/// Commands sent at once: few enough that their answers can wait while they are written.
pub(super) const AT_ONCE: usize = 32;

impl Link {
    /// All folders, each with its status.
    pub async fn folders(&mut self) -> Result<Folders, ImapError> {
        self.folders_and(None).await
    }

    /// The same, and in the same round trip what is left of the account's quota.
    pub async fn folders_and_quota(&mut self) -> Result<Folders, ImapError> {
        let tag = self.capabilities.has("QUOTA").then(|| self.tag());
        self.folders_and(tag).await
    }

    async fn folders_and(&mut self, quota: Option<String>) -> Result<Folders, ImapError> {
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
        let (first, tag) = (self.tag(), self.tag());
        let asks = self.capabilities.has("NAMESPACE");
        let mut ask = String::new();
        if asks {
            ask.push_str(&format!("{first} NAMESPACE\r\n"));
        }
        if let Some(tag) = &quota {
            ask.push_str(&format!("{tag} {GETQUOTAROOT} INBOX\r\n"));
        }
        let asked = Instant::now();
        self.write("LIST", format!("{ask}{tag} {line}\r\n").as_bytes())
            .await?;
        let mut namespace = None;
        if asks {
            let lines = self.raw_lines("NAMESPACE", &first).await?;
            let mut lines = lines.into_iter().flatten();
            namespace = lines.find_map(|line| wire::personal_namespace(&line));
        }
        let mut left = QuotaLeft::default();
        if let Some(tag) = quota {
            let lines = self.raw_lines(GETQUOTAROOT, &tag).await?;
            left = QuotaLeft::told(lines.into_iter().flatten());
        }
        let mut folders = BTreeMap::new();
        let mut statuses = BTreeMap::new();
        let gmail = self.capabilities.has("X-GM-EXT-1");
        let mut all_mail = None;
        let take = |response: &Response<'_>| {
            match response {
                Response::MailboxData(MailboxDatum::List(list)) => {
                    let mut folder =
                        folder(&list.name, list.delimiter.as_deref(), &list.name_attributes)?;
                    if gmail && gmail::reinterpret(&mut folder, &list.name_attributes) {
                        all_mail = Some(folder.mailbox.clone());
                    }
                    folders.insert(folder.mailbox.clone(), folder);
                }
                Response::MailboxData(MailboxDatum::Status { mailbox, status }) => {
                    statuses.insert(name(mailbox)?, status_of(status));
                }
                _ => {}
            }
            Ok(())
        };
        let finished = self.finish("LIST", None, &tag, take).await?;
        self.endpoint.meter.line.answered_after(asked.elapsed());
        self.demand_ok("LIST", None, finished)?;
        self.all_mail = all_mail;
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
        self.ask_missing_statuses(&mut folders).await?;
        Ok(Folders {
            namespace: namespace.unwrap_or_else(|| inferred(&folders)),
            all: folders,
            left,
        })
    }

    fn status_items(&self) -> &'static str {
        if self.capabilities.condstore() {
            "MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ"
        } else {
            "MESSAGES UIDNEXT UIDVALIDITY"
        }
    }

    /// A folder that is refused is noted as that; where each is, it is the account that is refused.
    async fn ask_missing_statuses(
        &mut self,
        folders: &mut BTreeMap<Mailbox, Folder>,
    ) -> Result<(), ImapError> {
        let lacking = folders
            .values()
            .filter(|folder| folder.selectable && folder.status.is_none());
        let lacking: Vec<Mailbox> = lacking.map(|folder| folder.mailbox.clone()).collect();
        let parents: BTreeSet<Mailbox> = lacking
            .iter()
            .filter(|name| has_children(folders, name))
            .cloned()
            .collect();
        for some in lacking.chunks(AT_ONCE) {
            for (mailbox, status) in some.iter().zip(self.statuses(some).await?) {
                let Some(folder) = folders.get_mut(mailbox) else {
                    continue;
                };
                match status {
                    Ok(status) => folder.status = Some(status),
                    // Listed for its children's sake alone. Of any other that is listed nobody knows what it means.
                    Err(error) if error.says_it_is_not_there() && parents.contains(mailbox) => {
                        folder.selectable = false;
                    }
                    Err(error) if error.refuses_folder() => folder.refused = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        if !folders.values().any(|folder| folder.status.is_some())
            && let Some(error) = folders.values().find_map(|folder| folder.refused.clone())
        {
            return Err(error);
        }
        Ok(())
    }

    /// Folders' status, asked afresh in one round trip; each or why there is none.
    async fn statuses(
        &mut self,
        mailboxes: &[Mailbox],
    ) -> Result<Vec<Result<FolderStatus, ImapError>>, ImapError> {
        let commands: Vec<_> = mailboxes
            .iter()
            .map(|mailbox| ("STATUS", self.status_line(mailbox)))
            .collect();
        let mut found = BTreeMap::new();
        let ended = self
            .exchange_all(&commands, |response| take_status(response, &mut found))
            .await?;
        let mut statuses = Vec::with_capacity(mailboxes.len());
        for (mailbox, finished) in mailboxes.iter().zip(ended) {
            let ended = self.demand_ok("STATUS", Some(mailbox), finished);
            let status = found.remove(mailbox);
            statuses.push(ended.and_then(|_| status.ok_or_else(|| self.no_figures(mailbox))));
        }
        Ok(statuses)
    }

    pub(super) fn status_line(&self, mailbox: &Mailbox) -> String {
        format!("STATUS {} ({})", mailbox.quoted(), self.status_items())
    }

    pub(super) fn no_figures(&self, mailbox: &Mailbox) -> ImapError {
        let text = "OK, but without the figures that were asked for";
        let error = self.error(Kind::Unexpected, "STATUS", text);
        in_folder(error, Some(mailbox))
    }

    /// One folder's status, asked afresh.
    pub async fn status(&mut self, mailbox: &Mailbox) -> Result<FolderStatus, ImapError> {
        let mut statuses = self.statuses(std::slice::from_ref(mailbox)).await?;
        let status = statuses.pop();
        status.unwrap_or_else(|| Err(self.no_figures(mailbox)))
    }
}

/// The status in a response, if there is one that is complete.
pub(super) fn take_status(
    response: &Response<'_>,
    found: &mut BTreeMap<Mailbox, FolderStatus>,
) -> Result<(), String> {
    if let Response::MailboxData(MailboxDatum::Status { mailbox, status }) = response
        && let Some(status) = status_of(status)
    {
        found.insert(name(mailbox)?, status);
    }
    Ok(())
}

/// The name space of a server that does not tell it: that of one which keeps every folder below INBOX.
fn inferred(folders: &BTreeMap<Mailbox, Folder>) -> String {
    let others = || {
        let name = |folder: &&Folder| folder.mailbox.as_str() != "INBOX";
        folders.values().filter(name)
    };
    let separator = others().find_map(|folder| folder.separator);
    let prefix = separator.map(|separator| format!("INBOX{separator}"));
    let all_below =
        |prefix: &String| others().all(|folder| folder.mailbox.as_str().starts_with(prefix));
    prefix.filter(all_below).unwrap_or_default()
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
        refused: None,
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
    (seen == 7 && status.uidvalidity > 0 && status.uidnext > 0).then_some(status)
}

/// Whether folders are listed below this one.
fn has_children(folders: &BTreeMap<Mailbox, Folder>, name: &Mailbox) -> bool {
    let separator = folders.get(name).and_then(|folder| folder.separator);
    let above =
        separator.and_then(|separator| Mailbox::new(&format!("{}{separator}", name.as_str())));
    above.is_some_and(|above| {
        let next = folders.range(&above..).next();
        next.is_some_and(|(next, _)| next.as_str().starts_with(above.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_complete_or_none() {
        use StatusAttribute::{HighestModSeq, Messages, UidNext, UidValidity};
        let whole = [Messages(3), UidNext(4), UidValidity(5), HighestModSeq(6)];
        let status = status_of(&whole).unwrap();
        assert_eq!((status.messages, status.uidnext), (3, 4));
        assert_eq!((status.uidvalidity, status.highestmodseq), (5, Some(6)));
        let zero = [Messages(0), UidNext(1), UidValidity(5), HighestModSeq(0)];
        assert_eq!(status_of(&zero).unwrap().highestmodseq, None);
        assert_eq!(status_of(&[Messages(3), UidNext(4)]), None);
        assert_eq!(status_of(&[Messages(3), UidNext(4), UidValidity(0)]), None);
        assert_eq!(status_of(&[Messages(3), UidNext(0), UidValidity(5)]), None);
    }
}
