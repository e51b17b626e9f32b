//! What was lost, restored from an older copy or pointed elsewhere: nothing is sent twice for it, and nothing is
//! forgotten that could be known.

use super::site::{Site, copy};

/// The ledger's files are gone.
pub fn lose_the_ledger(site: &Site) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(site.dir.path().join("data").join(name));
    }
}

/// Another line for one that begins so.
fn set(site: &Site, corner: &str, key: &str, value: &str) {
    let file = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (head, tail) = text.split_once(&format!("[triangle.{corner}]\n")).unwrap();
    let kept = tail.lines().filter(|line| !line.starts_with(key));
    let rest: Vec<&str> = kept.collect();
    let text = format!(
        "{head}[triangle.{corner}]\n{key} = {value}\n{}\n",
        rest.join("\n")
    );
    std::fs::write(file, text).unwrap();
}

fn prefix(site: &Site, prefix: &str) {
    let file = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("standby_prefix"));
    let text: Vec<&str> = kept.collect();
    let name = "\nname = \"info\"";
    let with = format!("{name}\nstandby_prefix = \"{prefix}\"");
    std::fs::write(file, text.join("\n").replace(name, &with)).unwrap();
}

#[test]
fn another_standby_begins_anew_each_time() {
    let site = Site::new();
    let mut primary = site.primary();
    site.fill("INBOX", 1, 30);
    primary.create("Akten").unwrap();
    site.fill("Akten", 50, 5);
    site.once().exits(0);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[..1]).unwrap();
    let gone = ["(missing_at_primary standby)"];
    assert_eq!(site.once().exits(0).classes(), gone);
    for user in ["other", "third"] {
        set(&site, "standby", "username", &format!("{user:?}"));
        let said = site.once().exits(0);
        assert_eq!(
            (said.sent(), said.classes(), said.repairs()),
            (34, vec![], vec![])
        );
        let standby = site.standby.judge(user).unwrap().account().unwrap();
        assert_eq!(standby.messages(), 34);
    }
    // What it held before is known by its content.
    set(&site, "standby", "username", "\"info\"");
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (0, vec![]));
    assert_eq!(said.classes(), gone);
    for (name, sent) in [("Spiegel", 34), ("Kopie", 34), ("", 0)] {
        prefix(&site, name);
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.repairs()), (sent, vec![]), "{name}");
        assert_eq!(site.once().exits(0).sent(), 0);
    }
}

/// What had been put back once at the old place is not put aside at the new one.
#[test]
fn what_was_put_back_counts_at_its_place_alone() {
    let site = Site::new();
    site.fill("INBOX", 1, 5);
    site.once().exits(0);
    let mut standby = site.standby();
    let delete_all = |standby: &mut xtask::lab::judge::Judge| {
        let uids = Site::uids(standby, "INBOX");
        standby.delete("INBOX", &uids).unwrap();
    };
    delete_all(&mut standby);
    assert_eq!(site.once().exits(0).sent(), 5);
    delete_all(&mut standby);
    assert_eq!(
        site.once().exits(3).classes(),
        vec!["does_not_stay standby"; 5]
    );
    set(&site, "standby", "username", "\"other\"");
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (5, vec![]));
}

#[test]
fn a_lost_ledger_is_made_anew_and_nothing_is_sent_again() {
    let site = Site::new();
    site.fill("INBOX", 1, 30);
    site.once().exits(0);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary.delete("INBOX", &uids[..25]).unwrap();
    lose_the_ledger(&site);
    // What vanished while no ledger could see it is held back like any other.
    let said = site.once().exits(4);
    assert_eq!(said.sent(), 0);
    let halt = said.triangle()["halt"]["id"].as_str().unwrap().to_owned();
    site.agent(&["confirm", "--triangle", "info", "--halt", &halt])
        .exits(0);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 0);
    assert_eq!(said.classes(), vec!["(missing_at_primary standby)"; 25]);
    assert_eq!(site.agent(&["store", "stats"]).exits(0).json["messages"], 5);
}

#[test]
fn a_lost_ledger_loses_no_move_and_no_rename() {
    let site = Site::new();
    let mut primary = site.primary();
    for folder in ["Akten", "Akten.2025", "Ablage"] {
        primary.create(folder).unwrap();
    }
    site.fill("INBOX", 1, 6);
    site.fill("Akten", 10, 5);
    site.fill("Akten.2025", 20, 5);
    site.fill("Ablage", 30, 5);
    site.once().exits(0);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[..3], "Ablage").unwrap();
    primary.delete("INBOX", &uids[3..4]).unwrap();
    primary.rename("Akten", "Projekte").unwrap();
    site.fill("INBOX", 40, 2);
    lose_the_ledger(&site);
    let said = site.once().exits(0);
    assert_eq!(said.sent(), 2);
    assert_eq!(said.classes(), ["(missing_at_primary standby)"]);
    for (folder, count) in [
        ("INBOX", 5),
        ("Projekte", 5),
        ("Projekte/2025", 5),
        ("Ablage", 8),
    ] {
        assert_eq!(
            site.standby().messages(folder).unwrap().len(),
            count,
            "{folder}"
        );
    }
    assert_eq!(
        site.agent(&["store", "stats"]).exits(0).json["messages"],
        22
    );
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs()), (0, vec![]));
}

