//! What both accounts hold now. It asks in one round trip which folders changed, lists those afresh and
//! joins them with what the ledger knows. It changes nothing on a server.

mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maildreieck_api_spec::vocabulary::Corner;

pub use self::list::{list, list_written};
use crate::error::AgentError;
use crate::imap::{Folder, FolderStatus, Folders, ImapError, Listing, Mailbox, Protocol, wire};
use crate::ledger::{FolderRows, KnownFolder, Ledger};
use crate::plan::identity::LogicalFolder;
use crate::plan::names::{Named, excluded, logical_names, unescaped, without_namespace};
use crate::plan::view::{FolderId, Origin, Pair, Place, Shown, Side, Tombstone, View, add_linked};

/// What a triangle's folders are chosen by.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// The triangle's name in the ledger.
    pub triangle: &'a str,
    /// Folder of the standby below which its folders lie.
    pub standby_prefix: &'a str,
    /// Folders left out.
    pub exclude: &'a [String],
    /// Whether the primary's clients fetch by POP and delete.
    pub pop_delete: bool,
    /// What the primary speaks.
    pub primary: Protocol,
}

/// One account as it stands.
#[derive(Debug)]
pub struct Seen {
    /// The corner.
    pub corner: Corner,
    /// The separator that new folders are named with.
    pub separator: Option<char>,
    /// What the names of its folders begin with, besides INBOX.
    pub namespace: String,
    /// Its folders by logical name.
    pub folders: BTreeMap<LogicalFolder, SeenFolder>,
    /// Folders that the triangle leaves out, with their messages.
    pub left_out: Vec<(LogicalFolder, u32)>,
    /// Folders of the triangle that nothing is decided about in this run. What is in them proves nothing.
    pub closed: BTreeMap<LogicalFolder, Closed>,
    /// All names that are taken on the server, also of folders that are not the triangle's.
    pub taken: BTreeSet<String>,
}

/// One folder as it stands.
#[derive(Debug)]
pub struct SeenFolder {
    /// What the ledger knows of it.
    pub known: KnownFolder,
    /// Its name on the server.
    pub mailbox: Mailbox,
    /// Where it stands; `None` for one that the server lists no more.
    pub status: Option<FolderStatus>,
    /// What it holds, if it was listed.
    pub listing: Option<Listing>,
    /// Whether a new generation was begun since it was listed: once is enough for one listing.
    renewed: bool,
}

/// A folder that the server lists and does not show, or one that cannot be judged without such a one.
#[derive(Debug, Clone)]
pub struct Closed {
    /// What the ledger knows it by.
    pub folder: Option<FolderId>,
    /// What the server said; `None` for a folder that is shown.
    pub refusal: Option<ImapError>,
}

/// A folder of the target as plans are carried out on it.
#[derive(Debug, Clone)]
pub struct TargetFolder {
    /// Its name on the server.
    pub mailbox: Mailbox,
    /// What the ledger knows of it.
    pub known: KnownFolder,
    /// Its UIDNEXT when it was last seen.
    pub uidnext: u32,
}

impl Seen {
    /// The folders that are there, as plans are carried out on them.
    #[must_use]
    pub fn target_folders(&self) -> BTreeMap<LogicalFolder, TargetFolder> {
        let there = |(name, f): (&LogicalFolder, &SeenFolder)| {
            let folder = TargetFolder {
                mailbox: f.mailbox.clone(),
                known: f.known.clone(),
                uidnext: f.status?.uidnext,
            };
            Some((name.clone(), folder))
        };
        self.folders.iter().filter_map(there).collect()
    }

    fn insert(
        &mut self,
        name: LogicalFolder,
        known: KnownFolder,
        folder: &Folder,
        status: FolderStatus,
    ) {
        let mailbox = folder.mailbox.clone();
        let status = Some(status);
        let folder = SeenFolder {
            known,
            mailbox,
            status,
            listing: None,
            renewed: false,
        };
        self.folders.insert(name, folder);
    }

    /// Notes a folder that the server refuses.
    fn close(&mut self, name: LogicalFolder, folder: Option<FolderId>, refusal: &ImapError) {
        let refusal = Some(refusal.clone());
        self.closed.insert(name, Closed { folder, refusal });
    }

