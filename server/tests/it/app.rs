//! The test app: a server on a free port over a fresh database, a standing clock, and whoever a test
//! needs: people by role, a business with its triangle, an agent.

use std::future::Future;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::pkcs8::EncodePrivateKey;
use ed25519_dalek::{Signer as _, SigningKey};
use maildreieck_api_spec::agents::AssertionClaims;
use maildreieck_api_spec::certificate::{
    Certificate, CornerCoverage, CornerFigures, Corners, CutPoint, FORMAT, FolderFigures,
    FolderRef, GuardShares, signed_octets,
};
use maildreieck_api_spec::ids::{RunId, ScheduleId, UserId};
use maildreieck_api_spec::vocabulary::{Corner, Depth, Direction, Verdict};
use maildreieck_server::app::{App, Settings};
use maildreieck_server::clock::Clock;
use maildreieck_server::context::Ctx;
use maildreieck_server::db::{Db, Url};
use maildreieck_server::jobs;
use maildreieck_server::keys::Keys;
use maildreieck_server::mail::smtp::Sender;
use maildreieck_server::service::tokens::{self, Bearer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use xtask::lab::postgres::Cluster;

/// When every test begins: a Tuesday, noon in UTC, one in the afternoon in Berlin.
pub const START: &str = "2026-11-24T12:00:00Z";
/// What tokens are meant for.
pub const AUDIENCE: &str = "https://server.example";

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// Runs a test on both databases.
macro_rules! both {
    ($(async fn $name:ident($app:ident: TestApp) $body:block)+) => {$(
        async fn $name($app: $crate::app::TestApp) $body

        // A module and a function of one name do not meet: they live in two name spaces.
        mod $name {
            use $crate::app::{Backend, TestApp};

            #[test]
            fn sqlite() {
                TestApp::with(Backend::Sqlite, super::$name);
            }

            #[test]
            fn postgres() {
                TestApp::with(Backend::Postgres, super::$name);
            }
        }
    )+};
}
pub(crate) use both;

/// A server under test.
pub struct TestApp {
    pub backend: Backend,
    pub app: App,
    pub clock: Clock,
    pub url: Url,
    pub raw_url: String,
    pub base: String,
    // Ends with the test, where it is this process's own.
    _cluster: Option<Cluster>,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// The problem, without what differs from run to run; asserts its shape.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let mut problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"));
        assert_eq!(
            problem["request_id"].as_str().unwrap(),
            self.header("x-request-id")
        );
        problem.as_object_mut().unwrap().remove("request_id");
        serde_json::to_string(&problem).unwrap()
    }
}

