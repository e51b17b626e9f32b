//! What Tx says, planted difference by planted difference.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use serde_json::Value;
use xtask::lab::dovecot::Dovecot;

use super::site::{Site, USER, copy};

fn balanced() -> Site {
    let site = Site::new();
    site.fill("INBOX", 1, 6);
    site.once().exits(0);
    site
}

#[test]
fn a_message_deleted_on_the_standby_is_missing_and_put_back_once() {
    let site = balanced();
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.delete("INBOX", &uids[..1]).unwrap();
    for depth in ["volume", "ledger", "content"] {
        let said = site.agent(&["reconcile", "--depth", depth]).exits(3);
        assert_eq!(said.classes(), ["missing_at_standby standby"], "{depth}");
        assert_eq!(said.triangle()["verdict"], "unbalanced");
    }
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.repairs()),
        (1, vec!["missing_at_standby standby".to_owned()])
    );
    site.assert_equal();
    // Reported once.
    assert_eq!(site.once().exits(0).repairs(), [""; 0]);
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.delete("INBOX", &uids[5..]).unwrap();
    let said = site.once().exits(3);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, vec!["does_not_stay standby".to_owned()])
    );
}

#[test]
fn a_lost_segment_is_filled_again_and_then_forgotten() {
    let site = balanced();
    std::fs::remove_file(site.segments().remove(0)).unwrap();
    let check = site.agent(&["store", "check"]).exits(3);
    assert_eq!(check.json["lost_segments"], serde_json::json!([1]));
    site.once().exits(0);
    site.once().exits(0);
    let size = || {
        site.segments()
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .sum::<u64>()
    };
    let before = size();
    site.once().exits(0);
    assert_eq!(size(), before);
    site.agent(&["store", "check"]).exits(0);
    let damaged = site.segments().remove(0);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(damaged)
        .unwrap();
    (&file).write_all(&[0; 4192]).unwrap();
    let check = site.agent(&["store", "check"]).exits(3);
    assert!(
        !check.json["restored_headers"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    site.agent(&["store", "check"]).exits(0);
}

#[test]
fn a_damaged_byte_in_the_store_is_found_and_mended() {
    let site = balanced();
    let path = site.segments().remove(0);
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    // Frames begin at 4,096; the messages come before the membership.
    let middle = 4096 + (file.metadata().unwrap().len() - 4096) / 3;
    file.seek(SeekFrom::Start(middle)).unwrap();
    let mut octet = [0];
    file.read_exact(&mut octet).unwrap();
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[octet[0] ^ 0x40]).unwrap();
    drop(file);
    let said = site.agent(&["reconcile"]).exits(3);
    assert!(
        said.classes().iter().all(|c| c == "missing_in_store store"),
        "{:?}",
        said.classes()
    );
    assert!(!said.classes().is_empty());
    let said = site.once().exits(0);
    assert!(
        said.repairs().iter().all(|c| c == "missing_in_store store") && !said.repairs().is_empty()
    );
    site.agent(&["reconcile", "--depth", "content"]).exits(0);
}

#[test]
fn foreign_misplaced_and_doubled_mail_is_named() {
    let site = balanced();
    let mut standby = site.standby();
    standby
        .append("INBOX", &[], 1_700_000_000, b"Subject: fremd\r\n\r\nx\r\n")
        .unwrap();
    assert_eq!(
        site.agent(&["reconcile"]).exits(3).classes(),
        ["foreign_at_standby standby"]
    );
    let messages = standby.messages("INBOX").unwrap();
    standby
        .append("INBOX", &[], messages[0].internaldate, &messages[0].body)
        .unwrap();
    assert_eq!(
        site.agent(&["reconcile"]).exits(3).classes(),
        ["duplicate standby", "foreign_at_standby standby"]
    );
    standby.create("Irgendwo").unwrap();
    standby
        .move_to("INBOX", &[messages[1].uid], "Irgendwo")
        .unwrap();
    assert_eq!(
        site.agent(&["reconcile"]).exits(3).classes(),
        [
            "duplicate standby",
            "foreign_at_standby standby",
            "misplaced standby"
        ]
    );
}

#[test]
fn mail_that_was_not_mirrored_is_missing() {
    let site = balanced();
    site.fill("INBOX", 20, 1);
    let said = site.agent(&["reconcile"]).exits(3);
    assert_eq!(
        said.classes(),
        ["missing_at_standby standby", "missing_in_store store"]
    );
    assert_eq!(site.once().exits(0).classes(), [""; 0]);
    site.assert_equal();
}

pub fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_document_has_the_documented_form() {
    let site = balanced();
    let said = site.once().exits(0);
    let triangle = said.triangle();
    for key in [
        "triangle",
        "verdict",
        "tx_at",
        "depth",
        "corners",
        "mirrored",
        "repairs",
        "discrepancies",
        "coverage",
        "halt",
        "certificate",
    ] {
        assert!(triangle.get(key).is_some(), "{key} in {triangle}");
    }
    assert_eq!(triangle["corners"]["store"]["messages"], 6);
    assert_eq!(triangle["coverage"]["content_verified"], 18);
    let text = triangle["certificate"].to_string();
    assert!(
        !text.contains("INBOX") && !text.contains("Gesendet"),
        "{text}"
    );
}

#[test]
fn depth_content_reads_everything_also_twice_within_a_second() {
    let site = balanced();
    for _ in 0..2 {
        let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
        for corner in said.triangle()["certificate"]["coverage"]
            .as_array()
            .unwrap()
        {
            assert_eq!(corner["content_verified_now"], 6, "{corner}");
        }
    }
}

#[test]
fn what_is_counted_no_more_is_not_verified() {
    let site = balanced();
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.delete("INBOX", &uids[..2]).unwrap();
    let said = site.agent(&["reconcile"]).exits(3);
    let coverage = &said.triangle()["certificate"]["coverage"];
    let verified = |i: usize| coverage[i]["content_verified"].as_u64().unwrap();
    assert_eq!([verified(0), verified(1), verified(2)], [6, 4, 6]);
}

#[test]
fn the_index_can_be_made_anew() {
    let site = balanced();
    site.agent(&["store", "rebuild-index"]).exits(0);
    assert_eq!(site.agent(&["store", "stats"]).exits(0).json["messages"], 6);
    site.agent(&["reconcile", "--depth", "content"]).exits(0);
}

#[test]
fn an_index_that_is_cut_off_is_no_store_that_is_whole() {
    let site = balanced();
    let index = site.dir.path().join("data/store/index.sqlite");
    let file = std::fs::OpenOptions::new().write(true).open(index).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1000).unwrap();
    // What is cut off is seen at opening, and the index made anew, or only when it is read.
    for command in [&["store", "check"][..], &["once"]] {
        let said = site.agent(command);
        let text = format!("{} {}", said.json, said.stderr);
        let refused = said.code == 1 && text.contains("store rebuild-index");
        let made_anew = said.code == 0 && text.contains("it is made anew");
        assert!(refused || made_anew, "{text}");
        if made_anew {
            break;
        }
    }
    site.agent(&["store", "rebuild-index"]).exits(0);
    site.agent(&["store", "check"]).exits(0);
    assert_eq!(site.once().exits(0).classes(), [""; 0]);
}

