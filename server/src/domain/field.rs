//! A field of a request that was wrong, and the rule it broke.

/// A field that was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// What is expected there.
    pub rule: String,
}
