//! Tx: all corners listed afresh, bytes read back, the differences named and looked at twice.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound as _, Utc};
use maildreieck_api_spec::certificate::{
    Certificate, Corners, CutPoint, DifferenceCount, FORMAT, FolderFigures, LARGEST, RepairCount,
    UNANCHORED, verdict,
};
use maildreieck_api_spec::vocabulary::{Class, Corner, Depth, Direction};

use super::{Round, Site};
use crate::clock;
use crate::config::TriangleConfig;
use crate::error::AgentError;
use crate::execute::{LARGE, identify_large};
use crate::imap::{BodyEvent, wire};
use crate::ledger::{Quarantined, RepairRow};
use crate::plan::budget::{Left, read_within};
use crate::plan::guard::{History, Lost};
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::mirror::Read;
use crate::plan::names::excluded;
use crate::plan::reconcile::{
    Difference, Entry, Explanations, compare, compare_volume, left_out, waits,
};
use crate::plan::view::{FolderId, Origin, Place, Side, View};
use crate::report::figures::{coverage, figures, folder_ref};
use crate::report::{Mirrored, Proof};
use crate::snapshot::{self, Cut, Seen, Stands};
use crate::store::{ReadBack, Store};

/// The part of earlier proofs that a Tx reads again.
const SHARE: u64 = 30;
/// What a Tx reads of the store at least, octets.
const STORE_SHARE_BYTES: u64 = 64 << 20;
/// How long a quarantine explains a difference, seconds.
const QUARANTINE_GRACE_S: i64 = 3 * 86_400;

/// How often a Tx looks until two looks agree; of corners that never stand still the last one counts.
const LOOKS: u32 = 4;

/// The three corners as entries.
#[derive(Default)]
struct Sight {
    /// Messages of the primary that wait for a budget and have not been read, by folder.
    unread: BTreeMap<LogicalFolder, u64>,
    /// What the store has lost and gets again when a budget has room for it.
    unfilled: BTreeSet<ContentId>,
    primary: Vec<Entry>,
    standby: Vec<Entry>,
    store: Vec<Entry>,
    explanations: Explanations,
}

#[derive(Default)]
struct Proved {
    /// Whether the primary's budget ended reading back.
    broken_off: bool,
    primary: u64,
    standby: u64,
    store: u64,
    /// The oldest of the last proofs in the store; none while a message has none.
    store_oldest: Option<i64>,
    damaged: BTreeSet<ContentId>,
}

impl Site {
    /// Proves that the corners hold the same mail. After a mirror it is cut where the primary stood when that
    /// last looked; without one at its own start. The proof begins no earlier than the run did, also where the
    /// clock was set back meanwhile.
    ///
    /// # Errors
    /// A corner that cannot be read: there is no proof then.
    pub async fn reconcile(
        &self,
        triangle: &TriangleConfig,
        triangle_id: &str,
        depth: Depth,
        after: Option<&Mirrored>,
        began_at: DateTime<Utc>,
    ) -> Result<Proof, AgentError> {
        self.progress
            .say(format!("{}: listing all corners", triangle.name));
        let tx_at = clock::now().max(began_at);
        let round = self.reconcile_round(triangle, triangle_id, depth, after, tx_at);
        let result = self.unless_stopped(round).await;
        self.progress.end();
        if let Err(error) = &result {
            self.note_back_off(triangle, error)?;
        }
        result
    }

    async fn reconcile_round(
        &self,
        triangle: &TriangleConfig,
        triangle_id: &str,
        depth: Depth,
        after: Option<&Mirrored>,
        tx_at: DateTime<Utc>,
    ) -> Result<Proof, AgentError> {
        let mut round = Round::look(self, triangle, true).await?;
        round.short = after.is_some_and(|mirrored| mirrored.pending.is_some());
        let cut = after.map(|mirrored| mirrored.cut.clone());
        let stood = round.store_stands().await?;
        match after {
            Some(mirrored) => round.unfilled.clone_from(&mirrored.unfilled),
            // What a mirror could not fetch now either waits.
            None => drop(round.lost(stood).await?),
        }
        let result = round.reconcile(triangle_id, depth, cut, tx_at).await;
        if let (Ok(proof), None) = (&result, after) {
            // A mirror that came before has said it.
            round.warn_of(&proof.refused);
        }
        round.note_spent()?;
        if result.is_ok() {
            round.note_store(stood, stood.in_step).await?;
            round.end().await;
        }
        result
    }
}

