//! Courier, the second family of IMAP servers: all folders lie below INBOX, one message an APPEND, no LITERAL+,
//! no CONDSTORE, and UIDNEXT told by STATUS alone.
//!
//! Its package and Dovecot's cannot be installed side by side, so its programs are unpacked into a folder (see
//! [`home`]) and run from there. They serve one account without asking for a password, on loopback.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use super::daemon::{Daemon, Folder, until};
use super::judge::Judge;
use super::ports;

/// Where Courier's programs are unpacked.
#[must_use]
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab/courier")
}

/// A running Courier; dropping it stops it.
#[derive(Debug)]
pub struct Courier {
    port: u16,
    #[expect(dead_code, reason = "stopped when it is dropped")]
    daemon: Daemon,
    #[expect(dead_code, reason = "removed when it is dropped")]
    folder: Folder,
}

impl Courier {
    /// Starts one with an empty account.
    ///
    /// # Errors
    /// If it is not unpacked, or does not come up.
    pub fn start() -> Result<Self> {
        let home = home();
        let imapd = home.join("usr/bin/imapd");
        if !imapd.exists() {
            bail!(
                "Courier is not in {}: `cargo xtask test` puts it there",
                home.display()
            );
        }
        let folder = Folder::create("courier")?;
        let mail = folder.path().join("mail");
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(mail.join(part))?;
        }
        let libraries = [
            "usr/lib/courier-authlib",
            "usr/lib/x86_64-linux-gnu",
            "usr/lib",
            "lib",
        ];
        let libraries: Vec<String> = libraries
            .iter()
            .map(|part| home.join(part).display().to_string())
            .collect();
        let [port] = ports::free()?;
        let mut command = Command::new(home.join("usr/sbin/couriertcpd"));
        command
            .args(["-address=127.0.0.1", "-nodnslookup", "-noidentlookup"])
            .args(["-maxprocs=64", "-maxperip=64"])
            .arg(port.to_string())
            .arg(&imapd)
            .arg(&mail)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("LD_LIBRARY_PATH", libraries.join(":"))
            .env(
                "IMAP_CAPABILITY",
                "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE",
            )
            .env("IMAP_KEYWORDS", "1")
            .env("IMAP_USELOCKS", "1")
            .env("IMAP_UMASK", "077")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let daemon = Daemon::start(command, Signal::SIGTERM, Some(folder.path()))?;
        until(Duration::from_secs(10), "Courier's port", || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
        })?;
        Ok(Self {
            port,
            daemon,
            folder,
        })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to judge with.
    ///
    /// # Errors
    /// As [`Judge::login`].
    pub fn judge(&self) -> Result<Judge> {
        Judge::login(self.port, "info", "secret")
    }
}