impl TestApp {
    /// Runs a test on a server of its own.
    pub fn with<F: Future<Output = ()>>(backend: Backend, test: impl FnOnce(Self) -> F) {
        let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { test(Self::start(backend).await).await });
    }

    async fn start(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (raw_url, cluster) = match backend {
            Backend::Sqlite => (
                format!("sqlite://{}", folder.path().join("db.sqlite").display()),
                None,
            ),
            Backend::Postgres => {
                let cluster = Cluster::shared().unwrap();
                (cluster.create_database("server").unwrap(), Some(cluster))
            }
        };
        let url = Url::parse(&raw_url).unwrap();
        let clock = Clock::standing_at(START.parse().unwrap());
        let app = Self::instance(&url, &clock, folder.path());
        let base = serve(app.clone());
        Self {
            backend,
            app,
            clock,
            url,
            raw_url,
            base,
            _cluster: cluster,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            folder,
        }
    }

    /// Runs a test on the real program, by the machine's clock, with a mail server on a port.
    pub fn with_program<F: Future<Output = ()>>(smtp_port: u16, test: impl FnOnce(Self) -> F) {
        let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.toml");
        let data = folder.path().display();
        let settings = format!(
            "listen = \"127.0.0.1:0\"\npublic_url = \"{AUDIENCE}\"\ndata_dir = \"{data}\"\n[smtp]\nhost = \"127.0.0.1\"\n\
             port = {smtp_port}\ntls = \"none\"\nfrom = \"Maildreieck <reports@provider.example>\"\n"
        );
        std::fs::write(&config, settings).unwrap();
        let (_running, port) = crate::cli::serve(config.to_str().unwrap(), folder.path());
        let raw_url = format!("sqlite://{data}/server.sqlite");
        let url = Url::parse(&raw_url).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let app = Self {
                backend: Backend::Sqlite,
                app: Self::instance(&url, &Clock::System, folder.path()),
                clock: Clock::System,
                url,
                raw_url,
                base: format!("http://127.0.0.1:{port}"),
                _cluster: None,
                http: reqwest::Client::builder().no_proxy().build().unwrap(),
                folder,
            };
            test(app).await;
        });
    }

    fn instance(url: &Url, clock: &Clock, folder: &std::path::Path) -> App {
        App::new(
            Db::open(url, 6).unwrap(),
            clock.clone(),
            Keys::open(&folder.join("secrets")).unwrap(),
            Settings {
                audience: AUDIENCE.to_owned(),
                certificate_sha256: None,
                mail_domain: "server.example".to_owned(),
            },
        )
    }

    /// Another instance over the same database and secret.
    pub fn second(&self) -> App {
        Self::instance(&self.url, &self.clock, self.folder.path())
    }

    /// Runs SQL past the server, as the database's owner.
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        crate::schema::query(self, sql)
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// Does what a second's tick does.
    pub async fn tick(&self) {
        jobs::tick(&self.app, None).await.unwrap();
    }

    /// The same, sending mail.
    pub async fn tick_and_send(&self, sender: &Sender) {
        jobs::tick(&self.app, Some(sender)).await.unwrap();
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await.unwrap();
        Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            text: answer.text().await.unwrap(),
        }
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Method::GET, path, Some(token), &[], None).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(token), &[], Some(body.to_string()))
            .await
    }

    /// POST without a token.
    pub async fn ask(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, None, &[], Some(body.to_string()))
            .await
    }

    /// PUT of what was read in a version.
    pub async fn put(&self, path: &str, token: &str, etag: &str, body: &Value) -> Answer {
        let headers = [("if-match", etag)];
        self.send(
            Method::PUT,
            path,
            Some(token),
            &headers,
            Some(body.to_string()),
        )
        .await
    }

    /// An access token, as login would give it.
    pub fn token_of(&self, user: UserId) -> String {
        tokens::issue(&self.app, Bearer::User { id: user }, self.now())
            .unwrap()
            .0
    }

    /// A person, past the API.
    pub async fn person(&self, email: &str, provider_admin: bool) -> (UserId, String) {
        use maildreieck_server::service::{transact::Once, users};
        let ctx = Ctx::system("test", self.now());
        let answer = |person: &users::Person| maildreieck_server::service::transact::Answer {
            status: 201,
            body: json!(person.user.id),
            location: None,
            etag: None,
        };
        let new = users::NewUser {
            email: email.to_owned().try_into().unwrap(),
            name: "Somebody".to_owned().try_into().unwrap(),
            password: "correct horse battery".to_owned().into(),
            provider_admin,
        };
        let once = Once {
            kept: None,
            answer,
            repeat: answer,
        };
        let made = users::create(&self.app, &ctx, new, once).await.unwrap();
        let id: UserId = serde_json::from_value(made.body).unwrap();
        (id, self.token_of(id))
    }

    /// An administrator of the provider.
    pub async fn admin(&self) -> String {
        let number = uuid::Uuid::now_v7().simple();
        self.person(&format!("admin-{number}@provider.example"), true)
            .await
            .1
    }

    /// A person in a tenant.
    pub async fn member(&self, tenant: &str, role: &str) -> (UserId, String) {
        let admin = self.admin().await;
        let number = uuid::Uuid::now_v7().simple();
        let (id, token) = self
            .person(&format!("{role}-{number}@x.example"), false)
            .await;
        let path = format!("/api/v1/tenants/{tenant}/members/{id}");
        self.send(
            Method::PUT,
            &path,
            Some(&admin),
            &[],
            Some(json!({ "role": role }).to_string()),
        )
        .await
        .expect(200);
        (id, token)
    }

    /// A business with one triangle, due at six in the evening of its zone.
    pub async fn business(&self, name: &str) -> Business {
        self.business_in(name, "de", "Europe/Berlin").await
    }

    pub async fn business_in(&self, name: &str, language: &str, zone: &str) -> Business {
        let admin = self.admin().await;
        let config = json!({
            "name": name, "timezone": zone, "language": language,
            "report_to": [format!("owner@{}.example", name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), ""))],
        });
        let tenant = self
            .post("/api/v1/tenants", &admin, &config)
            .await
            .expect(201);
        let tenant = tenant["id"].as_str().unwrap().to_owned();
        let technician = self.member(&tenant, "technician").await.1;
        let made = |path: &str, body: Value| {
            let (path, technician) = (
                format!("/api/v1/tenants/{tenant}/{path}"),
                technician.clone(),
            );
            async move {
                let made = self.post(&path, &technician, &body).await.expect(201);
                made["id"].as_str().unwrap().to_owned()
            }
        };
        let account = |host: &str| json!({"name": host, "host": host, "port": 993, "tls": "implicit", "username": "info@abc.example"});
        let site = made("sites", json!({"name": "Office"})).await;
        let primary = made("accounts", account("abc.example")).await;
        let standby = made("accounts", account("abc-a.example")).await;
        let triangle = json!({
            "name": "info", "site_id": site,
            "primary_account_id": primary, "standby_account_id": standby,
            "tx": {"cron": "0 18 * * *", "timezone": zone},
            "mirror": {"cron": "*/15 * * * *", "timezone": zone},
        });
        let path = format!("/api/v1/tenants/{tenant}/triangles");
        let triangle = self.post(&path, &technician, &triangle).await.expect(201);
        Business {
            path: format!("/api/v1/tenants/{tenant}"),
            triangle: triangle["id"].as_str().unwrap().to_owned(),
            tx: triangle["tx_schedule_id"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
            tenant,
            admin,
            technician,
            site,
            primary,
            standby,
        }
    }

    /// An agent at the business's site.
    pub async fn agent(&self, business: &Business) -> Agent {
        let code = self.code(business).await;
        let agent = Agent::new();
        self.enrol(agent, &code).await
    }

    pub async fn code(&self, business: &Business) -> String {
        let path = format!("{}/sites/{}/enrolment-codes", business.path, business.site);
        let issued = self
            .post(&path, &business.technician, &json!({}))
            .await
            .expect(201);
        issued["code"].as_str().unwrap().to_owned()
    }

    pub async fn enrol(&self, mut agent: Agent, code: &str) -> Agent {
        let answer = self
            .ask("/agent/v1/enrol", &agent.enrolment(code))
            .await
            .expect(201);
        agent.id = answer["agent_id"].as_str().unwrap().to_owned();
        assert_eq!(answer["audience"], AUDIENCE);
        agent.token = self.agent_token(&mut agent).await.expect(200)["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        agent
    }

    pub async fn nonce(&self) -> String {
        let nonce = self.ask("/agent/v1/nonce", &json!({})).await.expect(200);
        nonce["nonce"].as_str().unwrap().to_owned()
    }

    /// Asks for a token as the agent does.
    pub async fn agent_token(&self, agent: &mut Agent) -> Answer {
        agent.counter += 1;
        let claims = agent.claims(self.now(), self.nonce().await);
        let assertion = agent.sign(&claims);
        self.ask("/agent/v1/token", &json!({ "assertion": assertion }))
            .await
    }

    /// Delivers a run as the agent does, its certificate signed where it is not yet.
    pub async fn put_run(&self, agent: &Agent, run: RunId, report: &Value) -> Answer {
        let mut report = report.clone();
        if let Some(certificate) = report.get_mut("certificate")
            && certificate.is_object()
            && certificate.get("signature").is_none()
        {
            agent.sign_certificate(certificate);
        }
        self.send(
            Method::PUT,
            &format!("/agent/v1/runs/{run}"),
            Some(&agent.token),
            &[],
            Some(report.to_string()),
        )
        .await
    }
}

