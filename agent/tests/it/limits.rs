//! Budgets of octets a day, and servers that want to be left alone: a run ends well, says when it goes on, and
//! goes on there.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_agent::clock;
use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::fake::{Action, Fake, Script};

use super::site::{Site, agent, configured};

/// One message of [`Site::fill`] with a number of two digits, octets.
const MESSAGE: u64 = 56;

fn limit(site: &Site, corner: &str, messages: u64) {
    let file = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("bytes_per_day"))
        .map(|line| match line == format!("[triangle.{corner}]") {
            true => format!("{line}\nbytes_per_day = {}\n", messages * MESSAGE),
            false => format!("{line}\n"),
        })
        .collect();
    std::fs::write(file, text).unwrap();
}

#[test]
fn a_budget_lets_the_newest_mail_pass_first_and_the_rest_is_pending() {
    for corner in ["primary", "standby"] {
        let site = Site::new();
        site.primary().create("Akten").unwrap();
        site.fill("INBOX", 10, 20);
        site.fill("Akten", 30, 20);
        assert_eq!(site.primary().account().unwrap().bytes(), 40 * MESSAGE);
        limit(&site, corner, 25);
        let shown = site.agent(&["mirror", "--dry-run"]).exits(3);
        assert_eq!(shown.triangle()["pending"]["messages"], 15);
        let began = clock::now();
        let said = site.agent(&["mirror"]).exits(3);
        assert_eq!(said.sent(), 25);
        let pending = &said.triangle()["pending"];
        assert_eq!(
            (&pending["messages"], &pending["bytes"]),
            (&15.into(), &(15 * MESSAGE).into())
        );
        // What moved counts for a whole day.
        let goes_on: DateTime<Utc> = pending["goes_on_at"].as_str().unwrap().parse().unwrap();
        assert!(goes_on > began + TimeDelta::hours(24), "{pending}");
        let mut standby = site.standby();
        assert_eq!(Site::uids(&mut standby, "Akten").len(), 20);
        let dates = standby.messages("INBOX").unwrap();
        let oldest = dates.iter().map(|m| m.internaldate).min();
        assert_eq!(oldest, Some(1_700_000_025));
        // Nothing is left for today, not for new mail either; and no proof takes it for missing.
        site.fill("INBOX", 60, 1);
        let said = site.once().exits(3);
        assert_eq!(said.sent(), 0);
        assert_eq!(said.triangle()["verdict"], "unproven");
        assert_eq!(said.classes(), ["pending standby", "pending store"]);
        limit(&site, corner, 1000);
        let said = site.once().exits(0);
        assert_eq!((said.sent(), said.repairs()), (16, vec![]));
        site.assert_equal();
        assert_eq!(site.once().exits(0).sent(), 0);
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let script = Script::new()
        .message(
            "INBOX",
            &[],
            "24-Nov-2024 10:00:00 +0100",
            b"Subject: x\r\n\r\nx\r\n",
        )
        .on(
            "BODY.PEEK[]",
            &[Action::no(
                "Request is throttled. Suggested Backoff Time: 120000 milliseconds",
            )],
        );
    let fake = Fake::start(script).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(fake.port(), standby.imap_port());
    let said = agent(dir.path(), &["once"]).exits(1);
    assert!(
        said.stderr.contains("wants to be left alone"),
        "{}",
        said.stderr
    );
    assert_eq!(said.triangle()["error"]["temporary"], true);
    let said = agent(dir.path(), &["once"]).exits(1);
    assert!(
        said.stderr.contains("it is asked again after 20"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_store_is_refilled_within_the_budget_of_the_primary() {
    let site = Site::new();
    site.fill("INBOX", 10, 20);
    site.agent(&["mirror"]).exits(0);
    std::fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    limit(&site, "primary", 25);
    let said = site.agent(&["mirror"]).exits(3);
    let pending = &said.triangle()["pending"];
    assert_eq!(
        (&pending["messages"], &pending["bytes"]),
        (&15.into(), &(15 * MESSAGE).into())
    );
    // What is put back on the standby passes in any case, also where the store has to get it first.
    let mut standby = site.standby();
    let messages = standby.messages("INBOX").unwrap();
    let oldest = messages.iter().min_by_key(|m| m.internaldate).unwrap();
    standby.delete("INBOX", &[oldest.uid]).unwrap();
    let said = site.once().exits(3);
    assert_eq!((said.sent(), said.repairs().len()), (1, 7));
    assert_eq!(said.triangle()["verdict"], "unproven");
    assert_eq!(said.classes(), vec!["pending store"; 14]);
    assert_eq!(
        site.agent(&["reconcile"]).exits(3).classes(),
        vec!["pending store"; 14]
    );
    limit(&site, "primary", 1000);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs().len()), (0, 14));
    site.agent(&["reconcile", "--depth", "content"]).exits(0);
}

#[test]
fn a_lost_store_and_a_renamed_folder_wait_together() {
    let site = Site::new();
    let mut primary = site.primary();
    primary.create("Akten").unwrap();
    site.fill("INBOX", 10, 8);
    site.fill("Akten", 30, 12);
    site.agent(&["mirror"]).exits(0);
    primary.rename("Akten", "Ablage").unwrap();
    std::fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    // Twenty are spent, five are left.
    limit(&site, "primary", 25);
    let said = site.once().exits(3);
    assert_eq!(said.triangle()["pending"]["messages"], 15);
    // The twenty were fetched within this hour, and count for a day.
    let goes_on_at = said.triangle()["pending"]["goes_on_at"].as_str().unwrap();
    let goes_on_at: chrono::DateTime<chrono::Utc> = goes_on_at.parse().unwrap();
    let tx_at = said.triangle()["tx_at"].as_str().unwrap();
    let tx_at: chrono::DateTime<chrono::Utc> = tx_at.parse().unwrap();
    assert!(
        goes_on_at - tx_at > chrono::TimeDelta::hours(23),
        "{goes_on_at}"
    );
    assert_eq!(said.classes(), vec!["pending store"; 15]);
    limit(&site, "primary", 1000);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.repairs().len()), (0, 15));
}

#[test]
fn what_waits_behind_moved_mail_that_cannot_be_read_is_pending_too() {
    let site = Site::new();
    let mut primary = site.primary();
    primary.create("Akten").unwrap();
    site.fill("INBOX", 10, 10);
    site.agent(&["mirror"]).exits(0);
    let uids = Site::uids(&mut primary, "INBOX");
    primary.move_to("INBOX", &uids[..6], "Akten").unwrap();
    // Longer ones: they could be nothing that is known.
    site.fill("INBOX", 100, 4);
    limit(&site, "primary", 13);
    let said = site.once().exits(3);
    assert_eq!(said.triangle()["pending"]["messages"], 3 + 4);
    assert_eq!(said.triangle()["verdict"], "unproven");
    limit(&site, "primary", 1000);
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (4, vec![]));
}
