//! Against a small HTTP server that answers as the server's contract says, or as it does not.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex as StdMutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta};
use jsonwebtoken::{DecodingKey, Validation};
use maildreieck_api_spec::ids::{AgentId, SiteId, TenantId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::report::spool::tests::{report, run_id};

const PROBLEM: &str = "application/problem+json";

/// What was asked.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    head: String,
    body: Vec<u8>,
}

/// What is answered: status, headers, body.
type Reply = (u16, Vec<(&'static str, String)>, String);

/// The state of the fake server. What is in `script` is answered first, to requests whose line contains the
/// text.
#[derive(Default)]
struct Fake {
    asked: Vec<Asked>,
    script: VecDeque<(&'static str, Reply)>,
    signing_key: Vec<u8>,
    counters: Vec<u64>,
    tokens: u64,
    code_refused: bool,
}

type Shared = Arc<StdMutex<Fake>>;

fn ok(body: Value) -> Reply {
    (200, Vec::new(), body.to_string())
}

fn refusal(status: u16, title: &str) -> Reply {
    let body = json!({ "type": "/problems/x", "title": title, "status": status });
    (
        status,
        vec![("content-type", PROBLEM.to_owned())],
        body.to_string(),
    )
}

impl Fake {
    fn answer(&mut self, asked: Asked) -> Reply {
        self.asked.push(asked.clone());
        let scripted = self
            .script
            .iter()
            .position(|(text, _)| asked.line.contains(text));
        if let Some((_, reply)) = scripted.and_then(|at| self.script.remove(at)) {
            return reply;
        }
        let path = asked.line.split(' ').nth(1).unwrap().to_owned();
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        if !["enrol", "nonce", "token"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            let bearer = format!("authorization: Bearer token-{}", self.tokens);
            if !asked.head.contains(&bearer) {
                return refusal(401, "Unauthorized");
            }
        }
        match path.rsplit('/').next().unwrap() {
            "enrol" if self.code_refused => refusal(422, "The code is not valid"),
            "enrol" => {
                self.signing_key = URL_SAFE_NO_PAD
                    .decode(body["signing_key"].as_str().unwrap())
                    .unwrap();
                self.counters.clear();
                ok(
                    json!({ "agent_id": AgentId::new(), "site_id": SiteId::new(),
                    "tenant_id": TenantId::new(), "audience": "urn:server", "server_key": "A".repeat(43) }),
                )
            }
            "nonce" => ok(json!({ "nonce": "bm9uY2U", "expires_at": "2031-01-01T00:02:00Z" })),
            "token" => {
                let mut validation = Validation::new(Algorithm::EdDSA);
                validation.set_audience(&["urn:server"]);
                validation.validate_exp = false;
                let x = URL_SAFE_NO_PAD.encode(&self.signing_key);
                let claims = jsonwebtoken::decode::<AssertionClaims>(
                    body["assertion"].as_str().unwrap(),
                    &DecodingKey::from_ed_components(&x).unwrap(),
                    &validation,
                )
                .unwrap()
                .claims;
                assert_eq!(claims.nonce, "bm9uY2U");
                assert_eq!(claims.exp - claims.iat, 120);
                assert!(
                    self.counters
                        .last()
                        .is_none_or(|last| *last < claims.counter)
                );
                self.counters.push(claims.counter);
                self.tokens += 1;
                ok(json!({ "access_token": format!("token-{}", self.tokens), "expires_in_s": 600 }))
            }
            "assignment" if asked.head.contains("if-none-match: \"v7\"") => {
                (304, Vec::new(), String::new())
            }
            "assignment" => {
                let mut reply = ok(json!({ "version": 7, "triangles": [] }));
                reply.1.push(("etag", "\"v7\"".to_owned()));
                reply
            }
            "heartbeat" => ok(json!({ "server_time": "2031-01-01T00:00:00Z",
                "assignment_version": 7, "poll_after_s": 45 })),
            run => ok(json!({ "run_id": run, "received_at": "2031-01-01T00:00:00Z" })),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.asked.iter().map(|asked| asked.line.clone()).collect()
    }
}

async fn serve_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, fake: Shared) {
    let mut octets = Vec::new();
    let head_end = loop {
        if let Some(at) = octets.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut octets).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8(octets[..head_end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    while octets.len() < head_end + length {
        stream.read_buf(&mut octets).await.unwrap();
    }
    let asked = Asked {
        line: head.lines().next().unwrap().to_owned(),
        head,
        body: octets[head_end..].to_vec(),
    };
    let (status, headers, body) = fake.lock().unwrap().answer(asked);
    if status == 0 {
        return;
    }
    let mut text = format!(
        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&body);
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

struct Bench {
    dir: TempDir,
    fake: Shared,
    port: u16,
    ca: Option<String>,
}

impl Bench {
    async fn new(tls: bool) -> Self {
        let fake = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, ca) = if tls {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
            let config = rustls::ServerConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
            .unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            (Some(acceptor), Some(made.cert.pem()))
        } else {
            (None, None)
        };
        let shared = Arc::clone(&fake);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = Arc::clone(&shared);
                match &acceptor {
                    None => drop(tokio::spawn(serve_one(stream, fake))),
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            drop(tokio::spawn(serve_one(stream, fake)));
                        }
                    }
                }
            }
        });
        Self {
            dir: TempDir::new().unwrap(),
            fake,
            port,
            ca,
        }
    }

    fn connection(&self) -> Connection {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        Connection {
            url: format!("{scheme}://localhost:{}", self.port),
            ca_file: None,
            data_dir: self.dir.path().join("data"),
        }
    }

    fn api(&self) -> ServerApi {
        let mut api = ServerApi::new(self.connection()).unwrap();
        api.backoff = quick();
        api
    }

    async fn enrolled(&self) -> ServerApi {
        let api = self.api();
        api.enrol("code", "0.1.0", "linux-x86_64", false)
            .await
            .unwrap();
        self.fake.lock().unwrap().asked.clear();
        api
    }

    fn script(&self, line: &'static str, reply: Reply) {
        self.fake.lock().unwrap().script.push_back((line, reply));
    }
}

