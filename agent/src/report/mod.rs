//! What the agent says of its runs, and where that waits until the server has it.

pub mod chain;
pub mod document;
pub mod figures;
#[cfg(test)]
mod joined;
mod outcome;
pub mod spool;
pub mod terminal;
pub mod verify;

pub use outcome::{Full, Mirrored, Pending, Proof, RefusedFolder};
