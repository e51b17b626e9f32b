//! A POP3 primary over time: looked at again and again, closed by its server in between, and left by a run that is killed.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use maildreieck_agent::kill::POINTS;
use nix::sys::signal::Signal;
use xtask::lab::daemon::until;
use xtask::lab::maildrop::Answer;

use super::pop3::{Scripted, edit, filled, mail};
use super::site::command;

#[test]
fn a_maildrop_is_looked_at_again_and_again_in_one_run() {
    let scripted = Scripted::new(filled(3));
    edit(
        scripted.dir.path(),
        "[[triangle]]\n",
        "[[triangle]]\nmirror = \"continuous\"\n",
    );
    // More than two minutes pass from one look at the clock to the next.
    let jumps: Vec<String> = (1..4000)
        .map(|nth| format!("{nth}:{}", nth * 130))
        .collect();
    let mut service = command(scripted.dir.path(), &["run"])
        .env("MAILDREIECK_CLOCK", jumps.join(" "))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let arrived = |count| {
        let there = || Ok(scripted.standby().len() == count);
        until(Duration::from_secs(60), "mail to be mirrored", there).unwrap();
    };
    arrived(3);
    scripted.drop.state().add("later", &mail(10).0);
    arrived(4);
    // One is fetched and deleted meanwhile, two come; one of them bears a number that was another's.
    scripted.drop.state().messages.remove(0);
    scripted.drop.state().add("last", &mail(11).0);
    scripted.drop.state().add("uidl-9", &mail(12).0);
    arrived(6);
    service.kill().unwrap();
    service.wait().unwrap();
    // The maildrop was left to others after each look.
    let (logins, ends) = {
        let state = scripted.drop.state();
        (state.count("PASS"), state.count("QUIT"))
    };
    assert!(logins >= 3 && ends + 1 >= logins, "{logins} {ends}");
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, vec!["(missing_at_primary standby)".to_owned()])
    );
    assert_eq!(scripted.standby().len(), 6);
}

#[test]
fn a_session_that_its_server_closes_in_between_is_begun_again() {
    let scripted = Scripted::new(filled(20));
    // Closed as soon as it has told what there is: before the first message, and once more.
    let closes = || ("LIST", Answer::UpTo(usize::MAX));
    scripted.drop.state().answers = [closes()].into();
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 20);
    scripted.assert_equal();
    // One that closes each session is no better than one that is away.
    scripted.drop.state().add("new", &mail(30).0);
    scripted.drop.state().answers = (0..8).map(|_| closes()).collect();
    let said = scripted.agent(&["mirror"]).exits(1);
    assert_eq!(said.triangle()["error"]["temporary"], true);
    scripted.drop.state().answers.clear();
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 1);
    scripted.assert_equal();
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 0);
}

fn killed_at(point: &str) {
    let scripted = Scripted::new(filled(40));
    let status = command(scripted.dir.path(), &["mirror"])
        .env("MAILDREIECK_KILL_AT", point)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let signal = status.signal().map(Signal::try_from);
    assert_eq!(signal, Some(Ok(Signal::SIGKILL)), "{point} {status}");
    // Some of it is fetched and deleted before the next run, and something comes.
    scripted.drop.state().messages.drain(..2);
    scripted.drop.state().add("new", &mail(50).0);
    scripted.agent(&["once"]).exits(0);
    let mut there: Vec<_> = scripted.standby().into_iter().map(|m| m.body).collect();
    let copies = there.len();
    there.sort();
    there.dedup();
    assert_eq!(there.len(), copies, "{point}: doubled");
    for message in &scripted.drop.state().messages {
        assert!(there.contains(&message.octets), "{point}: lost");
    }
    scripted.agent(&["store", "check"]).exits(0);
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 0, "{point}");
}

#[test]
fn a_run_killed_at_each_point_is_finished_without_a_duplicate() {
    std::thread::scope(|all| {
        for point in POINTS
            .into_iter()
            .filter(|point| !point.starts_with("rename") && *point != "certificate kept")
        {
            all.spawn(move || killed_at(point));
        }
    });
}
