//! What the file may say, and what is said of it when it may not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use maildreieck_api_spec::vocabulary::Tls;
use secrecy::ExposeSecret;

use super::*;
use crate::imap::{Credentials, Protocol};
use crate::oauth::Settings;

/// Every key once; the other tests change single lines of it.
const WHOLE: &str = r#"data_dir = "data"
store_key_file = "/etc/maildreieck/store.key"

[server]
ca_file = "server-ca.pem"

[[triangle]]
name = "info"
tx = { cron = "0 18 * * mon-fri", timezone = "Europe/Berlin" }
mirror = "continuous"
standby_prefix = "/Firma/info/"
exclude_folders = ["Junk", "Projects/Old"]
guard = { max_share = 0.5, min_messages = 7 }

[triangle.primary]
host = "imap.abc.example"
port = 10993
tls = "starttls"
tls_ca_file = "/etc/ca.pem"
allow_plaintext = false
username = "info@abc.example"
password_file = "secrets/primary"
clients = "pop-delete"
timeout_s = 30
max_connections = 4
bytes_per_day = 2_500_000_000
messages_per_second = 20

[triangle.standby]
host = "imap.abc-a.example"
username = "info@abc-a.example"
password_command = "echo secret"
"#;

fn password(credentials: &Credentials) -> &str {
    match credentials {
        Credentials::Password(password) => password.expose_secret(),
        Credentials::Tokens(_) => panic!("tokens"),
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("agent.toml"), text)
}

#[test]
fn every_key_is_read() {
    let config = Config::parse(Path::new("/etc/md/agent.toml"), WHOLE).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/md/data"));
    assert_eq!(config.store_dir(), Path::new("/etc/md/data/store"));
    assert_eq!(config.ledger_path(), Path::new("/etc/md/data/ledger.db"));
    assert_eq!(config.spool_dir(), Path::new("/etc/md/data/spool"));
    assert_eq!(
        config.store_key_file,
        Path::new("/etc/maildreieck/store.key")
    );
    assert_eq!(
        config.server_ca_file.as_deref(),
        Some(Path::new("/etc/md/server-ca.pem"))
    );
    let [triangle] = config.triangles.as_slice() else {
        panic!("{}", config.triangles.len())
    };
    assert_eq!(triangle.name, "info");
    assert_eq!(triangle.tx.as_ref().unwrap().line(), "0 18 * * mon-fri");
    assert_eq!(triangle.mirror, Some(MirrorSchedule::Continuous));
    assert_eq!(triangle.standby_prefix, "Firma/info");
    assert_eq!(triangle.exclude_folders, ["Junk", "Projects/Old"]);
    let guard = Guard {
        max_share: 0.5,
        min_messages: 7,
    };
    assert_eq!(triangle.guard, guard);
    let primary = &triangle.primary;
    assert_eq!((primary.port, primary.tls), (10993, Tls::Starttls));
    assert_eq!(
        primary.tls_ca_file.as_deref(),
        Some(Path::new("/etc/ca.pem"))
    );
    assert_eq!(primary.clients, Clients::PopDelete);
    assert_eq!(primary.timeout, Duration::from_secs(30));
    assert_eq!(primary.max_connections, 4);
    assert_eq!(primary.bytes_per_day, Some(2_500_000_000));
    assert_eq!(primary.messages_per_second, Some(20));
    let endpoint = triangle.standby.endpoint(Corner::Standby).unwrap();
    assert_eq!(endpoint.port, 993);
    assert_eq!(endpoint.corner, Corner::Standby);
    assert_eq!(password(&endpoint.credentials), "secret");
    assert_eq!(endpoint.patience, Duration::from_secs(120));
    assert!(!format!("{config:?}").contains("secret\""));
}

