//! Just enough MIME to show a mail's subject and its plain text on a terminal.

use base64::Engine as _;

/// From, To, Subject and the plain text of a mail.
#[must_use]
pub(super) fn readable(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail).replace("\r\n", "\n");
    let (head, _) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut out = String::new();
    for name in ["From", "To", "Subject", "Date", "Message-ID"] {
        if let Some(value) = header(head, name) {
            out.push_str(&format!("{name}: {}\n", words(&value)));
        }
    }
    out.push('\n');
    out.push_str(
        plain(&text)
            .unwrap_or_else(|| "(no plain text)".to_owned())
            .trim_end(),
    );
    out.push('\n');
    out
}

/// The first text/plain part, decoded.
fn plain(part: &str) -> Option<String> {
    let (head, body) = part.split_once("\n\n")?;
    let kind = header(head, "Content-Type").unwrap_or_else(|| "text/plain".to_owned());
    if kind.to_ascii_lowercase().starts_with("multipart/") {
        let (_, rest) = kind.split_once("boundary=")?;
        let boundary = rest.split(';').next()?.trim().trim_matches('"');
        return body
            .split(&format!("--{boundary}"))
            .skip(1)
            .filter(|part| !part.starts_with("--"))
            .find_map(|part| plain(part.trim_start_matches('\n')));
    }
    if !kind.to_ascii_lowercase().starts_with("text/plain") {
        return None;
    }
    let octets = match header(head, "Content-Transfer-Encoding")
        .unwrap_or_default()
        .to_ascii_lowercase()
        .trim()
    {
        "base64" => decode_base64(body),
        "quoted-printable" => quoted_printable(body, false),
        _ => body.as_bytes().to_vec(),
    };
    Some(String::from_utf8_lossy(&octets).replace("\r\n", "\n"))
}

/// A header's value, unfolded.
fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines();
    while let Some(line) = lines.next() {
        let Some((found, value)) = line.split_once(':') else {
            continue;
        };
        if found.eq_ignore_ascii_case(name) {
            let mut value = value.trim().to_owned();
            for more in lines.take_while(|line| line.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(more.trim());
            }
            return Some(value);
        }
    }
    None
}

/// Encoded words (RFC 2047) in UTF-8, decoded; adjoining ones are joined.
fn words(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some((before, tail)) = rest.split_once("=?") {
        if !(after_word && before.trim().is_empty()) {
            out.push_str(before);
        }
        let mut fields = tail.splitn(3, '?');
        let (Some(_), Some(encoding), Some(coded)) = (fields.next(), fields.next(), fields.next())
        else {
            out.push_str("=?");
            rest = tail;
            continue;
        };
        let Some((coded, tail)) = coded.split_once("?=") else {
            break;
        };
        let octets = if encoding.eq_ignore_ascii_case("b") {
            decode_base64(coded)
        } else {
            quoted_printable(coded, true)
        };
        out.push_str(&String::from_utf8_lossy(&octets));
        after_word = true;
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn decode_base64(text: &str) -> Vec<u8> {
    let tight: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(tight)
        .unwrap_or_default()
}

fn quoted_printable(text: &str, underscores: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'=' => {
                let first = bytes.next();
                if first == Some(b'\n') {
                    continue;
                }
                let digits: Vec<u8> = first.into_iter().chain(bytes.next()).collect();
                let value = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.extend(value);
            }
            b'_' if underscores => out.push(b' '),
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_readable() {
        let mail = b"From: a@b\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_heute?=\r\nContent-Type: multipart/alternative;\r\n boundary=\"x\"\r\n\r\n\
            --x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nAlles im =\r\nLot: =C3=BC\r\n\
            --x\r\nContent-Type: text/html\r\n\r\n<p>\r\n--x--\r\n";
        assert_eq!(
            readable(mail),
            "From: a@b\nSubject: Grüße heute\n\nAlles im Lot: ü\n"
        );
    }
}
