//! What a mirror run does to the standby, and what it never does.

use std::time::Duration;

use maildreieck_agent::ledger::Ledger;
use maildreieck_agent::plan::identity::LogicalFolder;
use maildreieck_api_spec::vocabulary::Corner;
use xtask::lab::corpus::{Corpus, Place};
use xtask::lab::dovecot::{Format, Options};

use super::site::{Site, USER, agent, configured, fill};

#[test]
fn hostile_mail_arrives_identical() {
    let site = Site::new();
    let (primary, name) = (&site.primary, |p: &Place| site.primary.folder_name(p));
    site.primary()
        .append_all(Corpus::hostile().messages(), name)
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!(said.triangle()["verdict"], "balanced");
    assert_eq!(
        said.sent(),
        primary.judge(USER).unwrap().account().unwrap().messages()
    );
    site.assert_equal();
    assert!(
        site.standby()
            .folders()
            .unwrap()
            .iter()
            .all(|f| !f.name.contains("pwned"))
    );
    assert_eq!(site.once().exits(0).sent(), 0);
    assert_eq!(
        site.agent(&["reconcile", "--depth", "content"])
            .exits(0)
            .classes(),
        [""; 0]
    );
    assert_eq!(
        site.agent(&["store", "check"]).exits(0).json["damaged"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn an_ordinary_mailbox_arrives_and_the_second_run_sends_nothing() {
    let site = Site::new();
    let (count, _) = site
        .primary
        .seed(USER, &Corpus::shaped(3, 300, 6, false))
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!(said.sent(), count);
    for corner in ["primary", "standby", "store"] {
        assert_eq!(
            said.triangle()["corners"][corner],
            said.triangle()["corners"]["primary"]
        );
    }
    site.assert_equal();
    assert_eq!(site.agent(&["mirror"]).exits(0).sent(), 0);
    let to = site.dir.path().join("export");
    let said = site
        .agent(&[
            "export",
            "--triangle",
            "info",
            "--format",
            "eml",
            "--to",
            to.to_str().unwrap(),
        ])
        .exits(0);
    assert_eq!(said.json["written"].as_u64(), Some(count));
}

#[test]
fn a_run_killed_anywhere_is_finished_without_a_duplicate() {
    let site = Site::new();
    let (count, _) = site
        .primary
        .seed(USER, &Corpus::shaped(5, 400, 6, true))
        .unwrap();
    for round in 0..12_u64 {
        let mut child = site.spawn(&["mirror"]);
        // Where this kill falls is chance; the rounds together reach every stage.
        std::thread::sleep(Duration::from_millis(60 + 70 * round));
        let _ = child.kill();
        child.wait().unwrap();
    }
    site.once().exits(0);
    site.assert_equal();
    assert_eq!(site.standby().account().unwrap().messages(), count);
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn what_the_standby_holds_already_is_adopted() {
    let site = Site::new();
    let corpus = Corpus::shaped(7, 60, 6, false);
    site.primary.seed(USER, &corpus).unwrap();
    site.standby()
        .append_all(corpus.messages(), |p| site.standby.folder_name(p))
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 0);
    site.assert_equal();
}

#[test]
fn what_comes_while_the_first_mirror_runs_was_not_there_before() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    fill(&mut site.standby(), "INBOX", 10, 1);
    // An agent with another data folder and the same accounts: neither can know of the other.
    let other = configured(site.primary.imap_port(), site.standby.imap_port());
    site.held_at("looked", || {
        assert_eq!(agent(other.path(), &["once"]).exits(0).sent(), 3);
    });
    for said in [site.once(), agent(other.path(), &["once"])] {
        let duplicate = "duplicate standby";
        let expected = ["(preexisting standby)", duplicate, duplicate, duplicate];
        assert_eq!(said.classes(), expected, "{}", said.json);
        assert_eq!(said.code, 3);
    }
}

#[test]
fn what_resembles_it_is_left_and_the_original_is_sent() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    let forwarded = b"Message-ID: <1@abc.example>\r\nSubject: Fwd: 1\r\n\r\nNummer 1\r\n";
    site.standby()
        .append("INBOX", &[], 1_700_000_001, forwarded)
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (3, vec!["(preexisting standby)".to_owned()])
    );
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 4);
}

