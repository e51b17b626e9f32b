//! What a planner sees: folders of both accounts side by side, each with what is listed now and what the
//! ledger knows of it. Values only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::identity::{ContentId, Flags, InternalDate, LogicalFolder, MemberId};

/// A folder's number in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FolderId(pub i64);

/// Where a message lies in an account: folder, that folder's generation, UID. A generation ends when the
/// server changes UIDVALIDITY or gives UIDs anew after a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The folder.
    pub folder: FolderId,
    /// Its generation.
    pub generation: u32,
    /// The UID.
    pub uid: u32,
}

/// How a message came to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Somebody else put it there.
    Foreign,
    /// It was there before the triangle was.
    Preexisting,
    /// We wrote it.
    Written,
    /// Somebody put a copy there that has gone from its own folder: it is misplaced.
    Strayed,
}

/// A message as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// UID.
    pub uid: u32,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords.
    pub flags: Flags,
}

/// A message that the ledger knows: its octets have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub content: ContentId,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords when it was last listed.
    pub flags: Flags,
    /// How it came there (targets).
    pub origin: Origin,
    /// Its place in the store (sources).
    pub member: Option<MemberId>,
    /// Its copy on the target (sources).
    pub copy: Option<Place>,
    /// How often its copy has been put back (sources).
    pub put_backs: u32,
    /// Whether it is in quarantine: it cannot be copied truly (sources).
    pub quarantined: bool,
    /// When its bytes were last read from there, seconds since 1970.
    pub verified_at: Option<i64>,
}

/// A folder of one account.
#[derive(Debug, Clone)]
pub struct Side {
    /// Its number in the ledger.
    pub folder: FolderId,
    /// Its name on the server.
    pub mailbox: String,
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// Its generation.
    pub generation: u32,
    /// What it holds now, ascending by UID; empty for a folder that is gone.
    pub shown: Arc<[Shown]>,
    /// What the ledger knows, by UID.
    pub rows: BTreeMap<u32, Row>,
    /// What the ledger knew of ended generations and has not matched again.
    pub stale: BTreeMap<(u32, u32), Row>,
    /// Whether the server no longer lists the folder.
    pub gone: bool,
    /// Messages that cannot be copied and stay where they are, with no row: quarantined when they were read.
    pub unreadable: BTreeSet<u32>,
    /// What messages turned out to be that are not what was copied from them (sources).
    pub altered: BTreeMap<u32, ContentId>,
    /// Whether size and date of a message are hints until it has been read (sources that speak POP3).
    pub hinted: bool,
}

/// A folder of the source and its counterpart.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// On the source.
    pub source: Option<Side>,
    /// On the target.
    pub target: Option<Side>,
}

impl Pair {
    /// For a source that speaks POP3: what has been read is as long and as old as it was read. It has no flags, so
    /// the target's are nobody's concern.
    pub fn take_hints(&mut self) {
        for side in [&mut self.source, &mut self.target].into_iter().flatten() {
            for shown in Arc::make_mut(&mut side.shown) {
                shown.flags = Flags::default();
                if let Some(row) = side.rows.get(&shown.uid).filter(|_| side.hinted) {
                    (shown.size, shown.date) = (row.size, row.date);
                }
            }
            let rows = side.rows.values_mut().chain(side.stale.values_mut());
            rows.for_each(|row| row.flags = Flags::default());
        }
    }
}

/// A message that vanished on the source; its copy stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Its number in the ledger.
    pub id: i64,
    /// The folder it was in.
    pub folder: LogicalFolder,
    /// What it was.
    pub content: ContentId,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Its place in the store.
    pub member: MemberId,
    /// Its copy on the target.
    pub copy: Option<Place>,
    /// Whether it was moved and the target could not follow.
    pub moved: bool,
}

impl View {
    /// The source's row at a place, of the present or an ended generation.
    #[must_use]
    pub fn source_row(&self, at: Place) -> Option<&Row> {
        let side = self
            .pairs
            .values()
            .filter_map(|p| p.source.as_ref())
            .find(|s| s.folder == at.folder)?;
        if side.generation == at.generation {
            side.rows.get(&at.uid)
        } else {
            side.stale.get(&(at.generation, at.uid))
        }
    }
}

/// Adds the folders without which nothing can be decided about those that changed: where copies of one lie in
/// another, both are needed.
pub fn add_linked(changed: &mut BTreeSet<LogicalFolder>, links: &[(LogicalFolder, LogicalFolder)]) {
    loop {
        let before = changed.len();
        for (one, other) in links {
            if changed.contains(one) != changed.contains(other) {
                changed.insert(one.clone());
                changed.insert(other.clone());
            }
        }
        if changed.len() == before {
            return;
        }
    }
}

/// Everything that a mirror plan is made from. Folders that changed on neither side, and of which no copy lies
/// in one that did, are left out.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The folders.
    pub pairs: BTreeMap<LogicalFolder, Pair>,
    /// The tombstones of the triangle.
    pub tombstones: Vec<Tombstone>,
    /// Messages that the ledger knows on the source, in all folders: what a share is taken of.
    pub known_on_source: u64,
    /// Whether every folder of the target has been listed in this run, changed or not.
    pub target_whole: bool,
    /// Whether the target can move messages (RFC 6851).
    pub target_moves: bool,
    /// Whether the source's clients fetch by POP and delete: that mail vanishes is ordinary then.
    pub pop_delete: bool,
    /// What the target's servers refused: keywords, lower case.
    pub refused_keywords: BTreeSet<String>,
    /// What the target made of messages that it rewrites: each original with what says the same.
    pub equivalent: BTreeSet<(ContentId, ContentId)>,
}
