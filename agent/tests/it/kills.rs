//! Runs that are killed at each point that the agent names, and what the next run makes of it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use maildreieck_agent::kill::POINTS;
use nix::sys::signal::Signal;
use xtask::lab::corpus::Corpus;

use super::site::{Site, USER, agent, command, configured};

/// Two accounts of one name at the site's hosters, mirrored by an agent that is killed and started again.
fn killed_at(site: &Site, point: &str, nth: u32) {
    let user = format!("{}-{nth}", point.replace(' ', "-"));
    let corpus = Corpus::shaped(5, 60, 4, false);
    let (count, _) = site.primary.seed(&user, &corpus).unwrap();
    let dir = configured(site.primary.imap_port(), site.standby.imap_port());
    let file = dir.path().join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (of_all, of_this) = (format!("\"{USER}\"\npass"), format!("\"{user}\"\npass"));
    std::fs::write(&file, text.replace(&of_all, &of_this)).unwrap();
    let judges = || {
        let primary = site.primary.judge(&user).unwrap();
        (primary, site.standby.judge(&user).unwrap())
    };
    if point.starts_with("rename") {
        agent(dir.path(), &["once"]).exits(0);
        let (mut primary, _) = judges();
        primary.rename("Projekte", "Ablage").unwrap();
    }
    let work = match point {
        "certificate kept" => "once",
        _ => "mirror",
    };
    let status = command(dir.path(), &[work])
        .env("MAILDREIECK_KILL_AT", format!("{point}:{nth}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let signal = status.signal().map(Signal::try_from);
    assert_eq!(signal, Some(Ok(Signal::SIGKILL)), "{point}:{nth} {status}");
    agent(dir.path(), &["once"]).exits(0);
    let (mut primary, mut standby) = judges();
    let (here, there) = (primary.account().unwrap(), standby.account().unwrap());
    assert_eq!(
        here.differences(&there),
        Vec::<String>::new(),
        "{point}:{nth}"
    );
    assert_eq!(there.messages(), count, "{point}:{nth}");
    agent(dir.path(), &["store", "check"]).exits(0);
    let again = agent(dir.path(), &["once"]).exits(0);
    assert_eq!(again.sent(), 0, "{point}:{nth}");
}

#[test]
fn a_run_killed_at_each_point_is_finished_without_a_duplicate() {
    let site = Site::new();
    // What comes by once in a run is not come by a third time.
    let once = [
        "folders listed",
        "looked",
        "run settled",
        "certificate kept",
        "rename noted",
        "renamed",
    ];
    std::thread::scope(|all| {
        for point in POINTS {
            for nth in [1, 3] {
                if nth == 1 || !once.contains(&point) {
                    let site = &site;
                    all.spawn(move || killed_at(site, point, nth));
                }
            }
        }
    });
}
