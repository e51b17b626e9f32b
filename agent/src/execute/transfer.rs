//! Messages on their way: one reader, the store, several writers, bounded channels between them.
//!
//! Each message is read once and goes to the store and from memory to the target. What is in flight is
//! bounded in octets, so memory does not grow with the mailbox. A message counts no more once it is written
//! to the target's socket: from then on it can be had from the store.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use maildreieck_api_spec::vocabulary::Class;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

use super::large::{LARGE, Stored};
use super::reader::Group;
use super::{Done, Execution};
use crate::account::Account;
use crate::clock;
use crate::error::AgentError;
use crate::imap::{Kind, Mailbox};
use crate::ledger::{KnownFolder, NewRow};
use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};
use crate::plan::mirror::{Plan, Send};
use crate::plan::view::{Origin, Place};
use crate::snapshot::TargetFolder;
use crate::store::{Event, Store};

/// Octets in flight, in KiB.
const BUDGET_KIB: u32 = 5 * 1024;
/// What a writer takes at once.
const PARCEL_BYTES: usize = 256 << 10;
const PARCEL_MESSAGES: usize = 16;
/// For fewer octets the round trip that agrees on compression is not worth its while.
const WORTH_COMPRESSING: usize = 1 << 20;

/// A message on its way.
pub(super) struct Item {
    pub source: Place,
    pub content: ContentId,
    pub size: u32,
    pub date: InternalDate,
    pub flags: Flags,
    pub repair: Option<Class>,
    /// Its octets, until they are written.
    pub load: Option<Load>,
}

/// Octets, with the room that they take of the budget until they are dropped.
pub(super) struct Load {
    pub octets: Vec<u8>,
    #[expect(
        dead_code,
        reason = "held, not read: the room is free when it is dropped"
    )]
    permit: OwnedSemaphorePermit,
}

/// Messages of one folder that are stored and journalled and are to be sent.
pub(super) struct Parcel {
    pub logical: LogicalFolder,
    pub folder: TargetFolder,
    /// Their batch in the journal.
    pub batch: i64,
    pub items: Vec<Item>,
}

/// Messages of one folder that are in the store, and what the journal says of them.
struct Kept {
    logical: LogicalFolder,
    items: Vec<Item>,
    rows: Vec<NewRow>,
}

/// What came of it so far.
#[derive(Default)]
pub(super) struct Outcome {
    pub done: Done,
    pub fatal: Option<AgentError>,
}

impl Outcome {
    /// Whether a connection gave the target up because nothing came any more.
    pub fn went_silent(&self) -> bool {
        matches!(&self.fatal, Some(AgentError::Imap(error)) if error.kind == Kind::Silent)
    }
}

