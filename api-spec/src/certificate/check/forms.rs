//! Forms: names, hashes, numbers, what may stand how often and in which corner. They hold whatever the
//! verdict.

use std::collections::BTreeSet;

use super::{Certificate, Found};
use crate::certificate::{FolderRef, UNANCHORED};
use crate::vocabulary::{Class, Corner, Direction};

/// The largest count: what canonical JSON can say exactly (RFC 8785, 3.2.2.3; RFC 7493, 2.2).
pub const LARGEST: u64 = (1 << 53) - 1;

/// The folders that have a name in a certificate.
pub const ROLES: [&str; 9] = [
    "inbox",
    "sent",
    "archive",
    "drafts",
    "junk",
    "trash",
    "flagged",
    "important",
    "all",
];

/// What a ledger can count failovers and returns up to.
const LAST_EPOCH: u32 = (1 << 31) - 1;

/// What a mirror mends.
const MENDED: [Class; 6] = [
    Class::MissingAtStandby,
    Class::MissingInStore,
    Class::Altered,
    Class::FlagsDiffer,
    Class::DateDiffers,
    Class::Misplaced,
];

/// What two corners can differ by besides the primary.
const PAIRS: [(Class, Corner, Option<Corner>); 2] = [
    (
        Class::MissingAtStandby,
        Corner::Standby,
        Some(Corner::Store),
    ),
    (Class::MissingInStore, Corner::Store, Some(Corner::Standby)),
];

const FOLDER: &str = "a role, or `f:` and 16 hex digits in lower case";
const PLACE: &str =
    "a role, `f:` and 16 hex digits in lower case, or `*` for what waits for a medium";

impl FolderRef {
    /// Whether it is a role, or `f:` and 16 hex digits, lower case.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        ROLES.contains(&self.0.as_str())
            || self.0.strip_prefix("f:").is_some_and(|hex| is_hex(hex, 16))
    }

    /// Whether it is `*`: no folder in particular.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

/// Whether a text is so many hex digits, lower case.
pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The length of a server's nonce for a Tx.
const NONCE: usize = 96;

/// Whether a text has the form of a server's nonce for a run. One that has not would void the certificate.
#[must_use]
pub fn is_run_nonce(text: &str) -> bool {
    is_base64url(text, NONCE)
}

/// Whether a text is so many characters of base64url (RFC 4648, 5) without padding.
fn is_base64url(text: &str, length: usize) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() == length && text.bytes().all(known)
}

