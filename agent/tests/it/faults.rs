//! Servers and sites where something is wrong: a clear error, and nothing changed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use maildreieck_agent::ledger::Ledger;
use xtask::lab::daemon::until;
use xtask::lab::dovecot::{Certificate, Dovecot, Options, PASSWORD};
use xtask::lab::fake::{Action, Fake, Script};

use super::proof::cut;
use super::site::{
    Said, Site, USER, account_toml, agent, command, configured, fill, said, write_private,
};

fn script() -> Script {
    let mut script = Script::new();
    for number in 0..5 {
        let body = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(100));
        script = script.message(
            "INBOX",
            &["\\Seen"],
            "24-Nov-2024 10:00:00 +0100",
            body.as_bytes(),
        );
    }
    script
}

fn against(script: Script) -> (Said, usize) {
    let fake = Fake::start(script).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(fake.port(), standby.imap_port());
    let said = agent(dir.path(), &["once"]);
    let there = standby
        .judge(super::site::USER)
        .unwrap()
        .account()
        .unwrap()
        .messages();
    (said, usize::try_from(there).unwrap())
}

#[test]
fn an_obedient_fake_server_is_mirrored() {
    let (said, there) = against(script());
    said.exits(0);
    assert_eq!(there, 5);
}

#[test]
fn a_source_that_misbehaves_fails_the_run_and_changes_nothing() {
    let listing = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)";
    let cases: Vec<(&str, Script, &str)> = vec![
        (
            "NO to the listing",
            script().on(listing, &[Action::no("[UNAVAILABLE] later")]),
            "UID FETCH in folder 'INBOX'",
        ),
        (
            "cut after one message",
            script().on(
                listing,
                &[Action::AnswerBefore(b"* 2 FETCH".to_vec()), Action::Close],
            ),
            "was cut",
        ),
        (
            "OK after one message",
            script().on(
                listing,
                &[
                    Action::AnswerBefore(b"* 2 FETCH".to_vec()),
                    Action::send("{tag} OK done\r\n"),
                ],
            ),
            "1 of 5",
        ),
        (
            "NO to bodies",
            script().on("BODY.PEEK[]", &[Action::no("not now")]),
            "UID FETCH in folder 'INBOX'",
        ),
        (
            "BYE to EXAMINE",
            script().on(
                "EXAMINE",
                &[Action::send("* BYE closing\r\n"), Action::Close],
            ),
            "goodbye",
        ),
        (
            "cut in LIST",
            script().on("LIST", &[Action::AnswerUpTo(10), Action::Close]),
            "was cut",
        ),
        (
            "no folder at all",
            script().on("LIST", &[Action::send("{tag} OK done\r\n")]),
            "no folder",
        ),
        (
            "a wrong tag",
            script().on("EXAMINE", &[Action::send("zzz OK done\r\n"), Action::Close]),
            "not sent",
        ),
        (
            "garbage",
            script().on(
                "EXAMINE",
                &[Action::send("\u{1}\u{2}garbage\r\n"), Action::Close],
            ),
            "parsed",
        ),
    ];
    for (name, script, words) in cases {
        let (said, there) = against(script);
        assert_eq!(said.code, 1, "{name}: {}", said.stderr);
        assert!(
            said.stderr.contains(words) && said.stderr.contains("primary"),
            "{name}: {}",
            said.stderr
        );
        assert!(
            said.stderr.contains("trying again"),
            "{name}: {}",
            said.stderr
        );
        assert_eq!(there, 0, "{name}");
    }
}

#[test]
fn a_body_that_is_cut_is_not_taken_for_a_message() {
    let cut = [Action::AnswerBefore(b"xxxxxxxxxx".to_vec()), Action::Close];
    let (said, there) = against(script().on("BODY.PEEK[]", &cut));
    assert_eq!((said.code, there), (1, 0), "{}", said.stderr);
    let bye = [
        Action::AnswerBefore(b"xxxxxxxxxx".to_vec()),
        Action::send("\r\n* BYE\r\n"),
        Action::Close,
    ];
    let (said, there) = against(script().on("BODY.PEEK[]", &bye));
    assert_eq!((said.code, there), (1, 0), "{}", said.stderr);
}

