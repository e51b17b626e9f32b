//! Making the index anew where the segments do not say everything: what is missing is named, what is known is kept.

use super::*;

type State = BTreeMap<MemberId, (Member, bool)>;

/// A store of five segments with a message each, of which the second's and fourth's tombstones and flags are in a
/// sixth; what it says.
fn six() -> (Bench, State) {
    let mut bench = Bench::new();
    bench.options.segment_bytes = 1;
    let mut store = bench.open();
    for n in 1..=5 {
        store_mail(&mut store, n);
        store.commit().unwrap();
    }
    let member = member_id(2);
    store.record(Event::Tombstone { member, at: 9 }).unwrap();
    store
        .record(Event::Flags {
            member: member_id(4),
            flags: Flags::from_words(["\\Flagged"]),
        })
        .unwrap();
    store.commit().unwrap();
    let before = state(&store);
    assert!(bench.segment(6).exists());
    (bench, before)
}

fn members(state: &State) -> Vec<&Member> {
    state.values().map(|(member, _)| member).collect()
}

fn anew(bench: &Bench) -> (Recovery, String) {
    let recovery = rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
    let text = recovery.to_string();
    assert_eq!(
        text.contains("nothing is missing"),
        recovery.is_whole() && recovery.forgotten_segments.is_empty()
    );
    (recovery, text)
}

#[test]
fn what_the_index_alone_knew_of_lost_segments_is_written_to_the_segments_again() {
    // Segments, messages kept, present and vanished messages whose octets are missing.
    for (lost, kept, present, vanished) in [
        (&[1][..], 1, 1, 0),
        (&[2], 1, 0, 1),
        (&[6], 2, 0, 0),
        (&[3, 5], 2, 2, 0),
        (&[1, 2, 3, 4, 5, 6], 5, 4, 1),
    ] {
        let (bench, before) = six();
        for number in lost {
            fs::remove_file(bench.segment(*number)).unwrap();
        }
        let (recovery, text) = anew(&bench);
        assert_eq!(recovery.lost_segments, lost);
        assert_eq!(recovery.kept_members, kept, "{text}");
        assert_eq!(
            (recovery.missing_contents, recovery.missing_of_vanished),
            (present, vanished),
            "{text}"
        );
        assert!(!recovery.is_whole());
        assert!(text.contains("gone: segment"), "{text}");
        count(&bench);

        // The segments alone say it all from now on.
        bench.without_index();
        let mut store = bench.open();
        assert_eq!(members(&state(&store)), members(&before), "{lost:?}");
        for n in 1..=5 {
            store.put(&mail(n)).unwrap();
        }
        store.commit().unwrap();
        assert_eq!(state(&store), before);
        assert!(store.check(10, |_, _| {}).unwrap().is_good());
        drop(store);
        let (recovery, text) = anew(&bench);
        assert!(recovery.is_whole(), "{text}");
        assert_eq!(recovery.forgotten_segments, lost);
    }
}

#[test]
fn what_the_index_alone_knew_of_a_cut_or_damaged_segment_is_kept() {
    for length in [0, 1000, FIRST_FRAME, FIRST_FRAME + 50, u64::MAX] {
        let (bench, before) = six();
        if length == u64::MAX {
            bench.flip(4, file_len(&bench, 4) - 1);
        } else {
            let file = fs::OpenOptions::new().write(true).open(bench.segment(4));
            file.unwrap().set_len(length).unwrap();
        }
        let (recovery, text) = anew(&bench);
        assert!(!recovery.is_whole(), "{length}: {text}");
        let headless = recovery.headless_segments == [4];
        assert_eq!(headless, length < 96, "{length}: {text}");
        assert_eq!(recovery.cut_segments == [4], !headless, "{length}: {text}");
        assert!(!text.contains("never committed"), "{text}");
        assert_eq!(recovery.kept_members, 1, "{length}: {text}");
        let missing = u64::from(length != u64::MAX);
        assert_eq!(recovery.missing_contents, missing, "{length}: {text}");
        bench.without_index();
        assert_eq!(members(&state(&bench.open())), members(&before), "{length}");
    }
}

#[test]
fn an_older_index_does_not_stand_against_later_segments() {
    let (bench, _) = six();
    let older = fs::read(bench.dir.join("index.sqlite")).unwrap();
    let mut store = bench.open();
    store
        .record(Event::Revive {
            member: member_id(2),
            folder: LogicalFolder::from_components(Some("Archiv"), []),
            flags: Flags::default(),
        })
        .unwrap();
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    bench.without_index();
    fs::write(bench.dir.join("index.sqlite"), older).unwrap();
    fs::remove_file(bench.segment(3)).unwrap();
    let (recovery, text) = anew(&bench);
    assert_eq!(recovery.kept_members, 1, "{text}");
    assert_eq!(members(&state(&bench.open())), members(&before));
}

