//! DEFLATE on a connection (RFC 4978): once agreed, all that crosses it either way is compressed.
//!
//! It is agreed after the login, so no password or token is ever in the stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use async_compression::Level;
use async_compression::tokio::bufread::DeflateDecoder;
use async_compression::tokio::write::DeflateEncoder;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::Instant;

use super::connect::Endpoint;
use super::error::ImapError;
use super::link::Link;

/// What a parser reads at once.
pub(super) const BUFFER: usize = 64 * 1024;

/// What is read from a connection.
pub(super) type Inlet = BufReader<Box<dyn AsyncRead + Send + Unpin>>;
/// What is written to it.
pub(super) type Outlet = Box<dyn AsyncWrite + Send + Unpin>;

/// What comes from a socket, timed as long as it is mail.
pub(super) struct Timed<R> {
    socket: R,
    endpoint: Arc<Endpoint>,
    is_mail: Arc<AtomicBool>,
    last: Option<Instant>,
}

impl<R: AsyncRead + Send + Unpin + 'static> Timed<R> {
    /// What is read from this socket.
    pub fn inlet(socket: R, endpoint: Arc<Endpoint>, is_mail: Arc<AtomicBool>) -> Inlet {
        let timed = Self {
            socket,
            endpoint,
            is_mail,
            last: None,
        };
        BufReader::with_capacity(BUFFER, Box::new(timed))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Timed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if !self.is_mail.load(Ordering::Relaxed) {
            self.last = None;
            return Poll::Ready(Ok(()));
        }
        let now = Instant::now();
        let octets = buf.filled().len() - before;
        if let Some(last) = self.last.replace(now) {
            self.endpoint.meter.line.came(octets, now - last);
        }
        Poll::Ready(Ok(()))
    }
}

impl Link {
    /// Whether the connection could be compressed and is not.
    #[must_use]
    pub fn may_compress(&self) -> bool {
        self.capabilities.has("COMPRESS=DEFLATE") && !self.compressed
    }

    /// Has the connection compressed from now on, if the server can. Nothing may be on its way.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn compress(&mut self) -> Result<(), ImapError> {
        if !self.may_compress() {
            return Ok(());
        }
        let tag = self.send("COMPRESS", "COMPRESS DEFLATE").await?;
        // To the end of its line and no further: what follows is compressed.
        if self.raw_lines("COMPRESS", &tag).await?.is_none() {
            self.capabilities.forget("COMPRESS=DEFLATE");
            return Ok(());
        }
        let none: Outlet = Box::new(tokio::io::sink());
        let outlet = std::mem::replace(&mut self.writer, none);
        self.writer = Box::new(compressed(outlet));
        let inlet = self.inlet();
        let plain = std::mem::replace(inlet, BufReader::new(Box::new(tokio::io::empty())));
        *inlet = BufReader::with_capacity(BUFFER, Box::new(DeflateDecoder::new(plain)));
        self.compressed = true;
        Ok(())
    }
}

/// The first level that makes trees of its own: Base64 gains by nothing else.
const LEVEL: Level = Level::Precise(2);

/// Compresses what is written to an outlet. What is flushed is all there for the server, which is so with zlib alone as
/// flate2's backend.
fn compressed<W: AsyncWrite>(outlet: W) -> DeflateEncoder<W> {
    DeflateEncoder::with_quality(outlet, LEVEL)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Every flush ends with an empty block, without which the server waits for the rest (RFC 4978, 4).
    #[tokio::test]
    async fn a_flush_leaves_nothing_behind() {
        let mut outlet = compressed(Vec::new());
        for number in 0..1000_u16 {
            let mut random = blake3::Hasher::new()
                .update(&number.to_be_bytes())
                .finalize_xof();
            let mut length = [0; 2];
            random.fill(&mut length);
            let mut octets = vec![0; usize::from(u16::from_be_bytes(length)) + 1];
            random.fill(&mut octets);
            // As much of it as Base64 has.
            octets
                .iter_mut()
                .for_each(|octet| *octet = *octet % 64 + b'0');
            outlet.write_all(&octets).await.unwrap();
            outlet.flush().await.unwrap();
            let end = outlet.get_ref().last_chunk();
            assert_eq!(end, Some(&[0, 0, 0xff, 0xff]), "flush {number}");
            outlet.get_mut().clear();
        }
    }
}
