//! What accounts have moved within a day, and until when a server wants to be left alone.

use diesel::prelude::*;

use super::schema::{backoff, spent};
use super::{Ledger, Result};

const HOUR_S: i64 = 3600;
/// What moved in an hour counts for so many, that one included: until its last octet is 24 hours old.
const HOURS: i64 = 25;

impl Ledger {
    /// Notes octets of mail that crossed to or from an account at an instant.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn spend(&mut self, account: &str, octets: u64, now: i64) -> Result<()> {
        // What moved nothing must not count as the oldest that did.
        if octets == 0 {
            return Ok(());
        }
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        let hour = now.div_euclid(HOUR_S);
        self.transact_lightly(|db| {
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
            diesel::delete(spent::table.filter(spent::hour.le(hour - HOURS))).execute(db)?;
            Ok(())
        })
    }

    /// Octets that crossed to or from an account within the last 24 hours, and what else did in the same hour as
    /// the oldest of them.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn spent(&mut self, account: &str, now: i64) -> Result<u64> {
        Ok(total(&self.hours(account, now)?))
    }

    /// From when on what is still counted then leaves room, seconds since 1970: now, or when the hours count no
    /// more that are in the way. `fits` says whether there is room beside so many octets.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn room_at(&mut self, account: &str, now: i64, fits: impl Fn(u64) -> bool) -> Result<i64> {
        let hours = self.hours(account, now)?;
        let mut left = hours.as_slice();
        let mut at = now;
        while !fits(total(left))
            && let Some(((hour, _), rest)) = left.split_first()
        {
            (at, left) = ((hour + HOURS) * HOUR_S, rest);
        }
        Ok(at)
    }

    /// Octets by the hour, as long as they count.
    fn hours(&mut self, account: &str, now: i64) -> Result<Vec<(i64, i64)>> {
        let since = now.div_euclid(HOUR_S) - HOURS;
        Ok(spent::table
            .filter(spent::account.eq(account).and(spent::hour.gt(since)))
            .order(spent::hour)
            .select((spent::hour, spent::octets))
            .load(&mut self.db)?)
    }

    /// Notes until when an account's server wants to be left alone, seconds since 1970.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn back_off(&mut self, account: &str, until: i64) -> Result<()> {
        diesel::insert_into(backoff::table)
            .values((backoff::account.eq(account), backoff::until.eq(until)))
            .on_conflict(backoff::account)
            .do_update()
            .set(backoff::until.eq(until))
            .execute(&mut self.db)?;
        Ok(())
    }

    /// Until when an account's server wants to be left alone, if that is to come.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn backs_off(&mut self, account: &str, now: i64) -> Result<Option<i64>> {
        Ok(backoff::table
            .find(account)
            .filter(backoff::until.gt(now))
            .select(backoff::until)
            .first(&mut self.db)
            .optional()?)
    }
}

fn total(hours: &[(i64, i64)]) -> u64 {
    let octets = hours.iter().map(|(_, octets)| *octets);
    let octets = octets.fold(0, |sum: i64, octets| sum.saturating_add(octets));
    u64::try_from(octets).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_counts_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.db")).unwrap();
        let day = 86_400;
        for (account, octets, now) in [
            ("a", 0, -7200),
            ("a", 5, 0),
            ("a", 7, 10),
            ("a", 9, 7300),
            ("b", 1, 20),
        ] {
            ledger.spend(account, octets, now).unwrap();
        }
        let mut check = |account: &str, now, expected| {
            assert_eq!(ledger.spent(account, now).unwrap(), expected, "{now}");
        };
        check("a", 7300, 21);
        check("b", 7300, 1);
        check("a", day + 3599, 21);
        check("a", day + 3600, 9);
        check("a", day + 3 * 3600 - 1, 9);
        check("a", day + 3 * 3600, 0);
        check("c", 0, 0);
    }

    #[test]
    fn there_is_room_when_what_is_in_the_way_is_a_day_old() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.db")).unwrap();
        let (hour, day) = (3600, 86_400);
        let (first, second) = (hour - 1, 5 * hour + 10);
        ledger.spend("a", 10, first).unwrap();
        ledger.spend("a", 80, second).unwrap();
        let now = 6 * hour;
        let mut check = |limit, needs, expected| {
            let fits = |spent| spent + needs <= limit;
            let at = ledger.room_at("a", now, fits).unwrap();
            assert_eq!(at, expected, "{needs} of {limit}");
            // By then it fits, and what was in the way is a day old.
            assert!(fits(ledger.spent("a", at).unwrap()));
            assert!(at == now || !fits(ledger.spent("a", at - 1).unwrap()));
        };
        check(100, 10, now);
        check(100, 11, day + hour);
        check(100, 20, day + hour);
        // The oldest hour alone does not make room enough.
        check(100, 21, day + 6 * hour);
        check(100, 100, day + 6 * hour);
        assert!(day + hour - first >= day && day + 6 * hour - second >= day);
    }
}
