//! The store and the ledger in step: what the store has lost is fetched again, and what it says of a message is
//! what the ledger says. Looked at only where the store does not stand as the last run left it: after a run that
//! was killed, and when it was restored from an older copy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Class, Corner};

use super::Round;
use crate::clock;
use crate::error::AgentError;
use crate::execute::Copies;
use crate::ledger::StoredRow;
use crate::plan::identity::{ContentId, LogicalFolder, MemberId};
use crate::plan::mirror::Plan;
use crate::plan::view::FolderId;
use crate::store::{Event, Member, Store};

/// How the store stood when a run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stood {
    mark: [u8; 32],
    pub in_step: bool,
}

impl Round<'_> {
    pub(super) async fn store_stands(&self) -> Result<Stood, AgentError> {
        let mark = self.site.store.with(|store| Ok(store.mark()?)).await?;
        let mut ledger = self.site.ledger.borrow_mut();
        let in_step = ledger.is_in_step(&self.triangle.name, &mark)?;
        Ok(Stood { mark, in_step })
    }

    /// Notes how the store stands when a run has come to its end.
    pub(super) async fn note_store(&self, before: Stood, in_step: bool) -> Result<(), AgentError> {
        let after = self.site.store.with(|store| Ok(store.mark()?)).await?;
        let name = in_step.then_some(self.triangle.name.as_str());
        let mut ledger = self.site.ledger.borrow_mut();
        Ok(ledger.keep_in_step(name, &before.mark, &after)?)
    }

    /// Fetches octets again that the store has lost: those that cannot be read, and all that a store lacks which
    /// is younger or older than the ledger. Whether anything was lacking, also of folders that are gone.
    pub(super) async fn refill(&mut self, stood: Stood) -> Result<bool, AgentError> {
        let lost = self.lost(stood).await?;
        let lacked = lost.is_some();
        let lost = lost.unwrap_or_default();
        if !lost.is_empty() {
            tracing::warn!(
                messages = lost.len(),
                "the store lacks messages that it had; fetching them again"
            );
            let name = &self.triangle.name;
            self.site
                .progress
                .say(format!("{name}: refilling the store"));
            let execution = self.execution();
            execution.refill(&lost, &mut self.source_link).await?;
        }
        self.refill_from_standby(&lost).await?;
        Ok(lacked)
    }

    /// Fetches from the standby what the primary could not give: mail that was deleted there, or that is not there as
    /// it was. What waits for the primary's budget waits on.
    async fn refill_from_standby(&mut self, lost: &[StoredRow]) -> Result<(), AgentError> {
        let mut wanted: BTreeSet<ContentId> = lost.iter().map(|row| row.content).collect();
        let waits: BTreeSet<ContentId> = self.unfilled.iter().map(|row| row.content).collect();
        let find = move |store: &mut Store| {
            wanted.extend(store.damaged()?);
            let mut lacking = BTreeSet::new();
            for content in wanted.difference(&waits) {
                if !store.contains(content)? {
                    lacking.insert(*content);
                }
            }
            Ok(lacking)
        };
        let lacking = self.site.store.with(find).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        let mut places = {
            let mut ledger = self.site.ledger.borrow_mut();
            ledger.places_of(&self.triangle.name, Corner::Standby, &lacking)?
        };
        let there = self.target.folders.iter();
        let there = there.filter(|(_, folder)| folder.status.is_some());
        let copies = there.filter_map(|(name, folder)| {
            Some(Copies {
                folder: name.clone(),
                mailbox: folder.mailbox.clone(),
                uidvalidity: folder.known.uidvalidity,
                messages: places.remove(&(folder.known.id, folder.known.generation))?,
            })
        });
        let copies: Vec<Copies> = copies.collect();
        let execution = self.execution();
        let standby = &mut self.target_link;
        let again = execution.refill_from_copies(&copies, lost, standby).await?;
        if again > 0 {
            tracing::warn!(
                messages = again,
                "what the store had lost and the primary has no more was fetched from the standby"
            );
        }
        Ok(())
    }

    /// What the store has lost, newest first, as far as the primary's budget has room for it; what it has no room
    /// for is `unfilled`. None if nothing is lost.
    pub(super) async fn lost(
        &mut self,
        stood: Stood,
    ) -> Result<Option<Vec<StoredRow>>, AgentError> {
        self.unfilled.clear();
        let look = |store: &mut Store| Ok(store.inspect(clock::now_s())?.damaged);
        let damaged = self.site.store.with(look).await?;
        let rows = {
            let mut ledger = self.site.ledger.borrow_mut();
            if damaged.is_empty() && stood.in_step {
                return Ok(None);
            }
            ledger.stored_rows(&self.triangle.name, Corner::Primary)?
        };
        let damaged: BTreeSet<ContentId> = damaged.into_iter().collect();
        let find = move |store: &mut Store| {
            let mut lost = Vec::new();
            for row in rows {
                if damaged.contains(&row.content) || !store.contains(&row.content)? {
                    lost.push(row);
                }
            }
            Ok(lost)
        };
        let mut lost: Vec<StoredRow> = self.site.store.with(find).await?;
        if lost.is_empty() {
            return Ok(None);
        }
        // A folder that is gone has nothing to fetch: its messages become tombstones, or lie elsewhere.
        let there: BTreeSet<FolderId> = self
            .source
            .folders
            .values()
            .filter(|folder| folder.status.is_some())
            .map(|folder| folder.known.id)
            .collect();
        lost.retain(|row| there.contains(&row.at.folder));
        lost.sort_by_key(|row| Reverse((row.date, row.at)));
        let mut left = self.left()?.0;
        let fits = |row: &&StoredRow| left.take(u64::from(row.size));
        let count = lost.iter().take_while(fits).count();
        self.unfilled = lost.split_off(count);
        Ok(Some(lost))
    }

    /// Fetches what a plan sends from the store and the store lacks, whatever is left of the budget.
    pub(super) async fn refill_for(&mut self, plan: &Plan) -> Result<(), AgentError> {
        if self.unfilled.is_empty() {
            return Ok(());
        }
        let sends = plan.sends.values().flatten();
        let sent: BTreeSet<ContentId> = sends.map(|send| send.content).collect();
        let unfilled = std::mem::take(&mut self.unfilled).into_iter();
        let (now, later) = unfilled.partition(|row| sent.contains(&row.content));
        self.unfilled = later;
        let now: Vec<StoredRow> = now;
        self.execution().refill(&now, &mut self.source_link).await?;
        Ok(())
    }

    /// Brings what the store says of each message up to the ledger, which knows what the last looks showed. Each
    /// message that the store said otherwise is a repair. Whether it says of all of them now what the ledger says.
    pub(super) async fn correct_store(&mut self) -> Result<bool, AgentError> {
        let name = self.triangle.name.as_str();
        let (rows, buried) = {
            let mut ledger = self.site.ledger.borrow_mut();
            let rows = ledger.stored_rows(name, Corner::Primary)?;
            (rows, ledger.buried(name)?)
        };
        let triangle: Box<str> = name.into();
        let correct = move |store: &mut Store| {
            let found = corrections(store, &triangle, rows, buried.into_iter().collect())?;
            for event in found.events {
                store.record(event)?;
            }
            store.commit()?;
            Ok((found.repairs, found.whole))
        };
        let (repairs, whole) = self.site.store.with(correct).await?;
        if repairs.is_empty() {
            return Ok(whole);
        }
        tracing::warn!(
            messages = repairs.len(),
            "the store said of messages what is not so any more; it has been corrected"
        );
        let repairs: Vec<_> = repairs
            .into_iter()
            .map(|(class, folder, content)| (name, class, Corner::Store, folder, content))
            .collect();
        let mut ledger = self.site.ledger.borrow_mut();
        ledger.add_repairs(&repairs, clock::now_s())?;
        Ok(whole)
    }
}