#[test]
fn vanished_mail_is_a_tombstone_and_comes_back_without_being_sent() {
    let site = Site::new();
    site.fill("INBOX", 1, 5);
    site.once().exits(0);
    let mut primary = site.primary();
    let gone = primary.messages("INBOX").unwrap()[2].clone();
    primary.delete("INBOX", &[gone.uid]).unwrap();
    let said = site.once().exits(0);
    assert_eq!(said.classes(), ["(missing_at_primary standby)"]);
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 5);
    primary
        .append("INBOX", &[], gone.internaldate, &gone.body)
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    site.assert_equal();
}

#[test]
fn moves_and_renames_are_followed() {
    let site = Site::new();
    site.primary().create("Projekte").unwrap();
    site.primary().create("Alt").unwrap();
    site.fill("INBOX", 1, 6);
    site.fill("Alt", 10, 4);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[1..4], "Projekte").unwrap();
    primary.rename("Alt", "Neu").unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    site.assert_equal();
    let names: Vec<String> = site
        .standby()
        .folders()
        .unwrap()
        .into_iter()
        .map(|f| f.name)
        .collect();
    assert!(
        names.contains(&"Neu".to_owned()) && !names.contains(&"Alt".to_owned()),
        "{names:?}"
    );
}

#[test]
fn where_the_standby_cannot_move_the_old_copy_stays_and_is_explained() {
    let without_move = Options {
        capability: Some("IMAP4rev1 LITERAL+ UIDPLUS MULTIAPPEND CONDSTORE QRESYNC LIST-EXTENDED LIST-STATUS SPECIAL-USE".to_owned()),
        ..Options::german()
    };
    let site = Site::between(Options::default(), without_move);
    site.primary().create("Projekte").unwrap();
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[..1], "Projekte").unwrap();
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (1, vec!["(moved standby)".to_owned()])
    );
}

#[test]
fn flags_and_keywords_follow_and_are_reset_with_a_repair() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary
        .store("INBOX", &uids[..2], "+FLAGS", &["\\Seen", "$Forwarded"])
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (0, vec![]));
    site.assert_equal();
    primary
        .store("INBOX", &uids[..1], "-FLAGS", &["\\Seen", "$Forwarded"])
        .unwrap();
    site.once().exits(0);
    site.assert_equal();
    let mut standby = site.standby();
    let copies = Site::uids(&mut standby, "INBOX");
    standby
        .store("INBOX", &copies[2..], "+FLAGS", &["\\Flagged"])
        .unwrap();
    assert_eq!(
        site.agent(&["reconcile"]).exits(3).classes(),
        ["flags_differ standby"]
    );
    assert_eq!(site.once().exits(0).repairs(), ["flags_differ standby"]);
    site.assert_equal();
}

#[test]
fn a_changed_uidvalidity_copies_nothing_again() {
    let site = Site::new();
    site.fill("INBOX", 1, 8);
    site.once().exits(0);
    for (dovecot, which) in [(&site.primary, "primary"), (&site.standby, "standby")] {
        dovecot.renew_uidvalidity(USER, &Place::Inbox).unwrap();
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.classes()), (0, vec![]), "{which}");
        site.assert_equal();
    }
    site.primary.renew_uidvalidity(USER, &Place::Inbox).unwrap();
    site.standby.renew_uidvalidity(USER, &Place::Inbox).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]), "both");
    site.assert_equal();
}

#[test]
fn a_restored_mailbox_copies_nothing_again_and_loses_nothing() {
    let mut site = Site::new();
    site.fill("INBOX", 1, 30);
    let backup = site.primary.backup(USER).unwrap();
    site.once().exits(0);
    site.fill("INBOX", 31, 3);
    site.once().exits(0);
    site.primary.restore(&backup).unwrap();
    // Other mail gets the UIDs that were lost.
    site.fill("INBOX", 41, 2);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 2);
    assert_eq!(said.classes(), ["(missing_at_primary standby)"; 3]);
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 35);
}

