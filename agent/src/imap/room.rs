//! What an account has room for: the largest message that it takes (RFC 7889) and what is left of its quota (RFC
//! 2087, RFC 9208).
//!
//! A server that does not say, or says it in a way that is not understood, is one that takes anything until it
//! refuses. The answers are read past the parser, which knows no APPENDLIMIT.

use std::collections::BTreeMap;

use super::error::ImapError;
use super::folders::AT_ONCE;
use super::link::Link;
use super::wire::{self, Mailbox};

/// The command that tells the quota of a mailbox (RFC 9208, 4.1.2).
pub(super) const GETQUOTAROOT: &str = "GETQUOTAROOT";

/// What is left of an account's quota, as it stands for its INBOX; `None` where nothing bounds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaLeft {
    /// Octets.
    pub octets: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
}

impl QuotaLeft {
    /// What is left where both bound it.
    fn and(self, other: Self) -> Self {
        let least = |one: Option<u64>, other| one.into_iter().chain(other).min();
        Self {
            octets: least(self.octets, other.octets),
            messages: least(self.messages, other.messages),
        }
    }

    /// What the lines say that a question for a quota root is answered with.
    pub(super) fn told(lines: impl Iterator<Item = String>) -> Self {
        let resources = lines.flat_map(|line| wire::quota_resources(&line));
        let left = resources.map(|(name, usage, limit)| Self::of(&name, usage, limit));
        left.fold(Self::default(), Self::and)
    }

    /// One resource of a quota root: its name, its usage and its limit.
    fn of(name: &str, usage: u64, limit: u64) -> Self {
        let left = limit.saturating_sub(usage);
        match name.to_ascii_uppercase().as_str() {
            // In units of 1,024 octets (RFC 9208, 5.1). Both figures may be rounded up.
            "STORAGE" => Self {
                octets: Some(left.saturating_mul(1024).saturating_sub(1023)),
                messages: None,
            },
            "MESSAGE" => Self {
                octets: None,
                messages: Some(left),
            },
            _ => Self::default(),
        }
    }
}

impl Link {
    /// The largest message that the account takes, octets, where it is the same for all folders.
    #[must_use]
    pub fn append_limit(&self) -> Option<u64> {
        self.capabilities.value_of("APPENDLIMIT")
    }

    /// What is left of the account's quota, in one round trip.
    ///
    /// # Errors
    /// The connection failed. That the server does not tell is no error.
    pub async fn quota_left(&mut self) -> Result<QuotaLeft, ImapError> {
        if !self.capabilities.has("QUOTA") {
            return Ok(QuotaLeft::default());
        }
        let answers = self.ask_raw(GETQUOTAROOT, vec![format!("{GETQUOTAROOT} INBOX")]);
        let lines = answers.await?.into_iter().flatten().flatten();
        Ok(QuotaLeft::told(lines))
    }

    /// The largest message that each of these folders takes, octets, where the server has a limit of its own for
    /// each; in one round trip for each 32.
    ///
    /// # Errors
    /// The connection failed. That the server does not tell is no error.
    pub async fn append_limits(
        &mut self,
        mailboxes: &[Mailbox],
    ) -> Result<BTreeMap<Mailbox, u64>, ImapError> {
        let mut limits = BTreeMap::new();
        if !self.capabilities.has("APPENDLIMIT") {
            return Ok(limits);
        }
        for some in mailboxes.chunks(AT_ONCE) {
            let line = |mailbox: &Mailbox| format!("STATUS {} (APPENDLIMIT)", mailbox.quoted());
            let answers = self.ask_raw("STATUS", some.iter().map(line).collect());
            for (mailbox, lines) in some.iter().zip(answers.await?) {
                let mut lines = lines.into_iter().flatten();
                let limit = lines.find_map(|line| wire::append_limit(&line));
                limits.extend(limit.map(|limit| (mailbox.clone(), limit)));
            }
        }
        Ok(limits)
    }

    /// Sends commands at once and reads the lines that each is answered with; `None` for one that was refused.
    /// What the server says of the open mailbox meanwhile is lost, so that none is open afterwards.
    async fn ask_raw(
        &mut self,
        command: &'static str,
        asks: Vec<String>,
    ) -> Result<Vec<Option<Vec<String>>>, ImapError> {
        let mut lines = String::new();
        let mut tags = Vec::with_capacity(asks.len());
        for ask in asks {
            let tag = self.tag();
            lines.push_str(&format!("{tag} {ask}\r\n"));
            tags.push(tag);
        }
        self.selected = None;
        self.write(command, lines.as_bytes()).await?;
        let mut answers = Vec::with_capacity(tags.len());
        for tag in tags {
            answers.push(self.raw_lines(command, &tag).await?);
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_the_least_of_all_roots() {
        let check = |resources: &[(&str, u64, u64)], octets, messages| {
            let left = resources.iter().map(|(n, u, l)| QuotaLeft::of(n, *u, *l));
            let left = left.fold(QuotaLeft::default(), QuotaLeft::and);
            assert_eq!(left, QuotaLeft { octets, messages }, "{resources:?}");
        };
        check(&[], None, None);
        check(&[("STORAGE", 10, 512)], Some(502 * 1024 - 1023), None);
        check(
            &[("storage", 10, 11), ("MESSAGE", 7, 9), ("STORAGE", 0, 99)],
            Some(1),
            Some(2),
        );
        check(&[("STORAGE", 12, 10), ("MAILBOX", 1, 1)], Some(0), None);
        check(&[("STORAGE", 0, u64::MAX)], Some(u64::MAX - 1023), None);
    }
}