    /// Leaves a folder out that is closed in the other corner, or cannot be judged without one that is.
    fn close_too(&mut self, name: &LogicalFolder) {
        if let Some(folder) = self.folders.remove(name) {
            let closed = Closed {
                folder: Some(folder.known.id),
                refusal: None,
            };
            self.closed.insert(name.clone(), closed);
        }
    }

    /// The folders that the server refuses.
    pub fn refused(&self) -> impl Iterator<Item = (&LogicalFolder, &ImapError)> {
        let closed = self.closed.iter();
        closed.filter_map(|(name, closed)| Some((name, closed.refusal.as_ref()?)))
    }

    /// The numbers of all its folders by name.
    fn numbers(&self) -> BTreeMap<FolderId, &LogicalFolder> {
        let there = self.folders.iter().map(|(name, f)| (f.known.id, name));
        let closed = self.closed.iter();
        there
            .chain(closed.filter_map(|(name, closed)| Some((closed.folder?, name))))
            .collect()
    }

    /// A name beside one that is taken.
    fn free_name(&self, name: &LogicalFolder) -> LogicalFolder {
        let beside =
            |number: u32| LogicalFolder::from_stored(&format!("{}={number}", name.as_str()));
        (2..)
            .map(beside)
            .find(|name| !self.folders.contains_key(name) && !self.closed.contains_key(name))
            .unwrap_or_else(|| name.clone())
    }
}

impl SeenFolder {
    /// Whether a message was listed at a place in it.
    #[must_use]
    pub fn shows(&self, at: Place) -> bool {
        let messages = self.listing.as_ref().map(|listing| &*listing.messages);
        let uid = |shown: &Shown| shown.uid;
        let listed = |messages: &[Shown]| messages.binary_search_by_key(&at.uid, uid).is_ok();
        self.known.id == at.folder
            && self.known.generation == at.generation
            && messages.is_some_and(listed)
    }

    /// Whether it stands where it stood when everything in it had been dealt with.
    fn unchanged(&self) -> bool {
        let known = &self.known;
        self.status.is_some_and(|now| {
            known.uidnext > 0
                && now.uidvalidity == known.uidvalidity
                && now.uidnext == known.uidnext
                && now.messages == known.messages
                && now.highestmodseq.is_some()
                && now.highestmodseq == known.highestmodseq
        })
    }
}

/// Joins a folder list with the ledger.
pub fn seen(
    folders: &Folders,
    ledger: &mut Ledger,
    choice: Choice<'_>,
    corner: Corner,
) -> Result<Seen, AgentError> {
    let prefix = if corner == Corner::Standby {
        choice.standby_prefix
    } else {
        ""
    };
    let namespace = wire::decode_utf7(&folders.namespace);
    // Others' folders are not the account's own.
    let own = folders.all.values().filter_map(|folder| {
        let text = wire::decode_utf7(folder.mailbox.as_str());
        let text = without_namespace(&text, &namespace)?.to_owned();
        let named = Named {
            text,
            separator: folder.separator,
            role: folder.role,
        };
        Some((folder, named))
    });
    let (list, named): (Vec<&Folder>, Vec<Named>) = own.unzip();
    let mut names = logical_names(&named, prefix);
    if corner == Corner::Standby {
        // It holds what we have named.
        names.iter_mut().flatten().for_each(|n| *n = unescaped(n));
    }
    let mut known: BTreeMap<String, KnownFolder> = ledger
        .folders(choice.triangle, corner)?
        .into_iter()
        .map(|k| (k.mailbox.clone(), k))
        .collect();
    let mut seen = Seen {
        corner,
        separator: list.iter().find_map(|f| f.separator),
        namespace,
        folders: BTreeMap::new(),
        left_out: Vec::new(),
        closed: BTreeMap::new(),
        taken: list
            .iter()
            .filter(|f| f.selectable)
            .map(|f| f.mailbox.as_str().to_owned())
            .collect(),
    };
    // Names that were written down come first: what is new must not take one from them.
    let mut new = Vec::new();
    for (folder, name) in list.into_iter().zip(names) {
        if !folder.selectable {
            // A name without a mailbox: one that was there is gone.
            continue;
        }
        let earlier = known.remove(folder.mailbox.as_str());
        // Outside the prefix nothing is the triangle's, whatever it was once.
        let Some(name) = name else { continue };
        let Some(status) = folder.status else {
            let (name, id) = match earlier {
                Some(earlier) => (earlier.logical, Some(earlier.id)),
                None => (name, None),
            };
            if let Some(refusal) = &folder.refused
                && !excluded(&name, choice.exclude)
            {
                seen.close(name, id, refusal);
            }
            continue;
        };
        match earlier {
            Some(earlier) if excluded(&earlier.logical, choice.exclude) => {
                seen.left_out.push((earlier.logical, status.messages));
            }
            Some(earlier) => seen.insert(earlier.logical.clone(), earlier, folder, status),
            None if excluded(&name, choice.exclude) => seen.left_out.push((name, status.messages)),
            None => new.push((folder, name, status)),
        }
    }
    let first = !new.is_empty() && ledger.triangle(choice.triangle)?.first_mirror_at.is_none();
    for (folder, name, status) in new {
        let name = if seen.folders.contains_key(&name) || seen.closed.contains_key(&name) {
            if corner == Corner::Standby {
                // It is called like a folder that is elsewhere by now: a stranger's.
                continue;
            }
            seen.free_name(&name)
        } else {
            name
        };
        let found = if first { status.uidnext } else { 0 };
        let known = ledger.add_folder(
            choice.triangle,
            corner,
            folder.mailbox.as_str(),
            &name,
            status.uidvalidity,
            found,
        )?;
        seen.insert(name, known, folder, status);
    }
    for known in known.into_values() {
        let Some(mailbox) = Mailbox::new(&known.mailbox) else {
            continue;
        };
        let ours = !excluded(&known.logical, choice.exclude);
        let elsewhere =
            seen.folders.contains_key(&known.logical) || seen.closed.contains_key(&known.logical);
        if ours && !elsewhere {
            let name = known.logical.clone();
            let folder = SeenFolder {
                known,
                mailbox,
                status: None,
                listing: None,
                renewed: false,
            };
            seen.folders.insert(name, folder);
        }
    }
    Ok(seen)
}

