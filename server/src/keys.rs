//! The server's own secret, 32 random octets in a file that only it can read, made at the first start.
//! Everything secret that the server does alone is keyed by it under a purpose: tokens, nonces, the
//! fingerprints of repeated requests, countersignatures, and the keys of personal fields in the audit chain. Instances on one
//! PostgreSQL share the file. Whoever has the database but not this file reads none of those.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use aws_lc_rs::hmac;
use ed25519_dalek::SigningKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Keys, each for one purpose.
pub struct Keys {
    /// Signs people's and agents' access tokens.
    pub token_signing: EncodingKey,
    /// Checks them.
    pub token_checking: DecodingKey,
    /// Countersigns certificates.
    pub countersigning: SigningKey,
    nonces: hmac::Key,
    run_nonces: hmac::Key,
    fingerprints: hmac::Key,
    personal: SecretBox<[u8; 32]>,
    check: String,
}

impl Keys {
    /// Reads the secret, or makes it at the first start.
    ///
    /// # Errors
    /// The folder or the file cannot be written or read, or others can read it.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("creating the folder of secrets {}", folder.display()))?;
        let path = folder.join("server.key");
        if !path.exists() {
            create(folder, &path).with_context(|| format!("making {}", path.display()))?;
        }
        let mode = std::fs::metadata(&path)
            .with_context(|| format!("looking at {}", path.display()))?
            .mode();
        anyhow::ensure!(
            mode & 0o077 == 0,
            "{} can be read by others (mode {:o}); `chmod 600` it",
            path.display(),
            mode & 0o777
        );
        let text = Zeroizing::new(
            std::fs::read_to_string(&path)
                .with_context(|| format!("reading {}", path.display()))?,
        );
        let octets = Zeroizing::new(hex::decode(text.trim()).context("the server key is not hex")?);
        let secret: Zeroizing<[u8; 32]> =
            Zeroizing::new(
                octets.as_slice().try_into().ok().with_context(|| {
                    format!("{} does not hold 32 octets in hex", path.display())
                })?,
            );
        Ok(Self::of_secret(&secret))
    }

    fn of_secret(secret: &[u8; 32]) -> Self {
        let token = Zeroizing::new(derive(secret, "token"));
        Self {
            token_signing: EncodingKey::from_secret(token.as_slice()),
            token_checking: DecodingKey::from_secret(token.as_slice()),
            countersigning: SigningKey::from_bytes(&Zeroizing::new(derive(
                secret,
                "countersignature",
            ))),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, "nonce")),
            run_nonces: hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, "run nonce")),
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, "fingerprint")),
            personal: SecretBox::new(Box::new(derive(secret, "personal"))),
            check: hex::encode(derive(secret, "check")),
        }
    }

    /// By what the secret is known to a database: it tells nothing of it.
    #[must_use]
    pub fn check(&self) -> &str {
        &self.check
    }

    /// The seal of a nonce.
    #[must_use]
    pub fn seal_nonce(&self, nonce: &[u8]) -> Vec<u8> {
        hmac::sign(&self.nonces, nonce).as_ref().to_vec()
    }

    /// Whether a nonce bears our seal.
    #[must_use]
    pub fn nonce_is_ours(&self, nonce: &[u8], seal: &[u8]) -> bool {
        hmac::verify(&self.nonces, nonce, seal).is_ok()
    }

    /// The seal of a run's nonce.
    #[must_use]
    pub fn seal_run_nonce(&self, nonce: &[u8]) -> Vec<u8> {
        hmac::sign(&self.run_nonces, nonce).as_ref().to_vec()
    }

    /// Whether a run's nonce bears our seal.
    #[must_use]
    pub fn run_nonce_is_ours(&self, nonce: &[u8], seal: &[u8]) -> bool {
        hmac::verify(&self.run_nonces, nonce, seal).is_ok()
    }

    /// The fingerprint of a request's body. Keyed, since a body can hold a password.
    #[must_use]
    pub fn fingerprint(&self, body: &[u8]) -> String {
        hex::encode(hmac::sign(&self.fingerprints, body))
    }

    /// A new key for a person's fields, wrapped: only this server can unwrap it, and only for this row.
    ///
    /// # Errors
    /// The random number generator's.
    pub fn new_person_key(&self, row: &str) -> Result<Vec<u8>> {
        let key = Zeroizing::new(random::<32>()?);
        encrypt(self.personal.expose_secret(), row, key.as_slice())
    }

    /// Encrypts a person's fields under that person's wrapped key.
    ///
    /// # Errors
    /// The wrapped key is damaged or of another row.
    pub fn encrypt_personal(
        &self,
        row: &str,
        wrapped: &[u8],
        place: &str,
        fields: &[u8],
    ) -> Result<Vec<u8>> {
        let key = self.unwrap(row, wrapped)?;
        encrypt(&key, place, fields)
    }

    /// The reverse of [`Keys::encrypt_personal`].
    ///
    /// # Errors
    /// Key or ciphertext is damaged or of another place.
    pub fn decrypt_personal(
        &self,
        row: &str,
        wrapped: &[u8],
        place: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        let key = self.unwrap(row, wrapped)?;
        decrypt(&key, place, sealed)
    }

    fn unwrap(&self, row: &str, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let key = Zeroizing::new(decrypt(self.personal.expose_secret(), row, wrapped)?);
        key.as_slice()
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| Error::internal("unwrapping a person's key", "not 32 octets"))
    }
}

