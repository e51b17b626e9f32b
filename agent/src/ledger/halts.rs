//! What the guard lets pass and what it holds back.

use diesel::prelude::*;

use super::schema::{activity, halt, triangle};
use super::{Ledger, Result};
use crate::plan::guard::{History, Lost};

/// What the guard holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Its id.
    pub id: String,
    /// Messages that vanished or need putting back.
    pub messages: u64,
    /// Of how many.
    pub of: u64,
    /// Whether a person has released it.
    pub confirmed: bool,
}

fn to_database(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_database(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Ledger {
    /// Notes that a mirror run came to its end, or stopped before with mail left, and what the guard let pass.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn close_mirror(
        &mut self,
        name: &str,
        lost: Lost,
        unfinished: bool,
        now: i64,
    ) -> Result<()> {
        self.transact(|db| {
            let first = triangle::table
                .find(name)
                .filter(triangle::first_mirror_at.is_null());
            if !unfinished {
                diesel::update(first)
                    .set(triangle::first_mirror_at.eq(now))
                    .execute(db)?;
            }
            if lost != Lost::default() {
                diesel::insert_into(activity::table)
                    .values((
                        activity::triangle.eq(name),
                        activity::at.eq(now),
                        activity::vanished.eq(to_database(lost.vanished)),
                        activity::put_back.eq(to_database(lost.put_back)),
                    ))
                    .execute(db)?;
            }
            Ok(())
        })
    }

    /// What the guard let pass in the last 24 hours and 7 days.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn history(&mut self, triangle: &str, now: i64) -> Result<History> {
        let rows: Vec<(i64, i64, i64)> = activity::table
            .filter(
                activity::triangle
                    .eq(triangle)
                    .and(activity::at.gt(now - 7 * 86_400)),
            )
            .select((activity::at, activity::vanished, activity::put_back))
            .load(&mut self.db)?;
        let mut history = History::default();
        for (at, vanished, put_back) in rows {
            let add = |lost: &mut Lost| {
                lost.vanished += from_database(vanished);
                lost.put_back += from_database(put_back);
            };
            add(&mut history.week);
            if at > now - 86_400 {
                add(&mut history.day);
            }
        }
        Ok(history)
    }

    /// Notes a halt; one that is there already stays as it is.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn add_halt(
        &mut self,
        triangle: &str,
        id: &str,
        messages: u64,
        of: u64,
        now: i64,
    ) -> Result<()> {
        self.transact(|db| {
            // What was held back before and is not the same any more is void, its release too.
            diesel::delete(halt::table.filter(halt::triangle.eq(triangle).and(halt::id.ne(id))))
                .execute(db)?;
            diesel::insert_into(halt::table)
                .values((
                    halt::triangle.eq(triangle),
                    halt::id.eq(id),
                    halt::messages.eq(to_database(messages)),
                    halt::known.eq(to_database(of)),
                    halt::held_at.eq(now),
                ))
                .on_conflict_do_nothing()
                .execute(db)?;
            Ok(())
        })
    }

    /// The halt of a triangle.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn halt(&mut self, triangle: &str) -> Result<Option<Halt>> {
        let row: Option<(String, i64, i64, Option<i64>)> = halt::table
            .filter(halt::triangle.eq(triangle))
            .select((halt::id, halt::messages, halt::known, halt::confirmed_at))
            .first(&mut self.db)
            .optional()?;
        Ok(row.map(|(id, messages, of, confirmed)| Halt {
            id,
            messages: from_database(messages),
            of: from_database(of),
            confirmed: confirmed.is_some(),
        }))
    }

    /// Releases a halt; whether there was one of this id.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn confirm_halt(&mut self, triangle: &str, id: &str, now: i64) -> Result<bool> {
        let count = diesel::update(halt::table.find((triangle, id)))
            .set(halt::confirmed_at.eq(now))
            .execute(&mut self.db)?;
        Ok(count > 0)
    }

    /// Forgets a triangle's halt: nothing is held back any more.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn clear_halt(&mut self, triangle: &str) -> Result<()> {
        diesel::delete(halt::table.filter(halt::triangle.eq(triangle))).execute(&mut self.db)?;
        Ok(())
    }
}
