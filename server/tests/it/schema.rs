//! The tables, the same on both databases: what is a tenant's leads its key with the tenant.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::app::{Backend, TestApp, both};

/// Tables that belong to no tenant; ARCHITECTURE.md lists them too.
pub const GLOBAL: [&str; 4] = [
    "__diesel_schema_migrations",
    "server_key",
    "used_nonces",
    "users",
];

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    value: Option<String>,
}

/// Runs SQL as the database's owner: a query of one column, or a statement.
pub fn query(app: &TestApp, sql: &str) -> Vec<Vec<String>> {
    let rows = if sql.starts_with("SELECT") {
        let sql = format!("WITH x(v) AS ({sql}) SELECT CAST(v AS TEXT) AS value FROM x");
        match app.backend {
            Backend::Sqlite => diesel::sql_query(sql).load::<Row>(&mut sqlite(app)),
            Backend::Postgres => diesel::sql_query(sql).load::<Row>(&mut postgres(app)),
        }
        .unwrap()
    } else {
        match app.backend {
            Backend::Sqlite => sqlite(app).batch_execute(sql),
            Backend::Postgres => postgres(app).batch_execute(sql),
        }
        .unwrap();
        Vec::new()
    };
    rows.into_iter()
        .map(|row| vec![row.value.unwrap_or_default()])
        .collect()
}

pub fn sqlite(app: &TestApp) -> SqliteConnection {
    let path = app.raw_url.strip_prefix("sqlite://").unwrap();
    let mut conn = SqliteConnection::establish(path).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    conn
}

pub fn postgres(app: &TestApp) -> PgConnection {
    PgConnection::establish(&app.raw_url).unwrap()
}

fn pairs(app: &TestApp, sqlite: &str, postgres: &str) -> Vec<(String, String)> {
    let sql = match app.backend {
        Backend::Sqlite => sqlite,
        Backend::Postgres => postgres,
    };
    let mut pairs: Vec<_> = query(app, sql)
        .into_iter()
        .map(|row| {
            row[0]
                .split_once('.')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .unwrap()
        })
        .collect();
    pairs.sort();
    pairs
}

/// Every column of every table.
pub fn columns(app: &TestApp) -> Vec<(String, String)> {
    pairs(
        app,
        "SELECT m.name || '.' || p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'",
    )
}

/// Every row of every table as text.
pub fn dump(app: &TestApp) -> Vec<String> {
    let mut rows = Vec::new();
    for (table, column) in columns(app) {
        let value = match app.backend {
            Backend::Sqlite => format!("quote({column})"),
            Backend::Postgres => format!("CAST({column} AS TEXT)"),
        };
        let sql = format!("SELECT '{table}.{column}: ' || {value} FROM {table}");
        rows.extend(query(app, &sql).into_iter().map(|mut row| row.remove(0)));
    }
    rows
}

both! {
    async fn both_databases_have_the_same_tables(app: TestApp) {
        let mut tables: Vec<String> = Vec::new();
        for (table, column) in columns(&app) {
            match tables.last_mut() {
                Some(line) if line.starts_with(&format!("{table}:")) => line.push_str(&format!(" {column}")),
                _ => tables.push(format!("{table}: {column}")),
            }
        }
        insta::allow_duplicates! {
            insta::assert_snapshot!(tables.join("\n"), @r#"
            __diesel_schema_migrations: run_on version
            accounts: account_id created_at host name port tenant_id tls username version
            agents: agent_id clone_seen_at counter enrolled_at free_disk_bytes last_cycle_at last_heartbeat_at platform replaced_at sealing_key signing_key site_id skew_ms spooled_runs store_bytes tenant_id version
            audit_heads: hash seq tenant_id
            audit_records: action actor_id at audit_id hash object_id record seq tenant_id
            certificates: certificate_hash chain countersignature previous_hash run_id tenant_id triangle_id
            daily_reports: body_html body_text created_at language local_day report_id subject tenant_id verdict
            due: due_at grace_ends_at reported_as run_id schedule_id tenant_id triangle_id
            enrolment_codes: agent_id code_hash code_id created_at expires_at site_id tenant_id
            idempotency_keys: answer expires_at fingerprint key method path principal status tenant_id
            memberships: created_at role tenant_id user_id
            outbox: attempts created_at last_error mail_id message_id next_attempt_at recipient report_id state tenant_id
            person_keys: person_id tenant_id wrapped_key
            report_cursors: check_at local_day tenant_id
            runs: agent_id kind outcome received_at received_id report report_hash run_id site_id tenant_id triangle_id verdict
            schedule_lines: cron kind schedule_id set_at tenant_id timezone triangle_id
            schedules: cron grace_min kind next_due_at schedule_id tenant_id timezone triangle_id
            server_key: id key_check
            sites: agent_id assignment_version created_at name site_id tenant_id version
            tenants: created_at grace_min language name report_to tenant_id timezone version
            triangles: created_at exclude_folders grace_min name primary_account_id site_id standby_account_id standby_prefix tenant_id triangle_id version
            used_nonces: expires_at nonce_hash
            users: created_at email name password_hash provider_admin user_id
            "#);
        }
    }

    async fn keys_of_tenant_tables_lead_with_the_tenant(app: TestApp) {
        let leading = pairs(
            &app,
            "SELECT m.name || '.' || p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND p.pk = 1",
            "SELECT c.relname || '.' || a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE i.indisprimary AND n.nspname = 'public'",
        );
        let tables: std::collections::BTreeSet<_> = columns(&app).into_iter().map(|(table, _)| table).collect();
        assert_eq!(leading.len(), tables.len());
        for (table, column) in leading {
            assert_eq!(column == "tenant_id", !GLOBAL.contains(&table.as_str()), "{table}.{column}");
        }
        for table in tables {
            let has = columns(&app).contains(&(table.clone(), "tenant_id".to_owned()));
            assert_eq!(has, !GLOBAL.contains(&table.as_str()), "{table}");
        }
    }

    async fn migrations_go_down_and_up_again(app: TestApp) {
        use diesel_migrations::{FileBasedMigrations, MigrationHarness};
        let before = columns(&app);
        let folder = format!("{}/../migrations/server/", env!("CARGO_MANIFEST_DIR"));
        let of = |name: &str| FileBasedMigrations::from_path(format!("{folder}{name}")).unwrap();
        let names = |name: &str| {
            let entries = std::fs::read_dir(format!("{folder}{name}")).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names("sqlite"), names("postgres"));
        match app.backend {
            Backend::Sqlite => {
                let mut conn = sqlite(&app);
                conn.revert_all_migrations(of("sqlite")).unwrap();
                assert_eq!(columns(&app).len(), 2);
                conn.run_pending_migrations(of("sqlite")).unwrap();
            }
            Backend::Postgres => {
                let mut conn = postgres(&app);
                conn.revert_all_migrations(of("postgres")).unwrap();
                assert_eq!(columns(&app).len(), 2);
                conn.run_pending_migrations(of("postgres")).unwrap();
            }
        }
        assert_eq!(columns(&app), before);
    }
}