/// However it is damaged, it is told as that; and what is advised works.
#[test]
fn a_damaged_ledger_is_made_anew_as_the_error_advises() {
    let site = Site::new();
    site.fill("INBOX", 1, 6);
    site.once().exits(0);
    let path = site.dir.path().join("data/ledger.db");
    let whole = std::fs::read(&path).unwrap();
    let garbage = |from: usize, to: usize| {
        let mut octets = whole.clone();
        octets[from..to].fill(0x55);
        octets
    };
    // The whole, the pages of some tables, and the end.
    for octets in [
        garbage(0, whole.len()),
        garbage(3 * 4096, 8 * 4096),
        whole[..whole.len() / 2].to_vec(),
    ] {
        std::fs::write(&path, octets).unwrap();
        let said = site.once().exits(1);
        let words = "move it and its -wal and -shm files away: a new one is made";
        assert!(said.stderr.contains(words), "{}", said.stderr);
        assert!(!said.stderr.contains("not full"), "{}", said.stderr);
        lose_the_ledger(&site);
        assert_eq!(site.once().exits(0).sent(), 0);
    }
}

#[test]
fn an_older_ledger_is_brought_up_to_the_store() {
    let site = Site::new();
    let mut primary = site.primary();
    primary.create("Ablage").unwrap();
    site.fill("INBOX", 1, 6);
    site.once().exits(0);
    let path = site.dir.path().join("data/ledger.db");
    let older = std::fs::read(&path).unwrap();
    site.fill("INBOX", 10, 6);
    site.once().exits(0);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[4..8], "Ablage").unwrap();
    lose_the_ledger(&site);
    std::fs::write(&path, older).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    site.assert_equal();
}

/// A ledger, or the whole data folder, from before a rename that we followed; and the primary may have gone on.
#[test]
fn an_older_ledger_does_not_take_our_own_renames_for_a_strangers() {
    for (whole, last) in [(false, "Lager"), (true, "Lager"), (false, "Akten")] {
        let site = Site::new();
        let mut primary = site.primary();
        for folder in ["Akten", "Akten.2025"] {
            primary.create(folder).unwrap();
        }
        site.fill("Akten", 1, 5);
        site.fill("Akten.2025", 20, 3);
        site.once().exits(0);
        let (data, kept) = (site.dir.path().join("data"), site.dir.path().join("kept"));
        copy(&data, &kept);
        primary.rename("Akten", "Ablage").unwrap();
        site.fill("Ablage", 40, 2);
        site.once().exits(0);
        site.fill("Ablage", 50, 1);
        primary.rename("Ablage", last).unwrap();
        if whole {
            std::fs::remove_dir_all(&data).unwrap();
            copy(&kept, &data);
        } else {
            lose_the_ledger(&site);
            copy(&kept.join("ledger.db"), &data.join("ledger.db"));
        }
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.classes()), (1, vec![]), "{whole} {last}");
        site.assert_equal();
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.repairs()), (0, vec![]), "{whole} {last}");
    }
}

#[test]
fn of_two_equal_messages_a_lost_ledger_buries_the_one_that_is_gone() {
    for gone in [0, 1] {
        let site = Site::new();
        site.fill("INBOX", 1, 3);
        site.fill("INBOX", 3, 1);
        site.once().exits(0);
        let mut primary = site.primary();
        let uids = Site::uids(&mut primary, "INBOX");
        primary.delete("INBOX", &uids[2 + gone..3 + gone]).unwrap();
        lose_the_ledger(&site);
        let said = site.once().exits(0);
        assert_eq!(said.sent(), 0);
        assert_eq!(said.classes(), ["(missing_at_primary standby)"]);
        let stats = site.agent(&["store", "stats"]).exits(0);
        assert_eq!(stats.json["messages"], 3);
        assert_eq!(site.once().exits(0).repairs(), [""; 0]);
    }
}

#[test]
fn a_store_that_is_lost_when_a_folder_is_renamed_is_filled_in_one_run() {
    let site = Site::new();
    let mut primary = site.primary();
    primary.create("Akten").unwrap();
    site.fill("INBOX", 10, 4);
    site.fill("Akten", 20, 6);
    site.once().exits(0);
    primary.rename("Akten", "Ablage").unwrap();
    std::fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    assert_eq!(said.repairs(), vec!["missing_in_store store"; 10]);
    site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(site.once().exits(0).repairs(), [""; 0]);
}

/// Which of equal messages was deleted and which moved nobody can tell; but each copy is one of theirs.
#[test]
fn an_older_data_folder_gives_each_of_equal_copies_its_reason() {
    for (whole, deleted, from, to, moved) in [
        (true, 2, "Akten", "INBOX", 5),
        (false, 2, "Akten", "INBOX", 5),
        (true, 1, "INBOX", "Akten", 1),
        (false, 1, "INBOX", "Akten", 1),
    ] {
        let site = Site::new();
        let mut primary = site.primary();
        primary.create("Akten").unwrap();
        for _ in 0..3 {
            site.fill("INBOX", 1, 6);
            site.fill("Akten", 1, 4);
        }
        site.once().exits(0);
        let (data, kept) = (site.dir.path().join("data"), site.dir.path().join("kept"));
        copy(&data, &kept);
        let uids = Site::uids(&mut primary, "INBOX");
        primary.delete("INBOX", &uids[..deleted]).unwrap();
        site.once().exits(0);
        let uids = Site::uids(&mut primary, from);
        primary.move_to(from, &uids[..moved], to).unwrap();
        site.once().exits(0);
        if whole {
            std::fs::remove_dir_all(&data).unwrap();
            copy(&kept, &data);
        } else {
            lose_the_ledger(&site);
            copy(&kept.join("ledger.db"), &data.join("ledger.db"));
        }
        for _ in 0..2 {
            let said = site.once().exits(0);
            let gone = vec!["(missing_at_primary standby)"; deleted];
            assert_eq!(
                (said.sent(), said.classes()),
                (0, gone.iter().map(|c| (*c).to_owned()).collect()),
                "{whole} {from}"
            );
        }
    }
}
