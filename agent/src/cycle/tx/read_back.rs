//! Bytes read back from all corners, and what came of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use maildreieck_api_spec::vocabulary::{Corner, Depth};

use crate::account::Account;
use crate::clock;
use crate::cycle::{Round, Site};
use crate::error::AgentError;
use crate::execute::{LARGE, Narrowing, identify_large};
use crate::imap::{BodyEvent, wire};
use crate::plan::budget::Left;
use crate::plan::equivalence::second_digest;
use crate::plan::identity::ContentId;
use crate::plan::view::Place;
use crate::report::UnreadMessage;
use crate::snapshot::SeenFolder;
use crate::store::{ReadBack, Store};

/// The part of earlier proofs that a Tx reads again.
const SHARE: u64 = 30;
/// What a Tx reads of the store at least, octets, or so many messages of its average size where those are fewer octets:
/// a store of small messages would else be read whole each day, however many they are.
const STORE_SHARE_BYTES: u64 = 64 << 20;
const STORE_SHARE_MESSAGES: u64 = 5_000;

/// How many messages of each corner were read back.
#[derive(Default)]
pub(super) struct Proved {
    /// Whether the primary's budget ended reading back.
    pub broken_off: bool,
    pub primary: u64,
    pub standby: u64,
    pub store: u64,
    /// The oldest of the last proofs in the store; none while a message has none.
    pub store_oldest: Option<i64>,
    pub damaged: BTreeSet<ContentId>,
    /// What the accounts do not give.
    pub unread: Vec<UnreadMessage>,
}

impl Round<'_> {
    /// Bytes read back: everything at content depth, else what was written since the last Tx and a share of
    /// the rest; at volume depth nothing.
    pub(super) async fn read_back(&mut self, depth: Depth) -> Result<Proved, AgentError> {
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
        let primary = self.read_back_account(Corner::Primary, depth).await?;
        self.source_link.rest().await;
        self.site
            .ledger
            .borrow_mut()
            .doubt_copies_of_altered(&self.triangle.name)?;
        let standby = self.read_back_account(Corner::Standby, depth).await?;
        (proved.primary, proved.standby) = (primary.count, standby.count);
        proved.broken_off = primary.broken_off;
        proved.unread = [primary.unread, standby.unread].concat();
        let prove = move |store: &mut Store| {
            let now = clock::now_s();
            let messages = if depth == Depth::Content {
                // Whatever was proved when: each octet is read.
                store.check(now, |_, _| {})?.contents
            } else {
                store.inspect(now)?;
                let stats = store.stats()?;
                let share = ReadBack {
                    budget_bytes: store_share(stats.raw_bytes, stats.contents),
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

    /// Reads back what is due of an account.
    async fn read_back_account(
        &mut self,
        corner: Corner,
        depth: Depth,
    ) -> Result<Read, AgentError> {
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
        let mut read = Read::default();
        let mut narrowing = Narrowing::default();
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
            let known_as = (&folder.mailbox, folder.known.uidvalidity);
            link.open_listed(known_as.0, known_as.1).await?;
            let size = |uid: &u32| there.get(uid).map_or(0, |size| u64::from(*size));
            let all = known.len();
            let uids: Vec<u32> = known
                .keys()
                .copied()
                .take_while(|uid| left.take(size(uid)))
                .collect();
            read.broken_off = uids.len() < all;
            let in_parts = link.reads_in_parts();
            let (large, uids): (Vec<u32>, Vec<u32>) = uids
                .into_iter()
                .partition(|uid| in_parts && size(uid) >= u64::from(LARGE));
            let alone = large.into_iter().map(|uid| vec![uid]);
            let at_once = link.endpoint().meter.at_once(200);
            let mut sets: VecDeque<Vec<u32>> = alone
                .chain(uids.chunks(at_once).map(<[u32]>::to_vec))
                .collect();
            let mut reading = Reading {
                site: self.site,
                corner,
                folder,
                known: &known,
                sizes: &there,
                came: BTreeSet::new(),
                verified: Vec::new(),
                read: &mut read,
            };
            while let Some(set) = sets.pop_front() {
                reading.came.clear();
                let in_parts = set.first().is_some_and(|uid| narrowing.in_parts(*uid));
                let result = reading.set(link, &set, in_parts).await;
                reading.note_verified()?;
                if !reading.came.is_empty() {
                    narrowing.came();
                }
                let error = match result {
                    Ok(()) => continue,
                    Err(AgentError::Imap(error)) if link.reads_in_parts() => error,
                    Err(error) => return Err(error),
                };
                let narrowed = narrowing.after(&set, &reading.came, error.clone())?;
                for set in narrowed.again.into_iter().rev() {
                    sets.push_front(set);
                }
                if let Some((uid, reason)) = narrowed.given_up {
                    reading.unreadable(uid, reason);
                }
                Narrowing::connect_again(link, known_as, &error).await?;
            }
            if read.broken_off {
                break;
            }
        }
        Ok(read)
    }
}

/// What was read back of an account.
#[derive(Default)]
struct Read {
    /// How many messages.
    count: u64,
    /// Whether the account's budget ended it.
    broken_off: bool,
    unread: Vec<UnreadMessage>,
}

/// A folder that is read back.
struct Reading<'a> {
    site: &'a Site,
    corner: Corner,
    folder: &'a SeenFolder,
    known: &'a BTreeMap<u32, ContentId>,
    sizes: &'a BTreeMap<u32, u32>,
    /// What of a set has come, and what of it is as it was.
    came: BTreeSet<u32>,
    verified: Vec<Place>,
    read: &'a mut Read,
}

impl Reading<'_> {
    /// Reads some messages of the open folder; `in_parts` where it is a large one.
    async fn set(
        &mut self,
        link: &mut Account,
        uids: &[u32],
        in_parts: bool,
    ) -> Result<(), AgentError> {
        if let [uid] = uids
            && in_parts
            && let Some(size) = self.sizes.get(uid).filter(|size| **size >= LARGE)
            && link.reads_in_parts()
        {
            if let Some(content) = identify_large(link, *uid, *size).await? {
                self.take(*uid, content, None).await?;
            }
            return Ok(());
        }
        for set in wire::uid_sets(uids, 4000) {
            let tag = link.ask_bodies(&set).await?;
            loop {
                let body = match link.next_body(&tag).await? {
                    BodyEvent::End => break,
                    BodyEvent::Body(body) => body,
                    BodyEvent::Gone(uid) => {
                        self.came.insert(uid);
                        continue;
                    }
                    BodyEvent::Unreadable(uid, reason) => {
                        self.came.insert(uid);
                        if self.known.contains_key(&uid) {
                            self.unreadable(uid, reason);
                        }
                        continue;
                    }
                };
                let content = ContentId::of(&body.octets);
                self.take(body.uid, content, Some(&body.octets)).await?;
            }
            let endpoint = link.endpoint();
            let (account, octets) = (endpoint.account(), endpoint.meter.take());
            let mut ledger = self.site.ledger.borrow_mut();
            ledger.spend(&account, octets, clock::now_s())?;
        }
        Ok(())
    }

    /// Notes what a message turned out to be.
    async fn take(
        &mut self,
        uid: u32,
        content: ContentId,
        octets: Option<&[u8]>,
    ) -> Result<(), AgentError> {
        self.came.insert(uid);
        let Some(expected) = self.known.get(&uid).copied() else {
            return Ok(());
        };
        let at = Place {
            folder: self.folder.known.id,
            generation: self.folder.known.generation,
            uid,
        };
        let now = clock::now_s();
        if expected == content {
            self.verified.push(at);
        } else {
            let mut equivalent = false;
            if let Some(octets) = octets.filter(|_| self.corner == Corner::Standby) {
                equivalent = says_the_same(self.site, expected, octets).await?;
            }
            let mut ledger = self.site.ledger.borrow_mut();
            if equivalent {
                ledger.note_equivalent(expected, content)?;
            }
            if self.corner == Corner::Primary {
                ledger.note_altered(at, content)?;
            } else {
                ledger.found_altered(at, content, now)?;
            }
        }
        self.read.count += 1;
        self.site.progress.moved();
        Ok(())
    }

    fn note_verified(&mut self) -> Result<(), AgentError> {
        let verified = std::mem::take(&mut self.verified);
        let mut ledger = self.site.ledger.borrow_mut();
        Ok(ledger.verified(&verified, clock::now_s())?)
    }

    fn unreadable(&mut self, uid: u32, detail: String) {
        let folder = &self.folder.known.logical;
        tracing::warn!(corner = %self.corner, %folder, uid, detail, "a message cannot be read back");
        self.read.unread.push(UnreadMessage {
            corner: self.corner,
            folder: folder.to_string(),
            uid,
            detail,
        });
    }
}

