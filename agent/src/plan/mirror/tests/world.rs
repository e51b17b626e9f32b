//! Two accounts and a ledger in memory, and an executor that does to them what a plan says and nothing else.
//! It can be cut off between any two of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::*;
use crate::plan::identity::MemberId;
use crate::plan::rest::{Copied, Linked, at_rest};
use crate::plan::view::{Origin, Pair, Row, Shown, Side, Tombstone, add_linked};

/// A message in an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub text: String,
    pub date: i64,
    pub flags: Flags,
}

impl Mail {
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            date: 0,
            flags: Flags::default(),
        }
    }

    pub fn at(mut self, date: i64) -> Self {
        self.date = date;
        self
    }

    pub fn flags(mut self, flags: &str) -> Self {
        self.flags = flags.parse().unwrap();
        self
    }

    pub fn content(&self) -> ContentId {
        ContentId::of(self.text.as_bytes())
    }
}

impl From<&str> for Mail {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// A folder on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub uidvalidity: u32,
    pub uidnext: u32,
    pub mails: BTreeMap<u32, Mail>,
}

/// What the ledger knows of a folder.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub folder: FolderId,
    pub generation: u32,
    pub uidvalidity: u32,
}

/// An account on its server, and what the ledger knows of it.
#[derive(Debug, Clone, Default)]
pub struct Account {
    pub boxes: BTreeMap<String, Mailbox>,
    pub known: BTreeMap<String, Known>,
    pub rows: BTreeMap<Place, Row>,
    first_id: i64,
    next_id: i64,
    next_validity: u32,
}

impl Account {
    fn new(first_id: i64) -> Self {
        Self {
            first_id,
            next_id: first_id,
            ..Self::default()
        }
    }

    fn validity(&mut self) -> u32 {
        self.next_validity += 1;
        self.next_validity
    }

    pub fn make(&mut self, folder: &str) {
        if !self.boxes.contains_key(folder) {
            let uidvalidity = self.validity();
            let empty = Mailbox {
                uidvalidity,
                uidnext: 1,
                mails: BTreeMap::new(),
            };
            self.boxes.insert(folder.to_owned(), empty);
        }
    }

    pub fn deliver(&mut self, folder: &str, mail: impl Into<Mail>) -> u32 {
        self.make(folder);
        let mailbox = self.boxes.get_mut(folder).unwrap();
        let uid = mailbox.uidnext;
        mailbox.uidnext += 1;
        mailbox.mails.insert(uid, mail.into());
        uid
    }

    pub fn delete(&mut self, folder: &str, uid: u32) -> Mail {
        self.boxes
            .get_mut(folder)
            .unwrap()
            .mails
            .remove(&uid)
            .unwrap()
    }

    pub fn mark(&mut self, folder: &str, uid: u32, flags: &str) {
        let mailbox = self.boxes.get_mut(folder).unwrap();
        mailbox.mails.get_mut(&uid).unwrap().flags = flags.parse().unwrap();
    }

    pub fn move_to(&mut self, from: &str, uid: u32, to: &str) -> u32 {
        let mail = self.delete(from, uid);
        self.deliver(to, mail)
    }

    /// A new UIDVALIDITY, the same mail under other UIDs.
    pub fn renumber(&mut self, folder: &str) {
        let uidvalidity = self.validity();
        let mailbox = self.boxes.get_mut(folder).unwrap();
        let mails = std::mem::take(&mut mailbox.mails);
        mailbox.uidvalidity = uidvalidity;
        mailbox.mails = (7..).zip(mails.into_values()).collect();
        mailbox.uidnext = 7 + u32::try_from(mailbox.mails.len()).unwrap();
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        let mailbox = self.boxes.remove(from).unwrap();
        assert!(self.boxes.insert(to.to_owned(), mailbox).is_none());
    }

    fn learn(&mut self) {
        for (name, mailbox) in &self.boxes {
            let known = self.known.entry(name.clone()).or_insert_with(|| {
                self.next_id += 1;
                Known {
                    folder: FolderId(self.next_id),
                    generation: 1,
                    uidvalidity: mailbox.uidvalidity,
                }
            });
            if known.uidvalidity != mailbox.uidvalidity {
                known.uidvalidity = mailbox.uidvalidity;
                known.generation += 1;
            }
        }
    }

