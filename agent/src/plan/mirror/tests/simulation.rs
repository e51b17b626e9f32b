//! Random histories of two accounts: whatever happens, and wherever a run is cut off, a few rounds bring the
//! target to what the source holds, nothing is sent twice, nothing goes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::world::{Budget, Mail, World};
use super::*;
use crate::plan::view::Origin;

const FOLDERS: [&str; 4] = ["INBOX", "A", "A/B", "\\Sent"];
/// Where others put mail on the target.
const ON_TARGET: [&str; 6] = ["INBOX", "A", "A/B", "\\Sent", "Else", "Other"];
/// Few texts, so that equal copies are ordinary, two of them of one size.
const TEXTS: [&str; 5] = ["x", "y", "longer", "other!", "the longest of all"];
const FLAGS: [&str; 4] = ["", "\\Seen", "\\Seen work", "\\Flagged"];

#[derive(Debug, Clone)]
enum Event {
    Deliver(usize, usize, i64),
    Delete(Index),
    Move(Index, usize),
    Mark(Index, usize),
    Renumber(usize),
    Rename(usize, usize),
    DropFolder(usize),
    TargetDeliver(usize, usize),
    TargetDelete(Index),
    TargetMark(Index, usize),
    TargetRenumber(usize),
    TargetDropFolder(usize),
    TargetMove(Index, usize),
    TargetRename(usize, usize),
    /// The ledger is lost, and what it was is remembered from the store.
    LoseLedger,
    /// The ledger is kept, or is again as it was kept last; the store is not with `true`.
    KeepLedger,
    RestoreLedger(bool),
    /// A run that is cut off after so many steps.
    Run(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let folder = || 0..FOLDERS.len();
    let index = any::<Index>;
    prop_oneof![
        6 => (folder(), 0..TEXTS.len(), 0..3i64).prop_map(|(f, t, d)| Event::Deliver(f, t, d)),
        2 => index().prop_map(Event::Delete),
        3 => (index(), folder()).prop_map(|(i, f)| Event::Move(i, f)),
        2 => (index(), 0..FLAGS.len()).prop_map(|(i, f)| Event::Mark(i, f)),
        1 => folder().prop_map(Event::Renumber),
        1 => (folder(), folder()).prop_map(|(a, b)| Event::Rename(a, b)),
        1 => folder().prop_map(Event::DropFolder),
        1 => (folder(), 0..TEXTS.len()).prop_map(|(f, t)| Event::TargetDeliver(f, t)),
        1 => index().prop_map(Event::TargetDelete),
        1 => (index(), 0..FLAGS.len()).prop_map(|(i, f)| Event::TargetMark(i, f)),
        1 => folder().prop_map(Event::TargetRenumber),
        1 => folder().prop_map(Event::TargetDropFolder),
        3 => (index(), 0..ON_TARGET.len()).prop_map(|(i, f)| Event::TargetMove(i, f)),
        1 => (0..ON_TARGET.len(), 0..ON_TARGET.len()).prop_map(|(a, b)| Event::TargetRename(a, b)),
        1 => Just(Event::LoseLedger),
        1 => Just(Event::KeepLedger),
        1 => any::<bool>().prop_map(Event::RestoreLedger),
        6 => (0..12usize).prop_map(Event::Run),
    ]
}

/// Messages by folder and text.
type Counts = BTreeMap<(String, String), usize>;

fn counts(world: &super::world::Account) -> Counts {
    let mut counts = Counts::new();
    for (folder, mailbox) in &world.boxes {
        for mail in mailbox.mails.values() {
            *counts
                .entry((folder.clone(), mail.text.clone()))
                .or_default() += 1;
        }
    }
    counts
}

fn by_text<'a>(all: impl Iterator<Item = (&'a str, usize)>) -> BTreeMap<String, usize> {
    let mut sums = BTreeMap::new();
    for (text, count) in all {
        *sums.entry(text.to_owned()).or_default() += count;
    }
    sums
}

