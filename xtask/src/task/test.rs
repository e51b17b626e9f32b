//! `cargo xtask test`: everything that must hold before a change goes in, on a machine that has nothing yet.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{built, cargo, openapi, root, run, say, setup, tidy};
use crate::lab::daemon::until;
use crate::lab::{Cluster, ports, postgres};

/// Runs everything; with `filters` (of cargo-nextest) only the tests that match.
///
/// # Errors
/// With the first thing that does not hold.
pub fn test(filters: &[String]) -> Result<()> {
    let start = Instant::now();
    setup::packages(&[setup::BUILD, setup::MAIL, setup::DATABASE, setup::PYTHON])?;
    setup::smtp()?;
    setup::courier()?;
    setup::nextest()?;
    let temporary = Temporary::create()?;

    if filters.is_empty() {
        say("formatting");
        run(workspace(&["fmt", "--all", "--check"])?.current_dir(root()?))?;
        say("house rules (cargo xtask tidy)");
        tidy::tidy()?;
        say("lints");
        run(&mut workspace(&[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ])?)?;
        say("building");
        run(&mut workspace(&[
            "build",
            "--locked",
            "--workspace",
            "--all-targets",
        ])?)?;
        say("the committed OpenAPI document");
        openapi::check(&built("debug")?)?;
    }

    say("starting PostgreSQL for all tests");
    let cluster = {
        // The cluster's folder, too, must be among those that are looked for in the end.
        let cluster = temporary.cluster()?;
        eprintln!("    {}", cluster.url());
        cluster
    };
    say("tests");
    run(workspace(&["nextest", "run", "--locked", "--workspace"])?
        .args(filters)
        .env("TMPDIR", &temporary.path)
        .env(postgres::VARIABLE, cluster.url()))?;
    drop(cluster);
    temporary.finish()?;

    if filters.is_empty() {
        if setup::has_subcommand("deny") {
            say("dependencies: bans, licences, sources");
            run(&mut workspace(&[
                "deny",
                "--offline",
                "check",
                "bans",
                "licenses",
                "sources",
            ])?)?;
        } else {
            say("cargo-deny is not installed: bans, licences and sources were not checked");
        }
    }
    say(&format!("all well, after {} s", start.elapsed().as_secs()));
    Ok(())
}

fn workspace(args: &[&str]) -> Result<Command> {
    let mut command = cargo();
    command.args(args).current_dir(root()?);
    if std::env::var_os("CI").is_some() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    Ok(command)
}

/// The folder in which everything temporary of a test run lies, so that what is left behind can be seen.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn create() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("mdt-{:08x}", ports::unique() >> 32));
        std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
        Ok(Self { path })
    }

    fn cluster(&self) -> Result<Cluster> {
        Cluster::start_in(&self.path)
    }

    /// Waits until the laboratory's folders are gone, watchdogs included, and fails if some stay.
    fn finish(self) -> Result<()> {
        let left = || -> Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(&self.path)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name.starts_with("maildreieck-") {
                    names.push(name);
                }
            }
            Ok(names)
        };
        if until(
            Duration::from_secs(15),
            "the laboratory to be cleared",
            || Ok(left()?.is_empty()),
        )
        .is_err()
        {
            bail!(
                "the tests left behind in {}: {}",
                self.path.display(),
                left()?.join(", ")
            );
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
}
