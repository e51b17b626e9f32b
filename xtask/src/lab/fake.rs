//! An IMAP server that misbehaves on demand, and writes down what it was told.
//!
//! By itself it is a small, correct server with folders in memory. Rules lie in wait for commands and answer in its
//! place: NO, BYE in a literal, a wrong tag, garbage, a cut, silence. So a test names only what goes wrong.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};

use super::dovecot::PASSWORD;
use super::listener::Listener;
use super::names;

mod wire;

use self::wire::{fetch, find, in_set, literal, replace, words};

/// What a rule does, in order. After the last action of a rule the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sends these octets; `{tag}` stands for the command's tag. Lines need their CRLF.
    Send(Vec<u8>),
    /// Sends what the correct server would.
    Answer,
    /// Sends only the first octets of what the correct server would.
    AnswerUpTo(usize),
    /// Sends what the correct server would up to (not including) the first place where this stands.
    AnswerBefore(Vec<u8>),
    /// Sends this octet so many times, without a line end.
    Flood(u8, usize),
    /// Closes the connection.
    Close,
    /// Closes the connection, and does what the correct server would when so much time has passed.
    CloseAndDoLater(Duration),
    /// Says nothing more until the client goes.
    Stall,
}

impl Action {
    /// [`Action::Send`] of a text.
    #[must_use]
    pub fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }

    /// A tagged NO.
    #[must_use]
    pub fn no(text: &str) -> Self {
        Self::Send(format!("{{tag}} NO {text}\r\n").into_bytes())
    }

    /// A tagged BAD.
    #[must_use]
    pub fn bad(text: &str) -> Self {
        Self::Send(format!("{{tag}} BAD {text}\r\n").into_bytes())
    }
}

/// What becomes of a message that is added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keeping {
    /// It stays.
    #[default]
    All,
    /// It gets a header line of the server's own.
    Rewritten,
    /// It gets a line more at its end: it says something else.
    Altered,
    /// It is gone at once.
    Nothing,
    /// One that the folder holds already is not added: it has the UID of that.
    Merged,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: String,
    skip: usize,
    times: usize,
    actions: Vec<Action>,
}

/// A message of the fake server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeMessage {
    /// UID.
    pub uid: u32,
    /// Flags as they stand in FETCH.
    pub flags: Vec<String>,
    /// INTERNALDATE as it stands in FETCH, such as `24-Nov-2024 10:00:00 +0100`.
    pub internaldate: String,
    /// Labels as they stand in FETCH, where they are asked for (X-GM-EXT-1).
    pub labels: String,
    /// The octets.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct FakeFolder {
    attributes: String,
    uidvalidity: u32,
    messages: Vec<FakeMessage>,
    uidnext: u32,
}

/// What the fake server holds and how it misbehaves.
#[derive(Debug, Clone)]
pub struct Script {
    greeting: Vec<u8>,
    capability: String,
    folders: BTreeMap<String, FakeFolder>,
    rules: Vec<Rule>,
    keeping: Keeping,
    before_plus: Vec<u8>,
    at_literal: Option<(String, usize, Action)>,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// An obedient server with an empty INBOX and a Sent folder.
    #[must_use]
    pub fn new() -> Self {
        Self {
            greeting: b"* OK Fake server ready.\r\n".to_vec(),
            capability: "IMAP4rev1 LITERAL+ ENABLE IDLE UIDPLUS MULTIAPPEND NAMESPACE SPECIAL-USE LIST-EXTENDED LIST-STATUS UNSELECT"
                .to_owned(),
            folders: BTreeMap::new(),
            rules: Vec::new(),
            keeping: Keeping::All,
            before_plus: Vec::new(),
            at_literal: None,
        }
        .folder("INBOX", "\\HasNoChildren")
        .folder("Sent", "\\HasNoChildren \\Sent")
    }

    /// Another greeting, with its CRLF.
    #[must_use]
    pub fn greeting(mut self, greeting: &str) -> Self {
        self.greeting = greeting.as_bytes().to_vec();
        self
    }

    /// Other capabilities.
    #[must_use]
    pub fn capability(mut self, capability: &str) -> Self {
        capability.clone_into(&mut self.capability);
        self
    }

