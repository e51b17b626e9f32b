//! What accounts may still move today, and what of a plan fits into that: the newest mail first, then
//! backwards.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::identity::LogicalFolder;
use super::mirror::{Copy, Plan, Read, Send};
use super::view::View;

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

/// Mail that waits for a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages.
    pub messages: u64,
    /// Octets.
    pub bytes: u64,
    /// The message that goes first when there is room.
    pub first: Option<First>,
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

/// Leaves of a plan what fits. Repairs always do: what was put back has been noted as that.
pub fn within(plan: &mut Plan, mut source: Left, mut target: Left) -> Waiting {
    let mut waiting = Waiting::default();
    if !source.is_limited() && !target.is_limited() {
        return waiting;
    }
    let mut all = Vec::new();
    for (folder, copies) in std::mem::take(&mut plan.copies) {
        for copy in copies {
            let order = (Reverse(copy.date), folder.clone(), Reverse(copy.uid));
            all.push((order, Message::Copy(folder.clone(), copy)));
        }
    }
    for (folder, sends) in std::mem::take(&mut plan.sends) {
        for send in sends {
            if send.repair.is_some() {
                target.charge(u64::from(send.size));
                plan.sends.entry(folder.clone()).or_default().push(send);
                continue;
            }
            let order = (Reverse(send.date), folder.clone(), Reverse(send.source.uid));
            all.push((order, Message::Send(folder.clone(), send)));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (_, message) in all {
        let (size, read) = match &message {
            Message::Copy(_, copy) => (u64::from(copy.size), true),
            Message::Send(_, send) => (u64::from(send.size), false),
        };
        // What does not fit lets nothing older pass.
        let fits = (!read || source.fits(size)) && target.fits(size);
        if !waiting.is_empty() || !fits {
            waiting.add(First {
                bytes: size,
                read,
                sent: true,
            });
            continue;
        }
        if read {
            source.charge(size);
        }
        target.charge(size);
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
    waiting
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
        for shown in &side.shown {
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
    use crate::plan::identity::InternalDate;

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

    fn check(source: Left, target: Left, fit: &[(&str, u32)], waiting: (u64, u64)) {
        let mut plan = planned(&[
            ("INBOX", 1, 10, 100),
            ("INBOX", 2, 40, 100),
            ("INBOX", 3, 20, 100),
            ("Other", 1, 30, 250),
        ]);
        let waits = within(&mut plan, source, target);
        let left: Vec<(&str, u32)> = plan
            .copies
            .iter()
            .flat_map(|(folder, copies)| copies.iter().map(|c| (folder.as_str(), c.uid)))
            .collect();
        assert_eq!(left, fit);
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
            let waits = within(&mut plan, Left::of(Some(500), spent), Left::ANY);
            assert_eq!(waits.messages, waiting, "{spent}");
        }
    }
}
