//! Mail goes in by SMTP and is read by IMAP, whichever way the sink is kept apart.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use xtask::lab::Sink;
use xtask::lab::mail::Isolation;

fn send(port: u16, to: &str, text: &str) -> Result<()> {
    let mut smtp = BufReader::new(TcpStream::connect(("127.0.0.1", port))?);
    let mut say = |line: &str, expected: &str| -> Result<()> {
        smtp.get_mut().write_all(line.as_bytes())?;
        let mut answer = String::new();
        while answer.is_empty() || answer.as_bytes().get(3) == Some(&b'-') {
            answer.clear();
            smtp.read_line(&mut answer)?;
        }
        ensure!(answer.starts_with(expected), "{line}: {answer}");
        Ok(())
    };
    say("", "220")?;
    say("EHLO test.example\r\n", "250")?;
    say("MAIL FROM:<reports@provider.example>\r\n", "250")?;
    say(&format!("RCPT TO:<{to}>\r\n"), "250")?;
    say("DATA\r\n", "354")?;
    say(&format!("Subject: Bericht\r\n\r\n{text}\r\n.\r\n"), "250")?;
    say("QUIT\r\n", "221")
}

fn check(sink: &Sink) -> Result<()> {
    send(sink.smtp_port(), "Owner@abc.example", "heute")?;
    send(sink.smtp_port(), "other@abc.example", "anders")?;
    let mails = sink.wait_for("owner@abc.example", 1, Duration::from_secs(20))?;
    ensure!(mails.len() == 1, "{} mails", mails.len());
    let text = String::from_utf8(mails.concat())?;
    ensure!(text.ends_with("\r\n\r\nheute\r\n"), "{text}");
    Ok(())
}

#[test]
fn sinks_run_side_by_side() {
    let sinks = [
        Sink::start().unwrap(),
        Sink::start().unwrap(),
        Sink::start_as(Isolation::Relay).unwrap(),
    ];
    for sink in &sinks {
        check(sink).unwrap();
    }
}
