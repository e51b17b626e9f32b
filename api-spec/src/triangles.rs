//! Triangles: a primary account, a standby account and the store of one site, with the times at which
//! mail is mirrored and the corners are proved.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::agents::CronSchedule;
use crate::ids::{AccountId, ScheduleId, SiteId, TriangleId};
use crate::text::{FolderName, GraceMinutes, Name, StandbyPrefix};

/// What is set for a triangle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriangleConfig {
    /// Its name, one of its kind at its site: the site's file names the passwords under it.
    pub name: Name,
    /// The site whose agent works on it.
    pub site_id: SiteId,
    /// The primary; of this triangle alone.
    pub primary_account_id: AccountId,
    /// The standby; shared only under disjoint prefixes and within one site.
    pub standby_account_id: AccountId,
    /// Folder on the standby below which this triangle's folders lie; empty for none.
    #[serde(default = "no_prefix")]
    #[schema(default = "")]
    pub standby_prefix: StandbyPrefix,
    /// Folders left out: role names or exact paths, each with its subtree.
    #[serde(default = "excluded_by_default")]
    #[schema(max_items = 100)]
    pub exclude_folders: Vec<FolderName>,
    /// When the corners are proved.
    pub tx: CronSchedule,
    /// When mail is mirrored besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<CronSchedule>,
    /// How long after its due time a Tx may arrive; the tenant's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_min: Option<GraceMinutes>,
}

#[expect(
    clippy::expect_used,
    reason = "the empty text is within the type's rule"
)]
fn no_prefix() -> StandbyPrefix {
    StandbyPrefix::try_from(String::new()).expect("an empty prefix is admissible")
}

fn excluded_by_default() -> Vec<FolderName> {
    ["Junk", "Trash", "Drafts"]
        .into_iter()
        .filter_map(|name| FolderName::try_from(name.to_owned()).ok())
        .collect()
}

/// A triangle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triangle {
    /// The triangle.
    pub id: TriangleId,
    /// What is set for it.
    #[serde(flatten)]
    pub config: TriangleConfig,
    /// The schedule of its Tx.
    pub tx_schedule_id: ScheduleId,
    /// The schedule of its mirror, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_schedule_id: Option<ScheduleId>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}
