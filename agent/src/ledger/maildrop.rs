//! The UIDs of a primary that speaks POP3: which number a unique-id has, for as long as its message is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use diesel::prelude::*;
use maildreieck_api_spec::vocabulary::Corner;

use super::schema::{folder, maildrop, maildrop_message, message};
use super::{Ledger, LedgerError, Result, unsigned};
use crate::pop::Numbered;

/// A maildrop as the ledger knows it.
#[derive(Queryable)]
struct Maildrop {
    place: String,
    uidvalidity: i64,
    uidnext: i64,
}

impl Ledger {
    /// Gives the messages of a maildrop their UIDs, by their unique-ids in its order; what has one keeps it. Where
    /// several messages have one unique-id (RFC 1939, 7, lets equal ones) and there are not as many of them as
    /// before, nobody knows which is which: they get new numbers and are read again, as all are when the maildrop is
    /// at another `place`. No message gets a number that is `taken` under a UIDVALIDITY.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn number<E: From<LedgerError>>(
        &mut self,
        triangle: &str,
        place: &str,
        uidls: &[&[u8]],
        now_s: i64,
        taken: impl Fn(u32, u32) -> std::result::Result<bool, E>,
    ) -> std::result::Result<Numbered, E> {
        let earlier = self.maildrop(triangle)?;
        let here = earlier.as_ref().filter(|drop| drop.place == place);
        let (mut known, gone) = match here {
            Some(_) => {
                let (known, gone) = known(&mut self.db, triangle, uidls)?;
                (known, Some(gone))
            }
            None => (Uids::new(), None),
        };
        let uidvalidity = match (here, &earlier) {
            (Some(drop), _) => drop.uidvalidity,
            (None, Some(elsewhere)) => now_s.max(elsewhere.uidvalidity + 1),
            (None, None) => now_s,
        };
        let mut next = unsigned(here.map_or(1, |drop| drop.uidnext))?;
        let validity = unsigned(uidvalidity)?;
        let mut new = Vec::new();
        let mut uids = Vec::with_capacity(uidls.len());
        for uidl in uidls {
            let earlier = known.get_mut(*uidl).and_then(VecDeque::pop_front);
            let uid = match earlier {
                Some(uid) => uid,
                None => {
                    while taken(validity, next)? {
                        next += 1;
                    }
                    new.push((*uidl, next));
                    next += 1;
                    next - 1
                }
            };
            uids.push(uid);
        }
        let drop = Maildrop {
            place: place.to_owned(),
            uidvalidity,
            uidnext: i64::from(next),
        };
        self.transact(|db| keep(db, triangle, &drop, gone.as_deref(), &new))?;
        Ok(Numbered {
            uidvalidity: validity,
            uidnext: next,
            uids,
        })
    }

    fn maildrop(&mut self, triangle: &str) -> Result<Option<Maildrop>> {
        Ok(maildrop::table
            .find(triangle)
            .select((maildrop::place, maildrop::uidvalidity, maildrop::uidnext))
            .first(&mut self.db)
            .optional()?)
    }
}

/// UIDs by unique-id, each in the order of the maildrop.
type Uids = BTreeMap<Vec<u8>, VecDeque<u32>>;

/// What is known of the maildrop's messages; and the unique-ids whose UIDs are forgotten, since not as
/// many messages have them as before. One that nothing has any more is kept as long as its message is remembered: it
/// may only have been left out once.
fn known(
    db: &mut SqliteConnection,
    triangle: &str,
    uidls: &[&[u8]],
) -> Result<(Uids, Vec<Vec<u8>>)> {
    let rows: Vec<(Vec<u8>, i64)> = maildrop_message::table
        .filter(maildrop_message::triangle.eq(triangle))
        .order((maildrop_message::uidl, maildrop_message::uid))
        .select((maildrop_message::uidl, maildrop_message::uid))
        .load(db)?;
    let mut known = Uids::new();
    for (uidl, uid) in rows {
        known.entry(uidl).or_default().push_back(unsigned(uid)?);
    }
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    for uidl in uidls {
        *counts.entry(uidl).or_default() += 1;
    }
    let count = |uidl: &[u8]| counts.get(uidl).copied().unwrap_or(0);
    let mut others = known.clone();
    others.retain(|uidl, uids| uids.len() != count(uidl));
    if !others.is_empty() {
        let remembered = remembered(db, triangle)?;
        let kept = |uids: &VecDeque<u32>| uids.iter().any(|uid| remembered.contains(uid));
        others.retain(|uidl, uids| count(uidl) > 0 || !kept(uids));
    }
    known.retain(|uidl, _| !others.contains_key(uidl));
    Ok((known, others.into_keys().collect()))
}

