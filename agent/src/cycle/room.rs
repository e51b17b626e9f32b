//! Asking the standby what it has room for, before anything is sent.

use super::Round;
use crate::error::AgentError;
use crate::plan::identity::LogicalFolder;
use crate::plan::mirror::Plan;
use crate::plan::room::{Homeless, Room};
use crate::report::Full;

impl Round<'_> {
    /// Asks what the standby has room for, where a plan sends something, and nobody has asked since the last did.
    pub(super) async fn ask_room(&mut self, plan: &Plan) -> Result<(), AgentError> {
        let to = || plan.copies.keys().chain(plan.sends.keys());
        if self.room_is_told || to().next().is_none() {
            return Ok(());
        }
        let there = |folder: &LogicalFolder| {
            let seen = self.target.folders.get(folder)?;
            seen.status.is_some().then(|| seen.mailbox.clone())
        };
        let mailboxes: Vec<_> = to().filter_map(there).collect();
        let link = self.target_link.imap()?;
        let left = match self.quota.take() {
            Some(left) => left,
            None => link.quota_left().await?,
        };
        let limits = link.append_limits(&mailboxes).await?;
        let largest = link.append_limit();
        let limit = |folder: &LogicalFolder| {
            let limit = limits.get(&there(folder)?)?;
            Some((folder.clone(), *limit))
        };
        self.room = Room {
            octets: left.octets,
            messages: left.messages,
            largest,
            largest_in: to().filter_map(limit).collect(),
        };
        self.room_is_told = true;
        Ok(())
    }

    /// What is to be done where the standby is full; said in the log too.
    pub(super) fn full(&self, homeless: Homeless) -> Option<Full> {
        let Homeless {
            messages,
            bytes,
            lacks_bytes,
            lacks_messages,
        } = homeless;
        if messages == 0 {
            return None;
        }
        tracing::warn!(
            triangle = self.triangle.name,
            messages,
            bytes,
            lacks_bytes,
            lacks_messages,
            "the standby is full: make room there or raise its quota; the next run goes on"
        );
        Some(Full {
            corner: self.target.corner,
            messages,
            bytes,
            lacks_bytes,
            lacks_messages,
        })
    }
}