struct Corrections {
    events: Vec<Event>,
    repairs: Vec<(Class, LogicalFolder, ContentId)>,
    /// Nothing is left that the store has no octets of.
    whole: bool,
}

/// What has to be written so that a store says what rows and tombstones of the ledger say. Of what the ledger does
/// not know it may say what it likes.
fn corrections(
    store: &Store,
    triangle: &str,
    rows: Vec<StoredRow>,
    buried: BTreeMap<MemberId, i64>,
) -> Result<Corrections, AgentError> {
    let mut rows: BTreeMap<MemberId, StoredRow> =
        rows.into_iter().map(|row| (row.member, row)).collect();
    let mut events = Vec::new();
    let mut differing = Vec::new();
    store.each_member(triangle, |found| {
        let member = found.member;
        match rows.remove(&member) {
            Some(row) => differing.extend(differs(&row, &found).map(|class| (class, row))),
            None if found.tombstone.is_none() => {
                let at = buried.get(&member).copied();
                events.extend(at.map(|at| Event::Tombstone { member, at }));
            }
            None => {}
        }
    })?;
    let missing = rows.into_values();
    differing.extend(missing.map(|row| (Class::MissingInStore, row)));
    let mut corrections = Corrections {
        events,
        repairs: Vec::with_capacity(differing.len()),
        whole: true,
    };
    for (class, row) in differing {
        // What it has no octets of is fetched first.
        if !store.contains(&row.content)? {
            corrections.whole = false;
            continue;
        }
        let repair = (class, row.folder.clone(), row.content);
        corrections.repairs.push(repair);
        corrections.events.push(row.into_add(triangle));
    }
    Ok(corrections)
}

/// What is wrong with what the store says of a message.
fn differs(row: &StoredRow, member: &Member) -> Option<Class> {
    if member.tombstone.is_some() {
        Some(Class::MissingInStore)
    } else if row.content != member.content {
        Some(Class::Altered)
    } else if row.folder != member.folder {
        Some(Class::Misplaced)
    } else if row.date != member.date {
        Some(Class::DateDiffers)
    } else {
        (row.flags != member.flags).then_some(Class::FlagsDiffer)
    }
}
