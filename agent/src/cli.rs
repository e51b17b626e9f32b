//! The command line: words and their help. What they do is in `main`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use maildreieck_api_spec::vocabulary::{Depth, Language};

/// Mirrors mail from the primary to the standby and into the store, and proves that the three hold the same.
#[derive(Debug, Parser)]
#[command(
    name = "maildreieck-agent",
    version,
    after_help = "Exit codes, the first that applies: 4 held back by the guard; 1 failed; 2 bad usage or configuration; \
                  3 done, but unbalanced or unproven; 0 done and balanced.\n\nExample: maildreieck-agent once --config /etc/maildreieck/agent.toml"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes, before its name or behind it.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The configuration file; it must be named.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// One JSON document on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, and warnings alone.
    #[arg(long, global = true)]
    pub quiet: bool,
    /// In which language `mirror`, `reconcile` and `once` report; else that of the environment (LC_ALL, LC_MESSAGES, LANG).
    #[arg(long, value_enum, value_name = "LANG", global = true)]
    pub lang: Option<Lang>,
}

/// The languages of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// German.
    De,
    /// English.
    En,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::De => Self::De,
            Lang::En => Self::En,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring standby and store up to the primary.
    #[command(
        after_help = "Example: maildreieck-agent mirror --config agent.toml --triangle info --dry-run"
    )]
    Mirror {
        /// This triangle alone.
        #[arg(long, value_name = "NAME")]
        triangle: Option<String>,
        /// Show what would be done; the exit code is that of a run.
        #[arg(long)]
        dry_run: bool,
    },
    /// Prove that the corners hold the same mail (Tx), changing nothing on a server.
    #[command(
        after_help = "Example: maildreieck-agent reconcile --config agent.toml --depth content"
    )]
    Reconcile {
        /// This triangle alone.
        #[arg(long, value_name = "NAME")]
        triangle: Option<String>,
        /// How deep to look.
        #[arg(long, value_enum, default_value_t = DepthArg::Ledger)]
        depth: DepthArg,
    },
    /// Mirror, then reconcile.
    #[command(after_help = "Example: maildreieck-agent once --config agent.toml --json")]
    Once,
    /// Stay, and follow the schedules; talk to the server, where the agent is enrolled.
    #[command(after_help = "Example: maildreieck-agent run --config /etc/maildreieck/agent.toml")]
    Run,
    /// Release what the guard holds back; the next mirror run carries it out.
    #[command(
        after_help = "Example: maildreieck-agent confirm --config agent.toml --triangle info --halt 0f3a5c7b9d1e2f40"
    )]
    Confirm {
        /// The triangle.
        #[arg(long, value_name = "NAME")]
        triangle: String,
        /// The halt, as the run named it.
        #[arg(long, value_name = "ID")]
        halt: String,
    },
    /// Join the server with a code from the provider.
    #[command(
        after_help = "Example: maildreieck-agent enrol --config agent.toml --server https://mail.provider.example --code ABCD-EFGH-…"
    )]
    Enrol {
        /// The server.
        #[arg(long, value_name = "URL")]
        server: String,
        /// The code, good once and for an hour; `-` reads it from standard input, where no process list shows it.
        #[arg(long, value_name = "CODE")]
        code: String,
        /// Give up the present enrolment and its keys.
        #[arg(long)]
        replace: bool,
    },
    /// Write a triangle's mail out of the store, readable without this program.
    ///
    /// Nothing is overwritten, and an export that was broken off goes on where it was. What vanished on the primary
    /// is left out, and counted; with `--with-vanished` it is written too.
    #[command(
        after_help = "Example: maildreieck-agent export --config agent.toml --triangle info --to /mnt/export --format eml"
    )]
    Export {
        /// The triangle.
        #[arg(long, value_name = "NAME")]
        triangle: String,
        /// The folder to write to.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The form.
        #[arg(long, value_enum)]
        format: Format,
        /// Also what vanished on the primary: the store keeps it, and the list says since when (`vanished_at`).
        #[arg(long)]
        with_vanished: bool,
    },
    /// Check certificates anywhere, without configuration, server or mail, and the chain that they make.
    #[command(
        after_help = "Exit codes: 0 all is sound; 1 something is wrong, and the first such thing is named; 2 a file cannot be read.\n\nExample: maildreieck-agent verify certificates/info --key agent.pub"
    )]
    Verify {
        /// Certificates, or folders with some.
        #[arg(value_name = "CERTIFICATE", required = true)]
        certificates: Vec<PathBuf>,
        /// A file with the agent's public key, or several.
        #[arg(long, value_name = "FILE")]
        key: Vec<PathBuf>,
        /// A file with the server's public key, or several.
        #[arg(long, value_name = "FILE")]
        server_key: Vec<PathBuf>,
    },
    /// Look after the store.
    #[command(after_help = "Example: maildreieck-agent store --config agent.toml check")]
    Store {
        /// What to do.
        #[command(subcommand)]
        work: StoreWork,
    },
}

/// Work on the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum StoreWork {
    /// Read and verify everything, and mend what needs no mail server.
    #[command(after_help = "Example: maildreieck-agent store --config agent.toml check --json")]
    Check,
    /// Make the index anew from the segments.
    ///
    /// Where segments are lost, cut or damaged, they are named, and what the present index still knows of their messages
    /// (folder, date, flags, when they vanished) is written to the segments again first: nothing known is forgotten.
    /// The next mirror run brings the octets back. The exit code is 3 where anything is missing.
    #[command(after_help = "Example: maildreieck-agent store --config agent.toml rebuild-index")]
    RebuildIndex,
    /// Say what is in it.
    #[command(after_help = "Example: maildreieck-agent store --config agent.toml stats --json")]
    Stats,
}

/// How deep a Tx looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DepthArg {
    /// Counts and bytes per folder.
    Volume,
    /// Everything listed afresh; what is new is read back, and a share of the rest.
    Ledger,
    /// The bytes of every message.
    Content,
}

impl From<DepthArg> for Depth {
    fn from(depth: DepthArg) -> Self {
        match depth {
            DepthArg::Volume => Self::Volume,
            DepthArg::Ledger => Self::Ledger,
            DepthArg::Content => Self::Content,
        }
    }
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One file a message.
    Eml,
}
