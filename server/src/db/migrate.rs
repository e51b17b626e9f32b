//! Brings the tables up to date: the same migrations, by name, for both databases. Instances that start
//! together on one PostgreSQL wait for each other.

use diesel::RunQueryDsl;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::Conn;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/server/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../migrations/server/postgres");

/// Any number that only this uses, per database.
const LOCK: i64 = 0x6d61_696c_6472_6569;

pub(super) fn run(conn: &mut Conn) -> anyhow::Result<()> {
    let outcome = match conn {
        Conn::Sqlite(conn) => conn.run_pending_migrations(SQLITE).map(|done| done.len()),
        Conn::Postgres(conn) => {
            diesel::sql_query("SELECT pg_advisory_lock($1)")
                .bind::<diesel::sql_types::BigInt, _>(LOCK)
                .execute(conn)?;
            let outcome = conn.run_pending_migrations(POSTGRES).map(|done| done.len());
            diesel::sql_query("SELECT pg_advisory_unlock($1)")
                .bind::<diesel::sql_types::BigInt, _>(LOCK)
                .execute(conn)?;
            outcome
        }
    };
    let count = outcome.map_err(|error| match error.to_string() {
        text if text.contains("permission denied to create role") => anyhow::anyhow!(
            "{text}: the database's user may not make the two roles that row security works with. Let an administrator \
             make them once: CREATE ROLE maildreieck_run NOLOGIN; CREATE ROLE maildreieck_worker NOLOGIN; \
             GRANT maildreieck_run, maildreieck_worker TO <that user>;"
        ),
        text => anyhow::anyhow!(text),
    })?;
    tracing::info!(count, "tables are up to date");
    Ok(())
}

/// Whether there is nothing to bring up to date.
pub(super) fn are_done(conn: &mut Conn) -> anyhow::Result<bool> {
    let pending = match conn {
        Conn::Sqlite(conn) => conn.has_pending_migration(SQLITE),
        Conn::Postgres(conn) => conn.has_pending_migration(POSTGRES),
    };
    pending
        .map(|pending| !pending)
        .map_err(|error| anyhow::anyhow!(error).context("looking at the tables"))
}