#[test]
fn a_folder_that_goes_with_the_store_does_not_stop_the_mirror() {
    let site = Site::new();
    site.primary().create("Projekte").unwrap();
    site.fill("Projekte", 1, 4);
    site.fill("INBOX", 10, 40);
    site.once().exits(0);
    std::fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    site.primary().delete_folder("Projekte").unwrap();
    site.fill("INBOX", 60, 1);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 1);
    assert_eq!(said.classes(), ["(missing_at_primary standby)"; 4]);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (0, vec![]));
    assert_eq!(site.standby().messages("Projekte").unwrap().len(), 4);
}

#[test]
fn a_store_that_is_gone_or_older_than_the_ledger_is_refilled() {
    let site = balanced();
    let store = site.dir.path().join("data/store");
    let kept = site.dir.path().join("kept");
    copy(&store, &kept);
    site.fill("INBOX", 10, 4);
    site.once().exits(0);
    std::fs::remove_dir_all(&store).unwrap();
    copy(&kept, &store);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs().len()), (0, 4));
    std::fs::remove_dir_all(&store).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs().len()), (0, 10));
    assert_eq!(
        site.agent(&["store", "stats"]).exits(0).json["messages"],
        10
    );
}

/// What lies in it is the same, and as much: only what is said of it is older.
#[test]
fn an_older_store_is_told_of_moves_renames_flags_and_what_vanished() {
    let site = Site::new();
    let mut primary = site.primary();
    primary.create("Alt").unwrap();
    primary.create("Projekte").unwrap();
    site.fill("INBOX", 1, 6);
    site.fill("Alt", 10, 3);
    site.once().exits(0);
    let store = site.dir.path().join("data/store");
    let kept = site.dir.path().join("kept");
    copy(&store, &kept);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[..1], "Projekte").unwrap();
    primary
        .store("INBOX", &uids[1..3], "+FLAGS", &["\\Flagged"])
        .unwrap();
    primary.rename("Alt", "Neu").unwrap();
    primary.delete("INBOX", &uids[5..]).unwrap();
    let vanished = ["(missing_at_primary standby)"];
    assert_eq!(site.once().exits(0).classes(), vanished);
    // One more than then, and one less.
    site.fill("INBOX", 20, 1);
    site.once().exits(0);
    for _ in 0..2 {
        std::fs::remove_dir_all(&store).unwrap();
        copy(&kept, &store);
        let said = site.once().exits(0);
        assert_eq!(
            (said.sent(), said.classes()),
            (0, vanished.map(str::to_owned).to_vec())
        );
        let mut repairs = vec!["flags_differ store"; 2];
        repairs.extend(["misplaced store"; 4]);
        repairs.push("missing_in_store store");
        assert_eq!(said.repairs(), repairs);
    }
    assert_eq!(site.once().exits(0).repairs(), [""; 0]);
    site.agent(&["store", "rebuild-index"]).exits(0);
    assert_eq!(site.agent(&["reconcile"]).exits(0).classes(), vanished);
}

