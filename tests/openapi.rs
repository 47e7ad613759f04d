//! The OpenAPI document in the repository is the one that the code generates, and it is complete.

#![allow(clippy::unwrap_used, reason = "a panic is a test's way to fail")]

use serde_json::Value;
use tasklane::http::docs::openapi::document;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

#[test]
fn the_document_in_the_repository_is_the_generated_one() {
    let generated = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &generated).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let first = golden.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        golden == generated,
        "openapi.json differs (first in line {}); `UPDATE_GOLDEN=1 cargo test --test openapi` rewrites it",
        first.map_or_else(|| golden.lines().count().min(generated.lines().count()) + 1, |line| line + 1)
    );
}

#[test]
fn every_operation_says_what_it_does_what_it_takes_and_how_it_fails() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for (name, operation) in operations(&document) {
        assert!(operation["summary"].is_string(), "{name} has no summary");
        ids.push(operation["operationId"].as_str().unwrap().to_owned());
        let responses = operation["responses"].as_object().unwrap();
        let has = |status: &str| assert!(responses.contains_key(status), "{name} does not document {status}");
        if name.contains("/api/") {
            ["401", "429", "500", "503"].into_iter().for_each(has);
        } else {
            assert_eq!(operation["security"], serde_json::json!([{}]), "{name} asks for a token");
        }
        if name.contains("/{id}") {
            has("404");
        }
        if operation.get("requestBody").is_some() {
            ["408", "413", "415", "422"].into_iter().for_each(has);
        }
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            if status.as_str() >= "400" {
                let example = &response["content"]["application/json"]["example"];
                assert_eq!(example["status"].to_string(), *status, "{name} {status} has no example");
                let codes = document["components"]["schemas"]["Code"].to_string();
                assert!(codes.contains(&example["error"]["code"].to_string()), "{name} {status}: {example}");
                assert_eq!(example["detail"], example["error"]["message"]);
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorBody", "{name} {status}");
            }
        }
    }
    ids.sort_unstable();
    let expected = [
        "complete_task",
        "create_batch",
        "create_task",
        "create_ticket",
        "delete_task",
        "delete_user",
        "export_tasks",
        "get_events",
        "get_health",
        "get_ready",
        "get_summary",
        "get_task",
        "get_test",
        "import_tasks",
        "list_changes",
        "list_tasks",
        "update_task",
        "update_task_by_put",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn every_body_has_an_example() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut seen = 0;
    for (name, operation) in operations(&document) {
        let answers = operation["responses"].as_object().unwrap();
        let good = answers.iter().filter(|(status, _)| status.as_str() < "300").map(|(_, answer)| answer);
        let bodies = good.chain(operation.get("requestBody"));
        for content in bodies.filter_map(|body| body["content"].as_object()).flat_map(|map| map.values()) {
            let schema = content["schema"]["$ref"].as_str().unwrap_or("#/nowhere");
            let schema = document.pointer(&schema[1..]).unwrap_or(&Value::Null);
            let property = |schema: &Value| {
                schema["properties"]
                    .as_object()
                    .is_some_and(|all| all.values().any(|property| property.get("example").is_some()))
            };
            let has = content.get("example").is_some() || schema.get("example").is_some() || property(schema);
            assert!(has, "{name} has a body without an example");
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} bodies were found");
}

#[test]
fn every_reference_resolves() {
    fn visit(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                fields.values().for_each(|value| visit(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| visit(value, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut references = Vec::new();
    visit(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("references stay within the document");
        assert!(document.pointer(pointer).is_some(), "{reference} does not resolve");
    }
}

#[test]
fn every_required_parameter_has_an_example() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    for (name, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().unwrap_or(&Vec::new()) {
            let has = parameter.get("example").is_some() || parameter["schema"].get("example").is_some();
            assert!(has || parameter["required"] == false, "{name} {}", parameter["name"]);
        }
    }
}
