//! `cargo xtask bench`: the first mirror and the run after it, against InterIMAP and mbsync; Tx at ledger
//! depth; and `audit verify`.
//!
//! Everything runs between the same two Dovecots, interleaved, each run into an account of its own, and the median
//! counts: the ratios hold although the seconds are this machine's. Before a figure is printed, the judge has read both
//! accounts whole, and our store has told what it holds.

mod audit;
mod contestant;
mod floor;
mod measure;
mod proof;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{cargo, root, run, say, setup};
use crate::lab::daemon::Folder;
use crate::lab::delay::Traffic;
use crate::lab::{Account, Corpus, DelayLine, Dovecot, Options};
pub use contestant::Contestant;
use contestant::{Ends, Work};
pub use floor::copy;
pub use measure::{Measured, child};

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Small corpora, one run: shows that it works, proves nothing.
    Quick,
    /// The table's first two rows, and a Tx of 5,000 messages.
    Usual,
    /// With 50,000 messages, and a Tx of 50,000 and of 200,000.
    Full,
}

struct Scenario {
    name: &'static str,
    corpus: Corpus,
    round_trip: Duration,
    /// Octets a second that the line carries each way, where that is bounded.
    width: Option<u32>,
    /// Whether the servers can compress.
    compress: bool,
    runs: u32,
}

/// One contestant's figures in one scenario.
#[derive(Debug, Default)]
struct Figures {
    first: Vec<Measured>,
    again: Vec<Measured>,
    first_traffic: Option<Traffic>,
    again_traffic: Option<Traffic>,
    identical: bool,
}

const FAR: Duration = Duration::from_millis(40);

fn scenarios(size: Size) -> Vec<Scenario> {
    let near = Duration::ZERO;
    let mut list = match size {
        Size::Quick => vec![
            Scenario {
                name: "300 messages, loopback",
                corpus: Corpus::business(5, 300),
                round_trip: near,
                width: None,
                compress: true,
                runs: 1,
            },
            Scenario {
                name: "300 messages, 40 ms",
                corpus: Corpus::business(5, 300),
                round_trip: FAR,
                width: None,
                compress: true,
                runs: 1,
            },
        ],
        Size::Usual | Size::Full => vec![
            Scenario {
                name: "5,000 messages, loopback",
                corpus: Corpus::five_thousand(),
                round_trip: near,
                width: None,
                compress: true,
                runs: 3,
            },
            Scenario {
                name: "1,000 messages, 40 ms",
                corpus: Corpus::one_thousand(),
                round_trip: FAR,
                width: None,
                compress: true,
                runs: 3,
            },
            Scenario {
                name: "1,000 messages, 40 ms, 2 MB/s",
                corpus: Corpus::one_thousand(),
                round_trip: FAR,
                width: Some(2_000_000),
                compress: true,
                runs: 1,
            },
            Scenario {
                name: "1,000 messages, 40 ms, 2 MB/s, servers without COMPRESS",
                corpus: Corpus::one_thousand(),
                round_trip: FAR,
                width: Some(2_000_000),
                compress: false,
                runs: 1,
            },
        ],
    };
    if size == Size::Full {
        list.push(Scenario {
            name: "50,000 messages, loopback",
            corpus: Corpus::fifty_thousand(),
            round_trip: near,
            width: None,
            compress: true,
            runs: 3,
        });
    }
    list
}

fn proofs(size: Size) -> Vec<proof::Scenario> {
    let scenario = |name, messages, runs| proof::Scenario {
        name,
        messages,
        runs,
    };
    match size {
        Size::Quick => vec![scenario("Tx at ledger depth, 300 messages", 300, 1)],
        Size::Usual => vec![scenario("Tx at ledger depth, 5,000 messages", 5_000, 5)],
        Size::Full => vec![
            scenario("Tx at ledger depth, 5,000 messages", 5_000, 5),
            scenario("Tx at ledger depth, 50,000 messages", 50_000, 5),
            scenario("Tx at ledger depth, 200,000 messages", 200_000, 3),
        ],
    }
}