fn texts(account: &super::world::Account) -> BTreeMap<String, usize> {
    let counts = counts(account);
    by_text(counts.iter().map(|((_, text), n)| (text.as_str(), *n)))
}

struct Run {
    world: World,
    /// A world of which the ledger is.
    kept: Option<World>,
    /// What was ever delivered to the source, by text.
    delivered: BTreeMap<String, usize>,
    /// What others did to the target: mail they put there, mail they deleted.
    foreign: BTreeMap<String, usize>,
    deleted: BTreeMap<String, usize>,
    /// Copies that they moved before it was known whose they are.
    unknown: BTreeMap<String, usize>,
}

fn pick(account: &super::world::Account, index: &Index) -> Option<(String, u32)> {
    let all: Vec<(String, u32)> = account
        .boxes
        .iter()
        .flat_map(|(name, mailbox)| mailbox.mails.keys().map(|uid| (name.clone(), *uid)))
        .collect();
    (!all.is_empty()).then(|| index.get(&all).clone())
}

impl Run {
    fn new(moves: bool, partial: bool) -> Self {
        let mut world = World::new();
        world.moves = moves;
        world.partial = partial;
        world.whole = !partial;
        // What the guard holds is tested for itself.
        world.guard.min_messages = u64::MAX;
        Self {
            world,
            kept: None,
            delivered: BTreeMap::new(),
            foreign: BTreeMap::new(),
            deleted: BTreeMap::new(),
            unknown: BTreeMap::new(),
        }
    }

