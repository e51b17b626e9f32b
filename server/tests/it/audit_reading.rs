//! The audit chains are read: by people, as pages and as an export that anybody verifies; and by the
//! program, which finds what was done to one behind the server's back.

use std::process::Output;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::app::{Backend, Business, TestApp, both};
use crate::cli::run;

const PROVIDER: &str = "00000000-0000-0000-0000-000000000000";

/// What `audit verify --json` says, and its exit code.
fn verified(arguments: &[&str], input: &str) -> (i32, Value) {
    let output = program(arguments, input);
    let code = output.status.code().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("exit {code}: {}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(said["sound"], code == 0, "{said}");
    (code, said)
}

fn program(arguments: &[&str], input: &str) -> Output {
    run(&[&["audit", "verify"], arguments].concat(), input)
}

/// The same on the test's database; one chain's part of the document.
#[track_caller]
fn chain(app: &TestApp, tenant: &str, more: &[&str]) -> (i32, Value) {
    let name = if tenant == PROVIDER {
        "provider"
    } else {
        tenant
    };
    let mut arguments = vec!["--json", "--database-url", &app.raw_url, "--tenant", name];
    arguments.extend(more);
    let (code, mut said) = verified(&arguments, "");
    assert_eq!(said["chains"].as_array().unwrap().len(), 1);
    let chain = said["chains"][0].take();
    assert_eq!(chain["chain"], name);
    (code, chain)
}

/// A chain of ten records.
async fn business(app: &TestApp) -> Business {
    let business = app.business("Blau").await;
    let path = format!("{}/sites", business.path);
    for number in 0..5 {
        app.post(
            &path,
            &business.technician,
            &json!({"name": format!("s{number}")}),
        )
        .await
        .expect(201);
    }
    business
}

#[track_caller]
fn sound(app: &TestApp, business: &Business) -> String {
    let (code, said) = chain(app, &business.tenant, &[]);
    assert_eq!((code, &said["records"]), (0, &json!(10)), "{said}");
    said["checkpoint"].as_str().unwrap().to_owned()
}

/// Verifies and demands that this record is named, for this.
#[track_caller]
fn broken(app: &TestApp, business: &Business, seq: u64, fault: &str) {
    let (code, said) = chain(app, &business.tenant, &[]);
    assert_eq!(code, 3, "{said}");
    assert_eq!(
        (&said["broken"]["seq"], &said["broken"]["fault"]),
        (&json!(seq), &json!(fault)),
        "{said}"
    );
    assert_eq!(
        said["records"],
        if fault == "no_head" || fault == "head_hash" {
            seq
        } else {
            seq - 1
        },
        "{said}"
    );
}

fn hash(record: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(record))
}

impl TestApp {
    /// A value of a record's row.
    fn audit_value(&self, of: &Business, seq: u64, column: &str) -> String {
        let sql = format!(
            "SELECT {column} FROM audit_records WHERE tenant_id = '{}' AND seq = {seq}",
            of.tenant
        );
        self.sql(&sql)[0][0].clone()
    }

    /// Does something to rows of the chain.
    fn tamper(&self, of: &Business, change: &str, rows: &str) {
        self.sql(&format!(
            "{change} WHERE tenant_id = '{}' AND {rows}",
            of.tenant
        ));
    }

    /// Writes a record anew, its hash with it.
    fn write_anew(&self, of: &Business, seq: u64, from: &str, to: &str) -> String {
        let record = self.audit_value(of, seq, "record");
        assert!(record.contains(from), "{record}");
        let record = record.replace(from, to);
        let hash = hash(&record);
        self.tamper(
            of,
            &format!("UPDATE audit_records SET record = '{record}', hash = '{hash}'"),
            &format!("seq = {seq}"),
        );
        hash
    }
}