/// Measures and prints the tables, of scenarios whose name contains `only`.
///
/// # Errors
/// If something cannot be built or run, or a copy of ours is not identical.
pub fn bench(size: Size, contestants: &[Contestant], only: &str) -> Result<()> {
    setup::packages(&[setup::BUILD, setup::MAIL, setup::RIVALS])?;
    if contestants.contains(&Contestant::Ours) {
        say("building the agent (release)");
        run(cargo()
            .args([
                "build",
                "--locked",
                "--release",
                "--package",
                "maildreieck-agent",
            ])
            .current_dir(root()?))?;
    }
    let mut wanted = scenarios(size);
    wanted.retain(|scenario| scenario.name.contains(only));
    for scenario in wanted {
        let figures = measure_scenario(&scenario, contestants)?;
        print(&scenario, &figures);
    }
    let mut wanted = proofs(size);
    wanted
        .retain(|scenario| scenario.name.contains(only) && contestants.contains(&Contestant::Ours));
    wanted.iter().try_for_each(proof::measure)?;
    if !audit::NAME.contains(only) || !contestants.contains(&Contestant::Ours) {
        return Ok(());
    }
    match size {
        Size::Quick => audit::measure(10_000, 1),
        Size::Usual => audit::measure(200_000, 3),
        Size::Full => audit::measure(2_000_000, 3),
    }
}

struct Outcome {
    messages: u64,
    bytes: u64,
    figures: BTreeMap<Contestant, Figures>,
}

fn measure_scenario(scenario: &Scenario, contestants: &[Contestant]) -> Result<Outcome> {
    say(&format!("{}: seeding", scenario.name));
    let mut hoster = Options {
        fsync: true,
        ..Options::default()
    };
    if !scenario.compress {
        hoster.extra = vec!["protocol imap {\n  mail_plugins = quota imap_quota\n}".to_owned()];
    }
    let primary = Dovecot::start(hoster.clone())?;
    let standby = Dovecot::start(hoster)?;
    let (messages, bytes) = primary.seed("source", &scenario.corpus)?;
    // Reading everything once also fills Dovecot's own indexes, for all contestants alike.
    let wanted = primary.judge("source")?.account()?;
    let lines = if scenario.round_trip.is_zero() {
        None
    } else {
        let line = |port| match scenario.width {
            Some(width) => DelayLine::narrow(port, scenario.round_trip, width),
            None => DelayLine::start(port, scenario.round_trip),
        };
        Some([line(primary.imap_port())?, line(standby.imap_port())?])
    };
    let ports = match &lines {
        Some([source, target]) => [source.port(), target.port()],
        None => [primary.imap_port(), standby.imap_port()],
    };
    let mut figures: BTreeMap<Contestant, Figures> = BTreeMap::new();
    for number in 0..scenario.runs {
        for contestant in contestants {
            // What follows a `+` in a name is no part of the user to a server.
            let user = format!("{}-{number}", contestant.name().replace('+', "-"));
            let folder = Folder::create("bench")?;
            let ends = Ends {
                source_port: ports[0],
                source_user: "source".to_owned(),
                target_port: ports[1],
                target_user: user.clone(),
            };
            let work = Work::prepare(*contestant, folder.path(), &ends)?;
            // The account exists, with its special folders, as at a hoster.
            standby.judge(&user)?.logout()?;
            // What others have written is on the disc: nobody's fsync pays for it.
            nix::unistd::sync();
            let entry = figures.entry(*contestant).or_default();
            let (first, traffic) = counted(lines.as_ref(), || work.run())?;
            eprintln!("    {user}: {:.2} s", first.seconds);
            entry.first.push(first);
            entry.first_traffic = traffic;
            // It would copy all once more.
            let times = if contestant.is_floor() { 0 } else { 3 };
            for _ in 0..times {
                let (again, traffic) = counted(lines.as_ref(), || work.run())?;
                entry.again.push(again);
                entry.again_traffic = traffic;
            }
            let there = standby.judge(&user)?.account()?;
            entry.identical = judge(*contestant, &wanted, &there)?;
            work.check_store(&wanted)?;
        }
    }
    Ok(Outcome {
        messages,
        bytes,
        figures,
    })
}

