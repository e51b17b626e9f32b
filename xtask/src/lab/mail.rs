//! Where sent mail ends: OpenSMTPD takes it, hands it to a Dovecot by LMTP, and tests read it there by IMAP.
//!
//! OpenSMTPD has fixed paths for its control socket and its spool. As root each sink therefore runs in a mount
//! namespace of its own, with empty file systems over them. Without root, where namespaces are forbidden, and where
//! another mail server keeps OpenSMTPD off the machine the small relay in [`super::relay`] takes its place.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::daemon::{Daemon, Folder, is_root, until};
use super::dovecot::{Dovecot, Options, program};
use super::{ports, relay::Relay};

/// Covers OpenSMTPD's fixed paths and becomes smtpd. `$1` is the sink's folder. What else is in /run stays reachable,
/// for it may hold the resolver's configuration.
const NAMESPACE: &str = r#"
set -e
[ -d /var/spool/smtpd ] || mkdir -m 711 /var/spool/smtpd
mkdir -p "$1/run"
mount -t tmpfs none /var/spool/smtpd
chmod 711 /var/spool/smtpd
mount --rbind /run "$1/run"
mount -t tmpfs none /run
for entry in "$1"/run/*; do
    case "$entry" in */smtpd.sock) ;; *) ln -s "$entry" /run/ ;; esac
done
shift
exec "$@"
"#;

/// How OpenSMTPD is kept apart from others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The best that works here.
    Automatic,
    /// A mount namespace; root, and a kernel or container that allows it.
    Namespace,
    /// No OpenSMTPD but the relay.
    Relay,
}

/// A running sink. Every address is accepted; each is a mailbox with the password of all the laboratory's users.
#[derive(Debug)]
pub struct Sink {
    // In this order: SMTP ends first.
    _smtp: Smtp,
    dovecot: Dovecot,
    smtp_port: u16,
    isolation: Isolation,
}

#[derive(Debug)]
enum Smtp {
    Daemon { _daemon: Daemon, _folder: Folder },
    Relay(#[expect(dead_code, reason = "held for its drop")] Relay),
}

impl Sink {
    /// Starts one.
    ///
    /// # Errors
    /// If Dovecot's LMTP or OpenSMTPD is not installed or will not start.
    pub fn start() -> Result<Self> {
        Self::start_as(Isolation::Automatic)
    }

    /// Starts one, kept apart as told.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_as(isolation: Isolation) -> Result<Self> {
        let dovecot = Dovecot::start(Options {
            lmtp: true,
            ..Options::default()
        })
        .context("the mail sink needs Dovecot's LMTP (Debian: dovecot-lmtpd)")?;
        let isolation = match isolation {
            Isolation::Automatic
                if is_root() && program("smtpd").is_absolute() && may_unshare() =>
            {
                Isolation::Namespace
            }
            Isolation::Automatic => Isolation::Relay,
            chosen => chosen,
        };
        let (smtp, smtp_port) = if isolation == Isolation::Relay {
            let relay = Relay::start(dovecot.lmtp_port())?;
            let port = relay.port();
            (Smtp::Relay(relay), port)
        } else {
            let folder = Folder::create("smtpd")?;
            let (daemon, port) = retry(|| launch(folder.path(), dovecot.lmtp_port(), isolation))?;
            (
                Smtp::Daemon {
                    _daemon: daemon,
                    _folder: folder,
                },
                port,
            )
        };
        Ok(Self {
            _smtp: smtp,
            dovecot,
            smtp_port,
            isolation,
        })
    }

    /// Where mail is to be sent: plain SMTP on 127.0.0.1, no login.
    #[must_use]
    pub fn smtp_port(&self) -> u16 {
        self.smtp_port
    }

    /// Where it can be read: plain IMAP on 127.0.0.1.
    #[must_use]
    pub fn imap_port(&self) -> u16 {
        self.dovecot.imap_port()
    }

    /// The Dovecot behind it.
    #[must_use]
    pub fn dovecot(&self) -> &Dovecot {
        &self.dovecot
    }

    /// How it is kept apart.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The mails that `user` (an address) has got, oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn messages(&self, user: &str) -> Result<Vec<Vec<u8>>> {
        let mails = self
            .dovecot
            .judge(&user.to_lowercase())?
            .messages("INBOX")?;
        Ok(mails.into_iter().map(|mail| mail.body).collect())
    }

    /// Waits until `user` has got at least `count` mails, and gives them all.
    ///
    /// # Errors
    /// If they do not come within `timeout`.
    pub fn wait_for(&self, user: &str, count: usize, timeout: Duration) -> Result<Vec<Vec<u8>>> {
        let mut mails = Vec::new();
        until(timeout, &format!("{count} mails to {user}"), || {
            mails = self.messages(user)?;
            Ok(mails.len() >= count)
        })?;
        Ok(mails)
    }
}

fn may_unshare() -> bool {
    Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "mount -t tmpfs none /run",
        ])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn retry<T>(mut start: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..4 {
        if let Ok(started) = start() {
            return Ok(started);
        }
    }
    start()
}

fn launch(folder: &Path, lmtp_port: u16, isolation: Isolation) -> Result<(Daemon, u16)> {
    let smtpd = program("smtpd");
    if !smtpd.is_absolute() {
        bail!("OpenSMTPD is not installed (Debian: opensmtpd)");
    }
    let [port] = ports::free()?;
    let name = format!("sink-{:x}.example", ports::unique());
    let conf = folder.join("smtpd.conf");
    std::fs::write(
        &conf,
        format!(
            "listen on 127.0.0.1 port {port} hostname {name}\n\
             action \"hand over\" relay host \"lmtp://127.0.0.1:{lmtp_port}\"\n\
             match from any for any action \"hand over\"\n"
        ),
    )?;
    let log = folder.join("log");
    let file = File::create(&log)?;
    let mut command = match isolation {
        Isolation::Namespace => {
            let mut command = Command::new("unshare");
            command
                .args([
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-c",
                    NAMESPACE,
                    "sink",
                ])
                .arg(folder)
                .arg(&smtpd);
            command
        }
        _ => Command::new(&smtpd),
    };
    command
        .arg("-d")
        .arg("-f")
        .arg(&conf)
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut daemon = Daemon::start(command, Signal::SIGTERM, Some(folder))?;
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    until(Duration::from_secs(20), "OpenSMTPD's greeting", || {
        if let Some(status) = daemon.ended()? {
            bail!("OpenSMTPD ended at once ({status}): {}", text().trim());
        }
        Ok(greets(port, &name))
    })
    .with_context(|| text().trim().to_owned())?;
    Ok((daemon, port))
}

fn greets(port: u16, name: &str) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    if stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .is_err()
    {
        return false;
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok()
        && line.starts_with("220")
        && line.contains(name)
}
