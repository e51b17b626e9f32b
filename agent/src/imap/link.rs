//! A connection: commands out, answers in, every completion checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use async_imap::imap_proto::{
    Capability, MailboxDatum, Response, ResponseCode, Status, rfc4315::UidSetMember,
};
use futures::FutureExt as _;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, ReadBuf,
};
use tokio::time::{Instant, timeout};

use super::append::Appending;
use super::compress::{Inlet, Outlet, Timed};
use super::connect::Endpoint;
use super::error::{ImapError, Kind, kind_of_bad, kind_of_no};
use super::login::Proof;
use super::wire::{self, Mailbox};

/// What the parser reads from. It never writes: the writing half stays with [`Link`], so that both can go
/// on at once.
pub(super) struct ReadSide(Inlet);

impl fmt::Debug for ReadSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadSide")
    }
}

impl AsyncRead for ReadSide {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ReadSide {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Err(std::io::ErrorKind::Unsupported.into()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a server can do, upper case.
#[derive(Debug, Clone, Default)]
pub struct Capabilities(BTreeSet<String>);

impl Capabilities {
    /// Whether the server named it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// What it named and refuses all the same.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The number that it named with it: `APPENDLIMIT=35651584`.
    #[must_use]
    pub(super) fn value_of(&self, name: &str) -> Option<u64> {
        let value = |word: &String| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        self.0.iter().find_map(value)
    }

    /// Modification sequences (RFC 7162): CONDSTORE or QRESYNC.
    #[must_use]
    pub fn condstore(&self) -> bool {
        self.has("CONDSTORE") || self.has("QRESYNC")
    }

    fn from_parsed(list: &[Capability<'_>]) -> Self {
        Self(
            list.iter()
                .map(|c| match c {
                    Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
                    Capability::Auth(name) => format!("AUTH={name}").to_ascii_uppercase(),
                    Capability::Atom(name) => name.to_ascii_uppercase(),
                })
                .collect(),
        )
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Ok,
    No,
    Bad,
}

/// The response codes that matter beyond the response they stand in.
#[derive(Debug, Clone)]
pub(super) enum Code {
    Capability(Capabilities),
    AppendUid(u32, UidRanges),
    CopyUid(u32, UidRanges, UidRanges),
}

/// UIDs as a response code lists them: neither expanded nor bounded.
pub(super) type UidRanges = Vec<RangeInclusive<u32>>;

impl Code {
    pub(super) fn of(code: Option<&ResponseCode<'_>>) -> Option<Self> {
        let ranges = |members: &[UidSetMember]| {
            let range = |member: &UidSetMember| match member {
                UidSetMember::Uid(uid) => *uid..=*uid,
                UidSetMember::UidRange(range) if range.start() > range.end() => {
                    *range.end()..=*range.start()
                }
                UidSetMember::UidRange(range) => range.clone(),
            };
            members.iter().map(range).collect()
        };
        match code? {
            ResponseCode::Capabilities(list) => {
                Some(Self::Capability(Capabilities::from_parsed(list)))
            }
            ResponseCode::AppendUid(validity, uids) => {
                Some(Self::AppendUid(*validity, ranges(uids)))
            }
            ResponseCode::CopyUid(validity, from, to) => {
                Some(Self::CopyUid(*validity, ranges(from), ranges(to)))
            }
            _ => None,
        }
    }
}

/// A tagged answer.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub end: End,
    pub code: Option<Code>,
    pub text: String,
}

/// An authenticated connection to one account.
pub struct Link {
    client: async_imap::Client<ReadSide>,
    pub(super) writer: Outlet,
    /// Whether it is mail that comes now.
    pub(super) is_mail: Arc<AtomicBool>,
    /// Whether both ways are compressed.
    pub(super) compressed: bool,
    pub(super) endpoint: Arc<Endpoint>,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// The mailbox that is open, and whether for writing.
    pub(super) selected: Option<(Mailbox, bool)>,
    /// Gmail's `All Mail`, of which only what has no label is listed.
    pub(super) all_mail: Option<Mailbox>,
    /// EXISTS of the open mailbox.
    pub(super) exists: u32,
    /// Messages expunged since the last command began.
    pub(super) expunged: u32,
    /// Whether the server was told to say what vanished.
    pub(super) qresync: bool,
    /// Tags of commands whose answers are awaited while others are sent, and the answers that came meanwhile.
    pub(super) outstanding: BTreeSet<String>,
    pub(super) answers: BTreeMap<String, Finished>,
    /// The APPEND that is being written.
    pub(super) appending: Option<Appending>,
    random: Tags,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("corner", &self.endpoint.corner)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects and logs in.
    pub(super) async fn connect(endpoint: Arc<Endpoint>, proof: Proof) -> Result<Self, ImapError> {
        let (socket, greeted) = endpoint.open().await?;
        let (read, writer) = tokio::io::split(socket);
        let is_mail = Arc::new(AtomicBool::new(false));
        let inlet = Timed::inlet(read, Arc::clone(&endpoint), Arc::clone(&is_mail));
        let mut link = Self {
            client: async_imap::Client::new(ReadSide(inlet)),
            writer: Box::new(writer),
            is_mail,
            compressed: false,
            endpoint,
            capabilities: Capabilities::default(),
            selected: None,
            all_mail: None,
            exists: 0,
            expunged: 0,
            qresync: false,
            outstanding: BTreeSet::new(),
            answers: BTreeMap::new(),
            appending: None,
            random: Tags::default(),
        };
        let mut authenticated = false;
        if !greeted {
            authenticated = link.greeting().await?;
        }
        if link.capabilities.0.is_empty() {
            link.ask_capabilities().await?;
        }
        if !authenticated {
            let asked = Instant::now();
            link.login(proof).await?;
            link.endpoint.meter.line.answered_after(asked.elapsed());
        }
        if link.capabilities.0.is_empty() {
            link.ask_capabilities().await?;
        }
        Ok(link)
    }

    /// What is read from, past the parser.
    pub(super) fn inlet(&mut self) -> &mut Inlet {
        &mut self.client.get_mut().0
    }

    async fn greeting(&mut self) -> Result<bool, ImapError> {
        let opening = self.endpoint.opening();
        // What other servers say the parser would wait for the rest of.
        let endpoint = Arc::clone(&self.endpoint);
        match timeout(opening, self.inlet().fill_buf()).await {
            Err(_) => return Err(endpoint.no_greeting("greeting")),
            Ok(Err(error)) => {
                return Err(endpoint.error(Kind::Cut, "greeting", io_text(&error)));
            }
            Ok(Ok(octets)) => endpoint.demand_greeting(octets)?,
        }
        let response = match self.read_within("greeting", opening).await {
            Err(error) if error.kind == Kind::Silent => {
                return Err(self.endpoint.no_greeting("greeting"));
            }
            other => other?,
        };
        let (authenticated, code) = match response.parsed() {
            Response::Data {
                status: Status::Ok,
                outcome,
            } => (false, Code::of(outcome.code.as_ref())),
            Response::Data {
                status: Status::PreAuth,
                outcome,
            } => (true, Code::of(outcome.code.as_ref())),
            other => return Err(self.error(Kind::Unexpected, "greeting", kind_of(other))),
        };
        if let Some(Code::Capability(capabilities)) = code {
            self.capabilities = capabilities;
        }
        Ok(authenticated)
    }

    async fn ask_capabilities(&mut self) -> Result<(), ImapError> {
        self.run("CAPABILITY", None, "CAPABILITY", |_| Ok(()))
            .await?;
        Ok(())
    }

    /// Says goodbye. Nobody waits for the answer: what becomes of it does not matter any more.
    pub async fn logout(mut self) {
        let patience = std::time::Duration::from_secs(2);
        let Ok(Ok(tag)) = timeout(patience, self.send("LOGOUT", "LOGOUT")).await else {
            return;
        };
        tokio::spawn(async move {
            let _ = timeout(patience, self.finish("LOGOUT", None, &tag, |_| Ok(()))).await;
        });
    }

    /// The account this connection is for.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn error(
        &self,
        kind: Kind,
        command: &'static str,
        text: impl AsRef<str>,
    ) -> ImapError {
        self.endpoint.error(kind, command, text)
    }

    pub(super) async fn write(
        &mut self,
        command: &'static str,
        octets: &[u8],
    ) -> Result<(), ImapError> {
        let write = async {
            self.writer.write_all(octets).await?;
            self.writer.flush().await
        };
        match timeout(self.endpoint.patience, write).await {
            Err(_) => {
                Err(self
                    .endpoint
                    .error(Kind::Silent, command, "the server takes nothing more"))
            }
            Ok(Err(error)) => Err(self.endpoint.error(Kind::Cut, command, error.to_string())),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Has what the stream still holds back go out too: TLS and DEFLATE both do.
    pub(super) async fn flush(&mut self, command: &'static str) -> Result<(), ImapError> {
        self.write(command, b"").await
    }

    /// Writes while listening, since a server may say something before everything is written. Stops when the
    /// command `tag` is answered.
    pub(super) async fn write_listening(
        &mut self,
        command: &'static str,
        tag: &str,
        octets: &[u8],
    ) -> Result<(), ImapError> {
        let mut rest = octets;
        while !rest.is_empty() && !self.answers.contains_key(tag) {
            let Self {
                writer,
                client,
                endpoint,
                ..
            } = self;
            let step = async {
                tokio::select! {
                    biased;
                    written = writer.write(rest) => written.map(Step::Written),
                    read = read_guarded(client) => read.map(Step::Read),
                }
            };
            match timeout(endpoint.patience, step).await {
                Err(_) => {
                    return Err(endpoint.error(
                        Kind::Silent,
                        command,
                        "the server takes nothing more",
                    ));
                }
                Ok(Err(error)) => return Err(endpoint.error(Kind::Cut, command, io_text(&error))),
                Ok(Ok(Step::Written(0))) => {
                    return Err(endpoint.error(Kind::Cut, command, "nothing more can be written"));
                }
                Ok(Ok(Step::Written(count))) => rest = rest.get(count..).unwrap_or_default(),
                Ok(Ok(Step::Read(None))) => {
                    return Err(endpoint.error(Kind::Cut, command, "end of stream"));
                }
                Ok(Ok(Step::Read(Some(response)))) => {
                    self.absorb(command, "", response.parsed())?;
                }
            }
        }
        Ok(())
    }

    /// Reads one response; the end of the stream, silence, a parse error and a panic are errors.
    pub(super) async fn read(
        &mut self,
        command: &'static str,
    ) -> Result<impl AnyResponse + use<>, ImapError> {
        self.read_within(command, self.endpoint.patience).await
    }

    /// The same with another patience.
    pub(super) async fn read_within(
        &mut self,
        command: &'static str,
        patience: Duration,
    ) -> Result<impl AnyResponse + use<>, ImapError> {
        let endpoint = &self.endpoint;
        match timeout(patience, read_guarded(&mut self.client)).await {
            Err(_) => {
                let text = format!("nothing came within {} s", patience.as_secs());
                Err(endpoint.error(Kind::Silent, command, text))
            }
            Ok(Err(error)) => {
                let cut = error.kind() != std::io::ErrorKind::Other;
                Err(endpoint.error(
                    if cut { Kind::Cut } else { Kind::Unexpected },
                    command,
                    io_text(&error),
                ))
            }
            Ok(Ok(None)) => Err(endpoint.error(Kind::Cut, command, "end of stream")),
            Ok(Ok(Some(response))) => Ok(response),
        }
    }

    pub(super) fn tag(&mut self) -> String {
        self.random.next()
    }

    /// Sends a command line under a new tag.
    pub(super) async fn send(
        &mut self,
        command: &'static str,
        line: &str,
    ) -> Result<String, ImapError> {
        let tag = self.tag();
        self.write(command, format!("{tag} {line}\r\n").as_bytes())
            .await?;
        Ok(tag)
    }

    /// Reads what a command is answered line by line, past the parser, which does not know all that servers say.
    /// Nothing else may be on its way before it. `None` for any end but OK.
    pub(super) async fn raw_lines(
        &mut self,
        command: &'static str,
        tag: &str,
    ) -> Result<Option<Vec<String>>, ImapError> {
        const MOST: usize = 1 << 16;
        let endpoint = Arc::clone(&self.endpoint);
        let read = async {
            let stream = self.inlet();
            let (mut lines, mut line, mut octets) = (Vec::new(), Vec::new(), 0);
            loop {
                let octet = stream.read_u8().await?;
                octets += 1;
                if octets > MOST {
                    return Err(std::io::Error::other("too long"));
                }
                if octet != b'\n' {
                    line.push(octet);
                    continue;
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                match text.strip_prefix(tag) {
                    Some(end) => return Ok((end.trim_start().starts_with("OK"), lines)),
                    None => lines.push(text),
                }
            }
        };
        match timeout(endpoint.patience, read).await {
            Err(_) => Err(endpoint.error(Kind::Silent, command, "nothing more came")),
            Ok(Err(error)) => Err(endpoint.error(Kind::Cut, command, io_text(&error))),
            Ok(Ok((ok, lines))) => Ok(ok.then_some(lines)),
        }
    }

    /// Reads up to the server's `+`; or up to the answer of the command `tag`, if it comes first.
    pub(super) async fn until_plus(
        &mut self,
        command: &'static str,
        tag: &str,
    ) -> Result<(), ImapError> {
        while !self.answers.contains_key(tag) {
            let response = self.read(command).await?;
            if matches!(response.parsed(), Response::Continue(_)) {
                break;
            }
            self.absorb(command, "", response.parsed())?;
        }
        Ok(())
    }

    /// Reads up to the answer of one of the commands that are outstanding. May be cancelled.
    pub(super) async fn answer(
        &mut self,
        command: &'static str,
        tag: &str,
    ) -> Result<(), ImapError> {
        while !self.answers.contains_key(tag) {
            let response = self.read(command).await?;
            self.absorb(command, "", response.parsed())?;
        }
        Ok(())
    }

    /// Reads to the end of the command `tag`, handing each untagged response to `on`.
    pub(super) async fn finish(
        &mut self,
        command: &'static str,
        folder: Option<&Mailbox>,
        tag: &str,
        mut on: impl FnMut(&Response<'_>) -> Result<(), String>,
    ) -> Result<Finished, ImapError> {
        loop {
            let response = self.read(command).await.map_err(|e| in_folder(e, folder))?;
            let parsed = response.parsed();
            if let Some(finished) = self
                .absorb(command, tag, parsed)
                .map_err(|e| in_folder(e, folder))?
            {
                return Ok(finished);
            }
            on(parsed)
                .map_err(|text| in_folder(self.error(Kind::Unexpected, command, text), folder))?;
        }
    }

    /// Sends and finishes a command, whatever its status.
    pub(super) async fn exchange(
        &mut self,
        command: &'static str,
        folder: Option<&Mailbox>,
        line: &str,
        on: impl FnMut(&Response<'_>) -> Result<(), String>,
    ) -> Result<Finished, ImapError> {
        self.expunged = 0;
        let tag = self
            .send(command, line)
            .await
            .map_err(|e| in_folder(e, folder))?;
        self.finish(command, folder, &tag, on).await
    }

    /// Sends and finishes a command that has to be answered OK.
    pub(super) async fn run(
        &mut self,
        command: &'static str,
        folder: Option<&Mailbox>,
        line: &str,
        on: impl FnMut(&Response<'_>) -> Result<(), String>,
    ) -> Result<Finished, ImapError> {
        let finished = self.exchange(command, folder, line, on).await?;
        self.demand_ok(command, folder, finished)
    }

    /// Sends commands at once and reads what each was answered, in whatever order the answers come; each
    /// untagged response goes to `on`.
    pub(super) async fn exchange_all(
        &mut self,
        commands: &[(&'static str, String)],
        mut on: impl FnMut(&Response<'_>) -> Result<(), String>,
    ) -> Result<Vec<Finished>, ImapError> {
        let Some((command, _)) = commands.first() else {
            return Ok(Vec::new());
        };
        let mut lines = String::new();
        let mut open = BTreeMap::new();
        for (index, (_, line)) in commands.iter().enumerate() {
            let tag = self.tag();
            lines.push_str(&format!("{tag} {line}\r\n"));
            open.insert(tag, index);
        }
        self.write(command, lines.as_bytes()).await?;
        let mut ended = BTreeMap::new();
        while !open.is_empty() {
            let response = self.read(command).await?;
            let parsed = response.parsed();
            let of_us = match parsed {
                Response::Done { tag, .. } => open.remove(&tag.0),
                _ => None,
            };
            match of_us {
                Some(index) => {
                    ended.insert(index, finished(parsed));
                }
                None => {
                    self.absorb(command, "", parsed)?;
                    on(parsed).map_err(|text| self.error(Kind::Unexpected, command, text))?;
                }
            }
        }
        Ok(ended.into_values().collect())
    }

    pub(super) fn demand_ok(
        &self,
        command: &'static str,
        folder: Option<&Mailbox>,
        finished: Finished,
    ) -> Result<Finished, ImapError> {
        let kind = match finished.end {
            End::Ok => return Ok(finished),
            End::No => kind_of_no(&finished.text),
            End::Bad => kind_of_bad(&finished.text),
        };
        Err(in_folder(self.error(kind, command, &finished.text), folder))
    }

    /// Takes what every response means for the connection; the end of `tag` is returned.
    pub(super) fn absorb(
        &mut self,
        command: &'static str,
        tag: &str,
        response: &Response<'_>,
    ) -> Result<Option<Finished>, ImapError> {
        match response {
            Response::Done { tag: done, .. } if done.0 == tag => {
                return Ok(Some(finished(response)));
            }
            Response::Done { tag: done, .. } if self.outstanding.remove(&done.0) => {
                let finished = finished(response);
                if finished.end == End::Bad {
                    let kind = kind_of_bad(&finished.text);
                    return Err(self.error(kind, command, &finished.text));
                }
                self.answers.insert(done.0.clone(), finished);
            }
            Response::Done { .. } => {
                return Err(self.error(
                    Kind::Unexpected,
                    command,
                    "an answer to a command that was not sent",
                ));
            }
            Response::Data {
                status: Status::Bye,
                outcome,
            } if command != "LOGOUT" => {
                return Err(self.error(
                    Kind::Bye,
                    command,
                    outcome.information.as_deref().unwrap_or_default(),
                ));
            }
            Response::Data {
                status: Status::Bad,
                outcome,
            } => {
                let text = outcome.information.as_deref().unwrap_or_default();
                return Err(self.error(kind_of_bad(text), command, text));
            }
            Response::MailboxData(MailboxDatum::Exists(count)) => self.exists = *count,
            Response::Expunge(_) => {
                self.exists = self.exists.saturating_sub(1);
                self.expunged += 1;
            }
            Response::Vanished {
                earlier: false,
                uids,
            } => {
                for range in uids {
                    let count = range.end().saturating_sub(*range.start());
                    self.expunged = self.expunged.saturating_add(count).saturating_add(1);
                }
            }
            Response::Capabilities(list) => self.capabilities = Capabilities::from_parsed(list),
            _ => {}
        }
        Ok(None)
    }
}

/// A response whose type async-imap does not export.
pub(super) trait AnyResponse: Send {
    fn parsed(&self) -> &Response<'_>;
}

enum Step<R> {
    Written(usize),
    Read(Option<R>),
}

async fn read_guarded(
    client: &mut async_imap::Client<ReadSide>,
) -> std::io::Result<Option<impl AnyResponse + use<>>> {
    let read = AssertUnwindSafe(client.read_response()).catch_unwind();
    match read.await {
        Ok(Ok(response)) => Ok(response.map(|r| Held(r, |r| r.parsed()))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(std::io::Error::other("the answer cannot be parsed")),
    }
}

struct Held<R>(R, for<'a> fn(&'a R) -> &'a Response<'a>);

impl<R: Send> AnyResponse for Held<R> {
    fn parsed(&self) -> &Response<'_> {
        (self.1)(&self.0)
    }
}

/// The parser's errors quote the buffer, mail included: of those only the kind is told.
fn io_text(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::Other {
        "the answer cannot be parsed".to_owned()
    } else {
        error.to_string()
    }
}

fn finished(response: &Response<'_>) -> Finished {
    match response {
        Response::Done {
            status, outcome, ..
        } => Finished {
            end: match status {
                Status::Ok => End::Ok,
                Status::No => End::No,
                _ => End::Bad,
            },
            code: Code::of(outcome.code.as_ref()),
            text: outcome
                .information
                .as_deref()
                .unwrap_or_default()
                .to_owned(),
        },
        _ => Finished {
            end: End::Bad,
            code: None,
            text: String::new(),
        },
    }
}

pub(super) fn in_folder(mut error: ImapError, folder: Option<&Mailbox>) -> ImapError {
    if let (None, Some(folder)) = (&error.folder, folder) {
        error.folder = Some(wire::decode_utf7(folder.as_str()));
    }
    error
}

fn kind_of(response: &Response<'_>) -> &'static str {
    match response {
        Response::Data {
            status: Status::Bye,
            ..
        } => "the server refused the connection with BYE",
        _ => "this is no IMAP greeting",
    }
}

/// Tags that nobody can foresee: a mail that plays server cannot answer in our name.
#[derive(Debug, Default)]
struct Tags {
    seed: Option<u64>,
    count: u64,
}

impl Tags {
    fn next(&mut self) -> String {
        let seed = *self.seed.get_or_insert_with(|| {
            let mut octets = [0; 8];
            // Without randomness from the system nothing else would work either; the count still differs.
            let _ = getrandom::fill(&mut octets);
            u64::from_le_bytes(octets)
        });
        self.count += 1;
        let digest = blake3::hash(&[seed.to_le_bytes(), self.count.to_le_bytes()].concat());
        format!(
            "t{}",
            hex::encode(digest.as_bytes().get(..8).unwrap_or_default())
        )
    }
}
