//! What is damaged or lost is found, mended once, and named until it is mended.

use super::*;

/// Numbers and octets of all segment files.
fn segment_bytes(store: &Store) -> (u64, u64) {
    let stats = store.stats().unwrap();
    assert_eq!(stats.disk_bytes, stats.segment_bytes + stats.index_bytes);
    (stats.segments, stats.segment_bytes)
}

#[test]
fn a_lost_segment_is_named_until_nothing_needs_it_and_then_forgotten() {
    let bench = Bench::new();
    let mut store = bench.open();
    for n in 0..20 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    let old = fs::read(bench.segment(1)).unwrap();
    fs::remove_file(bench.segment(1)).unwrap();

    let mut store = bench.open();
    assert_eq!(store.recovery().lost_segments, [1]);
    let report = store.check(100, |_, _| {}).unwrap();
    assert!(report.mended.membership_rewritten);
    assert_eq!(
        (report.lost_segments.as_slice(), report.damaged.len()),
        (&[1][..], 20)
    );
    let size = segment_bytes(&store);
    for now in 101..104 {
        assert!(store.inspect(now).unwrap().mended.is_nothing());
        drop(store);
        store = bench.open();
        let report = store.check(now, |_, _| {}).unwrap();
        assert!(report.mended.is_nothing() && !report.is_good());
        assert_eq!(report.lost_segments, [1]);
        assert!(report.to_string().contains("lost: segment 1"), "{report}");
    }
    assert_eq!(segment_bytes(&store), size);

    for n in 0..20 {
        assert!(store.put(&mail(n)).unwrap().new);
    }
    store.commit().unwrap();
    let size = segment_bytes(&store);
    assert_eq!(store.inspect(110).unwrap().mended.forgotten_segments, [1]);
    for now in 111..114 {
        drop(store);
        store = bench.open();
        assert_eq!(*store.recovery(), Recovery::default());
        assert!(store.inspect(now).unwrap().changed_segments.is_empty());
        assert!(store.check(now, |_, _| {}).unwrap().is_good());
    }
    assert_eq!(segment_bytes(&store), size);
    assert_eq!(state(&store), before);

    // What came later counts, also where the lost file is put back.
    store
        .record(Event::Tombstone {
            member: member_id(3),
            at: 500,
        })
        .unwrap();
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    fs::write(bench.segment(1), old).unwrap();
    let mut store = bench.open();
    assert_eq!(store.recovery().index, IndexState::Rebuilt);
    assert_eq!(state(&store), before);
    assert!(store.check(120, |_, _| {}).unwrap().is_good());
}

/// A store with one segment of 20 messages, half of them in pieces, closed; what it says, and its octets.
fn twenty() -> (Bench, BTreeMap<MemberId, (Member, bool)>, Vec<u8>) {
    let mut bench = Bench::new();
    bench.options.piece_bytes = 300;
    let mut store = bench.open();
    for n in 0..20 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    let octets = fs::read(bench.segment(1)).unwrap();
    (bench, before, octets)
}

#[test]
fn a_damaged_beginning_is_found_and_written_back() {
    for (from, to) in [
        (0, 512),
        (3, 4),
        (200, 201),
        (4095, 4096),
        (4096, 4192),
        (0, 4192),
    ] {
        let (bench, before, whole) = twenty();
        let mut octets = whole.clone();
        octets[from..to].iter_mut().for_each(|octet| *octet ^= 0x55);
        fs::write(bench.segment(1), &octets).unwrap();
        let mut store = bench.open();
        assert_eq!(state(&store), before, "{from}");
        let inspected = store.inspect(100).unwrap();
        assert_eq!(inspected.changed_segments, [1]);
        assert_eq!(inspected.mended.restored_headers, [1], "{from}");
        assert!(inspected.damaged.is_empty());
        assert_eq!(fs::read(bench.segment(1)).unwrap(), whole, "{from}");
        assert!(store.inspect(101).unwrap().changed_segments.is_empty());
        assert!(store.check(102, |_, _| {}).unwrap().is_good());
        // Nobody wrote to it, but the disk gives other octets: only a check can see that.
        let times = fs::metadata(bench.segment(1)).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(bench.segment(1))
            .unwrap();
        file.write_all_at(&octets[from..to], u64::try_from(from).unwrap())
            .unwrap();
        file.set_modified(times).unwrap();
        let report = store.check(103, |_, _| {}).unwrap();
        assert_eq!(report.mended.restored_headers, [1], "{from}");
        assert!(!report.is_good());
        assert!(
            report
                .to_string()
                .contains("header written back in segment 1")
        );
        assert!(store.check(104, |_, _| {}).unwrap().is_good());
        drop(store);
        bench.without_index();
        assert_eq!(state(&bench.open()), before);
    }
}

