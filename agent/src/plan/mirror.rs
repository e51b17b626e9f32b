//! The mirror plan: from what both accounts show and the ledger knows to what has to be done.
//!
//! It comes in steps, each a value: first messages whose octets must be read before anything can be decided
//! about them, then whose the copies are that nothing points at, then a rename to follow, then everything
//! else. After each the view is made anew.
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
    let mut scene = Scene::new(view);
    let rename = renamed(view);
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
                of: view.known_on_source,
            });
        }
    }
    Next::Act(plan)
}

/// A source folder that is gone while a new one has its UIDVALIDITY and its messages.
fn renamed(view: &View) -> Option<(&LogicalFolder, Rename)> {
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
                    && new.stale.is_empty()
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
                !side.gone && side.shown.iter().all(written)
            };
            // What lies below it would move along.
            let below = |(name, _): &(&LogicalFolder, &Pair)| {
                name.as_str()
                    .strip_prefix(old_name.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            let alone = view
                .pairs
                .iter()
                .filter(below)
                .filter_map(|(_, pair)| pair.target.as_ref())
                .all(|side| side.gone || ours(&side));
            let special = |name: &LogicalFolder| name.components().0.is_some();
            let follow = !special(old_name) && !special(name);
            let target = old
                .target
                .as_ref()
                .filter(ours)
                .filter(|_| follow && alone && pair.target.is_none())
                .map(|side| side.folder);
            let rename = Rename {
                from: gone.folder,
                to: new.folder,
                folder: name.clone(),
                target,
            };
            return Some((old_name, rename));
        }
    }
    None
}

/// Whose a copy is.
#[derive(Clone, Copy)]
enum Owner {
    Source(Place),
    Tombstone(i64),
}

/// The view with what is looked up again and again.
struct Scene<'a> {
    view: &'a View,
    /// Only this folder is looked at.
    only: Option<&'a LogicalFolder>,
    /// Copies that a source row or a tombstone points at, and whose they are.
    owners: BTreeMap<Place, Owner>,
    /// Source rows of ended generations whose message is shown again with the same date, by its place now.
    again: BTreeMap<Place, (Place, &'a Row)>,
    /// Source rows whose message is shown no more: by content and date.
    vanished: BTreeMap<(ContentId, InternalDate), Vec<Place>>,
    vanished_shapes: BTreeSet<(u32, InternalDate)>,
    /// Source rows that were read, and then vanished before anything was done with them.
    untouched: Vec<Place>,
}

fn place(side: &Side, uid: u32) -> Place {
    Place {
        folder: side.folder,
        generation: side.generation,
        uid,
    }
}

fn row_in(side: &Side, at: Place) -> Option<&Row> {
    if side.generation == at.generation {
        side.rows.get(&at.uid)
    } else {
        side.stale.get(&(at.generation, at.uid))
    }
}

fn shown_at(side: &Side, uid: u32) -> Option<&Shown> {
    let index = side.shown.binary_search_by_key(&uid, |s| s.uid).ok()?;
    side.shown.get(index)
}

/// What is known of ended generations, by place.
fn stale(side: &Side) -> impl Iterator<Item = (Place, &Row)> {
    side.stale.iter().map(|((generation, uid), row)| {
        let at = Place {
            folder: side.folder,
            generation: *generation,
            uid: *uid,
        };
        (at, row)
    })
}

/// Whether a message of the source was read and nothing has been done with it: it is in no corner yet.
fn untouched(row: &Row) -> bool {
    row.member.is_none() && row.copy.is_none()
}

/// Rows of ended generations that messages without copy are again, by the messages' place: of the same date.
fn again(source: &Side) -> BTreeMap<Place, (Place, &Row)> {
    let mut known: BTreeMap<(ContentId, InternalDate), Vec<(Place, &Row)>> = BTreeMap::new();
    for (from, row) in stale(source).filter(|(_, row)| !untouched(row)) {
        let same = known.entry((row.content, row.date));
        same.or_default().push((from, row));
    }
    let mut again = BTreeMap::new();
    for shown in source.shown.iter().rev() {
        if let Some(row) = source.rows.get(&shown.uid).filter(|row| untouched(row))
            && let Some(found) = known.get_mut(&(row.content, row.date)).and_then(Vec::pop)
        {
            again.insert(place(source, shown.uid), found);
        }
    }
    again
}

