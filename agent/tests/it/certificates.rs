//! Certificates: signed, chained, kept on site, and checked by `verify` and by a program in another language.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::site::{Said, Site, command, said};

fn verify(words: &[&Path]) -> Said {
    // No configuration: a stranger has none.
    let mut agent = Command::new(env!("CARGO_BIN_EXE_maildreieck-agent"));
    said(
        agent
            .arg("verify")
            .args(words)
            .arg("--json")
            .output()
            .unwrap(),
    )
}

/// The forty lines of Python that agent/CERTIFICATE.md names.
fn python(words: &[&Path]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify.py");
    Command::new("/usr/bin/python3")
        .arg(program)
        .args(words)
        .output()
        .unwrap()
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates")
}

fn three_runs() -> (Site, PathBuf) {
    let site = Site::new();
    site.fill("INBOX", 1, 5);
    site.once().exits(0);
    site.fill("INBOX", 6, 2);
    site.once().exits(0);
    site.agent(&["reconcile", "--depth", "content"]).exits(0);
    let kept = site.dir.path().join("data/certificates");
    (site, kept)
}

#[test]
fn certificates_are_chained_and_a_stranger_can_check_them() {
    let (site, kept) = three_runs();
    let key = kept.join("agent.pub");
    let option = PathBuf::from("--key");
    let said = verify(&[&kept, &option, &key]).exits(0);
    assert_eq!(said.json["sound"], true);
    let numbers: Vec<u64> = said.json["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(said.json["unchecked"], json!([]));
    let agreed = python(&[&key, &kept.join("info")]);
    assert!(agreed.status.success(), "{agreed:?}");
    // What is printed is what is kept.
    let printed = site.agent(&["reconcile"]).exits(0);
    let file = kept.join("info/000000004.json");
    let text: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(printed.triangle()["certificate"], text);
    // One is missing.
    std::fs::remove_file(kept.join("info/000000002.json")).unwrap();
    let said = verify(&[&kept, &option, &key]).exits(1);
    let what = said.json["wrong"]["what"].as_str().unwrap();
    assert!(what.contains("number 3 does not follow number 1"), "{what}");
    assert!(!python(&[&key, &kept.join("info")]).status.success());
}

#[test]
fn one_changed_byte_is_refused() {
    let (_site, kept) = three_runs();
    let (key, option) = (kept.join("agent.pub"), PathBuf::from("--key"));
    let path = kept.join("info/000000002.json");
    let sound = std::fs::read(&path).unwrap();
    let text = String::from_utf8(sound.clone()).unwrap();
    for (from, to) in [
        ("\"balanced\"", "\"unbalanced\""),
        ("\"messages\": 7", "\"messages\": 8"),
        ("\"epoch\": 0", "\"epoch\": 1"),
        ("\"previous\": \"", "\"previous\": \"0"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        std::fs::write(&path, changed).unwrap();
        let said = verify(&[&kept, &option, &key]).exits(1);
        let wrong = &said.json["wrong"];
        assert_eq!(wrong["file"], path.to_str().unwrap());
        assert!(
            wrong["what"]
                .as_str()
                .unwrap()
                .contains("`signature` does not match"),
            "{wrong}"
        );
        assert!(!python(&[&key, &kept.join("info")]).status.success());
    }
    std::fs::write(&path, sound).unwrap();
    verify(&[&kept, &option, &key]).exits(0);
    // Of another site.
    let (_other, others) = three_runs();
    let said = verify(&[&kept, &option, &others.join("agent.pub")]).exits(1);
    let what = said.json["wrong"]["what"].as_str().unwrap();
    assert!(what.contains("which is not the one given"), "{what}");
    // What is no key and what is no file is usage.
    verify(&[&kept, &option, &path]).exits(2);
    verify(&[&kept.join("none.json")]).exits(2);
    verify(&[&key]).exits(1);
}

#[test]
fn a_damaged_chain_is_not_gone_on_with() {
    let (site, kept) = three_runs();
    let last = kept.join("info/000000003.json");
    let sound = std::fs::read(&last).unwrap();
    std::fs::write(&last, &sound[..sound.len() / 2]).unwrap();
    let said = site.once().exits(1);
    assert!(
        said.stderr.contains("000000003.json is damaged"),
        "{}",
        said.stderr
    );
    // Neither where it is sound but another than was made.
    let other = String::from_utf8(sound.clone()).unwrap();
    std::fs::write(&last, other.replace("\"balanced\"", "\"unproven\"")).unwrap();
    let said = site.once().exits(1);
    assert!(said.stderr.contains("is not the one"), "{}", said.stderr);
    std::fs::write(&last, sound).unwrap();
    site.once().exits(0);
    verify(&[&kept]).exits(0);
    // What is lost is missed, and its number is not given again.
    let aside = site.dir.path().join("aside");
    std::fs::rename(kept.join("info"), &aside).unwrap();
    let said = site.once().exits(0);
    assert!(said.stderr.contains("last_made=4"), "{}", said.stderr);
    assert_eq!(said.triangle()["certificate"]["sequence"], 5);
    let said = site.once().exits(0);
    assert_eq!(said.triangle()["certificate"]["sequence"], 6);
    verify(&[&kept]).exits(0);
    std::fs::rename(
        aside.join("000000002.json"),
        kept.join("info/000000002.json"),
    )
    .unwrap();
    let said = verify(&[&kept]).exits(1);
    let what = said.json["wrong"]["what"].as_str().unwrap();
    assert!(what.contains("missing"), "{what}");
    for number in [1, 3, 4] {
        let name = format!("{number:09}.json");
        std::fs::rename(aside.join(&name), kept.join("info").join(name)).unwrap();
    }
    verify(&[&kept]).exits(0);
}

/// A run that is killed when its certificate is kept has said its repairs there, and the next one says them again.
#[test]
fn no_repair_is_forgotten_by_a_run_that_is_killed() {
    let (site, kept) = three_runs();
    let mut standby = site.standby();
    let first = Site::uids(&mut standby, "INBOX")[0];
    standby.delete("INBOX", &[first]).unwrap();
    let killed = command(site.dir.path(), &["once"])
        .env("MAILDREIECK_KILL_AT", "certificate kept")
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    assert!(kept.join("info/000000004.json").exists());
    let said = site.once().exits(0);
    assert_eq!(said.repairs(), ["missing_at_standby standby"]);
    assert_eq!(site.once().exits(0).repairs(), [""; 0]);
    verify(&[&kept]).exits(0);
}

/// What is in agent/CERTIFICATE.md for strangers: each vector is sound, or is refused with the word in its name.
#[test]
fn the_test_vectors_are_as_they_are_described() {
    let dir = vectors();
    let keys = [
        PathBuf::from("--key"),
        dir.join("agent.pub"),
        PathBuf::from("--server-key"),
        dir.join("server.pub"),
    ];
    let keys: Vec<&Path> = keys.iter().map(PathBuf::as_path).collect();
    let sound = [dir.join("1.json"), dir.join("2.json")];
    let words: Vec<&Path> = sound.iter().map(PathBuf::as_path).collect();
    verify(&[&words[..], &keys[..]].concat()).exits(0);
    assert!(python(&[&[keys[1]], &words[..]].concat()).status.success());
    for (name, expected) in [
        ("changed.json", "`signature` does not match"),
        (
            "contradicts.json",
            "contradicts itself at /corners/standby/messages",
        ),
        ("countersigned.json", "`countersignature` does not match"),
        ("field.json", "unknown field `note`"),
    ] {
        let path = dir.join(name);
        let said = verify(&[&[path.as_path()], &keys[..]].concat()).exits(1);
        let what = said.json["wrong"]["what"].as_str().unwrap();
        assert!(what.contains(expected), "{name}: {what}");
    }
    let path = dir.join("changed.json");
    assert!(!python(&[keys[1], &path]).status.success());
}