    fn happen(&mut self, event: &Event) {
        let w = &mut self.world;
        match event {
            Event::Deliver(folder, text, date) => {
                w.source
                    .deliver(FOLDERS[*folder], Mail::new(TEXTS[*text]).at(*date));
                *self.delivered.entry(TEXTS[*text].to_owned()).or_default() += 1;
            }
            Event::Delete(index) => {
                if let Some((folder, uid)) = pick(&w.source, index) {
                    w.source.delete(&folder, uid);
                }
            }
            Event::Move(index, to) => {
                if let Some((folder, uid)) = pick(&w.source, index) {
                    w.source.move_to(&folder, uid, FOLDERS[*to]);
                }
            }
            Event::Mark(index, flags) => {
                if let Some((folder, uid)) = pick(&w.source, index) {
                    w.source.mark(&folder, uid, FLAGS[*flags]);
                }
            }
            Event::Renumber(folder) => {
                if w.source.boxes.contains_key(FOLDERS[*folder]) {
                    w.source.renumber(FOLDERS[*folder]);
                }
            }
            Event::Rename(from, to) => {
                let (from, to) = (FOLDERS[*from], FOLDERS[*to]);
                if w.source.boxes.contains_key(from) && !w.source.boxes.contains_key(to) {
                    w.source.rename(from, to);
                }
            }
            Event::DropFolder(folder) => {
                w.source.boxes.remove(FOLDERS[*folder]);
            }
            Event::TargetDeliver(folder, text) => {
                w.target.deliver(FOLDERS[*folder], TEXTS[*text]);
                *self.foreign.entry(TEXTS[*text].to_owned()).or_default() += 1;
            }
            Event::TargetDelete(index) => {
                if let Some((folder, uid)) = pick(&w.target, index) {
                    let mail = w.target.delete(&folder, uid);
                    *self.deleted.entry(mail.text).or_default() += 1;
                }
            }
            Event::TargetMark(index, flags) => {
                if let Some((folder, uid)) = pick(&w.target, index) {
                    w.target.mark(&folder, uid, FLAGS[*flags]);
                }
            }
            Event::TargetRenumber(folder) => {
                if w.target.boxes.contains_key(FOLDERS[*folder]) {
                    w.target.renumber(FOLDERS[*folder]);
                }
            }
            Event::TargetDropFolder(folder) => {
                if let Some(mailbox) = w.target.boxes.remove(FOLDERS[*folder]) {
                    for mail in mailbox.mails.into_values() {
                        *self.deleted.entry(mail.text).or_default() += 1;
                    }
                }
            }
            Event::TargetMove(index, to) => {
                if let Some((folder, uid)) = pick(&w.target, index) {
                    self.note_unknown(&folder, Some(uid));
                    self.world.target.move_to(&folder, uid, ON_TARGET[*to]);
                }
            }
            Event::TargetRename(from, to) => {
                let (from, to) = (ON_TARGET[*from], ON_TARGET[*to]);
                if w.target.boxes.contains_key(from) && !w.target.boxes.contains_key(to) {
                    self.note_unknown(from, None);
                    self.world.target.rename(from, to);
                }
            }
            Event::LoseLedger => {
                // Of copies that were not where their messages were nobody knows any more whose they are.
                let rows = w.source.rows.iter();
                let astray = rows.filter_map(|(at, row)| {
                    let copy = row.copy?;
                    let there = w.target.name_of(copy.folder);
                    let same = |mail: &Mail| mail.content() == row.content;
                    let here = w.target.mail(copy).is_some_and(same)
                        && there == w.source.name_of(at.folder);
                    (!here).then_some(row.content)
                });
                let left = w.tombstones.iter().filter(|t| t.moved);
                for content in astray.chain(left.map(|t| t.content)) {
                    let is = |text: &&&str| Mail::new(text).content() == content;
                    let text = TEXTS.iter().find(is).unwrap();
                    *self.unknown.entry((*text).to_owned()).or_default() += 1;
                }
                w.remember();
            }
            Event::KeepLedger => self.kept = Some(w.keep_ledger()),
            Event::RestoreLedger(stored) => {
                if let Some(kept) = &self.kept {
                    // Of what it did since nobody knows any more, but for renames.
                    let before = &kept.source.rows;
                    let told = |(at, row): &(&Place, &super::super::super::view::Row)| {
                        before.get(at).is_some_and(|b| b.copy == row.copy)
                    };
                    let rows = w.source.rows.iter().filter(|row| !told(row));
                    let since: Vec<ContentId> = rows.map(|(_, row)| row.content).collect();
                    let buried = w.tombstones.iter().map(|t| t.content);
                    for content in since.into_iter().chain(buried) {
                        let is = |text: &&&str| Mail::new(text).content() == content;
                        let text = TEXTS.iter().find(is).unwrap();
                        *self.unknown.entry((*text).to_owned()).or_default() += 1;
                    }
                    w.restore_ledger(kept, *stored);
                }
            }
            Event::Run(steps) => {
                let mut budget = Budget(*steps);
                loop {
                    let next = w.next();
                    if matches!(&next, Next::Act(plan) if plan.is_empty()) {
                        w.end_run();
                        break;
                    }
                    if w.carry_out(&next, &mut budget).is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Counts copies that nothing points at.
    fn note_unknown(&mut self, folder: &str, only: Option<u32>) {
        let w = &self.world;
        let known = w.target.known.get(folder);
        let linked: BTreeSet<Place> = w
            .source
            .rows
            .values()
            .filter_map(|row| row.copy)
            .chain(w.tombstones.iter().filter_map(|t| t.copy))
            .collect();
        let mailbox = &w.target.boxes[folder];
        let linked = |uid: u32| {
            known.is_some_and(|known| {
                linked.contains(&Place {
                    folder: known.folder,
                    generation: known.generation,
                    uid,
                }) && known.uidvalidity == mailbox.uidvalidity
            })
        };
        for (uid, mail) in &mailbox.mails {
            // Of two equal ones neither is known while one is not.
            let mut twins = mailbox
                .mails
                .iter()
                .filter(|(_, twin)| twin.text == mail.text);
            let unknown = twins.any(|(uid, _)| !linked(*uid));
            if only.is_none_or(|only| only == *uid) && unknown {
                *self.unknown.entry(mail.text.clone()).or_default() += 1;
            }
        }
    }

    /// What was sent, by text.
    fn sent(&self) -> BTreeMap<String, usize> {
        by_text(self.world.sent.iter().map(|(_, text)| (text.as_str(), 1)))
    }

    fn check(&mut self) {
        let acts = self.world.settle();
        assert!(acts <= 6, "{acts} rounds");
        let w = &self.world;
        // Every message of the source has its own copy in the same folder, but for what does not stay.
        let mut copies = BTreeSet::new();
        let mut members = BTreeSet::new();
        for (folder, mailbox) in &w.source.boxes {
            let known = w.source.known[folder];
            for (uid, mail) in &mailbox.mails {
                let at = Place {
                    folder: known.folder,
                    generation: known.generation,
                    uid: *uid,
                };
                let row = &w.source.rows[&at];
                assert_eq!(row.content, mail.content());
                let member = row.member.expect("a place in the store");
                assert!(
                    members.insert(member),
                    "two messages share a place in the store"
                );
                if row.quarantined {
                    continue;
                }
                let copy = row.copy.expect("a copy");
                assert!(copies.insert(copy), "two messages share a copy");
                if w.target.name_of(copy.folder) != Some(folder.as_str()) {
                    let there = w.target.name_of(copy.folder).unwrap();
                    assert_eq!(w.target.rows[&copy].origin, Origin::Strayed);
                    assert_eq!(w.target.known[there].generation, copy.generation);
                    let there = &w.target.boxes[there].mails[&copy.uid];
                    assert_eq!(there.text, mail.text);
                    continue;
                }
                assert_eq!(w.target.known[folder].generation, copy.generation);
                let there = &w.target.boxes[folder].mails[&copy.uid];
                assert_eq!((&there.text, &there.flags), (&mail.text, &mail.flags));
            }
        }
        // Nothing went from the target but what others deleted.
        let there = texts(&w.target);
        for text in TEXTS {
            let of = |map: &BTreeMap<String, usize>| map.get(text).copied().unwrap_or_default();
            let all = of(&self.foreign) + of(&self.sent()) - of(&self.deleted);
            assert_eq!(of(&there), all, "{text}");
        }
    }

    /// Nothing was sent twice: a message once, once more for each copy that others deleted, and once more for
    /// each that was left behind.
    fn check_sent(&self, left_behind: bool) {
        let sent = self.sent();
        let left = self.world.tombstones.iter().filter(|t| t.moved);
        let left: Vec<ContentId> = left.map(|t| t.content).collect();
        assert!(left_behind || left.is_empty(), "{} left behind", left.len());
        for text in TEXTS {
            let of = |map: &BTreeMap<String, usize>| map.get(text).copied().unwrap_or_default();
            let content = Mail::new(text).content();
            let left = left.iter().filter(|left| **left == content).count();
            let allowed = of(&self.delivered) + of(&self.deleted) + of(&self.unknown) + left;
            assert!(of(&sent) <= allowed, "{text}: {} > {allowed}", of(&sent));
        }
    }
}

proptest! {
    // PROPTEST_CASES says how many, if not 256.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_converges(
        events in proptest::collection::vec(event(), 1..40),
        moves in any::<bool>(),
        partial in any::<bool>(),
    ) {
        let mut run = Run::new(moves, partial);
        for event in &events {
            run.happen(event);
        }
        run.check();
        run.check_sent(true);
    }

    /// A target that can move, and holds nothing that others put there: then nothing is left behind either.
    #[test]
    fn nothing_is_sent_twice(
        events in proptest::collection::vec(event(), 1..40),
        partial in any::<bool>(),
        strangers in any::<bool>(),
    ) {
        let mut run = Run::new(true, partial);
        for event in &events {
            let others = matches!(event, Event::TargetDeliver(..) | Event::TargetRenumber(_));
            let moves = matches!(event, Event::TargetMove(..) | Event::TargetRename(..));
            let others = others || !strangers && moves;
            if !others {
                run.happen(event);
            }
        }
        run.check();
        run.check_sent(false);
    }
}
