//! Messages put piece by piece: any chunking, anything between the pieces, and whatever breaks them off.

use super::*;

#[test]
fn what_fits_into_one_piece_is_one_frame() {
    let check = |size: usize, pieces: usize| {
        let bench = in_pieces();
        let mut store = bench.open();
        let octets = noise(1, size);
        let id = put_large(&mut store, &octets);
        store.commit().unwrap();
        let found = frames(&bench, 1);
        let count = |wanted: Kind| found.iter().filter(|(kind, _)| *kind == wanted).count();
        assert_eq!(count(Kind::Piece), pieces, "{size}");
        assert_eq!(count(Kind::Closing), usize::from(pieces > 0), "{size}");
        assert_eq!(count(Kind::Message), usize::from(pieces == 0), "{size}");
        let stored: u64 = found.iter().map(|(_, frame)| frame.stored_len()).sum();
        let stats = store.stats().unwrap();
        assert_eq!(stats.stored_bytes, stored);
        assert_eq!(stats.raw_bytes, u64::try_from(size).unwrap());
        let mut reading = store.pieces(&id).unwrap();
        assert_eq!(reading.total_bytes(), stats.raw_bytes);
        let mut read = Vec::new();
        let mut given = 0;
        while let Some(piece) = reading.next(&store).unwrap() {
            assert!(piece.len() <= 100);
            read.extend(piece);
            given += 1;
        }
        assert_eq!((read, given), (octets, pieces.max(1)));
    };
    check(0, 0);
    check(1, 0);
    check(99, 0);
    check(100, 0);
    check(101, 2);
    check(200, 2);
    check(201, 3);
    check(1000, 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_it_is_handed_over_it_is_the_same(
        parts in proptest::collection::vec(0_usize..260, 0..8),
        between in proptest::collection::vec(0_u8..4, 8),
    ) {
        let bench = in_pieces();
        let mut store = bench.open();
        let octets = noise(3, parts.iter().sum());
        let mut large = store.begin_large();
        let mut at = 0;
        for (n, (part, between)) in (1..).zip(parts.iter().zip(between)) {
            large.write(&mut store, &octets[at..at + part]).unwrap();
            at += part;
            match between {
                0 => {}
                1 => store.commit().unwrap(),
                2 => drop(store_mail(&mut store, n)),
                _ => drop(store_large(&mut store, 20 + n, 70)),
            }
        }
        let put = large.finish(&mut store).unwrap();
        store.record(add(99, put.id, octets.len())).unwrap();
        prop_assert_eq!(put, Put { id: ContentId::of(&octets), new: true });
        store.commit().unwrap();
        prop_assert_eq!(store.read(&put.id).unwrap(), octets);
        let before = state(&store);
        prop_assert!(before.values().all(|(_, good)| *good));
        assert!(store.check(5, |_, _| {}).unwrap().is_good());
        drop(store);
        bench.without_index();
        let store = bench.open();
        prop_assert!(store.recovery().is_whole());
        prop_assert_eq!(store.recovery().unfinished_bytes, 0);
        prop_assert_eq!(state(&store), before);
        count(&bench);
    }
}

#[test]
fn the_segment_is_left_after_the_message_and_not_within() {
    let mut bench = in_pieces();
    bench.options.segment_bytes = 1;
    let mut store = bench.open();
    let (one, two) = (noise(1, 5000), noise(2, 3000));
    let (mut first, mut second) = (store.begin_large(), store.begin_large());
    first.write(&mut store, &one[..2500]).unwrap();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    second.write(&mut store, &two).unwrap();
    first.write(&mut store, &one[2500..]).unwrap();
    store_mail(&mut store, 2);
    store.commit().unwrap();
    let first = first.finish(&mut store).unwrap().id;
    store.commit().unwrap();
    // Not known before its end, whatever was committed meanwhile.
    assert!(!store.contains(&ContentId::of(&two)).unwrap());
    let second = second.finish(&mut store).unwrap().id;
    store.commit().unwrap();
    assert_eq!(store.stats().unwrap().segments, 1);
    store_mail(&mut store, 3);
    store.commit().unwrap();
    assert_eq!(store.stats().unwrap().segments, 2);
    assert_eq!(store.read(&first).unwrap(), one);
    assert_eq!(store.read(&second).unwrap(), two);
    assert!(store.inspect(9).unwrap().changed_segments.is_empty());
    let report = store.check(10, |_, _| {}).unwrap();
    assert!(report.is_good() && report.unfinished_bytes == 0);
}

#[test]
fn what_is_there_already_leaves_nothing_new() {
    let bench = in_pieces();
    let mut store = bench.open();
    let octets = noise(1, 700);
    let id = put_large(&mut store, &octets);
    store.commit().unwrap();
    let size = file_len(&bench, 1);
    // Committed before, also with an own frame before it in the same commit, and pending.
    for pending in [false, true] {
        if pending {
            store_mail(&mut store, 1);
        }
        let mut large = store.begin_large();
        large.write(&mut store, &octets).unwrap();
        let put = large.finish(&mut store).unwrap();
        assert_eq!(put, Put { id, new: false });
        let mut given_up = store.begin_large();
        given_up.write(&mut store, &noise(2, 2_000_000)).unwrap();
        given_up.abandon(&mut store).unwrap();
        if !pending {
            assert_eq!(file_len(&bench, 1), size);
            assert!(store.inspect(4).unwrap().changed_segments.is_empty());
        }
        store.commit().unwrap();
    }
    let again = noise(3, 900);
    assert!(store.put(&again).unwrap().new);
    put_large(&mut store, &again);
    store.commit().unwrap();
    assert_eq!(store.stats().unwrap().contents, 3);
    let frames = frames(&bench, 1);
    let pieces = frames.iter().filter(|(kind, _)| *kind == Kind::Piece);
    assert_eq!(pieces.count(), 7 + 9);
    let report = store.check(5, |_, _| {}).unwrap();
    assert!(report.is_good() && report.unfinished_bytes == 0, "{report}");
}

#[test]
fn what_was_broken_off_means_nothing_and_is_named() {
    let bench = in_pieces();
    let mut store = bench.open();
    let octets = noise(1, 700);
    let mut large = store.begin_large();
    large.write(&mut store, &octets).unwrap();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let unfinished: u64 = frames(&bench, 1)
        .iter()
        .filter(|(kind, _)| *kind == Kind::Piece)
        .map(|(_, frame)| frame.stored_len())
        .sum();
    assert!(unfinished > 600);
    large.abandon(&mut store).unwrap();
    // The same octets later, whole: the old pieces do not matter.
    let id = put_large(&mut store, &octets);
    store.commit().unwrap();
    assert_eq!(store.read(&id).unwrap(), octets);
    let report = store.check(5, |_, _| {}).unwrap();
    assert!(report.is_good());
    assert_eq!(report.unfinished_bytes, unfinished);
    let text = format!("{unfinished} octets of large messages that were broken off");
    assert!(report.to_string().contains(&text), "{report}");
    let before = state(&store);
    drop(store);
    let recovery = rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
    assert_eq!(recovery.unfinished_bytes, unfinished);
    assert!(recovery.is_whole());
    let text = format!("{unfinished} octets of large messages were broken off");
    assert!(recovery.to_string().contains(&text), "{recovery}");
    assert_eq!(state(&bench.open()), before);
}

/// The files as a process leaves them that is killed at that moment.
fn killed(bench: &Bench) -> Bench {
    let left = Bench {
        options: bench.options,
        ..Bench::new()
    };
    fs::create_dir(&left.dir).unwrap();
    for entry in fs::read_dir(&bench.dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, left.dir.join(path.file_name().unwrap())).unwrap();
    }
    left
}

