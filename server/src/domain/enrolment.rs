//! Enrolment codes: 128 random bits in Crockford's base 32, grouped so that a person can read them out.
//! The server keeps a hash alone.

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The code as a person gets it.
#[must_use]
pub fn show(bits: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bits);
    let mut code = String::with_capacity(31);
    for place in 0..26_u32 {
        if place > 0 && place % 5 == 0 {
            code.push('-');
        }
        // 26 digits of 5 bits are 130: the first holds the upper 3 bits alone.
        let digit = (number >> (125 - 5 * place)) & 31;
        let letter = usize::try_from(digit)
            .ok()
            .and_then(|digit| ALPHABET.get(digit));
        code.push(char::from(letter.copied().unwrap_or(b'0')));
    }
    code
}

/// The bits of a code as a person typed it: case, hyphens, blanks and look-alikes do not matter.
#[must_use]
pub fn read(code: &str) -> Option<[u8; 16]> {
    let mut number: u128 = 0;
    let mut digits = 0_u32;
    for letter in code.bytes() {
        let letter = match letter.to_ascii_uppercase() {
            b'-' | b' ' => continue,
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        if digits == 26 || (digits == 0 && digit > 7) {
            return None;
        }
        number = (number << 5) | u128::try_from(digit).ok()?;
        digits += 1;
    }
    (digits == 26).then_some(number.to_be_bytes())
}

/// What the server keeps of a code. It is random, so that a plain hash is enough.
#[must_use]
pub fn hash(bits: [u8; 16]) -> String {
    hex::encode(Sha256::digest(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_they_were_shown() {
        for bits in [[0; 16], [255; 16], *b"0123456789abcdef"] {
            let code = show(bits);
            assert_eq!(code.len(), 31, "{code}");
            assert_eq!(read(&code), Some(bits));
            assert_eq!(read(&code.to_lowercase().replace('-', " ")), Some(bits));
        }
        assert_eq!(show([255; 16]), "7ZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-ZZZZZ-Z");
    }

    #[test]
    fn what_is_no_code_is_none() {
        for text in [
            "",
            "7",
            &"Z".repeat(26),
            &"0".repeat(27),
            "ÄÖÜ",
            &"0".repeat(10_000),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
