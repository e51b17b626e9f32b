//! The store keeps itself true: what it lost comes back from whoever has it, also from the standby; what cannot be
//! read is named; and a key that is lost, wrong or changed costs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::proof::walk;
use super::site::{Said, Site, command, copy, said, segments};

/// Writes over each message of the store's first segment.
fn damage(site: &Site) {
    let path = segments(site.dir.path()).remove(0);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_the_primary_has_lost_too_comes_back_from_the_standby() {
    let site = Site::new();
    site.primary().create("Akten").unwrap();
    site.fill("INBOX", 1, 6);
    site.fill("Akten", 11, 3);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[1..3]).unwrap();
    let gone = ["(missing_at_primary standby)"; 2];
    assert_eq!(site.once().exits(0).classes(), gone);
    damage(&site);
    // Named before it is mended: by folder, UID or content, and which of it was deleted.
    let check = site.agent(&["store", "check"]).exits(3);
    let unreadable = check.json["unreadable_messages"].as_array().unwrap();
    assert_eq!(unreadable.len(), 9, "{}", check.json);
    let of = |folder: &str, deleted: bool| {
        let all = unreadable.iter().filter(|m| m["folder"] == folder);
        let all = all.filter(|m| m["deleted_at"].is_string() == deleted);
        all.filter(|m| m["content_id"].as_str().unwrap().len() == 64)
            .count()
    };
    assert_eq!(
        [of("INBOX", false), of("INBOX", true), of("Akten", false)],
        [4, 2, 3]
    );
    let uids = unreadable.iter().filter(|m| m["uid"].is_u64()).count();
    assert_eq!(uids, 7);
    let repaired = site.once().exits(0);
    assert_eq!(repaired.sent(), 0);
    assert_eq!(repaired.repairs(), vec!["missing_in_store store"; 9]);
    let check = site.agent(&["store", "check"]).exits(0);
    for key in ["unreadable_messages", "damaged", "lost"] {
        assert_eq!(check.json[key], serde_json::json!([]), "{key}");
    }
    assert_eq!(site.once().exits(0).repairs(), [""; 0]);
    site.agent(&["store", "rebuild-index"]).exits(0);
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.classes(), gone);
}

/// The index made anew forgets nothing that the old one knew, so the mirror brings back what is missing.
#[test]
fn what_a_lost_segment_held_comes_back_also_when_the_index_was_made_anew_first() {
    let site = Site::new();
    site.fill("INBOX", 1, 6);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[1..3]).unwrap();
    let gone = ["(missing_at_primary standby)"; 2];
    assert_eq!(site.once().exits(0).classes(), gone);
    damage(&site);
    let said = site.agent(&["store", "rebuild-index"]).exits(3);
    assert_eq!(said.json["lost_segments"], serde_json::json!([1]));
    for (key, count) in [
        ("kept_members", 6),
        ("missing_contents", 4),
        ("missing_of_vanished", 2),
    ] {
        assert_eq!(said.json[key], count, "{}", said.json);
    }
    let stats = site.agent(&["store", "stats"]).exits(0);
    assert_eq!(
        (&stats.json["messages"], &stats.json["tombstones"]),
        (&4.into(), &2.into())
    );
    site.agent(&["store", "check"]).exits(3);
    let repaired = site.once().exits(0);
    assert_eq!(repaired.sent(), 0);
    assert_eq!(repaired.repairs(), vec!["missing_in_store store"; 6]);
    site.agent(&["store", "check"]).exits(0);
    site.agent(&["store", "rebuild-index"]).exits(0);
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.classes(), gone);
}

/// What looks after a store begins none.
#[test]
fn where_there_is_no_store_it_is_said_and_nothing_is_made() {
    let site = Site::new();
    let before = walk(site.dir.path());
    for data in [false, true] {
        if data {
            std::fs::create_dir(site.dir.path().join("data")).unwrap();
        }
        let to = site.dir.path().join("export");
        let export = [
            "export",
            "--triangle",
            "info",
            "--format",
            "eml",
            "--to",
            to.to_str().unwrap(),
        ];
        for command in [
            &["store", "check"][..],
            &["store", "stats"],
            &["store", "rebuild-index"],
            &export,
        ] {
            let said = site.agent(command).exits(1);
            let words = "data/store holds no store; run a mirror first, or correct data_dir";
            assert!(said.stderr.contains(words), "{command:?}: {}", said.stderr);
            assert!(said.json["error"]["message"].is_string());
        }
        assert_eq!(walk(site.dir.path()), before);
        assert!(!to.exists() && !site.dir.path().join("data/store").exists());
    }
    site.fill("INBOX", 1, 1);
    site.once().exits(0);
    site.agent(&["store", "check"]).exits(0);
}

