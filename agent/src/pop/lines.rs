//! What goes over the wire of a POP3 server, as octets: multi-line answers, numbered lines, and a message's date.

use mail_parser::MessageParser;

use crate::plan::identity::InternalDate;

/// As much of a message is looked at for its header.
const HEADER: usize = 256 << 10;
/// 1980 to 2037: what a mail server's clock can have said. Others turn what lies beyond into something else.
const DATES: std::ops::Range<i64> = UNDATED.0..2_145_916_800;
/// The date of a message that has none.
const UNDATED: InternalDate = InternalDate(315_532_800);

/// The octets of a multi-line answer (RFC 1939, 3): a line ends with CR LF and nothing else, the `.` that a line
/// begins with is the server's, and one that stands alone ends the answer.
#[derive(Debug, Default)]
pub(super) struct Multiline {
    at: At,
    /// What has come, each line with its end.
    pub octets: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Begin,
    Dot,
    DotReturn,
    Within,
    Return,
}

impl Multiline {
    /// Takes what has come; how much of it belongs to the answer, if it ends there.
    pub fn take(&mut self, some: &[u8]) -> Option<usize> {
        for (index, octet) in some.iter().copied().enumerate() {
            self.at = match (self.at, octet) {
                (At::Begin, b'.') => At::Dot,
                (At::Dot, b'\r') => At::DotReturn,
                (At::DotReturn, b'\n') => return Some(index + 1),
                (at, octet) => {
                    if at == At::DotReturn {
                        self.octets.push(b'\r');
                    }
                    self.octets.push(octet);
                    match octet {
                        b'\r' => At::Return,
                        b'\n' if at == At::Return => At::Begin,
                        _ => At::Within,
                    }
                }
            };
        }
        None
    }
}

/// Lines that begin with a message's number, and what follows it up to the next space. `None` if one does not.
pub(super) fn numbered(octets: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let lines = octets.split(|octet| *octet == b'\n');
    let lines = lines.map(<[u8]>::trim_ascii).filter(|l| !l.is_empty());
    let parsed = lines.map(|line| {
        let mut words = line.split(|octet| *octet == b' ');
        let number = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        Some((number, words.find(|word| !word.is_empty())?))
    });
    parsed.collect()
}

/// A message's date, since POP3 tells none: when the last server on its way took it (the first `Received` field), else
/// its `Date` field, else 1980. It is in the octets, so it is the same at each reading, also after the ledger is lost.
#[must_use]
pub fn date_of(octets: &[u8]) -> InternalDate {
    let header = octets.get(..octets.len().min(HEADER)).unwrap_or(octets);
    let Some(message) = MessageParser::default().parse_headers(header) else {
        return UNDATED;
    };
    let received = message.received_all().next().and_then(|r| r.date());
    let dates = [received, message.date().cloned()];
    dates
        .into_iter()
        .flatten()
        .filter(mail_parser::DateTime::is_valid)
        .map(|date| date.to_timestamp())
        .find(|date| DATES.contains(date))
        .map_or(UNDATED, InternalDate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multi_line_answer_is_exact_wherever_it_is_cut() {
        let check = |wire: &[u8], expected: &[u8], rest: &[u8]| {
            for cut in 0..=wire.len() {
                let (first, second) = wire.split_at(cut);
                let mut answer = Multiline::default();
                let end = match answer.take(first) {
                    Some(end) => end,
                    None => cut + answer.take(second).unwrap(),
                };
                assert_eq!(answer.octets, expected, "cut at {cut}");
                assert_eq!(&wire[end..], rest);
            }
        };
        check(b".\r\n", b"", b"");
        check(b"a\r\n.\r\n+OK", b"a\r\n", b"+OK");
        // Stuffed: once, twice, alone on its line.
        check(b"..\r\n...a\r\n.\r\n", b".\r\n..a\r\n", b"");
        // What ends no line, and a dot behind it.
        check(b"a\n.\nb\r.\r\r\n.\r\n", b"a\n.\nb\r.\r\r\n", b"");
        check(b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", b"");
        // A dot that a server did not stuff.
        check(b".\ra\r\n..\r\n.\r\n", b"\ra\r\n.\r\n", b"");
        check(b"\0\xff8\r\n\r\n.\r\n", b"\0\xff8\r\n\r\n", b"");
    }

    #[test]
    fn an_answer_without_its_end_has_none() {
        for wire in [
            &b""[..],
            b"a\r\n",
            b"a\r\n.",
            b"a\r\n.\r",
            b"a\n.\r\n",
            b"a\r\n.\n",
        ] {
            assert_eq!(Multiline::default().take(wire), None, "{wire:?}");
        }
    }

    #[test]
    fn numbered_lines_are_all_or_none() {
        let found = numbered(b"1 120\r\n2  whqtswO00WBw418f9t5JxYwZ more\r\n");
        let expected = vec![(1, &b"120"[..]), (2, b"whqtswO00WBw418f9t5JxYwZ")];
        assert_eq!(found, Some(expected));
        assert_eq!(numbered(b""), Some(vec![]));
        for wrong in [
            &b"1\r\n"[..],
            b"1 \r\n",
            b"x 1\r\n",
            b"1 2\r\n-1 3\r\n",
            b"4294967296 1\r\n",
        ] {
            assert_eq!(numbered(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_date_is_that_of_the_last_server() {
        let check = |header: &str, expected: i64| {
            let date = date_of(format!("{header}\r\nx\r\n").as_bytes());
            assert_eq!(date, InternalDate(expected), "{header}");
        };
        let received = "Received: from a by b; Mon, 2 Jan 2023 10:00:00 +0100\r\n";
        let earlier = "Received: from z by a; Sun, 1 Jan 2023 10:00:00 +0100\r\n";
        let date = "Date: Sat, 31 Dec 2022 10:00:00 +0000\r\n";
        check(&format!("{received}{earlier}{date}"), 1_672_650_000);
        check(&format!("{date}{received}"), 1_672_650_000);
        check(date, 1_672_480_800);
        check(&format!("Received: by b\r\n{date}"), 1_672_480_800);
        let ahead = "Received: by b; Mon, 2 Jan 2120 10:00:00 +0100\r\n";
        check(&format!("{ahead}{date}"), 1_672_480_800);
        check("Date: Sat, 31 Dec 1904 10:00:00 +0000\r\n", UNDATED.0);
        check("Date: yesterday\r\n", UNDATED.0);
        check("Subject: x\r\n", UNDATED.0);
        check("", UNDATED.0);
    }
}
