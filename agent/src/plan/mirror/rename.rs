//! A folder that was renamed on the source: whether it was, and whether the target's may be renamed with it.

use std::collections::BTreeSet;

use super::scene::{Scene, place};
use super::{Rename, Renamed};
use crate::plan::identity::LogicalFolder;
use crate::plan::view::{FolderId, Origin, Pair, Shown, Side, View};

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
            let before = old.target.as_ref();
            // A ledger that was restored knows the target's folder by a name that it no longer bears.
            let now = before
                .filter(|side| side.gone)
                .and_then(|side| by_now(view, side, gone, new))
                .filter(|(at, _)| {
                    at == &name
                        || follow && pair.target.is_none() && goes_along(view, old_name, at, name)
                })
                .map(|(_, side)| side.folder);
            let target = before
                .filter(ours)
                .filter(|_| follow && alone && pair.target.is_none())
                .or(before.filter(|_| now.is_some()))
                .map(|side| side.folder);
            let rename = Rename {
                from: gone.folder,
                to: new.folder,
                folder: name.clone(),
                target,
                now,
            };
            return Some((old_name, rename));
        }
    }
    None
}

/// What a view is once a rename has been followed, for a plan that is only shown.
pub fn followed(view: &mut View, rename: &Rename) -> Renamed {
    let from = name_of(view, |pair| is(pair.source.as_ref(), rename.from));
    let from = from.unwrap_or_else(|| rename.folder.clone());
    let at = rename
        .now
        .and_then(|now| name_of(view, |pair| is(pair.target.as_ref(), now)));
    let before = view
        .pairs
        .get_mut(&from)
        .and_then(|pair| pair.source.take());
    let target = view
        .pairs
        .get_mut(&from)
        .filter(|_| rename.target.is_some());
    let mut copies = target.and_then(|pair| pair.target.take());
    let by_now = at.and_then(|at| view.pairs.get_mut(&at)?.target.take());
    if let (Some(copies), Some(by_now)) = (&mut copies, by_now) {
        (copies.shown, copies.gone) = (by_now.shown, false);
    }
    let pair = view.pairs.entry(rename.folder.clone()).or_default();
    if let (Some(now), Some(before)) = (&mut pair.source, before) {
        (now.folder, now.generation) = (before.folder, before.generation);
        (now.rows, now.stale) = (before.rows, before.stale);
    }
    pair.target = copies.or(pair.target.take());
    view.pairs
        .retain(|_, pair| pair.source.is_some() || pair.target.is_some());
    Renamed {
        from,
        to: rename.folder.clone(),
        on_target: rename.target.is_some(),
    }
}

fn name_of(view: &View, is: impl Fn(&Pair) -> bool) -> Option<LogicalFolder> {
    let mut pairs = view.pairs.iter();
    pairs
        .find(|(_, pair)| is(pair))
        .map(|(name, _)| name.clone())
}

fn is(side: Option<&Side>, id: FolderId) -> bool {
    side.is_some_and(|side| side.folder == id)
}

/// The target's folder that one which is gone is by now: of its UIDVALIDITY, and all that lies in it is what lay in
/// that one, or looks like what came to the source since.
fn by_now<'a>(
    view: &'a View,
    before: &Side,
    gone: &Side,
    new: &Side,
) -> Option<(&'a LogicalFolder, &'a Side)> {
    let came: BTreeSet<_> = new
        .shown
        .iter()
        .filter(|shown| !gone.rows.contains_key(&shown.uid))
        .map(|shown| (shown.size, shown.date))
        .collect();
    let fits = |shown: &Shown| match before.rows.get(&shown.uid) {
        Some(row) => {
            (row.size, row.date) == (shown.size, shown.date) && row.origin != Origin::Strayed
        }
        None => came.contains(&(shown.size, shown.date)),
    };
    let is = |side: &Side| {
        !side.gone
            && side.uidvalidity == before.uidvalidity
            && side.rows.is_empty()
            && side.stale.is_empty()
            && side.shown.iter().any(|s| before.rows.contains_key(&s.uid))
            && side.shown.iter().all(fits)
    };
    view.pairs.iter().find_map(|(name, pair)| {
        let side = pair.target.as_ref().filter(|side| is(side))?;
        // A name that it had for a moment only is nobody's.
        let brief = |side: &&Side| side.gone && side.rows.is_empty() && side.stale.is_empty();
        let source = pair.source.as_ref().filter(|side| !brief(side));
        let source = source.map(|source| source.folder);
        (source.is_none() || source == Some(new.folder)).then_some((name, side))
    })
}

/// Whether all that lies below a folder of the target was renamed like it, on both sides, so that it may move along.
fn goes_along(view: &View, old: &LogicalFolder, now: &LogicalFolder, new: &LogicalFolder) -> bool {
    let below = view.pairs.iter().filter_map(|(name, pair)| {
        let rest = name.as_str().strip_prefix(now.as_str())?;
        let side = pair.target.as_ref().filter(|side| !side.gone)?;
        rest.starts_with('/').then_some((rest, side))
    });
    let at = |name: &LogicalFolder, rest: &str| {
        let name = LogicalFolder::from_stored(&format!("{name}{rest}"));
        view.pairs.get(&name)
    };
    below.into_iter().all(|(rest, side)| {
        let (Some(before), Some(after)) = (at(old, rest), at(new, rest)) else {
            return false;
        };
        let same = |one: &Option<Side>, other: &Side| {
            one.as_ref()
                .is_some_and(|one| one.gone && one.uidvalidity == other.uidvalidity)
        };
        after.target.is_none()
            && same(&before.target, side)
            && after
                .source
                .as_ref()
                .is_some_and(|source| !source.gone && same(&before.source, source))
    })
}
