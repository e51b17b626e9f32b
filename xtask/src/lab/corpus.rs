//! Seeded mail: an ordinary business's mailbox of any size, and the mail that other tools stumble over.
//!
//! A corpus is a recipe; its messages are made one by one as they are asked for, the same from the same seed.

use super::random::Random;

/// A folder, before a server's separator and language are applied to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// INBOX.
    Inbox,
    /// Whatever the server calls its folder for sent mail.
    Sent,
    /// A path of folder names.
    Path(Vec<String>),
}

impl Place {
    /// A path from its segments.
    #[must_use]
    pub fn path(segments: &[&str]) -> Self {
        Self::Path(
            segments
                .iter()
                .map(|segment| (*segment).to_owned())
                .collect(),
        )
    }
}

/// One message and how it should stand in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The folder.
    pub place: Place,
    /// System flags (`\Seen`) and keywords (`$Forwarded`).
    pub flags: Vec<String>,
    /// INTERNALDATE, seconds since 1970.
    pub internaldate: i64,
    /// The octets.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Recipe {
    Business {
        count: u64,
        folders: usize,
        big: bool,
    },
    Small {
        count: u64,
    },
    Hostile,
}

/// A recipe for messages.
#[derive(Debug, Clone)]
pub struct Corpus {
    seed: u64,
    recipe: Recipe,
}

impl Corpus {
    /// An ordinary mailbox of `count` messages in six folders, some with umlauts; every 250th has 1 to 6 MB.
    #[must_use]
    pub fn business(seed: u64, count: u64) -> Self {
        Self {
            seed,
            recipe: Recipe::Business {
                count,
                folders: 6,
                big: true,
            },
        }
    }

    /// The same in up to six `folders`, `big` messages or not.
    #[must_use]
    pub fn shaped(seed: u64, count: u64, folders: usize, big: bool) -> Self {
        Self {
            seed,
            recipe: Recipe::Business {
                count,
                folders,
                big,
            },
        }
    }

    /// 5,000 messages, about 180 MB, six folders.
    #[must_use]
    pub fn five_thousand() -> Self {
        Self::business(18, 5_000)
    }

    /// 1,000 messages, about 47 MB, six folders.
    #[must_use]
    pub fn one_thousand() -> Self {
        Self::business(1, 1_000)
    }

    /// 50,000 messages, about 1 GB, six folders, none very big.
    #[must_use]
    pub fn fifty_thousand() -> Self {
        Self::shaped(2, 50_000, 6, false)
    }

    /// An ordinary mailbox's folders, dates and flags with mail of a few hundred octets: many messages, hardly any disk.
    #[must_use]
    pub fn small(seed: u64, count: u64) -> Self {
        Self {
            seed,
            recipe: Recipe::Small { count },
        }
    }

    /// What real mailboxes hold and tools break on: see the comments in [`hostile`]. To be appended over IMAP.
    #[must_use]
    pub fn hostile() -> Self {
        Self {
            seed: 4,
            recipe: Recipe::Hostile,
        }
    }

    /// The messages, in order.
    #[must_use]
    pub fn messages(&self) -> Box<dyn Iterator<Item = Message>> {
        match self.recipe {
            Recipe::Business {
                count,
                folders,
                big,
            } => {
                let mut random = Random::new(self.seed);
                let seed = self.seed;
                Box::new(
                    (0..count).map(move |number| business(&mut random, number, seed, folders, big)),
                )
            }
            Recipe::Small { count } => {
                let mut random = Random::new(self.seed);
                let seed = self.seed;
                Box::new((0..count).map(move |number| small(&mut random, number, seed)))
            }
            Recipe::Hostile => Box::new(hostile().into_iter()),
        }
    }
}

const PEOPLE: [&str; 8] = [
    "Anna Müller",
    "Jörg Weiß",
    "Bestellung",
    "Einkauf Nord",
    "Jean-François Côté",
    "山田太郎",
    "Lieferant GmbH & Co. KG",
    "info",
];
const WORDS: [&str; 28] = [
    "Angebot",
    "Rechnung",
    "Lieferschein",
    "Auftrag",
    "Bestellung",
    "Mahnung",
    "Termin",
    "Kalkulation",
    "Anfrage",
    "Projekt",
    "Wartung",
    "Vertrag",
    "Köder",
    "Rute",
    "Angel",
    "Liefertermin",
    "Rückfrage",
    "Zahlung",
    "Skonto",
    "Grüße",
    "Österreich",
    "Straße",
    "naïve",
    "Preisliste",
    "Muster",
    "Montage",
    "Abnahme",
    "Gewährleistung",
];

