//! A Dovecot of one's own: folder, ports, certificates, and what a test does to a hoster.
//!
//! Any user name exists, with the password [`PASSWORD`]. As root, mail belongs to the user `mail`, as Dovecot demands;
//! as anybody else, everything runs as that user.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::corpus::{Corpus, Message, Place};
use super::daemon::{Daemon, Folder, is_root, output, until};
use super::judge::Judge;
use super::{names, ports};

/// The password of every user of every Dovecot here. It protects nothing.
pub const PASSWORD: &str = "secret";

/// The names of the special-use folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Sent, Drafts, Trash, Junk.
    #[default]
    English,
    /// Gesendet, Entwürfe, Papierkorb, Spam.
    German,
}

impl Language {
    fn special_use(self) -> [(&'static str, &'static str); 4] {
        match self {
            Self::English => [
                ("Sent", "Sent"),
                ("Drafts", "Drafts"),
                ("Trash", "Trash"),
                ("Junk", "Junk"),
            ],
            Self::German => [
                ("Sent", "Gesendet"),
                ("Drafts", "Entwürfe"),
                ("Trash", "Papierkorb"),
                ("Junk", "Spam"),
            ],
        }
    }
}

/// How Dovecot keeps its mail on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One file a message; may be seeded directly.
    #[default]
    Maildir,
    /// Dovecot's own; can be filled over IMAP only.
    Sdbox,
}

/// Which certificate the server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// A good one for `localhost` and 127.0.0.1 from the server's own authority.
    #[default]
    Valid,
    /// One from the same authority that ended years ago.
    Expired,
}

/// What a Dovecot should be like. `Options::default()` is a plain one with English names and `.` between folders.
#[derive(Debug, Clone)]
pub struct Options {
    /// Hierarchy separator, `.` or `/`.
    pub separator: char,
    /// Names of the special-use folders, which exist in each account from the start.
    pub language: Language,
    /// Whether folders carry their special use.
    pub special_use: bool,
    /// Storage format.
    pub format: Format,
    /// Replaces what the server says it can do (after login and before).
    pub capability: Option<String>,
    /// Bytes that an account may hold.
    pub quota_bytes: Option<u64>,
    /// Refuses logins without TLS. The judge cannot log in to such a server.
    pub require_tls: bool,
    /// The certificate.
    pub certificate: Certificate,
    /// Offers POP3 as well.
    pub pop3: bool,
    /// Takes mail by LMTP at [`Dovecot::lmtp_socket`] and [`Dovecot::lmtp_port`].
    pub lmtp: bool,
    /// Syncs mail to the disk, as a hoster does. Off by default: tests need speed, not durability.
    pub fsync: bool,
    /// Takes access tokens besides passwords.
    pub oauth: Option<Oauth>,
    /// Lines that are added to the configuration as they stand.
    pub extra: Vec<String>,
}

/// How a server takes access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oauth {
    /// Where it asks whether a token is good (RFC 7662): [`TokenServer::introspection_url`].
    ///
    /// [`TokenServer::introspection_url`]: super::TokenServer::introspection_url
    pub introspection_url: String,
    /// Mechanisms beside `plain` and `login`, such as `oauthbearer xoauth2`.
    pub mechanisms: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            separator: '.',
            language: Language::English,
            special_use: true,
            format: Format::Maildir,
            capability: None,
            quota_bytes: None,
            require_tls: false,
            certificate: Certificate::Valid,
            pop3: false,
            lmtp: false,
            fsync: false,
            oauth: None,
            extra: Vec::new(),
        }
    }
}

impl Options {
    /// German folder names and `/` between folders: as different from the default as hosters get.
    #[must_use]
    pub fn german() -> Self {
        Self {
            separator: '/',
            language: Language::German,
            ..Self::default()
        }
    }
}

/// A running Dovecot. Dropping it stops it and removes everything that it held.
#[derive(Debug)]
pub struct Dovecot {
    daemon: Option<Daemon>,
    options: Options,
    ports: [u16; 5],
    greeting: String,
    folder: Folder,
}

/// An account as it was at one moment; see [`Dovecot::backup`].
#[derive(Debug)]
pub struct Backup {
    user: String,
    path: PathBuf,
}

