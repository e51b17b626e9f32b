//! The store as a whole: crashes, damage, locks, keys, and that the segments alone say everything.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame::{FIRST_FRAME, Kind};
use super::piece::{Closing, PiecePlace};
use super::segment::{Found, Opened, Scan};
use super::*;

mod damage;
mod large;
mod pieces;
mod random;
mod rebuild;
mod room;
mod versions;

const T: &str = "info";

fn key() -> StoreKey {
    StoreKey::from_octets([9; 32])
}

struct Bench {
    _dir: TempDir,
    dir: PathBuf,
    options: Options,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self {
            dir: dir.path().join("store"),
            _dir: dir,
            options: Options::default(),
        }
    }

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Store, StoreError> {
        Store::open_with(&self.dir, &key(), self.options)
    }

    fn segment(&self, number: u32) -> PathBuf {
        segment::path(&self.dir, number)
    }

    fn flip(&self, number: u32, at: u64) {
        let mut octets = fs::read(self.segment(number)).unwrap();
        octets[usize::try_from(at).unwrap()] ^= 0x40;
        fs::write(self.segment(number), octets).unwrap();
    }

    fn without_index(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.dir.join(format!("index.sqlite{suffix}")));
        }
    }
}

fn mail(n: u32) -> Vec<u8> {
    let mut text = format!("Message-ID: <{n}@abc.example>\r\nSubject: {n}\r\n\r\n").into_bytes();
    for line in 0..n % 40 {
        text.extend_from_slice(format!("Line {line} of message {n}.\r\n").as_bytes());
    }
    text
}

fn member_id(n: u32) -> MemberId {
    MemberId::of(T, "INBOX", 1, 0, n)
}

fn add(n: u32, content: ContentId, size: usize) -> Event {
    Event::Add {
        member: member_id(n),
        triangle: T.into(),
        folder: LogicalFolder::from_components(Some("INBOX"), []),
        content,
        date: InternalDate(1_700_000_000 + i64::from(n)),
        flags: Flags::from_words(["\\Seen", "$Forwarded"]),
        size: u32::try_from(size).unwrap(),
    }
}

/// The same, handed over in parts.
fn store_large(store: &mut Store, n: u32, parts: usize) -> ContentId {
    let octets = mail(n);
    let mut large = store.begin_large();
    for part in octets.chunks(parts) {
        large.write(store, part).unwrap();
    }
    let put = large.finish(store).unwrap();
    assert_eq!(put.id, ContentId::of(&octets));
    store.record(add(n, put.id, octets.len())).unwrap();
    put.id
}

fn store_mail(store: &mut Store, n: u32) -> ContentId {
    let octets = mail(n);
    let put = store.put(&octets).unwrap();
    store.record(add(n, put.id, octets.len())).unwrap();
    put.id
}

/// Octets that do not compress, so that frames have the size of what is in them.
fn noise(n: u8, length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    blake3::Hasher::new()
        .update(&[n])
        .finalize_xof()
        .fill(&mut octets);
    octets
}

/// Messages of more than 100 octets are in pieces.
fn in_pieces() -> Bench {
    let mut bench = Bench::new();
    bench.options.piece_bytes = 100;
    bench
}

fn put_large(store: &mut Store, octets: &[u8]) -> ContentId {
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

fn file_len(bench: &Bench, number: u32) -> u64 {
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

/// Everything that the store says: members by id, and whether each content can be read.
fn state(store: &Store) -> BTreeMap<MemberId, (Member, bool)> {
    store
        .members(T)
        .unwrap()
        .into_iter()
        .map(|member| {
            let read = store.read(&member.content).map(|octets| {
                assert_eq!(ContentId::of(&octets), member.content);
            });
            (member.member, (member, read.is_ok()))
        })
        .collect()
}

/// That the totals which the index keeps are what counting gives.
fn count(bench: &Bench) {
    use diesel::prelude::*;
    let path = bench.dir.join("index.sqlite");
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let wrong: i64 = diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "SELECT count(*) FROM totals WHERE (contents, raw_bytes, stored_bytes) IS NOT (
            SELECT count(*), coalesce(sum(raw_len), 0), coalesce(sum(stored_len), 0)
            FROM contents WHERE segment > 0
        ) OR damaged <> (SELECT count(*) FROM contents WHERE verified_at = -1)
        OR live <> (SELECT count(*) FROM members WHERE live)
        OR tombstones <> (SELECT count(*) FROM members WHERE NOT live)",
    )
    .get_result(&mut connection)
    .unwrap();
    assert_eq!(wrong, 0);
}

