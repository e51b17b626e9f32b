//! Carrying out a plan: it decides nothing. The plan names every folder, UID and content; what could not
//! be done is said, and the next look at the accounts finds what is left.
//!
//! The order is what makes a crash harmless: octets and membership into the store and committed, then the
//! journal in the ledger, then the target, then the ledger's note of the copies.

mod copies;
mod journal;
mod large;
mod narrow;
mod reader;
mod spares;
mod step;
mod transfer;
mod writer;

pub use copies::Copies;
pub(crate) use large::{LARGE, identify_large};
pub(crate) use narrow::{Bodies, Narrowing};
pub use spares::Spares;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use maildreieck_api_spec::runs::Volume;
use maildreieck_api_spec::vocabulary::Corner;
use tokio::sync::watch;

use crate::error::AgentError;
use crate::imap::{Endpoint, ImapError, Mailbox, Shapes};
use crate::ledger::{KnownFolder, Ledger};
use crate::plan::identity::LogicalFolder;
use crate::plan::room::Room;
use crate::progress::Progress;
use crate::snapshot::TargetFolder;
use crate::store::Store;

/// The store, as several tasks use it in turn.
#[derive(Clone)]
pub struct SharedStore(Arc<Mutex<Store>>);

impl SharedStore {
    /// Shares a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    /// The store, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the store beside the sockets.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, AgentError> + Send + 'static,
    ) -> Result<T, AgentError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&mut store.lock()))
            .await
            .map_err(|_| AgentError::Internal("the store's work ended in a panic"))?
    }
}

/// What a plan is carried out with.
pub struct Execution<'a> {
    /// The triangle's name.
    pub triangle: &'a str,
    /// Counts failovers and returns.
    pub epoch: u32,
    /// The ledger.
    pub ledger: &'a RefCell<Ledger>,
    /// The store.
    pub store: SharedStore,
    /// The source, for what is fetched from it.
    pub source_endpoint: Arc<Endpoint>,
    /// The target, to open the writers' connections to.
    pub target_endpoint: Arc<Endpoint>,
    /// How many further connections to the target.
    pub writers: usize,
    /// Those that are open already.
    pub spares: Rc<Spares>,
    /// The target's folders by logical name; those that are made join it.
    pub folders: RefCell<BTreeMap<LogicalFolder, TargetFolder>>,
    /// What the names of the target's folders begin with, besides INBOX.
    pub namespace: String,
    /// Names that are taken on the target.
    pub taken: RefCell<BTreeSet<String>>,
    /// What divides the names of the source's folders.
    pub source_separator: Option<char>,
    /// What divides the names of the target's folders.
    pub separator: Option<char>,
    /// Where the standby keeps this triangle's folders.
    pub prefix: &'a str,
    /// The source's folders by logical name.
    pub source_folders: BTreeMap<LogicalFolder, (Mailbox, KnownFolder)>,
    /// Shapes that the target has taken.
    pub shapes: Shapes,
    /// Whether what is sent is worth compressing, if the line is narrow.
    pub compresses: Cell<bool>,
    /// Whether the store has messages already: one may come from where another lay.
    pub begun: Cell<bool>,
    /// One message at a time, after a server closed on a batch.
    pub careful: bool,
    /// What the target takes.
    pub room: Room,
    /// The corner that is written to.
    pub target_corner: Corner,
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// What has been sent.
    pub sent: &'a Cell<Volume>,
    /// Whether to begin nothing more.
    pub stop: watch::Receiver<bool>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// Connections that failed on the way; what they carried is looked for in the next round.
    pub failures: Vec<ImapError>,
    /// Folders of the target that were written to.
    pub touched: BTreeSet<LogicalFolder>,
}
