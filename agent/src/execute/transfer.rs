//! Messages on their way: one reader, the store, several writers, bounded channels between them.
//!
//! Each message is read once and goes to the store and from memory to the target. What is in flight is
//! bounded in octets, so memory does not grow with the mailbox; a message larger than the bound travels
//! alone.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use maildreieck_api_spec::vocabulary::Class;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Done, Execution, TargetFolder};
use crate::clock;
use crate::error::AgentError;
use crate::imap::{AppendItem, Appended, Body, BodyEvent, ImapError, Kind, Link, Refusal, wire};
use crate::ledger::{KnownFolder, NewRow};
use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};
use crate::plan::mirror::{Copy, Plan, Send};
use crate::plan::view::{Origin, Place};
use crate::store::Event;

/// Octets in flight, in KiB.
const BUDGET_KIB: u32 = 16 * 1024;
/// What is committed to the store at once.
const COMMIT_BYTES: usize = 4 << 20;
const COMMIT_MESSAGES: usize = 128;
/// What one APPEND holds.
const BATCH_BYTES: usize = 512 << 10;
const BATCH_MESSAGES: usize = 32;
/// UIDs asked for at once.
const ASK: usize = 200;

/// A message on its way.
#[derive(Clone)]
pub(super) struct Item {
    pub source: Place,
    pub content: ContentId,
    pub size: u32,
    pub date: InternalDate,
    pub flags: Flags,
    pub octets: Arc<[u8]>,
    pub repair: Option<Class>,
    /// The source row to note with it; `None` where it is known.
    pub row: Option<NewRow>,
    #[expect(
        dead_code,
        reason = "held, not read: the budget is free again when it is dropped"
    )]
    permit: Rc<OwnedSemaphorePermit>,
}

/// Messages of one folder that have been read and are to be stored.
struct Group {
    logical: LogicalFolder,
    source: Place,
    bodies: Vec<(Body, Rc<OwnedSemaphorePermit>)>,
}

/// Messages of one folder that are stored and are to be sent.
struct Parcel {
    logical: LogicalFolder,
    folder: TargetFolder,
    items: Vec<Item>,
}

#[derive(Default)]
struct Outcome {
    done: Done,
    fatal: Option<AgentError>,
}

