//! The way out: a real SMTP server hands the report to a real mailbox, which is read over IMAP.

use std::time::Duration;

use chrono::{SubsecRound, TimeDelta};
use mail_parser::MessageParser;
use maildreieck_server::mail::smtp::{Protection, Sender, Server};
use xtask::lab::Sink;

use crate::app::{Business, TestApp, both};

fn sender(port: u16) -> Sender {
    Sender::new(Server {
        host: "127.0.0.1".to_owned(),
        port,
        protection: Protection::None,
        credentials: None,
        from: "Maildreieck <reports@provider.example>".parse().unwrap(),
    })
    .unwrap()
}

/// A report that waits to be sent.
async fn reported(app: &TestApp) -> Business {
    let business = app.business("Blau").await;
    let due = "2026-11-24T17:00:00Z".parse().unwrap();
    app.clock.set(due);
    app.tick().await;
    let fresh = Business {
        technician: app.member(&business.tenant, "technician").await.1,
        ..business.clone()
    };
    let agent = app.agent(&fresh).await;
    let (id, report) = business.tx_report(due, &business.certificate(due));
    app.put_run(&agent, id, &report).await.expect(200);
    app.tick().await;
    business
}

async fn delivery(app: &TestApp, business: &Business) -> serde_json::Value {
    let owner = app.member(&business.tenant, "owner").await.1;
    let list = app
        .get(&format!("{}/daily-reports", business.path), &owner)
        .await
        .expect(200);
    let path = format!(
        "{}/daily-reports/{}",
        business.path,
        list["items"][0]["id"].as_str().unwrap()
    );
    app.get(&path, &owner).await.expect(200)["deliveries"][0].clone()
}

both! {
    async fn the_owner_finds_the_report_in_the_sink(app: TestApp) {
        let sink = Sink::start().unwrap();
        let business = reported(&app).await;
        let sender = sender(sink.smtp_port());
        app.tick_and_send(&sender).await;
        app.tick_and_send(&sender).await;
        let delivery = delivery(&app, &business).await;
        assert_eq!(delivery["state"], "sent");
        assert_eq!(delivery["attempts"], 1);
        let mails = tokio::task::spawn_blocking(move || {
            let mails = sink.wait_for("owner@blau.example", 1, Duration::from_secs(20));
            (mails, sink)
        }).await.unwrap().0.unwrap();
        assert_eq!(mails.len(), 1);
        let mail = MessageParser::default().parse(&mails[0]).unwrap();
        assert_eq!(mail.subject(), Some("Blau: Alle E-Mails liegen an allen drei Orten (24.11.2026)"));
        assert_eq!(format!("<{}>", mail.message_id().unwrap()), delivery["message_id"].as_str().unwrap());
        assert_eq!(mail.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        assert_eq!(mail.from().unwrap().first().unwrap().address(), Some("reports@provider.example"));
        assert!(mail.body_text(0).unwrap().contains("Hauptkonto (abc.example): 1.234 Nachrichten"));
        assert!(mail.body_html(0).unwrap().contains("<table"));
    }

    async fn a_mail_server_that_is_away_is_tried_again(app: TestApp) {
        let business = reported(&app).await;
        // A port on which nobody listens.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let sender = sender(port);
        for (attempts, wait) in [(1, 1), (2, 2), (3, 4)] {
            app.tick_and_send(&sender).await;
            app.tick_and_send(&sender).await;
            let delivery = delivery(&app, &business).await;
            assert_eq!((delivery["state"].as_str(), delivery["attempts"].as_u64()), (Some("pending"), Some(attempts)));
            app.advance(TimeDelta::minutes(wait));
        }
        assert_eq!(app.sql("SELECT last_error FROM outbox")[0][0], "unreachable");
    }
}

/// The whole way by the machine's clock: a Tx that falls due in a moment, its run, the owner's mail.
#[test]
fn the_programs_report_reaches_the_sink_within_seconds() {
    let sink = Sink::start().unwrap();
    TestApp::with_program(sink.smtp_port(), async |app| {
        let business = app.business("Blau").await;
        let agent = app.agent(&business).await;
        let due = (app.now() + TimeDelta::seconds(3)).trunc_subsecs(0);
        let path = format!("{}/triangles/{}", business.path, business.triangle);
        let mut config = app.get(&path, &business.technician).await.expect(200);
        for name in ["id", "created_at", "tx_schedule_id", "mirror_schedule_id"] {
            config.as_object_mut().unwrap().remove(name);
        }
        // No line of five fields is due in so short a time: it is one of yesterday, and its next due time is
        // set by hand.
        let yesterday = due - TimeDelta::days(1);
        config["tx"] = serde_json::json!({"cron": yesterday.format("%-M %-H %-d %-m *").to_string(), "timezone": "UTC"});
        app.put(&path, &business.technician, "\"1\"", &config)
            .await
            .expect(200);
        app.sql(&format!(
            "UPDATE schedules SET next_due_at = '{}' WHERE schedule_id = '{}'",
            due.format("%Y-%m-%d %H:%M:%S"),
            business.tx
        ));
        tokio::time::sleep(
            (due + TimeDelta::milliseconds(1_200) - app.now())
                .to_std()
                .unwrap(),
        )
        .await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        app.put_run(&agent, id, &report).await.expect(200);
        let waited = std::time::Instant::now();
        let mails = tokio::task::spawn_blocking(move || {
            let mails = sink.wait_for("owner@blau.example", 1, Duration::from_secs(20));
            (mails, sink)
        });
        assert_eq!(mails.await.unwrap().0.unwrap().len(), 1);
        println!("the mail came {:?} after the run", waited.elapsed());
        assert_eq!(delivery(&app, &business).await["state"], "sent");
    });
}
