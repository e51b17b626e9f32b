//! Lists: newest first, page by page, the cursor bound to its list and filters.

use serde_json::json;

use crate::app::both;

both! {
    async fn pages_join_to_the_whole_list(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/sites", business.path);
        let mut made = vec![business.site.clone()];
        for number in 0..6 {
            let site = app.post(&path, &business.technician, &json!({"name": format!("s{number}")})).await.expect(201);
            made.push(site["id"].as_str().unwrap().to_owned());
        }
        made.reverse();
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = app.get(&format!("{path}?limit=3{cursor}"), &business.technician).await.expect(200);
            seen.extend(page["items"].as_array().unwrap().iter().map(|site| site["id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, made);
        let exact = app.get(&format!("{path}?limit=7"), &business.technician).await.expect(200);
        assert!(exact.get("next_cursor").is_none());
    }

    async fn a_cursor_is_of_its_list_tenant_and_filters(app: TestApp) {
        let business = app.business("Blau").await;
        let neighbour = app.business("Rot").await;
        for one in [&business, &neighbour] {
            app.post(&format!("{}/sites", one.path), &one.technician, &json!({"name": "x"})).await.expect(201);
        }
        let first = app.get(&format!("{}/sites?limit=1", business.path), &business.admin).await.expect(200);
        let cursor = first["next_cursor"].as_str().unwrap();
        app.get(&format!("{}/sites?cursor={cursor}", business.path), &business.admin).await.expect(200);
        for path in [
            format!("{}/accounts?cursor={cursor}", business.path),
            format!("{}/sites?cursor={cursor}", neighbour.path),
            format!("{}/runs?cursor={cursor}", business.path),
            format!("{}/sites?cursor={}", business.path, cursor.to_lowercase()),
            format!("{}/sites?cursor=", business.path),
            format!("{}/sites?cursor={}", business.path, "A".repeat(5_000)),
        ] {
            let said = app.get(&path, &business.admin).await.problem(400);
            assert!(said.contains("?cursor"), "{said}");
        }
    }

    async fn limits_are_validated(app: TestApp) {
        let admin = app.admin().await;
        for limit in ["0", "201", "-1", "x", "1e2", "", "99999999999999999999"] {
            let said = app.get(&format!("/api/v1/users?limit={limit}"), &admin).await.problem(400);
            assert!(said.contains("?limit"), "{said}");
        }
        let said = app.get("/api/v1/users?limit=0", &admin).await.problem(400);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The query says what cannot be.","errors":[{"pointer":"?limit","rule":"a number from 1 to 200"}],"status":400,"title":"The request cannot be read","type":"/problems/malformed"}"#);
        }
        let said = app.get("/api/v1/users?offset=3", &admin).await.problem(400);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The query says what cannot be.","errors":[{"pointer":"?offset","rule":"unknown field `offset`, expected `limit` or `cursor`"}],"status":400,"title":"The request cannot be read","type":"/problems/malformed"}"#);
        }
        app.get("/api/v1/users?limit=1&limit=2", &admin).await.problem(400);
        app.get("/api/v1/users?limit=200", &admin).await.expect(200);
    }
}
