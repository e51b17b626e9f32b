//! `run`: stay, fire each schedule when it is due, tell the server. The schedule is the last one known:
//! without the server the work goes on, and its reports wait in the spool.

use std::cell::RefCell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use maildreieck_api_spec::agents::{AssignedAccount, Heartbeat};
use maildreieck_api_spec::certificate::UNANCHORED;
use maildreieck_api_spec::ids::RunId;
use maildreieck_api_spec::runs::{HaltFigures, RunKind, RunOutcome, RunReport, Volume};
use maildreieck_api_spec::vocabulary::Depth;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Site;
use super::duty::{Due, Duties, Duty};
use super::tx::Asked;
use super::watch::Watch;
use crate::clock;
use crate::config::{AccountConfig, Config, TriangleConfig};
use crate::error::AgentError;
use crate::report::chain::Chain;
use crate::report::spool::Spool;
use crate::report::{Mirrored, Proof};
use crate::server_api::{ApiError, Connection, KnownAssignment, ServerApi};

/// How often the server is asked, before jitter.
const POLL: Duration = Duration::from_secs(30);
/// How long a Tx waits for the server's nonce.
const NONCE_WAIT: Duration = Duration::from_secs(10);
/// How long the work sleeps at most: a clock that was set is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What work and talk with the server share.
struct Shared {
    known: Option<KnownAssignment>,
    reachable: bool,
    last_cycle_at: Option<DateTime<Utc>>,
}

/// The server's part, where the agent is enrolled: it goes on beside the work, so that a server that is away
/// delays nothing.
struct Server<'a> {
    api: ServerApi,
    config: &'a Config,
    spool: &'a Spool,
    chain: &'a Chain,
    shared: RefCell<Shared>,
    /// The assignment is another.
    assigned: Notify,
    /// A report waits.
    spooled: Notify,
}

/// Stays until it is told to stop (SIGTERM, SIGINT).
///
/// # Errors
/// What keeps the agent from working at all: data folder, key, store. Failures of single runs are reported
/// and logged, and the next run tries again.
pub async fn run(config: &Config, quiet: bool, mut stop: Stop) -> Result<(), AgentError> {
    let site = Site::open(config, quiet)?;
    let spool = Spool::open(&config.spool_dir()).map_err(AgentError::config)?;
    let server = connect(config, &spool, site.chain())?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let talk = async {
        match &server {
            Some(server) => server.talk().await,
            None => std::future::pending().await,
        }
    };
    tracing::info!(
        triangles = config.triangles.len(),
        enrolled = server.is_some(),
        "running; SIGTERM or Ctrl-C ends it"
    );
    tokio::select! {
        () = stop.told() => {
            tracing::info!("told to stop");
            Ok(())
        }
        () = talk => Ok(()),
        ended = labour(config, &site, server.as_ref(), &spool) => ended,
    }
}

