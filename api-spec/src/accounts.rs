//! Mail accounts. There is no field for a password, and none is taken: passwords stay on site.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ids::AccountId;
use crate::text::{HostName, Name, Port, UserName};
use crate::vocabulary::Tls;

/// What is set for an account. A field that is not listed here, a password above all, is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// What people call it.
    pub name: Name,
    /// Where its IMAP server is.
    pub host: HostName,
    /// On which port.
    pub port: Port,
    /// How the connection is protected.
    pub tls: Tls,
    /// Who logs in.
    pub username: UserName,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// What is set for it.
    #[serde(flatten)]
    pub config: AccountConfig,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}
