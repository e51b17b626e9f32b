//! Times of a certificate, all by the agent's clock. What the server's clock and records say of them is the
//! server's to check.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Certificate, Found};

/// Before this no agent was: a clock that says less was never set, and is taken to say this.
pub const EARLIEST: DateTime<Utc> = match DateTime::from_timestamp(1_767_225_600, 0) {
    Some(at) => at,
    None => DateTime::UNIX_EPOCH,
};

/// That a time is not before [`EARLIEST`], where it is.
pub(crate) fn too_early(at: DateTime<Utc>) -> Option<String> {
    (at < EARLIEST).then(|| {
        let earliest = EARLIEST.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!("not before {earliest}, when there was no agent")
    })
}

impl Certificate {
    pub(super) fn check_times(&self, found: &mut Found) {
        let mut check = |at: String, time| {
            if let Some(rule) = too_early(time) {
                found.say(at, rule);
            }
        };
        check("/tx_at".to_owned(), self.tx_at);
        for (i, repair) in self.repairs.iter().enumerate() {
            check(format!("/repairs/{i}/at"), repair.at);
        }
        for (i, coverage) in self.coverage.iter().enumerate() {
            if let Some(oldest) = coverage.oldest_proof {
                check(format!("/coverage/{i}/oldest_proof"), oldest);
            }
        }
        let repairs = self.repairs.iter().enumerate();
        let repairs = repairs.map(|(i, r)| (format!("/repairs/{i}/at"), r.at));
        let proofs = self.coverage.iter().enumerate();
        let proofs = proofs
            .filter_map(|(i, c)| Some((format!("/coverage/{i}/oldest_proof"), c.oldest_proof?)));
        for (at, time) in repairs.chain(proofs) {
            if time.timestamp_subsec_nanos() != 0 {
                found.say(at, "a whole second");
            }
        }
        // An oldest proof can be younger than the cut, since bytes are read back after it.
        for (i, repair) in self.repairs.iter().enumerate() {
            if repair.at > self.tx_at {
                let rule = "not after tx_at, since what comes later stands in the next certificate";
                found.say(format!("/repairs/{i}/at"), rule);
            }
        }
    }
}