    fn side(&self, name: &str, listed: bool) -> Option<Side> {
        let known = self.known.get(name)?;
        let mailbox = self.boxes.get(name);
        let mut side = Side {
            folder: known.folder,
            mailbox: name.to_owned(),
            uidvalidity: known.uidvalidity,
            generation: known.generation,
            shown: Arc::default(),
            rows: BTreeMap::new(),
            stale: BTreeMap::new(),
            gone: mailbox.is_none(),
            unreadable: BTreeSet::new(),
            altered: BTreeMap::new(),
            hinted: false,
        };
        let mails = mailbox.iter().flat_map(|m| &m.mails);
        let shown = mails.map(|(uid, mail)| Shown {
            uid: *uid,
            size: size(mail),
            date: InternalDate(mail.date),
            flags: mail.flags.clone(),
        });
        let mut shown: Vec<Shown> = shown.collect();
        for (at, row) in self.rows.iter().filter(|(at, _)| at.folder == known.folder) {
            if at.generation == known.generation {
                side.rows.insert(at.uid, row.clone());
            } else {
                side.stale.insert((at.generation, at.uid), row.clone());
            }
        }
        if !listed {
            // Then only what the ledger knows is shown.
            shown.retain(|s| side.rows.contains_key(&s.uid));
        }
        side.shown = shown.into();
        Some(side)
    }

    pub fn name_of(&self, folder: FolderId) -> Option<&str> {
        let found = self.known.iter().find(|(_, known)| known.folder == folder);
        found.map(|(name, _)| name.as_str())
    }

    fn place(&self, name: &str, uid: u32) -> Place {
        let known = self.known[name];
        Place {
            folder: known.folder,
            generation: known.generation,
            uid,
        }
    }

    pub fn mail(&self, at: Place) -> Option<&Mail> {
        let name = self.name_of(at.folder)?;
        let current = self.known[name].generation == at.generation;
        self.boxes.get(name).filter(|_| current)?.mails.get(&at.uid)
    }
}

/// Whether a pair is at rest, as the snapshot finds it.
fn rests(pair: &Pair, tombstones: &[Tombstone], refused: &BTreeSet<String>) -> bool {
    let (Some(source), Some(target)) = (&pair.source, &pair.target) else {
        return false;
    };
    let as_known = |side: &Side| {
        let shown = |(uid, row): (&u32, &Row)| Shown {
            uid: *uid,
            size: row.size,
            date: row.date,
            flags: row.flags.clone(),
        };
        let rows: Vec<Shown> = side.rows.iter().map(shown).collect();
        let quarantined = side.rows.values().any(|row| row.quarantined);
        !side.gone && side.stale.is_empty() && !quarantined && *rows == *side.shown
    };
    let here = |copy: &Place| copy.folder == target.folder && copy.generation == target.generation;
    let copied = |row: &Row| {
        let at = row.copy.filter(here)?;
        let copy = target.rows.get(&at.uid)?;
        (copy.content == row.content).then(|| Copied {
            uid: at.uid,
            flags: copy.flags.clone(),
            origin: copy.origin,
        })
    };
    let linked = source.rows.values().map(|row| {
        Ok::<_, std::convert::Infallible>(Linked {
            flags: row.flags.clone(),
            copy: copied(row),
        })
    });
    let buried = tombstones.iter().filter_map(|t| t.copy.filter(here));
    let buried: Vec<u32> = buried.map(|copy| copy.uid).collect();
    as_known(source)
        && as_known(target)
        && at_rest(linked, target.rows.len(), &buried, refused).unwrap()
}

fn size(mail: &Mail) -> u32 {
    u32::try_from(mail.text.len()).unwrap()
}