fn serve(app: App) -> String {
    let (told, bound) = std::sync::mpsc::channel::<SocketAddr>();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let listen = "127.0.0.1:0".parse().unwrap();
            let (server, addresses) =
                maildreieck_server::http::serve::bind(app, listen, None).unwrap();
            told.send(addresses[0]).unwrap();
            server.await.unwrap();
        });
    });
    format!("http://{}", bound.recv().unwrap())
}

/// A small business.
#[derive(Debug, Clone)]
pub struct Business {
    pub tenant: String,
    /// `/api/v1/tenants/{tenant_id}`.
    pub path: String,
    pub admin: String,
    pub technician: String,
    pub site: String,
    pub primary: String,
    pub standby: String,
    pub triangle: String,
    pub tx: ScheduleId,
}

impl Business {
    /// A certificate whose corners are equal.
    pub fn certificate(&self, tx_at: DateTime<Utc>) -> Certificate {
        let figures = || CornerFigures {
            messages: 1_234,
            bytes: 56_789_012,
            set_hash: "ab".repeat(32),
        };
        let corners = [Corner::Primary, Corner::Standby, Corner::Store];
        Certificate {
            format: FORMAT.to_owned(),
            triangle: self.triangle.clone(),
            sequence: 1,
            previous: None,
            tx_at,
            depth: Depth::Ledger,
            verdict: Verdict::Balanced,
            direction: Direction::PrimaryToStandby,
            epoch: 0,
            cut: [Corner::Primary, Corner::Standby]
                .into_iter()
                .map(|corner| CutPoint {
                    corner,
                    folder: FolderRef("inbox".to_owned()),
                    uidvalidity: 1_795_521_600,
                    uidnext: 1_300,
                    highestmodseq: Some(4_711),
                })
                .collect(),
            corners: Corners {
                primary: figures(),
                standby: figures(),
                store: figures(),
                medium: None,
            },
            folders: vec![FolderFigures {
                folder: FolderRef("inbox".to_owned()),
                primary: Some(figures()),
                standby: Some(figures()),
                store: Some(figures()),
                medium: None,
            }],
            differences: vec![],
            repairs: vec![],
            new_tombstones: 0,
            guard: GuardShares::default(),
            coverage: corners
                .into_iter()
                .map(|corner| CornerCoverage {
                    corner,
                    whole: true,
                    content_verified: 1_234,
                    content_verified_now: 41,
                    oldest_proof: Some("2026-10-26T17:00:00Z".parse().unwrap()),
                })
                .collect(),
            nonce: "unanchored".to_owned(),
            configuration_hash: "cd".repeat(32),
            agent_version: "0.1.0".to_owned(),
            signing_key: "A".repeat(43),
            signature: None,
            countersignature: None,
        }
    }