fn folder(number: usize) -> Place {
    match number {
        0 => Place::Inbox,
        1 => Place::Sent,
        2 => Place::path(&["Projekte"]),
        3 => Place::path(&["Projekte", "Köln 2024"]),
        4 => Place::path(&["Rechnungen für Österreich"]),
        _ => Place::path(&["Archiv"]),
    }
}

/// Where an ordinary message lies, when it came and how it is marked: half of them in INBOX.
fn circumstances(random: &mut Random, folders: usize) -> (Place, i64, Vec<String>) {
    let place = if folders <= 1 || random.chance(0.5) {
        Place::Inbox
    } else {
        folder(
            1 + usize::try_from(random.below(u64::try_from(folders - 1).unwrap_or(1))).unwrap_or(0),
        )
    };
    let internaldate = 1_577_836_800 + i64::try_from(random.below(180_000_000)).unwrap_or(0);
    let mut flags = Vec::new();
    for (flag, share) in [("\\Flagged", 0.05), ("\\Answered", 0.2), ("\\Seen", 0.8)] {
        if random.chance(share) {
            flags.push(flag.to_owned());
        }
    }
    (place, internaldate, flags)
}

fn small(random: &mut Random, number: u64, seed: u64) -> Message {
    let (place, internaldate, flags) = circumstances(random, 6);
    let body = format!(
        "From: {} <x{}@sender.example>\r\nTo: info@abc.example\r\nSubject: {} #{number}\r\nDate: {}\r\n\
         Message-ID: <{seed}.{number}.{:x}@abc.example>\r\n\r\n{} {}\r\n",
        encoded(random.pick(&PEOPLE)),
        number % 97,
        encoded(random.pick(&WORDS)),
        date_header(internaldate),
        random.bits(),
        random.pick(&WORDS),
        random.pick(&WORDS),
    );
    Message {
        place,
        flags,
        internaldate,
        body: body.into_bytes(),
    }
}

fn business(random: &mut Random, number: u64, seed: u64, folders: usize, big: bool) -> Message {
    let (place, internaldate, flags) = circumstances(random, folders);
    let mut head = String::with_capacity(700);
    let subject: Vec<&str> = (0..random.between(2, 6))
        .map(|_| random.pick(&WORDS))
        .collect();
    let (from, to) = (random.pick(&PEOPLE), random.pick(&PEOPLE));
    let date = date_header(internaldate - i64::try_from(random.below(600)).unwrap_or(0));
    head.push_str(&format!("Return-Path: <x{number}@sender.example>\r\n"));
    head.push_str(&format!(
        "Received: from mx.sender.example by abc.example; {}\r\n",
        date_header(internaldate)
    ));
    head.push_str(&format!(
        "From: {} <x{}@sender.example>\r\n",
        encoded(from),
        number % 97
    ));
    head.push_str(&format!("To: {} <info@abc.example>\r\n", encoded(to)));
    head.push_str(&format!(
        "Subject: {}\r\n",
        encoded(&format!("{} #{number}", subject.join(" ")))
    ));
    head.push_str(&format!("Date: {date}\r\n"));
    let unique = random.bits();
    if number % 211 != 7 {
        head.push_str(&format!(
            "Message-ID: <{seed}.{number}.{unique:x}@abc.example>\r\n"
        ));
    }
    head.push_str("MIME-Version: 1.0\r\n");
    let mut text = String::with_capacity(4096);
    for _ in 0..random.between(3, 60) {
        for word in 0..12 {
            if word > 0 {
                text.push(' ');
            }
            text.push_str(random.pick(&WORDS));
        }
        text.push_str("\r\n");
    }
    let kind = random.unit();
    let attached = if big && kind < 0.004 {
        random.between(1_000_000, 6_000_000)
    } else if kind < 0.12 {
        // Log-normal with a median of 60 kB, as attachments are.
        bounded(random.normal(11.0, 1.0).exp(), 900_000)
    } else {
        0
    };
    let mut body;
    if attached == 0 {
        head.push_str(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        );
        body = head.into_bytes();
        body.extend_from_slice(text.as_bytes());
    } else {
        let boundary = format!("b{number:x}x{seed:x}");
        head.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n"
        ));
        body = head.into_bytes();
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n\
                 --{boundary}\r\nContent-Type: application/pdf; name=\"r{number}.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            )
            .as_bytes(),
        );
        base64_lines(random, attached, &mut body);
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    }
    Message {
        place,
        flags,
        internaldate,
        body,
    }
}

