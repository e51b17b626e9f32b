//! The mirror plan: from what both accounts show and the ledger knows to what has to be done.
//!
//! It comes in steps, each a value: first a rename to follow, then messages whose octets must be read
//! before anything can be decided about them, then everything else. After each the view is made anew.
//! Nothing is ever planned that deletes.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::Class;
use serde::Serialize;

use super::guard::{Guard, History, Lost};
use super::identity::{ContentId, Flags, InternalDate, Keyword, LogicalFolder};
use super::view::{FolderId, Origin, Pair, Place, Row, Shown, Side, Tombstone, View};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Follow a rename, then look again.
    Rename(Rename),
    /// Read these messages, then plan again.
    Read(Read),
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
    /// A message that vanished on the source.
    Tombstone { source: Place },
    /// A copy that vanished on the target.
    ForgetCopy { source: Place, copy: Place },
    /// A message that vanished on the target and was no copy of ours.
    Forget { target: Place },
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

/// Everything that is decided at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
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
}

fn text<S: serde::Serializer>(flags: &Flags, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(flags)
}

/// Decides what to do next. `confirmed` is the halt that a person has released.
#[must_use]
pub fn plan(view: &View, guard: Guard, history: History, confirmed: Option<&str>) -> Next {
    if let Some(rename) = renamed(view) {
        return Next::Rename(rename);
    }
    let scene = Scene::new(view);
    let read = scene.to_read();
    if !read.source.is_empty() || !read.target.is_empty() {
        return Next::Read(read);
    }
    let mut plan = scene.decide();
    if guard.holds(plan.lost, history, view.known_on_source) {
        let id = digest(&plan);
        if confirmed != Some(id.as_str()) {
            let messages = plan.lost.vanished.max(plan.lost.put_back);
            hold_back(&mut plan);
            plan.held = Some(Held {
                id,
                messages,
                of: view.known_on_source,
            });
        }
    }
    Next::Act(plan)
}

/// A source folder that is gone while a new one has its UIDVALIDITY and its messages.
fn renamed(view: &View) -> Option<Rename> {
    for (old_name, old) in &view.pairs {
        let Some(gone) = old.source.as_ref().filter(|s| s.gone && !s.rows.is_empty()) else {
            continue;
        };
        let same = |(_, pair): &(&LogicalFolder, &Pair)| {
            pair.source.as_ref().is_some_and(|new| {
                let known = |shown: &&Shown| gone.rows.contains_key(&shown.uid);
                let fits = |shown: &Shown| {
                    gone.rows
                        .get(&shown.uid)
                        .is_some_and(|r| r.size == shown.size && r.date == shown.date)
                };
                !new.gone
                    && new.rows.is_empty()
                    && new.uidvalidity == gone.uidvalidity
                    && new.shown.iter().any(|shown| known(&shown))
                    && new.shown.iter().filter(known).all(fits)
            })
        };
        // Folders above come first, since renaming them takes their subtree along.
        if let Some((name, pair)) = view.pairs.iter().find(same)
            && let Some(new) = &pair.source
        {
            let ours = |side: &&Side| {
                let written = |s: &Shown| {
                    side.rows
                        .get(&s.uid)
                        .is_some_and(|r| r.origin == Origin::Written)
                };
                pair.target.is_none() && !side.gone && side.shown.iter().all(written)
            };
            let special = |name: &LogicalFolder| name.components().0.is_some();
            let follow = !special(old_name) && !special(name);
            let target = old
                .target
                .as_ref()
                .filter(ours)
                .filter(|_| follow)
                .map(|side| side.folder);
            return Some(Rename {
                from: gone.folder,
                to: new.folder,
                folder: name.clone(),
                target,
            });
        }
    }
    None
}

/// The view with what is looked up again and again.
struct Scene<'a> {
    view: &'a View,
    /// Copies that a source row or a tombstone points at.
    linked: BTreeSet<Place>,
    /// Source rows whose message is shown no more: by content, size and date.
    vanished: BTreeMap<(ContentId, InternalDate), Vec<(Place, &'a LogicalFolder)>>,
    vanished_shapes: BTreeSet<(u32, InternalDate)>,
}

