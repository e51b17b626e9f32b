//! Access tokens for mail servers that take no passwords (RFC 6749): asked for with a refresh token, kept in
//! memory until shortly before they end, shared by all connections of an account.
//!
//! The owner's consent is not asked for here: whoever sets up the account brings the first refresh token.
//! No token and no secret is ever in an error or a log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::files;
use crate::http::{self, ClientError, Fault, NoAnswer};

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 1 << 20;
/// The longest secret in a file, octets. Refresh tokens of some providers have some two thousand.
const LONGEST_SECRET: usize = 64 << 10;
/// A token is renewed when it has no more than this to live; a short one when a fifth of its life is left.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest that a request waits because the token server asks it to; beyond, the run ends.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The token endpoint (RFC 6749, 3.2): `https://…`; `http://` on loopback alone.
    pub token_url: String,
    /// Our name there (RFC 6749, 2.2).
    pub client_id: String,
    /// A file with our secret there, for clients that have one.
    pub client_secret_file: Option<PathBuf>,
    /// A file with the refresh token. It is replaced when the token server gives a new one.
    pub refresh_token_file: PathBuf,
    /// What is asked for (RFC 6749, 3.3); without it, what was consented to.
    pub scope: Option<String>,
    /// Certificates that are trusted for the token endpoint instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// What is wrong with the token endpoint's address, for the configuration's error.
    ///
    /// # Errors
    /// When it is malformed, unprotected, or carries what belongs elsewhere.
    pub fn check_url(url: &str) -> Result<(), &'static str> {
        http::address(url).map(drop)
    }

    /// Reads the files once and forgets what they say. Warns where a new refresh token could not be kept.
    ///
    /// # Errors
    /// The first that cannot be used: which key, which file, and why.
    pub fn check_files(&self) -> Result<(), OauthError> {
        self.client_secret()?;
        self.refresh_token()?;
        let path = resolved(&self.refresh_token_file);
        let folder = path.parent().unwrap_or(Path::new("/"));
        if nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_err() {
            tracing::warn!(
                folder = %folder.display(),
                "the folder of refresh_token_file cannot be written: when the token server gives a new refresh token, it is lost with the end of this program"
            );
        }
        Ok(())
    }

    fn client_secret(&self) -> Result<Option<SecretString>, OauthError> {
        let read = |path| secret("client_secret_file", path);
        self.client_secret_file.as_deref().map(read).transpose()
    }

    fn refresh_token(&self) -> Result<SecretString, OauthError> {
        secret("refresh_token_file", &self.refresh_token_file)
    }
}

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OauthError {
    /// A file with a secret cannot be used.
    #[error("{key} '{}': {text}", path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        text: String,
    },
    /// The certificate file, or the client itself.
    #[error("the token server {url} cannot be talked to: {text}")]
    Client {
        /// The token endpoint.
        url: String,
        /// Why not.
        text: String,
    },
    /// No answer came.
    #[error("no answer from the token server {url}: {text}{}", match .fault {
        Fault::Certificate => "; check token_url, or name the authority of its certificate in tls_ca_file of the oauth section",
        Fault::Connection => "; check token_url and the network",
        Fault::TimeOut => "",
    })]
    Unreachable {
        /// The token endpoint.
        url: String,
        /// Which kind of failure it was.
        fault: Fault,
        /// What the network, or TLS, said.
        text: String,
    },
    /// It said no (RFC 6749, 5.2).
    #[error("the token server {url} refused with {status}{}{}; {}", spaced(.code), after_colon(.description), advice(.code, *.status))]
    Refused {
        /// The token endpoint.
        url: String,
        /// The HTTP status code.
        status: u16,
        /// Its error code, such as `invalid_grant`; empty without one.
        code: String,
        /// Its own words; empty without any.
        description: String,
        /// When to come again, where it said so.
        retry_after: Option<Duration>,
    },
    /// The answer is none.
    #[error(
        "the answer of the token server {url} was not understood ({text}); is token_url right?"
    )]
    Answer {
        /// The token endpoint.
        url: String,
        /// What is wrong with it.
        text: &'static str,
    },
}

