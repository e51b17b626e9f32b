//! What a folder holds: every UID with size, date and flags, or an error. A listing that is not complete
//! is none.

use async_imap::imap_proto::{AttributeValue, Response, ResponseCode};

use super::error::{ImapError, Kind};
use super::folders::FolderStatus;
use super::link::{Link, in_folder};
use super::wire::{Mailbox, parse_date_time};
use crate::plan::identity::{Flags, InternalDate, Keyword};

/// One message as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// UID.
    pub uid: u32,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords.
    pub flags: Flags,
}

/// A folder's messages, ascending by UID, and where the folder stood when they were listed.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Where it stood.
    pub status: FolderStatus,
    /// Every message.
    pub messages: Vec<Listed>,
}

/// What opening a mailbox told.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where it stands.
    pub status: FolderStatus,
    /// Keywords that may be set and stay; `None` where the server accepts new ones (`\*`) or does not say.
    pub keywords: Option<Vec<Keyword>>,
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

    fn opening(&mut self, mailbox: &Mailbox, writing: bool) -> (&'static str, String) {
        self.selected = None;
        self.exists = 0;
        self.expunged = 0;
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

    async fn opened(
        &mut self,
        mailbox: &Mailbox,
        writing: bool,
        command: &'static str,
        tag: &str,
    ) -> Result<Opened, ImapError> {
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
        if status.uidvalidity == 0 || status.uidnext == 0 {
            let text = "OK, but without UIDVALIDITY and UIDNEXT";
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

    /// Lists a mailbox afresh. Where it is known to hold mail, opening and listing take one round trip.
    pub async fn list_messages(
        &mut self,
        mailbox: &Mailbox,
        holds_mail: bool,
    ) -> Result<Listing, ImapError> {
        const FETCH: &str = "UID FETCH";
        let line = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)";
        let (command, opening) = self.opening(mailbox, false);
        let (tag, ahead) = if holds_mail {
            let (first, second) = (self.tag(), self.tag());
            let both = format!("{first} {opening}\r\n{second} {line}\r\n");
            self.write(command, both.as_bytes()).await?;
            (first, Some(second))
        } else {
            (self.send(command, &opening).await?, None)
        };
        let opened = match (self.opened(mailbox, false, command, &tag).await, &ahead) {
            (Ok(opened), _) => opened,
            (Err(error), Some(second)) if matches!(error.kind, Kind::No | Kind::Bad) => {
                // The listing that was sent with it is answered too.
                let _ = self.finish(FETCH, Some(mailbox), second, |_| Ok(())).await;
                return Err(error);
            }
            (Err(error), _) => return Err(error),
        };
        let mut listing = Listing {
            status: opened.status,
            messages: Vec::new(),
        };
        let tag = match ahead {
            Some(tag) => tag,
            None if opened.status.messages == 0 => return Ok(listing),
            None => self.send(FETCH, line).await?,
        };
        let expected = usize::try_from(opened.status.messages).unwrap_or(0);
        listing.messages.reserve(expected.min(1 << 20));
        let messages = &mut listing.messages;
        let finished = self
            .finish(FETCH, Some(mailbox), &tag, |response| {
                if let Response::Fetch(_, attributes) = response {
                    take_row(attributes, messages)?;
                }
                Ok(())
            })
            .await?;
        let emptied = opened.status.messages == 0;
        if !emptied {
            self.demand_ok(FETCH, Some(mailbox), finished)?;
        }
        messages.sort_unstable_by_key(|m| m.uid);
        messages.dedup_by_key(|m| m.uid);
        let expected = opened.status.messages.saturating_sub(self.expunged);
        let found = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if found < expected {
            let text = format!("OK, but {found} of {expected} messages were listed");
            let error = self.error(Kind::Unexpected, FETCH, text);
            return Err(in_folder(error, Some(mailbox)));
        }
        Ok(listing)
    }
}

/// One FETCH response of a listing. A response without size and date is an update of flags that the server
/// sent by itself; one with a part of them lacks what was asked for.
fn take_row(attributes: &[AttributeValue<'_>], messages: &mut Vec<Listed>) -> Result<(), String> {
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
            messages.push(Listed {
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
