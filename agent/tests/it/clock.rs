//! Clocks that are set while the agent runs: back, forward, and right again.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_agent::clock;
use xtask::lab::corpus::Corpus;

use super::site::{Site, USER, agent, command, configured, said};

/// Seconds of some 13 months.
const YEAR_S: i64 = 400 * 86_400;

/// Which of its looks at the clock a run is told something else at: each tenth time, or each.
fn looks() -> impl Iterator<Item = u32> {
    let step = match std::env::var_os("MAILDREIECK_LONG") {
        Some(_) => 1,
        None => 10,
    };
    (1..=60).step_by(step)
}

/// An account of its own at the site's hosters, mirrored and proved while the clock says what `jumps` says.
fn mirrored_while(site: &Site, number: usize, jumps: &str) {
    let user = format!("clock-{number}");
    let (count, _) = site
        .primary
        .seed(&user, &Corpus::shaped(7, 40, 3, false))
        .unwrap();
    let dir = configured(site.primary.imap_port(), site.standby.imap_port());
    let file = dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (all, this) = (format!("\"{USER}\"\npass"), format!("\"{user}\"\npass"));
    std::fs::write(&file, text.replace(&all, &this)).unwrap();
    let once = || {
        let mut command = command(dir.path(), &["once"]);
        said(command.env("MAILDREIECK_CLOCK", jumps).output().unwrap())
    };
    let first = once().exits(0);
    assert_eq!((first.sent(), first.classes()), (count, vec![]), "{jumps}");
    let mut primary = site.primary.judge(&user).unwrap();
    let deleted = Site::uids(&mut primary, "INBOX").len() > 3;
    if deleted {
        let uids = Site::uids(&mut primary, "INBOX");
        primary.delete("INBOX", &uids[..1]).unwrap();
    }
    primary
        .append("INBOX", &[], 1_700_000_000, b"Subject: new\r\n\r\nnew\r\n")
        .unwrap();
    // The same again, on what the first has noted; then by the right clock.
    let gone = vec!["(missing_at_primary standby)".to_owned(); usize::from(deleted)];
    let second = once().exits(0);
    assert_eq!(
        (second.sent(), second.classes()),
        (1, gone.clone()),
        "{jumps}"
    );
    let third = agent(dir.path(), &["once"]).exits(0);
    assert_eq!(
        (third.sent(), third.classes(), third.repairs()),
        (0, gone, vec![]),
        "{jumps}"
    );
    agent(dir.path(), &["store", "check"]).exits(0);
    let mut standby = site.standby.judge(&user).unwrap();
    assert_eq!(standby.account().unwrap().messages(), count + 1, "{jumps}");
}

#[test]
fn a_clock_that_is_set_during_a_run_loses_and_doubles_nothing() {
    let site = Site::new();
    let mut jumps = Vec::new();
    for nth in looks() {
        for by in [-YEAR_S, -600, YEAR_S] {
            jumps.push(format!("{nth}:{by}"));
        }
        jumps.push(format!("{nth}:{YEAR_S} {}:-3600 {}:0", nth + 5, nth + 10));
    }
    // As many at once as the servers let in.
    for (first, some) in jumps.chunks(8).enumerate() {
        std::thread::scope(|all| {
            for (number, jumps) in some.iter().enumerate() {
                let site = &site;
                all.spawn(move || mirrored_while(site, first * 8 + number, jumps));
            }
        });
    }
}

#[test]
fn what_a_clock_that_was_ahead_has_noted_keeps_no_budget_shut() {
    let site = Site::new();
    site.fill("INBOX", 10, 20);
    let file = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // Each message has 56 octets.
    let text = text.replace(
        "[triangle.standby]\n",
        "[triangle.standby]\nbytes_per_day = 1200\n",
    );
    std::fs::write(&file, text).unwrap();
    let mut ahead = command(site.dir.path(), &["once"]);
    ahead.env("MAILDREIECK_CLOCK", format!("1:{YEAR_S}"));
    assert_eq!(said(ahead.output().unwrap()).exits(0).sent(), 20);
    site.fill("INBOX", 60, 5);
    // What was sent counts for a day from now, and not from then.
    let waits = site.agent(&["mirror"]).exits(3);
    assert_eq!(waits.sent(), 1);
    let goes_on_at = waits.triangle()["pending"]["goes_on_at"].as_str().unwrap();
    let goes_on_at: DateTime<Utc> = goes_on_at.parse().unwrap();
    let now = clock::now();
    let expected = now + TimeDelta::hours(23)..now + TimeDelta::hours(26);
    assert!(expected.contains(&goes_on_at), "{goes_on_at}");
    let mut tomorrow = command(site.dir.path(), &["once"]);
    tomorrow.env("MAILDREIECK_CLOCK", format!("1:{}", 26 * 3600));
    assert_eq!(said(tomorrow.output().unwrap()).exits(0).sent(), 4);
    site.assert_equal();
}

#[test]
fn a_schedule_does_not_wait_for_a_year_that_the_clock_was_wrong_by() {
    let site = Site::new();
    site.fill("INBOX", 1, 3);
    let file = site.dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let tx = "[[triangle]]\ntx = { cron = \"0 18 * * *\", timezone = \"UTC\" }\n";
    std::fs::write(&file, text.replace("[[triangle]]\n", tx)).unwrap();
    // By the clock it is shortly before six in another year; and in the first run it is set, to shortly before six.
    let six = clock::now()
        .date_naive()
        .and_hms_opt(18, 0, 0)
        .unwrap()
        .and_utc();
    let to_six = (six - clock::now()).num_seconds();
    let jumps = format!("1:{} 12:{}", YEAR_S + to_six - 5, to_six - 15);
    let mut service = command(site.dir.path(), &["run"])
        .env("MAILDREIECK_CLOCK", jumps)
        .env("MAILDREIECK_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that never comes is ended by the time that a test may take.
    let mut proofs = 0;
    for line in BufReader::new(service.stderr.take().unwrap()).lines() {
        proofs += usize::from(line.unwrap().contains("proved"));
        if proofs == 2 {
            break;
        }
    }
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(proofs, 2);
    site.assert_equal();
    assert_eq!(site.once().exits(0).sent(), 0);
}
