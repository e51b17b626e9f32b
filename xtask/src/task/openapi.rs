//! `cargo xtask openapi`: the server's own description of its API, committed as `api-spec/openapi.json`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{built, cargo, root, run};
use crate::lab::daemon::output;

/// Builds the server, then writes the document or, with `check`, compares it with the committed one.
///
/// # Errors
/// If the server cannot be built, or the document differs.
pub fn openapi(check_only: bool) -> Result<()> {
    run(cargo()
        .args([
            "build",
            "--package",
            "maildreieck-server",
            "--bin",
            "maildreieck-server",
        ])
        .current_dir(root()?))?;
    let built = built("debug")?;
    if check_only {
        return check(&built);
    }
    let path = root()?.join("api-spec/openapi.json");
    std::fs::write(&path, document(&built)?)
        .with_context(|| format!("writing {}", path.display()))?;
    eprintln!("    wrote api-spec/openapi.json");
    Ok(())
}

/// Compares the committed document with that of the server in `built`.
///
/// # Errors
/// If they differ, with the first line that does.
pub fn check(built: &Path) -> Result<()> {
    let path = root()?.join("api-spec/openapi.json");
    let committed =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let current = document(built)?;
    if committed == current {
        return Ok(());
    }
    let line = committed
        .lines()
        .zip(current.lines())
        .position(|(old, new)| old != new);
    let line = line.unwrap_or_else(|| committed.lines().count().min(current.lines().count())) + 1;
    bail!(
        "api-spec/openapi.json is not what the server says, from line {line} on: run `cargo xtask openapi` and commit it"
    )
}

fn document(built: &Path) -> Result<String> {
    let mut text = output(Command::new(built.join("maildreieck-server")).arg("openapi"))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
