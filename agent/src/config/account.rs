//! An account as the file describes it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::{Corner, Tls};
use rustls::pki_types::ServerName;

use super::error::ConfigError;
use super::password::PasswordSource;
use super::preset::{PRESETS, Preset};
use super::section::Section;
use crate::imap::{Credentials, Endpoint, Meter, Protection, Protocol, authorities};
use crate::oauth::{OauthError, Settings, TokenSource};

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
    /// What is spoken with it; POP3 with a primary alone.
    pub protocol: Protocol,
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
    /// How many octets of mail may cross in 24 hours: fetched from the primary, sent to the standby. `None`
    /// for any number.
    pub bytes_per_day: Option<u64>,
    /// How many messages may be fetched from the primary, or sent to the standby, in a second. `None` for any
    /// number.
    pub messages_per_second: Option<u32>,
    /// The provider, where the file names one.
    pub preset: Option<&'static Preset>,
    proof: Proof,
    /// Where the file names what the login is proved with.
    at: Mark,
}

/// What the login is proved with.
#[derive(Debug, Clone)]
enum Proof {
    Password(PasswordSource),
    /// Shared by all that log in to this account.
    Tokens(Arc<TokenSource>),
}

#[derive(Debug, Clone)]
struct Mark {
    path: PathBuf,
    line: usize,
    /// The line of `client_secret_file`.
    client_line: Option<usize>,
    /// The line of `tls_ca_file`.
    ca_line: usize,
    section: String,
    /// The section of the account.
    account: String,
}

/// How many connections we open where the file says nothing: more were slower, and people work there too.
const CONNECTIONS: u8 = 8;

