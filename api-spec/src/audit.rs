//! The audit chains as people read them. A chain is a tenant's or the provider's; each record holds the
//! hash of the one before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::page::Limit;

/// A record and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// SHA-256 of the record's canonical JSON (RFC 8785), in hex.
    #[schema(min_length = 64, max_length = 64)]
    pub hash: String,
    /// The record, with all that the hash is over. An export has it octet for octet.
    #[schema(value_type = AuditEntry)]
    pub record: serde_json::Value,
}

/// What a record of format `maildreieck-audit/1` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// `maildreieck-audit/1`.
    pub format: String,
    /// Whose chain: the tenant's id, or `provider`.
    pub chain: String,
    /// The record's place in it, from 1 without a gap.
    pub seq: u64,
    /// The hash of the record before it; 64 zeros in the first.
    pub previous: String,
    /// The record's id.
    #[schema(format = Uuid)]
    pub id: String,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// Who did it: a `user` or an `agent` by id, or the `system` by what it was doing.
    pub actor: AuditName,
    /// What was done, like `site.create`.
    pub action: String,
    /// To what.
    pub object: AuditName,
    /// With which values, none of them personal.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
    /// Personal values, sealed.
    pub personal: Vec<AuditPersonal>,
    /// In which request.
    pub request_id: String,
}

/// Somebody or something that a record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditName {
    /// The kind of thing.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// The personal values of one person, sealed under a key of tenant and person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPersonal {
    /// Whose.
    pub person: String,
    /// Base64; the chain hashes it as it stands.
    pub ciphertext: String,
}

/// Which records of a chain.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Of this action, like `site.create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Done by this person or agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// Done to this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// Not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// Before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// How many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 200, default = 50, required = false)]
    pub limit: Limit,
    /// Where the last page ended: its `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 400)]
    pub cursor: Option<String>,
}
