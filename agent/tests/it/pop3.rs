//! A primary that speaks POP3: Dovecot's, and one that does what no real server does on demand.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use xtask::lab::TokenServer;
use xtask::lab::corpus::Corpus;
use xtask::lab::daemon::until;
use xtask::lab::dovecot::{Dovecot, Oauth, Options};
use xtask::lab::judge::Judged;
use xtask::lab::maildrop::{Answer, Maildrop, State};

use super::site::{Said, Site, USER, agent, configured, oauth_toml};

/// Rewrites the lines of a site's configuration.
pub fn edit(dir: &Path, from: &str, to: &str) {
    let file = dir.join("agent.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

/// Two Dovecots, of which the first is fetched from by POP3.
fn site(protection: &str) -> Site {
    let pop3 = Options {
        pop3: true,
        ..Options::default()
    };
    let site = Site::between(pop3, Options::german());
    let port = match protection {
        "implicit" => site.primary.pop3s_port(),
        _ => site.primary.pop3_port(),
    };
    let plain = format!("port = {}\ntls = \"none\"", site.primary.imap_port());
    let ca = site.primary.ca_file();
    let pop =
        format!("port = {port}\nprotocol = \"pop3\"\ntls = \"{protection}\"\ntls_ca_file = {ca:?}");
    edit(site.dir.path(), &plain, &pop);
    site
}

/// A message as POP3 delivers it, and the instant that is written into it.
pub fn mail(number: u32) -> (Vec<u8>, i64) {
    let text = format!(
        "Received: from a.example by b.example; Tue, 14 Nov 2023 22:{number:02}:20 +0000\r\nDate: Mon, 13 Nov 2023 10:00:00 +0100\r\nMessage-ID: <{number}@abc.example>\r\n\r\n.{number}\r\n..\r\n.\r\n"
    );
    (text.into_bytes(), 1_699_999_220 + i64::from(number) * 60)
}

/// A maildrop of so many messages.
pub fn filled(messages: u32) -> State {
    let mut state = State::default();
    for number in 0..messages {
        state.add(&format!("uidl-{number}"), &mail(number).0);
    }
    state
}

/// A scripted maildrop, an empty Dovecot for standby, and the agent's folder.
pub struct Scripted {
    pub drop: Maildrop,
    pub standby: Dovecot,
    pub dir: tempfile::TempDir,
}

impl Scripted {
    pub fn new(state: State) -> Self {
        let drop = Maildrop::start(state).unwrap();
        let standby = Dovecot::start(Options::default()).unwrap();
        let dir = configured(drop.port(), standby.imap_port());
        edit(
            dir.path(),
            "tls = \"none\"",
            "tls = \"none\"\nprotocol = \"pop3\"",
        );
        Self { drop, standby, dir }
    }

    pub fn agent(&self, args: &[&str]) -> Said {
        agent(self.dir.path(), args)
    }

    pub fn standby(&self) -> Vec<Judged> {
        let mut judge = self.standby.judge(USER).unwrap();
        judge.messages("INBOX").unwrap()
    }

    /// The standby holds the maildrop's messages, each once.
    pub fn assert_equal(&self) {
        let mut copies: Vec<_> = self.standby().into_iter().map(|copy| copy.body).collect();
        let messages = self.drop.state().messages.clone();
        let mut messages: Vec<_> = messages.into_iter().map(|m| m.octets).collect();
        copies.sort();
        messages.sort();
        assert_eq!(copies, messages);
    }
}

#[test]
fn a_maildrop_is_mirrored_and_proved_to_the_octet() {
    let site = site("none");
    let mut judge = site.primary();
    let corpus = Corpus::hostile();
    judge
        .append_all(corpus.messages(), |_| "INBOX".to_owned())
        .unwrap();
    for number in 0..5 {
        judge
            .append("INBOX", &[], 1_600_000_000, &mail(number).0)
            .unwrap();
    }
    // POP3 ends each message with a line end, and knows neither flags nor when it came.
    let before = judge.messages("INBOX").unwrap();
    let said = site.once().exits(0);
    let count = u64::try_from(before.len()).unwrap();
    assert_eq!((said.sent(), said.classes()), (count, vec![]));
    assert_eq!(said.triangle()["primary_protocol"], "pop3");
    let mut expected: Vec<Vec<u8>> = before.iter().map(|m| m.body.clone()).collect();
    for body in &mut expected {
        if !body.ends_with(b"\r\n") {
            body.extend(b"\r\n");
        }
    }
    let copies = site.standby().messages("INBOX").unwrap();
    let dates: BTreeSet<i64> = copies.iter().map(|copy| copy.internaldate).collect();
    assert!(
        (0..5).all(|number| dates.contains(&mail(number).1)),
        "{dates:?}"
    );
    let mut copies: Vec<Vec<u8>> = copies.into_iter().map(|copy| copy.body).collect();
    expected.sort();
    copies.sort();
    assert!(copies == expected);
    // Nothing has happened to the primary: what was read is not marked as seen either.
    let after = judge.messages("INBOX").unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((after.uid, &after.flags), (before.uid, &before.flags));
    }
    assert!(after == before);
    let said = site.agent(&["reconcile", "--depth", "content"]).exits(0);
    assert_eq!(said.triangle()["verdict"], "balanced");
    assert_eq!(said.triangle()["corners"]["primary"]["messages"], count);
    assert_eq!(said.triangle()["coverage"]["content_verified"], 3 * count);
    // What people do with copies on the standby is nobody's concern: there are no flags to compare with.
    let mut standby = site.standby();
    let uids = Site::uids(&mut standby, "INBOX");
    standby
        .store("INBOX", &uids[..2], "+FLAGS", &["\\Seen", "Arbeit"])
        .unwrap();
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.classes(), said.repairs()),
        (0, vec![], vec![])
    );
    let seen = standby.messages("INBOX").unwrap();
    assert!(seen[0].flags.contains("\\Seen"), "{:?}", seen[0].flags);
    // A copy that is gone is missing, and put back.
    standby.delete("INBOX", &uids[3..4]).unwrap();
    let said = site.agent(&["reconcile"]).exits(3);
    assert_eq!(said.classes(), ["missing_at_standby standby"]);
    let said = site.once().exits(0);
    assert_eq!(
        (said.sent(), said.repairs()),
        (1, vec!["missing_at_standby standby".to_owned()])
    );
}