/// Mirrors where each connection of one side ends after two messages and a bit.
fn in_small_pieces(primary: Script, standby: Script) -> u64 {
    let (primary, standby) = (Fake::start(primary).unwrap(), Fake::start(standby).unwrap());
    let dir = configured(primary.port(), standby.port());
    let said = agent(dir.path(), &["mirror"]).exits(0);
    assert!(said.stderr.contains("going on"), "{}", said.stderr);
    primary.behave();
    standby.behave();
    agent(dir.path(), &["once"]).exits(0);
    assert_eq!(standby.messages("INBOX").len(), 5);
    said.sent()
}

#[test]
fn what_came_whole_before_a_cut_is_not_asked_for_again() {
    let cut = [Action::AnswerUpTo(500), Action::Close];
    let cuts = || script().on("BODY.PEEK[]", &cut);
    assert_eq!(in_small_pieces(cuts(), Script::new()), 5);
    // What the standby holds already is read there to be known.
    assert_eq!(in_small_pieces(script(), cuts()), 0);
    // Nothing whole ever comes.
    let nothing = [Action::AnswerUpTo(150), Action::Close];
    let (said, there) = against(script().on("BODY.PEEK[]", &nothing));
    assert_eq!((said.code, there), (1, 0), "{}", said.stderr);
}

#[test]
fn a_source_that_turns_bad_is_no_empty_mailbox() {
    // First all is well; then the listing comes up short: nothing may become a tombstone.
    let listing = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)";
    let short = [
        Action::AnswerBefore(b"* 2 FETCH".to_vec()),
        Action::send("{tag} OK done\r\n"),
    ];
    let fake = Fake::start(script().on_nth(listing, 2, usize::MAX, &short)).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(fake.port(), standby.imap_port());
    agent(dir.path(), &["once"]).exits(0);
    agent(dir.path(), &["once"]).exits(1);
    fake.behave();
    let said = agent(dir.path(), &["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
}

#[test]
fn a_server_that_goes_silent_is_given_up() {
    let fake = Fake::start(script().on("EXAMINE", &[Action::Stall])).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(fake.port(), standby.imap_port());
    let path = dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("username", "timeout_s = 1\nusername");
    std::fs::write(&path, text).unwrap();
    let said = agent(dir.path(), &["once"]);
    check(
        said,
        1,
        &["went silent", "within 1 s", "trying again can help"],
    );
}

fn one_account(change: impl Fn(&mut String, &Path)) -> Said {
    let site = Site::new();
    let path = site.dir.path().join("agent.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    change(&mut text, site.dir.path());
    std::fs::write(&path, text).unwrap();
    site.fill("INBOX", 1, 1);
    site.once()
}

fn check(said: Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "'{word}' in: {}", said.stderr);
    }
    assert!(
        !said.stderr.contains(PASSWORD) && !said.stderr.contains("panicked"),
        "{}",
        said.stderr
    );
}

#[test]
fn each_fault_of_a_site_is_said_with_what_to_do() {
    let wrong_password =
        |_: &mut String, dir: &Path| write_private(&dir.join("password"), "falsch");
    check(
        one_account(wrong_password),
        1,
        &[
            "user name or password refused",
            "password_file",
            "does not help",
        ],
    );
    let wrong_port = |text: &mut String, _: &Path| {
        let line = text
            .lines()
            .find(|l| l.starts_with("port"))
            .unwrap()
            .to_owned();
        *text = text.replacen(&line, "port = 9", 1);
    };
    check(
        one_account(wrong_port),
        1,
        &["no connection", "check host, port"],
    );
    let unknown_key = |text: &mut String, _: &Path| *text = text.replacen("username", "usernme", 1);
    check(
        one_account(unknown_key),
        2,
        &["agent.toml:", "usernme", "username"],
    );
    let no_folder = |text: &mut String, dir: &Path| {
        std::fs::write(dir.join("file"), "").unwrap();
        *text = text.replacen(
            dir.join("data").to_str().unwrap(),
            dir.join("file/data").to_str().unwrap(),
            1,
        );
    };
    check(one_account(no_folder), 1, &["file"]);
}

