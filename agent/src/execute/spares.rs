//! Connections to the target that are opened before it is known what is to be written: a first mirror has work for
//! all of them, and their logins pass while both accounts are listed.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::imap::{Endpoint, ImapError, Link};

/// After so long without a command a server may have had enough.
const FRESH: Duration = Duration::from_secs(60);

/// Connections that nobody has taken yet. Dropped, they are given up.
#[derive(Debug, Default)]
pub struct Spares {
    opening: RefCell<Vec<JoinHandle<Result<Link, ImapError>>>>,
    since: Cell<Option<Instant>>,
}

impl Spares {
    /// Begins to open `count` connections.
    pub fn open(&self, endpoint: &Arc<Endpoint>, count: usize) {
        self.since.set(Some(Instant::now()));
        let open = (0..count).map(|_| tokio::spawn(Link::open(Arc::clone(endpoint))));
        self.opening.borrow_mut().extend(open);
    }

    /// One of them, or a new one.
    pub(super) async fn take(&self, endpoint: &Arc<Endpoint>) -> Result<Link, ImapError> {
        let fresh = self.since.get().is_some_and(|at| at.elapsed() < FRESH);
        let spare = self.opening.borrow_mut().pop();
        if let Some(opening) = spare.filter(|_| fresh)
            && let Ok(opened) = opening.await
        {
            return opened;
        }
        Link::open(Arc::clone(endpoint)).await
    }

    /// Says goodbye on those that nobody took.
    pub async fn close(&self) {
        for opening in self.opening.take() {
            if !opening.is_finished() {
                opening.abort();
            } else if let Ok(Ok(link)) = opening.await {
                link.logout().await;
            }
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.opening.get_mut().iter().for_each(JoinHandle::abort);
    }
}
