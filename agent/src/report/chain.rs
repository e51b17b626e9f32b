//! The certificates of this site, each triangle's a chain: signed, numbered, and durable before anything else is
//! said of them. One file each, `certificates/<triangle>/<number>.json` in the data folder, for people and for `verify`;
//! beside them the agent's public keys, `agent.pub`, and the server's, `server.pub`.
//!
//! Nothing is ever removed here. A chain whose last file cannot be read is not gone on with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use maildreieck_api_spec::certificate::{
    Certificate, Countersignature, hash_of, key_text, read_key,
};

use crate::files::{private_folder, write_private};
use crate::plan::identity::LastCertificate;

/// Digits of a number in a file's name, so that names sort as numbers do.
const DIGITS: usize = 9;

/// Why the chain cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A file or folder.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The last certificate cannot be understood.
    #[error(
        "the certificate {path} is damaged ({detail}), and the next one must follow it: put back a copy of it, or move it away: the next one follows it all the same, and whoever verifies the chain misses it"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Canonical JSON.
    #[error("a certificate cannot be signed: {0}")]
    Json(#[from] serde_json::Error),
}

/// The chains of a data folder.
#[derive(Debug, Clone)]
pub struct Chain {
    dir: PathBuf,
}

impl Chain {
    /// Those of this data folder; nothing is made yet.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("certificates"),
        }
    }

    /// Gives a certificate its place behind the last one of its triangle, signs it, and keeps it. `known` is the last one
    /// that the ledger knows of: where its file is gone, the next one follows it nevertheless. What the ledger is to know.
    ///
    /// # Errors
    /// The last one is damaged, or a file cannot be read or written: then nothing was kept.
    pub fn add(
        &self,
        certificate: &mut Certificate,
        key: &SigningKey,
        known: Option<LastCertificate>,
    ) -> Result<LastCertificate, ChainError> {
        let folder = self.folder(&certificate.triangle);
        private_folder(&folder).map_err(failed("making the folder", &folder))?;
        self.keep_key("agent.pub", &key.verifying_key())?;
        let there = last(&folder)?;
        let kept = there.as_ref().map_or(0, |(number, _)| *number);
        let lost = known.clone().filter(|known| known.sequence > kept);
        (certificate.sequence, certificate.previous) = match (there, lost) {
            (_, Some(lost)) => {
                tracing::warn!(
                    triangle = certificate.triangle,
                    last_kept = kept,
                    last_made = lost.sequence,
                    folder = %folder.display(),
                    "certificates are gone from their folder: put back a copy of them; the next one follows the last that was made"
                );
                (lost.sequence.saturating_add(1), Some(lost.sha256))
            }
            (None, None) => (1, None),
            (Some((number, path)), None) => {
                let before = read(&path)?;
                if before.sequence != number {
                    let detail = format!("it says number {}", before.sequence);
                    return Err(ChainError::Damaged { path, detail });
                }
                let hash = hash_of(&before)?;
                let other =
                    |known: &LastCertificate| known.sequence == number && known.sha256 != hash;
                if known.as_ref().is_some_and(other) {
                    let detail = "it is not the one that was made".to_owned();
                    return Err(ChainError::Damaged { path, detail });
                }
                (number.saturating_add(1), Some(hash))
            }
        };
        certificate.sign(key)?;
        write(&path_of(&folder, certificate.sequence), certificate)?;
        Ok(LastCertificate {
            sequence: certificate.sequence,
            sha256: hash_of(certificate)?,
        })
    }

    /// Puts what the server said beside the certificate that it is of. Whether there is such a one.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn countersign(
        &self,
        certificate: &Certificate,
        said: &Countersignature,
    ) -> Result<bool, ChainError> {
        let path = path_of(&self.folder(&certificate.triangle), certificate.sequence);
        let mut kept = match fs::exists(&path) {
            Ok(true) => read(&path)?,
            Ok(false) => return Ok(false),
            Err(error) => return Err(failed("looking at", &path)(error)),
        };
        if hash_of(&kept)? != said.certificate_sha256 {
            return Ok(false);
        }
        kept.countersignature = Some(said.clone());
        write(&path, &kept)?;
        if let Some(key) = read_key(&said.server_key) {
            self.keep_key("server.pub", &key)?;
        }
        Ok(true)
    }

    /// Keeps a public key beside those that were used before.
    fn keep_key(&self, name: &str, key: &VerifyingKey) -> Result<(), ChainError> {
        let path = self.dir.join(name);
        let pem = key.to_public_key_pem(LineEnding::LF);
        let pem = pem.map_err(|e| failed("writing", &path)(io::Error::other(e.to_string())))?;
        let mut known = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed("reading", &path)(error)),
        };
        if known.contains(pem.trim()) {
            return Ok(());
        }
        known.push_str(&pem);
        write_private(&path, known.as_bytes()).map_err(failed("writing", &path))
    }

    /// Names that a file system may not take, or that lead elsewhere, are said in hex.
    fn folder(&self, triangle: &str) -> PathBuf {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if (1..=64).contains(&triangle.len()) && triangle.bytes().all(plain) {
            self.dir.join(triangle)
        } else {
            let hash = blake3::hash(triangle.as_bytes()).to_hex();
            let short = hash.as_str().get(..32).unwrap_or_default();
            self.dir.join(format!("={short}"))
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ChainError {
    let path = path.to_owned();
    move |source| ChainError::Io {
        action,
        path,
        source,
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:0DIGITS$}.json"))
}

/// The highest number in a folder.
fn last(folder: &Path) -> Result<Option<(u64, PathBuf)>, ChainError> {
    let mut last: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(folder).map_err(failed("listing", folder))? {
        let path = entry.map_err(failed("listing", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".json")?.parse().ok());
        if let Some(number) = number
            && last.as_ref().is_none_or(|(highest, _)| number > *highest)
        {
            last = Some((number, path));
        }
    }
    Ok(last)
}

fn read(path: &Path) -> Result<Certificate, ChainError> {
    let octets = fs::read(path).map_err(failed("reading", path))?;
    serde_json::from_slice(&octets).map_err(|error| ChainError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}

fn write(path: &Path, certificate: &Certificate) -> Result<(), ChainError> {
    let mut octets = serde_json::to_vec_pretty(certificate)?;
    octets.push(b'\n');
    write_private(path, &octets).map_err(failed("writing", path))
}

/// The public keys in a file: PEM blocks as `agent.pub` has them, or lines of base64url as certificates say them.
/// `None` where something in it is no key, or nothing is in it.
#[must_use]
pub fn read_keys(text: &str) -> Option<Vec<VerifyingKey>> {
    use ed25519_dalek::pkcs8::DecodePublicKey as _;
    let mut keys = Vec::new();
    if text.contains("-----BEGIN") {
        const END: &str = "-----END PUBLIC KEY-----";
        for block in text.split_inclusive(END) {
            if let Some(at) = block.find("-----BEGIN") {
                let key = VerifyingKey::from_public_key_pem(block.get(at..)?).ok()?;
                keys.push(read_key(&key_text(&key))?);
            }
        }
    } else {
        for line in text.split_whitespace() {
            keys.push(read_key(line)?);
        }
    }
    Some(keys).filter(|keys| !keys.is_empty())
}
