//! Reports of runs: each taken once, none believed beyond its figures.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::certificate::{DifferenceCount, FolderRef};
use maildreieck_api_spec::ids::RunId;
use maildreieck_api_spec::vocabulary::{Class, Corner, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::app::both;

fn six(app: &crate::app::TestApp) -> DateTime<Utc> {
    let due: DateTime<Utc> = "2026-11-24T17:00:00Z".parse().unwrap();
    app.clock.set(due + TimeDelta::minutes(1));
    due
}

both! {
    async fn a_run_is_taken_once_and_read_by_people(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        let first = app.put_run(&agent, id, &report).await.expect(200);
        assert_eq!(first, json!({"run_id": id, "received_at": app.now()}));
        app.advance(TimeDelta::minutes(5));
        assert_eq!(app.put_run(&agent, id, &report).await.expect(200), first);
        let mut other = report.clone();
        other["mirrored"]["messages"] = json!(4);
        let said = app.put_run(&agent, id, &other).await.problem(409);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"Another report was received under this id.","status":409,"title":"It contradicts what is there","type":"/problems/conflict"}"#);
        }
        let token = app.member(&business.tenant, "owner").await.1;
        let run = app.get(&format!("{}/runs/{id}", business.path), &token).await.expect(200);
        assert_eq!(run["verdict"], "balanced");
        assert_eq!(run["agent_id"], agent.id);
        assert_eq!(run["report"]["certificate"]["corners"]["store"]["messages"], 1_234);
        let list = app.get(&format!("{}/runs", business.path), &token).await.expect(200);
        assert_eq!(list["items"], json!([run]));
    }

    async fn the_verdict_is_what_the_figures_demand(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let mut proof = business.certificate(due);
        proof.differences.push(DifferenceCount {
            class: Class::MissingAtStandby,
            corner: Corner::Standby,
            folder: FolderRef("inbox".to_owned()),
            reason: None,
            count: 1,
        });
        let (id, report) = business.tx_report(due, &proof);
        let said = app.put_run(&agent, id, &report).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be.","errors":[{"pointer":"/certificate/verdict","rule":"unbalanced, which is what the figures demand"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        proof.verdict = Verdict::Unbalanced;
        let (id, report) = business.tx_report(due, &proof);
        app.put_run(&agent, id, &report).await.expect(200);
        proof.coverage.pop();
        let (id, report) = business.tx_report(due - TimeDelta::days(1), &proof);
        app.put_run(&agent, id, &report).await.problem(422);
    }

    async fn a_report_that_contradicts_itself_is_refused(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        let check = async |pointer: &str, change: &dyn Fn(&mut serde_json::Value)| {
            let mut wrong = report.clone();
            change(&mut wrong);
            let answer = app.put_run(&agent, id, &wrong).await;
            answer.problem(422);
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{}", answer.text);
        };
        check("/due_at", &|r| { r.as_object_mut().unwrap().remove("due_at"); }).await;
        check("/schedule_id", &|r| r["due_at"] = json!(due + TimeDelta::seconds(1))).await;
        check("/certificate", &|r| { r.as_object_mut().unwrap().remove("certificate"); }).await;
        check("/certificate", &|r| r["kind"] = json!("mirror")).await;
        check("/failure", &|r| r["outcome"] = json!("failed")).await;
        check("/certificate/format", &|r| r["certificate"]["format"] = json!("x")).await;
        check("/certificate/triangle", &|r| r["certificate"]["triangle"] = json!("info")).await;
        check("/subject", &|r| r["subject"] = json!("Re: offer")).await;
        check("/certificate/differences", &|r| r["certificate"]["differences"] = json!("x")).await;
        // A run's id is the schedule's and due time's, not any.
        app.put_run(&agent, RunId(Uuid::now_v7()), &report).await.problem(422);
        // Nor does it settle what has not come yet.
        let early = due + TimeDelta::days(1);
        let (id, report) = business.tx_report(early, &business.certificate(early));
        let answer = app.put_run(&agent, id, &report).await;
        assert_eq!(answer.header("retry-after"), "1");
        answer.problem(503);
        assert_eq!(app.sql("SELECT count(*) FROM runs")[0][0], "0");
    }

    async fn another_sites_triangle_does_not_exist(app: TestApp) {
        let business = app.business("Blau").await;
        let neighbour = app.business("Rot").await;
        let due = six(&app);
        let stranger = app.agent(&refreshed(&app, &neighbour).await).await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        app.put_run(&stranger, id, &report).await.problem(404);
        // The neighbour's own run under the very same id is another run.
        let by_hand = json!({
            "triangle_id": neighbour.triangle, "kind": "mirror", "started_at": due, "finished_at": due,
            "outcome": "done", "mirrored": {"messages": 0, "bytes": 0},
        });
        app.put_run(&stranger, id, &by_hand).await.expect(200);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        app.put_run(&agent, id, &report).await.expect(200);
    }

    async fn runs_are_filtered(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let business = refreshed(&app, &business).await;
        let agent = app.agent(&business).await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        app.put_run(&agent, id, &report).await.expect(200);
        let failed = json!({
            "triangle_id": business.triangle, "kind": "mirror", "started_at": due, "finished_at": due, "outcome": "failed",
            "failure": {"code": "unreachable", "corner": "standby", "temporary": true}, "mirrored": {"messages": 0, "bytes": 0},
        });
        app.put_run(&agent, RunId(Uuid::now_v7()), &failed).await.expect(200);
        let count = async |filter: &str| {
            let list = app.get(&format!("{}/runs?{filter}", business.path), &business.technician).await.expect(200);
            list["items"].as_array().unwrap().len()
        };
        assert_eq!(count("").await, 2);
        assert_eq!(count("kind=tx").await, 1);
        assert_eq!(count("kind=mirror").await, 1);
        assert_eq!(count("verdict=balanced").await, 1);
        assert_eq!(count("verdict=unbalanced").await, 0);
        assert_eq!(count(&format!("triangle_id={}", business.triangle)).await, 2);
        assert_eq!(count(&format!("triangle_id={}", business.site)).await, 0);
        app.get(&format!("{}/runs?kind=backup", business.path), &business.technician).await.problem(400);
        let first = app.get(&format!("{}/runs?limit=1", business.path), &business.technician).await.expect(200);
        assert_eq!(first["items"][0]["report"]["kind"], "mirror");
        let cursor = first["next_cursor"].as_str().unwrap();
        app.get(&format!("{}/runs?kind=tx&cursor={cursor}", business.path), &business.technician).await.problem(400);
    }

    async fn the_longest_report_is_bounded(app: TestApp) {
        let business = app.business("Blau").await;
        let agent = app.agent(&business).await;
        let huge = json!({"x": "y".repeat(4 * 1024 * 1024)});
        app.put_run(&agent, RunId(Uuid::now_v7()), &huge).await.problem(413);
    }
}

/// The business with tokens that are good at this hour.
async fn refreshed(
    app: &crate::app::TestApp,
    business: &crate::app::Business,
) -> crate::app::Business {
    crate::app::Business {
        technician: app.member(&business.tenant, "technician").await.1,
        ..business.clone()
    }
}
