//! Whether the server lives.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// It does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    pub status: String,
}