fn place(side: &Side, uid: u32) -> Place {
    Place {
        folder: side.folder,
        generation: side.generation,
        uid,
    }
}

fn shown_uids(side: &Side) -> BTreeSet<u32> {
    side.shown.iter().map(|s| s.uid).collect()
}

impl<'a> Scene<'a> {
    fn new(view: &'a View) -> Self {
        let mut scene = Self {
            view,
            linked: BTreeSet::new(),
            vanished: BTreeMap::new(),
            vanished_shapes: BTreeSet::new(),
        };
        scene
            .linked
            .extend(view.tombstones.iter().filter_map(|t| t.copy));
        for (folder, pair) in &view.pairs {
            let Some(side) = &pair.source else { continue };
            scene.linked.extend(
                side.rows
                    .values()
                    .chain(side.stale.values())
                    .filter_map(|r| r.copy),
            );
            if side.rows.len() == side.shown.len()
                && side.rows.keys().eq(side.shown.iter().map(|s| &s.uid))
            {
                continue;
            }
            let shown = shown_uids(side);
            for (uid, row) in side.rows.iter().filter(|(uid, _)| !shown.contains(uid)) {
                scene
                    .vanished
                    .entry((row.content, row.date))
                    .or_default()
                    .push((place(side, *uid), folder));
                scene.vanished_shapes.insert((row.size, row.date));
            }
        }
        scene
    }

    /// What has to be read before anything can be decided about it.
    fn to_read(&self) -> Read {
        let mut read = Read::default();
        for (folder, pair) in &self.view.pairs {
            let Some(source) = &pair.source else { continue };
            let new: Vec<&Shown> = source
                .shown
                .iter()
                .filter(|s| {
                    !source.rows.contains_key(&s.uid) && !source.unreadable.contains(&s.uid)
                })
                .collect();
            let mut sizes: BTreeSet<u32> = source.stale.values().map(|row| row.size).collect();
            sizes.extend(
                self.view
                    .tombstones
                    .iter()
                    .filter(|t| t.folder == *folder)
                    .map(|t| t.size),
            );
            let mut unknown_on_target = false;
            if let Some(target) = &pair.target {
                let unknown: Vec<u32> = target
                    .shown
                    .iter()
                    .filter(|s| {
                        !target.rows.contains_key(&s.uid) && !target.unreadable.contains(&s.uid)
                    })
                    .map(|s| s.uid)
                    .collect();
                let unlinked = source
                    .rows
                    .values()
                    .any(|row| row.copy.is_none() && !row.quarantined);
                let lost = !target.stale.is_empty() || self.copies_lost(source, target);
                if !unknown.is_empty() && (!new.is_empty() || unlinked || lost) {
                    unknown_on_target = true;
                    read.target.insert(target.folder, unknown);
                }
                let unlinked = target
                    .rows
                    .iter()
                    .filter(|(uid, _)| !self.linked.contains(&place(target, **uid)));
                sizes.extend(unlinked.map(|(_, row)| row.size));
                sizes.extend(target.stale.values().map(|row| row.size));
            }
            if unknown_on_target {
                continue;
            }
            let wanted: Vec<u32> = new
                .iter()
                .filter(|s| {
                    sizes.contains(&s.size) || self.vanished_shapes.contains(&(s.size, s.date))
                })
                .map(|s| s.uid)
                .collect();
            if !wanted.is_empty() {
                read.source.insert(source.folder, wanted);
            }
        }
        read
    }

    fn copies_lost(&self, source: &Side, target: &Side) -> bool {
        let shown = shown_uids(target);
        source
            .rows
            .values()
            .filter_map(|row| row.copy)
            .any(|copy| copy.folder != target.folder || !shown.contains(&copy.uid))
    }