#[test]
fn a_port_for_another_tls_is_told_from_a_fault() {
    for (ours, tls) in [(0, "implicit"), (1, "starttls"), (1, "none")] {
        let site = Site::new();
        let ports = [site.primary.imap_port(), site.primary.imaps_port()];
        let file = site.dir.path().join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let new = format!("port = {}\ntls = \"{tls}\"\ntimeout_s = 1", ports[ours]);
        let old = format!("port = {}\ntls = \"none\"", ports[0]);
        std::fs::write(&file, text.replace(&old, &new)).unwrap();
        let words = ["is tls right for this port?", "993", "143"];
        check(site.agent(&["mirror"]), 1, &words);
    }
}

#[test]
fn an_expired_certificate_is_refused() {
    let primary = Dovecot::start(Options {
        certificate: Certificate::Expired,
        ..Options::default()
    })
    .unwrap();
    let standby = Dovecot::start(Options::german()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    write_private(&password, PASSWORD);
    let text = format!(
        "data_dir = \"data\"\n[[triangle]]\nname = \"info\"\n{}{}",
        account_toml(
            "primary",
            primary.imaps_port(),
            "implicit",
            Some(&primary.ca_file()),
            &password
        ),
        account_toml("standby", standby.imap_port(), "none", None, &password),
    );
    std::fs::write(dir.path().join("agent.toml"), text).unwrap();
    check(agent(dir.path(), &["mirror"]), 1, &["TLS", "xpired"]);
}

#[test]
fn a_run_that_is_told_to_stop_says_so_and_leaves_nothing_in_doubt() {
    const FOLDERS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];
    let mut script = Script::new();
    for number in 0..60 {
        let body = format!("Subject: {number}\r\n\r\n{number}\r\n");
        let date = "24-Nov-2024 10:00:00 +0100";
        script = script.message(FOLDERS[number % 6], &[], date, body.as_bytes());
    }
    let (primary, standby) = (
        Fake::start(script).unwrap(),
        Fake::start(Script::new()).unwrap(),
    );
    let dir = configured(primary.port(), standby.port());
    let file = dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // So that there is a moment between the first message and the last.
    let slow = "[triangle.primary]\nmessages_per_second = 5\n";
    std::fs::write(&file, text.replace("[triangle.primary]\n", slow)).unwrap();
    let there = || {
        FOLDERS
            .iter()
            .map(|f| standby.messages(f).len())
            .sum::<usize>()
    };
    let child = command(dir.path(), &["once"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until(
        Duration::from_secs(30),
        "mail to arrive",
        || Ok(there() > 0),
    )
    .unwrap();
    let pid = child.id().to_string();
    let told = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(told.success());
    let said = said(child.wait_with_output().unwrap()).exits(1);
    let error = &said.triangle()["error"];
    assert_eq!(error["temporary"], true);
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("interrupted"), "{message}");
    assert!((1..60).contains(&there()), "{}", there());
    let mut ledger = Ledger::open(&dir.path().join("data/ledger.db")).unwrap();
    assert_eq!(ledger.batches_in_doubt("info").unwrap().len(), 0);
    drop(ledger);
    std::fs::write(&file, text).unwrap();
    agent(dir.path(), &["once"]).exits(0);
    assert_eq!(there(), 60);
}

#[test]
fn options_may_stand_anywhere_and_what_is_exposed_is_said_once() {
    let site = Site::new();
    site.once().exits(0);
    let config = site.dir.path().join("agent.toml");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maildreieck-agent"));
        command.args(
            args.iter()
                .map(|a| a.replace("FILE", config.to_str().unwrap())),
        );
        said(command.output().unwrap())
    };
    for args in [
        ["--config", "FILE", "--json", "store", "check"],
        ["--json", "store", "check", "--config", "FILE"],
        ["store", "check", "--config", "FILE", "--json"],
        ["store", "--config", "FILE", "--json", "check"],
        ["store", "check", "--json", "--config", "FILE"],
    ] {
        assert!(
            run(&args[..]).exits(0).json["contents"].is_number(),
            "{args:?}"
        );
    }
    check(run(&["store", "check"]), 2, &["--config FILE is missing"]);
    let password = site.dir.path().join("password");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = site.once().exits(0);
    assert_eq!(
        said.stderr.matches("chmod 600").count(),
        1,
        "{}",
        said.stderr
    );
}

