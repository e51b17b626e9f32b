//! The program: the command line, the log, and the way out. All else is the library's.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use maildreieck_server::config::cli::Cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("MAILDREIECK_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,tokio_cron_scheduler=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    // Fails only if something installed one before; nothing did.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = actix_web::rt::System::new().block_on(maildreieck_server::run::run(cli));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("maildreieck-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
