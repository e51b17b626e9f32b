//! The certificate of a Tx: what the agent of a site asserts about the three corners, in figures that a
//! reader without the mail can check. No subject, sender, address or folder name is in it, and no field that is not
//! named here: what is signed is understood. The format is described for strangers in agent/CERTIFICATE.md.

mod check;
mod signature;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::check::{EARLIEST, LARGEST, ROLES, is_run_nonce};
pub(crate) use self::check::{is_hex, too_early};
pub use self::signature::{
    Chained, Countersignature, Unsound, countersigned_octets, follows, hash_of, key_fingerprint,
    key_text, read_key, signed_octets, verify,
};
use crate::vocabulary::{Class, Corner, Depth, Direction, Reason, Verdict};

/// The `format` of a certificate of this version.
pub const FORMAT: &str = "maildreieck-certificate/1";

/// What the server's nonce is when there was no server to give one.
pub const UNANCHORED: &str = "unanchored";

/// A folder without its name: a special-use role (`inbox`, `sent`, `archive`, `drafts`, `junk`, `trash`,
/// `flagged`, `all`), or `f:` and 16 hex digits keyed per site, or `*` where a figure belongs to no folder, as what
/// waits for a medium.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "inbox", max_length = 64)]
pub struct FolderRef(pub String);

/// Counts of one corner, or of one folder in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CornerFigures {
    /// Messages, each counted once.
    pub messages: u64,
    /// Their octets as RFC822.SIZE counts them.
    pub bytes: u64,
    /// Order-free hash over (folder, content id, INTERNALDATE, flags) of every message, keyed per site:
    /// 64 hex digits. Equal sets have equal hashes; the server cannot recognise a mail by it.
    pub set_hash: String,
}

/// The figures of one folder in the three corners; a corner that lacks the folder has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderFigures {
    /// Which folder.
    pub folder: FolderRef,
    /// Its figures on the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<CornerFigures>,
    /// Its figures on the standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<CornerFigures>,
    /// Its figures in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<CornerFigures>,
    /// Its figures on the medium; absent, since no agent of this version writes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<CornerFigures>,
}

/// The figures of the three corners, all folders together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Corners {
    /// The primary.
    pub primary: CornerFigures,
    /// The standby.
    pub standby: CornerFigures,
    /// The store.
    pub store: CornerFigures,
    /// The medium; absent, since no agent of this version writes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<CornerFigures>,
}

/// Where a folder of an account stood at the cut (RFC 9051, 2.3.1.1; RFC 7162, 3.1), also one without
/// messages, which has no figures. The store has no UIDs and no cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CutPoint {
    /// The account's corner: primary or standby.
    pub corner: Corner,
    /// Which folder.
    pub folder: FolderRef,
    /// UIDVALIDITY at the cut, never 0.
    pub uidvalidity: u32,
    /// UIDNEXT at the cut, never 0: what has this UID or a higher one is `late`.
    pub uidnext: u32,
    /// HIGHESTMODSEQ at the cut, 1 to 2^53 - 1; absent where the server keeps none or a larger one. It has up
    /// to 63 bits (RFC 7162, 3.1), of which canonical JSON says 53 exactly, and a rounded one would be false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9007199254740991u64)]
    pub highestmodseq: Option<u64>,
}

/// How many differences of one class one folder of one corner has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferenceCount {
    /// The class.
    pub class: Class,
    /// The corner that differs, `standby` or `store`, from the primary unless another is named; some classes are of one of them alone
    /// ([`Class::corners`]).
    pub corner: Corner,
    /// The corner that it differs from where that is not the primary: what vanished there is missing in one of the two
    /// others and in the other not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Corner>,
    /// The folder.
    pub folder: FolderRef,
    /// Why it counts as explained, a reason of its class ([`Class::reasons`]); absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// How many messages, 1 or more.
    #[schema(minimum = 1)]
    pub count: u64,
}

/// Something that the mirror mended since the last Tx, so that it does not tidy evidence away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairCount {
    /// What had been wrong: `missing_at_standby`, `missing_in_store`, `altered`, `flags_differ`, `date_differs` or
    /// `misplaced`.
    pub class: Class,
    /// Where.
    pub corner: Corner,
    /// In which folder.
    pub folder: FolderRef,
    /// When the last of them was mended, whole seconds; not after `tx_at`.
    pub at: DateTime<Utc>,
    /// How many messages, 1 or more.
    #[schema(minimum = 1)]
    pub count: u64,
}

/// How much of the corners was proved by reading bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CornerCoverage {
    /// The corner.
    pub corner: Corner,
    /// Whether it could be read whole at this depth. At depth `content` a corner with messages of which none
    /// was read is not.
    pub whole: bool,
    /// Messages of the corner whose bytes have been verified at some time; of the store none as long as one
    /// was not.
    pub content_verified: u64,
    /// Those of them whose bytes were verified in this Tx. The store reads equal messages once, and some that
    /// count no more; it says how many it read, at most `content_verified`.
    pub content_verified_now: u64,
    /// The oldest of the last verifications, whole seconds; absent while a message has none, and where there
    /// are no messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_proof: Option<DateTime<Utc>>,
}

/// What the guard counts: messages that vanished on the primary, or that were to be put back on the standby.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LostCount {
    /// Vanished on the primary.
    pub vanished: u64,
    /// Put back on the standby.
    pub put_back: u64,
}