/// UIDs of messages that the ledger knows.
fn remembered(db: &mut SqliteConnection, triangle: &str) -> Result<BTreeSet<u32>> {
    let uids: Vec<i64> = message::table
        .inner_join(folder::table.on(folder::id.eq(message::folder_id)))
        .filter(folder::triangle.eq(triangle))
        .filter(folder::corner.eq(Corner::Primary.as_str()))
        .filter(message::generation.eq(folder::generation))
        .select(message::uid)
        .load(db)?;
    uids.into_iter().map(unsigned).collect()
}

/// Writes down what has changed; without `gone` nothing is kept of what was known.
fn keep(
    db: &mut SqliteConnection,
    triangle: &str,
    drop: &Maildrop,
    gone: Option<&[Vec<u8>]>,
    new: &[(&[u8], u32)],
) -> Result<()> {
    diesel::replace_into(maildrop::table)
        .values((
            maildrop::triangle.eq(triangle),
            maildrop::place.eq(&drop.place),
            maildrop::uidvalidity.eq(drop.uidvalidity),
            maildrop::uidnext.eq(drop.uidnext),
        ))
        .execute(db)?;
    let all = maildrop_message::table.filter(maildrop_message::triangle.eq(triangle));
    match gone {
        None => {
            diesel::delete(all).execute(db)?;
        }
        Some(gone) => {
            for uidl in gone {
                diesel::delete(all.filter(maildrop_message::uidl.eq(uidl))).execute(db)?;
            }
        }
    }
    for some in new.chunks(256) {
        let row = |(uidl, uid): &(&[u8], u32)| {
            (
                maildrop_message::triangle.eq(triangle.to_owned()),
                maildrop_message::uidl.eq(uidl.to_vec()),
                maildrop_message::uid.eq(i64::from(*uid)),
            )
        };
        let rows: Vec<_> = some.iter().map(row).collect();
        diesel::insert_into(maildrop_message::table)
            .values(&rows)
            .execute(db)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers at a moment, none of which is taken but 7.
    fn number(ledger: &mut Ledger, place: &str, uidls: &[&[u8]], now_s: i64) -> (u32, Vec<u32>) {
        let taken = |_, uid| Ok::<_, LedgerError>(uid == 7);
        let numbered = ledger.number("info", place, uidls, now_s, taken).unwrap();
        assert!(numbered.uids.iter().all(|uid| *uid < numbered.uidnext));
        (numbered.uidvalidity, numbered.uids)
    }

    #[test]
    fn a_unique_id_keeps_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.db")).unwrap();
        let mut check = |place, uidls: &[&str], now_s, validity, uids: &[u32]| {
            let uidls: Vec<&[u8]> = uidls.iter().map(|uidl| uidl.as_bytes()).collect();
            let found = number(&mut ledger, place, &uidls, now_s);
            assert_eq!(found, (validity, uids.to_vec()));
        };
        check("a", &["x", "y"], 100, 100, &[1, 2]);
        check("a", &["x", "y", "z"], 101, 100, &[1, 2, 3]);
        check("a", &["new", "z", "x"], 102, 100, &[4, 3, 1]);
        // Nothing remembers what has gone meanwhile: it is another message if it comes back.
        check("a", &["x", "y"], 103, 100, &[1, 5]);
        check("a", &["x", "y", "b", "c"], 103, 100, &[1, 5, 6, 8]);
        // Another server; and the first again, with a clock that was set back.
        check("b", &["x", "y"], 200, 200, &[1, 2]);
        check("a", &["x"], 1, 201, &[1]);
    }

    #[test]
    fn unique_ids_that_several_messages_have() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("ledger.db")).unwrap();
        let mut check = |uidls: &[&[u8]], uids: &[u32]| {
            let found = number(&mut ledger, "a", uidls, 100);
            assert_eq!(found, (100, uids.to_vec()));
        };
        let long = [b'l'; 500];
        let drop: [&[u8]; 5] = [b"d", b"\xff", &long, b"d", b"\xfe"];
        check(&drop, &[1, 2, 3, 4, 5]);
        check(&drop, &[1, 2, 3, 4, 5]);
        // Of those with one unique-id one has gone, or one more has come.
        check(&drop[1..], &[2, 3, 6, 5]);
        check(&drop, &[8, 2, 3, 9, 5]);
    }
}