    fn decide(&self) -> Plan {
        let mut plan = Plan::default();
        let mut found = Found::default();
        for (folder, pair) in &self.view.pairs {
            FolderPlan {
                scene: self,
                folder,
                pair,
                plan: &mut plan,
                found: &mut found,
            }
            .decide();
        }
        for places in self.vanished.values() {
            for (source, _) in places
                .iter()
                .filter(|(source, _)| !found.places.contains(source))
            {
                plan.records.push(Record::Tombstone { source: *source });
                plan.lost.vanished += 1;
            }
        }
        for pair in self.view.pairs.values() {
            let stale = pair
                .source
                .iter()
                .flat_map(|s| s.stale.keys().map(move |(g, uid)| (s, *g, *uid)));
            for (side, generation, uid) in stale {
                let source = Place {
                    folder: side.folder,
                    generation,
                    uid,
                };
                if !found.places.contains(&source) {
                    plan.records.push(Record::Tombstone { source });
                    plan.lost.vanished += 1;
                }
            }
        }
        plan.records.sort();
        plan
    }
}

/// What was found again, so that it is found once.
#[derive(Default)]
struct Found {
    /// Source places whose message is somewhere else now.
    places: BTreeSet<Place>,
    /// Tombstones whose message is back.
    tombstones: BTreeSet<i64>,
}

/// The part of the plan that concerns one folder.
struct FolderPlan<'a, 'b> {
    scene: &'b Scene<'a>,
    folder: &'b LogicalFolder,
    pair: &'a Pair,
    plan: &'b mut Plan,
    found: &'b mut Found,
}

impl FolderPlan<'_, '_> {
    fn decide(&mut self) {
        let Some(source) = &self.pair.source else {
            let mut used = BTreeSet::new();
            self.tombstones_again(&mut self.free_copies(), &mut used);
            self.forget_foreign(&used);
            return;
        };
        let mut free = self.free_copies();
        let mut used = BTreeSet::new();
        let mut stale: BTreeMap<ContentId, Vec<(u32, u32)>> = BTreeMap::new();
        for (key, row) in &source.stale {
            stale.entry(row.content).or_default().push(*key);
        }
        let mut wanted = Vec::new();
        for shown in &source.shown {
            if source.unreadable.contains(&shown.uid) {
                continue;
            }
            let at = place(source, shown.uid);
            match source.rows.get(&shown.uid) {
                None => {
                    let copy = Copy {
                        uid: shown.uid,
                        size: shown.size,
                    };
                    self.plan
                        .copies
                        .entry(self.folder.clone())
                        .or_default()
                        .push(copy);
                }
                Some(row) if row.quarantined => {}
                Some(row) if row.copy.is_some() => {
                    self.linked(at, row, shown, &mut free, &mut used)
                }
                Some(row) => {
                    let again = stale.get_mut(&row.content).and_then(Vec::pop);
                    wanted.push((at, row, shown, again));
                }
            }
        }
        for (at, row, shown, again) in wanted {
            self.unlinked(at, row, shown, again, &mut free, &mut used);
        }
        self.tombstones_again(&mut free, &mut used);
        if self.pair.target.as_ref().is_none_or(|t| t.gone) && !source.gone {
            self.plan.create.insert(self.folder.clone());
        }
        self.forget_foreign(&used);
    }

    /// Copies on the target that nothing points at, by content.
    fn free_copies(&self) -> BTreeMap<ContentId, Vec<(u32, InternalDate)>> {
        let mut free: BTreeMap<ContentId, Vec<(u32, InternalDate)>> = BTreeMap::new();
        if let Some(target) = &self.pair.target {
            for shown in &target.shown {
                if let Some(row) = target.rows.get(&shown.uid)
                    && !self.scene.linked.contains(&place(target, shown.uid))
                {
                    free.entry(row.content)
                        .or_default()
                        .push((shown.uid, shown.date));
                }
            }
        }
        free
    }

