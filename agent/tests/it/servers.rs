//! Targets that can do less, keywords they refuse, TLS in its forms.

use std::collections::BTreeSet;
use std::time::Duration;

use xtask::lab::corpus::Corpus;
use xtask::lab::dovecot::{Dovecot, Options, PASSWORD};
use xtask::lab::{Courier, DelayLine, Judge};

use super::site::{Site, USER, account_toml, agent, configured, write_private};

#[test]
fn targets_that_can_do_less_get_the_same_mail() {
    let base = "IMAP4rev1 AUTH=PLAIN";
    for capability in [
        format!("{base} LITERAL+ UIDPLUS"),
        format!("{base} LITERAL+"),
        format!("{base} MULTIAPPEND UIDPLUS"),
        format!("{base} LITERAL- UIDPLUS SPECIAL-USE"),
        base.to_owned(),
        "IMAP4rev1".to_owned(),
    ] {
        let limited = Options {
            capability: Some(capability.clone()),
            ..Options::german()
        };
        let site = Site::between(Options::default(), limited);
        site.primary
            .seed(USER, &Corpus::shaped(9, 40, 6, false))
            .unwrap();
        let said = site.once();
        assert_eq!(
            (said.code, said.classes()),
            (0, vec![]),
            "{capability}: {}",
            said.stderr
        );
        site.assert_equal();
        assert_eq!(site.once().exits(0).sent(), 0, "{capability}");
    }
}

#[test]
fn sources_that_can_do_less_give_the_same_mail() {
    for capability in [
        "IMAP4rev1",
        "IMAP4rev1 CONDSTORE",
        "IMAP4rev1 LIST-EXTENDED LIST-STATUS",
    ] {
        let limited = Options {
            capability: Some(capability.to_owned()),
            ..Options::default()
        };
        let site = Site::between(limited, Options::german());
        site.primary
            .seed(USER, &Corpus::shaped(9, 30, 6, false))
            .unwrap();
        site.once().exits(0);
        site.assert_equal();
        assert_eq!(site.once().exits(0).sent(), 0, "{capability}");
    }
}

/// What both servers of the laboratory can do, less one at a time.
#[test]
fn each_capability_may_be_missing_on_either_side() {
    let all = [
        "LITERAL+",
        "UIDPLUS",
        "MULTIAPPEND",
        "CONDSTORE QRESYNC ENABLE",
        "LIST-EXTENDED",
        "LIST-STATUS",
        "SPECIAL-USE CREATE-SPECIAL-USE",
        "MOVE",
        "NAMESPACE",
        "SASL-IR",
    ];
    for missing in all {
        let rest = all.iter().filter(|one| **one != missing);
        let rest: Vec<&str> = rest.copied().collect();
        let capability = Some(format!("IMAP4rev1 AUTH=PLAIN {}", rest.join(" ")));
        let site = Site::between(
            Options {
                capability: capability.clone(),
                ..Options::default()
            },
            Options {
                capability,
                ..Options::german()
            },
        );
        site.primary
            .seed(USER, &Corpus::shaped(9, 25, 4, false))
            .unwrap();
        let said = site.once();
        let found = (said.code, said.classes());
        assert_eq!(found, (0, vec![]), "{missing}: {}", said.stderr);
        site.assert_equal();
        assert_eq!(site.once().exits(0).sent(), 0, "{missing}");
    }
}

/// What crosses the line in a run after small changes to a folder of many messages.
fn octets_after_changes(capability: Option<String>) -> u64 {
    let options = Options {
        capability,
        ..Options::default()
    };
    let site = Site::between(options.clone(), options);
    site.primary
        .seed(USER, &Corpus::shaped(3, 500, 1, false))
        .unwrap();
    let near = |port| DelayLine::start(port, Duration::ZERO).unwrap();
    let lines = [
        near(site.primary.imap_port()),
        near(site.standby.imap_port()),
    ];
    let dir = configured(lines[0].port(), lines[1].port());
    let run = |args| agent(dir.path(), args);
    run(&["once"]).exits(0);
    let mut primary = site.primary();
    let mail = primary.messages("INBOX").unwrap();
    primary
        .delete("INBOX", &[mail[7].uid, mail[8].uid])
        .unwrap();
    let seen = [mail[3].uid, mail[400].uid];
    primary
        .store("INBOX", &seen, "+FLAGS", &["\\Flagged"])
        .unwrap();
    let body = b"Subject: neu\r\n\r\nneu\r\n";
    primary.append("INBOX", &[], 1_700_000_000, body).unwrap();
    let mut standby = site.standby();
    let there = standby.messages("INBOX").unwrap();
    // A copy of what is deleted on the primary, and so one that no message points at.
    let copy = there.iter().find(|copy| copy.body == mail[7].body).unwrap();
    standby
        .store("INBOX", &[copy.uid], "+FLAGS", &["$Label1"])
        .unwrap();
    lines.iter().for_each(DelayLine::reset);
    assert_eq!(run(&["mirror"]).exits(0).sent(), 1);
    let octets = lines.iter().map(|line| line.traffic().received).sum();
    let said = run(&["once"]).exits(0);
    let gone = "(missing_at_primary standby)";
    assert_eq!((said.sent(), said.classes()), (0, vec![gone.to_owned(); 2]));
    octets
}