#[test]
fn what_was_committed_is_read_back() {
    let bench = Bench::new();
    let mut store = bench.open();
    assert_eq!(store.recovery().index, IndexState::Created);
    let id = store_mail(&mut store, 5);
    assert!(!store.contains(&id).unwrap());
    assert!(matches!(store.read(&id), Err(StoreError::Missing { .. })));
    assert!(!store.put(&mail(5)).unwrap().new);
    store.commit().unwrap();
    assert_eq!(store.read(&id).unwrap(), mail(5));
    assert!(!store.put(&mail(5)).unwrap().new);
    drop(store);

    let store = bench.open();
    assert_eq!(*store.recovery(), Recovery::default());
    assert_eq!(store.read(&id).unwrap(), mail(5));
    let [member] = &store.members(T).unwrap()[..] else {
        panic!("one member")
    };
    assert_eq!(member.flags.to_string(), "\\Seen $Forwarded");
    assert_eq!(member.folder.as_str(), "INBOX");
    assert!(store.members("other").unwrap().is_empty());
    let stats = store.stats().unwrap();
    assert_eq!((stats.messages, stats.contents, stats.segments), (1, 1, 1));
}

#[test]
fn events_change_a_member_and_tombstones_stay_visible() {
    let bench = Bench::new();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let member = member_id(1);
    let folder = LogicalFolder::from_components(Some("\\Sent"), ["2024"]);
    let mut check = |event: Event, expected: &str| {
        for _ in 0..2 {
            store.record(event.clone()).unwrap();
            store.commit().unwrap();
            let member = store.members(T).unwrap().remove(0);
            let text = format!(
                "{} {} {:?}",
                member.folder.as_str(),
                member.flags,
                member.tombstone
            );
            assert_eq!(text, expected);
        }
    };
    let flags = Flags::from_words(["\\Flagged"]);
    check(
        Event::Flags {
            member,
            flags: flags.clone(),
        },
        "INBOX \\Flagged None",
    );
    check(
        Event::Move {
            member,
            folder: folder.clone(),
        },
        "\\Sent/2024 \\Flagged None",
    );
    check(
        Event::Tombstone { member, at: 77 },
        "\\Sent/2024 \\Flagged Some(77)",
    );
    check(
        Event::Revive {
            member,
            folder: LogicalFolder::from_components(Some("INBOX"), []),
            flags: Flags::default(),
        },
        "INBOX  None",
    );
    // An event of a member that was never added says nothing.
    store
        .record(Event::Tombstone {
            member: member_id(2),
            at: 1,
        })
        .unwrap();
    store.commit().unwrap();
    assert_eq!(store.members(T).unwrap().len(), 1);
}

#[test]
fn what_was_not_committed_does_not_count() {
    let bench = Bench::new();
    let mut store = bench.open();
    let first = store_mail(&mut store, 1);
    store.commit().unwrap();
    let length = fs::metadata(bench.segment(1)).unwrap().len();
    let second = store_mail(&mut store, 2);
    drop(store);
    assert_eq!(fs::metadata(bench.segment(1)).unwrap().len(), length);
    let mut store = bench.open();
    assert_eq!(*store.recovery(), Recovery::default());
    assert!(store.contains(&first).unwrap());
    assert!(!store.contains(&second).unwrap());
    store_mail(&mut store, 2);
    store.commit().unwrap();
    assert_eq!(store.read(&second).unwrap(), mail(2));
    assert_eq!(store.stats().unwrap().segments, 1);
}

/// The process dies between the write of the frames and the transaction of the index, with the last frame
/// whole or torn: copy the files away at that point.
#[test]
fn a_crash_before_the_index_leaves_whole_frames_and_a_torn_tail() {
    let bench = Bench::new();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    let index = fs::read(bench.dir.join("index.sqlite")).unwrap();
    let log = fs::read(bench.dir.join("index.sqlite-wal")).unwrap();
    store_mail(&mut store, 2);
    store.commit().unwrap();
    drop(store);
    let segment = fs::read(bench.segment(1)).unwrap();
    let first_end = {
        let bench = Bench::new();
        let mut store = bench.open();
        store_mail(&mut store, 1);
        store.commit().unwrap();
        usize::try_from(fs::metadata(bench.segment(1)).unwrap().len()).unwrap()
    };

    for end in first_end..=segment.len() {
        bench.without_index();
        fs::write(bench.dir.join("index.sqlite"), &index).unwrap();
        fs::write(bench.dir.join("index.sqlite-wal"), &log).unwrap();
        for number in segment::list(&bench.dir).unwrap() {
            fs::remove_file(bench.segment(number)).unwrap();
        }
        fs::write(bench.segment(1), &segment[..end]).unwrap();
        let mut store = bench.open();
        assert_eq!(store.read(&ContentId::of(&mail(1))).unwrap(), mail(1));
        let whole = end == segment.len();
        assert_eq!(store.members(T).unwrap().len(), if whole { 2 } else { 1 });
        store_mail(&mut store, 2);
        store_mail(&mut store, 3);
        store.commit().unwrap();
        assert!(store.inspect(100).unwrap().damaged.is_empty());
        assert_eq!(state(&store).len(), 3);
        assert!(state(&store).values().all(|(_, readable)| *readable));
        let incremental = state(&store);
        drop(store);
        rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
        assert_eq!(state(&bench.open()), incremental);
    }
}

