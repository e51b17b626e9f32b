//! Large messages: read, stored and written piece by piece, so that none is ever held whole.

use super::Execution;
use super::transfer::{Item, to_usize};
use crate::account::Account;
use crate::error::AgentError;
use crate::imap::{self, AppendHead, AppendTag, LargeRead, Link, Mailbox, Parts, Shapes};
use crate::plan::identity::{ContentId, Flags, InternalDate};
use crate::store;

/// From this size on, octets, a message is large.
pub(crate) const LARGE: u32 = 4 << 20;

/// A large message that was read into the store; it is durable with the next commit.
pub(super) struct Stored {
    pub uid: u32,
    pub size: u32,
    pub date: InternalDate,
    pub flags: Flags,
    pub content: ContentId,
}

/// What became of reading one.
pub(super) enum Fetched {
    Stored(Stored),
    Gone,
    Unequal,
}

/// A large message on its way into the store.
pub(super) struct Landing {
    uid: u32,
    size: u32,
    read: imap::Large,
    open: store::Large,
}

impl Landing {
    pub(super) fn begin(execution: &Execution<'_>, uid: u32, size: u32) -> Self {
        Self {
            uid,
            size,
            read: imap::Large::new(uid, size),
            open: execution.store.lock().begin_large(),
        }
    }

    /// Stores what has come of it.
    pub(super) async fn take(
        mut self,
        execution: &Execution<'_>,
        parts: &mut Parts,
    ) -> Result<Self, AgentError> {
        while let Some(octets) = self.read.next(parts) {
            execution.progress.moved();
            let mut open = self.open;
            let write = move |store: &mut store::Store| {
                open.write(store, &octets)?;
                Ok(open)
            };
            self.open = execution.store.with(write).await?;
        }
        Ok(self)
    }

    /// What became of it, once all its parts have been answered.
    pub(super) async fn end(
        self,
        execution: &Execution<'_>,
        parts: &mut Parts,
    ) -> Result<Fetched, AgentError> {
        let Self {
            uid,
            size,
            read,
            open,
        } = self;
        match read.end(parts) {
            LargeRead::Whole { date, flags } => {
                let finish = move |store: &mut store::Store| Ok(open.finish(store)?);
                let content = execution.store.with(finish).await?.id;
                Ok(Fetched::Stored(Stored {
                    uid,
                    size,
                    date,
                    flags,
                    content,
                }))
            }
            LargeRead::Gone => abandon(execution, open).await.map(|()| Fetched::Gone),
            LargeRead::Unequal => abandon(execution, open).await.map(|()| Fetched::Unequal),
        }
    }

    /// Gives it up.
    pub(super) async fn abandon(self, execution: &Execution<'_>) -> Result<(), AgentError> {
        abandon(execution, self.open).await
    }
}

async fn abandon(execution: &Execution<'_>, open: store::Large) -> Result<(), AgentError> {
    let abandon = move |store: &mut store::Store| Ok(open.abandon(store)?);
    execution.store.with(abandon).await
}

impl Execution<'_> {
    /// Adds a message to a folder of the target, its octets from the store piece by piece.
    pub(super) async fn append_stored(
        &self,
        link: &mut Link,
        mailbox: &Mailbox,
        item: &Item,
        shapes: &Shapes,
    ) -> Result<AppendTag, AgentError> {
        let content = item.content;
        let mut pieces = self
            .store
            .with(move |store| Ok(store.pieces(&content)?))
            .await?;
        let head = AppendHead {
            flags: &item.flags,
            date: item.date,
            length: to_usize(item.size),
        };
        let (tag, goes_on) = link.announce(mailbox, head, shapes).await?;
        if !goes_on {
            return Ok(tag);
        }
        loop {
            let next = move |store: &mut crate::store::Store| {
                let piece = pieces.next(store)?;
                Ok((pieces, piece))
            };
            let (rest, piece) = self.store.with(next).await?;
            pieces = rest;
            let Some(piece) = piece else { break };
            link.octets(&piece).await?;
        }
        Ok(tag)
    }
}

/// The content id of a large message that is read back, if it is there whole.
pub(crate) async fn identify_large(
    link: &mut Account,
    uid: u32,
    size: u32,
) -> Result<Option<ContentId>, AgentError> {
    let mut hasher = blake3::Hasher::new();
    let read = link
        .imap()?
        .read_large(uid, size, |octets: Vec<u8>| {
            hasher.update(&octets);
            Ok::<(), AgentError>(())
        })
        .await?;
    let whole = matches!(read, LargeRead::Whole { .. });
    Ok(whole.then(|| ContentId(*hasher.finalize().as_bytes())))
}
