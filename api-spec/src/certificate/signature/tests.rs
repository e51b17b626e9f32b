//! Signing and checking, each thing that can be wrong with a certificate once.

use super::*;
use crate::certificate::{
    CornerCoverage, CornerFigures, Corners, CutPoint, FolderFigures, FolderRef, GuardShares,
    UNANCHORED, is_run_nonce,
};
use crate::vocabulary::{Corner, Depth, Direction};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn certificate(sequence: u64, previous: Option<String>) -> Certificate {
    let figures = CornerFigures {
        messages: 3,
        bytes: 300,
        set_hash: "a".repeat(64),
    };
    let coverage = [Corner::Primary, Corner::Standby, Corner::Store].map(|corner| CornerCoverage {
        corner,
        whole: true,
        content_verified: 3,
        content_verified_now: 1,
        oldest_proof: Some("2026-10-26T17:00:00Z".parse().unwrap()),
    });
    let mut certificate = Certificate {
        format: FORMAT.to_owned(),
        triangle: "büro".to_owned(),
        sequence,
        previous,
        tx_at: "2026-11-24T17:00:00.25Z".parse().unwrap(),
        depth: Depth::Ledger,
        verdict: Verdict::Balanced,
        direction: Direction::PrimaryToStandby,
        epoch: 0,
        cut: [Corner::Primary, Corner::Standby]
            .map(|corner| CutPoint {
                corner,
                folder: FolderRef("inbox".to_owned()),
                uidvalidity: 1,
                uidnext: 4,
                highestmodseq: Some(7),
            })
            .to_vec(),
        corners: Corners {
            primary: figures.clone(),
            standby: figures.clone(),
            store: figures.clone(),
            medium: None,
        },
        folders: vec![FolderFigures {
            folder: FolderRef("inbox".to_owned()),
            primary: Some(figures.clone()),
            standby: Some(figures.clone()),
            store: Some(figures),
            medium: None,
        }],
        differences: vec![],
        repairs: vec![],
        new_tombstones: 0,
        guard: GuardShares {
            of: 3,
            ..GuardShares::default()
        },
        coverage: coverage.to_vec(),
        nonce: UNANCHORED.to_owned(),
        configuration_hash: "d".repeat(64),
        agent_version: "0.1.0".to_owned(),
        signing_key: String::new(),
        signature: None,
        countersignature: None,
    };
    certificate.sign(&key(1)).unwrap();
    certificate
}

fn countersigned(mut certificate: Certificate, by: u8) -> Certificate {
    let mut said = Countersignature {
        run_id: RunId("6f1d3a52-3f4c-5a1e-9c56-0a5a3a1f0b77".parse().unwrap()),
        certificate_sha256: hash_of(&certificate).unwrap(),
        received_at: "2026-11-24T17:01:00Z".parse().unwrap(),
        nonce_at: None,
        verdict: certificate.verdict,
        chain: Chained::Begun,
        server_key: String::new(),
        signature: String::new(),
    };
    said.sign(&key(by)).unwrap();
    certificate.countersignature = Some(said);
    certificate
}

fn checked(certificate: &Certificate) -> Result<Certificate, Unsound> {
    let text = serde_json::to_vec_pretty(certificate).unwrap();
    verify(&text, &[key(1).verifying_key()], &[key(2).verifying_key()])
}

#[test]
fn what_is_signed_is_found_sound() {
    let certificate = countersigned(certificate(1, None), 2);
    assert_eq!(checked(&certificate), Ok(certificate.clone()));
    // Without keys, by those that it names.
    let text = serde_json::to_vec(&certificate).unwrap();
    assert_eq!(verify(&text, &[], &[]), Ok(certificate));
}

#[test]
fn every_octet_that_is_changed_is_seen() {
    let text = serde_json::to_vec(&countersigned(certificate(1, None), 2)).unwrap();
    let keys = ([key(1).verifying_key()], [key(2).verifying_key()]);
    for at in 0..text.len() {
        for flip in [0x01, 0x20] {
            let mut changed = text.clone();
            changed[at] ^= flip;
            assert!(
                verify(&changed, &keys.0, &keys.1).is_err(),
                "{at}: {}",
                String::from_utf8_lossy(&changed)
            );
        }
    }
}