const CHILD_DIR: &str = "MAILDREIECK_STORE_CRASH_DIR";

/// Not a test by itself: the process that [`a_killed_process_loses_nothing_it_committed`] kills.
#[test]
fn crash_child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let options = Options {
        segment_bytes: 20_000,
        piece_bytes: 100,
    };
    let mut store = Store::open_with(&PathBuf::from(dir), &key(), options).unwrap();
    let first = u32::try_from(store.members(T).unwrap().len()).unwrap();
    for n in first.. {
        store_large(&mut store, n, 37);
        store.commit().unwrap();
        println!("committed {n}");
    }
}

#[test]
fn a_killed_process_loses_nothing_it_committed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let mut bench = Bench::new();
    bench.options.segment_bytes = 20_000;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::crash_child", "--nocapture"])
            .env(CHILD_DIR, &bench.dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let committed = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("committed ")?.parse::<u32>().ok())
            .nth(5 + round)
            .expect("the child commits");
        child.kill().unwrap();
        child.wait().unwrap();

        let mut store = bench.open();
        let members = store.members(T).unwrap();
        assert!(members.len() > usize::try_from(committed).unwrap());
        for n in 0..=committed {
            assert_eq!(store.read(&ContentId::of(&mail(n))).unwrap(), mail(n));
        }
        assert!(store.inspect(10).unwrap().damaged.is_empty());
        let before = state(&store);
        drop(store);
        rebuild_index(&bench.dir, &key(), |_, _| {}).unwrap();
        assert_eq!(state(&bench.open()), before);
    }
}

#[test]
fn one_process_at_a_time() {
    let bench = Bench::new();
    let store = bench.open();
    let Err(error) = bench.try_open() else {
        panic!("a second writer")
    };
    assert!(error.temporary());
    let pid = std::process::id().to_string();
    assert!(error.to_string().contains(&pid), "{error}");
    let Err(error) = rebuild_index(&bench.dir, &key(), |_, _| {}) else {
        panic!("a second writer")
    };
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(Store::open_read_only(&bench.dir, &key()).is_ok());
    drop(store);
    bench.open();
}

#[test]
fn a_reader_sees_what_a_writer_commits() {
    let bench = Bench::new();
    let mut store = bench.open();
    let mut reader = Store::open_read_only(&bench.dir, &key()).unwrap();
    let id = store_mail(&mut store, 3);
    store.commit().unwrap();
    assert_eq!(reader.read(&id).unwrap(), mail(3));
    assert!(matches!(reader.put(b"x"), Err(StoreError::ReadOnly)));
    assert!(matches!(reader.commit(), Err(StoreError::ReadOnly)));
    let empty = TempDir::new().unwrap();
    assert!(matches!(
        Store::open_read_only(empty.path(), &key()),
        Err(StoreError::NoStore { .. })
    ));
}

#[test]
fn another_key_is_refused_with_and_without_index() {
    let bench = Bench::new();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    drop(store);
    let other = StoreKey::from_octets([8; 32]);
    let check = || {
        let Err(error) = Store::open(&bench.dir, &other) else {
            panic!("a wrong key opens the store")
        };
        assert!(error.concerns_key());
        assert!(
            error.to_string().contains("does not belong to this store"),
            "{error}"
        );
    };
    check();
    bench.without_index();
    check();
    assert_eq!(state(&bench.open()).len(), 1);
    fs::remove_file(bench.segment(1)).unwrap();
    check();
}

#[test]
fn a_lost_key_is_not_replaced() {
    let bench = Bench::new();
    bench.open();
    let path = bench.dir.join("../store.key");
    let error = StoreKey::for_store(&path, &bench.dir).unwrap_err();
    assert!(matches!(error, StoreError::KeyLost { .. }));
    assert!(!path.exists());
    StoreKey::for_store(&path, &bench.dir.join("none")).unwrap();
    assert!(path.exists());
}

