//! The program: reads the command line and the configuration, calls the rooms that do the work, and says
//! how it went.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use ed25519_dalek::VerifyingKey;
use maildreieck_agent::cli::{Cli, Command, Common, StoreWork};
use maildreieck_agent::clock;
use maildreieck_agent::config::{Config, TriangleConfig};
use maildreieck_agent::cycle::Site;
use maildreieck_agent::cycle::run::{self, Stop};
use maildreieck_agent::cycle::tx::Asked;
use maildreieck_agent::error::AgentError;
use maildreieck_agent::export;
use maildreieck_agent::ledger::Ledger;
use maildreieck_agent::progress::Progress;
use maildreieck_agent::report::check::Checked;
use maildreieck_agent::report::document::{Document, TriangleReport};
use maildreieck_agent::report::{chain, terminal, verify};
use maildreieck_agent::server_api::{Connection, ServerApi};
use maildreieck_agent::store::{self, Store, StoreKey};
use maildreieck_api_spec::vocabulary::Depth;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// Threads for what waits for the disc or a name server. The store and the ledger's log take one each.
const BESIDE: usize = 2;

/// Has all threads share one heap. The system's allocator gives each its own and keeps what was freed in each: 51 MB
/// where 43 MB do, in a first mirror of 5,000 messages, and no faster. And has it give larger blocks back at once, not
/// keep ever larger ones: with the share of the ledger's cache and of what is listed, 46 MB in place of 59 MB with 50,000.
#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "there is no other way to say it to this allocator; called before there is a second thread"
)]
fn share_one_heap() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, mallopt};
    // SAFETY: it sets numbers of the allocator, and no other thread is there to allocate meanwhile.
    unsafe {
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_MMAP_THRESHOLD, 128 << 10);
    }
}

#[cfg(not(target_env = "gnu"))]
fn share_one_heap() {}

/// Has a write beyond the size that the system allows a file fail like any other, not kill the program.
#[expect(
    unsafe_code,
    reason = "how a signal is met is set by an unsafe call; called before there is a second thread"
)]
fn meet_size_limits() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: it is ignored; no handler runs.
    let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

fn main() -> ExitCode {
    share_one_heap();
    meet_size_limits();
    // What SQLite and others write beside our files is nobody else's business either.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let Cli { common, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Whoever reads the document gets one, whatever was wrong; --help and --version are none.
            if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
                let message = error.to_string();
                println!(
                    "{}",
                    serde_json::json!({ "error": { "message": message.trim_end() } })
                );
            }
            error.exit();
        }
    };
    log_to_stderr(common.quiet);
    // A panic's text can quote what a server sent; where it happened is enough.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::debug!(place, "a panic was contained");
    }));
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return fail(
            &common,
            &AgentError::Internal("a TLS provider was installed twice"),
            1,
        );
    }
    if let Command::Verify {
        certificates,
        key,
        server_key,
    } = &command
    {
        return match verify_all(&common, certificates, key, server_key) {
            Ok(code) => ExitCode::from(code),
            Err(Failed { text, code }) => fail(&common, &text, code),
        };
    }
    let Some(file) = &common.config else {
        return fail(
            &common,
            &"--config FILE is missing: name the configuration",
            2,
        );
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BESIDE)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&common, &error, 1),
    };
    // Whoever ends the program from here on gets its document.
    let listen = async { Stop::new() };
    let stop = match ends_in_good_order(&command).then(|| runtime.block_on(listen)) {
        Some(Err(error)) => return fail(&common, &error, 1),
        Some(Ok(stop)) => Some(stop),
        None => None,
    };
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => return fail(&common, &error, 2),
    };
    match runtime.block_on(work(command, &common, &config, stop)) {
        Ok(code) => ExitCode::from(code),
        Err(Failed { text, code }) => fail(&common, &text, code),
    }
}

/// A command that could not be carried out.
struct Failed {
    text: String,
    code: u8,
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            text: error.to_string(),
            code: 1,
        }
    }
}

