//! What accounts have moved within a day, and until when a server wants to be left alone.

use diesel::prelude::*;

use super::schema::{backoff, spent};
use super::{Ledger, Result};

const HOUR_S: i64 = 3600;
/// A budget is held against as many hours, the present one included.
const HOURS: i64 = 24;

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

    /// Octets that crossed to or from an account within the last 24 hours, and when the oldest of them count no
    /// more, seconds since 1970.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn spent(&mut self, account: &str, now: i64) -> Result<(u64, Option<i64>)> {
        let since = now.div_euclid(HOUR_S) - HOURS;
        let rows: Vec<(i64, i64)> = spent::table
            .filter(spent::account.eq(account).and(spent::hour.gt(since)))
            .order(spent::hour)
            .select((spent::hour, spent::octets))
            .load(&mut self.db)?;
        let octets = rows.iter().map(|(_, octets)| *octets);
        let octets = octets.fold(0, |sum: i64, octets| sum.saturating_add(octets));
        let oldest = rows.first().map(|(hour, _)| (hour + HOURS) * HOUR_S);
        Ok((u64::try_from(octets).unwrap_or(0), oldest))
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
        check("a", 7300, (21, Some(day)));
        check("b", 7300, (1, Some(day)));
        check("a", day - 1, (21, Some(day)));
        check("a", day, (9, Some(day + 7200)));
        check("a", 2 * day, (0, None));
        check("c", 0, (0, None));
    }
}