fn counted<T>(
    lines: Option<&[DelayLine; 2]>,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Option<Traffic>)> {
    if let Some(lines) = lines {
        lines.iter().for_each(DelayLine::reset);
    }
    let done = work()?;
    let traffic = lines.map(|lines| {
        lines
            .iter()
            .map(DelayLine::traffic)
            .fold(Traffic::default(), |sum, one| Traffic {
                connections: sum.connections + one.connections,
                sent: sum.sent + one.sent,
                received: sum.received + one.received,
                turns: sum.turns + one.turns,
            })
    });
    Ok((done, traffic))
}

/// Ours and InterIMAP must have copied everything as it is; of mbsync, which adds a header, the number is asked for.
fn judge(contestant: Contestant, wanted: &Account, there: &Account) -> Result<bool> {
    let differences = wanted.differences(there);
    if differences.is_empty() {
        return Ok(true);
    }
    if contestant == Contestant::Ours || contestant.is_floor() {
        bail!(
            "the target of our own run is not identical:\n{}",
            differences.join("\n")
        );
    }
    if wanted.messages() != there.messages() {
        bail!(
            "{}: {} of {} messages arrived",
            contestant.name(),
            there.messages(),
            wanted.messages()
        );
    }
    Ok(false)
}

fn median(values: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(of).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn float(value: u64) -> f64 {
    // Above 2^32 in parts: exact enough for a table.
    let high = u32::try_from(value >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(value & 0xFFFF_FFFF).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

fn print(scenario: &Scenario, outcome: &Outcome) {
    let megabytes = float(outcome.bytes) / 1e6;
    println!(
        "\n{} ({megabytes:.0} MB), medians of {}",
        scenario.name, scenario.runs
    );
    println!(
        "{:<11} {:>8} {:>9} {:>7} {:>7} {:>7} {:>8}  {:>9} {:>7} {:>10}  {:<9}",
        "first",
        "s",
        "msg/s",
        "MB/s",
        "cpu s",
        "RSS MB",
        "ratio",
        "turns",
        "conn.",
        "MB on wire",
        "identical"
    );
    let base = |pick: fn(&Figures) -> &Vec<Measured>| {
        outcome
            .figures
            .get(&Contestant::InterImap)
            .map_or(f64::NAN, |figures| median(pick(figures), |m| m.seconds))
    };
    for (contestant, figures) in &outcome.figures {
        let seconds = median(&figures.first, |m| m.seconds);
        println!(
            "{:<11} {seconds:>8.2} {:>9.0} {:>7.1} {:>7.2} {:>7.1} {:>7.2}×  {:>9} {:>7} {:>10}  {:<9}",
            contestant.name(),
            float(outcome.messages) / seconds,
            megabytes / seconds,
            median(&figures.first, |m| m.cpu_seconds),
            median(&figures.first, |m| m.peak_megabytes),
            base(|figures| &figures.first) / seconds,
            shown(figures.first_traffic.map(|traffic| traffic.turns)),
            shown(figures.first_traffic.map(|traffic| traffic.connections)),
            shown(
                figures
                    .first_traffic
                    .map(|traffic| (traffic.sent + traffic.received) / 1_000_000)
            ),
            if figures.identical { "yes" } else { "no" },
        );
    }
    println!(
        "{:<11} {:>8} {:>9} {:>7} {:>7} {:>7} {:>8}  {:>9} {:>7}  {:<9}",
        "unchanged", "s", "", "", "cpu s", "RSS MB", "ratio", "turns", "conn.", "kB on the wire"
    );
    for (contestant, figures) in &outcome.figures {
        if figures.again.is_empty() {
            continue;
        }
        let seconds = median(&figures.again, |m| m.seconds);
        println!(
            "{:<11} {seconds:>8.3} {:>9} {:>7} {:>7.2} {:>7.1} {:>7.2}×  {:>9} {:>7}  {:<9}",
            contestant.name(),
            "",
            "",
            median(&figures.again, |m| m.cpu_seconds),
            median(&figures.again, |m| m.peak_megabytes),
            base(|figures| &figures.again) / seconds,
            shown(figures.again_traffic.map(|traffic| traffic.turns)),
            shown(figures.again_traffic.map(|traffic| traffic.connections)),
            shown(
                figures
                    .again_traffic
                    .map(|traffic| (traffic.sent + traffic.received) / 1000)
            ),
        );
    }
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