#[test]
fn what_cannot_be_said_is_no_success() {
    let site = Site::new();
    site.fill("INBOX", 1, 1);
    let full = std::fs::File::create("/dev/full").unwrap();
    let run = command(site.dir.path(), &["once"])
        .stdin(Stdio::null())
        .stdout(full)
        .output()
        .unwrap();
    let words = ["standard output", "No space left"];
    check(said(run), 1, &words);
    site.assert_equal();
}

#[test]
fn a_limit_of_the_size_of_files_is_an_error_like_another() {
    let site = Site::new();
    let mut random = vec![0_u8; 100_000];
    getrandom::fill(&mut random).unwrap();
    random
        .iter_mut()
        .for_each(|octet| *octet = *octet % 94 + 33);
    for number in 0..15 {
        let body = [b"Subject: x\r\n\r\n", &random[number..], b"\r\n"].concat();
        site.primary().append("INBOX", &[], 0, &body).unwrap();
    }
    let agent = command(site.dir.path(), &["mirror"]);
    let run = Command::new("prlimit")
        .arg("--fsize=1000000")
        .arg(agent.get_program())
        .args(agent.get_args())
        .output()
        .unwrap();
    check(said(run), 1, &["File too large"]);
    assert_eq!(site.once().exits(0).classes(), [""; 0]);
    site.assert_equal();
}

#[test]
fn what_is_no_imap_server_is_named_by_its_first_line() {
    for (greeting, words) in [
        (
            "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
            "it begins with 'HTTP/1.1 400 Bad Request'",
        ),
        (
            "220 mail.abc.example ESMTP\r\n",
            "it begins with '220 mail.abc.example ESMTP'",
        ),
        ("+OK POP3 ready\r\n", "it begins with '+OK POP3 ready'"),
        // Its line may never end.
        (
            "SSH-2.0-OpenSSH_9.2p1",
            "it begins with 'SSH-2.0-OpenSSH_9.2p1'",
        ),
    ] {
        let fake = Fake::start(Script::new().greeting(greeting)).unwrap();
        let dir = configured(fake.port(), fake.port());
        let config = dir.path().join("agent.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        // Another user, so that it is another account.
        let (head, standby) = text.split_once("[triangle.standby]").unwrap();
        let standby = standby.replace("username = \"info\"", "username = \"other\"");
        std::fs::write(&config, format!("{head}[triangle.standby]{standby}")).unwrap();
        let said = agent(dir.path(), &["mirror"]);
        let server = format!("localhost:{}", fake.port());
        check(
            said,
            1,
            &["this is no IMAP server", words, &server, "993", "143"],
        );
        if greeting.ends_with('\n') {
            let text = std::fs::read_to_string(&config).unwrap();
            let starttls = text.replace("tls = \"none\"", "tls = \"starttls\"");
            std::fs::write(&config, starttls).unwrap();
            let said = agent(dir.path(), &["mirror"]);
            check(said, 1, &["this is no IMAP server", words]);
        }
    }
}

/// Told to stop before it has read its configuration, which comes through a pipe that opens when it is read from.
#[test]
fn who_ends_a_run_at_its_begin_gets_the_document_all_the_same() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.dir.path().join("agent.toml")).unwrap();
    let pipe = site.dir.path().join("pipe.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_maildreieck-agent"))
        .args(["once", "--json", "--quiet", "--config"])
        .arg(&pipe)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut writer = std::fs::File::create(&pipe).unwrap();
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGINT).unwrap();
    std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    drop(writer);
    let said = said(child.wait_with_output().unwrap()).exits(1);
    let error = said.triangle()["error"]["message"].as_str().unwrap();
    assert!(error.contains("interrupted"), "{error}");
}

