//! That no piece stands for another, and a damaged one costs its message and no other.

use super::*;

/// A content, its octets, and its frames, the closing one first.
type Laid = (ContentId, Vec<u8>, Vec<PiecePlace>);

/// A segment of a small message, two large ones with their pieces between each other, and a small one.
fn four() -> (Bench, Vec<Laid>) {
    let bench = in_pieces();
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
    let end = file_len(&bench, 1);
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
    for cut in (FIRST_FRAME..=file_len(&bench, 1)).rev() {
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
        let bench = in_pieces();
        let mut store = bench.open();
        let other = put_large(&mut store, &noise(2, 230));
        let octets = noise(1, 230);
        let id = put_large(&mut store, &octets);
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
