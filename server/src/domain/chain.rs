//! Whether an audit chain is whole: its records one after another, as a database or an export has them.
//! Holds one record at a time, and says of the first that is broken what is wrong with it. It proves that
//! nothing was changed, left out or put in before the last record; that nothing was cut off behind it, or
//! the whole written anew, a checkpoint proves that was noted somewhere else.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::audit::{FORMAT, NO_RECORD};

/// What was noted of a chain: that its record `seq` has this hash. Written `SEQ:HASH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Checkpoint {
    /// Which record.
    pub seq: u64,
    /// Its hash, 64 hexadecimal digits.
    pub hash: String,
}

impl std::fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl From<Checkpoint> for String {
    fn from(checkpoint: Checkpoint) -> Self {
        checkpoint.to_string()
    }
}

/// A text that is no checkpoint.
#[derive(Debug, thiserror::Error)]
#[error(
    "a checkpoint is SEQ:HASH, the record's number from 1 and the 64 hexadecimal digits of its hash, as `audit verify` prints it"
)]
pub struct NoCheckpoint;

impl std::str::FromStr for Checkpoint {
    type Err = NoCheckpoint;
    fn from_str(text: &str) -> Result<Self, NoCheckpoint> {
        let (seq, hash) = text.split_once(':').ok_or(NoCheckpoint)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0);
        if hash.len() != NO_RECORD.len() || !hash.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(NoCheckpoint);
        }
        Ok(Self {
            seq: seq.ok_or(NoCheckpoint)?,
            hash: hash.to_ascii_lowercase(),
        })
    }
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// A line of an export that has not the form of one.
    #[error(
        "its line is not {{\"hash\":\"…\",\"record\":{{…}}}} with a line end, as the server exports it"
    )]
    NotALine,
    /// Octets and hash.
    #[error("its hash does not match its octets, which hash to {computed}")]
    Hash {
        /// What they hash to.
        computed: String,
    },
    /// Something else than a record.
    #[error("it is no record: {reason}")]
    NoRecord {
        /// Why.
        reason: String,
    },
    /// A format that is not ours.
    #[error("its format is `{found}`, not `{}`", FORMAT)]
    Format {
        /// What it says.
        found: String,
    },
    /// Not RFC 8785.
    #[error("it is not in canonical form (RFC 8785)")]
    NotCanonical,
    /// A record of another chain.
    #[error("it is of the chain of `{found}`")]
    OtherChain {
        /// Whose.
        found: String,
    },
    /// A later record where this should be.
    #[error("it is missing: record {found} stands in its place")]
    Gap {
        /// Which.
        found: u64,
    },
    /// An earlier record where this should be.
    #[error("record {found} stands in its place: put in between, or out of order")]
    Order {
        /// Which.
        found: u64,
    },
    /// The link to the record before.
    #[error(
        "its `previous` is not the hash of the record before it: this one or that one was replaced"
    )]
    Previous,
    /// The row beside the record.
    #[error("its row says another `{column}` than the record")]
    Column {
        /// In which column.
        column: &'static str,
    },
    /// Records without a head.
    #[error("it is the last, and the chain's row in audit_heads is missing")]
    NoHead,
    /// The head counts more than there are.
    #[error("it is missing: the chain's row in audit_heads says that there are {head} records")]
    CutOff {
        /// How many.
        head: u64,
    },
    /// The head counts fewer than there are.
    #[error("the chain's row in audit_heads ends before it, with record {head}")]
    BehindHead {
        /// How many.
        head: u64,
    },
    /// The head has another hash.
    #[error("it is the last, and the chain's row in audit_heads has another hash")]
    HeadHash,
    /// Another record than was noted.
    #[error("its hash is {hash}, not the checkpoint's: the chain was written anew")]
    NotTheCheckpoint {
        /// Its hash.
        hash: String,
    },
    /// The chain ends before what was noted.
    #[error("the checkpoint's record is missing: the chain ends with record {last}")]
    BeforeCheckpoint {
        /// Its last record.
        last: u64,
    },
}

