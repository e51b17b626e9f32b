//! The product's two programs as the demonstration runs them: their configuration, and what a person types.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::lab::daemon::{Daemon, Folder, output};
use crate::lab::dovecot::{self, Dovecot};
use crate::lab::ports;
use crate::task::built;

/// The mailbox at both hosters.
pub(super) const USER: &str = "info@abc.example";
/// Who gets the daily report.
pub(super) const OWNER: &str = "owner@abc.example";
/// The provider's first administrator.
pub(super) const PROVIDER: &str = "admin@provider.example";
/// The administrator's password. It protects a demonstration on loopback.
pub(super) const PASSWORD: &str = "dreieck-zum-vorzeigen";

/// The running server.
#[derive(Debug)]
pub(super) struct Server {
    daemon: Daemon,
    folder: Folder,
    port: u16,
}

impl Server {
    /// Makes its first administrator and starts it on SQLite.
    pub(super) fn start(smtp_port: u16) -> Result<Self> {
        let program = built("debug")?.join("maildreieck-server");
        let folder = Folder::create("server")?;
        let [port] = ports::free()?;
        let config = folder.path().join("server.toml");
        write_private(&config, &server_toml(folder.path(), port, smtp_port))?;
        add_administrator(&program, &config)?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(&program);
        command
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdout(log.try_clone()?)
            .stderr(log);
        let daemon = Daemon::start(command, Signal::SIGTERM, Some(folder.path()))?;
        Ok(Self {
            daemon,
            folder,
            port,
        })
    }

    /// An error if it ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.daemon.ended()? {
            bail!("the server ended ({status}): {}", self.log());
        }
        Ok(())
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn log(&self) -> String {
        tail(&self.folder.path().join("log"))
    }
}

fn server_toml(folder: &Path, port: u16, smtp_port: u16) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\ndata_dir = \"{folder}\"\n\n\
         [database]\nurl = \"sqlite://{folder}/server.sqlite\"\n\n\
         [smtp]\nhost = \"127.0.0.1\"\nport = {smtp_port}\ntls = \"none\"\nfrom = \"Maildreieck <reports@provider.example>\"\n",
        folder = folder.display()
    )
}

/// The password goes in by standard input, so that no process list shows it.
fn add_administrator(program: &Path, config: &Path) -> Result<()> {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(["user", "add", "--config"])
        .arg(config)
        .args([
            "--email",
            PROVIDER,
            "--name",
            "Provider",
            "--provider-admin",
            "--password-stdin",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the server")?;
    child
        .stdin
        .take()
        .context("no standard input")?
        .write_all(format!("{PASSWORD}\n").as_bytes())?;
    let ended = child.wait_with_output()?;
    if !ended.status.success() {
        bail!(
            "adding the first administrator failed: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    Ok(())
}

/// The agent of the demonstration's site.
#[derive(Debug)]
pub(super) struct Agent {
    daemon: Option<Daemon>,
    folder: Folder,
    program: PathBuf,
}

impl Agent {
    /// Writes its configuration: what the server does not know and never will, the passwords above all.
    pub(super) fn prepare(primary: &Dovecot, standby: &Dovecot) -> Result<Self> {
        let folder = Folder::create("agent")?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        write_private(&folder.path().join("password"), dovecot::PASSWORD)?;
        write_private(
            &folder.path().join("agent.toml"),
            &agent_toml(folder.path(), primary, standby),
        )?;
        Ok(Self {
            daemon: None,
            folder,
            program: built("debug")?.join("maildreieck-agent"),
        })
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }

    /// Becomes the agent of the code's site.
    pub(super) fn enrol(&self, url: &str, code: &str) -> Result<()> {
        let said = output(
            Command::new(&self.program)
                .arg("enrol")
                .arg("--config")
                .arg(self.config())
                .args(["--server", url, "--code", code]),
        )?;
        for line in said.lines() {
            eprintln!("    {line}");
        }
        Ok(())
    }

    /// Follows the schedule.
    pub(super) fn start(&mut self) -> Result<()> {
        let log = std::fs::File::create(self.folder.path().join("log"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.daemon = Some(Daemon::start(
            command,
            Signal::SIGTERM,
            Some(self.folder.path()),
        )?);
        Ok(())
    }

    /// An error if it ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(daemon) = &mut self.daemon
            && let Some(status) = daemon.ended()?
        {
            bail!("the agent ended ({status})");
        }
        Ok(())
    }

    pub(super) fn stop(&mut self) {
        self.daemon = None;
    }

    pub(super) fn log(&self) -> String {
        tail(&self.folder.path().join("log"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The process first, then (by its own drop) the folder.
        self.daemon = None;
    }
}

fn agent_toml(folder: &Path, primary: &Dovecot, standby: &Dovecot) -> String {
    let folder = folder.display();
    let corner = |name: &str, server: &Dovecot| {
        format!(
            "\n[triangle.{name}]\nhost = \"localhost\"\nport = {}\ntls = \"implicit\"\ntls_ca_file = \"{}\"\nusername = \"{USER}\"\n\
             password_file = \"{folder}/password\"\n",
            server.imaps_port(),
            server.ca_file().display()
        )
    };
    format!(
        "data_dir = \"{folder}/data\"\n\n[[triangle]]\nname = \"info\"\ntx = {{ cron = \"0 18 * * mon-fri\", timezone = \"Europe/Berlin\" }}\n{}{}",
        corner("primary", primary),
        corner("standby", standby)
    )
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default()
        .join("\n")
}
