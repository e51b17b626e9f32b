//! Logging in, tokens, roles.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::app::both;

both! {
    async fn a_person_logs_in_and_is_known_for_fifteen_minutes(app: TestApp) {
        let (id, _) = app.person("Ada@Provider.example", true).await;
        let login = json!({"email": "ada@provider.EXAMPLE", "password": "correct horse battery"});
        let answer = app.ask("/api/v1/auth/login", &login).await.expect(200);
        assert_eq!(answer["expires_in_s"], 900);
        let token = answer["access_token"].as_str().unwrap().to_owned();
        let me = app.get("/api/v1/me", &token).await.expect(200);
        assert_eq!(me["id"], id.to_string());
        assert_eq!(me["email"], "ada@provider.example");
        app.advance(TimeDelta::seconds(899));
        app.get("/api/v1/me", &token).await.expect(200);
        app.advance(TimeDelta::seconds(1));
        app.get("/api/v1/me", &token).await.problem(401);
        // Not before its time either.
        app.advance(TimeDelta::hours(-1));
        app.get("/api/v1/me", &token).await.problem(401);
    }

    async fn wrong_password_and_unknown_person_are_one_answer(app: TestApp) {
        app.person("ada@provider.example", true).await;
        let mut answers = Vec::new();
        for (email, password) in [("ada@provider.example", "wrong horse battery"), ("eve@provider.example", "correct horse battery")] {
            let login = json!({"email": email, "password": password});
            answers.push(app.ask("/api/v1/auth/login", &login).await.problem(401));
        }
        insta::allow_duplicates! {
            insta::assert_snapshot!(answers[0], @r#"{"detail":"Address and password do not fit.","status":401,"title":"Who is asking is not known","type":"/problems/unauthenticated"}"#);
        }
        assert_eq!(answers[0], answers[1]);
    }

    async fn tokens_that_are_not_ours_are_refused(app: TestApp) {
        let (_, token) = app.person("ada@provider.example", true).await;
        let [head, claims, seal] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let none = "eyJhbGciOiJub25lIn0";
        for forged in [
            String::new(),
            "x".repeat(9_000),
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{seal}"),
            format!("{head}.{claims}.{}", seal.chars().rev().collect::<String>()),
            format!("{head}.{claims}"),
        ] {
            app.get("/api/v1/me", &forged).await.problem(401);
        }
        let bare = app.send(Method::GET, "/api/v1/me", None, &[("authorization", "Basic YTpi")], None).await;
        assert_eq!(bare.header("www-authenticate"), "Bearer");
        bare.problem(401);
        app.send(Method::GET, "/api/v1/me", None, &[], None).await.problem(401);
    }

    async fn a_role_taken_away_is_gone_at_once(app: TestApp) {
        let business = app.business("Blau").await;
        let (id, token) = app.member(&business.tenant, "technician").await;
        app.get(&business.path, &token).await.expect(200);
        let path = format!("{}/members/{id}", business.path);
        // From technician to auditor: reads, changes nothing.
        let auditor = json!({"role": "auditor"}).to_string();
        app.send(Method::PUT, &path, Some(&business.admin), &[], Some(auditor)).await.expect(200);
        app.get(&business.path, &token).await.expect(200);
        let site = json!({"name": "Other"});
        app.post(&format!("{}/sites", business.path), &token, &site).await.problem(403);
        app.send(Method::DELETE, &path, Some(&business.admin), &[], None).await.expect(204);
        app.get(&business.path, &token).await.problem(404);
        app.send(Method::DELETE, &path, Some(&business.admin), &[], None).await.problem(404);
        // And a person who is gone is nobody.
        app.sql(&format!("DELETE FROM users WHERE user_id = '{id}'"));
        app.get("/api/v1/me", &token).await.problem(401);
    }

    async fn an_empty_scope_sees_nothing(app: TestApp) {
        let business = app.business("Blau").await;
        let (_, nobody) = app.person("nobody@x.example", false).await;
        assert_eq!(app.get("/api/v1/tenants", &nobody).await.expect(200), json!({"items": []}));
        app.get(&business.path, &nobody).await.problem(404);
        app.get("/api/v1/users", &nobody).await.problem(403);
        app.post("/api/v1/tenants", &nobody, &json!({"name": "x", "timezone": "UTC", "language": "de"})).await.problem(403);
        assert_eq!(app.get("/api/v1/me", &nobody).await.expect(200)["memberships"], json!([]));
    }

    async fn people_are_added_once_by_address(app: TestApp) {
        let admin = app.admin().await;
        let new = json!({"email": "Bob@X.example", "name": "Bob", "password": "correct horse battery"});
        let made = app.post("/api/v1/users", &admin, &new).await;
        let location = made.header("location");
        let made = made.expect(201);
        assert_eq!(app.get(&location, &admin).await.expect(200), made);
        let again = json!({"email": "bob@x.example", "name": "Bob", "password": "correct horse battery"});
        let said = app.post("/api/v1/users", &admin, &again).await.problem(409);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is a person with this address.","status":409,"title":"It contradicts what is there","type":"/problems/conflict"}"#);
        }
        let short = json!({"email": "eve@x.example", "name": "Eve", "password": "short"});
        let said = app.post("/api/v1/users", &admin, &short).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /password: a password of 12 to 200 characters.","errors":[{"pointer":"/password","rule":"a password of 12 to 200 characters"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
    }
}