#[test]
fn connections_are_protected_and_tokens_taken() {
    for protection in ["starttls", "implicit"] {
        let site = site(protection);
        site.fill("INBOX", 1, 3);
        assert_eq!(site.once().exits(0).sent(), 3);
    }
    for mechanisms in ["xoauth2", "oauthbearer"] {
        let tokens = TokenServer::start().unwrap();
        let primary = Options {
            pop3: true,
            oauth: Some(Oauth {
                introspection_url: tokens.introspection_url(),
                mechanisms,
            }),
            ..Options::default()
        };
        let site = Site::between(primary, Options::default());
        tokens.consent("first", USER);
        let dir = site.dir.path();
        let file = dir.join("agent.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (head, standby) = text.split_once("[triangle.standby]").unwrap();
        let (head, _) = head.split_once("[triangle.primary]").unwrap();
        let port = site.primary.pop3_port();
        let primary = oauth_toml("primary", port, &tokens.token_url(), dir, "first");
        let primary = primary.replace("tls = ", "protocol = \"pop3\"\ntls = ");
        let text = format!("{head}{primary}[triangle.standby]{standby}");
        std::fs::write(file, text).unwrap();
        site.fill("INBOX", 1, 3);
        assert_eq!(site.once().exits(0).sent(), 3);
        let method = format!("method={}", mechanisms.to_uppercase());
        assert!(
            site.primary.info().contains(&method),
            "{}",
            site.primary.info()
        );
    }
}

#[test]
fn clients_that_fetch_and_delete_hold_nothing_back_if_they_are_declared() {
    for declared in [true, false] {
        let site = site("none");
        if declared {
            edit(
                site.dir.path(),
                "protocol = \"pop3\"",
                "protocol = \"pop3\"\nclients = \"pop-delete\"",
            );
        }
        site.fill("INBOX", 1, 30);
        assert_eq!(site.once().exits(0).sent(), 30);
        let mut judge = site.primary();
        let uids = Site::uids(&mut judge, "INBOX");
        judge.delete("INBOX", &uids).unwrap();
        site.fill("INBOX", 40, 2);
        let said = site.once();
        assert_eq!(said.sent(), 2);
        assert_eq!(said.triangle()["halt"].is_null(), declared, "{}", said.json);
        assert_eq!(said.code, if declared { 0 } else { 4 }, "{}", said.json);
        if declared {
            let explained = vec!["(missing_at_primary standby)".to_owned(); 30];
            assert_eq!(said.classes(), explained);
            assert_eq!(site.once().exits(0).sent(), 0);
        }
        assert_eq!(site.standby().messages("INBOX").unwrap().len(), 32);
    }
}

#[test]
fn a_maildrop_is_mirrored_continuously_too() {
    let site = site("none");
    edit(
        site.dir.path(),
        "[[triangle]]\n",
        "[[triangle]]\nmirror = \"continuous\"\n",
    );
    edit(
        site.dir.path(),
        "protocol = \"pop3\"",
        "protocol = \"pop3\"\nclients = \"pop-delete\"",
    );
    for (from, count, arrived) in [(1, 25, 25), (30, 2, 27)] {
        // Programs have fetched and deleted what was there.
        let mut judge = site.primary();
        let uids = Site::uids(&mut judge, "INBOX");
        if !uids.is_empty() {
            judge.delete("INBOX", &uids).unwrap();
        }
        site.fill("INBOX", from, count);
        let mut service = site.spawn(&["run"]);
        let judged = || Ok(site.standby().messages("INBOX")?.len() == arrived);
        until(Duration::from_secs(60), "mail to be mirrored", judged).unwrap();
        service.kill().unwrap();
        service.wait().unwrap();
    }
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes().len()), (0, 25));
}

