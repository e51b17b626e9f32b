//! One session: connected, logged in, and every answer read to its end. What does not come to its end is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::lines::{Multiline, numbered};
use crate::imap::{Bearer, Endpoint, ImapError, Kind, Proof, Socket, kind_of_no, passes, proved};

/// Somebody else fetches from the maildrop: so long until it is asked again, and so often.
const IN_USE: Duration = Duration::from_secs(2);
const IN_USE_TRIES: u32 = 15;
/// The longest line of an answer, octets; RFC 2449, 4 has 512.
const LONGEST_LINE: usize = 8192;
/// The longest list of a maildrop, octets.
const LONGEST_LIST: usize = 64 << 20;
/// The longest message, octets.
const LONGEST_MESSAGE: usize = 512 << 20;
/// More questions than any of our mechanisms has.
const MOST_QUESTIONS: u8 = 4;

/// What a command was answered: `+OK` or `-ERR`, and the words behind it.
type Said = Result<String, String>;

/// What became of asking for a message.
pub(super) enum Retrieved {
    Message(Vec<u8>),
    Refused,
    /// Longer than anything that we hold; the session is done.
    TooLong,
}

/// What a server says that it can do (RFC 2449), upper case, by its first word.
type Capabilities = BTreeMap<String, BTreeSet<String>>;

/// A session in which the maildrop is open.
pub(super) struct Session {
    stream: BufReader<Box<dyn Socket>>,
    endpoint: Arc<Endpoint>,
    capabilities: Capabilities,
    pub opened: Instant,
    pub used: Instant,
    /// Whether messages have been read.
    read: bool,
    /// Message numbers by their unique-id; more than one where a server gives several the same.
    numbers: BTreeMap<Vec<u8>, Vec<u32>>,
}

/// A message of a session.
pub(super) struct Entry {
    pub uidl: Vec<u8>,
    /// What the server states; some are wrong by some octets.
    pub size: u32,
}

impl Session {
    /// Connects and logs in; while somebody else has the maildrop, for half a minute again and again.
    pub async fn open(endpoint: &Arc<Endpoint>) -> Result<Self, ImapError> {
        let connect = |proof| Self::connect(Arc::clone(endpoint), proof);
        for _ in 1..IN_USE_TRIES {
            match proved(endpoint, connect).await {
                Err(error) if error.text.starts_with("[IN-USE]") => {
                    tokio::time::sleep(IN_USE).await
                }
                other => return other,
            }
        }
        proved(endpoint, connect).await
    }

    async fn connect(endpoint: Arc<Endpoint>, proof: Proof) -> Result<Self, ImapError> {
        let (socket, greeted) = endpoint.open().await?;
        let mut session = Self {
            stream: BufReader::with_capacity(64 * 1024, socket),
            endpoint,
            capabilities: Capabilities::new(),
            opened: Instant::now(),
            used: Instant::now(),
            read: false,
            numbers: BTreeMap::new(),
        };
        if !greeted {
            session.greeting().await?;
        }
        session.ask_capabilities().await?;
        session.log_in(proof).await?;
        // Some servers tell more to whom they know (RFC 2449, 5).
        session.ask_capabilities().await?;
        Ok(session)
    }

    async fn greeting(&mut self) -> Result<(), ImapError> {
        let opening = self.endpoint.opening();
        let line = match self.line_within("greeting", opening).await {
            Err(error) if error.kind == Kind::Silent => {
                return Err(self.endpoint.no_greeting("greeting"));
            }
            other => other?,
        };
        self.endpoint.demand_greeting(line.as_bytes())?;
        match said(&line) {
            Some(Err(text)) => Err(self.refusal("greeting", Kind::No, &text)),
            _ => Ok(()),
        }
    }

