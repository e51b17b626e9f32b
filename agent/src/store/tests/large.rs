//! Messages in pieces: any chunking, anything between them, and that no piece stands for another.

use super::super::frame::{FIRST_FRAME, FIRST_VERSION, Kind, SegmentHeader};
use super::super::piece::{Closing, PiecePlace};
use super::super::segment::{Found, Opened, Scan, Segment};
use super::*;

/// Messages of more than 100 octets are in pieces.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.options.piece_bytes = 100;
    bench
}

fn put(store: &mut Store, octets: &[u8]) -> ContentId {
    let mut large = store.begin_large();
    for part in octets.chunks(33) {
        large.write(store, part).unwrap();
    }
    large.finish(store).unwrap().id
}

/// The frames of a segment, by kind and place.
fn frames(bench: &Bench, number: u32) -> Vec<(Kind, PiecePlace)> {
    let Opened::Segment(segment) = Segment::open(&bench.dir, number, &key()).unwrap() else {
        panic!("a segment");
    };
    let end = fs::metadata(&segment.path).unwrap().len();
    let mut scan = Scan::new(&segment, FIRST_FRAME, end);
    let mut frames = Vec::new();
    while let Some(found) = scan.next().unwrap() {
        let Found::Frame(header) = found else {
            panic!("a frame");
        };
        frames.push((header.kind, PiecePlace::of(&header)));
    }
    frames
}

fn length(bench: &Bench, number: u32) -> u64 {
    fs::metadata(bench.segment(number)).unwrap().len()
}

fn closing_of(store: &Store, id: &ContentId) -> Closing {
    let place = store.index.borrow_mut().place(id).unwrap().unwrap();
    let segment = store.open_segment(place.segment).unwrap().unwrap();
    let frame = PiecePlace {
        offset: place.offset,
        sealed_len: u32::try_from(place.sealed_len).unwrap(),
    };
    segment.closing_at(frame).unwrap().unwrap()
}

#[test]
fn what_fits_into_one_piece_is_one_frame() {
    let check = |size: usize, pieces: usize| {
        let bench = bench();
        let mut store = bench.open();
        let octets = noise(1, size);
        let id = put(&mut store, &octets);
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
        let bench = bench();
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
    let mut bench = bench();
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
    let bench = bench();
    let mut store = bench.open();
    let octets = noise(1, 700);
    let id = put(&mut store, &octets);
    store.commit().unwrap();
    let size = length(&bench, 1);
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
            assert_eq!(length(&bench, 1), size);
            assert!(store.inspect(4).unwrap().changed_segments.is_empty());
        }
        store.commit().unwrap();
    }
    let again = noise(3, 900);
    assert!(store.put(&again).unwrap().new);
    put(&mut store, &again);
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
    let bench = bench();
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
    let id = put(&mut store, &octets);
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
    let bench = bench();
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
    let id = put(&mut opened, &octets);
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
    let bench = bench();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let size = length(&bench, 1);
    let mut large = store.begin_large();
    large.write(&mut store, &noise(1, 1_000_000)).unwrap();
    assert!(length(&bench, 1) > size);
    drop(store);
    assert_eq!(length(&bench, 1), size);
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
    let bench = bench();
    let mut store = bench.open();
    let id = put(&mut store, &noise(1, 300));
    store.commit().unwrap();
    sent(&store.begin_large());
    sent(&store.pieces(&id).unwrap());
    sent(&store);
}

#[test]
fn after_a_failed_write_the_message_is_begun_again() {
    let bench = bench();
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
    let id = put(&mut store, &octets);
    store.commit().unwrap();
    assert_eq!(store.read(&small).unwrap(), b"nothing written yet");
    assert_eq!(store.read(&id).unwrap(), octets);
    let report = store.check(5, |_, _| {}).unwrap();
    assert!(report.is_good() && report.unfinished_bytes == 0);
}

