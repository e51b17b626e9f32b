//! Whether the store says of a triangle what the ledger says.

use diesel::prelude::*;

use super::schema::{tombstone, triangle};
use super::{Ledger, LedgerError, Result};
use crate::plan::identity::MemberId;

impl Ledger {
    /// Whether what the store said of a triangle when it stood so was what the ledger says.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_in_step(&mut self, name: &str, mark: &[u8; 32]) -> Result<bool> {
        let known: Option<Option<Vec<u8>>> = triangle::table
            .find(name)
            .select(triangle::store_mark)
            .first(&mut self.db)
            .optional()?;
        Ok(known.flatten().as_deref() == Some(mark.as_slice()))
    }

    /// Notes how the store stands after a run that has noted in both whatever it did. `name` is in step now;
    /// the other triangles are if they were before.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn keep_in_step(
        &mut self,
        name: Option<&str>,
        before: &[u8; 32],
        after: &[u8; 32],
    ) -> Result<()> {
        if let Some(name) = name
            && !self.is_in_step(name, after)?
        {
            diesel::update(triangle::table.find(name))
                .set(triangle::store_mark.eq(after.to_vec()))
                .execute(&mut self.db)?;
        }
        if before != after {
            diesel::update(triangle::table.filter(triangle::store_mark.eq(before.to_vec())))
                .set(triangle::store_mark.eq(after.to_vec()))
                .execute(&mut self.db)?;
        }
        Ok(())
    }

    /// What vanished on the source, and when that was seen, seconds since 1970.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn buried(&mut self, name: &str) -> Result<Vec<(MemberId, i64)>> {
        let rows: Vec<(Vec<u8>, i64)> = tombstone::table
            .filter(tombstone::triangle.eq(name).and(tombstone::moved.eq(false)))
            .select((tombstone::member, tombstone::vanished_at))
            .load(&mut self.db)?;
        let damaged = LedgerError::Damaged("a member id that is not 16 octets long");
        let buried = rows.into_iter().map(|(member, at)| {
            let member = MemberId::from_slice(&member);
            member.map(|member| (member, at))
        });
        buried.collect::<Option<_>>().ok_or(damaged)
    }
}