#[test]
fn a_lost_ledger_or_other_unique_ids_send_nothing_again() {
    let scripted = Scripted::new(filled(30));
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 30);
    // The hoster restored the maildrop, and every message has another unique-id.
    for message in &mut scripted.drop.state().messages {
        message.uidl.extend(b"-restored");
    }
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!(
        (said.sent(), said.classes(), said.repairs()),
        (0, vec![], vec![])
    );
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(scripted.dir.path().join("data").join(file));
    }
    scripted.drop.state().add("new", &mail(50).0);
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (1, vec![]));
    scripted.assert_equal();
}

#[test]
fn an_older_ledger_takes_no_message_for_another() {
    let scripted = Scripted::new(filled(5));
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 5);
    let ledger = scripted.dir.path().join("data/ledger.db");
    let older = scripted.dir.path().join("older.db");
    std::fs::copy(&ledger, &older).unwrap();
    scripted.drop.state().add("a", &mail(20).0);
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 1);
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", ledger.display()));
    }
    std::fs::copy(&older, &ledger).unwrap();
    // Fetched and deleted meanwhile, and another one came.
    scripted.drop.state().messages.pop();
    scripted.drop.state().add("b", &mail(21).0);
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (1, vec!["(missing_at_primary standby)".to_owned()])
    );
    assert_eq!(scripted.standby().len(), 7);
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 0);
}

#[test]
fn unique_ids_may_be_doubled_long_or_no_text() {
    let mut state = filled(6);
    for (message, uidl) in state.messages.iter_mut().zip([
        &b"twice"[..],
        b"twice",
        &[b'x'; 300],
        b"\xff\xfe",
        b"\xff\xff",
    ]) {
        message.uidl = uidl.to_vec();
    }
    // The same message twice, as a hash would name it.
    let same = state.messages[5].clone();
    state.messages.push(same);
    let scripted = Scripted::new(state);
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 7);
    scripted.assert_equal();
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 0);
    // Of the two that are called the same the first is gone.
    scripted.drop.state().messages.remove(0);
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!(
        (said.sent(), said.classes()),
        (0, vec!["(missing_at_primary standby)".to_owned()])
    );
    let gone = mail(0).0;
    let said = scripted
        .agent(&["reconcile", "--depth", "content"])
        .exits(0);
    assert_eq!(said.classes(), ["(missing_at_primary standby)"]);
    assert!(scripted.standby().iter().any(|copy| copy.body == gone));
}

#[test]
fn stated_sizes_prove_nothing() {
    let mut state = filled(12);
    for (index, message) in state.messages.iter_mut().enumerate() {
        message.overstated = i64::try_from(index).unwrap() - 5;
    }
    state.messages[3].overstated = 20_000_000;
    state.messages[4].overstated = i64::MAX - 1000;
    let scripted = Scripted::new(state);
    // Some of it was forwarded for years.
    let mut standby = scripted.standby.judge(USER).unwrap();
    for number in 0..4 {
        let (octets, date) = mail(number);
        standby.append("INBOX", &[], date, &octets).unwrap();
    }
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (8, vec![]));
    scripted.assert_equal();
    for message in &mut scripted.drop.state().messages {
        message.overstated = 7;
    }
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
}

#[test]
fn a_list_that_is_short_proves_nothing() {
    let scripted = Scripted::new(filled(10));
    scripted.agent(&["once"]).exits(0);
    scripted.drop.state().overcounted = 1;
    let said = scripted.agent(&["once"]).exits(1);
    assert!(
        said.stderr
            .contains("11 messages, but 10 in UIDL and 10 in LIST"),
        "{}",
        said.stderr
    );
    scripted.drop.state().overcounted = 0;
    for cut in [0, 3, 20, 60] {
        let answers = [("UIDL", Answer::UpTo(cut))];
        scripted.drop.state().answers = answers.into();
        let said = scripted.agent(&["once"]).exits(1);
        assert_eq!(said.triangle()["error"]["temporary"], true);
    }
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
}

