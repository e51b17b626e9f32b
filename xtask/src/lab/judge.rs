//! An IMAP client that shares nothing with the agent and judges what it did.
//!
//! Blocking, over plain loopback TCP, written from RFC 3501 alone. It is strict: anything unexpected, NO and BAD
//! included, is an error. It also does what a user's mail client would do: append, flag, move, delete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::corpus::Message;
use super::names;

/// One message as FETCH delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// UID.
    pub uid: u32,
    /// Flags and keywords, without `\Recent`.
    pub flags: BTreeSet<String>,
    /// INTERNALDATE, seconds since 1970.
    pub internaldate: i64,
    /// The octets of `BODY[]`.
    pub body: Vec<u8>,
}

/// One message in an [`Account`], without its octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// INTERNALDATE, seconds since 1970.
    pub internaldate: i64,
    /// SHA-256 of the octets, hexadecimal.
    pub sha256: String,
    /// Number of octets.
    pub bytes: u64,
    /// Flags and keywords, without `\Recent`.
    pub flags: BTreeSet<String>,
}

/// All that an account holds, comparable between servers: separators become `/`, special folders their role, folders
/// without mail are left out. Equal accounts hold the same messages, octet for octet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Sorted rows by folder.
    pub folders: BTreeMap<String, Vec<Row>>,
}

impl Account {
    /// How many messages.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.rows().map(|_| 1).sum()
    }

    /// How many octets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.rows().map(|row| row.bytes).sum()
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.folders.values().flatten()
    }

    /// SHA-256 over everything, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{:?}", self.folders));
        hex(&hash.finalize())
    }

    /// The first few differences in words, or nothing.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut out = Vec::new();
        let folders: BTreeSet<&String> = self.folders.keys().chain(other.folders.keys()).collect();
        for folder in folders {
            let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
            for row in self.folders.get(folder).into_iter().flatten() {
                *counts.entry(row).or_default() += 1;
            }
            for row in other.folders.get(folder).into_iter().flatten() {
                *counts.entry(row).or_default() -= 1;
            }
            for (row, count) in counts {
                if count != 0 && out.len() < 20 {
                    let side = if count > 0 { "only left" } else { "only right" };
                    out.push(format!("{folder}: {side}, {} times: {row:?}", count.abs()));
                }
            }
        }
        out
    }
}

/// A folder as LIST names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its name, decoded from modified UTF-7, with the server's separator.
    pub name: String,
    /// Its attributes, such as `\Sent` and `\Noselect`.
    pub attributes: BTreeSet<String>,
    /// The server's separator.
    pub separator: Option<char>,
}

/// The figures that SELECT or STATUS give of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Number of messages.
    pub messages: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// UIDVALIDITY.
    pub uidvalidity: u32,
}

/// A logged-in connection.
#[derive(Debug)]
pub struct Judge {
    stream: BufReader<TcpStream>,
    tag: u32,
    special_use: bool,
    selected: Option<String>,
}

