//! The HTTP client as whoever needs one gets it: TLS everywhere but on loopback, named authorities instead of
//! the system's, no redirects, every wait and every answer bounded. What is asked, and what an answer means,
//! is the callers' business.

use std::error::Error as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, StatusCode, Url};

const CONNECT: Duration = Duration::from_secs(15);
/// From the first octet sent to the last received. What we say and hear is small.
const WHOLE: Duration = Duration::from_secs(120);

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No connection.
    Connection,
    /// It took too long.
    TimeOut,
    /// TLS did not trust the server.
    Certificate,
}

/// Why there is no client.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// The file with the authorities.
    Authority { path: PathBuf, detail: String },
    /// The library would not.
    Build(String),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// None came.
    Failed { fault: Fault, detail: String },
    /// It is larger than anything that is meant for us.
    TooLarge,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An address, and whether it is this machine; else what is wrong with it.
pub(crate) fn address(text: &str) -> Result<(Url, bool), &'static str> {
    let url = Url::parse(text).map_err(|_| "is no address like https://server.example")?;
    let host = url.host_str().unwrap_or_default();
    let loopback = host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("is unprotected: use https (http works on loopback only)"),
        _ => {
            return Err(
                "begins with neither https:// nor http://; name it like https://server.example",
            );
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password");
    }
    if url.fragment().is_some() {
        return Err("must hold no query or fragment");
    }
    Ok((url, loopback))
}

/// A client; nothing is sent. On this machine no proxy is asked.
pub(crate) fn client(loopback: bool, ca_file: Option<&Path>) -> Result<Client, ClientError> {
    let mut client = Client::builder()
        .user_agent(concat!("maildreieck-agent/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .redirect(reqwest::redirect::Policy::none());
    if loopback {
        client = client.no_proxy();
    }
    if let Some(path) = ca_file {
        client = client.tls_certs_only(authorities(path)?);
    }
    client
        .build()
        .map_err(|e| ClientError::Build(with_sources(&e)))
}

fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let refused = |detail: String| ClientError::Authority {
        path: path.to_owned(),
        detail,
    };
    let pem = std::fs::read(path).map_err(|e| refused(e.to_string()))?;
    let certificates =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| refused(with_sources(&e)))?;
    if certificates.is_empty() {
        return Err(refused("it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

/// Sends a request and reads the answer, whatever its status, up to `largest` octets.
pub(crate) async fn ask(
    request: reqwest::RequestBuilder,
    largest: usize,
) -> Result<Answer, NoAnswer> {
    let failed = |e: reqwest::Error| NoAnswer::Failed {
        fault: fault(&e),
        detail: with_sources(&e.without_url()),
    };
    let mut response = request.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > largest {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body,
    })
}

fn fault(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::TimeOut;
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.to_string().contains("certificate") {
            return Fault::Certificate;
        }
        source = inner.source();
    }
    Fault::Connection
}

/// An error with what caused it; the client's own words alone say little.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}

/// Retry-After in seconds (RFC 9110, 10.2.3). A date there would want a clock; it counts as a minute.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    Some(Duration::from_secs(text.parse().unwrap_or(60)))
}
