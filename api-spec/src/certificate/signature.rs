//! How a certificate is signed, chained and countersigned, and how anybody checks that: Ed25519 (RFC 8032) over
//! canonical JSON (RFC 8785), SHA-256 from each certificate to the one before it.
//!
//! Signatures are checked over the octets of the file as it is and not over what this version understands of it,
//! so that no field can be added unseen.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::{Certificate, FORMAT};
use crate::ids::RunId;
use crate::problem::FieldError;
use crate::vocabulary::Verdict;

/// What stands before the canonical JSON, so that what is signed here is signed for nothing else.
const SIGNED: &[u8] = b"maildreieck-certificate/1\n";
const COUNTERSIGNED: &[u8] = b"maildreieck-countersignature/1\n";

/// How a certificate stands to those of its triangle that the server had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Chained {
    /// The first of its triangle.
    Begun,
    /// It follows one that the server has.
    Continued,
    /// `sequence` is 1 again: what the agent kept of its chain is gone.
    BegunAnew,
    /// The one before it never reached the server.
    Gap,
    /// The server has another certificate with the same one before it or the same `sequence`: two agents go on from one state, or an
    /// older one was put back.
    Forked,
}

impl Chained {
    /// Whether something is missing, or there twice.
    #[must_use]
    pub fn is_broken(self) -> bool {
        matches!(self, Self::BegunAnew | Self::Gap | Self::Forked)
    }

    /// The word on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Continued => "continued",
            Self::BegunAnew => "begun_anew",
            Self::Gap => "gap",
            Self::Forked => "forked",
        }
    }
}

impl std::fmt::Display for Chained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the server asserts of a certificate: when it had it, what verdict its figures demand, how it stands to those
/// before. It says nothing of the mail, which the server never sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Countersignature {
    /// The run that it was reported with.
    pub run_id: RunId,
    /// The certificate's hash ([`hash_of`]).
    #[schema(min_length = 64, max_length = 64)]
    pub certificate_sha256: String,
    /// When the server had it, by the server's clock.
    pub received_at: DateTime<Utc>,
    /// When the server gave the nonce in it: the proof is no older. Absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_at: Option<DateTime<Utc>>,
    /// The verdict, recomputed.
    pub verdict: Verdict,
    /// How it stands to those before.
    pub chain: Chained,
    /// The server's Ed25519 public key, 32 octets in base64url without padding.
    #[schema(min_length = 43, max_length = 43)]
    pub server_key: String,
    /// Its signature over [`countersigned_octets`], 64 octets in base64url without padding; empty only before it is
    /// signed.
    #[schema(max_length = 86)]
    pub signature: String,
}

/// The first thing that is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// No such document.
    #[error("this is no certificate: {0}")]
    Form(String),
    /// Another version of the format.
    #[error("its format is '{0}', and only '{FORMAT}' is understood")]
    Format(String),
    /// A public key that is none.
    #[error("`{0}` is no Ed25519 public key")]
    Key(&'static str),
    /// Signed by somebody else.
    #[error("it is signed by the key {found}, which is not the one given ({wanted})")]
    OtherKey {
        /// The fingerprint of its key.
        found: String,
        /// Those of the keys that were given.
        wanted: String,
    },
    /// Not signed at all.
    #[error("it is not signed")]
    Unsigned,
    /// Changed since, or signed by somebody else.
    #[error(
        "`signature` does not match: the certificate was changed after it was signed, or not signed by its key"
    )]
    Signature,
    /// It cannot be true.
    #[error("it contradicts itself at {}: wanted is {}", .0.pointer, .0.rule)]
    Contradiction(FieldError),
    /// The server's part is of another certificate, or changed since.
    #[error("`countersignature` does not match: {0}")]
    Countersignature(&'static str),
    /// A certificate is missing between two.
    #[error("number {found} does not follow number {last}: those between are missing")]
    Gap {
        /// Its number.
        found: u64,
        /// That of the last before it.
        last: u64,
    },
    /// The one before it is another.
    #[error("number {0} follows another certificate than the one before it that was given")]
    Broken(u64),
    /// Two certificates of one number.
    #[error("there are two certificates with the number {0} that differ: the chain was forked")]
    Forked(u64),
}

impl Certificate {
    /// Signs it: key and signature become part of it.
    ///
    /// # Errors
    /// Canonical JSON's.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), serde_json::Error> {
        self.signing_key = key_text(&key.verifying_key());
        let octets = signed_octets(&serde_json::to_value(&*self)?)?;
        self.signature = Some(URL_SAFE_NO_PAD.encode(key.sign(&octets).to_bytes()));
        Ok(())
    }
}

impl Countersignature {
    /// Signs it.
    ///
    /// # Errors
    /// Canonical JSON's.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), serde_json::Error> {
        self.server_key = key_text(&key.verifying_key());
        let octets = countersigned_octets(&serde_json::to_value(&*self)?)?;
        self.signature = URL_SAFE_NO_PAD.encode(key.sign(&octets).to_bytes());
        Ok(())
    }
}

fn canonical(
    prefix: &[u8],
    document: &Value,
    without: &[&str],
) -> Result<Vec<u8>, serde_json::Error> {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|name, _| !without.contains(&name.as_str()));
    }
    let mut octets = prefix.to_vec();
    serde_json_canonicalizer::to_writer(&document, &mut octets)?;
    Ok(octets)
}