/// Whether UIDs mean something else than the ledger knows: another UIDVALIDITY, or a hoster restored a
/// backup and gives UIDs anew. A size or date that the target keeps otherwise than it was given, seen for the
/// first time, is noted instead.
fn check_generation(
    ledger: &mut Ledger,
    folder: &mut SeenFolder,
    rows: &FolderRows,
    protocol: Protocol,
) -> Result<bool, AgentError> {
    let Some(listing) = &folder.listing else {
        return Ok(false);
    };
    let known = &mut folder.known;
    let status = listing.status;
    let top = rows.rows.keys().next_back().copied().unwrap_or(0);
    let went_back = went_back(status, known, top);
    let mut renewed = status.uidvalidity != known.uidvalidity || (went_back && !folder.renewed);
    let mut listed_as = Vec::new();
    for shown in listing.messages.iter() {
        // What POP3 lists of a message is no more than a hint.
        if renewed || protocol == Protocol::Pop3 {
            break;
        }
        if let Some(row) = rows.rows.get(&shown.uid)
            && (row.size != shown.size || row.date != shown.date)
        {
            if folder.renewed || (row.origin == Origin::Written && row.verified_at.is_none()) {
                let at = Place {
                    folder: known.id,
                    generation: known.generation,
                    uid: shown.uid,
                };
                listed_as.push((at, shown.size, shown.date));
            } else {
                renewed = true;
            }
        }
    }
    if renewed {
        ledger.begin_generation(known, status.uidvalidity)?;
        folder.renewed = true;
        return Ok(true);
    }
    if !listed_as.is_empty() {
        ledger.listed_as(&listed_as)?;
        return Ok(true);
    }
    Ok(false)
}

/// Whether a folder whose highest known UID is `top` stands before where it stood.
fn went_back(status: FolderStatus, known: &KnownFolder, top: u32) -> bool {
    status.uidnext < known.uidnext
        || (top > 0 && status.uidnext <= top)
        || matches!((status.highestmodseq, known.highestmodseq), (Some(now), Some(before)) if now < before)
}

/// Whether a folder shows nothing but what is known as it is shown, so that neither is anything to be read nor a new
/// generation to be begun.
fn is_known(
    ledger: &mut Ledger,
    folder: &SeenFolder,
    protocol: Protocol,
) -> Result<bool, AgentError> {
    let Some(listing) = &folder.listing else {
        return Ok(true);
    };
    let (known, status) = (&folder.known, listing.status);
    if status.uidvalidity != known.uidvalidity {
        return Ok(false);
    }
    let hinted = protocol == Protocol::Pop3;
    let top = ledger.top_of_known(known, &listing.messages, hinted)?;
    Ok(top.is_some_and(|top| !went_back(status, known, top)))
}

