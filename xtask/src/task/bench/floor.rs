//! The least that any copying takes: bodies fetched on one connection and appended on several as they come, with
//! nothing hashed and nothing noted; and the same with a second copy in a file, made durable as it grows. What a mirror
//! needs beyond that is its own; what is below no program between these servers on this machine can reach.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::lab::dovecot::PASSWORD;
use crate::lab::judge::{literal_length, response};

/// Connections that append.
const WRITERS: usize = 7;
/// Messages between the reader and the writers.
const AHEAD: usize = 64;
/// What one APPEND holds at most, and how long it waits for more.
const COMMAND_BYTES: usize = 16 << 20;
const COMMAND_MESSAGES: usize = 1024;
const COMMAND_WAIT: Duration = Duration::from_millis(50);

/// Octets between two times that the file is made durable.
const DURABLE_BYTES: usize = 2 << 20;

/// Copies all messages of an account to another of the same folder names, both on loopback ports, and all octets to
/// a file, if there is to be one.
///
/// # Errors
/// If a server refuses anything, or the file cannot be written.
pub fn copy(
    source: u16,
    source_user: &str,
    target: u16,
    target_user: &str,
    file: Option<&Path>,
) -> Result<()> {
    let mut file = file.map(File::create).transpose()?;
    std::thread::scope(|all| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| all.spawn(move || Line::login(target, target_user)))
            .collect();
        let mut reader = Line::login(source, source_user)?;
        let listed = reader.ask("LIST \"\" *")?;
        let folders: Vec<String> = reader
            .answers(&listed)?
            .iter()
            .filter(|line| !contains(line, b"\\Noselect"))
            .filter_map(|line| String::from_utf8(line.clone()).ok())
            .filter_map(|line| Some(line.rsplit_once("\" ")?.1.to_owned()))
            .collect();
        let (mails_in, mails) = sync_channel::<(Arc<str>, Vec<u8>)>(AHEAD);
        let mails = Arc::new(Mutex::new(mails));
        let mut lines = Vec::new();
        for writer in writers {
            lines.push(joined(writer.join())?);
        }
        if let Some(first) = lines.first_mut() {
            let mut tags = Vec::new();
            for folder in &folders {
                tags.push(first.ask(&format!("CREATE {folder}"))?);
            }
            // Those that are there already are refused.
            tags.iter().try_for_each(|tag| first.end(tag).map(drop))?;
        }
        let read = all.spawn(move || read(&mut reader, &folders, &mails_in, file.as_mut()));
        let written: Vec<_> = lines
            .into_iter()
            .map(|mut line| {
                let mails = Arc::clone(&mails);
                all.spawn(move || write(&mut line, &mails))
            })
            .collect();
        joined(read.join())?;
        written.into_iter().try_for_each(|one| joined(one.join()))
    })
}

fn joined<T>(result: std::thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|_| bail!("a thread of the copy panicked"))
}

/// Fetches all, everything asked for at once.
fn read(
    line: &mut Line,
    folders: &[String],
    mails: &SyncSender<(Arc<str>, Vec<u8>)>,
    mut file: Option<&mut File>,
) -> Result<()> {
    let mut waits = 0;
    let mut asked = Vec::new();
    for folder in folders {
        line.ask(&format!("EXAMINE {folder}"))?;
        let tag = line.ask("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])")?;
        asked.push((tag, Arc::<str>::from(folder.as_str())));
    }
    for (tag, folder) in asked {
        loop {
            let answer = line.answer()?;
            if answer.starts_with(tag.as_bytes()) {
                break;
            }
            if let Some(item) = item(answer) {
                if let Some(file) = file.as_mut() {
                    file.write_all(&item)?;
                    waits += item.len();
                    if waits >= DURABLE_BYTES {
                        file.sync_data()?;
                        waits = 0;
                    }
                }
                mails.send((Arc::clone(&folder), item))?;
            }
        }
    }
    Ok(())
}

/// What stands in an APPEND for a message that was fetched: flags, date and octets as a literal.
fn item(answer: Vec<u8>) -> Option<Vec<u8>> {
    let end = answer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let (head, rest) = answer.split_at(end);
    let length = usize::try_from(literal_length(head)?).ok()?;
    let head = std::str::from_utf8(head).ok()?;
    let flags = head.split_once("FLAGS (")?.1.split_once(')')?.0;
    let flags: BTreeSet<&str> = flags
        .split(' ')
        .filter(|flag| *flag != "\\Recent")
        .collect();
    let flags: Vec<&str> = flags.into_iter().collect();
    let date = head.split_once("INTERNALDATE \"")?.1.split_once('"')?.0;
    let mut item = format!(" ({}) \"{date}\" {{{length}+}}\r\n", flags.join(" ")).into_bytes();
    item.extend_from_slice(rest.get(..length)?);
    Some(item)
}

/// Appends what comes, many messages in one command; the next is begun before the one before is answered.
fn write(line: &mut Line, mails: &Mutex<Receiver<(Arc<str>, Vec<u8>)>>) -> Result<()> {
    let next = |wait: Duration| {
        let mails = mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.recv_timeout(wait)
    };
    let mut tags = Vec::new();
    let mut held = None;
    loop {
        let (folder, mut item) = match held.take() {
            Some(mail) => mail,
            None => match next(Duration::from_secs(60)) {
                Ok(mail) => mail,
                Err(_) => break,
            },
        };
        let (mut bytes, mut count) = (0, 0);
        tags.push(line.begin(&format!("APPEND {folder}"))?);
        loop {
            bytes += item.len();
            count += 1;
            line.stream.get_mut().write_all(&item)?;
            if bytes >= COMMAND_BYTES || count >= COMMAND_MESSAGES {
                break;
            }
            match next(COMMAND_WAIT) {
                Ok((same, more)) if same == folder => item = more,
                Ok(other) => {
                    held = Some(other);
                    break;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        line.stream.get_mut().write_all(b"\r\n")?;
    }
    for tag in tags {
        let end = line.end(&tag)?;
        if !contains(&end, b" OK") {
            bail!("APPEND: {}", String::from_utf8_lossy(&end));
        }
    }
    Ok(())
}

/// A logged-in connection.
struct Line {
    stream: BufReader<TcpStream>,
    tag: u32,
}

impl Line {
    fn login(port: u16, user: &str) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connecting to port {port}"))?;
        stream.set_nodelay(true)?;
        let mut line = Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            tag: 0,
        };
        line.answer()?;
        let tag = line.ask(&format!("LOGIN {user} {PASSWORD}"))?;
        line.end(&tag)?;
        Ok(line)
    }

    /// The beginning of a command, with its tag.
    fn begin(&mut self, command: &str) -> Result<String> {
        self.tag += 1;
        let tag = format!("F{:05}", self.tag);
        write!(self.stream.get_mut(), "{tag} {command}")?;
        Ok(tag)
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        self.begin(&format!("{command}\r\n"))
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        response(&mut self.stream)
    }

    /// The answers up to the end of a command.
    fn answers(&mut self, tag: &str) -> Result<Vec<Vec<u8>>> {
        let mut answers = Vec::new();
        loop {
            let answer = self.answer()?;
            if answer.starts_with(tag.as_bytes()) {
                return Ok(answers);
            }
            answers.push(answer);
        }
    }

    /// The end of a command; what was answered before is passed over.
    fn end(&mut self, tag: &str) -> Result<Vec<u8>> {
        loop {
            let answer = self.answer()?;
            if answer.starts_with(tag.as_bytes()) {
                return Ok(answer);
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
