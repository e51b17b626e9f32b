//! `audit verify`: on the database, as it stands, or on an export, anywhere. Streams: a chain of any length
//! takes the memory of a few hundred records.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::config::Config;
use crate::config::cli::{AuditVerify, Owner};
use crate::context::Ctx;
use crate::db::Db;
use crate::domain::chain::{Broken, Chain, Checkpoint};
use crate::error::Error;
use crate::service;
use crate::service::audit::Verified;

/// The exit code where a chain is broken.
const BROKEN: u8 = 3;

/// The longest line of an export that is looked at. A record is of some hundred octets; the longest that a
/// request can make is shorter.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Verifies what is asked for, says what was found, and gives the exit code.
///
/// # Errors
/// What cannot be read.
pub async fn verify(asked: AuditVerify) -> anyhow::Result<ExitCode> {
    let mut out = Report::new(asked.json);
    match &asked.export {
        Some(path) if path == Path::new("-") => {
            out.add(export(std::io::stdin().lock(), asked.checkpoint).context("standard input")?)?;
        }
        Some(path) => {
            let file = File::open(path)
                .map(|file| BufReader::with_capacity(256 * 1024, file))
                .with_context(|| format!("opening {}", path.display()))?;
            let found = export(file, asked.checkpoint);
            out.add(found.with_context(|| path.display().to_string())?)?;
        }
        None => database(asked, &mut out, Clock::System.now()).await?,
    }
    out.end()
}

fn export(mut lines: impl BufRead, wanted: Option<Checkpoint>) -> anyhow::Result<Verified> {
    let mut chain = Chain::new(None, wanted);
    let mut line = Vec::new();
    let outcome = loop {
        line.clear();
        let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if read.with_context(|| format!("reading behind record {}", chain.last().seq))? == 0 {
            break chain.end();
        }
        if let Err(broken) = chain.follow_line(&line) {
            break Err(broken);
        }
    };
    if chain.last().seq == 0 && outcome.is_ok() {
        bail!("it is empty: an export has at least the record that it was made");
    }
    Ok(Verified::of(&chain, outcome))
}

async fn database(asked: AuditVerify, out: &mut Report, now: DateTime<Utc>) -> anyhow::Result<()> {
    let config = Config::load(&asked.options)?;
    let db = Db::look(&config.database)?;
    let provider = Ctx::system("audit verify", now);
    let wanted = asked.checkpoint;
    match asked.tenant {
        Some(Owner::Provider) => out.add(one(&db, &provider, wanted).await?)?,
        Some(Owner::Tenant(tenant)) => {
            out.add(one(&db, &provider.for_tenant(tenant), wanted).await?)?;
        }
        None => {
            out.add(one(&db, &provider, None).await?)?;
            let mut below = None;
            loop {
                let tenants = service::audit::tenants(&db, &provider, below).await;
                let tenants = tenants.map_err(told).context("listing the tenants")?;
                if tenants.is_empty() {
                    break;
                }
                for tenant in tenants {
                    out.add(one(&db, &provider.for_tenant(tenant), None).await?)?;
                    below = Some(tenant);
                }
            }
        }
    }
    Ok(())
}

async fn one(db: &Db, ctx: &Ctx, wanted: Option<Checkpoint>) -> anyhow::Result<Verified> {
    let found = service::audit::verify(db, ctx, wanted).await;
    found.map_err(told).with_context(|| {
        format!(
            "reading the audit chain of {}",
            service::audit::chain_name(ctx)
        )
    })
}

/// On the server's own machine all may be told.
fn told(error: Error) -> anyhow::Error {
    match error.private {
        Some(why) => anyhow::anyhow!("{why}"),
        None => error.into(),
    }
}

/// What is said of the chains: a line each as they come, or a document at the end.
struct Report {
    json: bool,
    chains: Vec<Value>,
    broken: bool,
}

impl Report {
    fn new(json: bool) -> Self {
        Self {
            json,
            chains: Vec::new(),
            broken: false,
        }
    }

    fn add(&mut self, found: Verified) -> anyhow::Result<()> {
        self.broken |= found.broken.is_some();
        if self.json {
            self.chains.push(document(&found)?);
            return Ok(());
        }
        say(&line(&found))
    }

    fn end(self) -> anyhow::Result<ExitCode> {
        if self.json {
            let document = json!({"sound": !self.broken, "chains": self.chains});
            say(&format!("{document:#}"))?;
        }
        Ok(if self.broken {
            ExitCode::from(BROKEN)
        } else {
            ExitCode::SUCCESS
        })
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to standard output")
}

fn records(found: &Verified) -> u64 {
    found.last.as_ref().map_or(0, |last| last.seq)
}

fn name(found: &Verified) -> &str {
    match found.chain.as_str() {
        "" => "the export",
        name => name,
    }
}

fn line(found: &Verified) -> String {
    let mut line = match &found.broken {
        Some(broken) => format!("{}: BROKEN at {broken}; sound before it:", name(found)),
        None => format!("{}: sound,", name(found)),
    };
    let count = records(found);
    let noun = if count == 1 { "record" } else { "records" };
    // Writing to a string does not fail.
    let _written = write!(line, " {count} {noun}");
    if let Some(last) = &found.last {
        let _written = write!(line, ", checkpoint {last}");
    }
    line
}

fn document(found: &Verified) -> anyhow::Result<Value> {
    let broken = |broken: &Broken| {
        let mut value = serde_json::to_value(broken)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("reason".to_owned(), broken.fault.to_string().into());
        }
        anyhow::Ok(value)
    };
    Ok(json!({
        "chain": found.chain,
        "records": records(found),
        "checkpoint": found.last,
        "broken": found.broken.as_ref().map(broken).transpose()?,
    }))
}
