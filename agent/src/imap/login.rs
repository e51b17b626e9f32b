//! Who logs in and how: SASL PLAIN or LOGIN with a password, OAUTHBEARER or XOAUTH2 with an access token. The
//! server's capabilities choose. Nothing of a secret is ever in an error.

use std::sync::Arc;

use async_imap::imap_proto::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::connect::Endpoint;
use super::error::{ImapError, Kind, kind_of_bad, kind_of_no};
use super::link::{AnyResponse as _, Capabilities, Code, End, Finished, Link};
use super::wire;
use crate::oauth::{AccessToken, OauthError, TokenSource};

/// The longest command line that carries a first answer (SASL-IR). Servers read 8,192 octets at least (RFC
/// 7162, 4); longer tokens go after the server's `+`.
const LONGEST_LINE: usize = 8000;
/// More questions than any of our mechanisms has.
const MOST_QUESTIONS: u8 = 4;

/// What proves who logs in.
#[derive(Debug)]
pub enum Credentials {
    /// A password; never printed.
    Password(SecretString),
    /// Access tokens, from a source that all connections of the account share.
    Tokens(Arc<TokenSource>),
}

/// What a connection logs in with.
pub(crate) enum Proof {
    Password(SecretString),
    Token(AccessToken),
}

/// A mechanism that takes a bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer {
    /// RFC 7628.
    Oauthbearer,
    /// <https://developers.google.com/workspace/gmail/imap/xoauth2-protocol>
    Xoauth2,
}

impl Bearer {
    /// The better one of those that a server offers.
    pub(crate) fn of(offers: impl Fn(&str) -> bool) -> Option<Self> {
        [Self::Oauthbearer, Self::Xoauth2]
            .into_iter()
            .find(|bearer| offers(bearer.name()))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Oauthbearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Oauthbearer => "AUTHENTICATE OAUTHBEARER",
            Self::Xoauth2 => "AUTHENTICATE XOAUTH2",
        }
    }

    /// What is said to a refusal, before the server ends the command: a lone separator (RFC 7628, 3.2.3), or
    /// nothing.
    pub(crate) fn end(self) -> &'static str {
        match self {
            Self::Oauthbearer => "AQ==",
            Self::Xoauth2 => "",
        }
    }

    /// The first answer, before base64.
    pub(crate) fn first(self, endpoint: &Endpoint, token: &SecretString) -> Zeroizing<String> {
        let token = token.expose_secret();
        let user = &endpoint.username;
        Zeroizing::new(match self {
            Self::Oauthbearer => {
                // A GS2 name (RFC 5801, 4).
                let user = user.replace('=', "=3D").replace(',', "=2C");
                let (host, port) = (&endpoint.host, endpoint.port);
                format!(
                    "n,a={user},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer {token}\u{1}\u{1}"
                )
            }
            Self::Xoauth2 => format!("user={user}\u{1}auth=Bearer {token}\u{1}\u{1}"),
        })
    }
}

/// What a server says about a token that it refuses (RFC 7628, 3.2.2).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Challenge {
    status: String,
}

/// How a server speaks during AUTHENTICATE.
enum Said {
    Question(String),
    End(Finished),
}

/// Connects with what proves who logs in. A token that the server does not take, though it should have lived on,
/// is exchanged for another once.
pub(crate) async fn proved<T, F>(
    endpoint: &Endpoint,
    connect: impl Fn(Proof) -> F,
) -> Result<T, ImapError>
where
    F: Future<Output = Result<T, ImapError>>,
{
    let tokens = match &endpoint.credentials {
        Credentials::Password(password) => return connect(Proof::Password(password.clone())).await,
        Credentials::Tokens(tokens) => tokens,
    };
    let began = tokio::time::Instant::now();
    let no_token = |error| without_token(endpoint, &error);
    let token = tokens.token().await.map_err(no_token)?;
    match connect(Proof::Token(token.clone())).await {
        Err(error) if error.kind == Kind::Token && token.since() < began => {
            let token = tokens.instead_of(&token).await.map_err(no_token)?;
            connect(Proof::Token(token)).await
        }
        other => other,
    }
}

impl Link {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When no connection comes about, or the login is refused.
    pub async fn open(endpoint: Arc<Endpoint>) -> Result<Self, ImapError> {
        let connect = |proof| Self::connect(Arc::clone(&endpoint), proof);
        proved(&endpoint, connect).await
    }

