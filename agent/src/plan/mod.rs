//! What to do, decided without doing it: pure functions from listings and records to values.
//!
//! Nothing here reads a clock, a socket, a file or randomness; whatever order reaches a server or a report
//! comes from sorted collections.

pub mod budget;
pub mod equivalence;
pub mod guard;
pub mod identity;
pub mod mirror;
pub mod names;
pub mod reconcile;
pub mod rest;
pub mod room;
pub mod view;