    /// A folder with the attributes that LIST shows. The separator is `/`.
    #[must_use]
    pub fn folder(mut self, name: &str, attributes: &str) -> Self {
        self.add_folder(name, attributes);
        self
    }

    fn add_folder(&mut self, name: &str, attributes: &str) {
        let uidvalidity = 1_700_000_000 + u32::try_from(self.folders.len()).unwrap_or(0);
        self.folders.insert(
            name.to_owned(),
            FakeFolder {
                attributes: attributes.to_owned(),
                uidvalidity,
                messages: Vec::new(),
                uidnext: 1,
            },
        );
    }

    /// A message in a folder (made if it is not there), with the next UID.
    #[must_use]
    pub fn message(
        mut self,
        folder: &str,
        flags: &[&str],
        internaldate: &str,
        body: &[u8],
    ) -> Self {
        if !self.folders.contains_key(folder) {
            self = self.folder(folder, "\\HasNoChildren");
        }
        if let Some(folder) = self.folders.get_mut(folder) {
            folder.add(
                flags.iter().map(|flag| (*flag).to_owned()).collect(),
                internaldate,
                body,
            );
        }
        self
    }

    /// The labels of the message that was put into a folder last, besides the folder's own.
    #[must_use]
    pub fn labels(mut self, folder: &str, labels: &str) -> Self {
        let folder = self.folders.get_mut(folder);
        if let Some(last) = folder.and_then(|folder| folder.messages.last_mut()) {
            labels.clone_into(&mut last.labels);
        }
        self
    }

    /// What becomes of messages that are added.
    #[must_use]
    pub fn keeping(mut self, keeping: Keeping) -> Self {
        self.keeping = keeping;
        self
    }

    /// What is sent before each `+`.
    #[must_use]
    pub fn before_plus(mut self, octets: &str) -> Self {
        octets.as_bytes().clone_into(&mut self.before_plus);
        self
    }

    /// So many commands that contain `pattern` (as it stands) where they announce a literal are answered there, by
    /// [`Action::Send`] or [`Action::Close`]: what follows is taken for commands.
    #[must_use]
    pub fn at_literal(mut self, pattern: &str, times: usize, action: Action) -> Self {
        self.at_literal = Some((pattern.to_owned(), times, action));
        self
    }

    /// Each command that contains `pattern` (any case, its tag aside) is answered by `actions`.
    #[must_use]
    pub fn on(self, pattern: &str, actions: &[Action]) -> Self {
        self.on_nth(pattern, 0, usize::MAX, actions)
    }

    /// The same, once, for the first command that matches.
    #[must_use]
    pub fn once(self, pattern: &str, actions: &[Action]) -> Self {
        self.on_nth(pattern, 0, 1, actions)
    }

    /// The same, but the first `skip` commands that match pass, and it holds for `times`.
    #[must_use]
    pub fn on_nth(mut self, pattern: &str, skip: usize, times: usize, actions: &[Action]) -> Self {
        self.rules.push(Rule {
            pattern: pattern.to_ascii_uppercase(),
            skip,
            times,
            actions: actions.to_vec(),
        });
        self
    }
}

impl FakeFolder {
    fn add(&mut self, flags: Vec<String>, internaldate: &str, body: &[u8]) -> u32 {
        let uid = self.uidnext;
        self.uidnext += 1;
        self.messages.push(FakeMessage {
            uid,
            flags,
            internaldate: internaldate.to_owned(),
            labels: String::new(),
            body: body.to_vec(),
        });
        uid
    }
}

#[derive(Debug)]
struct State {
    script: Script,
    received: Vec<String>,
    streams: Vec<TcpStream>,
}