/// Fires what is due, for ever.
async fn labour(
    config: &Config,
    site: &Site,
    server: Option<&Server<'_>>,
    spool: &Spool,
) -> Result<(), AgentError> {
    let mut duties = Duties::none(clock::now());
    arrange(config, server, &mut duties)?;
    let watch = Watch::default();
    let mut watching = watch.all(duties.continuous()).boxed_local();
    loop {
        let now = clock::now();
        if let Some((duty, due)) = duties.take(now, &watch.take()) {
            let offline = server.is_some_and(|s| !s.shared.borrow().reachable);
            let nonce = nonce_for(server, duty, due).await;
            let reported = fire(site, duty, due, now, offline, &nonce).await;
            if let Some(server) = server {
                server.shared.borrow_mut().last_cycle_at = Some(clock::now());
                if let Some((run_id, report)) = reported {
                    spool.add(run_id, &report).map_err(AgentError::config)?;
                    server.spooled.notify_one();
                }
            }
            continue;
        }
        let sleep = duties
            .next()
            .and_then(|at| (at - now).to_std().ok())
            .unwrap_or(LONGEST_SLEEP);
        let assigned = async {
            match server {
                Some(server) => server.assigned.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => {}
            () = assigned => {
                arrange(config, server, &mut duties)?;
                watching = watch.all(duties.continuous()).boxed_local();
            }
            () = watch.changed() => {}
            () = &mut watching => {}
        }
    }
}

/// The signals that end the program in good order.
pub struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new() -> Result<Self, AgentError> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen =
            |kind| signal(kind).map_err(|_| AgentError::Internal("signals cannot be listened for"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Who listens already, or listens from now on.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn or_new(stop: Option<Self>) -> Result<Self, AgentError> {
        stop.map_or_else(Self::new, Ok)
    }

    /// Waits for one.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn connect<'a>(
    config: &'a Config,
    spool: &'a Spool,
    chain: &'a Chain,
) -> Result<Option<Server<'a>>, AgentError> {
    let enrolment = ServerApi::enrolment(&config.data_dir).map_err(AgentError::config)?;
    let Some(enrolment) = enrolment else {
        return Ok(None);
    };
    let api = ServerApi::new(Connection {
        url: enrolment.server.clone(),
        ca_file: config.server_ca_file.clone(),
        data_dir: config.data_dir.clone(),
    })
    .map_err(AgentError::config)?;
    let known = ServerApi::known_assignment(&config.data_dir).map_err(AgentError::config)?;
    Ok(Some(Server {
        api,
        config,
        spool,
        chain,
        shared: RefCell::new(Shared {
            known,
            reachable: false,
            last_cycle_at: None,
        }),
        assigned: Notify::new(),
        spooled: Notify::new(),
    }))
}

/// What is to be done from now on. A triangle of the server's is worked on with the accounts of the local
/// file alone: the server cannot send mail, or a password, to another host.
fn arrange(
    config: &Config,
    server: Option<&Server<'_>>,
    duties: &mut Duties,
) -> Result<(), AgentError> {
    let now = clock::now();
    let known = server.and_then(|s| s.shared.borrow().known.clone());
    let file = config.path.display();
    let mut arranged = Vec::new();
    if let Some(known) = &known {
        for theirs in &known.assignment.triangles {
            let name = &theirs.name;
            let Some(ours) = config.triangles.iter().find(|t| t.name == *name) else {
                tracing::warn!(
                    "the server assigns triangle '{name}', but {file} has no [[triangle]] of that name, with its passwords"
                );
                continue;
            };
            if !same(&ours.primary, &theirs.primary) || !same(&ours.standby, &theirs.standby) {
                tracing::warn!(
                    "triangle '{name}': host, port, tls or username on the server are not those of {file}; it is left alone until both agree"
                );
                continue;
            }
            if ours.mirror.is_some() && theirs.mirror.is_none() {
                tracing::warn!(
                    "triangle '{name}': the server gives no mirror schedule, and its word replaces that of {file}"
                );
            }
            let mut triangle = ours.clone();
            triangle.standby_prefix.clone_from(&theirs.standby_prefix);
            triangle.exclude_folders.clone_from(&theirs.exclude_folders);
            arranged.push(Duty::new(triangle, Some(theirs), now)?);
        }
        if arranged.is_empty() {
            tracing::warn!(
                "this agent is enrolled, and the server assigns its site no triangle that {file} has: nothing is done (the schedules of the file do not count any more)"
            );
        }
    } else {
        // Until the first assignment has come the file counts.
        for triangle in &config.triangles {
            arranged.push(Duty::new(triangle.clone(), None, now)?);
        }
    }
    duties.replace(arranged);
    if known.is_none() && duties.is_idle() {
        tracing::warn!("nothing is scheduled: {file} has no tx or mirror for a triangle");
    }
    Ok(())
}

fn same(ours: &AccountConfig, theirs: &AssignedAccount) -> bool {
    ours.host.eq_ignore_ascii_case(&theirs.host)
        && ours.port == theirs.port
        && ours.tls == theirs.tls
        && ours.username == theirs.username
}

/// The server's nonce for a Tx that begins; a server that is away delays it a moment only.
async fn nonce_for(server: Option<&Server<'_>>, duty: &Duty, due: Due) -> String {
    let unanchored = || UNANCHORED.to_owned();
    let (Some(server), Some(_), Some(schedule_id)) = (server, duty.id, due.schedule_id) else {
        return unanchored();
    };
    if due.kind != RunKind::Tx {
        return unanchored();
    }
    let run_id = RunId::of_schedule(schedule_id, due.at);
    match tokio::time::timeout(NONCE_WAIT, server.api.run_nonce(run_id)).await {
        Ok(Ok(nonce)) => nonce,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the Tx goes on without the server's nonce");
            unanchored()
        }
        Err(_) => {
            tracing::warn!("the server is silent; the Tx goes on without its nonce");
            unanchored()
        }
    }
}

/// Does what is due of a triangle, and says what to report.
async fn fire(
    site: &Site,
    duty: &Duty,
    due: Due,
    now: DateTime<Utc>,
    offline: bool,
    nonce: &str,
) -> Option<(RunId, RunReport)> {
    // Not before it was due, though the clock may be set back at this moment.
    let started_at = clock::now().max(now);
    let kind = due.kind;
    tracing::info!(
        triangle = duty.triangle.name,
        kind = kind.as_str(),
        "a run begins"
    );
    let name = duty
        .id
        .map_or_else(|| duty.triangle.name.clone(), |id| id.to_string());
    let mut mirrored = Mirrored::default();
    let asked = Asked {
        triangle_id: &name,
        depth: Depth::Ledger,
        nonce,
        began_at: started_at,
    };
    let result = work(site, &duty.triangle, kind, &asked, &mut mirrored).await;
    match &result {
        Ok(Some(proof)) => {
            tracing::info!(triangle = duty.triangle.name, verdict = %proof.verdict, "proved")
        }
        Ok(None) => tracing::info!(
            triangle = duty.triangle.name,
            messages = mirrored.volume.messages,
            "mirrored"
        ),
        Err(error) => tracing::error!(triangle = duty.triangle.name, %error, "the run failed"),
    }
    if let Some(halt) = &mirrored.halt {
        tracing::warn!(
            triangle = duty.triangle.name,
            halt = halt.id,
            messages = halt.messages,
            of = halt.of,
            "HELD BACK by the guard: so many messages vanished or need putting back; new mail still flows; 'confirm --halt' releases it"
        );
    }
    let (triangle_id, schedule_id, due_at) = (duty.id?, due.schedule_id?, due.at);
    let halt = mirrored.halt.as_ref().map(|h| HaltFigures {
        id: h.id.clone(),
        messages: h.messages,
        of: h.of,
    });
    let outcome = match (&result, &halt) {
        (Err(_), _) => RunOutcome::Failed,
        (Ok(_), Some(_)) => RunOutcome::HeldBack,
        (Ok(_), None) => RunOutcome::Done,
    };
    let report = RunReport {
        triangle_id,
        kind,
        schedule_id: Some(schedule_id),
        due_at: Some(due_at),
        started_at,
        finished_at: clock::now(),
        offline,
        outcome,
        failure: result.as_ref().err().map(AgentError::failure),
        // No message is of less than an octet, whatever a server made of one.
        mirrored: Volume {
            bytes: mirrored.volume.bytes.max(mirrored.volume.messages),
            ..mirrored.volume
        },
        halt,
        certificate: result.ok().flatten().map(|proof| proof.certificate),
    };
    Some((RunId::of_schedule(schedule_id, due_at), report))
}

