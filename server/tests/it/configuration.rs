//! Tenants, sites, accounts, triangles: what is set, in which version, and which rules hold.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{Business, TestApp, both};

fn triangle(business: &Business, name: &str, primary: &str, standby: &str, prefix: &str) -> Value {
    json!({
        "name": name, "site_id": business.site, "primary_account_id": primary,
        "standby_account_id": standby, "standby_prefix": prefix,
        "tx": {"cron": "0 18 * * *", "timezone": "Europe/Berlin"},
    })
}

async fn account(app: &TestApp, business: &Business, name: &str) -> String {
    let body =
        json!({"name": name, "host": "h.example", "port": 143, "tls": "starttls", "username": "u"});
    let path = format!("{}/accounts", business.path);
    let made = app
        .post(&path, &business.technician, &body)
        .await
        .expect(201);
    made["id"].as_str().unwrap().to_owned()
}

both! {
    async fn what_is_made_is_read_back_and_changed_by_version(app: TestApp) {
        let business = app.business("Blau").await;
        for (path, change) in [
            (business.path.clone(), json!({"name": "Grün", "timezone": "UTC", "language": "en", "grace_min": 5})),
            (format!("{}/sites/{}", business.path, business.site), json!({"name": "Lager"})),
            (format!("{}/accounts/{}", business.path, business.primary), json!({"name": "n", "host": "::1", "port": 1, "tls": "none", "username": "ü"})),
            (format!("{}/triangles/{}", business.path, business.triangle), triangle(&business, "other", &business.primary, &business.standby, "abc")),
        ] {
            let read = app.get(&path, &business.technician).await;
            let etag = read.header("etag");
            assert_eq!(etag, "\"1\"");
            let before = read.expect(200);
            let changed = app.put(&path, &business.technician, &etag, &change).await;
            assert_eq!(changed.header("etag"), "\"2\"");
            let changed = changed.expect(200);
            assert_eq!(app.get(&path, &business.technician).await.expect(200), changed);
            assert_eq!(changed["id"], before["id"]);
            assert_eq!(changed["name"], change["name"]);
            // The version that was read is not the current one any more.
            app.put(&path, &business.technician, &etag, &change).await.problem(412);
            for nonsense in ["*", "2", "\"x\"", "W/\"2\"", "\"0\""] {
                app.put(&path, &business.technician, nonsense, &change).await.problem(412);
            }
            let without = app.send(Method::PUT, &path, Some(&business.technician), &[], Some(change.to_string())).await;
            without.problem(428);
        }
    }

    async fn an_account_takes_no_password(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/accounts", business.path);
        let body = json!({"name": "a", "host": "h", "port": 993, "tls": "implicit", "username": "u", "password": "geheim"});
        let said = app.post(&path, &business.technician, &body).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /password: unknown field `password`, expected one of `name`, `host`, `port`, `tls`, `username`.","errors":[{"pointer":"/password","rule":"unknown field `password`, expected one of `name`, `host`, `port`, `tls`, `username`"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        for (table, column) in crate::schema::columns(&app) {
            assert!(
                !column.contains("pass") || (table == "users" && column == "password_hash"),
                "{table}.{column}"
            );
        }
    }

    async fn a_primary_is_of_one_triangle(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/triangles", business.path);
        let third = account(&app, &business, "third").await;
        let check = async |primary: &str, standby: &str, prefix: &str, expected: &str| {
            let body = triangle(&business, "second", primary, standby, prefix);
            let said = app.post(&path, &business.technician, &body).await.problem(409);
            assert!(said.contains(expected), "{said}");
        };
        check(&business.primary, &third, "", "primary of another triangle").await;
        check(&business.standby, &third, "", "standby of another triangle").await;
        check(&third, &business.primary, "", "primary of another triangle").await;
        check(&third, &business.standby, "", "none lies in another").await;
        // The first has the empty prefix, which stands alone.
        check(&third, &business.standby, "abc", "none lies in another").await;
    }

    async fn a_standby_is_shared_under_disjoint_prefixes(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/triangles", business.path);
        let first = format!("{path}/{}", business.triangle);
        let body = triangle(&business, "info", &business.primary, &business.standby, "info");
        app.put(&first, &business.technician, "\"1\"", &body).await.expect(200);
        let second = account(&app, &business, "second").await;
        let third = account(&app, &business, "third").await;
        let body = triangle(&business, "office", &second, &business.standby, "office");
        let made = app.post(&path, &business.technician, &body).await.expect(201);
        for prefix in ["", "office", "OFFICE", "office/x", "info/y"] {
            let body = triangle(&business, "third", &third, &business.standby, prefix);
            app.post(&path, &business.technician, &body).await.problem(409);
        }
        // One name at one site, one site for one standby.
        let body = triangle(&business, "office", &third, &business.standby, "third");
        app.post(&path, &business.technician, &body).await.problem(409);
        let elsewhere = app.post(&format!("{}/sites", business.path), &business.technician, &json!({"name": "x"})).await.expect(201);
        let mut body = triangle(&business, "third", &third, &business.standby, "third");
        body["site_id"] = elsewhere["id"].clone();
        app.post(&path, &business.technician, &body).await.problem(409);
        // Changing one so that it collides is refused too; itself it does not collide with.
        let second_path = format!("{path}/{}", made["id"].as_str().unwrap());
        let body = triangle(&business, "office", &second, &business.standby, "info/z");
        app.put(&second_path, &business.technician, "\"1\"", &body).await.problem(409);
        let body = triangle(&business, "office", &second, &business.standby, "office");
        app.put(&second_path, &business.technician, "\"1\"", &body).await.expect(200);
    }

    async fn two_triangles_at_once_cannot_pass_each_other(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/triangles", business.path);
        let primaries = [account(&app, &business, "p1").await, account(&app, &business, "p2").await];
        let standby = account(&app, &business, "s").await;
        let [one, two] = primaries.each_ref().map(|primary| triangle(&business, primary, primary, &standby, ""));
        let (one, two) = tokio::join!(
            app.post(&path, &business.technician, &one),
            app.post(&path, &business.technician, &two),
        );
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }

    async fn what_cannot_be_names_its_fields(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/triangles", business.path);
        let second = account(&app, &business, "second").await;
        let mut body = triangle(&business, "t", &second, &second, "");
        body["tx"] = json!({"cron": "99 * * * *", "timezone": "Mond/Krater"});
        body["mirror"] = json!({"cron": "0 0 31 2 *", "timezone": "UTC"});
        let said = app.post(&path, &business.technician, &body).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in 4 fields, first in /tx/cron: a cron line of exactly five fields (minute, hour, day of month, month, day of week), like `0 18 * * mon-fri`; here: Component error: Number out of bounds.","errors":[{"pointer":"/tx/cron","rule":"a cron line of exactly five fields (minute, hour, day of month, month, day of week), like `0 18 * * mon-fri`; here: Component error: Number out of bounds."},{"pointer":"/tx/timezone","rule":"an IANA time zone like Europe/Berlin"},{"pointer":"/mirror/cron","rule":"a cron line that is due at some time"},{"pointer":"/standby_account_id","rule":"another account than the primary"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        let neighbour = app.business("Rot").await;
        let check = async |body: &Value, pointer: &str| {
            let said = app.post(&path, &business.technician, body).await;
            said.problem(422);
            assert_eq!(said.json()["errors"][0]["pointer"], pointer, "{}", said.text);
        };
        let mut body = triangle(&business, "t", &neighbour.primary, &business.standby, "x");
        check(&body, "/primary_account_id").await;
        body = triangle(&business, "t", &second, &neighbour.standby, "x");
        check(&body, "/standby_account_id").await;
        body["site_id"] = json!(neighbour.site);
        check(&body, "/site_id").await;
        body["exclude_folders"] = json!(["a\nb"]);
        check(&body, "/exclude_folders/0").await;
        body["grace_min"] = json!(0);
        body["exclude_folders"] = json!([]);
        check(&body, "/grace_min").await;
    }

    async fn a_sixth_field_is_refused_and_defaults_are_filled_in(app: TestApp) {
        let business = app.business("Blau").await;
        let primary = account(&app, &business, "p").await;
        let standby = account(&app, &business, "s").await;
        let mut body = json!({
            "name": "t", "site_id": business.site, "primary_account_id": primary, "standby_account_id": standby,
            "tx": {"cron": "15 30 18 24 11 *", "timezone": "UTC"},
        });
        let said = app.post(&format!("{}/triangles", business.path), &business.technician, &body).await.problem(422);
        assert!(said.contains("/tx/cron") && said.contains("exactly five fields") && said.contains("this one has 6"), "{said}");
        body["tx"]["cron"] = json!("30 18 24 11 *");
        let made = app.post(&format!("{}/triangles", business.path), &business.technician, &body).await.expect(201);
        assert_eq!(made["exclude_folders"], json!(["Junk", "Trash", "Drafts"]));
        assert_eq!(made["standby_prefix"], "");
        assert!(made.get("mirror").is_none() && made.get("mirror_schedule_id").is_none());
    }

    async fn without_tls_there_is_this_machine_alone(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/accounts", business.path);
        let account = |host: &str, tls: &str| json!({"name": "n", "host": host, "port": 143, "tls": tls, "username": "u"});
        for host in ["imap.abc.example", "192.0.2.1", "::", "localhost.example", "127.0.0.1.example"] {
            let said = app.post(&path, &business.technician, &account(host, "none")).await.problem(422);
            assert!(said.contains(r#""pointer":"/tls""#), "{said}");
        }
        for host in ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST", "mail.localhost"] {
            app.post(&path, &business.technician, &account(host, "none")).await.expect(201);
        }
        let path = format!("{path}/{}", business.primary);
        app.put(&path, &business.technician, "\"1\"", &account("imap.abc.example", "none")).await.problem(422);
        app.put(&path, &business.technician, "\"1\"", &account("imap.abc.example", "starttls")).await.expect(200);
    }
}
