//! The laboratory holds what it promises: real servers, exact mail, nothing left behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use xtask::lab::daemon::until;
use xtask::lab::dovecot::{Certificate, Format};
use xtask::lab::{Corpus, Dovecot, Judge, Options, Place};

#[test]
fn hostile_mail_arrives_exactly_on_both_kinds_of_server() {
    let english = Dovecot::start(Options::default()).unwrap();
    let german = Dovecot::start(Options {
        format: Format::Sdbox,
        ..Options::german()
    })
    .unwrap();
    let mut accounts = Vec::new();
    for server in [&english, &german] {
        let mut judge = server.judge("info@abc.example").unwrap();
        judge
            .append_all(Corpus::hostile().messages(), |place| {
                server.folder_name(place)
            })
            .unwrap();
        for mail in Corpus::hostile().messages() {
            let there = judge.messages(&server.folder_name(&mail.place)).unwrap();
            assert!(
                there.iter().any(|judged| judged.body == mail.body
                    && judged.internaldate == mail.internaldate
                    && judged.flags == mail.flags.iter().cloned().collect()),
                "{mail:?}"
            );
        }
        assert!(
            judge
                .folders()
                .unwrap()
                .iter()
                .all(|folder| folder.name != "pwned")
        );
        accounts.push(judge.account().unwrap());
    }
    assert_eq!(accounts[0].differences(&accounts[1]), Vec::<String>::new());
    assert_eq!(accounts[0].digest(), accounts[1].digest());
    assert_eq!(
        accounts[0].messages(),
        u64::try_from(Corpus::hostile().messages().count()).unwrap()
    );
}

#[test]
fn a_seeded_maildir_reads_as_the_corpus_says() {
    let corpus = Corpus::shaped(11, 120, 6, false);
    let seeded = Dovecot::start(Options::default()).unwrap();
    let (count, bytes) = seeded.seed("info", &corpus).unwrap();
    let appended = Dovecot::start(Options::german()).unwrap();
    appended
        .judge("info")
        .unwrap()
        .append_all(corpus.messages(), |place| appended.folder_name(place))
        .unwrap();
    let left = seeded.judge("info").unwrap().account().unwrap();
    let right = appended.judge("info").unwrap().account().unwrap();
    assert_eq!(left.differences(&right), Vec::<String>::new());
    assert_eq!((left.messages(), left.bytes()), (count, bytes));
}

#[test]
fn a_hoster_moves_its_storage_restores_a_backup_and_is_killed() {
    let mut server = Dovecot::start(Options::default()).unwrap();
    server
        .seed("info", &Corpus::shaped(12, 20, 1, false))
        .unwrap();
    let before = server.judge("info").unwrap().status("INBOX").unwrap();
    let backup = server.backup("info").unwrap();
    server
        .judge("info")
        .unwrap()
        .append("INBOX", &[], 1_700_000_000, b"Subject: neu\r\n\r\n")
        .unwrap();
    assert_eq!(
        server
            .judge("info")
            .unwrap()
            .status("INBOX")
            .unwrap()
            .messages,
        21
    );
    server.restore(&backup).unwrap();
    assert_eq!(
        server.judge("info").unwrap().status("INBOX").unwrap(),
        before
    );
    server.renew_uidvalidity("info", &Place::Inbox).unwrap();
    let renewed = server.judge("info").unwrap().status("INBOX").unwrap();
    assert_eq!(renewed.messages, 20);
    assert_ne!(renewed.uidvalidity, before.uidvalidity);
    server.kill().unwrap();
    assert!(server.judge("info").is_err());
    server.restart().unwrap();
    assert_eq!(
        server
            .judge("info")
            .unwrap()
            .messages("INBOX")
            .unwrap()
            .len(),
        20
    );
}

#[test]
fn a_users_mail_client_appends_flags_moves_and_deletes() {
    let server = Dovecot::start(Options::german()).unwrap();
    let mut judge = server.judge("info").unwrap();
    judge.create("Projekte/Köln").unwrap();
    let first = judge
        .append("INBOX", &["\\Seen"], 1_700_000_000, b"Subject: 1\r\n\r\n")
        .unwrap();
    let second = judge
        .append("INBOX", &[], 1_700_000_000, b"Subject: 2\r\n\r\n")
        .unwrap();
    judge
        .store("INBOX", &[first], "+FLAGS", &["\\Flagged", "$Wichtig"])
        .unwrap();
    judge.move_to("INBOX", &[first], "Projekte/Köln").unwrap();
    judge.delete("INBOX", &[second]).unwrap();
    assert!(judge.messages("INBOX").unwrap().is_empty());
    judge.rename("Projekte/Köln", "Projekte/Bonn").unwrap();
    let moved = judge.messages("Projekte/Bonn").unwrap();
    assert_eq!(moved.len(), 1);
    assert_eq!(
        moved[0].flags.iter().cloned().collect::<Vec<_>>(),
        ["$Wichtig", "\\Flagged", "\\Seen"]
    );
    judge.delete_folder("Projekte/Bonn").unwrap();
    assert!(
        judge
            .folders()
            .unwrap()
            .iter()
            .all(|folder| folder.name != "Projekte/Bonn")
    );
    assert!(judge.raw("NONSENSE").is_err());
}

#[test]
fn options_reach_the_server_and_nothing_is_left_behind() {
    let server = Dovecot::start(Options {
        capability: Some("IMAP4rev1 UIDPLUS".to_owned()),
        quota_bytes: Some(10_000),
        certificate: Certificate::Expired,
        ..Options::default()
    })
    .unwrap();
    let mut judge = server.judge("info").unwrap();
    let capability = judge.raw("CAPABILITY").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&capability[0]),
        "* CAPABILITY IMAP4rev1 UIDPLUS"
    );
    let refused = judge
        .append("INBOX", &[], 1_700_000_000, &vec![b'x'; 20_000])
        .unwrap_err();
    assert!(format!("{refused:#}").contains("OVERQUOTA"), "{refused:#}");
    let folder = server.ca_file().parent().unwrap().to_owned();
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn a_killed_owner_leaves_nothing_behind() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["lab", "--german", "--messages", "5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let port = said.split(' ').nth(1).unwrap().parse().unwrap();
    let folder = Path::new(said.split(' ').nth(5).unwrap())
        .parent()
        .unwrap()
        .to_owned();
    assert_eq!(
        Judge::login(port, "info", "secret")
            .unwrap()
            .account()
            .unwrap()
            .messages(),
        5
    );
    owner.kill().unwrap();
    owner.wait().unwrap();
    until(Duration::from_secs(15), "the watchdog", || {
        Ok(!folder.exists())
    })
    .unwrap();
    assert!(Judge::login(port, "info", "secret").is_err());
}