    /// The report of a scheduled Tx, and its run's id.
    pub fn tx_report(&self, due_at: DateTime<Utc>, certificate: &Certificate) -> (RunId, Value) {
        let report = json!({
            "triangle_id": self.triangle,
            "kind": "tx",
            "schedule_id": self.tx,
            "due_at": due_at,
            "started_at": due_at,
            "finished_at": due_at + TimeDelta::seconds(42),
            "outcome": "done",
            "mirrored": {"messages": 3, "bytes": 4_096},
            "certificate": certificate,
        });
        (RunId::of_schedule(self.tx, due_at), report)
    }
}

/// An agent.
pub struct Agent {
    pub id: String,
    pub key: SigningKey,
    pub counter: u64,
    pub token: String,
}

impl Agent {
    pub fn new() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).unwrap();
        Self {
            id: String::new(),
            key: SigningKey::from_bytes(&seed),
            counter: 0,
            token: String::new(),
        }
    }

    pub fn enrolment(&self, code: &str) -> Value {
        json!({
            "code": code,
            "signing_key": URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
            "sealing_key": URL_SAFE_NO_PAD.encode([9; 32]),
            "version": "0.1.0",
            "platform": "linux-x86_64",
        })
    }

    pub fn claims(&self, now: DateTime<Utc>, nonce: String) -> AssertionClaims {
        AssertionClaims {
            iss: self.id.clone(),
            aud: AUDIENCE.to_owned(),
            nonce,
            counter: self.counter,
            iat: now.timestamp(),
            exp: now.timestamp() + 60,
        }
    }

    /// Signs a certificate as it is, whatever is in it.
    pub fn sign_certificate(&self, certificate: &mut Value) {
        let key = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        certificate["signing_key"] = key.into();
        let signature = self.key.sign(&signed_octets(certificate).unwrap());
        certificate["signature"] = URL_SAFE_NO_PAD.encode(signature.to_bytes()).into();
    }

    pub fn sign(&self, claims: &AssertionClaims) -> String {
        let der = self.key.to_pkcs8_der().unwrap();
        jsonwebtoken::encode(
            &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA),
            claims,
            &jsonwebtoken::EncodingKey::from_ed_der(der.as_bytes()),
        )
        .unwrap()
    }
}

/// Gives corners in which differences are listed another set than the primary's.
pub fn differ(proof: &mut Certificate) {
    let listed = |corner| proof.differences.iter().any(|d| d.corner == corner);
    let (standby, store) = (listed(Corner::Standby), listed(Corner::Store));
    let inbox = proof.folders.first_mut().unwrap();
    let figures = [
        (standby, Some(&mut proof.corners.standby)),
        (standby, inbox.standby.as_mut()),
        (store, Some(&mut proof.corners.store)),
        (store, inbox.store.as_mut()),
    ];
    for (_, figures) in figures.into_iter().filter(|(listed, _)| *listed) {
        figures.unwrap().set_hash = "ef".repeat(32);
    }
}
