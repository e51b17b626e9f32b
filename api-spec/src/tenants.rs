//! Tenants: each one small business.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::TenantId;
use crate::text::{EmailAddress, GraceMinutes, Name, ZoneName};
pub use crate::vocabulary::Language;

/// What is set for a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// The business's name.
    pub name: Name,
    /// The zone whose days the daily report follows.
    pub timezone: ZoneName,
    /// The language of its reports.
    pub language: Language,
    /// Who gets the daily report; none keeps it on the server alone.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub report_to: Vec<EmailAddress>,
    /// How long after its due time a Tx may arrive, where its triangle says nothing else.
    #[serde(default = "default_grace")]
    #[schema(default = 30)]
    pub grace_min: GraceMinutes,
}

fn default_grace() -> GraceMinutes {
    #[expect(clippy::expect_used, reason = "30 is within the type's bounds")]
    GraceMinutes::try_from(30).expect("30 minutes are admissible")
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// What is set for it.
    #[serde(flatten)]
    pub config: TenantConfig,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}
