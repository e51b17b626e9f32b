//! From an endpoint to a connection that can be talked on: TCP, TLS, STARTTLS and POP3's STLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::{Corner, Tls};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{ImapError, Kind, shortened};
use super::login::Credentials;
use super::meter::Meter;

/// What is spoken with an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// IMAP (RFC 3501, RFC 9051).
    #[default]
    Imap,
    /// POP3 (RFC 1939): one folder, no flags, nothing can be put into it.
    Pop3,
}

impl Protocol {
    /// The port that is usual for it.
    #[must_use]
    pub fn usual_port(self, tls: Tls) -> u16 {
        match (self, tls) {
            (Self::Imap, Tls::Implicit) => 993,
            (Self::Imap, _) => 143,
            (Self::Pop3, Tls::Implicit) => 995,
            (Self::Pop3, _) => 110,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
        }
    }

    fn wrong_port(self) -> &'static str {
        match self {
            Self::Imap => WRONG_PORT,
            Self::Pop3 => {
                "are protocol and tls right for this port? 995 is usually for \"implicit\", 110 for \"starttls\""
            }
        }
    }

    /// What a server's greeting begins with (RFC 9051, 7.1; RFC 1939, 4).
    fn greetings(self) -> &'static [&'static [u8]] {
        match self {
            Self::Imap => &[b"* OK", b"* PREAUTH", b"* BYE"],
            Self::Pop3 => &[b"+OK", b"-ERR"],
        }
    }

    /// How TLS is asked for: after which greeting, with which line, and what is the answer, good or bad.
    fn starttls(self) -> [&'static str; 4] {
        match self {
            Self::Imap => ["* OK", "s1 STARTTLS\r\n", "s1 OK", "s1 "],
            Self::Pop3 => ["+OK", "STLS\r\n", "+OK", "-ERR"],
        }
    }
}

/// How the connection is protected.
#[derive(Debug, Clone)]
pub struct Protection {
    /// Which kind.
    pub tls: Tls,
    /// A file of PEM certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether plain text may leave this machine.
    pub allow_plaintext: bool,
}

/// Where an account is and who logs in.
#[derive(Debug)]
pub struct Endpoint {
    /// The account's corner, for messages.
    pub corner: Corner,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection.
    pub protection: Protection,
    /// User name.
    pub username: String,
    /// What proves it.
    pub credentials: Credentials,
    /// How long any single wait may take.
    pub patience: Duration,
    /// What crosses.
    pub meter: Meter,
}

/// How long a server may take for each step up to its greeting, at most: one that is asked at the wrong port says
/// nothing, and waits for us.
const OPENING: Duration = Duration::from_secs(20);
const WRONG_PORT: &str =
    "is tls right for this port? 993 is usually for \"implicit\", 143 for \"starttls\"";
/// As much of the first words of another server is told.
const QUOTED: usize = 60;

pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