    fn take(
        &self,
        free: &mut BTreeMap<ContentId, Vec<(u32, InternalDate)>>,
        content: ContentId,
        date: InternalDate,
    ) -> Option<Place> {
        let target = self.pair.target.as_ref()?;
        let copies = free.get_mut(&content)?;
        let best = copies.iter().position(|(_, d)| *d == date).unwrap_or(0);
        (best < copies.len()).then(|| place(target, copies.remove(best).0))
    }

    /// A message whose copy is known.
    fn linked(
        &mut self,
        at: Place,
        row: &Row,
        shown: &Shown,
        free: &mut BTreeMap<ContentId, Vec<(u32, InternalDate)>>,
        used: &mut BTreeSet<Place>,
    ) {
        let Some(copy) = row.copy else { return };
        if !row.flags.same(&shown.flags) {
            self.plan.records.push(Record::SourceFlags {
                source: at,
                flags: shown.flags.clone(),
            });
        }
        let target = self
            .pair
            .target
            .as_ref()
            .filter(|t| t.folder == copy.folder && t.generation == copy.generation);
        let there = target.and_then(|t| {
            t.shown
                .binary_search_by_key(&copy.uid, |s| s.uid)
                .ok()
                .and_then(|i| t.shown.get(i))
                .map(|s| (t, s))
        });
        if let Some((target, there)) = there {
            used.insert(copy);
            match target.rows.get(&copy.uid) {
                Some(known) if known.content != row.content => {
                    // Altered: the right copy is put beside it, once.
                    self.lost(at, row, shown, copy, Class::Altered);
                }
                known => {
                    if known.is_some_and(|known| !known.flags.same(&there.flags)) {
                        self.plan.records.push(Record::TargetFlags {
                            target: copy,
                            flags: there.flags.clone(),
                        });
                    }
                    let repair = row.flags.same(&shown.flags);
                    self.flags(target.folder, &shown.flags, there, repair);
                }
            }
            return;
        }
        let elsewhere = self
            .pair
            .target
            .as_ref()
            .is_none_or(|t| t.folder != copy.folder)
            && self.is_shown(copy);
        if elsewhere
            && self.scene.view.target_moves
            && self
                .row_at(copy)
                .is_some_and(|row| row.origin == Origin::Written)
        {
            // A move that was written down and did not come to its end.
            used.insert(copy);
            self.move_copy(copy, at);
            return;
        }
        if let Some(found) = self.take(free, row.content, row.date) {
            used.insert(found);
            let stale = self
                .pair
                .target
                .as_ref()
                .is_some_and(|t| t.stale.contains_key(&(copy.generation, copy.uid)));
            self.plan.records.push(if stale {
                Record::TargetAgain {
                    source: at,
                    from: copy,
                    to: found,
                }
            } else {
                Record::Adopt {
                    source: at,
                    copy: found,
                }
            });
            self.flags_at(found, &shown.flags);
        } else {
            self.lost(at, row, shown, copy, Class::MissingAtStandby);
        }
    }

    fn lost(&mut self, at: Place, row: &Row, shown: &Shown, copy: Place, class: Class) {
        if row.put_backs > 0 {
            self.plan.records.push(Record::DoesNotStay { source: at });
            return;
        }
        if class == Class::MissingAtStandby {
            self.plan
                .records
                .push(Record::ForgetCopy { source: at, copy });
        }
        self.plan.lost.put_back += 1;
        self.send(at, row, &shown.flags, Some(class));
    }

