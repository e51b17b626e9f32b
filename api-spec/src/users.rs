//! People, and which tenant each of them works in as what.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::{TenantId, UserId};
use crate::text::{EmailAddress, Name, Password};
pub use crate::vocabulary::MemberRole;

/// A person's place in a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// The tenant.
    pub tenant_id: TenantId,
    /// As what.
    pub role: MemberRole,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The person.
    pub id: UserId,
    /// What the person logs in with.
    pub email: EmailAddress,
    /// The person's name.
    pub name: Name,
    /// Whether the person administers the provider.
    pub provider_admin: bool,
    /// The tenants the person works in; none sees nothing.
    pub memberships: Vec<Membership>,
    /// When the person was added.
    pub created_at: DateTime<Utc>,
}

/// Adds a person.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What the person logs in with.
    pub email: EmailAddress,
    /// The person's name.
    pub name: Name,
    /// The first password.
    pub password: Password,
    /// Whether the person administers the provider.
    #[serde(default)]
    pub provider_admin: bool,
}

/// A person as seen in one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The person.
    pub user_id: UserId,
    /// What the person logs in with.
    pub email: EmailAddress,
    /// The person's name.
    pub name: Name,
    /// As what.
    pub role: MemberRole,
}

/// Gives a person a place in a tenant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// As what.
    pub role: MemberRole,
}
