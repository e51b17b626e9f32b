//! The tasks behind `cargo xtask`, one file each. They call cargo and the built programs; they import neither.

pub mod bench;
pub mod demo;
pub mod lab;
pub mod openapi;
pub mod setup;
pub mod test;
pub mod tidy;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// The workspace's root.
///
/// # Errors
/// If xtask was built without one.
pub fn root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .map(Path::to_owned)
        .context("xtask's folder has no parent")
}

/// The cargo that runs us.
#[must_use]
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where cargo puts what it builds in `profile` (`debug`, `release`).
///
/// # Errors
/// If the workspace's root is not known.
pub fn built(profile: &str) -> Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => PathBuf::from(path),
        None => root()?.join("target"),
    };
    Ok(root()?.join(target).join(profile))
}

/// Says what is about to happen.
pub fn say(text: &str) {
    eprintln!("\n==> {text}");
}

/// Runs a command with its output passed through.
///
/// # Errors
/// If it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    eprintln!("    {shown}");
    let status = command
        .stdin(std::process::Stdio::null())
        .status()
        .with_context(|| format!("running {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut words = vec![
        Path::new(command.get_program())
            .file_name()
            .unwrap_or(command.get_program())
            .to_string_lossy()
            .into_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