/// Everything.
#[derive(Debug, Clone)]
pub struct World {
    pub source: Account,
    pub target: Account,
    pub tombstones: Vec<Tombstone>,
    pub moves: bool,
    /// Whether folders that stand where they stood are left out of the view, as the snapshot does.
    pub partial: bool,
    /// Whether all folders of the target have been listed.
    pub whole: bool,
    /// Where all folders stood when there was nothing left to do: whether on the target, and the name.
    stood: BTreeMap<(bool, String), Mailbox>,
    pub refused: BTreeSet<String>,
    pub guard: Guard,
    pub confirmed: Option<String>,
    /// What was appended to the target, in order: folder and text.
    pub sent: Vec<(String, String)>,
    /// What was appended and is not linked yet.
    batch: Vec<(FolderId, ContentId)>,
    buried: i64,
    members: u128,
}

/// The executor was cut off.
#[derive(Debug)]
pub struct Cut;

/// How many more steps the executor may take.
pub struct Budget(pub usize);

impl Budget {
    fn step(&mut self) -> Result<(), Cut> {
        self.0 = self.0.checked_sub(1).ok_or(Cut)?;
        Ok(())
    }
}

impl World {
    pub fn new() -> Self {
        Self {
            source: Account::new(0),
            target: Account::new(100),
            tombstones: Vec::new(),
            moves: true,
            partial: false,
            whole: true,
            stood: BTreeMap::new(),
            refused: BTreeSet::new(),
            guard: Guard::default(),
            confirmed: None,
            sent: Vec::new(),
            batch: Vec::new(),
            buried: 0,
            members: 0,
        }
    }

    /// What the planner sees, without the folders that are at rest.
    pub fn view(&mut self) -> View {
        let mut view = self.whole_view();
        let resting = |pair: &Pair| rests(pair, &view.tombstones, &view.refused_keywords);
        let pairs = view.pairs.iter();
        let mut moved: BTreeSet<LogicalFolder> = pairs
            .filter(|(_, pair)| !resting(pair))
            .map(|(name, _)| name.clone())
            .collect();
        add_linked(&mut moved, &self.links());
        view.pairs.retain(|name, _| moved.contains(name));
        view
    }

    fn whole_view(&mut self) -> View {
        self.source.learn();
        self.target.learn();
        let names: BTreeSet<&String> = self
            .source
            .known
            .keys()
            .chain(self.target.known.keys())
            .collect();
        let logical = |name: &str| LogicalFolder::from_stored(name);
        let mut seen: BTreeSet<LogicalFolder> = names
            .iter()
            .filter(|name| {
                let (from, to) = (self.changed(false, name), self.changed(true, name));
                from || to || !self.target.known.contains_key(**name)
            })
            .map(|name| logical(name))
            .collect();
        add_linked(&mut seen, &self.links());
        let pair = |name: &&String| {
            let pair = Pair {
                source: self.source.side(name, self.changed(false, name)),
                target: self.target.side(name, self.changed(true, name)),
            };
            (logical(name), pair)
        };
        View {
            pop_delete: false,
            pairs: names
                .iter()
                .filter(|name| seen.contains(&logical(name)))
                .map(pair)
                .collect(),
            target_whole: self.whole,
            tombstones: self.tombstones.clone(),
            known_on_source: u64::try_from(self.source.rows.len()).unwrap(),
            target_moves: self.moves,
            equivalent: BTreeSet::new(),
            refused_keywords: self.refused.clone(),
        }
    }

    /// Whether a folder does not stand where it stood, so that it is listed.
    fn changed(&self, target: bool, name: &str) -> bool {
        let account = if target { &self.target } else { &self.source };
        let known = account.known.contains_key(name);
        let stood = self.stood.get(&(target, name.to_owned()));
        let now = account.boxes.get(name);
        known && (!self.partial || target && self.whole || now.is_none() || now != stood)
    }

