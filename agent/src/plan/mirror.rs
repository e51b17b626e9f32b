//! The mirror plan: from what both accounts show and the ledger knows to what has to be done.
//!
//! It comes in steps, each a value: first messages whose octets must be read before anything can be decided
//! about them, then whose the copies are that nothing points at, then a rename to follow, then where copies
//! went that are gone from their folders, then everything else. After each the view is made anew.
//! Nothing is ever planned that deletes.

mod doubt;
mod folder;
mod rename;
mod scene;
mod strays;

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::runs::Volume;
use maildreieck_api_spec::vocabulary::Class;
use serde::Serialize;

pub use self::doubt::{Doubt, Shape};
pub use self::rename::followed;
use self::rename::renamed;
use self::scene::Scene;
use super::guard::{Guard, History, Lost};
use super::identity::{ContentId, Flags, InternalDate, LogicalFolder};
use super::view::{FolderId, Place, View};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Follow a rename, then look again.
    Rename(Rename),
    /// Read these messages, then plan again.
    Read(Read),
    /// Copies are gone from their folders: list every folder of the target, then plan again.
    Look,
    /// Everything else.
    Act(Plan),
}

/// A folder that was renamed on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rename {
    /// The source's folder under its old name.
    pub from: FolderId,
    /// The source's folder under its new name.
    pub to: FolderId,
    /// Its new logical name.
    pub folder: LogicalFolder,
    /// The target's folder, if it may be renamed with it: all that lies in it is ours.
    pub target: Option<FolderId>,
    /// The target's folder under the name that it bears by now, where the ledger has another one.
    pub now: Option<FolderId>,
}

/// Messages to read: by folder, UIDs ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    /// On the source: into the store.
    pub source: BTreeMap<FolderId, Vec<u32>>,
    /// On the target: to know what they are.
    pub target: BTreeMap<FolderId, Vec<u32>>,
}

/// Something to write down, in the ledger and where it concerns the store also there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the sentence at each variant names its fields")]
pub enum Record {
    /// A message of an ended generation, found again on the source.
    SourceAgain { from: Place, to: Place },
    /// A message of an ended generation, found again on the target.
    TargetAgain {
        source: Place,
        from: Place,
        to: Place,
    },
    /// The copy that a tombstone points at, found again.
    TombstoneAgain {
        tombstone: i64,
        from: Place,
        to: Place,
    },
    /// A message of the source, found again in another folder of it.
    Moved {
        from: Place,
        to: Place,
        folder: LogicalFolder,
    },
    /// A message that came back to the source.
    Revive {
        tombstone: i64,
        source: Place,
        folder: LogicalFolder,
    },
    /// The old copy of a moved message stays in the old folder.
    LeftBehind {
        source: Place,
        copy: Place,
        folder: LogicalFolder,
    },
    /// A copy that the target already holds.
    Adopt { source: Place, copy: Place },
    /// A copy that is gone from its folder lies in another: somebody moved it.
    Strayed {
        source: Place,
        from: Place,
        to: Place,
    },
    /// A copy that had strayed lies where it belongs: its message was moved there.
    Placed { copy: Place },
    /// A message that vanished on the source.
    Tombstone { source: Place },
    /// A copy that vanished on the target.
    ForgetCopy { source: Place, copy: Place },
    /// A message that vanished on the target and was no copy of ours, or on the source before anything was
    /// done with it.
    Forget { at: Place },
    /// A copy that was put back once and is gone again.
    DoesNotStay { source: Place },
    /// Flags of the source changed.
    SourceFlags {
        source: Place,
        #[serde(serialize_with = "text")]
        flags: Flags,
    },
    /// Flags of the target changed.
    TargetFlags {
        target: Place,
        #[serde(serialize_with = "text")]
        flags: Flags,
    },
}

/// Messages to move on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MoveStep {
    /// From this folder of the target.
    pub from: FolderId,
    /// To this one.
    pub to: LogicalFolder,
    /// The copy's UID and the source's new place, ascending by UID.
    pub messages: Vec<(u32, Place)>,
}

/// Flags to set or clear on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagStep {
    /// The target's folder.
    pub folder: FolderId,
    /// Set or clear.
    pub add: bool,
    /// Which.
    #[serde(serialize_with = "text")]
    pub flags: Flags,
    /// Of which messages, ascending.
    pub uids: Vec<u32>,
    /// Whether it mends what somebody changed on the target, rather than follows the source.
    pub repair: bool,
}

/// A message to read from the source and write to store and target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// UID on the source.
    pub uid: u32,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
}

/// A message to write to the target from the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Send {
    /// Where it is on the source.
    pub source: Place,
    /// What it is.
    pub content: ContentId,
    /// RFC822.SIZE, octets.
    pub size: u32,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags and keywords.
    #[serde(serialize_with = "text")]
    pub flags: Flags,
    /// What it mends, where it is a repair.
    pub repair: Option<Class>,
}

/// What the guard holds back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The halt's id: the digest of exactly what is held back.
    pub id: String,
    /// How many messages vanished on the source or need putting back.
    pub messages: u64,
    /// Of how many.
    pub of: u64,
}