/// What vanished or was put back up to this Tx, held against [`GuardShares::of`] by the site's guard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardShares {
    /// Within 24 hours before the Tx.
    pub day: LostCount,
    /// Within 7 days before the Tx, those 24 hours included.
    pub week: LostCount,
    /// Messages that the primary was known to have.
    pub of: u64,
}

/// What the agent of a site asserts about one Tx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`FORMAT`].
    #[schema(example = "maildreieck-certificate/1")]
    pub format: String,
    /// The triangle's id on the server for a Tx of its schedule, or its name in the site's file for any other. Each has
    /// a chain of its own.
    pub triangle: String,
    /// Its place in that chain: 1, 2, 3, …
    #[schema(minimum = 1, maximum = 9007199254740991u64)]
    pub sequence: u64,
    /// The hash ([`hash_of`]) of the certificate before it, 64 hex digits in lower case; absent at `sequence` 1 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 64, max_length = 64)]
    pub previous: Option<String>,
    /// When the proof began, by the agent's clock: not before its run did.
    pub tx_at: DateTime<Utc>,
    /// How deep it looked.
    pub depth: Depth,
    /// The verdict; equal to [`Certificate::verdict_of_figures`], or the certificate is void.
    pub verdict: Verdict,
    /// Which way mail flows.
    pub direction: Direction,
    /// Counts failovers and returns; 0 before the first, at most 2^31 - 1.
    #[schema(maximum = 2147483647)]
    pub epoch: u32,
    /// Where each folder stood.
    pub cut: Vec<CutPoint>,
    /// All folders together.
    pub corners: Corners,
    /// Folder by folder.
    pub folders: Vec<FolderFigures>,
    /// Differences by class, corner and folder.
    pub differences: Vec<DifferenceCount>,
    /// Repairs since the last Tx.
    pub repairs: Vec<RepairCount>,
    /// Tombstones that are new since the last Tx. No figure bounds them: what came and vanished since is in none, and
    /// a folder that is gone has no cut.
    pub new_tombstones: u64,
    /// How much vanished or was put back within a day and a week.
    pub guard: GuardShares,
    /// Coverage of each corner.
    pub coverage: Vec<CornerCoverage>,
    /// The server's nonce for this run, asked for when it began, or [`UNANCHORED`]: with the first the proof is no older than
    /// the nonce, with the second only the agent's clock says when it was.
    #[schema(example = "unanchored")]
    pub nonce: String,
    /// BLAKE3 of the triangle's canonical configuration without secrets, 64 hex digits in lower case.
    #[schema(min_length = 64, max_length = 64)]
    pub configuration_hash: String,
    /// The agent's version, like `1.2.3` or `1.2.3-rc.1`.
    #[schema(example = "0.1.0", max_length = 64)]
    pub agent_version: String,
    /// The agent's Ed25519 public key, 32 octets in base64url without padding.
    #[schema(min_length = 43, max_length = 43)]
    pub signing_key: String,
    /// Its signature (Ed25519, RFC 8032) over [`signed_octets`], 64 octets in base64url without padding; absent
    /// only before it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 86, max_length = 86)]
    pub signature: Option<String>,
    /// What the server said to it; joins it on site when the server has committed it, and is no part of what is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countersignature: Option<Countersignature>,
}

impl Certificate {
    /// The verdict that the figures demand: `unproven` if a corner was not read whole or mail is pending,
    /// else `unbalanced` if a difference has no admissible reason, else `balanced`.
    #[must_use]
    pub fn verdict_of_figures(&self) -> Verdict {
        verdict(
            [Corner::Primary, Corner::Standby, Corner::Store]
                .iter()
                .all(|corner| self.coverage.iter().any(|c| c.corner == *corner && c.whole)),
            self.differences.iter().map(|d| (d.class, d.reason)),
        )
    }
}

/// The verdict over differences, each with the reason that explains it if one does.
pub fn verdict(
    whole: bool,
    differences: impl IntoIterator<Item = (Class, Option<Reason>)>,
) -> Verdict {
    let mut unbalanced = false;
    for (class, reason) in differences {
        if class == Class::Pending {
            return Verdict::Unproven;
        }
        unbalanced |= !reason.is_some_and(|reason| class.reasons().contains(&reason));
    }
    match (whole, unbalanced) {
        (false, _) => Verdict::Unproven,
        (true, true) => Verdict::Unbalanced,
        (true, false) => Verdict::Balanced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_takes_the_first_that_applies() {
        let check = |whole, differences: &[(Class, Option<Reason>)], expected| {
            assert_eq!(
                verdict(whole, differences.iter().copied()),
                expected,
                "{whole} {differences:?}"
            );
        };
        check(true, &[], Verdict::Balanced);
        check(false, &[], Verdict::Unproven);
        check(
            true,
            &[(Class::Late, Some(Reason::ByClass))],
            Verdict::Balanced,
        );
        check(true, &[(Class::Late, None)], Verdict::Unbalanced);
        check(
            true,
            &[(Class::Altered, Some(Reason::ByClass))],
            Verdict::Unbalanced,
        );
        check(
            true,
            &[(Class::FlagsDiffer, Some(Reason::UnsupportedKeyword))],
            Verdict::Balanced,
        );
        check(
            true,
            &[(Class::FlagsDiffer, Some(Reason::ClampedDate))],
            Verdict::Unbalanced,
        );
        check(
            true,
            &[(Class::Altered, None), (Class::Pending, None)],
            Verdict::Unproven,
        );
        check(false, &[(Class::Altered, None)], Verdict::Unproven);
    }
}
