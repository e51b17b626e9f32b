//! The certificate of a Tx, from what was seen and what was read back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound as _, Utc};
use maildreieck_api_spec::certificate::{
    Certificate, Corners, CutPoint, DifferenceCount, FORMAT, FolderFigures, GuardShares, LARGEST,
    LostCount, RepairCount, verdict,
};
use maildreieck_api_spec::vocabulary::{Class, Corner, Depth, Direction};

use super::Asked;
use super::read_back::Proved;
use super::sight::Sight;
use crate::clock;
use crate::cycle::Round;
use crate::error::AgentError;
use crate::kill;
use crate::ledger::RepairRow;
use crate::plan::guard::{History, Lost};
use crate::plan::identity::LogicalFolder;
use crate::plan::reconcile::Difference;
use crate::report::Proof;
use crate::report::figures::folder_ref;
use crate::snapshot::{Cut, Seen};

impl Round<'_> {
    pub(super) fn conclude(
        &self,
        asked: &Asked<'_>,
        tx_at: DateTime<Utc>,
        cut: &Cut,
        seen: Sight,
        differences: Vec<Difference>,
        proved: &Proved,
    ) -> Result<Proof, AgentError> {
        let name = &self.triangle.name;
        let depth = asked.depth;
        let key = self.site.report_key();
        let mut ledger = self.site.ledger.borrow_mut();
        let repairs = ledger.open_repairs(name)?;
        let known = ledger.count_messages(name, Corner::Primary.as_str())?;
        let new_tombstones = ledger.new_tombstones(name)?;
        let now_at = clock::now().max(tx_at);
        let counted = seen.count();
        let [primary, standby, store] = counted.sums;
        let mut coverage = [
            (Corner::Primary, primary, proved.primary),
            (Corner::Standby, standby, proved.standby),
            (Corner::Store, store, proved.store),
        ]
        .map(|(corner, sum, now)| sum.coverage(corner, depth, now, now_at))
        .to_vec();
        for c in &mut coverage {
            let refuses = |seen: &Seen| seen.corner == c.corner && seen.refused().next().is_some();
            c.whole &= !refuses(&self.source) && !refuses(&self.target);
            c.whole &= proved.unread.iter().all(|unread| unread.corner != c.corner);
        }
        if let Some(primary) = coverage.first_mut() {
            primary.whole &= depth != Depth::Content || !proved.broken_off;
        }
        let [primary, standby, store] = counted.corners;
        let folders = counted.folders.into_iter();
        let folders = folders
            .map(|(name, [primary, standby, store])| FolderFigures {
                folder: folder_ref(&name, key),
                primary,
                standby,
                store,
                medium: None,
            })
            .collect();
        let whole = coverage.iter().all(|corner| corner.whole);
        let verdict = verdict(whole, differences.iter().map(|d| (d.class, d.reason)));
        let mut certificate = Certificate {
            format: FORMAT.to_owned(),
            triangle: asked.triangle_id.to_owned(),
            sequence: 0,
            previous: None,
            tx_at,
            depth,
            verdict,
            direction: Direction::PrimaryToStandby,
            epoch: self.epoch,
            cut: cut_points(cut, key),
            corners: Corners {
                primary,
                standby,
                store,
                medium: None,
            },
            folders,
            differences: count_differences(&differences, key),
            repairs: count_repairs(&repairs, tx_at, key),
            new_tombstones,
            guard: guard_shares(ledger.history(name, tx_at.timestamp())?, known),
            coverage,
            nonce: asked.nonce.to_owned(),
            configuration_hash: self.triangle.configuration_hash(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            signing_key: String::new(),
            signature: None,
            countersignature: None,
        };
        // It is kept before the ledger forgets what it says: a run that is killed in between says it again.
        let keys = self.site.identity.keys()?;
        let known = ledger.last_certificate(&certificate.triangle)?;
        let last = self
            .site
            .chain
            .add(&mut certificate, keys.signing(), known)?;
        kill::point("certificate kept");
        // What differs is looked at again by the next mirror run, though nothing seems to have changed there.
        let red: BTreeSet<&LogicalFolder> = differences
            .iter()
            .filter(|d| d.reason.is_none() || d.class == Class::Quarantined)
            .map(|d| &d.folder)
            .collect();
        let again = self.source.folders.iter().chain(&self.target.folders);
        let again: Vec<_> = again
            .filter(|(name, _)| red.contains(name))
            .map(|(_, f)| (f.known.id, None))
            .collect();
        ledger.settle(&again)?;
        let reported: Vec<i64> = repairs.iter().map(|r| r.id).collect();
        ledger.close_tx(name, &reported)?;
        ledger.note_certificate(&certificate.triangle, &last)?;
        Ok(Proof {
            verdict,
            tx_at,
            differences,
            refused: self.refused(),
            unread: proved.unread.clone(),
            repairs,
            budget_ended: proved.broken_off,
            certificate,
        })
    }
}

