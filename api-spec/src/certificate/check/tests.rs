//! Certificates that can be true, and what is wrong with those that cannot.

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::certificate::{
    CornerCoverage, Corners, CutPoint, DifferenceCount, FolderRef, GuardShares, RepairCount,
    UNANCHORED,
};
use crate::vocabulary::{Class, Direction};

mod coverage;
mod forms;
mod times;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn figures(messages: u64, hash: char) -> CornerFigures {
    CornerFigures {
        messages,
        bytes: messages * 100,
        set_hash: hash.to_string().repeat(64),
    }
}

fn folder(name: &str, figures: [Option<CornerFigures>; 3]) -> FolderFigures {
    let [primary, standby, store] = figures;
    FolderFigures {
        folder: FolderRef(name.to_owned()),
        primary,
        standby,
        store,
        medium: None,
    }
}

/// Three corners with ten messages in the inbox and five in another folder.
fn balanced() -> Certificate {
    let ten = || Some(figures(10, 'a'));
    let five = || Some(figures(5, 'b'));
    Certificate {
        format: FORMAT.to_owned(),
        triangle: "info".to_owned(),
        sequence: 1,
        previous: None,
        tx_at: "2026-11-24T17:00:00Z".parse().unwrap(),
        depth: Depth::Ledger,
        verdict: Verdict::Balanced,
        direction: Direction::PrimaryToStandby,
        epoch: 0,
        cut: vec![cut(Corner::Primary, "inbox"), cut(Corner::Standby, "inbox")],
        corners: Corners {
            primary: figures(15, 'c'),
            standby: figures(15, 'c'),
            store: figures(15, 'c'),
            medium: None,
        },
        folders: vec![
            folder("inbox", [ten(), ten(), ten()]),
            folder("f:0123456789abcdef", [five(), five(), five()]),
        ],
        differences: vec![],
        repairs: vec![],
        new_tombstones: 0,
        guard: GuardShares::default(),
        coverage: CORNERS.map(coverage).to_vec(),
        nonce: UNANCHORED.to_owned(),
        configuration_hash: "d".repeat(64),
        agent_version: "0.1.0".to_owned(),
        signing_key: "A".repeat(43),
        signature: None,
        countersignature: None,
    }
}

fn coverage(corner: Corner) -> CornerCoverage {
    CornerCoverage {
        corner,
        whole: true,
        content_verified: 15,
        content_verified_now: 1,
        oldest_proof: Some(at("2026-10-26T17:00:00Z")),
    }
}

fn cut(corner: Corner, name: &str) -> CutPoint {
    CutPoint {
        corner,
        folder: FolderRef(name.to_owned()),
        uidvalidity: 1,
        uidnext: 11,
        highestmodseq: Some(7),
    }
}

fn repair(class: Class, corner: Corner) -> RepairCount {
    RepairCount {
        class,
        corner,
        folder: FolderRef("inbox".to_owned()),
        at: at("2026-11-24T09:00:00Z"),
        count: 1,
    }
}

fn count(class: Class, corner: Corner, folder: &str, count: u64) -> DifferenceCount {
    DifferenceCount {
        class,
        corner,
        against: None,
        folder: FolderRef(folder.to_owned()),
        reason: class.reasons().first().copied(),
        count,
    }
}

/// Gives one corner other figures in the inbox, and in all.
fn set(proof: &mut Certificate, corner: Corner, messages: u64, hash: char) {
    let (all, inbox) = match corner {
        Corner::Primary => (&mut proof.corners.primary, &mut proof.folders[0].primary),
        Corner::Standby => (&mut proof.corners.standby, &mut proof.folders[0].standby),
        Corner::Store => (&mut proof.corners.store, &mut proof.folders[0].store),
    };
    *inbox = Some(figures(messages, hash));
    *all = figures(messages + 5, hash);
    cover(proof);
}

/// Leaves nothing in any corner.
fn without_mail(proof: &mut Certificate) {
    proof.folders.clear();
    let none = figures(0, '9');
    proof.corners = Corners {
        primary: none.clone(),
        standby: none.clone(),
        store: none,
        medium: None,
    };
    cover(proof);
}

/// Has all messages of each corner verified.
fn cover(proof: &mut Certificate) {
    for i in 0..proof.coverage.len() {
        let messages = proof.of(proof.coverage[i].corner).messages;
        let c = &mut proof.coverage[i];
        c.content_verified = messages;
        c.content_verified_now = messages.min(1);
        c.oldest_proof = c.oldest_proof.filter(|_| messages > 0);
    }
}

/// What is found in the balanced certificate after a change, with the verdict that its figures demand.
fn check(change: impl FnOnce(&mut Certificate), expected: &[&str]) {
    let mut proof = balanced();
    change(&mut proof);
    proof.verdict = proof.verdict_of_figures();
    let found: Vec<String> = proof
        .contradictions()
        .into_iter()
        .map(|error| error.pointer)
        .collect();
    assert_eq!(found, expected, "{proof:#?}");
}

