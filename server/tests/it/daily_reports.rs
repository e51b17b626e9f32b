//! The owner's daily report: when it is written, what it says, and that silence is red.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::certificate::{
    Certificate, CornerFigures, DifferenceCount, FolderFigures, FolderRef, RepairCount,
};
use maildreieck_api_spec::vocabulary::{Class, Corner, Reason, Verdict};
use serde_json::{Value, json};

use crate::app::{Business, TestApp, both};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The tenant's reports, oldest first, whole.
async fn reports(app: &TestApp, business: &Business) -> Vec<Value> {
    let owner = app.member(&business.tenant, "owner").await.1;
    let list = app
        .get(&format!("{}/daily-reports", business.path), &owner)
        .await
        .expect(200);
    let mut all = Vec::new();
    for summary in list["items"].as_array().unwrap().iter().rev() {
        let path = format!(
            "{}/daily-reports/{}",
            business.path,
            summary["id"].as_str().unwrap()
        );
        all.push(app.get(&path, &owner).await.expect(200));
    }
    all
}

async fn deliver(
    app: &TestApp,
    business: &Business,
    due: DateTime<Utc>,
    change: impl FnOnce(&mut Certificate),
) {
    let fresh = Business {
        technician: app.member(&business.tenant, "technician").await.1,
        ..business.clone()
    };
    let agent = app.agent(&fresh).await;
    let mut proof = business.certificate(due);
    change(&mut proof);
    crate::app::differ(&mut proof);
    proof.verdict = proof.verdict_of_figures();
    let (id, report) = business.tx_report(due, &proof);
    app.put_run(&agent, id, &report).await.expect(200);
}

