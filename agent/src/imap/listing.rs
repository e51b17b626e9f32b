//! What a folder holds: every UID with size, date and flags, or an error. A listing that is not complete
//! is none.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_imap::imap_proto::{AttributeValue, Response, ResponseCode};

use super::error::{ImapError, Kind};
use super::folders::FolderStatus;
use super::gmail;
use super::link::{End, Link, in_folder};
use super::wire::{Mailbox, parse_date_time};
use crate::plan::identity::{Flags, Keyword};
use crate::plan::view::Shown;

/// A folder's messages, ascending by UID, and where the folder stood when they were listed.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Where it stood.
    pub status: FolderStatus,
    /// Every message that lies in it.
    pub messages: Arc<[Shown]>,
    /// How many it showed: more where it is also a view of others, as Gmail's `All Mail` is.
    pub shown: u32,
}

/// What opening a mailbox told.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where it stands; UIDNEXT is 0 where the server does not say it here.
    pub status: FolderStatus,
    /// Keywords that may be set and stay; `None` where the server accepts new ones (`\*`) or does not say.
    pub keywords: Option<Vec<Keyword>>,
}

/// How many mailboxes are opened and listed ahead of the answers.
const AHEAD: usize = 32;
const FETCH: &str = "UID FETCH";
const ROWS: &str = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)";
const LABELLED_ROWS: &str = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE X-GM-LABELS)";

/// A mailbox to list.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which.
    pub mailbox: Mailbox,
    /// Where it stood just before. One that held no mail is not listed blindly: some servers refuse that.
    pub before: FolderStatus,
    /// What is known of it: where the server can, only what changed since is asked for.
    pub since: Option<Since>,
}

/// A mailbox as it stood.
#[derive(Debug, Clone)]
pub struct Since {
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// HIGHESTMODSEQ.
    pub modseq: u64,
    /// What it held, ascending by UID.
    pub messages: Vec<Shown>,
}

impl Link {
    /// Opens a mailbox, read-only with EXAMINE.
    pub async fn open_mailbox(
        &mut self,
        mailbox: &Mailbox,
        writing: bool,
    ) -> Result<Opened, ImapError> {
        let (command, line) = self.opening(mailbox, writing);
        let tag = self.send(command, &line).await?;
        self.opened(mailbox, writing, command, &tag).await
    }

    /// Opens a mailbox as it was listed; UIDs of one that has another UIDVALIDITY by now would be other messages.
    pub async fn open_listed(
        &mut self,
        mailbox: &Mailbox,
        uidvalidity: u32,
        writing: bool,
    ) -> Result<Opened, ImapError> {
        let opened = self.open_mailbox(mailbox, writing).await?;
        if opened.status.uidvalidity == uidvalidity {
            return Ok(opened);
        }
        let command = if writing { "SELECT" } else { "EXAMINE" };
        let error = self.error(Kind::Replaced, command, "");
        Err(in_folder(error, Some(mailbox)))
    }

    /// The command that opens a mailbox.
    pub(super) fn opening(&self, mailbox: &Mailbox, writing: bool) -> (&'static str, String) {
        let command = if writing { "SELECT" } else { "EXAMINE" };
        let condstore = if self.capabilities.condstore() {
            " (CONDSTORE)"
        } else {
            ""
        };
        (
            command,
            format!("{command} {}{condstore}", mailbox.quoted()),
        )
    }