#[test]
fn what_is_left_out_has_a_default() {
    let text = r#"data_dir = "/d"
[[triangle]]
name = "a"
[triangle.primary]
host = "::1"
tls = "none"
username = "u"
password_file = "p"
[triangle.standby]
host = "localhost"
tls = "starttls"
username = "u"
password_file = "p"
"#;
    let config = Config::parse(Path::new("/etc/agent.toml"), text).unwrap();
    assert_eq!(config.store_key_file, Path::new("/etc/store.key"));
    assert_eq!(config.server_ca_file, None);
    let [triangle] = config.triangles.as_slice() else {
        panic!("{}", config.triangles.len())
    };
    assert!(triangle.tx.is_none() && triangle.mirror.is_none());
    assert_eq!(triangle.standby_prefix, "");
    assert_eq!(triangle.exclude_folders, ["Junk", "Trash", "Drafts"]);
    assert_eq!(triangle.guard, Guard::default());
    assert_eq!((triangle.primary.port, triangle.standby.port), (143, 143));
    assert_eq!(triangle.primary.clients, Clients::Imap);
    assert_eq!(triangle.standby.max_connections, 8);
    assert_eq!(triangle.standby.bytes_per_day, None);
    assert_eq!(triangle.standby.messages_per_second, None);
    assert_eq!(triangle.standby.preset, None);
}

#[test]
fn the_key_lies_in_no_data_folder_by_whatever_way() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("etc")).unwrap();
    std::os::unix::fs::symlink(at("etc"), at("link")).unwrap();
    // Where it leads is not there yet.
    std::os::unix::fs::symlink("../etc/new", at("etc/later")).unwrap();
    std::os::unix::fs::symlink("circle", at("etc/circle")).unwrap();
    let rest = WHOLE.lines().skip(2).collect::<Vec<_>>().join("\n");
    let parse = |data: &str, key: Option<&str>| {
        let data = data.replace("DIR", dir.path().to_str().unwrap());
        let key = key.map(|key| format!("store_key_file = \"{key}\"\n"));
        let text = format!("data_dir = \"{data}\"\n{}{rest}", key.unwrap_or_default());
        Config::parse(&at("etc/agent.toml"), &text)
    };
    let holding = [
        ".",
        "..",
        "DIR",
        "DIR/link",
        "data/..",
        "/",
        "./data/../../etc",
        "new/..",
    ];
    for data in holding {
        let error = parse(data, None).unwrap_err().to_string();
        let expected = "agent.toml:1: 'data_dir' in the top of the file holds the store's key";
        assert!(error.contains(expected), "{data}: {error}");
    }
    for (data, key) in [
        ("new", "later/store.key"),
        ("later", "new/a/store.key"),
        ("d", "./d/k"),
    ] {
        let error = parse(data, Some(key)).unwrap_err().to_string();
        let expected = "agent.toml:2: 'store_key_file' in the top of the file must not lie";
        assert!(error.contains(expected), "{data}: {error}");
    }
    for (data, key) in [
        ("data", None),
        ("DIR/data", None),
        ("store.key.d", None),
        (".", Some("../store.key")),
        ("later", Some("newer/store.key")),
        ("circle", None),
    ] {
        assert!(parse(data, key).is_ok(), "{data}");
    }
}