#[test]
fn beside_altered_the_right_copy_is_put_once() {
    let site = balanced();
    let cur = site.standby.maildir(super::site::USER);
    let path = walk(&cur)
        .into_iter()
        .find(|p| std::fs::read(p).is_ok_and(|octets| octets.windows(8).any(|w| w == b"Nummer 3")))
        .unwrap();
    let octets = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    std::fs::write(&path, octets.replace("Nummer 3", "Nummer X")).unwrap();
    site.agent(&["reconcile", "--depth", "content"]).exits(3);
    let said = site.once().exits(3);
    assert_eq!(
        (said.sent(), said.repairs()),
        (1, vec!["altered standby".to_owned()])
    );
    assert_eq!(said.classes().len(), 1);
    assert_eq!(site.once().exits(3).sent(), 0);
}

#[test]
fn a_message_that_a_server_hangs_up_on_is_named_and_the_rest_is_read() {
    let site = Site::new();
    site.fill("INBOX", 1, 30);
    site.once().exits(0);
    let mut there = cut(&site.standby, &[7, 20]);
    there.sort_unstable();
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(3);
    let triangle = said.triangle();
    assert_eq!(triangle["verdict"], "unproven");
    let unread = triangle["unread_messages"].as_array().unwrap();
    let unread: Vec<_> = unread.iter().map(|m| (&m["corner"], &m["uid"])).collect();
    let standby = "standby".into();
    let named: Vec<Value> = there.iter().map(|uid| (*uid).into()).collect();
    let named: Vec<_> = named.iter().map(|uid| (&standby, uid)).collect();
    assert_eq!(unread, named);
    let standby = &triangle["certificate"]["coverage"][1];
    assert_eq!(standby["content_verified_now"], 28);
    assert_eq!(standby["whole"], false);
}

