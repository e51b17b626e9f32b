//! Whether folders hold just what the ledger knows, row by row: what a mailbox of many messages would take to be
//! held in memory is not held.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::messages::origin_of;
use super::schema::{altered, message, quarantine};
use super::{KnownFolder, Ledger, Result, generation_to, unsigned};
use crate::plan::identity::InternalDate;
use crate::plan::rest::{Copied, Linked, at_rest};
use crate::plan::view::Shown;

fn shown((uid, size, date, flags): (i64, i64, i64, &str)) -> Result<Shown> {
    Ok(Shown {
        uid: unsigned(uid)?,
        size: unsigned(size)?,
        date: InternalDate(date),
        flags: flags.parse().unwrap_or_default(),
    })
}

impl Ledger {
    /// What a folder showed when everything in it had been dealt with, ascending by UID.
    pub(crate) fn shown_then(&mut self, known: &KnownFolder) -> Result<Vec<Shown>> {
        let rows = message::table
            .filter(message::folder_id.eq(known.id.0))
            .filter(message::generation.eq(generation_to(known.generation)))
            .filter(message::uid.lt(i64::from(known.uidnext)))
            .order(message::uid)
            .select((message::uid, message::size, message::date, message::flags))
            .load_iter::<(i64, i64, i64, String), _>(&mut self.db)?;
        rows.map(|row| {
            let (uid, size, date, flags) = row?;
            shown((uid, size, date, &flags))
        })
        .collect()
    }

    /// How many messages are known in a folder, where these are just the ones that are shown, none is of an ended
    /// generation, none in quarantine and none altered. What a folder shows is not looked at without a listing.
    pub(crate) fn known_as_shown(
        &mut self,
        known: &KnownFolder,
        shown: Option<&[Shown]>,
    ) -> Result<Option<usize>> {
        let put_aside: i64 = quarantine::table
            .filter(quarantine::folder_id.eq(known.id.0))
            .count()
            .get_result(&mut self.db)?;
        let other: i64 = altered::table
            .filter(altered::folder_id.eq(known.id.0))
            .count()
            .get_result(&mut self.db)?;
        if put_aside > 0 || other > 0 {
            return Ok(None);
        }
        let rows = message::table
            .filter(message::folder_id.eq(known.id.0))
            .order((message::generation, message::uid))
            .select((
                message::generation,
                message::uid,
                message::size,
                message::date,
                message::flags,
            ))
            .load_iter::<(i32, i64, i64, i64, String), _>(&mut self.db)?;
        let generation = generation_to(known.generation);
        let mut there = shown.map(<[Shown]>::iter);
        let mut count = 0;
        for row in rows {
            let (of, uid, size, date, flags) = row?;
            if of != generation {
                return Ok(None);
            }
            if let Some(there) = &mut there {
                let row = self::shown((uid, size, date, &flags))?;
                if there.next() != Some(&row) {
                    return Ok(None);
                }
            }
            count += 1;
        }
        let all = there.is_none_or(|mut there| there.next().is_none());
        Ok(all.then_some(count))
    }

    /// The highest UID that is known in a folder (0 for none), where each message that it shows is known with the size
    /// and date that are shown, or known at all where those are no more than `hinted` at.
    pub(crate) fn top_of_known(
        &mut self,
        known: &KnownFolder,
        shown: &[Shown],
        hinted: bool,
    ) -> Result<Option<u32>> {
        let rows = message::table
            .filter(message::folder_id.eq(known.id.0))
            .filter(message::generation.eq(generation_to(known.generation)))
            .order(message::uid)
            .select((message::uid, message::size, message::date))
            .load_iter::<(i64, i64, i64), _>(&mut self.db)?;
        let mut shown = shown.iter().peekable();
        let mut top = 0;
        for row in rows {
            let (uid, size, date) = row?;
            top = unsigned(uid)?;
            let Some(there) = shown.next_if(|there| there.uid <= top) else {
                continue;
            };
            let same = hinted || (i64::from(there.size), there.date.0) == (size, date);
            if there.uid < top || !same {
                return Ok(None);
            }
        }
        Ok(shown.next().is_none().then_some(top))
    }

    /// Whether two folders that show what is known are at rest; see [`at_rest`].
    pub(crate) fn at_rest(
        &mut self,
        source: &KnownFolder,
        target: &KnownFolder,
        copies: usize,
        buried: &[u32],
        refused: &BTreeSet<String>,
    ) -> Result<bool> {
        let copy = diesel::alias!(message as copy);
        let there = copy
            .field(message::folder_id)
            .eq(target.id.0)
            .and(
                copy.field(message::generation)
                    .eq(generation_to(target.generation)),
            )
            .and(copy.field(message::uid).nullable().eq(message::copy_uid))
            .and(message::copy_folder.eq(target.id.0))
            .and(message::copy_generation.eq(generation_to(target.generation)))
            .and(copy.field(message::content).eq(message::content));
        let rows = message::table
            .left_join(copy.on(there))
            .filter(message::folder_id.eq(source.id.0))
            .select((
                message::flags,
                copy.fields((message::uid, message::flags, message::origin))
                    .nullable(),
            ))
            .load_iter::<(String, Option<(i64, String, i32)>), _>(&mut self.db)?;
        let linked = rows.map(|row| {
            let (flags, copy) = row?;
            let copy = copy.map(|(uid, flags, origin)| {
                Ok::<_, super::LedgerError>(Copied {
                    uid: unsigned(uid)?,
                    flags: flags.parse().unwrap_or_default(),
                    origin: origin_of(origin),
                })
            });
            Ok(Linked {
                flags: flags.parse().unwrap_or_default(),
                copy: copy.transpose()?,
            })
        });
        at_rest(linked, copies, buried, refused)
    }
}
