//! Writes to the target: several connections, each with an APPEND that is fed while others are still
//! unanswered. A batch that is refused is split down to the one bad message.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::Class;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::Execution;
use super::transfer::{Item, Outcome, Parcel, to_usize};
use crate::clock;
use crate::error::AgentError;
use crate::imap::{AppendItem, AppendTag, Appended, ImapError, Kind, Link, Refusal, Shapes};
use crate::kill;
use crate::plan::identity::LogicalFolder;
use crate::snapshot::TargetFolder;

/// APPENDs sent and not answered yet, the open one included.
const AHEAD: usize = 3;
/// What one APPEND holds at most. A server takes a command's messages together: many of them cost it one look at
/// the folder, which a Maildir of many messages makes slow.
const COMMAND_BYTES: usize = 16 << 20;
const COMMAND_MESSAGES: usize = 1024;
/// How long one is fed at most: what a cut connection has sent in vain.
const COMMAND_TIME: Duration = Duration::from_secs(5);
/// And how long it waits for more.
const COMMAND_WAIT: Duration = Duration::from_millis(250);
/// Failed connections of one writer at most.
const STRIKES: u32 = 3;

type Parcels = Mutex<mpsc::Receiver<Parcel>>;

/// Parcels that were sent together, each message with the command that carries it.
struct Flight {
    logical: LogicalFolder,
    folder: TargetFolder,
    batches: Vec<i64>,
    items: Vec<(Item, AppendTag)>,
    bytes: usize,
    /// When its command is ended at the latest.
    until: Instant,
}

impl Flight {
    /// Whether more of a folder may still join the command that is open.
    fn takes(&self, parcel: &Parcel) -> bool {
        self.logical == parcel.logical
            && self.items.len() + parcel.items.len() <= COMMAND_MESSAGES
            && self.bytes < COMMAND_BYTES
            && Instant::now() < self.until
    }
}

enum Happened {
    Parcel(Option<Parcel>),
    /// The oldest command is answered, or there are so many that its answer is waited for.
    Answered,
    /// The open command has been fed long enough, or waited for more.
    Enough,
}

