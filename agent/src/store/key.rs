//! The store's key: 32 random octets in a file outside the data folder, and what is derived from them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::error::{StoreError, io};

const FIRST_LINE: &str = "maildreieck store key 1";
const LARGEST_FILE: u64 = 4096;

/// The key of a store. It is wiped when dropped, and `Debug` shows nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct StoreKey([u8; 32]);

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

impl StoreKey {
    /// The key of these octets.
    #[must_use]
    pub fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Reads a key file: the line `maildreieck store key 1`, then 64 hexadecimal digits; blank lines and
    /// lines that begin with `#` do not count.
    ///
    /// # Errors
    /// When it is missing, malformed, or readable by group or others.
    pub fn load(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(io("reading the store key", path))?;
        let mode = file
            .metadata()
            .map_err(io("reading the store key", path))?
            .permissions()
            .mode()
            & 0o777;
        if mode & exposing(path) != 0 {
            return Err(StoreError::KeyExposed {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        let read = file.take(LARGEST_FILE).read_to_string(&mut text);
        let key = match read {
            Ok(_) => parse(&text),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err("it is not text"),
            Err(e) => {
                text.zeroize();
                return Err(io("reading the store key", path)(e));
            }
        };
        text.zeroize();
        key.map_err(|detail| StoreError::KeyMalformed {
            path: path.to_owned(),
            detail,
        })
    }

    /// Reads the key file, or makes one with a new random key where there is none. An existing file is
    /// never replaced.
    ///
    /// # Errors
    /// As [`Self::load`], and when the file cannot be written.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        match fs::symlink_metadata(path) {
            Ok(_) => Self::load(path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => match Self::create(path)? {
                Some(key) => Ok(key),
                // Another process made one meanwhile.
                None => Self::load(path),
            },
            Err(e) => Err(io("reading the store key", path)(e)),
        }
    }

    /// The key for the store in `dir`: read, or made where neither a key nor a store exists yet. A key
    /// that is missing beside an existing store is an error, because a new one would not help.
    ///
    /// # Errors
    /// As [`Self::load_or_create`], and [`StoreError::KeyLost`].
    pub fn for_store(path: &Path, dir: &Path) -> Result<Self, StoreError> {
        // In this order: a store that another process begins at this moment comes after its key.
        match Self::of_store(path, dir) {
            Err(StoreError::NoStore { .. }) => Self::load_or_create(path),
            key => key,
        }
    }

    /// The key of the store that is in `dir`. Makes nothing.
    ///
    /// # Errors
    /// As [`Self::load`], [`StoreError::NoStore`] and [`StoreError::KeyLost`].
    pub fn of_store(path: &Path, dir: &Path) -> Result<Self, StoreError> {
        super::recover::expect_store(dir)?;
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::KeyLost {
                path: path.to_owned(),
                dir: dir.to_owned(),
            }),
            _ => Self::load(path),
        }
    }

    /// Makes a key file with a new random key; `None` where there is one by now.
    fn create(path: &Path) -> Result<Option<Self>, StoreError> {
        let action = "writing the store key";
        let mut key = Self([0; 32]);
        random(&mut key.0)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        let mut unique = [0; 8];
        random(&mut unique)?;
        name.push(format!(".{}.tmp", hex::encode(unique)));
        let temporary = folder.join(name);
        let mut digits = hex::encode(key.0);
        let mut text = format!(
            "{FIRST_LINE}\n# Without this key the store cannot be read. Keep a copy of this file elsewhere.\n{digits}\n"
        );
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // A link fails where the name is taken by now, a rename would replace a key.
            fs::hard_link(&temporary, path).or_else(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => Err(e),
                // Not every file system has links.
                _ if path.exists() => Err(io::ErrorKind::AlreadyExists.into()),
                _ => fs::rename(&temporary, path),
            })
        })();
        digits.zeroize();
        text.zeroize();
        let _ = fs::remove_file(&temporary);
        match written {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            written => written.map_err(io(action, path))?,
        }
        sync_folder(&folder)?;
        Ok(Some(key))
    }

    /// A key for keyed hashes in reports, so that the server cannot recognise a known mail.
    #[must_use]
    pub fn report_key(&self) -> [u8; 32] {
        self.derive("maildreieck 2026 report", &[])
    }

    /// BLAKE3 in its derive-key mode over the key and then the parts.
    pub(super) fn derive(&self, context: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// What a header holds so that a wrong key is known as one.
    pub(super) fn check_value(&self, store_id: &[u8; 16]) -> [u8; 16] {
        first_16(&self.derive("maildreieck 2026 store key check", &[store_id]))
    }

    /// The cipher of one segment.
    pub(super) fn segment_cipher(
        &self,
        store_id: &[u8; 16],
        salt: &[u8; 32],
    ) -> Result<LessSafeKey, StoreError> {
        cipher(self.derive("maildreieck 2026 store segment", &[store_id, salt]))
    }
}

