//! A maildrop as a source reads it: its messages by the UIDs that the ledger gave them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::Corner;

use super::INBOX;
use super::lines::date_of;
use super::session::{Entry, Retrieved, Session};
use crate::imap::{
    Ask, Body, BodyEvent, Endpoint, Folder, FolderStatus, Folders, ImapError, Kind, Listing,
    Mailbox, Opened, wire,
};
use crate::plan::identity::{Flags, InternalDate};
use crate::plan::view::Shown;

/// After so long without a command the session may have ended (ten minutes by RFC 1939, 3, and servers that wait
/// less), so a new one is opened. There is nothing that a NOOP would keep: only people wait meanwhile.
const IDLE: Duration = Duration::from_secs(60);
/// After so long other programs have their turn.
const LONGEST: Duration = Duration::from_secs(300);
/// Messages asked for ahead of their answers, where the server takes that.
const AHEAD: usize = 16;

/// The UIDs of a maildrop's messages, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbered {
    /// UIDVALIDITY: since when the numbers mean what they mean, seconds since 1970.
    pub uidvalidity: u32,
    /// What the next new message would get.
    pub uidnext: u32,
    /// The messages'.
    pub uids: Vec<u32>,
}

/// A POP3 account.
pub struct Pop {
    endpoint: Arc<Endpoint>,
    session: Option<Session>,
    /// Whether the session was opened for the next look.
    fresh: bool,
    /// Whether what is asked next is asked in a session that there was before: it may have been closed meanwhile.
    rested: bool,
    status: FolderStatus,
    messages: BTreeMap<u32, Known>,
    /// What has been asked for and is not read yet, by its tag.
    asked: VecDeque<(String, VecDeque<u32>)>,
    /// What of that the server has been asked for.
    sent: VecDeque<u32>,
    tags: u64,
}

/// A message: the `nth` of `of` with this unique-id.
struct Known {
    uidl: Vec<u8>,
    nth: usize,
    of: usize,
    size: u32,
}

impl Pop {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When no connection comes about, or the login is refused.
    pub async fn open(endpoint: Arc<Endpoint>) -> Result<Self, ImapError> {
        let session = Session::open(&endpoint).await?;
        Ok(Self {
            endpoint,
            session: Some(session),
            fresh: true,
            rested: false,
            status: FolderStatus::default(),
            messages: BTreeMap::new(),
            asked: VecDeque::new(),
            sent: VecDeque::new(),
            tags: 0,
        })
    }

    /// The account.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Looks at the maildrop anew, in a session of its own: one that goes on shows what it showed at its beginning.
    /// `number` gives the messages their UIDs, by their unique-ids in the order of the maildrop.
    ///
    /// # Errors
    /// The maildrop cannot be listed, or the numbers cannot be kept.
    pub async fn folders<E: From<ImapError>>(
        &mut self,
        number: impl FnOnce(&[&[u8]]) -> Result<Numbered, E>,
    ) -> Result<Folders, E> {
        if !std::mem::take(&mut self.fresh) {
            self.rest().await;
        }
        let entries = self.reopen().await?;
        let uidls: Vec<&[u8]> = entries.iter().map(|entry| entry.uidl.as_slice()).collect();
        let numbered = number(&uidls)?;
        self.know(entries, &numbered);
        let mailbox = Mailbox::new(INBOX).ok_or_else(|| self.unknown())?;
        let folder = Folder {
            mailbox: mailbox.clone(),
            separator: None,
            role: None,
            selectable: true,
            status: Some(self.status),
            refused: None,
        };
        Ok(Folders {
            all: BTreeMap::from([(mailbox, folder)]),
            ..Folders::default()
        })
    }

    fn know(&mut self, entries: Vec<Entry>, numbered: &Numbered) {
        self.status = FolderStatus {
            uidvalidity: numbered.uidvalidity,
            uidnext: numbered.uidnext,
            highestmodseq: None,
            messages: u32::try_from(entries.len()).unwrap_or(u32::MAX),
        };
        let mut counts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for entry in &entries {
            *counts.entry(entry.uidl.clone()).or_default() += 1;
        }
        let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        self.messages.clear();
        for (Entry { uidl, size }, uid) in entries.into_iter().zip(&numbered.uids) {
            let seen = seen.entry(uidl.clone()).or_default();
            let (nth, of) = (*seen, counts.get(&uidl).copied().unwrap_or(1));
            *seen += 1;
            let known = Known {
                uidl,
                nth,
                of,
                size,
            };
            self.messages.insert(*uid, known);
        }
    }

    /// What it holds, as it was looked at last. Sizes are what the server states, and are wrong at some; dates are
    /// none, and only tell what is newer: both are known once a message has been read.
    #[must_use]
    pub fn list_messages(&self, asks: &[Ask]) -> Vec<Result<Listing, ImapError>> {
        let listed = |(uid, known): (&u32, &Known)| Shown {
            uid: *uid,
            size: known.size,
            date: InternalDate(i64::from(*uid)),
            flags: Flags::default(),
        };
        let listing = |_| {
            Ok(Listing {
                status: self.status,
                messages: self.messages.iter().map(listed).collect(),
                shown: self.status.messages,
            })
        };
        asks.iter().map(listing).collect()
    }

