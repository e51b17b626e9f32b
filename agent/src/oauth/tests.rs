//! Tokens against a small HTTP server that says what it is told to.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::{Arc, Mutex as StdMutex};

use futures::future::join_all;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

#[derive(Default)]
struct Script {
    /// Status, further header lines, body; the last one stays.
    answers: VecDeque<(u16, &'static str, String)>,
    asked: Vec<String>,
}

type Shared = Arc<StdMutex<Script>>;

struct Bench {
    dir: TempDir,
    script: Shared,
    port: u16,
    ca: Option<String>,
}

const GOOD: &str = r#"{"access_token":"at","token_type":"Bearer","expires_in":3600}"#;
const ENDED: &str = r#"{"access_token":"at","token_type":"bearer","expires_in":0}"#;
const GONE: &str = r#"{"error":"invalid_grant","error_description":"rt-1 is gone"}"#;

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Shared) {
    let mut request = Vec::new();
    let body = loop {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).await.unwrap_or_default();
        request.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if count == 0 {
            return;
        }
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                break body.to_owned();
            }
        }
    };
    let (status, headers, said) = {
        let mut script = script.lock().unwrap();
        script.asked.push(body);
        if script.answers.len() > 1 {
            script.answers.pop_front().unwrap()
        } else {
            script.answers.front().cloned().unwrap()
        }
    };
    let answer = format!(
        "HTTP/1.1 {status} Said\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{said}",
        said.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

impl Bench {
    async fn new() -> Self {
        Self::over(false).await
    }

    async fn over(tls: bool) -> Self {
        // Another test of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, ca) = if tls {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
            let config = rustls::ServerConfig::builder()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.unwrap())
                .unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            (Some(acceptor), Some(made.cert.pem()))
        } else {
            (None, None)
        };
        let script = Shared::default();
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&shared);
                match &acceptor {
                    None => drop(tokio::spawn(answer(stream, script))),
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            drop(tokio::spawn(answer(stream, script)));
                        }
                    }
                }
            }
        });
        let dir = TempDir::new().unwrap();
        files::write_private(&dir.path().join("refresh"), b"rt-1\n").unwrap();
        Self {
            dir,
            script,
            port,
            ca,
        }
    }

    fn settings(&self) -> Settings {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        Settings {
            token_url: format!("{scheme}://localhost:{}/token", self.port),
            client_id: "md".to_owned(),
            client_secret_file: None,
            refresh_token_file: self.dir.path().join("refresh"),
            scope: None,
            ca_file: None,
        }
    }

    fn source(&self) -> TokenSource {
        source(self.settings())
    }

    fn says(&self, status: u16, body: &str) {
        self.says_with(status, "", body);
    }

    fn says_with(&self, status: u16, headers: &'static str, body: &str) {
        let mut script = self.script.lock().unwrap();
        script.answers.push_back((status, headers, body.to_owned()));
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }

    fn refresh_token(&self) -> String {
        fs::read_to_string(self.dir.path().join("refresh")).unwrap()
    }
}

fn source(settings: Settings) -> TokenSource {
    let mut source = TokenSource::new(settings);
    source.backoff = source.backoff.with_min_delay(Duration::from_millis(1));
    source
}

