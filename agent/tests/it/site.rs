//! A site for tests: two Dovecots, a configuration, and the agent's program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use maildreieck_api_spec::certificate::Certificate;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;
use xtask::lab::dovecot::{Dovecot, Options, PASSWORD};
use xtask::lab::judge::{Account, Judge};

/// The user at both hosters.
pub const USER: &str = "info";

/// Two accounts and an agent between them.
pub struct Site {
    pub primary: Dovecot,
    pub standby: Dovecot,
    pub dir: tempfile::TempDir,
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub json: Value,
    pub stderr: String,
}

impl Said {
    /// The only triangle's report.
    pub fn triangle(&self) -> &Value {
        assert!(
            self.json["triangles"].is_array(),
            "code {} json {} stderr {}",
            self.code,
            self.json,
            self.stderr
        );
        &self.json["triangles"][0]
    }

    /// Messages sent to the standby.
    pub fn sent(&self) -> u64 {
        self.triangle()["mirrored"]["messages"].as_u64().unwrap()
    }

    /// The classes of the differences, sorted; explained ones in brackets.
    pub fn classes(&self) -> Vec<String> {
        let mut classes: Vec<String> = self.triangle()["discrepancies"]
            .as_array()
            .unwrap_or_else(|| panic!("no discrepancies: {} {}", self.json, self.stderr))
            .iter()
            .map(|d| {
                let class = d["class"].as_str().unwrap();
                let corner = d["corner"].as_str().unwrap();
                if d["explained"] == true {
                    format!("({class} {corner})")
                } else {
                    format!("{class} {corner}")
                }
            })
            .collect();
        classes.sort();
        classes
    }

    /// The classes of the repairs, sorted.
    pub fn repairs(&self) -> Vec<String> {
        let mut classes: Vec<String> = self.triangle()["repairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| {
                format!(
                    "{} {}",
                    r["class"].as_str().unwrap(),
                    r["corner"].as_str().unwrap()
                )
            })
            .collect();
        classes.sort();
        classes
    }

    /// Demands an exit code.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{} {}", self.json, self.stderr);
        self
    }
}

pub fn account_toml(
    corner: &str,
    port: u16,
    tls: &str,
    ca: Option<&Path>,
    password: &Path,
) -> String {
    let ca = ca
        .map(|ca| format!("tls_ca_file = {ca:?}\n"))
        .unwrap_or_default();
    format!(
        "[triangle.{corner}]\nhost = \"localhost\"\nport = {port}\ntls = \"{tls}\"\n{ca}username = \"{USER}\"\npassword_file = {password:?}\n"
    )
}

/// An account that is logged in to with access tokens; the refresh token is in a file of `dir`.
pub fn oauth_toml(corner: &str, port: u16, token_url: &str, dir: &Path, refresh: &str) -> String {
    let file = dir.join(format!("refresh-{corner}"));
    write_private(&file, refresh);
    format!(
        "[triangle.{corner}]\nhost = \"localhost\"\nport = {port}\ntls = \"none\"\nusername = \"{USER}\"\n[triangle.{corner}.oauth]\ntoken_url = \"{token_url}\"\nclient_id = \"maildreieck\"\nrefresh_token_file = {file:?}\n"
    )
}

/// A folder with a configuration for two ports; plain text on loopback.
pub fn configured(primary: u16, standby: u16) -> tempfile::TempDir {
    configured_for(primary, standby, USER)
}

/// As [`configured`], for another user at both.
pub fn configured_for(primary: u16, standby: u16, user: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    write_private(&password, PASSWORD);
    let text = format!(
        "data_dir = {:?}\n[[triangle]]\nname = \"info\"\n{}{}",
        dir.path().join("data"),
        account_toml("primary", primary, "none", None, &password),
        account_toml("standby", standby, "none", None, &password),
    )
    .replace(
        &format!("username = \"{USER}\""),
        &format!("username = \"{user}\""),
    );
    std::fs::write(dir.path().join("agent.toml"), text).unwrap();
    dir
}