impl Endpoint {
    /// The account, in one line.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}@{}:{}", self.username, self.host, self.port)
    }

    pub(crate) fn opening(&self) -> Duration {
        self.patience.min(OPENING)
    }

    /// What a server says that does not greet.
    pub(crate) fn no_greeting(&self, command: &'static str) -> ImapError {
        let seconds = self.opening().as_secs();
        let text = format!(
            "nothing came within {seconds} s; {}",
            self.protocol.wrong_port()
        );
        self.error(Kind::Silent, command, text)
    }

    /// Refuses the first octets of something that is no such server. Fewer than a greeting has may become one.
    pub(crate) fn demand_greeting(&self, octets: &[u8]) -> Result<(), ImapError> {
        let begins = |greeting: &&[u8]| {
            let both = octets.iter().zip(*greeting);
            let mut both = both.map(|(one, other)| one.eq_ignore_ascii_case(other));
            !octets.is_empty() && both.all(|same| same)
        };
        if self.protocol.greetings().iter().any(begins) {
            return Ok(());
        }
        let line = octets.split(|octet| matches!(octet, b'\r' | b'\n')).next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        let line: String = line.chars().take(QUOTED).collect();
        let said = match line.trim() {
            "" => "it ends without a greeting".to_owned(),
            line => format!("it begins with '{line}'"),
        };
        let (name, hint) = (self.protocol.name(), self.protocol.wrong_port());
        let text = format!("this is no {name} server: {said}; {hint}");
        Err(self.error(Kind::Unexpected, "greeting", text))
    }

    pub(crate) fn error(
        &self,
        kind: Kind,
        command: &'static str,
        text: impl AsRef<str>,
    ) -> ImapError {
        ImapError {
            kind,
            corner: self.corner,
            server: format!("{}:{}", self.host, self.port),
            command,
            folder: None,
            text: shortened(text.as_ref()),
        }
    }

    /// Opens the socket up to where the greeting is read (or was read, with STARTTLS); the flag says which.
    pub(crate) async fn open(&self) -> Result<(Box<dyn Socket>, bool), ImapError> {
        let unreachable = |text: String| self.error(Kind::Connect, "connect", text);
        let tcp = match timeout(
            self.opening(),
            TcpStream::connect((self.host.as_str(), self.port)),
        )
        .await
        {
            Err(_) => {
                return Err(unreachable(format!(
                    "no answer within {} s",
                    self.opening().as_secs()
                )));
            }
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Ok(Ok(tcp)) => tcp,
        };
        tcp.set_nodelay(true)
            .map_err(|e| unreachable(e.to_string()))?;
        // When this process dies, what its sockets still hold must not go on its way: the next run could send it
        // too before it has arrived.
        tcp.set_zero_linger()
            .map_err(|e| unreachable(e.to_string()))?;
        match self.protection.tls {
            Tls::None => {
                let loopback = tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
                if !loopback && !self.protection.allow_plaintext {
                    return Err(self.error(
                        Kind::Tls,
                        "connect",
                        "tls = \"none\" is for loopback only; set tls = \"implicit\" or \"starttls\", or allow_plaintext = true",
                    ));
                }
                Ok((Box::new(tcp), false))
            }
            Tls::Implicit => Ok((Box::new(self.handshake(tcp).await?), false)),
            Tls::Starttls => {
                let mut tcp = tcp;
                self.starttls(&mut tcp).await?;
                Ok((Box::new(self.handshake(tcp).await?), true))
            }
        }
    }

    async fn handshake(
        &self,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ImapError> {
        let failed = |text: String| self.error(Kind::Tls, "TLS", text);
        let config = client_config(self.protection.ca_file.as_ref()).map_err(failed)?;
        let name = ServerName::try_from(self.host.clone()).map_err(|e| failed(e.to_string()))?;
        match timeout(
            self.opening(),
            tokio_rustls::TlsConnector::from(config).connect(name, tcp),
        )
        .await
        {
            Err(_) => Err(self.no_greeting("TLS")),
            Ok(Err(error)) => Err(failed(match error.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    format!("the server ended it; {}", self.protocol.wrong_port())
                }
                _ if is_no_tls(&error) => {
                    format!("this is no TLS; {}", self.protocol.wrong_port())
                }
                _ => error.to_string(),
            })),
            Ok(Ok(stream)) => Ok(stream),
        }
    }

    /// Greeting and STARTTLS octet by octet, so that nothing sent before TLS can be taken for an answer
    /// inside it (RFC 9051, 6.2.1; RFC 2595, 4).
    async fn starttls(&self, tcp: &mut TcpStream) -> Result<(), ImapError> {
        let greeting = self.plain_line(tcp).await?;
        self.demand_greeting(greeting.as_bytes())?;
        let [greets, asks, takes, refuses] = self.protocol.starttls();
        if !greeting.starts_with(greets) {
            return Err(self.error(Kind::Unexpected, "greeting", greeting));
        }
        tcp.write_all(asks.as_bytes())
            .await
            .map_err(|e| self.error(Kind::Cut, "STARTTLS", e.to_string()))?;
        loop {
            let line = self.plain_line(tcp).await?;
            if line.starts_with(takes) {
                return Ok(());
            }
            if line.starts_with(refuses) {
                return Err(self.error(Kind::Tls, "STARTTLS", line));
            }
        }
    }

    async fn plain_line(&self, tcp: &mut TcpStream) -> Result<String, ImapError> {
        let mut line = Vec::new();
        let read = async {
            loop {
                let octet = tcp.read_u8().await?;
                if octet == b'\n' || line.len() > 8192 {
                    return Ok::<_, std::io::Error>(());
                }
                line.push(octet);
            }
        };
        match timeout(self.opening(), read).await {
            Err(_) => Err(self.no_greeting("greeting")),
            Ok(Err(error)) => Err(self.error(Kind::Cut, "greeting", error.to_string())),
            Ok(Ok(())) => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
        }
    }
}

/// Whether what a server sent at the beginning is no TLS, as the words of one that greets are not.
fn is_no_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

/// The certificates of a file of the configuration.
pub(crate) fn authorities(path: &Path) -> Result<rustls::RootCertStore, String> {
    let mut roots = rustls::RootCertStore::empty();
    let read = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| read(&e))? {
        roots
            .add(certificate.map_err(|e| read(&e))?)
            .map_err(|e| read(&e))?;
    }
    if roots.is_empty() {
        return Err(read(&"no certificate in it"));
    }
    Ok(roots)
}

fn client_config(ca_file: Option<&PathBuf>) -> Result<Arc<rustls::ClientConfig>, String> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let builder = rustls::ClientConfig::builder();
    let config = match ca_file {
        None => builder
            .with_platform_verifier()
            .map_err(|e| e.to_string())?,
        Some(path) => {
            let roots = authorities(path).map_err(|text| format!("tls_ca_file {text}"))?;
            builder.with_root_certificates(roots)
        }
    };
    Ok(Arc::new(config.with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::super::Link;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_greet_is_given_up_soon() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        for (patience, waits) in [(120, 20), (3, 3)] {
            for tls in [Tls::None, Tls::Starttls, Tls::Implicit] {
                let endpoint = Endpoint {
                    corner: Corner::Primary,
                    protocol: Protocol::Imap,
                    host: "127.0.0.1".to_owned(),
                    port,
                    protection: Protection {
                        tls,
                        ca_file: None,
                        allow_plaintext: false,
                    },
                    username: "info".to_owned(),
                    credentials: Credentials::Password("x".into()),
                    patience: Duration::from_secs(patience),
                    meter: Meter::default(),
                };
                let began = tokio::time::Instant::now();
                let error = Link::open(Arc::new(endpoint)).await.unwrap_err();
                assert_eq!(error.kind, Kind::Silent);
                let said = error.to_string();
                let words = format!("nothing came within {waits} s; {WRONG_PORT}");
                assert!(said.contains(&words), "{said}");
                // The clock stands but for what is waited for.
                assert_eq!(began.elapsed().as_secs(), waits);
            }
        }
    }
}