#[test]
fn without_an_index_the_row_of_segments_says_what_is_gone() {
    for (lost, named) in [(&[1][..], "segment 1"), (&[3, 4], "segment 3, 4")] {
        for damaged in [false, true] {
            let (bench, _) = six();
            for number in lost {
                fs::remove_file(bench.segment(*number)).unwrap();
            }
            bench.without_index();
            if damaged {
                fs::write(bench.dir.join("index.sqlite"), [7; 9000]).unwrap();
            }
            let (recovery, text) = anew(&bench);
            assert_eq!(recovery.gaps, lost);
            assert!(!recovery.is_whole() && text.contains(named), "{text}");
            let (recovery, text) = anew(&bench);
            assert_eq!(recovery.forgotten_segments, lost);
            let since = format!("missing since before: {named}");
            assert!(text.contains(&since), "{text}");
        }
    }
}

#[test]
fn a_whole_store_is_made_anew_from_the_segments_alone() {
    let (bench, before) = six();
    // What only the index says, and no segment: nothing explains it, so it does not count.
    let mut store = bench.open();
    let index = store.index.get_mut();
    let row = *index.segments().unwrap().last().unwrap();
    let member = member_id(1);
    index
        .apply(&[], &[Event::Tombstone { member, at: 1 }], row)
        .unwrap();
    drop(store);
    let (recovery, text) = anew(&bench);
    assert!(recovery.is_whole() && recovery.kept_members == 0, "{text}");
    assert_eq!(state(&bench.open()), before);
}

#[test]
fn a_file_that_does_not_belong_to_the_store_is_no_lost_segment() {
    for name in [7, 8, 40] {
        let (bench, before) = six();
        fs::copy(bench.segment(3), bench.segment(name)).unwrap();
        let words = format!(
            "seg-{name:08}.mds does not belong to the store, it is a copy of segment 3: move it away"
        );
        for now in 1..3 {
            let mut store = bench.open();
            assert!(!store.recovery().strays.is_empty());
            assert!(store.recovery().is_whole());
            let report = store.check(now, |_, _| {}).unwrap();
            assert!(report.is_good() && report.lost_segments.is_empty());
            assert!(report.to_string().contains(&words), "{report}");
            // It is in nobody's way.
            store_mail(&mut store, 5);
            store.commit().unwrap();
        }
        let (recovery, text) = anew(&bench);
        assert!(recovery.is_whole() && text.contains(&words), "{text}");
        fs::remove_file(bench.segment(name)).unwrap();
        let (recovery, _) = anew(&bench);
        let left = if name < 9 { vec![name] } else { vec![] };
        assert_eq!(recovery.forgotten_segments, left);
        let mut store = bench.open();
        assert_eq!(state(&store), before);
        let report = store.check(3, |_, _| {}).unwrap();
        assert!(report.is_good() && report.strays.is_empty(), "{report}");
    }
}

#[test]
fn a_segment_under_another_name_is_told_its_own() {
    let (bench, before) = six();
    fs::rename(bench.segment(3), bench.segment(9)).unwrap();
    let words = "seg-00000009.mds is segment 3; rename it to seg-00000003.mds";
    let (recovery, text) = anew(&bench);
    assert_eq!(recovery.lost_segments, [3]);
    assert!(text.contains(words), "{text}");
    let report = bench.open().check(1, |_, _| {}).unwrap();
    assert!(
        !report.is_good() && report.to_string().contains(words),
        "{report}"
    );
    fs::rename(bench.segment(9), bench.segment(3)).unwrap();
    let mut store = bench.open();
    assert!(store.check(2, |_, _| {}).unwrap().is_good());
    assert_eq!(state(&store), before);
}

#[test]
fn another_stores_segment_under_a_free_name_is_named_as_that() {
    let (bench, _) = six();
    let (other, _) = six();
    fs::copy(other.segment(2), bench.segment(20)).unwrap();
    let report = bench.open().check(1, |_, _| {}).unwrap();
    assert!(report.is_good());
    let words = "seg-00000020.mds belongs to another store: move it back";
    assert!(report.to_string().contains(words), "{report}");
}

#[test]
fn where_there_is_no_store_none_is_begun_and_no_key_made() {
    let dir = TempDir::new().unwrap();
    let (store, path) = (dir.path().join("store"), dir.path().join("store.key"));
    for made in [false, true] {
        if made {
            fs::create_dir(&store).unwrap();
        }
        let refused = [
            StoreKey::of_store(&path, &store).err(),
            Store::open_read_only(&store, &key()).err(),
            rebuild_index(&store, &key(), |_, _| {}).err(),
        ];
        for error in refused {
            assert!(
                matches!(error, Some(StoreError::NoStore { .. })),
                "{error:?}"
            );
        }
        assert!(!path.exists() && store.exists() == made);
        assert!(!made || fs::read_dir(&store).unwrap().next().is_none());
    }
    // An index without segments is a store that has lost them.
    let (bench, _) = six();
    for number in 1..=6 {
        fs::remove_file(bench.segment(number)).unwrap();
    }
    let error = StoreKey::of_store(&path, &bench.dir).err().unwrap();
    assert!(matches!(error, StoreError::KeyLost { .. }), "{error}");
    let store = Store::open_read_only(&bench.dir, &key()).unwrap();
    assert_eq!(store.members(T).unwrap().len(), 5);
}
