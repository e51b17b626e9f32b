//! Enrolment codes: with one, once and within an hour, an agent becomes the agent of a site.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{AgentId, EnrolmentCodeId, SiteId};

/// A code that has been made, as people see it afterwards: without the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentCode {
    /// The code's id.
    pub id: EnrolmentCodeId,
    /// The site it is bound to.
    pub site_id: SiteId,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// The agent that used it, once one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
}

/// A code that has just been made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedEnrolmentCode {
    /// The code's id.
    pub id: EnrolmentCodeId,
    /// The site it is bound to.
    pub site_id: SiteId,
    /// The code: 128 random bits in Crockford's base 32, grouped by hyphens. It is shown once; the answer
    /// repeated for an `Idempotency-Key` lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0K8M3-2VQ9Z-7TB4N-WX5CD-HGRP1-6")]
    pub code: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// SHA-256 of the server's certificate in hex, where the server itself speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

impl std::fmt::Debug for IssuedEnrolmentCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedEnrolmentCode")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
