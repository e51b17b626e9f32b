//! Sites: the places of a tenant where one agent works.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{AgentId, SiteId};
use crate::text::Name;

/// What is set for a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// Its name.
    pub name: Name,
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// The site.
    pub id: SiteId,
    /// What is set for it.
    #[serde(flatten)]
    pub config: SiteConfig,
    /// The agent that works there, once one is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// Grows with each change of what the site's agent has to do.
    pub assignment_version: u64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}