    /// Folders whose copies lie in another, and that one.
    fn links(&self) -> Vec<(LogicalFolder, LogicalFolder)> {
        let strayed = self.source.rows.iter().filter_map(|(at, row)| {
            let copy = row.copy?;
            let strayed = self.target.rows.get(&copy)?.origin == Origin::Strayed;
            strayed.then_some((self.source.name_of(at.folder)?.to_owned(), copy))
        });
        let buried = self.tombstones.iter();
        let buried = buried.filter_map(|t| Some((t.folder.as_str().to_owned(), t.copy?)));
        strayed
            .chain(buried)
            .filter_map(|(name, copy)| {
                let to = self.target.name_of(copy.folder)?;
                let logical = LogicalFolder::from_stored;
                Some((logical(&name), logical(to)))
            })
            .collect()
    }

    /// A run has come to its end: what stands now need not be listed again.
    pub fn end_run(&mut self) {
        let side = |target, account: &Account| -> Vec<_> {
            let boxes = account.boxes.iter();
            boxes
                .map(|(name, mailbox)| ((target, name.clone()), mailbox.clone()))
                .collect()
        };
        let mut stood = side(false, &self.source);
        stood.extend(side(true, &self.target));
        self.stood = stood.into_iter().collect();
        self.whole = !self.partial;
    }

    pub fn next(&mut self) -> Next {
        let (whole, view) = (self.whole_view(), self.view());
        let plan = |view: &View| {
            let confirmed = self.confirmed.as_deref();
            plan(view, self.guard, History::default(), confirmed)
        };
        let next = plan(&view);
        assert_eq!(next, plan(&whole), "a folder was not at rest: {self:#?}");
        next
    }

    /// Plans and carries out once; what was planned, as text.
    pub fn step(&mut self) -> String {
        let next = self.next();
        let text = self.show(&next);
        self.carry_out(&next, &mut Budget(usize::MAX)).unwrap();
        text
    }

    /// Until nothing is left to do but what is held back; how many plans had something to do.
    pub fn settle(&mut self) -> usize {
        let mut acts = 0;
        for _ in 0..50 {
            let next = self.next();
            if let Next::Act(plan) = &next {
                if plan.is_empty() {
                    self.end_run();
                    return acts;
                }
                acts += 1;
            }
            self.carry_out(&next, &mut Budget(usize::MAX)).unwrap();
        }
        let next = self.next();
        panic!("it never ends:\n{}\n{self:#?}", self.show(&next));
    }

    pub fn carry_out(&mut self, next: &Next, budget: &mut Budget) -> Result<(), Cut> {
        match next {
            Next::Rename(rename) => self.follow_rename(rename, budget),
            Next::Read(read) => self.read(read, budget),
            Next::Look => {
                self.whole = true;
                Ok(())
            }
            Next::Act(plan) => self.act(plan, budget),
        }
    }

    /// The ledger is lost: what the accounts hold is all that is known.
    pub fn lose_ledger(&mut self) {
        self.tombstones.clear();
        self.batch.clear();
        for account in [&mut self.source, &mut self.target] {
            account.rows.clear();
            account.known.clear();
        }
    }

    /// The ledger is lost, and what the store has as present is remembered: as of an ended generation.
    pub fn remember(&mut self) {
        let mut present: Vec<(String, Row)> = Vec::new();
        for (at, row) in &self.source.rows {
            if let (Some(name), Some(_)) = (self.source.name_of(at.folder), row.member) {
                present.push((name.to_owned(), row.clone()));
            }
        }
        self.lose_ledger();
        self.remember_rows(present);
    }

    fn remember_rows(&mut self, forgotten: Vec<(String, Row)>) {
        self.stood.clear();
        self.whole = true;
        self.source.learn();
        for (uid, (name, row)) in (1..).zip(forgotten) {
            let next_id = &mut self.source.next_id;
            let known = self.source.known.entry(name).or_insert_with(|| {
                *next_id += 1;
                Known {
                    folder: FolderId(*next_id),
                    generation: 1,
                    uidvalidity: 0,
                }
            });
            let at = Place {
                folder: known.folder,
                generation: 0,
                uid,
            };
            let row = Row {
                copy: None,
                put_backs: 0,
                quarantined: false,
                ..row
            };
            self.source.rows.insert(at, row);
        }
    }

    /// The ledger as it is now.
    pub fn keep_ledger(&self) -> Self {
        self.clone()
    }