impl Judge {
    /// Connects to a loopback port and logs in.
    ///
    /// # Errors
    /// If there is no server, or it refuses.
    pub fn login(port: u16, user: &str, password: &str) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connecting to port {port}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        let mut judge = Self {
            stream: BufReader::with_capacity(1 << 16, stream),
            tag: 0,
            special_use: false,
            selected: None,
        };
        let greeting = judge.response()?;
        if greeting.starts_with(b"* OK") {
            judge.raw(&format!("LOGIN {} {}", quoted(user), quoted(password)))?;
        } else if !greeting.starts_with(b"* PREAUTH") {
            bail!("no greeting: {}", shown(&greeting));
        }
        let capabilities = judge.raw("CAPABILITY")?;
        judge.special_use = capabilities
            .iter()
            .any(|line| String::from_utf8_lossy(line).contains("SPECIAL-USE"));
        Ok(judge)
    }

    /// Sends a command without its tag, and gives the untagged responses, literals included.
    ///
    /// # Errors
    /// On NO, BAD, BYE and a cut connection.
    pub fn raw(&mut self, command: &str) -> Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        self.each(command, |line| {
            lines.push(line);
            Ok(())
        })?;
        Ok(lines)
    }

    fn send(&mut self, command: &str) -> Result<String> {
        self.tag += 1;
        let tag = format!("J{:05}", self.tag);
        self.stream
            .get_mut()
            .write_all(format!("{tag} {command}\r\n").as_bytes())
            .with_context(|| format!("sending {command}"))?;
        Ok(tag)
    }

    fn each(&mut self, command: &str, mut line: impl FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
        let tag = self.send(command)?;
        loop {
            let response = self
                .response()
                .with_context(|| format!("in answer to {command}"))?;
            if self.completes(&tag, command, &response)? {
                return Ok(());
            }
            line(response)?;
        }
    }

    fn completes(&self, tag: &str, command: &str, response: &[u8]) -> Result<bool> {
        if let Some(rest) = response.strip_prefix(tag.as_bytes()) {
            if rest.starts_with(b" OK") {
                return Ok(true);
            }
            bail!("{command}: {}", shown(response));
        }
        if response.starts_with(b"* BYE") && command != "LOGOUT" {
            bail!("{command}: {}", shown(response));
        }
        Ok(false)
    }

    fn response(&mut self) -> Result<Vec<u8>> {
        response(&mut self.stream)
    }

    /// All folders.
    ///
    /// # Errors
    /// As [`Self::raw`], and on an answer that makes no sense.
    pub fn folders(&mut self) -> Result<Vec<FolderEntry>> {
        let command = if self.special_use {
            "LIST \"\" \"*\" RETURN (SPECIAL-USE)"
        } else {
            "LIST \"\" \"*\""
        };
        let mut out = Vec::new();
        for line in self.raw(command)? {
            let Some(rest) = line.strip_prefix(b"* LIST ") else {
                continue;
            };
            let [Value::List(attributes), separator, name] = &parse(rest)?[..] else {
                bail!("a LIST line of its own kind: {}", shown(&line));
            };
            out.push(FolderEntry {
                name: names::decode(&name.text()?),
                attributes: attributes.iter().map(Value::text).collect::<Result<_>>()?,
                separator: separator
                    .text()
                    .ok()
                    .filter(|text| text != "NIL")
                    .and_then(|text| text.chars().next()),
            });
        }
        Ok(out)
    }

    /// Messages, UIDNEXT and UIDVALIDITY of a folder.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn status(&mut self, folder: &str) -> Result<Status> {
        let mut status = Status::default();
        for line in self.raw(&format!(
            "STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)",
            folder_argument(folder)
        ))? {
            let Some(rest) = line.strip_prefix(b"* STATUS ") else {
                continue;
            };
            if let [_, Value::List(items)] = &parse(rest)?[..] {
                for pair in items.chunks(2) {
                    if let [key, value] = pair {
                        let number = value.text()?.parse()?;
                        match key.text()?.as_str() {
                            "MESSAGES" => status.messages = number,
                            "UIDNEXT" => status.uidnext = number,
                            "UIDVALIDITY" => status.uidvalidity = number,
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(status)
    }

    /// Selects a folder for writing. Always anew, so that changes by others are seen.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn select(&mut self, folder: &str) -> Result<()> {
        self.raw(&format!("SELECT {}", folder_argument(folder)))?;
        self.selected = Some(folder.to_owned());
        Ok(())
    }

    /// Everything in a folder, by UID, without touching it (EXAMINE, BODY.PEEK).
    ///
    /// # Errors
    /// As [`Self::raw`]; a message without one of its items is an error, never skipped.
    pub fn messages(&mut self, folder: &str) -> Result<Vec<Judged>> {
        let mut out = Vec::new();
        self.each_message(folder, |judged| {
            out.push(judged);
            Ok(())
        })?;
        Ok(out)
    }

    /// As [`Self::messages`], one at a time.
    ///
    /// # Errors
    /// As [`Self::messages`], and what `take` fails with.
    pub fn each_message(
        &mut self,
        folder: &str,
        mut take: impl FnMut(Judged) -> Result<()>,
    ) -> Result<()> {
        let mut exists = 0;
        for line in self.raw(&format!("EXAMINE {}", folder_argument(folder)))? {
            if let Some(number) = String::from_utf8_lossy(&line)
                .strip_prefix("* ")
                .and_then(|l| l.strip_suffix(" EXISTS"))
            {
                exists = number.parse()?;
            }
        }
        self.selected = Some(folder.to_owned());
        let mut seen: u32 = 0;
        if exists > 0 {
            self.each(
                "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
                |line| {
                    if let Some(judged) = fetched(&line)? {
                        seen += 1;
                        take(judged)?;
                    }
                    Ok(())
                },
            )
            .with_context(|| format!("reading {folder}"))?;
        }
        if seen != exists {
            bail!("{folder} has {exists} messages, but FETCH gave {seen}");
        }
        Ok(())
    }

    /// The whole account, as hashes.
    ///
    /// # Errors
    /// As [`Self::messages`].
    pub fn account(&mut self) -> Result<Account> {
        let mut account = Account::default();
        for folder in self.folders()? {
            if folder.attributes.iter().any(|a| {
                a.eq_ignore_ascii_case("\\Noselect") || a.eq_ignore_ascii_case("\\NonExistent")
            }) {
                continue;
            }
            let role = folder.attributes.iter().find(|a| {
                ["\\Sent", "\\Drafts", "\\Trash", "\\Junk", "\\Archive"].contains(&a.as_str())
            });
            let logical = match (role, folder.separator) {
                (Some(role), _) => role.clone(),
                (None, Some(separator)) => folder.name.replace(separator, "/"),
                (None, None) => folder.name.clone(),
            };
            let mut rows = Vec::new();
            self.each_message(&folder.name, |mail| {
                rows.push(Row {
                    internaldate: mail.internaldate,
                    sha256: hex(&Sha256::digest(&mail.body)),
                    bytes: u64::try_from(mail.body.len())?,
                    flags: mail.flags,
                });
                Ok(())
            })?;
            if !rows.is_empty() {
                account.folders.entry(logical).or_default().extend(rows);
            }
        }
        for rows in account.folders.values_mut() {
            rows.sort();
        }
        Ok(account)
    }

    /// The digest of [`Self::account`].
    ///
    /// # Errors
    /// As [`Self::messages`].
    pub fn account_digest(&mut self) -> Result<String> {
        Ok(self.account()?.digest())
    }

    /// Appends one message with a synchronising literal and gives its UID, 0 if the server does not say.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn append(
        &mut self,
        folder: &str,
        flags: &[&str],
        internaldate: i64,
        body: &[u8],
    ) -> Result<u32> {
        let date = chrono::DateTime::from_timestamp(internaldate, 0)
            .context("a date beyond all calendars")?
            .format("%e-%b-%Y %H:%M:%S +0000");
        let command = format!(
            "APPEND {} ({}) \"{date:>26}\" {{{}}}",
            folder_argument(folder),
            flags.join(" "),
            body.len()
        );
        let tag = self.send(&command)?;
        loop {
            let response = self.response()?;
            if response.starts_with(b"+") {
                break;
            }
            if self.completes(&tag, &command, &response)? {
                bail!("{command}: done before the message was sent");
            }
        }
        let stream = self.stream.get_mut();
        stream.write_all(body)?;
        stream.write_all(b"\r\n")?;
        loop {
            let response = self.response()?;
            if self.completes(&tag, &command, &response)? {
                let text = String::from_utf8_lossy(&response).into_owned();
                let uid = text
                    .split_once("[APPENDUID ")
                    .and_then(|(_, rest)| rest.split_once(']'));
                return Ok(uid
                    .and_then(|(pair, _)| pair.rsplit(' ').next())
                    .map_or(Ok(0), str::parse)?);
            }
        }
    }

    /// Appends messages, making the folders that they want; `name` gives each place its name on this server (see
    /// [`super::Dovecot::folder_name`]).
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn append_all(
        &mut self,
        messages: impl Iterator<Item = Message>,
        name: impl Fn(&super::Place) -> String,
    ) -> Result<()> {
        let mut known: BTreeSet<String> = self
            .folders()?
            .into_iter()
            .map(|folder| folder.name)
            .collect();
        for mail in messages {
            let folder = name(&mail.place);
            if known.insert(folder.clone()) {
                self.create(&folder)?;
            }
            let flags: Vec<&str> = mail.flags.iter().map(String::as_str).collect();
            self.append(&folder, &flags, mail.internaldate, &mail.body)?;
        }
        Ok(())
    }

    /// Deletes messages for good: `\Deleted`, then UID EXPUNGE.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn delete(&mut self, folder: &str, uids: &[u32]) -> Result<()> {
        self.store(folder, uids, "+FLAGS", &["\\Deleted"])?;
        self.raw(&format!("UID EXPUNGE {}", set(uids)))?;
        Ok(())
    }

    /// Changes flags; `how` is `FLAGS`, `+FLAGS` or `-FLAGS`.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn store(&mut self, folder: &str, uids: &[u32], how: &str, flags: &[&str]) -> Result<()> {
        self.select(folder)?;
        self.raw(&format!(
            "UID STORE {} {how} ({})",
            set(uids),
            flags.join(" ")
        ))?;
        Ok(())
    }

    /// Moves messages (RFC 6851).
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn move_to(&mut self, folder: &str, uids: &[u32], target: &str) -> Result<()> {
        self.select(folder)?;
        self.raw(&format!(
            "UID MOVE {} {}",
            set(uids),
            folder_argument(target)
        ))?;
        Ok(())
    }

    /// Creates and subscribes a folder.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn create(&mut self, folder: &str) -> Result<()> {
        self.raw(&format!("CREATE {}", folder_argument(folder)))?;
        self.raw(&format!("SUBSCRIBE {}", folder_argument(folder)))?;
        Ok(())
    }

    /// Renames a folder.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.raw(&format!(
            "RENAME {} {}",
            folder_argument(from),
            folder_argument(to)
        ))?;
        Ok(())
    }

    /// Deletes a folder with its messages.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn delete_folder(&mut self, folder: &str) -> Result<()> {
        if self.selected.as_deref() == Some(folder) {
            self.select("INBOX")?;
        }
        self.raw(&format!("DELETE {}", folder_argument(folder)))?;
        Ok(())
    }

    /// Ends the connection in order.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub fn logout(mut self) -> Result<()> {
        self.raw("LOGOUT").map(drop)
    }
}