/// A running fake server on a plain loopback port. Any user; the password is the laboratory's.
#[derive(Debug)]
pub struct Fake {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// Starts one.
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(script: Script) -> Result<Self> {
        let state = Arc::new(Mutex::new(State {
            script,
            received: Vec::new(),
            streams: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let listener = Listener::start("a fake server", move |stream| {
            lock(&shared).streams.push(stream.try_clone()?);
            Connection::serve(stream, Arc::clone(&shared))
        })?;
        Ok(Self { listener, state })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// The commands so far, tags removed, literals as they came. Connections are mixed in the order of arrival.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        lock(&self.state).received.clone()
    }

    /// What a folder holds now.
    #[must_use]
    pub fn messages(&self, folder: &str) -> Vec<FakeMessage> {
        lock(&self.state)
            .script
            .folders
            .get(folder)
            .map(|folder| folder.messages.clone())
            .unwrap_or_default()
    }

    /// Takes the rules away: from now on the server is obedient.
    pub fn behave(&self) {
        let mut state = lock(&self.state);
        state.script.rules.clear();
        state.script.at_literal = None;
        state.script.keeping = Keeping::All;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.listener.close();
        for stream in lock(&self.state).streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command: its text, each part followed by a literal but the last.
struct Command {
    tag: String,
    parts: Vec<String>,
    literals: Vec<Vec<u8>>,
}

impl Command {
    fn text(&self) -> String {
        let mut out = String::new();
        for (number, part) in self.parts.iter().enumerate() {
            out.push_str(part);
            if let Some(literal) = self.literals.get(number) {
                out.push_str(&String::from_utf8_lossy(literal));
            }
        }
        out
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    state: Arc<Mutex<State>>,
    selected: Option<String>,
}

impl Connection {
    fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut connection = Self {
            reader: BufReader::new(stream),
            state,
            selected: None,
        };
        let greeting = lock(&connection.state).script.greeting.clone();
        connection.write(&greeting)?;
        loop {
            let Some(command) = connection.read()? else {
                continue;
            };
            let text = command.text();
            let actions = connection.note(&text);
            let Some(actions) = actions else {
                let answer = connection.answer(&command)?;
                connection.write(&answer)?;
                if text.to_ascii_uppercase().starts_with("LOGOUT") {
                    break;
                }
                continue;
            };
            for action in actions {
                match action {
                    Action::Send(octets) => {
                        let octets = replace(&octets, b"{tag}", command.tag.as_bytes());
                        connection.write(&octets)?;
                    }
                    Action::Answer => {
                        let answer = connection.answer(&command)?;
                        connection.write(&answer)?;
                    }
                    Action::AnswerUpTo(octets) => {
                        let answer = connection.answer(&command)?;
                        connection.write(answer.get(..octets).unwrap_or(&answer))?;
                    }
                    Action::AnswerBefore(mark) => {
                        let answer = connection.answer(&command)?;
                        let end = find(&answer, &mark).unwrap_or(answer.len());
                        connection.write(answer.get(..end).unwrap_or_default())?;
                    }
                    Action::Flood(octet, times) => {
                        let part = vec![octet; times.clamp(1, 1 << 16)];
                        let mut left = times;
                        while left > 0 {
                            let now = left.min(part.len());
                            connection.write(part.get(..now).unwrap_or_default())?;
                            left -= now;
                        }
                    }
                    Action::Close => {
                        connection.reader.get_ref().shutdown(Shutdown::Both)?;
                        return Ok(());
                    }
                    Action::CloseAndDoLater(wait) => {
                        connection.reader.get_ref().shutdown(Shutdown::Both)?;
                        std::thread::sleep(wait);
                        connection.answer(&command)?;
                        return Ok(());
                    }
                    Action::Stall => {
                        let mut rest = [0; 4096];
                        while connection.reader.read(&mut rest)? > 0 {}
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the command down and finds the rule that lies in wait for it.
    fn note(&self, text: &str) -> Option<Vec<Action>> {
        let mut state = lock(&self.state);
        state.received.push(text.to_owned());
        let upper = text.to_ascii_uppercase();
        for rule in &mut state.script.rules {
            if rule.times > 0 && upper.contains(&rule.pattern) {
                if rule.skip > 0 {
                    rule.skip -= 1;
                    continue;
                }
                rule.times -= 1;
                return Some(rule.actions.clone());
            }
        }
        None
    }

    fn write(&mut self, octets: &[u8]) -> Result<()> {
        Ok(self.reader.get_mut().write_all(octets)?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            bail!("the client is gone");
        }
        Ok(String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned())
    }

    /// A command; none where it was answered before its end.
    fn read(&mut self) -> Result<Option<Command>> {
        let first = self.line()?;
        let (tag, mut rest) = first
            .split_once(' ')
            .map(|(tag, rest)| (tag.to_owned(), rest.to_owned()))
            .unwrap_or_default();
        let mut command = Command {
            tag,
            parts: Vec::new(),
            literals: Vec::new(),
        };
        loop {
            let Some((length, waits)) = literal(&rest) else {
                command.parts.push(rest);
                return Ok(Some(command));
            };
            let (before_plus, at_literal) = {
                let script = &mut lock(&self.state).script;
                let there = script.at_literal.as_mut();
                let there =
                    there.filter(|(pattern, times, _)| *times > 0 && rest.contains(&**pattern));
                let action = there.map(|(_, times, action)| {
                    *times -= 1;
                    action.clone()
                });
                (script.before_plus.clone(), action)
            };
            match at_literal {
                Some(Action::Send(octets)) => {
                    self.write(&replace(&octets, b"{tag}", command.tag.as_bytes()))?;
                    return Ok(None);
                }
                Some(_) => {
                    self.reader.get_ref().shutdown(Shutdown::Both)?;
                    bail!("closed at a literal");
                }
                None => {}
            }
            if waits {
                self.write(&before_plus)?;
                self.write(b"+ OK\r\n")?;
            }
            let mut octets = Vec::new();
            (&mut self.reader).take(length).read_to_end(&mut octets)?;
            command.parts.push(rest);
            command.literals.push(octets);
            rest = self.line()?;
        }
    }

    /// The correct server.
    fn answer(&mut self, command: &Command) -> Result<Vec<u8>> {
        let text = command.text();
        let words = words(&text);
        let mut verb = words
            .first()
            .map(|word| word.to_ascii_uppercase())
            .unwrap_or_default();
        let mut arguments = words.get(1..).unwrap_or_default();
        let by_uid = verb == "UID";
        if by_uid {
            verb = arguments
                .first()
                .map(|word| word.to_ascii_uppercase())
                .unwrap_or_default();
            arguments = arguments.get(1..).unwrap_or_default();
        }
        let argument = |number: usize| arguments.get(number).cloned().unwrap_or_default();
        let mut out = Vec::new();
        let mut code = String::new();
        match verb.as_str() {
            "CAPABILITY" => {
                let capability = lock(&self.state).script.capability.clone();
                out.extend_from_slice(format!("* CAPABILITY {capability}\r\n").as_bytes());
            }
            "LOGIN" if argument(1) != PASSWORD => {
                return Ok(no(command, "[AUTHENTICATIONFAILED] Authentication failed."));
            }
            "LOGIN" => {}
            "AUTHENTICATE" => {
                let mut coded = argument(1);
                if coded.is_empty() {
                    self.write(b"+ \r\n")?;
                    coded = self.line()?;
                }
                use base64::Engine as _;
                let plain = base64::engine::general_purpose::STANDARD
                    .decode(coded)
                    .unwrap_or_default();
                if plain.rsplit(|octet| *octet == 0).next() != Some(PASSWORD.as_bytes()) {
                    return Ok(no(command, "[AUTHENTICATIONFAILED] Authentication failed."));
                }
            }
            "NAMESPACE" => out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"),
            "LIST" | "LSUB" => self.list(&text, &verb, &mut out),
            "STATUS" => {
                if !self.status(&argument(0), &text, &mut out) {
                    return Ok(no(command, "[NONEXISTENT] No such folder."));
                }
            }
            "SELECT" | "EXAMINE" => {
                let name = names::decode(&argument(0));
                let state = lock(&self.state);
                let Some(folder) = state.script.folders.get(&name) else {
                    return Ok(no(command, "[NONEXISTENT] No such folder."));
                };
                out.extend_from_slice(
                    format!(
                        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
                         * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] Flags permitted.\r\n\
                         * {} EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY {}] UIDs valid\r\n* OK [UIDNEXT {}] Predicted next UID\r\n",
                        folder.messages.len(),
                        folder.uidvalidity,
                        folder.uidnext
                    )
                    .as_bytes(),
                );
                drop(state);
                code = if verb == "SELECT" {
                    "[READ-WRITE] ".to_owned()
                } else {
                    "[READ-ONLY] ".to_owned()
                };
                self.selected = Some(name);
            }
            "SEARCH" => {
                let uids: Vec<String> = self
                    .selected_messages()
                    .iter()
                    .map(|message| message.uid.to_string())
                    .collect();
                out.extend_from_slice(
                    format!("* SEARCH {}\r\n", uids.join(" "))
                        .trim_end()
                        .as_bytes(),
                );
                out.extend_from_slice(b"\r\n");
            }
            "FETCH" => {
                let messages = self.selected_messages();
                let highest = match messages.last() {
                    Some(last) if by_uid => last.uid,
                    _ => u32::try_from(messages.len())?,
                };
                for (number, message) in messages.iter().enumerate() {
                    let sequence = u32::try_from(number + 1)?;
                    let this = if by_uid { message.uid } else { sequence };
                    if in_set(&argument(0), this, highest) {
                        fetch(sequence, message, &text, by_uid, &mut out);
                    }
                }
            }
            "STORE" => self.store(&argument(0), &argument(1), &text)?,
            "EXPUNGE" => {
                let set = if by_uid {
                    argument(0)
                } else {
                    "1:*".to_owned()
                };
                self.change(|messages| {
                    let highest = messages.last().map_or(0, |last| last.uid);
                    messages.retain(|m| {
                        !(in_set(&set, m.uid, highest)
                            && m.flags.iter().any(|flag| flag == "\\Deleted"))
                    });
                });
            }
            "APPEND" => match self.append(command) {
                Some(appended) => code = appended,
                None => return Ok(no(command, "[TRYCREATE] No such folder.")),
            },
            "CREATE" => {
                let name = names::decode(&argument(0));
                let mut state = lock(&self.state);
                if state.script.folders.contains_key(&name) {
                    return Ok(no(command, "[ALREADYEXISTS] Folder exists."));
                }
                state.script.add_folder(&name, "\\HasNoChildren");
            }
            "DELETE" => {
                let name = names::decode(&argument(0));
                if lock(&self.state).script.folders.remove(&name).is_none() {
                    return Ok(no(command, "[NONEXISTENT] No such folder."));
                }
            }
            "RENAME" => {
                let (from, to) = (names::decode(&argument(0)), names::decode(&argument(1)));
                let folders = &mut lock(&self.state).script.folders;
                if !folders.contains_key(&from) || folders.contains_key(&to) {
                    return Ok(no(command, "[CANNOT] No such folder, or one of that name."));
                }
                // What lies below moves along.
                let moved = |name: &String| match name.strip_prefix(&from) {
                    Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
                    _ => name.clone(),
                };
                let before = std::mem::take(folders);
                folders.extend(
                    before
                        .into_iter()
                        .map(|(name, folder)| (moved(&name), folder)),
                );
            }
            "IDLE" => {
                self.write(b"+ idling\r\n")?;
                self.line()?;
            }
            "LOGOUT" => out.extend_from_slice(b"* BYE Logging out\r\n"),
            "ENABLE" => out.extend_from_slice(b"* ENABLED\r\n"),
            "ID" => out.extend_from_slice(b"* ID NIL\r\n"),
            "NOOP" | "CHECK" | "CLOSE" | "UNSELECT" | "SUBSCRIBE" | "UNSUBSCRIBE" => {}
            _ => return Ok(format!("{} BAD Unknown command.\r\n", command.tag).into_bytes()),
        }
        out.extend_from_slice(format!("{} OK {code}{verb} completed.\r\n", command.tag).as_bytes());
        Ok(out)
    }

    fn list(&self, text: &str, verb: &str, out: &mut Vec<u8>) {
        let names: Vec<(String, String)> = lock(&self.state)
            .script
            .folders
            .iter()
            .map(|(name, folder)| (name.clone(), folder.attributes.clone()))
            .collect();
        for (name, attributes) in names {
            let wire = names::encode(&name);
            out.extend_from_slice(
                format!("* {verb} ({attributes}) \"/\" \"{wire}\"\r\n").as_bytes(),
            );
            if let Some((_, items)) = text.split_once("STATUS") {
                self.status(&wire, items, out);
            }
        }
    }

    fn status(&self, wire: &str, items: &str, out: &mut Vec<u8>) -> bool {
        let state = lock(&self.state);
        let Some(folder) = state.script.folders.get(&names::decode(wire)) else {
            return false;
        };
        let upper = items.to_ascii_uppercase();
        let mut values = Vec::new();
        for (item, value) in [
            ("MESSAGES", folder.messages.len().to_string()),
            ("UIDNEXT", folder.uidnext.to_string()),
            ("UIDVALIDITY", folder.uidvalidity.to_string()),
            ("UNSEEN", "0".to_owned()),
        ] {
            if upper.contains(item) {
                values.push(format!("{item} {value}"));
            }
        }
        out.extend_from_slice(format!("* STATUS \"{wire}\" ({})\r\n", values.join(" ")).as_bytes());
        true
    }

    fn selected_messages(&self) -> Vec<FakeMessage> {
        let state = lock(&self.state);
        self.selected
            .as_ref()
            .and_then(|name| state.script.folders.get(name))
            .map(|folder| folder.messages.clone())
            .unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<FakeMessage>)) {
        let mut state = lock(&self.state);
        if let Some(folder) = self
            .selected
            .as_ref()
            .and_then(|name| state.script.folders.get_mut(name))
        {
            change(&mut folder.messages);
        }
    }

    fn store(&self, set: &str, how: &str, text: &str) -> Result<()> {
        let list = text
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(list, _)| list)
            .unwrap_or_default();
        let flags: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
        let how = how.to_ascii_uppercase();
        self.change(|messages| {
            let highest = messages.last().map_or(0, |last| last.uid);
            for message in messages
                .iter_mut()
                .filter(|message| in_set(set, message.uid, highest))
            {
                if how.starts_with('+') {
                    message.flags.extend(
                        flags
                            .iter()
                            .filter(|flag| !message.flags.contains(flag))
                            .cloned()
                            .collect::<Vec<_>>(),
                    );
                } else if how.starts_with('-') {
                    message.flags.retain(|flag| !flags.contains(flag));
                } else {
                    message.flags.clone_from(&flags);
                }
            }
        });
        Ok(())
    }

    fn append(&self, command: &Command) -> Option<String> {
        let name = names::decode(words(command.parts.first()?).get(1)?);
        let mut state = lock(&self.state);
        let keeping = state.script.keeping;
        let folder = state.script.folders.get_mut(&name)?;
        let mut uids = Vec::new();
        for (part, body) in command.parts.iter().zip(&command.literals) {
            let flags = part
                .split_once('(')
                .and_then(|(_, rest)| rest.split_once(')'))
                .map_or("", |(list, _)| list);
            let date = part
                .rsplit('"')
                .nth(1)
                .filter(|text| text.contains(':'))
                .unwrap_or("24-Nov-2024 10:00:00 +0000");
            let known = folder.messages.iter().find(|m| m.body == *body);
            if let (Keeping::Merged, Some(known)) = (keeping, known) {
                uids.push(known.uid.to_string());
                continue;
            }
            let flags = flags.split_whitespace().map(str::to_owned).collect();
            let rewritten = [b"X-Scanned: yes\r\n", body.as_slice()].concat();
            let altered = [body.as_slice(), b"Scanned.\r\n"].concat();
            let kept = match keeping {
                Keeping::Rewritten => &rewritten,
                Keeping::Altered => &altered,
                _ => body,
            };
            uids.push(folder.add(flags, date, kept).to_string());
            if keeping == Keeping::Nothing {
                folder.messages.pop();
            }
        }
        Some(format!(
            "[APPENDUID {} {}] ",
            folder.uidvalidity,
            uids.join(",")
        ))
    }
}

fn no(command: &Command, text: &str) -> Vec<u8> {
    format!("{} NO {text}\r\n", command.tag).into_bytes()
}
