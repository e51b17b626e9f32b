//! `cargo xtask lab`: a part of the laboratory to try things by hand, until its standard input ends or Ctrl-C.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::Result;

use crate::lab::{Corpus, DelayLine, Dovecot, Options};

/// Starts a Dovecot, with a seeded mailbox `info` of `messages`, `round_trip` away (without TLS), and says where it is.
///
/// # Errors
/// If it will not start.
pub fn dovecot(german: bool, messages: u64, round_trip: Duration) -> Result<()> {
    let options = if german {
        Options::german()
    } else {
        Options::default()
    };
    let server = Dovecot::start(options)?;
    if messages > 0 {
        server.seed("info", &Corpus::business(1, messages))?;
    }
    let line = DelayLine::start(server.imap_port(), round_trip)?;
    let port = if round_trip.is_zero() {
        server.imap_port()
    } else {
        line.port()
    };
    println!(
        "imap {} imaps {} ca {} (any user, password {})",
        port,
        server.imaps_port(),
        server.ca_file().display(),
        crate::lab::dovecot::PASSWORD
    );
    std::io::stdout().flush()?;
    // A server's watchdog cleans up if we are killed meanwhile.
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    Ok(())
}
