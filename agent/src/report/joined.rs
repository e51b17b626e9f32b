//! What the planner finds in corners, and what is counted in them, pass the check that the server makes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use maildreieck_api_spec::certificate::{
    Certificate, Corners, CutPoint, DifferenceCount, EARLIEST, FORMAT, FolderFigures, GuardShares,
    UNANCHORED,
};
use maildreieck_api_spec::ids::{RunId, ScheduleId};
use maildreieck_api_spec::runs::{RunKind, RunReport};
use maildreieck_api_spec::vocabulary::{Class, Corner, Depth, Direction, Verdict};
use proptest::prelude::*;

use super::figures::{coverage, figures, folder_ref};
use super::spool::Spool;
use crate::plan::identity::{ContentId, Flags, InternalDate, LogicalFolder};
use crate::plan::reconcile::{self, Difference, Entry, Explanations, Gone, left_out};

const KEY: [u8; 32] = [7; 32];

fn tx_at() -> DateTime<Utc> {
    EARLIEST + TimeDelta::days(30) + TimeDelta::milliseconds(250)
}

/// The second in which it began.
fn whole() -> DateTime<Utc> {
    tx_at().trunc_subsecs(0)
}

/// The certificate of three corners, as a Tx makes it.
fn certificate(
    [primary, standby, store]: [&[Entry]; 3],
    differences: &[Difference],
    depth: Depth,
    read_now: u64,
) -> Certificate {
    let [(p, mut ps), (s, mut ss), (m, mut ms)] =
        [primary, standby, store].map(|entries| figures(entries, &KEY));
    let names: BTreeSet<LogicalFolder> = ps
        .keys()
        .chain(ss.keys())
        .chain(ms.keys())
        .cloned()
        .collect();
    let folders = names
        .iter()
        .map(|name| FolderFigures {
            folder: folder_ref(name, &KEY),
            primary: ps.remove(name),
            standby: ss.remove(name),
            store: ms.remove(name),
            medium: None,
        })
        .collect();
    let mut counts = BTreeMap::new();
    for d in differences {
        let folder = folder_ref(&d.folder, &KEY);
        let key = (d.class, d.corner, d.against, folder, d.reason);
        *counts.entry(key).or_insert(0) += d.count;
    }
    let inbox = folder_ref(&LogicalFolder::from_stored("INBOX"), &KEY);
    let cut = [Corner::Primary, Corner::Standby].map(|corner| CutPoint {
        corner,
        folder: inbox.clone(),
        uidvalidity: 1,
        uidnext: 1,
        highestmodseq: None,
    });
    let coverage = [
        (Corner::Primary, primary),
        (Corner::Standby, standby),
        (Corner::Store, store),
    ]
    .map(|(corner, entries)| coverage(corner, entries, depth, read_now, tx_at()));
    let mut proof = Certificate {
        format: FORMAT.to_owned(),
        triangle: "info".to_owned(),
        sequence: 1,
        previous: None,
        tx_at: tx_at(),
        depth,
        verdict: Verdict::Balanced,
        direction: Direction::PrimaryToStandby,
        epoch: 0,
        cut: cut.to_vec(),
        corners: Corners {
            primary: p,
            standby: s,
            store: m,
            medium: None,
        },
        folders,
        differences: counts
            .into_iter()
            .map(
                |((class, corner, against, folder, reason), count)| DifferenceCount {
                    class,
                    corner,
                    against,
                    folder,
                    reason,
                    count,
                },
            )
            .collect(),
        repairs: vec![],
        new_tombstones: 0,
        guard: GuardShares::default(),
        coverage: coverage.to_vec(),
        nonce: UNANCHORED.to_owned(),
        configuration_hash: "0".repeat(64),
        agent_version: "0.1.0".to_owned(),
        signing_key: "A".repeat(43),
        signature: None,
        countersignature: None,
    };
    proof.verdict = proof.verdict_of_figures();
    proof
}

fn folder() -> impl Strategy<Value = LogicalFolder> {
    prop_oneof![Just("INBOX"), Just("\\Sent"), Just("Projekte/2026")]
        .prop_map(LogicalFolder::from_stored)
}

fn content() -> impl Strategy<Value = ContentId> {
    (0_u8..4).prop_map(|octet| ContentId::of(&[octet]))
}

