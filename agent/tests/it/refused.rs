//! Folders that a server lists and does not show: the others go on, and nothing in them is taken for gone.

use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::fake::{Action, Fake, Script};

use super::site::{Said, Site, USER, agent, configured};

/// A Dovecot that obeys access rights.
fn with_rights(options: Options) -> Options {
    let lines = [
        "protocol imap {",
        "  mail_plugins = quota zlib imap_quota imap_zlib acl",
        "}",
        "plugin {",
        "  acl = vfile",
        "}",
    ];
    Options {
        extra: lines.map(str::to_owned).to_vec(),
        ..options
    }
}

/// Leaves the owner of a folder the right to see its name alone, or gives back all.
fn refuse(server: &Dovecot, folder: &str, refused: bool) {
    let file = server
        .maildir(USER)
        .join(format!(".{folder}"))
        .join("dovecot-acl");
    if refused {
        std::fs::write(file, "owner l\n").unwrap();
    } else {
        std::fs::remove_file(file).unwrap();
    }
}

/// The folders that were refused, as corner and name, with the server's words.
fn refused(said: &Said) -> Vec<String> {
    let folders = said.triangle()["refused_folders"].as_array();
    let folders = folders.cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    folders
        .iter()
        .map(|f| {
            let words = [&f["corner"], &f["folder"], &f["detail"]].map(text);
            words.join(" ")
        })
        .collect()
}

fn whole(said: &Said) -> Vec<bool> {
    let coverage = said.triangle()["certificate"]["coverage"].as_array();
    let whole = coverage.unwrap().iter().map(|c| c["whole"] == true);
    whole.collect()
}

#[test]
fn a_folder_that_one_side_refuses_is_left_as_it_is_and_the_others_go_on() {
    for (corner, whole_then) in [
        ("primary", [false, true, true]),
        ("standby", [true, false, true]),
    ] {
        let site = Site::between(
            with_rights(Options::default()),
            with_rights(Options::default()),
        );
        site.primary().create("Alt").unwrap();
        site.fill("INBOX", 0, 3);
        // So many that the guard would hold them back if they counted as vanished.
        site.fill("Alt", 100, 30);
        site.once().exits(0);
        let there = if corner == "primary" {
            &site.primary
        } else {
            &site.standby
        };
        site.fill("INBOX", 10, 2);
        site.fill("Alt", 200, 1);
        refuse(there, "Alt", true);
        for args in [&["mirror"][..], &["reconcile"], &["once"]] {
            let said = site.agent(args).exits(3);
            let folders = refused(&said);
            assert_eq!(folders.len(), 1, "{folders:?}");
            let words = format!("{corner} Alt ");
            assert!(folders[0].starts_with(&words), "{folders:?}");
            assert!(folders[0].contains("STATUS was refused"), "{folders:?}");
            assert!(
                said.stderr.contains("cannot be looked at"),
                "{}",
                said.stderr
            );
            if args == ["mirror"] {
                assert_eq!(said.sent(), 2);
                continue;
            }
            assert_eq!(said.triangle()["verdict"], "unproven");
            assert_eq!((said.sent(), said.classes()), (0, vec![]), "{args:?}");
            assert_eq!(whole(&said), whole_then);
            assert_eq!(said.repairs(), Vec::<String>::new());
        }
        refuse(there, "Alt", false);
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.classes()), (1, vec![]));
        site.assert_equal();
        agent(site.dir.path(), &["store", "check"]).exits(0);
    }
}

/// A copy that somebody moved into a folder that is refused then is neither missing nor sent again.
#[test]
fn what_cannot_be_judged_without_a_refused_folder_waits_with_it() {
    let site = Site::between(
        with_rights(Options::default()),
        with_rights(Options::default()),
    );
    site.primary().create("Alt").unwrap();
    site.fill("INBOX", 0, 3);
    site.fill("Alt", 100, 1);
    site.once().exits(0);
    let uids = Site::uids(&mut site.standby(), "INBOX");
    site.standby().move_to("INBOX", &uids[..1], "Alt").unwrap();
    assert_eq!(site.once().exits(3).classes(), ["misplaced standby"]);
    refuse(&site.standby, "Alt", true);
    site.fill("INBOX", 10, 1);
    let said = site.once().exits(3);
    assert_eq!((said.sent(), refused(&said).len()), (0, 2));
    assert!(
        refused(&said)[1].contains("standby INBOX copies"),
        "{said:?}",
        said = refused(&said)
    );
    refuse(&site.standby, "Alt", false);
    let said = site.once().exits(3);
    assert_eq!(
        (said.sent(), said.classes().as_slice()),
        (1, &["misplaced standby".to_owned()][..])
    );
}

/// Dovecot goes on listing a parent that was deleted, for its children's sake; it is gone all the same.
#[test]
fn a_parent_that_was_deleted_is_gone() {
    let site = Site::between(Options::default(), Options::default());
    for folder in ["Alt", "Alt.Kind"] {
        site.primary().create(folder).unwrap();
        site.fill(folder, 0, 2);
    }
    site.once().exits(0);
    // On the standby it is made again, and its mail put back.
    site.standby().delete_folder("Alt").unwrap();
    let said = site.once().exits(0);
    assert_eq!(said.repairs(), ["missing_at_standby standby"; 2]);
    assert_eq!(site.standby().messages("Alt").unwrap().len(), 2);
    site.primary().delete_folder("Alt").unwrap();
    site.fill("Alt.Kind", 10, 1);
    let gone = ["(missing_at_primary standby)"; 2];
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (1, gone.map(str::to_owned).to_vec())
    );
    assert_eq!(site.standby().messages("Alt").unwrap().len(), 2);
    // It is there again, and empty.
    site.primary().create("Alt").unwrap();
    assert_eq!(site.once().exits(0).classes(), gone);
}

