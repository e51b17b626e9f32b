//! The server's settings: a TOML file, each key of which can be overruled by the command line or the
//! environment. Parsed once; a key that is not known is refused with its line and the nearest known one.
//! Secrets can come by file, never by argument.

pub mod cli;
mod file;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use lettre::message::Mailbox;
use secrecy::SecretString;

use crate::db;
use crate::mail::smtp::{Protection, Server as Smtp};

pub use file::File;

/// The settings, checked.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What tokens and assertions must be meant for.
    pub public_url: String,
    /// Where the server's secret lies.
    pub secrets_dir: PathBuf,
    /// The database.
    pub database: db::Url,
    /// Connections to it.
    pub connections: u32,
    /// Where mail goes out; without it reports are kept and not sent.
    pub smtp: Option<Smtp>,
    /// Certificate and key of the listener; without them it is plain, on loopback alone.
    pub tls: Option<Tls>,
    /// Where to write the port that is really listened on.
    pub port_file: Option<PathBuf>,
}

/// Certificate and key of the listener, PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Config {
    /// Reads the file, lets the command line overrule it, and checks the whole.
    ///
    /// # Errors
    /// A key that is not known, a value that cannot be, a file that cannot be read.
    pub fn load(options: &cli::Options) -> anyhow::Result<Self> {
        let mut file = match &options.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        file.overrule(options);
        Self::of(file, options.port_file.clone())
    }

    fn of(file: File, port_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let listen = file.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen: SocketAddr = listen.parse().with_context(|| {
            format!("listen: an address and port like 127.0.0.1:8080, not `{listen}`")
        })?;
        let tls = match file.tls {
            None => None,
            Some(tls) => Some(Tls {
                certificate: tls.certificate_file,
                key: tls.key_file,
            }),
        };
        ensure!(
            tls.is_some() || listen.ip().is_loopback(),
            "listen: plain HTTP is served on loopback alone; give [tls] a certificate, or listen on 127.0.0.1 behind a proxy"
        );
        let public_url = match file.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if listen.port() != 0 && listen.ip().is_loopback() => format!("http://{listen}"),
            None => anyhow::bail!("public_url: missing; agents and people reach the server by it"),
        };
        ensure!(
            public_url.starts_with("https://") || public_url.starts_with("http://"),
            "public_url: an URL that begins with https:// (or http:// on loopback), not `{public_url}`"
        );
        let data_dir = file.data_dir.unwrap_or_else(|| PathBuf::from("."));
        let database = match (file.database.url, file.database.url_file) {
            (Some(_), Some(_)) => anyhow::bail!("[database]: url or url_file, not both"),
            (Some(url), None) => url,
            (None, Some(path)) => secret_file(&path, "[database] url_file")?,
            (None, None) => format!("sqlite://{}", data_dir.join("server.sqlite").display()),
        };
        let mut database = db::Url::parse(&database).context("[database] url")?;
        if let Some(path) = file.database.password_file {
            database = database.with_password(&secret_file(&path, "[database] password_file")?)?;
        }
        Ok(Self {
            listen,
            public_url,
            secrets_dir: file.secrets_dir.unwrap_or_else(|| data_dir.join("secrets")),
            database,
            connections: file.database.connections.unwrap_or(8).clamp(2, 200),
            smtp: file.smtp.map(smtp).transpose().context("[smtp]")?,
            tls,
            port_file,
        })
    }

    /// The part of a Message-ID behind its `@`: the sender's domain.
    #[must_use]
    pub fn mail_domain(&self) -> String {
        self.smtp.as_ref().map_or_else(
            || "maildreieck.invalid".to_owned(),
            |smtp| smtp.from.email.domain().to_owned(),
        )
    }
}

fn smtp(file: file::Smtp) -> anyhow::Result<Smtp> {
    let protection = match file.tls.as_deref() {
        None | Some("implicit") => Protection::Implicit,
        Some("starttls") => Protection::Starttls,
        Some("none") => Protection::None,
        Some(other) => anyhow::bail!("tls: implicit, starttls or none, not `{other}`"),
    };
    ensure!(
        protection != Protection::None || is_loopback(&file.host),
        "tls: none is for a server on loopback alone"
    );
    let port = file.port.unwrap_or(match protection {
        Protection::Implicit => 465,
        Protection::Starttls => 587,
        Protection::None => 25,
    });
    let credentials = match (file.username, file.password_file) {
        (Some(user), Some(path)) => Some((
            user,
            SecretString::from(secret_file(&path, "password_file")?),
        )),
        (None, None) => None,
        _ => anyhow::bail!("username and password_file go together"),
    };
    ensure!(
        credentials.is_none() || protection != Protection::None || is_loopback(&file.host),
        "a password is not sent without TLS"
    );
    let from: Mailbox = file.from.parse().map_err(|error| {
        anyhow::anyhow!("from: a sender like `Maildreieck <reports@example.org>`: {error}")
    })?;
    Ok(Smtp {
        host: file.host,
        port,
        protection,
        credentials,
        from,
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A secret from a file: its text without the newline at its end.
pub(crate) fn secret_file(path: &Path, what: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{what}: reading {}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
