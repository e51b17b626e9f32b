//! The program of the server. Its commands join it when the services and the API do.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("maildreieck-server: no command is built yet; see CHANGELOG.md for what stands");
    ExitCode::from(2)
}