/// Whether a folder and its counterpart are at rest; see [`at_rest`](crate::plan::rest::at_rest).
fn at_rest(
    ledger: &mut Ledger,
    source: &SeenFolder,
    target: &SeenFolder,
    tombstones: &[Tombstone],
    refused: &BTreeSet<String>,
) -> Result<bool, AgentError> {
    let mut copies = 0;
    for side in [source, target] {
        let Some(status) = side.status else {
            return Ok(false);
        };
        let shown = side.listing.as_ref().map(|l| &*l.messages);
        let top = shown.and_then(<[Shown]>::last).map_or(0, |last| last.uid);
        let same = status.uidvalidity == side.known.uidvalidity;
        if shown.is_some() && (!same || went_back(status, &side.known, top)) {
            return Ok(false);
        }
        match ledger.known_as_shown(&side.known, shown)? {
            Some(count) => copies = count,
            None => return Ok(false),
        }
    }
    let here =
        |copy: &Place| copy.folder == target.known.id && copy.generation == target.known.generation;
    let buried = tombstones.iter().filter_map(|t| t.copy.filter(here));
    let buried: Vec<u32> = buried.map(|copy| copy.uid).collect();
    Ok(ledger.at_rest(&source.known, &target.known, copies, &buried, refused)?)
}

fn side(
    ledger: &mut Ledger,
    folder: &mut SeenFolder,
    protocol: Protocol,
) -> Result<Side, AgentError> {
    let mut known = ledger.rows(folder.known.id, folder.known.generation)?;
    if check_generation(ledger, folder, &known, protocol)? {
        known = ledger.rows(folder.known.id, folder.known.generation)?;
    }
    let shown = match &folder.listing {
        Some(listing) => Arc::clone(&listing.messages),
        None if folder.status.is_none() => Arc::default(),
        None => known
            .rows
            .iter()
            .map(|(uid, row)| Shown {
                uid: *uid,
                size: row.size,
                date: row.date,
                flags: row.flags.clone(),
            })
            .collect(),
    };
    Ok(Side {
        folder: folder.known.id,
        mailbox: folder.known.mailbox.clone(),
        uidvalidity: folder.known.uidvalidity,
        generation: folder.known.generation,
        shown,
        rows: known.rows,
        stale: known.stale,
        gone: folder.status.is_none(),
        unreadable: known.unreadable,
        altered: known.altered,
        hinted: protocol == Protocol::Pop3,
    })
}

/// Folders of which copies lie in another folder, and that one: where a copy strayed to, or a message's that
/// has vanished.
fn links(
    strayed: Vec<(FolderId, FolderId)>,
    tombstones: &[Tombstone],
    source: &Seen,
    target: &Seen,
) -> Vec<(LogicalFolder, LogicalFolder)> {
    let (source, target) = (source.numbers(), target.numbers());
    let strayed = strayed
        .iter()
        .filter_map(|(from, to)| Some((*source.get(from)?, *target.get(to)?)));
    let buried = tombstones
        .iter()
        .filter_map(|t| Some((&t.folder, *target.get(&t.copy?.folder)?)));
    strayed
        .chain(buried)
        .filter(|(one, other)| one != other)
        .map(|(one, other)| (one.clone(), other.clone()))
        .collect()
}

/// Leaves folders out on both sides that one side does not show, and those whose copies lie in one that is left
/// out: nothing can be said of them.
pub fn close_both(
    ledger: &mut Ledger,
    choice: Choice<'_>,
    tombstones: &[Tombstone],
    source: &mut Seen,
    target: &mut Seen,
) -> Result<(), AgentError> {
    let closed = source.closed.keys().chain(target.closed.keys());
    let mut closed: BTreeSet<LogicalFolder> = closed.cloned().collect();
    if closed.is_empty() {
        return Ok(());
    }
    let strayed = ledger.strayed(choice.triangle)?;
    add_linked(&mut closed, &links(strayed, tombstones, source, target));
    for name in &closed {
        source.close_too(name);
        target.close_too(name);
    }
    Ok(())
}

/// Which folders a view is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those that a mirror has to decide about: not at rest.
    Unsettled,
    /// Those in which something may not be known as it is shown.
    Unknown,
}

