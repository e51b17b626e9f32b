//! A folder that was renamed on the source: whether it was, and whether the target's may be renamed with it.

use super::Rename;
use super::scene::{Scene, place};
use crate::plan::identity::LogicalFolder;
use crate::plan::view::{Origin, Pair, Shown, Side, View};

/// A source folder that is gone while a new one has its UIDVALIDITY and its messages.
pub(super) fn renamed<'a>(scene: &Scene<'a>) -> Option<(&'a LogicalFolder, Rename)> {
    let view: &'a View = scene.view;
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
                // What somebody moved there would move along.
                let of_us = |s: &Shown| {
                    let owned = scene.owners.contains_key(&place(side, s.uid));
                    side.rows.get(&s.uid).is_some_and(|row| {
                        row.origin == Origin::Written || owned && row.origin != Origin::Strayed
                    })
                };
                !side.gone && side.shown.iter().all(of_us)
            };
            // What lies below it moves along on the target, so it must have moved along on the source, and be
            // ours.
            let below = |(below, pair): (&LogicalFolder, &'a Pair)| {
                let rest = below.as_str().strip_prefix(old_name.as_str())?;
                rest.starts_with('/').then_some((rest.to_owned(), pair))
            };
            let moved_along = |(rest, pair): (String, &Pair)| {
                let there = LogicalFolder::from_stored(&format!("{name}{rest}"));
                let there = view.pairs.get(&there);
                let source = there.and_then(|pair| pair.source.as_ref());
                let same = |before: &Side| {
                    before.gone
                        && source.is_some_and(|s| !s.gone && s.uidvalidity == before.uidvalidity)
                };
                let gone = pair.target.as_ref().is_none_or(|side| side.gone);
                gone || pair.source.as_ref().is_some_and(same)
                    && there.is_some_and(|pair| pair.target.is_none())
                    && pair.target.as_ref().is_some_and(|side| ours(&side))
            };
            let alone = view.pairs.iter().filter_map(below).all(moved_along);
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
