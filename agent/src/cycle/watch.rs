//! Continuous mirroring: one connection to the primary waits, and what changes there is mirrored at once: in any folder
//! where the server can tell (NOTIFY), else in INBOX (IDLE). All folders are looked at once a minute all the same, also
//! of servers that can do neither; a POP3 account every two minutes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::Corner;
use tokio::sync::Notify;

use crate::config::TriangleConfig;
use crate::error::AgentError;
use crate::imap::{Link, Mailbox, Protocol};

/// How long one IDLE lasts: servers may end one after 30 minutes (RFC 2177, 3).
const LONGEST: Duration = Duration::from_secs(28 * 60);
/// After a failure it is tried again so much later, and twice that after each further one.
const SOONEST: Duration = Duration::from_secs(15);
const LATEST: Duration = Duration::from_secs(15 * 60);

/// Triangles whose primary changed.
#[derive(Debug, Default)]
pub(super) struct Watch {
    changed: RefCell<BTreeSet<String>>,
    news: Notify,
}

impl Watch {
    /// Waits until a primary has changed.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// The triangles whose primaries have changed since this was asked last.
    pub(super) fn take(&self) -> BTreeSet<String> {
        self.changed.take()
    }

    /// Watches primaries, for ever.
    pub(super) async fn all(&self, triangles: Vec<TriangleConfig>) {
        futures::future::join_all(triangles.iter().map(|triangle| self.one(triangle))).await;
        std::future::pending::<()>().await;
    }

    async fn one(&self, triangle: &TriangleConfig) {
        if triangle.primary.protocol == Protocol::Pop3 {
            tracing::info!(
                triangle = triangle.name,
                "the primary cannot tell of new mail (POP3); it is asked every two minutes"
            );
            return;
        }
        let mut pause = SOONEST;
        loop {
            match self.wait(triangle, &mut pause).await {
                Ok(()) => {
                    tracing::info!(
                        triangle = triangle.name,
                        "the primary cannot tell of new mail (IDLE); it is asked once a minute"
                    );
                    return;
                }
                Err(error) => {
                    tracing::warn!(triangle = triangle.name, %error, "waiting for new mail");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LATEST);
                }
            }
        }
    }

    /// Waits on one connection until it fails; ends where the server has no IDLE.
    async fn wait(
        &self,
        triangle: &TriangleConfig,
        pause: &mut Duration,
    ) -> Result<(), AgentError> {
        let endpoint = triangle.primary.endpoint(Corner::Primary);
        let mut link = Link::open(Arc::new(endpoint.map_err(AgentError::config)?)).await?;
        let inbox = Mailbox::new("INBOX").ok_or(AgentError::Internal("INBOX is no name"))?;
        if !link.capabilities.has("IDLE") {
            link.logout().await;
            return Ok(());
        }
        link.open_mailbox(&inbox, false).await?;
        let everywhere = link.notify().await?;
        tracing::info!(
            triangle = triangle.name,
            everywhere,
            "the primary tells of new mail"
        );
        // Something may have come before it was opened.
        let mut changed = true;
        loop {
            if changed {
                self.changed.borrow_mut().insert(triangle.name.clone());
                self.news.notify_one();
            }
            changed = link.idle(LONGEST).await?;
            *pause = SOONEST;
        }
    }
}