/// A copy of a segment that somebody left beside the others is named as that, and is no fault of the store.
#[test]
fn a_stray_copy_of_a_segment_stops_nothing() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let store = site.dir.path().join("data/store");
    for name in ["seg-00000009.mds", "seg-00000001.mds.copy", "000001.mds"] {
        copy(&store.join("seg-00000001.mds"), &store.join(name));
    }
    let strays = serde_json::json!([{ "file": "seg-00000009.mds", "segment": 1 }]);
    for command in ["check", "rebuild-index"] {
        let said = site.agent(&["store", command]).exits(0);
        assert_eq!(said.json["strays"], strays, "{}", said.json);
        assert_eq!(said.json["lost_segments"], serde_json::json!([]));
    }
    site.fill("INBOX", 5, 2);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (2, vec![]));
    let unreadable = site.agent(&["store", "check"]).exits(0);
    assert_eq!(unreadable.json["strays"], strays);
}

/// What was deleted on the primary the store keeps, and gives to who asks for it.
#[test]
fn an_export_leaves_out_what_vanished_and_says_so_or_has_it_too() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[..1]).unwrap();
    site.once().exits(0);
    let to = site.dir.path().join("export");
    let mut export = vec!["--triangle", "info", "--format", "eml", "--to"];
    export.push(to.to_str().unwrap());
    let words = Command::new(env!("CARGO_BIN_EXE_maildreieck-agent"))
        .args(["export", "--quiet", "--config"])
        .arg(site.dir.path().join("agent.toml"))
        .args(&export)
        .output()
        .unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("2 messages written"), "{words}");
    assert!(
        words.contains("1 left out because they vanished on the primary (--with-vanished"),
        "{words}"
    );
    export.insert(0, "export");
    export.push("--with-vanished");
    let said = site.agent(&export).exits(0);
    assert_eq!(
        (&said.json["written"], &said.json["present"]),
        (&1.into(), &2.into())
    );
    assert_eq!(said.json["tombstones_left_out"], 0);
    let list = std::fs::read_to_string(to.join("maildreieck-export.ndjson")).unwrap();
    assert_eq!(list.matches("vanished_at").count(), 1, "{list}");
}

/// A copy that only looks like it is not taken for it.
#[test]
fn a_copy_with_other_octets_mends_nothing() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[2..]).unwrap();
    site.once().exits(0);
    let files = walk(&site.standby.maildir(super::site::USER));
    let holds =
        |path: &&PathBuf| std::fs::read_to_string(path).is_ok_and(|t| t.contains("Nummer 3"));
    let file = files.iter().find(holds).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let time = std::fs::metadata(file).unwrap().modified().unwrap();
    std::fs::write(file, text.replace("Nummer 3", "Nummer X")).unwrap();
    std::fs::File::open(file)
        .unwrap()
        .set_modified(time)
        .unwrap();
    damage(&site);
    let said = site.once();
    assert_eq!(said.repairs(), vec!["missing_in_store store"; 2]);
    let check = site.agent(&["store", "check"]);
    assert_eq!(
        check.json["unreadable_messages"].as_array().unwrap().len(),
        1
    );
}

/// All that lies in a data folder, but for what each run makes anew.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walk(&dir.join("data")).into_iter();
    let kept = files.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !name.ends_with("-shm") && !name.ends_with("-wal") && !name.contains("lock")
    });
    kept.map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// Every command that needs the key says what is wrong and what to do, and changes nothing.
fn refused(site: &Site, words: &[&str]) {
    let before = contents(site.dir.path());
    site.fill("INBOX", 50, 1);
    let standby = site.standby().account().unwrap().messages();
    let to = site.dir.path().join("export");
    let export = [
        "export",
        "--triangle",
        "info",
        "--format",
        "eml",
        "--to",
        to.to_str().unwrap(),
    ];
    for command in [
        &["once"][..],
        &["mirror"],
        &["reconcile"],
        &["store", "check"],
        &["store", "stats"],
        &["store", "rebuild-index"],
        &export,
    ] {
        let said = site.agent(command);
        assert_eq!(said.code, 1, "{command:?}: {} {}", said.json, said.stderr);
        for word in words {
            assert!(
                said.stderr.contains(word),
                "{command:?}: {word} in {}",
                said.stderr
            );
        }
        assert!(contents(site.dir.path()) == before, "{command:?}");
    }
    assert_eq!(site.standby().account().unwrap().messages(), standby);
    let mut primary = site.primary();
    let uid = *Site::uids(&mut primary, "INBOX").last().unwrap();
    primary.delete("INBOX", &[uid]).unwrap();
}

