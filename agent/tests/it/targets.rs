//! Standbys that refuse, lie and hang up: what can be sent arrives once, the rest is put aside by name, and the
//! next run sends nothing.

use maildreieck_agent::ledger::Ledger;
use std::time::Duration;

use xtask::lab::fake::{Action, Fake, Keeping, Script};

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
        agent(self.dir.path(), &["reconcile", "--depth", "content"]).exits(0);
        agent(self.dir.path(), &["store", "check"]).exits(0);
    }

    /// How many commands the standby received that begin so.
    fn received(&self, word: &str) -> usize {
        let received = self.standby.received();
        received.iter().filter(|c| c.starts_with(word)).count()
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
            "taken, and told in another order",
            vec![
                Action::AnswerUpTo(0),
                Action::send("{tag} OK [APPENDUID 1700000000 2,1,3:16] done\r\n"),
            ],
        ),
        (
            "taken, and cut in the tag",
            vec![Action::AnswerUpTo(5), Action::Close],
        ),
        (
            "taken after the connection is gone",
            vec![Action::CloseAndDoLater(Duration::from_secs(2))],
        ),
        (
            "mail of somebody else's before the answer",
            vec![
                Action::send("* 99 EXISTS\r\n* 1 RECENT\r\n"),
                Action::Answer,
            ],
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
fn a_store_that_is_lost_in_the_middle_of_the_first_mirror_is_filled_again() {
    let pair = pair(Script::new().on("APPEND", &[Action::no("[OVERQUOTA] Mailbox is full")]));
    pair.once().exits(1);
    std::fs::remove_dir_all(pair.dir.path().join("data/store")).unwrap();
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

#[test]
fn what_a_server_says_before_its_plus_is_no_answer() {
    let said = "* 99 EXISTS\r\n* 1 RECENT\r\n* OK still here\r\n";
    let pair = pair(Script::new().before_plus(said));
    assert_eq!(pair.once().exits(0).sent(), 20);
    pair.complete();
}

#[test]
fn a_cut_between_two_batches_or_within_a_literal_loses_and_doubles_nothing() {
    let cut = [Action::Close];
    for script in [
        Script::new().on_nth("APPEND", 1, 1, &cut),
        Script::new().on_nth("STATUS", 1, 1, &cut),
    ] {
        let pair = pair(script);
        let said = pair.once();
        if said.code != 0 {
            assert_eq!(
                said.triangle()["error"]["temporary"],
                true,
                "{}",
                said.stderr
            );
        }
        pair.once().exits(0);
        pair.complete();
    }
    // All are sent in one command: the connection is gone when one of them is announced.
    let pair = pair(Script::new().at_literal("{24+}", 1, Action::Close));
    assert_eq!(pair.once().exits(0).triangle()["verdict"], "balanced");
    pair.complete();
}

/// What a mail says is never executed: the first with a keyword waits for the server's `+`.
#[test]
fn a_body_of_commands_behind_an_append_that_draws_bad_is_not_executed() {
    let commands = "Subject: 99\r\n\r\nx1 CREATE pwned\r\nx2 SELECT INBOX\r\nx3 STORE 1:* +FLAGS (\\Deleted)\r\nx4 EXPUNGE\r\nx5 LOGOUT\r\n";
    let mut script = Script::new();
    for number in 0..3 {
        let body = format!("Subject: {number}\r\n\r\nfood\r\n");
        let date = "24-Nov-2024 10:00:00 +0100";
        script = script.message("INBOX", &["\\Seen"], date, body.as_bytes());
    }
    let date = "24-Nov-2024 11:00:00 +0100";
    script = script.message("INBOX", &["odd"], date, commands.as_bytes());
    let bad = Script::new().at_literal(" (odd) ", usize::MAX, Action::bad("what is that?"));
    let (primary, standby) = (Fake::start(script).unwrap(), Fake::start(bad).unwrap());
    let dir = configured(primary.port(), standby.port());
    let pair = Pair {
        primary,
        standby,
        dir,
    };
    let said = pair.once().exits(0);
    assert_eq!(said.classes(), ["(quarantined standby)"]);
    assert_eq!(pair.there(), [0, 1, 2]);
    for word in ["CREATE", "STORE", "EXPUNGE"] {
        assert_eq!(pair.received(word), 0, "{:?}", pair.standby.received());
    }
    assert_eq!(pair.once().exits(0).sent(), 0);
}

/// Sent once more, then put aside by name; and never a third time.
#[test]
fn a_target_that_rewrites_or_expires_what_it_gets_is_named_and_ends() {
    for keeping in [Keeping::Altered, Keeping::Nothing] {
        let pair = pair(Script::new().keeping(keeping));
        // So many at once it would hold back.
        let file = pair.dir.path().join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let guard = "[[triangle]]\nguard = { max_share = 1.0, min_messages = 1000 }\n";
        std::fs::write(&file, text.replace("[[triangle]]\n", guard)).unwrap();
        let mut classes = Vec::new();
        for _ in 0..4 {
            let said = pair.once();
            assert!([0, 3].contains(&said.code), "{keeping:?}: {}", said.stderr);
            classes = said.classes();
        }
        let (octets, sent) = (
            pair.standby.messages("INBOX").len(),
            pair.received("APPEND"),
        );
        println!("{keeping:?}: {octets} there, {sent} commands, {classes:?}");
        let said = pair.once();
        assert_eq!(
            (said.sent(), pair.received("APPEND")),
            (0, sent),
            "{keeping:?}"
        );
        assert_eq!(said.classes(), classes, "{keeping:?}");
        assert!(
            classes.contains(&"does_not_stay standby".to_owned()),
            "{keeping:?}: {classes:?}"
        );
        assert!(octets <= 40, "{keeping:?}: {octets}");
        agent(pair.dir.path(), &["store", "check"]).exits(0);
    }
}

/// Two equal messages are two here and one there.
#[test]
fn a_target_that_merges_equal_mail_is_named_and_ends() {
    let mut script = Script::new();
    for number in [1, 2, 2, 3, 3, 3] {
        let body = format!("Subject: {number}\r\n\r\nfood\r\n");
        let date = "24-Nov-2024 10:00:00 +0100";
        script = script.message("INBOX", &[], date, body.as_bytes());
    }
    let merging = Script::new().keeping(Keeping::Merged);
    let (primary, standby) = (Fake::start(script).unwrap(), Fake::start(merging).unwrap());
    let dir = configured(primary.port(), standby.port());
    let pair = Pair {
        primary,
        standby,
        dir,
    };
    pair.once().exits(0);
    let sent = pair.received("APPEND");
    let said = pair.once().exits(0);
    assert_eq!((said.sent(), pair.received("APPEND")), (0, sent));
    assert_eq!(said.classes(), ["(host_merged standby)"; 3]);
    assert_eq!(pair.there(), [1, 2, 3]);
    agent(pair.dir.path(), &["store", "check"]).exits(0);
}

/// The message arrives without it; store and ledger keep it, and that explains the difference.
#[test]
fn a_keyword_that_the_target_refuses_is_left_off_and_explained() {
    let mut script = Script::new();
    for (number, flags) in [(1, &["\\Seen", "odd"][..]), (2, &["odd"]), (3, &["\\Seen"])] {
        let body = format!("Subject: {number}\r\n\r\nfood\r\n");
        let date = "24-Nov-2024 10:00:00 +0100";
        script = script.message("INBOX", flags, date, body.as_bytes());
    }
    let refuses = Script::new().on("odd) ", &[Action::no("[CANNOT] no such keyword")]);
    let (primary, standby) = (Fake::start(script).unwrap(), Fake::start(refuses).unwrap());
    let dir = configured(primary.port(), standby.port());
    let pair = Pair {
        primary,
        standby,
        dir,
    };
    let said = pair.once().exits(0);
    assert_eq!(
        (said.sent(), said.triangle()["verdict"].as_str()),
        (3, Some("balanced"))
    );
    assert_eq!(said.classes(), ["(flags_differ standby)"; 2]);
    assert_eq!(pair.there(), [1, 2, 3]);
    let said = pair.once().exits(0);
    assert_eq!((said.sent(), said.classes().len()), (0, 2));
    agent(pair.dir.path(), &["store", "check"]).exits(0);
}
