//! Reads the source: one connection, asked ahead across folders, so that no round trip is waited for.
//!
//! What is held is bounded in octets; a message larger than the bound travels alone.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use maildreieck_api_spec::vocabulary::Class;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::large::{Fetched, LARGE, Landing, Stored};
use super::transfer::{length, room, to_usize};
use super::{Execution, Narrowing};
use crate::account::Account;
use crate::clock;
use crate::error::AgentError;
use crate::imap::{Body, BodyEvent, ImapError, Large, Mailbox, PART, Parts, UNEQUAL, wire};
use crate::plan::identity::LogicalFolder;
use crate::plan::mirror::{Copy, Plan};
use crate::plan::view::Place;

/// What is committed to the store at once.
const COMMIT_BYTES: u32 = 2 << 20;
const COMMIT_MESSAGES: usize = 128;
/// What one FETCH asks for.
const ASK_BYTES: u32 = 2 << 20;
const ASK_MESSAGES: usize = 200;
/// Commands sent ahead of their answers, and octets asked for ahead as long as nobody knows how wide the line is: on
/// a narrow one they come before anything is compressed.
const AHEAD: usize = 12;
const AHEAD_BYTES: u32 = 4 << 20;

/// Messages of one folder that have been read and are to be stored.
pub(super) struct Group {
    pub logical: LogicalFolder,
    pub source: Place,
    pub messages: Vec<(Body, OwnedSemaphorePermit)>,
    /// Those that are in the store already, piece by piece.
    pub large: Vec<Stored>,
}

/// A folder to read from.
struct From<'a> {
    logical: &'a LogicalFolder,
    mailbox: &'a Mailbox,
    uidvalidity: u32,
    source: Place,
    copies: &'a [Copy],
}

/// What is asked of the server, in order.
enum Ask {
    Open(usize),
    Bodies {
        uids: Vec<u32>,
        bytes: u32,
    },
    Part {
        uid: u32,
        size: u32,
        offset: u32,
        last: bool,
    },
}

impl Ask {
    /// Octets that it brings.
    fn bytes(&self) -> u32 {
        match self {
            Self::Open(_) => 0,
            Self::Bodies { bytes, .. } => *bytes,
            Self::Part { .. } => PART,
        }
    }
}

/// The parts of a large message.
fn parts(uid: u32, size: u32) -> impl Iterator<Item = Ask> {
    let mut offsets = Large::offsets(size).peekable();
    std::iter::from_fn(move || {
        let offset = offsets.next()?;
        let last = offsets.peek().is_none();
        Some(Ask::Part {
            uid,
            size,
            offset,
            last,
        })
    })
}

impl Execution<'_> {
    /// Reads what the plan copies. Ends early where nobody takes it any more.
    pub(super) async fn read_source(
        &self,
        plan: &Plan,
        link: &mut Account,
        budget: &Arc<Semaphore>,
        groups: mpsc::Sender<Group>,
        compresses: bool,
    ) -> Result<(), AgentError> {
        let mut folders = Vec::with_capacity(plan.copies.len());
        let mut asks = VecDeque::new();
        for (logical, copies) in &plan.copies {
            let (mailbox, known) = self.source_folder(logical)?;
            asks.push_back(Ask::Open(folders.len()));
            let at_once = link.endpoint().meter.at_once(ASK_MESSAGES);
            let in_parts = link.reads_in_parts();
            let (large, small): (Vec<Copy>, Vec<Copy>) = copies
                .iter()
                .cloned()
                .partition(|copy| in_parts && copy.size >= LARGE);
            asks.extend(sets(&small, at_once));
            if !small.is_empty() && !large.is_empty() {
                // Between opening and opening no server answers out of turn.
                asks.push_back(Ask::Open(folders.len()));
            }
            asks.extend(large.iter().flat_map(|copy| parts(copy.uid, copy.size)));
            folders.push(From {
                logical,
                mailbox,
                uidvalidity: known.uidvalidity,
                source: Place {
                    folder: known.id,
                    generation: known.generation,
                    uid: 0,
                },
                copies,
            });
        }
        let mut hold = Hold {
            execution: self,
            budget,
            groups,
            from: None,
            index: 0,
            messages: Vec::new(),
            bytes: 0,
            parts: Parts::default(),
            large: None,
            came: Vec::new(),
            narrowing: Narrowing::default(),
        };
        let read = hold.read(link, &folders, asks, compresses).await;
        if let Some(large) = hold.large.take() {
            large.abandon(self).await?;
        }
        // What came whole before a connection was cut is not asked for again.
        hold.pass_on().await;
        read
    }
}

