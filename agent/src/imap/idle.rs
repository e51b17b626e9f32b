//! Waiting for the server to say that something changed (RFC 2177).

use std::time::Duration;

use async_imap::imap_proto::{MailboxDatum, Response};

use super::error::{ImapError, Kind};
use super::link::{AnyResponse as _, Link};

impl Link {
    /// Waits in the open mailbox until something changes there, for so long at most; whether something did.
    ///
    /// # Errors
    /// The server cannot, or the connection ended.
    pub async fn idle(&mut self, longest: Duration) -> Result<bool, ImapError> {
        let before = (self.exists, self.expunged);
        let tag = self.send("IDLE", "IDLE").await?;
        self.outstanding.insert(tag.clone());
        self.until_plus("IDLE", &tag).await?;
        // A server may say what is new before the `+`, and after DONE.
        let mut changed = before != (self.exists, self.expunged);
        let waiting = async {
            while !changed && !self.answers.contains_key(&tag) {
                let response = self.read_within("IDLE", Duration::MAX).await?;
                let parsed = response.parsed();
                changed = matches!(
                    parsed,
                    Response::MailboxData(MailboxDatum::Exists(_))
                        | Response::Expunge(_)
                        | Response::Vanished { .. }
                        | Response::Fetch(..)
                );
                self.absorb("IDLE", "", parsed)?;
            }
            Ok(())
        };
        if let Ok(ended) = tokio::time::timeout(longest, waiting).await {
            ended?;
        }
        if !self.answers.contains_key(&tag) {
            self.write("IDLE", b"DONE\r\n").await?;
            self.answer("IDLE", &tag).await?;
        }
        match self.answers.remove(&tag) {
            Some(finished) => self.demand_ok("IDLE", None, finished)?,
            None => return Err(self.error(Kind::Unexpected, "IDLE", "no answer")),
        };
        Ok(changed || before != (self.exists, self.expunged))
    }
}