#[test]
fn a_segment_of_another_store_is_named() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.open();
    let mut store = other.open();
    store_mail(&mut store, 1);
    store.commit().unwrap();
    drop(store);
    // Under its own number it would be taken for segment 1: so give the other store a second one.
    let mut small = other.open();
    small.writer.as_mut().unwrap().segment_bytes = 1;
    store_mail(&mut small, 2);
    small.commit().unwrap();
    drop(small);
    fs::copy(other.segment(2), bench.segment(2)).unwrap();
    assert!(matches!(
        bench.try_open(),
        Err(StoreError::ForeignSegment { .. })
    ));
}

#[test]
fn a_changed_octet_is_found_and_the_mail_put_again() {
    let bench = Bench::new();
    let mut store = bench.open();
    for n in 0..20 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    let id = ContentId::of(&mail(7));
    let offset = store.index.get_mut().place(&id).unwrap().unwrap().offset;
    drop(store);

    bench.flip(1, offset + 60);
    let mut store = bench.open();
    let inspected = store.inspect(100).unwrap();
    assert_eq!(inspected.changed_segments, [1]);
    assert_eq!(inspected.damaged, [id]);
    assert!(inspected.mended.is_nothing());
    assert!(matches!(store.read(&id), Err(StoreError::Damaged { .. })));
    assert!(!store.contains(&id).unwrap());
    let again = store.inspect(101).unwrap();
    assert!(again.changed_segments.is_empty());
    assert_eq!(again.damaged, [id]);
    assert_eq!(state(&store).values().filter(|(_, good)| !good).count(), 1);

    assert!(store.put(&mail(7)).unwrap().new);
    store.commit().unwrap();
    assert_eq!(store.read(&id).unwrap(), mail(7));
    assert!(store.inspect(102).unwrap().damaged.is_empty());
    let report = store.check(103, |_, _| {}).unwrap();
    assert_eq!((report.contents, report.messages), (20, 20));
    // The damaged frame stays where it is, but nothing needs it any more.
    assert_eq!(report.unreadable, 1);
    assert!(report.is_good(), "{report}");
    let incremental = state(&store);
    drop(store);
    bench.without_index();
    let store = bench.open();
    assert_eq!(store.recovery().index, IndexState::Rebuilt);
    assert_eq!(state(&store), incremental);
}

#[test]
fn damage_is_found_by_reading_too() {
    let bench = Bench::new();
    let mut store = bench.open();
    let id = store_mail(&mut store, 7);
    store_mail(&mut store, 8);
    store.commit().unwrap();
    let new = store.verify(ReadBack::NEW, 50).unwrap();
    assert_eq!((new.messages, new.oldest_proof), (2, Some(50)));
    let none = store.verify(ReadBack::NEW, 51).unwrap();
    assert_eq!((none.messages, none.oldest_proof), (0, Some(50)));
    let one = ReadBack {
        budget_bytes: 1,
        before: 60,
    };
    let verified = store.verify(one, 60).unwrap();
    assert_eq!((verified.messages, verified.oldest_proof), (1, Some(50)));
    // A clock that was ahead has noted proofs of a time to come.
    let ahead = ReadBack {
        budget_bytes: u64::MAX,
        before: i64::MAX,
    };
    assert_eq!(store.verify(ahead, 1_000).unwrap().messages, 2);
    let verified = store.verify(ahead, 65).unwrap();
    assert_eq!((verified.messages, verified.oldest_proof), (2, Some(65)));

    let offset = store.index.get_mut().place(&id).unwrap().unwrap().offset;
    bench.flip(1, offset + 10);
    let all = ReadBack {
        budget_bytes: u64::MAX,
        before: i64::MAX,
    };
    let verified = store.verify(all, 70).unwrap();
    assert_eq!(verified.damaged, [id]);
    assert_eq!(store.damaged().unwrap(), [id]);
    // The next commit must not hide that the file was touched.
    store_mail(&mut store, 9);
    store.commit().unwrap();
    assert_eq!(store.inspect(80).unwrap().changed_segments, [1]);
    assert_eq!(store.stats().unwrap().segments, 2);
}

