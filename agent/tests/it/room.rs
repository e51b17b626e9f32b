//! Standbys that are full, or take no large messages, and say so when they are asked: nothing is begun that would be
//! refused, what fits arrives, and the run goes on when there is room.

use xtask::lab::dovecot::Options;
use xtask::lab::fake::{Action, Fake, Script};

use super::site::{Site, agent, configured};

const KIB: u64 = 1024;
/// One message of [`heavy`], octets.
const HEAVY: usize = 10_000;

/// Puts messages of 10,000 octets into the primary's INBOX, later than those of [`Site::fill`].
fn heavy(site: &Site, from: u32, count: u32) {
    let mut primary = site.primary();
    for number in from..from + count {
        let head = format!("Subject: {number}\r\n\r\n");
        let body = format!("{head}{}\r\n", "x".repeat(HEAVY - head.len() - 2));
        let date = 1_710_000_000 + i64::from(number);
        primary.append("INBOX", &[], date, body.as_bytes()).unwrap();
    }
}

/// Somebody else's mail on the standby, in a folder of its own.
fn foreign(site: &Site, octets: usize) {
    let mut standby = site.standby();
    standby.create("Fremd").unwrap();
    let body = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(octets));
    standby
        .append("Fremd", &[], 1_600_000_000, body.as_bytes())
        .unwrap();
}

fn make_room(site: &Site) {
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "Fremd");
    standby.delete("Fremd", &uids).unwrap();
}

fn with_quota(bytes: u64) -> Options {
    Options {
        quota_bytes: Some(bytes),
        ..Options::german()
    }
}

