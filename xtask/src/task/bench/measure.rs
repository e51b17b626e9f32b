//! Time, processor time and peak memory of one program.
//!
//! The system tells a parent the peak memory of all its ended children together. So each program is run by a child of
//! ours (`cargo xtask` called with the hidden command `measure`) that has no other, and that writes down what it saw.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

/// What one run took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// From start to end.
    pub seconds: f64,
    /// Processor time, user and system.
    pub cpu_seconds: f64,
    /// Peak resident memory.
    pub peak_megabytes: f64,
    /// The exit code, -1 after a signal.
    pub exit: i32,
}

/// Runs a program to its end, with `variables` in its environment; its output goes to `log`. `exits` are the codes that
/// count as done.
///
/// # Errors
/// If it cannot be run, or ends otherwise; the end of its output is in the text.
pub fn program(
    words: &[String],
    log: &Path,
    exits: &[i32],
    variables: &[(&str, &str)],
) -> Result<Measured> {
    let out = std::fs::File::create(log)?;
    let figures = log.with_extension("figures");
    let status = Command::new(std::env::current_exe()?)
        .arg("measure")
        .arg(&figures)
        .args(words)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .context("measuring a program")?;
    let said = || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(15)..)
            .unwrap_or_default()
            .join("\n")
    };
    if !status.success() {
        bail!("{} could not be run: {}", words.join(" "), said());
    }
    let measured: Measured = serde_json::from_str(&std::fs::read_to_string(&figures)?)?;
    if !exits.contains(&measured.exit) {
        bail!(
            "{} ended with {}:\n{}",
            words.join(" "),
            measured.exit,
            said()
        );
    }
    Ok(measured)
}

/// The other side of [`program`]: runs `words` and writes the figures to `figures`.
///
/// # Errors
/// If the program cannot be started.
pub fn child(figures: &Path, words: &[String]) -> Result<()> {
    let (name, arguments) = words.split_first().context("nothing to measure")?;
    let start = Instant::now();
    let status = Command::new(name)
        .args(arguments)
        .status()
        .with_context(|| format!("starting {name}"))?;
    let seconds = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let measured = Measured {
        seconds,
        cpu_seconds: f64::from(i32::try_from(cpu / 1000)?) / 1000.0,
        peak_megabytes: f64::from(i32::try_from(usage.max_rss())?) / 1000.0,
        exit: status.code().unwrap_or(-1),
    };
    std::fs::write(figures, serde_json::to_string(&measured)?)
        .with_context(|| format!("writing {}", figures.display()))
}
