//! Bytes read back from all corners, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::{Corner, Depth};

use crate::clock;
use crate::cycle::{Round, Site};
use crate::error::AgentError;
use crate::execute::{LARGE, identify_large};
use crate::imap::{BodyEvent, wire};
use crate::plan::budget::Left;
use crate::plan::equivalence::second_digest;
use crate::plan::identity::ContentId;
use crate::plan::view::Place;
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
        (proved.primary, proved.broken_off) =
            self.read_back_account(Corner::Primary, depth).await?;
        self.source_link.rest().await;
        (proved.standby, _) = self.read_back_account(Corner::Standby, depth).await?;
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
            link.open_mailbox(&folder.mailbox).await?;
            let size = |uid: &u32| there.get(uid).map_or(0, |size| u64::from(*size));
            let all = known.len();
            let uids: Vec<u32> = known
                .keys()
                .copied()
                .take_while(|uid| left.take(size(uid)))
                .collect();
            let broken_off = uids.len() < all;
            let in_parts = link.reads_in_parts();
            let (large, uids): (Vec<u32>, Vec<u32>) = uids
                .into_iter()
                .partition(|uid| in_parts && size(uid) >= u64::from(LARGE));
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
                        BodyEvent::Gone(_) | BodyEvent::Unreadable(..) => continue,
                    };
                    let at = Place {
                        folder: folder.known.id,
                        generation: folder.known.generation,
                        uid: body.uid,
                    };
                    let content = ContentId::of(&body.octets);
                    match known.get(&body.uid) {
                        Some(expected) if *expected == content => verified.push(at),
                        Some(expected) => {
                            if corner == Corner::Standby
                                && says_the_same(self.site, *expected, &body.octets).await?
                            {
                                let mut ledger = self.site.ledger.borrow_mut();
                                ledger.note_equivalent(*expected, content)?;
                            }
                            let mut ledger = self.site.ledger.borrow_mut();
                            ledger.found_altered(at, content, now)?;
                        }
                        None => continue,
                    }
                    count += 1;
                    self.site.progress.moved();
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
