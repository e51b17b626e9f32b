//! The databases: SQLite, one file, or PostgreSQL, chosen by the URL's scheme. Owns the pool and how a
//! transaction begins, so that nothing can forget it: on PostgreSQL each one first takes its run-time role
//! and names its tenant, on SQLite each one that writes begins `IMMEDIATE`. Knows no statement of a noun.
#![expect(
    missing_docs,
    reason = "diesel's derive makes public items without documentation"
)]

mod migrate;
pub mod schema;
pub mod types;

use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::{ManageConnection, Pool, PooledConnection, R2D2Connection};
use diesel::{
    Connection, ExpressionMethods, PgConnection, QueryDsl, QueryResult, RunQueryDsl,
    SqliteConnection,
};
use secrecy::{ExposeSecret, SecretString};

use crate::context::{Ctx, Scope};
use crate::error::{Error, Kind, Result};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}

/// Runs one body on whichever connection it is: for `on_conflict` and batches, which the enum does not
/// offer though both databases have them.
macro_rules! on_each {
    ($db:expr, |$conn:ident| $body:expr) => {
        match $db {
            $crate::db::Conn::Postgres($conn) => $body,
            $crate::db::Conn::Sqlite($conn) => $body,
        }
    };
}
pub(crate) use on_each;

/// Where the database is.
#[derive(Clone)]
pub enum Url {
    /// A file.
    Sqlite(String),
    /// A server; the URL can hold a password.
    Postgres(SecretString),
}

/// Why a database URL was not taken.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database URL must begin with sqlite:// or postgres://; an unknown scheme is refused, so that a slip cannot create an empty file"
)]
pub struct UnknownScheme;

impl Url {
    /// Reads the URL by its scheme.
    ///
    /// # Errors
    /// A scheme that is neither `sqlite` nor `postgres`, or no path behind it.
    pub fn parse(url: &str) -> std::result::Result<Self, UnknownScheme> {
        if let Some(path) = url.strip_prefix("sqlite://")
            && !path.is_empty()
        {
            return Ok(Self::Sqlite(path.to_owned()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(SecretString::from(url.to_owned())));
        }
        Err(UnknownScheme)
    }

    /// The same URL with a password that came by file.
    ///
    /// # Errors
    /// The URL is no PostgreSQL's, names no user, or holds a password already.
    pub fn with_password(self, password: &str) -> anyhow::Result<Self> {
        let Self::Postgres(url) = &self else {
            anyhow::bail!("a password is PostgreSQL's");
        };
        let (scheme, rest) = url
            .expose_secret()
            .split_once("://")
            .unwrap_or(("postgres", ""));
        let (user, place) = rest.split_once('@').ok_or_else(|| {
            anyhow::anyhow!("the database URL names no user: postgres://user@host/database")
        })?;
        anyhow::ensure!(
            !user.contains(':'),
            "the database URL holds a password already"
        );
        let escaped: String = password
            .bytes()
            .map(|octet| format!("%{octet:02X}"))
            .collect();
        Ok(Self::Postgres(SecretString::from(format!(
            "{scheme}://{user}:{escaped}@{place}"
        ))))
    }

    /// The kind of database.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// Whether a transaction may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

struct Manager {
    url: Url,
}

impl ManageConnection for Manager {
    type Connection = Conn;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> std::result::Result<Conn, Self::Error> {
        establish(&self.url).map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, conn: &mut Conn) -> std::result::Result<(), Self::Error> {
        conn.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        conn.is_broken()
    }
}

/// Creates the file of a new database for its owner alone; SQLite gives its companions the same mode.
fn create_private(path: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn establish(url: &Url) -> diesel::ConnectionResult<Conn> {
    match url {
        Url::Sqlite(path) => {
            let mut conn = SqliteConnection::establish(path)?;
            conn.batch_execute(
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON;",
            )
            .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(Conn::Sqlite(conn))
        }
        Url::Postgres(url) => PgConnection::establish(url.expose_secret()).map(Conn::Postgres),
    }
}

/// The database.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Manager>,
}

impl Db {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// It cannot be reached, or a migration failed.
    pub fn open(url: &Url, connections: u32) -> anyhow::Result<Self> {
        use anyhow::Context;
        if let Url::Sqlite(path) = url {
            create_private(path).with_context(|| format!("creating {path}"))?;
        }
        let mut first = establish(url).with_context(|| match url {
            Url::Sqlite(path) => format!("opening the database {path}"),
            Url::Postgres(_) => "opening the database".to_owned(),
        })?;
        migrate::run(&mut first).context("bringing the tables up to date")?;
        Self::pool(url, connections)
    }

    /// Opens a database that is there, to look at it alone: it is not made, and its tables are left as they are.
    ///
    /// # Errors
    /// It cannot be reached, or its tables are not those of this version.
    pub fn look(url: &Url) -> anyhow::Result<Self> {
        use anyhow::Context;
        if let Url::Sqlite(path) = url {
            std::fs::metadata(path).with_context(|| format!("opening the database {path}"))?;
        }
        let mut first = establish(url).context("opening the database")?;
        anyhow::ensure!(
            migrate::are_done(&mut first)?,
            "the tables are those of another version: bring them up to date with `maildreieck-server migrate`"
        );
        Self::pool(url, 1)
    }

    fn pool(url: &Url, connections: u32) -> anyhow::Result<Self> {
        use anyhow::Context;
        let pool = Pool::builder()
            .max_size(connections)
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(10))
            .test_on_check_out(false)
            .build(Manager { url: url.clone() })
            .context("opening the pool of connections")?;
        Ok(Self { pool })
    }

    /// Whether the server's secret, known by `check`, is the one that this database has been served with from its
    /// first start on.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub fn is_served_with(&self, check: &str) -> anyhow::Result<bool> {
        use schema::server_key;
        let mut conn = self.pool.get()?;
        let known: String = on_each!(&mut *conn, |conn| {
            diesel::insert_into(server_key::table)
                .values((server_key::id.eq(1), server_key::key_check.eq(check)))
                .on_conflict_do_nothing()
                .execute(conn)?;
            server_key::table
                .select(server_key::key_check)
                .first(conn)?
        });
        Ok(known == check)
    }

