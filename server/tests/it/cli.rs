//! The program itself: its command line, its files, its log.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_maildreieck-server");
const PASSWORD: &str = "correct horse battery";

fn config(folder: &Path, more: &str) -> String {
    let path = folder.join("server.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:1\"\ndata_dir = \"{}\"\n{more}",
        folder.display()
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends at once does not read.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub fn serve(config: &str, folder: &Path) -> (Running, u16) {
    let port_file = folder.join("port");
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = Command::new(PROGRAM)
        .args([
            "serve",
            "--config",
            config,
            "--port-file",
            port_file.to_str().unwrap(),
        ])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let running = Running(child);
    let begun = Instant::now();
    loop {
        if let Ok(port) = std::fs::read_to_string(&port_file) {
            return (running, port.trim().parse().unwrap());
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            std::fs::read_to_string(folder.join("log")).unwrap()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_first_administrator_is_added_and_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let add = |more: &[&str], input: &str| {
        let mut arguments = vec![
            "user",
            "add",
            "--config",
            &config,
            "--email",
            "ada@x.example",
            "--name",
            "Ada",
        ];
        arguments.extend(more);
        run(&arguments, input)
    };
    let short = add(&["--provider-admin", "--password-stdin"], "short\n");
    assert_eq!(short.status.code(), Some(1));
    assert!(
        said(&short).contains("12 to 200 characters"),
        "{}",
        said(&short)
    );
    assert!(!add(&[], PASSWORD).status.success());
    let made = add(
        &["--provider-admin", "--password-stdin"],
        &format!("{PASSWORD}\n"),
    );
    assert!(made.status.success(), "{}", said(&made));
    uuid::Uuid::parse_str(String::from_utf8_lossy(&made.stdout).trim()).unwrap();
    let twice = add(&["--provider-admin"], PASSWORD);
    assert!(
        said(&twice).contains("There is a person with this address."),
        "{}",
        said(&twice)
    );
    let nowhere = add(
        &[
            "--role",
            "owner",
            "--tenant",
            &uuid::Uuid::now_v7().to_string(),
        ],
        PASSWORD,
    );
    assert!(said(&nowhere).contains("--tenant"), "{}", said(&nowhere));

    let (running, port) = serve(&config, folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let status = runtime.block_on(async {
        let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = serde_json::json!({"email": "ada@x.example", "password": PASSWORD});
        let answer = client
            .post(format!("http://127.0.0.1:{port}/api/v1/auth/login"))
            .json(&body)
            .send()
            .await
            .unwrap();
        answer.status().as_u16()
    });
    assert_eq!(status, 200);
    // It ticks by itself, stops when told, and its log holds no address and no password.
    std::thread::sleep(Duration::from_millis(1_500));
    Command::new("kill")
        .arg(running.0.id().to_string())
        .status()
        .unwrap();
    let mut running = running;
    assert!(running.0.wait().unwrap().success());
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(
        log.contains("listening on http://127.0.0.1:") && log.contains("stopped"),
        "{log}"
    );
    assert!(
        !log.contains("ada@") && !log.contains(PASSWORD) && !log.contains("ERROR"),
        "{log}"
    );
    use std::os::unix::fs::PermissionsExt;
    for file in ["server.sqlite", "secrets/server.key"] {
        let mode = std::fs::metadata(folder.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn wrong_settings_say_what_to_do() {
    let check = |more: &str, expected: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), more);
        let output = run(&["serve", "--config", &config], "");
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        for expected in expected {
            assert!(said.contains(expected), "{more}: {said}");
        }
        assert!(!said.contains("geheim"), "{said}");
    };
    check(
        "[smtp]\nhots = \"x\"\n",
        &[
            "server.toml:5",
            "unknown field `hots`",
            "did you mean `host`?",
        ],
    );
    check(
        "[database]\nurl = \"sqlit:///tmp/x\"\n",
        &["sqlite:// or postgres://"],
    );
    check(
        "[database]\nurl = \"postgres://u:geheim@127.0.0.1:1/x\"\n",
        &["opening the database"],
    );
    check(
        "[database]\nurl = \"sqlite:///nowhere/at/all/x\"\n",
        &["/nowhere/at/all/x"],
    );
    check(
        "[smtp]\nhost = \"mail.example\"\ntls = \"none\"\nfrom = \"a@b.example\"\n",
        &["loopback alone"],
    );
    check(
        "[smtp]\nhost = \"mail.example\"\nfrom = \"nobody\"\n",
        &["from:"],
    );
    check(
        "[smtp]\nhost = \"mail.example\"\nfrom = \"a@b.example\"\nusername = \"u\"\n",
        &["password_file"],
    );
    check(
        "[tls]\ncertificate_file = \"/nowhere\"\nkey_file = \"/nowhere\"\n",
        &["/nowhere"],
    );
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "");
    let output = run(&["serve", "--config", &config, "--listen", "0.0.0.0:0"], "");
    assert!(
        said(&output).contains("loopback alone"),
        "{}",
        said(&output)
    );
    let output = run(&["serve", "--config", "/nowhere/server.toml"], "");
    assert!(said(&output).contains("/nowhere/server.toml"));
}

#[test]
fn each_command_explains_itself() {
    for command in [
        &["--help"][..],
        &["serve", "--help"],
        &["migrate", "--help"],
        &["openapi", "--help"],
        &["user", "add", "--help"],
        &["audit", "verify", "--help"],
    ] {
        let output = run(command, "");
        assert!(output.status.success());
        assert!(said(&output).contains("Example"), "{}", said(&output));
    }
    assert_eq!(
        run(&["user", "add", "--password", "x"], "").status.code(),
        Some(2)
    );
}

#[test]
fn the_listener_speaks_tls_with_its_own_certificate() {
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = config(
        folder.path(),
        &format!(
            "[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
            certificate.display(),
            key.display()
        ),
    );
    let (_running, port) = serve(&config, folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let text = runtime.block_on(async {
        let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([root])
            .build()
            .unwrap();
        let answer = client
            .get(format!("https://localhost:{port}/healthz"))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    });
    assert_eq!(text, r#"{"status":"ok"}"#);
}

#[test]
fn another_key_than_the_databases_is_refused() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = format!(
        "[database]\nurl = \"sqlite://{}/server.sqlite\"\n",
        first.path().display()
    );
    let add = |folder: &Path, email: &str| {
        let config = config(folder, &url);
        let words = ["user", "add", "--config", &config, "--email", email];
        let rest = ["--name", "Ada", "--provider-admin", "--password-stdin"];
        run(&[words.as_slice(), rest.as_slice()].concat(), PASSWORD)
    };
    assert!(add(first.path(), "ada@x.example").status.success());
    let refused = add(second.path(), "eva@x.example");
    assert!(!refused.status.success());
    let text = said(&refused);
    assert!(text.contains("put back the first one's"), "{text}");
    let key = |folder: &Path| folder.join("secrets/server.key");
    std::fs::copy(key(first.path()), key(second.path())).unwrap();
    let taken = add(second.path(), "eva@x.example");
    assert!(taken.status.success(), "{}", said(&taken));
}
