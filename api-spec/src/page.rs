//! Lists: newest first, a page at a time. A cursor is opaque, and good only for the list and the filters
//! that it came from.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::RuleBroken;

/// How many items a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u32", into = "u16")]
#[schema(value_type = u16, minimum = 1, maximum = 200, default = 50)]
pub struct Limit(u16);

impl Limit {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = RuleBroken;
    fn try_from(limit: u32) -> Result<Self, RuleBroken> {
        u16::try_from(limit)
            .ok()
            .filter(|limit| (1..=200).contains(limit))
            .map(Self)
            .ok_or(RuleBroken("a number from 1 to 200"))
    }
}

impl From<Limit> for u16 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items.
    #[serde(default)]
    #[param(value_type = u16, minimum = 1, maximum = 200, default = 50, required = false)]
    pub limit: Limit,
    /// Where the last page ended: its `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(max_length = 400)]
    pub cursor: Option<String>,
}

/// A page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// For the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
