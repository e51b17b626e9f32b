//! Gmail and Exchange Online as their documents describe them, played by the fake server: untested against the real
//! ones.

use std::collections::BTreeMap;

use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::fake::{Action, Fake, Keeping, Script};
use xtask::lab::judge::Judged;

use super::site::{USER, agent, configured};

const DATE: &str = "24-Nov-2024 10:00:00 +0100";
const GMAIL: &str = "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID X-GM-EXT-1 UIDPLUS ENABLE MOVE CONDSTORE SPECIAL-USE LIST-EXTENDED LIST-STATUS APPENDLIMIT=35651584 LITERAL-";

fn body(subject: &str) -> Vec<u8> {
    format!("Message-ID: <{subject}@abc.example>\r\nSubject: {subject}\r\n\r\nfood\r\n")
        .into_bytes()
}

/// Gmail with English names, without CONDSTORE, which the fake has not.
fn gmail() -> Script {
    Script::new()
        .capability(&GMAIL.replace(" CONDSTORE", ""))
        .folder("[Gmail]/All Mail", "\\All \\HasNoChildren")
        .folder("[Gmail]/Important", "\\Important \\HasNoChildren")
        .folder("[Gmail]/Starred", "\\Flagged \\HasNoChildren")
}

/// A message under its labels; `All Mail` shows it too.
fn labelled(mut script: Script, subject: &str, folders: &[&str], labels: &str) -> Script {
    for folder in folders {
        script = script.message(folder, &["\\Seen"], DATE, &body(subject));
    }
    script
        .message("[Gmail]/All Mail", &["\\Seen"], DATE, &body(subject))
        .labels("[Gmail]/All Mail", labels)
}

/// Subjects by folder, where there are any.
fn subjects(dovecot: &Dovecot) -> BTreeMap<String, Vec<String>> {
    let mut judge = dovecot.judge(USER).unwrap();
    let mut found = BTreeMap::new();
    for folder in judge.folders().unwrap() {
        let subject = |message: &Judged| {
            let text = String::from_utf8(message.body.clone()).unwrap();
            let (_, rest) = text.split_once("Subject: ").unwrap();
            rest.split("\r\n").next().unwrap().to_owned()
        };
        let messages = judge.messages(&folder.name).unwrap();
        let mut subjects: Vec<String> = messages.iter().map(subject).collect();
        subjects.sort();
        if !subjects.is_empty() {
            found.insert(folder.name, subjects);
        }
    }
    found
}

#[test]
fn gmail_is_a_copy_for_each_label_and_all_mail_is_what_has_none() {
    let mut script = gmail();
    script = labelled(script, "a", &["INBOX"], "\\Inbox");
    script = labelled(script, "b", &["INBOX", "Work"], "\\Inbox Work");
    script = labelled(
        script,
        "c",
        &["[Gmail]/Important", "[Gmail]/Starred"],
        "\\Important \"\\\\Starred\"",
    );
    script = labelled(script, "d", &["Sent"], "\\Sent");
    script = labelled(script, "e", &[], "");
    let primary = Fake::start(script).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(primary.port(), standby.imap_port());
    let said = agent(dir.path(), &["once"]).exits(0);
    assert_eq!(said.sent(), 6);
    // The views are named as left out.
    let mut left_out = ["(excluded standby)", "(excluded store)"].repeat(2);
    left_out.sort_unstable();
    assert_eq!(said.classes(), left_out);
    let expected: BTreeMap<String, Vec<String>> = [
        ("INBOX", vec!["a", "b"]),
        ("Work", vec!["b"]),
        ("Sent", vec!["d"]),
        ("All Mail", vec!["c", "e"]),
    ]
    .map(|(folder, subjects)| {
        let subjects = subjects.into_iter().map(str::to_owned).collect();
        (folder.to_owned(), subjects)
    })
    .into();
    assert_eq!(subjects(&standby), expected);
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 0);
}

#[test]
fn a_gmail_that_keeps_its_labels_to_itself_is_no_listing() {
    let script = labelled(gmail(), "a", &["INBOX"], "\\Inbox").on(
        "X-GM-LABELS",
        &[Action::send(&format!(
            "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"{DATE}\" RFC822.SIZE 20)\r\n{{tag}} OK done\r\n"
        ))],
    );
    let primary = Fake::start(script).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(primary.port(), standby.imap_port());
    let said = agent(dir.path(), &["once"]).exits(1);
    assert!(said.stderr.contains("X-GM-LABELS"), "{}", said.stderr);
}

#[test]
fn a_gmail_that_merges_equal_mail_is_balanced() {
    let mut script = Script::new();
    for subject in ["a", "a", "b"] {
        script = script.message("INBOX", &["\\Seen"], DATE, &body(subject));
    }
    let primary = Fake::start(script).unwrap();
    let standby = Fake::start(gmail().keeping(Keeping::Merged)).unwrap();
    let dir = configured(primary.port(), standby.port());
    let said = agent(dir.path(), &["once"]).exits(0);
    assert_eq!(said.classes(), ["(host_merged standby)"]);
    assert_eq!(standby.messages("INBOX").len(), 2);
    let said = agent(dir.path(), &["once"]).exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, vec!["(host_merged standby)".to_owned()])
    );
    agent(dir.path(), &["reconcile", "--depth", "content"]).exits(0);
}

#[test]
fn exchange_is_left_alone_for_as_long_as_it_asks() {
    let busy = Action::no("Request is throttled. Suggested Backoff Time: 90000 milliseconds");
    for (command, answer) in [
        ("APPEND", busy.clone()),
        ("LIST", busy.clone()),
        ("LOGIN", busy),
        (
            "LIST",
            Action::bad("Request is throttled. Suggested Backoff Time: 90000 milliseconds"),
        ),
    ] {
        let script = Script::new().message("INBOX", &[], DATE, &body("a"));
        let primary = Fake::start(script).unwrap();
        let standby = Fake::start(Script::new().on(command, &[answer])).unwrap();
        let dir = configured(primary.port(), standby.port());
        let said = agent(dir.path(), &["once"]).exits(1);
        assert_eq!(
            said.triangle()["error"]["temporary"],
            true,
            "{}",
            said.stderr
        );
        standby.behave();
        let before = standby.received().len();
        let said = agent(dir.path(), &["once"]).exits(1);
        assert!(
            said.stderr.contains("it is asked again after 20"),
            "{command}: {}",
            said.stderr
        );
        assert_eq!(standby.received().len(), before);
    }
}

#[test]
fn an_exchange_that_rewrites_what_it_gets_is_equivalent() {
    let mut script = Script::new();
    for subject in ["a", "b", "c"] {
        script = script.message("INBOX", &["\\Seen"], DATE, &body(subject));
    }
    let primary = Fake::start(script).unwrap();
    let standby = Fake::start(Script::new().keeping(Keeping::Rewritten)).unwrap();
    let dir = configured(primary.port(), standby.port());
    for sent in [3, 0, 0] {
        let said = agent(dir.path(), &["once"]).exits(0);
        assert_eq!(
            (said.sent(), said.classes()),
            (sent, vec!["(equivalent standby)".to_owned(); 3])
        );
    }
    assert_eq!(standby.messages("INBOX").len(), 3);
    agent(dir.path(), &["reconcile", "--depth", "content"]).exits(0);
}