fn shown_uids(side: &Side) -> BTreeSet<u32> {
    side.shown.iter().map(|s| s.uid).collect()
}

/// What is shown and has never been read.
fn unknown(side: &Side) -> impl Iterator<Item = &Shown> {
    side.shown
        .iter()
        .filter(|s| !side.rows.contains_key(&s.uid) && !side.unreadable.contains(&s.uid))
}

/// Whether one of these rows' copies is gone, lies elsewhere or holds other octets.
fn copies_lost<'r>(mut rows: impl Iterator<Item = &'r Row>, target: &Side) -> bool {
    let shown = shown_uids(target);
    rows.any(|row| {
        row.copy.is_some_and(|copy| {
            copy.folder != target.folder
                || !shown.contains(&copy.uid)
                || target
                    .rows
                    .get(&copy.uid)
                    .is_some_and(|there| there.content != row.content)
        })
    })
}

impl<'a> Scene<'a> {
    fn new(view: &'a View) -> Self {
        let mut scene = Self {
            view,
            only: None,
            owners: BTreeMap::new(),
            again: BTreeMap::new(),
            vanished: BTreeMap::new(),
            vanished_shapes: BTreeSet::new(),
            untouched: Vec::new(),
        };
        let buried = view.tombstones.iter();
        let buried = buried.filter_map(|t| Some((t.copy?, Owner::Tombstone(t.id))));
        scene.owners.extend(buried);
        for pair in view.pairs.values() {
            let Some(side) = &pair.source else { continue };
            let current = side.rows.iter().map(|(uid, row)| (place(side, *uid), row));
            let copies = current.chain(stale(side));
            let copies = copies.filter_map(|(at, row)| Some((row.copy?, Owner::Source(at))));
            scene.owners.extend(copies);
            if side.stale.is_empty()
                && side.rows.len() == side.shown.len()
                && side.rows.keys().eq(side.shown.iter().map(|s| &s.uid))
            {
                continue;
            }
            let again = again(side);
            let matched: BTreeSet<Place> = again.values().map(|(from, _)| *from).collect();
            let shown = shown_uids(side);
            let rows = side.rows.iter().filter(|(uid, _)| !shown.contains(uid));
            let rows = rows.map(|(uid, row)| (place(side, *uid), row));
            let stale = stale(side).filter(|(from, _)| !matched.contains(from));
            for (from, row) in rows.chain(stale) {
                if untouched(row) {
                    scene.untouched.push(from);
                    continue;
                }
                let same = scene.vanished.entry((row.content, row.date));
                same.or_default().push(from);
                scene.vanished_shapes.insert((row.size, row.date));
            }
            scene.again.extend(again);
        }
        scene
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a LogicalFolder, &'a Pair)> {
        let within = |(name, _): &(&LogicalFolder, &Pair)| self.only.is_none_or(|o| o == *name);
        self.view.pairs.iter().filter(within)
    }