    /// Reads what opening a mailbox was answered. What is read afterwards belongs to it.
    pub(super) async fn opened(
        &mut self,
        mailbox: &Mailbox,
        writing: bool,
        command: &'static str,
        tag: &str,
    ) -> Result<Opened, ImapError> {
        self.selected = None;
        self.exists = 0;
        self.expunged = 0;
        let mut status = FolderStatus::default();
        let mut permanent: Option<Vec<String>> = None;
        let finished = self
            .finish(command, Some(mailbox), tag, |response| {
                if let Response::Data { outcome, .. } = response {
                    match &outcome.code {
                        Some(ResponseCode::UidValidity(value)) => status.uidvalidity = *value,
                        Some(ResponseCode::UidNext(value)) => status.uidnext = *value,
                        Some(ResponseCode::HighestModSeq(value)) => {
                            status.highestmodseq = Some(*value);
                        }
                        Some(ResponseCode::PermanentFlags(flags)) => {
                            permanent = Some(flags.iter().map(|f| f.to_string()).collect());
                        }
                        _ => {}
                    }
                }
                Ok(())
            })
            .await?;
        self.demand_ok(command, Some(mailbox), finished)?;
        if status.uidvalidity == 0 {
            let text = "OK, but without UIDVALIDITY";
            let error = self.error(Kind::Unexpected, command, text);
            return Err(in_folder(error, Some(mailbox)));
        }
        status.messages = self.exists;
        self.selected = Some((mailbox.clone(), writing));
        let keywords = permanent
            .filter(|flags| !flags.iter().any(|f| f == "\\*"))
            .map(|flags| flags.iter().filter_map(|f| Keyword::new(f)).collect());
        Ok(Opened { status, keywords })
    }

    /// Lists mailboxes afresh, in the order asked for; one that is refused has its refusal. Opening and listing of
    /// all of them take one round trip where they are known to hold mail.
    pub async fn list_messages(
        &mut self,
        asks: &[Ask],
    ) -> Result<Vec<Result<Listing, ImapError>>, ImapError> {
        let mut listings = Vec::with_capacity(asks.len());
        let mut again = Vec::new();
        // What changed is asked for of servers that tell what vanished (RFC 7162, 3.2.3), once they are told to.
        let changes = self.capabilities.has("QRESYNC");
        let asked = changes && asks.iter().any(|ask| ask.since.is_some());
        let mut enabling = (asked && !self.qresync).then(|| self.tag());
        let mut ahead = VecDeque::new();
        let mut rest = asks.iter();
        loop {
            let enable = enabling.take();
            let mut lines = match &enable {
                Some(tag) => format!("{tag} ENABLE QRESYNC\r\n"),
                None => String::new(),
            };
            while ahead.len() < AHEAD
                && let Some(ask) = rest.next()
            {
                let (_, opening) = self.opening(&ask.mailbox, false);
                let holds_mail = ask.before.messages > 0;
                let (first, second) = (self.tag(), holds_mail.then(|| self.tag()));
                lines.push_str(&format!("{first} {opening}\r\n"));
                let since = ask.since.as_ref();
                let since = since.filter(|_| changes && !self.is_all_mail(&ask.mailbox));
                if let Some(second) = &second {
                    let since = since.map(|since| since.modseq);
                    let since = since.map(|m| format!(" (CHANGEDSINCE {m} VANISHED)"));
                    let since = since.unwrap_or_default();
                    lines.push_str(&format!(
                        "{second} {}{since}\r\n",
                        self.rows_of(&ask.mailbox)
                    ));
                }
                ahead.push_back((ask, since, first, second));
            }
            if !lines.is_empty() {
                self.write("EXAMINE", lines.as_bytes()).await?;
            }
            if let Some(tag) = enable {
                // The parser takes what is enabled for all that the server can do.
                let capabilities = self.capabilities.clone();
                let enabled = self.finish("ENABLE", None, &tag, |_| Ok(())).await?;
                self.capabilities = capabilities;
                self.qresync = enabled.end == End::Ok;
            }
            let Some((ask, since, first, second)) = ahead.pop_front() else {
                break;
            };
            let mailbox = &ask.mailbox;
            let opened = match self.opened(mailbox, false, "EXAMINE", &first).await {
                Err(refusal) if refusal.refuses_folder() => {
                    if let Some(tag) = second {
                        // No mailbox is open: BAD or NO, and whatever comes is of no mailbox that was asked for.
                        self.finish(FETCH, Some(mailbox), &tag, |_| Ok(())).await?;
                    }
                    listings.push(Err(refusal));
                    continue;
                }
                opened => opened?,
            };
            let mut listing = Listing {
                status: opened.status,
                messages: Arc::default(),
                shown: 0,
            };
            match (second, since) {
                (Some(tag), Some(since)) => {
                    match self.changes(mailbox, &tag, opened.status, since).await? {
                        Some(messages) => {
                            listing.shown = opened.status.messages;
                            listing.messages = messages.into();
                        }
                        None => again.push(listings.len()),
                    }
                }
                (Some(tag), None) => self.rows(mailbox, &tag, &mut listing).await?,
                (None, _) if opened.status.messages > 0 => again.push(listings.len()),
                (None, _) => {}
            }
            listings.push(Ok(listing));
        }
        for index in again {
            if let (Some(ask), Some(Ok(listing))) = (asks.get(index), listings.get_mut(index)) {
                listing.status = self.open_mailbox(&ask.mailbox, false).await?.status;
                let tag = self.send(FETCH, self.rows_of(&ask.mailbox)).await?;
                self.rows(&ask.mailbox, &tag, listing).await?;
            }
        }
        for (ask, listing) in asks.iter().zip(&mut listings) {
            let Ok(listing) = listing else { continue };
            if listing.status.uidnext == 0 {
                // Some servers tell it with STATUS alone (RFC 3501, 6.3.1, lets them).
                let top = listing.messages.last().map_or(0, |last| last.uid);
                listing.status.uidnext = ask.before.uidnext.max(top.saturating_add(1));
            }
        }
        Ok(listings)
    }

