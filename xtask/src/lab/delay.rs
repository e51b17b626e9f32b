//! A delay line: a TCP proxy on loopback that makes a server far away, or its line narrow, and counts what passes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What a packet of a narrow line carries, octets: what one over Ethernet does.
const PACKET: usize = 1448;
/// Packets that wait for a narrow line at most, for each connection and way.
const QUEUE: usize = 64;

/// What passed through a delay line so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Connections that were opened.
    pub connections: u64,
    /// Octets from client to server.
    pub sent: u64,
    /// Octets from server to client.
    pub received: u64,
    /// How often a client spoke after the server had, over all connections. Commands that are sent without waiting for
    /// the answer before share one.
    pub turns: u64,
}

#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    connections: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    turns: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

/// A running delay line; dropping it cuts every connection.
#[derive(Debug)]
pub struct DelayLine {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DelayLine {
    /// Listens on a free loopback port and passes on to `target_port`, each octet half of `round_trip` late.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(target_port: u16, round_trip: Duration) -> Result<Self> {
        Self::open(target_port, round_trip, None)
    }

    /// The same over a line that carries so many octets a second each way, all connections together.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn narrow(target_port: u16, round_trip: Duration, octets_per_second: u32) -> Result<Self> {
        Self::open(target_port, round_trip, Some(octets_per_second))
    }

    fn open(target_port: u16, round_trip: Duration, width: Option<u32>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .context("opening a port for a delay line")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let way = || Way {
            one_way: round_trip / 2,
            width: width.map(|octets| Arc::new(Width::new(octets))),
        };
        let ways = [way(), way()];
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.closed.load(Ordering::SeqCst) {
                    return;
                }
                own.connections.fetch_add(1, Ordering::SeqCst);
                let _ = connect(client, target_port, &ways, &own);
            }
        });
        Ok(Self {
            port,
            shared,
            thread: Some(thread),
        })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The counts so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let s = &self.shared;
        Traffic {
            connections: s.connections.load(Ordering::SeqCst),
            sent: s.sent.load(Ordering::SeqCst),
            received: s.received.load(Ordering::SeqCst),
            turns: s.turns.load(Ordering::SeqCst),
        }
    }

    /// Starts counting anew.
    pub fn reset(&self) {
        for counter in [
            &self.shared.connections,
            &self.shared.sent,
            &self.shared.received,
            &self.shared.turns,
        ] {
            counter.store(0, Ordering::SeqCst);
        }
    }

    /// Cuts the connections that are open; new ones are taken.
    pub fn cut(&self) {
        for stream in self
            .shared
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for DelayLine {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.cut();
    }
}

/// One way through a line.
#[derive(Debug, Clone)]
struct Way {
    one_way: Duration,
    width: Option<Arc<Width>>,
}

/// How much passes one way, all connections together.
#[derive(Debug)]
struct Width {
    octets_per_second: u32,
    /// When the last octet that was let in is through.
    free: Mutex<Instant>,
}

impl Width {
    fn new(octets_per_second: u32) -> Self {
        Self {
            octets_per_second,
            free: Mutex::new(Instant::now()),
        }
    }

    /// When so many octets more are through.
    fn through(&self, octets: usize) -> Instant {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        let takes = Duration::from_secs(1) * octets / self.octets_per_second;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(Instant::now()) + takes;
        *free
    }
}

fn connect(
    client: TcpStream,
    target_port: u16,
    [there, back]: &[Way; 2],
    shared: &Arc<Shared>,
) -> Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target_port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    {
        let mut streams = shared
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        streams.push(client.try_clone()?);
        streams.push(server.try_clone()?);
    }
    // Whether the server was the last to speak on this connection.
    let server_spoke = Arc::new(AtomicBool::new(false));
    let (spoke, counts) = (Arc::clone(&server_spoke), Arc::clone(shared));
    pipe(
        client.try_clone()?,
        server.try_clone()?,
        there.clone(),
        move |octets| {
            counts.sent.fetch_add(octets, Ordering::SeqCst);
            if spoke.swap(false, Ordering::SeqCst) {
                counts.turns.fetch_add(1, Ordering::SeqCst);
            }
        },
    );
    let counts = Arc::clone(shared);
    pipe(server, client, back.clone(), move |octets| {
        counts.received.fetch_add(octets, Ordering::SeqCst);
        server_spoke.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// Two threads: one reads and stamps, one waits and writes.
fn pipe(mut from: TcpStream, to: TcpStream, way: Way, count: impl Fn(u64) + Send + 'static) {
    let (queue, most) = match way.width {
        Some(_) => (QUEUE, PACKET),
        None => (1024, 1 << 16),
    };
    let (send, receive) = sync_channel::<(Instant, Vec<u8>)>(queue);
    std::thread::spawn(move || write_late(&receive, to));
    std::thread::spawn(move || {
        let mut buffer = vec![0; most];
        while let Ok(octets @ 1..) = from.read(&mut buffer) {
            count(u64::try_from(octets).unwrap_or(0));
            let part = buffer.get(..octets).unwrap_or_default().to_vec();
            let through = match &way.width {
                Some(width) => width.through(octets),
                None => Instant::now(),
            };
            if send.send((through + way.one_way, part)).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Read);
    });
}

fn write_late(parts: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    while let Ok((due, part)) = parts.recv() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&part).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
