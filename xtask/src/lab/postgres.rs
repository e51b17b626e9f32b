//! A PostgreSQL cluster of one's own, thrown away afterwards.
//!
//! `cargo xtask test` starts one and names it in [`VARIABLE`]; whoever finds no such name starts another. Its data
//! are not synced to disk. PostgreSQL refuses to run as root: then it runs as the user `postgres`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::daemon::{Daemon, Folder, is_root, output, until};
use super::ports;

/// The environment variable that names a running cluster: `postgres://postgres@127.0.0.1:PORT`.
pub const VARIABLE: &str = "MAILDREIECK_TEST_POSTGRES";

/// A cluster; clones share it, and the last one stops it if it was started here.
#[derive(Debug, Clone)]
pub struct Cluster {
    url: String,
    owned: Option<Arc<Owned>>,
}

#[derive(Debug)]
struct Owned {
    // Order matters: the process ends before its folder goes.
    _daemon: Daemon,
    _folder: Folder,
    url: String,
}

static RUNNING: Mutex<Weak<Owned>> = Mutex::new(Weak::new());

impl Cluster {
    /// The cluster of this test run: the one named by [`VARIABLE`], else one for this process.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or will not start.
    pub fn shared() -> Result<Self> {
        if let Ok(url) = std::env::var(VARIABLE) {
            return Ok(Self { url, owned: None });
        }
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let owned = match running.upgrade() {
            Some(owned) => owned,
            None => Arc::new(start(&std::env::temp_dir())?),
        };
        *running = Arc::downgrade(&owned);
        Ok(Self {
            url: owned.url.clone(),
            owned: Some(owned),
        })
    }

    /// A new cluster that nobody else uses.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn start() -> Result<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same, in a folder below `parent`.
    ///
    /// # Errors
    /// As [`Self::shared`].
    pub fn start_in(parent: &Path) -> Result<Self> {
        let owned = Arc::new(start(parent)?);
        Ok(Self {
            url: owned.url.clone(),
            owned: Some(owned),
        })
    }

    /// `postgres://postgres@127.0.0.1:PORT`, without a database. The user is the superuser and needs no password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it ends with this value (and its clones).
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.owned.is_some()
    }

    /// Creates an empty database `name_…`, unique in the cluster, and gives its URL.
    ///
    /// # Errors
    /// If `name` is not lower-case ASCII, or PostgreSQL refuses.
    pub fn create_database(&self, name: &str) -> Result<String> {
        if name.is_empty()
            || name.len() > 40
            || !name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            bail!("a database name of lower-case letters, digits and _: {name}");
        }
        let database = format!("{name}_{:012x}", ports::unique() >> 16);
        self.sql("postgres", &format!("CREATE DATABASE {database}"))?;
        Ok(format!("{}/{database}", self.url))
    }

    /// Runs SQL as the superuser in `database` and gives what psql prints, unadorned.
    ///
    /// # Errors
    /// If psql fails.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        output(
            Command::new(program("psql")?)
                .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
                .arg(format!("{}/{database}", self.url))
                .args(["-c", sql]),
        )
    }
}

/// Debian's newest PostgreSQL, or what PATH offers.
fn program(name: &str) -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    if let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") {
        for entry in entries.flatten() {
            let path = entry.path().join("bin").join(name);
            if let (Some(version), true) = (
                entry
                    .file_name()
                    .to_str()
                    .and_then(|text| text.parse().ok()),
                path.exists(),
            ) {
                found.push((version, path));
            }
        }
    }
    found.sort();
    if let Some((_, path)) = found.pop() {
        return Ok(path);
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .with_context(|| format!("{name} is not installed (Debian: postgresql)"))
}

/// The user that runs the cluster, where we are root.
fn owner() -> Result<Option<(u32, u32)>> {
    if !is_root() {
        return Ok(None);
    }
    let user = nix::unistd::User::from_name("postgres")?
        .context("there is no user `postgres` (Debian: postgresql)")?;
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

fn command(name: &str, folder: &Path) -> Result<Command> {
    let mut command = Command::new(program(name)?);
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8");
    if let Some((uid, gid)) = owner()? {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

fn start(parent: &Path) -> Result<Owned> {
    let folder = Folder::create_in(parent, "postgres")?;
    if let Some((uid, gid)) = owner()? {
        std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
    }
    output(
        command("initdb", folder.path())?
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(folder.path().join("data")),
    )?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match launch(folder.path()) {
            Ok((daemon, url)) => {
                return Ok(Owned {
                    _daemon: daemon,
                    _folder: folder,
                    url,
                });
            }
            Err(error) if attempt == 5 => return Err(error),
            Err(_) => {}
        }
    }
}

fn launch(folder: &Path) -> Result<(Daemon, String)> {
    let [port] = ports::free()?;
    let log = folder.join("log");
    let file = std::fs::File::create(&log)?;
    let mut server = command("postgres", folder)?;
    server
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=300",
        "shared_buffers=64MB",
        "autovacuum_naptime=1h",
    ] {
        server.args(["-c", setting]);
    }
    server.stdout(file.try_clone()?).stderr(file);
    // SIGINT is PostgreSQL's fast shutdown: it ends clients and stops.
    let mut daemon = Daemon::start(server, Signal::SIGINT, Some(folder))?;
    let socket = folder.join(format!(".s.PGSQL.{port}"));
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    until(
        Duration::from_secs(30),
        "PostgreSQL to accept connections",
        || {
            if let Some(status) = daemon.ended()? {
                bail!("PostgreSQL ended at once ({status}): {}", text().trim());
            }
            Ok(
                socket.exists()
                    && text().contains("database system is ready to accept connections"),
            )
        },
    )?;
    Ok((daemon, format!("postgres://postgres@127.0.0.1:{port}")))
}