impl Dovecot {
    /// Starts one and waits until it greets.
    ///
    /// # Errors
    /// If Dovecot is not installed or will not start.
    pub fn start(options: Options) -> Result<Self> {
        let folder = Folder::create("dovecot")?;
        for name in ["run", "state", "mail", "backup"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        if is_root() {
            own(&folder.path().join("mail"))?;
        }
        write_certificates(folder.path(), options.certificate)?;
        let greeting = format!("Laboratory {:016x} ready.", ports::unique());
        let mut dovecot = Self {
            daemon: None,
            options,
            ports: [0; 5],
            greeting,
            folder,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            dovecot.ports = ports::free()?;
            match dovecot.launch() {
                Ok(()) => return Ok(dovecot),
                Err(error) if attempt == 5 => return Err(error.context(version_hint())),
                Err(_) => {}
            }
        }
    }

    fn launch(&mut self) -> Result<()> {
        let conf = self.conf_path();
        std::fs::write(&conf, self.configuration()?)
            .with_context(|| format!("writing {}", conf.display()))?;
        let _ = std::fs::remove_file(self.folder.path().join("log"));
        let mut command = Command::new(program("dovecot"));
        command.arg("-F").arg("-c").arg(&conf);
        let errors = std::fs::File::create(self.folder.path().join("stderr"))?;
        command.stdout(errors.try_clone()?).stderr(errors);
        let mut daemon = Daemon::start(command, Signal::SIGTERM, Some(self.folder.path()))
            .context("starting Dovecot (Debian: dovecot-imapd)")?
            // Its mail processes end at once; the master then waits a whole second for its own log process.
            .with_patience(Duration::from_millis(200));
        let (port, greeting) = (self.imap_port(), self.greeting.clone());
        let log = || {
            ["stderr", "log"]
                .map(|name| {
                    std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
                })
                .join("\n")
        };
        until(Duration::from_secs(20), "Dovecot's greeting", || {
            if let Some(status) = daemon.ended()? {
                bail!("Dovecot ended at once ({status}): {}", log().trim());
            }
            Ok(read_greeting(port).is_some_and(|line| line.contains(&greeting)))
        })
        .with_context(|| format!("starting Dovecot: {}", log().trim()))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    fn configuration(&self) -> Result<String> {
        let o = &self.options;
        let d = self.folder.path().display();
        let [imap, imaps, pop3, lmtp, pop3s] = self.ports;
        let user = if is_root() {
            "mail".to_owned()
        } else {
            nix::unistd::User::from_uid(nix::unistd::geteuid())?
                .context("the current user has no name")?
                .name
        };
        let group = if is_root() {
            "mail".to_owned()
        } else {
            nix::unistd::Group::from_gid(nix::unistd::getegid())?
                .context("the current group has no name")?
                .name
        };
        let mut c = format!(
            "base_dir = {d}/run\nstate_dir = {d}/state\nlog_path = {d}/log\ninfo_log_path = {d}/info\n\
             login_greeting = {}\nlisten = 127.0.0.1\n\
             ssl = {}\nssl_cert = <{d}/server.crt\nssl_key = <{d}/server.key\n\
             disable_plaintext_auth = {}\n\
             mail_location = {}\nmail_attribute_dict = file:%h/dovecot-attributes\nfirst_valid_uid = 1\n\
             mail_fsync = {}\nmail_max_userip_connections = 200\ndefault_process_limit = 200\nauth_failure_delay = 0\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid={user} gid={group} home={d}/mail/%u allow_all_users=yes\n}}\n",
            self.greeting,
            if o.require_tls { "required" } else { "yes" },
            if o.require_tls { "yes" } else { "no" },
            match o.format {
                Format::Maildir => "maildir:~/Maildir",
                Format::Sdbox => "sdbox:~/sdbox",
            },
            if o.fsync { "optimized" } else { "never" },
        );
        let mut protocols = vec!["imap"];
        c.push_str(&format!(
            "namespace inbox {{\n  inbox = yes\n  separator = {}\n",
            o.separator
        ));
        for (role, name) in o.language.special_use() {
            c.push_str(&format!("  mailbox \"{name}\" {{\n    auto = subscribe\n"));
            if o.special_use {
                c.push_str(&format!("    special_use = \\{role}\n"));
            }
            c.push_str("  }\n");
        }
        c.push_str("}\n");
        c.push_str(&format!(
            "service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = \
             {imaps}\n    ssl = yes\n  }}\n  process_min_avail = 1\n  service_count = 0\n{}}}\n",
            chroot()
        ));
        if o.pop3 {
            protocols.push("pop3");
            c.push_str(&format!(
                "service pop3-login {{\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = \
                 {pop3s}\n    ssl = yes\n  }}\n{}}}\n",
                chroot()
            ));
        }
        if o.lmtp {
            protocols.push("lmtp");
            c.push_str(&format!(
                "service lmtp {{\n  unix_listener {d}/lmtp {{\n    mode = 0666\n  }}\n  inet_listener lmtp {{\n    address = 127.0.0.1\n    port = {lmtp}\n  }}\n}}\nprotocol lmtp {{\n  postmaster_address \
                 = postmaster@localhost\n}}\nauth_username_format = %Lu\n"
            ));
        }
        c.push_str(&format!("protocols = {}\n", protocols.join(" ")));
        c.push_str("mail_plugins = $mail_plugins quota zlib\nprotocol imap {\n  mail_plugins = $mail_plugins imap_quota imap_zlib\n}\n");
        c.push_str("plugin {\n  quota = count:User quota\n  quota_vsizes = yes\n");
        if let Some(bytes) = o.quota_bytes {
            c.push_str(&format!(
                "  quota_rule = *:storage={bytes}B\n  quota_grace = 0\n"
            ));
        }
        c.push_str("}\n");
        if let Some(capability) = &o.capability {
            c.push_str(&format!(
                "protocol imap {{\n  imap_capability = {capability}\n}}\n"
            ));
        }
        if !is_root() {
            c.push_str(&format!(
                "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\nservice anvil {{\n  \
                 chroot =\n}}\nservice stats {{\n  chroot =\n}}\n"
            ));
        }
        if let Some(oauth) = &o.oauth {
            std::fs::write(
                self.folder.path().join("oauth2.conf"),
                format!(
                    "introspection_mode = post\nintrospection_url = {}\nusername_attribute = username\nactive_attribute = active\nactive_value = true\n",
                    oauth.introspection_url
                ),
            )?;
            c.push_str(&format!(
                "auth_mechanisms = plain login {}\npassdb {{\n  driver = oauth2\n  mechanisms = {}\n  args = {d}/oauth2.conf\n}}\n",
                oauth.mechanisms, oauth.mechanisms
            ));
        }
        for line in &o.extra {
            c.push_str(line);
            c.push('\n');
        }
        Ok(c)
    }

    /// Its configuration, for `doveadm -c`.
    #[must_use]
    pub fn conf_path(&self) -> PathBuf {
        self.folder.path().join("dovecot.conf")
    }

    /// Port of plain IMAP, with STARTTLS.
    #[must_use]
    pub fn imap_port(&self) -> u16 {
        self.ports[0]
    }

    /// Port of IMAP over TLS.
    #[must_use]
    pub fn imaps_port(&self) -> u16 {
        self.ports[1]
    }

    /// Port of POP3 over TLS, if POP3 was asked for.
    #[must_use]
    pub fn pop3s_port(&self) -> u16 {
        self.ports[4]
    }

    /// Port of POP3, with STLS, if asked for.
    #[must_use]
    pub fn pop3_port(&self) -> u16 {
        self.ports[2]
    }

    /// Port of LMTP, if asked for.
    #[must_use]
    pub fn lmtp_port(&self) -> u16 {
        self.ports[3]
    }

    /// The authority that signed the server's certificate (PEM).
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Where mail is taken by LMTP, if asked for.
    #[must_use]
    pub fn lmtp_socket(&self) -> PathBuf {
        self.folder.path().join("lmtp")
    }

    /// What Dovecot complained about so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What Dovecot did so far: a line for each login, with its method.
    #[must_use]
    pub fn info(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("info")).unwrap_or_default()
    }

    /// The options it was started with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The name of a place on this server: `Sent` or `Gesendet`, segments joined by this server's separator.
    #[must_use]
    pub fn folder_name(&self, place: &Place) -> String {
        match place {
            Place::Inbox => "INBOX".to_owned(),
            Place::Sent => match self.options.language {
                Language::English => "Sent".to_owned(),
                Language::German => "Gesendet".to_owned(),
            },
            Place::Path(segments) => segments.join(&self.options.separator.to_string()),
        }
    }

    /// The judge, logged in as `user`.
    ///
    /// # Errors
    /// If the login fails.
    pub fn judge(&self, user: &str) -> Result<Judge> {
        Judge::login(self.imap_port(), user, PASSWORD)
    }

    /// The Maildir of `user` (which exists once somebody logged in or it was seeded).
    #[must_use]
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.home(user).join("Maildir")
    }

