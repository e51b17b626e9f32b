//! The fake server is correct until a rule says otherwise; the delay line delays and counts.

use std::time::{Duration, Instant};

use xtask::lab::fake::{Action, Fake, Script};
use xtask::lab::{DelayLine, Judge};

fn script() -> Script {
    Script::new()
        .message(
            "INBOX",
            &["\\Seen"],
            "24-Nov-2024 10:00:00 +0100",
            b"Subject: 1\r\n\r\neins\r\n",
        )
        .message(
            "INBOX",
            &[],
            "24-Nov-2024 11:00:00 +0100",
            b"Subject: 2\r\n\r\nzwei\r\n",
        )
}

#[test]
fn without_rules_it_is_a_correct_server() {
    let fake = Fake::start(script()).unwrap();
    let mut judge = Judge::login(fake.port(), "info", "secret").unwrap();
    assert!(Judge::login(fake.port(), "info", "wrong").is_err());
    let before = judge.messages("INBOX").unwrap();
    assert_eq!(before.len(), 2);
    // A star names the last message, even below the other end.
    assert_eq!(
        judge.raw("UID FETCH 9:* (FLAGS)").unwrap(),
        [b"* 2 FETCH (UID 2 FLAGS ())".to_vec()]
    );
    assert_eq!(before[0].body, b"Subject: 1\r\n\r\neins\r\n");
    judge.create("Köln").unwrap();
    assert_eq!(
        judge
            .append("Köln", &["\\Flagged"], 1_700_000_000, b"Subject: 3\r\n\r\n")
            .unwrap(),
        1
    );
    assert_eq!(
        judge.messages("Köln").unwrap()[0].internaldate,
        1_700_000_000
    );
    judge.delete("INBOX", &[1]).unwrap();
    assert_eq!(judge.messages("INBOX").unwrap().len(), 1);
    assert_eq!(judge.status("INBOX").unwrap().uidnext, 3);
    assert_eq!(fake.messages("INBOX").len(), 1);
    assert!(
        fake.received()
            .iter()
            .any(|command| command == "UID EXPUNGE 1")
    );
}

#[test]
fn rules_break_it_where_they_say() {
    for (actions, said) in [
        (vec![Action::no("not today")], "not today"),
        (
            vec![Action::AnswerBefore(b"* 2 FETCH".to_vec()), Action::Close],
            "cut",
        ),
        (
            vec![
                Action::send("* 1 FETCH (UID 1 BODY[] {100}\r\n* BYE going down\r\n"),
                Action::Close,
            ],
            "cut in a literal",
        ),
        (
            vec![Action::send("* BYE going down\r\n"), Action::Close],
            "going down",
        ),
        (vec![Action::AnswerUpTo(60), Action::Close], "cut"),
    ] {
        let fake = Fake::start(script().once("FETCH", &actions)).unwrap();
        let mut judge = Judge::login(fake.port(), "info", "secret").unwrap();
        let error = format!("{:#}", judge.messages("INBOX").unwrap_err());
        assert!(error.contains(said), "{error}");
        let mut again = Judge::login(fake.port(), "info", "secret").unwrap();
        assert_eq!(again.messages("INBOX").unwrap().len(), 2);
    }
}

#[test]
fn a_delay_line_delays_and_counts() {
    let fake = Fake::start(script()).unwrap();
    let line = DelayLine::start(fake.port(), Duration::from_millis(40)).unwrap();
    let mut judge = Judge::login(line.port(), "info", "secret").unwrap();
    let before = line.traffic();
    let start = Instant::now();
    judge.raw("NOOP").unwrap();
    judge.raw("NOOP").unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
    let after = line.traffic();
    assert_eq!(after.turns - before.turns, 2);
    assert_eq!(after.sent - before.sent, 26);
    assert_eq!(after.connections, 1);
    line.cut();
    assert!(judge.raw("NOOP").is_err());
}
