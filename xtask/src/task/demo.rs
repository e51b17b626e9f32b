//! `cargo xtask demo`: the whole product in small. Two hosters, a server, an agent, an owner who gets his report.
//!
//! Everything lies in temporary folders and on loopback ports, and is gone at Ctrl-C or, with `--once`, after the
//! verdict. The agent and the server are the built programs, told what a person would tell them.

mod http;
mod mime;
mod product;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use super::{cargo, root, run, say, setup};
use crate::lab::daemon::until;
use crate::lab::{Corpus, Dovecot, Options, Sink};
use http::Api;
use product::{Agent, OWNER, PROVIDER, Server, USER};

/// How many ordinary messages the primary holds, besides the hostile ones.
const MESSAGES: u64 = 400;
/// From setting up the triangle to its Tx.
const TX_AHEAD: Duration = Duration::from_secs(20);

/// Runs the demonstration; with `once` to the verdict and no further.
///
/// # Errors
/// If something is missing, cannot be built, or does not come about.
pub fn demo(once: bool) -> Result<ExitCode> {
    setup::packages(&[setup::BUILD, setup::MAIL])?;
    setup::smtp()?;
    say("building server and agent");
    run(cargo()
        .args([
            "build",
            "--locked",
            "--package",
            "maildreieck-server",
            "--package",
            "maildreieck-agent",
            "--bins",
        ])
        .current_dir(root()?))?;
    let stopped = Stop::watch()?;

    say("two hosters, and the owner's mailbox");
    let primary = Dovecot::start(Options::default())?;
    primary.seed(USER, &Corpus::shaped(1, MESSAGES, 6, false))?;
    primary
        .judge(USER)?
        .append_all(Corpus::hostile().messages(), |place| {
            primary.folder_name(place)
        })?;
    let standby = Dovecot::start(Options::german())?;
    standby.judge(USER)?.logout()?;
    let sink = Sink::start()?;
    eprintln!(
        "    primary  abc.example    imaps 127.0.0.1:{} (`.` between folders, Sent)",
        primary.imaps_port()
    );
    eprintln!(
        "    standby  abc-a.example  imaps 127.0.0.1:{} (`/` between folders, Gesendet)",
        standby.imaps_port()
    );
    eprintln!(
        "    owner    {OWNER}  smtp 127.0.0.1:{}, imap 127.0.0.1:{}",
        sink.smtp_port(),
        sink.imap_port()
    );

    say("the server, on SQLite");
    let mut server = Server::start(sink.smtp_port())?;
    eprintln!("    {} (documentation at /docs), {PROVIDER}", server.url());
    let mut api = Api::connect(server.port(), || {
        stopped.check()?;
        server.check()
    })?;
    api.login(PROVIDER, product::PASSWORD)?;

    say("tenant, site, accounts, triangle, enrolment code");
    let placed = set_up(&mut api, &primary, &standby)?;
    eprintln!("    Tx of triangle `info` due at {}", placed.due);

    say("the agent enrols and stays");
    let mut agent = Agent::prepare(&primary, &standby)?;
    agent.enrol(&server.url(), &placed.code)?;
    agent.start()?;

    say("waiting for the Tx");
    let tx = wait_for_tx(&api, &placed.tenant, &mut agent, &stopped)?;
    agent.stop();
    let verdict = show(&tx)?;

    say("the report as the owner got it");
    let mails = sink
        .wait_for(OWNER, 1, Duration::from_secs(90))
        .with_context(|| format!("the server said:\n{}", server.log()))?;
    let mail = mails.first().context("no mail")?;
    println!("{}", mime::readable(mail));

    let code = if verdict == "balanced" {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    };
    if !once {
        by_hand(&primary, &standby, &server, &agent);
        until(Duration::MAX, "Ctrl-C", || Ok(stopped.is_set()))?;
        say("cleaning up");
    }
    Ok(code)
}

struct Placed {
    tenant: String,
    code: String,
    due: String,
}

fn set_up(api: &mut Api, primary: &Dovecot, standby: &Dovecot) -> Result<Placed> {
    let tenant = api.create(
        "create_tenant",
        &[],
        &json!({ "name": "ABC Angelbedarf", "timezone": "Europe/Berlin", "language": "de", "report_to": [OWNER] }),
    )?;
    let within = [("tenant_id", tenant.as_str())];
    let site = api.create("create_site", &within, &json!({ "name": "Büro" }))?;
    let account = |name: &str, server: &Dovecot| {
        api.create(
            "create_account",
            &within,
            &json!({ "name": name, "host": "localhost", "port": server.imaps_port(), "tls": "implicit", "username": USER }),
        )
    };
    let primary_account = account("abc.example", primary)?;
    let standby_account = account("abc-a.example", standby)?;
    let due = whole_minute((SystemTime::now() + TX_AHEAD).into());
    api.create(
        "create_triangle",
        &within,
        &json!({
            "name": "info",
            "site_id": site,
            "primary_account_id": primary_account,
            "standby_account_id": standby_account,
            "tx": { "cron": due.format("%-M %-H %-d %-m *").to_string(), "timezone": "UTC" },
        }),
    )?;
    let issued = api.call(
        "create_enrolment_code",
        &[("tenant_id", tenant.as_str()), ("site_id", site.as_str())],
        Some(&json!({ "site_id": site })),
    )?;
    let code = issued
        .get("code")
        .and_then(Value::as_str)
        .context("the answer holds no code")?
        .to_owned();
    Ok(Placed {
        tenant,
        code,
        due: due.format("%H:%M UTC").to_string(),
    })
}

