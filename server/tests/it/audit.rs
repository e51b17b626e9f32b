//! The audit chain: every change of the closed list is in it before it is answered, or does not happen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::app::{TestApp, both};

/// A chain's records, checked: dense, linked, each hashing to itself.
fn chain(app: &TestApp, tenant: &str) -> Vec<Value> {
    let of = |column: &str| {
        let sql =
            format!("SELECT {column} FROM audit_records WHERE tenant_id = '{tenant}' ORDER BY seq");
        app.sql(&sql)
            .into_iter()
            .map(|mut row| row.remove(0))
            .collect::<Vec<_>>()
    };
    let (records, hashes) = (of("record"), of("hash"));
    let mut previous = "0".repeat(64);
    let mut chain = Vec::new();
    for (place, (record, hash)) in records.iter().zip(&hashes).enumerate() {
        let value: Value = serde_json::from_str(record).unwrap();
        assert_eq!(value["seq"], place + 1);
        assert_eq!(value["previous"], previous);
        assert_eq!(*hash, hex::encode(Sha256::digest(record)));
        assert_eq!(
            *record,
            serde_json_canonicalizer::to_string(&value).unwrap()
        );
        previous.clone_from(hash);
        chain.push(value);
    }
    let head = app.sql(&format!(
        "SELECT hash FROM audit_heads WHERE tenant_id = '{tenant}'"
    ));
    assert_eq!(head[0][0], previous);
    chain
}

fn actions(chain: &[Value]) -> Vec<&str> {
    chain
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect()
}

const PROVIDER: &str = "00000000-0000-0000-0000-000000000000";

both! {
    async fn every_change_is_in_its_chain(app: TestApp) {
        let business = app.business("Blau").await;
        let agent = app.agent(&business).await;
        let change = json!({"name": "Lager"});
        app.put(&format!("{}/sites/{}", business.path, business.site), &business.technician, "\"1\"", &change).await.expect(200);
        // What changes nothing, or is refused, leaves no record.
        app.put(&format!("{}/sites/{}", business.path, business.site), &business.technician, "\"1\"", &change).await.problem(412);
        app.get(&business.path, &business.technician).await.expect(200);
        let records = chain(&app, &business.tenant);
        assert_eq!(actions(&records), [
            "member.put", "site.create", "account.create", "account.create", "triangle.create",
            "enrolment_code.create", "agent.enrol", "site.update",
        ]);
        assert_eq!(records[6]["actor"], json!({"kind": "agent", "id": agent.id}));
        assert_eq!(records[1]["object"], json!({"kind": "site", "id": business.site}));
        assert_eq!(records[1]["chain"], business.tenant);
        assert_eq!(records[1]["at"], "2026-11-24T12:00:00.000000Z");
        let provider = chain(&app, PROVIDER);
        assert_eq!(actions(&provider), ["user.create", "tenant.create", "user.create", "user.create"]);
        assert_eq!(provider[1]["chain"], "provider");
    }

    async fn personal_fields_are_sealed_and_the_chain_outlives_their_key(app: TestApp) {
        let admin = app.admin().await;
        let new = json!({"email": "berta@blau.example", "name": "Berta Blau", "password": "correct horse battery"});
        let id = app.post("/api/v1/users", &admin, &new).await.expect(201)["id"].as_str().unwrap().to_owned();
        let records = chain(&app, PROVIDER);
        let record = records.last().unwrap();
        let text = record.to_string();
        assert!(!text.contains("berta") && !text.contains("Berta"), "{text}");
        let personal = &record["personal"][0];
        assert_eq!(personal["person"], id);
        let sealed = STANDARD.decode(personal["ciphertext"].as_str().unwrap()).unwrap();
        let wrapped = match app.backend {
            crate::app::Backend::Sqlite => app.sql(&format!("SELECT hex(wrapped_key) FROM person_keys WHERE person_id = '{id}'")),
            crate::app::Backend::Postgres => app.sql(&format!("SELECT encode(wrapped_key, 'hex') FROM person_keys WHERE person_id = '{id}'")),
        };
        let wrapped = hex::decode(&wrapped[0][0]).unwrap();
        let row = format!("{PROVIDER}|{id}");
        let opened = app.app.keys.decrypt_personal(&row, &wrapped, &format!("{PROVIDER}|{}", record["seq"]), &sealed).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&opened).unwrap(), json!({"email": "berta@blau.example", "name": "Berta Blau"}));
        app.sql(&format!("DELETE FROM person_keys WHERE person_id = '{id}'"));
        assert_eq!(chain(&app, PROVIDER), records);
    }

    async fn what_cannot_be_recorded_does_not_happen(app: TestApp) {
        let business = app.business("Blau").await;
        app.sql("ALTER TABLE audit_records RENAME TO audit_records_gone");
        let before = crate::schema::dump(&app);
        let sites = format!("{}/sites", business.path);
        let failed = app.post(&sites, &business.technician, &json!({"name": "x"})).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(failed.problem(500), @r#"{"detail":"The server failed; its log says why.","status":500,"title":"The server failed","type":"/problems/internal"}"#);
        }
        let keyed = [("idempotency-key", "k")];
        app.send(Method::POST, &sites, Some(&business.technician), &keyed, Some(r#"{"name":"x"}"#.to_owned())).await.problem(500);
        app.put(&business.path, &business.technician, "\"1\"", &json!({"name": "x", "timezone": "UTC", "language": "de"})).await.problem(500);
        assert_eq!(crate::schema::dump(&app), before);
        // What is not of the closed list goes on.
        app.get(&sites, &business.technician).await.expect(200);
        app.sql("ALTER TABLE audit_records_gone RENAME TO audit_records");
        app.send(Method::POST, &sites, Some(&business.technician), &keyed, Some(r#"{"name":"x"}"#.to_owned())).await.expect(201);
        chain(&app, &business.tenant);
    }

    async fn many_at_once_leave_no_gap(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites", business.path);
        let body = json!({"name": "x"});
        let before = chain(&app, &business.tenant).len();
        let requests = (0..24).map(|_| app.post(&path, &business.technician, &body));
        for answer in futures::future::join_all(requests).await {
            answer.expect(201);
        }
        assert_eq!(chain(&app, &business.tenant).len(), before + 24);
    }
}
