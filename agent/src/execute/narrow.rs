//! A server may end the connection on whoever reads a certain message (Dovecot does where a mail file was cut off on
//! its disc), or answer with what nobody can read. Which message it is shows when it is asked for alone; the others
//! are read without it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::account::Account;
use crate::error::AgentError;
use crate::imap::{BodyEvent, ImapError, Kind, Mailbox, wire};

/// Messages of one account that are given up in a run at most, and failures at most: beyond, it is the account's.
const MOST_GIVEN_UP: usize = 20;
const MOST_FAILURES: usize = 6 * MOST_GIVEN_UP;
/// How often a message has to fail alone. A large one is read in parts twice, and then whole: Dovecot loses an octet
/// where a part of some messages ends.
const TIMES: u8 = 3;
const IN_PARTS: u8 = 2;

/// Finds the messages at which reading fails.
#[derive(Default)]
pub(crate) struct Narrowing {
    /// The message that failed alone, and how often.
    alone: Option<(u32, u8)>,
    given_up: usize,
    failures: usize,
    /// Whether anything came.
    came: bool,
}

/// What to do about messages of which some could not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Narrowed {
    /// What to ask for now, in this order.
    pub again: Vec<Vec<u32>>,
    /// What is given up, and why.
    pub given_up: Option<(u32, String)>,
}

impl Narrowing {
    /// So many messages are given up where nothing else came: beyond, the account gives nothing, and nobody knows about
    /// its messages.
    pub(crate) const MOST_AT_FIRST: usize = 2;

    /// Whether a large message is to be read in parts.
    pub(crate) fn in_parts(&self, uid: u32) -> bool {
        self.failed_alone(uid) < IN_PARTS
    }

    /// How often a message has failed alone by now.
    fn failed_alone(&self, uid: u32) -> u8 {
        self.alone
            .filter(|(alone, _)| *alone == uid)
            .map_or(0, |(_, times)| times)
    }

    /// Notes that a message came.
    pub(crate) fn came(&mut self) {
        self.came = true;
    }

    /// Messages were asked for together, some `came`, then reading failed.
    ///
    /// # Errors
    /// The failure, where it is no single message's.
    pub(crate) fn after(
        &mut self,
        asked: &[u32],
        came: &BTreeSet<u32>,
        error: ImapError,
    ) -> Result<Narrowed, ImapError> {
        self.failures += 1;
        self.came |= !came.is_empty();
        let is_of_a_message = error.ended() || error.kind == Kind::Unexpected;
        if !is_of_a_message || self.failures > MOST_FAILURES {
            return Err(error);
        }
        let rest = asked.iter().copied().filter(|uid| !came.contains(uid));
        let rest: Vec<u32> = rest.collect();
        let mut narrowed = Narrowed::default();
        match rest.split_first() {
            None => {}
            Some((first, [])) => {
                let times = self.failed_alone(*first) + 1;
                self.alone = Some((*first, times));
                if times < TIMES {
                    narrowed.again.push(rest);
                } else {
                    self.given_up += 1;
                    let most = if self.came {
                        MOST_GIVEN_UP
                    } else {
                        Self::MOST_AT_FIRST
                    };
                    if self.given_up > most {
                        return Err(error);
                    }
                    let how = if error.ended() {
                        "ended the connection"
                    } else {
                        "answered with what cannot be read"
                    };
                    narrowed.given_up = Some((
                        *first,
                        format!("the server {how} when it was read: {}", error.text),
                    ));
                }
            }
            Some((first, others)) if came.is_empty() => {
                narrowed.again = vec![vec![*first], others.to_vec()];
            }
            Some(_) => narrowed.again.push(rest),
        }
        Ok(narrowed)
    }

    /// Connects anew after a failure and opens the mailbox, of that UIDVALIDITY, again.
    ///
    /// # Errors
    /// The failure itself, where no connection comes about; that of opening the mailbox.
    pub(crate) async fn connect_again(
        link: &mut Account,
        (mailbox, uidvalidity): (&Mailbox, u32),
        error: &ImapError,
    ) -> Result<(), ImapError> {
        tracing::warn!(%error, "going on with the messages that are left");
        let Ok(again) = Account::open(Arc::clone(link.endpoint())).await else {
            return Err(error.clone());
        };
        *link = again;
        link.open_listed(mailbox, uidvalidity).await?;
        Ok(())
    }
}

/// Bodies of messages of an open mailbox, past those at which reading fails.
pub(crate) struct Bodies<'a> {
    /// Name and UIDVALIDITY.
    mailbox: (&'a Mailbox, u32),
    narrowing: &'a mut Narrowing,
    sets: VecDeque<Vec<u32>>,
    /// What is under way: its tag, what was asked for, what has come.
    asked: Option<(String, Vec<u32>, BTreeSet<u32>)>,
    /// A failure that others are read behind, and what was given up for it; or one that ends reading.
    failed: Option<ImapError>,
    given_up: Option<(u32, String)>,
    fatal: Option<ImapError>,
}