/// Flips an octet of a message's file on a server's disc, or flips it back.
fn flip(server: &Dovecot, number: u32) {
    let holds = |path: &PathBuf| {
        let octets = std::fs::read(path).unwrap();
        let text = format!("Message-ID: <{number}@");
        octets.starts_with(text.as_bytes())
    };
    let file = walk(&server.maildir(USER)).into_iter().find(holds).unwrap();
    let mut octets = std::fs::read(&file).unwrap();
    let last = octets.len() - 3;
    octets[last] ^= 1;
    std::fs::write(&file, octets).unwrap();
}

/// A server must not change a message, and a bad disc does. What was copied in time is not given up for what is there now.
#[test]
fn what_the_primary_alters_is_copied_beside_what_it_was() {
    let site = balanced();
    flip(&site.primary, 4);
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(3);
    // The store has what it was, and not what it is.
    let both = ["missing_at_primary store", "missing_in_store store"];
    assert_eq!(said.classes(), ["altered standby", both[0], both[1]]);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 1);
    let vanished = ["(missing_at_primary standby)"];
    assert_eq!(said.classes(), vanished);
    assert_eq!(said.triangle()["certificate"]["new_tombstones"], 1);
    site.fill("INBOX", 10, 1);
    for sent in [1, 0] {
        let said = site.once().exits(0);
        assert_eq!(
            (said.sent(), said.classes()),
            (sent, vanished.map(str::to_owned).to_vec())
        );
    }
    let stats = site.agent(&["store", "stats"]).exits(0).json;
    assert_eq!(
        (&stats["messages"], &stats["tombstones"]),
        (&7.into(), &1.into())
    );
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.classes(), vanished);
    // As it was, it is known again.
    flip(&site.primary, 4);
    site.agent(&["reconcile", "--depth", "content"]).exits(3);
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, vanished.map(str::to_owned).to_vec())
    );
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.classes(), vanished);
    site.agent(&["store", "check"]).exits(0);
}

/// Before a mirror has buried it, and after: each depth says that a corner holds more than the primary, and why.
#[test]
fn what_vanished_is_named_at_each_depth() {
    let site = balanced();
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[..2]).unwrap();
    let both = ["missing_at_primary standby", "missing_at_primary store"];
    for (mirrored, named) in [(false, &both[..]), (true, &both[..1])] {
        if mirrored {
            site.agent(&["mirror"]).exits(0);
        }
        for depth in ["volume", "ledger", "content"] {
            let said = site.agent(&["reconcile", "--depth", depth]).exits(0);
            let all = said.triangle()["discrepancies"].as_array().unwrap();
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for one in all {
                let word = |key: &str| one[key].as_str().unwrap();
                let key = format!("{} {}", word("class"), word("corner"));
                *counts.entry(key).or_default() += one["messages"].as_u64().unwrap();
            }
            let named = named.iter().map(|class| ((*class).to_owned(), 2));
            assert_eq!(counts, named.collect(), "mirrored: {mirrored}, {depth}");
        }
    }
}

/// Each message counts once in each corner.
#[test]
fn what_was_moved_and_not_mirrored_since_is_misplaced() {
    let site = Site::new();
    let mut primary = site.primary();
    primary.create("Alt").unwrap();
    primary.create("Bau").unwrap();
    site.fill("INBOX", 1, 6);
    site.fill("Alt", 10, 3);
    site.once().exits(0);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[..2], "Bau").unwrap();
    primary.rename("Alt", "Neu").unwrap();
    let each = |class: &str| vec![class.to_owned(); 5];
    let misplaced = [each("misplaced standby"), each("misplaced store")].concat();
    let said = site.agent(&["reconcile"]).exits(3);
    assert_eq!(said.classes(), misplaced);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
}

