//! Large messages: read, stored and written piece by piece, so that none is ever held whole.

use super::Execution;
use super::transfer::{Item, to_usize};
use crate::error::AgentError;
use crate::imap::{AppendHead, AppendTag, LargeRead, Link, Mailbox, Shapes};
use crate::plan::identity::{ContentId, Flags, InternalDate};

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

impl Execution<'_> {
    /// Reads a large message of the open mailbox into the store.
    pub(super) async fn fetch_large(
        &self,
        link: &mut Link,
        uid: u32,
        size: u32,
    ) -> Result<Fetched, AgentError> {
        let mut large = Some(self.store.lock().begin_large());
        let read = link
            .read_large(uid, size, async |octets: Vec<u8>| {
                let Some(mut open) = large.take() else {
                    return Err(AgentError::Internal(
                        "a message is read on that was given up",
                    ));
                };
                self.progress.moved(0);
                let write = move |store: &mut crate::store::Store| {
                    open.write(store, &octets)?;
                    Ok(open)
                };
                large = Some(self.store.with(write).await?);
                Ok(())
            })
            .await;
        let Some(open) = large else {
            read?;
            return Err(AgentError::Internal("a message was read by nobody"));
        };
        if let Ok(LargeRead::Whole { date, flags }) = read {
            let put = self
                .store
                .with(move |store| Ok(open.finish(store)?))
                .await?;
            return Ok(Fetched::Stored(Stored {
                uid,
                size,
                date,
                flags,
                content: put.id,
            }));
        }
        self.store
            .with(move |store| Ok(open.abandon(store)?))
            .await?;
        Ok(match read? {
            LargeRead::Gone => Fetched::Gone,
            _ => Fetched::Unequal,
        })
    }

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
    link: &mut Link,
    uid: u32,
    size: u32,
) -> Result<Option<ContentId>, AgentError> {
    let mut hasher = blake3::Hasher::new();
    let read = link
        .read_large(uid, size, async |octets: Vec<u8>| {
            hasher.update(&octets);
            Ok::<(), AgentError>(())
        })
        .await?;
    let whole = matches!(read, LargeRead::Whole { .. });
    Ok(whole.then(|| ContentId(*hasher.finalize().as_bytes())))
}