impl<'a> Bodies<'a> {
    /// So many `at_once` are asked for.
    pub(crate) fn new(
        mailbox: (&'a Mailbox, u32),
        narrowing: &'a mut Narrowing,
        uids: &[u32],
        at_once: usize,
    ) -> Self {
        Self {
            mailbox,
            narrowing,
            sets: uids.chunks(at_once.max(1)).map(<[u32]>::to_vec).collect(),
            asked: None,
            failed: None,
            given_up: None,
            fatal: None,
        }
    }

    /// What comes next; [`BodyEvent::End`] after each of the sets that were asked for at once, whole or not; `None` when
    /// there is no more.
    ///
    /// # Errors
    /// What is no single message's failure.
    pub(crate) async fn next(
        &mut self,
        link: &mut Account,
    ) -> Result<Option<BodyEvent>, AgentError> {
        if let Some(error) = self.fatal.take() {
            return Err(error.into());
        }
        if let Some(error) = self.failed.take() {
            Narrowing::connect_again(link, self.mailbox, &error).await?;
        }
        if let Some((uid, reason)) = self.given_up.take() {
            return Ok(Some(BodyEvent::Unreadable(uid, reason)));
        }
        if self.asked.is_none() {
            let Some(uids) = self.sets.pop_front() else {
                return Ok(None);
            };
            let tag = link.ask_bodies(&wire::uid_set(&uids)).await?;
            self.asked = Some((tag, uids, BTreeSet::new()));
        }
        let Some((tag, uids, came)) = &mut self.asked else {
            return Ok(None);
        };
        match link.next_body(tag).await {
            Ok(BodyEvent::End) => {
                self.asked = None;
                Ok(Some(BodyEvent::End))
            }
            Ok(event) => {
                came.extend(event.uid());
                self.narrowing.came();
                Ok(Some(event))
            }
            Err(error) => {
                let narrowed = if link.reads_in_parts() {
                    self.narrowing.after(uids, came, error.clone())
                } else {
                    Err(error.clone())
                };
                match narrowed {
                    Ok(narrowed) => {
                        for set in narrowed.again.into_iter().rev() {
                            self.sets.push_front(set);
                        }
                        self.given_up = narrowed.given_up;
                        self.failed = Some(error);
                    }
                    Err(error) => self.fatal = Some(error),
                }
                // What came whole before it is kept.
                self.asked = None;
                Ok(Some(BodyEvent::End))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use maildreieck_api_spec::vocabulary::Corner;

    use super::*;

    fn error(kind: Kind) -> ImapError {
        ImapError {
            kind,
            corner: Corner::Primary,
            server: "a:1".to_owned(),
            command: "UID FETCH",
            folder: None,
            text: "it closed".to_owned(),
        }
    }

    /// What is given up where reading fails at some messages.
    fn read(uids: &[u32], bad: &[u32]) -> Result<Vec<u32>, ImapError> {
        let mut narrowing = Narrowing::default();
        let mut sets = VecDeque::from([uids.to_vec()]);
        let (mut read, mut given_up) = (Vec::new(), Vec::new());
        while let Some(set) = sets.pop_front() {
            let good = set.iter().take_while(|uid| !bad.contains(uid));
            let came: BTreeSet<u32> = good.copied().collect();
            read.extend(&came);
            if !came.is_empty() {
                narrowing.came();
            }
            if came.len() < set.len() {
                let narrowed = narrowing.after(&set, &came, error(Kind::Cut))?;
                for set in narrowed.again.into_iter().rev() {
                    sets.push_front(set);
                }
                given_up.extend(narrowed.given_up.map(|(uid, _)| uid));
            }
        }
        let mut all = [read, given_up.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, uids);
        Ok(given_up)
    }

    #[test]
    fn each_message_that_fails_is_found_and_no_other() {
        let uids: Vec<u32> = (1..=50).collect();
        for bad in [&[1][..], &[50], &[1, 2], &[7, 20, 21, 50], &[]] {
            assert_eq!(read(&uids, bad).unwrap(), bad);
        }
    }

    #[test]
    fn an_account_that_fails_everywhere_is_no_matter_of_messages() {
        let uids: Vec<u32> = (1..=50).collect();
        assert!(read(&uids, &uids).is_err());
        assert!(read(&uids, &uids[..3]).is_err());
        assert!(read(&uids, &uids[10..31]).is_err());
        let refused = Narrowing::default().after(&uids, &BTreeSet::new(), error(Kind::No));
        assert!(refused.is_err());
    }
}