    pub(super) async fn login(&mut self, proof: Proof) -> Result<(), ImapError> {
        let before = std::mem::take(&mut self.capabilities);
        let finished = match proof {
            Proof::Token(token) => self.login_by_token(&before, &token).await?,
            Proof::Password(password) => self.login_by_password(&before, &password).await?,
        };
        match finished.end {
            End::Ok => {
                if let Some(Code::Capability(capabilities)) = finished.code {
                    self.capabilities = capabilities;
                }
                Ok(())
            }
            End::No if finished.text.contains("UNAVAILABLE") => {
                Err(self.error(Kind::No, "LOGIN", finished.text))
            }
            End::No if kind_of_no(&finished.text) == Kind::BackOff => {
                Err(self.error(Kind::BackOff, "LOGIN", finished.text))
            }
            End::No => Err(self.error(Kind::Login, "LOGIN", finished.text)),
            End::Bad => Err(self.error(kind_of_bad(&finished.text), "LOGIN", finished.text)),
        }
    }

    async fn login_by_password(
        &mut self,
        before: &Capabilities,
        password: &SecretString,
    ) -> Result<Finished, ImapError> {
        let endpoint = Arc::clone(&self.endpoint);
        if before.has("AUTH=PLAIN") {
            let clear = format!("\0{}\0{}", endpoint.username, password.expose_secret());
            let first = Zeroizing::new(STANDARD.encode(Zeroizing::new(clear).as_bytes()));
            // There is nothing more to say: `*` takes the attempt back (RFC 9051, 6.2.2).
            let (finished, _) = self
                .authenticate(before, "AUTHENTICATE", "PLAIN", &first, "*")
                .await?;
            return Ok(finished);
        }
        if before.has("LOGINDISABLED") {
            let text = "the server allows no login on this connection; use tls = \"implicit\" or \"starttls\"";
            return Err(self.error(Kind::Login, "LOGIN", text));
        }
        let printable = |text: &str| text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if !printable(&endpoint.username) || !printable(password.expose_secret()) {
            let text = "the server offers LOGIN alone, which takes no letters beyond ASCII in user name and password";
            return Err(self.error(Kind::Login, "LOGIN", text));
        }
        let user = wire::quoted(&endpoint.username);
        let line = Zeroizing::new(format!(
            "LOGIN {user} {}",
            wire::quoted(password.expose_secret())
        ));
        self.exchange("LOGIN", None, &line, |_| Ok(())).await
    }

    async fn login_by_token(
        &mut self,
        before: &Capabilities,
        token: &AccessToken,
    ) -> Result<Finished, ImapError> {
        let Some(bearer) = Bearer::of(|name| before.has(&format!("AUTH={name}"))) else {
            let text = "the server offers neither OAUTHBEARER nor XOAUTH2 on this connection; use tls = \"implicit\" or \"starttls\", or a password in place of the oauth section";
            return Err(self.error(Kind::NoToken, "login", text));
        };
        let first = bearer.first(&self.endpoint, token.secret());
        let first = Zeroizing::new(STANDARD.encode(first.as_bytes()));
        let (finished, question) = self
            .authenticate(
                before,
                bearer.command(),
                bearer.name(),
                &first,
                bearer.end(),
            )
            .await?;
        let unavailable = finished.text.contains("UNAVAILABLE");
        match (finished.end, refusal(question.as_deref())) {
            (End::No, status) if !unavailable => {
                let text = match status {
                    Some(status) => format!("status {status}: {}", finished.text),
                    None => finished.text,
                };
                Err(self.error(Kind::Token, bearer.command(), text))
            }
            _ => Ok(finished),
        }
    }