/// The permissions that expose a key file. A credential of systemd shows its access list's mask where a group's
/// permission would be: the list names the service's user, and the folder is his alone (systemd.exec(5)).
fn exposing(path: &Path) -> u32 {
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|folder| path.parent() == Some(Path::new(&folder)));
    if handed_over { 0o037 } else { 0o077 }
}

/// AES-256-GCM under these octets, which are wiped.
pub(super) fn cipher(mut octets: [u8; 32]) -> Result<LessSafeKey, StoreError> {
    let key = UnboundKey::new(&AES_256_GCM, &octets).map_err(|_| StoreError::Codec {
        action: "setting up encryption",
    });
    octets.zeroize();
    Ok(LessSafeKey::new(key?))
}

/// The first half of 32 octets.
pub(super) fn first_16(octets: &[u8; 32]) -> [u8; 16] {
    octets.first_chunk().copied().unwrap_or_default()
}

/// Fills with random octets of the system.
pub(super) fn random(octets: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(octets).map_err(|_| StoreError::Codec {
        action: "getting random octets",
    })
}

/// Random nonces, fetched from the system many at a time.
pub(super) struct Nonces {
    octets: [u8; 12 * 64],
    used: usize,
}

impl Nonces {
    pub(super) fn new() -> Self {
        Self {
            octets: [0; 12 * 64],
            used: 64,
        }
    }

    /// The next nonce; none is given twice.
    pub(super) fn next(&mut self) -> Result<[u8; 12], StoreError> {
        if self.used >= 64 {
            random(&mut self.octets)?;
            self.used = 0;
        }
        let (nonces, _) = self.octets.as_chunks::<12>();
        let nonce = nonces.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        Ok(nonce)
    }
}

/// Makes names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    crate::files::sync_folder(folder).map_err(io("making durable", folder))
}

fn parse(text: &str) -> Result<StoreKey, &'static str> {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    if lines.next() != Some(FIRST_LINE) {
        return Err("its first line is not `maildreieck store key 1`");
    }
    let digits = lines.next().ok_or("the line with the key is missing")?;
    let mut key = StoreKey([0; 32]);
    hex::decode_to_slice(digits, &mut key.0).map_err(|_| "the key is not 64 hexadecimal digits")?;
    match lines.next() {
        None => Ok(key),
        Some(_) => Err("there is more than one key in it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_file_is_private_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        let made = StoreKey::load_or_create(&path).unwrap();
        let read = StoreKey::load_or_create(&path).unwrap();
        assert_eq!(made.0, read.0);
        assert_ne!(made.0, [0; 32]);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(format!("{made:?}"), "StoreKey");
    }

    #[test]
    fn who_comes_second_takes_the_key_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        let store = dir.path().join("store");
        let start = std::sync::Barrier::new(8);
        let keys: Vec<StoreKey> = std::thread::scope(|scope| {
            let begun: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        StoreKey::for_store(&path, &store).unwrap()
                    })
                })
                .collect();
            begun.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.0 == keys[0].0));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(StoreKey::create(&path).unwrap().is_none());
    }

    #[test]
    fn no_nonce_comes_twice() {
        let mut nonces = Nonces::new();
        let drawn: std::collections::HashSet<_> =
            (0..1000).map(|_| nonces.next().unwrap()).collect();
        assert_eq!(drawn.len(), 1000);
        assert!(!drawn.contains(&[0; 12]));
    }

    #[test]
    fn an_exposed_or_malformed_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.key");
        let check = |text: &str, mode: u32, expected: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = StoreKey::load_or_create(&path).unwrap_err();
            assert!(error.concerns_key());
            assert!(error.to_string().contains(expected), "{error}");
        };
        let digits = "ab".repeat(32);
        let good = format!("{FIRST_LINE}\n\n# kept by the owner\n{digits}\n");
        check(&good, 0o640, "chmod 600");
        check(&good, 0o604, "chmod 600");
        check("", 0o600, "first line");
        check(FIRST_LINE, 0o600, "missing");
        check(
            &format!("{FIRST_LINE}\n{digits}0\n"),
            0o600,
            "64 hexadecimal",
        );
        check(&format!("{good}{digits}\n"), 0o600, "more than one");
        fs::write(&path, &good).unwrap();
        assert_eq!(StoreKey::load(&path).unwrap().0, [0xab; 32]);
    }
}
