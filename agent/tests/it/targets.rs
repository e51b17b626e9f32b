//! Standbys that refuse, lie and hang up: what can be sent arrives once, the rest is put aside by name, and the
//! next run sends nothing.

use maildreieck_agent::ledger::Ledger;
use xtask::lab::fake::{Action, Fake, Script};

use super::site::{Said, agent, configured};

const POISON: u32 = 7;

struct Pair {
    primary: Fake,
    standby: Fake,
    dir: tempfile::TempDir,
}

/// Twenty messages on the primary, one of which says 'poison', and a standby.
fn pair(standby: Script) -> Pair {
    let mut script = Script::new();
    for number in 0..20 {
        let word = if number == POISON { "poison" } else { "food" };
        let body = format!("Subject: {number}\r\n\r\n{word} {number}\r\n");
        script = script.message(
            "INBOX",
            &["\\Seen"],
            "24-Nov-2024 10:00:00 +0100",
            body.as_bytes(),
        );
    }
    let (primary, standby) = (Fake::start(script).unwrap(), Fake::start(standby).unwrap());
    let dir = configured(primary.port(), standby.port());
    Pair {
        primary,
        standby,
        dir,
    }
}

impl Pair {
    fn once(&self) -> Said {
        agent(self.dir.path(), &["once"])
    }

    /// Numbers of the messages on the standby, sorted.
    fn there(&self) -> Vec<u32> {
        let messages = self.standby.messages("INBOX");
        let number = |body: &[u8]| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let rest = text.strip_prefix("Subject: ").unwrap();
            rest.split("\r\n").next().unwrap().parse().unwrap()
        };
        let mut numbers: Vec<u32> = messages.iter().map(|m| number(&m.body)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn complete(&self) {
        assert_eq!(self.there(), (0..20).collect::<Vec<_>>());
        assert_eq!(self.primary.messages("INBOX").len(), 20);
        let said = self.once().exits(0);
        assert_eq!((said.sent(), said.classes()), (0, vec![]));
    }
}

#[test]
fn a_failure_on_the_way_is_made_good_in_the_same_run_and_nothing_is_doubled() {
    let cases: Vec<(&str, Vec<Action>)> = vec![
        ("cut before it was taken", vec![Action::Close]),
        (
            "taken, and cut before the answer",
            vec![Action::AnswerUpTo(0), Action::Close],
        ),
        (
            "taken, and cut in the answer",
            vec![Action::AnswerUpTo(30), Action::Close],
        ),
        (
            "goodbye",
            vec![Action::send("* BYE closing\r\n"), Action::Close],
        ),
        (
            "taken, then goodbye",
            vec![
                Action::AnswerUpTo(0),
                Action::send("* BYE closing\r\n"),
                Action::Close,
            ],
        ),
        ("not now", vec![Action::no("[UNAVAILABLE] later")]),
        (
            "another count",
            vec![Action::send("{tag} OK [APPENDUID 1700000000 7] done\r\n")],
        ),
        (
            "an absurd count",
            vec![Action::send(
                "{tag} OK [APPENDUID 1700000000 1:4294967295] done\r\n",
            )],
        ),
        (
            "taken, and told by no UID",
            vec![Action::AnswerUpTo(0), Action::send("{tag} OK done\r\n")],
        ),
        (
            "an untagged BAD",
            vec![Action::send("* BAD nonsense\r\n"), Action::Close],
        ),
        (
            "a tag of nobody",
            vec![
                Action::AnswerUpTo(0),
                Action::send("zzz OK done\r\n"),
                Action::Close,
            ],
        ),
        (
            "another UIDVALIDITY",
            vec![
                Action::AnswerUpTo(0),
                Action::send("{tag} OK [APPENDUID 5 1:16] done\r\n"),
            ],
        ),
    ];
    // At once: each waits until the batch in doubt is old enough.
    std::thread::scope(|scope| {
        for (name, actions) in cases {
            scope.spawn(move || {
                println!("{name} begins");
                let pair = pair(Script::new().once("APPEND", &actions));
                pair.once().exits(0);
                pair.complete();
                println!("{name} ends");
            });
        }
    });
}

#[test]
fn a_standby_that_falls_silent_is_waited_for_once() {
    let pair = pair(Script::new().on("APPEND", &[Action::Stall]));
    let file = pair.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(
        "[triangle.standby]\n",
        "[triangle.standby]\ntimeout_s = 2\n",
    );
    std::fs::write(&file, text).unwrap();
    let said = pair.once().exits(1);
    assert!(said.stderr.contains("went silent"), "{}", said.stderr);
    assert_eq!(said.triangle()["error"]["temporary"], true);
    // One connection to look, and two to write, none of which comes again.
    let received = pair.standby.received();
    let count = |word: &str| received.iter().filter(|c| c.starts_with(word)).count();
    assert_eq!((count("LOGIN"), count("LIST")), (3, 1), "{received:?}");
    pair.standby.behave();
    assert_eq!(pair.once().exits(0).sent(), 20);
    pair.complete();
}

#[test]
fn one_message_that_is_refused_is_put_aside_and_the_others_arrive() {
    for action in [Action::no("[CANNOT] not that"), Action::bad("not that")] {
        let pair = pair(Script::new().on("poison", &[action]));
        let said = pair.once().exits(0);
        assert_eq!(said.classes(), ["(quarantined standby)"]);
        assert_eq!(
            pair.there(),
            (0..20).filter(|n| *n != POISON).collect::<Vec<_>>()
        );
        assert_eq!(pair.once().exits(0).sent(), 0);
        // It is tried again, in vain at first.
        for (behaves, sent) in [(false, 0), (true, 1)] {
            if behaves {
                pair.standby.behave();
            }
            let mut ledger = Ledger::open(&pair.dir.path().join("data/ledger.db")).unwrap();
            ledger.retry_quarantined("info", i64::MAX).unwrap();
            drop(ledger);
            assert_eq!(pair.once().exits(0).sent(), sent);
        }
        pair.complete();
    }
}

#[test]
fn an_account_that_is_full_is_no_fault_of_the_messages() {
    let pair = pair(Script::new().on("APPEND", &[Action::no("[OVERQUOTA] Mailbox is full")]));
    for _ in 0..2 {
        let said = pair.once().exits(1);
        assert!(
            said.stderr.contains("the account is full"),
            "{}",
            said.stderr
        );
    }
    assert_eq!(pair.there(), Vec::<u32>::new());
    pair.standby.behave();
    let said = pair.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (20, vec![]));
    pair.complete();
}