/// What an expunge in the middle of a FETCH looks like: it is no empty message, and the others arrive.
#[test]
fn nil_in_the_middle_of_a_fetch_is_no_message() {
    let fetch = "BODY.PEEK[]";
    let nil = |rest: &str| {
        let row = format!("* 1 FETCH (UID 1 FLAGS (\\Seen) RFC822.SIZE 116 {rest})\r\n");
        [
            Action::send(&row),
            Action::send("{tag} OK [EXPUNGEISSUED] done\r\n"),
        ]
    };
    let date = "INTERNALDATE \"24-Nov-2024 10:00:00 +0100\"";
    for (rest, code) in [
        (format!("{date} BODY[] NIL"), 0),
        ("INTERNALDATE NIL BODY[] NIL".to_owned(), 0),
        ("INTERNALDATE NIL BODY[] {1}\r\nx".to_owned(), 0),
    ] {
        let fake = Fake::start(script().once(fetch, &nil(&rest))).unwrap();
        let standby = Dovecot::start(Options::default()).unwrap();
        let dir = configured(fake.port(), standby.imap_port());
        let said = agent(dir.path(), &["mirror"]);
        assert_eq!(said.code, code, "{rest}: {}", said.stderr);
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        let said = agent(dir.path(), &["once"]).exits(0);
        assert_eq!(said.classes(), [""; 0], "{rest}");
        let mut judge = standby.judge(super::site::USER).unwrap();
        let mut there: Vec<Vec<u8>> = judge
            .messages("INBOX")
            .unwrap()
            .into_iter()
            .map(|m| m.body)
            .collect();
        let mut here: Vec<Vec<u8>> = fake.messages("INBOX").into_iter().map(|m| m.body).collect();
        there.sort();
        here.sort();
        assert_eq!(there, here, "{rest}");
        assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 0);
        agent(dir.path(), &["store", "check"]).exits(0);
    }
}

/// It is listed each time and never given: no corner has it, and no proof passes over that.
#[test]
fn what_is_listed_and_never_given_is_named() {
    let row = "* 1 FETCH (UID 1 FLAGS (\\Seen) RFC822.SIZE 116 INTERNALDATE \"24-Nov-2024 10:00:00 +0100\" BODY[] NIL)\r\n";
    let nil = [Action::send(row), Action::send("{tag} OK done\r\n")];
    let fake = Fake::start(script().on("BODY.PEEK[]", &nil)).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(fake.port(), standby.imap_port());
    for depth in ["ledger", "content", "volume"] {
        agent(dir.path(), &["mirror"]);
        let said = agent(dir.path(), &["reconcile", "--depth", depth]).exits(3);
        let classes = said.classes();
        assert!(
            classes.iter().any(|c| c.contains("missing_at_standby")),
            "{depth}: {classes:?}"
        );
    }
}

#[test]
fn gaps_between_uids_are_nothing_special() {
    let site = Site::new();
    site.fill("INBOX", 1, 40);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    let odd: Vec<u32> = uids.iter().copied().filter(|uid| uid % 3 > 0).collect();
    primary.delete("INBOX", &odd).unwrap();
    assert_eq!(site.once().exits(0).sent(), 13);
    primary.delete("INBOX", &uids[38..39]).unwrap();
    site.fill("INBOX", 50, 2);
    assert_eq!(site.once().exits(0).sent(), 2);
    assert_eq!(site.once().exits(0).sent(), 0);
    site.agent(&["store", "check"]).exits(0);
}

/// The newest half of a segment is gone, as after a bad disk.
#[test]
fn a_segment_torn_in_half_is_filled_again() {
    let site = Site::new();
    site.fill("INBOX", 1, 20);
    site.once().exits(0);
    let segment = site.segments().pop().unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    drop(file);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    let repairs = said.repairs();
    assert!(repairs.len() >= 5, "{repairs:?}");
    assert!(
        repairs.iter().all(|r| r == "missing_in_store store"),
        "{repairs:?}"
    );
    site.agent(&["store", "check"]).exits(0);
    site.assert_equal();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (0, vec![]));
}

#[test]
fn a_ledger_that_another_process_holds_is_named_and_nothing_is_lost() {
    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, SqliteConnection};
    let site = Site::new();
    site.fill("INBOX", 1, 5);
    site.once().exits(0);
    site.fill("INBOX", 10, 5);
    let ledger = site.dir.path().join("data/ledger.db");
    let mut other = SqliteConnection::establish(ledger.to_str().unwrap()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let said = site.once();
    check(said, 1, &["ledger", "locked", "trying again can help"]);
    other.batch_execute("ROLLBACK").unwrap();
    drop(other);
    assert_eq!(site.once().exits(0).sent(), 5);
    site.assert_equal();
    assert_eq!(site.once().exits(0).sent(), 0);
    site.agent(&["store", "check"]).exits(0);
}

