//! Free loopback ports, below the range that the system hands out for outgoing connections.
//!
//! A probed port may still be lost to another process before a server binds it; whoever starts a server tries again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// A number that no other process will come up with, for names and ports.
#[must_use]
pub fn unique() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// `N` different ports that were free a moment ago.
///
/// # Errors
/// If two hundred random ports in a row were taken.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut held: Vec<(u16, TcpListener)> = Vec::with_capacity(N);
    for _ in 0..200 {
        if held.len() == N {
            break;
        }
        let port = 11_000 + u16::try_from(unique() % 20_000)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
    }
    let mut ports = [0; N];
    if held.len() < N {
        bail!("no {N} free loopback ports found");
    }
    for (slot, (port, _)) in ports.iter_mut().zip(&held) {
        *slot = *port;
    }
    Ok(ports)
}