#[test]
fn what_is_moved_on_the_standby_is_misplaced_and_sent_no_more() {
    let site = Site::new();
    site.primary().create("Projekte").unwrap();
    site.fill("INBOX", 1, 6);
    site.once().exits(0);
    let mut standby = site.standby();
    standby.create("Anderswo").unwrap();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.move_to("INBOX", &uids[..2], "Anderswo").unwrap();
    standby.move_to("INBOX", &uids[2..3], "Projekte").unwrap();
    let misplaced = ["misplaced standby"; 3];
    assert_eq!(site.agent(&["reconcile"]).exits(3).classes(), misplaced);
    for _ in 0..2 {
        let said = site.once().exits(3);
        assert_eq!((said.sent(), said.repairs()), (0, vec![]));
        assert_eq!(said.classes(), misplaced);
        assert_eq!(site.standby().account().unwrap().messages(), 6);
    }
    // While others flow, and where only the folder changes in which they lie.
    site.fill("INBOX", 10, 1);
    assert_eq!(site.once().exits(3).sent(), 1);
    let back = Site::uids(&mut standby, "Anderswo");
    standby.move_to("Anderswo", &back[..1], "INBOX").unwrap();
    standby.delete("Anderswo", &back[1..]).unwrap();
    let said = site.once().exits(3);
    assert_eq!(
        (said.sent(), said.repairs(), said.classes()),
        (
            1,
            vec!["missing_at_standby standby".to_owned()],
            vec!["misplaced standby".to_owned()]
        )
    );
    let back = Site::uids(&mut standby, "Projekte");
    standby.delete("Projekte", &back).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (1, vec![]));
    site.assert_equal();
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn a_misplaced_copy_that_alone_is_deleted_is_put_back() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let mut standby = site.standby();
    standby.create("Anderswo").unwrap();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.move_to("INBOX", &uids[..1], "Anderswo").unwrap();
    assert_eq!(site.agent(&["mirror"]).exits(0).sent(), 0);
    // Nothing but that folder changes: the source's is loaded with it.
    let there = Site::uids(&mut standby, "Anderswo");
    standby.delete("Anderswo", &there).unwrap();
    assert_eq!(site.agent(&["mirror"]).exits(0).sent(), 1);
    site.once().exits(0);
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 3);
}

#[test]
fn a_misplaced_copy_outlives_new_uids_and_moves_on_the_primary() {
    let site = Site::new();
    site.primary().create("Projekte").unwrap();
    site.fill("INBOX", 1, 4);
    site.once().exits(0);
    let mut standby = site.standby();
    standby.create("Anderswo").unwrap();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.move_to("INBOX", &uids[..2], "Anderswo").unwrap();
    site.once().exits(3);
    for (dovecot, which) in [(&site.primary, "primary"), (&site.standby, "standby")] {
        dovecot.renew_uidvalidity(USER, &Place::Inbox).unwrap();
        let said = site.once().exits(3);
        assert_eq!(
            (said.sent(), said.classes()),
            (0, vec!["misplaced standby".to_owned(); 2]),
            "{which}"
        );
    }
    let mut primary = site.primary();
    let moved = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &moved[..1], "Projekte").unwrap();
    let said = site.once().exits(3);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, vec!["misplaced standby".to_owned(); 2])
    );
    let mut standby = site.standby();
    let there = Site::uids(&mut standby, "Anderswo");
    standby
        .move_to("Anderswo", &there[..1], "Projekte")
        .unwrap();
    standby.move_to("Anderswo", &there[1..], "INBOX").unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    standby.delete_folder("Anderswo").unwrap();
    site.assert_equal();
}