    fn home(&self, user: &str) -> PathBuf {
        self.folder.path().join("mail").join(user)
    }

    /// Writes a corpus into the Maildir of `user`, past the server. Fast; for messages that Maildir holds as they are
    /// (the five flags, no keywords). Returns the number of messages and their bytes.
    ///
    /// # Errors
    /// If the format is not Maildir, a message has a keyword, or writing fails.
    pub fn seed(&self, user: &str, corpus: &Corpus) -> Result<(u64, u64)> {
        self.plant(user, corpus.messages())
    }

    /// The same with any messages.
    ///
    /// # Errors
    /// As [`Self::seed`].
    pub fn plant(&self, user: &str, messages: impl Iterator<Item = Message>) -> Result<(u64, u64)> {
        if self.options.format != Format::Maildir {
            bail!("only a Maildir can be seeded; use Judge::append_all");
        }
        let base = self.maildir(user);
        let mut made = std::collections::BTreeMap::new();
        let (mut count, mut bytes) = (0, 0);
        for message in messages {
            let folder = match made.get(&message.place) {
                Some(path) => path,
                None => {
                    let path = self.maildir_folder(&base, &message.place);
                    for part in ["cur", "new", "tmp"] {
                        std::fs::create_dir_all(path.join(part))?;
                    }
                    made.entry(message.place.clone()).or_insert(path)
                }
            };
            write_maildir(folder, count, &message)?;
            count += 1;
            bytes += u64::try_from(message.body.len())?;
        }
        if is_root() {
            output(
                Command::new("chown")
                    .arg("-R")
                    .arg("mail:mail")
                    .arg(self.home(user)),
            )?;
        }
        Ok((count, bytes))
    }

