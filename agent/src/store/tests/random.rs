//! Damage and changes at random: what is left is right, and the segments alone say what the index said.

use super::*;

/// A small store of three segments, and what it says.
fn small(piece_bytes: usize) -> (Bench, BTreeMap<MemberId, (Member, bool)>) {
    let mut bench = Bench::new();
    bench.options.piece_bytes = piece_bytes;
    bench.options.segment_bytes = 1;
    let mut store = bench.open();
    for n in 0..3 {
        store_mail(&mut store, n);
        store.commit().unwrap();
    }
    let before = state(&store);
    drop(store);
    (bench, before)
}

/// Opens what is left of a damaged store. Whatever it still gives must be right; `state` itself asserts
/// that a message read is the one asked for.
fn judge(bench: &Bench, before: &BTreeMap<MemberId, (Member, bool)>, spared: &[u32]) {
    let mut store = match bench.try_open() {
        Ok(store) => store,
        Err(StoreError::Unreadable { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    store.inspect(1000).unwrap();
    let after = state(&store);
    for (id, (member, _)) in &after {
        assert_eq!(Some(member), before.get(id).map(|(member, _)| member));
    }
    for n in spared {
        assert!(after.get(&member_id(*n)).is_some_and(|(_, good)| *good));
    }
    // What was lost can be put again.
    for n in 0..3 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    assert_eq!(&state(&store), before);
    count(bench);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_flips_cost_only_their_frames(
        at in 0_u64..1_000_000, number in 1_u32..4, with_index: bool, piece_bytes in 20_usize..200,
    ) {
        let (bench, before) = small(piece_bytes);
        let length = fs::metadata(bench.segment(number)).unwrap().len();
        bench.flip(number, at % length);
        if !with_index {
            bench.without_index();
        }
        let spared: Vec<u32> = (0..3).filter(|n| n + 1 != number).collect();
        judge(&bench, &before, &spared);
    }

    #[test]
    fn cuts_cost_only_what_lay_behind(
        at in 0_u64..1_000_000, number in 1_u32..4, with_index: bool, piece_bytes in 20_usize..200,
    ) {
        let (bench, before) = small(piece_bytes);
        let file = fs::OpenOptions::new().write(true).open(bench.segment(number)).unwrap();
        file.set_len(at % file.metadata().unwrap().len()).unwrap();
        if !with_index {
            bench.without_index();
        }
        let spared: Vec<u32> = (0..3).filter(|n| n + 1 != number).collect();
        judge(&bench, &before, &spared);
    }

    #[test]
    fn the_segments_alone_say_what_the_index_said(
        steps in proptest::collection::vec((0_u8..7, 0_u32..8, 0_u8..5), 1..60),
    ) {
        let mut bench = Bench::new();
        bench.options.segment_bytes = 6000;
        bench.options.piece_bytes = 150;
        let mut store = bench.open();
        for (what, n, variant) in steps {
            let member = member_id(n);
            let folder = LogicalFolder::from_components(None, [format!("f{variant}").as_str()]);
            let flags = Flags::from_words(["\\Seen", "a", "b"].into_iter().take(usize::from(variant)));
            match what {
                0 | 1 => {
                    let octets = mail(u32::from(variant) * 7);
                    let id = store.put(&octets).unwrap().id;
                    store.record(add(n, id, octets.len())).unwrap();
                }
                2 => store.record(Event::Flags { member, flags }).unwrap(),
                3 => store.record(Event::Move { member, folder }).unwrap(),
                4 => store.record(Event::Tombstone { member, at: i64::from(variant) }).unwrap(),
                5 => store.record(Event::Revive { member, folder, flags }).unwrap(),
                _ => store.commit().unwrap(),
            }
        }
        store.commit().unwrap();
        count(&bench);
        let before = state(&store);
        let counts = store.stats().unwrap();
        drop(store);
        prop_assert_eq!(state(&bench.open()), before.clone());
        rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
        let store = bench.open();
        prop_assert_eq!(state(&store), before);
        count(&bench);
        let rebuilt = store.stats().unwrap();
        prop_assert_eq!(
            (rebuilt.messages, rebuilt.tombstones, rebuilt.contents, rebuilt.raw_bytes),
            (counts.messages, counts.tombstones, counts.contents, counts.raw_bytes)
        );
    }
}
