//! Listing folders: what changed where the server tells, else everything, and only once nothing of ours is on its
//! way there any more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Seen, SeenFolder, TargetFolder};
use crate::account::Account;
use crate::clock;
use crate::error::AgentError;
use crate::imap::{Ask, FolderStatus, Mailbox, Since};
use crate::ledger::{Batch, KnownFolder, Ledger};
use crate::plan::identity::LogicalFolder;

/// How old a batch whose end is not known must be before it is looked for: what was on its way when a run was
/// killed has arrived by then. (Its sockets are aborted with it, so no system sends on what it held.)
const YOUNG: Duration = Duration::from_secs(5);
/// And how many round trips old, as long as one takes now: a network that holds back may still hold it.
const YOUNG_TRIPS: u32 = 4;
/// How long a folder must stand still after such a batch.
const STILL: Duration = Duration::from_millis(300);
/// How often it is asked at most.
const STILL_TRIES: u32 = 100;

/// Lists the folders that changed, as far as the server tells what changed; or all of them afresh.
pub async fn list(
    link: &mut Account,
    seen: &mut Seen,
    all: bool,
    batches: &[Batch],
    ledger: &RefCell<Ledger>,
) -> Result<(), AgentError> {
    let wanted = |_: &LogicalFolder, folder: &SeenFolder| all || !folder.unchanged();
    list_some(link, seen, wanted, batches, (!all).then_some(ledger)).await
}

/// Lists the folders of a target that were written to, and takes in those that were made.
pub async fn list_written(
    link: &mut Account,
    seen: &mut Seen,
    written: BTreeMap<LogicalFolder, TargetFolder>,
    batches: &[Batch],
    ledger: &RefCell<Ledger>,
) -> Result<(), AgentError> {
    let names: BTreeSet<LogicalFolder> = written.keys().cloned().collect();
    for (name, folder) in written {
        let status = FolderStatus {
            uidvalidity: folder.known.uidvalidity,
            uidnext: folder.uidnext,
            highestmodseq: None,
            // Something was put there, whatever the server's own figures say yet.
            messages: 1,
        };
        seen.taken.insert(folder.mailbox.as_str().to_owned());
        seen.folders.insert(
            name,
            SeenFolder {
                known: folder.known,
                mailbox: folder.mailbox,
                status: Some(status),
                listing: None,
                renewed: false,
            },
        );
    }
    let wanted = |name: &LogicalFolder, _: &SeenFolder| names.contains(name);
    list_some(link, seen, wanted, batches, Some(ledger)).await
}

/// What the ledger knows of a folder in which everything had been dealt with.
fn since(ledger: &RefCell<Ledger>, known: &KnownFolder) -> Result<Option<Since>, AgentError> {
    let Some(modseq) = known.highestmodseq.filter(|_| known.uidnext > 0) else {
        return Ok(None);
    };
    Ok(Some(Since {
        uidvalidity: known.uidvalidity,
        uidnext: known.uidnext,
        modseq,
        messages: ledger.borrow_mut().shown_then(known)?,
    }))
}

async fn list_some(
    link: &mut Account,
    seen: &mut Seen,
    which: impl Fn(&LogicalFolder, &SeenFolder) -> bool,
    batches: &[Batch],
    known: Option<&RefCell<Ledger>>,
) -> Result<(), AgentError> {
    let (mut asks, mut wanted) = (Vec::new(), Vec::new());
    for (name, folder) in &seen.folders {
        let Some(mut before) = folder.status else {
            continue;
        };
        let doubtful = batches.iter().filter(|b| b.folder == folder.known.id);
        let opened_at = doubtful.map(|batch| batch.opened_at).max();
        let in_doubt = opened_at.is_some();
        if let Some(opened_at) = opened_at {
            let asked = Instant::now();
            link.status(&folder.mailbox).await?;
            let old_enough = YOUNG.max(asked.elapsed() * YOUNG_TRIPS);
            let age = clock::now_s().saturating_sub(opened_at);
            let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
            tokio::time::sleep(old_enough.saturating_sub(age)).await;
            before = standing_still(link, &folder.mailbox).await?;
        }
        if in_doubt || which(name, folder) {
            let known = known.filter(|_| !in_doubt && link.has("QRESYNC"));
            let since = known.map(|ledger| since(ledger, &folder.known));
            asks.push(Ask {
                mailbox: folder.mailbox.clone(),
                before,
                since: since.transpose()?.flatten(),
            });
            wanted.push(name.clone());
        }
    }
    let listings = link.list_messages(&asks).await?;
    let mut refusal = None;
    for (name, listing) in wanted.into_iter().zip(listings) {
        match listing {
            Ok(listing) => {
                if let Some(folder) = seen.folders.get_mut(&name) {
                    folder.status = Some(listing.status);
                    folder.listing = Some(listing);
                }
            }
            Err(refused) => {
                let folder = seen.folders.remove(&name);
                seen.close(name, folder.map(|folder| folder.known.id), &refused);
                refusal = Some(refused);
            }
        }
    }
    match refusal {
        // Not one of them is shown: it is the account that is refused.
        Some(refusal) if seen.folders.values().all(|f| f.status.is_none()) => Err(refusal.into()),
        _ => Ok(()),
    }
}

/// Waits until a folder into which a batch may still be on its way has stopped growing.
async fn standing_still(link: &mut Account, mailbox: &Mailbox) -> Result<FolderStatus, AgentError> {
    let mut before = link.status(mailbox).await?;
    for _ in 0..STILL_TRIES {
        tokio::time::sleep(STILL).await;
        let now = link.status(mailbox).await?;
        if now.uidnext == before.uidnext && now.messages == before.messages {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}