    fn maildir_folder(&self, base: &Path, place: &Place) -> PathBuf {
        match place {
            Place::Inbox => base.to_owned(),
            Place::Sent => base.join(format!(".{}", names::encode(&self.folder_name(place)))),
            Place::Path(segments) => {
                let coded: Vec<String> = segments
                    .iter()
                    .map(|segment| names::encode(segment))
                    .collect();
                base.join(format!(".{}", coded.join(".")))
            }
        }
    }

    /// Runs `doveadm` on this server.
    ///
    /// # Errors
    /// If it fails; its standard error is in the text.
    pub fn doveadm(&self, args: &[&str]) -> Result<String> {
        output(
            Command::new("doveadm")
                .arg("-c")
                .arg(self.conf_path())
                .args(args),
        )
    }

    /// Gives one folder a new UIDVALIDITY and new UIDs, as a hoster does who moved its storage.
    ///
    /// # Errors
    /// If the folder is not there.
    pub fn renew_uidvalidity(&self, user: &str, place: &Place) -> Result<()> {
        let path = self.maildir_folder(&self.maildir(user), place);
        let _ = self.doveadm(&["kick", user]);
        std::fs::remove_file(path.join("dovecot-uidlist"))
            .with_context(|| format!("forgetting the UIDs of {}", path.display()))?;
        for name in [
            "dovecot.index",
            "dovecot.index.log",
            "dovecot.index.log.2",
            "dovecot.index.cache",
        ] {
            let _ = std::fs::remove_file(path.join(name));
        }
        Ok(())
    }

    /// Keeps the account's state of this moment. Stops the server for as long as it takes.
    ///
    /// # Errors
    /// If copying fails or the server does not come back.
    pub fn backup(&mut self, user: &str) -> Result<Backup> {
        let path = self
            .folder
            .path()
            .join("backup")
            .join(format!("{:x}", ports::unique()));
        self.stop();
        output(Command::new("cp").arg("-a").arg(self.home(user)).arg(&path))?;
        self.restart()?;
        Ok(Backup {
            user: user.to_owned(),
            path,
        })
    }