#[test]
fn a_standby_that_is_full_gets_what_fits_and_the_run_says_what_it_lacks() {
    let site = Site::between(Options::default(), with_quota(112 * KIB));
    foreign(&site, 45_000);
    site.fill("INBOX", 10, 3);
    heavy(&site, 10, 10);
    let said = site.once().exits(3);
    // Six of the heavy ones, and the light ones that are older and fit.
    assert_eq!(said.sent(), 6 + 3);
    let full = &said.triangle()["pending"]["full"];
    assert_eq!(
        (&full["corner"], &full["messages"], &full["bytes"]),
        (&"standby".into(), &4.into(), &(4 * HEAVY).into())
    );
    let lacks = full["lacks_bytes"].as_u64().unwrap();
    assert!((30_000..35_000).contains(&lacks), "{full}");
    assert_eq!(full["lacks_messages"], 0);
    assert!(
        said.stderr.contains("the standby is full"),
        "{}",
        said.stderr
    );
    assert_eq!(said.triangle()["verdict"], "unproven");
    let mut dates: Vec<i64> = site
        .standby()
        .messages("INBOX")
        .unwrap()
        .iter()
        .map(|m| m.internaldate)
        .collect();
    dates.sort_unstable();
    let oldest_heavy = dates.into_iter().find(|date| *date > 1_705_000_000);
    assert_eq!(oldest_heavy, Some(1_710_000_014));
    // It goes on so, and new mail that fits passes.
    site.fill("INBOX", 20, 1);
    assert_eq!(site.once().exits(3).sent(), 1);
    assert_eq!(site.once().exits(3).sent(), 0);
    make_room(&site);
    assert_eq!(site.once().exits(0).sent(), 4);
    assert_eq!(Site::uids(&mut site.standby(), "INBOX").len(), 14);
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn a_number_of_messages_bounds_too() {
    let options = Options {
        extra: vec!["plugin {\n  quota_rule = *:messages=6\n}".to_owned()],
        ..Options::german()
    };
    let site = Site::between(Options::default(), options);
    foreign(&site, 10);
    site.fill("INBOX", 10, 8);
    let said = site.agent(&["mirror"]).exits(3);
    assert_eq!(said.sent(), 5);
    let full = &said.triangle()["pending"]["full"];
    assert_eq!(
        (&full["messages"], &full["lacks_messages"]),
        (&3.into(), &3.into())
    );
    let dry = site.agent(&["mirror", "--dry-run"]).exits(3);
    assert_eq!(dry.triangle()["plan"]["copies"], serde_json::json!({}));
}

#[test]
fn what_has_to_be_put_back_and_does_not_fit_is_put_back_when_it_does() {
    let site = Site::between(Options::default(), with_quota(64 * KIB));
    heavy(&site, 10, 2);
    site.once().exits(0);
    let mut standby = site.standby();
    let gone = Site::uids(&mut standby, "INBOX");
    standby.delete("INBOX", &gone[..1]).unwrap();
    foreign(&site, 50_000);
    for _ in 0..2 {
        let said = site.once().exits(3);
        assert_eq!((said.sent(), said.repairs()), (0, vec![]));
        assert_eq!(said.triangle()["pending"]["full"]["messages"], 1);
    }
    make_room(&site);
    let said = site.once().exits(0);
    assert_eq!(said.repairs(), ["missing_at_standby standby"]);
    assert_eq!(site.once().exits(0).sent(), 0);
}

#[test]
fn a_standby_that_cannot_be_asked_refuses_and_the_run_says_so() {
    let options = Options {
        capability: Some("IMAP4rev1 LITERAL+ UIDPLUS MULTIAPPEND".to_owned()),
        ..with_quota(32 * KIB)
    };
    let site = Site::between(Options::default(), options);
    heavy(&site, 10, 6);
    let said = site.once().exits(1);
    assert!(
        said.stderr.contains("the account is full"),
        "{}",
        said.stderr
    );
    assert_eq!(said.triangle()["pending"], serde_json::Value::Null);
}

/// What the fake server can do besides.
fn can(more: &str) -> Script {
    Script::new().capability(&format!(
        "IMAP4rev1 LITERAL+ UIDPLUS MULTIAPPEND NAMESPACE SPECIAL-USE LIST-EXTENDED LIST-STATUS {more}"
    ))
}

/// Two messages in INBOX and one in Sent, of 1,000 octets, and one of 20 in each.
fn primary() -> Fake {
    let mut script = Script::new();
    for (folder, subject, octets) in [
        ("INBOX", "a", 1000),
        ("INBOX", "b", 20),
        ("Sent", "c", 1000),
        ("Sent", "d", 20),
    ] {
        let head = format!("Subject: {subject}\r\n\r\n");
        let body = format!("{head}{}\r\n", "x".repeat(octets - head.len() - 2));
        let date = "24-Nov-2024 10:00:00 +0100";
        script = script.message(folder, &[], date, body.as_bytes());
    }
    Fake::start(script).unwrap()
}

#[test]
fn a_message_above_the_limit_is_put_aside_unsent() {
    let limit = Action::send("* STATUS INBOX (APPENDLIMIT 500)\r\n* 3 EXISTS\r\n{tag} OK done\r\n");
    let none = Action::send("* STATUS Sent (APPENDLIMIT NIL)\r\n{tag} OK done\r\n");
    let cases = [
        (can("APPENDLIMIT=500"), ["INBOX", "Sent"].as_slice()),
        (
            can("APPENDLIMIT")
                .on("STATUS \"INBOX\" (APPENDLIMIT)", &[limit])
                .on("STATUS \"Sent\" (APPENDLIMIT)", &[none]),
            ["INBOX"].as_slice(),
        ),
    ];
    for (script, refused) in cases {
        let (primary, standby) = (primary(), Fake::start(script).unwrap());
        let dir = configured(primary.port(), standby.port());
        let said = agent(dir.path(), &["once"]).exits(0);
        assert_eq!(
            said.classes(),
            vec!["(quarantined standby)"; refused.len()],
            "{}",
            said.stderr
        );
        for folder in ["INBOX", "Sent"] {
            let expected = if refused.contains(&folder) { 1 } else { 2 };
            assert_eq!(standby.messages(folder).len(), expected, "{folder}");
        }
        let announced = |octets: &str| {
            let received = standby.received();
            received.iter().filter(|c| c.contains(octets)).count()
        };
        assert_eq!(announced("{1000"), 2 - refused.len());
        // Nothing is asked where nothing is to be sent.
        let asked = announced("APPENDLIMIT");
        assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 0);
        assert_eq!(announced("APPENDLIMIT"), asked);
    }
}

#[test]
fn a_quota_is_asked_in_the_round_trip_that_lists_the_folders() {
    // A root that cannot be understood bounds nothing.
    let answer = Action::send(
        "* QUOTAROOT INBOX \"\"\r\n* QUOTA \"\" (STORAGE 1 none)\r\n{tag} OK done\r\n",
    );
    let script = can("QUOTA").on("GETQUOTAROOT", &[answer]);
    let (primary, standby) = (primary(), Fake::start(script).unwrap());
    let dir = configured(primary.port(), standby.port());
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 4);
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 0);
    let received = standby.received();
    // Once for each mirror; a proof sends nothing.
    let asked = received
        .windows(2)
        .filter(|two| two[0].starts_with("GETQUOTAROOT"));
    let listing = asked
        .map(|two| two[1].starts_with("LIST"))
        .collect::<Vec<_>>();
    assert_eq!(listing, [true, true]);
    // Nor does a refusal.
    let script = can("QUOTA").on("GETQUOTAROOT", &[Action::no("[NOPERM] not you")]);
    let standby = Fake::start(script).unwrap();
    let dir = configured(primary.port(), standby.port());
    assert_eq!(agent(dir.path(), &["once"]).exits(0).sent(), 4);
}