#[test]
fn a_folder_renamed_on_the_standby_sends_nothing_and_holds_nothing() {
    let site = Site::new();
    site.primary().create("Akten").unwrap();
    site.fill("Akten", 1, 40);
    site.fill("INBOX", 50, 2);
    site.once().exits(0);
    let mut standby = site.standby();
    standby.rename("Akten", "Ablage").unwrap();
    for _ in 0..2 {
        let said = site.once().exits(3);
        assert_eq!((said.sent(), said.repairs()), (0, vec![]));
        assert!(said.triangle()["halt"].is_null(), "{}", said.json);
        assert_eq!(said.classes(), vec!["misplaced standby"; 40]);
    }
    assert_eq!(site.standby().account().unwrap().messages(), 42);
    standby.delete_folder("Akten").unwrap();
    standby.rename("Ablage", "Akten").unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    site.assert_equal();
    assert_eq!(site.once().exits(0).sent(), 0);
}

/// So it stands when a run is killed after RENAME and before it could write that down, and also where
/// somebody renames on both sides.
#[test]
fn a_rename_that_was_never_written_down_doubles_nothing() {
    let site = Site::new();
    site.primary().create("Akten").unwrap();
    site.fill("Akten", 1, 12);
    site.fill("INBOX", 50, 2);
    site.once().exits(0);
    site.primary().rename("Akten", "Ablage").unwrap();
    site.standby().rename("Akten", "Ablage").unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    // From then on the copies are followed as before.
    site.primary().rename("Ablage", "Archiv 2026").unwrap();
    let uids = Site::uids(&mut site.primary(), "INBOX");
    let mut primary = site.primary();
    primary.move_to("INBOX", &uids, "Archiv 2026").unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    site.assert_equal();
}

/// Killed after RENAME and before the ledger's note of it; and the primary goes on renaming.
#[test]
fn a_killed_rename_is_finished_by_the_next_run() {
    for next in ["Ablage", "Archiv 2026", "Akten"] {
        let site = Site::new();
        site.primary().create("Akten").unwrap();
        site.fill("Akten", 1, 5);
        site.once().exits(0);
        let path = site.dir.path().join("data/ledger.db");
        let mut ledger = Ledger::open(&path).unwrap();
        let folders = ledger.folders("info", Corner::Standby).unwrap();
        let akten = folders.iter().find(|f| f.mailbox == "Akten").unwrap();
        let logical = LogicalFolder::from_stored("Ablage");
        ledger.begin_rename(akten.id, "Ablage", &logical).unwrap();
        drop(ledger);
        site.standby().rename("Akten", "Ablage").unwrap();
        if next != "Akten" {
            site.primary().rename("Akten", next).unwrap();
        }
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.classes()), (0, vec![]), "{next}");
        assert_eq!(site.once().exits(0).sent(), 0);
        assert_eq!(site.standby().messages(next).unwrap().len(), 5, "{next}");
    }
}

#[test]
fn a_rename_whose_subfolder_goes_is_followed_in_parts() {
    let site = Site::new();
    site.primary().create("F01").unwrap();
    site.primary().create("F01.Sub").unwrap();
    site.fill("F01", 1, 5);
    site.fill("F01.Sub", 10, 5);
    site.once().exits(0);
    site.primary().rename("F01", "G01").unwrap();
    site.primary().delete_folder("G01.Sub").unwrap();
    let said = site.once().exits(0);
    assert_eq!(said.classes(), vec!["(missing_at_primary standby)"; 5]);
    assert_eq!((said.sent(), site.once().exits(0).sent()), (0, 0));
}

#[test]
fn what_comes_back_with_another_date_is_sent_as_another_message() {
    let site = Site::new();
    let text = "Subject: once\r\n\r\nonce\r\n".as_bytes();
    let mut primary = site.primary();
    primary.append("INBOX", &[], 1_772_352_000, text).unwrap();
    site.once().exits(0);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids).unwrap();
    site.once().exits(0);
    primary.append("INBOX", &[], 1_772_438_400, text).unwrap();
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (1, vec!["(missing_at_primary standby)".to_owned()])
    );
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn the_guard_holds_back_and_new_mail_still_flows() {
    let site = Site::new();
    site.fill("INBOX", 1, 40);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[..30]).unwrap();
    site.fill("INBOX", 50, 2);
    let shown = site.agent(&["mirror", "--dry-run"]).exits(4);
    let said = site.agent(&["mirror"]).exits(4);
    assert_eq!(said.sent(), 2);
    assert_eq!(shown.triangle()["halt"], said.triangle()["halt"]);
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 42);
    let halt = said.triangle()["halt"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        site.agent(&["mirror"]).exits(4).triangle()["halt"]["id"],
        halt.as_str()
    );
    site.agent(&["confirm", "--triangle", "info", "--halt", "ffff"])
        .exits(2);
    site.agent(&["confirm", "--triangle", "info", "--halt", &halt])
        .exits(0);
    let said = site.once().exits(0);
    assert_eq!(said.classes(), vec!["(missing_at_primary standby)"; 30]);
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 42);
}

