//! The index: where each content lies and what each member is, in SQLite, as a cache over the segments.
//!
//! Rows are found by keyed hashes, and what they say is sealed, so that the file tells a thief no more than
//! the segments do: how many messages, how large, how old. Nothing in it is truth: it is made anew from
//! the segments whenever it is missing, damaged or another store's. Therefore `synchronous = NORMAL` is
//! enough: after a power cut the last transactions may be gone, and opening replays the segments' frames
//! that the index lacks.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::prelude::*;
use diesel::upsert::excluded;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::error::{self, StoreError, sql};
use super::event::{Event, Member, MemberState};
use super::key::{Nonces, StoreKey, cipher, first_16, random};
use super::segment::{Stat, signed, unsigned};
use super::{ContentId, LogicalFolder, MemberId};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/agent/store");
/// Rows written with one statement.
const ROWS: usize = 64;
const NONCE: usize = 12;
/// `verified_at` of a content that was not read back since it was written.
const NEVER: i64 = 0;
/// `verified_at` of a content that cannot be read.
const DAMAGED: i64 = -1;

diesel::table! {
    identity (id) {
        id -> Integer,
        store_id -> Binary,
        key_check -> Binary,
        salt -> Binary,
    }
}

diesel::table! {
    segments (number) {
        number -> BigInt,
        covered -> BigInt,
        size -> BigInt,
        mtime_ns -> BigInt,
        inode -> BigInt,
        healed -> Bool,
        salt -> Nullable<Binary>,
    }
}

diesel::table! {
    contents (lookup) {
        lookup -> Binary,
        segment -> BigInt,
        position -> BigInt,
        sealed_len -> BigInt,
        raw_len -> BigInt,
        verified_at -> BigInt,
        sealed -> Binary,
    }
}

diesel::table! {
    members (id) {
        id -> BigInt,
        lookup -> Binary,
        triangle -> Binary,
        live -> Bool,
        sealed -> Binary,
    }
}

/// The keyed hash that a row is found by.
pub(super) type Lookup = [u8; 16];

/// The salt of a segment's header.
pub(super) type Salt = [u8; 32];

/// Where a content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// 0 for a content that a member names and no segment has.
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) sealed_len: u64,
    pub(super) raw_len: u64,
    pub(super) damaged: bool,
}

/// A content that was put.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewContent {
    pub(super) id: ContentId,
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) sealed_len: u64,
    pub(super) raw_len: u64,
}

/// What the index knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRow {
    pub(super) number: u32,
    /// The end of the last frame that the index holds.
    pub(super) covered: u64,
    /// What the file was after our last write.
    pub(super) stat: Stat,
    /// Its membership has been written anew behind it and is not needed any more.
    pub(super) healed: bool,
    /// The salt of its header, so that a damaged one can be written back; `None` from an older version.
    pub(super) salt: Option<Salt>,
}

/// A content whose proof is due.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) lookup: Lookup,
    pub(super) place: Place,
    sealed: Vec<u8>,
}

/// Figures of the whole.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) contents: u64,
    pub(super) damaged: u64,
    pub(super) raw_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) live: u64,
    pub(super) tombstones: u64,
}

#[derive(Insertable)]
#[diesel(table_name = contents, treat_none_as_default_value = false)]
struct ContentRow {
    lookup: Vec<u8>,
    segment: i64,
    position: i64,
    sealed_len: i64,
    raw_len: i64,
    verified_at: i64,
    sealed: Vec<u8>,
}

#[derive(Insertable)]
#[diesel(table_name = members, treat_none_as_default_value = false)]
struct MemberRow {
    lookup: Vec<u8>,
    triangle: Vec<u8>,
    live: bool,
    sealed: Vec<u8>,
}

/// Why an index file is of no use.
pub(super) enum Unusable {
    Absent,
    Damaged,
    OtherStore,
}

/// The index.
pub(super) struct Index {
    connection: SqliteConnection,
    cipher: LessSafeKey,
    hash_key: [u8; 32],
    nonces: Nonces,
    /// A read transaction is open, so that many look-ups cost one lock.
    reading: bool,
    pub(super) store_id: [u8; 16],
}

