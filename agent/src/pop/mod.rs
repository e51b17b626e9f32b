//! A POP3 account as a source (RFC 1939): one folder, INBOX, of messages without flags. It only reads: there is no DELE
//! here, and RSET before QUIT, so that what was read is not marked as seen.
//!
//! A server locks the maildrop while a session lasts (RFC 1939, 4), and people fetch from it too. So a session is
//! opened when it is needed, ends when nobody needs it for a while, and a long one is broken up. Message numbers are
//! those of a session alone; what a message is known by is its unique-id (UIDL), and the ledger gives that a UID.
//!
//! What POP3 cannot say is not made up: there are no flags. A message's date is the one that the last server on its
//! way wrote into it ([`date_of`]), so that it is the same whenever and by whomever it is read.

mod lines;
mod maildrop;
mod session;

pub use lines::date_of;
pub use maildrop::{Numbered, Pop};

/// The name of the one folder.
pub const INBOX: &str = "INBOX";