    /// What has to be read before anything can be decided about it.
    fn to_read(&self) -> Read {
        let mut read = Read::default();
        for (folder, pair) in self.pairs() {
            let new: Vec<&Shown> = pair.source.iter().flat_map(unknown).collect();
            let stale = || pair.source.iter().flat_map(|s| s.stale.values());
            let rows = || pair.source.iter().flat_map(|s| s.rows.values());
            let rows = || rows().chain(stale());
            let mut sizes: BTreeSet<u32> = stale().map(|row| row.size).collect();
            sizes.extend(
                self.view
                    .tombstones
                    .iter()
                    .filter(|t| t.folder == *folder)
                    .map(|t| t.size),
            );
            if let Some(target) = &pair.target {
                let unlinked = rows().any(|row| row.copy.is_none() && !row.quarantined);
                let lacking = !new.is_empty()
                    || unlinked
                    || !target.stale.is_empty()
                    || copies_lost(rows(), target);
                let uids: Vec<u32> = unknown(target).map(|s| s.uid).collect();
                if lacking && !uids.is_empty() {
                    read.target.insert(target.folder, uids);
                    continue;
                }
                let unlinked = target
                    .rows
                    .iter()
                    .filter(|(uid, _)| !self.owners.contains_key(&place(target, **uid)));
                sizes.extend(unlinked.map(|(_, row)| row.size));
                sizes.extend(target.stale.values().map(|row| row.size));
            }
            let wanted: Vec<u32> = new
                .iter()
                .filter(|s| {
                    sizes.contains(&s.size) || self.vanished_shapes.contains(&(s.size, s.date))
                })
                .map(|s| s.uid)
                .collect();
            if let (Some(source), false) = (&pair.source, wanted.is_empty()) {
                read.source.insert(source.folder, wanted);
            }
        }
        read
    }

    /// Whose a copy is: that has to be known before anything is decided about what vanished or moved.
    fn sort_out(&self) -> Option<Plan> {
        for sort_out in [Self::ended, Self::cut_off] {
            let mut plan = Plan::default();
            for (_, pair) in self.pairs() {
                plan.records.extend(sort_out(self, pair));
            }
            if !plan.records.is_empty() {
                plan.records.sort();
                return Some(plan);
            }
        }
        None
    }

    /// Copies of an ended generation, found again.
    fn ended(&self, pair: &'a Pair) -> Vec<Record> {
        let mut free = self.free_copies(pair);
        let stale = pair.target.iter().flat_map(stale);
        let again = stale.filter_map(|(from, row)| {
            let owner = self.owners.get(&from)?;
            let to = take_best(&mut free, row.content, row.date)?;
            Some(match *owner {
                Owner::Source(source) => Record::TargetAgain { source, from, to },
                Owner::Tombstone(tombstone) => Record::TombstoneAgain {
                    tombstone,
                    from,
                    to,
                },
            })
        });
        again.collect()
    }

    /// Copies of a batch or a move that was cut off, of messages that have vanished on the source since.
    fn cut_off(&self, pair: &'a Pair) -> Vec<Record> {
        let Some(source) = &pair.source else {
            return Vec::new();
        };
        let here = pair.target.as_ref().map(|t| t.folder);
        let lacking = |row: &Row| match row.copy {
            None => !row.quarantined && row.put_backs == 0,
            Some(copy) => here != Some(copy.folder) && !self.is_shown(copy),
        };
        let vanished = self.vanished.values().flatten();
        let vanished: Vec<(Place, &Row)> = vanished
            .filter(|at| at.folder == source.folder)
            .filter_map(|at| Some((*at, row_in(source, *at)?)))
            .filter(|(_, row)| lacking(row))
            .collect();
        if vanished.is_empty() {
            return Vec::new();
        }
        let mut free = self.free_copies(pair);
        // What is still there comes first.
        for shown in &source.shown {
            let at = place(source, shown.uid);
            let again = self.again.get(&at).map(|(_, row)| *row);
            if let Some(row) = again.or_else(|| source.rows.get(&shown.uid))
                && lacking(row)
                && !untouched(row)
            {
                take_best(&mut free, row.content, row.date);
            }
        }
        let adopt = |(source, row): (Place, &Row)| {
            let copy = take_best(&mut free, row.content, row.date)?;
            Some(Record::Adopt { source, copy })
        };
        vanished.into_iter().filter_map(adopt).collect()
    }

    /// Copies on the target that nothing points at.
    fn free_copies(&self, pair: &Pair) -> Free {
        let mut free = Free::new();
        if let Some(target) = &pair.target {
            for shown in &target.shown {
                let at = place(target, shown.uid);
                if let Some(row) = target.rows.get(&shown.uid)
                    && !self.owners.contains_key(&at)
                {
                    free.entry(row.content).or_default().push((at, shown.date));
                }
            }
        }
        free
    }