pub(super) fn length(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

pub(super) fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The room that a message takes of the budget.
pub(super) fn room(bytes: u32) -> u32 {
    (bytes / 1024 + 1).min(BUDGET_KIB)
}

impl Execution<'_> {
    /// Copies and sends what the plan names. Nothing is stored or sent before `prepared` has ended well; the
    /// source is read meanwhile.
    pub(super) async fn transfer(
        &self,
        plan: &Plan,
        source: &mut Account,
        prepared: impl Future<Output = Result<(), AgentError>>,
    ) -> Result<Done, AgentError> {
        let copies = plan.copies.values().flatten().map(|copy| copy.size);
        let sends = plan.sends.values().flatten().map(|send| send.size);
        let (count, bytes) = copies.chain(sends).fold((0, 0), |(count, bytes), size| {
            (count + 1, bytes + to_usize(size))
        });
        let writers = Self::writers_for(count, bytes, self.writers);
        if writers == 0 {
            prepared.await?;
            return Ok(Done::default());
        }
        self.progress.expect(self.triangle, plan.volumes());
        let outcome = RefCell::new(Outcome::default());
        let budget = Arc::new(Semaphore::new(to_usize(BUDGET_KIB)));
        let (groups_in, groups) = mpsc::channel::<Group>(1);
        let (parcels_in, parcels) = mpsc::channel::<Parcel>(writers);
        let parcels = Mutex::new(parcels);
        let writing = async {
            futures::future::join_all((0..writers).map(|_| self.write(&parcels, &outcome))).await;
            // Without writers nobody takes parcels: the stages before see it, and what waits makes room.
            let mut left = parcels.lock().await;
            left.close();
            while left.recv().await.is_some() {}
        };
        let staging = async {
            prepared.await?;
            // The store and the journal wait for the disc side by side.
            let (kept_in, kept) = mpsc::channel::<Kept>(1);
            let storing = self.keep_all(groups, kept_in);
            let handing_on = self.hand_on(plan, kept, parcels_in, &budget, &outcome);
            tokio::try_join!(storing, handing_on).map(|((), ())| ())
        };
        let compresses = bytes >= WORTH_COMPRESSING;
        self.compresses.set(compresses);
        let reading = self.read_source(plan, source, &budget, groups_in, compresses);
        let (read, staged, ()) = tokio::join!(reading, staging, writing);
        let outcome = outcome.into_inner();
        if let Some(error) = outcome.fatal {
            return Err(error);
        }
        read?;
        staged?;
        Ok(outcome.done)
    }

    /// Whether the target is reached over a line that is the limit. What is sent is not measured, but both accounts
    /// are reached over the site's own line, which sends no faster than it receives.
    pub(super) fn line_is_slow(&self) -> bool {
        let source = &self.source_endpoint.meter.line;
        let target = &self.target_endpoint.meter.line;
        let slow = [source, target].map(|line| line.is_slow() == Some(true));
        target.is_far() && slow.contains(&true)
    }

    /// How many connections are worth their while, of `most`.
    pub(crate) fn writers_for(messages: usize, bytes: usize, most: usize) -> usize {
        let parcels = messages.div_ceil(PARCEL_MESSAGES);
        parcels.max(bytes / PARCEL_BYTES).min(most)
    }

    /// Puts what was read into the store, and commits it.
    async fn keep_all(
        &self,
        mut groups: mpsc::Receiver<Group>,
        kept: mpsc::Sender<Kept>,
    ) -> Result<(), AgentError> {
        while let Some(group) = groups.recv().await {
            if kept.send(self.keep(group).await?).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Journals what is stored and hands it to the writers; then what the plan sends from the store.
    async fn hand_on(
        &self,
        plan: &Plan,
        mut kept: mpsc::Receiver<Kept>,
        parcels: mpsc::Sender<Parcel>,
        budget: &Arc<Semaphore>,
        outcome: &RefCell<Outcome>,
    ) -> Result<(), AgentError> {
        while let Some(Kept {
            logical,
            items,
            rows,
        }) = kept.recv().await
        {
            if !self.parcel_out(&logical, items, &rows, &parcels).await? {
                return Ok(());
            }
        }
        for (logical, sends) in &plan.sends {
            for some in sends.chunks(PARCEL_MESSAGES) {
                if outcome.borrow().fatal.is_some() || *self.stop.borrow() {
                    return Ok(());
                }
                let mut items = Vec::with_capacity(some.len());
                let mut bytes = 0;
                for send in some {
                    bytes += to_usize(send.size);
                    if bytes > PARCEL_BYTES && !items.is_empty() {
                        // What is held must go on before there is room for more.
                        let items = std::mem::take(&mut items);
                        if !self.parcel_out(logical, items, &[], &parcels).await? {
                            return Ok(());
                        }
                        bytes = to_usize(send.size);
                    }
                    items.push(self.read_back(send, budget).await?);
                }
                if !self.parcel_out(logical, items, &[], &parcels).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Octets and membership into the store, and committed.
    async fn keep(&self, group: Group) -> Result<Kept, AgentError> {
        let Group {
            logical,
            source,
            messages,
            large,
        } = group;
        let (mailbox, known) = self.source_folder(&logical)?;
        let (mailbox, uidvalidity) = (mailbox.as_str().to_owned(), known.uidvalidity);
        let triangle: Box<str> = self.triangle.into();
        let folder = logical.clone();
        let (begun, now) = (self.begun.get(), clock::now_s());
        let store = move |store: &mut Store| {
            let mut kept = Vec::with_capacity(messages.len() + large.len());
            for (body, permit) in messages {
                let content = store.put(&body.octets)?.id;
                let stored = Stored {
                    uid: body.uid,
                    size: length(&body.octets),
                    date: body.date,
                    flags: body.flags,
                    content,
                };
                let octets = body.octets;
                kept.push((stored, Some(Load { octets, permit })));
            }
            kept.extend(large.into_iter().map(|stored| (stored, None)));
            let mut members = Vec::with_capacity(kept.len());
            for (stored, _) in &kept {
                let generation = source.generation;
                let mut member =
                    MemberId::of(&triangle, &mailbox, uidvalidity, generation, stored.uid);
                if begun {
                    member = store.member_for(member, stored.content, now)?;
                }
                store.record(Event::Add {
                    member,
                    triangle: triangle.clone(),
                    folder: logical.clone(),
                    content: stored.content,
                    date: stored.date,
                    flags: stored.flags.clone(),
                    size: stored.size,
                })?;
                members.push(member);
            }
            store.commit()?;
            Ok((kept, members))
        };
        let (kept, members) = self.store.with(store).await?;
        let now = clock::now_s();
        let refused = self
            .ledger
            .borrow_mut()
            .refused_keywords(self.triangle, self.target_corner)?;
        let mut rows = Vec::with_capacity(kept.len());
        let mut items = Vec::with_capacity(kept.len());
        for ((stored, load), member) in kept.into_iter().zip(members) {
            let Stored {
                uid,
                size,
                date,
                flags,
                content,
            } = stored;
            let at = Place { uid, ..source };
            rows.push(NewRow {
                at,
                content,
                size,
                date,
                flags: flags.clone(),
                verified_at: Some(now),
                origin: Origin::Foreign,
                member: Some(member),
            });
            items.push(Item {
                source: at,
                content,
                size,
                date,
                flags: flags
                    .retain_keywords(|k| !refused.contains(&k.as_str().to_ascii_lowercase())),
                repair: None,
                load,
            });
        }
        Ok(Kept {
            logical: folder,
            items,
            rows,
        })
    }

    pub(super) fn source_folder(
        &self,
        logical: &LogicalFolder,
    ) -> Result<&(Mailbox, KnownFolder), AgentError> {
        self.source_folders.get(logical).ok_or(AgentError::Internal(
            "a plan names a source folder that was not seen",
        ))
    }

    async fn read_back(&self, send: &Send, budget: &Arc<Semaphore>) -> Result<Item, AgentError> {
        let load = if send.size < LARGE {
            let permit = Arc::clone(budget).acquire_many_owned(room(send.size)).await;
            let permit =
                permit.map_err(|_| AgentError::Internal("the memory budget was closed"))?;
            let octets = self.octets(send.content).await?;
            Some(Load { octets, permit })
        } else {
            None
        };
        Ok(Item {
            source: send.source,
            content: send.content,
            size: send.size,
            date: send.date,
            flags: send.flags.clone(),
            repair: send.repair,
            load,
        })
    }

    async fn octets(&self, content: ContentId) -> Result<Vec<u8>, AgentError> {
        self.store
            .with(move |store| Ok(store.read(&content)?))
            .await
    }

    /// Journals messages and hands them to the writers. Whether there was still one to take them.
    async fn parcel_out(
        &self,
        logical: &LogicalFolder,
        items: Vec<Item>,
        rows: &[NewRow],
        parcels: &mpsc::Sender<Parcel>,
    ) -> Result<bool, AgentError> {
        let folder = self.target(logical)?;
        let takes = |item: &Item| self.room.takes(logical, u64::from(item.size));
        let (items, too_large): (Vec<Item>, Vec<Item>) = items.into_iter().partition(takes);
        let mut split: Vec<Vec<Item>> = Vec::new();
        let mut rest: VecDeque<Item> = items.into();
        while !rest.is_empty() {
            let (mut bytes, mut count) = (0, 0);
            for item in &rest {
                bytes += to_usize(item.size);
                let full = bytes > PARCEL_BYTES || count >= PARCEL_MESSAGES || self.careful;
                if count > 0 && full {
                    break;
                }
                count += 1;
            }
            split.push(rest.drain(..count).collect());
        }
        // Before it is sent: a run that is killed has spent it.
        let octets = split.iter().flatten().map(|item| u64::from(item.size));
        self.note_spent(octets.sum())?;
        let contents: Vec<Vec<ContentId>> = split
            .iter()
            .map(|items| items.iter().map(|item| item.content).collect())
            .collect();
        let batches = self.open_batches(&folder, &contents, rows).await?;
        for item in &too_large {
            self.put_aside_unsent(item, logical)?;
        }
        for (items, batch) in split.into_iter().zip(batches) {
            let parcel = Parcel {
                logical: logical.clone(),
                folder: folder.clone(),
                batch,
                items,
            };
            if parcels.send(parcel).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