const KEYS: [&str; 16] = [
    "preset",
    "protocol",
    "host",
    "port",
    "tls",
    "tls_ca_file",
    "allow_plaintext",
    "username",
    "password_file",
    "password_command",
    "oauth",
    "timeout_s",
    "max_connections",
    "bytes_per_day",
    "messages_per_second",
    "clients",
];
const OAUTH_KEYS: [&str; 6] = [
    "token_url",
    "client_id",
    "client_secret_file",
    "refresh_token_file",
    "scope",
    "tls_ca_file",
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
        let preset = section.word("preset", &PRESETS)?.map(|(preset, _)| preset);
        let protocol = protocol(&section, corner, preset)?;
        let (host, host_line) = match (section.text("host")?, preset) {
            (Some(found), _) => found,
            (None, Some(preset)) => (preset.host.to_owned(), section.line),
            (None, None) => return Err(section.missing("host")),
        };
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
            .unwrap_or((preset.map_or(Tls::Implicit, |p| p.tls), section.line));
        let allow_plaintext = section.flag("allow_plaintext")?.unwrap_or_default();
        let far = host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback());
        if tls == Tls::None && far && !allow_plaintext {
            let text = "is \"none\", which is for this machine only; use \"implicit\" or \"starttls\", or set allow_plaintext = true";
            return Err(section.wrong(tls_line, "tls", text));
        }
        let port = match section.number("port", 1..=u64::from(u16::MAX))? {
            Some(port) => u16::try_from(port).unwrap_or(u16::MAX),
            None => match preset {
                Some(preset) if preset.tls == tls => preset.port,
                _ => protocol.usual_port(tls),
            },
        };
        let (username, _) = section.needed_text("username")?;
        let (proof, at) = proof(&section, preset)?;
        let ours = preset.and_then(|p| match corner {
            Corner::Primary => p.bytes_per_day_down,
            _ => p.bytes_per_day_up,
        });
        let clients = [("imap", Clients::Imap), ("pop-delete", Clients::PopDelete)];
        let account = Self {
            host,
            port,
            protocol,
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
                .unwrap_or_else(|| connections(preset)),
            bytes_per_day: section.number("bytes_per_day", 1..=u64::MAX)?.or(ours),
            messages_per_second: section
                .number("messages_per_second", 1..=10_000)?
                .and_then(|n| u32::try_from(n).ok()),
            preset,
            proof,
            at,
        };
        Ok((account, section.line))
    }

    /// What the login is proved with: a password, read anew each time (a command has 30 s), or the source of
    /// access tokens, from which nothing is asked yet.
    ///
    /// # Errors
    /// When it cannot be had; the text never holds what a file or a command said.
    pub fn credentials(&self) -> Result<Credentials, ConfigError> {
        match &self.proof {
            Proof::Password(source) => source
                .password()
                .map(Credentials::Password)
                .map_err(|text| self.unproved(self.at.line, source.key(), text)),
            Proof::Tokens(tokens) => Ok(Credentials::Tokens(Arc::clone(tokens))),
        }
    }

    /// Reads the files that the connection needs, and forgets what they say. Commands are not run, tokens not
    /// asked for.
    pub(super) fn check_files(&self) -> Result<(), ConfigError> {
        if let Some(path) = &self.tls_ca_file {
            authorities(path).map_err(|text| ConfigError::Wrong {
                path: self.at.path.clone(),
                line: self.at.ca_line,
                text: format!(
                    "'tls_ca_file' in {}: {text}; name a file of PEM certificates, or leave the key out",
                    self.at.account
                ),
            })?;
        }
        match &self.proof {
            Proof::Password(PasswordSource::File(_)) => self.credentials().map(drop),
            Proof::Password(PasswordSource::Command(_)) => Ok(()),
            Proof::Tokens(tokens) => tokens.settings().check_files().map_err(|error| {
                let OauthError::File { key, path, text } = error else {
                    return self.unproved(self.at.line, "oauth".to_owned(), error.to_string());
                };
                let line = match (key, self.at.client_line) {
                    ("client_secret_file", Some(line)) => line,
                    _ => self.at.line,
                };
                self.unproved(line, format!("{key} '{}'", path.display()), text)
            }),
        }
    }

    fn unproved(&self, line: usize, key: String, text: String) -> ConfigError {
        ConfigError::Password {
            path: self.at.path.clone(),
            line,
            key,
            section: self.at.section.clone(),
            text,
        }
    }

    /// Takes the token source of an earlier account with the same settings, so that no two ask with one
    /// refresh token.
    pub(super) fn share_tokens(&mut self, known: &mut Vec<Arc<TokenSource>>) {
        let Proof::Tokens(tokens) = &mut self.proof else {
            return;
        };
        match known.iter().find(|k| k.settings() == tokens.settings()) {
            Some(earlier) => *tokens = Arc::clone(earlier),
            None => known.push(Arc::clone(tokens)),
        }
    }

    /// The account as the imap room connects to it, with its password.
    ///
    /// # Errors
    /// As [`Self::credentials`].
    pub fn endpoint(&self, corner: Corner) -> Result<Endpoint, ConfigError> {
        Ok(Endpoint {
            corner,
            protocol: self.protocol,
            host: self.host.clone(),
            port: self.port,
            protection: Protection {
                tls: self.tls,
                ca_file: self.tls_ca_file.clone(),
                allow_plaintext: self.allow_plaintext,
            },
            username: self.username.clone(),
            credentials: self.credentials()?,
            patience: self.timeout,
            meter: Meter::new(self.messages_per_second),
        })
    }

    /// What makes two accounts the same one. The usual ports lead to one server, whatever is spoken there.
    pub(super) fn identity(&self) -> (String, u16, &str) {
        let host = self.host.trim_end_matches('.').to_ascii_lowercase();
        let port = match self.port {
            143 | 110 | 995 => 993,
            port => port,
        };
        (host, port, &self.username)
    }

    /// What the configuration's hash covers: nothing secret.
    pub(super) fn canonical(&self) -> serde_json::Value {
        let mut account = serde_json::json!({
            "host": self.host,
            "port": self.port,
            "tls": self.tls,
            "username": self.username,
            "clients": self.clients,
        });
        // What has always been spoken is not said, so that hashes stay what they were.
        if let (Protocol::Pop3, Some(account)) = (self.protocol, account.as_object_mut()) {
            account.insert("protocol".to_owned(), serde_json::json!(self.protocol));
        }
        account
    }
}

