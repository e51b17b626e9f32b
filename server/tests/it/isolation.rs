//! Another tenant's data does not exist, and nobody does what his role does not allow: every operation of
//! the API, walked with the neighbour's ids and with every role.

use maildreieck_api_spec::vocabulary::MemberRole;
use maildreieck_server::domain::operations::{May, OPERATIONS};
use maildreieck_server::http::openapi;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Answer, Business, TestApp, both};

/// An operation as the API describes it.
pub struct Described {
    pub id: String,
    pub method: Method,
    pub path: String,
    pub value: Value,
}

/// All operations.
pub fn described() -> Vec<Described> {
    let document: Value = serde_json::from_str(&openapi::text().unwrap()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, value) in item.as_object().unwrap() {
            all.push(Described {
                id: value["operationId"].as_str().unwrap_or_default().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                value: value.clone(),
            });
        }
    }
    all
}

/// A body that an operation would take.
fn body(id: &str, of: &Business) -> Option<String> {
    let account =
        json!({"name": "n", "host": "h", "port": 993, "tls": "implicit", "username": "u"});
    let triangle = json!({
        "name": "info", "site_id": of.site, "primary_account_id": of.primary, "standby_account_id": of.standby,
        "tx": {"cron": "0 18 * * *", "timezone": "UTC"},
    });
    let body = match id {
        "create_user" => {
            json!({"email": format!("{}@x.example", uuid::Uuid::now_v7()), "name": "B", "password": "correct horse battery"})
        }
        "create_tenant" | "update_tenant" => {
            json!({"name": "B", "timezone": "UTC", "language": "de"})
        }
        "put_member" => json!({"role": "auditor"}),
        "create_site" | "update_site" => json!({"name": "B"}),
        "create_account" | "update_account" => account,
        "create_triangle" | "update_triangle" => triangle,
        "create_enrolment_code" => json!({}),
        _ => return None,
    };
    Some(body.to_string())
}

async fn call(
    app: &TestApp,
    operation: &Described,
    path: &str,
    token: &str,
    of: &Business,
) -> Answer {
    let headers: &[(&str, &str)] = if operation.id.starts_with("update_") {
        &[("if-match", "\"1\"")]
    } else {
        &[]
    };
    app.send(
        operation.method.clone(),
        path,
        Some(token),
        headers,
        body(&operation.id, of),
    )
    .await
}

/// The path with a tenant's own ids.
fn filled(path: &str, tenant: &str, ids: &[(&str, String)]) -> String {
    let mut path = path.replace("{tenant_id}", tenant);
    for (name, id) in ids {
        path = path.replace(&format!("{{{name}}}"), id);
    }
    assert!(!path.contains('{'), "{path}");
    path
}