fn fail(common: &Common, text: &impl std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("maildreieck-agent: {text}");
    if common.json {
        // It has been said on standard error.
        let _ = say(
            common,
            &serde_json::json!({ "error": { "message": text.to_string() } }),
            String::new,
        );
    }
    ExitCode::from(code)
}

fn log_to_stderr(quiet: bool) {
    let default = if quiet { "warn" } else { "info" };
    let filter =
        EnvFilter::try_from_env("MAILDREIECK_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    use std::io::IsTerminal as _;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_target(false)
        .init();
}

/// Whether a command brings what it is at to its end when it is told to stop. The others may be ended anywhere.
fn ends_in_good_order(command: &Command) -> bool {
    matches!(
        command,
        Command::Mirror { .. } | Command::Reconcile { .. } | Command::Once | Command::Run
    )
}

async fn work(
    command: Command,
    common: &Common,
    config: &Config,
    stop: Option<Stop>,
) -> Result<u8, Failed> {
    match command {
        Command::Mirror { triangle, dry_run } => {
            let work = Work::Mirror { dry_run };
            cycle(config, common, triangle.as_deref(), work, stop).await
        }
        Command::Reconcile { triangle, depth } => {
            let work = Work::Reconcile(depth.into());
            cycle(config, common, triangle.as_deref(), work, stop).await
        }
        Command::Once => cycle(config, common, None, Work::Once, stop).await,
        Command::Run => {
            check_files(config)?;
            run::run(config, common.quiet, Stop::or_new(stop)?).await?;
            Ok(0)
        }
        Command::Confirm { triangle, halt } => confirm(config, common, &triangle, &halt),
        Command::Enrol {
            server,
            code,
            replace,
        } => enrol(config, common, server, &code, replace).await,
        Command::Export {
            triangle,
            to,
            with_vanished,
            ..
        } => {
            let selection = export::Selection {
                tombstones: with_vanished,
            };
            export_mail(config, common, &triangle, &to, selection)
        }
        Command::Store { work } => store_work(config, common, work),
        Command::Verify {
            certificates,
            key,
            server_key,
        } => verify_all(common, &certificates, &key, &server_key),
    }
}

fn check_files(config: &Config) -> Result<(), Failed> {
    config.check_files().map_err(|e| Failed {
        text: e.to_string(),
        code: 2,
    })
}

/// What a cycle does.
#[derive(Clone, Copy)]
enum Work {
    Mirror { dry_run: bool },
    Reconcile(Depth),
    Once,
}

async fn cycle(
    config: &Config,
    common: &Common,
    triangle: Option<&str>,
    work: Work,
    stop: Option<Stop>,
) -> Result<u8, Failed> {
    let mut stop = Stop::or_new(stop)?;
    let chosen = config.selected(triangle).map_err(|e| Failed {
        text: e.to_string(),
        code: 2,
    })?;
    check_files(config)?;
    let site = Site::open(config, common.quiet)?;
    let mut document = Document::default();
    for triangle in chosen {
        let mut report = TriangleReport::new(triangle);
        let result = {
            let mut work = std::pin::pin!(one(&site, triangle, work, &mut report));
            tokio::select! {
                result = &mut work => result,
                () = stop.told() => {
                    site.stop();
                    eprintln!("maildreieck-agent: told to stop; what is being sent is brought to its end (once more: at once)");
                    tokio::select! {
                        result = work => result,
                        () = stop.told() => Err(AgentError::Interrupted),
                    }
                }
            }
        };
        if let Err(error) = result {
            report.mirrored = site.sent();
            report.take_error(&error);
            eprintln!("maildreieck-agent: {}: {error}", triangle.name);
        }
        document.triangles.push(report);
    }
    let language = terminal::language(common.lang.map(Into::into));
    say(common, &document, || terminal::text(&document, language))?;
    Ok(document.exit_code())
}

async fn one(
    site: &Site,
    triangle: &TriangleConfig,
    work: Work,
    report: &mut TriangleReport,
) -> Result<(), AgentError> {
    match work {
        Work::Mirror { dry_run } => {
            report.take_mirrored(&site.mirror(triangle, dry_run).await?);
        }
        Work::Reconcile(depth) => {
            let asked = Asked::by_hand(triangle, depth, clock::now());
            let proof = site.reconcile_for_people(triangle, &asked, None);
            let (proof, heads) = proof.await?;
            report.take_proof(&proof, heads);
        }
        Work::Once => once(site, triangle, report).await?,
    }
    Ok(())
}

async fn once(
    site: &Site,
    triangle: &TriangleConfig,
    report: &mut TriangleReport,
) -> Result<(), AgentError> {
    let began_at = clock::now();
    let mirrored = site.mirror(triangle, false).await?;
    report.take_mirrored(&mirrored);
    let asked = Asked::by_hand(triangle, Depth::Ledger, began_at);
    let proof = site.reconcile_for_people(triangle, &asked, Some(&mirrored));
    let (proof, heads) = proof.await?;
    report.take_proof(&proof, heads);
    Ok(())
}

/// One JSON document, or text.
fn say(
    common: &Common,
    document: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failed> {
    use std::io::{ErrorKind, Write as _};
    let text = if common.json {
        serde_json::to_string(document)?
    } else {
        text()
    };
    let mut out = std::io::stdout();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        // A reader that has gone away is no failure of the work.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failed {
            text: format!(
                "standard output cannot be written, and what was to be said is lost; the work is done: {error}"
            ),
            code: 1,
        }),
        _ => Ok(()),
    }
}

