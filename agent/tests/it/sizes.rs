//! Accounts of unusual size: a tenth of it in each test run, the whole where `MAILDREIECK_LONG` is set.

use nix::sys::resource::{UsageWho, getrusage};
use xtask::lab::corpus::{Message, Place};

use super::site::{Said, Site, USER};

/// A tenth, or the whole.
fn size(whole: u32) -> u32 {
    match std::env::var_os("MAILDREIECK_LONG") {
        Some(_) => whole,
        None => whole / 10,
    }
}

/// A small message.
fn message(place: Place, number: u32) -> Message {
    let body = format!(
        "Message-ID: <{number}@abc.example>\r\nSubject: {number}\r\n\r\nNummer {number}\r\n"
    );
    Message {
        place,
        flags: Vec::new(),
        internaldate: 1_700_000_000 + i64::from(number),
        body: body.into_bytes(),
    }
}

/// Runs the agent, and says what it took.
fn measured(site: &Site, args: &[&str]) -> Said {
    let began = std::time::Instant::now();
    let said = site.agent(args);
    // No other child has ended that takes as much.
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    println!(
        "{args:?}: {:.1?}, at most {peak} KiB so far",
        began.elapsed()
    );
    said
}

/// What was planted arrives once, is proved, and the next run sends nothing.
fn mirrored(messages: impl Iterator<Item = Message>) -> (Site, u64) {
    let site = Site::new();
    let (count, _) = site.primary.plant(USER, messages).unwrap();
    let said = measured(&site, &["mirror"]).exits(0);
    assert_eq!(said.sent(), count);
    site.assert_equal();
    let said = measured(&site, &["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    let corners = &said.triangle()["corners"];
    for corner in ["primary", "standby", "store"] {
        assert_eq!(corners[corner]["messages"], count, "{corner}");
    }
    assert_eq!(measured(&site, &["mirror"]).exits(0).sent(), 0);
    measured(&site, &["store", "check"]).exits(0);
    (site, count)
}

#[test]
fn ten_thousand_folders_are_mirrored() {
    let place = |number: u32| {
        Place::path(&[
            "Kunden",
            &format!("{:03}", number / 50),
            &format!("{number:05}"),
        ])
    };
    let messages = (0..size(10_000)).map(|number| message(place(number), number));
    let (site, count) = mirrored(messages);
    // One of many changes, and a few are renamed together.
    site.fill("Kunden.000.00007", 1_000_000, 1);
    site.primary().rename("Kunden.001", "Kunden.alt").unwrap();
    let said = measured(&site, &["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (1, vec![]));
    let standby = site.standby().account().unwrap();
    assert_eq!(standby.messages(), count + 1);
    assert_eq!(
        site.standby().messages("Kunden/alt/00050").unwrap().len(),
        1
    );
    site.assert_equal();
}

#[test]
fn a_hundred_thousand_messages_in_one_folder_are_mirrored() {
    let messages = (0..size(100_000)).map(|number| message(Place::Inbox, number));
    let (site, count) = mirrored(messages);
    let mut primary = site.primary();
    let uids = Site::uids(&mut primary, "INBOX");
    primary
        .store("INBOX", &uids[500..600], "+FLAGS", &["\\Seen"])
        .unwrap();
    primary.delete("INBOX", &uids[100..110]).unwrap();
    site.fill("INBOX", 1_000_000, 5);
    let said = measured(&site, &["once"]).exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (5, vec!["(missing_at_primary standby)".to_owned(); 10])
    );
    assert_eq!(site.standby().account().unwrap().messages(), count + 5);
    assert_eq!(measured(&site, &["once"]).exits(0).sent(), 0);
}
