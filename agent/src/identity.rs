//! Who this agent is: its keys, which never leave the site, and what the server named it.
//!
//! All of it is one file, `agent.key` in the data folder, so that keys and name cannot come apart. A site that works
//! without a server has keys too, which sign its certificates; they are the ones that it is enrolled with. New keys whose
//! enrolment has not been answered wait in `agent.key.new`: an enrolment that is repeated sends the same
//! ones, and an answer that got lost does no harm.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::EncodingKey;
use maildreieck_api_spec::ids::{AgentId, SiteId, TenantId};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::files::{exposed, write_private};

const FORMAT: &str = "maildreieck agent key 1";

/// Why the agent's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing one of the files failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key file cannot be used.
    #[error("the agent's key {path} {detail}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// A library, or the system's random octets.
    #[error("the agent's key cannot be made or used: {0}")]
    Library(String),
}

/// What the server named this agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The server's address.
    pub server: String,
    /// The file with its certificate authority, where it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The agent.
    pub agent_id: AgentId,
    /// Its site.
    pub site_id: SiteId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// What an assertion names as audience.
    pub audience: String,
    /// The key that the server countersigns with, Ed25519 in base64url, as it said at the enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_key: Option<String>,
}

/// The agent's two key pairs. `Debug` shows the public halves' fingerprints alone.
#[derive(Clone)]
pub struct AgentKeys {
    signing: SigningKey,
    sealing: crypto_box::SecretKey,
}

impl fmt::Debug for AgentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentKeys")
            .field("signing", &self.signing_sha256())
            .field("sealing", &self.sealing_sha256())
            .finish()
    }
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    format: String,
    signing_key: String,
    sealing_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrolment: Option<Enrolment>,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.signing_key.zeroize();
        self.sealing_key.zeroize();
    }
}

impl AgentKeys {
    fn generate() -> Result<Self, IdentityError> {
        let mut seeds = Zeroizing::new([0; 64]);
        getrandom::fill(seeds.as_mut())
            .map_err(|e| IdentityError::Library(format!("no random octets: {e}")))?;
        let (signing, sealing) = seeds.split_at(32);
        let (mut a, mut b) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        a.copy_from_slice(signing);
        b.copy_from_slice(sealing);
        Ok(Self {
            signing: SigningKey::from_bytes(&a),
            sealing: crypto_box::SecretKey::from_bytes(*b),
        })
    }

    /// The key that signs assertions and certificates.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The key that what is sealed to this agent opens with.
    #[must_use]
    pub fn sealing(&self) -> &crypto_box::SecretKey {
        &self.sealing
    }

    fn signing_public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    fn sealing_public(&self) -> [u8; 32] {
        self.sealing.public_key().to_bytes()
    }

    pub(crate) fn signing_public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.signing_public())
    }

    pub(crate) fn sealing_public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sealing_public())
    }

    /// The fingerprint of the signing key, as the server shows it: SHA-256 of its public half, in hex.
    #[must_use]
    pub fn signing_sha256(&self) -> String {
        hex::encode(digest(&SHA256, &self.signing_public()))
    }

    /// The fingerprint of the sealing key.
    #[must_use]
    pub fn sealing_sha256(&self) -> String {
        hex::encode(digest(&SHA256, &self.sealing_public()))
    }

    /// The signing key as JWT signing takes it.
    pub(crate) fn encoding_key(&self) -> Result<EncodingKey, IdentityError> {
        let document = self
            .signing
            .to_pkcs8_der()
            .map_err(|e| IdentityError::Library(e.to_string()))?;
        Ok(EncodingKey::from_ed_der(document.as_bytes()))
    }
}

/// The files of the data folder that say who the agent is.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    dir: PathBuf,
}

