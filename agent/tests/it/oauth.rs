//! Logins by access token, against a real token server and Dovecots that ask it whose a token is.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use xtask::lab::TokenServer;
use xtask::lab::corpus::Corpus;
use xtask::lab::dovecot::{Dovecot, Oauth, Options, PASSWORD};

use super::site::{Said, Site, USER, account_toml, oauth_toml, write_private};

const BOTH: &str = "oauthbearer xoauth2";

/// Which account is logged in to with tokens; the other takes the password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Both,
    Primary,
    Standby,
}

fn options(tokens: &TokenServer, mechanisms: &'static str, base: Options) -> Options {
    Options {
        oauth: Some(Oauth {
            introspection_url: tokens.introspection_url(),
            mechanisms,
        }),
        ..base
    }
}

/// Two Dovecots that take tokens for `USER`, whose owner has consented for both accounts.
fn site(tokens: &TokenServer, by: By, primary: Options, standby: Options) -> Site {
    let primary = Dovecot::start(primary).unwrap();
    let standby = Dovecot::start(standby).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    write_private(&password, PASSWORD);
    let account = |corner: &str, port: u16, by_token: bool| {
        if !by_token {
            return account_toml(corner, port, "none", None, &password);
        }
        let refresh = format!("first-{corner}");
        tokens.consent(&refresh, USER);
        oauth_toml(corner, port, &tokens.token_url(), dir.path(), &refresh)
    };
    let text = format!(
        "data_dir = \"data\"\n[[triangle]]\nname = \"info\"\n{}{}",
        account("primary", primary.imap_port(), by != By::Standby),
        account("standby", standby.imap_port(), by != By::Primary),
    );
    std::fs::write(dir.path().join("agent.toml"), text).unwrap();
    Site {
        primary,
        standby,
        dir,
    }
}

fn usual(tokens: &TokenServer, by: By) -> Site {
    site(
        tokens,
        by,
        options(tokens, BOTH, Options::default()),
        options(tokens, BOTH, Options::german()),
    )
}

fn refresh_token(dir: &Path, corner: &str) -> String {
    std::fs::read_to_string(dir.join(format!("refresh-{corner}"))).unwrap()
}