/// The planner's view: folders that changed on neither side are left out, but for those whose copies lie in
/// one that did, and the other way round; and folders that are closed, whatever changed. Of the rest those that are
/// wanted.
pub fn view(
    ledger: &mut Ledger,
    choice: Choice<'_>,
    source: &mut Seen,
    target: &mut Seen,
    target_moves: bool,
    wanted: Wanted,
) -> Result<View, AgentError> {
    let tombstones = ledger.tombstones(choice.triangle)?;
    close_both(ledger, choice, &tombstones, source, target)?;
    let names = names(source, target);
    let moved = |f: &SeenFolder| f.listing.is_some() || f.status.is_none();
    let changed = |name: &&LogicalFolder| {
        let (from, to) = (source.folders.get(*name), target.folders.get(*name));
        from.is_some_and(moved) || to.is_some_and(moved) || from.is_some() && to.is_none()
    };
    let mut changed: BTreeSet<LogicalFolder> = names.iter().filter(changed).cloned().collect();
    let refused_keywords = ledger.refused_keywords(choice.triangle, target.corner)?;
    if !changed.is_empty() {
        let strayed = ledger.strayed(choice.triangle)?;
        let links = links(strayed, &tombstones, source, target);
        let mut kept = BTreeSet::new();
        for name in changed {
            let (from, to) = (source.folders.get(&name), target.folders.get(&name));
            let keep = match (wanted, from, to) {
                (Wanted::Unsettled, Some(from), Some(to)) => {
                    !at_rest(ledger, from, to, &tombstones, &refused_keywords)?
                }
                (Wanted::Unsettled, ..) => true,
                (Wanted::Unknown, from, to) => {
                    let from = from.map(|f| is_known(ledger, f, choice.primary));
                    let to = to.map(|f| is_known(ledger, f, Protocol::Imap));
                    from.transpose()? == Some(false) || to.transpose()? == Some(false)
                }
            };
            if keep {
                kept.insert(name);
            }
        }
        changed = kept;
        add_linked(&mut changed, &links);
    }
    let target_whole = target
        .folders
        .values()
        .all(|f| f.listing.is_some() || f.status.is_none());
    let mut pairs = BTreeMap::new();
    for name in changed {
        let pair = pair(ledger, choice, source, target, &name)?;
        pairs.insert(name, pair);
    }
    let equivalent = if pairs.is_empty() {
        BTreeSet::new()
    } else {
        ledger.equivalents()?
    };
    Ok(View {
        pairs,
        equivalent,
        tombstones,
        known_on_source: ledger.count_messages(choice.triangle, source.corner.as_str())?,
        target_whole,
        target_moves,
        pop_delete: choice.pop_delete,
        refused_keywords,
    })
}

/// The folders of both accounts that are not closed.
#[must_use]
pub fn names(source: &Seen, target: &Seen) -> BTreeSet<LogicalFolder> {
    let names = source.folders.keys().chain(target.folders.keys());
    names.cloned().collect()
}

/// A folder on both sides, with what the ledger knows.
pub fn pair(
    ledger: &mut Ledger,
    choice: Choice<'_>,
    source: &mut Seen,
    target: &mut Seen,
    name: &LogicalFolder,
) -> Result<Pair, AgentError> {
    let (from, to) = (source.folders.get_mut(name), target.folders.get_mut(name));
    let source = from.map(|f| side(ledger, f, choice.primary)).transpose()?;
    let target = to.map(|f| side(ledger, f, Protocol::Imap)).transpose()?;
    // A target's folder that is gone is as good as none, but for what the ledger knows of it.
    let mut pair = Pair { source, target };
    if choice.primary == Protocol::Pop3 {
        pair.take_hints();
    }
    Ok(pair)
}

/// Where the folders that were seen stand, for [`Ledger::settle`]; those in `open` are not done yet.
pub fn stood(
    seen: &Seen,
    open: &BTreeSet<FolderId>,
) -> Vec<(FolderId, Option<crate::ledger::Stood>)> {
    seen.folders
        .values()
        .filter_map(|folder| {
            let id = folder.known.id;
            let listing = folder.listing.as_ref()?;
            let status = listing.status;
            let stood = (status.uidnext, status.highestmodseq, listing.shown);
            Some((id, (!open.contains(&id)).then_some(stood)))
        })
        .collect()
}

/// Where the folders of an account stood at a moment.
pub type Stands = BTreeMap<LogicalFolder, FolderStatus>;

