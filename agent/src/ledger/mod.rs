//! The ledger: what the agent knows of both accounts, in SQLite in the data folder. It owns the memory of
//! the mirror; it never holds a message's octets, and it decides nothing.
//!
//! Every method that changes something is one transaction, and what it wrote survives a crash of the
//! machine (`synchronous = FULL`): a batch is journalled here before it is sent.

mod ahead;
mod altered;
mod batches;
mod faults;
mod folders;
mod halts;
mod in_step;
mod limits;
mod maildrop;
mod messages;
mod place;
mod records;
mod rest;
pub mod schema;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

pub use batches::Batch;
pub use faults::{Quarantined, RepairRow};
pub use folders::{KnownFolder, Stood};
pub use halts::Halt;
pub(crate) use messages::FolderRows;
pub use messages::{NewRow, StoredRow};
pub use records::TriangleState;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/agent/ledger");

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be opened.
    #[error("opening the ledger {path}: {source}; {}", advice(&source.to_string()))]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: diesel::ConnectionError,
    },
    /// Its tables cannot be brought up to date.
    #[error("bringing the ledger {path} up to date: {text}; if it is damaged, {MADE_ANEW}")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        text: String,
    },
    /// Another process has it, for longer than is waited.
    #[error(
        "the ledger is locked by another process, such as a backup or a database program; nothing was lost: wait for it to end, or stop it (trying again can help)"
    )]
    Locked,
    /// A statement failed.
    #[error("the ledger: {}; {}", .0, advice(&.0.to_string()))]
    Statement(#[source] diesel::result::Error),
    /// What was written cannot be made durable.
    #[error(
        "making the ledger's log {path} durable: {source}; check that the data folder is writable and not full"
    )]
    Durable {
        /// The log.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A row that cannot be: the file was changed by somebody else.
    #[error(
        "the ledger holds a row that cannot be: {0}; it was damaged or changed by another program: {MADE_ANEW}"
    )]
    Damaged(&'static str),
}

impl From<diesel::result::Error> for LedgerError {
    fn from(error: diesel::result::Error) -> Self {
        if is_locked(&error.to_string()) {
            Self::Locked
        } else {
            Self::Statement(error)
        }
    }
}

/// What to do with a ledger that is damaged.
const MADE_ANEW: &str = "move it and its -wal and -shm files away: a new one is made from what the accounts and the store hold, and nothing is sent again";

/// What can be done about what SQLite said.
fn advice(text: &str) -> &'static str {
    if text.contains("not a database") || text.contains("malformed") {
        MADE_ANEW
    } else {
        "check that the data folder is writable and not full"
    }
}

fn is_locked(text: &str) -> bool {
    text.contains("is locked")
}

type Result<T> = std::result::Result<T, LedgerError>;

/// The ledger of a site.
pub struct Ledger {
    db: SqliteConnection,
    /// SQLite's write-ahead log beside the file.
    log_path: PathBuf,
    log: Option<Arc<File>>,
}

/// What was written lightly up to a moment; see [`Ledger::written`].
#[must_use = "nothing is durable before `settle`"]
pub struct Written {
    path: PathBuf,
    log: Arc<File>,
    /// Whether the log may be new, and its name not durable yet.
    new: bool,
}

impl Written {
    /// Makes it durable, which takes as long as the disc does.
    ///
    /// # Errors
    /// It cannot be: then it must not be built upon.
    pub fn settle(self) -> Result<()> {
        let Self { path, log, new } = self;
        let folder = path.parent().filter(|_| new);
        let name = || folder.map_or(Ok(()), |folder| File::open(folder)?.sync_all());
        let done = log.sync_data().and_then(|()| name());
        done.map_err(|source| LedgerError::Durable { path, source })
    }
}

impl Ledger {
    /// Opens or makes the ledger at `path`.
    ///
    /// # Errors
    /// The file cannot be opened, or is no ledger.
    pub fn open(path: &Path) -> Result<Self> {
        let open = |source| LedgerError::Open {
            path: path.to_owned(),
            source,
        };
        // Who it names is nobody else's business. Where this fails, so does what follows, and says why.
        let _ = crate::files::private_file(path);
        let url = path.to_string_lossy();
        let mut db = SqliteConnection::establish(&url).map_err(open)?;
        let migrate = |text: String| {
            if is_locked(&text) {
                return LedgerError::Locked;
            }
            let path = path.to_owned();
            LedgerError::Migrate { path, text }
        };
        db.batch_execute(
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = ON; PRAGMA cache_size = -1000;",
        )
        .map_err(|e| migrate(e.to_string()))?;
        // A migration that a loss of power undoes is made again.
        db.run_pending_migrations(MIGRATIONS)
            .map_err(|e| migrate(e.to_string()))?;
        db.batch_execute("PRAGMA synchronous = FULL")
            .map_err(|e| migrate(e.to_string()))?;
        let mut log_path = path.as_os_str().to_owned();
        log_path.push("-wal");
        Ok(Self {
            db,
            log_path: log_path.into(),
            log: None,
        })
    }

    /// What has been written lightly by now, to be made durable elsewhere: waiting for the disc stops nothing else
    /// then. SQLite does just this after each commit with `synchronous = FULL`; a log that was begun anew meanwhile
    /// was brought into the database durably before.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn written(&mut self) -> Result<Written> {
        let path = self.log_path.clone();
        let new = self.log.is_none();
        let log = match &self.log {
            Some(log) => Arc::clone(log),
            None => {
                let open = File::open(&path).map_err(|source| LedgerError::Durable {
                    path: path.clone(),
                    source,
                })?;
                Arc::clone(self.log.insert(Arc::new(open)))
            }
        };
        Ok(Written { path, log, new })
    }

    /// One transaction that takes the write lock at once.
    fn transact<T>(&mut self, work: impl FnOnce(&mut SqliteConnection) -> Result<T>) -> Result<T> {
        self.db.immediate_transaction(work)
    }

    /// The same for what need not survive a loss of power. The process may die: what SQLite wrote is there.
    fn transact_lightly<T>(
        &mut self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T>,
    ) -> Result<T> {
        self.db.batch_execute("PRAGMA synchronous = NORMAL")?;
        let done = self.db.immediate_transaction(work);
        self.db.batch_execute("PRAGMA synchronous = FULL")?;
        done
    }
}

/// A number of the database as an unsigned one.
fn unsigned(value: i64) -> Result<u32> {
    u32::try_from(value).map_err(|_| LedgerError::Damaged("a number beyond 32 bits"))
}

fn generation_of(value: i32) -> Result<u32> {
    u32::try_from(value).map_err(|_| LedgerError::Damaged("a negative generation"))
}

fn generation_to(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_read_the_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let _ledger = Ledger::open(&path).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(crate::files::exposed(&path).unwrap(), None, "{path:?}");
        }
        assert!(path.exists());
    }
}