#[tokio::test]
async fn a_request_has_the_documented_form() {
    let bench = Bench::new().await;
    bench.says(200, GOOD);
    bench.source().token().await.unwrap();
    assert_eq!(
        bench.asked(),
        ["grant_type=refresh_token&refresh_token=rt-1&client_id=md"]
    );
    let secret = bench.dir.path().join("secret");
    files::write_private(&secret, b"s&s").unwrap();
    let settings = Settings {
        client_secret_file: Some(secret),
        scope: Some("https://mail.example/ offline".to_owned()),
        ..bench.settings()
    };
    source(settings).token().await.unwrap();
    assert_eq!(
        bench.asked(),
        [
            "grant_type=refresh_token&refresh_token=rt-1&client_id=md&client_secret=s%26s&scope=https%3A%2F%2Fmail.example%2F+offline"
        ]
    );
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let check = async |body: &str, requests: usize| {
        let bench = Bench::new().await;
        bench.says(200, body);
        let source = bench.source();
        for _ in 0..3 {
            let token = source.token().await.unwrap();
            assert_eq!(token.secret().expose_secret(), "at");
        }
        assert_eq!(bench.asked().len(), requests, "{body}");
    };
    check(GOOD, 1).await;
    check(ENDED, 3).await;
    check(&GOOD.replace("3600", "\"3600\""), 1).await;
    check(&GOOD.replace("3600", "\"0\""), 3).await;
    check(r#"{"access_token":"at","token_type":"BEARER"}"#, 1).await;
    check(&GOOD.replace("3600", "18446744073709551615"), 1).await;
}

#[tokio::test]
async fn all_connections_share_one_request() {
    let bench = Bench::new().await;
    bench.says(200, GOOD);
    let source = bench.source();
    let eight = join_all((0..8).map(|_| source.token())).await;
    assert!(eight.iter().all(Result::is_ok));
    assert_eq!(bench.asked().len(), 1);
    // All of them are refused by the mail server: one more.
    let refused: Vec<AccessToken> = eight.into_iter().map(Result::unwrap).collect();
    let others = join_all(refused.iter().map(|token| source.instead_of(token))).await;
    assert_eq!(bench.asked().len(), 1);
    assert!(
        others
            .iter()
            .all(|other| other.as_ref().unwrap().number == 2)
    );
}

#[tokio::test]
async fn all_connections_share_one_failure() {
    let bench = Bench::new().await;
    bench.says(400, GONE);
    let source = bench.source();
    let eight = join_all((0..8).map(|_| source.token())).await;
    assert_eq!(bench.asked().len(), 1);
    assert!(eight.iter().all(|one| {
        matches!(one, Err(OauthError::Refused { code, .. }) if code == "invalid_grant")
    }));
    // Who comes later may find the consent renewed.
    bench.says(200, GOOD);
    bench.asked();
    assert!(source.token().await.is_err());
    assert!(source.token().await.is_ok());
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_no_secret() {
    let check = async |status: u16, body: &str, expected: &str| {
        let bench = Bench::new().await;
        bench.says(status, body);
        let error = bench.source().token().await.unwrap_err();
        let said = error.to_string();
        let expected = expected.replace("URL", &bench.settings().token_url);
        assert_eq!(said, expected);
        assert!(!said.contains("rt-1"));
        error.temporary()
    };
    let temporary = check(
        400,
        GONE,
        "the token server URL refused with 400 invalid_grant; the refresh token has ended or was withdrawn: the owner of the account must consent again, and the new refresh token goes into refresh_token_file",
    );
    assert!(!temporary.await);
    let temporary = check(
        401,
        "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid\\r\\nclient secret\"}",
        "the token server URL refused with 401 invalid_client (AADSTS7000215: Invalid  client secret); check client_id and client_secret_file",
    );
    assert!(!temporary.await);
    let temporary = check(
        404,
        "<html>",
        "the token server URL refused with 404; check token_url and client_id",
    );
    assert!(!temporary.await);
    let temporary = check(
        503,
        "",
        "the token server URL refused with 503; it may answer later",
    );
    assert!(temporary.await);
}

#[tokio::test]
async fn what_another_try_may_mend_is_tried_again() {
    let bench = Bench::new().await;
    bench.says(503, "");
    bench.says(429, "");
    bench.says(200, GOOD);
    bench.source().token().await.unwrap();
    assert_eq!(bench.asked().len(), 3);
    let bench = Bench::new().await;
    bench.says_with(429, "Retry-After: 3600\r\n", "");
    assert!(bench.source().token().await.unwrap_err().temporary());
    assert_eq!(bench.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused_and_not_quoted() {
    let check = async |body: &str, expected: &str| {
        let bench = Bench::new().await;
        bench.says(200, body);
        let error = bench.source().token().await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains(expected) && !said.contains("hunter2"),
            "{said}"
        );
        assert!(!error.temporary());
    };
    check("<html>hunter2", "no JSON").await;
    check(r#"{"access_token":"hunter2"}"#, "no JSON").await;
    check(
        r#"{"access_token":"hunter2","token_type":"mac"}"#,
        "no bearer",
    )
    .await;
    check(
        r#"{"access_token":"hunter2\u0001","token_type":"Bearer"}"#,
        "odd characters",
    )
    .await;
    check(
        r#"{"access_token":"x","token_type":"Bearer","refresh_token":"hunter2\n"}"#,
        "odd characters",
    )
    .await;
    check(&"x".repeat(2 << 20), "too large").await;
}

fn rotated(to: &str) -> String {
    ENDED.replace('}', &format!(",\"refresh_token\":\"{to}\"}}"))
}

#[tokio::test]
async fn a_new_refresh_token_replaces_the_old_one() {
    let bench = Bench::new().await;
    // The path may be a link, as secrets often are.
    let real = bench.dir.path().join("real");
    let path = bench.dir.path().join("refresh");
    fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    bench.says(200, &rotated("rt-2"));
    let source = bench.source();
    source.token().await.unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), "rt-2\n");
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    let mode = fs::metadata(&real).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    source.token().await.unwrap();
    let asked = bench.asked();
    assert!(asked[0].contains("refresh_token=rt-1&"), "{asked:?}");
    assert!(asked[1].contains("refresh_token=rt-2&"), "{asked:?}");
}

#[tokio::test]
async fn a_new_refresh_token_that_cannot_be_written_serves_from_memory() {
    let bench = Bench::new().await;
    // A folder is where the new file would be written.
    fs::create_dir(bench.dir.path().join("refresh.tmp")).unwrap();
    bench.says(200, &rotated("rt-2"));
    let source = bench.source();
    source.token().await.unwrap();
    assert_eq!(bench.refresh_token(), "rt-1\n");
    source.token().await.unwrap();
    // The owner consented again: what he brought counts.
    fs::write(bench.dir.path().join("refresh"), "rt-9").unwrap();
    source.token().await.unwrap();
    let asked = bench.asked();
    for (asked, expected) in asked.iter().zip(["rt-1", "rt-2", "rt-9"]) {
        assert!(
            asked.contains(&format!("refresh_token={expected}&")),
            "{asked}"
        );
    }
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn tls_wants_a_known_authority() {
    let bench = Bench::over(true).await;
    bench.says(200, GOOD);
    let error = bench.source().token().await.unwrap_err();
    assert!(
        matches!(
            &error,
            OauthError::Unreachable {
                fault: Fault::Certificate,
                ..
            }
        ),
        "{error}"
    );
    assert!(!error.temporary() && error.to_string().contains("tls_ca_file"));
    let ca = bench.dir.path().join("ca.pem");
    let with_ca = || {
        source(Settings {
            ca_file: Some(ca.clone()),
            ..bench.settings()
        })
    };
    fs::write(&ca, "none").unwrap();
    let error = with_ca().token().await.unwrap_err();
    assert!(matches!(error, OauthError::Client { .. }), "{error}");
    assert!(bench.asked().is_empty());
    fs::write(&ca, bench.ca.as_deref().unwrap()).unwrap();
    with_ca().token().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_down_is_named_and_temporary() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let settings = Settings {
        token_url: format!("http://127.0.0.1:{port}/token"),
        ..bench.settings()
    };
    let error = source(settings).token().await.unwrap_err();
    assert!(error.temporary(), "{error}");
    assert!(
        error
            .to_string()
            .contains("check token_url and the network")
    );
}
