//! How a person logs in.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::text::EmailAddress;

/// Logs a person in (`POST /api/v1/auth/login`).
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Who.
    pub email: EmailAddress,
    /// The password; any text, since what is wrong is wrong.
    #[schema(format = Password, max_length = 1000)]
    pub password: String,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginRequest(…)")
    }
}
