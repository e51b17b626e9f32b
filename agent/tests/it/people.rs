//! What people read of a proof: their language, and what messages are called; and that none of it leaves the site.

use std::process::Stdio;

use maildreieck_api_spec::agents::Assignment;
use serde_json::json;
use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::fake::{Action, Fake, Script};
use xtask::lab::judge::Judge;

use super::site::{Site, USER, agent, command, configured_for, segments, write_private};

const MARKER: &str = "Kuendigung-4711";

fn letter(marker: &str) -> String {
    format!(
        "From: Erika Muster <erika@abc.example>\r\nDate: Mon, 30 Nov 2026 10:00:00 +0100\r\nSubject: {marker}\r\nMessage-ID: <{marker}@abc.example>\r\n\r\nGuten Tag\r\n"
    )
}

fn append(judge: &mut Judge, octets: &str) {
    judge
        .append("INBOX", &[], 1_700_000_000, octets.as_bytes())
        .unwrap();
}

/// Text as a terminal gets it.
fn text(site: &Site, args: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maildreieck-agent"));
    command
        .args(args)
        .arg("--config")
        .arg(site.dir.path().join("agent.toml"))
        .env_clear()
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn differences_are_called_by_subject_sender_and_date() {
    let site = Site::new();
    append(&mut site.primary(), &letter(MARKER));
    site.fill("INBOX", 1, 3);
    site.once().exits(0);
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    // From the store; from the standby; from the primary, since the store has lost all.
    standby.delete("INBOX", &uids[..1]).unwrap();
    append(&mut standby, &letter("fremd"));
    append(
        &mut standby,
        "Subject: =?utf-8?q?=1B[2J=E2=80=AEboese?=\r\n\r\nx\r\n",
    );
    std::fs::remove_file(segments(site.dir.path()).remove(0)).unwrap();
    for depth in ["ledger", "content"] {
        let said = site.agent(&["reconcile", "--depth", depth]).exits(3);
        let found = said.triangle()["discrepancies"].as_array().unwrap();
        let of = |class: &str, subject: &str| {
            let mut all = found.iter();
            let found = all.find(|d| d["class"] == class && d["subject"] == subject);
            found.unwrap_or_else(|| panic!("{class} {subject} in {:#}", said.triangle()))
        };
        for (class, subject) in [
            ("missing_at_standby", MARKER),
            ("missing_in_store", MARKER),
            ("foreign_at_standby", "fremd"),
        ] {
            let one = of(class, subject);
            assert_eq!(one["sender"], "Erika Muster <erika@abc.example>");
            assert_eq!(one["date"], "2026-11-30T09:00:00Z");
        }
        let hostile = of("foreign_at_standby", "\u{fffd}[2J\u{fffd}boese");
        // Without a Date line it is the date of arrival.
        assert_eq!(hostile["date"], "2023-11-14T22:13:20Z");
        assert_eq!(hostile.get("sender"), None);
        let certificate = said.triangle()["certificate"].to_string();
        for word in [MARKER, "fremd", "Erika", "abc.example", "boese"] {
            assert!(!certificate.contains(word), "{certificate}");
        }
        // Folders have neither.
        let said = site.agent(&["reconcile", "--depth", "volume"]).exits(3);
        assert!(!said.json.to_string().contains("\"subject\""));
    }
}

#[test]
fn a_terminal_gets_the_language_that_it_asks_for() {
    let site = Site::new();
    append(&mut site.primary(), &letter(MARKER));
    site.fill("INBOX", 1, 2);
    site.once().exits(0);
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    standby.delete("INBOX", &uids[..1]).unwrap();
    append(&mut standby, "Subject: =?utf-8?q?=1B[2J?=\r\n\r\nx\r\n");
    let reconcile = |args: &[&str], environment: &[(&str, &str)]| {
        let args = [&["reconcile"], args].concat();
        text(&site, &args, environment)
    };
    let english = reconcile(&[], &[]);
    for word in [
        "UNBALANCED",
        "missing at the standby: INBOX, standby (UID 1 in primary)",
        "\"Kuendigung-4711\", from Erika Muster <erika@abc.example>, 2026-11-30 09:00 UTC",
    ] {
        assert!(english.contains(word), "{word} in {english}");
    }
    let german = reconcile(&["--lang", "de"], &[("LANG", "en_GB.UTF-8")]);
    for word in [
        "NICHT AUSGEGLICHEN",
        "fehlt auf dem Zweitkonto: INBOX, Zweitkonto (UID 1, Hauptkonto)",
        "„Kuendigung-4711“, von Erika Muster <erika@abc.example>, 30.11.2026 09:00 UTC",
    ] {
        assert!(german.contains(word), "{word} in {german}");
    }
    assert!(!german.contains('\u{1b}') && !english.contains('\u{1b}'));
    let environment = [("LANG", "de_DE.UTF-8")];
    assert!(reconcile(&[], &environment).contains("NICHT AUSGEGLICHEN"));
    let environment = [("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")];
    assert!(reconcile(&[], &environment).contains("UNBALANCED"));
}

/// Whatever comes of asking for headers, verdict and differences are the same.
#[test]
fn who_cannot_be_asked_leaves_a_difference_without_a_name() {
    let standby = Dovecot::start(Options::default()).unwrap();
    for (user, actions) in [
        ("no", vec![Action::no("[UNAVAILABLE] later")]),
        ("bad", vec![Action::bad("what?")]),
        (
            "cut",
            vec![Action::send("* 1 FETCH (UID 1 BODY[HEADER"), Action::Close],
        ),
        (
            "nil",
            vec![Action::send(
                "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (SUBJECT)]<0> NIL)\r\n{tag} OK done\r\n",
            )],
        ),
    ] {
        let script = Script::new().message(
            "INBOX",
            &[],
            "24-Nov-2024 10:00:00 +0100",
            b"Subject: x\r\n\r\nx\r\n",
        );
        let fake = Fake::start(script.on("HEADER.FIELDS", &actions)).unwrap();
        let dir = configured_for(fake.port(), standby.imap_port(), user);
        agent(dir.path(), &["once"]).exits(0);
        std::fs::remove_file(segments(dir.path()).remove(0)).unwrap();
        let said = agent(dir.path(), &["reconcile"]).exits(3);
        assert_eq!(said.classes(), ["missing_in_store store"], "{user}");
        let found = &said.triangle()["discrepancies"][0];
        assert_eq!(found.get("subject"), None, "{user}");
        assert_eq!(found["date"], "2024-11-24T09:00:00Z", "{user}");
    }
}

/// The report that waits for the server has been made from the same proof.
#[test]
fn nothing_that_a_message_is_called_is_in_the_report_to_the_server() {
    let mut site = Site::new();
    append(&mut site.primary(), &letter(MARKER));
    site.fill("INBOX", 1, 3);
    site.primary().create("Geheimakte").unwrap();
    site.fill("Geheimakte", 5, 1);
    site.once().exits(0);
    append(&mut site.standby(), &letter("fremd"));
    let uids = Site::uids(&mut site.standby(), "Geheimakte");
    site.standby()
        .store("Geheimakte", &uids, "+FLAGS", &["\\Flagged"])
        .unwrap();
    let (primary, standby) = (site.primary.imap_port(), site.standby.imap_port());
    let data = site.dir.path().join("data");
    let account = |port: u16| json!({ "account_id": uuid(1), "host": "localhost", "port": port, "tls": "none", "username": USER });
    let assignment = json!({ "version": 1, "triangles": [{
        "triangle_id": uuid(2), "name": "info", "primary": account(primary), "standby": account(standby),
        "standby_prefix": "", "exclude_folders": ["Junk", "Trash", "Drafts"],
        "tx": { "schedule_id": uuid(3), "cron": "0 18 * * *", "timezone": "UTC" },
    }]});
    let _: Assignment = serde_json::from_value(assignment.clone()).unwrap();
    let known = json!({ "etag": null, "assignment": assignment });
    write_private(&data.join("assignment.json"), &known.to_string());
    let key = json!({
        "format": "maildreieck agent key 1", "signing_key": "1".repeat(64), "sealing_key": "2".repeat(64),
        "enrolment": { "server": "https://127.0.0.1:1", "agent_id": uuid(4), "site_id": uuid(5), "tenant_id": uuid(6), "audience": "x" },
    });
    write_private(&data.join("agent.key"), &key.to_string());
    let now = maildreieck_agent::clock::now();
    let six = now.date_naive().and_hms_opt(18, 0, 0).unwrap().and_utc();
    let to_six = (six - now).num_seconds();
    let mut service = command(site.dir.path(), &["run"])
        .env("MAILDREIECK_CLOCK", format!("1:{}", to_six - 3))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let spool = data.join("spool");
    let reports = || -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(&spool).into_iter().flatten();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect()
    };
    let begun = std::time::Instant::now();
    while reports().is_empty() && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    service.kill().unwrap();
    service.wait().unwrap();
    let report = std::fs::read_to_string(reports().remove(0)).unwrap();
    assert!(report.contains("foreign_at_standby"), "{report}");
    for word in [
        MARKER,
        "fremd",
        "Erika",
        "abc.example",
        "Geheimakte",
        "subject",
        "sender",
    ] {
        assert!(!report.contains(word), "{word} in {report}");
    }
    site.primary.stop();
}

fn uuid(n: u32) -> String {
    format!("0193a5b0-0000-7000-8000-{n:012}")
}
