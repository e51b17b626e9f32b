//! Requests that nobody should send: each gets a problem, and changes nothing.

use reqwest::Method;
use serde_json::json;

use crate::app::both;

both! {
    async fn the_frameworks_own_errors_are_problems(app: TestApp) {
        let admin = app.admin().await;
        let get = async |path: &str| app.get(path, &admin).await;
        let said = get("/nowhere").await.problem(404);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is nothing here.","status":404,"title":"Not found","type":"/problems/not-found"}"#);
        }
        let said = get("/api/v1/tenants/not-an-id").await.problem(404);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is no such tenant.","status":404,"title":"Not found","type":"/problems/not-found"}"#);
        }
        let said = get("/api/v1/users/%00").await.problem(404);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is no such person.","status":404,"title":"Not found","type":"/problems/not-found"}"#);
        }
        let said = get("/api/v1/tenants/../../etc/passwd").await.problem(404);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is nothing here.","status":404,"title":"Not found","type":"/problems/not-found"}"#);
        }
        for (method, path) in [(Method::DELETE, "/api/v1/users"), (Method::PATCH, "/healthz"), (Method::GET, "/agent/v1/token")] {
            let answer = app.send(method, path, Some(&admin), &[], None).await;
            assert!(!answer.header("allow").is_empty());
            answer.problem(405);
        }
        let said = get("/docs/nowhere").await.problem(404);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is nothing here.","status":404,"title":"Not found","type":"/problems/not-found"}"#);
        }
    }

    async fn head_is_get_without_its_body(app: TestApp) {
        let admin = app.admin().await;
        let send = async |method, path: &str, token| app.send(method, path, Some(token), &[], None).await;
        for path in ["/healthz", "/openapi.json", "/api/v1/tenants", "/docs/"] {
            let (got, head) = (send(Method::GET, path, &admin).await, send(Method::HEAD, path, &admin).await);
            assert_eq!((head.status, head.text.as_str()), (got.status, ""), "{path}");
            assert_eq!(head.header("content-type"), got.header("content-type"), "{path}");
            assert!(got.status == 200 && !got.text.is_empty(), "{path}");
        }
        assert_eq!(send(Method::HEAD, "/api/v1/tenants", "x").await.status, 401);
        assert_eq!(send(Method::HEAD, "/nowhere", &admin).await.status, 404);
        let answer = send(Method::DELETE, "/api/v1/users", &admin).await;
        assert_eq!(answer.header("allow"), "GET, HEAD, POST");
    }

    async fn bodies_that_are_none(app: TestApp) {
        let admin = app.admin().await;
        let send = async |kind: &str, body: &str| {
            let headers = [("content-type", kind)];
            app.send(Method::POST, "/api/v1/tenants", Some(&admin), &headers, Some(body.to_owned())).await
        };
        let json = "application/json";
        let said = send(json, "").await.problem(400);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The body is no JSON, from line 1 column 0 on.","status":400,"title":"The request cannot be read","type":"/problems/malformed"}"#);
        }
        let said = send(json, "{\"name\": \"Bl").await.problem(400);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The body is no JSON, from line 1 column 12 on.","status":400,"title":"The request cannot be read","type":"/problems/malformed"}"#);
        }
        let said = send(json, "[]").await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in the body: a JSON object.","errors":[{"pointer":"","rule":"a JSON object"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        let said = send(json, "{\"name\": 3}").await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /name: invalid type: integer `3`, expected a string.","errors":[{"pointer":"/name","rule":"invalid type: integer `3`, expected a string"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        let said = send(json, "{\"name\": \"B\", \"timezone\": \"UTC\"}").await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /language: missing field `language`.","errors":[{"pointer":"/language","rule":"missing field `language`"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        let said = send(json, "{\"name\": \"B\", \"timezone\": \"UTC\", \"language\": \"fr\"}").await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /language: unknown variant `fr`, expected `de` or `en`.","errors":[{"pointer":"/language","rule":"unknown variant `fr`, expected `de` or `en`"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        let said = send(json, "{\"name\": \"B\", \"timezone\": \"Mars\", \"language\": \"de\"}").await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /timezone: an IANA time zone like Europe/Berlin.","errors":[{"pointer":"/timezone","rule":"an IANA time zone like Europe/Berlin"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        let said = send(json, "{\"name\":\"B\",\"timezone\":\"UTC\",\"language\":\"de\"} x").await.problem(400);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"There is something behind the JSON.","status":400,"title":"The request cannot be read","type":"/problems/malformed"}"#);
        }
        let said = send("text/plain", "{}").await.problem(415);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The body must be `application/json`.","status":415,"title":"The request is not JSON","type":"/problems/unsupported-media-type"}"#);
        }
        let deep = format!("{{\"report_to\":{}", "[".repeat(100_000));
        send(json, &deep).await.problem(413);
        let nested = send(json, &deep[..60_000]).await.status;
        assert!(nested == 400 || nested == 422, "{nested}");
        send(json, r#"["B","UTC","de",[],30]"#).await.problem(422);
        let bytes = "{\"name\":\"\u{0}\",\"timezone\":\"UTC\",\"language\":\"de\"}";
        send(json, bytes).await.problem(400);
        for name in ["\\u0000", "\\n", " ", "", &"x".repeat(101), "\\ud800"] {
            let body = format!("{{\"name\":\"{name}\",\"timezone\":\"UTC\",\"language\":\"de\"}}");
            let status = send(json, &body).await.status.as_u16();
            assert!(status == 422 || status == 400, "{name:?}: {status}");
        }
        let header = json!({"name": "B", "timezone": "UTC", "language": "de", "report_to": ["a@b.example\r\nBcc: c@d.example"]});
        send(json, &header.to_string()).await.problem(422);
        let many = json!({"name": "B", "timezone": "UTC", "language": "de", "report_to": vec!["a@b.example"; 21]});
        send(json, &many.to_string()).await.problem(422);
        let tenants = app.get("/api/v1/tenants", &admin).await.expect(200);
        assert_eq!(tenants["items"], json!([]));
    }

    async fn hostile_text_is_only_text(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites", business.path);
        for name in ["'; DROP TABLE sites; --", "<script>alert(1)</script>", "{{7*7}}", "../../x", "\u{202e}txt.exe", "😀".repeat(100).as_str()] {
            let made = app.post(&path, &business.technician, &json!({"name": name})).await.expect(201);
            let read = app.get(&format!("{path}/{}", made["id"].as_str().unwrap()), &business.technician).await.expect(200);
            assert_eq!(read["name"], name);
        }
    }

    async fn who_asks_is_settled_before_what_is_sent(app: TestApp) {
        let business = app.business("Blau").await;
        let (_, stranger) = app.person("s@x.example", false).await;
        let path = format!("{}/sites", business.path);
        for body in ["", "{", "[]", &"x".repeat(100_000)] {
            let send = |token: Option<&str>| {
                let (token, body) = (token.map(ToOwned::to_owned), body.to_owned());
                let (app, path) = (&app, &path);
                async move { app.send(Method::POST, path, token.as_deref(), &[], Some(body)).await }
            };
            send(None).await.problem(401);
            send(Some(&stranger)).await.problem(404);
        }
    }
}