    /// One AUTHENTICATE: the first answer with the command where the server takes it (RFC 4959) or after its
    /// `+`, and `end` to whatever it asks after that. Its last question comes along.
    async fn authenticate(
        &mut self,
        before: &Capabilities,
        command: &'static str,
        mechanism: &str,
        first: &str,
        end: &str,
    ) -> Result<(Finished, Option<String>), ImapError> {
        let mut said_first = before.has("SASL-IR") && first.len() <= LONGEST_LINE;
        let line = Zeroizing::new(if said_first {
            format!("AUTHENTICATE {mechanism} {first}")
        } else {
            format!("AUTHENTICATE {mechanism}")
        });
        let tag = self.send(command, &line).await?;
        let mut last = None;
        for _ in 0..MOST_QUESTIONS {
            let question = match self.said(command, &tag).await? {
                Said::End(finished) => return Ok((finished, last)),
                Said::Question(question) => question,
            };
            if said_first {
                last = Some(question);
                self.write(command, format!("{end}\r\n").as_bytes()).await?;
            } else {
                said_first = true;
                let line = Zeroizing::new(format!("{first}\r\n"));
                self.write(command, line.as_bytes()).await?;
            }
        }
        Err(self.error(Kind::Unexpected, command, "the server does not stop asking"))
    }

    async fn said(&mut self, command: &'static str, tag: &str) -> Result<Said, ImapError> {
        loop {
            let response = self.read(command).await?;
            if let Response::Continue(outcome) = response.parsed() {
                let text = outcome.information.as_deref().unwrap_or_default();
                return Ok(Said::Question(text.to_owned()));
            }
            if let Some(finished) = self.absorb(command, tag, response.parsed())? {
                return Ok(Said::End(finished));
            }
        }
    }
}

/// The status in a server's question after a token that it refuses: letters and digits, or `None`.
fn refusal(question: Option<&str>) -> Option<String> {
    let octets = STANDARD.decode(question?.trim()).ok()?;
    let challenge: Challenge = serde_json::from_slice(&octets).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let status: String = challenge.status.chars().filter(|c| plain(*c)).collect();
    (!status.is_empty()).then_some(status)
}

/// A login that did not begin, for want of a token. Our own words are not cut.
fn without_token(endpoint: &Endpoint, error: &OauthError) -> ImapError {
    let kind = if error.temporary() {
        Kind::TokenServer
    } else {
        Kind::NoToken
    };
    ImapError {
        text: error.to_string(),
        ..endpoint.error(kind, "login", "")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use maildreieck_api_spec::vocabulary::{Corner, Tls};

    use super::super::connect::Protection;
    use super::*;

    #[test]
    fn the_first_answer_has_its_form() {
        let check = |bearer: Bearer, username: &str, expected: &str| {
            let endpoint = Endpoint {
                meter: crate::imap::Meter::default(),
                corner: Corner::Primary,
                protocol: crate::imap::Protocol::Imap,
                host: "imap.abc.example".to_owned(),
                port: 993,
                protection: Protection {
                    tls: Tls::Implicit,
                    ca_file: None,
                    allow_plaintext: false,
                },
                username: username.to_owned(),
                credentials: Credentials::Password("x".into()),
                patience: Duration::from_secs(1),
            };
            let first = bearer.first(&endpoint, &"tok".into());
            assert_eq!(*first, expected);
        };
        check(
            Bearer::Oauthbearer,
            "info@abc.example",
            "n,a=info@abc.example,\u{1}host=imap.abc.example\u{1}port=993\u{1}auth=Bearer tok\u{1}\u{1}",
        );
        check(
            Bearer::Oauthbearer,
            "a=b,c",
            "n,a=a=3Db=2Cc,\u{1}host=imap.abc.example\u{1}port=993\u{1}auth=Bearer tok\u{1}\u{1}",
        );
        check(
            Bearer::Xoauth2,
            "a=b,c",
            "user=a=b,c\u{1}auth=Bearer tok\u{1}\u{1}",
        );
    }

    #[test]
    fn a_refusal_names_its_status() {
        let check = |question: Option<&str>, expected: Option<&str>| {
            let encoded = question.map(|text| STANDARD.encode(text));
            assert_eq!(refusal(encoded.as_deref()).as_deref(), expected);
        };
        check(
            Some(
                "{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":\"https://mail.google.com/\"}",
            ),
            Some("401"),
        );
        check(
            Some("{\"status\":\"invalid_token\"}"),
            Some("invalid_token"),
        );
        check(Some("{\"status\":\"a\\r\\nb\"}"), Some("ab"));
        check(Some("{\"scope\":\"x\"}"), None);
        check(Some("no json"), None);
        check(None, None);
        assert_eq!(refusal(Some("no base64!")), None);
    }
}