/// The first record that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("record {seq}: {fault}")]
pub struct Broken {
    /// Its place in the chain.
    pub seq: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What the row beside a record says of it.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Its place.
    pub seq: u64,
    /// Its id.
    pub audit_id: &'a str,
    /// When, as a record has it.
    pub at: &'a str,
    /// What was done.
    pub action: &'a str,
    /// By whom.
    pub actor_id: &'a str,
    /// To what.
    pub object_id: &'a str,
}

/// What a record must say to be one.
#[derive(Deserialize)]
struct Said<'a> {
    chain: &'a str,
    seq: u64,
    previous: &'a str,
    id: &'a str,
    at: &'a str,
    action: &'a str,
    #[serde(borrow)]
    actor: Named<'a>,
    #[serde(borrow)]
    object: Named<'a>,
}

#[derive(Deserialize)]
struct Named<'a> {
    id: &'a str,
}

/// A chain as far as it was followed.
#[derive(Debug, Clone)]
pub struct Chain {
    name: Option<String>,
    last: Checkpoint,
    wanted: Option<Checkpoint>,
}

impl Chain {
    /// Before its first record: of this name, or of the one that its first record says.
    #[must_use]
    pub fn new(name: Option<String>, wanted: Option<Checkpoint>) -> Self {
        Self {
            name,
            last: Checkpoint {
                seq: 0,
                hash: NO_RECORD.to_owned(),
            },
            wanted,
        }
    }