    /// Puts an account back to an earlier state, UIDNEXT and all, as a hoster does from its backup.
    ///
    /// # Errors
    /// If copying fails or the server does not come back.
    pub fn restore(&mut self, backup: &Backup) -> Result<()> {
        self.stop();
        let home = self.home(&backup.user);
        std::fs::remove_dir_all(&home)?;
        output(Command::new("cp").arg("-a").arg(&backup.path).arg(&home))?;
        self.restart()
    }

    /// Stops the server; ports and mail are kept.
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    /// Kills the server and all its processes on the spot; ports and mail are kept.
    ///
    /// # Errors
    /// If it was not running.
    pub fn kill(&mut self) -> Result<()> {
        let daemon = self.daemon.take().context("this Dovecot is not running")?;
        daemon.signal_group(Signal::SIGKILL)
    }

    /// Starts the server again on the ports that it had, with the mail that it had.
    ///
    /// # Errors
    /// If another process took a port meanwhile, or Dovecot will not start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        self.launch()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // The process first, then (by its own drop) the folder.
        self.daemon = None;
    }
}

/// Lines that take a service out of its chroot where we may not make one.
fn chroot() -> &'static str {
    if is_root() { "" } else { "  chroot =\n" }
}

/// What may be wrong with the Dovecot that is installed.
fn version_hint() -> String {
    match output(Command::new(program("dovecot")).arg("--version")) {
        Ok(version) if version.starts_with("2.3.") => "Dovecot would not start".to_owned(),
        Ok(version) => format!(
            "the laboratory writes configurations for Dovecot 2.3 (Debian 12); here is {}",
            version.trim()
        ),
        Err(_) => "Dovecot is not installed (Debian: dovecot-imapd)".to_owned(),
    }
}

/// Debian keeps servers in sbin, which an ordinary user's PATH leaves out.
pub(crate) fn program(name: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.exists() {
        sbin
    } else {
        PathBuf::from(name)
    }
}

fn own(path: &Path) -> Result<()> {
    let user = nix::unistd::User::from_name("mail")?.context("there is no user `mail`")?;
    std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .with_context(|| format!("giving {} to mail", path.display()))
}

fn read_greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line)
}

fn write_maildir(folder: &Path, number: u64, message: &Message) -> Result<()> {
    let mut letters: Vec<char> = Vec::new();
    for flag in &message.flags {
        letters.push(match flag.as_str() {
            "\\Draft" => 'D',
            "\\Flagged" => 'F',
            "\\Answered" => 'R',
            "\\Seen" => 'S',
            "\\Deleted" => 'T',
            other => bail!("the Maildir writer knows no keyword: {other}"),
        });
    }
    letters.sort_unstable();
    let size = message.body.len();
    let lines = message.body.iter().filter(|byte| **byte == b'\n').count();
    let bare = lines.saturating_sub(
        message
            .body
            .array_windows::<2>()
            .filter(|pair| *pair == b"\r\n")
            .count(),
    );
    let name = format!(
        "{}.M{number}.laboratory,S={size},W={}:2,{}",
        message.internaldate.max(0),
        size + bare,
        letters.iter().collect::<String>()
    );
    let path = folder.join("cur").join(name);
    let mut file =
        std::fs::File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    file.write_all(&message.body)?;
    let since = Duration::from_secs(
        u64::try_from(message.internaldate).context("a Maildir date before 1970")?,
    );
    file.set_modified(UNIX_EPOCH + since)?;
    Ok(())
}

fn write_certificates(folder: &Path, certificate: Certificate) -> Result<()> {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
    };
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name
        .push(DnType::CommonName, "Maildreieck laboratory");
    ca.not_before = date_time_ymd(2020, 1, 1);
    ca.not_after = date_time_ymd(2090, 1, 1);
    let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.not_before = date_time_ymd(2020, 1, 2);
    leaf.not_after = match certificate {
        Certificate::Valid => date_time_ymd(2089, 1, 1),
        Certificate::Expired => date_time_ymd(2021, 1, 1),
    };
    let key = KeyPair::generate()?;
    let signed = leaf.signed_by(&key, &issuer)?;
    std::fs::write(folder.join("ca.crt"), issuer.pem())?;
    std::fs::write(folder.join("server.crt"), signed.pem())?;
    std::fs::write(folder.join("server.key"), key.serialize_pem())?;
    Ok(())
}