    async fn ask_capabilities(&mut self) -> Result<(), ImapError> {
        let Some(list) = self.list("CAPA").await? else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&list).to_ascii_uppercase();
        let lines = text.lines().map(|line| {
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            (words.next().unwrap_or_default(), words.collect())
        });
        self.capabilities = lines.collect();
        Ok(())
    }

    fn offers(&self, mechanism: &str) -> bool {
        let sasl = self.capabilities.get("SASL");
        sasl.is_some_and(|mechanisms| mechanisms.contains(mechanism))
    }

    /// Whether commands may be sent ahead of their answers (RFC 2449, 6.6).
    pub fn pipelines(&self) -> bool {
        self.capabilities.contains_key("PIPELINING")
    }

    /// How long the server wants logins to be apart (RFC 2449, 6.5), seconds.
    pub fn login_delay_s(&self) -> Option<u64> {
        let words = self.capabilities.get("LOGIN-DELAY")?;
        words.iter().find_map(|word| word.parse().ok())
    }

    async fn log_in(&mut self, proof: Proof) -> Result<(), ImapError> {
        let endpoint = Arc::clone(&self.endpoint);
        let user = &endpoint.username;
        match proof {
            Proof::Token(token) => {
                let Some(bearer) = Bearer::of(|name| self.offers(name)) else {
                    let text = "the server offers neither OAUTHBEARER nor XOAUTH2 on this connection; use tls = \"implicit\" or \"starttls\", or a password in place of the oauth section";
                    return Err(endpoint.error(Kind::NoToken, "login", text));
                };
                let first = bearer.first(&endpoint, token.secret());
                let said = self
                    .authenticate(bearer.name(), &first, bearer.end())
                    .await?;
                said.map_err(|text| self.refusal("AUTH", Kind::Token, &text))?;
            }
            Proof::Password(password) if self.offers("PLAIN") => {
                let password = password.expose_secret();
                let first = Zeroizing::new(format!("\0{user}\0{password}"));
                let said = self.authenticate("PLAIN", &first, "*").await?;
                said.map_err(|text| self.refusal("AUTH", Kind::Login, &text))?;
            }
            Proof::Password(password) => self.user_and_pass(user, &password).await?,
        }
        Ok(())
    }

    async fn user_and_pass(
        &mut self,
        user: &str,
        password: &SecretString,
    ) -> Result<(), ImapError> {
        let password = password.expose_secret();
        if user.contains(['\r', '\n']) || password.contains(['\r', '\n']) {
            let text = "user name and password must be one line each";
            return Err(self.endpoint.error(Kind::Login, "USER", text));
        }
        self.send("USER", format!("USER {user}\r\n").as_bytes())
            .await?;
        if let Err(text) = self.answer("USER").await? {
            return Err(self.refusal("USER", Kind::Login, &text));
        }
        let line = Zeroizing::new(format!("PASS {password}\r\n"));
        self.send("PASS", line.as_bytes()).await?;
        let said = self.answer("PASS").await?;
        said.map_err(|text| self.refusal("PASS", Kind::Login, &text))?;
        Ok(())
    }

    /// One AUTH (RFC 5034): the first answer after the server's `+`, and `end` to whatever it asks after that.
    async fn authenticate(
        &mut self,
        mechanism: &str,
        first: &str,
        end: &str,
    ) -> Result<Said, ImapError> {
        self.send("AUTH", format!("AUTH {mechanism}\r\n").as_bytes())
            .await?;
        let first = Zeroizing::new(format!("{}\r\n", STANDARD.encode(first)));
        let end = Zeroizing::new(format!("{end}\r\n"));
        let mut answer = &first;
        for _ in 0..MOST_QUESTIONS {
            let line = self.line_within("AUTH", self.endpoint.patience).await?;
            if let Some(said) = said(&line) {
                return Ok(said);
            }
            if !line.starts_with('+') {
                return Err(self.unexpected("AUTH"));
            }
            self.send("AUTH", answer.as_bytes()).await?;
            answer = &end;
        }
        let text = "the server does not stop asking";
        Err(self.endpoint.error(Kind::Unexpected, "AUTH", text))
    }

    /// What the maildrop holds, in its order. As many messages must be told as the server counts: a list that is
    /// short proves nothing.
    pub async fn entries(&mut self) -> Result<Vec<Entry>, ImapError> {
        self.send("STAT", b"STAT\r\n").await?;
        let stat = self.demand("STAT").await?;
        let count = stat
            .split_ascii_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        let count: usize = count.ok_or_else(|| self.unexpected("STAT"))?;
        let Some(uidls) = self.list("UIDL").await? else {
            let text = "the server knows no UIDL (RFC 1939, 7): without it nobody can tell which message is new; use IMAP";
            return Err(self.endpoint.error(Kind::Bad, "UIDL", text));
        };
        let sizes = self.list("LIST").await?;
        let sizes = sizes.ok_or_else(|| self.unexpected("LIST"))?;
        let uidls = numbered(&uidls).ok_or_else(|| self.unexpected("UIDL"))?;
        let sizes = numbered(&sizes).ok_or_else(|| self.unexpected("LIST"))?;
        let size = |octets: &[u8]| {
            let text = std::str::from_utf8(octets).unwrap_or_default();
            text.parse::<u64>()
                .map_or(0, |size| u32::try_from(size).unwrap_or(u32::MAX))
        };
        let sizes: BTreeMap<u32, u32> = sizes.into_iter().map(|(n, s)| (n, size(s))).collect();
        let uidls: BTreeMap<u32, &[u8]> = uidls.into_iter().collect();
        if uidls.len() != count || !uidls.keys().eq(sizes.keys()) {
            let text = format!(
                "{count} messages, but {} in UIDL and {} in LIST",
                uidls.len(),
                sizes.len()
            );
            return Err(self.endpoint.error(Kind::Unexpected, "UIDL", text));
        }
        self.numbers.clear();
        let mut entries = Vec::with_capacity(count);
        for ((number, uidl), size) in uidls.into_iter().zip(sizes.into_values()) {
            self.numbers.entry(uidl.to_vec()).or_default().push(number);
            let uidl = uidl.to_vec();
            entries.push(Entry { uidl, size });
        }
        Ok(entries)
    }

    /// The number of the `nth` of `of` messages with a unique-id; none where there are not as many any more, since
    /// nobody knows then which is which.
    pub fn number(&self, uidl: &[u8], nth: usize, of: usize) -> Option<u32> {
        let numbers = self
            .numbers
            .get(uidl)
            .filter(|numbers| numbers.len() == of)?;
        numbers.get(nth).copied()
    }

    /// Asks for messages.
    pub async fn ask(&mut self, numbers: &[u32]) -> Result<(), ImapError> {
        self.read = true;
        let lines: String = numbers.iter().map(|n| format!("RETR {n}\r\n")).collect();
        self.send("RETR", lines.as_bytes()).await
    }

    /// The next of the messages asked for.
    pub async fn retrieved(&mut self) -> Result<Retrieved, ImapError> {
        match self.answer("RETR").await? {
            Err(text) if passes(&text) => Err(self.endpoint.error(Kind::No, "RETR", text)),
            Err(_) => Ok(Retrieved::Refused),
            Ok(_) => {
                let octets = self.multiline("RETR", LONGEST_MESSAGE).await?;
                Ok(octets.map_or(Retrieved::TooLong, Retrieved::Message))
            }
        }
    }

    /// Ends it, and waits until the maildrop is free. RSET before QUIT, so that the server forgets what the session did
    /// (RFC 1939, 5): some, Dovecot among them, else mark as seen what was read.
    pub async fn end(mut self) {
        let end = async {
            if self.read {
                self.send("RSET", b"RSET\r\n").await.ok()?;
                self.answer("RSET").await.ok()?.ok()?;
            }
            self.send("QUIT", b"QUIT\r\n").await.ok()?;
            while self.more("QUIT", IN_USE).await.is_ok() {
                self.stream.consume(self.stream.buffer().len());
            }
            Some(())
        };
        let _ = timeout(IN_USE, end).await;
    }

    /// A multi-line answer that may be refused.
    async fn list(&mut self, command: &'static str) -> Result<Option<Vec<u8>>, ImapError> {
        self.send(command, format!("{command}\r\n").as_bytes())
            .await?;
        match self.answer(command).await? {
            Err(text) if passes(&text) => Err(self.refusal(command, Kind::No, &text)),
            Err(_) => Ok(None),
            Ok(_) => match self.multiline(command, LONGEST_LIST).await? {
                None => Err(self.unexpected(command)),
                list => Ok(list),
            },
        }
    }

    async fn demand(&mut self, command: &'static str) -> Result<String, ImapError> {
        let said = self.answer(command).await?;
        said.map_err(|text| self.refusal(command, Kind::No, &text))
    }

    async fn answer(&mut self, command: &'static str) -> Result<Said, ImapError> {
        let line = self.line_within(command, self.endpoint.patience).await?;
        said(&line).ok_or_else(|| self.unexpected(command))
    }

    async fn send(&mut self, command: &'static str, octets: &[u8]) -> Result<(), ImapError> {
        self.used = Instant::now();
        let write = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match timeout(self.endpoint.patience, write).await {
            Err(_) => {
                let text = "the server takes nothing more";
                Err(self.endpoint.error(Kind::Silent, command, text))
            }
            Ok(Err(error)) => Err(self.endpoint.error(Kind::Cut, command, error.to_string())),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// A line, without its end.
    async fn line_within(
        &mut self,
        command: &'static str,
        patience: Duration,
    ) -> Result<String, ImapError> {
        let mut line = Vec::new();
        loop {
            self.more(command, patience).await?;
            let some = self.stream.buffer();
            let end = some.iter().position(|octet| *octet == b'\n');
            let taken = end.map_or(some.len(), |end| end + 1);
            line.extend(some.iter().take(taken));
            self.stream.consume(taken);
            if line.len() > LONGEST_LINE {
                return Err(self.unexpected(command));
            }
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }

    /// What follows an `+OK` up to the line with the dot; `None` if it is longer than `most`.
    async fn multiline(
        &mut self,
        command: &'static str,
        most: usize,
    ) -> Result<Option<Vec<u8>>, ImapError> {
        let mut answer = Multiline::default();
        loop {
            self.more(command, self.endpoint.patience).await?;
            let some = self.stream.buffer();
            let end = answer.take(some);
            let taken = end.unwrap_or(some.len());
            self.stream.consume(taken);
            if answer.octets.len() > most {
                return Ok(None);
            }
            if end.is_some() {
                return Ok(Some(answer.octets));
            }
        }
    }

    /// Waits until something is there to be read. The end of the stream is an error: an answer that is awaited has
    /// not come to its end.
    async fn more(&mut self, command: &'static str, patience: Duration) -> Result<(), ImapError> {
        let waited = timeout(patience, self.stream.fill_buf()).await;
        let waited = waited.map(|read| read.map(<[u8]>::len));
        self.used = Instant::now();
        let cut = |text: String| Err(self.endpoint.error(Kind::Cut, command, text));
        match waited {
            Err(_) => {
                let text = format!("nothing came within {} s", patience.as_secs());
                Err(self.endpoint.error(Kind::Silent, command, text))
            }
            Ok(Err(error)) => cut(error.to_string()),
            Ok(Ok(0)) => cut("end of stream".to_owned()),
            Ok(Ok(_)) => Ok(()),
        }
    }

    fn unexpected(&self, command: &'static str) -> ImapError {
        let text = "this is no answer to it";
        self.endpoint.error(Kind::Unexpected, command, text)
    }

    /// What an `-ERR` says, by its response code (RFC 2449, 8; RFC 3206) or its words; `kind` if by neither.
    fn refusal(&self, command: &'static str, kind: Kind, text: &str) -> ImapError {
        let lower = text.to_ascii_lowercase();
        let says = |hints: &[&str]| hints.iter().any(|hint| lower.contains(hint));
        if says(&["[in-use]", "in use", "is locked", "lock the", "lock mail"]) {
            let words = text.trim_start_matches("[IN-USE]").trim_start();
            return self
                .endpoint
                .error(Kind::No, command, format!("[IN-USE] {words}"));
        }
        if says(&["[login-delay]"]) {
            let delay = self.login_delay_s().map(|delay| delay.saturating_mul(1000));
            let delay = delay.map(|ms| format!("backoff time {ms} ms: "));
            let text = format!("{}{text}", delay.unwrap_or_default());
            return self.endpoint.error(Kind::BackOff, command, text);
        }
        let kind = match kind_of_no(text) {
            Kind::BackOff => Kind::BackOff,
            _ if passes(text) => Kind::No,
            _ => kind,
        };
        self.endpoint.error(kind, command, text)
    }
}

/// What a line answers; `None` for one that is no answer.
fn said(line: &str) -> Option<Said> {
    let words = |rest: &str| rest.trim_start().to_owned();
    let good = line.strip_prefix("+OK").map(|rest| Ok(words(rest)));
    good.or_else(|| line.strip_prefix("-ERR").map(|rest| Err(words(rest))))
}