fn confirm(config: &Config, common: &Common, triangle: &str, halt: &str) -> Result<u8, Failed> {
    config.selected(Some(triangle)).map_err(|e| Failed {
        text: e.to_string(),
        code: 2,
    })?;
    config.prepare_data_dir()?;
    // The ledger alone: a service that runs has the store.
    let mut ledger = Ledger::open(&config.ledger_path())?;
    if !ledger.confirm_halt(triangle, halt, clock::now_s())? {
        let text = match ledger.halt(triangle)? {
            Some(there) => format!(
                "triangle '{triangle}' has no halt '{halt}'; what is held back now is '{}'",
                there.id
            ),
            None => format!("triangle '{triangle}': nothing is held back"),
        };
        return Err(Failed { text, code: 2 });
    }
    say(
        common,
        &serde_json::json!({ "triangle": triangle, "halt": halt, "confirmed": true }),
        || format!("{triangle}: released {halt}; the next mirror run carries out exactly this"),
    )?;
    Ok(0)
}

async fn enrol(
    config: &Config,
    common: &Common,
    server: String,
    code: &str,
    replace: bool,
) -> Result<u8, Failed> {
    config.prepare_data_dir()?;
    let api = ServerApi::new(Connection {
        url: server,
        ca_file: config.server_ca_file.clone(),
        data_dir: config.data_dir.clone(),
    })
    .map_err(|e| Failed {
        text: e.to_string(),
        code: if e.bad_usage() { 2 } else { 1 },
    })?;
    let mut line = String::new();
    let code = if code == "-" {
        std::io::stdin().read_line(&mut line)?;
        line.trim()
    } else {
        code
    };
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let enrolled = api
        .enrol(code, env!("CARGO_PKG_VERSION"), &platform, replace)
        .await?;
    say(common, &enrolled, || {
        format!(
            "enrolled as agent {} of site {}\nfingerprints, to compare with what the server shows:\n  signing key  {}\n  sealing key  {}",
            enrolled.enrolment.agent_id,
            enrolled.enrolment.site_id,
            enrolled.signing_key_sha256,
            enrolled.sealing_key_sha256
        )
    })?;
    Ok(0)
}

/// Needs no configuration: whoever has certificates and a public key can check them.
fn verify_all(
    common: &Common,
    certificates: &[PathBuf],
    key: &[PathBuf],
    server_key: &[PathBuf],
) -> Result<u8, Failed> {
    let unusable = |path: &Path, detail: &dyn std::fmt::Display| Failed {
        text: format!("{}: {detail}", path.display()),
        code: 2,
    };
    let keys = |files: &[PathBuf]| -> Result<Vec<VerifyingKey>, Failed> {
        let mut keys = Vec::new();
        for path in files {
            let text = std::fs::read_to_string(path).map_err(|e| unusable(path, &e))?;
            let none = "holds no Ed25519 public key: PEM as in agent.pub, or base64url";
            keys.extend(chain::read_keys(&text).ok_or_else(|| unusable(path, &none))?);
        }
        Ok(keys)
    };
    let (keys, server_keys) = (keys(key)?, keys(server_key)?);
    let files = verify::files(certificates).map_err(|(path, e)| unusable(&path, &e))?;
    let verified = verify::check(&files, &keys, &server_keys);
    say(common, &verified, || verified.to_string())?;
    Ok(u8::from(!verified.sound))
}

