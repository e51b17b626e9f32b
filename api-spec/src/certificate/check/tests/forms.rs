//! Names, hashes, numbers, and in which corner what can stand.

use super::*;
use crate::vocabulary::Reason;

#[test]
fn forms_are_kept() {
    let name = |name: &str| {
        let name = name.to_owned();
        move |p: &mut Certificate| p.folders[0].folder = FolderRef(name)
    };
    for wrong in [
        "",
        "*",
        "Inbox",
        "INBOX",
        "Personal/Kündigungen",
        "f:",
        "f:0123456789ABCDEF",
        "f:0123456789abcde",
        "f:0123456789abcdef0",
    ] {
        check(name(wrong), &["/folders/0/folder"]);
    }
    for role in ROLES {
        check(name(role), &[]);
    }
    check(name("f:0123456789abcdef"), &["/folders/1/folder"]);
    check(
        |p| p.differences = vec![count(Class::Excluded, Corner::Standby, "Lohn", 1)],
        &["/differences/0/folder"],
    );
    check(
        |p| {
            set(p, Corner::Standby, 10, '7');
            let one = count(Class::FlagsDiffer, Corner::Standby, "inbox", 1);
            p.differences = vec![one.clone(), one];
        },
        &["/differences/1"],
    );
    check(
        |p| {
            let one = cut(Corner::Primary, "inbox");
            p.cut.push(one);
        },
        &["/cut/2"],
    );
    // Whole and not whole.
    check(
        |p| {
            let twice = CornerCoverage {
                whole: false,
                ..coverage(Corner::Store)
            };
            p.coverage.push(twice);
        },
        &["/coverage/3/corner"],
    );
    check(
        |p| p.corners.standby.set_hash = "C".repeat(64),
        &["/corners/standby/set_hash"],
    );
    check(|p| p.format.push('0'), &["/format"]);
}

#[test]
fn a_message_lies_in_a_folder() {
    check(
        |p| p.differences = vec![count(Class::MissingAtStandby, Corner::Standby, "*", 1)],
        &["/differences/0/folder"],
    );
    check(
        |p| {
            let anywhere = RepairCount {
                folder: FolderRef("*".to_owned()),
                ..repair(Class::MissingAtStandby, Corner::Standby)
            };
            p.repairs = vec![anywhere];
        },
        &["/repairs/0/folder"],
    );
}

#[test]
fn numbers_fit_canonical_json() {
    check(
        |p| {
            p.corners.primary.messages = LARGEST + 1;
            p.folders[1].store.as_mut().unwrap().bytes = u64::MAX;
            p.new_tombstones = LARGEST + 1;
            p.coverage[2].content_verified = LARGEST + 1;
            p.differences = vec![count(Class::Late, Corner::Standby, "inbox", LARGEST + 1)];
        },
        &[
            "/corners/primary/messages",
            "/folders/1/store/bytes",
            "/differences/0/count",
            "/new_tombstones",
            "/coverage/2/content_verified",
        ],
    );
}

#[test]
fn counts_are_of_something() {
    check(
        |p| p.differences = vec![count(Class::FlagsDiffer, Corner::Standby, "inbox", 0)],
        &["/differences/0/count"],
    );
    check(
        |p| {
            let none = RepairCount {
                count: 0,
                ..repair(Class::Altered, Corner::Standby)
            };
            p.repairs = vec![none];
        },
        &["/repairs/0/count"],
    );
}

#[test]
fn each_class_has_its_corners() {
    for class in Class::ALL {
        for corner in CORNERS {
            let mut proof = balanced();
            proof.differences = vec![count(class, corner, "inbox", 1)];
            proof.verdict = proof.verdict_of_figures();
            let found = proof.contradictions();
            let wrong = found.iter().any(|e| e.pointer == "/differences/0/corner");
            let standby_alone = matches!(
                class,
                Class::MissingAtStandby
                    | Class::ForeignAtStandby
                    | Class::Moved
                    | Class::Preexisting
                    | Class::Equivalent
                    | Class::HostMerged
            );
            let store_alone = matches!(class, Class::MissingInStore | Class::NotYetOnMedium);
            let expected = match corner {
                Corner::Primary => true,
                Corner::Standby => store_alone,
                Corner::Store => standby_alone,
            };
            assert_eq!(wrong, expected, "{class} {corner}: {found:?}");
        }
    }
    // Also where nothing else is claimed.
    check(
        |p| {
            p.coverage[1].whole = false;
            p.differences = vec![count(Class::MissingInStore, Corner::Standby, "inbox", 1)];
        },
        &["/differences/0/corner"],
    );
}