#[test]
fn a_mistake_is_named_with_its_line() {
    // Replaces a line of the whole file, counted from 1.
    let check = |line: usize, new: &str, expected: &str| {
        let mut lines: Vec<&str> = WHOLE.lines().collect();
        lines[line - 1] = new;
        let found = parse(&lines.join("\n")).unwrap_err().to_string();
        assert_eq!(found, expected);
    };
    check(
        21,
        r#"usernme = "info""#,
        "agent.toml:21: unknown key 'usernme' in [triangle.primary]; did you mean 'username'?",
    );
    check(
        10,
        r#"timezone = "UTC""#,
        "agent.toml:10: unknown key 'timezone' in [[triangle]]; its keys are name, tx, mirror, standby_prefix, exclude_folders, guard, primary, standby",
    );
    check(
        10,
        r#"data_dir = "x""#,
        "agent.toml:10: unknown key 'data_dir' in [[triangle]]; it belongs at the top of the file, before the first section",
    );
    check(
        1,
        r#"data_dir = "~/mail""#,
        "agent.toml:1: 'data_dir' in the top of the file must be a path as it is, and '~/mail' is expanded by a shell alone: write the folder out, such as /home/…, or begin it with ./ where the name is meant",
    );
    check(
        22,
        r#"password_file = "~info/primary""#,
        "agent.toml:22: 'password_file' in [triangle.primary] must be a path as it is, and '~info/primary' is expanded by a shell alone: write the folder out, such as /home/…, or begin it with ./ where the name is meant",
    );
    check(
        4,
        "[servr]",
        "agent.toml:4: unknown key 'servr' in the top of the file; did you mean 'server'?",
    );
    check(
        32,
        r#"clients = "imap""#,
        "agent.toml:32: unknown key 'clients' in [triangle.standby]; its keys are preset, protocol, host, port, tls, tls_ca_file, allow_plaintext, username, password_file, password_command, oauth, timeout_s, max_connections, bytes_per_day, messages_per_second",
    );
    check(
        9,
        r#"tx = { cron = "0 18 * * *", timezone = "Europe/Berlin", zone = 1 }"#,
        "agent.toml:9: unknown key 'zone' in 'tx' of [[triangle]]; its keys are cron, timezone",
    );
    check(
        1,
        "",
        "agent.toml:1: the key 'data_dir' is missing in the top of the file",
    );
    check(
        16,
        "",
        "agent.toml:15: the key 'host' is missing in [triangle.primary]",
    );
    check(
        8,
        "",
        "agent.toml:7: the key 'name' is missing in [[triangle]]",
    );
    check(
        32,
        "",
        "agent.toml:29: the key 'password_file' (or 'password_command', or 'oauth') is missing in [triangle.standby]",
    );
    check(
        31,
        "password_file = \"x\"\nusername = \"u\"",
        "agent.toml:33: 'password_file' in [triangle.standby] and 'password_command' exclude each other",
    );
    check(
        17,
        "port = \"993\"",
        "agent.toml:17: 'port' in [triangle.primary] must be a whole number from 1 to 65535, not text",
    );
    check(
        17,
        "port = 99_300",
        "agent.toml:17: 'port' in [triangle.primary] must be a whole number from 1 to 65535",
    );
    check(
        25,
        "max_connections = 33",
        "agent.toml:25: 'max_connections' in [triangle.primary] must be a whole number from 1 to 32",
    );
    check(
        26,
        "bytes_per_day = 0",
        "agent.toml:26: 'bytes_per_day' in [triangle.primary] must be a whole number from 1",
    );
    check(
        27,
        "messages_per_second = 0.5",
        "agent.toml:27: 'messages_per_second' in [triangle.primary] must be a whole number from 1 to 10000, not a number with a fraction",
    );
    check(
        16,
        "preset = \"gmial\"",
        "agent.toml:16: 'preset' in [triangle.primary] must be \"gmail\" or \"microsoft365\" or \"gmx\" or \"webde\" or \"ionos\" or \"strato\" or \"t-online\", not \"gmial\"",
    );
    check(
        13,
        "guard = { max_share = 20 }",
        "agent.toml:13: 'max_share' in 'guard' of [[triangle]] must be a number from 0 to 1",
    );
    check(
        13,
        "guard = { max_share = nan }",
        "agent.toml:13: 'max_share' in 'guard' of [[triangle]] must be a number from 0 to 1",
    );
    check(
        13,
        "guard = { min_messages = -1 }",
        "agent.toml:13: 'min_messages' in 'guard' of [[triangle]] must be a whole number from 0",
    );
    check(
        20,
        "allow_plaintext = \"no\"",
        "agent.toml:20: 'allow_plaintext' in [triangle.primary] must be true or false, not text",
    );
    check(
        18,
        "tls = \"ssl\"",
        "agent.toml:18: 'tls' in [triangle.primary] must be \"implicit\" or \"starttls\" or \"none\", not \"ssl\"",
    );
    check(
        10,
        "mirror = \"always\"",
        "agent.toml:10: 'mirror' in [[triangle]] must be \"continuous\", not \"always\"",
    );
    check(
        9,
        "tx = \"0 18 * * *\"",
        "agent.toml:9: 'tx' in [[triangle]] must be a section, not text",
    );
    check(
        9,
        "tx = { cron = \"0 25 * * *\", timezone = \"UTC\" }",
        "agent.toml:9: 'cron' in 'tx' of [[triangle]] is no cron line: Component error: Number out of bounds.",
    );
    check(
        9,
        "tx = { cron = \"0 18 * * *\", timezone = \"Europe/Berlim\" }",
        "agent.toml:9: 'timezone' in 'tx' of [[triangle]] must be an IANA time zone; did you mean \"Europe/Berlin\"?",
    );
    check(
        12,
        "exclude_folders = [\n  \"Junk\",\n  \"/\",\n]",
        "agent.toml:14: 'exclude_folders' in [[triangle]] must not hold empty texts or control characters",
    );
    check(
        8,
        "name = \"Info\"",
        "agent.toml:8: 'name' in [[triangle]] must be 1 to 64 of a-z, 0-9, '.', '_' and '-'",
    );
    check(
        16,
        "host = \"imap.abc.example:993\"",
        "agent.toml:16: 'host' in [triangle.primary] must be a host name or an address, without port",
    );
    check(
        21,
        "username = \"info\\nx\"",
        "agent.toml:21: 'username' in [triangle.primary] must not hold control characters",
    );
    check(
        11,
        "standby_prefix = \"a\\u0007b\"",
        "agent.toml:11: 'standby_prefix' in [[triangle]] must not hold control characters",
    );
    check(
        11,
        &format!("standby_prefix = \"{}\"", "x".repeat(250)),
        "agent.toml:11: 'standby_prefix' in [[triangle]] must not be longer than 128 octets as mail servers write it; many refuse such names, and folders lie below it: choose a shorter one",
    );
    check(
        22,
        "password_file = \"\"",
        "agent.toml:22: 'password_file' in [triangle.primary] must not be empty",
    );
    check(
        2,
        "store_key_file = \"data/store.key\"",
        "agent.toml:2: 'store_key_file' in the top of the file must not lie in data_dir: whoever takes the store would have its key",
    );
    check(
        7,
        "[triangle]",
        "agent.toml:7: 'triangle' in the top of the file must be a list of sections, each under [[triangle]], not a section",
    );
    let found = parse("data_dir = \"x\"\nport = = 3\n")
        .unwrap_err()
        .to_string();
    assert!(
        found.starts_with("agent.toml:2: this is no TOML: "),
        "{found}"
    );
    let found = parse("data_dir = \"x\"\n").unwrap_err().to_string();
    assert_eq!(found, "agent.toml:1: there is no [[triangle]] in it");
    let absent = Config::load(Path::new("/nonexistent/agent.toml")).unwrap_err();
    assert!(
        absent
            .to_string()
            .contains("/nonexistent/agent.toml: No such file")
    );
}

