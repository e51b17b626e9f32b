//! What an older version of the program wrote.

use super::super::frame::{FIRST_VERSION, SegmentHeader};
use super::super::segment::{Opened, Segment};
use super::*;

/// Turns the segments into what version 1 wrote: only the headers differ where nothing is in pieces.
fn as_version_1(bench: &Bench) {
    for number in segment::list(&bench.dir).unwrap() {
        let Opened::Segment(segment) = Segment::open(&bench.dir, number, &key()).unwrap() else {
            panic!("a segment");
        };
        let header = SegmentHeader {
            version: FIRST_VERSION,
            number,
            store_id: segment.store_id,
            salt: segment.salt,
            key_check: key().check_value(&segment.store_id),
        };
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&segment.path)
            .unwrap();
        for at in [0, 4096] {
            file.write_all_at(&header.encode(), at).unwrap();
        }
    }
}

/// The index as it was before it kept totals.
#[test]
fn an_index_of_an_older_version_is_brought_up_to_date() {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;

    let mut bench = Bench::new();
    let mut store = bench.open();
    for n in 0..20 {
        store_mail(&mut store, n);
    }
    let gone = Event::Tombstone {
        member: member_id(3),
        at: 5,
    };
    store.record(gone).unwrap();
    store.commit().unwrap();
    store.mark_damaged(&ContentId::of(&mail(7))).unwrap();
    let (before, stats) = (state(&store), store.stats().unwrap());
    drop(store);
    let path = bench.dir.join("index.sqlite");
    let mut old = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let down = include_str!("../../../../migrations/agent/store/2026-11-24-000003_totals/down.sql");
    old.batch_execute(down).unwrap();
    old.batch_execute("DELETE FROM __diesel_schema_migrations WHERE version = '20261124000003'")
        .unwrap();
    drop(old);
    as_version_1(&bench);
    bench.options.piece_bytes = 100;
    let Err(error) = Store::open_read_only(&bench.dir, &key()) else {
        panic!("it lacks what is read");
    };
    assert!(matches!(error, StoreError::IndexOlder { .. }));
    let store = bench.open();
    assert_eq!(*store.recovery(), Recovery::default());
    assert_eq!(state(&store), before);
    let migrated = store.stats().unwrap();
    assert_eq!(
        (
            migrated.stored_bytes,
            migrated.damaged,
            migrated.messages,
            migrated.tombstones
        ),
        (stats.stored_bytes, 1, 19, 1)
    );
    count(&bench);
}

#[test]
fn segments_of_version_1_are_read_mended_and_left_alone() {
    let mut bench = Bench::new();
    let mut store = bench.open();
    for n in 0..20 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    as_version_1(&bench);
    let old = fs::read(bench.segment(1)).unwrap();
    bench.options.piece_bytes = 100;
    for with_index in [true, false] {
        if !with_index {
            bench.without_index();
        }
        let mut store = bench.open();
        assert_eq!(state(&store), before);
        assert!(store.inspect(5).unwrap().mended.is_nothing());
        assert!(store.check(6, |_, _| {}).unwrap().is_good());
    }
    // One copy of its header damaged: it is written back as it was.
    bench.flip(1, 5);
    assert_eq!(
        bench.open().inspect(7).unwrap().mended.restored_headers,
        [1]
    );
    assert_eq!(fs::read(bench.segment(1)).unwrap(), old);
    let mut store = bench.open();
    let id = put_large(&mut store, &noise(1, 500));
    store.commit().unwrap();
    assert_eq!(store.stats().unwrap().segments, 2);
    assert_eq!(fs::read(bench.segment(1)).unwrap(), old);
    assert_eq!(store.read(&id).unwrap(), noise(1, 500));
    drop(store);
    // Both: the salt is in the index, the version nowhere, and this one reads all.
    let mut octets = old.clone();
    octets[..4192].fill(0);
    fs::write(bench.segment(1), &octets).unwrap();
    let mut store = bench.open();
    assert_eq!(store.inspect(8).unwrap().mended.restored_headers, [1]);
    assert!(store.check(9, |_, _| {}).unwrap().is_good());
    drop(store);
    bench.without_index();
    assert_eq!(state(&bench.open()), before);
}
