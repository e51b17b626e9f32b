//! What each member is.

use std::collections::{BTreeSet, HashMap};

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::upsert::excluded;

use super::super::error::{StoreError, sql};
use super::super::event::{Event, Member, MemberState};
use super::super::{ContentId, LogicalFolder, MemberId};
use super::{Index, Lookup, ROWS};

diesel::table! {
    members (id) {
        id -> BigInt,
        lookup -> Binary,
        triangle -> Binary,
        live -> Bool,
        sealed -> Binary,
    }
}

#[derive(Insertable)]
#[diesel(table_name = members, treat_none_as_default_value = false)]
struct MemberRow {
    lookup: Vec<u8>,
    triangle: Vec<u8>,
    live: bool,
    sealed: Vec<u8>,
}

impl Index {
    pub(crate) fn knows(&mut self, member: &MemberId) -> Result<bool, StoreError> {
        let lookup = self.member_lookup(member);
        Ok(self.member(&lookup)?.is_some())
    }

    pub(crate) fn known(&mut self, member: &MemberId) -> Result<Option<Member>, StoreError> {
        let lookup = self.member_lookup(member);
        Ok(self.member(&lookup)?.map(|state| state.member))
    }

    pub(super) fn put_events(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let mut order: Vec<Lookup> = Vec::new();
        let mut states: HashMap<Lookup, Option<MemberState>> = HashMap::new();
        for event in events {
            let lookup = self.member_lookup(&event.member());
            let before = match states.remove(&lookup) {
                Some(state) => state,
                None => {
                    order.push(lookup);
                    match event {
                        Event::Add { .. } => None,
                        _ => self.member(&lookup)?,
                    }
                }
            };
            states.insert(lookup, MemberState::after(before, event.clone()));
        }
        for chunk in order.chunks(ROWS) {
            let mut rows = Vec::with_capacity(ROWS);
            for lookup in chunk {
                let Some(Some(state)) = states.remove(lookup) else {
                    continue;
                };
                rows.push(MemberRow {
                    lookup: lookup.to_vec(),
                    triangle: self.triangle_lookup(&state.triangle).to_vec(),
                    live: state.member.tombstone.is_none(),
                    sealed: self.seal(lookup, state.encode()?)?,
                });
            }
            if rows.is_empty() {
                continue;
            }
            diesel::insert_into(members::table)
                .values(&rows)
                .on_conflict(members::lookup)
                .do_update()
                .set((
                    members::triangle.eq(excluded(members::triangle)),
                    members::live.eq(excluded(members::live)),
                    members::sealed.eq(excluded(members::sealed)),
                ))
                .execute(&mut self.connection)
                .map_err(sql("writing members to"))?;
        }
        Ok(())
    }

    /// What a member is.
    pub(crate) fn state(&mut self, id: &MemberId) -> Result<Option<MemberState>, StoreError> {
        let lookup = self.member_lookup(id);
        self.member(&lookup)
    }

    fn member(&mut self, lookup: &Lookup) -> Result<Option<MemberState>, StoreError> {
        let sealed: Option<Vec<u8>> = members::table
            .filter(members::lookup.eq(&lookup[..]))
            .select(members::sealed)
            .get_result(&mut self.connection)
            .optional()
            .map_err(sql("looking up a member in"))?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let mut buffer = Vec::new();
        let plaintext = Self::unseal(&self.cipher, lookup, &sealed, &mut buffer)?;
        decode_member(plaintext, LogicalFolder::from_stored).map(Some)
    }

    /// Hands out the members of a triangle one by one, without holding them all.
    pub(crate) fn each_member(
        &mut self,
        triangle: &str,
        mut each: impl FnMut(Member),
    ) -> Result<(), StoreError> {
        let triangle = self.triangle_lookup(triangle);
        let rows = members::table
            .filter(members::triangle.eq(&triangle[..]))
            .order(members::id)
            .select((members::lookup, members::sealed))
            .load_iter::<(Vec<u8>, Vec<u8>), DefaultLoadingMode>(&mut self.connection)
            .map_err(sql("reading the members from"))?;
        let mut buffer = Vec::new();
        let mut folders: HashMap<Box<str>, LogicalFolder> = HashMap::new();
        for row in rows {
            let (lookup, sealed) = row.map_err(sql("reading the members from"))?;
            let plaintext = Self::unseal(&self.cipher, &lookup, &sealed, &mut buffer)?;
            let state = decode_member(plaintext, |form| match folders.get(form) {
                Some(folder) => folder.clone(),
                None => {
                    let folder = LogicalFolder::from_stored(form);
                    folders.insert(form.into(), folder.clone());
                    folder
                }
            })?;
            each(state.member);
        }
        Ok(())
    }

    /// Which of these contents a live member of any triangle has.
    pub(crate) fn needed(
        &mut self,
        contents: &BTreeSet<ContentId>,
    ) -> Result<BTreeSet<ContentId>, StoreError> {
        let mut needed = BTreeSet::new();
        if contents.is_empty() {
            return Ok(needed);
        }
        let rows = members::table
            .filter(members::live.eq(true))
            .select((members::lookup, members::sealed))
            .load_iter::<(Vec<u8>, Vec<u8>), DefaultLoadingMode>(&mut self.connection)
            .map_err(sql("reading the members from"))?;
        let mut buffer = Vec::new();
        for row in rows {
            let (lookup, sealed) = row.map_err(sql("reading the members from"))?;
            let plaintext = Self::unseal(&self.cipher, &lookup, &sealed, &mut buffer)?;
            let member = decode_member(plaintext, LogicalFolder::from_stored)?.member;
            if contents.contains(&member.content) {
                needed.insert(member.content);
            }
        }
        Ok(needed)
    }

    /// Members of all triangles after a row, to write them anew; and the last row.
    pub(crate) fn members_after(
        &mut self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, MemberState)>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, Vec<u8>)> = members::table
            .filter(members::id.gt(after))
            .order(members::id)
            .limit(limit)
            .select((members::id, members::lookup, members::sealed))
            .load(&mut self.connection)
            .map_err(sql("reading the members from"))?;
        let mut buffer = Vec::new();
        rows.iter()
            .map(|(id, lookup, sealed)| {
                let plaintext = Self::unseal(&self.cipher, lookup, sealed, &mut buffer)?;
                Ok((*id, decode_member(plaintext, LogicalFolder::from_stored)?))
            })
            .collect()
    }
}

fn decode_member(
    plaintext: &[u8],
    folder: impl FnMut(&str) -> LogicalFolder,
) -> Result<MemberState, StoreError> {
    MemberState::decode(plaintext, folder).ok_or(StoreError::IndexDamaged {
        detail: "a row holds no member",
    })
}
