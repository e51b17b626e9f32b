//! The same request again.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::app::{Answer, TestApp, both};

async fn keyed(app: &TestApp, path: &str, token: &str, key: &str, body: &str) -> Answer {
    let headers = [("idempotency-key", key)];
    app.send(
        Method::POST,
        path,
        Some(token),
        &headers,
        Some(body.to_owned()),
    )
    .await
}

both! {
    async fn the_same_request_gets_the_same_answer_for_a_day(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites", business.path);
        let (token, body) = (&business.technician, r#"{"name":"Lager"}"#);
        let first = keyed(&app, &path, token, "k1", body).await;
        let again = keyed(&app, &path, token, "k1", body).await;
        assert_eq!(first.text, again.text);
        assert_eq!(first.status, again.status);
        assert_eq!(first.header("etag"), again.header("etag"));
        assert_eq!(first.header("location"), again.header("location"));
        let said = keyed(&app, &path, token, "k1", r#"{"name":"Other"}"#).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"This Idempotency-Key belongs to a request with another body; take a new key.","status":422,"title":"Another request under the same key","type":"/problems/idempotency-key-reused"}"#);
        }
        // Another key, person or path is another request.
        let other = keyed(&app, &path, token, "k2", body).await.expect(201);
        assert_ne!(other["id"], first.json()["id"]);
        let (_, colleague) = app.member(&business.tenant, "technician").await;
        let other = keyed(&app, &path, &colleague, "k1", body).await.expect(201);
        assert_ne!(other["id"], first.json()["id"]);
        // After a day the key is free.
        app.advance(TimeDelta::hours(25));
        let token = app.member(&business.tenant, "technician").await.1;
        let _ = keyed(&app, &path, &token, "k1", body).await.expect(201);
        maildreieck_server::jobs::sweep(&app.app).await.unwrap();
        assert_eq!(app.sql("SELECT count(*) FROM idempotency_keys")[0][0], "1");
    }

    async fn a_failure_is_not_kept(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites", business.path);
        keyed(&app, &path, &business.technician, "k", r#"{"name":""}"#).await.problem(422);
        keyed(&app, &path, &business.technician, "k", r#"{"name":"Lager"}"#).await.expect(201);
        keyed(&app, &path, &business.technician, &"k".repeat(129), r#"{"name":"Lager"}"#).await.problem(400);
        keyed(&app, &path, &business.technician, "", r#"{"name":"Lager"}"#).await.problem(400);
    }

    async fn many_at_once_make_one(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites", business.path);
        let requests = (0..8).map(|_| keyed(&app, &path, &business.technician, "k", r#"{"name":"Lager"}"#));
        let answers = futures::future::join_all(requests).await;
        let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        assert!(!made.is_empty());
        for answer in &answers {
            match answer.status.as_u16() {
                201 => assert_eq!(answer.text, made[0].text),
                _ => assert!(answer.problem(409).contains("in-flight")),
            }
        }
        let sites = app.get(&path, &business.technician).await.expect(200);
        assert_eq!(sites["items"].as_array().unwrap().len(), 2);
    }

    async fn a_secret_is_not_kept(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites/{}/enrolment-codes", business.path, business.site);
        let first = keyed(&app, &path, &business.technician, "k", "{}").await.expect(201);
        let again = keyed(&app, &path, &business.technician, "k", "{}").await.expect(201);
        let code = first["code"].as_str().unwrap();
        assert_eq!(again["id"], first["id"]);
        assert!(again.get("code").is_none());
        let bare = code.replace('-', "");
        for row in crate::schema::dump(&app) {
            assert!(!row.contains(code) && !row.contains(&bare), "{row}");
        }
        let users = json!({"email": "b@x.example", "name": "B", "password": "a password to be kept secret"});
        keyed(&app, "/api/v1/users", &business.admin, "k", &users.to_string()).await.expect(201);
        for row in crate::schema::dump(&app) {
            assert!(!row.contains("a password to be kept secret"), "{row}");
        }
    }
}
