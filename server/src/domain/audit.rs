//! The audit record: what it says, and what it hashes to. A record's hash is SHA-256 over its canonical
//! JSON (RFC 8785), in which the hash of the record before it stands, so that nothing can be changed, left
//! out or put in between. Personal fields stand in it as ciphertext under a key of the tenant and person:
//! when that key is destroyed the fields are gone and the chain is whole.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The `format` of a record.
pub const FORMAT: &str = "maildreieck-audit/1";

/// What the first record of a chain has as the hash before it.
pub const NO_RECORD: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Somebody or something that a record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// `user`, `agent`, `system`; `tenant`, `site`, `account` and so on.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// The personal fields of one person, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Personal {
    /// Whose.
    pub person: String,
    /// Nonce and AES-256-GCM ciphertext of their JSON object, base64.
    pub ciphertext: String,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The tenant's id, or `provider`.
    pub chain: String,
    /// Its place in the chain, from 1 without a gap.
    pub seq: u64,
    /// The hash of the record before it, or [`NO_RECORD`].
    pub previous: String,
    /// The record's id.
    pub id: String,
    /// When, RFC 3339 in UTC with microseconds.
    pub at: String,
    /// Who did it.
    pub actor: Named,
    /// What was done, like `site.create`.
    pub action: &'static str,
    /// To what.
    pub object: Named,
    /// With which values, none of them personal.
    pub details: serde_json::Value,
    /// Personal values.
    pub personal: Vec<Personal>,
    /// In which request.
    pub request_id: String,
}

/// An instant as a record has it.
#[must_use]
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The record's canonical JSON and its hash.
///
/// # Errors
/// The record has a value that JSON cannot express.
pub fn seal(record: &Record) -> Result<(String, String), serde_json::Error> {
    let canonical = serde_json_canonicalizer::to_string(record)?;
    let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
    Ok((canonical, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_canonical_and_hashes_to_itself() {
        let record = Record {
            format: FORMAT,
            chain: "provider".to_owned(),
            seq: 1,
            previous: NO_RECORD.to_owned(),
            id: "0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d".to_owned(),
            at: instant("2026-11-24T12:00:00.5Z".parse().unwrap()),
            actor: Named {
                kind: "system".to_owned(),
                id: "user add".to_owned(),
            },
            action: "user.create",
            object: Named {
                kind: "user".to_owned(),
                id: "1".to_owned(),
            },
            details: serde_json::json!({"provider_admin": true}),
            personal: vec![],
            request_id: "2".to_owned(),
        };
        let (canonical, hash) = seal(&record).unwrap();
        insta::assert_snapshot!(canonical, @r#"{"action":"user.create","actor":{"id":"user add","kind":"system"},"at":"2026-11-24T12:00:00.500000Z","chain":"provider","details":{"provider_admin":true},"format":"maildreieck-audit/1","id":"0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d","object":{"id":"1","kind":"user"},"personal":[],"previous":"0000000000000000000000000000000000000000000000000000000000000000","request_id":"2","seq":1}"#);
        let (_, other) = seal(&Record { seq: 2, ..record }).unwrap();
        assert_ne!(hash, other);
        assert_eq!(hash.len(), 64);
    }
}
