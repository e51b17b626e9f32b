//! The smallest SMTP server that can hand mail on by LMTP, for machines where OpenSMTPD may not run.
//!
//! One connection in, one out, the commands passed through. It knows no queue: what LMTP refuses, it refuses.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};

use super::listener::Listener;

/// A running relay; dropping it closes the door.
#[derive(Debug)]
pub struct Relay {
    listener: Listener,
}

impl Relay {
    /// Listens on a free loopback port and hands mail to LMTP on `lmtp_port`.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(lmtp_port: u16) -> Result<Self> {
        let listener = Listener::start("SMTP", move |stream| serve(stream, lmtp_port))?;
        Ok(Self { listener })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.port()
    }
}

struct Line {
    reader: BufReader<TcpStream>,
}

impl Line {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            bail!("the connection was cut");
        }
        Ok(line)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }

    /// A whole reply, `250-` lines included.
    fn reply(&mut self) -> Result<Vec<u8>> {
        loop {
            let line = self.read()?;
            if line.get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

fn serve(client: TcpStream, lmtp_port: u16) -> Result<()> {
    let mut client = Line::new(client)?;
    let mut lmtp = Line::new(TcpStream::connect((Ipv4Addr::LOCALHOST, lmtp_port))?)?;
    lmtp.reply()?;
    lmtp.write(b"LHLO relay.example\r\n")?;
    lmtp.reply()?;
    client.write(b"220 relay.example ready\r\n")?;
    let mut recipients = 0;
    loop {
        let line = client.read()?;
        let verb = String::from_utf8_lossy(line.get(..4).unwrap_or_default()).to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => client.write(b"250-relay.example\r\n250 8BITMIME\r\n")?,
            "HELO" | "NOOP" => client.write(b"250 relay.example\r\n")?,
            "MAIL" | "RCPT" | "RSET" => {
                lmtp.write(&line)?;
                let reply = lmtp.reply()?;
                match verb.as_str() {
                    "RCPT" if reply.starts_with(b"250") => recipients += 1,
                    "RCPT" => {}
                    _ => recipients = 0,
                }
                client.write(&reply)?;
            }
            "DATA" => {
                lmtp.write(&line)?;
                let reply = lmtp.reply()?;
                let go_on = reply.starts_with(b"354");
                client.write(&reply)?;
                if go_on {
                    loop {
                        let line = client.read()?;
                        lmtp.write(&line)?;
                        if line == b".\r\n" {
                            break;
                        }
                    }
                    // LMTP answers once a recipient, SMTP once: the worst one counts.
                    let mut worst = b"250 handed over\r\n".to_vec();
                    for _ in 0..recipients {
                        let reply = lmtp.reply()?;
                        if !reply.starts_with(b"250") {
                            worst = reply;
                        }
                    }
                    recipients = 0;
                    client.write(&worst)?;
                }
            }
            "QUIT" => {
                client.write(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => client.write(b"502 not here\r\n")?,
        }
    }
}
