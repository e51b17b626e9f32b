//! What accounts may still move today, and what of a plan fits into that: the newest mail first, then
//! backwards.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::identity::LogicalFolder;
use super::mirror::{Copy, Plan, Read, Record, Send};
use super::room::{Homeless, Room};
use super::view::{Place, View};

/// What an account may still move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Octets; `None` for any number.
    octets: Option<u64>,
    /// Octets of a whole day.
    limit: u64,
}

impl Left {
    /// Any number of octets.
    pub const ANY: Self = Self {
        octets: None,
        limit: u64::MAX,
    };

    /// What is left of a limit, octets in 24 hours, after so many.
    #[must_use]
    pub fn of(limit: Option<u64>, spent: u64) -> Self {
        Self {
            octets: limit.map(|limit| limit.saturating_sub(spent)),
            limit: limit.unwrap_or(u64::MAX),
        }
    }

    /// Whether there is a limit at all.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.octets.is_some()
    }

    /// A message larger than a whole day's budget fits while anything is left: else it would never pass.
    #[must_use]
    pub fn fits(&self, octets: u64) -> bool {
        let fits = |left| octets <= left || octets > self.limit && left > 0;
        self.octets.is_none_or(fits)
    }

    fn charge(&mut self, octets: u64) {
        self.octets = self.octets.map(|left| left.saturating_sub(octets));
    }

    /// Takes octets, if they fit.
    pub fn take(&mut self, octets: u64) -> bool {
        let fits = self.fits(octets);
        if fits {
            self.charge(octets);
        }
        fits
    }
}

/// Mail that waits for a budget, or for room in the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages.
    pub messages: u64,
    /// Octets.
    pub bytes: u64,
    /// The message that goes first when a budget has room.
    pub first: Option<First>,
    /// What of it the target has no room for.
    pub homeless: Homeless,
}

/// What the message that goes first needs room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Its octets.
    pub bytes: u64,
    /// Whether it is read from the source.
    pub read: bool,
    /// Whether it is sent to the target.
    pub sent: bool,
}

impl Waiting {
    /// One more, behind the others.
    pub fn add(&mut self, message: First) {
        self.messages += 1;
        self.bytes += message.bytes;
        self.first = self.first.or(Some(message));
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }
}

enum Message {
    Copy(LogicalFolder, Copy),
    Send(LogicalFolder, Send),
}

/// Leaves of a plan what fits, the newest mail first. What does not fit into a budget lets nothing older pass: it
/// goes when the budget is renewed. What the target has no room for may wait for ever, and stands in nobody's way.
///
/// Repairs are within any budget, since some have been noted as that.
pub fn within(plan: &mut Plan, mut source: Left, mut target: Left, room: &Room) -> Waiting {
    let mut waiting = Waiting::default();
    if !source.is_limited() && !target.is_limited() && !room.is_limited() {
        return waiting;
    }
    let mut room = room.clone();
    let mut homeless = keep_repairs(plan, &mut target, &mut room);
    for message in newest_first(plan) {
        let (folder, size, read) = match &message {
            Message::Copy(folder, copy) => (folder, u64::from(copy.size), true),
            Message::Send(folder, send) => (folder, u64::from(send.size), false),
        };
        let sent = room.takes(folder, size);
        let fits = (!read || source.fits(size)) && (!sent || target.fits(size));
        if waiting.first.is_some() || !fits {
            waiting.add(First {
                bytes: size,
                read,
                sent,
            });
            continue;
        }
        if !room.take(folder, size) {
            homeless.push(size);
            continue;
        }
        if read {
            source.charge(size);
        }
        if sent {
            target.charge(size);
        }
        match message {
            Message::Copy(folder, copy) => plan.copies.entry(folder).or_default().push(copy),
            Message::Send(folder, send) => plan.sends.entry(folder).or_default().push(send),
        }
    }
    for copies in plan.copies.values_mut() {
        copies.sort_by_key(|copy| copy.uid);
    }
    for sends in plan.sends.values_mut() {
        sends.sort_by_key(|send| send.source);
    }
    let messages = u64::try_from(homeless.len()).unwrap_or(u64::MAX);
    waiting.homeless = Homeless::of(messages, homeless.iter().sum(), &room);
    waiting.messages += messages;
    waiting.bytes += waiting.homeless.bytes;
    waiting
}

/// Takes all but the repairs that there is room for out of a plan: the octets of those that there is none for. That
/// their copies are gone is not written down then, so that the next run puts them back.
fn keep_repairs(plan: &mut Plan, target: &mut Left, room: &mut Room) -> Vec<u64> {
    let (mut homeless, mut withheld) = (Vec::new(), BTreeSet::<Place>::new());
    for (folder, sends) in &mut plan.sends {
        sends.retain(|send| {
            let size = u64::from(send.size);
            if send.repair.is_none() {
                return true;
            }
            let fits = room.take(folder, size);
            if fits {
                target.charge(size);
            } else {
                homeless.push(size);
                withheld.insert(send.source);
            }
            fits
        });
    }
    plan.records.retain(
        |record| !matches!(record, Record::ForgetCopy { source, .. } if withheld.contains(source)),
    );
    let count = u64::try_from(withheld.len()).unwrap_or(u64::MAX);
    plan.lost.put_back = plan.lost.put_back.saturating_sub(count);
    homeless
}