/// Where both accounts stood, and what the primary held.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// The primary.
    pub primary: Stands,
    /// The standby.
    pub standby: Stands,
    /// What was listed of the primary, by folder and generation. A folder that was not listed held what the ledger knew
    /// of it.
    pub shown: BTreeMap<(FolderId, u32), Arc<[Shown]>>,
}

impl Cut {
    /// Lets what comes from these messages on, by folder of the primary, be later than the cut.
    pub fn end_before(&mut self, first: &BTreeMap<FolderId, u32>, source: &Seen) {
        for (name, folder) in &source.folders {
            if let Some(uid) = first.get(&folder.known.id)
                && let Some(stood) = self.primary.get_mut(name)
            {
                stood.uidnext = stood.uidnext.min(*uid);
            }
        }
    }

    /// A message of the primary as it was listed then.
    #[must_use]
    pub fn shown(&self, at: Place) -> Option<&Shown> {
        let list = self.shown.get(&(at.folder, at.generation))?;
        let index = list.binary_search_by_key(&at.uid, |shown| shown.uid);
        list.get(index.ok()?)
    }

    /// Whether a folder of the primary was listed then.
    #[must_use]
    pub fn listed(&self, folder: FolderId) -> bool {
        let mut of_folder = self.shown.range((folder, 0)..=(folder, u32::MAX));
        of_folder.next().is_some()
    }
}

/// What was listed of an account.
#[must_use]
pub fn shown(seen: &Seen) -> BTreeMap<(FolderId, u32), Arc<[Shown]>> {
    let listed = seen.folders.values().filter_map(|folder| {
        let listing = folder.listing.as_ref()?;
        let known = &folder.known;
        Some(((known.id, known.generation), Arc::clone(&listing.messages)))
    });
    listed.collect()
}

/// Where the folders of an account stand as they were seen.
#[must_use]
pub fn stands(seen: &Seen) -> Stands {
    seen.folders
        .iter()
        .filter_map(|(name, f)| f.status.map(|s| (name.clone(), s)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Kind;

    /// A name of a folder, without a mailbox or refused.
    fn folder(name: &str, selectable: bool, refused: bool) -> Folder {
        let refusal = ImapError {
            kind: Kind::No,
            corner: Corner::Primary,
            server: String::new(),
            command: "STATUS",
            folder: None,
            text: String::new(),
        };
        Folder {
            mailbox: Mailbox::new(name).unwrap(),
            separator: Some('/'),
            role: None,
            selectable,
            status: (selectable && !refused).then_some(FolderStatus {
                uidvalidity: 1,
                uidnext: 2,
                highestmodseq: None,
                messages: 1,
            }),
            refused: refused.then_some(refusal),
        }
    }

    #[test]
    fn a_name_without_a_mailbox_is_gone_and_one_that_is_refused_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.db")).unwrap();
        let choice = Choice {
            triangle: "info",
            standby_prefix: "",
            exclude: &["Junk".to_owned()],
            pop_delete: false,
            primary: Protocol::Imap,
        };
        let mut look = |folders: &[Folder]| {
            let all = folders.iter().map(|f| (f.mailbox.clone(), f.clone()));
            let folders = Folders {
                all: all.collect(),
                ..Folders::default()
            };
            let seen = seen(&folders, &mut ledger, choice, Corner::Primary).unwrap();
            let there = seen.folders.iter();
            let there = there.map(|(name, f)| (name.to_string(), f.status.is_some()));
            let closed = seen.closed.keys().map(ToString::to_string);
            (there.collect::<Vec<_>>(), closed.collect::<Vec<_>>())
        };
        let is = |name: &str, there| (name.to_owned(), there);
        let inbox = folder("INBOX", true, false);
        let there = look(&[inbox.clone(), folder("Alt", true, false)]);
        assert_eq!(there, (vec![is("Alt", true), is("INBOX", true)], vec![]));
        let refused = [folder("Alt", true, true), folder("Neu", true, true)];
        let junk = folder("Junk", true, true);
        let [alt, new] = refused;
        let closed = look(&[inbox.clone(), alt, new, junk]);
        let names = vec!["Alt".to_owned(), "Neu".to_owned()];
        assert_eq!(closed, (vec![is("INBOX", true)], names));
        let gone = look(&[inbox, folder("Alt", false, false)]);
        assert_eq!(gone, (vec![is("Alt", false), is("INBOX", true)], vec![]));
    }
}