    /// The ledger is as it was when it was kept; with `stored` the store is not, and what that has as present and
    /// the ledger does not know is remembered.
    pub fn restore_ledger(&mut self, kept: &Self, stored: bool) {
        let known: BTreeSet<Option<MemberId>> =
            kept.source.rows.values().map(|r| r.member).collect();
        let forgotten: Vec<(String, Row)> = self
            .source
            .rows
            .iter()
            .filter(|(_, row)| stored && row.member.is_some() && !known.contains(&row.member))
            .filter_map(|(at, row)| Some((self.source.name_of(at.folder)?.to_owned(), row.clone())))
            .collect();
        self.tombstones.clone_from(&kept.tombstones);
        self.batch.clone_from(&kept.batch);
        for (now, then) in [
            (&mut self.source, &kept.source),
            (&mut self.target, &kept.target),
        ] {
            now.rows.clone_from(&then.rows);
            now.known.clone_from(&then.known);
        }
        self.remember_rows(forgotten);
    }

    fn follow_rename(&mut self, rename: &Rename, budget: &mut Budget) -> Result<(), Cut> {
        let to = rename.folder.as_str();
        if let Some(folder) = rename.target {
            let there = rename.now.unwrap_or(folder);
            let old = self.target.name_of(there).unwrap().to_owned();
            if old != to {
                budget.step()?;
                self.target.rename(&old, to);
                // Cut off here the ledger knows nothing of it.
                budget.step()?;
            }
            if there != folder {
                let rows = &self.target.rows;
                assert!(
                    rows.keys().all(|at| at.folder != there),
                    "rows of two folders"
                );
                self.target.known.remove(&old).unwrap();
            }
            let old = self.target.name_of(folder).unwrap().to_owned();
            let known = self.target.known.remove(&old).unwrap();
            self.target.known.insert(to.to_owned(), known);
            for tombstone in &mut self.tombstones {
                if tombstone.copy.is_some_and(|copy| copy.folder == folder) {
                    tombstone.folder = rename.folder.clone();
                }
            }
        }
        let new = self.source.known.remove(to).unwrap();
        assert_eq!(new.folder, rename.to);
        assert!(self.source.rows.keys().all(|at| at.folder != new.folder));
        let old = self.source.name_of(rename.from).unwrap().to_owned();
        let known = self.source.known.remove(&old).unwrap();
        self.source.known.insert(to.to_owned(), known);
        Ok(())
    }

    fn read(&mut self, read: &Read, budget: &mut Budget) -> Result<(), Cut> {
        for (sources, all) in [(false, &read.target), (true, &read.source)] {
            for (folder, uids) in all {
                for uid in uids {
                    budget.step()?;
                    let account = if sources {
                        &mut self.source
                    } else {
                        &mut self.target
                    };
                    let name = account.name_of(*folder).unwrap().to_owned();
                    let at = account.place(&name, *uid);
                    let mail = account.mail(at).unwrap().clone();
                    let ours = self
                        .batch
                        .iter()
                        .position(|b| *b == (*folder, mail.content()))
                        .filter(|_| !sources);
                    let origin = match ours {
                        Some(index) => {
                            self.batch.remove(index);
                            Origin::Written
                        }
                        None => Origin::Foreign,
                    };
                    let account = if sources {
                        &mut self.source
                    } else {
                        &mut self.target
                    };
                    account.rows.insert(at, row(&mail, origin));
                }
            }
        }
        Ok(())
    }