#[test]
fn too_large_a_message_is_refused_alone() {
    let mut bench = bench();
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

/// A content, its octets, and its frames, the closing one first.
type Laid = (ContentId, Vec<u8>, Vec<PiecePlace>);

/// A segment of a small message, two large ones with their pieces between each other, and a small one.
fn four() -> (Bench, Vec<Laid>) {
    let bench = bench();
    let mut store = bench.open();
    let mails = [noise(1, 60), noise(2, 230), noise(3, 330), noise(4, 70)];
    let first = store.put(&mails[0]).unwrap().id;
    let (mut one, mut two) = (store.begin_large(), store.begin_large());
    for at in 0..3 {
        for (large, mail) in [(&mut one, &mails[1]), (&mut two, &mails[2])] {
            let part = &mail[at * 110..mail.len().min((at + 1) * 110)];
            large.write(&mut store, part).unwrap();
        }
    }
    let last = store.put(&mails[3]).unwrap().id;
    let two = two.finish(&mut store).unwrap().id;
    let one = one.finish(&mut store).unwrap().id;
    let ids = [first, one, two, last];
    for (n, (id, mail)) in (0..).zip(ids.iter().zip(&mails)) {
        store.record(add(n, *id, mail.len())).unwrap();
    }
    store.commit().unwrap();
    let contents = ids
        .into_iter()
        .zip(mails)
        .map(|(id, mail)| {
            let place = store.index.borrow_mut().place(&id).unwrap().unwrap();
            let mut frames = vec![PiecePlace {
                offset: place.offset,
                sealed_len: u32::try_from(place.sealed_len).unwrap(),
            }];
            if mail.len() > 100 {
                frames.extend(closing_of(&store, &id).pieces);
            }
            (id, mail, frames)
        })
        .collect();
    (bench, contents)
}

#[test]
fn a_changed_octet_anywhere_costs_its_message_and_no_other() {
    let (bench, contents) = four();
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(bench.segment(1))
        .unwrap();
    let end = length(&bench, 1);
    let store = Store::open_read_only(&bench.dir, &key()).unwrap();
    for at in FIRST_FRAME..end {
        let mut octet = [0];
        file.read_exact_at(&mut octet, at).unwrap();
        file.write_all_at(&[octet[0] ^ 0x40], at).unwrap();
        for (id, mail, frames) in &contents {
            let hit = frames.iter().any(|f| (f.offset..f.end()).contains(&at));
            match store.read(id) {
                Ok(octets) => assert!(!hit && octets == *mail, "{at}"),
                Err(StoreError::Damaged { .. }) => assert!(hit, "{at}"),
                Err(error) => panic!("{error}"),
            }
        }
        file.write_all_at(&octet, at).unwrap();
    }
}

#[test]
fn a_cut_anywhere_costs_what_lay_behind() {
    let (bench, contents) = four();
    let whole = fs::read(bench.segment(1)).unwrap();
    let store = Store::open_read_only(&bench.dir, &key()).unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(bench.segment(1))
        .unwrap();
    for cut in (FIRST_FRAME..=length(&bench, 1)).rev() {
        file.set_len(cut).unwrap();
        for (id, mail, frames) in &contents {
            let there = frames.iter().all(|frame| frame.end() <= cut);
            assert_eq!(store.read(id).ok().as_ref(), there.then_some(mail), "{cut}");
        }
        // The segments alone say the same, here at each place where a frame begins or ends.
        let edge = contents
            .iter()
            .flat_map(|(_, _, frames)| frames)
            .any(|frame| (frame.end() - 1..=frame.end() + 1).contains(&cut));
        if edge {
            let left = Bench {
                options: bench.options,
                ..Bench::new()
            };
            fs::create_dir(&left.dir).unwrap();
            let kept = &whole[..usize::try_from(cut).unwrap()];
            fs::write(left.segment(1), kept).unwrap();
            let rebuilt = left.open();
            for (id, mail, frames) in &contents {
                let there = frames.iter().all(|frame| frame.end() <= cut);
                assert_eq!(
                    rebuilt.read(id).ok().as_ref(),
                    there.then_some(mail),
                    "{cut}"
                );
            }
        }
    }
}

#[test]
fn a_damaged_piece_is_found_named_and_put_again() {
    let (_, contents) = four();
    let (id, mail, frames) = &contents[2];
    for (now, frame) in (10..).step_by(10).zip(frames) {
        // In its header, so that there is a gap, and behind it.
        for at in [frame.offset + 3, frame.offset + 60] {
            let (bench, _) = four();
            bench.flip(1, at);
            let mut store = bench.open();
            let inspected = store.inspect(now).unwrap();
            assert_eq!(inspected.damaged, [*id]);
            assert!(inspected.mended.is_nothing(), "{:?}", inspected.mended);
            let report = store.check(now + 1, |_, _| {}).unwrap();
            assert_eq!(
                (report.damaged.as_slice(), report.contents),
                (&[*id][..], 3)
            );
            assert!(store.put(mail).unwrap().new);
            store.commit().unwrap();
            assert_eq!(store.read(id).unwrap(), *mail);
            // What lay in the gap is not known any more now, and could have been membership.
            assert!(store.check(now + 2, |_, _| {}).unwrap().damaged.is_empty());
            assert!(store.check(now + 3, |_, _| {}).unwrap().is_good());
            let before = state(&store);
            drop(store);
            bench.without_index();
            assert_eq!(state(&bench.open()), before);
        }
    }
}

#[test]
fn reading_back_at_a_tx_goes_through_the_pieces() {
    let (bench, contents) = four();
    let (id, _, frames) = &contents[1];
    let mut store = bench.open();
    let verified = store.verify(ReadBack::NEW, 50).unwrap();
    assert_eq!(
        (verified.messages, verified.bytes),
        (4, 60 + 230 + 330 + 70)
    );
    bench.flip(1, frames[2].end() - 1);
    let all = ReadBack {
        budget_bytes: u64::MAX,
        before: i64::MAX,
    };
    let verified = store.verify(all, 60).unwrap();
    assert_eq!(
        (verified.damaged.as_slice(), verified.messages),
        (&[*id][..], 3)
    );
}

/// Puts a closing frame that says what nobody should believe, as a thief with the key could.
fn forge(store: &mut Store, n: u32, closing: &Closing) {
    store.ready_current().unwrap();
    let writer = store.writer.as_mut().unwrap();
    let current = writer.current.as_mut().unwrap();
    let mut frame = Vec::new();
    let header = writer
        .sealer
        .closing(&current.segment.cipher, current.end, closing, &mut frame)
        .unwrap();
    current.append(&frame).unwrap();
    let content = closing.content(current.segment.number, &header);
    writer.pending.contents.push(content);
    store.record(add(n, closing.id, 1)).unwrap();
    store.commit().unwrap();
}

#[test]
fn pieces_cannot_be_swapped_left_out_repeated_or_borrowed() {
    type Change = fn(&mut Closing, &Closing);
    let changes: [(&str, Change); 9] = [
        ("swapped", |closing, _| closing.pieces.swap(0, 1)),
        ("first left out", |closing, _| {
            closing.pieces.remove(0);
        }),
        ("last left out", |closing, _| closing.pieces.truncate(2)),
        ("repeated", |closing, _| {
            let piece = closing.pieces[1];
            closing.pieces.insert(1, piece);
        }),
        ("borrowed", |closing, other| {
            closing.pieces[1] = other.pieces[1]
        }),
        ("another transfer", |closing, other| {
            closing.transfer = other.transfer
        }),
        ("another length", |closing, _| closing.raw_len += 1),
        ("another id", |closing, _| closing.id.0[0] ^= 1),
        ("a place between frames", |closing, _| {
            closing.pieces[1].offset += 1
        }),
    ];
    for (what, change) in changes {
        let bench = bench();
        let mut store = bench.open();
        let other = put(&mut store, &noise(2, 230));
        let octets = noise(1, 230);
        let id = put(&mut store, &octets);
        store.commit().unwrap();
        let other_closing = closing_of(&store, &other);
        let mut closing = closing_of(&store, &id);
        change(&mut closing, &other_closing);
        forge(&mut store, 1, &closing);
        let mut given = Vec::new();
        let error = store
            .read_into(&closing.id, |piece| {
                given.extend_from_slice(piece);
                Ok::<_, StoreError>(())
            })
            .unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{what}: {error}"
        );
        // Never all of it: who counts octets does not take it for whole either.
        assert!(given.len() < octets.len(), "{what}: {}", given.len());
        let report = store.check(5, |_, _| {}).unwrap();
        assert_eq!(report.damaged, [closing.id], "{what}");
        drop(store);
        // A copy of the segment without the index: what can be seen without reading all octets is refused
        // at once, and what only the content id shows is found by reading.
        bench.without_index();
        let store = bench.open();
        assert!(store.read(&other).is_ok(), "{what}");
        let read = store.read(&closing.id);
        if closing.id == id
            && store.index.borrow_mut().place(&id).unwrap().unwrap().offset != closing_place(&bench)
        {
            assert_eq!(
                read.unwrap(),
                octets,
                "{what}: the earlier, right one counts"
            );
        } else {
            assert!(read.is_err(), "{what}");
        }
    }
}

/// Where the last closing frame lies.
fn closing_place(bench: &Bench) -> u64 {
    let frames = frames(bench, 1);
    let (_, frame) = frames
        .iter()
        .rfind(|(kind, _)| *kind == Kind::Closing)
        .unwrap();
    frame.offset
}

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
    let id = put(&mut store, &noise(1, 500));
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
