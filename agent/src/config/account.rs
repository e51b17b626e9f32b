//! An account as the file describes it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::{Corner, Tls};
use rustls::pki_types::ServerName;
use secrecy::SecretString;

use super::error::ConfigError;
use super::password::PasswordSource;
use super::section::Section;
use crate::imap::{Endpoint, Protection};

/// How the business fetches its mail from an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clients {
    /// It stays on the server.
    Imap,
    /// Clients fetch it by POP and delete it: that mail vanishes is ordinary.
    PopDelete,
}

/// An account: where it is, who logs in, and how gently.
#[derive(Debug, Clone)]
pub struct AccountConfig {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection of the connection.
    pub tls: Tls,
    /// Certificates that are trusted instead of the system's, PEM.
    pub tls_ca_file: Option<PathBuf>,
    /// Whether mail and password may cross a network unprotected.
    pub allow_plaintext: bool,
    /// User name.
    pub username: String,
    /// How the business fetches its mail (primary).
    pub clients: Clients,
    /// How long any single wait may take.
    pub timeout: Duration,
    /// How many connections may be open at once.
    pub max_connections: u8,
    password: PasswordSource,
    /// Where the file names the password.
    at: Mark,
}

#[derive(Debug, Clone)]
struct Mark {
    path: PathBuf,
    line: usize,
    section: String,
}

const KEYS: [&str; 11] = [
    "host",
    "port",
    "tls",
    "tls_ca_file",
    "allow_plaintext",
    "username",
    "password_file",
    "password_command",
    "timeout_s",
    "max_connections",
    "clients",
];

impl AccountConfig {
    /// Reads the section of a corner; with it the line it begins in.
    pub(super) fn read(
        triangle: &Section<'_>,
        corner: Corner,
    ) -> Result<(Self, usize), ConfigError> {
        let key = corner.as_str();
        let known = match corner {
            Corner::Primary => KEYS.as_slice(),
            _ => KEYS.split_last().map(|(_, rest)| rest).unwrap_or_default(),
        };
        let section = triangle
            .section(key, format!("[triangle.{key}]"), known)?
            .ok_or_else(|| {
                let text = format!("the section [triangle.{key}] is missing");
                triangle.source.wrong(triangle.line, text)
            })?;
        let (host, host_line) = section.needed_text("host")?;
        if ServerName::try_from(host.as_str()).is_err() {
            let text = "must be a host name or an address, without port";
            return Err(section.wrong(host_line, "host", text));
        }
        let protections = [
            ("implicit", Tls::Implicit),
            ("starttls", Tls::Starttls),
            ("none", Tls::None),
        ];
        let (tls, tls_line) = section
            .word("tls", &protections)?
            .unwrap_or((Tls::Implicit, section.line));
        let allow_plaintext = section.flag("allow_plaintext")?.unwrap_or_default();
        let far = host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback());
        if tls == Tls::None && far && !allow_plaintext {
            let text = "is \"none\", which is for this machine only; use \"implicit\" or \"starttls\", or set allow_plaintext = true";
            return Err(section.wrong(tls_line, "tls", text));
        }
        let port = match section.number("port", 1..=u64::from(u16::MAX))? {
            Some(port) => u16::try_from(port).unwrap_or(u16::MAX),
            None if tls == Tls::Implicit => 993,
            None => 143,
        };
        let (username, _) = section.needed_text("username")?;
        let (password, line) = password(&section)?;
        let clients = [("imap", Clients::Imap), ("pop-delete", Clients::PopDelete)];
        let account = Self {
            host,
            port,
            tls,
            tls_ca_file: section.path("tls_ca_file")?.map(|(path, _)| path),
            allow_plaintext,
            username,
            clients: section
                .word("clients", &clients)?
                .map_or(Clients::Imap, |(clients, _)| clients),
            timeout: Duration::from_secs(section.number("timeout_s", 1..=3600)?.unwrap_or(120)),
            max_connections: section
                .number("max_connections", 1..=32)?
                .and_then(|n| u8::try_from(n).ok())
                .unwrap_or(8),
            password,
            at: Mark {
                path: section.source.path.to_owned(),
                line,
                section: section.name.clone(),
            },
        };
        Ok((account, section.line))
    }

    /// The password, read anew each time. A command has 30 s.
    ///
    /// # Errors
    /// When it cannot be had; the text never holds what a file or a command said.
    pub fn password(&self) -> Result<SecretString, ConfigError> {
        self.password
            .password()
            .map_err(|text| ConfigError::Password {
                path: self.at.path.clone(),
                line: self.at.line,
                key: self.password.key(),
                section: self.at.section.clone(),
                text,
            })
    }

    /// Reads the password file, if it is one, and forgets what it says.
    pub(super) fn check_password_file(&self) -> Result<(), ConfigError> {
        match self.password {
            PasswordSource::File(_) => self.password().map(drop),
            PasswordSource::Command(_) => Ok(()),
        }
    }

    /// The account as the imap room connects to it, with its password.
    ///
    /// # Errors
    /// As [`Self::password`].
    pub fn endpoint(&self, corner: Corner) -> Result<Endpoint, ConfigError> {
        Ok(Endpoint {
            corner,
            host: self.host.clone(),
            port: self.port,
            protection: Protection {
                tls: self.tls,
                ca_file: self.tls_ca_file.clone(),
                allow_plaintext: self.allow_plaintext,
            },
            username: self.username.clone(),
            password: self.password()?,
            patience: self.timeout,
        })
    }

    /// What makes two accounts the same one. The two usual ports lead to one server.
    pub(super) fn identity(&self) -> (String, u16, &str) {
        let host = self.host.trim_end_matches('.').to_ascii_lowercase();
        let port = if self.port == 143 { 993 } else { self.port };
        (host, port, &self.username)
    }

    /// What the configuration's hash covers: nothing secret.
    pub(super) fn canonical(&self) -> serde_json::Value {
        serde_json::json!({
            "host": self.host,
            "port": self.port,
            "tls": self.tls,
            "username": self.username,
            "clients": self.clients,
        })
    }
}

fn password(section: &Section<'_>) -> Result<(PasswordSource, usize), ConfigError> {
    match (
        section.path("password_file")?,
        section.text("password_command")?,
    ) {
        (Some((path, line)), None) => Ok((PasswordSource::File(path), line)),
        (None, Some((command, line))) => Ok((PasswordSource::Command(command), line)),
        (Some((_, file)), Some((_, command))) => Err(section.wrong(
            file.max(command),
            "password_file",
            "and 'password_command' exclude each other",
        )),
        (None, None) => {
            let text = format!(
                "the key 'password_file' (or 'password_command') is missing in {}",
                section.name
            );
            Err(section.source.wrong(section.line, text))
        }
    }
}