#[test]
fn a_process_killed_between_pieces_loses_that_message_alone() {
    let bench = in_pieces();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let octets = noise(1, 3_000_000);
    let mut large = store.begin_large();
    large.write(&mut store, &octets[..2_000_000]).unwrap();
    let left = killed(&bench);
    let mut opened = left.open();
    assert!(opened.recovery().unfinished_bytes > 1_500_000);
    assert!(opened.recovery().is_whole());
    assert_eq!(state(&opened).len(), 1);
    assert!(opened.inspect(5).unwrap().damaged.is_empty());
    let report = opened.check(6, |_, _| {}).unwrap();
    assert!(report.is_good() && report.unfinished_bytes > 1_500_000);
    let id = put_large(&mut opened, &octets);
    opened.commit().unwrap();
    assert_eq!(opened.read(&id).unwrap(), octets);
    drop(opened);

    // Killed after the last commit reached the segment and before it reached the index.
    store_mail(&mut store, 2);
    store.commit().unwrap();
    let index = killed(&bench);
    large.write(&mut store, &octets[2_000_000..]).unwrap();
    large.finish(&mut store).unwrap();
    store.commit().unwrap();
    fs::copy(bench.segment(1), index.segment(1)).unwrap();
    let opened = index.open();
    assert_eq!(opened.recovery().index, IndexState::CaughtUp);
    assert_eq!(opened.recovery().unfinished_bytes, 0);
    assert_eq!(opened.read(&id).unwrap(), octets);
    // And the other way round: without a crash nothing is left over.
    drop(store);
    assert_eq!(*bench.open().recovery(), Recovery::default());
}

