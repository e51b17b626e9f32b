//! What agent and server say to each other besides runs: enrolment, tokens, assignment, heartbeat.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{AccountId, AgentId, ScheduleId, SiteId, TenantId, TriangleId};
use crate::vocabulary::Tls;

/// Enrols an agent with a single-use code (`POST /agent/v1/enrol`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The code: 128 random bits as a person was given them; hyphens and case do not matter.
    #[schema(max_length = 80)]
    pub code: String,
    /// The agent's Ed25519 public key, 32 octets in base64url without padding.
    #[schema(max_length = 64)]
    pub signing_key: String,
    /// The agent's X25519 public key, 32 octets in base64url without padding.
    #[schema(max_length = 64)]
    pub sealing_key: String,
    /// The agent's version.
    #[schema(max_length = 64)]
    pub version: String,
    /// Operating system and architecture, like `linux-x86_64`.
    #[schema(max_length = 64)]
    pub platform: String,
}

/// Who the agent is from now on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EnrolResponse {
    /// The agent.
    pub agent_id: AgentId,
    /// Its site.
    pub site_id: SiteId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// What the agent must name as audience in its assertions.
    pub audience: String,
    /// The Ed25519 public key that the server countersigns certificates with, 32 octets in base64url without padding.
    #[schema(min_length = 43, max_length = 43)]
    pub server_key: String,
}

/// A nonce to sign, good once and for two minutes (`POST /agent/v1/nonce`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NonceResponse {
    /// 128 random bits, base64url.
    pub nonce: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A nonce for the certificate of a run, good for that run alone (`POST /agent/v1/runs/{run_id}/nonce`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunNonceResponse {
    /// 96 characters of base64url; 128 random bits are in it.
    #[schema(min_length = 96, max_length = 96)]
    pub nonce: String,
}

/// Asks for an access token (`POST /agent/v1/token`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// A JWT (RFC 7519) signed with EdDSA by the agent's signing key over [`AssertionClaims`].
    #[schema(max_length = 4096)]
    pub assertion: String,
}

/// The claims of an agent's assertion.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssertionClaims {
    /// The agent's id.
    pub iss: String,
    /// The audience that enrolment named.
    pub aud: String,
    /// The server's nonce.
    pub nonce: String,
    /// Grows by at least one with each assertion; two agents with one key are found by it.
    pub counter: u64,
    /// When it was signed by the server's clock, seconds since 1970.
    pub iat: i64,
    /// Until when it is good by the server's clock, seconds since 1970; five minutes after `iat` at most.
    pub exp: i64,
}

/// An access token.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenResponse {
    /// The bearer token (RFC 6750).
    pub access_token: String,
    /// Its life in seconds.
    pub expires_in_s: u64,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenResponse")
            .field("expires_in_s", &self.expires_in_s)
            .finish_non_exhaustive()
    }
}

/// A cron line with its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CronSchedule {
    /// Exactly five fields: minute, hour, day of month, month, day of week. No seconds, no `@daily`.
    #[schema(example = "0 18 * * mon-fri", max_length = 200)]
    pub cron: String,
    /// An IANA zone.
    #[schema(example = "Europe/Berlin", max_length = 64)]
    pub timezone: String,
}

/// A schedule as the agent follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedSchedule {
    /// The schedule, for [`crate::ids::RunId::of_schedule`].
    pub schedule_id: ScheduleId,
    /// When it is due.
    #[serde(flatten)]
    pub when: CronSchedule,
}

/// Where an account is. There is no password in it: those stay in files on site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedAccount {
    /// The account.
    pub account_id: AccountId,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection.
    pub tls: Tls,
    /// User name.
    pub username: String,
}

/// A triangle as the agent works on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignedTriangle {
    /// The triangle.
    pub triangle_id: TriangleId,
    /// Its name; the site's file names the passwords under it.
    pub name: String,
    /// The primary.
    pub primary: AssignedAccount,
    /// The standby.
    pub standby: AssignedAccount,
    /// Folder on the standby below which this triangle's folders lie; empty for none.
    pub standby_prefix: String,
    /// Folders left out: role names or exact paths, each with its subtree.
    pub exclude_folders: Vec<String>,
    /// When the corners are proved.
    pub tx: AssignedSchedule,
    /// When mail is mirrored besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<AssignedSchedule>,
}

/// What an agent has to do (`GET /agent/v1/assignment`, with `ETag`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// Grows with each change.
    pub version: u64,
    /// The site's triangles.
    pub triangles: Vec<AssignedTriangle>,
}

/// A sign of life (`POST /agent/v1/heartbeat`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The agent's version.
    #[schema(max_length = 64)]
    pub version: String,
    /// Operating system and architecture.
    #[schema(max_length = 64)]
    pub platform: String,
    /// The agent's clock; the server measures the skew.
    pub sent_at: DateTime<Utc>,
    /// When a cycle last came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cycle_at: Option<DateTime<Utc>>,
    /// Reports that wait to be delivered.
    pub spooled_runs: u64,
    /// Octets of the store.
    pub store_bytes: u64,
    /// Octets free where the store lies.
    pub free_disk_bytes: u64,
}

/// The answer to a sign of life.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatResponse {
    /// The server's clock.
    pub server_time: DateTime<Utc>,
    /// The assignment's version: fetch it anew when it is another.
    pub assignment_version: u64,
    /// When to come again, in seconds, before jitter.
    pub poll_after_s: u64,
}
