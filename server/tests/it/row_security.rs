//! The second wall. PostgreSQL has one: the role that a transaction acts as sees its tenant's rows alone,
//! whatever a statement forgets. SQLite has none: there, that each statement filters is held by reading
//! the statements, and by taking a filter away and demanding the failure.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::app::{Backend, TestApp};
use crate::schema::{GLOBAL, columns, postgres};

fn tenant_tables(app: &TestApp) -> Vec<String> {
    let mut tables: Vec<_> = columns(app).into_iter().map(|(table, _)| table).collect();
    tables.dedup();
    tables.retain(|table| !GLOBAL.contains(&table.as_str()));
    tables
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
}

fn one(conn: &mut PgConnection, sql: &str) -> String {
    let sql = format!("SELECT CAST(({sql}) AS TEXT) AS value");
    diesel::sql_query(sql)
        .get_result::<Row>(conn)
        .unwrap()
        .value
}

/// As a transaction of the server's.
fn act(conn: &mut PgConnection, role: &str, tenant: &str) {
    conn.batch_execute(&format!(
        "ROLLBACK; BEGIN; SELECT set_config('role', '{role}', true), set_config('app.tenant', '{tenant}', true)"
    ))
    .unwrap();
}

fn refused(conn: &mut PgConnection, role: &str, tenant: &str, sql: &str) -> String {
    act(conn, role, tenant);
    conn.batch_execute(sql).unwrap_err().to_string()
}

#[test]
fn postgres_shows_a_tenant_its_rows_alone() {
    TestApp::with(Backend::Postgres, async |app| {
        let (business, neighbour) = (app.business("Blau").await, app.business("Rot").await);
        for one in [&business, &neighbour] {
            let agent = app.agent(one).await;
            let report = serde_json::json!({
                "triangle_id": one.triangle, "kind": "tx", "started_at": app.now(), "finished_at": app.now(),
                "outcome": "done", "mirrored": {"messages": 0, "bytes": 0},
                "certificate": one.certificate(app.now()),
            });
            let id = maildreieck_api_spec::ids::RunId(uuid::Uuid::new_v5(
                &uuid::Uuid::now_v7(),
                b"by hand",
            ));
            app.put_run(&agent, id, &report).await.expect(200);
        }
        for hours in [5, 1] {
            app.advance(chrono::TimeDelta::hours(hours));
            app.tick().await;
        }
        let mut conn = postgres(&app);
        for table in tenant_tables(&app) {
            act(&mut conn, "maildreieck_run", &business.tenant);
            let all = one(&mut conn, &format!("SELECT count(*) FROM {table}"));
            let mine = one(
                &mut conn,
                &format!(
                    "SELECT count(*) FROM {table} WHERE tenant_id = '{}'",
                    business.tenant
                ),
            );
            assert_eq!(all, mine, "{table}");
            // Those two hold rows of the provider's alone here.
            let empty = ["idempotency_keys", "person_keys"].contains(&table.as_str());
            assert!(all != "0" || empty, "{table} is empty: nothing was proved");
            act(&mut conn, "maildreieck_run", "");
            assert_eq!(
                one(&mut conn, &format!("SELECT count(*) FROM {table}")),
                "0",
                "{table}"
            );
        }
        // Writing for the neighbour, and moving a row over to him.
        let insert = format!(
            "INSERT INTO sites (tenant_id, site_id, name, assignment_version, version, created_at) VALUES ('{}', 'x', 'x', 1, 1, now())",
            neighbour.tenant
        );
        let said = refused(&mut conn, "maildreieck_run", &business.tenant, &insert);
        assert!(said.contains("row-level security"), "{said}");
        let said = refused(
            &mut conn,
            "maildreieck_run",
            &business.tenant,
            &format!("UPDATE sites SET tenant_id = '{}'", neighbour.tenant),
        );
        assert!(said.contains("row-level security"), "{said}");
        act(&mut conn, "maildreieck_run", &business.tenant);
        let changed = diesel::sql_query("UPDATE sites SET name = 'x'")
            .execute(&mut conn)
            .unwrap();
        assert_eq!(changed, 1);
        // What a role has no business with.
        for (role, sql) in [
            ("maildreieck_run", "SELECT password_hash FROM users"),
            ("maildreieck_run", "DELETE FROM audit_records"),
            ("maildreieck_run", "UPDATE audit_records SET record = ''"),
            ("maildreieck_run", "DELETE FROM runs"),
            ("maildreieck_worker", "SELECT * FROM accounts"),
            ("maildreieck_worker", "SELECT * FROM runs"),
            ("maildreieck_worker", "SELECT * FROM daily_reports"),
            ("maildreieck_worker", "SELECT * FROM sites"),
            ("maildreieck_worker", "UPDATE outbox SET recipient = 'x'"),
            ("maildreieck_worker", "UPDATE schedules SET cron = 'x'"),
            ("maildreieck_worker", "DROP TABLE users"),
        ] {
            let said = refused(&mut conn, role, &business.tenant, sql);
            assert!(
                said.contains("permission denied") || said.contains("must be owner"),
                "{role} {sql}: {said}"
            );
        }
    });
}

