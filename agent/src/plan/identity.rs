//! What makes two messages the same one, and the small types that every other room speaks.
//!
//! A message is its octets: [`ContentId`] is BLAKE3 over what FETCH delivered. Where it lies is a
//! [`LogicalFolder`], when it came an [`InternalDate`], how it is marked [`Flags`]. None of these types can
//! hold a value that would be unsafe to send to a mail server.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, Utc};
use serde::{Deserialize, Serialize};

/// BLAKE3 of a message's octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 32]);

impl ContentId {
    /// The id of these octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Self(*blake3::hash(octets).as_bytes())
    }

    /// From 32 octets as a database keeps them; `None` for another length.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::encode(self.0).get(..12).unwrap_or_default())
    }
}

impl Serialize for ContentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A message's place in the store: one for each copy on the source. Derived from the place where the copy
/// was first seen, so that recording it twice is recording it once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub [u8; 16]);

impl MemberId {
    /// The id of the copy first seen at this place.
    #[must_use]
    pub fn of(triangle: &str, mailbox: &str, uidvalidity: u32, generation: u32, uid: u32) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("maildreieck 2026 member id");
        for text in [triangle, mailbox] {
            hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        for number in [uidvalidity, generation, uid] {
            hasher.update(&number.to_le_bytes());
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }

    /// The id of another message that is seen at this place later: the server has put it there under the same UID.
    #[must_use]
    pub fn beside(self, content: ContentId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("maildreieck 2026 member id beside");
        hasher.update(&self.0);
        hasher.update(&content.0);
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }

    /// From 16 octets as a database keeps them; `None` for another length.
    #[must_use]
    pub fn from_slice(octets: &[u8]) -> Option<Self> {
        octets.try_into().ok().map(Self)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::encode(self.0).get(..8).unwrap_or_default())
    }
}

/// The last certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCertificate {
    /// Its number.
    pub sequence: u64,
    /// Its hash, as the next one says it.
    pub sha256: String,
}

/// INTERNALDATE as an instant, seconds since 1970 (RFC 9051, 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InternalDate(pub i64);

impl InternalDate {
    /// From what a server sent; the zone it was written in is not kept.
    #[must_use]
    pub fn from_datetime(date: DateTime<FixedOffset>) -> Self {
        Self(date.timestamp())
    }

    /// The instant in UTC; `None` beyond the years that chrono knows.
    #[must_use]
    pub fn to_utc(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.0, 0)
    }
}

/// A keyword that may be sent: an atom without `\` (RFC 9051, 9: flag-keyword), at most 200 octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// The keyword of this text; `None` where it is no atom of printable ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let atom = |b: u8| matches!(b, 0x21..=0x7e) && !b"(){%*\"\\]".contains(&b);
        (!text.is_empty() && text.len() <= 200 && text.bytes().all(atom)).then(|| Self(text.into()))
    }

    /// The keyword's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The flags that are copied: four of the five system flags and keywords. `\Deleted` and `\Recent` have no
/// place in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flags {
    system: u8,
    keywords: Box<[Keyword]>,
}

const SYSTEM: [(&str, u8); 4] = [
    ("\\Answered", 1),
    ("\\Flagged", 2),
    ("\\Draft", 4),
    ("\\Seen", 8),
];

impl Flags {
    /// From a server's words: case of system flags does not matter; `\Deleted`, `\Recent`, unknown system
    /// flags and words that are no keyword are left out. Keywords are sorted; those that differ in case
    /// alone are one (RFC 9051, 2.3.2), the first spelling wins.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut system = 0;
        let mut keywords: Vec<Keyword> = Vec::new();
        for word in words {
            if let Some((_, bit)) = SYSTEM
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(word))
            {
                system |= bit;
            } else if let Some(keyword) = Keyword::new(word)
                && !keywords.iter().any(|k| k.0.eq_ignore_ascii_case(word))
            {
                keywords.push(keyword);
            }
        }
        keywords.sort_unstable();
        Self {
            system,
            keywords: keywords.into_boxed_slice(),
        }
    }

    /// The words to send, system flags first.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        SYSTEM
            .iter()
            .filter(|(_, bit)| self.system & bit != 0)
            .map(|(name, _)| *name)
            .chain(self.keywords.iter().map(Keyword::as_str))
    }

    /// What is the same for flags that differ in the case of keywords alone.
    #[must_use]
    pub fn folded(&self) -> (u8, Vec<String>) {
        let folded = self.keywords.iter().map(|k| k.0.to_ascii_lowercase());
        let mut folded: Vec<String> = folded.collect();
        folded.sort_unstable();
        (self.system, folded)
    }

    /// The words, system flags first, all in lower case and the keywords in the order of that: the same for flags
    /// that are the [same](Self::same).
    #[must_use]
    pub fn folded_words(&self) -> Vec<String> {
        let system = SYSTEM.iter().filter(|(_, bit)| self.system & bit != 0);
        let system = system.map(|(name, _)| name.to_ascii_lowercase());
        system.chain(self.folded().1).collect()
    }

    /// The keywords.
    #[must_use]
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// These flags without the keywords that fail the test.
    #[must_use]
    pub fn retain_keywords(&self, keep: impl Fn(&Keyword) -> bool) -> Self {
        Self {
            system: self.system,
            keywords: self.keywords.iter().filter(|k| keep(k)).cloned().collect(),
        }
    }

    /// What this set has and the other lacks. Keywords are compared without case.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            system: self.system & !other.system,
            keywords: self
                .keywords
                .iter()
                .filter(|k| {
                    !other
                        .keywords
                        .iter()
                        .any(|o| o.0.eq_ignore_ascii_case(&k.0))
                })
                .cloned()
                .collect(),
        }
    }

    /// Whether no flag is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.is_empty()
    }

    /// Whether both sets mean the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.minus(other).is_empty() && other.minus(self).is_empty()
    }
}

