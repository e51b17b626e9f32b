//! What the whole server shares: the database, the clock, the keys and a few settings. Handed down, never
//! global.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::db::Db;
use crate::keys::Keys;

/// What the whole server shares.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub db: Db,
    /// The clock.
    pub clock: Clock,
    /// The server's secret.
    pub keys: Arc<Keys>,
    /// What is set.
    pub settings: Arc<Settings>,
    /// The requests with an `Idempotency-Key` that are being answered here.
    pub in_flight: Arc<Mutex<HashSet<String>>>,
    /// How many passwords may be hashed at once: each takes 19 MiB.
    pub hashing: Arc<Semaphore>,
}

/// What is set for the whole server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What tokens and assertions must be meant for: the server's public URL.
    pub audience: String,
    /// SHA-256 of the server's certificate in hex, where the server itself speaks TLS.
    pub certificate_sha256: Option<String>,
    /// The part of a Message-ID behind its `@`.
    pub mail_domain: String,
}

impl App {
    /// The server over its parts.
    #[must_use]
    pub fn new(db: Db, clock: Clock, keys: Keys, settings: Settings) -> Self {
        Self {
            db,
            clock,
            keys: Arc::new(keys),
            settings: Arc::new(settings),
            in_flight: Arc::default(),
            hashing: Arc::new(Semaphore::new(4)),
        }
    }
}
