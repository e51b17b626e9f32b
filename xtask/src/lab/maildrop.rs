//! A POP3 server that misbehaves on demand, and writes down what it was told.
//!
//! By itself it is a small, correct server with one maildrop in memory. A test changes what it holds, and lays down what
//! a command is answered in its place.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::dovecot::PASSWORD;
use super::listener::Listener;

/// A message of a maildrop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its unique-id.
    pub uidl: Vec<u8>,
    /// By how many octets the size that LIST states is too large.
    pub overstated: i64,
    /// Its octets, with CR LF at their end.
    pub octets: Vec<u8>,
}

/// What a command is answered in place of what is correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This line.
    Line(&'static str),
    /// So many octets of what is correct, and the end of the connection.
    UpTo(usize),
}

/// What the server holds and says.
#[derive(Debug, Default)]
pub struct State {
    /// The messages, in order.
    pub messages: Vec<Dropped>,
    /// What CAPA tells, a line each.
    pub capabilities: Vec<&'static str>,
    /// What commands that begin so are answered, once each, in this order.
    pub answers: VecDeque<(&'static str, Answer)>,
    /// Whether it knows UIDL.
    pub lacks_uidl: bool,
    /// What STAT counts beyond the messages.
    pub overcounted: usize,
    /// Every command, without passwords.
    pub commands: Vec<String>,
}

impl State {
    /// Adds a message.
    pub fn add(&mut self, uidl: &str, octets: &[u8]) {
        self.messages.push(Dropped {
            uidl: uidl.as_bytes().to_vec(),
            overstated: 0,
            octets: octets.to_vec(),
        });
    }

    /// How many commands began so.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        let commands = self.commands.iter();
        commands
            .filter(|command| command.starts_with(prefix))
            .count()
    }
}

/// A running server; dropping it closes its door.
#[derive(Debug)]
pub struct Maildrop {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Maildrop {
    /// Listens on a free loopback port. Any user name is let in with the laboratory's password.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(state: State) -> Result<Self> {
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let listener = Listener::start("POP3", move |stream| {
            let served = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
            served
        })?;
        Ok(Self { listener, state })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// What it holds and says, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> Result<()> {
    let mut writer = stream;
    let mut reader = BufReader::new(stream);
    writer.write_all(b"+OK ready\r\n")?;
    // A session shows what was there when it began.
    let messages = lock(state).messages.clone();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let (answer, laid_down) = {
            let mut state = lock(state);
            let logged = if line.starts_with("PASS") {
                "PASS"
            } else {
                line
            };
            state.commands.push(logged.to_owned());
            let laid_down = state
                .answers
                .iter()
                .position(|(prefix, _)| line.starts_with(prefix));
            let laid_down = laid_down.and_then(|index| state.answers.remove(index));
            (
                correct(line, &messages, &state),
                laid_down.map(|(_, answer)| answer),
            )
        };
        match laid_down {
            Some(Answer::Line(line)) => writer.write_all(format!("{line}\r\n").as_bytes())?,
            Some(Answer::UpTo(octets)) => {
                writer.write_all(answer.get(..octets).unwrap_or(&answer))?;
                return Ok(());
            }
            None => writer.write_all(&answer)?,
        }
        if line == "QUIT" {
            return Ok(());
        }
    }
}

/// What a correct server answers.
fn correct(line: &str, messages: &[Dropped], state: &State) -> Vec<u8> {
    let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
    match command {
        "CAPA" => multiline(state.capabilities.join("\r\n").as_bytes()),
        "USER" | "RSET" | "QUIT" => b"+OK\r\n".to_vec(),
        "PASS" if argument == PASSWORD => b"+OK\r\n".to_vec(),
        "PASS" => b"-ERR [AUTH] wrong\r\n".to_vec(),
        "STAT" => {
            let count = messages.len() + state.overcounted;
            format!("+OK {count} 0\r\n").into_bytes()
        }
        "UIDL" if state.lacks_uidl => b"-ERR unknown command\r\n".to_vec(),
        "UIDL" => listed(messages, |message| message.uidl.clone()),
        "LIST" => listed(messages, |message| {
            let length = i64::try_from(message.octets.len()).unwrap_or(0);
            (length + message.overstated).to_string().into_bytes()
        }),
        "RETR" => {
            let index = argument.parse::<usize>().unwrap_or(0).checked_sub(1);
            match index.and_then(|index| messages.get(index)) {
                Some(message) => multiline(&message.octets),
                None => b"-ERR no such message\r\n".to_vec(),
            }
        }
        _ => b"-ERR unknown command\r\n".to_vec(),
    }
}

fn listed(messages: &[Dropped], what: impl Fn(&Dropped) -> Vec<u8>) -> Vec<u8> {
    let mut text = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        text.extend(format!("{} ", index + 1).bytes());
        text.extend(what(message));
        text.extend(b"\r\n");
    }
    multiline(&text)
}

/// An answer of several lines; a `.` at the beginning of one is doubled.
fn multiline(octets: &[u8]) -> Vec<u8> {
    let mut out = b"+OK\r\n".to_vec();
    let mut rest = octets;
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 2));
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend(line);
        if end.is_none() {
            out.extend(b"\r\n");
        }
        rest = after;
    }
    out.extend(b".\r\n");
    out
}
