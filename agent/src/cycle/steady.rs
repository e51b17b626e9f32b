//! Whether the primary was looked at as it stood at one moment. Its folders are looked at one after another, and its owner
//! moves mail meanwhile: what was moved then is seen twice or not at all. Where a look that follows shows every folder as
//! it was seen, all of them stood so at once; else it is looked at anew, and what two looks in a row agree on counts.

use std::collections::{BTreeMap, BTreeSet};

use maildreieck_api_spec::vocabulary::Corner;

use super::Round;
use crate::account::Account;
use crate::error::AgentError;
use crate::plan::mirror::{Doubt, Plan};
use crate::plan::view::{FolderId, View};

/// Looks at an account that does not come to rest.
const LOOKS: usize = 6;

/// What was found out about looks at the primary.
#[derive(Default)]
pub(super) struct Looks {
    /// Whether all folders stood at one moment as the last one showed them.
    pub steady: bool,
    /// How many were made anew.
    pub again: usize,
    /// What was in doubt after the one before.
    before: Option<Doubt>,
}

/// What becomes of a plan.
pub(super) enum Trust {
    /// It is carried out.
    Whole,
    /// The accounts were looked at anew: it is void.
    LookedAgain,
    /// What only the last look shows, or cannot be decided without folders that were not seen, was left out: the first new
    /// message of each folder that was.
    Part(BTreeMap<FolderId, u32>),
}

impl Round<'_> {
    /// Whether a plan can be trusted. What only one of many looks showed is taken out of it in the end.
    pub(super) async fn trust(
        &mut self,
        plan: &mut Plan,
        view: &View,
    ) -> Result<Trust, AgentError> {
        if !plan.hangs_on_the_look(view) {
            return Ok(Trust::Whole);
        }
        if !self.looks.steady {
            self.looks.steady = self.stands_still().await?;
        }
        let unseen = self.unseen();
        if self.looks.steady && unseen.is_none() {
            return Ok(Trust::Whole);
        }
        let doubt = {
            let mut ledger = self.site.ledger.borrow_mut();
            let shapes = plan.shapes(view);
            let known = ledger.of_shapes(&self.triangle.name, Corner::Primary, &shapes)?;
            plan.doubt(view, known)
        };
        let mut left: Option<BTreeMap<FolderId, u32>> = None;
        if !self.looks.steady {
            let before = self.looks.before.as_ref();
            let beyond = before.map(|before| doubt.beyond(before));
            if beyond.as_ref().is_none_or(|beyond| !beyond.is_empty()) {
                if self.looks.again < LOOKS {
                    self.looks.before = Some(doubt);
                    self.look_once_more().await?;
                    return Ok(Trust::LookedAgain);
                }
                let beyond = beyond.unwrap_or_default();
                plan.leave(view, &beyond);
                left = Some(beyond.first_new());
            }
        }
        if let Some(unseen) = unseen {
            let doubt = doubt.about(&unseen);
            if !doubt.is_empty() {
                plan.leave(view, &doubt);
                let left = left.get_or_insert_default();
                for (folder, uid) in doubt.first_new() {
                    let first = left.entry(folder).or_insert(uid);
                    *first = uid.min(*first);
                }
            }
        }
        Ok(left.map_or(Trust::Whole, Trust::Part))
    }

    /// Looks anew where a look is of no use any more, a few times.
    pub(super) async fn look_once_more(&mut self) -> Result<(), AgentError> {
        if self.looks.again >= LOOKS {
            return Err(AgentError::Unsteady);
        }
        self.looks.again += 1;
        self.look_again(false).await
    }

    /// Folders of the primary that could not be looked at for once, if there are any: what vanished may lie in them, and
    /// what is new may be from them.
    fn unseen(&self) -> Option<BTreeSet<FolderId>> {
        let closed = self.source.closed.values();
        let unseen = closed.filter(|closed| {
            let refusal = closed.refusal.as_ref();
            refusal.is_some_and(|refusal| !refusal.lacks_rights())
        });
        let mut unseen = unseen.peekable();
        unseen.peek()?;
        Some(unseen.filter_map(|closed| closed.folder).collect())
    }

    /// Whether every folder of the primary stands as it was seen.
    async fn stands_still(&mut self) -> Result<bool, AgentError> {
        let Account::Imap(link) = &mut self.source_link else {
            return Ok(true);
        };
        let now = link.folders().await?.all;
        let names = now.values().filter(|folder| folder.selectable);
        let names: BTreeSet<&str> = names.map(|folder| folder.mailbox.as_str()).collect();
        let same_names = names.iter().copied().eq(self.source.taken.iter());
        let stands = self.source.folders.values().all(|folder| {
            let Some(seen) = folder.status else {
                return true;
            };
            let now = now.get(&folder.mailbox).and_then(|folder| folder.status);
            now.is_some_and(|now| {
                (now.uidvalidity, now.uidnext, now.messages)
                    == (seen.uidvalidity, seen.uidnext, seen.messages)
            })
        });
        Ok(same_names && stands)
    }
}
