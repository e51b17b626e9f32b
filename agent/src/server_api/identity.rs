//! Who this agent is: its keys, which never leave the site, and what the server named it.
//!
//! All of it is one file, `agent.key` in the data folder, so that keys and name cannot come apart. Keys whose
//! enrolment has not been answered wait in `agent.key.new`: an enrolment that is repeated sends the same
//! ones, and an answer that got lost does no harm.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
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

use super::error::ApiError;
use crate::files::{exposed, write_private};

const FORMAT: &str = "maildreieck agent key 1";

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
    fn generate() -> Result<Self, ApiError> {
        let mut seeds = Zeroizing::new([0; 64]);
        getrandom::fill(seeds.as_mut()).map_err(|e| ApiError::Signing {
            detail: format!("no random octets: {e}"),
        })?;
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

    pub(super) fn signing_public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.signing_public())
    }

    pub(super) fn sealing_public_text(&self) -> String {
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
    pub(super) fn encoding_key(&self) -> Result<EncodingKey, ApiError> {
        let document = self.signing.to_pkcs8_der().map_err(|e| ApiError::Signing {
            detail: e.to_string(),
        })?;
        Ok(EncodingKey::from_ed_der(document.as_bytes()))
    }
}

/// The files of the data folder that say who the agent is.
#[derive(Debug, Clone)]
pub(super) struct IdentityFiles {
    dir: PathBuf,
}

impl IdentityFiles {
    pub(super) fn new(dir: &Path) -> Self {
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
    pub(super) fn load(&self) -> Result<Option<(AgentKeys, Enrolment)>, ApiError> {
        let path = self.path();
        match read(&path)? {
            None => Ok(None),
            Some((keys, Some(enrolment))) => Ok(Some((keys, enrolment))),
            Some((_, None)) => Err(ApiError::Key {
                path,
                detail: "names no agent; enrol again with --replace".to_owned(),
            }),
        }
    }

    /// Keys for an enrolment: those of one that was not answered, or new ones.
    pub(super) fn pending(&self) -> Result<AgentKeys, ApiError> {
        let path = self.pending_path();
        if let Some((keys, _)) = read(&path)? {
            return Ok(keys);
        }
        let keys = AgentKeys::generate()?;
        write(&path, &keys, None)?;
        Ok(keys)
    }

    /// Keys and name count from now on.
    pub(super) fn enrolled(&self, keys: &AgentKeys, enrolment: Enrolment) -> Result<(), ApiError> {
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
    pub(super) fn next_counter(&self) -> Result<u64, ApiError> {
        let path = self.counter_path();
        let last = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<u64>().map_err(|_| ApiError::Key {
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

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ApiError {
    let path = path.to_owned();
    move |source| ApiError::Io {
        action,
        path,
        source,
    }
}

fn read(path: &Path) -> Result<Option<(AgentKeys, Option<Enrolment>)>, ApiError> {
    let text = match fs::read(path) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("reading", path)(e)),
    };
    let refused = |detail: String| ApiError::Key {
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

fn write(path: &Path, keys: &AgentKeys, enrolment: Option<Enrolment>) -> Result<(), ApiError> {
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
