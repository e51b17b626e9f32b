//! The statements, one file a noun. Each function takes the tenant of its filter from `Ctx`, so that no
//! caller can forget it; a row of another tenant is not found. Owns no rule, names no request or response
//! type, and is the only room that names the schema.

pub mod accounts;
pub mod agents;
pub mod audit;
pub mod certificates;
pub mod daily_reports;
pub mod due;
pub mod enrolment_codes;
pub mod idempotency;
pub mod memberships;
pub mod nonces;
pub mod outbox;
pub mod page;
pub mod runs;
pub mod schedules;
pub mod sites;
pub mod tenants;
pub mod triangles;
pub mod users;

pub use crate::db::types::word;
pub use crate::db::{Conn, try_hold};

/// Whether a statement changed its one row.
fn one(rows: usize) -> bool {
    rows == 1
}