/// Everything that a business can have.
async fn whole(app: &TestApp, name: &str) -> (Business, Vec<(&'static str, String)>) {
    let business = app.business(name).await;
    let agent = app.agent(&business).await;
    let member = app.member(&business.tenant, "owner").await.0;
    let run =
        maildreieck_api_spec::ids::RunId(uuid::Uuid::new_v5(&uuid::Uuid::now_v7(), b"by hand"));
    let report = json!({
        "triangle_id": business.triangle, "kind": "mirror", "started_at": app.now(), "finished_at": app.now(),
        "outcome": "done", "mirrored": {"messages": 0, "bytes": 0},
    });
    app.put_run(&agent, run, &report).await.expect(200);
    let report = uuid::Uuid::now_v7().to_string();
    app.sql(&format!(
        "INSERT INTO daily_reports (tenant_id, report_id, local_day, verdict, language, subject, body_text, body_html, created_at) \
         VALUES ('{}', '{report}', '2026-11-01', 'balanced', 'de', 's', 't', 'h', '2026-11-01 12:00:00')",
        business.tenant
    ));
    let ids = vec![
        ("site_id", business.site.clone()),
        ("account_id", business.primary.clone()),
        ("triangle_id", business.triangle.clone()),
        ("agent_id", agent.id),
        ("run_id", run.to_string()),
        ("user_id", member.to_string()),
        ("daily_report_id", report),
    ];
    (business, ids)
}

both! {
    async fn the_neighbours_things_do_not_exist(app: TestApp) {
        let (business, own) = whole(&app, "Blau").await;
        let (neighbour, theirs) = whole(&app, "Rot").await;
        let people = [
            app.member(&business.tenant, "technician").await.1,
            app.member(&business.tenant, "auditor").await.1,
            app.member(&business.tenant, "owner").await.1,
        ];
        let mut walked = 0;
        for operation in described().iter().filter(|operation| operation.path.contains("{tenant_id}")) {
            // The neighbour's tenant, with its own ids and with ours.
            for ids in [&theirs, &own] {
                let path = filled(&operation.path, &neighbour.tenant, ids);
                for token in &people {
                    call(&app, operation, &path, token, &neighbour).await.problem(404);
                    walked += 1;
                }
            }
            // Our tenant, with the neighbour's ids; people are known to the provider whatever their tenant.
            if operation.path.matches('{').count() > 1 && operation.id != "put_member" {
                let path = filled(&operation.path, &business.tenant, &theirs);
                for token in [&business.technician, &business.admin] {
                    let answer = call(&app, operation, &path, token, &business).await;
                    let admins = matches!(operation.id.as_str(), "remove_member") && *token == business.technician;
                    answer.problem(if admins { 403 } else { 404 });
                    walked += 1;
                }
            }
            // A tenant that is nobody's is the same to everybody.
            let path = filled(&operation.path, &uuid::Uuid::now_v7().to_string(), &own);
            for token in [&business.technician, &business.admin] {
                call(&app, operation, &path, token, &business).await.problem(404);
            }
        }
        assert!(walked > 150, "{walked}");
    }

    async fn lists_hold_ones_own_alone(app: TestApp) {
        let (business, own) = whole(&app, "Blau").await;
        let (_, theirs) = whole(&app, "Rot").await;
        let auditor = app.member(&business.tenant, "auditor").await.1;
        for operation in described().iter().filter(|operation| operation.id.starts_with("list_") && operation.path.contains("{tenant_id}")) {
            let path = filled(&operation.path, &business.tenant, &own);
            let list = app.get(&path, &auditor).await.expect(200).to_string();
            for (name, id) in &theirs {
                assert!(!list.contains(id.as_str()), "{}: {name}", operation.id);
            }
        }
        let tenants = app.get("/api/v1/tenants", &business.technician).await.expect(200);
        assert_eq!(tenants["items"].as_array().unwrap().len(), 1);
        let tenants = app.get("/api/v1/tenants", &business.admin).await.expect(200);
        assert_eq!(tenants["items"].as_array().unwrap().len(), 2);
    }

    async fn each_role_does_what_the_table_allows(app: TestApp) {
        let (business, ids) = whole(&app, "Blau").await;
        let roles = [
            (None, app.admin().await),
            (Some(MemberRole::Technician), app.member(&business.tenant, "technician").await.1),
            (Some(MemberRole::Auditor), app.member(&business.tenant, "auditor").await.1),
            (Some(MemberRole::Owner), app.member(&business.tenant, "owner").await.1),
        ];
        for operation in described() {
            let may = OPERATIONS.iter().find(|known| known.id() == operation.id).unwrap().may();
            if matches!(may, May::Anybody | May::Agent) {
                continue;
            }
            let path = filled(&operation.path, &business.tenant, &ids);
            app.send(operation.method.clone(), &path, None, &[], None).await.problem(401);
            for (role, token) in &roles {
                let allowed = match may {
                    May::AnyUser => true,
                    May::Admin => role.is_none(),
                    May::Members(roles) => role.is_none_or(|role| roles.contains(&role)),
                    May::Anybody | May::Agent => unreachable!(),
                };
                let answer = call(&app, &operation, &path, token, &business).await;
                assert_eq!(answer.status != 403, allowed, "{} as {role:?}: {}", operation.id, answer.text);
                assert!(answer.status.as_u16() != 401 && answer.status.as_u16() < 500, "{} as {role:?}: {}", operation.id, answer.text);
            }
        }
    }
}