#[test]
fn a_true_certificate_passes() {
    check(|_| {}, &[]);
    // A folder that is empty in one corner, and none in another.
    check(
        |p| {
            let empty = Some(figures(0, '9'));
            p.folders.push(folder("sent", [empty, None, None]));
        },
        &[],
    );
    // Without any mail.
    check(without_mail, &[]);
    // Folders that are left out are said, and in no figure.
    check(
        |p| {
            let out = |corner| count(Class::Excluded, corner, "junk", 900);
            p.differences = vec![out(Corner::Standby), out(Corner::Store)];
        },
        &[],
    );
    // A server may state other sizes for the same octets.
    check(
        |p| {
            p.corners.standby.bytes += 7;
            p.folders[0].standby.as_mut().unwrap().bytes += 7;
        },
        &[],
    );
    check(
        |p| {
            p.repairs.push(RepairCount {
                class: Class::MissingAtStandby,
                corner: Corner::Standby,
                folder: FolderRef("inbox".to_owned()),
                at: p.tx_at,
                count: LARGEST,
            });
        },
        &[],
    );
}

#[test]
fn equal_corners_are_equal() {
    let standby = ["/corners/standby/messages", "/folders/0/standby/messages"];
    check(|p| set(p, Corner::Standby, 9, '7'), &standby);
    check(|p| set(p, Corner::Standby, 11, '7'), &standby);
    let store = ["/corners/store/messages", "/folders/0/store/messages"];
    check(|p| set(p, Corner::Store, 0, '7'), &store);
    check(
        |p| set(p, Corner::Store, 10, '7'),
        &["/corners/store/set_hash", "/folders/0/store/set_hash"],
    );
    check(
        |p| set(p, Corner::Primary, 10, '7'),
        &[
            "/corners/standby/set_hash",
            "/folders/0/standby/set_hash",
            "/corners/store/set_hash",
            "/folders/0/store/set_hash",
        ],
    );
    // Moved from one folder into the other, and the totals agree.
    check(
        |p| {
            p.folders[0].standby = Some(figures(9, '7'));
            p.folders[1].standby = Some(figures(6, '8'));
        },
        &["/folders/0/standby/messages", "/folders/1/standby/messages"],
    );
    // A difference of one corner explains nothing of another.
    check(
        |p| {
            set(p, Corner::Standby, 11, '7');
            set(p, Corner::Store, 11, '7');
            p.differences = vec![count(Class::Duplicate, Corner::Store, "inbox", 1)];
        },
        &standby,
    );
}

#[test]
fn differences_explain_as_many_as_they_are() {
    let both = ["/corners/standby/messages", "/folders/0/standby/messages"];
    let check = |class, messages, listed, expected: &[&str]| {
        check(
            |p| {
                set(p, Corner::Standby, messages, '7');
                p.differences = vec![count(class, Corner::Standby, "inbox", listed)];
            },
            expected,
        );
    };
    check(Class::MissingAtStandby, 7, 3, &[]);
    check(Class::MissingAtStandby, 7, 2, &both);
    check(Class::MissingAtStandby, 11, 1, &both);
    check(Class::Preexisting, 12, 2, &[]);
    check(Class::Preexisting, 13, 2, &both);
    check(Class::Preexisting, 9, 2, &both);
    check(Class::MissingAtPrimary, 12, 2, &[]);
    check(Class::Moved, 12, 2, &[]);
    check(Class::Late, 12, 2, &[]);
    check(Class::Late, 8, 2, &[]);
    check(Class::Late, 7, 2, &both);
    check(Class::Quarantined, 8, 2, &[]);
    check(Class::FlagsDiffer, 10, 1, &[]);
    check(Class::FlagsDiffer, 9, 1, &both);
    check(Class::Excluded, 9, 1, &both);
    check(Class::Altered, 10, 1, &[]);
    // An unproven certificate claims nothing.
    check(Class::Pending, 2, 1, &[]);
}

#[test]
fn misplaced_mail_is_missed_in_a_folder_that_is_not_named() {
    check(
        |p| {
            p.folders[0].standby = Some(figures(9, '7'));
            p.folders[1].standby = Some(figures(6, '8'));
            p.corners.standby.set_hash = "0".repeat(64);
            p.differences = vec![count(
                Class::Misplaced,
                Corner::Standby,
                "f:0123456789abcdef",
                1,
            )];
        },
        &[],
    );
    check(
        |p| {
            set(p, Corner::Standby, 9, '7');
            p.differences = vec![count(Class::Misplaced, Corner::Standby, "inbox", 1)];
        },
        &["/corners/standby/messages"],
    );
}

#[test]
fn one_set_has_one_count() {
    check(
        |p| {
            p.corners.standby.messages += 1;
            p.folders[0].standby.as_mut().unwrap().messages += 1;
            cover(p);
            p.differences = vec![count(Class::Preexisting, Corner::Standby, "inbox", 1)];
        },
        &["/corners/standby/set_hash", "/folders/0/standby/set_hash"],
    );
}