/// A folder of the source that bears another name by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// Its name before.
    pub from: LogicalFolder,
    /// Its name now.
    pub to: LogicalFolder,
    /// Whether the target's folder is renamed too; else its messages are moved.
    pub on_target: bool,
}

/// Everything that is decided at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Folders that were renamed, in the order in which they are followed; carried out before all else, and of a plan
    /// that is to be shown only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renames: Vec<Renamed>,
    /// Folders that the target lacks.
    pub create: BTreeSet<LogicalFolder>,
    /// What to write down.
    pub records: Vec<Record>,
    /// Moves on the target.
    pub moves: Vec<MoveStep>,
    /// Flags on the target.
    pub flags: Vec<FlagStep>,
    /// From the source.
    pub copies: BTreeMap<LogicalFolder, Vec<Copy>>,
    /// From the store.
    pub sends: BTreeMap<LogicalFolder, Vec<Send>>,
    /// What the guard counts.
    #[serde(skip)]
    pub lost: Lost,
    /// What it holds back.
    pub held: Option<Held>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.create.is_empty()
            && self.records.is_empty()
            && self.moves.is_empty()
            && self.flags.is_empty()
            && self.copies.is_empty()
            && self.sends.is_empty()
    }

    /// What goes to each folder of the target.
    #[must_use]
    pub fn volumes(&self) -> BTreeMap<LogicalFolder, Volume> {
        let mut volumes: BTreeMap<LogicalFolder, Volume> = BTreeMap::new();
        let mut add = |folder: &LogicalFolder, sizes: &mut dyn Iterator<Item = u32>| {
            let volume = volumes.entry(folder.clone()).or_default();
            for size in sizes {
                volume.messages += 1;
                volume.bytes += u64::from(size);
            }
        };
        for (folder, copies) in &self.copies {
            add(folder, &mut copies.iter().map(|copy| copy.size));
        }
        for (folder, sends) in &self.sends {
            add(folder, &mut sends.iter().map(|send| send.size));
        }
        volumes
    }
}

fn text<S: serde::Serializer>(flags: &Flags, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(flags)
}

/// Decides what to do next. `confirmed` is the halt that a person has released.
#[must_use]
pub fn plan(view: &View, guard: Guard, history: History, confirmed: Option<&str>) -> Next {
    let mut scene = Scene::new(view);
    let rename = renamed(&scene);
    // Copies that nothing points at are known before their folder's name changes.
    scene.only = rename.as_ref().map(|(old, _)| *old);
    let read = scene.to_read();
    if !read.source.is_empty() || !read.target.is_empty() {
        return Next::Read(read);
    }
    if let Some(plan) = scene.sort_out() {
        return Next::Act(plan);
    }
    if let Some((_, rename)) = rename {
        return Next::Rename(rename);
    }
    let gone = scene.gone();
    if !gone.is_empty() {
        if !view.target_whole {
            return Next::Look;
        }
        let read = scene.strays_to_read(&gone);
        if !read.target.is_empty() {
            return Next::Read(read);
        }
    }
    let mut plan = scene.decide();
    let mut counted = plan.lost;
    if view.pop_delete {
        counted.vanished = 0;
    }
    if guard.holds(counted, history, view.known_on_source) {
        let id = digest(&plan);
        if confirmed != Some(id.as_str()) {
            let messages = plan.lost.vanished.max(plan.lost.put_back);
            hold_back(&mut plan);
            plan.held = Some(Held {
                id,
                messages,
                of: view.known_on_source.max(messages),
            });
        }
    }
    Next::Act(plan)
}

/// Takes out what the guard holds back. New mail, adoption and what was found again stay.
fn hold_back(plan: &mut Plan) {
    let moved: BTreeSet<Place> = plan
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Moved { to, .. } => Some(*to),
            _ => None,
        })
        .collect();
    plan.records.retain(|record| {
        // What becomes of a moved message is decided when its move is.
        if let Record::Adopt { source, .. } | Record::Strayed { source, .. } = record {
            return !moved.contains(source);
        }
        !matches!(
            record,
            Record::Tombstone { .. }
                | Record::Moved { .. }
                | Record::LeftBehind { .. }
                | Record::ForgetCopy { .. }
                | Record::DoesNotStay { .. }
                | Record::SourceFlags { .. }
        )
    });
    plan.moves.clear();
    plan.flags.clear();
    for sends in plan.sends.values_mut() {
        sends.retain(|send| send.repair.is_none() && !moved.contains(&send.source));
    }
    plan.sends.retain(|_, sends| !sends.is_empty());
}

/// The digest of what would be held back: tombstones, moves and put-backs.
fn digest(plan: &Plan) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("maildreieck 2026 halt id");
    for record in &plan.records {
        if matches!(
            record,
            Record::Tombstone { .. } | Record::Moved { .. } | Record::ForgetCopy { .. }
        ) {
            hasher.update(format!("{record:?}\n").as_bytes());
        }
    }
    for (folder, sends) in &plan.sends {
        for send in sends.iter().filter(|send| send.repair.is_some()) {
            hasher.update(format!("{folder} {:?} {:?}\n", send.source, send.content).as_bytes());
        }
    }
    hex::encode(hasher.finalize().as_bytes().get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests;
