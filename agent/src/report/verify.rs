//! `verify`: checks certificates anywhere, offline, with nothing but the files and public keys.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use ed25519_dalek::VerifyingKey;
use maildreieck_api_spec::certificate::{
    Certificate, Chained, UNANCHORED, follows, key_fingerprint, read_key, verify,
};
use maildreieck_api_spec::vocabulary::{Depth, Verdict};
use serde::Serialize;

/// The largest file that is looked at: a server takes no larger report.
const LARGEST: u64 = 4 << 20;

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Verified {
    /// Whether nothing is wrong.
    pub sound: bool,
    /// The first thing that is wrong, and where.
    pub wrong: Option<Wrong>,
    /// Those that are sound in themselves, by triangle and number.
    pub certificates: Vec<Line>,
    /// What could not be checked, in words.
    pub unchecked: Vec<String>,
}

/// The first thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Wrong {
    /// In which file.
    pub file: PathBuf,
    /// What.
    pub what: String,
}

/// A certificate in a line.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Its file.
    pub file: PathBuf,
    /// Its triangle.
    pub triangle: String,
    /// Its place in the chain.
    pub sequence: u64,
    /// When it was cut.
    pub tx_at: DateTime<Utc>,
    /// How deep it looked.
    pub depth: Depth,
    /// Its verdict.
    pub verdict: Verdict,
    /// Messages in primary, standby and store.
    pub messages: [u64; 3],
    /// The fingerprint of the key that signed it.
    pub signed_by: String,
    /// Whether it has a nonce of the server's.
    pub anchored: bool,
    /// What the server said.
    pub countersigned: Option<Countersigned>,
}

/// What the server said of it.
#[derive(Debug, Serialize)]
pub struct Countersigned {
    /// When the server had it.
    pub received_at: DateTime<Utc>,
    /// When the server gave its nonce.
    pub nonce_at: Option<DateTime<Utc>>,
    /// How it stands to those before.
    pub chain: Chained,
    /// The fingerprint of the server's key.
    pub signed_by: String,
}

/// The files that are meant: of a folder those in it that end in `.json`, also below it.
///
/// # Errors
/// One cannot be looked at.
pub fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut files = Vec::new();
    for path in named {
        gather(path, true, &mut files)?;
    }
    Ok(files)
}

fn gather(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (path.to_owned(), error);
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        if named || path.extension().is_some_and(|e| e == "json") {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(failed)?.collect();
    let mut entries: Vec<PathBuf> = entries.map_err(failed)?.iter().map(|e| e.path()).collect();
    entries.sort();
    entries
        .iter()
        .try_for_each(|entry| gather(entry, false, files))
}

/// Checks certificates one by one and then the chains that they make.
#[must_use]
pub fn check(files: &[PathBuf], keys: &[VerifyingKey], server_keys: &[VerifyingKey]) -> Verified {
    let mut found = Verified::default();
    let mut chains: BTreeMap<(String, u64), Vec<(&PathBuf, Certificate)>> = BTreeMap::new();
    for file in files {
        match read(file).and_then(|octets| {
            verify(&octets, keys, server_keys).map_err(|unsound| unsound.to_string())
        }) {
            Ok(certificate) => {
                let place = (certificate.triangle.clone(), certificate.sequence);
                chains.entry(place).or_default().push((file, certificate));
            }
            Err(what) => {
                let file = file.clone();
                found.wrong.get_or_insert(Wrong { file, what });
            }
        }
    }
    let mut before: Option<&Certificate> = None;
    for (file, certificate) in chains.values().flatten() {
        match before.filter(|before| before.triangle == certificate.triangle) {
            None if certificate.sequence > 1 => found.unchecked.push(format!(
                "what stands before number {} of triangle '{}': those files were not named",
                certificate.sequence, certificate.triangle
            )),
            None => {}
            Some(before) => {
                if let Err(broken) = follows(before, certificate) {
                    let (file, what) = ((*file).clone(), broken.to_string());
                    found.wrong.get_or_insert(Wrong { file, what });
                }
            }
        }
        before = Some(certificate);
        found.certificates.push(line(file, certificate));
    }
    if keys.is_empty() && !files.is_empty() {
        found.unchecked.push(
            "whose the signing key is: name it with --key, or compare its fingerprint with the one that the agent printed when it was enrolled".to_owned(),
        );
    }
    let countersigned = found.certificates.iter().any(|c| c.countersigned.is_some());
    if server_keys.is_empty() && countersigned {
        found.unchecked.push(
            "whose the server's key is: name it with --server-key, or compare its fingerprint with the server's".to_owned(),
        );
    }
    found.sound = found.wrong.is_none() && !files.is_empty();
    found
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > LARGEST {
        return Err(format!("this is no certificate: it has {size} octets"));
    }
    fs::read(file).map_err(|e| e.to_string())
}

fn line(file: &Path, certificate: &Certificate) -> Line {
    let fingerprint = |text: &str| read_key(text).map_or_else(String::new, |k| key_fingerprint(&k));
    let corners = &certificate.corners;
    Line {
        file: file.to_owned(),
        triangle: certificate.triangle.clone(),
        sequence: certificate.sequence,
        tx_at: certificate.tx_at,
        depth: certificate.depth,
        verdict: certificate.verdict,
        messages: [&corners.primary, &corners.standby, &corners.store].map(|c| c.messages),
        signed_by: fingerprint(&certificate.signing_key),
        anchored: certificate.nonce != UNANCHORED,
        countersigned: certificate
            .countersignature
            .as_ref()
            .map(|said| Countersigned {
                received_at: said.received_at,
                nonce_at: said.nonce_at,
                chain: said.chain,
                signed_by: fingerprint(&said.server_key),
            }),
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in &self.certificates {
            let [primary, standby, store] = c.messages;
            writeln!(
                f,
                "{} {}: {}, {} at depth {}; primary {primary}, standby {standby}, store {store} messages",
                c.triangle,
                c.sequence,
                c.tx_at.format("%F %T UTC"),
                c.verdict,
                c.depth.as_str()
            )?;
            writeln!(f, "  signed by {}", c.signed_by)?;
            match &c.countersigned {
                Some(said) => {
                    let at = said.received_at.format("%F %T UTC");
                    write!(f, "  the server {} had it at {at}", said.signed_by)?;
                    if let Some(nonce_at) = said.nonce_at {
                        write!(f, ", asked for at {}", nonce_at.format("%F %T UTC"))?;
                    }
                    writeln!(f, "; chain: {}", said.chain)?;
                }
                None => writeln!(f, "  no server has countersigned it")?,
            }
        }
        for what in &self.unchecked {
            writeln!(f, "NOT CHECKED: {what}")?;
        }
        match &self.wrong {
            Some(wrong) => write!(f, "WRONG: {}: {}", wrong.file.display(), wrong.what),
            None if self.sound => write!(f, "sound: {} certificates", self.certificates.len()),
            None => write!(f, "no certificate was found"),
        }
    }
}