/// Whether a text is a version like `1.2.3`, `1.2.3-rc.1` or `1.2.3+debian`, at most 64 characters.
fn is_version(text: &str) -> bool {
    let (numbers, rest) = match text.find(['-', '+']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let tail = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    text.len() <= 64
        && numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && rest.len() != 1
        && rest.bytes().all(tail)
}

fn corners(class: Class) -> String {
    let words = class.corners().iter().map(|corner| corner.as_str());
    let words = words.collect::<Vec<_>>().join(" or ");
    format!("{words}, the only corner that can have {class}")
}

impl Certificate {
    pub(super) fn check_forms(&self, found: &mut Found) {
        self.check_head(found);
        self.check_places(found);
        self.check_differences(found);
        let mut seen = BTreeSet::new();
        for (i, c) in self.coverage.iter().enumerate() {
            if !seen.insert(c.corner) {
                found.say(format!("/coverage/{i}/corner"), "each corner once");
            }
        }
        for (at, corner, figures) in self.figures() {
            // A corner that could not be read has no hash.
            let none = figures.set_hash.is_empty() && !self.whole(corner);
            if !none && !is_hex(&figures.set_hash, 64) {
                found.say(format!("{at}/set_hash"), "64 hex digits in lower case");
            }
        }
    }

    fn check_head(&self, found: &mut Found) {
        if self.direction == Direction::StandbyToPrimary && self.epoch == 0 {
            let rule = "primary_to_standby in epoch 0, since each failover begins another";
            found.say("/direction", rule);
        }
        if self.nonce != UNANCHORED && !is_run_nonce(&self.nonce) {
            let rule = format!("{UNANCHORED}, or {NONCE} characters of base64url");
            found.say("/nonce", rule);
        }
        if (self.sequence == 1) != self.previous.is_none() {
            let rule = "there unless `sequence` is 1, which begins a chain";
            found.say("/previous", rule);
        }
        if self.previous.as_deref().is_some_and(|p| !is_hex(p, 64)) {
            found.say("/previous", "64 hex digits in lower case");
        }
        if !is_base64url(&self.signing_key, 43) {
            found.say("/signing_key", "32 octets in base64url without padding");
        }
        if self
            .signature
            .as_deref()
            .is_some_and(|s| !is_base64url(s, 86))
        {
            found.say("/signature", "64 octets in base64url without padding");
        }
        let mediums = self.folders.iter().any(|f| f.medium.is_some());
        if self.corners.medium.is_some() || mediums {
            found.say("/corners/medium", "absent in this version");
        }
        if !is_hex(&self.configuration_hash, 64) {
            found.say("/configuration_hash", "64 hex digits in lower case");
        }
        if !is_version(&self.agent_version) {
            let rule = "a version like `1.2.3` or `1.2.3-rc.1`, at most 64 characters";
            found.say("/agent_version", rule);
        }
    }

    fn check_places(&self, found: &mut Found) {
        let mut seen = BTreeSet::new();
        for (i, folder) in self.folders.iter().enumerate() {
            if !folder.folder.is_folder() {
                found.say(format!("/folders/{i}/folder"), FOLDER);
            }
            if !seen.insert(&folder.folder) {
                found.say(format!("/folders/{i}/folder"), "each folder once");
            }
        }
        let mut seen = BTreeSet::new();
        for (i, cut) in self.cut.iter().enumerate() {
            if !cut.folder.is_folder() {
                found.say(format!("/cut/{i}/folder"), FOLDER);
            }
            if cut.corner == Corner::Store {
                let rule = "primary or standby, since the store has no UIDs";
                found.say(format!("/cut/{i}/corner"), rule);
            }
            if !seen.insert((cut.corner, &cut.folder)) {
                found.say(format!("/cut/{i}"), "each folder of a corner once");
            }
        }
    }

    fn check_differences(&self, found: &mut Found) {
        let mut seen = BTreeSet::new();
        for (i, d) in self.differences.iter().enumerate() {
            // A message lies in a folder; a medium has none.
            let anywhere = d.folder.is_any() && d.class == Class::NotYetOnMedium;
            if !d.folder.is_folder() && !anywhere {
                found.say(format!("/differences/{i}/folder"), PLACE);
            }
            if !d.class.corners().contains(&d.corner) {
                found.say(format!("/differences/{i}/corner"), corners(d.class));
            }
            if d.reason.is_some_and(|r| !d.class.reasons().contains(&r)) {
                let rule = format!("absent, or a reason that can explain {}", d.class);
                found.say(format!("/differences/{i}/reason"), rule);
            }
            let pair = (d.class, d.corner, d.against);
            if d.against.is_some() && !PAIRS.contains(&pair) {
                let rule = "absent but for what the standby lacks and the store has, or the other way round";
                found.say(format!("/differences/{i}/against"), rule);
            }
            if !seen.insert((pair, &d.folder, d.reason)) {
                let rule = "each class, pair of corners, folder and reason once";
                found.say(format!("/differences/{i}"), rule);
            }
        }
        let mut seen = BTreeSet::new();
        for (i, r) in self.repairs.iter().enumerate() {
            if !r.folder.is_folder() {
                found.say(format!("/repairs/{i}/folder"), FOLDER);
            }
            if !MENDED.contains(&r.class) {
                let words = MENDED.map(Class::as_str).join(", ");
                found.say(format!("/repairs/{i}/class"), format!("one of {words}"));
            } else if !r.class.corners().contains(&r.corner) {
                found.say(format!("/repairs/{i}/corner"), corners(r.class));
            }
            if !seen.insert((r.class, r.corner, &r.folder)) {
                let rule = "each class, corner and folder once";
                found.say(format!("/repairs/{i}"), rule);
            }
        }
    }

    pub(super) fn check_numbers(&self, found: &mut Found) {
        let mut check = |at: String, number: u64, least: u64, most: u64| {
            if !(least..=most).contains(&number) {
                found.say(at, format!("{least} to {most}"));
            }
        };
        check("/epoch".to_owned(), self.epoch.into(), 0, LAST_EPOCH.into());
        for (i, cut) in self.cut.iter().enumerate() {
            let at = |name: &str| format!("/cut/{i}/{name}");
            check(
                at("uidvalidity"),
                cut.uidvalidity.into(),
                1,
                u32::MAX.into(),
            );
            check(at("uidnext"), cut.uidnext.into(), 1, u32::MAX.into());
            if let Some(modseq) = cut.highestmodseq {
                check(at("highestmodseq"), modseq, 1, LARGEST);
            }
        }
        for (at, _, figures) in self.figures() {
            check(format!("{at}/messages"), figures.messages, 0, LARGEST);
            check(format!("{at}/bytes"), figures.bytes, 0, LARGEST);
        }
        for (i, d) in self.differences.iter().enumerate() {
            check(format!("/differences/{i}/count"), d.count, 1, LARGEST);
        }
        for (i, r) in self.repairs.iter().enumerate() {
            check(format!("/repairs/{i}/count"), r.count, 1, LARGEST);
        }
        check(
            "/new_tombstones".to_owned(),
            self.new_tombstones,
            0,
            LARGEST,
        );
        check("/sequence".to_owned(), self.sequence, 1, LARGEST);
        let (day, week) = (self.guard.day, self.guard.week);
        for (name, day, week) in [
            ("vanished", day.vanished, week.vanished),
            ("put_back", day.put_back, week.put_back),
        ] {
            check(format!("/guard/week/{name}"), week, 0, LARGEST);
            check(format!("/guard/day/{name}"), day, 0, week.min(LARGEST));
        }
        check("/guard/of".to_owned(), self.guard.of, 0, LARGEST);
        for (i, c) in self.coverage.iter().enumerate() {
            let at = |name: &str| format!("/coverage/{i}/{name}");
            check(at("content_verified"), c.content_verified, 0, LARGEST);
            check(
                at("content_verified_now"),
                c.content_verified_now,
                0,
                LARGEST,
            );
        }
    }
}
