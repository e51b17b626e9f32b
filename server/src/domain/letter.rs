//! A mail on its way out, and what became of an attempt to send it.

use chrono::{DateTime, Utc};

/// A mail with what it says.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Who.
    pub recipient: String,
    /// The same in each attempt.
    pub message_id: String,
    /// Attempts so far, this one included.
    pub attempts: u64,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The mail server took it.
    Sent,
    /// It may do so later; the code says why not now.
    Later(&'static str),
    /// It will not, whatever is tried.
    Never(&'static str),
}
