//! Mail that is mirrored as it comes. All folders are looked at once a minute; what comes sooner the primary has told.

use std::process::Child;
use std::time::Duration;

use xtask::lab::daemon::until;
use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::fake::{Action, Fake, Script};

use super::site::{Site, command, configured};

/// Sooner than the next look of the minute that began with the last.
const SOON: Duration = Duration::from_secs(30);

/// The service; it ends with the test.
struct Service(Child);

impl Service {
    fn start(dir: &std::path::Path) -> Self {
        let file = dir.join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("[[triangle]]\n", "[[triangle]]\nmirror = \"continuous\"\n");
        std::fs::write(&file, text).unwrap();
        let mut command = command(dir, &["run"]);
        command.stdin(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// So many messages arrive in a folder of the standby.
fn arrive(site: &Site, folder: &str, count: usize) {
    until(SOON, &format!("mail in {folder}"), || {
        let mut standby = site.standby();
        let there = standby.folders()?.iter().any(|entry| entry.name == folder);
        Ok(there && standby.messages(folder)?.len() == count)
    })
    .unwrap();
}

#[test]
fn mail_is_brought_as_it_comes_whatever_folder_it_is_in() {
    let site = Site::new();
    site.primary().create("Akten").unwrap();
    site.fill("INBOX", 1, 1);
    let service = Service::start(site.dir.path());
    arrive(&site, "INBOX", 1);
    for count in 1..=3 {
        site.fill("Akten", u32::try_from(count).unwrap() * 10, 1);
        arrive(&site, "Akten", count);
    }
    site.fill("INBOX", 2, 1);
    arrive(&site, "INBOX", 2);
    site.primary().create("Neu").unwrap();
    site.fill("Neu", 50, 2);
    arrive(&site, "Neu", 2);
    drop(service);
    site.once().exits(0);
    site.assert_equal();
}

#[test]
fn a_primary_that_tells_of_its_inbox_alone_is_mirrored_as_before() {
    let primary = Options {
        capability: Some("IMAP4rev1 LITERAL+ IDLE UIDPLUS LIST-EXTENDED LIST-STATUS".to_owned()),
        ..Options::default()
    };
    let site = Site::between(primary, Options::german());
    site.fill("INBOX", 1, 1);
    let service = Service::start(site.dir.path());
    for count in 1..=3 {
        arrive(&site, "INBOX", count);
        site.fill("INBOX", 1 + u32::try_from(count).unwrap(), 1);
    }
    drop(service);
    site.once().exits(0);
    site.assert_equal();
}

#[test]
fn where_notify_is_refused_idle_is_waited_with() {
    for refusal in [
        Action::no("[NOTIFICATIONOVERFLOW] not here"),
        Action::bad("what?"),
    ] {
        let script = Script::new()
            .capability("IMAP4rev1 LITERAL+ ENABLE IDLE UIDPLUS NOTIFY")
            .on("NOTIFY", &[refusal]);
        let primary = Fake::start(script).unwrap();
        let standby = Dovecot::start(Options::default()).unwrap();
        let dir = configured(primary.port(), standby.imap_port());
        let _service = Service::start(dir.path());
        until(SOON, "IDLE", || {
            let received = primary.received();
            let notify = received.iter().position(|c| c.starts_with("NOTIFY SET"));
            Ok(notify.is_some_and(|at| received[at..].iter().any(|c| c == "IDLE")))
        })
        .unwrap();
    }
}

#[test]
fn a_primary_that_has_too_much_to_tell_is_connected_to_again() {
    let script = Script::new()
        .capability("IMAP4rev1 LITERAL+ ENABLE IDLE UIDPLUS NOTIFY")
        .on("NOTIFY", &[Action::send("{tag} OK done\r\n")])
        .once(
            "IDLE",
            &[Action::send(
                "+ idling\r\n* OK [NOTIFICATIONOVERFLOW] too much\r\n",
            )],
        );
    let primary = Fake::start(script).unwrap();
    let standby = Dovecot::start(Options::default()).unwrap();
    let dir = configured(primary.port(), standby.imap_port());
    let _service = Service::start(dir.path());
    let asked = || {
        let received = primary.received();
        received
            .iter()
            .filter(|c| c.starts_with("NOTIFY SET"))
            .count()
    };
    until(Duration::from_secs(60), "NOTIFY again", || Ok(asked() == 2)).unwrap();
}
