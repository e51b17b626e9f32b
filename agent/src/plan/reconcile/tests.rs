//! Each class by hand, and what went before and after the cut.

use super::*;

fn entry(folder: &str, octets: &str, uid: u32) -> Entry {
    Entry {
        folder: LogicalFolder::from_stored(folder),
        content: ContentId::of(octets.as_bytes()),
        date: InternalDate(1_700_000_000),
        flags: Flags::default(),
        size: 10,
        uid,
        copy: None,
        late: false,
        gone: None,
        preexisting: false,
        quarantine: None,
        verified_at: None,
    }
}

fn check(
    primary: &[Entry],
    standby: &[Entry],
    explanations: &Explanations,
    expected: &[(Class, bool)],
) {
    let mut found = compare(primary, Corner::Standby, standby, explanations).found;
    found.sort();
    let found: Vec<(Class, bool)> = found
        .iter()
        .map(|d| (d.class, d.reason.is_some()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn each_message_counts_once() {
    let none = Explanations::default();
    check(&[], &[], &none, &[]);
    let (a, b) = (entry("INBOX", "a", 1), entry("INBOX", "b", 2));
    check(&[a.clone(), b.clone()], &[b.clone(), a.clone()], &none, &[]);
    check(&[a.clone(), a.clone()], &[a.clone(), a.clone()], &none, &[]);
    check(
        &[a.clone(), a.clone()],
        std::slice::from_ref(&a),
        &none,
        &[(Class::MissingAtStandby, false)],
    );
    check(
        std::slice::from_ref(&a),
        &[a.clone(), a.clone()],
        &none,
        &[(Class::Duplicate, false)],
    );
    check(
        std::slice::from_ref(&a),
        &[a.clone(), b.clone()],
        &none,
        &[(Class::ForeignAtStandby, false)],
    );
    check(
        std::slice::from_ref(&a),
        &[entry("Sent", "a", 1)],
        &none,
        &[(Class::Misplaced, false)],
    );
    let flagged = Entry {
        flags: "\\Seen".parse().unwrap(),
        ..a.clone()
    };
    check(
        std::slice::from_ref(&a),
        std::slice::from_ref(&flagged),
        &none,
        &[(Class::FlagsDiffer, false)],
    );
    let later = Entry {
        date: InternalDate(1),
        ..a.clone()
    };
    check(
        std::slice::from_ref(&a),
        std::slice::from_ref(&later),
        &none,
        &[(Class::DateDiffers, false)],
    );
    let old = Entry {
        date: InternalDate(-1),
        ..a.clone()
    };
    check(
        std::slice::from_ref(&old),
        std::slice::from_ref(&a),
        &none,
        &[(Class::DateDiffers, true)],
    );
    let linked = Entry {
        copy: Some(7),
        ..a.clone()
    };
    check(
        &[linked],
        &[entry("INBOX", "x", 7)],
        &none,
        &[(Class::Altered, false)],
    );
    let late = Entry {
        late: true,
        ..a.clone()
    };
    check(&[late], &[], &none, &[(Class::Late, true)]);
    let aside = Entry {
        quarantine: Some((Class::Quarantined, false)),
        ..a.clone()
    };
    check(&[aside], &[], &none, &[(Class::Quarantined, true)]);
    let over = Entry {
        quarantine: Some((Class::Quarantined, true)),
        ..a
    };
    check(&[over], &[], &none, &[(Class::Quarantined, false)]);
}

#[test]
fn tombstones_explain_one_message_each() {
    let a = entry("INBOX", "a", 1);
    let tombstone = (a.folder.clone(), a.content, false);
    let once = Explanations {
        tombstones: vec![tombstone.clone()],
        ..Default::default()
    };
    check(
        &[],
        std::slice::from_ref(&a),
        &once,
        &[(Class::MissingAtPrimary, true)],
    );
    check(
        &[],
        &[a.clone(), a.clone()],
        &once,
        &[
            (Class::ForeignAtStandby, false),
            (Class::MissingAtPrimary, true),
        ],
    );
    check(
        std::slice::from_ref(&a),
        &[a.clone(), a.clone()],
        &once,
        &[(Class::MissingAtPrimary, true)],
    );
    // A message moved on the primary that the target could not follow: the old copy is no misplaced one.
    let moved = Explanations {
        tombstones: vec![(a.folder.clone(), a.content, true)],
        ..Default::default()
    };
    let new = entry("Sent", "a", 5);
    check(
        std::slice::from_ref(&new),
        std::slice::from_ref(&a),
        &moved,
        &[(Class::MissingAtStandby, false), (Class::Moved, true)],
    );
}

/// What the three corners hold, and what differs: class, corner, against which, whether it is explained.
fn differs(
    primary: Vec<Entry>,
    standby: Vec<Entry>,
    store: Vec<Entry>,
    expected: &[(Class, Corner, Option<Corner>, bool)],
) {
    let mut corners = Corners {
        primary,
        standby,
        store,
    };
    let found = corners.compare(&Explanations::default(), Depth::Ledger);
    let found: Vec<_> = found
        .iter()
        .map(|d| (d.class, d.corner, d.against, d.reason.is_some()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_went_after_the_cut_hides_no_fault() {
    let there = entry("INBOX", "a", 1);
    let linked = |gone, copy| Entry {
        gone: Some(gone),
        copy: Some(copy),
        ..there.clone()
    };
    let late = || linked(Gone::Late, 7);
    let copy = || Entry {
        uid: 7,
        ..there.clone()
    };
    let kept = || Entry {
        uid: 0,
        ..there.clone()
    };
    let is_late = |corner| (Class::Late, corner, None, true);
    differs(
        vec![late()],
        vec![copy()],
        vec![kept()],
        &[is_late(Corner::Standby), is_late(Corner::Store)],
    );
    // The copy was missing when the primary still had it.
    let missing = (Class::MissingAtStandby, Corner::Standby, None, false);
    differs(vec![late()], vec![], vec![kept()], &[missing]);
    let altered = entry("INBOX", "x", 7);
    let is_altered = (Class::Altered, Corner::Standby, None, false);
    differs(
        vec![late()],
        vec![altered.clone()],
        vec![kept()],
        &[is_altered],
    );
    // Moved meanwhile: the new place is late too, and the old copy missing all the same.
    let moved = Entry {
        late: true,
        ..entry("Sent", "a", 4)
    };
    differs(
        vec![late(), moved],
        vec![],
        vec![kept()],
        &[missing, is_late(Corner::Standby), is_late(Corner::Store)],
    );
    // It came and went after the cut.
    let brief = Entry {
        late: true,
        ..late()
    };
    differs(vec![brief], vec![], vec![], &[]);
}

#[test]
fn standby_and_store_are_held_against_each_other() {
    let there = entry("INBOX", "a", 1);
    let before = |ordinary| Entry {
        gone: Some(Gone::Before { ordinary }),
        copy: Some(7),
        ..there.clone()
    };
    let copy = || Entry {
        uid: 7,
        ..there.clone()
    };
    let kept = || Entry {
        uid: 0,
        ..there.clone()
    };
    let vanished = |corner, ordinary| (Class::MissingAtPrimary, corner, None, ordinary);
    let both = |ordinary| {
        [
            vanished(Corner::Standby, ordinary),
            vanished(Corner::Store, ordinary),
        ]
    };
    differs(vec![before(true)], vec![copy()], vec![kept()], &both(true));
    differs(
        vec![before(false)],
        vec![copy()],
        vec![kept()],
        &both(false),
    );
    let lacks = (
        Class::MissingAtStandby,
        Corner::Standby,
        Some(Corner::Store),
        false,
    );
    differs(
        vec![before(true)],
        vec![],
        vec![kept()],
        &[lacks, vanished(Corner::Store, true)],
    );
    let lacks = (
        Class::MissingInStore,
        Corner::Store,
        Some(Corner::Standby),
        false,
    );
    differs(
        vec![before(true)],
        vec![copy()],
        vec![],
        &[lacks, vanished(Corner::Standby, true)],
    );
    // Gone everywhere: there is nothing to differ.
    differs(vec![before(true)], vec![], vec![], &[]);
    // It never was at the standby.
    let never = Entry {
        copy: None,
        ..before(true)
    };
    differs(
        vec![never],
        vec![],
        vec![kept()],
        &[vanished(Corner::Store, true)],
    );
}

#[test]
fn volume_sees_counts_and_bytes() {
    let none = Explanations::default();
    let volume = |p: &[Entry], s: &[Entry]| -> Vec<Class> {
        compare_volume(p, Corner::Standby, s, &none)
            .iter()
            .map(|d| d.class)
            .collect()
    };
    let (a, b) = ([entry("INBOX", "a", 1)], [entry("INBOX", "b", 2)]);
    let both = [a.as_slice(), b.as_slice()].concat();
    let larger = b.clone().map(|e| Entry { size: 11, ..e });
    assert_eq!(volume(&a, &b), []);
    assert_eq!(volume(&both, &b), [Class::MissingAtStandby]);
    assert_eq!(volume(&a, &larger), [Class::Altered]);
    assert_eq!(volume(&[], &b), [Class::ForeignAtStandby]);
}