fn guard_shares(history: History, of: u64) -> GuardShares {
    let count = |lost: Lost| LostCount {
        vanished: lost.vanished,
        put_back: lost.put_back,
    };
    GuardShares {
        day: count(history.day),
        week: count(history.week),
        of,
    }
}

fn cut_points(cut: &Cut, key: &[u8; 32]) -> Vec<CutPoint> {
    [
        (Corner::Primary, &cut.primary),
        (Corner::Standby, &cut.standby),
    ]
    .into_iter()
    .flat_map(|(corner, stands)| {
        stands.iter().map(move |(name, stood)| CutPoint {
            corner,
            folder: folder_ref(name, key),
            uidvalidity: stood.uidvalidity,
            uidnext: stood.uidnext,
            // Beyond that JSON would round it.
            highestmodseq: stood.highestmodseq.filter(|modseq| *modseq <= LARGEST),
        })
    })
    .collect()
}

fn count_differences(differences: &[Difference], key: &[u8; 32]) -> Vec<DifferenceCount> {
    let mut counts = BTreeMap::new();
    for d in differences {
        let folder = folder_ref(&d.folder, key);
        *counts
            .entry((d.class, d.corner, d.against, folder, d.reason))
            .or_insert(0) += d.count;
    }
    counts
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
        .collect()
}

fn count_repairs(repairs: &[RepairRow], tx_at: DateTime<Utc>, key: &[u8; 32]) -> Vec<RepairCount> {
    let mut counts: BTreeMap<(Class, Corner, _), (u64, i64)> = BTreeMap::new();
    for repair in repairs {
        let (count, at) = counts
            .entry((repair.class, repair.corner, folder_ref(&repair.folder, key)))
            .or_default();
        *count += 1;
        *at = (*at).max(repair.at);
    }
    counts
        .into_iter()
        .filter_map(|((class, corner, folder), (count, at))| {
            Some(RepairCount {
                class,
                corner,
                folder,
                // All came before; a clock that was set back since says otherwise.
                at: DateTime::from_timestamp(at, 0)?.min(tx_at.trunc_subsecs(0)),
                count,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::FolderStatus;
    use crate::plan::identity::ContentId;
    use crate::snapshot::Stands;

    #[test]
    fn repairs_came_before_the_proof() {
        let tx_at = DateTime::from_timestamp(1_800_000_000, 250_000_000).unwrap();
        let row = |id, at| RepairRow {
            id,
            class: Class::FlagsDiffer,
            corner: Corner::Standby,
            folder: LogicalFolder::from_stored("INBOX"),
            content: ContentId::of(b"a"),
            at,
        };
        let at = |rows: &[RepairRow]| {
            let counts = count_repairs(rows, tx_at, &[7; 32]);
            let said = |r: &RepairCount| {
                assert_eq!(r.at.timestamp_subsec_nanos(), 0);
                (r.count, r.at.timestamp())
            };
            counts.iter().map(said).collect::<Vec<_>>()
        };
        let (first, last) = (row(1, 1_799_999_000), row(2, 1_799_999_999));
        assert_eq!(at(&[first.clone(), last]), [(2, 1_799_999_999)]);
        // Mended when the clock ran an hour ahead.
        assert_eq!(at(&[first, row(3, 1_800_003_600)]), [(2, 1_800_000_000)]);
    }

    #[test]
    fn a_modseq_that_json_cannot_say_is_left_out() {
        let modseq = |highestmodseq| {
            let stood = FolderStatus {
                uidvalidity: 1,
                uidnext: 2,
                highestmodseq,
                messages: 1,
            };
            let cut = Cut {
                primary: Stands::from([(LogicalFolder::from_stored("INBOX"), stood)]),
                standby: Stands::new(),
                shown: BTreeMap::new(),
            };
            cut_points(&cut, &[7; 32]).first().unwrap().highestmodseq
        };
        assert_eq!(modseq(None), None);
        assert_eq!(modseq(Some(LARGEST)), Some(LARGEST));
        assert_eq!(modseq(Some(LARGEST + 1)), None);
        assert_eq!(modseq(Some(u64::MAX >> 1)), None);
    }
}