    /// Whether a mailbox also shows what lies in others.
    fn is_all_mail(&self, mailbox: &Mailbox) -> bool {
        self.all_mail.as_ref() == Some(mailbox)
    }

    /// The command for the rows of a mailbox.
    fn rows_of(&self, mailbox: &Mailbox) -> &'static str {
        if self.is_all_mail(mailbox) {
            LABELLED_ROWS
        } else {
            ROWS
        }
    }

    /// Reads what changed in the mailbox that is open (RFC 7162, 3.2.6), and joins it with what it held. `None`
    /// where that does not add up to what the server says it holds: it is to be listed then.
    async fn changes(
        &mut self,
        mailbox: &Mailbox,
        tag: &str,
        now: FolderStatus,
        since: &Since,
    ) -> Result<Option<Vec<Shown>>, ImapError> {
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        let finished = self
            .finish(FETCH, Some(mailbox), tag, |response| {
                match response {
                    Response::Fetch(_, attributes) => take_row(attributes, &mut changed)?,
                    Response::Vanished { uids, .. } => gone.extend(uids.iter().cloned()),
                    _ => {}
                }
                Ok(())
            })
            .await?;
        let stands = now.uidvalidity == since.uidvalidity
            && now.uidnext >= since.uidnext
            && now.highestmodseq.is_some_and(|now| now >= since.modseq)
            && (self.exists, self.expunged) == (now.messages, 0);
        if finished.end != End::Ok || !stands {
            return Ok(None);
        }
        gone.sort_unstable_by_key(|range: &RangeInclusive<u32>| *range.start());
        changed.sort_by_key(|m| m.uid);
        // Of two rows of a message the later one counts.
        changed.reverse();
        changed.dedup_by_key(|m| m.uid);
        let vanished = |uid: u32| {
            let before = gone.partition_point(|range| *range.start() <= uid);
            let range = before.checked_sub(1).and_then(|last| gone.get(last));
            range.is_some_and(|range| range.contains(&uid))
        };
        let new = |uid: u32| changed.binary_search_by(|m| uid.cmp(&m.uid)).is_ok();
        let kept = since
            .messages
            .iter()
            .filter(|m| !vanished(m.uid) && !new(m.uid));
        let mut messages: Vec<Shown> = kept.cloned().collect();
        messages.append(&mut changed);
        messages.sort_unstable_by_key(|m| m.uid);
        let whole = u32::try_from(messages.len()).is_ok_and(|count| count == now.messages);
        Ok(whole.then_some(messages))
    }

    /// Reads the rows of the mailbox that is open.
    async fn rows(
        &mut self,
        mailbox: &Mailbox,
        tag: &str,
        listing: &mut Listing,
    ) -> Result<(), ImapError> {
        let expected = listing.status.messages;
        let by_label = self.is_all_mail(mailbox);
        let mut elsewhere = BTreeSet::new();
        let expecting = usize::try_from(expected).unwrap_or(0).min(1 << 20);
        let mut messages = Vec::with_capacity(expecting);
        let finished = self
            .finish(FETCH, Some(mailbox), tag, |response| {
                if let Response::Fetch(_, attributes) = response {
                    take_row(attributes, &mut messages)?;
                    if by_label {
                        elsewhere.extend(lies_elsewhere(attributes)?);
                    }
                }
                Ok(())
            })
            .await?;
        if expected > 0 {
            self.demand_ok(FETCH, Some(mailbox), finished)?;
        }
        messages.sort_unstable_by_key(|m| m.uid);
        messages.dedup_by_key(|m| m.uid);
        let expected = expected.saturating_sub(self.expunged);
        let found = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if found < expected {
            let text = format!("OK, but {found} of {expected} messages were listed");
            let error = self.error(Kind::Unexpected, FETCH, text);
            return Err(in_folder(error, Some(mailbox)));
        }
        listing.shown = found;
        messages.retain(|message: &Shown| !elsewhere.contains(&message.uid));
        listing.messages = messages.into();
        Ok(())
    }
}