    fn act(&mut self, plan: &Plan, budget: &mut Budget) -> Result<(), Cut> {
        for folder in &plan.create {
            budget.step()?;
            self.target.make(folder.as_str());
            self.target.learn();
        }
        budget.step()?;
        self.enrol(plan);
        for record in &plan.records {
            self.apply(record);
        }
        for step in &plan.moves {
            let from = self.target.name_of(step.from).unwrap().to_owned();
            for (uid, source) in &step.messages {
                budget.step()?;
                let old = self.target.place(&from, *uid);
                let new = self.target.move_to(&from, *uid, step.to.as_str());
                let new = self.target.place(step.to.as_str(), new);
                self.batch
                    .push((new.folder, self.source.rows[source].content));
                budget.step()?;
                self.batch.pop();
                let mut row = self.target.rows.remove(&old).unwrap();
                row.origin = Origin::Written;
                self.target.rows.insert(new, row);
                self.source.rows.get_mut(source).unwrap().copy = Some(new);
            }
        }
        for step in &plan.flags {
            budget.step()?;
            let name = self.target.name_of(step.folder).unwrap().to_owned();
            for uid in &step.uids {
                let mailbox = self.target.boxes.get_mut(&name).unwrap();
                let flags = &mut mailbox.mails.get_mut(uid).unwrap().flags;
                *flags = if step.add {
                    format!("{flags} {}", step.flags).parse().unwrap()
                } else {
                    flags.minus(&step.flags)
                };
            }
        }
        for (folder, copies) in &plan.copies {
            for copy in copies {
                budget.step()?;
                let at = self.source.place(folder.as_str(), copy.uid);
                let mail = self.source.mail(at).unwrap().clone();
                assert_eq!(copy.size, size(&mail));
                let member = Some(self.member());
                let row = Row {
                    member,
                    ..row(&mail, Origin::Foreign)
                };
                let earlier = self.source.rows.insert(at, row);
                assert_eq!(earlier, None, "a message that is known is copied");
                let refused = &self.refused;
                let flags = mail
                    .flags
                    .retain_keywords(|k| !refused.contains(k.as_str()));
                self.append(folder, Mail { flags, ..mail }, at, budget)?;
            }
        }
        for (folder, sends) in &plan.sends {
            for send in sends {
                budget.step()?;
                let mail = self.source.mail(send.source).unwrap();
                assert_eq!(mail.content(), send.content);
                let mail = Mail {
                    text: mail.text.clone(),
                    date: send.date.0,
                    flags: send.flags.clone(),
                };
                self.append(folder, mail, send.source, budget)?;
                if send.repair.is_some() {
                    self.source.rows.get_mut(&send.source).unwrap().put_backs += 1;
                }
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        folder: &LogicalFolder,
        mail: Mail,
        source: Place,
        budget: &mut Budget,
    ) -> Result<(), Cut> {
        let name = folder.as_str();
        assert!(self.target.boxes.contains_key(name), "{name} was not made");
        self.sent.push((name.to_owned(), mail.text.clone()));
        let row = row(&mail, Origin::Written);
        let uid = self.target.deliver(name, mail);
        let copy = self.target.place(name, uid);
        self.batch.push((copy.folder, row.content));
        budget.step()?;
        self.batch.pop();
        self.target.rows.insert(copy, row);
        self.source.rows.get_mut(&source).unwrap().copy = Some(copy);
        Ok(())
    }

    /// Messages that have no place in the store yet get one, but for those that inherit one.
    fn enrol(&mut self, plan: &Plan) {
        let inherits = |at: &Place| {
            plan.records.iter().any(|record| match record {
                Record::SourceAgain { to, .. } | Record::Moved { to, .. } => to == at,
                Record::Revive { source, .. } => source == at,
                _ => false,
            })
        };
        let adopted = plan.records.iter().filter_map(|record| match record {
            Record::Adopt { source, .. } => Some(*source),
            _ => None,
        });
        let sent = plan.sends.values().flatten().map(|send| send.source);
        for at in adopted.chain(sent).filter(|at| !inherits(at)) {
            let member = self.member();
            self.source
                .rows
                .get_mut(&at)
                .unwrap()
                .member
                .get_or_insert(member);
        }
    }

    fn member(&mut self) -> MemberId {
        self.members += 1;
        MemberId(self.members.to_le_bytes())
    }

    /// What the ledger does with a record.
    fn apply(&mut self, record: &Record) {
        let rows = &mut self.source.rows;
        match record {
            Record::SourceAgain { from, to } | Record::Moved { from, to, .. } => {
                let old = rows.remove(from).unwrap();
                let new = rows.get_mut(to).unwrap();
                new.copy = old.copy;
                new.put_backs = old.put_backs;
                new.member = old.member;
            }
            Record::TargetAgain { source, from, to } => {
                rows.get_mut(source).unwrap().copy = Some(*to);
                let old = self.target.rows.remove(from).unwrap();
                self.target.rows.get_mut(to).unwrap().origin = old.origin;
            }
            Record::TombstoneAgain {
                tombstone,
                from,
                to,
            } => {
                let all = &mut self.tombstones;
                all.iter_mut().find(|t| t.id == *tombstone).unwrap().copy = Some(*to);
                self.target.rows.remove(from);
            }
            Record::Adopt { source, copy } => rows.get_mut(source).unwrap().copy = Some(*copy),
            Record::Strayed { source, from, to } => {
                rows.get_mut(source).unwrap().copy = Some(*to);
                self.target.rows.remove(from);
                self.target.rows.get_mut(to).unwrap().origin = Origin::Strayed;
            }
            Record::Placed { copy } => {
                self.target.rows.get_mut(copy).unwrap().origin = Origin::Foreign;
            }
            Record::Revive {
                tombstone, source, ..
            } => {
                let index = self.tombstones.iter().position(|t| t.id == *tombstone);
                let tombstone = self.tombstones.remove(index.unwrap());
                rows.get_mut(source).unwrap().member = Some(tombstone.member);
            }
            Record::Tombstone { source } => {
                let row = rows.remove(source).unwrap();
                let folder = self.source.name_of(source.folder).unwrap().to_owned();
                self.bury(&folder, &row, row.copy, false);
            }
            Record::LeftBehind {
                source,
                copy,
                folder,
            } => {
                let row = rows.get_mut(source).unwrap();
                row.copy = None;
                row.put_backs = 0;
                let row = row.clone();
                self.bury(folder.as_str(), &row, Some(*copy), true);
            }
            Record::ForgetCopy { source, copy } => {
                rows.get_mut(source).unwrap().copy = None;
                self.target.rows.remove(copy);
            }
            Record::Forget { at } => {
                let gone = rows.remove(at).or_else(|| self.target.rows.remove(at));
                assert!(gone.is_some());
            }
            Record::DoesNotStay { source } => {
                let row = rows.get_mut(source).unwrap();
                row.copy = None;
                row.quarantined = true;
            }
            Record::SourceFlags { source, flags } => {
                rows.get_mut(source).unwrap().flags = flags.clone();
            }
            Record::TargetFlags { target, flags } => {
                self.target.rows.get_mut(target).unwrap().flags = flags.clone();
            }
        }
    }

    fn bury(&mut self, folder: &str, row: &Row, copy: Option<Place>, moved: bool) {
        self.buried += 1;
        self.tombstones.push(Tombstone {
            id: self.buried,
            folder: LogicalFolder::from_stored(folder),
            content: row.content,
            size: row.size,
            date: row.date,
            member: row.member.expect("a message that is in the store"),
            copy,
            moved,
        });
    }

    /// A line for each part of a plan. A place is `FOLDER:UID`, with `~` for one of an ended generation.
    pub fn show(&self, next: &Next) -> String {
        let mut out = String::new();
        match next {
            Next::Rename(r) => {
                let target = match r.target {
                    Some(_) => "followed",
                    None => "not followed",
                };
                writeln!(
                    out,
                    "rename {} to {}, {target}",
                    self.folder(r.from),
                    r.folder
                )
                .unwrap();
            }
            Next::Read(read) => {
                for (side, all) in [("source", &read.source), ("target", &read.target)] {
                    for (folder, uids) in all {
                        writeln!(out, "read {side} {} {uids:?}", self.folder(*folder)).unwrap();
                    }
                }
            }
            Next::Look => out.push_str("look\n"),
            Next::Act(plan) => self.show_plan(plan, &mut out).unwrap(),
        }
        if out.is_empty() {
            out.push_str("nothing\n");
        }
        out
    }

    fn show_plan(&self, plan: &Plan, out: &mut String) -> std::fmt::Result {
        for folder in &plan.create {
            writeln!(out, "create {folder}")?;
        }
        for record in &plan.records {
            let p = |at: &Place| self.at(*at);
            match record {
                Record::SourceAgain { from, to } => {
                    writeln!(out, "source again {} is {}", p(from), p(to))
                }
                Record::TargetAgain { source, from, to } => {
                    writeln!(
                        out,
                        "target again {} is {} of {}",
                        p(from),
                        p(to),
                        p(source)
                    )
                }
                Record::TombstoneAgain { from, to, .. } => {
                    writeln!(out, "tombstone again {} is {}", p(from), p(to))
                }
                Record::Moved { from, to, .. } => writeln!(out, "moved {} to {}", p(from), p(to)),
                Record::Adopt { source, copy } => {
                    writeln!(out, "adopt {} of {}", p(copy), p(source))
                }
                Record::Strayed { source, from, to } => {
                    writeln!(out, "strayed {} to {} of {}", p(from), p(to), p(source))
                }
                Record::Placed { copy } => writeln!(out, "placed {}", p(copy)),
                Record::Revive { source, .. } => writeln!(out, "revive {}", p(source)),
                Record::Tombstone { source } => writeln!(out, "tombstone {}", p(source)),
                Record::LeftBehind { source, copy, .. } => {
                    writeln!(out, "left behind {} of {}", p(copy), p(source))
                }
                Record::ForgetCopy { source, copy } => {
                    writeln!(out, "forget {} of {}", p(copy), p(source))
                }
                Record::Forget { at } => writeln!(out, "forget {}", p(at)),
                Record::DoesNotStay { source } => writeln!(out, "does not stay {}", p(source)),
                Record::SourceFlags { source, flags } => {
                    writeln!(
                        out,
                        "source flags {} {flags:?}",
                        p(source),
                        flags = flags.to_string()
                    )
                }
                Record::TargetFlags { target, flags } => {
                    writeln!(
                        out,
                        "target flags {} {flags:?}",
                        p(target),
                        flags = flags.to_string()
                    )
                }
            }?;
        }
        for step in &plan.moves {
            let uids: Vec<u32> = step.messages.iter().map(|(uid, _)| *uid).collect();
            writeln!(
                out,
                "move {} {uids:?} to {}",
                self.folder(step.from),
                step.to
            )?;
        }
        for step in &plan.flags {
            let sign = if step.add { '+' } else { '-' };
            let repair = if step.repair { " repair" } else { "" };
            writeln!(
                out,
                "flags {} {:?} {sign}{}{repair}",
                self.folder(step.folder),
                step.uids,
                step.flags
            )?;
        }
        for (folder, copies) in &plan.copies {
            let uids: Vec<u32> = copies.iter().map(|c| c.uid).collect();
            writeln!(out, "copy {folder} {uids:?}")?;
        }
        for (folder, sends) in &plan.sends {
            for send in sends {
                let repair = send
                    .repair
                    .map(|c| format!(" {}", c.as_str()))
                    .unwrap_or_default();
                writeln!(out, "send {} to {folder}{repair}", self.at(send.source))?;
            }
        }
        if let Some(held) = &plan.held {
            writeln!(out, "held {} of {}", held.messages, held.of)?;
        }
        Ok(())
    }

    fn account(&self, folder: FolderId) -> &Account {
        if folder.0 > self.target.first_id {
            &self.target
        } else {
            &self.source
        }
    }

    fn folder(&self, folder: FolderId) -> &str {
        self.account(folder).name_of(folder).unwrap_or("?")
    }

    fn at(&self, at: Place) -> String {
        let name = self.folder(at.folder);
        let current = self
            .account(at.folder)
            .known
            .get(name)
            .map(|k| k.generation);
        let old = if current == Some(at.generation) {
            ""
        } else {
            "~"
        };
        format!("{name}:{}{old}", at.uid)
    }
}

fn row(mail: &Mail, origin: Origin) -> Row {
    Row {
        content: mail.content(),
        size: size(mail),
        date: InternalDate(mail.date),
        flags: mail.flags.clone(),
        origin,
        member: None,
        copy: None,
        put_backs: 0,
        quarantined: false,
        verified_at: Some(1),
    }
}