#[test]
fn a_copy_in_another_folder_of_the_standby_is_a_duplicate_and_flags_are_one_repair() {
    let site = balanced();
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.create("Archiv").unwrap();
    standby.select("INBOX").unwrap();
    standby
        .raw(&format!("UID COPY {} Archiv", uids[0]))
        .unwrap();
    let said = site.once().exits(3);
    assert_eq!(said.classes(), ["duplicate standby"]);
    site.primary()
        .store("INBOX", &[1], "+FLAGS", &["\\Seen"])
        .unwrap();
    site.once().exits(3);
    standby
        .store("INBOX", &uids[..1], "FLAGS", &["$Weird"])
        .unwrap();
    assert_eq!(site.once().exits(3).repairs(), ["flags_differ standby"]);
}

/// Also where nobody remembers that it was another message.
#[test]
fn what_the_primary_alters_takes_no_place_when_the_ledger_is_lost() {
    let site = balanced();
    flip(&site.primary, 4);
    super::restored::lose_the_ledger(&site);
    site.once();
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 0);
    let stats = site.agent(&["store", "stats"]).exits(0).json;
    let counts = (&stats["messages"], &stats["tombstones"]);
    assert_eq!(counts, (&6.into(), &1.into()));
}

/// What came back where it was is there at each depth.
#[test]
fn what_is_moved_away_and_back_is_no_difference_at_any_depth() {
    let site = balanced();
    let mut primary = site.primary();
    primary.create("Bau").unwrap();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[..1], "Bau").unwrap();
    let there = Site::uids(&mut primary, "Bau");
    primary.move_to("Bau", &there, "INBOX").unwrap();
    for depth in ["volume", "ledger", "content"] {
        let said = site.agent(&["reconcile", "--depth", depth]).exits(0);
        assert_eq!(said.classes(), [""; 0], "{depth}");
    }
}

#[test]
fn what_both_accounts_alter_alike_comes_into_the_store() {
    let site = balanced();
    for (number, asks_first) in [(4, true), (5, false)] {
        for server in [&site.primary, &site.standby] {
            flip(server, number);
        }
        if asks_first {
            site.agent(&["reconcile", "--depth", "content"]).exits(3);
        } else {
            // Each Tx reads a share; one of them sees it.
            let said = (0..60).map(|_| site.once()).find(|said| said.code != 0);
            let said = said.unwrap().exits(3);
            assert!(!said.classes().iter().any(|c| c.contains("altered")));
        }
        let said = site.once().exits(0);
        assert_eq!(said.sent(), 0, "{:?}", said.classes());
    }
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.classes(), [""; 0]);
    site.agent(&["store", "check"]).exits(0);
}

/// Cuts off messages' files on a server's disc. Dovecot goes by the sizes in their names, and hangs up on whoever reads one.
/// The messages' UIDs.
pub fn cut(server: &Dovecot, numbers: &[u32]) -> Vec<u32> {
    let messages = server.judge(USER).unwrap().messages("INBOX").unwrap();
    let cut = |number: &u32| {
        let ends = format!("Nummer {number}\n");
        let files = walk(&server.maildir(USER));
        let holds = |path: &PathBuf| std::fs::read(path).unwrap().ends_with(ends.as_bytes());
        let file = files.into_iter().find(holds).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        file.set_len(20).unwrap();
        let ends = format!("Nummer {number}\r\n");
        let it = messages.iter().find(|m| m.body.ends_with(ends.as_bytes()));
        it.unwrap().uid
    };
    numbers.iter().map(cut).collect()
}
