//! Changing a target: folders made, subscribed, renamed; flags set and cleared; messages moved.
//! There is no EXPUNGE here, and no `\Deleted` can be set: [`Flags`] has no place for it.

use std::collections::BTreeMap;

use async_imap::imap_proto::Response;

use super::append::expand;
use super::error::{ImapError, Kind};
use super::folders::{AT_ONCE, FolderStatus, take_status};
use super::link::{Code, End, Link, in_folder};
use super::wire::{Mailbox, uid_sets};
use crate::plan::identity::Flags;

/// Whether flags are set or cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagChange {
    /// Set.
    Add,
    /// Clear.
    Remove,
}

/// What became of a folder that was asked for, and where it stands.
#[derive(Debug)]
pub enum Made {
    /// There was none of this name before.
    New(FolderStatus),
    /// There was one.
    There(FolderStatus),
    /// The server did not want it.
    Refused(ImapError),
}

impl Link {
    /// Makes folders, by their special use where the server can (RFC 6154), subscribes to them and asks where
    /// they stand, in one round trip.
    pub async fn make_folders(
        &mut self,
        wanted: &[(Mailbox, Option<String>)],
    ) -> Result<Vec<Made>, ImapError> {
        let mut all = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE / 3) {
            let mut commands = Vec::new();
            for (mailbox, role) in some {
                let name = mailbox.quoted();
                let role = role
                    .as_ref()
                    .filter(|_| self.capabilities.has("CREATE-SPECIAL-USE"));
                let role = role.map_or(String::new(), |role| format!(" (USE ({role}))"));
                commands.push(("CREATE", format!("CREATE {name}{role}")));
                commands.push(("SUBSCRIBE", format!("SUBSCRIBE {name}")));
                commands.push(("STATUS", self.status_line(mailbox)));
            }
            let mut found = BTreeMap::new();
            let mut ended = self
                .exchange_all(&commands, |response| take_status(response, &mut found))
                .await?
                .into_iter();
            for (mailbox, _) in some {
                // A server without subscriptions may refuse; the folder is there all the same.
                if let (Some(created), Some(_), Some(asked)) =
                    (ended.next(), ended.next(), ended.next())
                {
                    let there = created.text.to_ascii_lowercase().contains("exist");
                    let new = created.end == End::Ok || !there;
                    if new && let Err(error) = self.demand_ok("CREATE", Some(mailbox), created) {
                        if error.kind != Kind::No {
                            return Err(error);
                        }
                        all.push(Made::Refused(error));
                        continue;
                    }
                    self.demand_ok("STATUS", Some(mailbox), asked)?;
                    let status = found.remove(mailbox);
                    let status = status.ok_or_else(|| self.no_figures(mailbox))?;
                    let made = if new { Made::New } else { Made::There };
                    all.push(made(status));
                }
            }
        }
        Ok(all)
    }

    /// Makes an empty folder for a moment, asks `meanwhile`, and takes it away again.
    ///
    /// # Errors
    /// The server refuses, or the connection ended.
    pub async fn with_probe<T>(
        &mut self,
        probe: &Mailbox,
        meanwhile: impl Future<Output = T>,
    ) -> Result<T, ImapError> {
        let create = format!("CREATE {}", probe.quoted());
        self.run("CREATE", Some(probe), &create, |_| Ok(())).await?;
        let answer = meanwhile.await;
        let delete = format!("DELETE {}", probe.quoted());
        self.run("DELETE", Some(probe), &delete, |_| Ok(())).await?;
        Ok(answer)
    }

    /// Renames a folder and moves its subscription.
    pub async fn rename_folder(&mut self, from: &Mailbox, to: &Mailbox) -> Result<(), ImapError> {
        self.run(
            "RENAME",
            Some(from),
            &format!("RENAME {} {}", from.quoted(), to.quoted()),
            |_| Ok(()),
        )
        .await?;
        self.exchange(
            "UNSUBSCRIBE",
            Some(from),
            &format!("UNSUBSCRIBE {}", from.quoted()),
            |_| Ok(()),
        )
        .await?;
        self.exchange(
            "SUBSCRIBE",
            Some(to),
            &format!("SUBSCRIBE {}", to.quoted()),
            |_| Ok(()),
        )
        .await?;
        Ok(())
    }

    /// Sets or clears flags of messages in the mailbox that is open for writing. Words that the server
    /// refuses are an error with [`Kind::No`].
    pub async fn change_flags(
        &mut self,
        uids: &[u32],
        change: FlagChange,
        flags: &Flags,
    ) -> Result<(), ImapError> {
        let mailbox = self.selected.as_ref().map(|(m, _)| m.clone());
        let sign = match change {
            FlagChange::Add => '+',
            FlagChange::Remove => '-',
        };
        for set in uid_sets(uids, 4000) {
            let line = format!("UID STORE {set} {sign}FLAGS.SILENT ({flags})");
            self.run("UID STORE", mailbox.as_ref(), &line, |_| Ok(()))
                .await?;
        }
        Ok(())
    }

    /// Moves messages from the open mailbox (RFC 6851). The UIDs they have there, in the order of `uids`;
    /// `None` where the server does not say.
    pub async fn move_messages(
        &mut self,
        uids: &[u32],
        to: &Mailbox,
    ) -> Result<Option<(u32, Vec<u32>)>, ImapError> {
        let mailbox = self.selected.as_ref().map(|(m, _)| m.clone());
        let mut sets = uid_sets(uids, 4000);
        let (Some(set), true) = (sets.pop(), sets.is_empty()) else {
            return Err(self.error(
                Kind::Unexpected,
                "UID MOVE",
                "too many messages for one command",
            ));
        };
        // COPYUID stands in an untagged OK before the EXPUNGEs (RFC 6851, 4.3), or in the tagged one.
        let mut code = None;
        let take = |code: Option<Code>| match code {
            Some(Code::CopyUid(validity, from, to)) => Some((validity, from, to)),
            _ => None,
        };
        let finished = self
            .run(
                "UID MOVE",
                mailbox.as_ref(),
                &format!("UID MOVE {set} {}", to.quoted()),
                |response| {
                    if let Response::Data { outcome, .. } = response {
                        code = code
                            .take()
                            .or_else(|| take(Code::of(outcome.code.as_ref())));
                    }
                    Ok(())
                },
            )
            .await?;
        let Some((uidvalidity, from, to)) = code.or_else(|| take(finished.code)) else {
            return Ok(None);
        };
        let unexpected = || {
            let error = self.error(
                Kind::Unexpected,
                "UID MOVE",
                "COPYUID does not name the messages that were moved",
            );
            in_folder(error, mailbox.as_ref())
        };
        let from = expand(&from, uids.len()).ok_or_else(unexpected)?;
        let to = expand(&to, uids.len()).ok_or_else(unexpected)?;
        let pairs: std::collections::BTreeMap<u32, u32> = from.into_iter().zip(to).collect();
        let moved: Option<Vec<u32>> = uids.iter().map(|uid| pairs.get(uid).copied()).collect();
        Ok(Some((uidvalidity, moved.ok_or_else(unexpected)?)))
    }
}