impl OauthError {
    /// Whether trying again can help without anybody doing anything.
    #[must_use]
    pub fn temporary(&self) -> bool {
        match self {
            Self::Unreachable { fault, .. } => *fault != Fault::Certificate,
            Self::Refused { status, code, .. } => {
                matches!(status, 408 | 425 | 429 | 500..=599)
                    || matches!(&**code, "temporarily_unavailable" | "server_error")
            }
            Self::File { .. } | Self::Client { .. } | Self::Answer { .. } => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn spaced(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(" {code}")
    }
}

fn after_colon(description: &str) -> String {
    if description.is_empty() {
        String::new()
    } else {
        format!(" ({description})")
    }
}

/// What to do about an error code (RFC 6749, 5.2).
fn advice(code: &str, status: u16) -> &'static str {
    match code {
        "invalid_grant" => {
            "the refresh token has ended or was withdrawn: the owner of the account must consent again, and the new refresh token goes into refresh_token_file"
        }
        "invalid_client" => "check client_id and client_secret_file",
        "unauthorized_client" => {
            "allow this client, where it is registered, to use refresh tokens, or name another client_id"
        }
        "invalid_scope" => "check scope; it may hold no more than the owner consented to",
        "unsupported_grant_type" | "invalid_request" => {
            "check token_url, client_id and client_secret_file"
        }
        _ if matches!(status, 408 | 425 | 429 | 500..=599) => "it may answer later",
        _ => "check token_url and client_id",
    }
}

/// An access token.
#[derive(Clone)]
pub struct AccessToken {
    secret: SecretString,
    number: u64,
    since: Instant,
}

impl AccessToken {
    /// The token, for the login alone.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Since when we have it.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The access tokens of one account.
pub struct TokenSource {
    settings: Settings,
    kept: Mutex<Kept>,
    /// Requests that have ended, whatever came of them.
    ended: AtomicU64,
    backoff: ExponentialBuilder,
}

#[derive(Default)]
struct Kept {
    token: Option<(AccessToken, Option<Instant>)>,
    number: u64,
    failure: Option<OauthError>,
    /// A refresh token that could not be written down, and the one that stands in the file instead.
    unsaved: Option<(SecretString, SecretString)>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    /// Nothing is read or asked yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            kept: Mutex::default(),
            ended: AtomicU64::new(0),
            backoff: ExponentialBuilder::default()
                .with_min_delay(Duration::from_secs(1))
                .with_max_times(3),
        }
    }