/// A whole number from a positive one, capped.
fn bounded(value: f64, cap: u32) -> u64 {
    let mut low = 0;
    let mut high = cap;
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if f64::from(middle) <= value {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    u64::from(low)
}

/// Random base64 text that stands for `bytes` octets, in lines of 76.
fn base64_lines(random: &mut Random, bytes: u64, out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut left = bytes.div_ceil(3) * 4;
    out.reserve(usize::try_from(left + left / 38 + 2).unwrap_or(0));
    let mut column = 0;
    while left > 0 {
        let mut bits = random.bits();
        for _ in 0..10 {
            if left == 0 {
                break;
            }
            let index = usize::try_from(bits & 63).unwrap_or(0);
            out.push(ALPHABET.get(index).copied().unwrap_or(b'A'));
            bits >>= 6;
            left -= 1;
            column += 1;
            if column == 76 {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
        }
    }
    if column > 0 {
        out.extend_from_slice(b"\r\n");
    }
}

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    format!(
        "=?UTF-8?B?{}?=",
        base64::engine::general_purpose::STANDARD.encode(text)
    )
}

fn date_header(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .unwrap_or_default()
        .format("%a, %d %b %Y %H:%M:%S +0000")
        .to_string()
}

/// The hostile mail. Each entry says what about it is hostile.
fn hostile() -> Vec<Message> {
    let mut mails = Vec::new();
    let mut date = 1_583_020_799; // 2020-02-29 23:59:59
    let mut add = |place: &Place, flags: &[&str], body: &[u8]| {
        date += 86_461;
        mails.push(Message {
            place: place.clone(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            internaldate: date,
            body: body.to_vec(),
        });
    };
    let inbox = Place::Inbox;
    let nested = Place::path(&["Projekte", "Köln & Ümland"]);
    let japanese = Place::path(&["日本語", "📎 \"Anhänge\""]);

    // No Message-ID.
    add(
        &inbox,
        &["\\Seen"],
        b"From: a@sender.example\r\nSubject: keine Kennung\r\n\r\nHallo\r\n",
    );
    // One Message-ID, two messages that differ in their last letter.
    add(
        &inbox,
        &[],
        b"Message-ID: <one@abc.example>\r\nFrom: a@sender.example\r\nSubject: x\r\n\r\nA\r\n",
    );
    add(
        &inbox,
        &[],
        b"Message-ID: <one@abc.example>\r\nFrom: a@sender.example\r\nSubject: x\r\n\r\nB\r\n",
    );
    // Two equal copies in one folder, and a third in another, with other flags.
    let twin = b"Message-ID: <twin@abc.example>\r\nFrom: a@sender.example\r\nSubject: doppelt\r\n\r\nzweimal\r\n";
    add(&inbox, &["\\Seen"], twin);
    add(&inbox, &["\\Flagged"], twin);
    add(&nested, &["\\Seen"], twin);
    // 8-bit headers: UTF-8 and Latin-1 unencoded.
    add(
        &Place::Sent,
        &["\\Seen"],
        "From: Jörg <j@abc.example>\r\nSubject: Grüße aus Köln 🎣\r\n\r\nMoin\r\n".as_bytes(),
    );
    add(
        &inbox,
        &[],
        b"From: J\xf6rg <j@abc.example>\r\nSubject: Gr\xfc\xdfe\r\n\r\nlatin \xe4\xf6\xfc\r\n",
    );
    // A line of 10,000 bytes, in the body and in a header.
    let mut long = b"From: a@sender.example\r\nSubject: lang\r\n\r\n".to_vec();
    long.extend(std::iter::repeat_n(b'x', 10_000));
    long.extend_from_slice(b"\r\nEnde\r\n");
    add(&inbox, &[], &long);
    let mut wide = b"From: a@sender.example\r\nReferences:".to_vec();
    for number in 0..500 {
        wide.extend_from_slice(format!(" <{number:012x}@x.example>").as_bytes());
    }
    wide.extend_from_slice(b"\r\nSubject: breit\r\n\r\nText\r\n");
    add(&inbox, &[], &wide);
    // No final newline.
    add(
        &inbox,
        &["\\Answered"],
        b"From: a@sender.example\r\nSubject: abgebrochen\r\n\r\nohne Zeilenende",
    );
    // Headers only, with and without the empty line.
    add(
        &inbox,
        &[],
        b"From: a@sender.example\r\nSubject: nur Kopf\r\n\r\n",
    );
    add(
        &inbox,
        &[],
        b"From: a@sender.example\r\nSubject: nur Kopf, offen\r\n",
    );
    // No header at all.
    add(&inbox, &[], b"\r\nDer Kopf fehlt.\r\n");
    add(&inbox, &[], b"Das ist kein Kopf und endet auch nicht");
    // Next to nothing.
    add(&inbox, &["\\Seen"], b"\r\n");
    add(&inbox, &["\\Seen"], b"X");
    // 9 MB.
    let mut large =
        b"From: a@sender.example\r\nMessage-ID: <large@abc.example>\r\nSubject: gross\r\n\r\n"
            .to_vec();
    base64_lines(&mut Random::new(9), 6_580_000, &mut large);
    add(&Place::Sent, &["\\Seen"], &large);
    // IMAP in the body: must never be run.
    let mut commands = b"From: a@sender.example\r\nSubject: Befehle\r\n\r\n".to_vec();
    for number in 0..40 {
        commands.extend_from_slice(
            format!(
                "a{number} CREATE pwned\r\nA{number:04} STORE 1:* +FLAGS (\\Deleted)\r\nb{number} EXPUNGE\r\n\
                 A{number:04} OK [APPENDUID 1 1] Append completed.\r\n* 1 FETCH (FLAGS (\\Deleted))\r\n+ OK\r\n)\r\n{{3+}}\r\n"
            )
            .as_bytes(),
        );
    }
    commands.extend_from_slice(b"x LOGOUT\r\n* BYE\r\n");
    add(&inbox, &[], &commands);
    add(
        &nested,
        &["\\Seen"],
        b"x CREATE pwned\r\ny SELECT INBOX\r\nz STORE 1:* +FLAGS (\\Deleted)\r\nq EXPUNGE\r\n",
    );
    // A mbox separator, dots as in SMTP, a bare carriage return, control characters.
    add(&inbox, &[], b"From: a@sender.example\r\nSubject: Trenner\r\n\r\nFrom hier an\r\n.\r\n..\r\n>From dort\r\n\x0c\x1b[0m\x07\r\n");
    add(
        &inbox,
        &[],
        b"From: a@sender.example\r\nSubject: =?utf-8?q?kaputt\r\n =?= b\r\n\r\na\rb\tc\r\n",
    );
    // Every flag, and keywords.
    add(
        &inbox,
        &["\\Seen", "\\Answered", "\\Flagged", "\\Draft"],
        b"Subject: alle Flaggen\r\n\r\n1\r\n",
    );
    add(
        &inbox,
        &["$Forwarded", "Wichtig", "$label1"],
        b"Subject: Schlagworte\r\n\r\n2\r\n",
    );
    add(
        &nested,
        &["\\Seen", "$MDNSent", "NonJunk"],
        b"Subject: andere Schlagworte\r\n\r\n3\r\n",
    );
    add(
        &japanese,
        &["\\Flagged"],
        "Subject: =?utf-8?B?5pel5pys?=\r\n\r\n日本\r\n".as_bytes(),
    );
    // Date headers that say something else than INTERNALDATE, or nothing.
    add(
        &inbox,
        &[],
        b"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nSubject: alt\r\n\r\n4\r\n",
    );
    add(
        &inbox,
        &[],
        b"Date: vorgestern\r\nSubject: Unfug\r\n\r\n5\r\n",
    );
    // Odd dates of arrival: the first days of the epoch, a leap second's neighbour, a daylight-saving gap, a year's last second. (Dovecot clamps dates in the future; that is the agent's case, not a copy's.)
    for (number, when) in [
        86_400,
        1_483_228_799,
        1_585_447_200,
        1_603_591_200,
        951_827_696,
        1_735_689_599,
    ]
    .into_iter()
    .enumerate()
    {
        mails.push(Message {
            place: nested.clone(),
            flags: vec!["\\Seen".to_owned()],
            internaldate: when,
            body: format!("Message-ID: <date{number}@abc.example>\r\nSubject: Datum {number}\r\n\r\n{when}\r\n").into_bytes(),
        });
    }
    mails
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_its_mail() {
        let sum = |seed| {
            Corpus::business(seed, 50)
                .messages()
                .map(|mail| mail.body.len())
                .sum::<usize>()
        };
        assert_eq!(sum(7), sum(7));
        assert_ne!(sum(7), sum(8));
    }

    #[test]
    fn a_thousand_messages_have_the_usual_shape() {
        let mails: Vec<Message> = Corpus::one_thousand().messages().collect();
        let bytes: usize = mails.iter().map(|mail| mail.body.len()).sum();
        assert!((20_000_000..70_000_000).contains(&bytes), "{bytes} bytes");
        let places: std::collections::BTreeSet<_> = mails.iter().map(|mail| &mail.place).collect();
        assert_eq!(places.len(), 6);
    }
}
