//! Certificates at the server: signed by an agent of the site, dated by its nonce, each in its chain, countersigned.

use chrono::{DateTime, TimeDelta, Utc};
use maildreieck_api_spec::certificate::{Certificate, Unsound, hash_of, verify};
use maildreieck_api_spec::ids::RunId;
use serde_json::{Value, json};

use crate::app::{Agent, Answer, Business, TestApp, both};
use crate::runs::{refreshed, six};

/// Reports of a Tx each day, one behind the other.
struct Site {
    business: Business,
    agent: Agent,
    day: i64,
}

impl Site {
    async fn new(app: &TestApp) -> Self {
        let business = app.business("Blau").await;
        six(app);
        let business = refreshed(app, &business).await;
        let agent = app.agent(&business).await;
        Self {
            business,
            agent,
            day: 0,
        }
    }

    fn due(&self) -> DateTime<Utc> {
        let first: DateTime<Utc> = "2026-11-24T17:00:00Z".parse().unwrap();
        first + TimeDelta::days(self.day)
    }

    fn run(&self) -> RunId {
        RunId::of_schedule(self.business.tx, self.due())
    }

    fn next(&self, after: Option<&Certificate>) -> Certificate {
        let mut next = self.business.certificate(self.due());
        if let Some(before) = after {
            next.sequence = before.sequence + 1;
            next.previous = Some(hash_of(before).unwrap());
        }
        next.sign(&self.agent.key).unwrap();
        next
    }

    async fn send(&self, app: &TestApp, certificate: &Certificate) -> Answer {
        let (id, report) = self.business.tx_report(self.due(), certificate);
        app.put_run(&self.agent, id, &report).await
    }

    /// Sends it as that day's, and goes on to the next day.
    async fn chained(&mut self, app: &TestApp, certificate: &Certificate) -> Value {
        let receipt = self.send(app, certificate).await.expect(200);
        self.day += 1;
        app.clock.set(self.due() + TimeDelta::minutes(1));
        self.agent.token = app.agent_token(&mut self.agent).await.expect(200)["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        receipt["countersignature"].clone()
    }
}

both! {
    async fn a_certificate_is_countersigned_and_anybody_can_check_it(app: TestApp) {
        let mut site = Site::new(&app).await;
        let mut certificate = site.next(None);
        let nonce = app
            .send(reqwest::Method::POST, &format!("/agent/v1/runs/{}/nonce", site.run()), Some(&site.agent.token), &[], None)
            .await
            .expect(200);
        certificate.nonce = nonce["nonce"].as_str().unwrap().to_owned();
        certificate.sign(&site.agent.key).unwrap();
        let run = site.run();
        let asked_at = app.now();
        let said = site.chained(&app, &certificate).await;
        assert_eq!((&said["chain"], &said["verdict"]), (&json!("begun"), &json!("balanced")));
        assert_eq!(said["nonce_at"], json!(asked_at));
        let sealed = Certificate {
            countersignature: Some(serde_json::from_value(said.clone()).unwrap()),
            ..certificate
        };
        let text = serde_json::to_vec(&sealed).unwrap();
        assert_eq!(verify(&text, &[site.agent.key.verifying_key()], &[]), Ok(sealed.clone()));
        // People read it with the run, and the enrolment has named its key.
        let token = app.member(&site.business.tenant, "owner").await.1;
        let read = app.get(&format!("{}/runs/{run}", site.business.path), &token).await.expect(200);
        assert_eq!(read["countersignature"], said);
        let list = app.get(&format!("{}/runs", site.business.path), &token).await.expect(200);
        assert_eq!(list["items"][0]["countersignature"], said);
    }

    async fn who_did_not_sign_it_is_not_believed(app: TestApp) {
        let site = Site::new(&app).await;
        let own = site.next(None);
        let mut foreign = own.clone();
        foreign.sign(&Agent::new().key).unwrap();
        let mut changed = own.clone();
        changed.new_tombstones = 3;
        let mut unsigned = serde_json::to_value(&own).unwrap();
        unsigned["signature"] = Value::Null;
        for (certificate, expected) in [(&foreign, "not the one given"), (&changed, "does not match")] {
            let said = site.send(&app, certificate).await.problem(422);
            assert!(said.contains("/certificate/signature") && said.contains(expected), "{said}");
        }
        let (id, mut report) = site.business.tx_report(site.due(), &own);
        report["certificate"] = unsigned;
        let said = app.put_run(&site.agent, id, &report).await.problem(422);
        assert!(said.contains("/certificate/signature") && said.contains(&Unsound::Unsigned.to_string()), "{said}");
        site.send(&app, &own).await.expect(200);
    }

    async fn a_nonce_is_good_for_its_run_alone(app: TestApp) {
        let site = Site::new(&app).await;
        let other = uuid::Uuid::new_v5(&uuid::Uuid::now_v7(), b"another");
        let path = format!("/agent/v1/runs/{other}/nonce");
        let nonce = app.send(reqwest::Method::POST, &path, Some(&site.agent.token), &[], None).await.expect(200);
        for wrong in [nonce["nonce"].as_str().unwrap().to_owned(), "A".repeat(96), "x".to_owned()] {
            let mut certificate = site.next(None);
            certificate.nonce = wrong;
            certificate.sign(&site.agent.key).unwrap();
            let said = site.send(&app, &certificate).await.problem(422);
            assert!(said.contains("/certificate/nonce"), "{said}");
        }
    }

    async fn of_two_that_come_at_once_one_is_a_fork(app: TestApp) {
        let mut site = Site::new(&app).await;
        let mut last = site.next(None);
        site.chained(&app, &last).await;
        for _ in 0..5 {
            let one = site.next(Some(&last));
            let (one_id, one_report) = site.business.tx_report(site.due(), &one);
            site.day += 1;
            let other = site.next(Some(&last));
            let (other_id, other_report) = site.business.tx_report(site.due(), &other);
            app.clock.set(site.due() + TimeDelta::minutes(1));
            site.agent.token = app.agent_token(&mut site.agent).await.expect(200)["access_token"].as_str().unwrap().to_owned();
            let (one_said, other_said) = tokio::join!(
                app.put_run(&site.agent, one_id, &one_report),
                app.put_run(&site.agent, other_id, &other_report),
            );
            let said = [one_said, other_said].map(|said| said.expect(200)["countersignature"]["chain"].as_str().unwrap().to_owned());
            assert!(said.contains(&"continued".to_owned()) && said.contains(&"forked".to_owned()), "{said:?}");
            last = one;
            site.day += 1;
        }
    }

    async fn how_a_chain_goes_on_is_said(app: TestApp) {
        let mut site = Site::new(&app).await;
        let first = site.next(None);
        assert_eq!(site.chained(&app, &first).await["chain"], "begun");
        let second = site.next(Some(&first));
        assert_eq!(site.chained(&app, &second).await["chain"], "continued");
        // An older data folder was put back, or a copy of it runs elsewhere.
        let again = site.next(Some(&first));
        assert_eq!(site.chained(&app, &again).await["chain"], "forked");
        // One never reached the server.
        let lost = site.next(Some(&second));
        let next = site.next(Some(&lost));
        assert_eq!(site.chained(&app, &next).await["chain"], "gap");
        let anew = site.next(None);
        assert_eq!(site.chained(&app, &anew).await["chain"], "begun_anew");
        let next = site.next(Some(&anew));
        assert_eq!(site.chained(&app, &next).await["chain"], "continued");
    }
}