    /// Where tokens come from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An access token that has not ended. Who comes while one is being asked for waits for it, and shares
    /// its failure as well.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn token(&self) -> Result<AccessToken, OauthError> {
        self.other_than(None).await
    }

    /// Another token than one that a mail server refused: the one that somebody else got meanwhile, or a new
    /// one.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn instead_of(&self, refused: &AccessToken) -> Result<AccessToken, OauthError> {
        self.other_than(Some(refused.number)).await
    }

    async fn other_than(&self, refused: Option<u64>) -> Result<AccessToken, OauthError> {
        let ended = self.ended.load(Ordering::Acquire);
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = &kept.token
            && refused != Some(token.number)
            && until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token.clone());
        }
        if let Some(failure) = &kept.failure
            && self.ended.load(Ordering::Acquire) != ended
        {
            return Err(failure.clone());
        }
        kept.token = None;
        let asked = self.ask(&mut kept).await;
        kept.failure = asked.as_ref().err().cloned();
        self.ended.fetch_add(1, Ordering::Release);
        asked
    }

    async fn ask(&self, kept: &mut Kept) -> Result<AccessToken, OauthError> {
        let settings = &self.settings;
        let in_file = settings.refresh_token()?;
        let refresh = match &kept.unsaved {
            Some((old, new)) if old.expose_secret() == in_file.expose_secret() => new.clone(),
            _ => in_file.clone(),
        };
        let client_secret = settings.client_secret()?;
        let asked_at = Instant::now();
        let answer = (|| self.request(&refresh, client_secret.as_ref()))
            .retry(self.backoff)
            .when(OauthError::temporary)
            .adjust(|error, delay| match error.retry_after() {
                Some(wait) if wait > LONGEST_WAIT => None,
                Some(wait) => delay.map(|delay| delay.max(wait)),
                None => delay,
            })
            .await?;
        if let Some(new) = answer.refresh_token
            && new.expose_secret() != refresh.expose_secret()
        {
            kept.unsaved = self.keep(&in_file, new);
        }
        kept.number += 1;
        let token = AccessToken {
            secret: answer.access_token,
            number: kept.number,
            since: Instant::now(),
        };
        // Without a life told, a token serves until it is refused.
        let until = answer
            .life
            .and_then(|life| asked_at.checked_add(life.saturating_sub(MARGIN.min(life / 5))));
        kept.token = Some((token.clone(), until));
        Ok(token)
    }

    /// Writes a new refresh token down in the place of the one that stood there.
    fn keep(
        &self,
        in_file: &SecretString,
        new: SecretString,
    ) -> Option<(SecretString, SecretString)> {
        let path = resolved(&self.settings.refresh_token_file);
        // Somebody may have brought a newer one meanwhile.
        if let Ok(now) = self.settings.refresh_token()
            && now.expose_secret() != in_file.expose_secret()
        {
            return None;
        }
        let line = zeroize::Zeroizing::new(format!("{}\n", new.expose_secret()));
        match files::write_private(&path, line.as_bytes()) {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(
                    path = %path.display(),
                    %error,
                    "the token server gave a new refresh token, and it cannot be written; make the folder writable for the agent, or it is lost with the end of this program and the owner must consent again"
                );
                Some((in_file.clone(), new))
            }
        }
    }

    /// One request (RFC 6749, 6).
    async fn request(
        &self,
        refresh: &SecretString,
        client_secret: Option<&SecretString>,
    ) -> Result<Granted, OauthError> {
        let settings = &self.settings;
        let url = &settings.token_url;
        let failed = |text: String| OauthError::Client {
            url: url.clone(),
            text,
        };
        let (address, loopback) = http::address(url).map_err(|text| failed(text.to_owned()))?;
        let client = http::client(loopback, settings.ca_file.as_deref()).map_err(|e| match e {
            ClientError::Authority { path, detail } => {
                failed(format!("tls_ca_file {}: {detail}", path.display()))
            }
            ClientError::Build(text) => failed(text),
        })?;
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose_secret()),
            ("client_id", &settings.client_id),
        ];
        // In the body, as Google and Microsoft document it (RFC 6749, 2.3.1).
        form.extend(client_secret.map(|secret| ("client_secret", secret.expose_secret())));
        form.extend(settings.scope.as_deref().map(|scope| ("scope", scope)));
        let request = client
            .post(address)
            .header("Accept", "application/json")
            .form(&form);
        let answer = http::ask(request, LARGEST_ANSWER)
            .await
            .map_err(|error| match error {
                NoAnswer::Failed { fault, detail } => OauthError::Unreachable {
                    url: url.clone(),
                    fault,
                    text: detail,
                },
                NoAnswer::TooLarge => self.not_understood("it is too large"),
            })?;
        if answer.status.is_success() {
            return self.granted(&answer.body);
        }
        let said: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
        let mut hidden = vec![refresh.expose_secret()];
        hidden.extend(client_secret.map(|secret| secret.expose_secret()));
        Err(OauthError::Refused {
            url: url.clone(),
            status: answer.status.as_u16(),
            code: printable(&said.error, &hidden),
            description: printable(&said.error_description, &hidden),
            retry_after: http::retry_after(&answer.headers),
        })
    }

    fn granted(&self, body: &[u8]) -> Result<Granted, OauthError> {
        // What stands in it is never said: it holds tokens.
        let answer: Grant = serde_json::from_slice(body)
            .map_err(|_| self.not_understood("it is no JSON with an access token"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(self.not_understood("its token is no bearer token"));
        }
        // RFC 6750, 2.1; it goes into a login between control characters.
        let plain = |secret: &SecretString| {
            let text = secret.expose_secret();
            !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic())
        };
        if !plain(&answer.access_token) || !answer.refresh_token.as_ref().is_none_or(plain) {
            return Err(self.not_understood("a token in it is empty or holds odd characters"));
        }
        Ok(Granted {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            life: answer.expires_in.and_then(|life| match life {
                Life::Seconds(seconds) => Some(Duration::from_secs(seconds)),
                Life::Text(text) => text.parse().ok().map(Duration::from_secs),
            }),
        })
    }

    fn not_understood(&self, text: &'static str) -> OauthError {
        OauthError::Answer {
            url: self.settings.token_url.clone(),
            text,
        }
    }
}

struct Granted {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    life: Option<Duration>,
}

/// RFC 6749, 5.1.
#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    token_type: String,
    expires_in: Option<Life>,
    refresh_token: Option<SecretString>,
}

/// Some servers write the number as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Life {
    Seconds(u64),
    Text(String),
}

/// RFC 6749, 5.2.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
}

/// A server's words on one line, cut short; nothing where they repeat a secret.
fn printable(text: &str, hidden: &[&str]) -> String {
    if hidden.iter().any(|secret| text.contains(secret)) {
        return String::new();
    }
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let cut: String = text.chars().map(plain).take(200).collect();
    cut.trim().to_owned()
}

/// The file itself where the path is a link, so that the link stays one.
fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The only line of a file.
fn secret(key: &'static str, path: &Path) -> Result<SecretString, OauthError> {
    let wrong = |text: String| OauthError::File {
        key,
        path: path.to_owned(),
        text,
    };
    let octets = std::fs::read(path)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| {
            wrong(match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    format!("{error}; the user that runs the agent must be able to read it")
                }
                _ => error.to_string(),
            })
        })?;
    files::warn_exposed(path);
    let text = octets.trim_ascii();
    if text.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    if text.len() > LONGEST_SECRET || !text.iter().all(u8::is_ascii_graphic) {
        let said = "it must hold one line of printable ASCII without spaces";
        return Err(wrong(said.to_owned()));
    }
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests;
