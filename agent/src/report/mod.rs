//! What the agent says of its runs, and where that waits until the server has it.

pub mod document;
pub mod figures;
pub mod spool;
pub mod terminal;