/// What a response line is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(Vec<u8>),
    List(Vec<Self>),
}

impl Value {
    fn text(&self) -> Result<String> {
        match self {
            Self::Text(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
            Self::List(_) => bail!("a list where a word was expected"),
        }
    }
}

/// Atoms, quoted strings (unescaped), literals and lists. `NIL` is the text NIL.
fn parse(line: &[u8]) -> Result<Vec<Value>> {
    let mut rest = line;
    let values = parse_values(&mut rest, 0)?;
    if !rest.is_empty() {
        bail!("a stray bracket in {}", shown(line));
    }
    Ok(values)
}

fn parse_values(rest: &mut &[u8], depth: u32) -> Result<Vec<Value>> {
    let mut out = Vec::new();
    if depth > 20 {
        bail!("lists too deep");
    }
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b' ' => *rest = tail,
            b')' if depth > 0 => {
                *rest = tail;
                return Ok(out);
            }
            b')' => return Ok(out),
            b'(' => {
                *rest = tail;
                out.push(Value::List(parse_values(rest, depth + 1)?));
            }
            b'"' => {
                let mut text = Vec::new();
                let mut bytes = tail.iter();
                loop {
                    match bytes.next() {
                        Some(b'"') => break,
                        Some(b'\\') => text.extend(bytes.next()),
                        Some(byte) => text.push(*byte),
                        None => bail!("a quoted string without an end"),
                    }
                }
                *rest = bytes.as_slice();
                out.push(Value::Text(text));
            }
            b'{' => {
                let end = rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .context("a literal without its line end")?
                    + 1;
                let (head, tail) = rest.split_at(end);
                let length =
                    usize::try_from(literal_length(head).context("a literal without a length")?)?;
                let (text, tail) = tail
                    .split_at_checked(length)
                    .context("a literal cut short")?;
                out.push(Value::Text(text.to_vec()));
                *rest = tail;
            }
            _ => {
                let mut brackets = 0;
                let end = rest
                    .iter()
                    .position(|byte| {
                        match byte {
                            b'[' => brackets += 1,
                            b']' => brackets -= 1,
                            _ => {}
                        }
                        brackets <= 0 && matches!(byte, b' ' | b'(' | b')')
                    })
                    .unwrap_or(rest.len());
                let (atom, tail) = rest.split_at(end);
                out.push(Value::Text(atom.to_vec()));
                *rest = tail;
            }
        }
    }
    if depth > 0 {
        bail!("a list without an end");
    }
    Ok(out)
}

