//! `audit verify` on an export: records a second, on one core, in memory that does not grow with the chain.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use super::measure::{self, Measured};
use super::{float, median};
use crate::lab::daemon::Folder;
use crate::task::{built, cargo, root, run, say};

/// What a scenario is called, to choose it.
pub(super) const NAME: &str = "audit verify";

/// Builds the server, verifies a chain of that many records, and prints a row.
pub(super) fn measure(records: u64, runs: usize) -> Result<()> {
    say(&format!("{NAME}, {records} records"));
    run(cargo()
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "maildreieck-server",
        ])
        .current_dir(root()?))?;
    let folder = Folder::create("bench")?;
    let export = folder.path().join("audit.ndjson");
    write(&export, records)?;
    let server = built("release")?.join("maildreieck-server");
    let words = [
        server.as_path(),
        Path::new("audit"),
        Path::new("verify"),
        Path::new("--export"),
        export.as_path(),
    ]
    .map(|word| word.display().to_string());
    let log = folder.path().join("log");
    let runs = (0..runs).map(|_| measure::program(&words, &log, &[0], &[]));
    let runs: Vec<Measured> = runs.collect::<Result<_>>()?;
    let seconds = median(&runs, |m| m.seconds);
    println!(
        "\n{NAME} of an export of {records} records, medians of {}\n{:>8} {:>9} {:>7} {:>7}",
        runs.len(),
        "s",
        "records/s",
        "cpu s",
        "RSS MB"
    );
    println!(
        "{seconds:>8.2} {:>9.0} {:>7.2} {:>7.1}",
        float(records) / seconds,
        median(&runs, |m| m.cpu_seconds),
        median(&runs, |m| m.peak_megabytes)
    );
    Ok(())
}

/// A chain as the server exports one, its records as long as that of a new account.
fn write(path: &Path, records: u64) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let id = "0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d";
    let mut previous = "0".repeat(64);
    for seq in 1..=records {
        // Canonical: no space, keys in order.
        let record = format!(
            r#"{{"action":"account.create","actor":{{"id":"{id}","kind":"user"}},"at":"2026-11-24T12:00:00.000000Z","chain":"{id}","details":{{"host":"imap.abc.example","name":"abc.example","port":993,"tls":"implicit","username":"info@abc.example"}},"format":"maildreieck-audit/1","id":"{id}","object":{{"id":"{id}","kind":"account"}},"personal":[],"previous":"{previous}","request_id":"{id}","seq":{seq}}}"#
        );
        let hash = format!("{:x}", Sha256::digest(&record));
        writeln!(file, r#"{{"hash":"{hash}","record":{record}}}"#)?;
        previous = hash;
    }
    file.flush()?;
    Ok(())
}
