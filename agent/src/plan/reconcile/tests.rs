//! Each class by hand, and what went before and after the cut.

use proptest::prelude::*;

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
    // What was there before the mirror counts where it is a copy, and only there.
    let before = |e: &[Entry; 1]| {
        e.clone().map(|e| Entry {
            preexisting: true,
            ..e
        })
    };
    assert_eq!(volume(&b, &before(&b)), []);
    let named = Class::Preexisting;
    assert_eq!(volume(&b, &[before(&b), before(&a)].concat()), [named]);
    assert_eq!(volume(&b, &[b.clone(), before(&b)].concat()), [named]);
    assert_eq!(volume(&b, &before(&a)), [named, Class::MissingAtStandby]);
    // Nor does a tombstone take away what did not count.
    let buried = Explanations {
        tombstones: vec![(a[0].folder.clone(), a[0].content, false)],
        ..Explanations::default()
    };
    let standby = [b.clone(), before(&a)].concat();
    let found = compare_volume(&b, Corner::Standby, &standby, &buried);
    let found: Vec<_> = found.iter().map(|d| (d.class, d.count)).collect();
    assert_eq!(found, [(named, 1)]);
}

fn folder() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("INBOX"), Just("\\Sent"), Just("Projekte/2026")]
}

fn octets() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")]
}

prop_compose! {
    fn any_entry()(
        folder in folder(), octets in octets(), date in 0_i64..2, flags in prop_oneof![Just(""), Just("\\Seen"), Just("X"), Just("x")],
        late in prop::bool::weighted(0.1), uid in 1_u32..6, copy in prop::option::of(1_u32..6), preexisting in prop::bool::weighted(0.1),
        gone in prop::option::weighted(0.2, prop_oneof![Just(Gone::Late), any::<bool>().prop_map(|ordinary| Gone::Before { ordinary })]),
        aside in prop::option::weighted(0.1, any::<bool>()),
    ) -> Entry {
        Entry {
            date: InternalDate(date), flags: flags.parse().unwrap(), copy, late, gone, preexisting,
            quarantine: aside.map(|over| (Class::Quarantined, over)), ..entry(folder, octets, uid)
        }
    }
}

/// The corners of each folder by themselves.
fn by_folder(corners: &Corners) -> Vec<Corners> {
    let names = ["INBOX", "\\Sent", "Projekte/2026"];
    let of = |entries: &[Entry], name: &str| -> Vec<Entry> {
        let here = entries.iter().filter(|e| e.folder.as_str() == name);
        here.cloned().collect()
    };
    names
        .map(|name| Corners {
            primary: of(&corners.primary, name),
            standby: of(&corners.standby, name),
            store: of(&corners.store, name),
        })
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What is set aside changes no difference, not even its UID and words, and is in no corner's rest.
    #[test]
    fn what_is_alike_makes_no_difference(
        primary in prop::collection::vec(any_entry(), 0..12), mut standby in prop::collection::vec(any_entry(), 0..6),
        mut store in prop::collection::vec(any_entry(), 0..6), like in any::<[bool; 2]>(),
        tombstones in prop::collection::vec((folder(), octets(), any::<bool>()), 0..4),
    ) {
        // Random corners are seldom alike.
        for (corner, like) in [&mut standby, &mut store].into_iter().zip(like) {
            if like {
                corner.splice(corner.len() / 2..corner.len() / 2, primary.iter().cloned());
            }
            corner.iter_mut().for_each(|entry| entry.gone = None);
        }
        store.iter_mut().for_each(|entry| (entry.late, entry.uid) = (false, 0));
        let explanations = Explanations {
            tombstones: tombstones.into_iter().map(|(folder, octets, moved)| {
                (LogicalFolder::from_stored(folder), ContentId::of(octets.as_bytes()), moved)
            }).collect(),
            ..Explanations::default()
        };
        let (mut whole, mut rest, mut alike) = (Corners::default(), Corners::default(), Corners::default());
        let given = Corners { primary, standby, store };
        for folder in by_folder(&given) {
            whole.append(folder.clone());
            let mut folder = folder;
            folder.set_aside(|[p, s, t]| {
                alike.primary.push(p.clone());
                alike.standby.push(s.clone());
                alike.store.push(t.clone());
            });
            rest.append(folder);
        }
        for (all, (some, others)) in [
            (&whole.primary, (&alike.primary, &rest.primary)),
            (&whole.standby, (&alike.standby, &rest.standby)),
            (&whole.store, (&alike.store, &rest.store)),
        ] {
            let by_words = |entries: Vec<&Entry>| {
                let mut words: Vec<String> = entries.iter().map(|e| format!("{e:?}")).collect();
                words.sort();
                words
            };
            prop_assert_eq!(by_words(all.iter().collect()), by_words(some.iter().chain(others).collect()));
        }
        prop_assert_eq!(rest.compare(&explanations, Depth::Ledger), whole.compare(&explanations, Depth::Ledger));
        // And what counts as the primary's is what is alike and what is left of the rest.
        prop_assert_eq!(whole.primary.len(), alike.primary.len() + rest.primary.len());
    }
}

#[test]
fn what_is_the_same_in_all_corners_is_set_aside() {
    let check = |primary: &[Entry], standby: &[Entry], store: &[Entry], expected: usize| {
        let mut corners = Corners {
            primary: primary.to_vec(),
            standby: standby.to_vec(),
            store: store.to_vec(),
        };
        let mut count = 0;
        corners.set_aside(|_| count += 1);
        assert_eq!(count, expected);
        assert_eq!(corners.primary.len(), primary.len() - expected);
        assert_eq!(corners.standby.len(), standby.len() - expected);
        assert_eq!(corners.store.len(), store.len() - expected);
    };
    let (a, b) = (entry("INBOX", "a", 1), entry("INBOX", "b", 2));
    let two = [a.clone(), b.clone()];
    check(&[], &[], &[], 0);
    check(&two, &[b.clone(), a.clone()], &two, 2);
    check(&two, std::slice::from_ref(&b), &two, 1);
    check(&two, &two, &[], 0);
    // All that is of one content, or nothing.
    let twice = [a.clone(), a.clone(), b.clone()];
    check(&twice, &twice, &two, 1);
    check(&twice, &twice, &twice, 3);
    let marked = |flags: &str| Entry {
        flags: flags.parse().unwrap(),
        ..a.clone()
    };
    let (upper, lower) = (marked("\\Seen X"), marked("\\Seen x"));
    check(
        &[upper],
        std::slice::from_ref(&lower),
        std::slice::from_ref(&lower),
        1,
    );
    check(&two, &two, &[marked("\\Seen"), b.clone()], 1);
    let late = Entry { late: true, ..a };
    check(&[late, b.clone()], &two, &two, 1);
}