    /// What opening a mailbox would tell.
    #[must_use]
    pub fn opened(&self) -> Opened {
        Opened {
            status: self.status,
            keywords: None,
        }
    }

    /// Asks for the messages of a set of UIDs; read them with [`Self::next_body`].
    pub async fn ask_bodies(&mut self, set: &str) -> String {
        self.endpoint.meter.turn(wire::in_set(set)).await;
        let named = |part: &str| {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then(|| self.messages.range(from..=to).map(|(uid, _)| *uid))
        };
        let uids = set.split(',').filter_map(named).flatten().collect();
        self.tags += 1;
        let tag = self.tags.to_string();
        self.asked.push_back((tag.clone(), uids));
        tag
    }

    /// The next of the messages asked for under `tag`, which must be the oldest that has not come to its end.
    ///
    /// # Errors
    /// The connection ended, or the server cannot at the moment: what was asked for is to be asked for anew.
    pub async fn next_body(&mut self, tag: &str) -> Result<BodyEvent, ImapError> {
        let next = match self.asked.front() {
            Some((asked, uids)) if asked == tag => uids.front().copied(),
            _ => return Err(self.unknown()),
        };
        let Some(uid) = next else {
            self.asked.pop_front();
            return Ok(BodyEvent::End);
        };
        let mut event = self.retrieve(uid).await;
        if std::mem::take(&mut self.rested)
            && matches!(&event, Err(error) if matches!(error.kind, Kind::Cut | Kind::Bye))
        {
            self.session = None;
            self.sent.clear();
            event = self.retrieve(uid).await;
        }
        match &event {
            Ok(_) => drop(
                self.asked
                    .front_mut()
                    .and_then(|(_, uids)| uids.pop_front()),
            ),
            Err(_) => self.give_up(),
        }
        event
    }

    async fn retrieve(&mut self, uid: u32) -> Result<BodyEvent, ImapError> {
        if self.sent.is_empty() {
            self.ready().await?;
        }
        self.send_ahead().await?;
        if self.sent.front() != Some(&uid) {
            return Ok(BodyEvent::Gone(uid));
        }
        let session = self.session.as_mut();
        let retrieved = match session {
            Some(session) => session.retrieved().await?,
            None => return Err(self.unknown()),
        };
        self.sent.pop_front();
        match retrieved {
            Retrieved::Message(octets) => {
                if self.endpoint.corner == Corner::Primary {
                    self.endpoint.meter.count(octets.len());
                }
                Ok(BodyEvent::Body(Body {
                    uid,
                    date: date_of(&octets),
                    flags: Flags::default(),
                    octets,
                }))
            }
            Retrieved::Refused => Ok(BodyEvent::Unreadable(
                uid,
                "its server refuses to deliver it".to_owned(),
            )),
            Retrieved::TooLong => {
                self.session = None;
                self.sent.clear();
                Ok(BodyEvent::Unreadable(
                    uid,
                    "it is longer than 512 MiB".to_owned(),
                ))
            }
        }
    }

    /// Asks the server for what comes next, as far ahead as it takes that.
    async fn send_ahead(&mut self) -> Result<(), ImapError> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let most = if session.pipelines() { AHEAD } else { 1 };
        let next = self.asked.iter().flat_map(|(_, uids)| uids);
        let next = next.filter_map(|uid| {
            let known = self.messages.get(uid)?;
            let number = session.number(&known.uidl, known.nth, known.of)?;
            Some((*uid, number))
        });
        let next = next.take(most).skip(self.sent.len());
        let (uids, numbers): (Vec<u32>, Vec<u32>) = next.unzip();
        if !numbers.is_empty() {
            session.ask(&numbers).await?;
            self.sent.extend(uids);
        }
        Ok(())
    }

    /// Has a session that can be talked in.
    async fn ready(&mut self) -> Result<(), ImapError> {
        let good = self.session.as_ref().is_some_and(|session| {
            let young = session.opened.elapsed() < LONGEST || session.login_delay_s().is_some();
            young && session.used.elapsed() < IDLE
        });
        if !good {
            self.rest().await;
            self.reopen().await?;
        }
        self.rested = good;
        Ok(())
    }

    /// What the maildrop holds, in the session that there is or a new one.
    async fn reopen(&mut self) -> Result<Vec<Entry>, ImapError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.endpoint).await?,
        };
        let entries = session.entries().await?;
        self.session = Some(session);
        Ok(entries)
    }

    /// Lets others have the maildrop until a message is asked for.
    pub async fn rest(&mut self) {
        self.sent.clear();
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }

    /// Forgets what was asked for, and the session with it: nobody knows what it would say next.
    fn give_up(&mut self) {
        self.session = None;
        self.asked.clear();
        self.sent.clear();
    }

    fn unknown(&self) -> ImapError {
        let text = "something was read that was not asked for";
        self.endpoint.error(Kind::Unexpected, "RETR", text)
    }
}
