//! The agent of a site: it mirrors mail from the primary to the standby and into the store, proves at Tx
//! that the three corners hold the same mail, and reports.

pub mod export;
pub mod files;
pub mod imap;
pub mod ledger;
pub mod plan;
pub mod report;
pub mod server_api;
pub mod store;
