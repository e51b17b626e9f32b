//! Reports of runs: each taken once, none believed beyond its figures.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::certificate::{DifferenceCount, FolderRef, RepairCount};
use maildreieck_api_spec::ids::{RunId, ScheduleId};
use maildreieck_api_spec::vocabulary::{Class, Corner, Reason, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::app::both;

pub fn six(app: &crate::app::TestApp) -> DateTime<Utc> {
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
        assert_eq!((&first["run_id"], &first["received_at"]), (&json!(id), &json!(app.now())));
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
            against: None,
            class: Class::MissingAtStandby,
            corner: Corner::Standby,
            folder: FolderRef("inbox".to_owned()),
            reason: None,
            count: 1,
        });
        crate::app::differ(&mut proof);
        let (id, report) = business.tx_report(due, &proof);
        let said = app.put_run(&agent, id, &report).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /certificate/verdict: unbalanced, which is what the figures demand.","errors":[{"pointer":"/certificate/verdict","rule":"unbalanced, which is what the figures demand"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        proof.verdict = Verdict::Unbalanced;
        let (id, report) = business.tx_report(due, &proof);
        app.put_run(&agent, id, &report).await.expect(200);
        proof.coverage.pop();
        let yesterday = due - TimeDelta::days(1);
        proof.tx_at = yesterday;
        let (id, report) = business.tx_report(yesterday, &proof);
        let said = app.put_run(&agent, id, &report).await.problem(422);
        assert!(said.contains("unproven, which is what the figures demand"), "{said}");
    }

    async fn a_certificate_that_contradicts_itself_is_refused(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        let said = async |changes: &[(&str, serde_json::Value)]| {
            let mut wrong = report.clone();
            for (pointer, value) in changes {
                *wrong.pointer_mut(&format!("/certificate{pointer}")).unwrap() = value.clone();
            }
            let answer = app.put_run(&agent, id, &wrong).await;
            answer.problem(422);
            let errors = answer.json()["errors"].clone();
            errors.as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        // Balanced, though one corner has fewer messages, or others.
        let fewer = [("/corners/standby/messages", json!(1_233)), ("/folders/0/standby/messages", json!(1_233))];
        let expected = [
            "/certificate/corners/standby/messages",
            "/certificate/folders/0/standby/messages",
            "/certificate/coverage/1/content_verified",
        ];
        assert_eq!(said(&fewer).await, expected);
        let hash = json!("ef".repeat(32));
        let others = [("/corners/store/set_hash", hash.clone()), ("/folders/0/store/set_hash", hash)];
        let expected = ["/certificate/corners/store/set_hash", "/certificate/folders/0/store/set_hash"];
        assert_eq!(said(&others).await, expected);
        assert_eq!(said(&[("/corners/primary/bytes", json!(1))]).await, ["/certificate/corners/primary/bytes"]);
        assert_eq!(said(&[("/folders/0/folder", json!("Personal/Lohn"))]).await, ["/certificate/folders/0/folder"]);
        let folders = json!([report["certificate"]["folders"][0], {"folder": "inbox"}]);
        assert_eq!(said(&[("/folders", folders)]).await, ["/certificate/folders/1/folder"]);
        assert_eq!(said(&[("/new_tombstones", json!(1_u64 << 53))]).await, ["/certificate/new_tombstones"]);
        // Coverage, cuts, repairs and the rest.
        for (pointer, value) in [
            ("/coverage/0/content_verified", json!(1_235)),
            ("/coverage/1/content_verified_now", json!(1_235)),
            ("/coverage/2/oldest_proof", json!(null)),
            ("/coverage/2/oldest_proof", json!(due + TimeDelta::seconds(43))),
            ("/coverage/2/oldest_proof", json!("1970-01-01T00:00:00Z")),
            ("/cut", json!([])),
            ("/cut/0/uidnext", json!(0)),
            ("/cut/0/uidvalidity", json!(0)),
            ("/cut/0/highestmodseq", json!(1_u64 << 53)),
            ("/cut/1/corner", json!("store")),
            ("/direction", json!("standby_to_primary")),
            ("/epoch", json!(u32::MAX)),
            ("/nonce", json!("")),
            ("/configuration_hash", json!("none")),
            ("/agent_version", json!("x".repeat(100_000))),
        ] {
            let said = said(&[(pointer, value)]).await;
            assert!(said[0].starts_with(&format!("/certificate{pointer}")), "{said:?}");
        }
        let differs = |class: &str, corner: &str, count: u64| {
            let one = json!([{"class": class, "corner": corner, "folder": "inbox", "count": count}]);
            let hash = json!("ef".repeat(32));
            let (all, inbox) = ("/corners/standby/set_hash", "/folders/0/standby/set_hash");
            [("/differences", one), ("/verdict", json!("unbalanced")), (all, hash.clone()), (inbox, hash)]
        };
        assert_eq!(said(&differs("missing_in_store", "standby", 1)).await, ["/certificate/differences/0/corner"]);
        assert_eq!(said(&differs("altered", "primary", 1)).await, ["/certificate/differences/0/corner"]);
        assert_eq!(said(&differs("altered", "standby", 0)).await, ["/certificate/differences/0/count"]);
        // Listed beside equal sets.
        let [listed, verdict, ..] = differs("altered", "standby", 1);
        let equal = said(&[listed, verdict]).await;
        assert_eq!(equal, ["/certificate/corners/standby/set_hash", "/certificate/folders/0/standby/set_hash"]);
        let more = said(&differs("altered", "standby", 1_235)).await;
        assert_eq!(more, ["/certificate/differences/0/count", "/certificate/differences"]);
        for (at, count, expected) in [
            (due + TimeDelta::seconds(1), 1, "/certificate/repairs/0/at"),
            (DateTime::UNIX_EPOCH, 1, "/certificate/repairs/0/at"),
            (due, 0, "/certificate/repairs/0/count"),
        ] {
            let one = json!([{"class": "missing_at_standby", "corner": "standby", "folder": "inbox", "at": at, "count": count}]);
            assert_eq!(said(&[("/repairs", one)]).await, [expected]);
        }
        let content = [("/depth", json!("content")), ("/coverage/1/content_verified_now", json!(0))];
        assert_eq!(said(&content).await, ["/certificate/coverage/1/content_verified_now"]);
        // What UIDNEXT cannot be is no certificate at all.
        assert_eq!(said(&[("/cut/0/uidnext", json!(1_u64 << 32))]).await, ["/certificate/cut/0/uidnext"]);
        // Whoever looks at volumes alone has not proved what the schedule asks for.
        assert_eq!(said(&[("/depth", json!("volume"))]).await, ["/certificate/depth"]);
        // A difference that is listed accounts for the gap.
        let mut proof = business.certificate(due);
        for figures in [&mut proof.corners.standby, proof.folders[0].standby.as_mut().unwrap()] {
            figures.messages += 1;
            figures.set_hash = "ef".repeat(32);
        }
        proof.coverage[1].content_verified += 1;
        proof.differences.push(DifferenceCount {
            against: None,
            class: Class::Preexisting,
            corner: Corner::Standby,
            folder: FolderRef("inbox".to_owned()),
            reason: Some(Reason::ByClass),
            count: 1,
        });
        let (id, report) = business.tx_report(due, &proof);
        app.put_run(&agent, id, &report).await.expect(200);
    }

    async fn times_that_cannot_be_are_refused(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let (id, report) = business.tx_report(due, &business.certificate(due));
        let put = async |changes: &[(&str, DateTime<Utc>)]| {
            let mut changed = report.clone();
            for (pointer, at) in changes {
                *changed.pointer_mut(pointer).unwrap() = json!(at);
            }
            app.put_run(&agent, id, &changed).await
        };
        let late = app.now() + TimeDelta::seconds(301);
        let said = put(&[("/finished_at", due - TimeDelta::seconds(1)), ("/certificate/tx_at", due - TimeDelta::seconds(1))]).await.problem(422);
        assert!(said.contains(r#"{"pointer":"/finished_at","rule":"not before started_at"}"#), "{said}");
        // Before the run, and the run before it was due.
        let said = put(&[("/certificate/tx_at", due - TimeDelta::seconds(1))]).await.problem(422);
        assert!(said.contains(r#"{"pointer":"/certificate/tx_at","rule":"not before started_at"}"#), "{said}");
        let said = put(&[("/started_at", due - TimeDelta::seconds(1))]).await.problem(422);
        assert!(said.contains(r#"{"pointer":"/started_at","rule":"not before due_at"}"#), "{said}");
        let said = put(&[("/started_at", DateTime::UNIX_EPOCH)]).await.problem(422);
        assert!(said.contains(r#"{"pointer":"/started_at","rule":"not before 2026-01-01T00:00:00Z, when there was no agent"}"#), "{said}");
        let said = put(&[("/certificate/tx_at", due + TimeDelta::seconds(43))]).await.problem(422);
        assert!(said.contains(r#"{"pointer":"/certificate/tx_at","rule":"not after finished_at"}"#), "{said}");
        // The cut to come, and the end with it.
        let said = put(&[("/finished_at", late), ("/certificate/tx_at", late)]).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The report says a time that is 301 seconds to come by the server's clock; set the agent's clock. The report is taken once that time has come.","errors":[{"pointer":"/finished_at","rule":"at most 300 seconds later than the server's clock, which says 2026-11-24T17:01:00Z"},{"pointer":"/certificate/tx_at","rule":"at most 300 seconds later than the server's clock, which says 2026-11-24T17:01:00Z"}],"status":422,"title":"The clocks differ","type":"/problems/clocks-differ"}"#);
        }
        let far = app.now() + TimeDelta::days(300);
        let said = put(&[("/finished_at", far), ("/certificate/tx_at", far)]).await.problem(422);
        assert!(said.contains("/problems/invalid"), "{said}");
        // Five minutes are let pass.
        let skewed = late - TimeDelta::seconds(1);
        put(&[("/finished_at", skewed), ("/certificate/tx_at", skewed)]).await.expect(200);
    }

    async fn a_run_was_due_or_is_refused(app: TestApp) {
        let business = refreshed(&app, &app.business("Blau").await).await;
        let due = six(&app);
        let business = refreshed(&app, &business).await;
        let agent = app.agent(&business).await;
        let put = async |due: DateTime<Utc>| {
            let (id, report) = business.tx_report(due, &business.certificate(due));
            app.put_run(&agent, id, &report).await
        };
        let never = due - TimeDelta::minutes(30);
        let said = put(never).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in /due_at: a time at which the schedule is or was due; now it is `0 18 * * *` in Europe/Berlin.","errors":[{"pointer":"/due_at","rule":"a time at which the schedule is or was due; now it is `0 18 * * *` in Europe/Berlin"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        assert_eq!(app.sql("SELECT count(*) FROM runs")[0][0], "0");
        // The triangle was made at noon; a clock may run behind by a day.
        let said = put(due - TimeDelta::days(2)).await.problem(422);
        insta::allow_duplicates! {
            insta::assert_snapshot!(said, @r#"{"detail":"The request says what cannot be in 2 fields, first in /due_at: not before 2026-11-23T12:00:00Z, a day before the triangle was made.","errors":[{"pointer":"/due_at","rule":"not before 2026-11-23T12:00:00Z, a day before the triangle was made"},{"pointer":"/started_at","rule":"not before 2026-11-23T12:00:00Z, a day before the triangle was made"}],"status":422,"title":"The request says what cannot be","type":"/problems/invalid"}"#);
        }
        put(due - TimeDelta::days(1)).await.expect(200);
        // What the server itself expected was due, whatever the lines say.
        app.sql(&format!("UPDATE schedules SET next_due_at = '2026-11-24 16:30:00' WHERE schedule_id = '{}'", business.tx));
        app.tick().await;
        put(never).await.expect(200);
        // An agent that did not hear of another line yet goes by the earlier one.
        let path = format!("{}/triangles/{}", business.path, business.triangle);
        let mut config = app.get(&path, &business.technician).await.expect(200);
        let mirror: ScheduleId = config["mirror_schedule_id"].as_str().unwrap().parse().unwrap();
        for name in ["id", "created_at", "tx_schedule_id", "mirror_schedule_id", "mirror"] {
            config.as_object_mut().unwrap().remove(name);
        }
        for (version, cron) in ["0 12 * * *", "0 13 * * *"].into_iter().enumerate() {
            config["tx"]["cron"] = json!(cron);
            app.put(&path, &business.technician, &format!("\"{}\"", version + 1), &config).await.expect(200);
        }
        put(due).await.expect(200);
        put(due - TimeDelta::hours(6)).await.expect(200);
        put(due - TimeDelta::hours(5)).await.expect(200);
        put(due - TimeDelta::hours(4)).await.problem(422);
        // The same holds of a mirror schedule, also of one that was taken away since.
        let mirrored = async |schedule: ScheduleId, due: DateTime<Utc>| {
            let report = json!({
                "triangle_id": business.triangle, "kind": "mirror", "schedule_id": schedule, "due_at": due, "started_at": due,
                "finished_at": due, "outcome": "done", "mirrored": {"messages": 0, "bytes": 0},
            });
            app.put_run(&agent, RunId::of_schedule(schedule, due), &report).await
        };
        mirrored(mirror, due - TimeDelta::minutes(15)).await.expect(200);
        let said = mirrored(mirror, due - TimeDelta::minutes(14)).await.problem(422);
        assert!(said.contains("/due_at"), "{said}");
        for other in [business.tx, ScheduleId::new()] {
            let said = mirrored(other, due - TimeDelta::minutes(45)).await.problem(422);
            assert!(said.contains(r#"{"pointer":"/schedule_id","rule":"the mirror schedule of the triangle"}"#), "{said}");
        }
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
        check("/halt", &|r| r["outcome"] = json!("held_back")).await;
        check("/halt", &|r| r["halt"] = json!({"id": "0123456789abcdef", "messages": 21, "of": 100})).await;
        check("/mirrored/bytes", &|r| r["mirrored"]["messages"] = json!(0)).await;
        check("/certificate", &|r| {
            r["outcome"] = json!("failed");
            r["failure"] = json!({"code": "unreachable", "temporary": true});
        }).await;
        check("/certificate/format", &|r| r["certificate"]["format"] = json!("x")).await;
        check("/certificate/triangle", &|r| r["certificate"]["triangle"] = json!("info")).await;
        check("/subject", &|r| r["subject"] = json!("Re: offer")).await;
        check("/certificate/differences", &|r| r["certificate"]["differences"] = json!("x")).await;
        check("/mirrored/bytes", &|r| r["mirrored"] = json!({"messages": 5, "bytes": 0})).await;
        check("/halt/messages", &|r| {
            r["outcome"] = json!("held_back");
            r["halt"] = json!({"id": "0123456789abcdef", "messages": 11, "of": 10});
        }).await;
        check("/certificate/subject", &|r| r["certificate"]["subject"] = json!("Re: offer")).await;
        check("/certificate/corners/store/subject", &|r| r["certificate"]["corners"]["store"]["subject"] = json!("Re: offer")).await;
        check("/certificate/coverage/1/oldest_proof", &|r| {
            r["certificate"]["coverage"][1]["oldest_proof"] = json!(due - TimeDelta::milliseconds(1));
        }).await;
        // A run's id is the schedule's and due time's, not any.
        app.put_run(&agent, RunId(Uuid::now_v7()), &report).await.problem(422);
        // Nor does it settle what has not come yet.
        let early = due + TimeDelta::days(1);
        let (id, report) = business.tx_report(early, &business.certificate(early));
        let said = app.put_run(&agent, id, &report).await.problem(422);
        assert!(said.contains("/problems/clocks-differ") && said.contains("/due_at"), "{said}");
        assert_eq!(app.sql("SELECT count(*) FROM runs")[0][0], "0");
    }

    async fn what_the_guard_held_back_is_taken_with_its_halt(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let (id, mut report) = business.tx_report(due, &business.certificate(due));
        report["outcome"] = json!("held_back");
        report["halt"] = json!({"id": "0123456789abcdef", "messages": 21, "of": 100});
        app.put_run(&agent, id, &report).await.expect(200);
    }

    async fn a_site_that_worked_without_a_server_before_is_believed(app: TestApp) {
        let business = app.business("Blau").await;
        let due = six(&app);
        let agent = app.agent(&refreshed(&app, &business).await).await;
        let mut proof = business.certificate(due);
        let long_ago = due - TimeDelta::days(200);
        proof.coverage[0].oldest_proof = Some(long_ago);
        proof.repairs.push(RepairCount {
            class: Class::FlagsDiffer,
            corner: Corner::Standby,
            folder: FolderRef("inbox".to_owned()),
            at: long_ago,
            count: 3,
        });
        let (id, report) = business.tx_report(due, &proof);
        app.put_run(&agent, id, &report).await.expect(200);
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
        app.put_run(&agent, by_hand(), &failed).await.expect(200);
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

/// The id of a run that a person started.
fn by_hand() -> RunId {
    RunId(Uuid::new_v5(&Uuid::now_v7(), b"by hand"))
}

/// The business with tokens that are good at this hour.
pub async fn refreshed(
    app: &crate::app::TestApp,
    business: &crate::app::Business,
) -> crate::app::Business {
    crate::app::Business {
        technician: app.member(&business.tenant, "technician").await.1,
        ..business.clone()
    }
}