#[test]
fn where_clients_fetch_by_pop_and_delete_vanishing_is_ordinary() {
    let site = Site::new();
    let path = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replacen("username", "clients = \"pop-delete\"\nusername", 1),
    )
    .unwrap();
    site.fill("INBOX", 1, 30);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids).unwrap();
    site.once().exits(0);
    assert_eq!(site.standby().messages("INBOX").unwrap().len(), 30);
}

#[test]
fn a_dry_run_changes_nothing() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    let said = site.agent(&["mirror", "--dry-run"]).exits(0);
    assert_eq!(
        said.triangle()["plan"]["copies"]["INBOX"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(site.standby().account().unwrap().messages(), 0);
}

#[test]
fn junk_trash_and_drafts_are_left_out_and_that_is_said() {
    let site = Site::new();
    site.fill("Trash", 1, 2);
    site.fill("INBOX", 5, 1);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 1);
    assert_eq!(said.classes(), ["(excluded standby)", "(excluded store)"]);
    assert_eq!(said.triangle()["discrepancies"][0]["messages"], 2);
    assert_eq!(site.standby().messages("Papierkorb").unwrap().len(), 0);
}

#[test]
fn special_folders_are_known_by_their_names_where_no_use_is_stated() {
    let unstated = |options: Options| Options {
        special_use: false,
        ..options
    };
    let english = ["Sent", "Trash", "Junk", "Drafts"];
    let german = ["Gesendet", "Papierkorb", "Spam", "Entwürfe"];
    for (primary, from, standby, to) in [
        (Options::german(), german, Options::default(), english),
        (Options::default(), english, Options::german(), german),
    ] {
        let site = Site::between(unstated(primary), unstated(standby));
        for (from, number) in from.into_iter().zip(1..) {
            site.fill(from, number * 10, number);
        }
        let said = site.once().exits(0);
        assert_eq!(said.sent(), 1);
        assert_eq!(said.classes().len(), 6, "{:?}", said.classes());
        let counts = to.map(|to| site.standby().messages(to).unwrap().len());
        assert_eq!(counts, [1, 0, 0, 0]);
        assert_eq!(site.once().exits(0).sent(), 0);
    }
}