    fn sides(&self) -> impl Iterator<Item = (&Side, bool)> {
        self.view.pairs.values().flat_map(|pair| {
            pair.source
                .iter()
                .map(|s| (s, false))
                .chain(pair.target.iter().map(|t| (t, true)))
        })
    }

    fn row_at(&self, at: Place) -> Option<&Row> {
        let (side, _) = self.sides().find(|(side, _)| side.folder == at.folder)?;
        row_in(side, at)
    }

    fn is_shown(&self, copy: Place) -> bool {
        self.sides().any(|(side, target)| {
            target
                && side.folder == copy.folder
                && side.generation == copy.generation
                && shown_at(side, copy.uid).is_some()
        })
    }

    fn decide(&self) -> Plan {
        let mut plan = Plan::default();
        let mut found = Found::default();
        for (folder, pair) in self.pairs() {
            FolderPlan {
                scene: self,
                folder,
                pair,
                plan: &mut plan,
                found: &mut found,
            }
            .decide();
        }
        for source in self.vanished.values().flatten() {
            if !found.places.contains(source) {
                plan.records.push(Record::Tombstone { source: *source });
                plan.lost.vanished += 1;
            }
        }
        let untouched = self.untouched.iter();
        plan.records
            .extend(untouched.map(|at| Record::Forget { at: *at }));
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

/// Copies on the target that nothing points at, by content.
type Free = BTreeMap<ContentId, Vec<(Place, InternalDate)>>;

/// Takes a copy out of those that are free: one of this date, or any.
fn take(free: &mut Free, content: ContentId, date: Option<InternalDate>) -> Option<Place> {
    let copies = free.get_mut(&content)?;
    let fits = |(_, d): &(Place, InternalDate)| date.is_none_or(|date| date == *d);
    let best = copies.iter().position(fits)?;
    Some(copies.remove(best).0)
}

fn take_best(free: &mut Free, content: ContentId, date: InternalDate) -> Option<Place> {
    take(free, content, Some(date)).or_else(|| take(free, content, None))
}

/// A message of the source for which a copy has to be found, or else made.
struct Lacking<'a> {
    at: Place,
    row: &'a Row,
    shown: &'a Shown,
    /// The copy that it had, and what became of it.
    had: Option<(Place, Class)>,
    /// How often that has been put back.
    put_backs: u32,
}

/// The part of the plan that concerns one folder.
struct FolderPlan<'a, 'b> {
    scene: &'b Scene<'a>,
    folder: &'b LogicalFolder,
    pair: &'a Pair,
    plan: &'b mut Plan,
    found: &'b mut Found,
}

impl<'a> FolderPlan<'a, '_> {
    fn decide(&mut self) {
        if let Some(source) = &self.pair.source {
            let mut free = self.scene.free_copies(self.pair);
            let mut lacking = self.messages(source);
            // The copy with the same date first, so that none takes another's.
            for dated in [true, false] {
                lacking.retain(|l| {
                    let date = dated.then_some(l.row.date);
                    let copy = take(&mut free, l.row.content, date);
                    if let Some(copy) = copy {
                        self.adopt(l.at, copy, l.shown);
                    }
                    copy.is_none()
                });
            }
            for l in &lacking {
                self.make(l);
            }
            if self.pair.target.as_ref().is_none_or(|t| t.gone) && !source.gone {
                self.plan.create.insert(self.folder.clone());
            }
        }
        self.forget_foreign();
    }