    /// Reads in one transaction, on a thread that may wait.
    ///
    /// # Errors
    /// Whatever `work` fails with, or the database.
    pub async fn read<T, F>(&self, ctx: &Ctx, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Ctx, &mut Conn) -> Result<T> + Send + 'static,
    {
        self.run(ctx, Access::Read, work).await
    }

    /// Writes in one transaction, on a thread that may wait: all of `work` is committed, or none of it.
    ///
    /// # Errors
    /// Whatever `work` fails with, or the database.
    pub async fn write<T, F>(&self, ctx: &Ctx, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Ctx, &mut Conn) -> Result<T> + Send + 'static,
    {
        self.run(ctx, Access::Write, work).await
    }

    async fn run<T, F>(&self, ctx: &Ctx, access: Access, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Ctx, &mut Conn) -> Result<T> + Send + 'static,
    {
        let (pool, ctx) = (self.pool.clone(), ctx.clone());
        tokio::task::spawn_blocking(move || {
            let mut conn = checkout(&pool)?;
            transact(&mut conn, &ctx, access, |conn| work(&ctx, conn))
        })
        .await
        .map_err(|error| Error::internal("a database thread", error))?
    }
}

fn checkout(pool: &Pool<Manager>) -> Result<PooledConnection<Manager>> {
    pool.get().map_err(|error| Error {
        private: Some(Box::new(error)),
        ..Error::new(
            Kind::Unavailable,
            "The database does not answer; try again.",
        )
    })
}

fn transact<T>(
    conn: &mut Conn,
    ctx: &Ctx,
    access: Access,
    work: impl FnOnce(&mut Conn) -> Result<T>,
) -> Result<T> {
    begin(conn, ctx, access)?;
    match work(conn) {
        Ok(value) => {
            commit(conn)?;
            Ok(value)
        }
        Err(error) => {
            if let Err(rollback) = rollback(conn) {
                tracing::warn!(%rollback, "rolling back");
            }
            Err(error)
        }
    }
}

fn begin(conn: &mut Conn, ctx: &Ctx, access: Access) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => {
            let statement = match access {
                Access::Read => "BEGIN",
                Access::Write => "BEGIN IMMEDIATE",
            };
            AnsiTransactionManager::begin_transaction_sql(conn, statement)
        }
        Conn::Postgres(conn) => {
            let statement = match access {
                // All statements of it see one moment, as on SQLite.
                Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                Access::Write => "BEGIN",
            };
            AnsiTransactionManager::begin_transaction_sql(conn, statement)?;
            let role = match ctx.scope {
                Scope::Tenant(_) => "maildreieck_run",
                Scope::Provider => "maildreieck_worker",
            };
            let became = diesel::sql_query(
                "SELECT set_config('role', $1, true), set_config('app.tenant', $2, true)",
            )
            .bind::<diesel::sql_types::Text, _>(role)
            .bind::<diesel::sql_types::Text, _>(ctx.tenant_key())
            .execute(conn);
            if became.is_err() {
                AnsiTransactionManager::rollback_transaction(conn)?;
            }
            became.map(drop)
        }
    }
}

fn commit(conn: &mut Conn) -> QueryResult<()> {
    on_each!(conn, |conn| AnsiTransactionManager::commit_transaction(
        conn
    ))
}

fn rollback(conn: &mut Conn) -> QueryResult<()> {
    on_each!(conn, |conn| AnsiTransactionManager::rollback_transaction(
        conn
    ))
}

/// Takes a name for this transaction's time, on PostgreSQL across all instances. SQLite's writers stand
/// in line anyway. `false` if somebody else has it.
///
/// # Errors
/// The database's.
pub fn try_hold(conn: &mut Conn, name: i64) -> Result<bool> {
    #[derive(diesel::QueryableByName)]
    struct Held {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        held: bool,
    }
    match conn {
        Conn::Sqlite(_) => Ok(true),
        Conn::Postgres(conn) => {
            let row: Held = diesel::sql_query("SELECT pg_try_advisory_xact_lock($1) AS held")
                .bind::<diesel::sql_types::BigInt, _>(name)
                .get_result(conn)?;
            Ok(row.held)
        }
    }
}
