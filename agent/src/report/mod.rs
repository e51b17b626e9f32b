//! What the agent says of its runs, and where that waits until the server has it.

pub mod chain;
pub mod check;
pub mod document;
pub mod figures;
pub mod head;
#[cfg(test)]
mod joined;
mod outcome;
pub mod spool;
pub mod terminal;
pub mod verify;
mod words;

pub use head::Head;
pub use outcome::{Full, Mirrored, Pending, Proof, RefusedFolder, UnreadMessage};