impl fmt::Display for Flags {
    /// The words in the order of [`Flags::words`], a blank between them: also the form in databases.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.words().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Flags {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::from_words(text.split_ascii_whitespace()))
    }
}

/// A folder as the three corners share it, whatever separator and language each server uses.
///
/// `INBOX`; or a special use by its role with a backslash, `\Sent`; or the path, components joined by `/`.
/// Inside a component `/` is `%2F` and `%` is `%25`, and a leading backslash is `%5C`, so that the form is
/// injective. A folder below a special one begins with the role: `\Sent/2024`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicalFolder(Arc<str>);

impl LogicalFolder {
    /// From its form in a database; the form is not checked.
    #[must_use]
    pub fn from_stored(form: &str) -> Self {
        Self(form.into())
    }

    /// From components, the first of which may be a role such as `\Sent` or the word `INBOX`.
    pub fn from_components<'a>(
        role: Option<&str>,
        components: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut form = role.unwrap_or_default().to_owned();
        for component in components {
            if !form.is_empty() {
                form.push('/');
            }
            let escaped = component.replace('%', "%25").replace('/', "%2F");
            match escaped.strip_prefix('\\') {
                Some(rest) if form.is_empty() => {
                    form.push_str("%5C");
                    form.push_str(rest);
                }
                _ => form.push_str(&escaped),
            }
        }
        Self(form.into())
    }

    /// The stored form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role that the first component stands for, `\Sent` or `INBOX`, and the components after it, or
    /// all of them, unescaped.
    #[must_use]
    pub fn components(&self) -> (Option<&str>, Vec<String>) {
        let unescape = |c: &str| {
            c.replace("%5C", "\\")
                .replace("%2F", "/")
                .replace("%25", "%")
        };
        let (first, rest) = match self.0.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (&*self.0, None),
        };
        let mut components = Vec::new();
        let role = if first.starts_with('\\') || first == "INBOX" {
            Some(first)
        } else {
            components.push(unescape(first));
            None
        };
        components.extend(
            rest.into_iter()
                .flat_map(|rest| rest.split('/'))
                .map(unescape),
        );
        (role, components)
    }
}

impl fmt::Display for LogicalFolder {
    /// As people read it: the role without its backslash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.strip_prefix('\\').unwrap_or(&self.0))
    }
}

impl Serialize for LogicalFolder {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyword_takes_atoms_alone() {
        let check = |text: &str, expected: bool| {
            assert_eq!(Keyword::new(text).is_some(), expected, "{text:?}")
        };
        check("$Forwarded", true);
        check("NonJunk", true);
        check("a.b-c+d", true);
        for bad in [
            "",
            "a b",
            "\\Seen",
            "x)",
            "(x",
            "{9}",
            "a\r\nb",
            "ü",
            "x\"",
            "x]",
            "*",
            "%",
            &"a".repeat(201),
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn flags_are_canonical() {
        let check = |words: &str, expected: &str| {
            assert_eq!(
                words.parse::<Flags>().unwrap_or_default().to_string(),
                expected,
                "{words}"
            );
        };
        check("\\SEEN \\recent \\Deleted b a B", "\\Seen a b");
        check(
            "\\Flagged \\Answered \\Draft",
            "\\Answered \\Flagged \\Draft",
        );
        check("\\Unknown {3} ok", "ok");
    }

    #[test]
    fn folder_form_is_injective() {
        let forms = [
            LogicalFolder::from_components(None, ["a/b"]),
            LogicalFolder::from_components(None, ["a", "b"]),
            LogicalFolder::from_components(None, ["a%2Fb"]),
            LogicalFolder::from_components(None, ["\\Sent"]),
            LogicalFolder::from_components(Some("\\Sent"), []),
            LogicalFolder::from_components(Some("\\Sent"), ["2024"]),
        ];
        for (i, a) in forms.iter().enumerate() {
            for b in forms.iter().skip(i + 1) {
                assert_ne!(a, b);
            }
            let (role, components) = a.components();
            assert_eq!(
                *a,
                LogicalFolder::from_components(role, components.iter().map(String::as_str))
            );
        }
    }
}
