//! What goes over the wire, as bytes: strings, dates, sets of UIDs, APPEND. No sockets here.
//!
//! A mail body that follows a refused command is executed by some servers as commands, so nothing is
//! written here that a server could refuse for its form: mailbox names are escaped, dates built from
//! instants, flags from [`Flags`], lengths counted.

use std::ops::RangeInclusive;

use chrono::{DateTime, FixedOffset};

use crate::plan::identity::{Flags, InternalDate};

/// A mailbox name as the server lists it (modified UTF-7, RFC 3501, 5.1.3), unescaped.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Mailbox(String);

impl Mailbox {
    /// A name that may be sent as a quoted string: printable ASCII, 1 to 1,000 octets; else `None`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty()
            && name.len() <= 1000
            && name.bytes().all(|b| (0x20..=0x7e).contains(&b));
        fits.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a quoted string (RFC 9051, 9: quoted).
    #[must_use]
    pub fn quoted(&self) -> String {
        quoted(&self.0)
    }
}

/// A quoted string; the caller vouches for printable ASCII.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// A quoted string's content without its escapes, as the parser leaves them in.
#[must_use]
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    out
}

/// A date-time as APPEND takes it (RFC 9051, 9: date-time), in UTC, without the quotes; `None` for years
/// that the form cannot hold.
#[must_use]
pub fn date_time(date: InternalDate) -> Option<String> {
    let utc = date.to_utc()?;
    let text = utc.format("%d-%b-%Y %H:%M:%S +0000").to_string();
    (text.len() == 26).then_some(text)
}

/// An INTERNALDATE as FETCH gives it; `None` where it is none.
#[must_use]
pub fn parse_date_time(text: &str) -> Option<InternalDate> {
    let date: DateTime<FixedOffset> =
        DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z").ok()?;
    Some(InternalDate::from_datetime(date))
}

/// UIDs, ascending, as sets of at most `max_len` octets each (RFC 9051, 9: sequence-set).
#[must_use]
pub fn uid_sets(uids: &[u32], max_len: usize) -> Vec<String> {
    let mut sets = Vec::new();
    let mut set = String::new();
    for range in ranges(uids) {
        let (from, to) = (range.start(), range.end());
        let part = if from == to {
            from.to_string()
        } else {
            format!("{from}:{to}")
        };
        if !set.is_empty() && set.len() + 1 + part.len() > max_len {
            sets.push(std::mem::take(&mut set));
        }
        if !set.is_empty() {
            set.push(',');
        }
        set.push_str(&part);
    }
    if !set.is_empty() {
        sets.push(set);
    }
    sets
}

/// One set of all UIDs, however long.
#[must_use]
pub fn uid_set(uids: &[u32]) -> String {
    uid_sets(uids, usize::MAX).pop().unwrap_or_default()
}

/// How many UIDs a set of [`uid_sets`] names.
#[must_use]
pub fn in_set(set: &str) -> u32 {
    let count = |part: &str| match part.split_once(':') {
        Some((from, to)) => {
            let (from, to) = (from.parse::<u32>().ok()?, to.parse::<u32>().ok()?);
            to.checked_sub(from)?.checked_add(1)
        }
        None => Some(1),
    };
    let counts = set.split(',').filter_map(count);
    counts.fold(0, u32::saturating_add)
}

fn ranges(uids: &[u32]) -> Vec<RangeInclusive<u32>> {
    let mut out: Vec<RangeInclusive<u32>> = Vec::new();
    for &uid in uids {
        match out.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(uid) => *last = *last.start()..=uid,
            _ => out.push(uid..=uid),
        }
    }
    out
}

/// The prefix of the first personal name space, from the line of a NAMESPACE response (RFC 2342, 5; RFC 9051,
/// 6.3.10): `* NAMESPACE (("INBOX." ".")) NIL NIL`. `None` where there is none, or it is written as a literal.
#[must_use]
pub fn personal_namespace(line: &str) -> Option<String> {
    let rest = named(line, "NAMESPACE")?;
    let rest = rest.trim_start().strip_prefix("((\"")?;
    let (mut prefix, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Some(prefix),
            _ => {
                prefix.push(c);
                escaped = false;
            }
        }
    }
    None
}