    /// Whose it is, if it is known by now.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its last record so far; number 0 before the first.
    #[must_use]
    pub fn last(&self) -> &Checkpoint {
        &self.last
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// It is not the next, or not whole.
    pub fn follow(
        &mut self,
        record: &str,
        hash: &str,
        columns: Option<Columns<'_>>,
    ) -> Result<(), Broken> {
        let seq = self.last.seq + 1;
        self.next(seq, record, hash, columns)
            .map_err(|fault| Broken { seq, fault })?;
        self.last.seq = seq;
        hash.clone_into(&mut self.last.hash);
        Ok(())
    }

    /// Takes the next line of an export, with its line end.
    ///
    /// # Errors
    /// It is no such line, or not the next record.
    pub fn follow_line(&mut self, line: &[u8]) -> Result<(), Broken> {
        let (record, hash) = read_line(line).ok_or(Broken {
            seq: self.last.seq + 1,
            fault: Fault::NotALine,
        })?;
        self.follow(record, hash, None)
    }

    fn next(
        &mut self,
        seq: u64,
        record: &str,
        hash: &str,
        columns: Option<Columns<'_>>,
    ) -> Result<(), Fault> {
        let computed = hex::encode(Sha256::digest(record.as_bytes()));
        if computed != hash {
            return Err(Fault::Hash { computed });
        }
        let no_record = |error: serde_json::Error| Fault::NoRecord {
            reason: error.to_string(),
        };
        let value: Value = serde_json::from_str(record).map_err(no_record)?;
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) => {}
            found => {
                return Err(Fault::Format {
                    found: found.unwrap_or_default().to_owned(),
                });
            }
        }
        if serde_json_canonicalizer::to_string(&value).map_err(no_record)? != record {
            return Err(Fault::NotCanonical);
        }
        let said = Said::deserialize(&value).map_err(no_record)?;
        match &self.name {
            Some(name) if name != said.chain => {
                return Err(Fault::OtherChain {
                    found: said.chain.to_owned(),
                });
            }
            Some(_) => {}
            None => self.name = Some(said.chain.to_owned()),
        }
        if said.seq > seq {
            return Err(Fault::Gap { found: said.seq });
        }
        if said.seq < seq {
            return Err(Fault::Order { found: said.seq });
        }
        if said.previous != self.last.hash {
            return Err(Fault::Previous);
        }
        if let Some(row) = columns {
            let other = [
                ("seq", row.seq == said.seq),
                ("audit_id", row.audit_id == said.id),
                ("at", row.at == said.at),
                ("action", row.action == said.action),
                ("actor_id", row.actor_id == said.actor.id),
                ("object_id", row.object_id == said.object.id),
            ];
            if let Some((column, _)) = other.into_iter().find(|(_, same)| !same) {
                return Err(Fault::Column { column });
            }
        }
        match &self.wanted {
            Some(wanted) if wanted.seq == seq && wanted.hash != hash => {
                Err(Fault::NotTheCheckpoint {
                    hash: hash.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Holds the end against the database's head row: its number and hash.
    ///
    /// # Errors
    /// They differ.
    pub fn ends_with(&self, head: Option<(u64, &str)>) -> Result<(), Broken> {
        let last = self.last.seq;
        let broken = |seq, fault| Err(Broken { seq, fault });
        match head {
            None if last == 0 => Ok(()),
            None => broken(last, Fault::NoHead),
            Some((head, _)) if head > last => broken(last + 1, Fault::CutOff { head }),
            Some((head, _)) if head < last => broken(head + 1, Fault::BehindHead { head }),
            Some((_, hash)) if hash != self.last.hash => broken(last, Fault::HeadHash),
            Some(_) => Ok(()),
        }
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// The checkpoint's record has not come.
    pub fn end(&self) -> Result<(), Broken> {
        match &self.wanted {
            Some(wanted) if wanted.seq > self.last.seq => Err(Broken {
                seq: wanted.seq,
                fault: Fault::BeforeCheckpoint {
                    last: self.last.seq,
                },
            }),
            _ => Ok(()),
        }
    }
}

const BEFORE_HASH: &str = "{\"hash\":\"";
const BEFORE_RECORD: &str = "\",\"record\":";
const BEHIND_RECORD: &str = "}\n";

/// A record as a line of an export.
#[must_use]
pub fn line(record: &str, hash: &str) -> String {
    format!("{BEFORE_HASH}{hash}{BEFORE_RECORD}{record}{BEHIND_RECORD}")
}

/// Record and hash of a line: each octet has its place, so that none can change unseen.
fn read_line(line: &[u8]) -> Option<(&str, &str)> {
    let rest = std::str::from_utf8(line).ok()?.strip_prefix(BEFORE_HASH)?;
    let (hash, rest) = rest.split_at_checked(NO_RECORD.len())?;
    let record = rest.strip_prefix(BEFORE_RECORD)?;
    Some((record.strip_suffix(BEHIND_RECORD)?, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, previous: &str) -> (String, String) {
        let value = serde_json::json!({
            "format": FORMAT, "chain": "provider", "seq": seq, "previous": previous,
            "id": format!("id {seq}"), "at": "2026-11-24T12:00:00.000000Z",
            "actor": {"kind": "system", "id": "test"}, "action": "site.create",
            "object": {"kind": "site", "id": "1"}, "details": {"name": "Büro \u{1f600}", "n": 1.5},
            "personal": [], "request_id": "2",
        });
        let text = serde_json_canonicalizer::to_string(&value).unwrap();
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        (text, hash)
    }

    fn chain(length: u64) -> Vec<(String, String)> {
        let mut records: Vec<(String, String)> = Vec::new();
        for seq in 1..=length {
            let previous = records
                .last()
                .map_or(NO_RECORD.to_owned(), |(_, hash)| hash.clone());
            records.push(record(seq, &previous));
        }
        records
    }

    fn followed(records: &[(String, String)], wanted: Option<Checkpoint>) -> Result<Chain, Broken> {
        let mut chain = Chain::new(None, wanted);
        for (record, hash) in records {
            chain.follow_line(line(record, hash).as_bytes())?;
        }
        chain.end()?;
        Ok(chain)
    }

    #[track_caller]
    fn check(records: &[(String, String)], seq: u64, fault: &str) {
        let broken = followed(records, None).unwrap_err();
        assert_eq!(broken.seq, seq, "{broken}");
        let said = serde_json::to_value(&broken).unwrap();
        assert_eq!(said["fault"], fault, "{broken}");
    }

    #[test]
    fn what_was_done_to_a_chain_is_named() {
        let whole = chain(5);
        let followed_whole = followed(&whole, None).unwrap();
        assert_eq!(followed_whole.last().seq, 5);
        assert_eq!(followed_whole.name(), Some("provider"));

        let rehashed = |text: String| {
            let hash = hex::encode(Sha256::digest(text.as_bytes()));
            (text, hash)
        };
        let mut edited = whole.clone();
        edited[2].0 = edited[2].0.replace("create", "update");
        check(&edited, 3, "hash");
        edited[2] = rehashed(edited[2].0.clone());
        check(&edited, 4, "previous");

        let mut deleted = whole.clone();
        deleted.remove(1);
        check(&deleted, 2, "gap");
        let mut doubled = whole.clone();
        doubled.insert(3, whole[1].clone());
        check(&doubled, 4, "order");
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        check(&swapped, 2, "gap");

        let mut spaced = whole.clone();
        spaced[0] = rehashed(spaced[0].0.replace(",\"seq\"", ", \"seq\""));
        check(&spaced, 1, "not_canonical");
        let mut other = whole.clone();
        other[1] = rehashed(other[1].0.replace("audit/1", "audit/2"));
        check(&other, 2, "format");
        other[1] = rehashed(whole[1].0.replace("provider", "somebody"));
        check(&other, 2, "other_chain");
        other[1] = rehashed("[".to_owned());
        check(&other, 2, "no_record");
        other[1] = rehashed(whole[1].0.replace("\"seq\":2", "\"seq\":2,\"seq\":2"));
        check(&other, 2, "not_canonical");
    }

    #[test]
    fn a_checkpoint_finds_what_was_cut_off_or_written_anew() {
        let whole = chain(5);
        let noted = |seq: u64, hash: &str| Some(format!("{seq}:{hash}").parse().unwrap());
        for (place, (_, hash)) in whole.iter().enumerate() {
            let seq = u64::try_from(place).unwrap() + 1;
            followed(&whole, noted(seq, &hash.to_uppercase())).unwrap();
            let broken = followed(&whole[..place], noted(seq, hash)).unwrap_err();
            assert_eq!(broken.seq, seq);
            assert!(matches!(broken.fault, Fault::BeforeCheckpoint { .. }));
        }
        let broken = followed(&whole, noted(2, &whole[2].1)).unwrap_err();
        assert_eq!(broken.seq, 2);
        assert!(matches!(broken.fault, Fault::NotTheCheckpoint { .. }));
        for text in [
            "",
            "1",
            "0:",
            &format!("0:{NO_RECORD}"),
            &format!("-1:{NO_RECORD}"),
            &format!("1:{NO_RECORD}0"),
            "1:abc",
        ] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_head_holds_the_end() {
        let whole = followed(&chain(3), None).unwrap();
        let hash = whole.last().hash.clone();
        whole.ends_with(Some((3, &hash))).unwrap();
        let broken = |head| whole.ends_with(head).unwrap_err();
        insta::assert_snapshot!(broken(None), @"record 3: it is the last, and the chain's row in audit_heads is missing");
        insta::assert_snapshot!(broken(Some((4, &hash))), @"record 4: it is missing: the chain's row in audit_heads says that there are 4 records");
        insta::assert_snapshot!(broken(Some((2, &hash))), @"record 3: the chain's row in audit_heads ends before it, with record 2");
        insta::assert_snapshot!(broken(Some((3, NO_RECORD))), @"record 3: it is the last, and the chain's row in audit_heads has another hash");
        let none = Chain::new(None, None);
        none.ends_with(None).unwrap();
        assert_eq!(none.ends_with(Some((1, &hash))).unwrap_err().seq, 1);
    }

    #[test]
    fn no_octet_of_an_export_changes_unseen() {
        let text: String = chain(3)
            .iter()
            .map(|(record, hash)| line(record, hash))
            .collect();
        let follow = |octets: &[u8]| {
            let mut chain = Chain::new(None, None);
            octets
                .split_inclusive(|octet| *octet == b'\n')
                .try_for_each(|line| chain.follow_line(line))
        };
        follow(text.as_bytes()).unwrap();
        for place in 0..text.len() {
            for change in [1, 0x20, 0x80] {
                let mut octets = text.clone().into_bytes();
                octets[place] ^= change;
                assert!(follow(&octets).is_err(), "octet {place} with {change:#x}");
            }
        }
        // Cut anywhere but behind a line.
        for end in 1..text.len() {
            let whole = text.as_bytes()[end - 1] == b'\n';
            assert_eq!(follow(&text.as_bytes()[..end]).is_ok(), whole, "{end}");
        }
    }
}
