//! The cut: what comes, moves, changes and goes on the primary while it is mirrored and proved is late. It is no fault,
//! and it hides none.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use xtask::lab::judge::Judge;
use xtask::lab::random::Random;

use super::site::{Said, Site};

/// Operations a second.
const PACE: u32 = 50;
/// Folders that are worked in.
const FOLDERS: [&str; 3] = ["INBOX", "Projekte", "Archiv"];
/// The folder that nobody works in.
const QUIET: &str = "Ablage";

pub fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(u64::try_from(bound).unwrap())).unwrap()
}

/// Works in an account like a busy office until it is told to end: delivers, flags, moves and expunges.
fn work(mut primary: Judge, seed: u64, end: &AtomicBool, done: &AtomicU32) {
    let mut random = Random::new(seed);
    let began = Instant::now();
    while !end.load(Ordering::Relaxed) {
        let count = done.fetch_add(1, Ordering::Relaxed);
        let folder = FOLDERS[below(&mut random, 3)];
        let uids = Site::uids(&mut primary, folder);
        let some = uids.get(below(&mut random, uids.len().max(1))).copied();
        match (below(&mut random, 6), some) {
            (0..=1, _) | (_, None) => {
                let octets =
                    format!("Message-ID: <{seed}-{count}@abc.example>\r\n\r\nwarm {count}\r\n");
                primary
                    .append(folder, &[], 1_700_000_000, octets.as_bytes())
                    .unwrap();
            }
            (2, Some(uid)) => primary
                .store(folder, &[uid], "+FLAGS", &["\\Seen"])
                .unwrap(),
            (3, Some(uid)) => primary
                .store(folder, &[uid], "-FLAGS", &["\\Seen", "$Beleg"])
                .unwrap(),
            (4, Some(uid)) => {
                let other = FOLDERS[below(&mut random, 3)];
                if other != folder {
                    primary.move_to(folder, &[uid], other).unwrap();
                }
            }
            (_, Some(uid)) => primary.delete(folder, &[uid]).unwrap(),
        }
        let due = Duration::from_secs(1) * count / PACE;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// What nothing explains.
fn unexplained(said: &Said) -> Vec<String> {
    let mut classes = said.classes();
    classes.retain(|class| !class.starts_with('('));
    classes
}

#[test]
fn what_happens_meanwhile_is_no_fault_and_hides_none() {
    let site = Site::new();
    // So much mail goes that the guard would hold it back.
    site.hold_nothing_back();
    let mut primary = site.primary();
    for folder in [QUIET, "Projekte", "Archiv"] {
        primary.create(folder).unwrap();
    }
    for (folder, from) in [("INBOX", 1), ("Projekte", 100), ("Archiv", 200)] {
        site.fill(folder, from, 60);
    }
    site.fill(QUIET, 1000, 40);
    site.once().exits(0);
    let (end, done) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|all| {
        all.spawn(|| work(site.primary(), 1, &end, &done));
        let proofs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| proofs(&site)));
        end.store(true, Ordering::Relaxed);
        if let Err(failed) = proofs {
            std::panic::resume_unwind(failed);
        }
    });
    println!("{} operations meanwhile", done.load(Ordering::Relaxed));
    let said = site.once();
    assert_eq!(unexplained(&said), planted(ROUNDS), "{}", said.stderr);
}

const ROUNDS: usize = 8;

/// What has been planted after so many rounds and stays.
fn planted(rounds: usize) -> Vec<String> {
    let each = |class: &str| vec![format!("{class} standby"); rounds];
    [
        each("duplicate"),
        each("foreign_at_standby"),
        each("misplaced"),
    ]
    .concat()
}

/// Plants differences where nobody works, round by round, and demands that each proof names them all and nothing else.
fn proofs(site: &Site) {
    let mut late = 0;
    for round in 0..ROUNDS {
        let mut standby = site.standby();
        let quiet = standby.messages(QUIET).unwrap();
        let (twin, stray, lost) = (&quiet[0], &quiet[1 + round], &quiet[20]);
        let intruder = format!("Subject: fremd {round}\r\n\r\nx\r\n");
        standby
            .append(QUIET, &[], 1_700_000_000, intruder.as_bytes())
            .unwrap();
        standby
            .append(QUIET, &[], twin.internaldate, &twin.body)
            .unwrap();
        standby.move_to(QUIET, &[stray.uid], "Archiv").unwrap();
        standby.delete(QUIET, &[lost.uid]).unwrap();
        standby.logout().unwrap();
        let said = site.once();
        assert_eq!(
            unexplained(&said),
            planted(round + 1),
            "round {round}: {} {}",
            said.json,
            said.stderr
        );
        assert_eq!(said.code, 3, "{}", said.stderr);
        let put_back = said
            .repairs()
            .into_iter()
            .filter(|r| r == "missing_at_standby standby");
        assert_eq!(put_back.count(), 1, "round {round}");
        late += said
            .classes()
            .iter()
            .filter(|class| class.starts_with("(late"))
            .count();
    }
    assert!(late > 0, "nothing came while it was proved");
}
