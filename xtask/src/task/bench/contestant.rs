//! How each program is told to copy one account to another.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::measure::{Measured, program};
use crate::lab::Account;
use crate::lab::daemon::output;
use crate::lab::dovecot::PASSWORD;
use crate::task::built;

/// A program that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Contestant {
    /// maildreieck-agent, into the standby and its store.
    Ours,
    /// InterIMAP, Debian's.
    #[value(name = "interimap")]
    InterImap,
    /// mbsync, Debian's isync.
    Mbsync,
    /// The least that any copying takes: all octets from here to there, and nothing else.
    Floor,
    /// The same with a second copy in a file.
    FloorAndFile,
}

impl Contestant {
    /// Its name in the tables and in its accounts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::InterImap => "InterIMAP",
            Self::Mbsync => "mbsync",
            Self::Floor => "floor",
            Self::FloorAndFile => "floor+file",
        }
    }

    /// Whether it is no program that mirrors, but what any has to take.
    #[must_use]
    pub fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorAndFile)
    }
}

/// From where to where.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) source_port: u16,
    pub(super) source_user: String,
    pub(super) target_port: u16,
    pub(super) target_user: String,
}

/// A contestant, configured in a folder of its own, that can be run again and again.
#[derive(Debug)]
pub(super) struct Work {
    contestant: Contestant,
    folder: PathBuf,
    words: Vec<String>,
}

impl Work {
    pub(super) fn prepare(contestant: Contestant, folder: &Path, ends: &Ends) -> Result<Self> {
        let write = |name: &str, text: String| -> Result<String> {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            Ok(path.to_string_lossy().into_owned())
        };
        let words = match contestant {
            Contestant::Ours => {
                let password = write("password", PASSWORD.to_owned())?;
                let config = write("agent.toml", agent_toml(folder, ends, &password))?;
                let agent = built("release")?
                    .join("maildreieck-agent")
                    .to_string_lossy()
                    .into_owned();
                vec![
                    agent,
                    "mirror".to_owned(),
                    "--config".to_owned(),
                    config,
                    "--json".to_owned(),
                    "--quiet".to_owned(),
                ]
            }
            Contestant::InterImap => {
                let config = write("interimap.conf", interimap_conf(folder, ends))?;
                vec![
                    "interimap".to_owned(),
                    "--quiet".to_owned(),
                    format!("--config={config}"),
                ]
            }
            Contestant::Floor | Contestant::FloorAndFile => {
                let ports = [ends.source_port, ends.target_port].map(|port| port.to_string());
                let [source, target] = ports;
                let program = std::env::current_exe()?.to_string_lossy().into_owned();
                let (from, to) = (ends.source_user.clone(), ends.target_user.clone());
                let mut words = vec![program, "copy".to_owned(), source, from, target, to];
                if contestant == Contestant::FloorAndFile {
                    words.push(folder.join("copy").to_string_lossy().into_owned());
                }
                words
            }
            Contestant::Mbsync => {
                std::fs::create_dir(folder.join("state"))?;
                let config = write("mbsyncrc", mbsyncrc(folder, ends))?;
                vec![
                    "mbsync".to_owned(),
                    "--config".to_owned(),
                    config,
                    "--quiet".to_owned(),
                    "--all".to_owned(),
                ]
            }
        };
        Ok(Self {
            contestant,
            folder: folder.to_owned(),
            words,
        })
    }

    pub(super) fn run(&self) -> Result<Measured> {
        program(&self.words, &self.folder.join("log"), &[0], &[])
    }

    /// Proves with our agent what it has mirrored; with what it said and how long the parts took.
    pub(super) fn prove(&self) -> Result<(Measured, String)> {
        let words = self.words.iter().map(|word| match word.as_str() {
            "mirror" => "reconcile".to_owned(),
            _ => word.clone(),
        });
        let words: Vec<String> = words.collect();
        let log = self.folder.join("log");
        let asks = ("MAILDREIECK_LOG", "warn,maildreieck_agent::cycle::tx=debug");
        let measured = program(&words, &log, &[0], &[asks])?;
        Ok((measured, std::fs::read_to_string(&log)?))
    }

    /// What our store says it holds is what the source holds.
    pub(super) fn check_store(&self, wanted: &Account) -> Result<()> {
        if self.contestant != Contestant::Ours {
            return Ok(());
        }
        let agent = self.words.first().context("no program")?;
        let text = output(
            Command::new(agent)
                .args(["store", "--config"])
                .arg(self.folder.join("agent.toml"))
                .args(["stats", "--json"]),
        )?;
        let stats: serde_json::Value =
            serde_json::from_str(&text).context("reading the store's figures")?;
        let (messages, bytes) = (sum(&stats, "messages"), sum(&stats, "bytes"));
        if messages != wanted.messages() {
            bail!(
                "our store holds {messages} messages ({bytes} bytes), the source {}: {text}",
                wanted.messages()
            );
        }
        Ok(())
    }
}

/// The number under `key` at the top, else the sum over `triangles`.
fn sum(stats: &serde_json::Value, key: &str) -> u64 {
    let number = |value: &serde_json::Value| value.get(key).and_then(serde_json::Value::as_u64);
    number(stats).unwrap_or_else(|| {
        let triangles = stats.get("triangles").and_then(serde_json::Value::as_array);
        triangles
            .map(|list| list.iter().filter_map(number).sum())
            .unwrap_or(0)
    })
}

fn agent_toml(folder: &Path, ends: &Ends, password: &str) -> String {
    let corner = |name: &str, port: u16, user: &str| {
        format!(
            "[triangle.{name}]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nusername = \"{user}\"\npassword_file = \"{password}\"\n"
        )
    };
    format!(
        "data_dir = \"{}/data\"\n\n[[triangle]]\nname = \"bench\"\ntx = {{ cron = \"0 18 * * *\", timezone = \"Europe/Berlin\" }}\n\n{}\n{}",
        folder.display(),
        corner("primary", ends.source_port, &ends.source_user),
        corner("standby", ends.target_port, &ends.target_user)
    )
}

fn interimap_conf(folder: &Path, ends: &Ends) -> String {
    let side = |name: &str, port: u16, user: &str| {
        format!(
            "[{name}]\ntype = imap\nhost = 127.0.0.1\nport = {port}\nusername = {user}\npassword = {PASSWORD}\nSTARTTLS = NO\n\
             compress = NO\n"
        )
    };
    format!(
        "database = {}/interimap.db\n\n{}\n{}",
        folder.display(),
        side("local", ends.target_port, &ends.target_user),
        side("remote", ends.source_port, &ends.source_user)
    )
}

fn mbsyncrc(folder: &Path, ends: &Ends) -> String {
    let side = |name: &str, port: u16, user: &str| {
        format!(
            "IMAPAccount {name}\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass {PASSWORD}\nSSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore {name}\nAccount {name}\n\n"
        )
    };
    format!(
        "{}{}Channel all\nFar :source:\nNear :target:\nPatterns *\nSync Pull\nCreate Near\nCopyArrivalDate yes\nSyncState {}/state/\n",
        side("source", ends.source_port, &ends.source_user),
        side("target", ends.target_port, &ends.target_user),
        folder.display()
    )
}