/// The length if the line ends in `{n}` CRLF.
/// One response with its literals, without the final CRLF.
pub(crate) fn response(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let start = out.len();
        stream.read_until(b'\n', &mut out)?;
        if !out.ends_with(b"\r\n") {
            bail!("the connection was cut");
        }
        match out.get(start..).and_then(literal_length) {
            Some(length) => {
                let before = out.len();
                stream.take(length).read_to_end(&mut out)?;
                if u64::try_from(out.len() - before)? != length {
                    bail!("the connection was cut in a literal");
                }
            }
            None => {
                out.truncate(out.len() - 2);
                return Ok(out);
            }
        }
    }
}

/// The length of the literal that a line announces.
pub(crate) fn literal_length(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}\r\n")?;
    let start = inner.iter().rposition(|byte| *byte == b'{')? + 1;
    std::str::from_utf8(inner.get(start..)?).ok()?.parse().ok()
}

/// A message if the line is a FETCH with a body; later FETCH lines that only tell flags are passed over.
fn fetched(line: &[u8]) -> Result<Option<Judged>> {
    let Some(rest) = line.strip_prefix(b"* ") else {
        return Ok(None);
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some(rest) = rest
        .get(digits..)
        .and_then(|rest| rest.strip_prefix(b" FETCH "))
    else {
        return Ok(None);
    };
    let values = parse(rest)?;
    let [Value::List(items)] = &values[..] else {
        bail!("a FETCH line of its own kind: {}", shown(line))
    };
    let (mut uid, mut flags, mut date, mut size, mut body) = (None, None, None, None, None);
    for pair in items.chunks(2) {
        let [key, value] = pair else {
            bail!("a FETCH item without a value: {}", shown(line))
        };
        match (key.text()?.as_str(), value) {
            ("UID", value) => uid = Some(value.text()?.parse()?),
            ("RFC822.SIZE", value) => size = Some(value.text()?.parse::<usize>()?),
            ("FLAGS", Value::List(list)) => {
                let mut set = list
                    .iter()
                    .map(Value::text)
                    .collect::<Result<BTreeSet<_>>>()?;
                set.remove("\\Recent");
                flags = Some(set);
            }
            ("INTERNALDATE", value) => {
                let text = value.text()?;
                let parsed = chrono::DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z");
                date = Some(
                    parsed
                        .with_context(|| format!("INTERNALDATE {text}"))?
                        .timestamp(),
                );
            }
            ("BODY[]", Value::Text(octets)) => body = Some(octets.clone()),
            _ => {}
        }
    }
    let Some(body) = body else { return Ok(None) };
    if size != Some(body.len()) {
        bail!("RFC822.SIZE says {size:?}, BODY[] has {}", body.len());
    }
    Ok(Some(Judged {
        uid: uid.context("FETCH without UID")?,
        flags: flags.context("FETCH without FLAGS")?,
        internaldate: date.context("FETCH without INTERNALDATE")?,
        body,
    }))
}

fn folder_argument(name: &str) -> String {
    quoted(&names::encode(name))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn set(uids: &[u32]) -> String {
    uids.iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_line_is_read_to_the_last_octet() {
        let line = b"* 3 FETCH (UID 7 FLAGS (\\Seen $x) INTERNALDATE \" 1-Feb-2020 10:00:00 +0100\" RFC822.SIZE 5 BODY[] {5}\r\na)\r\n\")";
        let mail = fetched(line).unwrap().unwrap();
        assert_eq!((mail.uid, mail.internaldate), (7, 1_580_547_600));
        assert_eq!(mail.body, b"a)\r\n\"");
        assert_eq!(mail.flags.len(), 2);
    }

    #[test]
    fn an_incomplete_fetch_line_is_an_error() {
        assert!(fetched(b"* 3 FETCH (UID 7 BODY[] {2}\r\nab)").is_err());
        assert_eq!(fetched(b"* 3 FETCH (FLAGS (\\Seen))").unwrap(), None);
    }
}
