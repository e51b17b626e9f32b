//! The API's description: what is committed is what is served, and it joins with the table of operations.

use std::collections::BTreeSet;

use maildreieck_server::domain::operations::{May, OPERATIONS};
use maildreieck_server::http::openapi;
use serde_json::Value;

use crate::app::both;
use crate::isolation::described;

#[test]
fn the_committed_description_is_the_servers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../api-spec/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == openapi::text().unwrap(),
        "api-spec/openapi.json is not what the server says: run `cargo xtask openapi` and commit it"
    );
    let document: Value = serde_json::from_str(&committed).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn operations_and_their_table_join_both_ways() {
    let described: BTreeSet<String> = described()
        .into_iter()
        .map(|operation| operation.id)
        .collect();
    let known: BTreeSet<String> = OPERATIONS
        .iter()
        .map(|operation| operation.id().to_owned())
        .collect();
    assert_eq!(described, known);
    assert_eq!(known.len(), OPERATIONS.len());
}

#[test]
fn each_operation_says_all_that_a_client_needs() {
    for operation in described() {
        let (id, value) = (&operation.id, &operation.value);
        assert!(
            value["summary"].as_str().is_some_and(|text| text.len() > 5),
            "{id}: summary"
        );
        assert_eq!(value["tags"].as_array().map(Vec::len), Some(1), "{id}: tag");
        let may = OPERATIONS
            .iter()
            .find(|known| known.id() == *id)
            .unwrap()
            .may();
        let scheme = value["security"][0]
            .as_object()
            .and_then(|scheme| scheme.keys().next());
        let expected = match may {
            May::Anybody => None,
            May::Agent => Some("agent"),
            _ => Some("person"),
        };
        assert_eq!(scheme.map(String::as_str), expected, "{id}: security");
        let responses = value["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{id}: success"
        );
        assert!(responses.contains_key("500"), "{id}: 500");
        if expected.is_some() {
            assert!(
                responses.contains_key("401") && responses.contains_key("403"),
                "{id}"
            );
        }
        for (status, response) in responses {
            if status.starts_with(['4', '5']) {
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{id}: {status}");
            }
        }
        let parameters = value["parameters"].as_array().cloned().unwrap_or_default();
        for name in operation
            .path
            .split('{')
            .skip(1)
            .map(|rest| rest.split('}').next().unwrap())
        {
            assert!(
                parameters
                    .iter()
                    .any(|p| p["name"] == name && p["in"] == "path"),
                "{id}: {name}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document: Value = serde_json::from_str(&openapi::text().unwrap()).unwrap();
    let mut references = 0;
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    let pointer = to.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{to}");
                    references += 1;
                }
                left.extend(fields.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    assert!(references > 100);
}

both! {
    async fn the_description_and_its_pages_are_served(app: TestApp) {
        let served = app.send(reqwest::Method::GET, "/openapi.json", None, &[], None).await;
        assert_eq!(served.text, openapi::text().unwrap());
        assert_eq!(served.header("content-type"), "application/json");
        let page = app.send(reqwest::Method::GET, "/docs/", None, &[], None).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains("swagger-ui"));
        let script = app.send(reqwest::Method::GET, "/docs/swagger-initializer.js", None, &[], None).await;
        assert!(script.text.contains("/openapi.json"), "{}", script.text);
        let health = app.send(reqwest::Method::GET, "/healthz", None, &[], None).await;
        assert_eq!(health.text, r#"{"status":"ok"}"#);
        assert_eq!(health.header("x-content-type-options"), "nosniff");
    }
}
