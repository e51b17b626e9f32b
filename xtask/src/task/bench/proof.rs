//! A Tx at ledger depth: what proving that nothing differs costs, by the number of messages.
//!
//! Nobody else does this, so there is nobody to compare with: the figure to look at is seconds per 50,000 messages,
//! which stays the same where the cost is linear. The mailbox's messages are a few hundred octets each, since a
//! listing does not depend on their length. Two proofs come before those that are measured: the first reads back all
//! that the mirror wrote, the second is the first of the steady state, in which nothing is new since the last Tx and a
//! thirtieth of each corner (of the store at least 64 MiB or 5,000 messages) is read back. What that takes is said beside the whole.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::contestant::{Contestant, Ends, Work};
use super::measure::Measured;
use super::{float, median};
use crate::lab::daemon::Folder;
use crate::lab::{Corpus, Dovecot, Options};
use crate::task::say;

/// How many messages are proved, and how often.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) messages: u64,
    pub(super) runs: usize,
}

/// One proof: what it took as a whole, and the milliseconds of its parts as the agent's log tells them.
struct Proved {
    took: Measured,
    parts: BTreeMap<String, f64>,
}

/// Seeds, mirrors, proves, and prints a table.
pub(super) fn measure(scenario: &Scenario) -> Result<()> {
    say(&format!("{}: seeding", scenario.name));
    let primary = Dovecot::start(Options::default())?;
    let standby = Dovecot::start(Options::default())?;
    let (messages, bytes) = primary.seed("source", &Corpus::small(6, scenario.messages))?;
    let folder = Folder::create("bench")?;
    let ends = Ends {
        source_port: primary.imap_port(),
        source_user: "source".to_owned(),
        target_port: standby.imap_port(),
        target_user: "target".to_owned(),
    };
    let work = Work::prepare(Contestant::Ours, folder.path(), &ends)?;
    let mirrored = work.run()?;
    eprintln!("    mirrored: {:.2} s", mirrored.seconds);
    let first = prove(&work, messages)?;
    prove(&work, messages)?;
    let runs = (0..scenario.runs).map(|_| prove(&work, messages));
    let runs: Vec<Proved> = runs.collect::<Result<_>>()?;
    print(scenario, bytes, &first, &runs);
    Ok(())
}

fn prove(work: &Work, messages: u64) -> Result<Proved> {
    let (took, said) = work.prove()?;
    let mut documents = said.lines().filter(|line| line.starts_with('{'));
    let document = documents.next().context("the agent said nothing")?;
    check(document, messages)?;
    let parts = said.lines().filter_map(part).collect();
    eprintln!("    proved: {:.2} s", took.seconds);
    Ok(Proved { took, parts })
}

/// A balanced proof of all messages in all corners, or no figure.
fn check(document: &str, messages: u64) -> Result<()> {
    let document: serde_json::Value =
        serde_json::from_str(document).context("reading the agent's document")?;
    let said = |path: &str| document.pointer(&format!("/triangles/0/{path}"));
    let verdict = said("verdict").and_then(serde_json::Value::as_str);
    let counts = ["primary", "standby", "store"].map(|corner| {
        said(&format!("corners/{corner}/messages")).and_then(serde_json::Value::as_u64)
    });
    if verdict != Some("balanced") || counts != [Some(messages); 3] {
        bail!("not balanced over {messages} messages in each corner: {verdict:?}, {counts:?}");
    }
    Ok(())
}

/// A line of the agent's log that says how long a part took.
fn part(line: &str) -> Option<(String, f64)> {
    let (_, rest) = line.split_once("part=\"")?;
    let (name, rest) = rest.split_once('"')?;
    let (_, number) = rest.split_once("took_ms=")?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((name.to_owned(), digits.parse().ok()?))
}

fn print(scenario: &Scenario, bytes: u64, first: &Proved, runs: &[Proved]) {
    let took: Vec<Measured> = runs.iter().map(|run| run.took).collect();
    let part = |name: &str| {
        let of = |run: &Proved| run.parts.get(name).copied().unwrap_or(f64::NAN) / 1000.0;
        let mut sorted: Vec<f64> = runs.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let seconds = median(&took, |m| m.seconds);
    let read_back = part("reading back");
    let messages = float(scenario.messages);
    println!(
        "\n{} ({:.0} MB of mail), listed afresh in three corners, medians of {}",
        scenario.name,
        float(bytes) / 1e6,
        runs.len()
    );
    println!(
        "{:<24} {:>8} {:>7} {:>9} {:>10} {:>7}  verdict",
        "", "s", "cpu s", "msg/s", "s/50,000", "RSS MB"
    );
    let row = |name: &str, seconds: f64, cpu: String, memory: String| {
        println!(
            "{name:<24} {seconds:>8.2} {cpu:>7} {:>9.0} {:>10.2} {memory:>7}  balanced",
            messages / seconds,
            seconds * 50_000.0 / messages,
        );
    };
    let figures = |took: &[Measured]| {
        let cpu = format!("{:.2}", median(took, |m| m.cpu_seconds));
        (cpu, format!("{:.1}", median(took, |m| m.peak_megabytes)))
    };
    let (cpu, memory) = figures(&[first.took]);
    row("first, all read back", first.took.seconds, cpu, memory);
    let (cpu, memory) = figures(&took);
    row("steady, a 30th read back", seconds, cpu, memory);
    let none = || "-".to_owned();
    row(
        "  without reading back",
        seconds - read_back,
        none(),
        none(),
    );
    println!(
        "  of it: listing {:.2} s, knowing all {:.2} s, reading back {read_back:.2} s, comparing {:.2} s, certifying {:.2} s",
        part("listing"),
        part("knowing all"),
        part("comparing"),
        part("certifying"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_by_its_line() {
        let line =
            r#"2026-11-30T21:00:00Z DEBUG a part of a Tx is done part="reading back" took_ms=412"#;
        assert_eq!(part(line), Some(("reading back".to_owned(), 412.0)));
        assert_eq!(part("2026-11-30T21:00:00Z  INFO done"), None);
    }

    #[test]
    fn only_what_balances_over_all_messages_counts() {
        let said = |verdict: &str, store: u64| {
            let of = |messages: u64| serde_json::json!({ "messages": messages });
            let corners =
                serde_json::json!({ "primary": of(5), "standby": of(5), "store": of(store) });
            serde_json::json!({ "triangles": [{ "verdict": verdict, "corners": corners }] })
                .to_string()
        };
        assert!(check(&said("balanced", 5), 5).is_ok());
        assert!(check(&said("balanced", 4), 5).is_err());
        assert!(check(&said("unbalanced", 5), 5).is_err());
        assert!(check("{}", 5).is_err());
    }
}