pub fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maildreieck-agent"));
    let (name, rest) = args.split_first().unwrap();
    command
        .arg(name)
        .arg("--config")
        .arg(dir.join("agent.toml"))
        .args(["--json", "--quiet"])
        .args(rest);
    command
}

/// What a command said. Whatever a test is about: no certificate may contradict itself.
pub fn said(output: Output) -> Said {
    let said = Said {
        code: output.status.code().unwrap_or(-1),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    for triangle in said.json["triangles"].as_array().into_iter().flatten() {
        if let Some(proof) = triangle.get("certificate") {
            let proof: Certificate = serde_json::from_value(proof.clone()).unwrap();
            assert_eq!(proof.contradictions(), [], "{triangle:#}");
        }
    }
    said
}

pub fn agent(dir: &Path, args: &[&str]) -> Said {
    said(command(dir, args).stdin(Stdio::null()).output().unwrap())
}

/// Copies a file or a folder.
pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(done.success());
}

/// Puts so many small messages into a folder.
pub fn fill(judge: &mut Judge, folder: &str, from: u32, count: u32) {
    for number in from..from + count {
        let body = format!(
            "Message-ID: <{number}@abc.example>\r\nSubject: {number}\r\n\r\nNummer {number}\r\n"
        );
        let date = 1_700_000_000 + i64::from(number);
        judge.append(folder, &[], date, body.as_bytes()).unwrap();
    }
}

/// The segments of an agent's store.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir.join("data/store"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "mds"))
        .collect();
    found.sort();
    found
}

impl Site {
    /// English names and `.` here, German names and `/` there.
    pub fn new() -> Self {
        Self::between(Options::default(), Options::german())
    }

    pub fn between(primary: Options, standby: Options) -> Self {
        let primary = Dovecot::start(primary).unwrap();
        let standby = Dovecot::start(standby).unwrap();
        let dir = configured(primary.imap_port(), standby.imap_port());
        Self {
            primary,
            standby,
            dir,
        }
    }

    /// Lets the guard pass whatever vanishes.
    pub fn hold_nothing_back(&self) {
        let config = self.dir.path().join("agent.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let guard = "[[triangle]]\nguard = { max_share = 1.0, min_messages = 1000000 }\n";
        std::fs::write(&config, text.replace("[[triangle]]\n", guard)).unwrap();
    }

    pub fn primary(&self) -> Judge {
        self.primary.judge(USER).unwrap()
    }

    pub fn standby(&self) -> Judge {
        self.standby.judge(USER).unwrap()
    }

    pub fn accounts(&self) -> (Account, Account) {
        (
            self.primary().account().unwrap(),
            self.standby().account().unwrap(),
        )
    }

    /// Both accounts hold the same, judged over IMAP.
    pub fn assert_equal(&self) {
        let (primary, standby) = self.accounts();
        assert_eq!(primary.differences(&standby), Vec::<String>::new());
    }

    pub fn agent(&self, args: &[&str]) -> Said {
        agent(self.dir.path(), args)
    }

    pub fn once(&self) -> Said {
        self.agent(&["once"])
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        command(self.dir.path(), args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs the mirror, holds it the `nth` time it comes by a point, and lets it go on when `meanwhile` has been done.
    pub fn held_at(&self, point: &str, meanwhile: impl FnOnce()) {
        let mut run = command(self.dir.path(), &["mirror"])
            .env("MAILDREIECK_STOP_AT", point)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(run.id()).unwrap());
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(
            stopped,
            WaitStatus::Stopped(pid, Signal::SIGSTOP),
            "{point}"
        );
        meanwhile();
        kill(pid, Signal::SIGCONT).unwrap();
        run.wait().unwrap();
    }

    /// Puts so many small messages into a folder of the primary.
    pub fn fill(&self, folder: &str, from: u32, count: u32) {
        fill(&mut self.primary(), folder, from, count);
    }

    pub fn uids(judge: &mut Judge, folder: &str) -> Vec<u32> {
        judge
            .messages(folder)
            .unwrap()
            .iter()
            .map(|m| m.uid)
            .collect()
    }

    pub fn segments(&self) -> Vec<PathBuf> {
        segments(self.dir.path())
    }
}
