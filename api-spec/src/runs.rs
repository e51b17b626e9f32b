//! What an agent reports of a run, and what people read of it.

mod check;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::certificate::{Certificate, Countersignature};
use crate::ids::{AgentId, RunId, ScheduleId, SiteId, TriangleId};
use crate::page::Limit;
use crate::vocabulary::{Corner, Verdict};

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Brought standby and store up to the primary.
    Mirror,
    /// Mirrored up to the cut and proved the corners.
    Tx,
}

impl RunKind {
    /// The word on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Tx => "tx",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// To its end.
    Done,
    /// The guard held part of it back.
    HeldBack,
    /// Before its end.
    Failed,
}

impl RunOutcome {
    /// The word on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::HeldBack => "held_back",
            Self::Failed => "failed",
        }
    }
}

/// What went wrong, as a code: texts stay on site, since they can quote a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// No connection: name, port, network.
    Unreachable,
    /// The connection ended early or went silent.
    Interrupted,
    /// TLS: certificate expired, unknown or for another name.
    Certificate,
    /// User name or password refused.
    CredentialsRefused,
    /// The server refused a command.
    Refused,
    /// The server's answer was not understood.
    UnexpectedAnswer,
    /// Over quota.
    OverQuota,
    /// Local disk, data folder or store.
    LocalStorage,
    /// The store's key is missing or wrong.
    StoreKey,
    /// Configuration.
    Configuration,
    /// Anything else.
    Internal,
}

/// A failed run's reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The code.
    pub code: FailureCode,
    /// Which corner, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corner: Option<Corner>,
    /// Whether trying again can help without anybody doing anything.
    pub temporary: bool,
}

/// Messages and octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Messages.
    pub messages: u64,
    /// Octets: at least one of each message.
    pub bytes: u64,
}

/// What the guard holds back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HaltFigures {
    /// The halt's id, as `confirm --halt` takes it: 16 hex digits in lower case.
    #[schema(min_length = 16, max_length = 16)]
    pub id: String,
    /// Messages that vanished or changed, or that the target lost: 1 to `of`.
    #[schema(minimum = 1)]
    pub messages: u64,
    /// Of how many that the primary was known to have: 1 or more.
    #[schema(minimum = 1)]
    pub of: u64,
}

/// The report of one run, sent once and repeated until it is answered (`PUT /agent/v1/runs/{run_id}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReport {
    /// Which triangle.
    pub triangle_id: TriangleId,
    /// Which kind.
    pub kind: RunKind,
    /// The schedule that was due; absent for a run that a person started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<ScheduleId>,
    /// When it was due; with `schedule_id`, and then `run_id` is [`RunId::of_schedule`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
    /// When it began, by the agent's clock; not before `due_at`.
    pub started_at: DateTime<Utc>,
    /// When it ended, by the agent's clock; not before anything in it.
    pub finished_at: DateTime<Utc>,
    /// Whether the agent had to decide by its own clock, without the server.
    #[serde(default)]
    pub offline: bool,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What was sent to the target.
    pub mirrored: Volume,
    /// What the guard holds back: there if the run was held back, and also where one failed that would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltFigures>,
    /// The proof of a Tx: there unless it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// The server's answer to a report: committed, and the same for each repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunReceipt {
    /// The run.
    pub run_id: RunId,
    /// When it was first received.
    pub received_at: DateTime<Utc>,
    /// What the server says of its certificate; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersignature: Option<Countersignature>,
}

/// A run as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// The site whose agent ran it.
    pub site_id: SiteId,
    /// The agent.
    pub agent_id: AgentId,
    /// When the server had it.
    pub received_at: DateTime<Utc>,
    /// The verdict, as the server recomputed it from the certificate; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the server said of the certificate; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersignature: Option<Countersignature>,
    /// What the agent reported.
    pub report: RunReport,
}

/// Which runs of a tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Of this triangle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triangle_id: Option<TriangleId>,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub kind: Option<RunKind>,
    /// With this verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub verdict: Option<Verdict>,
    /// How many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 200, default = 50, required = false)]
    pub limit: Limit,
    /// Where the last page ended: its `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 400)]
    pub cursor: Option<String>,
}
