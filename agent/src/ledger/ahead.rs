//! Times that are to come. A clock that was ahead and has been set right has left them, and whatever waits for so
//! much time to pass since then would wait for as long as the clock was wrong.

use diesel::prelude::*;

use super::schema::{activity, backoff, quarantine, spent, tombstone};
use super::{Ledger, Result};

const HOUR_S: i64 = 3600;

impl Ledger {
    /// Takes what is noted of a time to come as of now, seconds since 1970: it has happened. No server can have asked to
    /// be left alone for more than `longest_s` seconds.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn mind_clock(&mut self, now: i64, longest_s: i64) -> Result<()> {
        let hour = now.div_euclid(HOUR_S);
        self.transact_lightly(|db| {
            diesel::update(tombstone::table.filter(tombstone::vanished_at.gt(now)))
                .set(tombstone::vanished_at.eq(now))
                .execute(db)?;
            diesel::update(activity::table.filter(activity::at.gt(now)))
                .set(activity::at.eq(now))
                .execute(db)?;
            diesel::update(quarantine::table.filter(quarantine::since.gt(now)))
                .set(quarantine::since.eq(now))
                .execute(db)?;
            diesel::update(quarantine::table.filter(quarantine::tried_at.gt(now)))
                .set(quarantine::tried_at.eq(now))
                .execute(db)?;
            diesel::delete(backoff::table.filter(backoff::until.gt(now.saturating_add(longest_s))))
                .execute(db)?;
            let ahead: Vec<(String, i64)> =
                diesel::delete(spent::table.filter(spent::hour.gt(hour)))
                    .returning((spent::account, spent::octets))
                    .get_results(db)?;
            for (account, octets) in ahead {
                diesel::insert_into(spent::table)
                    .values((
                        spent::account.eq(account),
                        spent::hour.eq(hour),
                        spent::octets.eq(octets),
                    ))
                    .on_conflict((spent::account, spent::hour))
                    .do_update()
                    .set(spent::octets.eq(spent::octets + octets))
                    .execute(db)?;
            }
            Ok(())
        })
    }
}