async fn work(
    site: &Site,
    triangle: &TriangleConfig,
    kind: RunKind,
    asked: &Asked<'_>,
    mirrored: &mut Mirrored,
) -> Result<Option<Proof>, AgentError> {
    let result = site.mirror(triangle, false).await;
    // What was sent is said also of a mirror that failed.
    mirrored.volume = site.sent();
    *mirrored = result?;
    if kind == RunKind::Mirror {
        return Ok(None);
    }
    Ok(Some(site.reconcile(triangle, asked, Some(mirrored)).await?))
}

impl Server<'_> {
    /// Signs of life, assignments and reports, for ever. Nothing here fails: the server may be away.
    async fn talk(&self) {
        loop {
            let wait = match self.exchange().await {
                Ok(wait) => {
                    if !self.reached(true) {
                        tracing::info!("the server answers");
                    }
                    wait
                }
                Err(error) => {
                    self.reached(false);
                    let what = match error.refuses_agent() {
                        true => "the server REFUSES this agent and gets no reports",
                        false => "the server was not reached",
                    };
                    tracing::warn!(%error, "{what}; the work goes on by the last assignment known");
                    POLL
                }
            };
            self.deliver().await;
            let jitter = u64::from(u32::from_le_bytes(random())) % 1000 * wait.as_secs();
            let until = Instant::now() + wait + Duration::from_millis(jitter);
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => break,
                    () = self.spooled.notified() => self.deliver().await,
                }
            }
        }
    }

    /// One sign of life; how long to wait before the next.
    async fn exchange(&self) -> Result<Duration, ApiError> {
        let free_disk_bytes = nix::sys::statvfs::statvfs(&self.config.data_dir).map_or(0, |s| {
            s.fragment_size().saturating_mul(s.blocks_available())
        });
        let waiting = self.spool.waiting().map_or(0, |w| w.len());
        let last_cycle_at = self.shared.borrow().last_cycle_at;
        let heartbeat = Heartbeat {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            sent_at: clock::now(),
            last_cycle_at,
            spooled_runs: u64::try_from(waiting).unwrap_or(u64::MAX),
            store_bytes: bytes_in(&self.config.store_dir()),
            free_disk_bytes,
        };
        let answer = self.api.heartbeat(&heartbeat).await?;
        let known = self.shared.borrow().known.clone();
        if known.as_ref().map(|k| k.assignment.version) != Some(answer.assignment_version) {
            let etag = known.and_then(|k| k.etag);
            if let Some(known) = self.api.assignment(etag.as_deref()).await? {
                ServerApi::keep_assignment(&self.config.data_dir, &known)?;
                self.shared.borrow_mut().known = Some(known);
                self.assigned.notify_one();
            }
        }
        Ok(Duration::from_secs(answer.poll_after_s.clamp(1, 600)))
    }

    /// Notes whether the server answers; whether it did before.
    fn reached(&self, reachable: bool) -> bool {
        std::mem::replace(&mut self.shared.borrow_mut().reachable, reachable)
    }

    async fn deliver(&self) {
        match self.api.deliver(self.spool, self.chain).await {
            Ok(delivery) => {
                if let Some(error) = delivery.stopped {
                    self.reached(false);
                    tracing::warn!(%error, left = delivery.left, "reports wait for the server");
                }
                if delivery.refused > 0 {
                    tracing::error!(
                        refused = delivery.refused,
                        "the server refused reports; they lie in the spool's folder 'refused'"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "the spool cannot be read"),
        }
    }
}

/// Octets of the files in a folder.
fn bytes_in(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|m| m.len())
        .sum()
}

fn random() -> [u8; 4] {
    let mut octets = [0; 4];
    // Without randomness there is no jitter, and nothing else is lost by it.
    let _ = getrandom::fill(&mut octets);
    octets
}