    /// Goes through what the source shows: what is new is copied, what has its copy is compared. What has none
    /// comes back.
    fn messages(&mut self, source: &'a Side) -> Vec<Lacking<'a>> {
        let mut lacking = Vec::new();
        for shown in &source.shown {
            if source.unreadable.contains(&shown.uid) {
                continue;
            }
            let at = place(source, shown.uid);
            let Some(row) = source.rows.get(&shown.uid) else {
                let copy = Copy {
                    uid: shown.uid,
                    size: shown.size,
                };
                let copies = self.plan.copies.entry(self.folder.clone());
                copies.or_default().push(copy);
                continue;
            };
            if (row.copy.is_some() || row.quarantined) && !row.flags.same(&shown.flags) {
                self.plan.records.push(Record::SourceFlags {
                    source: at,
                    flags: shown.flags.clone(),
                });
            }
            match row.copy {
                _ if row.quarantined => {}
                Some(copy) => lacking.extend(self.linked(at, row, shown, copy)),
                None => lacking.extend(self.unlinked(at, row, shown)),
            }
        }
        lacking
    }

    fn adopt(&mut self, source: Place, copy: Place, shown: &Shown) {
        self.plan.records.push(Record::Adopt { source, copy });
        self.flags_at(copy, &shown.flags);
    }

    /// Sends a message that has no copy, unless that did not help before.
    fn make(&mut self, lacking: &Lacking<'_>) {
        let source = lacking.at;
        if lacking.put_backs > 0 {
            self.plan.records.push(Record::DoesNotStay { source });
            return;
        }
        if let Some((copy, class)) = lacking.had {
            if class == Class::MissingAtStandby {
                self.plan.records.push(Record::ForgetCopy { source, copy });
            }
            self.plan.lost.put_back += 1;
        }
        let repair = lacking.had.map(|(_, class)| class);
        self.send(source, lacking.row, &lacking.shown.flags, repair);
    }

    /// A message whose copy is known; it comes back if that copy is none any more.
    fn linked(
        &mut self,
        at: Place,
        row: &'a Row,
        shown: &'a Shown,
        copy: Place,
    ) -> Option<Lacking<'a>> {
        let lacking = |had| Lacking {
            at,
            row,
            shown,
            had,
            put_backs: row.put_backs,
        };
        let target = self.pair.target.as_ref();
        let here = target.filter(|t| t.folder == copy.folder);
        let there = here
            .filter(|t| t.generation == copy.generation)
            .and_then(|t| Some((t, shown_at(t, copy.uid)?)));
        if let Some((target, there)) = there {
            let known = target.rows.get(&copy.uid);
            if known.is_some_and(|known| known.content != row.content) {
                // The right copy is put beside it.
                return Some(lacking(Some((copy, Class::Altered))));
            }
            if known.is_some_and(|known| !known.flags.same(&there.flags)) {
                self.plan.records.push(Record::TargetFlags {
                    target: copy,
                    flags: there.flags.clone(),
                });
            }
            let repair = row.flags.same(&shown.flags);
            self.flags(target.folder, &shown.flags, there, repair);
            return None;
        }
        if here.is_none() && self.scene.is_shown(copy) {
            // A move or a rename was written down, and the copy has not followed it.
            if self.moves(copy) {
                self.move_copy(copy, at);
                return None;
            }
            self.leave_behind(at, copy);
            return Some(Lacking {
                put_backs: 0,
                ..lacking(None)
            });
        }
        Some(lacking(Some((copy, Class::MissingAtStandby))))
    }

