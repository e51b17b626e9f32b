//! The command line of `cargo xtask`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use xtask::task;
use xtask::task::bench::{Contestant, Size};

/// The one door to the project's tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up and run everything that must hold before a change goes in.
    Test {
        /// Run only the tests whose name contains one of these (skips formatting, lints and documents).
        #[arg(long = "filter", value_name = "TEXT", num_args = 1..)]
        filters: Vec<String>,
    },
    /// Check import directions and the other house rules.
    Tidy,
    /// Write api-spec/openapi.json from the server's own description.
    Openapi {
        /// Compare only; fail if it differs.
        #[arg(long)]
        check: bool,
    },
    /// Show the whole product in small: two hosters, a server, an agent, a verdict, a report.
    Demo {
        /// End after the verdict, with its exit code: 0 balanced, 3 not.
        #[arg(long)]
        once: bool,
    },
    /// Measure against InterIMAP and mbsync, and what a Tx takes.
    Bench {
        /// Small corpora, one run each.
        #[arg(long, conflicts_with = "full")]
        quick: bool,
        /// With 50,000 messages as well, and a Tx of 200,000.
        #[arg(long)]
        full: bool,
        /// Who takes part.
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Contestant::Ours, Contestant::InterImap, Contestant::Mbsync, Contestant::Floor, Contestant::FloorAndFile])]
        only: Vec<Contestant>,
        /// Only scenarios whose name contains this, such as "40 ms".
        #[arg(long, default_value = "")]
        scenario: String,
    },
    /// Run one program and write down what it took (used by bench).
    #[command(hide = true)]
    Measure {
        /// Where to write the figures.
        figures: PathBuf,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Copy an account and nothing else (used by bench).
    #[command(hide = true)]
    Copy {
        /// The source's loopback port.
        source: u16,
        /// Its user.
        source_user: String,
        /// The target's loopback port.
        target: u16,
        /// Its user.
        target_user: String,
        /// Where a second copy is written.
        file: Option<PathBuf>,
    },
    /// Start a Dovecot to try things by hand; it ends with standard input.
    Lab {
        /// German folder names and `/` between folders.
        #[arg(long)]
        german: bool,
        /// How many messages to seed into the mailbox `info`.
        #[arg(long, default_value_t = 0)]
        messages: u64,
        /// How far away it is: milliseconds of a round trip, without TLS.
        #[arg(long, default_value_t = 0)]
        round_trip: u64,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { filters } => task::test::test(&filters).map(|()| ExitCode::SUCCESS),
        Task::Tidy => task::tidy::tidy().map(|()| ExitCode::SUCCESS),
        Task::Openapi { check } => task::openapi::openapi(check).map(|()| ExitCode::SUCCESS),
        Task::Demo { once } => task::demo::demo(once),
        Task::Bench {
            quick,
            full,
            only,
            scenario,
        } => {
            let size = match (quick, full) {
                (true, _) => Size::Quick,
                (_, true) => Size::Full,
                _ => Size::Usual,
            };
            task::bench::bench(size, &only, &scenario).map(|()| ExitCode::SUCCESS)
        }
        Task::Measure { figures, words } => {
            task::bench::child(&figures, &words).map(|()| ExitCode::SUCCESS)
        }
        Task::Copy {
            source,
            source_user,
            target,
            target_user,
            file,
        } => task::bench::copy(source, &source_user, target, &target_user, file.as_deref())
            .map(|()| ExitCode::SUCCESS),
        Task::Lab {
            german,
            messages,
            round_trip,
        } => {
            let round_trip = Duration::from_millis(round_trip);
            task::lab::dovecot(german, messages, round_trip).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("\nerror: {error:#}");
        ExitCode::FAILURE
    })
}