/// Whether it is read for the first time by a mirror, or on a standby to be known: it is put aside, and the others go on.
#[test]
fn a_message_that_a_server_hangs_up_on_is_put_aside_and_the_others_arrive() {
    let site = Site::new();
    site.fill("INBOX", 1, 60);
    fill(&mut site.standby(), "INBOX", 21, 20);
    let uids = cut(&site.primary, &[7, 50]);
    cut(&site.standby, &[30]);
    let said = site.once().exits(0);
    // The one whose copy on the standby nobody can read is sent.
    assert_eq!(said.sent(), 60 - 2 - 19);
    let aside = [
        "(preexisting standby)",
        "(quarantined standby)",
        "(quarantined standby)",
        "(quarantined store)",
        "(quarantined store)",
    ];
    assert_eq!(said.classes(), aside);
    let named = said.triangle()["discrepancies"].as_array().unwrap().iter();
    let named = named.filter(|d| d["class"] == "quarantined" && d["corner"] == "store");
    let mut named: Vec<u64> = named.map(|d| d["uid"].as_u64().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, [u64::from(uids[0]), u64::from(uids[1])]);
    let standby = &said.triangle()["corners"]["standby"];
    assert_eq!(standby["messages"], 59);
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, aside.map(str::to_owned).to_vec())
    );
    site.fill("INBOX", 70, 3);
    assert_eq!(site.once().exits(0).sent(), 3);
}

/// A server that sends what was asked for next before it says that the command before is done, as Dovecot does, and whose
/// connections end: nothing that came is asked for, or sent, again.
#[test]
fn many_messages_come_once_however_often_the_connection_ends() {
    let site = Site::new();
    site.fill("INBOX", 1, 700);
    let bad = [90, 210, 211, 400, 650];
    cut(&site.primary, &bad);
    for sent in [700 - 5, 0, 0] {
        let said = site.once().exits(0);
        assert_eq!(said.sent(), sent, "{}", said.stderr);
        assert_eq!(said.classes().len(), 2 * bad.len());
    }
    let mut there: Vec<Vec<u8>> = site
        .standby()
        .messages("INBOX")
        .unwrap()
        .into_iter()
        .map(|m| m.body)
        .collect();
    there.sort();
    there.dedup();
    assert_eq!(there.len(), 695);
}

/// Where a part of it ends behind a bare CR, Dovecot 2.3 loses an octet and then hangs up.
#[test]
fn a_large_message_that_cannot_be_read_in_parts_is_read_whole() {
    let site = Site::new();
    let mut octets = b"Subject: gross\n\n".to_vec();
    let mut line = vec![b'x'; 70];
    line.push(b'\n');
    while octets.len() < 5 << 20 {
        octets.extend(&line);
    }
    // As FETCH counts, each line is an octet longer.
    let (mut virtual_size, mut at) = (0, 0);
    while virtual_size < (1 << 20) - 1 {
        virtual_size += if octets[at] == b'\n' { 2 } else { 1 };
        at += 1;
    }
    octets[at] = b'\r';
    octets[at + 1] = b'y';
    site.fill("INBOX", 1, 5);
    let file = site.primary.maildir(USER).join("cur/1700000000.M1.abc:2,S");
    std::fs::write(file, &octets).unwrap();
    site.fill("INBOX", 6, 5);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 11);
    assert!(said.stderr.contains("going on"), "{}", said.stderr);
    site.assert_equal();
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.classes(), [""; 0]);
}

#[test]
fn a_wrong_option_has_its_document_and_a_folder_that_is_not_there_is_named() {
    let site = Site::new();
    let said = site.agent(&["reconcile", "--depth", "zz"]).exits(2);
    let text = said.json["error"]["message"].as_str().unwrap();
    assert!(text.contains("'zz'"), "{text}");
    let config = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let out = "[[triangle]]\nexclude_folders = [\"Papierkrob\", \"Sent\"]\n";
    std::fs::write(&config, text.replace("[[triangle]]\n", out)).unwrap();
    let said = command(site.dir.path(), &["once"])
        .env("MAILDREIECK_LOG", "info")
        .output()
        .unwrap();
    let text = String::from_utf8(said.stderr).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| l.contains("exclude_folders"))
        .collect();
    assert!(
        lines.len() == 1 && lines[0].contains("Papierkrob"),
        "{text}"
    );
}