/// What is asked of a folder, by count and octets.
fn sets(copies: &[Copy], at_once: usize) -> Vec<Ask> {
    let mut sets = Vec::new();
    let mut rest = copies;
    while !rest.is_empty() {
        let mut bytes: u32 = 0;
        let fits = |copy: &&Copy| {
            bytes = bytes.saturating_add(copy.size);
            bytes <= ASK_BYTES
        };
        let count = rest.iter().take(at_once).take_while(fits).count();
        let (now, later) = rest.split_at(count.max(1));
        rest = later;
        sets.push(Ask::Bodies {
            uids: now.iter().map(|copy| copy.uid).collect(),
            bytes: now.iter().fold(0_u32, |sum, c| sum.saturating_add(c.size)),
        });
    }
    sets
}

/// What has been read and is not passed on yet.
struct Hold<'a, 'b> {
    execution: &'a Execution<'b>,
    budget: &'a Arc<Semaphore>,
    groups: mpsc::Sender<Group>,
    /// The folder that is open; `None` where its messages are not what was planned.
    from: Option<&'a From<'a>>,
    /// Its place among the folders.
    index: usize,
    messages: Vec<(Body, OwnedSemaphorePermit)>,
    bytes: u32,
    /// Parts of large messages, and the message that they are put together to.
    parts: Parts,
    large: Option<Landing>,
    /// Which of the open folder's copies have come, and what reading fails at.
    came: Vec<bool>,
    narrowing: Narrowing,
}