/// Takes what is no repair out of a plan.
fn newest_first(plan: &mut Plan) -> Vec<Message> {
    let mut all = Vec::new();
    for (folder, copies) in std::mem::take(&mut plan.copies) {
        for copy in copies {
            let order = (Reverse(copy.date), folder.clone(), Reverse(copy.uid));
            all.push((order, Message::Copy(folder.clone(), copy)));
        }
    }
    for (folder, sends) in &mut plan.sends {
        for send in sends.extract_if(.., |send| send.repair.is_none()) {
            let order = (Reverse(send.date), folder.clone(), Reverse(send.source.uid));
            all.push((order, Message::Send(folder.clone(), send)));
        }
    }
    plan.sends.retain(|_, sends| !sends.is_empty());
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.into_iter().map(|(_, message)| message).collect()
}

/// Leaves of what is to be read from the source what fits.
pub fn read_within(read: &mut Read, view: &View, mut source: Left) -> Waiting {
    let mut waiting = Waiting::default();
    if !source.is_limited() {
        return waiting;
    }
    let mut all = Vec::new();
    for side in view.pairs.values().filter_map(|pair| pair.source.as_ref()) {
        let Some(uids) = read.source.remove(&side.folder) else {
            continue;
        };
        let wanted = side
            .shown
            .iter()
            .filter(|shown| uids.binary_search(&shown.uid).is_ok());
        all.extend(wanted.map(|s| (Reverse(s.date), side.folder, s.uid, u64::from(s.size))));
    }
    all.sort();
    for (_, folder, uid, size) in all {
        if waiting.is_empty() && source.take(size) {
            read.source.entry(folder).or_default().push(uid);
        } else {
            waiting.add(First {
                bytes: size,
                read: true,
                sent: false,
            });
        }
    }
    for uids in read.source.values_mut() {
        uids.sort_unstable();
    }
    waiting
}

