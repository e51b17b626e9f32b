//! The agent of a site: it mirrors mail from the primary to the standby and into the store, proves at Tx
//! that the three corners hold the same mail, and reports.

pub mod account;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cycle;
pub mod error;
pub mod execute;
pub mod export;
pub mod files;
mod http;
pub mod identity;
pub mod imap;
pub mod kill;
pub mod ledger;
pub mod oauth;
pub mod plan;
pub mod pop;
pub mod progress;
pub mod report;
pub mod server_api;
pub mod snapshot;
pub mod store;