impl IdentityFiles {
    /// Those of this data folder.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("agent.key")
    }

    fn pending_path(&self) -> PathBuf {
        self.dir.join("agent.key.new")
    }

    /// The agent's keys and name; `None` before it was enrolled.
    pub(crate) fn load(&self) -> Result<Option<(AgentKeys, Enrolment)>, IdentityError> {
        let known = read(&self.path())?;
        Ok(known.and_then(|(keys, enrolment)| Some((keys, enrolment?))))
    }

    /// The keys of this site, made where there are none yet.
    ///
    /// # Errors
    /// The file is damaged, open to others, or cannot be written.
    pub fn keys(&self) -> Result<AgentKeys, IdentityError> {
        let path = self.path();
        if let Some((keys, _)) = read(&path)? {
            return Ok(keys);
        }
        // One that is being enrolled has its keys already.
        let keys = self.pending_keys()?.map_or_else(AgentKeys::generate, Ok)?;
        write(&path, &keys, None)?;
        Ok(keys)
    }

    fn pending_keys(&self) -> Result<Option<AgentKeys>, IdentityError> {
        Ok(read(&self.pending_path())?.map(|(keys, _)| keys))
    }

    /// Keys for an enrolment: those that the site has and no server knows, those of an enrolment that was not answered, or
    /// new ones.
    pub(crate) fn pending(&self) -> Result<AgentKeys, IdentityError> {
        if let Some(keys) = self.pending_keys()? {
            return Ok(keys);
        }
        if let Some((keys, None)) = read(&self.path())? {
            return Ok(keys);
        }
        let keys = AgentKeys::generate()?;
        write(&self.pending_path(), &keys, None)?;
        Ok(keys)
    }

    /// Keys and name count from now on.
    pub(crate) fn enrolled(
        &self,
        keys: &AgentKeys,
        enrolment: Enrolment,
    ) -> Result<(), IdentityError> {
        write(&self.path(), keys, Some(enrolment))?;
        // A new agent's assertions are counted from the beginning.
        for path in [self.counter_path(), self.pending_path()] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(failed("removing", &path)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn counter_path(&self) -> PathBuf {
        self.dir.join("agent.counter")
    }

    /// The number of the next assertion, durable before it is used.
    pub(crate) fn next_counter(&self) -> Result<u64, IdentityError> {
        let path = self.counter_path();
        let last = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<u64>().map_err(|_| IdentityError::Key {
                path: path.clone(),
                detail: "is not a number; enrol again with --replace".to_owned(),
            })?,
            Err(e) if e.kind() == ErrorKind::NotFound => 0,
            Err(e) => return Err(failed("reading", &path)(e)),
        };
        let next = last.saturating_add(1);
        write_private(&path, format!("{next}\n").as_bytes()).map_err(failed("writing", &path))?;
        Ok(next)
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io {
        action,
        path,
        source,
    }
}

fn read(path: &Path) -> Result<Option<(AgentKeys, Option<Enrolment>)>, IdentityError> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("reading", path)(e)),
    };
    let refused = |detail: String| IdentityError::Key {
        path: path.to_owned(),
        detail,
    };
    if let Some(mode) = exposed(path).map_err(failed("reading", path))? {
        return Err(refused(format!(
            "can be read by others (mode {mode:o}); run `chmod 600` on it, or enrol again with --replace if somebody may have read it"
        )));
    }
    let damaged =
        || refused("is damaged; put back a copy, or enrol again with --replace".to_owned());
    let file: KeyFile = serde_json::from_slice(&text).map_err(|_| damaged())?;
    if file.format != FORMAT {
        return Err(damaged());
    }
    let (mut signing, mut sealing) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    hex::decode_to_slice(&file.signing_key, signing.as_mut()).map_err(|_| damaged())?;
    hex::decode_to_slice(&file.sealing_key, sealing.as_mut()).map_err(|_| damaged())?;
    let keys = AgentKeys {
        signing: SigningKey::from_bytes(&signing),
        sealing: crypto_box::SecretKey::from_bytes(*sealing),
    };
    Ok(Some((keys, file.enrolment.clone())))
}

fn write(path: &Path, keys: &AgentKeys, enrolment: Option<Enrolment>) -> Result<(), IdentityError> {
    let file = KeyFile {
        format: FORMAT.to_owned(),
        signing_key: hex::encode(keys.signing.as_bytes()),
        sealing_key: hex::encode(Zeroizing::new(keys.sealing.to_bytes())),
        enrolment,
    };
    let text = serde_json::to_vec_pretty(&file)
        .map(Zeroizing::new)
        .map_err(std::io::Error::from)
        .map_err(failed("writing", path))?;
    write_private(path, &text).map_err(failed("writing", path))
}