both! {
    async fn a_balanced_day_is_reported_at_once(app: TestApp) {
        let business = app.business("Blau").await;
        let due = at("2026-11-24T17:00:00Z");
        app.tick().await;
        app.clock.set(due + TimeDelta::seconds(1));
        app.tick().await;
        assert_eq!(reports(&app, &business).await, [json!(null); 0]);
        app.advance(TimeDelta::seconds(40));
        deliver(&app, &business, due, |_| {}).await;
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all.len(), 1);
        assert_eq!(all[0]["verdict"], "balanced");
        assert_eq!(all[0]["local_day"], "2026-11-24");
        assert_eq!(all[0]["deliveries"][0]["state"], "pending");
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["subject"].as_str().unwrap(), @"Blau: Alle E-Mails liegen an allen drei Orten (24.11.2026)");
        }
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["text"].as_str().unwrap(), @r#"
            Blau: E-Mail-Bericht vom 24.11.2026

            Alle E-Mails liegen an allen drei Orten: Hauptkonto, Zweitkonto und Archiv vor Ort stimmen überein.
            Sie brauchen nichts zu tun.

            == info ==

            Prüfung, fällig um 18:00 Uhr: stimmt überein
              Hauptkonto (abc.example): 1.234 Nachrichten, 56,8 MB (56.789.012 Bytes)
              Zweitkonto (abc-a.example): 1.234 Nachrichten, 56,8 MB (56.789.012 Bytes)
              Archiv vor Ort: 1.234 Nachrichten, 56,8 MB (56.789.012 Bytes)

            Der Inhalt jeder Nachricht wurde zuletzt am 26.10.2026 oder später zurückgelesen und verglichen.

            -- 
            Geschrieben von Maildreieck. Die Uhrzeiten gelten für Europe/Berlin. Sie erhalten diesen Bericht jeden Tag, auch wenn alles in Ordnung ist: Bleibt er aus, stimmt etwas nicht.
            "#);
        }
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["html"].as_str().unwrap(), @r#"
            <!DOCTYPE html>
            <html lang="de">
            <head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Blau: E-Mail-Bericht vom 24.11.2026</title></head>
            <body style="margin:0;padding:0;background:#ffffff;color:#1f2937;font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:1.5">
            <table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:16px">
            <table role="presentation" width="640" cellpadding="0" cellspacing="0" style="max-width:640px;width:100%">
            <tr><td><h1 style="font-size:20px;margin:0 0 12px">Blau: E-Mail-Bericht vom 24.11.2026</h1></td></tr>
            <tr><td style="background:#e3f4e6;color:#14532d;padding:14px 16px;border-left:6px solid #14532d"><strong>Alle E-Mails liegen an allen drei Orten: Hauptkonto, Zweitkonto und Archiv vor Ort stimmen überein.</strong><br>Sie brauchen nichts zu tun.</td></tr>
            <tr><td style="padding-top:20px"><h2 style="font-size:17px;margin:0 0 6px">info</h2>
            <p style="margin:8px 0 6px">Prüfung, fällig um 18:00 Uhr: <strong style="background:#e3f4e6;color:#14532d;padding:2px 6px">stimmt überein</strong></p>
            <table width="100%" cellpadding="6" cellspacing="0" style="border-collapse:collapse;border:1px solid #d1d5db">
            <tr style="background:#f3f4f6"><th align="left" style="border:1px solid #d1d5db">Ort</th><th align="right" style="border:1px solid #d1d5db">Nachrichten</th><th align="right" style="border:1px solid #d1d5db">Umfang</th></tr>
            <tr><td style="border:1px solid #d1d5db">Hauptkonto (abc.example)</td><td align="right" style="border:1px solid #d1d5db">1.234</td><td align="right" style="border:1px solid #d1d5db">56,8 MB (56.789.012 Bytes)</td></tr>
            <tr><td style="border:1px solid #d1d5db">Zweitkonto (abc-a.example)</td><td align="right" style="border:1px solid #d1d5db">1.234</td><td align="right" style="border:1px solid #d1d5db">56,8 MB (56.789.012 Bytes)</td></tr>
            <tr><td style="border:1px solid #d1d5db">Archiv vor Ort</td><td align="right" style="border:1px solid #d1d5db">1.234</td><td align="right" style="border:1px solid #d1d5db">56,8 MB (56.789.012 Bytes)</td></tr>
            </table>
            <p style="margin:6px 0 0">Der Inhalt jeder Nachricht wurde zuletzt am 26.10.2026 oder später zurückgelesen und verglichen.</p>
            </td></tr>
            <tr><td style="padding-top:24px;color:#6b7280;font-size:13px">Geschrieben von Maildreieck. Die Uhrzeiten gelten für Europe/Berlin. Sie erhalten diesen Bericht jeden Tag, auch wenn alles in Ordnung ist: Bleibt er aus, stimmt etwas nicht.</td></tr>
            </table>
            </td></tr></table>
            </body>
            </html>
            "#);
        }
        // Once, however often it is looked at.
        app.tick().await;
        app.advance(TimeDelta::hours(1));
        app.tick().await;
        assert_eq!(reports(&app, &business).await.len(), 1);
    }

    async fn differences_and_repairs_are_named_in_words(app: TestApp) {
        let business = app.business_in("Blue", "en", "Europe/London").await;
        let due = at("2026-11-24T18:00:00Z");
        app.clock.set(due + TimeDelta::seconds(30));
        app.tick().await;
        deliver(&app, &business, due, |proof| {
            let folder = |name: &str| FolderRef(name.to_owned());
            let found = |class, corner, name, reason, count| DifferenceCount { class, corner, against: None, folder: folder(name), reason, count };
            proof.differences = vec![
                found(Class::MissingInStore, Corner::Store, "inbox", None, 2),
                found(Class::MissingInStore, Corner::Store, "sent", None, 1),
                found(Class::Late, Corner::Standby, "inbox", Some(Reason::ByClass), 1),
            ];
            proof.repairs = vec![RepairCount { class: Class::MissingAtStandby, corner: Corner::Standby, folder: folder("inbox"), at: due, count: 7 }];
            let figures = |messages, bytes, hash: &str| Some(CornerFigures { messages, bytes, set_hash: hash.repeat(32) });
            let bytes = proof.corners.primary.bytes;
            let (all, most) = (figures(1_233, bytes, "ab"), figures(1_231, bytes, "cd"));
            proof.folders = vec![
                FolderFigures { folder: folder("inbox"), primary: all.clone(), standby: all, store: most.clone(), medium: None },
                FolderFigures { folder: folder("sent"), primary: figures(1, 0, "ef"), standby: figures(1, 0, "ef"), store: None, medium: None },
            ];
            proof.corners.store = most.unwrap();
            proof.coverage[2].content_verified = proof.corners.store.messages;
            proof.new_tombstones = 12;
        }).await;
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all[0]["verdict"], "unbalanced");
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["subject"].as_str().unwrap(), @"Blue: ATTENTION, the three copies of your mail differ (24 November 2026)");
        }
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["text"].as_str().unwrap(), @r#"
            Blue: mail report of 24 November 2026

            The three copies of your mail are not equal, and nothing explains the difference.
            What is missing on the second account is put back by itself. Please have your technician look at everything else that is listed below as unexplained.

            == info ==

            Check due at 18:00: not equal
              Main account (abc.example): 1,234 messages, 56.8 MB (56,789,012 bytes)
              Second account (abc-a.example): 1,234 messages, 56.8 MB (56,789,012 bytes)
              Archive on site: 1,231 messages, 56.8 MB (56,789,012 bytes)

            Differences between the places:
              3 x Missing in the archive [Archive on site]: unexplained
              1 x Came after the moment of the check [Second account]: explained

            Repaired since the check before:
              7 x Missing on the second account [Second account]: repaired

            12 messages were deleted on the main account since the check before; the copies are kept.
            The content of every message was last read back and compared on 26 October 2026 or later.

            -- 
            Written by Maildreieck. Times are those of Europe/London. You get this report every day, also when all is well: if it stays away, something is wrong.
            "#);
        }
    }

    async fn silence_is_red(app: TestApp) {
        let business = app.business("Blau").await;
        let due = at("2026-11-24T17:00:00Z");
        app.clock.set(due);
        app.tick().await;
        app.clock.set(due + TimeDelta::minutes(29));
        app.tick().await;
        assert!(reports(&app, &business).await.is_empty());
        app.clock.set(due + TimeDelta::minutes(30));
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all[0]["verdict"], "missing");
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["subject"].as_str().unwrap(), @"Blau: ACHTUNG, die Prüfung Ihrer E-Mails ist ausgeblieben (24.11.2026)");
        }
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["text"].as_str().unwrap(), @r#"
            Blau: E-Mail-Bericht vom 24.11.2026

            Eine heute fällige Prüfung Ihrer E-Mails ist nicht eingetroffen.
            Bitte sorgen Sie dafür, dass der Rechner mit dem Mail-Agenten eingeschaltet und mit dem Internet verbunden ist, und sagen Sie Ihrem Techniker Bescheid.

            == info ==

            Prüfung, fällig um 18:00 Uhr: nicht eingetroffen. Der Agent vor Ort hat kein rechtzeitiges Ergebnis gesendet.

            -- 
            Geschrieben von Maildreieck. Die Uhrzeiten gelten für Europe/Berlin. Sie erhalten diesen Bericht jeden Tag, auch wenn alles in Ordnung ist: Bleibt er aus, stimmt etwas nicht.
            "#);
        }
    }

    async fn a_late_result_corrects_the_next_report(app: TestApp) {
        let business = app.business("Blau").await;
        let due = at("2026-11-24T17:00:00Z");
        app.clock.set(due);
        app.tick().await;
        app.clock.set(due + TimeDelta::hours(2));
        app.tick().await;
        deliver(&app, &business, due, |_| {}).await;
        app.tick().await;
        assert_eq!(reports(&app, &business).await.len(), 1);
        let next = due + TimeDelta::days(1);
        app.clock.set(next);
        app.tick().await;
        deliver(&app, &business, next, |_| {}).await;
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all.len(), 2);
        let text = all[1]["text"].as_str().unwrap();
        assert!(text.contains("info, Prüfung fällig am 24.11.2026, 18:00 Uhr: stimmt überein (zuvor berichtet: nicht eingetroffen)"), "{text}");
        // And only the next.
        let third = due + TimeDelta::days(2);
        app.clock.set(third);
        app.tick().await;
        app.advance(TimeDelta::minutes(31));
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all.len(), 3);
        assert!(!all[2]["text"].as_str().unwrap().contains("zuvor berichtet"));
    }

    async fn a_chain_that_is_broken_is_told(app: TestApp) {
        let business = app.business("Blau").await;
        let due = at("2026-11-24T17:00:00Z");
        let unknown = Some("cd".repeat(32));
        let breaks = [
            (1, None, None),
            (1, None, Some("beginnt mit dieser Prüfung von vorn")),
            (7, unknown, Some("fehlt der vorige")),
        ];
        for (day, (sequence, previous, told)) in (0..).zip(breaks) {
            let due = due + TimeDelta::days(day);
            app.clock.set(due + TimeDelta::seconds(50));
            app.tick().await;
            deliver(&app, &business, due, |proof| (proof.sequence, proof.previous) = (sequence, previous)).await;
            app.tick().await;
            let all = reports(&app, &business).await;
            let text = all.last().unwrap()["text"].as_str().unwrap();
            assert_eq!(text.contains("Kette der Nachweise"), told.is_some(), "{text}");
            assert!(text.contains(told.unwrap_or_default()), "{text}");
        }
    }

    async fn the_worst_triangle_gives_the_verdict_when_all_have_settled(app: TestApp) {
        let business = app.business("Blau").await;
        let account = async |name: &str| {
            let body = json!({"name": name, "host": "h", "port": 993, "tls": "implicit", "username": "u"});
            app.post(&format!("{}/accounts", business.path), &business.technician, &body).await.expect(201)["id"].clone()
        };
        let second = json!({
            "name": "office", "site_id": business.site, "primary_account_id": account("p").await, "standby_account_id": account("s").await,
            "tx": {"cron": "0 20 * * *", "timezone": "Europe/Berlin"}, "grace_min": 5,
        });
        let made = app.post(&format!("{}/triangles", business.path), &business.technician, &second).await.expect(201);
        let second = Business {
            triangle: made["id"].as_str().unwrap().to_owned(),
            tx: made["tx_schedule_id"].as_str().unwrap().parse().unwrap(),
            ..business.clone()
        };
        let due = at("2026-11-24T17:00:00Z");
        app.clock.set(due);
        app.tick().await;
        deliver(&app, &business, due, |_| {}).await;
        app.tick().await;
        assert!(reports(&app, &business).await.is_empty(), "the other triangle is due at eight");
        let due = at("2026-11-24T19:00:00Z");
        app.clock.set(due + TimeDelta::minutes(1));
        app.tick().await;
        deliver(&app, &second, due, |proof| proof.coverage[1].whole = false).await;
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all[0]["verdict"], "unproven");
        assert_eq!(all[0]["text"].as_str().unwrap().matches("== ").count(), 2);
    }

    async fn a_day_without_tx_says_so(app: TestApp) {
        let business = app.business("Blau").await;
        let path = format!("{}/triangles/{}", business.path, business.triangle);
        let mut config = app.get(&path, &business.technician).await.expect(200);
        for name in ["id", "created_at", "tx_schedule_id", "mirror_schedule_id"] {
            config.as_object_mut().unwrap().remove(name);
        }
        config["tx"]["cron"] = json!("0 18 * * thu");
        app.put(&path, &business.technician, "\"1\"", &config).await.expect(200);
        app.tick().await;
        app.clock.set(at("2026-11-24T22:59:59Z"));
        app.tick().await;
        assert!(reports(&app, &business).await.is_empty());
        app.clock.set(at("2026-11-24T23:00:00Z"));
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all[0]["verdict"], "no_tx");
        insta::allow_duplicates! {
            insta::assert_snapshot!(all[0]["text"].as_str().unwrap(), @r#"
            Blau: E-Mail-Bericht vom 24.11.2026

            Heute war keine Prüfung Ihrer E-Mails fällig.
            Sie brauchen nichts zu tun.

            == info ==
            Heute war keine Prüfung fällig.

            -- 
            Geschrieben von Maildreieck. Die Uhrzeiten gelten für Europe/Berlin. Sie erhalten diesen Bericht jeden Tag, auch wenn alles in Ordnung ist: Bleibt er aus, stimmt etwas nicht.
            "#);
        }
    }

    async fn a_failed_tx_says_what_failed(app: TestApp) {
        let business = app.business("Blau").await;
        let due = at("2026-11-24T17:00:00Z");
        app.clock.set(due);
        app.tick().await;
        let fresh = Business { technician: app.member(&business.tenant, "technician").await.1, ..business.clone() };
        let agent = app.agent(&fresh).await;
        let (id, mut report) = business.tx_report(due, &business.certificate(due));
        report.as_object_mut().unwrap().remove("certificate");
        report["outcome"] = json!("failed");
        report["failure"] = json!({"code": "credentials_refused", "corner": "standby", "temporary": false});
        app.put_run(&agent, id, &report).await.expect(200);
        app.tick().await;
        let all = reports(&app, &business).await;
        assert_eq!(all[0]["verdict"], "unproven");
        let text = all[0]["text"].as_str().unwrap();
        assert!(text.contains("fehlgeschlagen. Benutzername oder Passwort wurde abgelehnt. Ort: Zweitkonto."), "{text}");
    }

    async fn a_server_that_was_away_gives_agents_their_time(app: TestApp) {
        let business = app.business("Blau").await;
        // Nobody ticked for two days.
        app.clock.set(at("2026-11-26T12:00:00Z"));
        app.tick().await;
        assert!(reports(&app, &business).await.is_empty());
        deliver(&app, &business, at("2026-11-25T17:00:00Z"), |_| {}).await;
        app.advance(TimeDelta::minutes(31));
        for _ in 0..3 {
            app.tick().await;
        }
        let verdicts: Vec<_> = reports(&app, &business).await.iter().map(|report| report["verdict"].clone()).collect();
        assert_eq!(verdicts, ["missing", "balanced"]);
    }

    async fn a_business_without_triangles_gets_none(app: TestApp) {
        let admin = app.admin().await;
        let body = json!({"name": "Leer", "timezone": "Europe/Berlin", "language": "de", "report_to": ["a@b.example"]});
        let tenant = app.post("/api/v1/tenants", &admin, &body).await.expect(201);
        app.advance(TimeDelta::days(3));
        app.tick().await;
        let admin = app.admin().await;
        let path = format!("/api/v1/tenants/{}/daily-reports", tenant["id"].as_str().unwrap());
        assert_eq!(app.get(&path, &admin).await.expect(200)["items"], json!([]));
    }

    async fn names_are_text_in_the_report(app: TestApp) {
        let business = app.business("<script>alert('x')</script>").await;
        let due = at("2026-11-24T17:00:00Z");
        app.clock.set(due);
        app.tick().await;
        deliver(&app, &business, due, |_| {}).await;
        app.tick().await;
        let all = reports(&app, &business).await;
        let html = all[0]["html"].as_str().unwrap();
        assert!(!html.contains("<script") && html.contains("&#60;script&#62;"), "{html}");
        assert!(!html.contains("http://") && !html.contains("https://"));
        assert!(Verdict::Balanced.as_str() == all[0]["verdict"]);
    }
}
