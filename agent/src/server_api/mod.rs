//! Talking to the server, and nothing else: enrolment, signing in, the assignment, signs of life, and the
//! delivery of reports.
//!
//! Nothing the server says makes the agent act beyond what these types can express, and everything here may
//! fail without harm: the agent goes on with its last assignment, and its reports wait in the spool. The
//! agent's clock is not trusted for signing in; the server's nonce says how late it is.

mod error;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use jsonwebtoken::{Algorithm, Header};
use maildreieck_api_spec::agents::{
    AssertionClaims, Assignment, EnrolRequest, EnrolResponse, Heartbeat, HeartbeatResponse,
    NonceResponse, RunNonceResponse, TokenRequest, TokenResponse,
};
use maildreieck_api_spec::certificate::is_run_nonce;
use maildreieck_api_spec::ids::RunId;
use maildreieck_api_spec::problem::Problem;
use maildreieck_api_spec::runs::{RunReceipt, RunReport};
use reqwest::header;
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use self::error::ApiError;
use crate::clock;
use crate::files::{private_folder, write_private};
pub use crate::http::Fault;
use crate::http::{self, Answer, ClientError, NoAnswer};
use crate::identity::IdentityFiles;
pub use crate::identity::{AgentKeys, Enrolment};
use crate::report::chain::Chain;
use crate::report::spool::{Spool, Waiting};

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 8 << 20;
/// A token is renewed when it has no more than this to live.
const TOKEN_MARGIN: Duration = Duration::from_secs(60);
/// How long before the nonce's end an assertion says that it was signed: a nonce lives two minutes.
const NONCE_LIFE_S: i64 = 120;
/// The longest that a delivery waits because the server asks it to; beyond, it ends and comes again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How to reach the server, and where the agent keeps what it must remember.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `https://…`; `http://` on loopback alone.
    pub url: String,
    /// PEM file with the authority that signed the server's certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The agent's data folder.
    pub data_dir: PathBuf,
}

/// What enrolment brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    /// Who the agent is.
    pub enrolment: Enrolment,
    /// Fingerprint of its signing key, to compare with what the server shows.
    pub signing_key_sha256: String,
    /// Fingerprint of its sealing key.
    pub sealing_key_sha256: String,
}

/// The last assignment that the server gave, as it is kept for the time without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAssignment {
    /// Its ETag.
    pub etag: Option<String>,
    /// The assignment.
    pub assignment: Assignment,
}

/// What [`ServerApi::deliver`] did.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Reports that the server has committed.
    pub delivered: u64,
    /// Of those, the ones that had waited for more than a minute.
    pub late: u64,
    /// Reports that it will never take; they were put aside.
    pub refused: u64,
    /// Reports that still wait.
    pub left: u64,
    /// Why some still wait.
    pub stopped: Option<ApiError>,
}

/// A report that waited for so long is late, seconds.
const LATE_S: i64 = 60;

/// Says of a report that has reached the server late that it has. Whether it was late.
fn say_late(waiting: &Waiting, report: &[u8]) -> bool {
    let Ok(report) = serde_json::from_slice::<RunReport>(report) else {
        return false;
    };
    let waited_s = (clock::now() - report.finished_at).num_seconds();
    if waited_s > LATE_S {
        tracing::info!(
            run_id = %waiting.run_id,
            kind = report.kind.as_str(),
            due_at = report.due_at.map(|at| at.to_rfc3339()),
            waited_s,
            "a report was delivered late"
        );
    }
    waited_s > LATE_S
}

/// The server, as this agent sees it.
pub struct ServerApi {
    client: Client,
    base: Url,
    connection: Connection,
    files: IdentityFiles,
    session: Mutex<Option<Session>>,
    backoff: ExponentialBuilder,
}

struct Session {
    token: SecretString,
    until: Instant,
}

impl ServerApi {
    /// Prepares to talk to the server; nothing is sent.
    ///
    /// # Errors
    /// When the address is malformed or unprotected, or the CA file holds no certificate.
    pub fn new(connection: Connection) -> Result<Self, ApiError> {
        let (base, loopback) = address(&connection.url)?;
        let client =
            http::client(loopback, connection.ca_file.as_deref()).map_err(|error| match error {
                ClientError::Authority { path, detail } => ApiError::Authority { path, detail },
                ClientError::Build(url) => ApiError::Address {
                    url,
                    detail: "cannot be prepared for",
                },
            })?;
        Ok(Self {
            client,
            base,
            files: IdentityFiles::new(&connection.data_dir),
            connection,
            session: Mutex::new(None),
            backoff: ExponentialBuilder::default()
                .with_jitter()
                .with_min_delay(Duration::from_secs(1))
                .with_max_delay(Duration::from_secs(60))
                .with_max_times(6),
        })
    }

