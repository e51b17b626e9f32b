//! Looks at a primary whose owner moves mail and renames folders meanwhile: what is seen twice or not at all then is
//! neither sent twice nor buried.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use xtask::lab::judge::Judge;
use xtask::lab::random::Random;

use super::cut::below;
use super::site::{Site, USER};

/// A site whose guard holds nothing back, with three folders besides INBOX.
fn unguarded() -> Site {
    let site = Site::new();
    site.hold_nothing_back();
    let mut primary = site.primary();
    site.fill("INBOX", 1, 60);
    for (folder, from) in [("Alt", 100), ("Bau", 200), ("Post", 300)] {
        primary.create(folder).unwrap();
        site.fill(folder, from, 6);
    }
    site.once().exits(0);
    site
}

/// The accounts are equal, and no message of the standby is one too many.
fn assert_equal(site: &Site, what: &str) {
    let mut counts: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for (mut judge, step) in [(site.primary(), 1), (site.standby(), -1)] {
        for folder in judge.folders().unwrap() {
            for message in judge.messages(&folder.name).unwrap() {
                *counts.entry(message.body).or_default() += step;
            }
        }
    }
    counts.retain(|_, count| *count != 0);
    let wrong: Vec<(String, i64)> = counts
        .into_iter()
        .map(|(body, count)| (String::from_utf8_lossy(&body).into_owned(), count))
        .collect();
    assert_eq!(wrong, [], "{what}");
    site.assert_equal();
}

type Change = fn(&mut Judge);

#[test]
fn what_moves_while_the_folders_are_looked_at_is_neither_doubled_nor_buried() {
    let first = |judge: &mut Judge, from: &str, to: &str| {
        let uids = Site::uids(judge, from);
        judge.move_to(from, &uids[..1], to).unwrap();
    };
    let moved: Change = |judge| {
        let uids = Site::uids(judge, "Alt");
        judge.move_to("Alt", &uids[..2], "Post").unwrap();
    };
    let swapped: Change = |judge| {
        for (from, to) in [("Alt", "Zwischen"), ("Post", "Alt"), ("Zwischen", "Post")] {
            judge.rename(from, to).unwrap();
        }
    };
    let renamed: Change = |judge| judge.rename("Alt", "Neu").unwrap();
    let both: Change = |judge| {
        judge.rename("Post", "Anders").unwrap();
        let uids = Site::uids(judge, "Alt");
        judge.move_to("Alt", &uids[3..5], "Anders").unwrap();
    };
    std::thread::scope(|all| {
        for (name, change) in [
            ("moved", moved),
            ("swapped", swapped),
            ("renamed", renamed),
            ("both", both),
        ] {
            // Which of the folders are looked at: those in which something else happened.
            for busy in [&["Alt"][..], &["Post"], &["Alt", "Post"], &["INBOX"]] {
                all.spawn(move || {
                    let site = unguarded();
                    let mut primary = site.primary();
                    for (number, folder) in busy.iter().enumerate() {
                        let number = u32::try_from(number).unwrap();
                        site.fill(folder, 500 + number, 1);
                    }
                    let what = format!("{name}, {busy:?} in work");
                    site.held_at("folders listed", || change(&mut primary));
                    first(&mut primary, "INBOX", "Bau");
                    let said = site.once();
                    assert_eq!(said.classes(), [""; 0], "{what}");
                    assert_equal(&site, &what);
                    site.agent(&["store", "check"]).exits(0);
                });
            }
        }
    });
}

/// What vanished may lie in a folder that the server cannot open for once.
#[test]
fn what_may_lie_in_a_folder_that_was_not_seen_is_not_buried() {
    let site = unguarded();
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "Alt");
    primary.move_to("Alt", &uids[..2], "Post").unwrap();
    let list = site.primary.maildir(USER).join(".Post/dovecot-uidlist");
    let aside = list.with_extension("aside");
    std::fs::rename(&list, &aside).unwrap();
    std::fs::create_dir(&list).unwrap();
    let said = site.once();
    assert!(said.stderr.contains("[SERVERBUG]"), "{}", said.stderr);
    assert_eq!(said.triangle()["verdict"], "unproven", "{}", said.json);
    std::fs::remove_dir(&list).unwrap();
    std::fs::rename(&aside, &list).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    assert_equal(&site, "moved into a folder that was not seen");
}

/// How often an account is mirrored while its owner is at work, and how many accounts; more on demand.
fn rounds() -> (u32, u64) {
    match std::env::var("MAILDREIECK_TORN") {
        Ok(seeds) => (40, seeds.parse().unwrap()),
        Err(_) => (12, 2),
    }
}

/// Moves mail and renames folders, as fast as the server can, with pauses now and then.
fn shuffle(mut primary: Judge, seed: u64, end: &AtomicBool, done: &AtomicU32) {
    let mut random = Random::new(seed);
    let mut folders = ["Alt", "Bau", "Post"].map(str::to_owned);
    while !end.load(Ordering::Relaxed) {
        done.fetch_add(1, Ordering::Relaxed);
        let mut which = |bound: usize| below(&mut random, bound);
        let one = which(3);
        let other = (one + 1 + which(2)) % 3;
        let (from, to) = (folders[one].clone(), folders[other].clone());
        match which(4) {
            0 => {
                folders[one] = format!("N{}", which(1_000_000));
                primary.rename(&from, &folders[one]).unwrap();
            }
            1 => {
                for (from, to) in [(&*from, "Zwischen"), (&*to, &*from), ("Zwischen", &*to)] {
                    primary.rename(from, to).unwrap();
                }
            }
            _ => {
                let uids = Site::uids(&mut primary, &from);
                if let Some(uid) = uids.first() {
                    primary.move_to(&from, &[*uid], &to).unwrap();
                }
            }
        }
        std::thread::sleep(Duration::from_millis(random.below(60)));
    }
}

#[test]
fn an_account_that_never_comes_to_rest_is_mirrored_without_a_duplicate() {
    let (rounds, seeds) = rounds();
    for seed in 0..seeds {
        let site = unguarded();
        let (end, done) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|all| {
            all.spawn(|| shuffle(site.primary(), seed, &end, &done));
            for _ in 0..rounds {
                // What came of a run in the middle of it all, the last one shows.
                site.agent(&["mirror"]);
            }
            end.store(true, Ordering::Relaxed);
        });
        let said = site.once();
        let done = done.load(Ordering::Relaxed);
        println!("seed {seed}: {done} changes, {:?}", said.classes());
        assert_equal(&site, &format!("seed {seed}"));
        assert_eq!((said.code, said.classes()), (0, vec![]), "seed {seed}");
    }
}