#[test]
fn making_the_index_anew_writes_a_lost_header_back() {
    let (bench, before, whole) = twenty();
    let mut octets = whole.clone();
    octets[..4192].fill(0);
    fs::write(bench.segment(1), &octets).unwrap();
    let recovery = rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
    assert_eq!(recovery.restored_headers, [1]);
    assert!(recovery.is_whole());
    let text = recovery.to_string();
    assert!(
        text.contains(
            "frames of the segments; header written back in segment 1; nothing is missing"
        ),
        "{text}"
    );
    assert_eq!(fs::read(bench.segment(1)).unwrap(), whole);
    let mut store = bench.open();
    assert_eq!(state(&store), before);
    assert!(store.check(1, |_, _| {}).unwrap().is_good());
}

#[test]
fn a_strange_file_in_a_segments_place_is_left_alone() {
    let (bench, _, _) = twenty();
    let strange = vec![b'x'; 9000];
    fs::write(bench.segment(1), &strange).unwrap();
    let mut store = bench.open();
    let report = store.check(1, |_, _| {}).unwrap();
    assert_eq!(
        (report.lost_segments.as_slice(), report.damaged.len()),
        (&[1][..], 20)
    );
    assert!(report.mended.restored_headers.is_empty());
    assert_eq!(fs::read(bench.segment(1)).unwrap(), strange);
    for n in 0..20 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    assert!(store.check(2, |_, _| {}).unwrap().is_good());
    drop(store);
    // Without the old index nobody can say any more that nothing is missing.
    bench.without_index();
    let mut store = bench.open();
    assert_eq!(store.recovery().headless_segments, [1]);
    assert_eq!(store.check(3, |_, _| {}).unwrap().headless_segments, [1]);
    drop(store);
    fs::remove_file(bench.segment(1)).unwrap();
    assert!(bench.open().check(4, |_, _| {}).unwrap().is_good());
}

/// A file that can be opened for writing and not written to stands for a disk that takes nothing more.
#[test]
fn a_segment_whose_header_cannot_be_written_back_is_copied() {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::io::Write;
    use std::os::fd::AsRawFd;

    let (bench, before, mut octets) = twenty();
    octets[..4192].fill(0);
    let mut sealed = File::from(memfd_create("segment", MFdFlags::MFD_ALLOW_SEALING).unwrap());
    sealed.write_all(&octets).unwrap();
    fcntl(&sealed, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE)).unwrap();
    fs::remove_file(bench.segment(1)).unwrap();
    let target = format!("/proc/self/fd/{}", sealed.as_raw_fd());
    std::os::unix::fs::symlink(target, bench.segment(1)).unwrap();

    let mut store = bench.open();
    let report = store.check(100, |_, _| {}).unwrap();
    assert_eq!(report.mended.copied_segments, [1]);
    assert!(report.mended.membership_rewritten && report.damaged.is_empty());
    assert!(report.lost_segments.is_empty() && !report.is_good());
    assert!(
        report
            .to_string()
            .contains("could not be written back: segment 1")
    );
    let size = segment_bytes(&store);
    assert!(store.check(101, |_, _| {}).unwrap().is_good());
    assert!(store.inspect(102).unwrap().mended.is_nothing());
    assert_eq!(segment_bytes(&store), size);
    drop(store);
    // The copy is all that is needed.
    fs::remove_file(bench.segment(1)).unwrap();
    bench.without_index();
    let mut store = bench.open();
    assert_eq!(state(&store), before);
    assert!(store.check(103, |_, _| {}).unwrap().is_good());
}

#[test]
fn mending_that_fails_is_done_at_the_next_inspection() {
    let (bench, before, octets) = twenty();
    bench.flip(1, u64::try_from(octets.len()).unwrap() - 1);
    let mut store = bench.open();
    // The name of the next segment is taken: nothing can be written.
    fs::create_dir(bench.segment(2)).unwrap();
    store.inspect(100).unwrap_err();
    fs::remove_dir(bench.segment(2)).unwrap();
    assert!(store.inspect(101).unwrap().mended.membership_rewritten);
    drop(store);
    bench.without_index();
    assert_eq!(state(&bench.open()), before);
}