/// Two triangles; each argument is `host port user prefix` of the later one's part.
fn two(name: &str, primary: (&str, u16, &str), standby: (&str, u16, &str), prefix: &str) -> String {
    let account = |corner: &str, (host, port, user): (&str, u16, &str)| {
        format!(
            "[triangle.{corner}]\nhost = \"{host}\"\nport = {port}\nusername = \"{user}\"\npassword_file = \"p\"\n"
        )
    };
    format!(
        "data_dir = \"d\"\n[[triangle]]\nname = \"a\"\nstandby_prefix = \"Firma/A\"\n{}{}[[triangle]]\nname = \"{name}\"\nstandby_prefix = \"{prefix}\"\n{}{}",
        account("primary", ("imap.abc.example", 993, "a")),
        account("standby", ("imap.standby.example", 993, "all")),
        account("primary", primary),
        account("standby", standby),
    )
}

#[test]
fn triangles_keep_out_of_each_others_way() {
    let b = ("imap.abc.example", 993, "b");
    let own = ("imap.standby.example", 993, "b");
    let shared = ("imap.standby.example", 993, "all");
    let check = |text: String, expected: &str| match parse(&text) {
        Ok(_) => assert_eq!(expected, "", "{text}"),
        Err(error) => {
            let error = error.to_string();
            assert!(!expected.is_empty() && error.contains(expected), "{error}");
        }
    };
    check(two("b", b, own, "Firma/A"), "");
    check(two("b", b, shared, "Firma/B"), "");
    check(two("b", b, shared, "Firma/Abend"), "");
    check(
        two("a", b, own, ""),
        "agent.toml:16: a second triangle named 'a'; the first is in line 3",
    );
    check(
        two("b", ("IMAP.abc.example.", 143, "a"), own, ""),
        "agent.toml:18: the primary of 'b' is already the primary of 'a' (line 5)",
    );
    for prefix in ["", "Firma", "Firma/A", "firma/a/", "Firma/A/Unter"] {
        check(
            two("b", b, shared, prefix),
            "agent.toml:17: 'b' shares its standby with 'a' (line 10)",
        );
    }
    check(
        two("b", b, ("IMAP.ABC.example", 143, "b"), ""),
        "agent.toml:23: [triangle.standby] is the same account as [triangle.primary]",
    );
    // One account by POP3 and by IMAP: its mail would be mirrored into itself.
    let pop = two("b", b, ("imap.abc.example", 993, "b"), "");
    let at = "port = 993\nusername = \"b\"";
    check(
        pop.replacen(at, "protocol = \"pop3\"\nport = 995\nusername = \"b\"", 1),
        "agent.toml:24: [triangle.standby] is the same account as [triangle.primary]",
    );
    // Other ports of one machine are other servers.
    check(
        two(
            "b",
            ("127.0.0.1", 11430, "x"),
            ("127.0.0.1", 21430, "x"),
            "",
        ),
        "",
    );
}

