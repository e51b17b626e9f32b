//! What people read, word for word, in both languages.

use chrono::{DateTime, Utc};
use maildreieck_api_spec::certificate::{CornerFigures, Corners};
use maildreieck_api_spec::vocabulary::{Depth, Verdict};

use super::super::document::{Coverage, RepairLine};
use super::*;
use crate::plan::identity::{InternalDate, LogicalFolder};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_796_029_200 + seconds, 0).unwrap()
}

fn discrepancy(class: &'static str, corner: Corner, uid: u32) -> Discrepancy {
    Discrepancy {
        class,
        folder: "Büro/Eingang".to_owned(),
        corner,
        content_id: None,
        uid: Some(uid),
        uid_corner: Some(Corner::Primary),
        messages: 1,
        explained: false,
        detail: "in English".to_owned(),
        subject: Some(format!("Rechnung {uid}")),
        sender: Some("Erika Muster <erika@abc.example>".to_owned()),
        date: Some(at(i64::from(uid))),
        contrast: None,
    }
}

fn document() -> Document {
    let figures = |messages, bytes| CornerFigures {
        messages,
        bytes,
        set_hash: "0123456789abcdef".repeat(4),
    };
    let mut found: Vec<Discrepancy> = (1..=2)
        .map(|uid| discrepancy("missing_at_standby", Corner::Standby, uid))
        .collect();
    found.push(Discrepancy {
        contrast: Some(Contrast::Flags("\\Seen".to_owned(), String::new())),
        uid_corner: Some(Corner::Standby),
        ..discrepancy("flags_differ", Corner::Standby, 20)
    });
    found.push(Discrepancy {
        subject: None,
        uid_corner: Some(Corner::Standby),
        ..discrepancy("altered", Corner::Standby, 21)
    });
    found.push(Discrepancy {
        explained: true,
        messages: 12_345,
        ..discrepancy("excluded", Corner::Store, 0)
    });
    let triangle = TriangleReport {
        triangle: "info".to_owned(),
        verdict: Some(Verdict::Unbalanced),
        tx_at: Some(at(0)),
        depth: Some(Depth::Ledger),
        corners: Some(Corners {
            primary: figures(1_234_567, 1_234_567_890_123),
            standby: figures(1_234_558, 1_234_567_880_000),
            store: figures(0, 0),
            medium: None,
        }),
        repairs: Some(vec![RepairLine {
            class: "missing_in_store",
            folder: "INBOX".to_owned(),
            corner: Corner::Store,
            content_id: String::new(),
            at: None,
        }]),
        discrepancies: Some(found),
        unseen_at_this_depth: Some(vec![Unseen::Octets]),
        coverage: Some(Coverage {
            messages: 3_000,
            content_verified: 3_000,
            content_verified_now: 100,
            oldest_proof: Some(at(-86_400)),
            budget_ended: false,
        }),
        ..TriangleReport::default()
    };
    Document {
        triangles: vec![triangle],
    }
}

