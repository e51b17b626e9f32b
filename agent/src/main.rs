//! The program of the agent. Its commands join it when the cycle does.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("maildreieck-agent: no command is built yet; see CHANGELOG.md for what stands");
    ExitCode::from(2)
}