#[test]
fn plain_text_stays_on_this_machine() {
    let check = |host: &str, more: &str, good: bool| {
        let text = WHOLE
            .replace("tls = \"starttls\"", "tls = \"none\"")
            .replace("allow_plaintext = false", more)
            .replace("imap.abc.example\"\nport", &format!("{host}\"\nport"));
        match parse(&text) {
            Ok(_) => assert!(good, "{host}"),
            Err(error) => {
                assert!(!good, "{error}");
                assert!(
                    error.to_string().contains("agent.toml:18: 'tls'"),
                    "{error}"
                );
            }
        }
    };
    check("127.0.0.1", "", true);
    check("::1", "", true);
    check("192.0.2.1", "", false);
    check("192.0.2.1", "allow_plaintext = true", true);
    // Where a name leads is seen when the connection stands.
    check("imap.example", "", true);
}

#[test]
fn a_triangle_is_selected_by_name() {
    let config = parse(&two(
        "buero",
        ("imap.abc.example", 993, "b"),
        ("imap.standby.example", 993, "b"),
        "",
    ))
    .unwrap();
    assert_eq!(config.selected(None).unwrap().len(), 2);
    let names: Vec<_> = config
        .selected(Some("buero"))
        .unwrap()
        .iter()
        .map(|t| &t.name)
        .collect();
    assert_eq!(names, ["buero"]);
    let check = |name: &str, expected: &str| {
        assert_eq!(
            config.selected(Some(name)).unwrap_err().to_string(),
            expected
        );
    };
    check(
        "bureo",
        "agent.toml: there is no triangle 'bureo'; did you mean 'buero'?",
    );
    check(
        "verkauf",
        "agent.toml: there is no triangle 'verkauf'; there is a, buero",
    );
}

#[test]
fn the_hash_covers_what_decides() {
    let hash = |text: &str| {
        let config = parse(text).unwrap();
        config.triangles[0].configuration_hash()
    };
    let whole = hash(WHOLE);
    assert_eq!(
        whole,
        "0a9657800a82fee8004a484f9a5d3d5da76c7ad67f38161330b6c7cdab681b51"
    );
    for (from, to) in [
        ("imap.abc.example\"", "imap.def.example\""),
        ("10993", "10994"),
        ("starttls", "implicit"),
        ("info@abc-a", "post@abc-a"),
        ("Firma/info", "Firma/post"),
        ("Projects/Old", "Projects/New"),
        ("max_share = 0.5", "max_share = 0.6"),
        ("0 18 *", "0 19 *"),
        (
            "\"continuous\"",
            "{ cron = \"0 * * * *\", timezone = \"UTC\" }",
        ),
        ("pop-delete", "imap"),
        (
            "tls = \"starttls\"",
            "tls = \"starttls\"\nprotocol = \"pop3\"",
        ),
    ] {
        assert!(WHOLE.contains(from));
        assert_ne!(hash(&WHOLE.replacen(from, to, 1)), whole, "{from}");
    }
    for (from, to) in [
        ("echo secret", "echo other"),
        ("secrets/primary", "secrets/other"),
        ("timeout_s = 30", "timeout_s = 60"),
        (
            "tls = \"starttls\"",
            "tls = \"starttls\"\nprotocol = \"imap\"",
        ),
    ] {
        assert_eq!(hash(&WHOLE.replacen(from, to, 1)), whole, "{from}");
    }
}

#[test]
fn passwords_are_asked_for_late() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    fs::write(&path, WHOLE.replace("tls_ca_file = \"/etc/ca.pem\"", "")).unwrap();
    let config = Config::load(&path).unwrap();
    let expected = format!(
        "{}:22: password_file '{}' in [triangle.primary]: No such file or directory (os error 2)",
        path.display(),
        dir.path().join("secrets/primary").display()
    );
    assert_eq!(config.check_files().unwrap_err().to_string(), expected);
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/primary"), "pw\n").unwrap();
    config.check_files().unwrap();
    let credentials = config.triangles[0].primary.credentials().unwrap();
    assert_eq!(password(&credentials), "pw");
}