/// The next instant, or this one, at which a cron line can be due.
fn whole_minute(instant: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
    let into = instant.timestamp().rem_euclid(60);
    let wait = if into == 0 { 0 } else { 60 - into };
    instant + chrono::TimeDelta::seconds(wait)
}

fn wait_for_tx(api: &Api, tenant: &str, agent: &mut Agent, stopped: &Stop) -> Result<Value> {
    let mut found = None;
    until(
        TX_AHEAD + Duration::from_secs(180),
        "the Tx's report",
        || {
            stopped.check()?;
            agent.check()?;
            let runs = api.call("list_runs", &[("tenant_id", tenant)], None)?;
            let items = runs
                .get("items")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            found = items
                .into_iter()
                .find(|run| run.pointer("/report/kind").and_then(Value::as_str) == Some("tx"));
            Ok(found.is_some())
        },
    )
    .with_context(|| format!("the agent said:\n{}", agent.log()))?;
    found.context("no Tx")
}

/// Prints what the Tx found, and gives its verdict.
fn show(run: &Value) -> Result<String> {
    let Some(verdict) = run.get("verdict").and_then(Value::as_str) else {
        bail!(
            "the Tx came to no verdict: {}",
            run.get("report").unwrap_or(run)
        );
    };
    println!("\nverdict: {verdict}\n");
    println!(
        "{:<9} {:>9} {:>14}  set hash",
        "corner", "messages", "bytes"
    );
    for corner in ["primary", "standby", "store"] {
        let figure = |name: &str| {
            run.pointer(&format!("/report/certificate/corners/{corner}/{name}"))
                .cloned()
                .unwrap_or_default()
        };
        println!(
            "{corner:<9} {:>9} {:>14}  {}",
            figure("messages"),
            figure("bytes"),
            figure("set_hash")
                .as_str()
                .and_then(|hash| hash.get(..16))
                .unwrap_or("-")
        );
    }
    let differences = run
        .pointer("/report/certificate/differences")
        .and_then(Value::as_array);
    for difference in differences.into_iter().flatten() {
        println!("difference: {difference}");
    }
    Ok(verdict.to_owned())
}

fn by_hand(primary: &Dovecot, standby: &Dovecot, server: &Server, agent: &Agent) {
    let config = agent.config();
    let (program, config) = (agent.program().display(), config.display());
    println!(
        "
Everything runs until Ctrl-C; the agent has been stopped so that you can be it. In another terminal:

  # a message vanishes from the standby; the proof names it (exit 3), and `once` puts it back
  doveadm -c {standby} expunge -u {USER} mailbox INBOX 1
  {program} reconcile --config {config}; echo $?
  {program} once --config {config}; echo $?

  # new mail at the primary
  printf 'Subject: neu\\n\\nHallo\\n' | doveadm -c {primary} save -u {USER} -m INBOX
  {program} once --config {config}; echo $?

  # what the store holds, and the mail in it without us
  {program} store --config {config} stats
  {program} export --config {config} --triangle info --to /tmp/eml --format eml

  # the server: {url}/docs, as {PROVIDER} with the password {password}
  # logs and data: {server} and {agent}",
        standby = standby.conf_path().display(),
        primary = primary.conf_path().display(),
        url = server.url(),
        password = product::PASSWORD,
        server = server.folder().display(),
        agent = agent.folder().display(),
    );
}

/// Whether somebody asked us to stop: Ctrl-C, or the signal of a service manager.
#[derive(Debug, Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on those signals set this instead of killing us; the second one kills (the watchdogs then clean up).
    fn watch() -> Result<Self> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        // Threads and their masks are inherited; programs that we start get a clean mask from std.
        signals.thread_block().context("holding back signals")?;
        let stop = Self(Arc::new(AtomicBool::new(false)));
        let told = stop.clone();
        std::thread::spawn(move || {
            while signals.wait().is_ok() {
                if told.0.swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
            }
        });
        Ok(stop)
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error once somebody asked.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_set() {
            bail!("stopped on request");
        }
        Ok(())
    }
}