#[test]
fn a_server_that_can_tell_is_asked_what_changed() {
    let without = "IMAP4rev1 AUTH=PLAIN LITERAL+ UIDPLUS MULTIAPPEND CONDSTORE";
    let listed = octets_after_changes(Some(without.to_owned()));
    let told = octets_after_changes(Some(format!("{without} ENABLE QRESYNC")));
    assert!(told * 5 < listed, "{told} and {listed} octets");
}

/// Messages of a folder by octets, with date and flags.
fn held(judge: &mut Judge, folder: &str) -> Vec<(Vec<u8>, i64, BTreeSet<String>)> {
    let messages = judge.messages(folder).unwrap().into_iter();
    let mut held: Vec<_> = messages
        .map(|m| (m.body, m.internaldate, m.flags))
        .collect();
    held.sort();
    held
}

/// Another family of servers, in either role: its folders lie below INBOX, and it can do little.
#[test]
fn courier_is_mirrored_to_and_from() {
    let site = Site::new();
    site.primary
        .seed(USER, &Corpus::shaped(11, 60, 6, false))
        .unwrap();
    let courier = Courier::start().unwrap();
    let dir = configured(site.primary.imap_port(), courier.port());
    let said = agent(dir.path(), &["once"]);
    assert_eq!((said.code, said.classes()), (0, vec![]), "{}", said.stderr);
    let (mut there, mut here) = (courier.judge().unwrap(), site.primary());
    let mut folders = 0;
    for folder in here.folders().unwrap() {
        let name = match folder.name.as_str() {
            "INBOX" => "INBOX".to_owned(),
            "Junk" | "Trash" | "Drafts" => continue,
            name => format!("INBOX.{name}"),
        };
        let (ours, theirs) = (held(&mut here, &folder.name), held(&mut there, &name));
        assert!(ours == theirs, "{name}");
        folders += 1;
    }
    assert!(folders > 3, "{folders}");
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 0);
    // Moves and renames are followed, or explained where it cannot.
    here.rename("Projekte", "Vorhaben").unwrap();
    agent(dir.path(), &["once"]).exits(0);
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 0);
    // From there on to another standby: the names are the same again.
    let back = configured(courier.port(), site.standby.imap_port());
    let said = agent(back.path(), &["once"]);
    assert_eq!((said.code, said.classes()), (0, vec![]), "{}", said.stderr);
    site.assert_equal();
    assert_eq!(agent(back.path(), &["once"]).exits(0).sent(), 0);
}

#[test]
fn tls_in_its_forms() {
    let primary = Dovecot::start(Options::default()).unwrap();
    let standby = Dovecot::start(Options {
        require_tls: true,
        ..Options::german()
    })
    .unwrap();
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
        account_toml(
            "standby",
            standby.imap_port(),
            "starttls",
            Some(&standby.ca_file()),
            &password
        ),
    );
    std::fs::write(dir.path().join("agent.toml"), text).unwrap();
    primary
        .judge(USER)
        .unwrap()
        .append("INBOX", &[], 1_700_000_000, b"Subject: x\r\n\r\nx\r\n")
        .unwrap();
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 1);
}

/// Over a narrow line what crosses is compressed, both ways, whatever literals the server takes.
#[test]
fn a_narrow_line_is_compressed() {
    let base = "IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS COMPRESS=DEFLATE";
    for capability in [
        format!("{base} LITERAL+ MULTIAPPEND"),
        base.to_owned(),
        base.replace(" COMPRESS=DEFLATE", " LITERAL+ MULTIAPPEND"),
    ] {
        let options = |options| Options {
            capability: Some(capability.clone()),
            ..options
        };
        let site = Site::between(options(Options::default()), options(Options::german()));
        site.primary
            .seed(USER, &Corpus::shaped(9, 500, 6, false))
            .unwrap();
        let bytes = site.primary().account().unwrap().bytes();
        let narrow = |port| DelayLine::narrow(port, Duration::from_millis(30), 3_000_000).unwrap();
        let (from, to) = (
            narrow(site.primary.imap_port()),
            narrow(site.standby.imap_port()),
        );
        let dir = configured(from.port(), to.port());
        let said = agent(dir.path(), &["mirror"]).exits(0);
        assert_eq!(said.sent(), 500);
        site.assert_equal();
        let crossed = (from.traffic().received, to.traffic().sent);
        println!("{capability}: {bytes} octets, {crossed:?} on the wire");
        let compressed = capability.contains("COMPRESS");
        for crossed in [crossed.0, crossed.1] {
            assert_eq!(crossed < bytes * 9 / 10, compressed, "{capability}");
        }
    }
}