impl Drop for Index {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.hash_key);
    }
}

impl Index {
    /// Opens an index; the inner error says why it has to be made anew.
    pub(super) fn open(
        path: &Path,
        key: &StoreKey,
        store_id: Option<[u8; 16]>,
        writable: bool,
    ) -> Result<Result<Self, Unusable>, StoreError> {
        match std::fs::metadata(path) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Err(Unusable::Absent)),
            Err(e) => return Err(error::io("looking at", path)(e)),
        }
        let Ok(mut connection) = connect(path) else {
            return Ok(Err(Unusable::Damaged));
        };
        let pragmas = if writable {
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        } else {
            "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON;"
        };
        let set_up = connection
            .batch_execute(pragmas)
            .map_err(|e| StoreError::IndexOpen {
                path: path.to_owned(),
                detail: e.to_string(),
            })
            .and_then(|()| match writable {
                true => migrate(&mut connection, path),
                false => Ok(()),
            });
        match set_up {
            Ok(()) => {}
            Err(error) if error.of_circumstances() => return Err(error),
            Err(_) => return Ok(Err(Unusable::Damaged)),
        }
        let row = identity::table
            .select((identity::store_id, identity::key_check, identity::salt))
            .first::<(Vec<u8>, Vec<u8>, Vec<u8>)>(&mut connection)
            .optional();
        let Ok(Some((id, check, salt))) = row else {
            return Ok(Err(Unusable::Damaged));
        };
        let (Ok(id), Ok(salt)) = (
            <[u8; 16]>::try_from(id.as_slice()),
            <[u8; 32]>::try_from(salt.as_slice()),
        ) else {
            return Ok(Err(Unusable::Damaged));
        };
        if store_id.is_some_and(|expected| expected != id) {
            return Ok(Err(Unusable::OtherStore));
        }
        if check != key.check_value(&id) {
            // With a segment's header at hand the key is known to be right, and the row is wrong.
            if store_id.is_some() {
                return Ok(Err(Unusable::Damaged));
            }
            return Err(StoreError::WrongKey {
                path: path.to_owned(),
            });
        }
        Self::with(connection, key, id, &salt).map(Ok)
    }

    /// Makes an empty index. It is not yet safe against crashes: [`finish`] makes it so.
    pub(super) fn create(
        path: &Path,
        key: &StoreKey,
        store_id: [u8; 16],
    ) -> Result<Self, StoreError> {
        remove(path)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(error::io("making", path))?;
        let mut connection = connect(path)?;
        connection
            .batch_execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            .map_err(sql("setting up"))?;
        migrate(&mut connection, path)?;
        let mut salt = [0; 32];
        random(&mut salt)?;
        diesel::insert_into(identity::table)
            .values((
                identity::id.eq(1),
                identity::store_id.eq(store_id.to_vec()),
                identity::key_check.eq(key.check_value(&store_id).to_vec()),
                identity::salt.eq(salt.to_vec()),
            ))
            .execute(&mut connection)
            .map_err(sql("setting up"))?;
        Self::with(connection, key, store_id, &salt)
    }

    fn with(
        connection: SqliteConnection,
        key: &StoreKey,
        store_id: [u8; 16],
        salt: &[u8; 32],
    ) -> Result<Self, StoreError> {
        Ok(Self {
            connection,
            cipher: cipher(key.derive("maildreieck 2026 store index", &[&store_id, salt]))?,
            hash_key: key.derive("maildreieck 2026 store index lookup", &[&store_id, salt]),
            nonces: Nonces::new(),
            reading: false,
            store_id,
        })
    }

    pub(super) fn content_lookup(&self, id: &ContentId) -> Lookup {
        self.lookup(b"c", &id.0)
    }

    fn member_lookup(&self, id: &MemberId) -> Lookup {
        self.lookup(b"m", &id.0)
    }

    fn triangle_lookup(&self, name: &str) -> Lookup {
        self.lookup(b"t", name.as_bytes())
    }

    fn lookup(&self, kind: &[u8; 1], octets: &[u8]) -> Lookup {
        let mut hasher = blake3::Hasher::new_keyed(&self.hash_key);
        hasher.update(kind).update(octets);
        first_16(hasher.finalize().as_bytes())
    }

    /// Nonce, ciphertext, tag; bound to the row's lookup.
    fn seal(&mut self, lookup: &Lookup, mut plaintext: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let nonce = self.nonces.next()?;
        let tag = self
            .cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(lookup),
                &mut plaintext,
            )
            .map_err(|_| StoreError::Codec {
                action: "encrypting a row of the index",
            })?;
        let mut out = Vec::with_capacity(NONCE + plaintext.len() + 16);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&plaintext);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Opens a row, with `buffer` for its plaintext.
    fn unseal<'a>(
        cipher: &LessSafeKey,
        lookup: &[u8],
        sealed: &[u8],
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], StoreError> {
        let damaged = StoreError::IndexDamaged {
            detail: "a row does not authenticate",
        };
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE>() else {
            return Err(damaged);
        };
        buffer.clear();
        buffer.extend_from_slice(rest);
        match cipher.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(lookup),
            buffer,
        ) {
            Ok(plaintext) => Ok(plaintext),
            Err(_) => Err(damaged),
        }
    }

    fn unseal_content(&self, lookup: &[u8], sealed: &[u8]) -> Result<ContentId, StoreError> {
        let mut buffer = Vec::new();
        let plaintext = Self::unseal(&self.cipher, lookup, sealed, &mut buffer)?;
        ContentId::from_slice(plaintext).ok_or(StoreError::IndexDamaged {
            detail: "a row holds no content id",
        })
    }

    pub(super) fn due_id(&self, due: &Due) -> Result<ContentId, StoreError> {
        self.unseal_content(&due.lookup, &due.sealed)
    }

    /// Where a content lies.
    pub(super) fn place(&mut self, id: &ContentId) -> Result<Option<Place>, StoreError> {
        let lookup = self.content_lookup(id);
        let row: Option<(i64, i64, i64, i64, i64)> = contents::table
            .find(&lookup[..])
            .select((
                contents::segment,
                contents::position,
                contents::sealed_len,
                contents::raw_len,
                contents::verified_at,
            ))
            .first(&mut self.connection)
            .optional()
            .map_err(sql("looking up a content in"))?;
        Ok(row.map(place))
    }

    /// Keeps what is read the same until the next write, which costs less than a lock for each look-up.
    pub(super) fn hold(&mut self) -> Result<(), StoreError> {
        if !self.reading {
            self.connection
                .batch_execute("BEGIN")
                .map_err(sql("reading"))?;
            self.reading = true;
        }
        Ok(())
    }

    /// Ends what [`Self::hold`] began.
    pub(super) fn release(&mut self) -> Result<(), StoreError> {
        if self.reading {
            self.connection
                .batch_execute("COMMIT")
                .map_err(sql("reading"))?;
            self.reading = false;
        }
        Ok(())
    }

    /// Takes over what a commit wrote, in one transaction.
    pub(super) fn apply(
        &mut self,
        new: &[NewContent],
        events: &[Event],
        segment: SegmentRow,
    ) -> Result<(), StoreError> {
        self.transaction("writing to", |index| {
            index.put_contents(new)?;
            index.put_events(events)?;
            index.put_segment(segment)
        })
    }

    fn transaction<T>(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.release()?;
        self.connection
            .batch_execute("BEGIN IMMEDIATE")
            .map_err(sql(action))?;
        let done = work(self);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.connection.batch_execute(end).map_err(sql(action));
        if done.is_ok() && ended.is_err() {
            let _ = self.connection.batch_execute("ROLLBACK");
        }
        let value = done?;
        ended.map(|()| value)
    }

    fn content_row(
        &mut self,
        new: &NewContent,
        verified_at: i64,
    ) -> Result<ContentRow, StoreError> {
        let lookup = self.content_lookup(&new.id);
        Ok(ContentRow {
            lookup: lookup.to_vec(),
            segment: i64::from(new.segment),
            position: signed(new.offset),
            sealed_len: signed(new.sealed_len),
            raw_len: signed(new.raw_len),
            verified_at,
            sealed: self.seal(&lookup, new.id.0.to_vec())?,
        })
    }

    fn put_contents(&mut self, new: &[NewContent]) -> Result<(), StoreError> {
        for chunk in new.chunks(ROWS) {
            let rows = chunk
                .iter()
                .map(|new| self.content_row(new, NEVER))
                .collect::<Result<Vec<_>, _>>()?;
            diesel::replace_into(contents::table)
                .values(&rows)
                .execute(&mut self.connection)
                .map_err(sql("writing contents to"))?;
        }
        Ok(())
    }

    /// Members may name contents that no segment has (any more): each gets a row that says so.
    fn put_placeholders(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let mut named: HashMap<Lookup, (ContentId, u32)> = HashMap::new();
        for event in events {
            if let Event::Add { content, size, .. } = event {
                named.insert(self.content_lookup(content), (*content, *size));
            }
        }
        let lookups: Vec<Lookup> = named.keys().copied().collect();
        for chunk in lookups.chunks(256) {
            let known: Vec<Vec<u8>> = contents::table
                .filter(contents::lookup.eq_any(chunk.iter().map(|lookup| &lookup[..])))
                .select(contents::lookup)
                .load(&mut self.connection)
                .map_err(sql("looking up contents in"))?;
            for lookup in known {
                if let Ok(lookup) = Lookup::try_from(lookup.as_slice()) {
                    named.remove(&lookup);
                }
            }
        }
        for (id, size) in named.into_values() {
            let row = self.content_row(
                &NewContent {
                    id,
                    segment: 0,
                    offset: 0,
                    sealed_len: 0,
                    raw_len: u64::from(size),
                },
                DAMAGED,
            )?;
            diesel::insert_into(contents::table)
                .values(&row)
                .execute(&mut self.connection)
                .map_err(sql("writing contents to"))?;
        }
        Ok(())
    }

    fn put_events(&mut self, events: &[Event]) -> Result<(), StoreError> {
        self.put_placeholders(events)?;
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

    fn member(&mut self, lookup: &Lookup) -> Result<Option<MemberState>, StoreError> {
        let sealed: Option<Vec<u8>> = members::table
            .filter(members::lookup.eq(&lookup[..]))
            .select(members::sealed)
            .first(&mut self.connection)
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
    pub(super) fn each_member(
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

    /// Members of all triangles after a row, to write them anew; and the last row.
    pub(super) fn members_after(
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

    /// All segments that the index knows, ascending.
    pub(super) fn segments(&mut self) -> Result<Vec<SegmentRow>, StoreError> {
        type Row = (i64, i64, i64, i64, i64, bool, Option<Vec<u8>>);
        let rows: Vec<Row> = segments::table
            .order(segments::number)
            .load(&mut self.connection)
            .map_err(sql("reading the segments from"))?;
        rows.into_iter()
            .map(|(number, covered, size, mtime_ns, inode, healed, salt)| {
                Ok(SegmentRow {
                    number: u32::try_from(number).map_err(|_| StoreError::IndexDamaged {
                        detail: "a segment's number is none",
                    })?,
                    covered: unsigned(covered),
                    stat: Stat {
                        size,
                        mtime_ns,
                        inode,
                    },
                    healed,
                    salt: salt.and_then(|salt| salt.try_into().ok()),
                })
            })
            .collect()
    }

    /// The salt of a segment's header, where it is known.
    pub(super) fn salt(&mut self, number: u32) -> Result<Option<Salt>, StoreError> {
        let salt: Option<Option<Vec<u8>>> = segments::table
            .find(i64::from(number))
            .select(segments::salt)
            .first(&mut self.connection)
            .optional()
            .map_err(sql("reading the segments from"))?;
        Ok(salt.flatten().and_then(|salt| salt.try_into().ok()))
    }

    /// Forgets a segment.
    pub(super) fn forget_segment(&mut self, number: u32) -> Result<(), StoreError> {
        self.release()?;
        diesel::delete(segments::table.find(i64::from(number)))
            .execute(&mut self.connection)
            .map_err(sql("removing a segment from"))?;
        Ok(())
    }

    /// Whether a content is expected in a segment.
    pub(super) fn refers_to(&mut self, segment: u32) -> Result<bool, StoreError> {
        let one: Option<i64> = contents::table
            .filter(contents::segment.eq(i64::from(segment)))
            .select(contents::segment)
            .first(&mut self.connection)
            .optional()
            .map_err(sql("reading contents from"))?;
        Ok(one.is_some())
    }

    pub(super) fn put_segment(&mut self, row: SegmentRow) -> Result<(), StoreError> {
        self.release()?;
        diesel::replace_into(segments::table)
            .values((
                segments::number.eq(i64::from(row.number)),
                segments::covered.eq(signed(row.covered)),
                segments::size.eq(row.stat.size),
                segments::mtime_ns.eq(row.stat.mtime_ns),
                segments::inode.eq(row.stat.inode),
                segments::healed.eq(row.healed),
                segments::salt.eq(row.salt.map(Vec::from)),
            ))
            .execute(&mut self.connection)
            .map_err(sql("writing a segment to"))?;
        Ok(())
    }

    /// The contents that lie in a segment, by place.
    pub(super) fn contents_in(&mut self, segment: u32) -> Result<Vec<(Lookup, Place)>, StoreError> {
        type Row = (Vec<u8>, (i64, i64, i64, i64, i64));
        let rows: Vec<Row> = contents::table
            .filter(contents::segment.eq(i64::from(segment)))
            .order(contents::position)
            .select((
                contents::lookup,
                (
                    contents::segment,
                    contents::position,
                    contents::sealed_len,
                    contents::raw_len,
                    contents::verified_at,
                ),
            ))
            .load(&mut self.connection)
            .map_err(sql("reading contents from"))?;
        rows.into_iter()
            .map(|(lookup, row)| Ok((to_lookup(&lookup)?, place(row))))
            .collect()
    }

    /// Records the outcome of a proof.
    pub(super) fn mark(
        &mut self,
        good: &[Lookup],
        damaged: &[Lookup],
        now: i64,
    ) -> Result<(), StoreError> {
        self.transaction("recording a proof in", |index| {
            for (lookups, at) in [(good, now.max(1)), (damaged, DAMAGED)] {
                for chunk in lookups.chunks(256) {
                    let rows = contents::table
                        .filter(contents::lookup.eq_any(chunk.iter().map(|lookup| &lookup[..])));
                    diesel::update(rows)
                        .set(contents::verified_at.eq(at))
                        .execute(&mut index.connection)
                        .map_err(sql("recording a proof in"))?;
                }
            }
            Ok(())
        })
    }

    /// The contents that were last proved before a moment, the oldest proof first.
    pub(super) fn due(&mut self, before: i64, limit: i64) -> Result<Vec<Due>, StoreError> {
        type Row = (Vec<u8>, (i64, i64, i64, i64, i64), Vec<u8>);
        let rows: Vec<Row> = contents::table
            .filter(contents::verified_at.ge(NEVER))
            .filter(contents::verified_at.lt(before))
            .order((contents::verified_at, contents::segment, contents::position))
            .limit(limit)
            .select((
                contents::lookup,
                (
                    contents::segment,
                    contents::position,
                    contents::sealed_len,
                    contents::raw_len,
                    contents::verified_at,
                ),
                contents::sealed,
            ))
            .load(&mut self.connection)
            .map_err(sql("reading contents from"))?;
        rows.into_iter()
            .map(|(lookup, row, sealed)| {
                Ok(Due {
                    lookup: to_lookup(&lookup)?,
                    place: place(row),
                    sealed,
                })
            })
            .collect()
    }

    /// The oldest proof of all readable contents; 0 for one that was never proved.
    pub(super) fn oldest_proof(&mut self) -> Result<Option<i64>, StoreError> {
        contents::table
            .filter(contents::verified_at.ge(NEVER))
            .order((contents::verified_at, contents::segment, contents::position))
            .select(contents::verified_at)
            .first(&mut self.connection)
            .optional()
            .map_err(sql("reading contents from"))
    }

    /// The contents that are known to be unreadable.
    pub(super) fn damaged(&mut self) -> Result<Vec<ContentId>, StoreError> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = contents::table
            .filter(contents::verified_at.eq(DAMAGED))
            .select((contents::lookup, contents::sealed))
            .load(&mut self.connection)
            .map_err(sql("reading contents from"))?;
        let mut ids = rows
            .iter()
            .map(|(lookup, sealed)| self.unseal_content(lookup, sealed))
            .collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) fn counts(&mut self) -> Result<Counts, StoreError> {
        use diesel::dsl::{count_star, sql as fragment};
        use diesel::sql_types::BigInt;
        let failed = || sql("counting in");
        let (all, raw, stored): (i64, i64, i64) = contents::table
            .filter(contents::segment.gt(0))
            .select((
                count_star(),
                fragment::<BigInt>("coalesce(sum(raw_len), 0)"),
                fragment::<BigInt>("coalesce(sum(sealed_len + 40), 0)"),
            ))
            .first(&mut self.connection)
            .map_err(failed())?;
        let damaged: i64 = contents::table
            .filter(contents::verified_at.eq(DAMAGED))
            .count()
            .first(&mut self.connection)
            .map_err(failed())?;
        let mut members = |live: bool| -> Result<u64, StoreError> {
            members::table
                .filter(members::live.eq(live))
                .count()
                .first(&mut self.connection)
                .map(unsigned)
                .map_err(failed())
        };
        Ok(Counts {
            live: members(true)?,
            tombstones: members(false)?,
            contents: unsigned(all),
            damaged: unsigned(damaged),
            raw_bytes: unsigned(raw),
            stored_bytes: unsigned(stored),
        })
    }
}

/// Puts a finished index in the place of the old one.
pub(super) fn finish(index: Index, from: &Path, to: &Path) -> Result<(), StoreError> {
    drop(index);
    std::fs::File::open(from)
        .and_then(|file| file.sync_all())
        .map_err(error::io("making durable", from))?;
    // The old log would be applied to the new file. The old file without its log is merely behind.
    for suffix in ["-wal", "-shm", "-journal"] {
        remove_file(&beside(to, suffix))?;
    }
    std::fs::rename(from, to).map_err(error::io("putting in place", to))?;
    to.parent().map_or(Ok(()), super::key::sync_folder)
}

/// Removes an index and SQLite's files beside it.
fn remove(path: &Path) -> Result<(), StoreError> {
    files(path).iter().try_for_each(|path| remove_file(path))
}

/// SQLite's files of an index, the index itself last.
pub(super) fn files(path: &Path) -> [PathBuf; 4] {
    ["-wal", "-shm", "-journal", ""].map(|suffix| beside(path, suffix))
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(error::io("removing", path)(e)),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let failed = |detail: String| StoreError::IndexOpen {
        path: path.to_owned(),
        detail,
    };
    let name = path
        .to_str()
        .ok_or_else(|| failed("the path is not UTF-8".to_owned()))?;
    SqliteConnection::establish(name).map_err(|e| failed(e.to_string()))
}

fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection
        .run_pending_migrations(MIGRATIONS)
        .map(|_| ())
        .map_err(|e| StoreError::IndexOpen {
            path: path.to_owned(),
            detail: e.to_string(),
        })
}

fn place(
    (segment, position, sealed_len, raw_len, verified_at): (i64, i64, i64, i64, i64),
) -> Place {
    Place {
        segment: u32::try_from(segment).unwrap_or_default(),
        offset: unsigned(position),
        sealed_len: unsigned(sealed_len),
        raw_len: unsigned(raw_len),
        damaged: verified_at == DAMAGED,
    }
}

fn to_lookup(octets: &[u8]) -> Result<Lookup, StoreError> {
    octets.try_into().map_err(|_| StoreError::IndexDamaged {
        detail: "a row's key has another length",
    })
}

fn decode_member(
    plaintext: &[u8],
    folder: impl FnMut(&str) -> LogicalFolder,
) -> Result<MemberState, StoreError> {
    MemberState::decode(plaintext, folder).ok_or(StoreError::IndexDamaged {
        detail: "a row holds no member",
    })
}