/// The UID of a message that lies in another folder too, in a FETCH response of Gmail's `All Mail`.
fn lies_elsewhere(attributes: &[AttributeValue<'_>]) -> Result<Option<u32>, String> {
    let (mut uid, mut sized, mut labels) = (None, false, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(value) => uid = Some(*value),
            AttributeValue::Rfc822Size(_) => sized = true,
            AttributeValue::GmailLabels(list) => labels = Some(list),
            _ => {}
        }
    }
    match labels {
        Some(labels) => Ok(uid.filter(|_| gmail::lies_elsewhere(labels.iter().map(|l| &**l)))),
        None if sized => Err("a message came without X-GM-LABELS".to_owned()),
        None => Ok(None),
    }
}

/// One FETCH response of a listing. A response without size and date is an update of flags that the server
/// sent by itself; one with a part of them lacks what was asked for.
fn take_row(attributes: &[AttributeValue<'_>], messages: &mut Vec<Shown>) -> Result<(), String> {
    let (mut uid, mut size, mut date, mut flags) = (None, None, None, None);
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(value) => uid = Some(*value),
            AttributeValue::Rfc822Size(value) => size = Some(*value),
            AttributeValue::InternalDate(text) => {
                date = Some(parse_date_time(text).ok_or("an INTERNALDATE that is no date")?);
            }
            AttributeValue::Flags(words) => {
                flags = Some(Flags::from_words(words.iter().map(|w| &**w)))
            }
            _ => {}
        }
    }
    match (uid, size, date, flags) {
        (Some(uid), Some(size), Some(date), Some(flags)) => {
            messages.push(Shown {
                uid,
                size,
                date,
                flags,
            });
            Ok(())
        }
        (Some(uid), None, None, Some(flags)) => {
            if let Some(row) = messages.iter_mut().rev().find(|row| row.uid == uid) {
                row.flags = flags;
            }
            Ok(())
        }
        (None, None, None, _) => Ok(()),
        (uid, ..) => Err(format!(
            "UID {} came without all of FLAGS, INTERNALDATE, RFC822.SIZE",
            uid.unwrap_or(0)
        )),
    }
}