/// What an agent signs: `maildreieck-certificate/1`, a line feed, and the certificate in canonical JSON without
/// `signature` and `countersignature`.
///
/// # Errors
/// Canonical JSON's.
pub fn signed_octets(certificate: &Value) -> Result<Vec<u8>, serde_json::Error> {
    canonical(SIGNED, certificate, &["signature", "countersignature"])
}

/// What a server signs: `maildreieck-countersignature/1`, a line feed, and the countersignature in canonical JSON
/// without `signature`.
///
/// # Errors
/// Canonical JSON's.
pub fn countersigned_octets(countersignature: &Value) -> Result<Vec<u8>, serde_json::Error> {
    canonical(COUNTERSIGNED, countersignature, &["signature"])
}

/// The hash that the next certificate names: SHA-256 of [`signed_octets`], 64 hex digits.
///
/// # Errors
/// Canonical JSON's.
pub fn hash_of(certificate: &Certificate) -> Result<String, serde_json::Error> {
    Ok(sha256(&signed_octets(&serde_json::to_value(certificate)?)?))
}

fn sha256(octets: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for octet in Sha256::digest(octets) {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// A public key as certificates name it.
#[must_use]
pub fn key_text(key: &VerifyingKey) -> String {
    URL_SAFE_NO_PAD.encode(key.as_bytes())
}

/// SHA-256 of a public key's octets, 64 hex digits: what people compare.
#[must_use]
pub fn key_fingerprint(key: &VerifyingKey) -> String {
    sha256(key.as_bytes())
}

/// A public key by the text that certificates name it with; weak ones are none.
#[must_use]
pub fn read_key(text: &str) -> Option<VerifyingKey> {
    let octets: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&octets).ok()?;
    (!key.is_weak()).then_some(key)
}

fn is_signed(key: &VerifyingKey, octets: &[u8], signature: &str) -> bool {
    let signature = URL_SAFE_NO_PAD.decode(signature).ok();
    let signature = signature.and_then(|octets| Signature::from_slice(&octets).ok());
    signature.is_some_and(|signature| key.verify_strict(octets, &signature).is_ok())
}

/// Checks a certificate by itself: its form, its signature (by one of `keys`, or where none is given by the key that it
/// names), whether it can be true, and the server's countersignature if it has one (by one of `server_keys`, likewise).
///
/// # Errors
/// The first thing that is wrong, in this order.
pub fn verify(
    octets: &[u8],
    keys: &[VerifyingKey],
    server_keys: &[VerifyingKey],
) -> Result<Certificate, Unsound> {
    let form = |error: serde_json::Error| Unsound::Form(error.to_string());
    let document: Value = serde_json::from_slice(octets).map_err(form)?;
    match document.get("format").and_then(Value::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(Unsound::Format(other.chars().take(80).collect())),
        None => return Err(Unsound::Form("it has no `format`".to_owned())),
    }
    // Strictly: no field twice, none that nobody named.
    let certificate: Certificate = serde_json::from_slice(octets).map_err(form)?;
    let signature = certificate.signature.as_deref().ok_or(Unsound::Unsigned)?;
    let key = read_key(&certificate.signing_key).ok_or(Unsound::Key("signing_key"))?;
    known(&key, keys)?;
    let signed = signed_octets(&document).map_err(form)?;
    if !is_signed(&key, &signed, signature) {
        return Err(Unsound::Signature);
    }
    if let Some(first) = certificate.contradictions().into_iter().next() {
        return Err(Unsound::Contradiction(first));
    }
    if let (Some(said), Some(raw)) = (
        &certificate.countersignature,
        document.get("countersignature"),
    ) {
        let key = read_key(&said.server_key).ok_or(Unsound::Key("server_key"))?;
        known(&key, server_keys)?;
        if said.certificate_sha256 != sha256(&signed) {
            return Err(Unsound::Countersignature("it is of another certificate"));
        }
        if !is_signed(
            &key,
            &countersigned_octets(raw).map_err(form)?,
            &said.signature,
        ) {
            return Err(Unsound::Countersignature(
                "it was changed after it was signed",
            ));
        }
        if said.verdict != certificate.verdict {
            return Err(Unsound::Countersignature("its verdict is another"));
        }
    }
    Ok(certificate)
}

fn known(key: &VerifyingKey, keys: &[VerifyingKey]) -> Result<(), Unsound> {
    if keys.is_empty() || keys.contains(key) {
        return Ok(());
    }
    let wanted: Vec<String> = keys.iter().map(key_fingerprint).collect();
    Err(Unsound::OtherKey {
        found: key_fingerprint(key),
        wanted: wanted.join(", "),
    })
}

/// Whether a certificate follows another of the same triangle, both sound in themselves.
///
/// # Errors
/// A gap, a fork, or a link that is broken.
pub fn follows(earlier: &Certificate, later: &Certificate) -> Result<(), Unsound> {
    let hash = |certificate| hash_of(certificate).map_err(|e| Unsound::Form(e.to_string()));
    let (last, found) = (earlier.sequence, later.sequence);
    if found == last {
        let same = hash(earlier)? == hash(later)?;
        return if same {
            Ok(())
        } else {
            Err(Unsound::Forked(found))
        };
    }
    if last.checked_add(1) != Some(found) {
        return Err(Unsound::Gap { found, last });
    }
    if later.previous.as_deref() != Some(hash(earlier)?.as_str()) {
        return Err(Unsound::Broken(found));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
