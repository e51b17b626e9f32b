//! The one wrapper around async-imap. No other room names it.
//!
//! The crate parses; everything that decides stands here: each command has a random tag of our own, each
//! completion is checked and matched by its tag, NO, BAD, BYE, an end of stream and silence are errors, and
//! a requested attribute that is missing is an error and never a skip. An answer that was cut short can
//! therefore not look like an empty mailbox. A panic in the parser ends its connection, not the agent.

mod append;
mod compress;
mod connect;
mod error;
mod fetch;
mod folders;
mod gmail;
mod heads;
mod idle;
mod line;
mod link;
mod listing;
mod login;
mod meter;
mod modify;
mod parts;
mod room;
pub mod wire;

pub use append::{AppendHead, AppendItem, AppendTag, Appended, Refusal, Shapes};
pub(crate) use connect::Socket;
pub(crate) use connect::authorities;
pub use connect::{Endpoint, Protection, Protocol};
pub use error::{ImapError, Kind, LONGEST_BACK_OFF};
pub(crate) use error::{kind_of_no, passes};
pub(crate) use fetch::UNEQUAL;
pub use fetch::{Body, BodyEvent};
pub use folders::{Folder, FolderStatus, Folders};
pub use link::{Capabilities, Link};
pub use listing::{Ask, Listing, Opened, Since};
pub use login::Credentials;
pub(crate) use login::{Bearer, Proof, proved};
pub use meter::Meter;
pub use modify::{FlagChange, Made};
pub(crate) use parts::PART;
pub use parts::{Large, LargeRead, Parts};
pub use room::QuotaLeft;
pub use wire::Mailbox;