fn quick() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(1))
        .with_max_times(2)
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        version: "0.1.0".to_owned(),
        platform: "linux-x86_64".to_owned(),
        sent_at: DateTime::from_timestamp(0, 0).unwrap(),
        last_cycle_at: None,
        spooled_runs: 0,
        store_bytes: 0,
        free_disk_bytes: 0,
    }
}

#[test]
fn an_address_is_protected_or_on_this_machine() {
    let check = |text: &str, expected: &str| match address(text) {
        Ok((url, loopback)) => assert_eq!(format!("{url} {loopback}"), expected),
        Err(error) => {
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.bad_usage() && !error.temporary());
        }
    };
    check("https://server.example", "https://server.example/ false");
    check(
        "https://server.example/a",
        "https://server.example/a/ false",
    );
    check("http://127.0.0.1:80", "http://127.0.0.1/ true");
    check("http://[::1]:81/", "http://[::1]:81/ true");
    check("http://localhost:81", "http://localhost:81/ true");
    check("http://server.example", "unprotected");
    check("http://127.0.0.1.example", "unprotected");
    check("ftp://127.0.0.1", "neither");
    check("server.example", "no address");
    check("https://a:b@server.example", "password");
    check("https://server.example/?x", "query");
}

#[tokio::test]
async fn an_agent_is_enrolled_once_under_its_own_keys() {
    let bench = Bench::new(false).await;
    let api = bench.api();
    let enrol = |replace| api.enrol("code", "0.1.0", "linux-x86_64", replace);
    assert!(matches!(
        api.heartbeat(&heartbeat()).await,
        Err(ApiError::NotEnrolled)
    ));

    bench.fake.lock().unwrap().code_refused = true;
    let error = enrol(false).await.unwrap_err();
    assert!(
        error.to_string().contains("The code is not valid"),
        "{error}"
    );
    assert!(!error.temporary() && !error.bad_usage());
    // The keys wait for the next try: the answer to an earlier one may have got lost, and the server knows
    // them by now.
    let pending = bench.dir.path().join("data/agent.key.new");
    assert_eq!(crate::files::exposed(&pending).unwrap(), None);
    bench.fake.lock().unwrap().code_refused = false;
    let first = enrol(false).await.unwrap();
    {
        let fake = bench.fake.lock().unwrap();
        let keys: Vec<Value> = fake
            .asked
            .iter()
            .map(|asked| {
                serde_json::from_slice::<Value>(&asked.body).unwrap()["signing_key"].clone()
            })
            .collect();
        assert_eq!(keys[0], keys[1], "a repeated enrolment sends the same key");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fake.signing_key);
        assert_eq!(first.signing_key_sha256, hex::encode(digest));
    }
    let data = bench.dir.path().join("data");
    assert_eq!(
        crate::files::exposed(&data.join("agent.key")).unwrap(),
        None
    );
    assert!(!data.join("agent.key.new").exists());
    assert_eq!(
        ServerApi::enrolment(&data).unwrap(),
        Some(first.enrolment.clone())
    );

    let error = enrol(false).await.unwrap_err();
    assert!(error.to_string().contains("--replace"), "{error}");
    api.heartbeat(&heartbeat()).await.unwrap();
    let second = enrol(true).await.unwrap();
    assert_ne!(second.signing_key_sha256, first.signing_key_sha256);
    assert_ne!(second.enrolment.agent_id, first.enrolment.agent_id);
    api.heartbeat(&heartbeat()).await.unwrap();
    let keys = ServerApi::keys(&data).unwrap().unwrap();
    assert_eq!(keys.signing_sha256(), second.signing_key_sha256);
    assert!(!format!("{keys:?}").contains(&hex::encode(keys.signing().to_bytes())));
}