#[test]
fn a_reason_explains_its_class() {
    let reason = |class, reason| {
        move |p: &mut Certificate| {
            set(p, Corner::Standby, 10, '7');
            let one = count(class, Corner::Standby, "inbox", 1);
            p.differences = vec![DifferenceCount { reason, ..one }];
        }
    };
    check(reason(Class::FlagsDiffer, None), &[]);
    check(
        reason(Class::FlagsDiffer, Some(Reason::UnsupportedKeyword)),
        &[],
    );
    check(
        reason(Class::FlagsDiffer, Some(Reason::ByClass)),
        &["/differences/0/reason"],
    );
    check(
        reason(Class::Altered, Some(Reason::WithinGrace)),
        &["/differences/0/reason"],
    );
}

#[test]
fn only_what_a_mirror_mends_is_a_repair() {
    let mended = |class, corner| move |p: &mut Certificate| p.repairs = vec![repair(class, corner)];
    check(mended(Class::MissingAtStandby, Corner::Standby), &[]);
    check(mended(Class::MissingInStore, Corner::Store), &[]);
    check(mended(Class::Altered, Corner::Standby), &[]);
    check(mended(Class::FlagsDiffer, Corner::Standby), &[]);
    check(
        mended(Class::Preexisting, Corner::Standby),
        &["/repairs/0/class"],
    );
    check(
        mended(Class::MissingAtStandby, Corner::Store),
        &["/repairs/0/corner"],
    );
    check(
        mended(Class::FlagsDiffer, Corner::Primary),
        &["/repairs/0/corner"],
    );
}

#[test]
fn cut_points_are_what_imap_knows() {
    let changed = |change: fn(&mut CutPoint)| move |p: &mut Certificate| change(&mut p.cut[1]);
    check(changed(|c| c.highestmodseq = None), &[]);
    check(changed(|c| c.highestmodseq = Some(LARGEST)), &[]);
    check(changed(|c| c.uidnext = u32::MAX), &[]);
    check(changed(|c| c.uidnext = 0), &["/cut/1/uidnext"]);
    check(changed(|c| c.uidvalidity = 0), &["/cut/1/uidvalidity"]);
    check(
        changed(|c| c.highestmodseq = Some(0)),
        &["/cut/1/highestmodseq"],
    );
    check(
        changed(|c| c.highestmodseq = Some(LARGEST + 1)),
        &["/cut/1/highestmodseq"],
    );
    // A folder without mail has a cut, a store none.
    check(|p| p.cut.push(cut(Corner::Standby, "sent")), &[]);
    check(
        |p| p.cut.push(cut(Corner::Store, "inbox")),
        &["/cut/2/corner"],
    );
}

#[test]
fn a_turned_direction_has_its_epoch() {
    let turned = |epoch| {
        move |p: &mut Certificate| {
            p.direction = Direction::StandbyToPrimary;
            p.epoch = epoch;
        }
    };
    check(turned(0), &["/direction"]);
    check(turned(1), &[]);
    check(|p| p.epoch = 2, &[]);
    check(|p| p.epoch = 1 << 31, &["/epoch"]);
}

#[test]
fn what_stands_at_the_end_has_its_form() {
    check(|p| p.nonce.clear(), &["/nonce"]);
    check(|p| p.nonce = "YW55dGhpbmc".to_owned(), &["/nonce"]);
    let hash = |hash: String| move |p: &mut Certificate| p.configuration_hash = hash;
    check(hash(String::new()), &["/configuration_hash"]);
    check(hash("D".repeat(64)), &["/configuration_hash"]);
    check(hash("d".repeat(63)), &["/configuration_hash"]);
    let version = |text: &str| {
        let text = text.to_owned();
        move |p: &mut Certificate| p.agent_version = text
    };
    for right in ["0.1.0", "10.20.30", "1.2.3-rc.1", "1.2.3+debian-1"] {
        check(version(right), &[]);
    }
    let long = format!("1.2.3-{}", "x".repeat(60));
    for wrong in [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "1..3",
        "v1.2.3",
        "1.2.3-",
        "1.2.3 ",
        "1.2.3-a b",
        &long,
    ] {
        check(version(wrong), &["/agent_version"]);
    }
}
