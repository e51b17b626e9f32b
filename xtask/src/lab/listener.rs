//! A door on a free loopback port: each connection is served in a thread of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};

/// An open door; dropping it closes it. What was let in stays until it goes.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Opens one for `what`. Whoever asks wrongly or goes away gets no answer.
    ///
    /// # Errors
    /// If no port can be had.
    pub(super) fn start(
        what: &str,
        serve: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .with_context(|| format!("opening a port for {what}"))?;
        let port = listener.local_addr()?.port();
        let closed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closed);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let serve = serve.clone();
                std::thread::spawn(move || drop(serve(stream)));
            }
        });
        Ok(Self {
            port,
            closed,
            thread: Some(thread),
        })
    }

    /// Its port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Closes it.
    pub(super) fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}
