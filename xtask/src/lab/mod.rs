//! The mail laboratory: real servers on loopback, seeded mail, and an IMAP client that judges the outcome.
//!
//! Each part lives in a temporary folder of its own and is stopped when its value is dropped; if the process that owns
//! it is killed, a watchdog (see [`daemon`]) does so in its place. Any number of parts may run side by side.

pub mod corpus;
pub mod courier;
pub mod daemon;
pub mod delay;
pub mod dovecot;
pub mod fake;
pub mod judge;
mod listener;
pub mod mail;
pub mod maildrop;
pub mod names;
pub mod ports;
pub mod postgres;
pub mod random;
pub mod relay;
pub mod tokens;

pub use corpus::{Corpus, Message, Place};
pub use courier::Courier;
pub use delay::DelayLine;
pub use dovecot::{Dovecot, Options};
pub use fake::Fake;
pub use judge::{Account, Judge, Judged};
pub use mail::Sink;
pub use maildrop::Maildrop;
pub use postgres::Cluster;
pub use tokens::TokenServer;
