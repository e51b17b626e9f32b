//! Folders at rest: both sides hold just what the ledger knows, each message its copy. Nothing is to be decided
//! about them, so a planner need not see them, and what it holds grows with what changed.

use std::collections::BTreeSet;

use super::identity::Flags;
use super::view::Origin;

/// A message of the source as the ledger knows it.
#[derive(Debug)]
pub struct Linked {
    /// Its flags.
    pub flags: Flags,
    /// Its copy, where that lies in the folder's counterpart, in its present generation, and holds the same octets.
    pub copy: Option<Copied>,
}

/// A copy as the ledger knows it.
#[derive(Debug)]
pub struct Copied {
    /// Its UID.
    pub uid: u32,
    /// Its flags.
    pub flags: Flags,
    /// How it came there.
    pub origin: Origin,
}

/// Whether two folders are at rest that show just what the ledger knows: those messages on the source, and on the
/// target `copies` of them and copies of tombstones, which have the UIDs `buried`. A keyword that the target
/// `refused` is to be taken off it.
///
/// # Errors
/// What the iterator yields.
pub fn at_rest<E>(
    linked: impl IntoIterator<Item = Result<Linked, E>>,
    copies: usize,
    buried: &[u32],
    refused: &BTreeSet<String>,
) -> Result<bool, E> {
    let mut uids = buried.to_vec();
    for row in linked {
        let Linked { flags, copy } = row?;
        let refuses =
            |k: &super::identity::Keyword| refused.contains(&k.as_str().to_ascii_lowercase());
        match copy {
            Some(copy)
                if copy.flags == flags
                    && copy.origin != Origin::Strayed
                    && !flags.keywords().iter().any(refuses) =>
            {
                uids.push(copy.uid);
            }
            _ => return Ok(false),
        }
    }
    let all = uids.len();
    uids.sort_unstable();
    uids.dedup();
    Ok(all == uids.len() && all == copies)
}