#[test]
fn damaged_membership_is_written_anew_from_the_index() {
    let bench = Bench::new();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    store
        .record(Event::Tombstone {
            member: member_id(1),
            at: 5,
        })
        .unwrap();
    store_mail(&mut store, 2);
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    let length = fs::metadata(bench.segment(1)).unwrap().len();
    bench.flip(1, length - 1);
    let mut store = bench.open();
    let inspected = store.inspect(100).unwrap();
    assert!(inspected.mended.membership_rewritten);
    assert!(inspected.damaged.is_empty());
    assert!(store.check(101, |_, _| {}).unwrap().is_good());
    drop(store);
    bench.without_index();
    let store = bench.open();
    assert_eq!(store.recovery().index, IndexState::Rebuilt);
    assert_eq!(state(&store), before);
}

#[test]
fn lost_and_cut_segments_cost_only_what_was_in_them() {
    let mut bench = Bench::new();
    bench.options.segment_bytes = 1;
    let mut store = bench.open();
    let ids: Vec<ContentId> = (1..=5)
        .map(|n| {
            let id = store_mail(&mut store, n);
            store.commit().unwrap();
            id
        })
        .collect();
    assert_eq!(store.stats().unwrap().segments, 5);
    drop(store);
    fs::remove_file(bench.segment(2)).unwrap();
    fs::write(bench.segment(4), b"short").unwrap();
    let mut store = bench.open();
    assert_eq!(store.recovery().lost_segments, [2]);
    let mut damaged = store.inspect(9).unwrap().damaged;
    damaged.sort();
    let mut expected = vec![ids[1], ids[3]];
    expected.sort();
    assert_eq!(damaged, expected);
    assert_eq!(store.members(T).unwrap().len(), 5);
    drop(store);
    // The membership was written anew: without the index the store still knows what it lost.
    bench.without_index();
    let store = bench.open();
    assert_eq!(store.recovery().headless_segments, [4]);
    let mut damaged = store.damaged().unwrap();
    damaged.sort();
    assert_eq!(damaged, expected);
    assert_eq!(state(&store).values().filter(|(_, good)| *good).count(), 3);
}

#[test]
fn without_any_header_and_index_the_store_is_refused_not_begun_anew() {
    let bench = Bench::new();
    bench.open();
    bench.without_index();
    fs::write(bench.segment(1), b"").unwrap();
    assert!(matches!(
        bench.try_open(),
        Err(StoreError::Unreadable { .. })
    ));
}

#[test]
fn a_damaged_index_is_made_anew_at_opening() {
    let bench = Bench::new();
    let mut store = bench.open();
    for n in 0..30 {
        store_mail(&mut store, n);
    }
    store.commit().unwrap();
    let before = state(&store);
    drop(store);
    for contents in [
        &b""[..],
        b"not a database, but long enough to look like one perhaps",
    ] {
        bench.without_index();
        fs::write(bench.dir.join("index.sqlite"), contents).unwrap();
        let store = bench.open();
        assert_eq!(store.recovery().index, IndexState::Rebuilt);
        assert_eq!(state(&store), before);
    }
    // Another store's index under the same key.
    let other = Bench::new();
    drop(other.open());
    bench.without_index();
    fs::copy(
        other.dir.join("index.sqlite"),
        bench.dir.join("index.sqlite"),
    )
    .unwrap();
    let store = bench.open();
    assert_eq!(store.recovery().index, IndexState::Rebuilt);
    assert_eq!(state(&store), before);
}

#[test]
fn a_failed_write_leaves_the_last_commit() {
    let bench = Bench::new();
    let mut store = bench.open();
    let first = store_mail(&mut store, 1);
    store.commit().unwrap();
    // A file that cannot be written to stands for a full disk.
    let path = bench.segment(1);
    let writer = store.writer.as_mut().unwrap();
    let current = writer.current.as_mut().unwrap();
    current.segment.file = File::open(&path).unwrap();
    store_mail(&mut store, 2);
    let error = store.commit().unwrap_err();
    assert!(error.to_string().contains("seg-00000001.mds"), "{error}");
    // It could not be cut back either: only opening anew helps.
    let error = store.put(&mail(2)).unwrap_err();
    assert!(matches!(error, StoreError::Halted { .. }));
    assert_eq!(store.read(&first).unwrap(), mail(1));
    drop(store);
    assert_eq!(state(&bench.open()).len(), 1);
}

#[test]
fn too_long_a_record_is_refused_alone() {
    let bench = Bench::new();
    let mut store = bench.open();
    store_mail(&mut store, 1);
    let long = "x".repeat(1 << 21);
    let error = store.record(Event::Move {
        member: member_id(1),
        folder: LogicalFolder::from_stored(&long),
    });
    assert!(matches!(error, Err(StoreError::RecordTooLong)));
    store.commit().unwrap();
    assert_eq!(store.members(T).unwrap().len(), 1);
}
