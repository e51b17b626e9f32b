//! Identifiers, one type per kind of thing, so that a site's id cannot be passed where a tenant's is
//! wanted. All are UUIDs; those that the server makes are version 7 (RFC 9562), so that sorting by id
//! sorts by age. A run's id is version 5, computed alike by whoever knows schedule and due time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid, example = "0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d")]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, version 7: the time in milliseconds, then randomness.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// A small business.
    TenantId,
    /// A place of a tenant where one agent works.
    SiteId,
    /// A mail account: the primary, or the standby of one or more triangles.
    AccountId,
    /// A primary, a standby and the store of one site.
    TriangleId,
    /// An enrolled agent.
    AgentId,
    /// A person who logs in.
    UserId,
    /// A recurring due time of a triangle: its Tx or its mirror.
    ScheduleId,
    /// One run of an agent.
    RunId,
    /// An enrolment code (the id, never the code).
    EnrolmentCodeId,
    /// The owner's report of one tenant and local day.
    DailyReportId,
    /// A record of the audit chain.
    AuditId,
}

impl RunId {
    /// The id of the run that a schedule expects at an instant: UUIDv5 (RFC 9562, 5.5) of the due time,
    /// as whole seconds since 1970 in decimal, in the name space of the schedule's id. Agent and server
    /// compute the same one without talking, which is what makes one Tx never two runs.
    #[must_use]
    pub fn of_schedule(schedule: ScheduleId, due_at: DateTime<Utc>) -> Self {
        Self(Uuid::new_v5(
            &schedule.0,
            due_at.timestamp().to_string().as_bytes(),
        ))
    }
}