#[test]
fn two_folders_that_would_meet_on_the_standby_stay_two() {
    let site = Site::new();
    let mut primary = site.primary();
    for folder in ["Gesendet", "Sent.2023", "Gesendet.2023"] {
        primary.create(folder).unwrap();
    }
    site.fill("Gesendet", 1, 2);
    site.fill("Sent", 10, 3);
    site.fill("Sent.2023", 20, 1);
    site.fill("Gesendet.2023", 30, 2);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (8, vec![]));
    let counts = |folder: &str| site.standby().messages(folder).unwrap().len();
    assert_eq!((counts("Gesendet"), counts("Gesendet=2")), (3, 2));
    assert_eq!((counts("Gesendet/2023"), counts("Gesendet=2/2023")), (1, 2));
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn below_a_special_container_folders_are_named_after_it() {
    let site = Site::new();
    let mut primary = site.primary();
    let folders = ["Archiv.2023", "Archiv.2024.Gesendet", "Archiv.Q1"];
    for (folder, number) in folders.into_iter().zip(1..) {
        primary.create(folder).unwrap();
        site.fill(folder, number * 10, number);
    }
    assert_eq!(site.once().exits(0).sent(), 6);
    let counts = ["Archiv/2023", "Archiv/2024/Gesendet", "Archiv/Q1"]
        .map(|folder| site.standby().messages(folder).unwrap().len());
    assert_eq!(counts, [1, 2, 3]);
    // Once it holds mail itself it is the folder of that name.
    primary.create("Archiv").unwrap();
    site.fill("Archiv", 50, 2);
    assert_eq!(site.once().exits(0).sent(), 2);
    assert_eq!(site.standby().messages("Archiv").unwrap().len(), 2);
    std::fs::remove_dir_all(site.dir.path().join("data")).unwrap();
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn a_prefix_that_no_folder_can_bear_is_escaped_like_a_folder() {
    for (options, made) in [
        (Options::german(), "=2Ex/a=2Eb=2A/Akten"),
        (Options::default(), "=2Ex.a=2Eb=2A.Akten"),
    ] {
        let site = Site::between(Options::default(), options);
        let file = site.dir.path().join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let prefix = "[[triangle]]\nstandby_prefix = \"/.x/a.b*\"\n";
        std::fs::write(&file, text.replace("[[triangle]]\n", prefix)).unwrap();
        site.primary().create("Akten").unwrap();
        site.fill("INBOX", 1, 2);
        site.fill("Akten", 10, 3);
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.classes()), (5, vec![]));
        assert_eq!(site.standby().messages(made).unwrap().len(), 3);
        assert_eq!(site.once().exits(0).sent(), 0);
    }
}

#[test]
fn a_date_that_no_server_can_keep_ends_well() {
    let site = Site::new();
    site.primary()
        .append("INBOX", &[], -2_208_988_800, b"Subject: 1900\r\n\r\nx\r\n")
        .unwrap();
    site.primary()
        .append("INBOX", &[], 4_733_510_400, b"Subject: 2120\r\n\r\nx\r\n")
        .unwrap();
    let said = site.once();
    assert_eq!(
        (said.code, said.sent()),
        (0, 2),
        "{} {}",
        said.json,
        said.stderr
    );
    assert_eq!(site.once().exits(0).sent(), 0);
}

/// Dovecot's Maildir++ takes no `.` in a name, also where `/` divides names.
#[test]
fn a_dot_in_a_name_is_escaped_where_the_standby_takes_none() {
    let primary = Options {
        separator: '/',
        format: Format::Sdbox,
        ..Options::default()
    };
    let site = Site::between(primary, Options::german());
    let mut primary = site.primary();
    for (at, folder) in (1..).zip(["Sommer e.V.", "Sommer e.V./Kasse 1.1", "Akten/a.b"]) {
        primary.create(folder).unwrap();
        site.fill(folder, at * 10, 2);
    }
    assert_eq!(site.once().exits(0).sent(), 6);
    let mut standby = site.standby();
    for folder in [
        "Sommer e=2EV=2E",
        "Sommer e=2EV=2E/Kasse 1=2E1",
        "Akten/a=2Eb",
    ] {
        assert_eq!(standby.messages(folder).unwrap().len(), 2, "{folder}");
    }
    super::restored::lose_the_ledger(&site);
    assert_eq!(site.once().exits(0).sent(), 0);
    primary.rename("Sommer e.V.", "Winter e.V.").unwrap();
    assert_eq!(site.once().exits(0).sent(), 0);
    assert_eq!(
        standby
            .messages("Winter e=2EV=2E/Kasse 1=2E1")
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_halt_can_be_released_while_the_service_runs() {
    let site = Site::new();
    site.fill("INBOX", 1, 40);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[..30]).unwrap();
    let said = site.agent(&["mirror"]).exits(4);
    let halt = said.triangle()["halt"]["id"].as_str().unwrap().to_owned();
    let mut service = super::site::command(site.dir.path(), &["run"])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // What it says first it says when it has the store.
    let mut first = [0];
    std::io::Read::read_exact(service.stderr.as_mut().unwrap(), &mut first).unwrap();
    site.agent(&["store", "check"]).exits(1);
    site.agent(&["confirm", "--triangle", "info", "--halt", &halt])
        .exits(0);
    service.kill().unwrap();
    service.wait().unwrap();
    site.once().exits(0);
}
