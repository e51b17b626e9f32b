//! Waiting for the server to say that something changed: in the open mailbox (RFC 2177), or in any (RFC 5465).

use std::time::Duration;

use async_imap::imap_proto::{MailboxDatum, Response, Status};

use super::error::{ImapError, Kind};
use super::link::{AnyResponse as _, End, Link};

/// Of the open mailbox what IDLE would tell by itself, of the others what comes and goes. MailboxName is left out: what
/// is said of a rename the parser does not know, and mail in a folder that is new is told of all the same.
const EVENTS: &str =
    "(selected (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge))";

impl Link {
    /// Has [`Self::idle`] tell of changes in all folders of the account; whether the server will. One that refuses is
    /// as it was: the command has no literal, so whatever it is answered, nothing else is taken for a command.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn notify(&mut self) -> Result<bool, ImapError> {
        if !self.capabilities.has("NOTIFY") {
            return Ok(false);
        }
        let line = format!("NOTIFY SET {EVENTS}");
        let finished = self.exchange("NOTIFY", None, &line, |_| Ok(())).await?;
        Ok(finished.end == End::Ok)
    }

    /// Waits in the open mailbox until something changes there, or wherever [`Self::notify`] has asked for; for so long at
    /// most. Whether something did.
    ///
    /// # Errors
    /// The server cannot, or does not any more, or the connection ended.
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
                if overflows(parsed) {
                    let text = "it has too much to tell, and tells no more";
                    return Err(self.error(Kind::Unexpected, "NOTIFY", text));
                }
                changed = matches!(
                    parsed,
                    Response::MailboxData(MailboxDatum::Exists(_) | MailboxDatum::Status { .. })
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

/// Whether the server gives up telling (RFC 5465, 5.8). The parser leaves the code in the text.
fn overflows(response: &Response<'_>) -> bool {
    matches!(response, Response::Data { status: Status::Ok, outcome }
        if outcome.information.as_deref().is_some_and(|text| text.to_ascii_uppercase().contains("[NOTIFICATIONOVERFLOW]")))
}