fn script() -> Script {
    let mut script = Script::new();
    for (folder, number) in [("INBOX", 1), ("INBOX", 2), ("Alt", 3), ("Neu", 4)] {
        let body = format!("Subject: {number}\r\n\r\n{number}\r\n");
        script = script.message(folder, &[], "24-Nov-2024 10:00:00 +0100", body.as_bytes());
    }
    script
}

#[test]
fn a_refusal_of_a_folder_is_not_one_of_the_account() {
    let no_status = "IMAP4rev1 LITERAL+ UIDPLUS NAMESPACE SPECIAL-USE LIST-EXTENDED UNSELECT";
    let no = |text| [Action::no(text)];
    let gone = "[NONEXISTENT] Mailbox doesn't exist";
    let denied = "[NOPERM] Permission denied";
    let cases = [
        (
            "EXAMINE",
            script().on("EXAMINE \"Alt\"", &no("[NOPERM] no")),
            3,
            3,
        ),
        (
            "EXAMINE later",
            script().on_nth("EXAMINE \"Alt\"", 2, 99, &no(gone)),
            3,
            4,
        ),
        (
            "STATUS",
            script()
                .capability(no_status)
                .on("STATUS \"Alt\"", &no(denied)),
            3,
            3,
        ),
        (
            "STATUS of a leaf that is listed and said not to be there",
            script()
                .capability(no_status)
                .on("STATUS \"Alt\"", &no(gone)),
            3,
            3,
        ),
        (
            "not now",
            script().on("EXAMINE \"Alt\"", &no("[UNAVAILABLE] later")),
            1,
            0,
        ),
        (
            "throttled",
            script().on("EXAMINE \"Alt\"", &no("[THROTTLED]")),
            1,
            0,
        ),
        ("all", script().on("EXAMINE", &no("[NOPERM] no")), 1, 0),
        (
            "all by STATUS",
            script()
                .capability(no_status)
                .on("STATUS", &no("[NOPERM] no")),
            1,
            0,
        ),
    ];
    for (name, script, code, there) in cases {
        let primary = Fake::start(script).unwrap();
        let standby = Fake::start(Script::new()).unwrap();
        let dir = configured(primary.port(), standby.port());
        let said = agent(dir.path(), &["once"]);
        assert_eq!(said.code, code, "{name}: {} {}", said.json, said.stderr);
        let folders = ["INBOX", "Alt", "Neu"];
        let count: usize = folders.iter().map(|f| standby.messages(f).len()).sum();
        assert_eq!(count, there, "{name}");
        if code == 3 {
            assert_eq!(said.triangle()["verdict"], "unproven", "{name}");
            assert_eq!(said.classes(), Vec::<String>::new(), "{name}");
        }
        primary.behave();
        // Whom it asked to wait is not asked again at once.
        if name != "throttled" {
            let said = agent(dir.path(), &["once"]).exits(0);
            assert_eq!(usize::try_from(said.sent()).unwrap(), 4 - there, "{name}");
        }
    }
}

#[test]
fn a_standby_that_is_the_primary_itself_is_refused_before_anything_is_written() {
    let site = Site::new();
    site.fill("INBOX", 1, 5);
    let before = site.primary().account().unwrap();
    let port = site.primary.imap_port();
    let dir = configured(port, port);
    let file = dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Another name of the same host.
    let alias = text.replacen("\"localhost\"", "\"127.0.0.1\"", 1);
    let prefixed = alias.replace(
        "[[triangle]]\n",
        "[[triangle]]\nstandby_prefix = \"Kopie\"\n",
    );
    for text in [&alias, &prefixed] {
        std::fs::write(&file, text).unwrap();
        for command in ["mirror", "reconcile", "once"] {
            let said = agent(dir.path(), &[command]).exits(1);
            let error = said.triangle()["error"]["message"].as_str().unwrap();
            assert!(error.contains("is the primary"), "{error}");
        }
    }
    assert_eq!(site.primary().account().unwrap(), before);
}

/// As when a hoster has moved one account to where the other was.
#[test]
fn accounts_that_are_alike_to_the_last_uid_are_told_apart() {
    let primary = Dovecot::start(Options::default()).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    primary
        .judge(USER)
        .unwrap()
        .append("INBOX", &[], 1_700_000_000, b"Subject: a\r\n\r\nb\r\n")
        .unwrap();
    let (from, to) = (primary.maildir(USER), standby.maildir(USER));
    standby
        .judge(USER)
        .unwrap()
        .append("INBOX", &[], 1_700_000_000, b"Subject: b\r\n\r\n")
        .unwrap();
    std::fs::remove_dir_all(&to).unwrap();
    super::site::copy(&from, &to);
    let dir = configured(primary.imap_port(), standby.imap_port());
    let said = agent(dir.path(), &["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    let folders = standby.judge(USER).unwrap().folders().unwrap();
    assert!(
        folders.iter().all(|f| !f.name.starts_with("maildreieck")),
        "{folders:?}"
    );
}