fn greeting(port: u16) -> String {
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

fn says_no_secret(said: &Said) {
    for secret in ["first-primary", "first-standby", "access-", "xxxxxxxx"] {
        assert!(!said.stderr.contains(secret), "{}", said.stderr);
        assert!(!said.json.to_string().contains(secret), "{}", said.json);
    }
}

#[test]
fn mail_is_mirrored_over_each_mechanism() {
    // Mechanisms of the server, what else it says it can do, which one is used. Without SASL-IR it has to ask.
    let cases = [
        (BOTH, None, "OAUTHBEARER"),
        ("xoauth2", None, "XOAUTH2"),
        (BOTH, Some("IMAP4rev1 LITERAL+ UIDPLUS"), "OAUTHBEARER"),
        ("xoauth2", Some("IMAP4rev1 LITERAL+ UIDPLUS"), "XOAUTH2"),
    ];
    for (mechanisms, capability, used) in cases {
        let tokens = TokenServer::start().unwrap();
        let like = |base: Options| Options {
            capability: capability.map(str::to_owned),
            ..options(&tokens, mechanisms, base)
        };
        let site = site(
            &tokens,
            By::Both,
            like(Options::default()),
            like(Options::german()),
        );
        let direct = greeting(site.primary.imap_port()).contains("SASL-IR");
        assert_eq!(direct, capability.is_none());
        site.primary
            .seed(USER, &Corpus::shaped(11, 20, 3, false))
            .unwrap();
        let said = site.once();
        assert_eq!(said.code, 0, "{used} {capability:?}: {}", said.stderr);
        says_no_secret(&said);
        for server in [&site.primary, &site.standby] {
            let method = format!("method={used}");
            assert!(server.info().contains(&method), "{}", server.info());
        }
        site.assert_equal();
        let asked = tokens.asked();
        assert_eq!(asked.len(), 2, "{used}: one request an account");
        assert!(
            asked
                .iter()
                .all(|a| a["client_id"] == "maildreieck" && a["grant_type"] == "refresh_token")
        );
    }
}

#[test]
fn a_token_that_ended_early_is_renewed_once() {
    let tokens = TokenServer::start().unwrap();
    let site = usual(&tokens, By::Primary);
    site.fill("INBOX", 0, 5);
    // `once` logs in to the primary for the mirror, and again for the proof.
    tokens.set_uses(1);
    let said = site.once();
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(tokens.asked().len(), 2);
    // The refused login was asked about too.
    assert_eq!(tokens.introspected(), 3);
    says_no_secret(&said);
    site.assert_equal();
    // A token that is refused at once is not exchanged for ever.
    tokens.set_uses(0);
    let said = site.once().exits(1);
    assert_eq!(tokens.asked().len(), 3);
    assert!(
        said.stderr.contains("primary")
            && said.stderr.contains("AUTHENTICATE OAUTHBEARER")
            && said
                .stderr
                .contains("access token refused: status invalid_token"),
        "{}",
        said.stderr
    );
    says_no_secret(&said);
}

#[test]
fn a_refused_refresh_token_stops_the_run_and_changes_nothing() {
    let tokens = TokenServer::start().unwrap();
    let site = usual(&tokens, By::Standby);
    site.fill("INBOX", 0, 5);
    tokens.withdraw();
    let said = site.once().exits(1);
    assert!(
        said.stderr.contains("standby")
            && said.stderr.contains("invalid_grant")
            && said.stderr.contains("must consent again")
            && said.stderr.contains("trying again does not help"),
        "{}",
        said.stderr
    );
    says_no_secret(&said);
    assert_eq!(tokens.asked().len(), 1);
    assert_eq!(site.standby().account().unwrap().messages(), 0);
    assert_eq!(refresh_token(site.dir.path(), "standby"), "first-standby");
    // The owner consents again: the run goes on where it was.
    tokens.consent("first-standby", USER);
    assert_eq!(site.once().exits(0).sent(), 5);
}

#[test]
fn a_token_for_somebody_elses_mail_is_refused() {
    let tokens = TokenServer::start().unwrap();
    for (mechanisms, status) in [
        ("oauthbearer", "status invalid_token"),
        ("xoauth2", "status 401"),
    ] {
        let site = site(
            &tokens,
            By::Primary,
            options(&tokens, mechanisms, Options::default()),
            Options::german(),
        );
        tokens.consent("first-primary", "somebody");
        let said = site.once().exits(1);
        assert!(
            said.stderr.contains(status) && said.stderr.contains("check username"),
            "{mechanisms}: {}",
            said.stderr
        );
    }
}

#[test]
fn a_new_refresh_token_is_kept() {
    let tokens = TokenServer::start().unwrap();
    tokens.rotate();
    let site = usual(&tokens, By::Primary);
    site.fill("INBOX", 0, 3);
    let file = site.dir.path().join("refresh-primary");
    for expected in ["refresh-1\n", "refresh-2\n"] {
        site.once().exits(0);
        assert_eq!(refresh_token(site.dir.path(), "primary"), expected);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let used: Vec<_> = tokens
        .asked()
        .iter()
        .map(|a| a["refresh_token"].clone())
        .collect();
    assert_eq!(used, ["first-primary", "refresh-1"]);
}

#[test]
fn many_connections_ask_once() {
    let tokens = TokenServer::start().unwrap();
    let site = usual(&tokens, By::Standby);
    site.primary
        .seed(USER, &Corpus::shaped(5, 600, 6, false))
        .unwrap();
    let said = site.agent(&["mirror"]).exits(0);
    assert_eq!(said.sent(), 600);
    assert_eq!(tokens.asked().len(), 1);
    assert!(tokens.introspected() > 2, "{}", tokens.introspected());
}

#[test]
fn a_server_that_takes_no_tokens_is_named() {
    let tokens = TokenServer::start().unwrap();
    let site = site(&tokens, By::Primary, Options::default(), Options::german());
    let said = site.once().exits(1);
    assert!(
        said.stderr
            .contains("offers neither OAUTHBEARER nor XOAUTH2"),
        "{}",
        said.stderr
    );
}