#[test]
fn a_lost_wrong_or_changed_key_is_named_and_costs_nothing() {
    let site = Site::new();
    site.fill("INBOX", 1, 4);
    site.once().exits(0);
    let key = site.dir.path().join("store.key");
    let right = std::fs::read_to_string(&key).unwrap();
    let put = |text: &str| super::site::write_private(&key, text);
    // Lost: no new one is made in its place.
    std::fs::remove_file(&key).unwrap();
    refused(
        &site,
        &["store.key is missing", "put back a copy of the key"],
    );
    assert!(!key.exists());
    // Another store's.
    let other = Site::new();
    other.fill("INBOX", 1, 1);
    other.once().exits(0);
    std::fs::remove_file(&key).ok();
    copy(&other.dir.path().join("store.key"), &key);
    refused(
        &site,
        &[
            "does not belong to this store",
            "put back the key it was written with",
        ],
    );
    // Changed by one digit; cut off.
    let last = right.trim_end().chars().last().unwrap();
    let digit = if last == '0' { '1' } else { '0' };
    let mut changed = right.trim_end().to_owned();
    changed.pop();
    put(&format!("{changed}{digit}\n"));
    refused(
        &site,
        &[
            "does not belong to this store",
            "put back the key it was written with",
        ],
    );
    put(&changed);
    refused(
        &site,
        &["is not a store key", "put the right key file in place"],
    );
    // The right one again: all is there, also without the index.
    put(&right);
    site.agent(&["store", "check"]).exits(0);
    site.agent(&["store", "rebuild-index"]).exits(0);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (0, vec![]));
}

/// With a wrong key no index can be made from the segments either.
#[test]
fn without_its_index_a_store_still_knows_a_wrong_key() {
    let site = Site::new();
    site.fill("INBOX", 1, 2);
    site.once().exits(0);
    let key = site.dir.path().join("store.key");
    let right = std::fs::read_to_string(&key).unwrap();
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(site.dir.path().join("data/store").join(name));
    }
    let digits = format!("maildreieck store key 1\n{}\n", "ab".repeat(32));
    super::site::write_private(&key, &digits);
    let before: Vec<Vec<u8>> = segments(site.dir.path())
        .iter()
        .map(|s| std::fs::read(s).unwrap())
        .collect();
    for command in [&["once"][..], &["store", "rebuild-index"]] {
        let said = site.agent(command);
        assert_eq!(said.code, 1, "{}", said.stderr);
        assert!(
            said.stderr.contains("does not belong to this store"),
            "{}",
            said.stderr
        );
    }
    let after: Vec<Vec<u8>> = segments(site.dir.path())
        .iter()
        .map(|s| std::fs::read(s).unwrap())
        .collect();
    assert_eq!(before, after);
    super::site::write_private(&key, &right);
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn the_key_may_come_from_the_service_manager() {
    let site = Site::new();
    site.fill("INBOX", 1, 2);
    let credentials = site.dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let run = |args: &[&str]| -> Said {
        let mut command = command(site.dir.path(), args);
        said(
            command
                .env("CREDENTIALS_DIRECTORY", &credentials)
                .output()
                .unwrap(),
        )
    };
    let digits = format!("maildreieck store key 1\n{}\n", "cd".repeat(32));
    super::site::write_private(&credentials.join("store.key"), &digits);
    // As newer versions of systemd show it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o440);
    std::fs::set_permissions(credentials.join("store.key"), mode).unwrap();
    run(&["once"]).exits(0);
    assert!(!site.dir.path().join("store.key").exists());
    run(&["store", "check"]).exits(0);
    // Without it the key is missing, and none is made.
    let said = site.agent(&["store", "check"]);
    assert!(
        said.code == 1 && said.stderr.contains("is missing"),
        "{}",
        said.stderr
    );
    assert!(!site.dir.path().join("store.key").exists());
    assert_eq!(run(&["once"]).exits(0).sent(), 0);
}