fn length(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

impl Execution<'_> {
    /// Copies and sends what the plan names.
    pub(super) async fn transfer(
        &self,
        plan: &Plan,
        source: &mut Link,
    ) -> Result<Done, AgentError> {
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let budget = Arc::new(Semaphore::new(
            usize::try_from(BUDGET_KIB).unwrap_or(usize::MAX),
        ));
        let (groups_in, groups) = mpsc::channel::<Group>(1);
        let (parcels_in, parcels) = mpsc::channel::<Parcel>(self.writers.max(1));
        let parcels = Mutex::new(parcels);
        let writers = futures::future::join_all(
            (0..self.writers.max(1)).map(|_| self.write(&parcels, &outcome)),
        );
        let reading = self.read_source(plan, source, &budget, groups_in);
        let staging = self.stage(plan, groups, parcels_in, &budget, &outcome);
        let (read, staged, ()) = tokio::join!(reading, staging, async {
            writers.await;
            // Without writers nobody takes parcels: the stages before see it.
            parcels.lock().await.close();
        });
        let outcome = Rc::try_unwrap(outcome)
            .map_err(|_| AgentError::Internal("the outcome is still in use"))?;
        let outcome = outcome.into_inner();
        if let Some(error) = outcome.fatal {
            return Err(error);
        }
        read?;
        staged?;
        Ok(outcome.done)
    }

    /// Puts what was read into the store, journals it and hands it to the writers; then what the plan sends
    /// from the store.
    async fn stage(
        &self,
        plan: &Plan,
        mut groups: mpsc::Receiver<Group>,
        parcels: mpsc::Sender<Parcel>,
        budget: &Arc<Semaphore>,
        outcome: &Rc<RefCell<Outcome>>,
    ) -> Result<(), AgentError> {
        while let Some(group) = groups.recv().await {
            let logical = group.logical.clone();
            let items = self.keep(group).await?;
            if !self.parcel_out(&logical, items, &parcels).await? {
                return Ok(());
            }
        }
        for (logical, sends) in &plan.sends {
            let mut rest = sends.as_slice();
            while !rest.is_empty() {
                if outcome.borrow().fatal.is_some() {
                    return Ok(());
                }
                let mut bytes = 0;
                let count = rest
                    .iter()
                    .take(BATCH_MESSAGES)
                    .take_while(|send| {
                        let first = bytes == 0;
                        bytes += to_usize(send.size);
                        first || bytes <= BATCH_BYTES
                    })
                    .count();
                let (now, later) = rest.split_at(count);
                rest = later;
                let items = self.read_back(now, budget).await?;
                if !self.parcel_out(logical, items, &parcels).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn keep(&self, group: Group) -> Result<Vec<Item>, AgentError> {
        let Group {
            logical,
            source,
            bodies,
        } = group;
        let (bodies, permits): (Vec<Body>, Vec<_>) = bodies.into_iter().unzip();
        let triangle: Box<str> = self.triangle.into();
        let folder = logical.clone();
        let (mailbox, known) = self.source_folder(&logical)?;
        let (mailbox, uidvalidity) = (mailbox.as_str().to_owned(), known.uidvalidity);
        let kept = self
            .store
            .with(move |store| {
                let mut kept = Vec::with_capacity(bodies.len());
                for body in bodies {
                    let put = store.put(&body.octets)?;
                    let member = MemberId::of(
                        &triangle,
                        &mailbox,
                        uidvalidity,
                        source.generation,
                        body.uid,
                    );
                    store.record(Event::Add {
                        member,
                        triangle: triangle.clone(),
                        folder: folder.clone(),
                        content: put.id,
                        date: body.date,
                        flags: body.flags.clone(),
                        size: length(&body.octets),
                    })?;
                    kept.push((body, put.id, member));
                }
                store.commit()?;
                Ok(kept)
            })
            .await?;
        let now = clock::now_s();
        let refused = self
            .ledger
            .borrow_mut()
            .refused_keywords(self.triangle, self.target_corner)?;
        Ok(kept
            .into_iter()
            .zip(permits)
            .map(|((body, content, member), permit)| {
                let at = Place {
                    uid: body.uid,
                    ..source
                };
                let size = length(&body.octets);
                let row = NewRow {
                    at,
                    content,
                    size,
                    date: body.date,
                    flags: body.flags.clone(),
                    verified_at: Some(now),
                    origin: Origin::Foreign,
                    member: Some(member),
                };
                let flags = body
                    .flags
                    .retain_keywords(|k| !refused.contains(&k.as_str().to_ascii_lowercase()));
                let octets = Arc::from(body.octets);
                Item {
                    source: at,
                    content,
                    size,
                    date: body.date,
                    flags,
                    octets,
                    repair: None,
                    row: Some(row),
                    permit,
                }
            })
            .collect())
    }

    pub(super) fn source_folder(
        &self,
        logical: &LogicalFolder,
    ) -> Result<&(wire::Mailbox, KnownFolder), AgentError> {
        self.source_folders.get(logical).ok_or(AgentError::Internal(
            "a plan names a source folder that was not seen",
        ))
    }

    async fn read_back(
        &self,
        sends: &[Send],
        budget: &Arc<Semaphore>,
    ) -> Result<Vec<Item>, AgentError> {
        let bytes = sends
            .iter()
            .fold(0, |sum: u32, send| sum.saturating_add(send.size));
        let permit = Rc::new(permit(budget, bytes).await?);
        let mut items = Vec::with_capacity(sends.len());
        for send in sends {
            let content = send.content;
            let octets = self
                .store
                .with(move |store| Ok(store.read(&content)?))
                .await?;
            items.push(Item {
                source: send.source,
                content,
                size: send.size,
                date: send.date,
                flags: send.flags.clone(),
                octets: octets.into(),
                repair: send.repair,
                row: None,
                permit: Rc::clone(&permit),
            });
        }
        Ok(items)
    }

    /// Whether there was still a writer to take it.
    async fn parcel_out(
        &self,
        logical: &LogicalFolder,
        items: Vec<Item>,
        parcels: &mpsc::Sender<Parcel>,
    ) -> Result<bool, AgentError> {
        let folder = self.folders.get(logical).ok_or(AgentError::Internal(
            "a plan names a target folder that was not made",
        ))?;
        let mut rest: VecDeque<Item> = items.into();
        while !rest.is_empty() {
            let (mut bytes, mut count) = (0, 0);
            for item in &rest {
                bytes += item.octets.len();
                if count > 0 && (bytes > BATCH_BYTES || count >= BATCH_MESSAGES || self.careful) {
                    break;
                }
                count += 1;
            }
            let items: Vec<Item> = rest.drain(..count).collect();
            let parcel = Parcel {
                logical: logical.clone(),
                folder: folder.clone(),
                items,
            };
            if parcels.send(parcel).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A writer: takes parcels until there are no more.
    async fn write(&self, parcels: &Mutex<mpsc::Receiver<Parcel>>, outcome: &Rc<RefCell<Outcome>>) {
        let mut link = None;
        let mut strikes = 0;
        loop {
            let Some(parcel) = parcels.lock().await.recv().await else {
                break;
            };
            if outcome.borrow().fatal.is_some() {
                break;
            }
            match self.deliver(&mut link, parcel, outcome).await {
                Ok(()) => {}
                Err(AgentError::Imap(error)) if !error.concerns_account() => {
                    // What this connection carried is in doubt: the next round looks for it.
                    link = None;
                    strikes += 1;
                    outcome.borrow_mut().done.failures.push(error);
                    if strikes > 2 {
                        break;
                    }
                }
                Err(error) => {
                    outcome.borrow_mut().fatal.get_or_insert(error);
                    parcels.lock().await.close();
                    break;
                }
            }
        }
        if let Some(link) = link {
            link.logout().await;
        }
    }

    async fn deliver(
        &self,
        link: &mut Option<Link>,
        parcel: Parcel,
        outcome: &Rc<RefCell<Outcome>>,
    ) -> Result<(), AgentError> {
        let mut open = match link.take() {
            Some(open) => open,
            None => Link::open(Arc::clone(&self.target_endpoint)).await?,
        };
        let Parcel {
            logical,
            folder,
            items,
        } = parcel;
        let batch = self.open_batch(&folder, &items)?;
        outcome.borrow_mut().done.touched.insert(logical.clone());
        let mut appended: Vec<(Item, Appended)> = Vec::with_capacity(items.len());
        // Halves of a refused batch come back here until the one bad message is found.
        let mut left: VecDeque<Vec<Item>> = VecDeque::from([items]);
        while let Some(items) = left.pop_front() {
            let wire: Vec<AppendItem> = items
                .iter()
                .map(|i| AppendItem {
                    flags: i.flags.clone(),
                    date: i.date,
                    octets: Arc::clone(&i.octets),
                })
                .collect();
            let results = match open.append(&folder.mailbox, &wire, &self.shapes).await {
                Ok(outcome) => outcome.items,
                Err(error) if error.kind == Kind::Bad && items.len() == 1 && self.careful => {
                    let text = format!(
                        "the {} does not accept it: {}",
                        self.target_corner, error.text
                    );
                    self.put_aside(&items, &text)?;
                    self.close_batch(Some(batch), &folder, &logical, &appended)?;
                    return Err(error.into());
                }
                Err(error) => {
                    // Earlier parts of this parcel are known; only this one is in doubt.
                    appended.retain(|(_, told)| told.is_some());
                    self.close_batch(None, &folder, &logical, &appended)?;
                    return Err(error.into());
                }
            };
            let refused = results.iter().any(Result::is_err);
            if refused && items.len() > 1 && open.takes_batches() {
                let mut first = items;
                let second = first.split_off(first.len() / 2);
                left.push_front(second);
                left.push_front(first);
                continue;
            }
            for (item, result) in items.into_iter().zip(results) {
                match result {
                    Ok(told) => appended.push((item, told)),
                    Err(refusal) => self.refused(item, &refusal, &mut left)?,
                }
            }
        }
        self.close_batch(Some(batch), &folder, &logical, &appended)?;
        let mut outcome = outcome.borrow_mut();
        for (item, _) in &appended {
            outcome.done.mirrored.messages += 1;
            outcome.done.mirrored.bytes += u64::from(item.size);
            self.progress.moved(u64::from(item.size));
        }
        *link = Some(open);
        Ok(())
    }

    /// One message refused with NO.
    fn refused(
        &self,
        item: Item,
        refusal: &Refusal,
        left: &mut VecDeque<Vec<Item>>,
    ) -> Result<(), AgentError> {
        if refusal.over_quota {
            return Err(ImapError {
                kind: Kind::OverQuota,
                corner: self.target_corner,
                server: format!(
                    "{}:{}",
                    self.target_endpoint.host, self.target_endpoint.port
                ),
                command: "APPEND",
                folder: None,
                text: refusal.text.clone(),
            }
            .into());
        }
        if item.flags.keywords().is_empty() {
            let text = format!("the {} refuses it: {}", self.target_corner, refusal.text);
            return self.put_aside(std::slice::from_ref(&item), &text);
        }
        // A keyword that the target refuses is left off; store and ledger keep it.
        for keyword in item.flags.keywords() {
            self.ledger.borrow_mut().refuse_keyword(
                self.triangle,
                self.target_corner,
                keyword.as_str(),
            )?;
        }
        let flags = item.flags.retain_keywords(|_| false);
        left.push_back(vec![Item { flags, ..item }]);
        Ok(())
    }

    fn put_aside(&self, items: &[Item], reason: &str) -> Result<(), AgentError> {
        for item in items {
            self.ledger.borrow_mut().quarantine(
                item.source,
                Class::Quarantined,
                reason,
                clock::now_s(),
            )?;
        }
        Ok(())
    }

    async fn read_source(
        &self,
        plan: &Plan,
        link: &mut Link,
        budget: &Arc<Semaphore>,
        groups: mpsc::Sender<Group>,
    ) -> Result<(), AgentError> {
        for (logical, copies) in &plan.copies {
            let (mailbox, known) = self.source_folder(logical)?;
            let opened = link.open_mailbox(mailbox, false).await?;
            if opened.status.uidvalidity != known.uidvalidity {
                // Renewed since it was listed: the next run looks again.
                continue;
            }
            let source = Place {
                folder: known.id,
                generation: known.generation,
                uid: 0,
            };
            let mut reader = FolderReader {
                execution: self,
                logical,
                source,
                budget,
                groups: &groups,
                held: Vec::new(),
            };
            if !reader.read(link, copies).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Reads one folder of the source.
struct FolderReader<'a, 'b> {
    execution: &'a Execution<'b>,
    logical: &'a LogicalFolder,
    source: Place,
    budget: &'a Arc<Semaphore>,
    groups: &'a mpsc::Sender<Group>,
    held: Vec<(Body, Rc<OwnedSemaphorePermit>)>,
}

impl FolderReader<'_, '_> {
    /// Whether somebody still takes what is read.
    async fn read(&mut self, link: &mut Link, copies: &[Copy]) -> Result<bool, AgentError> {
        let uids: Vec<u32> = copies.iter().map(|c| c.uid).collect();
        let mut sets: VecDeque<String> = uids
            .chunks(ASK)
            .flat_map(|some| wire::uid_sets(some, 4000))
            .collect();
        let mut asked = VecDeque::new();
        loop {
            while asked.len() < 2
                && let Some(set) = sets.pop_front()
            {
                asked.push_back(link.ask_bodies(&set).await?);
            }
            let Some(tag) = asked.front() else { break };
            match link.next_body(tag).await? {
                BodyEvent::End => {
                    asked.pop_front();
                }
                BodyEvent::Gone(_) => {}
                BodyEvent::Unequal(uid) => {
                    let reason = "its server states another length than it delivers";
                    let at = Place { uid, ..self.source };
                    let now = clock::now_s();
                    self.execution.ledger.borrow_mut().quarantine(
                        at,
                        Class::Quarantined,
                        reason,
                        now,
                    )?;
                }
                BodyEvent::Body(body) if uids.binary_search(&body.uid).is_ok() => {
                    if !self.hold(body).await? {
                        return Ok(false);
                    }
                }
                BodyEvent::Body(_) => {}
            }
        }
        Ok(self.pass_on().await)
    }

    async fn hold(&mut self, body: Body) -> Result<bool, AgentError> {
        let size = length(&body.octets);
        if self.budget.available_permits() < to_usize(kib(size)) && !self.pass_on().await {
            // What is held must go on before there is room for more.
            return Ok(false);
        }
        let permit = permit(self.budget, size).await?;
        self.held.push((body, Rc::new(permit)));
        let bytes: usize = self.held.iter().map(|(body, _)| body.octets.len()).sum();
        if bytes >= COMMIT_BYTES || self.held.len() >= COMMIT_MESSAGES {
            return Ok(self.pass_on().await);
        }
        Ok(true)
    }

    async fn pass_on(&mut self) -> bool {
        if self.held.is_empty() {
            return true;
        }
        let bodies = std::mem::take(&mut self.held);
        self.groups
            .send(Group {
                logical: self.logical.clone(),
                source: self.source,
                bodies,
            })
            .await
            .is_ok()
    }
}

fn kib(bytes: u32) -> u32 {
    (bytes / 1024 + 1).min(BUDGET_KIB)
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

async fn permit(budget: &Arc<Semaphore>, bytes: u32) -> Result<OwnedSemaphorePermit, AgentError> {
    Arc::clone(budget)
        .acquire_many_owned(kib(bytes))
        .await
        .map_err(|_| AgentError::Internal("the memory budget was closed"))
}