    /// A message that was read and has no copy yet; it comes back if it still has none.
    fn unlinked(&mut self, at: Place, row: &'a Row, shown: &'a Shown) -> Option<Lacking<'a>> {
        let mut lacking = Lacking {
            at,
            row,
            shown,
            had: None,
            put_backs: 0,
        };
        if !untouched(row) {
            // It is a message of its own, and its batch was cut off.
            lacking.put_backs = row.put_backs;
        } else if let Some((from, old)) = self.scene.again.get(&at).copied() {
            return self.again(from, old, lacking);
        } else if let Some(from) = self.moved_from(row, at) {
            let copy = self.scene.row_at(from).and_then(|old| old.copy);
            self.found.places.insert(from);
            self.plan.records.push(Record::Moved {
                from,
                to: at,
                folder: self.folder.clone(),
            });
            if let Some(copy) = copy {
                let target = self.pair.target.as_ref();
                if target.is_some_and(|t| t.folder == copy.folder) {
                    // Another UID in the same folder.
                    self.flags_at(copy, &shown.flags);
                    return None;
                }
                if !self.scene.is_shown(copy) {
                    // Lost, or of an ended generation: the next round sees it as this message's own.
                    return None;
                }
                if self.moves(copy) {
                    self.move_copy(copy, at);
                    return None;
                }
                self.leave_behind(at, copy);
            }
        } else if let Some((from, old)) = self.again_undated(row) {
            self.found.places.insert(from);
            return self.again(from, old, lacking);
        } else if let Some(tombstone) = self.tombstone(row) {
            let (id, copy) = (tombstone.id, tombstone.copy);
            self.found.tombstones.insert(id);
            self.plan.records.push(Record::Revive {
                tombstone: id,
                source: at,
                folder: self.folder.clone(),
            });
            if let Some(copy) = copy.filter(|copy| self.scene.is_shown(*copy)) {
                self.adopt(at, copy, shown);
                return None;
            }
        }
        Some(lacking)
    }

    /// Whether a copy can and may be moved on the target.
    fn moves(&self, copy: Place) -> bool {
        let ours = |row: &Row| row.origin == Origin::Written;
        self.scene.view.target_moves && self.scene.row_at(copy).is_some_and(ours)
    }

    fn leave_behind(&mut self, source: Place, copy: Place) {
        let folder = self.scene.view.pairs.iter().find_map(|(name, pair)| {
            let target = pair.target.as_ref()?;
            (target.folder == copy.folder).then(|| name.clone())
        });
        self.plan
            .records
            .extend(folder.map(|folder| Record::LeftBehind {
                source,
                copy,
                folder,
            }));
    }

    /// A message of an ended generation, found again; it comes back if it had no copy.
    fn again(&mut self, from: Place, old: &Row, mut lacking: Lacking<'a>) -> Option<Lacking<'a>> {
        let to = lacking.at;
        self.plan.records.push(Record::SourceAgain { from, to });
        if let Some(copy) = old.copy {
            self.flags_at(copy, &lacking.shown.flags);
            return None;
        }
        lacking.put_backs = old.put_backs;
        Some(lacking)
    }

    /// A row of an ended generation with this content, whatever its date: a restored mailbox may have others.
    fn again_undated(&self, row: &Row) -> Option<(Place, &'a Row)> {
        let side = self.pair.source.as_ref()?;
        let first = (row.content, InternalDate(i64::MIN));
        let last = (row.content, InternalDate(i64::MAX));
        let places = self.scene.vanished.range(first..=last).flat_map(|(_, p)| p);
        places
            .filter(|at| at.folder == side.folder && at.generation != side.generation)
            .find(|at| !self.found.places.contains(at))
            .and_then(|at| Some((*at, row_in(side, *at)?)))
    }

    /// Where a message vanished that is this one: first one that has a copy, and in the same folder.
    fn moved_from(&self, row: &Row, at: Place) -> Option<Place> {
        let places = self.scene.vanished.get(&(row.content, row.date))?;
        places
            .iter()
            .filter(|from| !self.found.places.contains(from))
            .min_by_key(|from| {
                let has_copy = self
                    .scene
                    .row_at(**from)
                    .is_some_and(|row| row.copy.is_some());
                (!has_copy, from.folder != at.folder)
            })
            .copied()
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
        if let Some(there) =
            shown_at(target, copy.uid).filter(|_| target.generation == copy.generation)
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
    fn forget_foreign(&mut self) {
        let Some(target) = &self.pair.target else {
            return;
        };
        let shown = shown_uids(target);
        for uid in target.rows.keys().filter(|uid| !shown.contains(uid)) {
            let at = place(target, *uid);
            if !self.scene.owners.contains_key(&at) {
                self.plan.records.push(Record::Forget { at });
            }
        }
        for (generation, uid) in target.stale.keys() {
            let at = Place {
                folder: target.folder,
                generation: *generation,
                uid: *uid,
            };
            if !self.scene.owners.contains_key(&at) {
                self.plan.records.push(Record::Forget { at });
            }
        }
    }
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
        if let Record::Adopt { source, .. } = record {
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
