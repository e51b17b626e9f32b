//! The second digest: what a message says, whatever form a hoster has put it into. Some rewrite each message that they
//! are given (Exchange Online does: other boundaries, encodings and header lines), so that no copy there is identical.
//!
//! Two messages with the same second digest have the same subject, date, message id and addresses, and the same parts in
//! the same order, decoded. Nothing else is in it; names of files and trace headers may differ.

use mail_parser::{Address, Message, MessageParser, MimeHeaders as _, PartType};

/// The digest of what a message says; none where it cannot be understood, or says nothing.
#[must_use]
pub fn second_digest(octets: &[u8]) -> Option<[u8; 32]> {
    let message = MessageParser::default().parse(octets)?;
    let mut digest = Digest(blake3::Hasher::new_derive_key(
        "maildreieck 2026 second digest",
    ));
    let says = digest.message(&message);
    says.then(|| *digest.0.finalize().as_bytes())
}

struct Digest(blake3::Hasher);

impl Digest {
    /// One field, so that no two fields run into each other.
    fn field(&mut self, name: &str, value: &[u8]) {
        let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
        self.0.update(name.as_bytes());
        self.0.update(&length.to_le_bytes());
        self.0.update(value);
    }

    /// Whether there was anything in it to know it by.
    fn message(&mut self, message: &Message<'_>) -> bool {
        let subject = message.subject().map(words);
        let date = message.date().map(|date| date.to_timestamp().to_string());
        let id = message.message_id().map(str::to_owned);
        let addresses = [message.from(), message.to(), message.cc()].map(|a| a.map(mailboxes));
        let [from, to, cc] = addresses;
        let headers = [
            ("subject", subject),
            ("date", date),
            ("id", id),
            ("from", from),
            ("to", to),
            ("cc", cc),
        ];
        let mut says = false;
        for (name, value) in headers {
            if let Some(value) = value {
                self.field(name, value.as_bytes());
                says = true;
            }
        }
        for part in &message.parts {
            let kind = part.content_type().map(|kind| {
                let subtype = kind.subtype().unwrap_or_default();
                format!("{}/{subtype}", kind.ctype()).to_ascii_lowercase()
            });
            match &part.body {
                PartType::Multipart(_) => continue,
                PartType::Text(text) | PartType::Html(text) => {
                    self.field(
                        kind.as_deref().unwrap_or("text/plain"),
                        lines(text).as_bytes(),
                    );
                }
                PartType::Binary(octets) | PartType::InlineBinary(octets) => {
                    self.field(kind.as_deref().unwrap_or_default(), octets);
                }
                PartType::Message(nested) => {
                    self.field("message", b"");
                    self.message(nested);
                    self.field("end", b"");
                }
            }
        }
        says
    }
}

/// A header's text without what folding does to it.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text without what encodings do to its line ends, and to empty lines at its end.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

fn mailboxes(address: &Address<'_>) -> String {
    let mailboxes = address.iter().filter_map(|one| one.address());
    mailboxes
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "From: Erika <Erika@abc.example>\r\nTo: b@x.example,\r\n c@x.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Sun, 24 Nov 2024 10:00:00 +0100\r\nMessage-ID: <1@abc.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=C3=B6n\r\n";

    fn check(other: &str, same: bool) {
        let digests = [PLAIN, other].map(|text| second_digest(text.as_bytes()).unwrap());
        assert_eq!(digests[0] == digests[1], same, "{other}");
    }

    #[test]
    fn another_form_of_the_same_is_the_same() {
        check(PLAIN, true);
        check(
            &format!("Received: from there\r\nX-Scanned: yes\r\n{PLAIN}"),
            true,
        );
        check(
            "MIME-Version: 1.0\r\nMessage-ID: <1@abc.example>\r\nDate: Sun, 24 Nov 2024 09:00:00 +0000\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\nTo: <b@x.example>, <c@x.example>\r\nFrom: \"Erika\" <erika@ABC.example>\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: base64\r\n\r\nU2No9m4NCg==\r\n",
            true,
        );
    }

    #[test]
    fn what_says_something_else_is_not() {
        check(&PLAIN.replace("Sch=C3=B6n", "Sch=C3=B6ner"), false);
        check(&PLAIN.replace("c@x.example", "d@x.example"), false);
        check(&PLAIN.replace("10:00:00", "10:00:01"), false);
        check(&PLAIN.replace("<1@", "<2@"), false);
        check(&PLAIN.replace("text/plain", "text/html"), false);
        check(&PLAIN.replace("Sch=C3=B6n\r\n", ""), false);
        check(&format!("{PLAIN}mehr\r\n"), false);
    }

    #[test]
    fn parts_count_in_their_order_and_whole() {
        let message = |parts: &[&str], boundary: &str| {
            let parts: String = parts
                .iter()
                .map(|part| format!("--{boundary}\r\n{part}\r\n"))
                .collect();
            let text = format!(
                "Subject: x\r\nContent-Type: multipart/mixed; boundary={boundary}\r\n\r\n{parts}--{boundary}--\r\n"
            );
            second_digest(text.as_bytes()).unwrap()
        };
        let (a, b) = (
            "Content-Type: text/plain\r\n\r\na",
            "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=",
        );
        let wrapped = "Content-Type: application/pdf; name=x\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBE\r\nRi0=";
        let whole = message(&[a, b], "one");
        assert_eq!(message(&[a, wrapped], "another"), whole);
        assert_ne!(message(&[b, a], "one"), whole);
        assert_ne!(message(&[a], "one"), whole);
        assert_ne!(message(&[a, b, b], "one"), whole);
    }

    #[test]
    fn what_says_nothing_is_like_nothing() {
        for octets in [&b""[..], b"\r\n\r\n", b"no header at all"] {
            assert_eq!(second_digest(octets), None);
        }
    }
}
