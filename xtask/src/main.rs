//! The command line of `cargo xtask`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::task;

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
    /// Start a Dovecot to try things by hand; it ends with standard input.
    Lab {
        /// German folder names and `/` between folders.
        #[arg(long)]
        german: bool,
        /// How many messages to seed into the mailbox `info`.
        #[arg(long, default_value_t = 0)]
        messages: u64,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { filters } => task::test::test(&filters).map(|()| ExitCode::SUCCESS),
        Task::Tidy => task::tidy::tidy().map(|()| ExitCode::SUCCESS),
        Task::Openapi { check } => task::openapi::openapi(check).map(|()| ExitCode::SUCCESS),
        Task::Lab { german, messages } => {
            task::lab::dovecot(german, messages).map(|()| ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("\nerror: {error:#}");
        ExitCode::FAILURE
    })
}
