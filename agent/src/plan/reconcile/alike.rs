//! What a folder holds alike in all three corners. It is counted and then let go, so that comparing takes the memory
//! and the time of what is not alike.
//!
//! Of a content either all is set aside or nothing: only where each corner has it equally often, with the same dates and
//! flags, all of it there at the cut. So no pass of the matching misses what was set aside. A pass that goes by content
//! finds all that has the same one in the folder or nothing, and in other folders only what has found no partner in its
//! own; the one that goes by a copy's UID takes none that has a partner.

use std::cmp::Ordering;

use super::matching::of_the_cut;
use super::{Corners, Entry};

impl Corners {
    /// Takes what is alike out of the corners of one folder, and says each message: as it is on the primary, on the
    /// standby and in the store.
    pub fn set_aside(&mut self, mut each: impl FnMut([&Entry; 3])) {
        let mut aside =
            [&self.primary, &self.standby, &self.store].map(|entries| vec![false; entries.len()]);
        let primary = sorted(&self.primary);
        let standby = sorted(&self.standby);
        let store = sorted(&self.store);
        let mut at_standby = Groups(&standby);
        let mut in_store = Groups(&store);
        for here in primary.chunk_by(same_content) {
            let Some((_, first)) = here.first() else {
                continue;
            };
            let there = at_standby.of(first);
            let stored = in_store.of(first);
            let alike = here.len() == there.len()
                && here.len() == stored.len()
                && here.iter().zip(there).zip(stored).all(|((p, s), t)| {
                    let all_there = [p, s, t].iter().all(|(_, entry)| of_the_cut(entry));
                    all_there && order(p.1, s.1).is_eq() && order(p.1, t.1).is_eq()
                });
            if !alike {
                continue;
            }
            for ((p, s), t) in here.iter().zip(there).zip(stored) {
                each([p.1, s.1, t.1]);
                for (aside, (index, _)) in aside.iter_mut().zip([p, s, t]) {
                    if let Some(aside) = aside.get_mut(*index) {
                        *aside = true;
                    }
                }
            }
        }
        let corners = [&mut self.primary, &mut self.standby, &mut self.store];
        for (entries, aside) in corners.into_iter().zip(&aside) {
            let mut aside = aside.iter();
            entries.retain(|_| aside.next() == Some(&false));
            entries.shrink_to_fit();
        }
    }

    /// Adds the entries of another folder.
    pub fn append(&mut self, mut folder: Self) {
        self.primary.append(&mut folder.primary);
        self.standby.append(&mut folder.standby);
        self.store.append(&mut folder.store);
    }

    /// Whether no corner has an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.primary.is_empty() && self.standby.is_empty() && self.store.is_empty()
    }
}

type Numbered<'a> = (usize, &'a Entry);

/// The entries of a folder with their places, by content, date and flags.
fn sorted(entries: &[Entry]) -> Vec<Numbered<'_>> {
    let mut sorted: Vec<Numbered<'_>> = entries.iter().enumerate().collect();
    sorted.sort_unstable_by(|a, b| order(a.1, b.1).then(a.0.cmp(&b.0)));
    sorted
}

fn order(a: &Entry, b: &Entry) -> Ordering {
    let flags = || {
        if a.flags == b.flags {
            Ordering::Equal
        } else {
            a.flags.folded().cmp(&b.flags.folded())
        }
    };
    let date = || a.date.cmp(&b.date);
    a.content.cmp(&b.content).then_with(date).then_with(flags)
}

fn same_content(a: &Numbered<'_>, b: &Numbered<'_>) -> bool {
    a.1.content == b.1.content
}

/// Sorted entries that are gone through by content, once.
struct Groups<'a>(&'a [Numbered<'a>]);

impl<'a> Groups<'a> {
    /// The entries with the content of `wanted`; what sorts before them is passed by.
    fn of(&mut self, wanted: &Entry) -> &'a [Numbered<'a>] {
        let count = |goes: fn(Ordering) -> bool, list: &[Numbered<'a>]| {
            let cmp = |(_, entry): &Numbered<'a>| entry.content.cmp(&wanted.content);
            list.iter().take_while(|entry| goes(cmp(entry))).count()
        };
        let before = count(Ordering::is_lt, self.0);
        let (_, rest) = self.0.split_at_checked(before).unwrap_or_default();
        let (found, rest) = rest
            .split_at_checked(count(Ordering::is_eq, rest))
            .unwrap_or_default();
        self.0 = rest;
        found
    }
}