impl<'a> Hold<'a, '_> {
    /// Asks ahead, and takes what comes. Where `compresses` and the line is found to be narrow, what is under way is
    /// let come, and the rest is asked for compressed.
    async fn read(
        &mut self,
        link: &mut Account,
        folders: &'a [From<'a>],
        mut asks: VecDeque<Ask>,
        mut compresses: bool,
    ) -> Result<(), AgentError> {
        let endpoint = Arc::clone(link.endpoint());
        let mut asked: VecDeque<(String, Ask)> = VecDeque::new();
        loop {
            if *self.execution.stop.borrow() {
                asks.clear();
            }
            let is_slow = endpoint.meter.line.is_slow().filter(|_| compresses);
            if is_slow == Some(true) && asked.is_empty() && !asks.is_empty() {
                link.compress().await?;
                compresses = false;
                continue;
            }
            let ahead = |asked: &VecDeque<(String, Ask)>| {
                let bytes = asked.iter().map(|(_, ask)| ask.bytes());
                bytes.fold(0, u32::saturating_add)
            };
            while asked.len() < AHEAD
                && (!compresses || is_slow == Some(false) || ahead(&asked) < AHEAD_BYTES)
                && is_slow != Some(true)
                && !self.groups.is_closed()
                && let Some(ask) = asks.pop_front()
            {
                let tag = match &ask {
                    Ask::Open(index) => match folders.get(*index) {
                        Some(folder) => link.ask_to_open(folder.mailbox).await?,
                        None => continue,
                    },
                    Ask::Bodies { uids, .. } => link.ask_bodies(&wire::uid_set(uids)).await?,
                    Ask::Part { uid, offset, .. } => link.imap()?.ask_part(*uid, *offset).await?,
                };
                asked.push_back((tag, ask));
            }
            let Some((tag, ask)) = asked.pop_front() else {
                return Ok(());
            };
            let error = match self.answer(link, folders, &tag, &ask).await {
                Ok(()) => continue,
                Err(AgentError::Imap(error)) if link.reads_in_parts() => error,
                Err(error) => return Err(error),
            };
            let Some(from) = self.from else {
                return Err(error.into());
            };
            for (_, ask) in asked.drain(..).rev() {
                asks.push_front(ask);
            }
            self.leave_what_came(&mut asks);
            if let Ask::Part { uid: large, .. } = &ask {
                // Its other parts follow.
                let of_it = |ask: &Ask| matches!(ask, Ask::Part { uid, .. } if uid == large);
                while asks.front().is_some_and(of_it) {
                    asks.pop_front();
                }
            }
            for ask in self.without(ask, error.clone()).await?.into_iter().rev() {
                asks.push_front(ask);
            }
            let known = (from.mailbox, from.uidvalidity);
            Narrowing::connect_again(link, known, &error).await?;
        }
    }

    /// Servers send what was asked for next before they say that the command before is done: of that nothing is asked for
    /// again.
    fn leave_what_came(&self, asks: &mut VecDeque<Ask>) {
        for ask in asks.iter_mut() {
            match ask {
                Ask::Open(index) if *index != self.index => break,
                Ask::Bodies { uids, .. } => uids.retain(|uid| !self.has_come(*uid)),
                Ask::Open(_) | Ask::Part { .. } => {}
            }
        }
        asks.retain(|ask| !matches!(ask, Ask::Bodies { uids, .. } if uids.is_empty()));
    }

    /// The place of a message among those that are copied from the open folder.
    fn place_of(&self, uid: u32) -> Option<usize> {
        let copies = self.from?.copies;
        copies.binary_search_by_key(&uid, |copy| copy.uid).ok()
    }

    fn has_come(&self, uid: u32) -> bool {
        let at = self.place_of(uid);
        at.and_then(|at| self.came.get(at))
            .is_some_and(|came| *came)
    }

    /// Notes that a message has come, or will not. Whether it was asked for and is here for the first time.
    fn comes(&mut self, uid: u32) -> bool {
        let at = self.place_of(uid);
        let slot = at.and_then(|at| self.came.get_mut(at));
        slot.is_some_and(|came| !std::mem::replace(came, true))
    }

    /// Takes the answer to what was asked.
    async fn answer(
        &mut self,
        link: &mut Account,
        folders: &'a [From<'a>],
        tag: &str,
        ask: &Ask,
    ) -> Result<(), AgentError> {
        match ask {
            Ask::Open(index) => {
                self.pass_on().await;
                self.parts = Parts::default();
                self.from = None;
                let again = std::mem::replace(&mut self.index, *index) == *index;
                if let Some(folder) = folders.get(*index) {
                    if !again || self.came.len() != folder.copies.len() {
                        self.came = vec![false; folder.copies.len()];
                    }
                    let opened = link.opened_for_reading(folder.mailbox, tag).await?;
                    // Renewed since it was listed: the next run looks again.
                    let same = opened.status.uidvalidity == folder.uidvalidity;
                    self.from = Some(folder).filter(|_| same);
                }
            }
            Ask::Part {
                uid,
                size,
                offset,
                last,
            } => {
                link.imap()?.read_part(tag, &mut self.parts).await?;
                if *offset == 0 {
                    self.pass_on().await;
                    self.large = Some(Landing::begin(self.execution, *uid, *size));
                }
                self.take_part(*uid, *last).await?;
            }
            Ask::Bodies { .. } => loop {
                match link.next_body(tag).await? {
                    BodyEvent::End => break,
                    BodyEvent::Gone(uid) => {
                        self.comes(uid);
                    }
                    BodyEvent::Unreadable(uid, reason) => {
                        self.comes(uid);
                        self.put_aside(uid, &reason)?;
                    }
                    BodyEvent::Body(body) => self.take(body).await?,
                }
            },
        }
        Ok(())
    }

    /// What to ask for after reading failed: all the same but the message at which it fails, which is put aside. A large
    /// one is asked for in parts again, and then whole.
    async fn without(&mut self, ask: Ask, error: ImapError) -> Result<Vec<Ask>, AgentError> {
        let (uids, bytes, part) = match ask {
            Ask::Open(_) => return Err(error.into()),
            Ask::Bodies { uids, bytes } => (uids, bytes, None),
            Ask::Part { uid, size, .. } => (vec![uid], size, Some((uid, size))),
        };
        if part.is_some() {
            self.parts = Parts::default();
            if let Some(large) = self.large.take() {
                large.abandon(self.execution).await?;
            }
        }
        let came = uids.iter().copied().filter(|uid| self.has_come(*uid));
        let came: BTreeSet<u32> = came.collect();
        let narrowed = self.narrowing.after(&uids, &came, error)?;
        if let Some((uid, reason)) = narrowed.given_up {
            self.put_aside(uid, &reason)?;
        }
        let mut again = Vec::new();
        for uids in narrowed.again {
            match part.filter(|(uid, _)| self.narrowing.in_parts(*uid)) {
                Some((uid, size)) => again.extend(parts(uid, size)),
                None => again.push(Ask::Bodies { uids, bytes }),
            }
            if part.is_some() {
                again.push(Ask::Open(self.index));
            }
        }
        Ok(again)
    }

    /// Takes a message that was asked for; what a server sends besides is left.
    async fn take(&mut self, body: Body) -> Result<(), AgentError> {
        if self.groups.is_closed() || !self.comes(body.uid) {
            return Ok(());
        }
        let size = length(&body.octets);
        if self.budget.available_permits() < to_usize(room(size)) {
            // What is held must go on before there is room for more.
            self.pass_on().await;
        }
        let permit = Arc::clone(self.budget).acquire_many_owned(room(size)).await;
        let permit = permit.map_err(|_| AgentError::Internal("the memory budget was closed"))?;
        self.bytes = self.bytes.saturating_add(size);
        self.messages.push((body, permit));
        self.narrowing.came();
        if self.bytes >= COMMIT_BYTES || self.messages.len() >= COMMIT_MESSAGES {
            self.pass_on().await;
        }
        Ok(())
    }

    /// Stores what has come of the large message; the last part ends it.
    async fn take_part(&mut self, uid: u32, last: bool) -> Result<(), AgentError> {
        let Some(large) = self.large.take() else {
            return Ok(());
        };
        if self.from.is_none() || self.groups.is_closed() {
            return large.abandon(self.execution).await;
        }
        let large = large.take(self.execution, &mut self.parts).await?;
        if !last {
            self.large = Some(large);
            return Ok(());
        }
        match large.end(self.execution, &mut self.parts).await? {
            Fetched::Stored(stored) => self.pass(Vec::new(), vec![stored]).await,
            Fetched::Gone => {}
            Fetched::Unequal => self.put_aside(uid, UNEQUAL)?,
        }
        Ok(())
    }

    async fn pass_on(&mut self) {
        self.bytes = 0;
        let messages = std::mem::take(&mut self.messages);
        if !messages.is_empty() {
            self.pass(messages, Vec::new()).await;
        }
    }

    async fn pass(&self, messages: Vec<(Body, OwnedSemaphorePermit)>, large: Vec<Stored>) {
        if let Some(from) = self.from {
            let group = Group {
                logical: from.logical.clone(),
                source: from.source,
                messages,
                large,
            };
            // Nobody may take it any more: then it is read again by a later run.
            let _ = self.groups.send(group).await;
        }
    }

    fn put_aside(&self, uid: u32, reason: &str) -> Result<(), AgentError> {
        let Some(from) = self.from else { return Ok(()) };
        let at = Place { uid, ..from.source };
        Ok(self.execution.ledger.borrow_mut().quarantine(
            at,
            Class::Quarantined,
            reason,
            clock::now_s(),
        )?)
    }
}