#[test]
fn in_equal_sets_nothing_differs() {
    let listed = |class, name: &'static str| {
        move |p: &mut Certificate| p.differences = vec![count(class, Corner::Standby, name, 1)]
    };
    let equal = ["/corners/standby/set_hash", "/folders/0/standby/set_hash"];
    for class in [
        Class::FlagsDiffer,
        Class::DateDiffers,
        Class::Altered,
        Class::DoesNotStay,
        Class::Quarantined,
        Class::Late,
    ] {
        check(listed(class, "inbox"), &equal);
    }
    // In no set.
    for class in [Class::Excluded, Class::Unseen, Class::Pending] {
        check(listed(class, "inbox"), &[]);
    }
    let on_medium = |name: &'static str| {
        move |p: &mut Certificate| {
            p.differences = vec![count(Class::NotYetOnMedium, Corner::Store, name, 3)];
        }
    };
    check(on_medium("inbox"), &[]);
    check(on_medium("*"), &[]);
    // The corners differ, and the folder that is named does not.
    check(
        |p| {
            set(p, Corner::Standby, 10, '7');
            p.differences = vec![
                count(Class::FlagsDiffer, Corner::Standby, "inbox", 1),
                count(Class::FlagsDiffer, Corner::Standby, "f:0123456789abcdef", 1),
            ];
        },
        &["/folders/1/standby/set_hash"],
    );
    // Nothing is claimed of sets at these.
    check(
        |p| {
            p.depth = Depth::Volume;
            listed(Class::Altered, "inbox")(p);
        },
        &[],
    );
    check(
        |p| {
            p.coverage[0].whole = false;
            listed(Class::Altered, "inbox")(p);
        },
        &[],
    );
}

#[test]
fn counts_say_nothing_at_depth_volume_or_of_an_unread_corner() {
    check(
        |p| {
            p.depth = Depth::Volume;
            set(p, Corner::Standby, 12, '7');
        },
        &[],
    );
    check(
        |p| {
            p.coverage[1].whole = false;
            p.corners.standby = CornerFigures::default();
            p.folders[0].standby = None;
            p.folders[1].standby = None;
        },
        &[],
    );
    // Only who was not read has no hash.
    check(
        |p| p.corners.store.set_hash.clear(),
        &["/corners/store/set_hash"],
    );
}

#[test]
fn totals_are_sums() {
    check(
        |p| p.folders.truncate(1),
        &[
            "/corners/primary/messages",
            "/corners/primary/bytes",
            "/corners/standby/messages",
            "/corners/standby/bytes",
            "/corners/store/messages",
            "/corners/store/bytes",
        ],
    );
    check(|p| p.corners.store.bytes += 1, &["/corners/store/bytes"]);
    // At each depth, whatever the verdict.
    check(
        |p| {
            p.depth = Depth::Volume;
            p.coverage.clear();
            p.folders[0].standby = None;
        },
        &["/corners/standby/messages", "/corners/standby/bytes"],
    );
    // The sum of the largest counts does not wrap around.
    check(
        |p| {
            let huge = CornerFigures {
                messages: LARGEST,
                bytes: LARGEST,
                set_hash: "a".repeat(64),
            };
            p.folders = (0..2050)
                .map(|i| folder(&format!("f:{i:016x}"), [Some(huge.clone()), None, None]))
                .collect();
        },
        &[
            "/corners/primary/messages",
            "/corners/primary/bytes",
            "/corners/standby/messages",
            "/corners/standby/bytes",
            "/corners/store/messages",
            "/corners/store/bytes",
        ],
    );
}

#[test]
fn the_verdict_is_what_the_figures_demand() {
    let said = |verdict| {
        let mut proof = balanced();
        set(&mut proof, Corner::Standby, 9, '7');
        proof.differences = vec![count(Class::MissingAtStandby, Corner::Standby, "inbox", 1)];
        proof.verdict = verdict;
        proof
            .contradictions()
            .into_iter()
            .map(|e| format!("{}: {}", e.pointer, e.rule))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said(Verdict::Balanced),
        ["/verdict: unbalanced, which is what the figures demand"]
    );
    assert!(said(Verdict::Unbalanced).is_empty());
}

#[test]
fn the_rules_are_sentences() {
    let mut proof = balanced();
    set(&mut proof, Corner::Standby, 9, '7');
    set(&mut proof, Corner::Store, 10, '8');
    let said: Vec<_> = proof
        .contradictions()
        .into_iter()
        .map(|e| format!("{}: {}", e.pointer, e.rule))
        .collect();
    assert_eq!(
        said,
        [
            "/corners/standby/messages: 15 like the primary, since no difference is listed that explains another",
            "/folders/0/standby/messages: 10 like the primary, since no difference is listed that explains another",
            "/corners/store/set_hash: the primary's, since no difference is listed",
            "/folders/0/store/set_hash: the primary's, since no difference is listed",
        ]
    );
}