impl Execution<'_> {
    /// A writer: takes parcels until there are no more.
    pub(super) async fn write(&self, parcels: &Parcels, outcome: &RefCell<Outcome>) {
        for _ in 0..STRIKES {
            match self.write_on_one_link(parcels, outcome).await {
                Ok(()) => return,
                Err(AgentError::Imap(error)) if !error.concerns_account() => {
                    // What this connection carried is in doubt: the next round looks for it.
                    outcome.borrow_mut().done.failures.push(error);
                }
                Err(error) => {
                    outcome.borrow_mut().fatal.get_or_insert(error);
                    parcels.lock().await.close();
                    return;
                }
            }
        }
    }

    async fn write_on_one_link(
        &self,
        parcels: &Parcels,
        outcome: &RefCell<Outcome>,
    ) -> Result<(), AgentError> {
        let mut link = self.spares.take(&self.target_endpoint).await?;
        if self.careful {
            while let Some(parcel) = parcels.lock().await.recv().await {
                self.write_carefully(&mut link, parcel, outcome).await?;
            }
            link.logout().await;
            return Ok(());
        }
        let mut flights: VecDeque<Flight> = VecDeque::new();
        loop {
            match self.next(&mut link, &flights, parcels).await? {
                Happened::Parcel(Some(parcel)) if *self.stop.borrow() => {
                    // Nothing of it was sent.
                    self.close_batches(&[parcel.batch], &parcel.folder, &parcel.logical, &[])?;
                }
                Happened::Parcel(Some(parcel)) => {
                    if outcome.borrow().fatal.is_some() {
                        return Ok(());
                    }
                    if link.may_compress() && self.compresses.get() && self.line_is_slow() {
                        link.end_append().await?;
                        while !flights.is_empty() {
                            self.land_oldest(&mut link, &mut flights).await?;
                        }
                        link.compress().await?;
                    }
                    let touched = parcel.logical.clone();
                    outcome.borrow_mut().done.touched.insert(touched);
                    let takes = flights.back().is_some_and(|f| f.takes(&parcel));
                    let grows = link.append_is_open() && takes;
                    if !grows {
                        link.end_append().await?;
                    }
                    self.send(&mut link, &mut flights, grows, parcel).await?;
                    if !link.takes_batches() {
                        link.end_append().await?;
                    }
                }
                Happened::Parcel(None) if flights.is_empty() => break,
                // What is in flight is in doubt; on a server that is silent nobody waits for it twice.
                Happened::Parcel(None) if outcome.borrow().went_silent() => return Ok(()),
                Happened::Enough => link.end_append().await?,
                Happened::Parcel(None) => {
                    link.end_append().await?;
                    self.land_oldest(&mut link, &mut flights).await?;
                }
                Happened::Answered => self.land_oldest(&mut link, &mut flights).await?,
            }
        }
        link.logout().await;
        Ok(())
    }

    /// Waits for a parcel, for the answer to the oldest command, or until the open one is to end.
    async fn next(
        &self,
        link: &mut Link,
        flights: &VecDeque<Flight>,
        parcels: &Parcels,
    ) -> Result<Happened, AgentError> {
        if flights.len() > AHEAD {
            return Ok(Happened::Answered);
        }
        let open = flights.back().filter(|_| link.append_is_open());
        let until = open.map(|flight| flight.until.min(Instant::now() + COMMAND_WAIT));
        let enough = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
            Happened::Enough
        };
        // The open command itself is not answered before it ends.
        let ended = flights.len() - usize::from(open.is_some());
        let oldest = flights.front().filter(|_| ended > 0);
        let answered = async {
            match oldest.and_then(|flight| flight.items.first()) {
                Some((_, tag)) => link.answered(tag).await.map(|()| Happened::Answered),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            parcel = async { parcels.lock().await.recv().await } => Ok(Happened::Parcel(parcel)),
            answered = answered => Ok(answered?),
            enough = enough => Ok(enough),
        }
    }

    /// Writes a parcel: into the command that is open, or its own. Octets go as they are written.
    async fn send(
        &self,
        link: &mut Link,
        flights: &mut VecDeque<Flight>,
        grows: bool,
        parcel: Parcel,
    ) -> Result<(), AgentError> {
        if !grows {
            flights.push_back(Flight {
                logical: parcel.logical,
                folder: parcel.folder,
                batches: Vec::new(),
                items: Vec::with_capacity(parcel.items.len()),
                bytes: 0,
                until: Instant::now() + COMMAND_TIME,
            });
        }
        let Some(flight) = flights.back_mut() else {
            return Err(AgentError::Internal("a parcel without its flight"));
        };
        flight.batches.push(parcel.batch);
        for mut item in parcel.items {
            let tag = self
                .append_one(link, &flight.folder, &mut item, &self.shapes)
                .await?;
            flight.bytes += to_usize(item.size);
            flight.items.push((item, tag));
        }
        Ok(())
    }

    /// Adds a message to a folder: from memory, or from the store where it has been written before.
    async fn append_one(
        &self,
        link: &mut Link,
        folder: &TargetFolder,
        item: &mut Item,
        shapes: &Shapes,
    ) -> Result<AppendTag, AgentError> {
        let Some(load) = item.load.take() else {
            return self
                .append_stored(link, &folder.mailbox, item, shapes)
                .await;
        };
        let append = AppendItem {
            flags: &item.flags,
            date: item.date,
            octets: &load.octets,
        };
        Ok(link.add(&folder.mailbox, append, shapes).await?)
    }

    async fn land_oldest(
        &self,
        link: &mut Link,
        flights: &mut VecDeque<Flight>,
    ) -> Result<(), AgentError> {
        match flights.pop_front() {
            Some(flight) => self.land(link, flight).await,
            None => Ok(()),
        }
    }

    /// Takes the answers to a flight, and sends again in parts what was refused.
    async fn land(&self, link: &mut Link, flight: Flight) -> Result<(), AgentError> {
        let Flight {
            logical,
            folder,
            batches,
            items,
            ..
        } = flight;
        let mut appended = Vec::with_capacity(items.len());
        let landed = async {
            let mut refused = VecDeque::new();
            let mut rest: VecDeque<(Item, AppendTag)> = items.into();
            while let Some((_, tag)) = rest.front() {
                let tag = tag.clone();
                let count = rest.iter().take_while(|(_, of)| *of == tag).count();
                let items = rest.drain(..count).map(|(item, _)| item).collect();
                let told = link.appended(&tag, count).await?;
                kill::point("append answered");
                self.sort(items, told, &mut appended, &mut refused)?;
            }
            // Halves of a refused batch come back here until the one bad message is found.
            while let Some(mut items) = refused.pop_front() {
                let mut tags = Vec::with_capacity(items.len());
                link.end_append().await?;
                for item in &mut items {
                    tags.push(self.append_one(link, &folder, item, &self.shapes).await?);
                }
                link.end_append().await?;
                let mut rest: VecDeque<Item> = items.into();
                tags.dedup();
                let count = if tags.len() == 1 { rest.len() } else { 1 };
                for tag in tags {
                    let items = rest.drain(..count.min(rest.len())).collect();
                    let told = link.appended(&tag, count).await?;
                    self.sort(items, told, &mut appended, &mut refused)?;
                }
            }
            Ok::<(), AgentError>(())
        }
        .await;
        // What is known is noted; only the rest is in doubt, and its batches stay open.
        let batches = if landed.is_ok() { batches } else { Vec::new() };
        self.close_batches(&batches, &folder, &logical, &appended)?;
        landed?;
        for (item, _) in &appended {
            let mut sent = self.sent.get();
            sent.messages += 1;
            sent.bytes += u64::from(item.size);
            self.sent.set(sent);
            self.progress.arrived(&logical, u64::from(item.size));
        }
        Ok(())
    }

    /// Where the messages of one command go: they lie on the target, are sent again in halves, or put aside.
    fn sort(
        &self,
        items: Vec<Item>,
        told: Result<Vec<Appended>, Refusal>,
        appended: &mut Vec<(Item, Appended)>,
        refused: &mut VecDeque<Vec<Item>>,
    ) -> Result<(), AgentError> {
        let refusal = match told {
            Ok(told) => {
                appended.extend(items.into_iter().zip(told));
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        if refusal.kind != Kind::No || refusal.temporary {
            // It is no fault of the messages, so none is put aside for it.
            return Err(self.refusal(&refusal).into());
        }
        let mut first = items;
        if first.len() > 1 {
            let second = first.split_off(first.len() / 2);
            refused.push_front(second);
            refused.push_front(first);
            return Ok(());
        }
        for item in first {
            if item.flags.keywords().is_empty() {
                let text = format!("the {} refuses it: {}", self.target_corner, refusal.text);
                self.put_aside(&item, &text)?;
                continue;
            }
            // A keyword that the target refuses is left off; store and ledger keep it.
            for keyword in item.flags.keywords() {
                let mut ledger = self.ledger.borrow_mut();
                ledger.refuse_keyword(self.triangle, self.target_corner, keyword.as_str())?;
            }
            let flags = item.flags.retain_keywords(|_| false);
            refused.push_back(vec![Item { flags, ..item }]);
        }
        Ok(())
    }

    fn refusal(&self, refusal: &Refusal) -> ImapError {
        let endpoint = &self.target_endpoint;
        ImapError {
            kind: refusal.kind,
            corner: self.target_corner,
            server: format!("{}:{}", endpoint.host, endpoint.port),
            command: "APPEND",
            folder: None,
            text: refusal.text.clone(),
        }
    }

    /// Puts aside what the target says that it does not take, before there are octets for it to refuse.
    pub(super) fn put_aside_unsent(
        &self,
        item: &Item,
        folder: &LogicalFolder,
    ) -> Result<(), AgentError> {
        let reason = format!(
            "the {} takes messages of {} octets at most here, and this one has {}",
            self.target_corner,
            self.room.largest(folder).unwrap_or_default(),
            item.size
        );
        self.put_aside(item, &reason)
    }

    fn put_aside(&self, item: &Item, reason: &str) -> Result<(), AgentError> {
        let now = clock::now_s();
        let mut ledger = self.ledger.borrow_mut();
        Ok(ledger.quarantine(item.source, Class::Quarantined, reason, now)?)
    }

    /// One message at a time, each announced before its octets: after a server closed on a batch, the message
    /// that it closed on is found and put aside.
    async fn write_carefully(
        &self,
        link: &mut Link,
        parcel: Parcel,
        outcome: &RefCell<Outcome>,
    ) -> Result<(), AgentError> {
        let Parcel {
            logical,
            folder,
            batch,
            items,
        } = parcel;
        outcome.borrow_mut().done.touched.insert(logical.clone());
        for mut item in items {
            let shapes = Shapes::default();
            let sent = async {
                let tag = self.append_one(link, &folder, &mut item, &shapes).await?;
                link.end_append().await?;
                link.answered(&tag).await?;
                Ok::<AppendTag, AgentError>(tag)
            };
            match sent.await {
                Ok(tag) => {
                    let flight = Flight {
                        logical: logical.clone(),
                        folder: folder.clone(),
                        batches: vec![batch],
                        items: vec![(item, tag)],
                        bytes: 0,
                        until: Instant::now(),
                    };
                    self.land(link, flight).await?;
                }
                Err(AgentError::Imap(error)) if error.kind == Kind::Bad => {
                    let text = format!(
                        "the {} does not accept it: {}",
                        self.target_corner, error.text
                    );
                    self.put_aside(&item, &text)?;
                    self.close_batches(&[batch], &folder, &logical, &[])?;
                    return Err(error.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