#[test]
fn a_message_that_is_cut_is_none() {
    for capabilities in [vec![], vec!["PIPELINING"]] {
        let mut state = filled(10);
        state.capabilities = capabilities;
        let scripted = Scripted::new(state);
        let length = mail(4).0.len();
        for cut in [0, 5, 40, length, length + 5] {
            let answers = [("RETR 5", Answer::UpTo(cut))];
            scripted.drop.state().answers = answers.into();
            let said = scripted.agent(&["once"]);
            assert!(matches!(said.code, 0 | 1), "{}", said.stderr);
            let cut = mail(4).0;
            let whole = |copy: &Judged| copy.body.len() >= cut.len();
            assert!(scripted.standby().iter().all(whole));
            scripted.drop.state().messages[4].uidl.push(b'x');
        }
        scripted.drop.state().answers.clear();
        scripted.agent(&["once"]).exits(0);
        scripted.assert_equal();
        assert_eq!(scripted.drop.state().count("DELE"), 0);
    }
}

#[test]
fn a_message_that_is_refused_is_put_aside_and_the_others_come() {
    let scripted = Scripted::new(filled(5));
    let refusal = ("RETR 3", Answer::Line("-ERR this one is broken"));
    scripted.drop.state().answers = [refusal.clone(), refusal].into();
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!(said.sent(), 4);
    assert_eq!(
        said.classes(),
        ["(quarantined standby)", "(quarantined store)"]
    );
    scripted.agent(&["once"]);
    let said = scripted.agent(&["once"]).exits(0);
    assert_eq!(said.classes(), [""; 0]);
    scripted.assert_equal();
}

#[test]
fn a_server_that_cannot_now_is_asked_later() {
    let scripted = Scripted::new(filled(2));
    let in_use = (
        "PASS",
        Answer::Line("-ERR [IN-USE] Do you have another POP session running?"),
    );
    scripted.drop.state().answers = [in_use].into();
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 2);
    let answers = [("RETR", Answer::Line("-ERR [SYS/TEMP] the disc is slow"))];
    scripted.drop.state().answers = answers.into();
    scripted.drop.state().add("new", &mail(2).0);
    let said = scripted.agent(&["mirror"]).exits(1);
    assert_eq!(said.triangle()["error"]["temporary"], true);
    assert_eq!(scripted.agent(&["once"]).exits(0).sent(), 1);
    let answers = [("PASS", Answer::Line("-ERR [AUTH] wrong"))];
    scripted.drop.state().answers = answers.into();
    let said = scripted.agent(&["once"]).exits(1);
    assert!(
        said.stderr.contains("user name or password refused"),
        "{}",
        said.stderr
    );
    let answers = [("PASS", Answer::Line("-ERR [LOGIN-DELAY] too soon"))];
    scripted.drop.state().answers = answers.into();
    scripted.drop.state().capabilities = vec!["LOGIN-DELAY 900"];
    scripted.agent(&["once"]).exits(1);
    let logins = scripted.drop.state().count("PASS");
    let said = scripted.agent(&["once"]).exits(1);
    assert!(
        said.stderr.contains("it is asked again after 20"),
        "{}",
        said.stderr
    );
    assert_eq!(scripted.drop.state().count("PASS"), logins);
}

#[test]
fn a_server_without_unique_ids_is_refused() {
    let mut state = filled(2);
    state.lacks_uidl = true;
    let scripted = Scripted::new(state);
    let said = scripted.agent(&["once"]).exits(1);
    assert!(
        said.stderr.contains("the server knows no UIDL"),
        "{}",
        said.stderr
    );
    assert_eq!(scripted.standby().len(), 0);
}

#[test]
fn an_account_that_turns_to_pop3_is_matched_by_content() {
    let site = site("none");
    let plain = std::fs::read_to_string(site.dir.path().join("agent.toml")).unwrap();
    let pop = format!("port = {}\nprotocol = \"pop3\"", site.primary.pop3_port());
    let imap = format!("port = {}", site.primary.imap_port());
    edit(site.dir.path(), &pop, &imap);
    let mut judge = site.primary();
    for number in 0..5 {
        let (octets, date) = mail(number);
        judge.append("INBOX", &[], date, &octets).unwrap();
    }
    assert_eq!(site.once().exits(0).sent(), 5);
    std::fs::write(site.dir.path().join("agent.toml"), plain).unwrap();
    let said = site.once().exits(0);
    assert_eq!((said.sent(), said.classes()), (0, vec![]));
}