#[test]
fn certificates_are_looked_at_whatever_they_are_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    let ca = dir.path().join("ca.pem");
    let text = WHOLE.replace("/etc/ca.pem", "ca.pem");
    let text = text.replace("tls = \"starttls\"", "tls = \"none\"");
    assert!(text.contains("tls = \"none\""));
    let config = Config::parse(&path, &text).unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/primary"), "pw\n").unwrap();
    for (octets, what) in [(None, "No such file"), (Some("x"), "no certificate in it")] {
        if let Some(octets) = octets {
            fs::write(&ca, octets).unwrap();
        }
        let found = config.check_files().unwrap_err().to_string();
        let begins = format!(
            "{}:19: 'tls_ca_file' in [triangle.primary]: ",
            path.display()
        );
        let ends = "; name a file of PEM certificates, or leave the key out";
        assert!(
            found.starts_with(&begins) && found.ends_with(ends),
            "{found}"
        );
        assert!(found.contains(what), "{found}");
    }
}

#[test]
fn the_data_folder_is_private_and_writable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    fs::write(&path, WHOLE.replacen("\"data\"", "\"deep/data\"", 1)).unwrap();
    let config = Config::load(&path).unwrap();
    config.prepare_data_dir().unwrap();
    config.prepare_data_dir().unwrap();
    let mode = fs::metadata(&config.data_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(fs::read_dir(&config.data_dir).unwrap().count(), 0);
    fs::remove_dir(&config.data_dir).unwrap();
    fs::write(&config.data_dir, "").unwrap();
    let error = config.prepare_data_dir().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}:1: data_dir ", path.display()))
            && error.contains("a file is where the folder should be"),
        "{error}"
    );
    let denied = advice(
        &io::Error::from(io::ErrorKind::PermissionDenied),
        Path::new("/d"),
    );
    assert!(denied.contains("install -d -m 700 -o USER '/d'"));
}

/// The file with other keys in the section of a corner.
fn with(corner: &str, keys: &str) -> String {
    let other = if corner == "primary" {
        "standby"
    } else {
        "primary"
    };
    format!(
        "data_dir = \"d\"\n[[triangle]]\nname = \"a\"\n[triangle.{corner}]\n{keys}\n[triangle.{other}]\nhost = \"o.example\"\nusername = \"o\"\npassword_file = \"p\"\n"
    )
}

fn account(corner: &str, keys: &str) -> AccountConfig {
    let config = parse(&with(corner, keys)).unwrap();
    let triangle = config.triangles.into_iter().next().unwrap();
    if corner == "primary" {
        triangle.primary
    } else {
        triangle.standby
    }
}

#[test]
fn a_preset_fills_in_what_the_file_leaves_out() {
    type Expected<'a> = (&'a str, u16, Tls, u8, Option<u64>);
    let check = |corner: &str, keys: &str, expected: Expected<'_>| {
        let keys = format!("{keys}\nusername = \"u\"\npassword_file = \"p\"");
        let found = account(corner, &keys);
        let found = (
            found.host.as_str(),
            found.port,
            found.tls,
            found.max_connections,
            found.bytes_per_day,
        );
        assert_eq!(found, expected, "{corner}: {keys}");
    };
    let tls = Tls::Implicit;
    let gmail = "imap.gmail.com";
    check(
        "primary",
        "preset = \"gmail\"",
        (gmail, 993, tls, 7, Some(2_500_000_000)),
    );
    check(
        "standby",
        "preset = \"gmail\"",
        (gmail, 993, tls, 7, Some(500_000_000)),
    );
    for (name, host) in [
        ("microsoft365", "outlook.office365.com"),
        ("gmx", "imap.gmx.net"),
        ("webde", "imap.web.de"),
        ("ionos", "imap.ionos.de"),
        ("strato", "imap.strato.de"),
        ("t-online", "secureimap.t-online.de"),
    ] {
        let keys = format!("preset = \"{name}\"");
        check("primary", &keys, (host, 993, tls, 8, None));
        check("standby", &keys, (host, 993, tls, 8, None));
    }
    // What the file says wins.
    check(
        "standby",
        "preset = \"gmail\"\nhost = \"relay.example\"\nmax_connections = 12\nbytes_per_day = 5",
        ("relay.example", 993, tls, 12, Some(5)),
    );
    check(
        "standby",
        "preset = \"gmx\"\nport = 10993",
        ("imap.gmx.net", 10993, tls, 8, None),
    );
    check(
        "standby",
        "preset = \"gmx\"\ntls = \"starttls\"",
        ("imap.gmx.net", 143, Tls::Starttls, 8, None),
    );
}