#[test]
fn postgres_forces_row_security_on_each_tenant_table() {
    TestApp::with(Backend::Postgres, async |app| {
        let mut conn = postgres(&app);
        for table in tenant_tables(&app) {
            let forced = one(
                &mut conn,
                &format!(
                    "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = '{table}'::regclass"
                ),
            );
            assert_eq!(forced, "true", "{table}");
            let checked = one(
                &mut conn,
                &format!(
                    "SELECT count(*) FROM pg_policies WHERE tablename = '{table}' AND policyname = 'own_tenant' AND qual LIKE '%app.tenant%' AND with_check LIKE '%app.tenant%'"
                ),
            );
            assert_eq!(checked, "1", "{table}");
        }
        for role in ["maildreieck_run", "maildreieck_worker"] {
            let powers = one(
                &mut conn,
                &format!(
                    "SELECT rolsuper OR rolbypassrls OR rolcanlogin OR rolcreaterole FROM pg_roles WHERE rolname = '{role}'"
                ),
            );
            assert_eq!(powers, "false", "{role}");
            let owned = one(
                &mut conn,
                &format!(
                    "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = '{role}')"
                ),
            );
            assert_eq!(owned, "0", "{role}");
        }
    });
}

/// Store functions that see more than one tenant, in the provider's scope, each with its reason.
const WITHOUT_A_TENANT: &[&str] = &[
    // Who a person is, and where he works, is asked before a tenant is known.
    "memberships::of_user",
    "memberships::person_exists",
    "users::",
    // The provider's list of its tenants.
    "tenants::insert",
    "tenants::list_all",
    "tenants::list_of_user",
    // Before it is known whose code, agent or nonce it is.
    "enrolment_codes::find_by_hash",
    "agents::find_anywhere",
    "nonces::",
    // The tick, over all tenants; what it writes carries the claimed row's tenant.
    "schedules::claim_due",
    "schedules::advance",
    "due::expect",
    "daily_reports::to_check",
    "outbox::claim_due",
    "idempotency::sweep",
];

/// Statements of a store file that touch rows without the context's tenant: by function, how many
/// statements lack it.
fn unfiltered(noun: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for function in source.split("\npub fn ").skip(1) {
        let name = function.split(['(', '<']).next().unwrap();
        let body = function.split("\n}\n").next().unwrap();
        let full = format!("{noun}::{name}");
        if WITHOUT_A_TENANT
            .iter()
            .any(|allowed| *allowed == full || *allowed == format!("{noun}::"))
        {
            continue;
        }
        let statements = body.matches("::table)").count()
            + body.matches("::table\n").count()
            + body.matches("::table.").count()
            - body.matches("_join(").count();
        let filters = body.matches("tenant_id.eq(ctx.tenant_key())").count();
        if statements == 0 || filters < statements {
            found.push(format!(
                "{full}: {statements} statements, {filters} filters"
            ));
        }
    }
    found
}

fn store_files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let noun = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if noun != "mod" && noun != "page" {
            files.push((noun, std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(files.len() > 12);
    files
}

#[test]
fn each_statement_filters_by_its_tenant() {
    for (noun, source) in store_files() {
        assert_eq!(unfiltered(&noun, &source), [""; 0]);
    }
}

#[test]
fn a_filter_taken_away_is_noticed() {
    let filter = "tenant_id.eq(ctx.tenant_key())";
    let mut taken = 0;
    for (noun, source) in store_files() {
        for (at, _) in source.match_indices(filter) {
            let without = format!("{}{}", &source[..at], &source[at + filter.len()..]);
            assert_ne!(unfiltered(&noun, &without), [""; 0], "{noun} at {at}");
            taken += 1;
        }
    }
    assert!(taken > 50, "{taken}");
}