#[tokio::test]
async fn an_exposed_or_damaged_key_is_refused() {
    let bench = Bench::new(false).await;
    let api = bench.enrolled().await;
    let path = bench.dir.path().join("data/agent.key");
    let mode = |mode| {
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(0o640);
    let error = api.heartbeat(&heartbeat()).await.unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    mode(0o600);
    fs::write(&path, "{}").unwrap();
    let error = api.heartbeat(&heartbeat()).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(!error.temporary());
}

#[tokio::test]
async fn a_token_serves_until_the_server_takes_it_no_more() {
    let bench = Bench::new(false).await;
    let api = bench.enrolled().await;
    api.heartbeat(&heartbeat()).await.unwrap();
    let answer = api.heartbeat(&heartbeat()).await.unwrap();
    assert_eq!(answer.poll_after_s, 45);
    assert_eq!(bench.fake.lock().unwrap().counters, [1]);
    // Another process of the same agent counts on.
    bench.api().heartbeat(&heartbeat()).await.unwrap();
    // The first one's token is not the newest any more: it signs in anew.
    api.heartbeat(&heartbeat()).await.unwrap();
    assert_eq!(bench.fake.lock().unwrap().counters, [1, 2, 3]);

    bench.script("heartbeat", refusal(401, "Unauthorized"));
    bench.script("heartbeat", refusal(401, "Unauthorized"));
    let error = api.heartbeat(&heartbeat()).await.unwrap_err();
    assert!(error.refuses_agent());
    let said = error.to_string();
    assert!(
        said.contains("suspended") && said.contains("--replace"),
        "{said}"
    );
}

#[tokio::test]
async fn the_assignment_is_fetched_when_it_is_another() {
    let bench = Bench::new(false).await;
    let api = bench.enrolled().await;
    let data = bench.dir.path().join("data");
    assert_eq!(ServerApi::known_assignment(&data).unwrap(), None);
    let known = api.assignment(None).await.unwrap().unwrap();
    assert_eq!(
        (known.etag.as_deref(), known.assignment.version),
        (Some("\"v7\""), 7)
    );
    ServerApi::keep_assignment(&data, &known).unwrap();
    assert_eq!(
        ServerApi::known_assignment(&data).unwrap(),
        Some(known.clone())
    );
    assert_eq!(api.assignment(known.etag.as_deref()).await.unwrap(), None);
    assert!(api.assignment(Some("\"v6\"")).await.unwrap().is_some());
    bench.script("assignment", ok(json!({ "version": "many" })));
    let error = api.assignment(None).await.unwrap_err();
    assert!(error.to_string().contains("is http://localhost"), "{error}");
}

#[tokio::test]
async fn reports_are_delivered_in_order_and_leave_only_when_committed() {
    let bench = Bench::new(false).await;
    let api = bench.enrolled().await;
    let spool = Spool::open(&bench.dir.path().join("spool")).unwrap();
    let runs: Vec<_> = (0..4).map(|_| run_id()).collect();
    let now = crate::clock::now();
    for (run, messages) in runs.iter().zip(0..) {
        let mut report = report(messages);
        // Two of them have waited for an hour.
        let waited = TimeDelta::hours(i64::from(messages < 2));
        (report.started_at, report.finished_at) = (now - waited, now - waited);
        spool.add(*run, &report).unwrap();
    }
    // A cut connection, a busy server, a receipt for another run: each is tried again.
    bench.script("PUT", (0, Vec::new(), String::new()));
    let mut busy = refusal(503, "Busy");
    busy.1.push(("retry-after", "0".to_owned()));
    bench.script("PUT", busy);
    let delivery = api
        .deliver(&spool, &Chain::new(bench.dir.path()))
        .await
        .unwrap();
    assert!(delivery.stopped.is_none());
    assert_eq!(
        (delivery.delivered, delivery.refused, delivery.left),
        (4, 0, 0)
    );
    assert_eq!(delivery.late, 2);
    assert!(spool.waiting().unwrap().is_empty());
    let lines = bench.fake.lock().unwrap().lines();
    let put: Vec<&String> = lines
        .iter()
        .filter(|line| line.starts_with("PUT"))
        .collect();
    assert_eq!(put.len(), 6);
    for (at, run) in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (5, 3)] {
        assert!(put[at].contains(&runs[run].to_string()), "{put:?}");
    }
}