both! {
    async fn an_edited_record_is_named(app: TestApp) {
        let business = business(&app).await;
        sound(&app, &business);
        let whole = app.audit_value(&business, 7, "record");
        app.tamper(&business, "UPDATE audit_records SET record = replace(record, 's1', 's7')", "seq = 7");
        assert_ne!(app.audit_value(&business, 7, "record"), whole);
        broken(&app, &business, 7, "hash");
        app.tamper(&business, &format!("UPDATE audit_records SET record = '{whole}'"), "seq = 7");
        sound(&app, &business);
        // With its hash made anew it is the next that does not follow.
        app.write_anew(&business, 7, "\"s1\"", "\"s7\"");
        broken(&app, &business, 8, "previous");
        app.write_anew(&business, 7, "\"s7\"", "\"s1\"");
        sound(&app, &business);
        app.write_anew(&business, 7, "maildreieck-audit/1", "maildreieck-audit/9");
        broken(&app, &business, 7, "format");
        app.write_anew(&business, 7, "maildreieck-audit/9", "maildreieck-audit/1");
        app.write_anew(&business, 7, ",\"seq\":7", ", \"seq\":7");
        broken(&app, &business, 7, "not_canonical");
        app.write_anew(&business, 7, ", \"seq\":7", ",\"seq\":7");
        app.write_anew(&business, 7, &business.tenant, PROVIDER);
        broken(&app, &business, 7, "other_chain");
    }

    async fn a_column_that_says_another_thing_than_its_record_is_named(app: TestApp) {
        let business = business(&app).await;
        for (column, value) in [
            ("action", "site.update"), ("actor_id", "nobody"), ("object_id", "nothing"),
            ("audit_id", "0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d"), ("at", "2026-11-24 12:00:01"),
        ] {
            let before = app.audit_value(&business, 4, column);
            app.tamper(&business, &format!("UPDATE audit_records SET {column} = '{value}'"), "seq = 4");
            broken(&app, &business, 4, "column");
            app.tamper(&business, &format!("UPDATE audit_records SET {column} = '{before}'"), "seq = 4");
            sound(&app, &business);
        }
    }

    async fn a_deleted_record_is_named(app: TestApp) {
        let business = business(&app).await;
        sound(&app, &business);
        app.tamper(&business, "DELETE FROM audit_records", "seq = 4");
        broken(&app, &business, 4, "gap");
        // The first one too; and closing the gap does not help.
        app.tamper(&business, "UPDATE audit_records SET seq = seq - 1", "seq = 5");
        broken(&app, &business, 4, "gap");
        app.tamper(&business, "DELETE FROM audit_records", "seq = 1");
        broken(&app, &business, 1, "gap");
    }

    async fn an_inserted_record_is_named(app: TestApp) {
        let business = business(&app).await;
        sound(&app, &business);
        // Room behind the third, and a copy of it there.
        for seq in (4..=10).rev() {
            app.tamper(&business, "UPDATE audit_records SET seq = seq + 1", &format!("seq = {seq}"));
        }
        app.tamper(&business, "INSERT INTO audit_records SELECT tenant_id, 4, '0192f0c1-2f4e-7b5a-9c1d-3e8f5a6b7c8d', at, action, record, hash, actor_id, object_id FROM audit_records", "seq = 3");
        broken(&app, &business, 4, "order");
        // And before the first.
        app.tamper(&business, "UPDATE audit_records SET seq = 0", "seq = 4");
        broken(&app, &business, 1, "gap");
    }

    async fn reordered_records_are_named(app: TestApp) {
        let business = business(&app).await;
        sound(&app, &business);
        for (from, to) in [(5, 100), (6, 5), (100, 6)] {
            app.tamper(&business, &format!("UPDATE audit_records SET seq = {to}"), &format!("seq = {from}"));
        }
        broken(&app, &business, 5, "gap");
    }

    async fn what_is_cut_off_is_found(app: TestApp) {
        let business = business(&app).await;
        let checkpoint = sound(&app, &business);
        let (number, _) = checkpoint.split_once(':').unwrap();
        assert_eq!(number, "10");
        app.tamper(&business, "DELETE FROM audit_records", "seq = 10");
        broken(&app, &business, 10, "cut_off");
        // With the head changed too the chain is whole: only what was noted elsewhere knows better.
        let last = app.audit_value(&business, 9, "hash");
        app.tamper(&business, &format!("UPDATE audit_heads SET seq = 9, hash = '{last}'"), "1 = 1");
        let (code, said) = chain(&app, &business.tenant, &[]);
        assert_eq!((code, &said["records"]), (0, &json!(9)));
        let (code, said) = chain(&app, &business.tenant, &["--checkpoint", &checkpoint]);
        assert_eq!((code, &said["broken"]["seq"], &said["broken"]["fault"]), (3, &json!(10), &json!("before_checkpoint")), "{said}");
        // All of it.
        app.tamper(&business, "DELETE FROM audit_records", "1 = 1");
        broken(&app, &business, 1, "cut_off");
        app.tamper(&business, "DELETE FROM audit_heads", "1 = 1");
        assert_eq!(chain(&app, &business.tenant, &[]).0, 0);
        let (code, said) = chain(&app, &business.tenant, &["--checkpoint", &checkpoint]);
        assert_eq!((code, &said["broken"]["fault"]), (3, &json!("before_checkpoint")));
    }

    async fn a_head_that_does_not_fit_is_found(app: TestApp) {
        let business = business(&app).await;
        let checkpoint = sound(&app, &business);
        let (_, last) = checkpoint.split_once(':').unwrap();
        app.tamper(&business, "UPDATE audit_heads SET seq = 8", "1 = 1");
        let (code, said) = chain(&app, &business.tenant, &[]);
        assert_eq!((code, &said["broken"]["seq"], &said["broken"]["fault"]), (3, &json!(9), &json!("behind_head")), "{said}");
        app.tamper(&business, &format!("UPDATE audit_heads SET seq = 10, hash = '{}'", "0".repeat(64)), "1 = 1");
        broken(&app, &business, 10, "head_hash");
        app.tamper(&business, &format!("UPDATE audit_heads SET hash = '{last}'"), "1 = 1");
        sound(&app, &business);
        app.tamper(&business, "DELETE FROM audit_heads", "1 = 1");
        broken(&app, &business, 10, "no_head");
    }

    async fn a_chain_that_was_written_anew_is_found_by_a_checkpoint(app: TestApp) {
        let business = business(&app).await;
        let checkpoint = sound(&app, &business);
        assert_eq!(chain(&app, &business.tenant, &["--checkpoint", &checkpoint]).0, 0);
        let mut before = app.audit_value(&business, 7, "hash");
        let mut now = app.write_anew(&business, 7, "\"s1\"", "\"s7\"");
        for seq in 8..=10 {
            let next = app.audit_value(&business, seq, "hash");
            now = app.write_anew(&business, seq, &before, &now);
            before = next;
        }
        app.tamper(&business, &format!("UPDATE audit_heads SET hash = '{now}'"), "1 = 1");
        assert_ne!(sound(&app, &business), checkpoint);
        let (code, said) = chain(&app, &business.tenant, &["--checkpoint", &checkpoint]);
        assert_eq!((code, &said["broken"]["seq"], &said["broken"]["fault"]), (3, &json!(10), &json!("not_the_checkpoint")), "{said}");
    }

    async fn all_chains_are_verified_and_the_broken_one_named(app: TestApp) {
        let (business, neighbour) = (business(&app).await, app.business("Rot").await);
        let fresh = app.post("/api/v1/tenants", &business.admin, &json!({"name": "Neu", "timezone": "UTC", "language": "de"})).await.expect(201);
        let arguments = ["--json", "--database-url", &app.raw_url];
        let (code, said) = verified(&arguments, "");
        assert_eq!(code, 0, "{said}");
        let names: Vec<&str> = said["chains"].as_array().unwrap().iter().map(|chain| chain["chain"].as_str().unwrap()).collect();
        assert_eq!(names, ["provider", fresh["id"].as_str().unwrap(), &neighbour.tenant, &business.tenant]);
        assert_eq!(said["chains"][1], json!({"chain": fresh["id"], "records": 0, "checkpoint": null, "broken": null}));
        app.tamper(&neighbour, "DELETE FROM audit_records", "seq = 2");
        let (code, said) = verified(&arguments, "");
        assert_eq!(code, 3);
        let broken: Vec<bool> = said["chains"].as_array().unwrap().iter().map(|chain| !chain["broken"].is_null()).collect();
        assert_eq!(broken, [false, false, true, false], "{said}");
        // For people.
        let output = program(&["--database-url", &app.raw_url, "--tenant", &neighbour.tenant], "");
        let text = String::from_utf8(output.stdout).unwrap();
        let expected = format!("{}: BROKEN at record 2: it is missing: record 3 stands in its place; sound before it: 1 record, checkpoint 1:", neighbour.tenant);
        assert!(text.starts_with(&expected), "{text}");
    }

    async fn records_from_before_the_columns_get_theirs(app: TestApp) {
        use diesel_migrations::{FileBasedMigrations, MigrationHarness};
        let business = business(&app).await;
        let folder = format!("{}/../migrations/server/", env!("CARGO_MANIFEST_DIR"));
        let of = |name: &str| FileBasedMigrations::from_path(format!("{folder}{name}")).unwrap();
        match app.backend {
            Backend::Sqlite => {
                let mut conn = crate::schema::sqlite(&app);
                while !conn.revert_last_migration(of("sqlite")).unwrap().to_string().contains("20261201000001") {}
                conn.run_pending_migrations(of("sqlite")).unwrap();
            }
            Backend::Postgres => {
                let mut conn = crate::schema::postgres(&app);
                while !conn.revert_last_migration(of("postgres")).unwrap().to_string().contains("20261201000001") {}
                conn.run_pending_migrations(of("postgres")).unwrap();
            }
        }
        sound(&app, &business);
    }

    async fn an_export_verifies_and_a_changed_one_does_not(app: TestApp) {
        let business = business(&app).await;
        let owner = app.member(&business.tenant, "owner").await.1;
        for (path, token, name) in [
            (format!("{}/audit/export", business.path), &owner, business.tenant.as_str()),
            ("/api/v1/audit/export".to_owned(), &business.admin, "provider"),
        ] {
            let answer = app.get(&path, token).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), "application/x-ndjson");
            let text = answer.text;
            let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for (place, line) in records.iter().enumerate() {
                assert_eq!(line["record"]["seq"], place + 1);
                assert_eq!(line["record"]["chain"], name);
            }
            // That it was read is in it.
            let last = records.last().unwrap();
            assert_eq!(last["record"]["action"], "audit.export");
            assert_eq!(last["record"]["object"], json!({"kind": "audit", "id": name}));
            assert_eq!(last["record"]["actor"]["kind"], "user");

            let (code, said) = verified(&["--json", "--export", "-"], &text);
            assert_eq!(code, 0, "{said}");
            let checkpoint = format!("{}:{}", records.len(), last["hash"].as_str().unwrap());
            assert_eq!(said["chains"], json!([{"chain": name, "records": records.len(), "checkpoint": checkpoint, "broken": null}]));
            // The database's last word is the export's.
            let tenant = if name == "provider" { PROVIDER } else { name };
            assert_eq!(chain(&app, tenant, &["--checkpoint", &checkpoint]).0, 0);

            // One octet, in the middle of a known line.
            let (line, _) = text.match_indices('\n').nth(2).unwrap();
            let mut changed = text.clone().into_bytes();
            changed[line + 200] ^= 1;
            let (code, said) = verified(&["--json", "--export", "-"], std::str::from_utf8(&changed).unwrap());
            assert_eq!((code, &said["chains"][0]["broken"]["seq"]), (3, &json!(4)), "{said}");
            // Without its last line it is whole in itself, and not what was noted.
            let shorter = text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
            assert_eq!(verified(&["--json", "--export", "-"], &shorter).0, 0);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &shorter).unwrap();
            let (code, said) = verified(&["--json", "--export", file.path().to_str().unwrap(), "--checkpoint", &checkpoint], "");
            assert_eq!((code, &said["chains"][0]["broken"]["fault"]), (3, &json!("before_checkpoint")), "{said}");
        }
    }

    async fn a_long_chain_is_exported_whole(app: TestApp) {
        use sha2::{Digest, Sha256};
        let business = app.business("Blau").await;
        let (head, mut previous) = (app.sql(&format!("SELECT seq FROM audit_heads WHERE tenant_id = '{}'", business.tenant)), app.audit_value(&business, 5, "hash"));
        assert_eq!(head[0][0], "5");
        // More than is read at a time, and not a multiple of it.
        let mut rows = Vec::new();
        for seq in 6..=1_203_u64 {
            let id = uuid::Uuid::now_v7().to_string();
            let record = serde_json_canonicalizer::to_string(&json!({
                "format": "maildreieck-audit/1", "chain": business.tenant, "seq": seq, "previous": previous, "id": id,
                "at": "2026-11-24T12:00:00.000000Z", "actor": {"kind": "system", "id": "test"}, "action": "site.create",
                "object": {"kind": "site", "id": "1"}, "details": {}, "personal": [], "request_id": "1",
            })).unwrap();
            previous = hex::encode(Sha256::digest(&record));
            rows.push(format!("('{}', {seq}, '{id}', '2026-11-24 12:00:00', 'site.create', 'test', '1', '{record}', '{previous}')", business.tenant));
        }
        app.sql(&format!("INSERT INTO audit_records (tenant_id, seq, audit_id, at, action, actor_id, object_id, record, hash) VALUES {}", rows.join(",")));
        app.tamper(&business, &format!("UPDATE audit_heads SET seq = 1203, hash = '{previous}'"), "1 = 1");
        let text = app.get(&format!("{}/audit/export", business.path), &business.admin).await.text;
        assert_eq!(text.lines().count(), 1_204);
        let (code, said) = verified(&["--json", "--export", "-"], &text);
        assert_eq!((code, &said["chains"][0]["records"]), (0, &json!(1_204)), "{said}");
        assert_eq!(chain(&app, &business.tenant, &[]).0, 0);
    }

    async fn pages_join_to_the_whole_chain(app: TestApp) {
        let business = business(&app).await;
        let auditor = app.member(&business.tenant, "auditor").await.1;
        let path = format!("{}/audit", business.path);
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = app.get(&format!("{path}?limit=4{cursor}"), &auditor).await.expect(200);
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["record"]["seq"].as_u64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, (1..=11).rev().collect::<Vec<u64>>());
        // Each is the canonical record with its hash, sealed fields sealed.
        let page = app.get(&format!("{path}?limit=1"), &auditor).await.expect(200);
        let item = &page["items"][0];
        assert_eq!(serde_json_canonicalizer::to_string(&item["record"]).unwrap(), app.audit_value(&business, 11, "record"));
        assert_eq!(item["hash"], app.audit_value(&business, 11, "hash"));
        serde_json::from_value::<maildreieck_api_spec::audit::AuditEntry>(item["record"].clone()).unwrap();
        let people = app.get("/api/v1/audit?action=user.create&limit=1", &business.admin).await.expect(200);
        let record = &people["items"][0]["record"];
        assert_eq!(record["chain"], "provider");
        assert!(record["personal"][0]["ciphertext"].is_string() && !record.to_string().contains("auditor-"), "{record}");
        // A cursor is of its chain and filters; reading leaves no record.
        let cursor = page["next_cursor"].as_str().unwrap();
        for wrong in [format!("{path}?action=site.create&cursor={cursor}"), format!("/api/v1/audit?cursor={cursor}"), format!("{path}?from=2026-11-24T12:00:00Z&cursor={cursor}")] {
            app.get(&wrong, &business.admin).await.problem(400);
        }
        assert_eq!(chain(&app, &business.tenant, &[]).1["records"], 11);
    }

    async fn filters_and_windows_choose(app: TestApp) {
        let business = business(&app).await;
        app.advance(TimeDelta::minutes(10));
        let agent = app.agent(&business).await;
        let path = format!("{}/audit", business.path);
        let seqs = async |query: &str| {
            let page = app.get(&format!("{path}?{query}"), &business.admin).await.expect(200);
            let items = page["items"].as_array().unwrap();
            items.iter().map(|item| item["record"]["seq"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(seqs("action=site.create").await, [10, 9, 8, 7, 6, 2]);
        assert_eq!(seqs("action=site").await, [0; 0]);
        assert_eq!(seqs(&format!("actor_id={}", agent.id)).await, [12]);
        assert_eq!(seqs(&format!("object_id={}", business.site)).await, [2]);
        assert_eq!(seqs(&format!("action=account.create&object_id={}", business.standby)).await, [4]);
        assert_eq!(seqs("from=2026-11-24T12:10:00Z").await, [12, 11]);
        assert_eq!(seqs("from=2026-11-24T13:10:00%2B01:00").await, [12, 11]);
        assert_eq!(seqs("until=2026-11-24T12:10:00Z").await, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(seqs("from=2026-11-24T12:00:00Z&until=2026-11-24T12:00:00.000001Z&action=member.put").await, [1]);
        for (query, pointer) in [("from=yesterday", "?from"), ("until=2026-11-24", "?until"), ("actor=x", "?actor")] {
            let said = app.get(&format!("{path}?{query}"), &business.admin).await.problem(400);
            assert!(said.contains(pointer), "{said}");
        }
    }

    async fn only_those_who_may_read_a_chain(app: TestApp) {
        let (business, neighbour) = (business(&app).await, app.business("Rot").await);
        let auditor = app.member(&business.tenant, "auditor").await.1;
        let owner = app.member(&business.tenant, "owner").await.1;
        for path in ["audit", "audit/export"] {
            let (own, theirs) = (format!("{}/{path}", business.path), format!("{}/{path}", neighbour.path));
            app.get(&own, &business.technician).await.problem(403);
            for token in [&auditor, &owner, &business.admin] {
                assert_eq!(app.get(&own, token).await.status, 200);
            }
            for token in [&auditor, &owner, &business.technician] {
                app.get(&theirs, token).await.problem(404);
                app.get(&format!("/api/v1/{path}"), token).await.problem(403);
            }
            assert_eq!(app.get(&format!("/api/v1/{path}"), &business.admin).await.status, 200);
        }
        // Who was refused left no export on record, who was not did.
        let page = app.get(&format!("{}/audit?action=audit.export", business.path), &owner).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 3);
        let page = app.get(&format!("{}/audit?action=audit.export", neighbour.path), &business.admin).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 0);
    }

    async fn each_filter_has_an_index_that_leads_with_the_tenant(app: TestApp) {
        let sql = match app.backend {
            Backend::Sqlite => "SELECT m.name || '(' || group_concat(p.name) || ')' FROM sqlite_master m, pragma_index_info(m.name) p WHERE m.type = 'index' AND m.tbl_name = 'audit_records' AND m.name NOT LIKE 'sqlite_%' GROUP BY m.name",
            Backend::Postgres => "SELECT indexname || substring(replace(indexdef, ' ', '') from '[(].*[)]') FROM pg_indexes WHERE tablename = 'audit_records' AND indexname <> 'audit_records_pkey'",
        };
        let mut indexes: Vec<String> = app.sql(sql).into_iter().map(|mut row| row.remove(0)).collect();
        indexes.sort();
        assert_eq!(indexes, [
            "audit_records_at(tenant_id,at)",
            "audit_records_by_id(tenant_id,audit_id)",
            "audit_records_of_action(tenant_id,action,audit_id)",
            "audit_records_of_actor(tenant_id,actor_id,audit_id)",
            "audit_records_of_object(tenant_id,object_id,audit_id)",
        ]);
    }
}

#[test]
fn what_cannot_be_read_and_bad_usage_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = format!("sqlite://{}/none.sqlite", folder.path().display());
    let hash = "0".repeat(64);
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = program(arguments, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(
        &["--export", "/nowhere/at/all"],
        1,
        "opening /nowhere/at/all",
    );
    check(&["--export", "-"], 1, "standard input: it is empty");
    check(&["--database-url", &nothing], 1, "none.sqlite");
    assert!(!folder.path().join("none.sqlite").exists());
    std::fs::write(folder.path().join("none.sqlite"), "").unwrap();
    check(
        &["--database-url", &nothing],
        1,
        "maildreieck-server migrate",
    );
    check(
        &["--export", "-", "--checkpoint", "7"],
        2,
        "a checkpoint is SEQ:HASH",
    );
    check(&["--checkpoint", &format!("7:{hash}")], 2, "--tenant");
    check(&["--tenant", "x"], 2, "a tenant's id, or `provider`");
    check(&["--tenant", "provider", "--export", "-"], 2, "--export");
}
