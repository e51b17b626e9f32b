//! The index's file: SQLite's connection, its migrations, and putting a new index in an old one's place.

use std::path::{Path, PathBuf};

use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::super::error::{self, StoreError};
use super::super::key::sync_folder;
use super::Index;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/agent/store");

/// Puts a finished index in the place of the old one.
pub(crate) fn finish(index: Index, from: &Path, to: &Path) -> Result<(), StoreError> {
    drop(index);
    std::fs::File::open(from)
        .and_then(|file| file.sync_all())
        .map_err(error::io("making durable", from))?;
    // The old log would be applied to the new file. The old file without its log is merely behind.
    for suffix in ["-wal", "-shm", "-journal"] {
        remove_file(&beside(to, suffix))?;
    }
    std::fs::rename(from, to).map_err(error::io("putting in place", to))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Removes an index and SQLite's files beside it.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    files(path).iter().try_for_each(|path| remove_file(path))
}

/// SQLite's files of an index, the index itself last.
pub(crate) fn files(path: &Path) -> [PathBuf; 4] {
    ["-wal", "-shm", "-journal", ""].map(|suffix| beside(path, suffix))
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(error::io("removing", path)(e)),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let failed = |detail: String| StoreError::IndexOpen {
        path: path.to_owned(),
        detail,
    };
    let name = path
        .to_str()
        .ok_or_else(|| failed("the path is not UTF-8".to_owned()))?;
    SqliteConnection::establish(name).map_err(|e| failed(e.to_string()))
}

/// Whether an older version of the program made it, and a writer has to bring it up to date.
pub(super) fn is_older(connection: &mut SqliteConnection) -> bool {
    connection
        .has_pending_migration(MIGRATIONS)
        .unwrap_or_default()
}

pub(super) fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection
        .run_pending_migrations(MIGRATIONS)
        .map(|_| ())
        .map_err(|e| StoreError::IndexOpen {
            path: path.to_owned(),
            detail: e.to_string(),
        })
}

impl Index {
    /// Whether SQLite finds its file whole, pages and order.
    pub(crate) fn is_whole(&mut self) -> Result<(), StoreError> {
        #[derive(QueryableByName)]
        struct Said {
            #[diesel(sql_type = diesel::sql_types::Text)]
            integrity_check: String,
        }
        let said: Vec<Said> = diesel::sql_query("PRAGMA integrity_check(1)")
            .load(&mut self.connection)
            .map_err(error::sql("checking"))?;
        if said.iter().all(|said| said.integrity_check == "ok") {
            return Ok(());
        }
        Err(StoreError::IndexDamaged {
            detail: "SQLite does not find its file whole",
        })
    }
}
