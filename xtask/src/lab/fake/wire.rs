//! What goes over the wire of a fake server, as octets and words.

use super::FakeMessage;

/// The length, and whether the client waits for leave to send.
pub(super) fn literal(line: &str) -> Option<(u64, bool)> {
    let inner = line.strip_suffix('}')?;
    let (_, number) = inner.rsplit_once('{')?;
    match number.strip_suffix(['+', '-']) {
        Some(number) => Some((number.parse().ok()?, false)),
        None => Some((number.parse().ok()?, true)),
    }
}

/// Words and quoted strings, unescaped; brackets are not looked into.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut word = String::new();
        match c {
            ' ' => continue,
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => word.extend(chars.next()),
                        c => word.push(c),
                    }
                }
            }
            c => {
                word.push(c);
                while let Some(c) = chars.next_if(|c| *c != ' ') {
                    word.push(c);
                }
            }
        }
        out.push(word);
    }
    out
}

/// Whether a sequence set names `number`, where `*` is `highest` (RFC 9051, section 9: `7:*` names it even below 7).
pub(super) fn in_set(set: &str, number: u32, highest: u32) -> bool {
    let bound = |text: &str| {
        if text == "*" {
            highest
        } else {
            text.parse().unwrap_or(0)
        }
    };
    set.split(',').any(|part| {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        let (low, high) = (bound(low), bound(high));
        (low.min(high)..=low.max(high)).contains(&number)
    })
}

pub(super) fn fetch(
    sequence: u32,
    message: &FakeMessage,
    text: &str,
    by_uid: bool,
    out: &mut Vec<u8>,
) {
    let upper = text.to_ascii_uppercase();
    let mut items: Vec<Vec<u8>> = Vec::new();
    if by_uid || upper.contains("(UID") || upper.contains(" UID") {
        items.push(format!("UID {}", message.uid).into_bytes());
    }
    if upper.contains("FLAGS") {
        items.push(format!("FLAGS ({})", message.flags.join(" ")).into_bytes());
    }
    if upper.contains("INTERNALDATE") {
        items.push(format!("INTERNALDATE \"{}\"", message.internaldate).into_bytes());
    }
    if upper.contains("RFC822.SIZE") {
        items.push(format!("RFC822.SIZE {}", message.body.len()).into_bytes());
    }
    if upper.contains("X-GM-LABELS") {
        items.push(format!("X-GM-LABELS ({})", message.labels).into_bytes());
    }
    if let Some((_, rest)) = text
        .split_once("BODY.PEEK[")
        .or_else(|| text.split_once("BODY["))
    {
        let (section, after) = rest.split_once(']').unwrap_or((rest, ""));
        let head = find(&message.body, b"\r\n\r\n").map_or(message.body.len(), |end| end + 4);
        let whole = if section.is_empty() {
            &message.body[..]
        } else {
            message.body.get(..head).unwrap_or_default()
        };
        let (octets, origin) = match after
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
        {
            Some((range, _)) => {
                let (offset, length) = range.split_once('.').unwrap_or((range, "0"));
                let offset: usize = offset.parse().unwrap_or(0);
                let length: usize = length.parse().unwrap_or(0);
                let rest = whole.get(offset..).unwrap_or_default();
                (rest.get(..length).unwrap_or(rest), format!("<{offset}>"))
            }
            None => (whole, String::new()),
        };
        let mut item = format!("BODY[{section}]{origin} {{{}}}\r\n", octets.len()).into_bytes();
        item.extend_from_slice(octets);
        items.push(item);
    }
    out.extend_from_slice(format!("* {sequence} FETCH (").as_bytes());
    out.extend_from_slice(&items.join(&b' '));
    out.extend_from_slice(b")\r\n");
}

pub(super) fn find(octets: &[u8], mark: &[u8]) -> Option<usize> {
    octets
        .windows(mark.len().max(1))
        .position(|window| window == mark)
}

pub(super) fn replace(octets: &[u8], mark: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = find(rest, mark) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(with);
        rest = rest.get(at + mark.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}
