//! Agents as people see them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{AgentId, SiteId};
pub use crate::vocabulary::AgentState;

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// The agent.
    pub id: AgentId,
    /// Its site.
    pub site_id: SiteId,
    /// How it is.
    pub state: AgentState,
    /// Its version.
    pub version: String,
    /// Operating system and architecture.
    pub platform: String,
    /// SHA-256 of the 32 octets of its signing key, in hex, to compare with what the agent printed.
    pub signing_key_sha256: String,
    /// The same of its sealing key.
    pub sealing_key_sha256: String,
    /// When it was enrolled.
    pub enrolled_at: DateTime<Utc>,
    /// Its last sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// When a cycle last came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cycle_at: Option<DateTime<Utc>>,
    /// Its clock minus the server's, in milliseconds, at the last sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// Reports that waited to be delivered.
    pub spooled_runs: u64,
    /// Octets of its store.
    pub store_bytes: u64,
    /// Octets free where the store lies.
    pub free_disk_bytes: u64,
}