#[test]
fn pop3_is_for_a_primary() {
    const ACCOUNT: &str =
        "host = \"pop.example\"\nusername = \"u\"\npassword_file = \"p\"\nprotocol = ";
    let with_tls =
        |word: &str| format!("{ACCOUNT}\"pop3\"\ntls = \"{word}\"\nallow_plaintext = true");
    for (tls, port) in [("implicit", 995), ("starttls", 110), ("none", 110)] {
        let found = account("primary", &with_tls(tls));
        assert_eq!((found.protocol, found.port), (Protocol::Pop3, port));
    }
    let imap = account("standby", &format!("{ACCOUNT}\"imap\""));
    assert_eq!((imap.protocol, imap.port), (Protocol::Imap, 993));
    let check = |corner: &str, keys: String, expected: &str| {
        let error = parse(&with(corner, &keys)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        "standby",
        format!("{ACCOUNT}\"pop3\""),
        "agent.toml:8: 'protocol' in [triangle.standby] is \"pop3\", by which nothing can be put into an account",
    );
    check(
        "primary",
        format!("{ACCOUNT}\"pop3\"\npreset = \"gmx\""),
        "'protocol' in [triangle.primary] is \"pop3\", and presets know IMAP servers alone",
    );
    check(
        "primary",
        format!("{ACCOUNT}\"pop\""),
        "'protocol' in [triangle.primary] must be \"imap\" or \"pop3\", not \"pop\"",
    );
}

#[test]
fn a_preset_is_whole() {
    for (name, preset) in PRESETS {
        assert_eq!(name, preset.name);
        assert!(preset.host.contains('.') && preset.tls != Tls::None);
        if let Some((url, scope)) = preset.oauth {
            Settings::check_url(url).unwrap();
            assert!(url.starts_with("https://") && !scope.is_empty());
        }
    }
    let whole = account(
        "primary",
        "preset = \"gmx\"\nusername = \"u\"\npassword_file = \"p\"",
    );
    assert_eq!(whole.preset.map(|p| p.name), Some("gmx"));
}

const OAUTH: &str = r#"host = "imap.abc.example"
username = "u"
[triangle.primary.oauth]
token_url = "https://login.abc.example/token?tenant=x"
client_id = "md"
client_secret_file = "secrets/client"
refresh_token_file = "secrets/refresh"
scope = "imap"
tls_ca_file = "/etc/ca.pem""#;

fn tokens(account: &AccountConfig) -> Settings {
    match account.credentials().unwrap() {
        Credentials::Tokens(tokens) => tokens.settings().clone(),
        Credentials::Password(_) => panic!("a password"),
    }
}

#[test]
fn tokens_take_the_place_of_a_password() {
    let expected = Settings {
        token_url: "https://login.abc.example/token?tenant=x".to_owned(),
        client_id: "md".to_owned(),
        client_secret_file: Some("secrets/client".into()),
        refresh_token_file: "secrets/refresh".into(),
        scope: Some("imap".to_owned()),
        ca_file: Some("/etc/ca.pem".into()),
    };
    assert_eq!(tokens(&account("primary", OAUTH)), expected);
    let preset = |more: &str| {
        tokens(&account(
            "primary",
            &format!(
                "preset = \"microsoft365\"\nusername = \"u\"\n[triangle.primary.oauth]\nclient_id = \"md\"\nrefresh_token_file = \"r\"\n{more}"
            ),
        ))
    };
    let published = preset("");
    assert_eq!(
        published.token_url,
        "https://login.microsoftonline.com/organizations/oauth2/v2.0/token"
    );
    assert_eq!(
        published.scope.as_deref(),
        Some("https://outlook.office.com/IMAP.AccessAsUser.All offline_access")
    );
    let own = preset("token_url = \"https://login.example/own\"\nscope = \"s\"");
    assert_eq!(own.token_url, "https://login.example/own");
    assert_eq!(own.scope.as_deref(), Some("s"));
}

#[test]
fn a_mistake_in_the_oauth_section_is_named() {
    let check = |from: &str, to: &str, expected: &str| {
        assert!(OAUTH.contains(from));
        let text = with("primary", &OAUTH.replacen(from, to, 1));
        assert_eq!(parse(&text).unwrap_err().to_string(), expected);
    };
    check(
        "client_id = \"md\"",
        "",
        "agent.toml:7: the key 'client_id' is missing in [triangle.primary.oauth]",
    );
    check(
        "refresh_token_file = \"secrets/refresh\"",
        "",
        "agent.toml:7: the key 'refresh_token_file' is missing in [triangle.primary.oauth]",
    );
    check(
        "token_url = \"https://login.abc.example/token?tenant=x\"",
        "",
        "agent.toml:7: the key 'token_url' is missing in [triangle.primary.oauth]",
    );
    check(
        "https://login.abc",
        "http://login.abc",
        "agent.toml:8: 'token_url' in [triangle.primary.oauth] is unprotected: use https (http works on loopback only)",
    );
    check(
        "scope = ",
        "scopes = ",
        "agent.toml:12: unknown key 'scopes' in [triangle.primary.oauth]; did you mean 'scope'?",
    );
    check(
        "username = \"u\"",
        "username = \"u\"\npassword_file = \"p\"",
        "agent.toml:8: 'password_file' in [triangle.primary] and 'oauth' exclude each other",
    );
    let loopback = OAUTH.replacen("https://login.abc.example", "http://127.0.0.1:1", 1);
    assert!(parse(&with("primary", &loopback)).is_ok());
}

#[test]
fn files_of_the_oauth_section_are_looked_at_early() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    fs::write(&path, with("primary", OAUTH)).unwrap();
    fs::write(dir.path().join("p"), "pw").unwrap();
    let config = Config::load(&path).unwrap();
    let check = |expected: &str| {
        let found = config.check_files().unwrap_err().to_string();
        let expected = expected.replace("DIR", &dir.path().display().to_string());
        assert_eq!(found, format!("{}:{expected}", path.display()));
    };
    check(
        "10: client_secret_file 'DIR/secrets/client' in [triangle.primary.oauth]: No such file or directory (os error 2)",
    );
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/client"), "hunter2").unwrap();
    fs::write(dir.path().join("secrets/refresh"), "\n").unwrap();
    check("11: refresh_token_file 'DIR/secrets/refresh' in [triangle.primary.oauth]: it is empty");
    fs::write(dir.path().join("secrets/refresh"), "two words").unwrap();
    check(
        "11: refresh_token_file 'DIR/secrets/refresh' in [triangle.primary.oauth]: it must hold one line of printable ASCII without spaces",
    );
    fs::write(dir.path().join("secrets/refresh"), "hunter3\n").unwrap();
    config.check_files().unwrap();
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn accounts_with_one_refresh_token_share_their_tokens() {
    let oauth = |corner: &str, user: &str, file: &str| {
        format!(
            "[triangle.{corner}]\npreset = \"gmail\"\nusername = \"{user}\"\n[triangle.{corner}.oauth]\nclient_id = \"md\"\nrefresh_token_file = \"{file}\"\n"
        )
    };
    let text = format!(
        "data_dir = \"d\"\n[[triangle]]\nname = \"a\"\nstandby_prefix = \"A\"\n{}{}[[triangle]]\nname = \"b\"\nstandby_prefix = \"B\"\n{}{}",
        oauth("primary", "a", "a"),
        oauth("standby", "all", "all"),
        oauth("primary", "b", "b"),
        oauth("standby", "all", "all"),
    );
    let config = parse(&text).unwrap();
    let source = |account: &AccountConfig| match account.credentials().unwrap() {
        Credentials::Tokens(tokens) => tokens,
        Credentials::Password(_) => panic!("a password"),
    };
    let [a, b] = config.triangles.as_slice() else {
        panic!("{}", config.triangles.len())
    };
    let same = std::sync::Arc::ptr_eq;
    assert!(same(&source(&a.standby), &source(&b.standby)));
    assert!(same(&source(&a.primary), &source(&a.primary.clone())));
    assert!(!same(&source(&a.primary), &source(&b.primary)));
}
