//! The agent's program against real mail servers, and against one that misbehaves. What the accounts hold
//! afterwards is judged over IMAP by code that shares nothing with the agent.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up fails"
)]

mod certificates;
mod changes;
mod clock;
mod continuous;
mod cut;
mod faults;
mod keeps;
mod kills;
mod limits;
mod mirror;
mod model;
mod oauth;
mod people;
mod polls;
mod pop3;
mod proof;
mod providers;
mod refused;
mod renames;
mod restored;
mod room;
mod servers;
mod site;
mod sizes;
mod tampering;
mod targets;
mod torn;