#[tokio::test]
async fn what_the_server_never_takes_is_put_aside() {
    let bench = Bench::new(false).await;
    let api = bench.enrolled().await;
    let spool = Spool::open(&bench.dir.path().join("spool")).unwrap();
    let runs: Vec<_> = (0..2).map(|_| run_id()).collect();
    for run in &runs {
        spool.add(*run, &report(1)).unwrap();
    }
    bench.script("PUT", refusal(422, "The verdict does not follow"));
    let delivery = api
        .deliver(&spool, &Chain::new(bench.dir.path()))
        .await
        .unwrap();
    assert_eq!((delivery.delivered, delivery.refused), (1, 1));
    let aside = bench.dir.path().join("spool/refused");
    let name = format!("{:016}-{}", 1, runs[0]);
    assert!(aside.join(format!("{name}.json")).exists());
    let reason = fs::read_to_string(aside.join(format!("{name}.problem.txt"))).unwrap();
    assert!(
        reason.contains("422 The verdict does not follow"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_another_try_may_mend_stays_and_holds_the_order() {
    let bench = Bench::new(false).await;
    let api = bench.enrolled().await;
    let spool = Spool::open(&bench.dir.path().join("spool")).unwrap();
    for _ in 0..2 {
        spool.add(run_id(), &report(1)).unwrap();
    }
    let other = json!({ "run_id": run_id(), "received_at": "2031-01-01T00:00:00Z" });
    let mut later = refusal(429, "Later");
    later.1.push(("retry-after", "3600".to_owned()));
    let page = (
        404,
        vec![("content-type", "text/html".to_owned())],
        "<html>".to_owned(),
    );
    let mut ahead = refusal(422, "The clocks differ");
    ahead.2 = ahead.2.replace("/problems/x", "/problems/clocks-differ");
    for (reply, times, expected) in [
        (ahead, 1, "The clocks differ"),
        (refusal(500, "Internal"), 3, "500"),
        (ok(other), 3, "another run"),
        (
            (200, Vec::new(), "<html>welcome".to_owned()),
            3,
            "not understood",
        ),
        (page, 1, "404"),
        (refusal(403, "Revoked"), 1, "403"),
        (later, 1, "429"),
    ] {
        for _ in 0..times {
            bench.script("PUT", reply.clone());
        }
        bench.fake.lock().unwrap().asked.clear();
        let delivery = api
            .deliver(&spool, &Chain::new(bench.dir.path()))
            .await
            .unwrap();
        let error = delivery.stopped.unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(
            (delivery.delivered, delivery.refused, delivery.left),
            (0, 0, 2)
        );
        let fake = bench.fake.lock().unwrap();
        let tries = fake
            .lines()
            .iter()
            .filter(|line| line.starts_with("PUT"))
            .count();
        assert_eq!(tries, times, "{expected}");
        assert!(fake.script.is_empty());
    }
    assert_eq!(
        api.deliver(&spool, &Chain::new(bench.dir.path()))
            .await
            .unwrap()
            .delivered,
        2
    );
}

#[tokio::test]
async fn a_server_that_is_down_is_named_and_temporary() {
    let bench = Bench::new(false).await;
    bench.enrolled().await;
    let mut connection = bench.connection();
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    connection.url = format!("http://127.0.0.1:{port}");
    let api = ServerApi::new(connection).unwrap();
    let error = api.heartbeat(&heartbeat()).await.unwrap_err();
    assert!(error.temporary());
    assert!(error.to_string().contains("check its address"), "{error}");
}

#[tokio::test]
async fn tls_wants_a_known_authority() {
    let bench = Bench::new(true).await;
    let error = bench
        .api()
        .enrol("code", "0.1.0", "linux-x86_64", false)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ApiError::Unreachable {
                fault: Fault::Certificate,
                ..
            }
        ),
        "{error}"
    );
    assert!(!error.temporary());
    assert!(bench.fake.lock().unwrap().asked.is_empty());

    let path = bench.dir.path().join("ca.pem");
    let with_ca = |text: &str| {
        fs::write(&path, text).unwrap();
        ServerApi::new(Connection {
            ca_file: Some(path.clone()),
            ..bench.connection()
        })
    };
    assert!(matches!(with_ca("none"), Err(ApiError::Authority { .. })));
    let api = with_ca(bench.ca.as_deref().unwrap()).unwrap();
    api.enrol("code", "0.1.0", "linux-x86_64", false)
        .await
        .unwrap();
    api.heartbeat(&heartbeat()).await.unwrap();
}