#[test]
fn a_full_disk_is_told_as_one_and_loses_nothing() {
    let (bench, before, _) = twenty();
    let mut store = bench.open();
    let current = store.writer.as_mut().unwrap().current.as_mut().unwrap();
    current.segment.file = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    store_mail(&mut store, 30);
    let error = store.commit().unwrap_err();
    assert!(!error.temporary());
    let text = error.to_string();
    assert!(text.contains("nothing was lost"), "{text}");
    assert!(
        text.contains("trying again helps once there is room"),
        "{text}"
    );
    drop(store);
    let mut store = bench.open();
    assert_eq!(state(&store), before);
    store_mail(&mut store, 30);
    store.commit().unwrap();
}

#[test]
fn all_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (bench, ..) = twenty();
    let check = || {
        for entry in fs::read_dir(&bench.dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
        }
    };
    let mut store = bench.open();
    store_mail(&mut store, 30);
    store.commit().unwrap();
    check();
    drop(store);
    rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
    check();
}

/// What was damaged and then deleted on the primary nobody can give again: it is said, and is no fault any more.
#[test]
fn damage_of_deleted_mail_is_explained_once_it_was_named() {
    for whole_segment in [false, true] {
        let bench = Bench::new();
        let mut store = bench.open();
        for n in 0..3 {
            store_mail(&mut store, n);
        }
        store.commit().unwrap();
        let id = ContentId::of(&mail(1));
        let offset = store.index.get_mut().place(&id).unwrap().unwrap().offset;
        let bury = |store: &mut Store, n| {
            let member = member_id(n);
            store.record(Event::Tombstone { member, at: 9 }).unwrap();
            store.commit().unwrap();
        };
        drop(store);
        if whole_segment {
            fs::remove_file(bench.segment(1)).unwrap();
        } else {
            bench.flip(1, offset + 60);
        }
        let mut store = bench.open();
        store.inspect(99).unwrap();
        let lost = usize::from(!whole_segment) + 3 * usize::from(whole_segment);
        for now in [100, 101] {
            let report = store.check(now, |_, _| {}).unwrap();
            assert_eq!((report.damaged.len(), report.lost.len()), (lost, 0));
            assert!(!report.is_good());
        }
        bury(&mut store, 1);
        let report = store.check(102, |_, _| {}).unwrap();
        assert_eq!(report.lost, [id]);
        assert_eq!(report.is_good(), !whole_segment, "{report}");
        let text = report.to_string();
        assert!(
            text.contains("1 of messages that were deleted on the primary cannot be read"),
            "{text}"
        );
        // The mirror has not been asked yet whether the standby has it.
        assert!(
            text.contains("the next mirror run") && text.contains("standby"),
            "{text}"
        );
        bury(&mut store, 0);
        bury(&mut store, 2);
        for now in [103, 104] {
            let report = store.check(now, |_, _| {}).unwrap();
            assert_eq!((report.damaged.len(), report.lost.len()), (0, lost));
            assert!(
                report.is_good() && report.lost_segments.is_empty(),
                "{report}"
            );
            drop(store);
            store = bench.open();
        }
    }
}

/// A store that nobody looked at says of damage when it finds it, also where the mail was deleted.
#[test]
fn new_damage_of_deleted_mail_is_named_once() {
    let bench = Bench::new();
    let mut store = bench.open();
    let id = store_mail(&mut store, 1);
    store
        .record(Event::Tombstone {
            member: member_id(1),
            at: 9,
        })
        .unwrap();
    store.commit().unwrap();
    let offset = store.index.get_mut().place(&id).unwrap().unwrap().offset;
    drop(store);
    bench.flip(1, offset + 60);
    let mut store = bench.open();
    let report = store.check(100, |_, _| {}).unwrap();
    assert_eq!(
        (report.damaged.as_slice(), report.lost.len()),
        (&[id][..], 0)
    );
    assert!(!report.is_good());
    let report = store.check(101, |_, _| {}).unwrap();
    assert_eq!(
        (report.damaged.len(), report.lost.as_slice()),
        (0, &[id][..])
    );
    assert!(report.is_good());
}
