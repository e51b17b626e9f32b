//! Two instances on one database: what is due is claimed once, and one that dies loses nothing.

use chrono::TimeDelta;
use maildreieck_server::context::Ctx;
use maildreieck_server::jobs;
use maildreieck_server::service::outbox;
use serde_json::json;

use crate::app::both;

both! {
    async fn both_tick_and_nothing_is_double(app: TestApp) {
        let businesses = [app.business("Blau").await, app.business("Rot").await, app.business("Gelb").await];
        let other = app.second();
        // Each day is due, missing, reported.
        for day in 0..3 {
            app.clock.set("2026-11-24T17:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap() + TimeDelta::days(day));
            for minutes in [0, 30, 30] {
                app.advance(TimeDelta::minutes(minutes));
                let (one, two) = tokio::join!(jobs::tick(&app.app, None), jobs::tick(&other, None));
                one.unwrap();
                two.unwrap();
            }
        }
        assert_eq!(app.sql("SELECT count(*) FROM due")[0][0], "9");
        assert_eq!(app.sql("SELECT count(*) FROM daily_reports")[0][0], "9");
        assert_eq!(app.sql("SELECT count(*) FROM outbox")[0][0], "9");
        assert_eq!(app.sql("SELECT count(DISTINCT message_id) FROM outbox")[0][0], "9");
        assert_eq!(businesses.len(), 3);
    }

    async fn a_claim_that_was_never_noted_runs_out(app: TestApp) {
        let business = app.business("Blau").await;
        app.clock.set("2026-11-24T17:00:00Z".parse().unwrap());
        app.tick().await;
        app.advance(TimeDelta::minutes(30));
        app.tick().await;
        let other = app.second();
        let ctx = || Ctx::system("test", app.now());
        let claimed = outbox::claim(&app.app, &ctx()).await.unwrap();
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].tenant.to_string(), business.tenant);
        // This instance dies here. The other one waits, then sends the same mail.
        assert!(outbox::claim(&other, &ctx()).await.unwrap().is_empty());
        app.advance(TimeDelta::minutes(5));
        let again = outbox::claim(&other, &ctx()).await.unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].letter.message_id, claimed[0].letter.message_id);
        assert_eq!(again[0].letter.attempts, 2);
    }

    async fn a_token_of_one_holds_at_the_other(app: TestApp) {
        let (id, token) = app.person("ada@x.example", true).await;
        let other = app.second();
        let bearer = maildreieck_server::service::tokens::check(&other, &token, app.now()).unwrap();
        assert_eq!(json!(bearer), json!({"kind": "user", "id": id}));
    }
}