#[test]
fn the_first_thing_that_is_wrong_is_named() {
    let check = |certificate: &Certificate, expected: &str| {
        let found = checked(certificate).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    };
    let sound = certificate(1, None);
    let with = |change: fn(&mut Certificate)| {
        let mut changed = sound.clone();
        change(&mut changed);
        changed
    };
    let resigned = |change: fn(&mut Certificate)| {
        let mut changed = with(change);
        changed.sign(&key(1)).unwrap();
        changed
    };
    check(
        &with(|c| c.format = "x/2".to_owned()),
        "its format is 'x/2'",
    );
    check(&with(|c| c.signature = None), "it is not signed");
    check(
        &with(|c| c.corners.primary.messages = 4),
        "`signature` does not match",
    );
    check(
        &with(|c| c.signing_key = "A".repeat(43)),
        "`signing_key` is no Ed25519",
    );
    check(
        &with(|c| c.sign(&key(3)).unwrap()),
        "which is not the one given",
    );
    check(
        &resigned(|c| c.corners.primary.messages = 4),
        "contradicts itself at /corners/primary/messages",
    );
    check(
        &resigned(|c| c.verdict = Verdict::Unbalanced),
        "contradicts itself at /verdict",
    );
    check(
        &resigned(|c| c.sequence = 2),
        "contradicts itself at /previous",
    );
    check(
        &countersigned(sound.clone(), 3),
        "which is not the one given",
    );
    let mut other = countersigned(sound.clone(), 2);
    other.countersignature.as_mut().unwrap().chain = Chained::Continued;
    check(&other, "it was changed after it was signed");
    let mut other = countersigned(resigned(|c| c.epoch = 1), 2);
    other.countersignature = countersigned(sound, 2).countersignature;
    check(&other, "it is of another certificate");
}

#[test]
fn nothing_is_added_unseen() {
    let mut document = serde_json::to_value(certificate(1, None)).unwrap();
    document["note"] = "x".into();
    let text = serde_json::to_vec(&document).unwrap();
    assert!(matches!(verify(&text, &[], &[]), Err(Unsound::Form(_))));
    let twice = serde_json::to_string(&certificate(1, None))
        .unwrap()
        .replacen("{\"format\"", "{\"epoch\":0,\"format\"", 1);
    assert!(matches!(
        verify(twice.as_bytes(), &[], &[]),
        Err(Unsound::Form(_))
    ));
    for none in ["", "[]", "{}", "\u{0}", "{\"format\":1}"] {
        assert!(matches!(
            verify(none.as_bytes(), &[], &[]),
            Err(Unsound::Form(_))
        ));
    }
}

#[test]
fn a_nonce_has_its_form_or_voids_the_certificate() {
    let with = |nonce: &str| {
        let mut certificate = certificate(1, None);
        certificate.nonce = nonce.to_owned();
        certificate.sign(&key(1)).unwrap();
        checked(&certificate).is_ok()
    };
    for (nonce, good) in [
        ("A".repeat(96), true),
        ("A".repeat(95), false),
        ("A".repeat(95) + "=", false),
        (String::new(), false),
    ] {
        assert_eq!(
            (is_run_nonce(&nonce), with(&nonce)),
            (good, good),
            "{nonce}"
        );
    }
    assert!(with(UNANCHORED));
}

#[test]
fn a_chain_is_whole_or_what_breaks_it_is_named() {
    let first = certificate(1, None);
    let second = certificate(2, Some(hash_of(&first).unwrap()));
    let third = certificate(3, Some(hash_of(&second).unwrap()));
    assert_eq!(follows(&first, &second), Ok(()));
    assert_eq!(follows(&second, &second), Ok(()));
    assert_eq!(
        follows(&first, &third),
        Err(Unsound::Gap { found: 3, last: 1 })
    );
    let other = certificate(2, Some("b".repeat(64)));
    assert_eq!(follows(&first, &other), Err(Unsound::Broken(2)));
    assert_eq!(follows(&second, &other), Err(Unsound::Forked(2)));
    // A countersignature changes nothing for what follows.
    assert_eq!(follows(&countersigned(first, 2), &second), Ok(()));
}

/// The vectors of agent/CERTIFICATE.md, which another implementation can be tried with. `MAILDREIECK_WRITE_VECTORS=1` writes them
/// anew.
#[test]
fn the_vectors_are_these() {
    use ed25519_dalek::pkcs8::EncodePublicKey as _;
    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/tests/certificates");
    let check = |name: &str, text: String| {
        let path = dir.join(name);
        if std::env::var_os("MAILDREIECK_WRITE_VECTORS").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept, text, "{}", path.display());
    };
    let pem = |seed| {
        key(seed)
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .unwrap()
    };
    let json =
        |certificate: &Certificate| serde_json::to_string_pretty(certificate).unwrap() + "\n";
    check("agent.pub", pem(1));
    check("server.pub", pem(2));
    let first = certificate(1, None);
    check("1.json", json(&countersigned(first.clone(), 2)));
    let second = certificate(2, Some(hash_of(&first).unwrap()));
    check("2.json", json(&second));
    check(
        "1.signed",
        String::from_utf8(signed_octets(&serde_json::to_value(&first).unwrap()).unwrap()).unwrap(),
    );
    let mut changed = first.clone();
    changed.tx_at += chrono::TimeDelta::days(1);
    check("changed.json", json(&changed));
    let mut contradicts = first.clone();
    contradicts.corners.standby.messages = 4;
    contradicts.sign(&key(1)).unwrap();
    check("contradicts.json", json(&contradicts));
    let mut other = countersigned(first.clone(), 2);
    other.countersignature.as_mut().unwrap().received_at += chrono::TimeDelta::days(1);
    check("countersigned.json", json(&other));
    let mut document = serde_json::to_value(&first).unwrap();
    document["note"] = "x".into();
    check(
        "field.json",
        serde_json::to_string_pretty(&document).unwrap() + "\n",
    );
}