fn create(folder: &Path, path: &Path) -> anyhow::Result<()> {
    let secret =
        Zeroizing::new(random::<32>().map_err(|error| anyhow::anyhow!(error.to_string()))?);
    // Written aside and linked, so that of two instances that start together one wins and none reads half.
    let aside = folder.join(format!("server.key.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(Zeroizing::new(hex::encode(secret.as_slice())).as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// Random octets of the operating system.
///
/// # Errors
/// It has none to give.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)
        .map_err(|error| Error::internal("random octets", error.to_string()))?;
    Ok(octets)
}

fn derive(secret: &[u8; 32], purpose: &str) -> [u8; 32] {
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret),
        format!("maildreieck/1/{purpose}").as_bytes(),
    );
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    key
}

/// AES-256-GCM with a random nonce before the ciphertext; `place` is bound to it.
fn encrypt(key: &[u8; 32], place: &str, plain: &[u8]) -> Result<Vec<u8>> {
    let fault = |_| Error::internal("encrypting", "AES-256-GCM refused");
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(fault)?;
    let mut sealed = plain.to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(place), &mut sealed)
        .map_err(fault)?;
    let mut out = nonce.as_ref().to_vec();
    out.append(&mut sealed);
    Ok(out)
}

fn decrypt(key: &[u8; 32], place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let fault = || Error::internal("decrypting", "damaged, or of another place");
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or_else(fault)?;
    let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| fault())?;
    let mut body = body.to_vec();
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| fault())?;
    let plain = key
        .open_in_place(nonce, Aad::from(place), &mut body)
        .map_err(|_| fault())?;
    Ok(plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path()).unwrap();
        let again = Keys::open(folder.path()).unwrap();
        assert_eq!(first.fingerprint(b"x"), again.fingerprint(b"x"));
        let path = folder.path().join("server.key");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Keys::open(folder.path()).is_err());
    }

    #[test]
    fn personal_fields_open_only_in_their_place() {
        let keys = Keys::of_secret(&[7; 32]);
        let wrapped = keys.new_person_key("t|p").unwrap();
        let sealed = keys
            .encrypt_personal("t|p", &wrapped, "t|1", b"name")
            .unwrap();
        assert_eq!(
            keys.decrypt_personal("t|p", &wrapped, "t|1", &sealed)
                .unwrap(),
            b"name"
        );
        assert!(
            keys.decrypt_personal("t|p", &wrapped, "t|2", &sealed)
                .is_err()
        );
        assert!(
            keys.decrypt_personal("t|q", &wrapped, "t|1", &sealed)
                .is_err()
        );
        assert!(!sealed.windows(4).any(|w| w == b"name"));
    }
}
