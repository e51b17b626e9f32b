//! Connections to the standby that end while a folder is made or renamed there: before it was done, after, and later.

use std::time::Duration;

use xtask::lab::dovecot::{Dovecot, Options};
use xtask::lab::fake::{Action, Fake, FakeMessage, Script};
use xtask::lab::judge::Judge;

use super::site::{Said, USER, agent, configured};

struct Pair {
    primary: Dovecot,
    standby: Fake,
    dir: tempfile::TempDir,
}

/// How a command is met whose end nobody hears of.
fn cuts() -> Vec<(&'static str, Vec<Action>)> {
    vec![
        ("cut before it was done", vec![Action::Close]),
        (
            "done, and cut before the answer",
            vec![Action::AnswerUpTo(0), Action::Close],
        ),
        (
            "done, and cut in the answer",
            vec![Action::AnswerUpTo(9), Action::Close],
        ),
        (
            "done when the connection is gone",
            vec![Action::CloseAndDoLater(Duration::from_secs(1))],
        ),
        (
            "goodbye",
            vec![Action::send("* BYE closing\r\n"), Action::Close],
        ),
        (
            "done, and goodbye",
            vec![
                Action::AnswerUpTo(0),
                Action::send("* BYE closing\r\n"),
                Action::Close,
            ],
        ),
        ("not now", vec![Action::no("[UNAVAILABLE] later")]),
    ]
}

/// A primary with a folder of five messages and one of three below it, and a standby.
fn pair(standby: Script) -> Pair {
    let primary = Dovecot::start(Options {
        separator: '/',
        ..Options::default()
    });
    let (primary, standby) = (primary.unwrap(), Fake::start(standby).unwrap());
    let dir = configured(primary.imap_port(), standby.port());
    let pair = Pair {
        primary,
        standby,
        dir,
    };
    let mut judge = pair.judge();
    judge.create("Akten").unwrap();
    judge.create("Akten/2025").unwrap();
    for (folder, numbers) in [("Akten", 1..=5), ("Akten/2025", 6..=8)] {
        for number in numbers {
            let body = format!("Subject: {number}\r\n\r\nfood\r\n");
            judge
                .append(folder, &[], 1_700_000_000 + number, body.as_bytes())
                .unwrap();
        }
    }
    pair
}

impl Pair {
    fn judge(&self) -> Judge {
        self.primary.judge(USER).unwrap()
    }

    fn once(&self) -> Said {
        agent(self.dir.path(), &["once"])
    }

    /// Runs until one comes to its end; the standby then holds what the primary does, once, under the same names, and
    /// the next run sends nothing.
    fn completes(&self, case: &str, folders: [&str; 2]) -> u64 {
        let mut sent = 0;
        let mut said = self.once();
        let met = said.code == 1 || said.stderr.contains("going on where it ended");
        assert!(met || case == "not now", "{case}: {}", said.json);
        for _ in 0..3 {
            sent += said.sent();
            if said.code == 0 {
                break;
            }
            assert_eq!(
                said.triangle()["error"]["temporary"],
                true,
                "{case}: {}",
                said.stderr
            );
            said = self.once();
        }
        assert_eq!(
            (said.code, said.classes()),
            (0, vec![]),
            "{case}: {}",
            said.stderr
        );
        for folder in folders {
            let bodies = |mut all: Vec<Vec<u8>>| {
                all.sort();
                all
            };
            let here = self.judge().messages(folder).unwrap();
            let here = bodies(here.into_iter().map(|m| m.body).collect());
            let there = self.standby.messages(folder);
            let there = bodies(there.into_iter().map(|m| m.body).collect());
            assert!(
                !here.is_empty() && here == there,
                "{case}: {folder}: {here:?} {there:?}"
            );
        }
        for folder in ["Akten", "Akten/2025", "INBOX"] {
            if !folders.contains(&folder) {
                assert_eq!(self.standby.messages(folder), [], "{case}: {folder}");
            }
        }
        let again = self.once().exits(0);
        assert_eq!(
            (again.sent(), again.classes(), again.repairs()),
            (0, vec![], vec![]),
            "{case}"
        );
        agent(self.dir.path(), &["store", "check"]).exits(0);
        sent
    }
}

#[test]
fn a_cut_while_folders_are_made_loses_and_doubles_nothing() {
    std::thread::scope(|all| {
        for (case, actions) in cuts() {
            for nth in [0, 1] {
                let script = Script::new().on_nth("CREATE", nth, 1, &actions);
                all.spawn(move || {
                    let sent = pair(script).completes(case, ["Akten", "Akten/2025"]);
                    assert_eq!(sent, 8, "{case}");
                });
            }
        }
    });
}

#[test]
fn flags_that_a_cut_kept_from_the_standby_are_no_repair() {
    let pair = pair(Script::new().once("UID STORE", &[Action::Close]));
    pair.once().exits(0);
    let mut judge = pair.judge();
    judge
        .store("Akten", &[1], "+FLAGS", &["\\Flagged"])
        .unwrap();
    let said = pair.once().exits(0);
    assert!(said.stderr.contains("going on"), "{}", said.stderr);
    assert_eq!(said.repairs(), [""; 0]);
    let flags = |message: &FakeMessage| message.flags.clone();
    let there = pair.standby.messages("Akten");
    assert_eq!(there.first().map(flags), Some(vec!["\\Flagged".to_owned()]));
}

#[test]
fn a_cut_while_a_folder_is_renamed_loses_and_doubles_nothing() {
    std::thread::scope(|all| {
        for (case, actions) in cuts() {
            let script = Script::new().once("RENAME", &actions);
            all.spawn(move || {
                let pair = pair(script);
                assert_eq!(pair.once().exits(0).sent(), 8, "{case}");
                pair.judge().rename("Akten", "Ablage").unwrap();
                let sent = pair.completes(case, ["Ablage", "Ablage/2025"]);
                assert_eq!(sent, 0, "{case}");
            });
        }
    });
}