#[test]
fn a_process_that_ends_without_an_end_of_the_message_cuts_it_off() {
    let bench = in_pieces();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let size = file_len(&bench, 1);
    let mut large = store.begin_large();
    large.write(&mut store, &noise(1, 1_000_000)).unwrap();
    assert!(file_len(&bench, 1) > size);
    drop(store);
    assert_eq!(file_len(&bench, 1), size);
    let mut store = bench.open();
    assert_eq!(*store.recovery(), Recovery::default());
    assert!(matches!(
        large.write(&mut store, b"x"),
        Err(StoreError::LargeDropped)
    ));
}

/// One thread reads a message from the network while another has the store.
#[test]
fn both_ends_can_be_sent_to_another_thread() {
    fn sent<T: Send>(_: &T) {}
    let bench = in_pieces();
    let mut store = bench.open();
    let id = put_large(&mut store, &noise(1, 300));
    store.commit().unwrap();
    sent(&store.begin_large());
    sent(&store.pieces(&id).unwrap());
    sent(&store);
}

#[test]
fn after_a_failed_write_the_message_is_begun_again() {
    let bench = in_pieces();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let octets = noise(1, 1000);
    let mut large = store.begin_large();
    let mut other = store.begin_large();
    let mut small = store.begin_large();
    small.write(&mut store, b"nothing written yet").unwrap();
    other.write(&mut store, &octets).unwrap();
    large.write(&mut store, &octets).unwrap();
    // What any failed write does; `room` has a real one.
    store.rollback();
    let begin_again = |result: Result<(), StoreError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::LargeDropped));
        assert!(error.temporary());
        assert!(error.to_string().contains("begin it again"), "{error}");
    };
    begin_again(large.write(&mut store, b"x"));
    begin_again(other.finish(&mut store).map(drop));
    large.abandon(&mut store).unwrap();
    let small = small.finish(&mut store).unwrap().id;
    let id = put_large(&mut store, &octets);
    store.commit().unwrap();
    assert_eq!(store.read(&small).unwrap(), b"nothing written yet");
    assert_eq!(store.read(&id).unwrap(), octets);
    let report = store.check(5, |_, _| {}).unwrap();
    assert!(report.is_good() && report.unfinished_bytes == 0);
}

#[test]
fn too_large_a_message_is_refused_alone() {
    let mut bench = in_pieces();
    bench.options.piece_bytes = 1 << 20;
    let mut store = bench.open();
    let mut large = store.begin_large();
    let octets = vec![0; 1 << 26];
    for _ in 0..16 {
        large.write(&mut store, &octets).unwrap();
    }
    store_mail(&mut store, 1);
    let error = large.write(&mut store, b"x").unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    large.abandon(&mut store).unwrap();
    store.commit().unwrap();
    assert_eq!(state(&store).len(), 1);
}
