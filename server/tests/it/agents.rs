//! Enrolment, assertions, assignment, signs of life.

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Agent, both};

both! {
    async fn a_code_is_good_once_and_for_an_hour(app: TestApp) {
        let business = app.business("Blau").await;
        let code = app.code(&business).await;
        let agent = Agent::new();
        let typed = code.to_lowercase().replace('-', " ");
        let first = app.ask("/agent/v1/enrol", &agent.enrolment(&typed)).await.expect(201);
        // The answer may have been lost: the same agent gets it again, another does not.
        assert_eq!(app.ask("/agent/v1/enrol", &agent.enrolment(&code)).await.expect(201), first);
        let refused = app.ask("/agent/v1/enrol", &Agent::new().enrolment(&code)).await.problem(401);
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused, @r#"{"detail":"The enrolment code is unknown, used or too old; ask for a new one.","status":401,"title":"Who is asking is not known","type":"/problems/unauthenticated"}"#);
        }
        for code in ["", "x", "00000-00000-00000-00000-00000-0", &"Z".repeat(80)] {
            assert_eq!(app.ask("/agent/v1/enrol", &agent.enrolment(code)).await.problem(401), refused);
        }
        let late = app.code(&business).await;
        app.advance(TimeDelta::hours(1));
        assert_eq!(app.ask("/agent/v1/enrol", &Agent::new().enrolment(&late)).await.problem(401), refused);
        let site = app.get(&format!("{}/sites/{}", business.path, business.site), &app.member(&business.tenant, "auditor").await.1).await.expect(200);
        assert_eq!(site["agent_id"], first["agent_id"]);
    }

    async fn one_code_at_once_enrols_one_agent(app: TestApp) {
        let business = app.business("Blau").await;
        let code = app.code(&business).await;
        let bodies: Vec<Value> = (0..6).map(|_| Agent::new().enrolment(&code)).collect();
        let answers = futures::future::join_all(bodies.iter().map(|body| app.ask("/agent/v1/enrol", body))).await;
        let enrolled = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(enrolled, 1);
        assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 401));
    }

    async fn keys_that_are_none_are_refused(app: TestApp) {
        let business = app.business("Blau").await;
        let code = app.code(&business).await;
        let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for key in ["", "x", weak, &"A".repeat(42), "AAAA+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            let mut body = Agent::new().enrolment(&code);
            body["signing_key"] = json!(key);
            let said = app.ask("/agent/v1/enrol", &body).await.problem(422);
            assert!(said.contains("/signing_key"), "{said}");
        }
        let mut body = Agent::new().enrolment(&code);
        body["version"] = json!("1.0\nx");
        app.ask("/agent/v1/enrol", &body).await.problem(422);
        app.enrol(Agent::new(), &code).await;
    }

    async fn a_new_agent_replaces_the_old_one(app: TestApp) {
        let business = app.business("Blau").await;
        let mut old = app.agent(&business).await;
        app.send(Method::GET, "/agent/v1/assignment", Some(&old.token), &[], None).await.expect(200);
        let new = app.agent(&business).await;
        app.send(Method::GET, "/agent/v1/assignment", Some(&old.token), &[], None).await.problem(401);
        app.agent_token(&mut old).await.problem(401);
        app.send(Method::GET, "/agent/v1/assignment", Some(&new.token), &[], None).await.expect(200);
        let agents = app.get(&format!("{}/agents", business.path), &business.technician).await.expect(200);
        let states: Vec<_> = agents["items"].as_array().unwrap().iter().map(|agent| agent["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["offline", "replaced"]);
    }

    async fn an_assertion_holds_once_for_two_minutes(app: TestApp) {
        let business = app.business("Blau").await;
        let mut agent = app.agent(&business).await;
        let nonce = app.nonce().await;
        agent.counter += 1;
        let assertion = agent.sign(&agent.claims(app.now(), nonce.clone()));
        let ask = async |assertion: &str| app.ask("/agent/v1/token", &json!({"assertion": assertion})).await;
        assert_eq!(ask(&assertion).await.expect(200)["expires_in_s"], 600);
        // The same again: its nonce is used.
        ask(&assertion).await.problem(401);
        agent.counter += 1;
        ask(&agent.sign(&agent.claims(app.now(), nonce))).await.problem(401);
        let old = app.nonce().await;
        app.advance(TimeDelta::minutes(2));
        ask(&agent.sign(&agent.claims(app.now(), old))).await.problem(401);
        // A nonce that is not ours, another audience, another agent's key, an unsigned assertion.
        ask(&agent.sign(&agent.claims(app.now(), "AAAA".repeat(19)))).await.problem(401);
        let mut claims = agent.claims(app.now(), app.nonce().await);
        claims.aud = "https://elsewhere.example".to_owned();
        ask(&agent.sign(&claims)).await.problem(401);
        let claims = agent.claims(app.now(), app.nonce().await);
        ask(&Agent::new().sign(&claims)).await.problem(401);
        let hs = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(agent.key.verifying_key().as_bytes())).unwrap();
        ask(&hs).await.problem(401);
        for nonsense in ["", "a.b.c", &"x".repeat(5_000)] {
            ask(nonsense).await.problem(401);
        }
        // None of this cost the agent anything.
        ask(&agent.sign(&agent.claims(app.now(), app.nonce().await))).await.expect(200);
    }

    async fn an_assertion_is_of_this_hour(app: TestApp) {
        let business = app.business("Blau").await;
        let mut agent = app.agent(&business).await;
        let ask = async |agent: &mut Agent, iat: i64, exp: i64| {
            agent.counter += 1;
            let mut claims = agent.claims(app.now(), app.nonce().await);
            (claims.iat, claims.exp) = (iat, exp);
            app.ask("/agent/v1/token", &json!({"assertion": agent.sign(&claims)})).await
        };
        let now = app.now().timestamp();
        let said = ask(&mut agent, now - 660, now - 600).await.problem(401);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The clocks differ: the assertion ended 600 seconds before now by the server's clock, which says 2026-11-24T12:00:00Z. Set the agent's clock, or take iat and exp from the nonce's expires_at.","status":401,"title":"Who is asking is not known","type":"/problems/unauthenticated"}"#);
        }
        let said = ask(&mut agent, now, now + 115 * 86_400).await.problem(401);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The assertion is good for 9936000 seconds from iat to exp; it must be 1 to 300.","status":401,"title":"Who is asking is not known","type":"/problems/unauthenticated"}"#);
        }
        let said = ask(&mut agent, now + 90, now + 120).await.problem(401);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The clocks differ: the assertion was signed 90 seconds after now by the server's clock, which says 2026-11-24T12:00:00Z. Set the agent's clock, or take iat and exp from the nonce's expires_at.","status":401,"title":"Who is asking is not known","type":"/problems/unauthenticated"}"#);
        }
        ask(&mut agent, now + 10, now + 10).await.problem(401);
        ask(&mut agent, i64::MIN, i64::MAX).await.problem(401);
        ask(&mut agent, i64::MAX - 1, i64::MAX).await.problem(401);
        ask(&mut agent, i64::MIN, i64::MIN + 1).await.problem(401);
        ask(&mut agent, now - 120, now - 60).await.expect(200);
        ask(&mut agent, now + 60, now + 360).await.expect(200);
        // As the agent signs: from the nonce's end, whatever its own clock says.
        let nonce = app.ask("/agent/v1/nonce", &json!({})).await.expect(200);
        let end: chrono::DateTime<chrono::Utc> = nonce["expires_at"].as_str().unwrap().parse().unwrap();
        ask(&mut agent, end.timestamp() - 120, end.timestamp()).await.expect(200);
    }

    async fn a_counter_that_does_not_grow_exposes_a_clone(app: TestApp) {
        let business = app.business("Blau").await;
        let mut agent = app.agent(&business).await;
        app.agent_token(&mut agent).await.expect(200);
        agent.counter -= 1;
        let said = app.agent_token(&mut agent).await.problem(401);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The assertion's counter did not grow: another agent uses this key. Enrol anew.","status":401,"title":"Two agents use one key","type":"/problems/clone-suspected"}"#);
        }
        let path = format!("{}/agents/{}", business.path, agent.id);
        assert_eq!(app.get(&path, &business.technician).await.expect(200)["state"], "clone_suspected");
    }

    async fn an_agents_token_is_good_for_ten_minutes_and_no_persons(app: TestApp) {
        let business = app.business("Blau").await;
        let agent = app.agent(&business).await;
        let ask = async || app.send(Method::GET, "/agent/v1/assignment", Some(&agent.token), &[], None).await;
        app.get("/api/v1/me", &agent.token).await.problem(401);
        app.get(&business.path, &agent.token).await.problem(401);
        app.send(Method::GET, "/agent/v1/assignment", Some(&business.admin), &[], None).await.problem(401);
        app.advance(TimeDelta::seconds(599));
        ask().await.expect(200);
        app.advance(TimeDelta::seconds(1));
        ask().await.problem(401);
    }

    async fn the_assignment_grows_with_each_change(app: TestApp) {
        let business = app.business("Blau").await;
        let agent = app.agent(&business).await;
        let ask = async |etag: &str| app.send(Method::GET, "/agent/v1/assignment", Some(&agent.token), &[("if-none-match", etag)], None).await;
        let first = ask("\"0\"").await;
        let etag = first.header("etag");
        let body = first.expect(200);
        let triangle = &body["triangles"][0];
        assert_eq!(triangle["triangle_id"], business.triangle);
        assert_eq!(triangle["tx"], json!({"schedule_id": business.tx, "cron": "0 18 * * *", "timezone": "Europe/Berlin"}));
        assert_eq!(triangle["primary"]["host"], "abc.example");
        assert_eq!(triangle["mirror"]["cron"], "*/15 * * * *");
        let same = ask(&etag).await;
        assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
        // A change of an account, of the triangle; not one of the tenant.
        let account = json!({"name": "n", "host": "new.example", "port": 993, "tls": "implicit", "username": "u"});
        app.put(&format!("{}/accounts/{}", business.path, business.primary), &business.technician, "\"1\"", &account).await.expect(200);
        let second = ask(&etag).await;
        let etag = second.header("etag");
        assert_eq!(second.expect(200)["triangles"][0]["primary"]["host"], "new.example");
        let path = format!("{}/triangles/{}", business.path, business.triangle);
        let mut config = app.get(&path, &business.technician).await.expect(200);
        for name in ["id", "created_at", "tx_schedule_id", "mirror_schedule_id", "mirror"] {
            config.as_object_mut().unwrap().remove(name);
        }
        config["tx"]["cron"] = json!("0 19 * * *");
        app.put(&path, &business.technician, "\"1\"", &config).await.expect(200);
        let third = ask(&etag).await.expect(200);
        assert_eq!(third["triangles"][0]["tx"], json!({"schedule_id": business.tx, "cron": "0 19 * * *", "timezone": "Europe/Berlin"}));
        assert!(third["triangles"][0].get("mirror").is_none());
    }

    async fn signs_of_life_show_how_an_agent_is(app: TestApp) {
        let business = app.business("Blau").await;
        let agent = app.agent(&business).await;
        let path = format!("{}/agents/{}", business.path, agent.id);
        let state = async || app.get(&path, &business.technician).await.expect(200)["state"].as_str().unwrap().to_owned();
        assert_eq!(state().await, "offline");
        let beat = |skew: i64| json!({
            "version": "0.1.1", "platform": "linux-x86_64", "sent_at": app.now() + TimeDelta::seconds(skew),
            "spooled_runs": 2, "store_bytes": 5_000_000_000_u64, "free_disk_bytes": 7,
        });
        let answer = app.post("/agent/v1/heartbeat", &agent.token, &beat(0)).await.expect(200);
        assert_eq!(answer["server_time"], json!(app.now()));
        assert_eq!(answer["assignment_version"], 2);
        assert_eq!(state().await, "online");
        app.advance(TimeDelta::minutes(2));
        assert_eq!(state().await, "late");
        app.post("/agent/v1/heartbeat", &agent.token, &beat(-90)).await.expect(200);
        assert_eq!(state().await, "skewed");
        let told = app.get(&path, &business.technician).await.expect(200);
        assert_eq!(told["skew_ms"], -90_000);
        assert_eq!(told["store_bytes"], 5_000_000_000_u64);
        let mut wrong = beat(0);
        wrong["subject"] = json!("Re: offer");
        app.post("/agent/v1/heartbeat", &agent.token, &wrong).await.problem(422);
    }
}