/// The key of the store, which must be there: these commands begin none.
fn key(config: &Config) -> Result<StoreKey, Failed> {
    Ok(StoreKey::of_store(
        &config.store_key_file,
        &config.store_dir(),
    )?)
}

/// How many files in the way are named in words; all of them are in the document.
const NAMED_FILES: usize = 20;

fn export_mail(
    config: &Config,
    common: &Common,
    triangle: &str,
    to: &std::path::Path,
    selection: export::Selection,
) -> Result<u8, Failed> {
    config.selected(Some(triangle)).map_err(|e| Failed {
        text: e.to_string(),
        code: 2,
    })?;
    let store = Store::open_read_only(&config.store_dir(), &key(config)?)?;
    let progress = Progress::towards_end(common.quiet, "exporting");
    let exported = export::eml(&store, triangle, to, selection, |done, total| {
        progress.at(done, total);
    });
    progress.end();
    let exported = exported?;
    say(common, &exported, || {
        let in_the_way = exported.differing.iter().take(NAMED_FILES);
        let in_the_way: String = in_the_way
            .map(|path| format!("\nin the way, left as it is: {}", path.display()))
            .collect();
        let left_out = match exported.tombstones_left_out {
            0 => String::new(),
            count => format!(
                ", {count} left out because they vanished on the primary (--with-vanished writes them too)"
            ),
        };
        format!(
            "{} messages written ({} bytes), {} there already, {} unreadable, {} files in the way{left_out}; list in {}{in_the_way}",
            exported.written,
            exported.bytes,
            exported.present,
            exported.unreadable.len(),
            exported.differing.len(),
            exported.manifest.display()
        )
    })?;
    Ok(u8::from(!exported.is_complete()))
}

fn store_work(config: &Config, common: &Common, work: StoreWork) -> Result<u8, Failed> {
    let dir = config.store_dir();
    match work {
        StoreWork::Check => {
            let mut store = Store::open(&dir, &key(config)?)?;
            let progress = Progress::towards_end(common.quiet, "reading the store");
            let report = store.check(clock::now_s(), |done, total| progress.at(done, total));
            progress.end();
            let ledger = config.ledger_path();
            let ledger = ledger.exists().then(|| Ledger::open(&ledger));
            let names = config.triangles.iter().map(|t| t.name.as_str());
            let checked = Checked::new(report?, &store, names, ledger.and_then(Result::ok))?;
            say(common, &checked, || checked.to_string())?;
            Ok(if checked.report.is_good() { 0 } else { 3 })
        }
        StoreWork::RebuildIndex => {
            let progress = Progress::towards_end(common.quiet, "reading the segments");
            let recovery = store::rebuild_index(&dir, &key(config)?, |done, total| {
                progress.at(done, total);
            });
            progress.end();
            let recovery = recovery?;
            say(common, &recovery, || recovery.to_string())?;
            Ok(if recovery.is_whole() { 0 } else { 3 })
        }
        StoreWork::Stats => {
            let store = Store::open_read_only(&dir, &key(config)?)?;
            let stats = store.stats()?;
            say(common, &stats, || {
                format!(
                    "{} messages, {} tombstones, {} distinct contents ({} damaged), {} bytes in {} bytes of {} segments; index {} bytes",
                    stats.messages,
                    stats.tombstones,
                    stats.contents,
                    stats.damaged,
                    stats.raw_bytes,
                    stats.segment_bytes,
                    stats.segments,
                    stats.index_bytes
                )
            })?;
            Ok(0)
        }
    }
}