    /// A message that was read and has no copy yet.
    fn unlinked(
        &mut self,
        at: Place,
        row: &Row,
        shown: &Shown,
        again: Option<(u32, u32)>,
        free: &mut BTreeMap<ContentId, Vec<(u32, InternalDate)>>,
        used: &mut BTreeSet<Place>,
    ) {
        if let (Some((generation, uid)), Some(source)) = (again, &self.pair.source) {
            let from = Place {
                folder: source.folder,
                generation,
                uid,
            };
            self.found.places.insert(from);
            self.plan.records.push(Record::SourceAgain { from, to: at });
            if let Some(copy) = source
                .stale
                .get(&(generation, uid))
                .and_then(|row| row.copy)
            {
                used.insert(copy);
                self.flags_at(copy, &shown.flags);
                return;
            }
        } else if let Some((from, old_folder)) = self.moved_from(row, at) {
            let copy = self.row_at(from).and_then(|old| old.copy);
            self.found.places.insert(from);
            self.plan.records.push(Record::Moved {
                from,
                to: at,
                folder: self.folder.clone(),
            });
            if let Some(copy) = copy.filter(|copy| self.is_shown(*copy)) {
                used.insert(copy);
                let written = self
                    .row_at(copy)
                    .is_some_and(|row| row.origin == Origin::Written);
                if written && self.scene.view.target_moves && old_folder != *self.folder {
                    self.move_copy(copy, at);
                    return;
                }
                self.plan.records.push(Record::LeftBehind {
                    source: at,
                    copy,
                    folder: old_folder,
                });
            }
        } else if let Some(tombstone) = self.tombstone(row) {
            let (id, copy) = (tombstone.id, tombstone.copy);
            self.found.tombstones.insert(id);
            self.plan.records.push(Record::Revive {
                tombstone: id,
                source: at,
                folder: self.folder.clone(),
            });
            if let Some(copy) = copy.filter(|copy| self.is_shown(*copy)) {
                used.insert(copy);
                self.plan.records.push(Record::Adopt { source: at, copy });
                self.flags_at(copy, &shown.flags);
                return;
            }
        }
        match self.take(free, row.content, row.date) {
            Some(copy) => {
                used.insert(copy);
                self.plan.records.push(Record::Adopt { source: at, copy });
                self.flags_at(copy, &shown.flags);
            }
            None => self.send(at, row, &shown.flags, None),
        }
    }

    fn moved_from(&self, row: &Row, at: Place) -> Option<(Place, LogicalFolder)> {
        let places = self.scene.vanished.get(&(row.content, row.date))?;
        places
            .iter()
            .find(|(from, _)| !self.found.places.contains(from) && *from != at)
            .map(|(from, folder)| (*from, (*folder).clone()))
    }

    fn tombstone(&self, row: &Row) -> Option<&Tombstone> {
        self.scene
            .view
            .tombstones
            .iter()
            .filter(|t| {
                !t.moved
                    && t.folder == *self.folder
                    && t.content == row.content
                    && !self.found.tombstones.contains(&t.id)
            })
            .max_by_key(|t| t.date == row.date)
    }

    /// Copies of an ended generation that a tombstone points at.
    fn tombstones_again(
        &mut self,
        free: &mut BTreeMap<ContentId, Vec<(u32, InternalDate)>>,
        used: &mut BTreeSet<Place>,
    ) {
        let Some(target) = &self.pair.target else {
            return;
        };
        for tombstone in &self.scene.view.tombstones {
            let Some(from) = tombstone
                .copy
                .filter(|c| c.folder == target.folder && c.generation != target.generation)
            else {
                continue;
            };
            if !self.found.tombstones.contains(&tombstone.id)
                && let Some(to) = self.take(free, tombstone.content, tombstone.date)
            {
                used.insert(to);
                self.plan.records.push(Record::TombstoneAgain {
                    tombstone: tombstone.id,
                    from,
                    to,
                });
            }
        }
    }

    fn sides(&self) -> impl Iterator<Item = (&Side, bool)> {
        self.scene.view.pairs.values().flat_map(|pair| {
            pair.source
                .iter()
                .map(|s| (s, false))
                .chain(pair.target.iter().map(|t| (t, true)))
        })
    }

    fn row_at(&self, at: Place) -> Option<&Row> {
        let (side, _) = self.sides().find(|(side, _)| side.folder == at.folder)?;
        if side.generation == at.generation {
            side.rows.get(&at.uid)
        } else {
            side.stale.get(&(at.generation, at.uid))
        }
    }