/// The resources of a QUOTA response, each its name, usage and limit (RFC 9208, 4.2.1): `* QUOTA "User quota"
/// (STORAGE 10 512 MESSAGE 3 100)`. None of a line that is something else.
#[must_use]
pub fn quota_resources(line: &str) -> Vec<(String, u64, u64)> {
    let Some((_, list)) = named(line, "QUOTA").and_then(|rest| rest.rsplit_once('(')) else {
        return Vec::new();
    };
    let words: Vec<&str> = list.trim_end_matches(')').split_whitespace().collect();
    let resource = |words: &[&str]| match words {
        [name, usage, limit] => {
            Some(((*name).to_owned(), usage.parse().ok()?, limit.parse().ok()?))
        }
        _ => None,
    };
    words.chunks(3).filter_map(resource).collect()
}

/// The limit in a STATUS response (RFC 7889, 5): `* STATUS "Sent" (APPENDLIMIT 257890)`; none where it is NIL.
#[must_use]
pub fn append_limit(line: &str) -> Option<u64> {
    let (_, list) = named(line, "STATUS")?.rsplit_once('(')?;
    let mut words = list.trim_end_matches(')').split_whitespace();
    words.find(|word| word.eq_ignore_ascii_case("APPENDLIMIT"))?;
    words.next()?.parse().ok()
}

/// What follows the name of an untagged response.
fn named<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (word, rest) = line.strip_prefix("* ")?.split_once(' ')?;
    word.eq_ignore_ascii_case(name).then_some(rest)
}

/// How a literal is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// `{n}`: the server says `+` before the octets follow.
    Synchronising,
    /// `{n+}`: the octets follow at once (RFC 7888).
    NonSynchronising,
}

/// The part of APPEND before a message's octets: ` (flags) "date" {n}` and CRLF (RFC 9051, 6.3.12; each
/// further message of a MULTIAPPEND begins alike, RFC 3502). `None` where the date has no such form.
#[must_use]
pub fn append_head(
    flags: &Flags,
    date: InternalDate,
    length: usize,
    literal: Literal,
) -> Option<String> {
    let date = date_time(date)?;
    let plus = if literal == Literal::NonSynchronising {
        "+"
    } else {
        ""
    };
    Some(format!(" ({flags}) \"{date}\" {{{length}{plus}}}\r\n"))
}