/// How many octets of a store a Tx reads that has read what is new in it.
fn store_share(bytes: u64, messages: u64) -> u64 {
    let average = bytes / messages.max(1) + 1;
    let least = STORE_SHARE_BYTES.min(average.saturating_mul(STORE_SHARE_MESSAGES));
    least.max(bytes / SHARE)
}

/// Whether octets say the same as a message that the store has, in another form. What it has lost is like nothing.
async fn says_the_same(
    site: &Site,
    original: ContentId,
    octets: &[u8],
) -> Result<bool, AgentError> {
    let Some(digest) = second_digest(octets) else {
        return Ok(false);
    };
    let read = move |store: &mut Store| Ok(store.read(&original).ok());
    let original = site.store.with(read).await?;
    Ok(original.is_some_and(|octets| second_digest(&octets) == Some(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thirtieth_of_the_store_is_read_and_a_little_more_of_a_small_one() {
        // Few messages: all of them.
        assert!(store_share(0, 0) > 0);
        assert!(store_share(5_000 * 300, 5_000) >= 5_000 * 300);
        // Many small ones: five thousand, and at last a thirtieth.
        assert_eq!(store_share(50_000 * 300, 50_000), 5_000 * 301);
        assert_eq!(store_share(300_000 * 300, 300_000), 300_000 * 10);
        // Ordinary ones: 64 MiB, and at last a thirtieth.
        assert_eq!(store_share(50_000 * 20_000, 50_000), 64 << 20);
        assert_eq!(store_share(3_000_000_000, 50_000), 100_000_000);
    }
}