/// What waits where reading has to wait before anything can be decided: all that has not been read, and what has no
/// copy, unless it was moved and its copy is only to be followed. `first` is what is read first.
#[must_use]
pub fn undecided(view: &View, first: Option<First>) -> Waiting {
    let sides = || view.pairs.values().filter_map(|pair| pair.source.as_ref());
    let mut moved = BTreeSet::new();
    for side in sides() {
        let shown: BTreeSet<u32> = side.shown.iter().map(|shown| shown.uid).collect();
        let gone = side.rows.iter().filter(|(uid, _)| !shown.contains(uid));
        let gone = gone.map(|(_, row)| row).chain(side.stale.values());
        moved.extend(gone.map(|row| row.content));
    }
    let mut waiting = Waiting {
        first,
        ..Waiting::default()
    };
    for side in sides() {
        for shown in side.shown.iter() {
            let waits = match side.rows.get(&shown.uid) {
                None => !side.unreadable.contains(&shown.uid),
                Some(row) => {
                    row.copy.is_none() && !row.quarantined && !moved.contains(&row.content)
                }
            };
            if waits {
                waiting.add(First {
                    bytes: u64::from(shown.size),
                    read: true,
                    sent: false,
                });
            }
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::guard::Lost;
    use crate::plan::identity::{ContentId, Flags, InternalDate};
    use crate::plan::view::FolderId;
    use maildreieck_api_spec::vocabulary::Class;

    /// Copies as (folder, UID, date, size).
    fn planned(copies: &[(&str, u32, i64, u32)]) -> Plan {
        let mut plan = Plan::default();
        for (folder, uid, date, size) in copies {
            let copies = plan.copies.entry(LogicalFolder::from_stored(folder));
            copies.or_default().push(Copy {
                uid: *uid,
                size: *size,
                date: InternalDate(*date),
            });
        }
        plan
    }

    fn four() -> Plan {
        planned(&[
            ("INBOX", 1, 10, 100),
            ("INBOX", 2, 40, 100),
            ("INBOX", 3, 20, 100),
            ("Other", 1, 30, 250),
        ])
    }

    /// What is left of a plan, by folder and UID.
    fn left(plan: &Plan) -> Vec<(&str, u32)> {
        let copies = plan.copies.iter();
        let uids = copies.flat_map(|(f, copies)| copies.iter().map(|c| (f.as_str(), c.uid)));
        uids.collect()
    }

    fn check(source: Left, target: Left, fit: &[(&str, u32)], waiting: (u64, u64)) {
        let mut plan = four();
        let waits = within(&mut plan, source, target, &Room::default());
        assert_eq!(left(&plan), fit);
        assert_eq!((waits.messages, waits.bytes), waiting);
        // The newest of what waits goes first.
        let sizes = [(2, 100), (1, 250), (3, 100), (1, 100)];
        let first = sizes.get(fit.len()).map(|(_, bytes)| First {
            bytes: *bytes,
            read: true,
            sent: true,
        });
        assert_eq!(waits.first, first);
    }

    #[test]
    fn the_newest_comes_first_and_nothing_older_passes_by() {
        let all = [("INBOX", 1), ("INBOX", 2), ("INBOX", 3), ("Other", 1)];
        check(Left::ANY, Left::ANY, &all, (0, 0));
        check(Left::of(Some(550), 0), Left::ANY, &all, (0, 0));
        let three = [("INBOX", 2), ("INBOX", 3), ("Other", 1)];
        check(Left::of(Some(549), 0), Left::ANY, &three, (1, 100));
        check(Left::ANY, Left::of(Some(549), 0), &three, (1, 100));
        // 100 octets are left, and two messages would fit but for the one in between.
        check(
            Left::of(Some(300), 100),
            Left::ANY,
            &[("INBOX", 2)],
            (3, 450),
        );
        check(Left::of(Some(600), 600), Left::ANY, &[], (4, 550));
    }

    #[test]
    fn one_message_larger_than_the_budget_passes_while_anything_is_left() {
        for (spent, waiting) in [(0, 1), (499, 1), (500, 2), (900, 2)] {
            let mut plan = planned(&[("INBOX", 1, 10, 900), ("INBOX", 2, 9, 1)]);
            let waits = within(
                &mut plan,
                Left::of(Some(500), spent),
                Left::ANY,
                &Room::default(),
            );
            assert_eq!(waits.messages, waiting, "{spent}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_stands_in_nobodys_way() {
        let check = |octets, messages, fit: &[(&str, u32)], lacks: (u64, u64)| {
            let room = Room {
                octets,
                messages,
                ..Room::default()
            };
            let mut plan = four();
            let waits = within(&mut plan, Left::ANY, Left::ANY, &room);
            assert_eq!(left(&plan), fit);
            let homeless = waits.homeless;
            assert_eq!((homeless.lacks_bytes, homeless.lacks_messages), lacks);
            assert_eq!(homeless.messages, waits.messages);
            assert_eq!(waits.first, None);
        };
        let all = [("INBOX", 1), ("INBOX", 2), ("INBOX", 3), ("Other", 1)];
        check(Some(550), Some(4), &all, (0, 0));
        check(
            Some(549),
            None,
            &[("INBOX", 2), ("INBOX", 3), ("Other", 1)],
            (1, 0),
        );
        // 250 octets do not fit, and what is older does.
        check(
            Some(310),
            None,
            &[("INBOX", 1), ("INBOX", 2), ("INBOX", 3)],
            (240, 0),
        );
        check(None, Some(1), &[("INBOX", 2)], (0, 3));
        check(Some(0), Some(0), &[], (550, 4));
    }

    #[test]
    fn a_message_that_is_not_sent_needs_no_room() {
        let room = Room {
            octets: Some(300),
            largest: Some(249),
            largest_in: [(LogicalFolder::from_stored("INBOX"), 100)].into(),
            ..Room::default()
        };
        let mut plan = four();
        let waits = within(&mut plan, Left::ANY, Left::of(Some(300), 0), &room);
        assert!(waits.is_empty());
        assert_eq!(left(&plan).len(), 4);
        assert!(room.takes(&LogicalFolder::from_stored("Other"), 249));
        assert!(!room.takes(&LogicalFolder::from_stored("INBOX"), 101));
    }

    #[test]
    fn a_repair_that_there_is_no_room_for_is_as_if_it_had_not_been_seen() {
        let at = |folder, uid| Place {
            folder: FolderId(folder),
            generation: 0,
            uid,
        };
        let send = |uid, size| Send {
            source: at(1, uid),
            content: ContentId::of(b"x"),
            size,
            date: InternalDate(0),
            flags: Flags::default(),
            repair: Some(Class::MissingAtStandby),
        };
        let forget = |uid| Record::ForgetCopy {
            source: at(1, uid),
            copy: at(2, uid),
        };
        let inbox = LogicalFolder::from_stored("INBOX");
        let mut plan = Plan {
            records: vec![forget(1), forget(2)],
            sends: [(inbox.clone(), vec![send(1, 100), send(2, 50)])].into(),
            lost: Lost {
                vanished: 0,
                put_back: 2,
            },
            ..Plan::default()
        };
        let room = Room {
            octets: Some(60),
            ..Room::default()
        };
        let waits = within(&mut plan, Left::ANY, Left::ANY, &room);
        assert_eq!((waits.messages, waits.homeless.lacks_bytes), (1, 90));
        assert_eq!(plan.records, [forget(2)]);
        assert_eq!(plan.sends[&inbox], [send(2, 50)]);
        assert_eq!(plan.lost.put_back, 1);
    }
}
