//! One error for the rooms that act, with what the report to the server says of it.

use maildreieck_api_spec::runs::{Failure, FailureCode};

use crate::identity::IdentityError;
use crate::imap::ImapError;
use crate::ledger::LedgerError;
use crate::report::chain::ChainError;
use crate::store::StoreError;

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A mail server.
    #[error(transparent)]
    Imap(#[from] ImapError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates before this one.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The keys that certificates are signed with.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The configuration.
    #[error("{0}")]
    Config(String),
    /// The accounts changed faster than they could be looked at.
    #[error(
        "the accounts changed again and again while they were mirrored (trying again can help)"
    )]
    Unsteady,
    /// Somebody told the program to end.
    #[error(
        "interrupted; what was done stays done, and the next run goes on there (trying again helps)"
    )]
    Interrupted,
    /// Something that must not be: a fault of ours.
    #[error("internal error: {0}; please report it")]
    Internal(&'static str),
}

impl AgentError {
    /// A fault of the configuration.
    pub fn config(error: impl std::fmt::Display) -> Self {
        Self::Config(error.to_string())
    }

    /// Whether trying again can help without anybody doing anything.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self {
            Self::Imap(error) => error.temporary(),
            Self::Store(error) => error.temporary(),
            Self::Unsteady | Self::Interrupted | Self::Ledger(LedgerError::Locked) => true,
            Self::Ledger(_)
            | Self::Chain(_)
            | Self::Identity(_)
            | Self::Config(_)
            | Self::Internal(_) => false,
        }
    }

    /// The failure as the server learns of it: a code, never a text.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (code, corner) = match self {
            Self::Imap(error) => (error.code(), Some(error.corner)),
            Self::Store(error) if error.concerns_key() => (FailureCode::StoreKey, None),
            Self::Store(_) | Self::Ledger(_) | Self::Chain(_) | Self::Identity(_) => {
                (FailureCode::LocalStorage, None)
            }
            Self::Config(_) => (FailureCode::Configuration, None),
            Self::Unsteady | Self::Interrupted => (FailureCode::Interrupted, None),
            Self::Internal(_) => (FailureCode::Internal, None),
        };
        Failure {
            code,
            corner,
            temporary: self.temporary(),
        }
    }
}
