//! What both accounts may still move today, and servers that want to be left alone.

use chrono::DateTime;

use super::{Round, Site};
use crate::clock;
use crate::config::TriangleConfig;
use crate::error::AgentError;
use crate::imap::{Endpoint, ImapError, Kind};
use crate::plan::budget::{Left, Waiting};
use crate::report::Pending;

impl Site {
    /// Refuses where a server wants to be left alone still.
    pub(super) fn may_ask(&self, endpoint: &Endpoint) -> Result<(), AgentError> {
        let now = clock::now_s();
        let until = {
            let mut ledger = self.ledger.borrow_mut();
            ledger.backs_off(&endpoint.account(), now)?
        };
        let Some(until) = until.and_then(|at| DateTime::from_timestamp(at, 0)) else {
            return Ok(());
        };
        Err(ImapError {
            kind: Kind::BackOff,
            corner: endpoint.corner,
            server: format!("{}:{}", endpoint.host, endpoint.port),
            command: "connect",
            folder: None,
            text: format!("it is asked again after {}", until.to_rfc3339()),
        }
        .into())
    }

    /// Notes where a run failed because a server wants to be left alone. What [`Self::may_ask`] says begins no
    /// new time.
    pub(super) fn note_back_off(
        &self,
        triangle: &TriangleConfig,
        error: &AgentError,
    ) -> Result<(), AgentError> {
        let AgentError::Imap(error) = error else {
            return Ok(());
        };
        let Some(wait) = error.backs_off().filter(|_| error.command != "connect") else {
            return Ok(());
        };
        let account = triangle.account(error.corner);
        let endpoint = account.endpoint(error.corner).map_err(AgentError::config)?;
        let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        let until = clock::now_s().saturating_add(wait.max(1));
        let mut ledger = self.ledger.borrow_mut();
        Ok(ledger.back_off(&endpoint.account(), until)?)
    }
}

impl Round<'_> {
    /// What source and target may still move.
    pub(super) fn left(&self) -> Result<(Left, Left), AgentError> {
        self.note_spent()?;
        let triangle = self.triangle;
        let left = |limit: Option<u64>, endpoint: &Endpoint| {
            if limit.is_none() {
                return Ok(Left::ANY);
            }
            let mut ledger = self.site.ledger.borrow_mut();
            let spent = ledger.spent(&endpoint.account(), clock::now_s())?;
            Ok::<Left, AgentError>(Left::of(limit, spent))
        };
        Ok((
            left(triangle.primary.bytes_per_day, self.source_link.endpoint())?,
            left(triangle.standby.bytes_per_day, &self.target_endpoint)?,
        ))
    }

    /// Writes down what has been fetched from the source; what is sent to the target is noted before it is.
    pub(super) fn note_spent(&self) -> Result<(), AgentError> {
        let endpoint = self.source_link.endpoint();
        let mut ledger = self.site.ledger.borrow_mut();
        Ok(ledger.spend(&endpoint.account(), endpoint.meter.take(), clock::now_s())?)
    }

    /// What waits for a budget, and when the first of it has room again in each account that it concerns; what waits
    /// for room on the standby.
    pub(super) fn pending(&self, waiting: Waiting) -> Result<Option<Pending>, AgentError> {
        if waiting.is_empty() {
            return Ok(None);
        }
        self.note_spent()?;
        let (source, target) = (self.source_link.endpoint(), &self.target_endpoint);
        let (read, sent) = (
            waiting.first.filter(|first| first.read),
            waiting.first.filter(|first| first.sent),
        );
        let accounts = [
            (&self.triangle.primary, source, read),
            (&self.triangle.standby, target, sent),
        ];
        let mut goes_on = None;
        for (account, endpoint, first) in accounts {
            let (Some(limit), Some(first)) = (account.bytes_per_day, first) else {
                continue;
            };
            let fits = |spent| Left::of(Some(limit), spent).fits(first.bytes);
            let mut ledger = self.site.ledger.borrow_mut();
            let at = ledger.room_at(&endpoint.account(), clock::now_s(), fits)?;
            goes_on = goes_on.max(Some(at));
        }
        Ok(Some(Pending {
            messages: waiting.messages,
            bytes: waiting.bytes,
            goes_on_at: goes_on.and_then(|at| DateTime::from_timestamp(at, 0)),
            full: self.full(waiting.homeless),
        }))
    }
}
