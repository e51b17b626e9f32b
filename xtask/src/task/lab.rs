//! `cargo xtask lab`: a part of the laboratory to try things by hand, until its standard input ends or Ctrl-C.

use std::io::{Read as _, Write as _};

use anyhow::Result;

use crate::lab::{Corpus, Dovecot, Options};

/// Starts a Dovecot, with a seeded mailbox `info` of `messages`, and says where it is.
///
/// # Errors
/// If it will not start.
pub fn dovecot(german: bool, messages: u64) -> Result<()> {
    let options = if german {
        Options::german()
    } else {
        Options::default()
    };
    let server = Dovecot::start(options)?;
    if messages > 0 {
        server.seed("info", &Corpus::business(1, messages))?;
    }
    println!(
        "imap {} imaps {} ca {} (any user, password {})",
        server.imap_port(),
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
