//! The index: where each content lies and what each member is, in SQLite, as a cache over the segments.
//!
//! Rows are found by keyed hashes, and what they say is sealed, so that the file tells a thief no more than
//! the segments do: how many messages, how large, how old. Nothing in it is truth: it is made anew from
//! the segments whenever it is missing, damaged or another store's. Therefore `synchronous = NORMAL` is
//! enough: after a power cut the last transactions may be gone, and opening replays the segments' frames
//! that the index lacks.

mod contents;
mod file;
mod members;
mod segments;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

pub(super) use self::contents::{NewContent, Place};
pub(super) use self::file::{files, finish};
pub(super) use self::segments::{Salt, SegmentRow};
use super::error::{self, StoreError, sql};
use super::event::Event;
use super::key::{Nonces, StoreKey, cipher, first_16, random};
use super::{ContentId, MemberId};

/// Rows written with one statement.
const ROWS: usize = 64;
const NONCE: usize = 12;

diesel::table! {
    identity (id) {
        id -> Integer,
        store_id -> Binary,
        key_check -> Binary,
        salt -> Binary,
    }
}

/// The keyed hash that a row is found by.
pub(super) type Lookup = [u8; 16];

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
    /// The store's folder, to name it.
    dir: PathBuf,
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
        let Ok(mut connection) = file::connect(path) else {
            return Ok(Err(Unusable::Damaged));
        };
        let pragmas = if writable {
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             PRAGMA cache_size = -1000;"
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
                true => file::migrate(&mut connection, path),
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
        Self::with(connection, path, key, id, &salt).map(Ok)
    }

    /// Whether an older version of the program made it.
    pub(super) fn is_older(&mut self) -> bool {
        file::is_older(&mut self.connection)
    }

    /// Makes an empty index. It is not yet safe against crashes: [`finish`] makes it so.
    pub(super) fn create(
        path: &Path,
        key: &StoreKey,
        store_id: [u8; 16],
    ) -> Result<Self, StoreError> {
        file::remove(path)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(error::io("making", path))?;
        let mut connection = file::connect(path)?;
        connection
            .batch_execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            .map_err(sql("setting up"))?;
        file::migrate(&mut connection, path)?;
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
        Self::with(connection, path, key, store_id, &salt)
    }

    fn with(
        connection: SqliteConnection,
        path: &Path,
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
            dir: path.parent().map(Path::to_owned).unwrap_or_default(),
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
            index.put_placeholders(new, events)?;
            index.put_events(events)?;
            index.write_segment(segment)
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
        done.and_then(|value| ended.map(|()| value))
            .map_err(|error| error.in_folder(&self.dir))
    }
}

fn to_lookup(octets: &[u8]) -> Result<Lookup, StoreError> {
    octets.try_into().map_err(|_| StoreError::IndexDamaged {
        detail: "a row's key has another length",
    })
}
