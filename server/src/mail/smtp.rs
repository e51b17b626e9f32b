//! The way out: one SMTP server, over TLS, STARTTLS, or plain on loopback alone. What went wrong is told
//! as a code, since a server's text can hold addresses.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

use crate::domain::letter::{Letter, Outcome};

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first octet.
    Implicit,
    /// STARTTLS, demanded.
    Starttls,
    /// None.
    None,
}

/// Where the SMTP server is.
#[derive(Clone)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub protection: Protection,
    /// User name and password, where it wants them.
    pub credentials: Option<(String, SecretString)>,
    /// The sender.
    pub from: Mailbox,
}

/// Sends mails.
#[derive(Clone)]
pub struct Sender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Sender {
    /// A sender over a server.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(server: Server) -> Result<Self, lettre::transport::smtp::Error> {
        let builder = match server.protection {
            Protection::Implicit => AsyncSmtpTransport::<Tokio1Executor>::relay(&server.host)?,
            Protection::Starttls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&server.host)?
            }
            Protection::None => {
                AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            }
        };
        let mut builder = builder
            .port(server.port)
            .timeout(Some(Duration::from_secs(30)));
        if let Some((user, password)) = server.credentials {
            builder =
                builder.credentials(Credentials::new(user, password.expose_secret().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from: server.from,
        })
    }

    /// Sends a letter.
    pub async fn send(&self, letter: &Letter) -> Outcome {
        let Ok(message) = compose(&self.from, letter) else {
            return Outcome::Never("address");
        };
        match self.transport.send(message).await {
            Ok(_) => Outcome::Sent,
            Err(error) if error.is_permanent() => Outcome::Never("refused"),
            Err(error) if error.is_transient() => Outcome::Later("refused_for_now"),
            Err(error) if error.is_timeout() => Outcome::Later("timeout"),
            Err(_) => Outcome::Later("unreachable"),
        }
    }
}

/// The mail: the same octets in each attempt but for MIME boundaries, its Message-ID above all.
fn compose(
    from: &Mailbox,
    letter: &Letter,
) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
    let mut message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, letter.recipient.parse()?))
        .subject(letter.subject.clone())
        .message_id(Some(letter.message_id.clone()))
        .date(letter.created_at.into())
        .multipart(MultiPart::alternative_plain_html(
            letter.text.clone(),
            letter.html.clone(),
        ))?;
    // No vacation notice answers a report (RFC 3834).
    message.headers_mut().insert_raw(HeaderValue::new(
        HeaderName::new_from_ascii_str("Auto-Submitted"),
        "auto-generated".to_owned(),
    ));
    Ok(message)
}