prop_compose! {
    fn entry()(
        folder in folder(), content in content(), date in 0_i64..2, seen in any::<bool>(), late in prop::bool::weighted(0.1),
        gone in prop::option::weighted(0.2, prop_oneof![Just(Gone::Late), any::<bool>().prop_map(|ordinary| Gone::Before { ordinary })]),
        preexisting in prop::bool::weighted(0.1), aside in prop::option::weighted(0.1, any::<(bool, bool)>()),
        uid in 1_u32..6, copy in prop::option::of(1_u32..6), proved in prop::option::weighted(0.9, -1_000_i64..10),
    ) -> Entry {
        let class = |quarantined| if quarantined { Class::Quarantined } else { Class::DoesNotStay };
        Entry {
            folder, content, date: InternalDate(date), flags: if seen { "\\Seen" } else { "" }.parse().unwrap(),
            size: 10, uid, copy, late, gone, preexisting, quarantine: aside.map(|(quarantined, over)| (class(quarantined), over)),
            // The last of them by a clock that was set back since.
            verified_at: proved.map(|after| tx_at().timestamp() + after),
        }
    }
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(entry(), 0..12)
}

/// What the store tells of its mail.
fn stored(entries: Vec<Entry>, verified_at: Option<i64>) -> Vec<Entry> {
    let stored = |entry| Entry {
        uid: 0,
        copy: None,
        late: false,
        gone: None,
        preexisting: false,
        quarantine: None,
        verified_at,
        ..entry
    };
    entries.into_iter().map(stored).collect()
}

fn explanations() -> impl Strategy<Value = Explanations> {
    let some = prop::collection::vec((folder(), content(), any::<bool>()), 0..4);
    some.prop_map(|tombstones| Explanations {
        tombstones,
        ..Explanations::default()
    })
}

proptest! {
    #[test]
    fn what_a_tx_finds_contradicts_nothing(
        primary in entries(), mut standby in entries(), mut store in entries(), like in any::<[bool; 2]>(),
        explanations in explanations(), depth in prop_oneof![Just(Depth::Volume), Just(Depth::Ledger), Just(Depth::Content)],
        read_now in 0_u64..14, store_proved in any::<bool>(),
    ) {
        // Random corners are seldom alike.
        for (corner, like) in [&mut standby, &mut store].into_iter().zip(like) {
            if like {
                corner.splice(.., primary.iter().cloned());
            }
        }
        // Only the primary has what is gone.
        standby.iter_mut().for_each(|entry| entry.gone = None);
        let store = stored(store, store_proved.then_some(tx_at().timestamp()));
        let mut corners = reconcile::Corners { primary, standby, store };
        let mut found = corners.compare(&explanations, depth);
        found.extend(left_out(&[(LogicalFolder::from_stored("\\Junk"), 3)]));
        let entries = [&corners.primary[..], &corners.standby, &corners.store];
        let proof = certificate(entries, &found, depth, read_now);
        prop_assert_eq!(proof.contradictions(), vec![], "{:#?}", proof);
    }

    /// One message more or fewer in a corner, and nobody says so: the check sees it.
    #[test]
    fn what_is_not_said_is_seen(mut primary in prop::collection::vec(entry(), 1..12), at in any::<prop::sample::Index>()) {
        primary.iter_mut().for_each(|entry| entry.gone = None);
        let mut fewer = primary.clone();
        fewer.remove(at.index(primary.len()));
        for corners in [[&primary[..], &fewer, &primary], [&primary, &primary, &fewer], [&fewer, &primary, &primary]] {
            prop_assert!(!certificate(corners, &[], Depth::Ledger, 1).contradictions().is_empty());
        }
    }
}

/// The clock was set back while a run went on, and bytes were read back after its cut.
#[test]
fn a_tx_whose_clock_was_set_back_is_reported_in_order() {
    let of = |octets: &[u8], after| Entry {
        folder: LogicalFolder::from_stored("INBOX"),
        content: ContentId::of(octets),
        date: InternalDate(1),
        flags: Flags::default(),
        size: 10,
        uid: 1,
        copy: None,
        late: false,
        gone: None,
        preexisting: false,
        quarantine: None,
        verified_at: Some(tx_at().timestamp() + after),
    };
    let entries = [of(b"a", 30)];
    let mut proof = certificate([&entries, &entries, &entries], &[], Depth::Content, 1);
    for c in &mut proof.coverage {
        c.oldest_proof = Some(whole() + TimeDelta::seconds(30));
    }
    let (schedule_id, due_at) = (ScheduleId::new(), whole() - TimeDelta::hours(1));
    let mut report = RunReport {
        kind: RunKind::Tx,
        schedule_id: Some(schedule_id),
        due_at: Some(due_at),
        started_at: due_at,
        finished_at: due_at - TimeDelta::hours(1),
        ..super::spool::tests::report(0)
    };
    proof.triangle = report.triangle_id.to_string();
    report.certificate = Some(proof);
    let run = RunId::of_schedule(schedule_id, due_at);
    assert_ne!(report.contradictions(run), []);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    spool.add(run, &report).unwrap();
    let waiting = spool.waiting().unwrap();
    let read: RunReport = serde_json::from_slice(&spool.read(&waiting[0]).unwrap()).unwrap();
    assert_eq!(read.contradictions(run), []);
    assert_eq!(read.finished_at, whole() + TimeDelta::seconds(30));
}