    /// Who the agent of a data folder is; `None` before it was enrolled.
    ///
    /// # Errors
    /// When its key file cannot be used.
    pub fn enrolment(data_dir: &Path) -> Result<Option<Enrolment>, ApiError> {
        let identity = IdentityFiles::new(data_dir).load()?;
        Ok(identity.map(|(_, enrolment)| enrolment))
    }

    /// The keys of a data folder's agent, to sign and to open with; `None` before it was enrolled.
    ///
    /// # Errors
    /// When its key file cannot be used.
    pub fn keys(data_dir: &Path) -> Result<Option<AgentKeys>, ApiError> {
        let identity = IdentityFiles::new(data_dir).load()?;
        Ok(identity.map(|(keys, _)| keys))
    }

    /// Enrols this agent with a code from the server, under keys that it makes here. An agent that is
    /// enrolled already is left as it is, unless `replace`: then it gets new keys and a new name.
    ///
    /// # Errors
    /// When it is enrolled already, no answer comes, or the code is refused.
    pub async fn enrol(
        &self,
        code: &str,
        version: &str,
        platform: &str,
        replace: bool,
    ) -> Result<Enrolled, ApiError> {
        let action = error::ENROLLING;
        let dir = &self.connection.data_dir;
        private_folder(dir).map_err(failed("making the folder", dir))?;
        if !replace && let Some((_, enrolment)) = self.files.load()? {
            return Err(ApiError::AlreadyEnrolled {
                agent_id: enrolment.agent_id.to_string(),
                server: enrolment.server,
            });
        }
        let keys = self.files.pending()?;
        let request = EnrolRequest {
            code: code.to_owned(),
            signing_key: keys.signing_public_text(),
            sealing_key: keys.sealing_public_text(),
            version: version.to_owned(),
            platform: platform.to_owned(),
        };
        let answer = self
            .send(
                action,
                self.request(Method::POST, "agent/v1/enrol")?.json(&request),
            )
            .await?;
        let response: EnrolResponse = self.json(action, &answer)?;
        let enrolment = Enrolment {
            server: self.connection.url.clone(),
            ca_file: self.connection.ca_file.clone(),
            agent_id: response.agent_id,
            site_id: response.site_id,
            tenant_id: response.tenant_id,
            audience: response.audience,
            server_key: Some(response.server_key),
        };
        self.files.enrolled(&keys, enrolment.clone())?;
        *self.session.lock().await = None;
        Ok(Enrolled {
            enrolment,
            signing_key_sha256: keys.signing_sha256(),
            sealing_key_sha256: keys.sealing_sha256(),
        })
    }

    /// What the agent has to do; `None` where it is still what the ETag stands for.
    ///
    /// # Errors
    /// When no answer comes, or the server refuses.
    pub async fn assignment(
        &self,
        etag: Option<&str>,
    ) -> Result<Option<KnownAssignment>, ApiError> {
        let action = "fetching the assignment";
        let answer = self
            .authorised(action, || {
                let request = self.request(Method::GET, "agent/v1/assignment")?;
                Ok(match etag {
                    Some(etag) => request.header(header::IF_NONE_MATCH, etag),
                    None => request,
                })
            })
            .await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        Ok(Some(KnownAssignment {
            etag: answer
                .headers
                .get(header::ETAG)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            assignment: self.json(action, &answer)?,
        }))
    }

