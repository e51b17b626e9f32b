//! The settings as the file has them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use super::cli::Options;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Address and port, like `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: Option<String>,
    /// How people and agents reach the server.
    pub public_url: Option<String>,
    /// Where the database and the secrets lie, if nothing else is said.
    pub data_dir: Option<PathBuf>,
    /// Where the server's secret lies.
    pub secrets_dir: Option<PathBuf>,
    /// The database.
    #[serde(default)]
    pub database: Database,
    /// Where mail goes out.
    pub smtp: Option<Smtp>,
    /// Certificate and key of the listener.
    pub tls: Option<Tls>,
}

/// `[database]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite://` and a path, or `postgres://user@host/database`.
    pub url: Option<String>,
    /// A file that holds the URL.
    pub url_file: Option<PathBuf>,
    /// A file that holds PostgreSQL's password.
    pub password_file: Option<PathBuf>,
    /// Connections.
    pub connections: Option<u32>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL can hold a password.
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// `[smtp]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Host name or address.
    pub host: String,
    /// Port; by `tls` if absent.
    pub port: Option<u16>,
    /// `implicit`, `starttls`, or `none` on loopback.
    pub tls: Option<String>,
    /// The sender.
    pub from: String,
    /// Who logs in.
    pub username: Option<String>,
    /// With the password in this file.
    pub password_file: Option<PathBuf>,
}

/// `[tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, PEM.
    pub certificate_file: PathBuf,
    /// The key, PEM.
    pub key_file: PathBuf,
}

/// Every key there is, for the nearest known one.
const KEYS: &[&str] = &[
    "listen",
    "public_url",
    "data_dir",
    "secrets_dir",
    "database",
    "smtp",
    "tls",
    "url",
    "url_file",
    "password_file",
    "connections",
    "host",
    "port",
    "from",
    "username",
    "certificate_file",
    "key_file",
];

impl File {
    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or says what cannot be, with the line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the configuration {}", path.display()))?;
        Self::parse(&text).map_err(|why| anyhow::anyhow!("{}{why}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| format!(":{}", before.matches('\n').count() + 1))
                .unwrap_or_default();
            let message = error.message();
            let near = message
                .strip_prefix("unknown field `")
                .and_then(|rest| rest.split('`').next())
                .and_then(nearest)
                .map(|key| format!("; did you mean `{key}`?"))
                .unwrap_or_default();
            format!("{line}: {message}{near}")
        })
    }

    /// Lets the command line overrule the file.
    pub fn overrule(&mut self, options: &Options) {
        let set = |to: &mut Option<String>, from: &Option<String>| {
            if from.is_some() {
                to.clone_from(from);
            }
        };
        set(&mut self.listen, &options.listen);
        set(&mut self.public_url, &options.public_url);
        if options.database_url.is_some() {
            self.database.url_file = None;
        }
        set(&mut self.database.url, &options.database_url);
        if options.data_dir.is_some() {
            self.data_dir.clone_from(&options.data_dir);
        }
    }
}

fn nearest(unknown: &str) -> Option<&'static str> {
    KEYS.iter()
        .map(|key| (strsim::damerau_levenshtein(unknown, key), *key))
        .min()
        .filter(|(distance, key)| *distance <= 1 + key.len() / 3)
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let check = |text: &str, expected: &str| {
            let said = File::parse(text).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        };
        check("listne = \"x\"\n", ":1: unknown field `listne`");
        check(
            "\n[smtp]\nhost = \"h\"\nform = \"x\"\n",
            ":4: unknown field `form`",
        );
        check("listen = 3\n", ":1: invalid type");
        check("listen = \n", ":1: ");
        assert!(
            File::parse("listne = \"x\"")
                .unwrap_err()
                .ends_with("did you mean `listen`?")
        );
        assert!(File::parse("").is_ok());
        let example = include_str!("../../../deploy/examples/server.toml");
        File::parse(example).unwrap();
    }
}