impl Round<'_> {
    async fn reconcile(
        &mut self,
        triangle_id: &str,
        depth: Depth,
        before: Option<Cut>,
        tx_at: DateTime<Utc>,
    ) -> Result<Proof, AgentError> {
        let mirrored = before.is_some();
        let primary = before.map_or_else(|| self.cut.primary.clone(), |cut| cut.primary);
        let cut = Cut {
            primary,
            standby: self.cut.standby.clone(),
        };
        self.know_everything().await?;
        let proved = self.read_back(depth).await?;
        let mut sight = self.sight(&cut, mirrored, &proved).await?;
        let mut differences = differences(&sight, depth);
        // A difference counts only if a second look after the last listing confirms it. What is counted and
        // what differs is of one look: figures of another would contradict the differences.
        let mut before = Vec::new();
        for _ in 1..LOOKS {
            if confirmed(&before, &differences) {
                break;
            }
            self.look_again(true).await?;
            self.know_everything().await?;
            sight = self.sight(&cut, mirrored, &proved).await?;
            before = std::mem::replace(&mut differences, self::differences(&sight, depth));
        }
        differences.extend(left_out(&self.source.left_out));
        differences.sort();
        self.conclude(
            triangle_id,
            depth,
            tx_at,
            &cut,
            &sight,
            differences,
            &proved,
        )
    }

    fn full_view(&mut self) -> Result<View, AgentError> {
        let choice = self.choice();
        let mut ledger = self.site.ledger.borrow_mut();
        snapshot::view(
            &mut ledger,
            choice,
            &mut self.source,
            &mut self.target,
            false,
        )
    }

    /// Reads what no row says yet: mail that has not been mirrored, mail that somebody put on the standby.
    async fn know_everything(&mut self) -> Result<(), AgentError> {
        let view = self.full_view()?;
        let unknown = |side: &Side| -> Vec<u32> {
            // What could not be read before is tried again.
            let new = side
                .shown
                .iter()
                .filter(|s| !side.rows.contains_key(&s.uid));
            new.map(|s| s.uid).collect()
        };
        let mut read = Read::default();
        for pair in view.pairs.values() {
            for (side, list) in [
                (&pair.source, &mut read.source),
                (&pair.target, &mut read.target),
            ] {
                if let Some(side) = side {
                    let uids = unknown(side);
                    if !uids.is_empty() {
                        list.insert(side.folder, uids);
                    }
                }
            }
        }
        // What waits for the budget is not read for the proof's sake; what the budget has no room for waits.
        if self.short {
            read.source.clear();
        } else {
            self.short = !read_within(&mut read, &view, self.left()?.0).is_empty();
        }
        if read != Read::default() {
            let proved = {
                let mut ledger = self.site.ledger.borrow_mut();
                ledger.triangle(&self.triangle.name)?.standby_proved
            };
            let execution = self.execution();
            execution
                .read(
                    &read,
                    &mut self.source_link,
                    &mut self.target_link,
                    !proved,
                    &self.batches,
                )
                .await?;
        }
        Ok(())
    }

    /// Bytes read back: everything at content depth, else what was written since the last Tx and a share of
    /// the rest; at volume depth nothing.
    async fn read_back(&mut self, depth: Depth) -> Result<Proved, AgentError> {
        let mut proved = Proved::default();
        if depth == Depth::Volume {
            let inspected = self
                .site
                .store
                .with(|store| Ok(store.inspect(clock::now_s())?))
                .await?;
            proved.damaged = inspected.damaged.into_iter().collect();
            return Ok(proved);
        }
        self.site
            .progress
            .say(format!("{}: reading back", self.triangle.name));
        (proved.primary, proved.broken_off) =
            self.read_back_account(Corner::Primary, depth).await?;
        (proved.standby, _) = self.read_back_account(Corner::Standby, depth).await?;
        let prove = move |store: &mut Store| {
            let now = clock::now_s();
            let messages = if depth == Depth::Content {
                // Whatever was proved when: each octet is read.
                store.check(now, |_, _| {})?.contents
            } else {
                store.inspect(now)?;
                let budget_bytes = (store.stats()?.raw_bytes / SHARE).max(STORE_SHARE_BYTES);
                let share = ReadBack {
                    budget_bytes,
                    before: now,
                };
                store.verify(ReadBack::NEW, now)?.messages + store.verify(share, now)?.messages
            };
            Ok((messages, store.oldest_proof()?, store.damaged()?))
        };
        let (messages, oldest, damaged) = self.site.store.with(prove).await?;
        proved.store = messages;
        proved.store_oldest = oldest;
        proved.damaged = damaged.into_iter().collect();
        Ok(proved)
    }

    /// How many messages were read back, and whether the account's budget ended it.
    async fn read_back_account(
        &mut self,
        corner: Corner,
        depth: Depth,
    ) -> Result<(u64, bool), AgentError> {
        let mut left = match corner {
            Corner::Primary => self.left()?.0,
            _ => Left::ANY,
        };
        let share = (depth != Depth::Content).then_some(SHARE);
        let due =
            self.site
                .ledger
                .borrow_mut()
                .due_for_proof(&self.triangle.name, corner, share)?;
        let (seen, link) = if corner == Corner::Primary {
            (&self.source, &mut self.source_link)
        } else {
            (&self.target, &mut self.target_link)
        };
        let mut count = 0;
        for folder in seen.folders.values() {
            let Some(messages) = due.get(&folder.known.id) else {
                continue;
            };
            let Some(listing) = &folder.listing else {
                continue;
            };
            let there: BTreeMap<u32, u32> =
                listing.messages.iter().map(|m| (m.uid, m.size)).collect();
            let known: BTreeMap<u32, ContentId> = messages
                .iter()
                .copied()
                .filter(|(uid, _)| there.contains_key(uid))
                .collect();
            if known.is_empty() {
                continue;
            }
            link.open_mailbox(&folder.mailbox, false).await?;
            let size = |uid: &u32| there.get(uid).map_or(0, |size| u64::from(*size));
            let all = known.len();
            let uids: Vec<u32> = known
                .keys()
                .copied()
                .take_while(|uid| left.take(size(uid)))
                .collect();
            let broken_off = uids.len() < all;
            let (large, uids): (Vec<u32>, Vec<u32>) = uids
                .into_iter()
                .partition(|uid| size(uid) >= u64::from(LARGE));
            for uid in large {
                let length = there.get(&uid).copied().unwrap_or(0);
                let Some(content) = identify_large(link, uid, length).await? else {
                    continue;
                };
                let at = Place {
                    folder: folder.known.id,
                    generation: folder.known.generation,
                    uid,
                };
                let now = clock::now_s();
                let mut ledger = self.site.ledger.borrow_mut();
                if known.get(&uid) == Some(&content) {
                    ledger.verified(&[at], now)?;
                } else {
                    ledger.found_altered(at, content, now)?;
                }
                count += 1;
            }
            for set in uids
                .chunks(link.endpoint().meter.at_once(200))
                .flat_map(|some| wire::uid_sets(some, 4000))
            {
                let tag = link.ask_bodies(&set).await?;
                let mut verified = Vec::new();
                let now = clock::now_s();
                loop {
                    let body = match link.next_body(&tag).await? {
                        BodyEvent::End => break,
                        BodyEvent::Body(body) => body,
                        BodyEvent::Gone(_) | BodyEvent::Unequal(_) => continue,
                    };
                    let at = Place {
                        folder: folder.known.id,
                        generation: folder.known.generation,
                        uid: body.uid,
                    };
                    let content = ContentId::of(&body.octets);
                    match known.get(&body.uid) {
                        Some(expected) if *expected == content => verified.push(at),
                        Some(_) => self
                            .site
                            .ledger
                            .borrow_mut()
                            .found_altered(at, content, now)?,
                        None => continue,
                    }
                    count += 1;
                    self.site.progress.moved(0);
                }
                let mut ledger = self.site.ledger.borrow_mut();
                ledger.verified(&verified, now)?;
                let (endpoint, octets) = (link.endpoint(), link.endpoint().meter.take());
                ledger.spend(&endpoint.account(), octets, now)?;
            }
            if broken_off {
                return Ok((count, true));
            }
        }
        Ok((count, false))
    }

    async fn sight(
        &mut self,
        cut: &Cut,
        mirrored: bool,
        proved: &Proved,
    ) -> Result<Sight, AgentError> {
        let view = self.full_view()?;
        let mut sight = Sight {
            unfilled: self.unfilled.iter().map(|row| row.content).collect(),
            ..Sight::default()
        };
        let mut vanished = Vec::new();
        let known = view.known_on_source;
        for (name, pair) in &view.pairs {
            if let Some(side) = &pair.source {
                let quarantine = self
                    .site
                    .ledger
                    .borrow_mut()
                    .quarantined(side.folder, side.generation)?;
                let shown = shown_rows(side);
                if self.short {
                    let unread = unread(name, side, &cut.primary);
                    sight
                        .unread
                        .extend(unread.map(|count| (name.clone(), count)));
                }
                vanished.extend(
                    side.rows
                        .iter()
                        .filter(|(uid, _)| !shown.contains(uid))
                        .map(|(_, r)| (name.clone(), r.content)),
                );
                vanished.extend(side.stale.values().map(|r| (name.clone(), r.content)));
                sight.primary.extend(source_entries(
                    name,
                    side,
                    pair.target.as_ref().map(|target| target.folder),
                    &cut.primary,
                    &quarantine,
                    mirrored,
                    self.short,
                ));
            }
            if let Some(side) = &pair.target {
                sight
                    .standby
                    .extend(target_entries(name, side, &cut.standby));
            }
        }
        // Of an ended generation only what is not shown again has vanished.
        let mut here: BTreeMap<(LogicalFolder, ContentId), u64> = BTreeMap::new();
        for entry in &sight.primary {
            *here
                .entry((entry.folder.clone(), entry.content))
                .or_default() += 1;
        }
        let stale_only = |v: &(LogicalFolder, ContentId)| match here.get_mut(v) {
            Some(left)
                if *left > 0
                    && view
                        .pairs
                        .get(&v.0)
                        .and_then(|p| p.source.as_ref())
                        .is_some_and(|s| !s.stale.is_empty()) =>
            {
                *left -= 1;
                false
            }
            _ => true,
        };
        let mut stale_only = stale_only;
        vanished.retain(|v| stale_only(v));
        let lost = Lost {
            vanished: u64::try_from(vanished.len()).unwrap_or(u64::MAX),
            put_back: 0,
        };
        let ordinary =
            view.pop_delete || !self.triangle.guard.holds(lost, History::default(), known);
        sight.explanations = Explanations {
            tombstones: view
                .tombstones
                .iter()
                .map(|t| (t.folder.clone(), t.content, t.moved))
                .collect(),
            vanished: vanished
                .into_iter()
                .map(|(folder, content)| (folder, content, ordinary))
                .collect(),
            refused_keywords: view.refused_keywords.clone(),
        };
        let triangle = self.triangle.name.clone();
        let members = self
            .site
            .store
            .with(move |store| Ok(store.members(&triangle)?))
            .await?;
        let exclude = &self.triangle.exclude_folders;
        let closed = |folder: &LogicalFolder| {
            self.source.closed.contains_key(folder) || self.target.closed.contains_key(folder)
        };
        sight.store = members
            .into_iter()
            .filter(|m| {
                m.tombstone.is_none()
                    && !proved.damaged.contains(&m.content)
                    && !excluded(&m.folder, exclude)
                    && !closed(&m.folder)
            })
            .map(|m| Entry {
                folder: m.folder,
                content: m.content,
                date: m.date,
                flags: m.flags,
                size: m.size,
                uid: 0,
                copy: None,
                late: false,
                preexisting: false,
                quarantine: None,
                verified_at: proved.store_oldest,
            })
            .collect();
        Ok(sight)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "everything that a certificate is made of"
    )]
    fn conclude(
        &self,
        triangle_id: &str,
        depth: Depth,
        tx_at: DateTime<Utc>,
        cut: &Cut,
        sight: &Sight,
        differences: Vec<Difference>,
        proved: &Proved,
    ) -> Result<Proof, AgentError> {
        let name = &self.triangle.name;
        let key = self.site.report_key();
        let mut ledger = self.site.ledger.borrow_mut();
        let state = ledger.triangle(name)?;
        let repairs = ledger.open_repairs(name)?;
        let new_tombstones = ledger.new_tombstones(name, state.last_tx_at.unwrap_or(0))?;
        let now_at = clock::now().max(tx_at);
        let mut coverage = [
            (Corner::Primary, &sight.primary, proved.primary),
            (Corner::Standby, &sight.standby, proved.standby),
            (Corner::Store, &sight.store, proved.store),
        ]
        .map(|(corner, entries, now)| coverage(corner, entries, depth, now, now_at))
        .to_vec();
        for c in &mut coverage {
            let refuses = |seen: &Seen| seen.corner == c.corner && seen.refused().next().is_some();
            c.whole &= !refuses(&self.source) && !refuses(&self.target);
        }
        if let Some(primary) = coverage.first_mut() {
            primary.whole &= depth != Depth::Content || !proved.broken_off;
        }
        let (primary, mut primary_folders) = figures(&sight.primary, key);
        let (standby, mut standby_folders) = figures(&sight.standby, key);
        let (store, mut store_folders) = figures(&sight.store, key);
        let names: BTreeSet<LogicalFolder> = primary_folders
            .keys()
            .chain(standby_folders.keys())
            .chain(store_folders.keys())
            .cloned()
            .collect();
        let folders = names
            .iter()
            .map(|name| FolderFigures {
                folder: folder_ref(name, key),
                primary: primary_folders.remove(name),
                standby: standby_folders.remove(name),
                store: store_folders.remove(name),
            })
            .collect();
        let whole = coverage.iter().all(|corner| corner.whole);
        let verdict = verdict(whole, differences.iter().map(|d| (d.class, d.reason)));
        let certificate = Certificate {
            format: FORMAT.to_owned(),
            triangle: triangle_id.to_owned(),
            tx_at,
            depth,
            verdict,
            direction: Direction::PrimaryToStandby,
            epoch: self.epoch,
            cut: cut_points(cut, key),
            corners: Corners {
                primary,
                standby,
                store,
            },
            folders,
            differences: count_differences(&differences, key),
            repairs: count_repairs(&repairs, tx_at, key),
            new_tombstones,
            coverage,
            nonce: UNANCHORED.to_owned(),
            configuration_hash: self.triangle.configuration_hash(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        // What differs is looked at again by the next mirror run, though nothing seems to have changed there.
        let red: BTreeSet<&LogicalFolder> = differences
            .iter()
            .filter(|d| d.reason.is_none() || d.class == Class::Quarantined)
            .map(|d| &d.folder)
            .collect();
        let again = self.source.folders.iter().chain(&self.target.folders);
        let again: Vec<_> = again
            .filter(|(name, _)| red.contains(name))
            .map(|(_, f)| (f.known.id, None))
            .collect();
        ledger.settle(&again)?;
        let reported: Vec<i64> = repairs.iter().map(|r| r.id).collect();
        ledger.close_tx(name, tx_at.timestamp(), &reported)?;
        Ok(Proof {
            verdict,
            tx_at,
            differences,
            refused: self.refused(),
            repairs,
            certificate,
        })
    }
}

/// Whether the look before showed all that nothing explains now.
fn confirmed(before: &[Difference], now: &[Difference]) -> bool {
    let key = |d: &Difference| (d.class, d.folder.clone(), d.corner, d.content);
    let before: BTreeSet<_> = before.iter().map(key).collect();
    now.iter()
        .filter(|d| d.reason.is_none())
        .all(|d| before.contains(&key(d)))
}

fn shown_rows(side: &Side) -> BTreeSet<u32> {
    side.shown.iter().map(|s| s.uid).collect()
}

/// Whether a UID came after the cut; a folder that was not there then is new as a whole.
fn is_late(stands: &Stands, name: &LogicalFolder, side: &Side, uid: u32) -> bool {
    stands
        .get(name)
        .is_none_or(|stood| stood.uidvalidity == side.uidvalidity && uid >= stood.uidnext)
}

/// Messages that were there at the cut and have not been read.
fn unread(name: &LogicalFolder, side: &Side, cut: &Stands) -> Option<u64> {
    let unread = side.shown.iter().filter(|shown| {
        !side.rows.contains_key(&shown.uid)
            && !side.unreadable.contains(&shown.uid)
            && !is_late(cut, name, side, shown.uid)
    });
    let count = u64::try_from(unread.count()).unwrap_or(u64::MAX);
    (count > 0).then_some(count)
}

fn source_entries(
    name: &LogicalFolder,
    side: &Side,
    target: Option<FolderId>,
    cut: &Stands,
    quarantine: &[Quarantined],
    mirrored: bool,
    short: bool,
) -> Vec<Entry> {
    let now = clock::now_s();
    let aside = |uid: u32| {
        let found = quarantine.iter().find(|q| q.at.uid == uid)?;
        Some((found.class, now - found.since > QUARANTINE_GRACE_S))
    };
    side.shown
        .iter()
        .filter_map(|shown| {
            let late = is_late(cut, name, side, shown.uid);
            let entry = |content, copy| Entry {
                folder: name.clone(),
                content,
                date: shown.date,
                flags: shown.flags.clone(),
                size: shown.size,
                uid: shown.uid,
                copy,
                late,
                preexisting: false,
                quarantine: aside(shown.uid),
                verified_at: None,
            };
            match side.rows.get(&shown.uid) {
                Some(row) => {
                    let copy_here = row.copy.filter(|c| Some(c.folder) == target);
                    let mut entry = entry(row.content, copy_here.map(|c| c.uid));
                    entry.verified_at = row.verified_at;
                    if short && row.copy.is_none() {
                        entry.quarantine = entry.quarantine.or(Some((Class::Pending, false)));
                    }
                    if mirrored && !row.flags.same(&shown.flags) {
                        // Changed after the mirror that came before: the flags of the cut count.
                        entry.flags = row.flags.clone();
                    }
                    Some(entry)
                }
                // It cannot be read: what it is nobody knows, and nothing equals it.
                None if side.unreadable.contains(&shown.uid) => Some(entry(
                    ContentId::of(format!("unreadable {name} {}", shown.uid).as_bytes()),
                    None,
                )),
                // Arrived between two steps of this Tx, or waits for a budget.
                None => None,
            }
        })
        .collect()
}

fn target_entries(name: &LogicalFolder, side: &Side, cut: &Stands) -> Vec<Entry> {
    side.shown
        .iter()
        .filter_map(|shown| {
            let row = side.rows.get(&shown.uid)?;
            Some(Entry {
                folder: name.clone(),
                content: row.content,
                date: shown.date,
                flags: shown.flags.clone(),
                size: shown.size,
                uid: shown.uid,
                copy: None,
                late: is_late(cut, name, side, shown.uid),
                preexisting: row.origin == Origin::Preexisting,
                quarantine: None,
                verified_at: row.verified_at,
            })
        })
        .collect()
}

fn differences(sight: &Sight, depth: Depth) -> Vec<Difference> {
    // What the target refused is in the store all the same; what could not be read is not.
    let unreadable = |e: &Entry| {
        e.content == ContentId::of(format!("unreadable {} {}", e.folder, e.uid).as_bytes())
    };
    let for_store: Vec<Entry> = sight
        .primary
        .iter()
        .map(|e| Entry {
            quarantine: e
                .quarantine
                .filter(|(class, _)| *class == Class::Pending || unreadable(e))
                .or_else(|| {
                    sight
                        .unfilled
                        .get(&e.content)
                        .map(|_| (Class::Pending, false))
                }),
            ..e.clone()
        })
        .collect();
    let store_explanations = Explanations {
        tombstones: Vec::new(),
        refused_keywords: BTreeSet::new(),
        ..sight.explanations.clone()
    };
    let how = if depth == Depth::Volume {
        compare_volume
    } else {
        compare
    };
    let mut found = how(
        &sight.primary,
        Corner::Standby,
        &sight.standby,
        &sight.explanations,
    );
    found.extend(how(
        &for_store,
        Corner::Store,
        &sight.store,
        &store_explanations,
    ));
    for (folder, count) in &sight.unread {
        found.extend([Corner::Standby, Corner::Store].map(|corner| waits(folder, corner, *count)));
    }
    found.sort();
    found
}

fn cut_points(cut: &Cut, key: &[u8; 32]) -> Vec<CutPoint> {
    [
        (Corner::Primary, &cut.primary),
        (Corner::Standby, &cut.standby),
    ]
    .into_iter()
    .flat_map(|(corner, stands)| {
        stands.iter().map(move |(name, stood)| CutPoint {
            corner,
            folder: folder_ref(name, key),
            uidvalidity: stood.uidvalidity,
            uidnext: stood.uidnext,
            // Beyond that JSON would round it.
            highestmodseq: stood.highestmodseq.filter(|modseq| *modseq <= LARGEST),
        })
    })
    .collect()
}

fn count_differences(differences: &[Difference], key: &[u8; 32]) -> Vec<DifferenceCount> {
    let mut counts = BTreeMap::new();
    for d in differences {
        *counts
            .entry((d.class, d.corner, folder_ref(&d.folder, key), d.reason))
            .or_insert(0) += d.count;
    }
    counts
        .into_iter()
        .map(|((class, corner, folder, reason), count)| DifferenceCount {
            class,
            corner,
            folder,
            reason,
            count,
        })
        .collect()
}

fn count_repairs(repairs: &[RepairRow], tx_at: DateTime<Utc>, key: &[u8; 32]) -> Vec<RepairCount> {
    let mut counts: BTreeMap<(Class, Corner, _), (u64, i64)> = BTreeMap::new();
    for repair in repairs {
        let (count, at) = counts
            .entry((repair.class, repair.corner, folder_ref(&repair.folder, key)))
            .or_default();
        *count += 1;
        *at = (*at).max(repair.at);
    }
    counts
        .into_iter()
        .filter_map(|((class, corner, folder), (count, at))| {
            Some(RepairCount {
                class,
                corner,
                folder,
                // All came before; a clock that was set back since says otherwise.
                at: DateTime::from_timestamp(at, 0)?.min(tx_at.trunc_subsecs(0)),
                count,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::FolderStatus;
    use maildreieck_api_spec::vocabulary::Reason;

    #[test]
    fn what_nothing_explains_is_confirmed_by_the_look_before() {
        let found = |octets: &str, reason| Difference {
            class: Class::MissingAtPrimary,
            folder: LogicalFolder::from_stored("INBOX"),
            corner: Corner::Standby,
            content: Some(ContentId::of(octets.as_bytes())),
            uid: None,
            count: 1,
            reason,
            detail: String::new(),
        };
        let (a, b) = (found("a", None), found("b", None));
        let explained = found("c", Some(Reason::ByClass));
        assert!(confirmed(&[], &[]));
        assert!(confirmed(&[], std::slice::from_ref(&explained)));
        assert!(!confirmed(&[], std::slice::from_ref(&a)));
        // Gone meanwhile, still there, another one.
        assert!(confirmed(&[a.clone(), b.clone()], &[]));
        assert!(confirmed(&[a.clone(), b.clone()], &[a.clone(), explained]));
        assert!(!confirmed(&[a], &[b]));
    }

    #[test]
    fn repairs_came_before_the_proof() {
        let tx_at = DateTime::from_timestamp(1_800_000_000, 250_000_000).unwrap();
        let row = |id, at| RepairRow {
            id,
            class: Class::FlagsDiffer,
            corner: Corner::Standby,
            folder: LogicalFolder::from_stored("INBOX"),
            content: ContentId::of(b"a"),
            at,
        };
        let at = |rows: &[RepairRow]| {
            let counts = count_repairs(rows, tx_at, &[7; 32]);
            let said = |r: &RepairCount| {
                assert_eq!(r.at.timestamp_subsec_nanos(), 0);
                (r.count, r.at.timestamp())
            };
            counts.iter().map(said).collect::<Vec<_>>()
        };
        let (first, last) = (row(1, 1_799_999_000), row(2, 1_799_999_999));
        assert_eq!(at(&[first.clone(), last]), [(2, 1_799_999_999)]);
        // Mended when the clock ran an hour ahead.
        assert_eq!(at(&[first, row(3, 1_800_003_600)]), [(2, 1_800_000_000)]);
    }

    #[test]
    fn a_modseq_that_json_cannot_say_is_left_out() {
        let modseq = |highestmodseq| {
            let stood = FolderStatus {
                uidvalidity: 1,
                uidnext: 2,
                highestmodseq,
                messages: 1,
            };
            let cut = Cut {
                primary: Stands::from([(LogicalFolder::from_stored("INBOX"), stood)]),
                standby: Stands::new(),
            };
            cut_points(&cut, &[7; 32]).first().unwrap().highestmodseq
        };
        assert_eq!(modseq(None), None);
        assert_eq!(modseq(Some(LARGEST)), Some(LARGEST));
        assert_eq!(modseq(Some(LARGEST + 1)), None);
        assert_eq!(modseq(Some(u64::MAX >> 1)), None);
    }
}