    /// The last assignment of a data folder; `None` where none was kept.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged; fetching anew mends that.
    pub fn known_assignment(data_dir: &Path) -> Result<Option<KnownAssignment>, ApiError> {
        let path = assignment_path(data_dir);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| failed("reading", &path)(e.into())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("reading", &path)(e)),
        }
    }

    /// Keeps an assignment for the time without the server.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn keep_assignment(data_dir: &Path, known: &KnownAssignment) -> Result<(), ApiError> {
        let path = assignment_path(data_dir);
        let text =
            serde_json::to_vec_pretty(known).map_err(|e| failed("writing", &path)(e.into()))?;
        write_private(&path, &text).map_err(failed("writing", &path))
    }

    /// Gives a sign of life.
    ///
    /// # Errors
    /// When no answer comes, or the server refuses.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatResponse, ApiError> {
        let action = "sending a heartbeat";
        let answer = self
            .authorised(action, || {
                Ok(self
                    .request(Method::POST, "agent/v1/heartbeat")?
                    .json(heartbeat))
            })
            .await?;
        self.json(action, &answer)
    }

    /// A nonce for the certificate of a run that begins.
    ///
    /// # Errors
    /// When no answer comes, or the server refuses.
    pub async fn run_nonce(&self, run_id: RunId) -> Result<String, ApiError> {
        let action = "asking for the nonce of a run";
        let path = format!("agent/v1/runs/{run_id}/nonce");
        let answer = self
            .authorised(action, || self.request(Method::POST, &path))
            .await?;
        let response: RunNonceResponse = self.json(action, &answer)?;
        if !is_run_nonce(&response.nonce) {
            return Err(self.not_understood(action, "it has not the form of a nonce"));
        }
        Ok(response.nonce)
    }

    /// Delivers what waits in the spool, in order, each until the server has committed it. Ends at the
    /// first that cannot be delivered now, so that the order holds. What the server says of a certificate is kept with it.
    ///
    /// # Errors
    /// When the spool itself fails.
    pub async fn deliver(&self, spool: &Spool, chain: &Chain) -> Result<Delivery, ApiError> {
        let mut delivery = Delivery::default();
        let waiting = spool.waiting()?;
        let mut left = waiting.iter();
        while let Some(next) = left.next() {
            let report = spool.read(next)?;
            let sent = (|| self.put_run(next, &report))
                .retry(self.backoff)
                .when(ApiError::temporary)
                .adjust(|error, delay| match error.retry_after() {
                    Some(wait) if wait > LONGEST_WAIT => None,
                    Some(wait) => delay.map(|delay| delay.max(wait)),
                    None => delay,
                })
                .await;
            match sent {
                Ok(receipt) => {
                    self.keep_word(chain, &report, receipt);
                    spool.delivered(next)?;
                    delivery.delivered += 1;
                    delivery.late += u64::from(say_late(next, &report));
                }
                Err(error) if error.rejects_content() => {
                    let aside = spool.refuse(next, &error.to_string())?;
                    tracing::error!(
                        run_id = %next.run_id,
                        file = %aside.display(),
                        %error,
                        "the server will not take this report; it was put aside"
                    );
                    delivery.refused += 1;
                }
                Err(error) => {
                    delivery.left = u64::try_from(left.len())
                        .unwrap_or(u64::MAX)
                        .saturating_add(1);
                    delivery.stopped = Some(error);
                    break;
                }
            }
        }
        Ok(delivery)
    }

    /// Keeps what the server says of a certificate. Where that fails the report is delivered all the same, and the
    /// server has its word too.
    fn keep_word(&self, chain: &Chain, report: &[u8], receipt: RunReceipt) {
        let report = serde_json::from_slice::<RunReport>(report).ok();
        let certificate = report.and_then(|report| report.certificate);
        let (Some(certificate), Some(said)) = (certificate, receipt.countersignature) else {
            return;
        };
        let run_id = receipt.run_id;
        let pinned = match self.files.load() {
            Ok(known) => known.and_then(|(_, enrolment)| enrolment.server_key),
            Err(error) => {
                tracing::error!(%run_id, %error, "a countersignature was not kept");
                return;
            }
        };
        if pinned.is_some_and(|key| key != said.server_key) {
            tracing::error!(%run_id, "the server countersigns with another key than the one it named when this agent was enrolled; its word is not kept. Ask the provider, and enrol anew if the key was changed");
            return;
        }
        match chain.countersign(&certificate, &said) {
            Ok(true) if said.chain.is_broken() => {
                tracing::warn!(%run_id, chain = said.chain.as_str(), "the server did not have the certificate before this one, or has another");
            }
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(%run_id, "the certificate that was countersigned is not here any more")
            }
            Err(error) => tracing::error!(%run_id, %error, "a countersignature was not kept"),
        }
    }

    async fn put_run(&self, waiting: &Waiting, report: &[u8]) -> Result<RunReceipt, ApiError> {
        let action = "delivering a report";
        let path = format!("agent/v1/runs/{}", waiting.run_id);
        let answer = self
            .authorised(action, || {
                Ok(self
                    .request(Method::PUT, &path)?
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(report.to_vec()))
            })
            .await?;
        let receipt: RunReceipt = self.json(action, &answer)?;
        if receipt.run_id == waiting.run_id {
            Ok(receipt)
        } else {
            Err(self.not_understood(action, "the receipt is for another run"))
        }
    }

    /// Sends a request under a token; under a new one where the server no longer takes the old.
    async fn authorised(
        &self,
        action: &'static str,
        request: impl Fn() -> Result<reqwest::RequestBuilder, ApiError>,
    ) -> Result<Answer, ApiError> {
        let (token, fresh) = self.token().await?;
        let sent = self
            .send(action, request()?.bearer_auth(token.expose_secret()))
            .await;
        match sent {
            Err(ApiError::Refused { status: 401, .. }) if !fresh => {
                *self.session.lock().await = None;
                let (token, _) = self.token().await?;
                self.send(action, request()?.bearer_auth(token.expose_secret()))
                    .await
            }
            Err(error @ ApiError::Refused { status: 401, .. }) => {
                *self.session.lock().await = None;
                Err(error)
            }
            other => other,
        }
    }

    /// An access token, and whether it was asked for just now.
    async fn token(&self) -> Result<(SecretString, bool), ApiError> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref()
            && Instant::now() < session.until
        {
            return Ok((session.token.clone(), false));
        }
        *session = None;
        let (keys, enrolment) = self.files.load()?.ok_or(ApiError::NotEnrolled)?;
        let action = "signing in";
        let nonce: NonceResponse = {
            let answer = self
                .send(action, self.request(Method::POST, "agent/v1/nonce")?)
                .await?;
            self.json(action, &answer)?
        };
        let exp = nonce.expires_at.timestamp();
        let claims = AssertionClaims {
            iss: enrolment.agent_id.to_string(),
            aud: enrolment.audience,
            nonce: nonce.nonce,
            counter: self.files.next_counter()?,
            iat: exp.saturating_sub(NONCE_LIFE_S),
            exp,
        };
        let assertion = jsonwebtoken::encode(
            &Header::new(Algorithm::EdDSA),
            &claims,
            &keys.encoding_key()?,
        )
        .map_err(|e| ApiError::Signing {
            detail: e.to_string(),
        })?;
        let asked_at = Instant::now();
        let answer = self
            .send(
                action,
                self.request(Method::POST, "agent/v1/token")?
                    .json(&TokenRequest { assertion }),
            )
            .await?;
        let response: TokenResponse = self.json(action, &answer)?;
        let token = SecretString::from(response.access_token);
        let life = Duration::from_secs(response.expires_in_s).saturating_sub(TOKEN_MARGIN);
        *session = asked_at.checked_add(life).map(|until| Session {
            token: token.clone(),
            until,
        });
        Ok((token, true))
    }

    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, ApiError> {
        let url = self.base.join(path).map_err(|_| ApiError::Address {
            url: self.connection.url.clone(),
            detail: "cannot be used",
        })?;
        Ok(self.client.request(method, url))
    }

    /// Sends a request; a status that is neither success nor 'not modified' is an error.
    async fn send(
        &self,
        action: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, ApiError> {
        let answer = http::ask(request, LARGEST_ANSWER)
            .await
            .map_err(|error| match error {
                NoAnswer::Failed { fault, detail } => ApiError::Unreachable {
                    action,
                    fault,
                    detail,
                },
                NoAnswer::TooLarge => self.not_understood(action, "it is too large"),
            })?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        Err(ApiError::Refused {
            action,
            status: answer.status.as_u16(),
            retry_after: http::retry_after(&answer.headers),
            problem: problem(&answer).map(Box::new),
        })
    }

    fn json<T: DeserializeOwned>(
        &self,
        action: &'static str,
        answer: &Answer,
    ) -> Result<T, ApiError> {
        // Where it went wrong is said, what stood there is not: it can be a token.
        serde_json::from_slice(&answer.body).map_err(|e| {
            self.not_understood(
                action,
                &format!(
                    "{:?} at line {} column {}",
                    e.classify(),
                    e.line(),
                    e.column()
                ),
            )
        })
    }

    fn not_understood(&self, action: &'static str, detail: &str) -> ApiError {
        ApiError::Answer {
            action,
            url: self.connection.url.clone(),
            detail: detail.to_owned(),
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ApiError {
    let path = path.to_owned();
    move |source| ApiError::Io {
        action,
        path,
        source,
    }
}

fn assignment_path(data_dir: &Path) -> PathBuf {
    data_dir.join("assignment.json")
}

/// The address with a slash at its end, and whether it is this machine.
fn address(text: &str) -> Result<(Url, bool), ApiError> {
    let refused = |detail| ApiError::Address {
        url: text.to_owned(),
        detail,
    };
    let (mut url, loopback) = http::address(text).map_err(refused)?;
    if url.query().is_some() {
        return Err(refused("must hold no query or fragment"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok((url, loopback))
}

fn problem(answer: &Answer) -> Option<Problem> {
    let kind = answer.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    kind.starts_with("application/problem+json")
        .then(|| serde_json::from_slice(&answer.body).ok())?
}