#[test]
fn a_proof_reads_in_english() {
    insta::assert_snapshot!(text(&document(), Language::En), @r#"
    info: Tx of 2026-11-30 09:00 UTC, depth ledger
                          primary            standby             store
      messages          1,234,567          1,234,558                 0
      bytes     1,234,567,890,123  1,234,567,880,000                 0
      set hash   0123456789abcdef   0123456789abcdef  0123456789abcdef
      Mended since the last Tx:
        missing in the store  missing_in_store  store  1
      Differences:
        UNEXPLAINED  octets altered                altered             standby       1
        UNEXPLAINED  missing at the standby        missing_at_standby  standby       2
        UNEXPLAINED  other flags                   flags_differ        standby       1
        explained    in a folder that is left out  excluded            store    12,345
      The worst 4 of 4 that nothing explains:
        octets altered: Büro/Eingang, standby (UID 21 in standby)
          (no subject), from Erika Muster <erika@abc.example>, 2026-11-30 09:00 UTC
        missing at the standby: Büro/Eingang, standby (UID 2 in primary)
          "Rechnung 2", from Erika Muster <erika@abc.example>, 2026-11-30 09:00 UTC
        missing at the standby: Büro/Eingang, standby (UID 1 in primary)
          "Rechnung 1", from Erika Muster <erika@abc.example>, 2026-11-30 09:00 UTC
        other flags: Büro/Eingang, standby (UID 20 in standby)
          "Rechnung 20", from Erika Muster <erika@abc.example>, 2026-11-30 09:00 UTC
          primary: \Seen; standby: no flags
      Compared: each message with its flags and date, as the servers list them now.
      Read back now: 100 of 3,000 messages.
      Not looked at: the octets of 2,900 messages.
      Each was read back on 2026-11-29 09:00 UTC or later.
      UNBALANCED: the corners differ, and nothing explains it.
    "#);
}

#[test]
fn a_proof_reads_in_german() {
    insta::assert_snapshot!(text(&document(), Language::De), @r#"
    info: Tx vom 30.11.2026 09:00 UTC, Tiefe ledger
                          Hauptkonto         Zweitkonto    Archiv vor Ort
      Nachrichten          1.234.567          1.234.558                 0
      Bytes        1.234.567.890.123  1.234.567.880.000                 0
      Mengen-Hash   0123456789abcdef   0123456789abcdef  0123456789abcdef
      Seit dem vorigen Tx behoben:
        fehlt im Archiv  missing_in_store  Archiv vor Ort  1
      Abweichungen:
        UNGEKLÄRT  Inhalt verändert               altered             Zweitkonto           1
        UNGEKLÄRT  fehlt auf dem Zweitkonto       missing_at_standby  Zweitkonto           2
        UNGEKLÄRT  andere Markierungen            flags_differ        Zweitkonto           1
        geklärt    in einem ausgenommenen Ordner  excluded            Archiv vor Ort  12.345
      Die schwersten 4 von 4, die nichts erklärt:
        Inhalt verändert: Büro/Eingang, Zweitkonto (UID 21, Zweitkonto)
          (ohne Betreff), von Erika Muster <erika@abc.example>, 30.11.2026 09:00 UTC
        fehlt auf dem Zweitkonto: Büro/Eingang, Zweitkonto (UID 2, Hauptkonto)
          „Rechnung 2“, von Erika Muster <erika@abc.example>, 30.11.2026 09:00 UTC
        fehlt auf dem Zweitkonto: Büro/Eingang, Zweitkonto (UID 1, Hauptkonto)
          „Rechnung 1“, von Erika Muster <erika@abc.example>, 30.11.2026 09:00 UTC
        andere Markierungen: Büro/Eingang, Zweitkonto (UID 20, Zweitkonto)
          „Rechnung 20“, von Erika Muster <erika@abc.example>, 30.11.2026 09:00 UTC
          Hauptkonto: \Seen; Zweitkonto: keine Markierungen
      Verglichen: jede Nachricht mit Markierungen und Datum, wie die Server sie jetzt aufführen.
      Jetzt zurückgelesen: 100 von 3.000 Nachrichten.
      Nicht angesehen: die Oktette von 2.900 Nachrichten.
      Jede wurde am 29.11.2026 09:00 UTC oder später zurückgelesen.
      NICHT AUSGEGLICHEN: Die Ecken weichen voneinander ab, und nichts erklärt es.
    "#);
}

#[test]
fn ten_are_named_the_newest_of_the_worst_first() {
    let found = (1..=12).map(|uid| discrepancy("duplicate", Corner::Standby, uid));
    let mut found: Vec<Discrepancy> = found.collect();
    found.push(discrepancy("altered", Corner::Standby, 0));
    let triangle = TriangleReport {
        discrepancies: Some(found),
        ..TriangleReport::default()
    };
    let document = Document {
        triangles: vec![triangle],
    };
    let said = text(&document, Language::En);
    let named: Vec<&str> = said.lines().filter(|l| l.contains("\"Rechnung")).collect();
    assert_eq!(named.len(), NAMED);
    assert!(named[0].contains("\"Rechnung 0\"") && named[1].contains("\"Rechnung 12\""));
    assert!(
        said.contains("The worst 10 of 13") && said.contains("and 3 more"),
        "{said}"
    );
}

#[test]
fn each_contrast_is_said() {
    let inbox = || LogicalFolder::from_stored("INBOX");
    let check = |contrast, expected: [&str; 2]| {
        for (language, expected) in [Language::En, Language::De].into_iter().zip(expected) {
            let mut found = discrepancy("misplaced", Corner::Standby, 1);
            found.contrast = Some(Contrast::clone(&contrast));
            let triangle = TriangleReport {
                discrepancies: Some(vec![found]),
                ..TriangleReport::default()
            };
            let document = Document {
                triangles: vec![triangle],
            };
            let said = text(&document, language);
            assert_eq!(said.lines().last().unwrap().trim(), expected);
        }
    };
    check(
        Contrast::Dates(InternalDate(0), InternalDate(1)),
        [
            "primary: 1970-01-01 00:00:00 UTC; standby: 1970-01-01 00:00:01 UTC",
            "Hauptkonto: 1970-01-01 00:00:00 UTC; Zweitkonto: 1970-01-01 00:00:01 UTC",
        ],
    );
    check(
        Contrast::Folders(inbox(), LogicalFolder::from_stored("Alt")),
        [
            "primary: INBOX; standby: Alt",
            "Hauptkonto: INBOX; Zweitkonto: Alt",
        ],
    );
    check(
        Contrast::Volumes([1_000, 2], [3, 4_000]),
        [
            "primary: 1,000 messages, 2 bytes; standby: 3 messages, 4,000 bytes",
            "Hauptkonto: 1.000 Nachrichten, 2 Bytes; Zweitkonto: 3 Nachrichten, 4.000 Bytes",
        ],
    );
}

#[test]
fn what_was_read_in_part_is_not_said_to_be_read() {
    let mut document = document();
    let triangle = &mut document.triangles[0];
    triangle.depth = Some(Depth::Content);
    let coverage = triangle.coverage.as_mut().unwrap();
    coverage.budget_ended = true;
    let said = text(&document, Language::En);
    assert!(!said.contains("every octet"), "{said}");
    assert!(said.contains("octets only in part") && said.contains("budget of bytes a day"));
    let coverage = document.triangles[0].coverage.as_mut().unwrap();
    (coverage.content_verified_now, coverage.budget_ended) = (coverage.messages, false);
    let said = text(&document, Language::En);
    assert!(said.contains("every octet") && !said.contains("budget"));
}

#[test]
fn nothing_that_a_stranger_wrote_reaches_the_terminal_as_it_is() {
    let evil = "\u{1b}[2J\u{202e}evil\r\n\u{7}";
    let mut document = document();
    let triangle = &mut document.triangles[0];
    for d in triangle.discrepancies.as_mut().unwrap() {
        d.folder = evil.to_owned();
        d.subject = Some(evil.repeat(1_000));
        d.sender = Some(evil.to_owned());
        d.contrast = Some(Contrast::Flags(evil.to_owned(), evil.to_owned()));
    }
    triangle.refused_folders.push(super::super::RefusedFolder {
        folder: evil.to_owned(),
        corner: Corner::Primary,
        detail: evil.to_owned(),
    });
    for language in [Language::En, Language::De] {
        let said = text(&document, language);
        let harmful = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!said.contains(harmful), "{said:?}");
        assert!(said.lines().all(|line| line.chars().count() < 250));
    }
}