    fn is_shown(&self, copy: Place) -> bool {
        self.sides().any(|(side, target)| {
            target
                && side.folder == copy.folder
                && side.generation == copy.generation
                && side
                    .shown
                    .binary_search_by_key(&copy.uid, |s| s.uid)
                    .is_ok()
        })
    }

    fn move_copy(&mut self, copy: Place, at: Place) {
        if self.pair.target.as_ref().is_none_or(|t| t.gone) {
            self.plan.create.insert(self.folder.clone());
        }
        let step = self
            .plan
            .moves
            .iter_mut()
            .find(|m| m.from == copy.folder && m.to == *self.folder);
        match step {
            Some(step) => {
                let index = step.messages.partition_point(|(uid, _)| *uid < copy.uid);
                step.messages.insert(index, (copy.uid, at));
            }
            None => self.plan.moves.push(MoveStep {
                from: copy.folder,
                to: self.folder.clone(),
                messages: vec![(copy.uid, at)],
            }),
        }
    }

    fn send(&mut self, at: Place, row: &Row, flags: &Flags, repair: Option<Class>) {
        let send = Send {
            source: at,
            content: row.content,
            size: row.size,
            date: row.date,
            flags: self.sendable(flags),
            repair,
        };
        self.plan
            .sends
            .entry(self.folder.clone())
            .or_default()
            .push(send);
    }

    fn sendable(&self, flags: &Flags) -> Flags {
        let refused = &self.scene.view.refused_keywords;
        flags.retain_keywords(|k: &Keyword| !refused.contains(&k.as_str().to_ascii_lowercase()))
    }

    fn flags_at(&mut self, copy: Place, wanted: &Flags) {
        let Some(target) = self
            .pair
            .target
            .as_ref()
            .filter(|t| t.folder == copy.folder)
        else {
            return;
        };
        if let Ok(index) = target.shown.binary_search_by_key(&copy.uid, |s| s.uid)
            && let Some(there) = target.shown.get(index)
        {
            self.flags(target.folder, wanted, there, false);
        }
    }

    fn flags(&mut self, folder: FolderId, wanted: &Flags, there: &Shown, repair: bool) {
        let wanted = self.sendable(wanted);
        for (add, flags) in [
            (true, wanted.minus(&there.flags)),
            (false, there.flags.minus(&wanted)),
        ] {
            if flags.is_empty() {
                continue;
            }
            let same = |s: &&mut FlagStep| {
                s.folder == folder && s.add == add && s.repair == repair && s.flags == flags
            };
            match self.plan.flags.iter_mut().find(same) {
                Some(step) => {
                    let index = step.uids.partition_point(|uid| *uid < there.uid);
                    step.uids.insert(index, there.uid);
                }
                None => self.plan.flags.push(FlagStep {
                    folder,
                    add,
                    flags,
                    uids: vec![there.uid],
                    repair,
                }),
            }
        }
    }

    /// Rows of the target whose message is gone and that no source row points at.
    fn forget_foreign(&mut self, used: &BTreeSet<Place>) {
        let Some(target) = &self.pair.target else {
            return;
        };
        let shown = shown_uids(target);
        for uid in target.rows.keys().filter(|uid| !shown.contains(uid)) {
            let at = place(target, *uid);
            if !used.contains(&at) && !self.scene.linked.contains(&at) {
                self.plan.records.push(Record::Forget { target: at });
            }
        }
        for (generation, uid) in target.stale.keys() {
            let at = Place {
                folder: target.folder,
                generation: *generation,
                uid: *uid,
            };
            if !used.contains(&at) && !self.scene.linked.contains(&at) {
                self.plan.records.push(Record::Forget { target: at });
            }
        }
    }
}

/// Takes out what the guard holds back. New mail, adoption and what was found again stay.
fn hold_back(plan: &mut Plan) {
    plan.records.retain(|record| {
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
        sends.retain(|send| send.repair.is_none());
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
