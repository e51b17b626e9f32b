//! What the messages of differences are called, for the people of the site. It comes after the verdict and decides
//! nothing: what cannot be looked up stays without a name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use maildreieck_api_spec::vocabulary::Corner;

use crate::account::Account;
use crate::cycle::Round;
use crate::error::AgentError;
use crate::imap::wire::uid_sets;
use crate::plan::identity::{ContentId, LogicalFolder};
use crate::plan::reconcile::Difference;
use crate::report::Head;
use crate::report::head::HEADER;
use crate::snapshot::Seen;
use crate::store::Store;

/// Differences whose messages are looked up, what nothing explains first.
const NAMED: usize = 1_000;
/// Messages that one command asks for.
const AT_ONCE: usize = 100;
/// How long both accounts together may be asked.
const PATIENCE: Duration = Duration::from_secs(20);

impl Round<'_> {
    /// What the message of each difference says of itself: from the store where it is there, else from the account
    /// that has it.
    pub(super) async fn heads(&mut self, differences: &[Difference]) -> Vec<Head> {
        let mut heads = vec![Head::default(); differences.len()];
        let mut wanted: Vec<usize> = (0..differences.len()).collect();
        let explained = |i: &usize| differences.get(*i).is_none_or(|d| d.reason.is_some());
        wanted.sort_by_key(|i| (explained(i), Reverse(date(differences, *i))));
        wanted.truncate(NAMED);
        let contents = wanted.iter().filter_map(|i| differences.get(*i)?.content);
        let contents: BTreeSet<ContentId> = contents.collect();
        let stored = match self.stored_heads(contents).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::debug!(%error, "the store cannot say what messages are called");
                BTreeMap::new()
            }
        };
        let mut asked: BTreeMap<Corner, Asked> = BTreeMap::new();
        for i in wanted {
            let (Some(d), Some(head)) = (differences.get(i), heads.get_mut(i)) else {
                continue;
            };
            if let Some(known) = d.content.and_then(|content| stored.get(&content)) {
                head.clone_from(known);
            } else if let (Some(lies), Some(uid)) = (d.lies, d.uid) {
                let folders = asked.entry(lies.corner).or_default();
                let uids = folders.entry(d.folder.clone()).or_default();
                uids.entry(uid).or_default().push(i);
            }
        }
        let asking = self.ask_heads(&asked, &mut heads);
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            tracing::debug!("the accounts take too long to say what messages are called");
        }
        for (head, d) in heads.iter_mut().zip(differences) {
            let came = d.lies.and_then(|lies| lies.date.to_utc());
            head.date = head.date.or(came);
        }
        heads
    }

    async fn stored_heads(
        &self,
        contents: BTreeSet<ContentId>,
    ) -> Result<BTreeMap<ContentId, Head>, AgentError> {
        let read = move |store: &mut Store| {
            let mut heads = BTreeMap::new();
            for content in contents {
                // What is damaged there is asked for elsewhere.
                if store.contains(&content)?
                    && let Ok(mut pieces) = store.pieces(&content)
                    && let Ok(Some(octets)) = pieces.next(store)
                {
                    heads.insert(content, Head::of(&octets));
                }
            }
            Ok(heads)
        };
        self.site.store.with(read).await
    }

    async fn ask_heads(&mut self, asked: &BTreeMap<Corner, Asked>, heads: &mut [Head]) {
        let sides = [
            (Corner::Primary, &self.source, &mut self.source_link),
            (Corner::Standby, &self.target, &mut self.target_link),
        ];
        for (corner, seen, account) in sides {
            if let (Some(folders), Account::Imap(_)) = (asked.get(&corner), &*account)
                && let Err(error) = ask_account(account, seen, folders, heads).await
            {
                tracing::debug!(%error, %corner, "the account does not say what messages are called");
            }
        }
    }
}

/// Which differences are about which message.
type Asked = BTreeMap<LogicalFolder, BTreeMap<u32, Vec<usize>>>;

fn date(differences: &[Difference], i: usize) -> Option<i64> {
    Some(differences.get(i)?.lies?.date.0)
}

async fn ask_account(
    account: &mut Account,
    seen: &Seen,
    folders: &Asked,
    heads: &mut [Head],
) -> Result<(), AgentError> {
    for (name, uids) in folders {
        let Some(folder) = seen.folders.get(name) else {
            continue;
        };
        let uidvalidity = folder.known.uidvalidity;
        account.open_listed(&folder.mailbox, uidvalidity).await?;
        let all: Vec<u32> = uids.keys().copied().collect();
        for set in all.chunks(AT_ONCE).flat_map(|some| uid_sets(some, 4_000)) {
            for (uid, octets) in account.imap()?.heads(&set, HEADER).await? {
                let head = Head::of(&octets);
                for i in uids.get(&uid).into_iter().flatten() {
                    if let Some(slot) = heads.get_mut(*i) {
                        slot.clone_from(&head);
                    }
                }
            }
        }
    }
    Ok(())
}
