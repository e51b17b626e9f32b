//! What can go wrong between agent and server.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use maildreieck_api_spec::problem::Problem;

use crate::http::Fault;
use crate::identity::IdentityError;
use crate::report::spool::SpoolError;

/// What the server calls a report of a time that has not come yet.
const CLOCKS_DIFFER: &str = "/problems/clocks-differ";

/// Why something could not be said to the server, or was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The address is none, or unprotected.
    #[error("the server's address {url:?} {detail}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// The file with the server's certificate authority.
    #[error("the certificate file {path}: {detail}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Reading or writing one of the agent's own files failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The agent's keys.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// This data folder has an agent already.
    #[error(
        "this agent is enrolled already, as {agent_id} at {server}; say --replace to enrol it anew under new keys"
    )]
    AlreadyEnrolled {
        /// Who it is.
        agent_id: String,
        /// Where.
        server: String,
    },
    /// This data folder has no agent yet.
    #[error(
        "this agent is not enrolled; run `maildreieck-agent enrol` with a code from the server"
    )]
    NotEnrolled,
    /// No answer came.
    #[error("{action}: no answer from the server: {detail}{}", advice(*.fault))]
    Unreachable {
        /// What was being done.
        action: &'static str,
        /// Which kind of failure it was.
        fault: Fault,
        /// What the network, or TLS, said.
        detail: String,
    },
    /// The server said no.
    #[error("{action}: the server refused with {status}{}{}", words(.problem.as_deref()), refusal_advice(.action, *.status))]
    Refused {
        /// What was being done.
        action: &'static str,
        /// The HTTP status code.
        status: u16,
        /// What the server said about it, where it did.
        problem: Option<Box<Problem>>,
        /// When to come again, where it said so.
        retry_after: Option<Duration>,
    },
    /// An answer that is none of ours.
    #[error(
        "{action}: the answer was not understood ({detail}); is {url} a Maildreieck server, and is the agent as new as it is?"
    )]
    Answer {
        /// What was being done.
        action: &'static str,
        /// The server's address.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Signing failed.
    #[error("signing in with the agent's key failed: {detail}")]
    Signing {
        /// What the library said.
        detail: String,
    },
    /// The spool failed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl ApiError {
    /// Whether the failure is what was said on the command line or in the configuration.
    #[must_use]
    pub fn bad_usage(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Authority { .. })
    }

    /// Whether trying again can help without anybody doing anything.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self {
            Self::Unreachable { fault, .. } => *fault != Fault::Certificate,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Answer { .. } => true,
            _ => false,
        }
    }

    /// Whether the server was reached and does not take this agent.
    #[must_use]
    pub fn refuses_agent(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 401 | 403,
                ..
            }
        )
    }

    /// When the server wants to be asked again, where it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server looked at what was sent and will never take it. An error page of something
    /// between us and the server is no such look; a time that has not come by the server's clock will come.
    pub(super) fn rejects_content(&self) -> bool {
        match self {
            Self::Refused {
                status, problem, ..
            } => match status {
                413 => true,
                _ if problem.as_ref().is_some_and(|p| p.kind == CLOCKS_DIFFER) => false,
                400 | 404 | 409 | 410 | 415 | 422 => problem.is_some(),
                _ => false,
            },
            _ => false,
        }
    }
}

fn advice(fault: Fault) -> &'static str {
    match fault {
        Fault::Connection => "; check its address, the network and whether it runs",
        Fault::TimeOut => "",
        Fault::Certificate => {
            "; name its certificate authority with a CA file, or have its certificate renewed"
        }
    }
}

/// What joining a server is called.
pub(super) const ENROLLING: &str = "enrolling";

fn refusal_advice(action: &str, status: u16) -> &'static str {
    match status {
        // The server says what is wrong with a code.
        401 | 403 if action == ENROLLING => "",
        401 | 403 => {
            "; the server does not take this agent any more: it was suspended, removed or enrolled anew, or a copy of its data folder runs elsewhere. Ask the provider; end the copy, if there is one, and enrol with a new code and --replace"
        }
        _ => "",
    }
}

fn words(problem: Option<&Problem>) -> String {
    let Some(problem) = problem else {
        return String::new();
    };
    let mut text = format!(" {}", problem.title);
    if let Some(detail) = &problem.detail {
        text.push_str(": ");
        text.push_str(detail);
    }
    // The detail may name one of them.
    let said = text.clone();
    for error in &problem.errors {
        if said.contains(&error.rule) {
            continue;
        }
        text.push_str(&format!("; {}: {}", error.pointer, error.rule));
    }
    if let Some(id) = &problem.request_id {
        text.push_str(&format!(" (request {id})"));
    }
    text
}