/// What is spoken with an account: POP3 with a primary alone, since nothing can be put into an account by it.
fn protocol(
    section: &Section<'_>,
    corner: Corner,
    preset: Option<&Preset>,
) -> Result<Protocol, ConfigError> {
    let protocols = [("imap", Protocol::Imap), ("pop3", Protocol::Pop3)];
    let Some((protocol, line)) = section.word("protocol", &protocols)? else {
        return Ok(Protocol::Imap);
    };
    let wrong = match (protocol, corner, preset) {
        (Protocol::Imap, ..) => return Ok(protocol),
        (_, Corner::Primary, None) => return Ok(protocol),
        (_, Corner::Primary, Some(_)) => {
            "is \"pop3\", and presets know IMAP servers alone; leave preset out and name the POP3 host"
        }
        _ => "is \"pop3\", by which nothing can be put into an account: a standby speaks IMAP",
    };
    Err(section.wrong(line, "protocol", wrong))
}

/// Half of what a provider allows is left to the people who work with the account.
fn connections(preset: Option<&Preset>) -> u8 {
    preset
        .and_then(|p| p.connections)
        .map_or(CONNECTIONS, |all| (all / 2).clamp(1, CONNECTIONS))
}

fn proof(section: &Section<'_>, preset: Option<&Preset>) -> Result<(Proof, Mark), ConfigError> {
    let mut found = Vec::new();
    if let Some((path, line)) = section.path("password_file")? {
        let proof = Proof::Password(PasswordSource::File(path));
        found.push(("password_file", line, line, &section.name, proof));
    }
    if let Some((command, line)) = section.text("password_command")? {
        let proof = Proof::Password(PasswordSource::Command(command));
        found.push(("password_command", line, line, &section.name, proof));
    }
    let oauth = section.section("oauth", in_section(&section.name, "oauth"), &OAUTH_KEYS)?;
    if let Some(table) = &oauth {
        let (settings, file_line) = settings(table, preset)?;
        let proof = Proof::Tokens(Arc::new(TokenSource::new(settings)));
        found.push(("oauth", table.line, file_line, &table.name, proof));
    }
    if let [(one, first, ..), (other, second, ..), ..] = found.as_slice() {
        let text = format!("and '{other}' exclude each other");
        return Err(section.wrong(*first.max(second), one, text));
    }
    let Some((_, _, line, name, proof)) = found.pop() else {
        let text = format!(
            "the key 'password_file' (or 'password_command', or 'oauth') is missing in {}",
            section.name
        );
        return Err(section.source.wrong(section.line, text));
    };
    let at = Mark {
        path: section.source.path.to_owned(),
        line,
        client_line: oauth
            .as_ref()
            .and_then(|table| table.find("client_secret_file"))
            .map(|found| found.line),
        ca_line: section.find("tls_ca_file").map_or(line, |found| found.line),
        section: name.clone(),
        account: section.name.clone(),
    };
    Ok((proof, at))
}

/// `[triangle.primary]` with a key is `[triangle.primary.oauth]`.
fn in_section(name: &str, key: &str) -> String {
    format!("{}.{key}]", name.trim_end_matches(']'))
}

/// Where access tokens come from, and the line of the refresh token's file.
fn settings(
    table: &Section<'_>,
    preset: Option<&Preset>,
) -> Result<(Settings, usize), ConfigError> {
    let published = preset.and_then(|preset| preset.oauth);
    let (token_url, line) = match (table.text("token_url")?, published) {
        (Some(found), _) => found,
        (None, Some((url, _))) => (url.to_owned(), table.line),
        (None, None) => return Err(table.missing("token_url")),
    };
    Settings::check_url(&token_url).map_err(|text| table.wrong(line, "token_url", text))?;
    let (client_id, _) = table.needed_text("client_id")?;
    let (refresh_token_file, file_line) = table
        .path("refresh_token_file")?
        .ok_or_else(|| table.missing("refresh_token_file"))?;
    let scope = table.text("scope")?.map(|(scope, _)| scope);
    let settings = Settings {
        token_url,
        client_id,
        client_secret_file: table.path("client_secret_file")?.map(|(path, _)| path),
        refresh_token_file,
        scope: scope.or_else(|| published.map(|(_, scope)| scope.to_owned())),
        ca_file: table.path("tls_ca_file")?.map(|(path, _)| path),
    };
    Ok((settings, file_line))
}