/// A mailbox name's text from modified UTF-7 (RFC 3501, 5.1.3); what is no valid form stays as it is.
#[must_use]
pub fn decode_utf7(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        match after.split_once('-') {
            Some(("", tail)) => {
                out.push('&');
                rest = tail;
            }
            Some((encoded, tail)) => match decode_part(encoded) {
                Some(text) => {
                    out.push_str(&text);
                    rest = tail;
                }
                None => {
                    out.push('&');
                    rest = after;
                }
            },
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn decode_part(encoded: &str) -> Option<String> {
    use base64::Engine as _;
    let octets = engine().decode(encoded.replace(',', "/")).ok()?;
    let (pairs, rest) = octets.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    String::from_utf16(
        &pairs
            .iter()
            .map(|pair| u16::from_be_bytes(*pair))
            .collect::<Vec<_>>(),
    )
    .ok()
}

fn engine() -> base64::engine::GeneralPurpose {
    let config = base64::engine::GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config)
}

/// A text as a mailbox name in modified UTF-7.
#[must_use]
pub fn encode_utf7(text: &str) -> String {
    use base64::Engine as _;
    let mut out = String::new();
    let mut pending: Vec<u8> = Vec::new();
    let flush = |pending: &mut Vec<u8>, out: &mut String| {
        if !pending.is_empty() {
            out.push('&');
            out.push_str(&engine().encode(&*pending).replace('/', ","));
            out.push('-');
            pending.clear();
        }
    };
    for c in text.chars() {
        if (' '..='~').contains(&c) {
            flush(&mut pending, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                pending.extend(unit.to_be_bytes());
            }
        }
    }
    flush(&mut pending, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_space_is_read() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(personal_namespace(line).as_deref(), expected, "{line}");
        };
        check(
            "* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"#shared.\" \".\"))",
            Some("INBOX."),
        );
        check(
            "* namespace ((\"\" \"/\")(\"Old/\" \"/\")) NIL NIL",
            Some(""),
        );
        check(
            "* NAMESPACE ((\"a\\\"b\\\\/\" \"/\")) NIL NIL",
            Some("a\"b\\/"),
        );
        check("* NAMESPACE NIL NIL NIL", None);
        check("* NAMESPACE ((\"open", None);
        check("* OK NAMESPACE ((\"x\" NIL))", None);
    }

    #[test]
    fn room_is_read() {
        let check = |line: &str, expected: &[(&str, u64, u64)]| {
            let found = quota_resources(line);
            let found: Vec<_> = found.iter().map(|(n, u, l)| (n.as_str(), *u, *l)).collect();
            assert_eq!(found, expected, "{line}");
        };
        check(
            "* QUOTA \"User (1) quota\" (STORAGE 10 512 MESSAGE 3 100)",
            &[("STORAGE", 10, 512), ("MESSAGE", 3, 100)],
        );
        check("* quota \"\" (storage 0 1)", &[("storage", 0, 1)]);
        check("* QUOTA \"\" ()", &[]);
        check(
            "* QUOTA root (STORAGE 1 x MESSAGE 1 2)",
            &[("MESSAGE", 1, 2)],
        );
        check("* QUOTA root (STORAGE 1", &[]);
        check("* QUOTA {4}", &[]);
        check("* QUOTAROOT INBOX \"a (STORAGE 1 2)\"", &[]);
        let check = |line: &str, expected| assert_eq!(append_limit(line), expected, "{line}");
        check("* STATUS \"a (b)\" (APPENDLIMIT 257890)", Some(257_890));
        check("* STATUS INBOX (MESSAGES 3 appendlimit 0)", Some(0));
        check("* STATUS INBOX (APPENDLIMIT NIL)", None);
        check("* STATUS INBOX (MESSAGES 3)", None);
        check("* LIST () \"/\" (APPENDLIMIT 3)", None);
    }

    #[test]
    fn dates_go_there_and_back() {
        let check = |seconds: i64, expected: Option<&str>| {
            let text = date_time(InternalDate(seconds));
            assert_eq!(text.as_deref(), expected, "{seconds}");
            if let Some(text) = text {
                assert_eq!(parse_date_time(&text), Some(InternalDate(seconds)));
            }
        };
        check(0, Some("01-Jan-1970 00:00:00 +0000"));
        check(1_709_164_800, Some("29-Feb-2024 00:00:00 +0000"));
        check(253_402_300_800, None);
        check(i64::MAX, None);
        assert_eq!(
            parse_date_time(" 7-Jul-1996 02:44:25 -0700"),
            Some(InternalDate(836_732_665))
        );
        assert_eq!(parse_date_time("31-Feb-2024 00:00:00 +0000"), None);
        assert_eq!(parse_date_time("x"), None);
    }

    #[test]
    fn sets_are_short() {
        let check =
            |uids: &[u32], max, expected: &[&str]| assert_eq!(uid_sets(uids, max), expected);
        check(&[], 100, &[]);
        check(&[1, 2, 3, 5, 7, 8], 100, &["1:3,5,7:8"]);
        check(&[1, 3, 5, 7], 3, &["1,3", "5,7"]);
        check(&[u32::MAX - 1, u32::MAX], 100, &["4294967294:4294967295"]);
    }

    #[test]
    fn names_go_there_and_back() {
        let check = |text: &str, name: &str| {
            assert_eq!(encode_utf7(text), name);
            assert_eq!(decode_utf7(name), text);
        };
        check("INBOX", "INBOX");
        check("Entwürfe", "Entw&APw-rfe");
        check("R&D", "R&-D");
        check("山田 😀", "&XHF1MA- &2D3eAA-");
        check("Köln/2024", "K&APY-ln/2024");
        assert_eq!(decode_utf7("a&b"), "a&b");
        assert_eq!(decode_utf7("a&!!-"), "a&!!-");
    }

    #[test]
    fn quoting_leaves_no_way_out() {
        let check = |text: &str| assert_eq!(unescaped(quoted(text).trim_matches('"')), text);
        check("a\\b");
        check("a b (c) {3}");
        assert_eq!(Mailbox::new("a\r\nb LOGOUT"), None);
        assert_eq!(Mailbox::new(""), None);
        assert_eq!(
            Mailbox::new("a\"b").map(|m| m.quoted()),
            Some("\"a\\\"b\"".to_owned())
        );
    }

    #[test]
    fn append_head_is_exact() {
        let flags = "\\Seen $Forwarded".parse::<Flags>().unwrap();
        assert_eq!(
            append_head(&flags, InternalDate(0), 12, Literal::NonSynchronising).unwrap(),
            " (\\Seen $Forwarded) \"01-Jan-1970 00:00:00 +0000\" {12+}\r\n"
        );
        assert_eq!(
            append_head(
                &Flags::default(),
                InternalDate(i64::MAX),
                1,
                Literal::Synchronising
            ),
            None
        );
    }
}
