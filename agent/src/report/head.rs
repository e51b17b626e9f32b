//! What a message is called among people: subject, sender, date. It is for the people of the site alone and in no
//! report to the server. Whoever sends mail chooses these words, so they are made harmless before anybody sees them.

use chrono::{DateTime, Utc};
use mail_parser::MessageParser;

/// Octets of a header that are looked at.
pub const HEADER: usize = 16 << 10;
/// Characters of a subject or sender that are kept.
const LONGEST: usize = 200;

/// What a message says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Subject, decoded.
    pub subject: Option<String>,
    /// The first of From, else Sender: name and address.
    pub sender: Option<String>,
    /// The Date line, else INTERNALDATE.
    pub date: Option<DateTime<Utc>>,
}

impl Head {
    /// What a header says, of which no more than its beginning has to be there.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        // A line that was cut off ends there.
        let octets = [octets.get(..HEADER).unwrap_or(octets), b"\r\n\r\n"].concat();
        let Some(message) = MessageParser::default().parse_headers(&octets) else {
            return Self::default();
        };
        let from = message.from().and_then(|address| address.first());
        let from = from.or_else(|| message.sender().and_then(|address| address.first()));
        let sender = from.and_then(|addr| match (addr.name(), addr.address()) {
            (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
            (name, address) => name.or(address).map(str::to_owned),
        });
        let date = message.date().filter(|date| date.is_valid());
        Self {
            subject: message.subject().and_then(shown),
            sender: sender.as_deref().and_then(shown),
            date: date.and_then(|date| DateTime::from_timestamp(date.to_timestamp(), 0)),
        }
    }

    /// Whether nobody knows anything of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn shown(text: &str) -> Option<String> {
    let text = harmless(text, LONGEST);
    (!text.is_empty()).then_some(text)
}

/// Foreign text as it may stand on a terminal: one line, at most `longest` characters, and nothing in it that a
/// terminal obeys or that changes the order in which a line is read.
#[must_use]
pub fn harmless(text: &str, longest: usize) -> String {
    let mut out = String::new();
    let mut room = longest;
    // A character may join many marks, which make no line longer and all others unreadable.
    let mut blank = true;
    for c in text.chars() {
        let c = match c {
            c if c.is_whitespace() => ' ',
            c if is_harmful(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        if c == ' ' && blank {
            continue;
        }
        blank = c == ' ';
        if room == 0 {
            out.push('…');
            break;
        }
        room -= 1;
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out
}

/// Control characters, what turns the direction of a line, what is not seen and could hide other words.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_the_message_is_called() {
        let check =
            |header: &str, subject: Option<&str>, sender: Option<&str>, date: Option<i64>| {
                let head = Head::of(header.as_bytes());
                let found = (
                    head.subject.as_deref(),
                    head.sender.as_deref(),
                    head.date.map(|d| d.timestamp()),
                );
                assert_eq!(found, (subject, sender, date), "{header}");
            };
        check("", None, None, None);
        check("\r\n", None, None, None);
        check("X: y\r\n\r\n", None, None, None);
        check("Subject: Rechnung\r\n\r\n", Some("Rechnung"), None, None);
        check(
            "Subject: =?utf-8?q?R=C3=A4der?=\r\n =?iso-8859-1?q?_f=FCr_alle?=\r\n\r\n",
            Some("Räder für alle"),
            None,
            None,
        );
        check(
            "From: Erika Muster <erika@abc.example>\r\nDate: Mon, 30 Nov 2026 10:00:00 +0100\r\n\r\n",
            None,
            Some("Erika Muster <erika@abc.example>"),
            Some(1_796_029_200),
        );
        check("From: <a@b.example>\r\n", None, Some("a@b.example"), None);
        check("Date: gestern\r\nSubject: \r\n\r\n", None, None, None);
    }

    #[test]
    fn what_a_stranger_wrote_does_nothing_to_a_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(harmless(text, 10), expected);
        check("Rechnung", "Rechnung");
        check("a\r\n\t b", "a b");
        check("  a  ", "a");
        check("\u{1b}[31mrot", "\u{fffd}[31mrot");
        check(
            "\u{9b}2J\u{7}\0\u{7f}",
            "\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}",
        );
        check("a\u{202e}fdp.exe", "a\u{fffd}fdp.exe");
        check(
            "\u{2066}\u{200f}\u{200b}\u{feff}\u{e0041}",
            &"\u{fffd}".repeat(5),
        );
        check("0123456789", "0123456789");
        check("01234567890", "0123456789…");
        check("Übergröße 1 und 2", "Übergröße …");
        let long = Head::of(format!("Subject: {}\r\n\r\n", "x".repeat(100_000)).as_bytes());
        assert_eq!(long.subject.unwrap().chars().count(), LONGEST + 1);
        let hostile = Head::of(b"Subject: =?utf-8?q?=1B]0;x=07=E2=80=AE?=\r\nFrom: \"=?utf-8?q?=1B[2J?=\" <a@b.example>\r\n\r\n");
        for text in [hostile.subject.unwrap(), hostile.sender.unwrap()] {
            assert!(!text.chars().any(is_harmful), "{text:?}");
        }
    }
}
