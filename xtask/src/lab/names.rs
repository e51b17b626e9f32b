//! Modified UTF-7 (RFC 3501, section 5.1.3), written for the judge and the Maildir writer alone.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// A folder name as it travels on the wire.
#[must_use]
pub fn encode(name: &str) -> String {
    fn flush(out: &mut String, pending: &mut Vec<u8>) {
        if !pending.is_empty() {
            out.push('&');
            out.push_str(&ENGINE.encode(&*pending));
            out.push('-');
            pending.clear();
        }
    }
    let mut out = String::with_capacity(name.len());
    let mut pending = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut out, &mut pending);
            if c == '&' {
                out.push_str("&-");
            } else {
                out.push(c);
            }
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                pending.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut out, &mut pending);
    out
}

/// The folder name behind its form on the wire; what is not valid is returned as it stands.
#[must_use]
pub fn decode(wire: &str) -> String {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((coded, tail)) = after.split_once('-') else {
            return wire.to_owned();
        };
        if coded.is_empty() {
            out.push('&');
        } else {
            let Ok(bytes) = ENGINE.decode(coded) else {
                return wire.to_owned();
            };
            let units: Vec<u16> = bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|pair| u16::from_be_bytes(*pair))
                .collect();
            let Ok(text) = String::from_utf16(&units) else {
                return wire.to_owned();
            };
            out.push_str(&text);
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_wire() {
        for (name, wire) in [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A&B", "A&-B"),
            ("日本語", "&ZeVnLIqe-"),
            ("Köln & Ümland", "K&APY-ln &- &ANw-mland"),
            ("📎", "&2D3czg-"),
        ] {
            assert_eq!(encode(name), wire);
            assert_eq!(decode(wire), name);
        }
    }
}
