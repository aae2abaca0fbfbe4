//! The client of the commands, the simulator and the exporters makes calls that the API's description has, and reads what it describes.

use client::calls::{self, Described};
use client::{CODES, NewRecord, Problem, Status};
use rstest_reuse::apply;
use serde_json::{Map, Value, json};

use self::Fields::{Every, Least};
use crate::kit::stack::{Setup, embedded};

/// Answers of one schema that are made up: as many as its longest list of words has.
const ROUNDS: usize = 8;

#[apply(embedded)]
async fn each_call_of_the_client_is_described_and_each_described_answer_is_read(setup: Setup) {
    let stack = setup.start(&[]).await;
    let description = stack.get("/openapi.json").await.json();

    for call in calls::ALL {
        let Described { method, path, parameters, read } = call;
        println!("{method} {path}");
        let operation = &description["paths"][path][method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        let described = operation["parameters"].as_array().cloned().unwrap_or_default();
        for name in *parameters {
            assert!(described.iter().any(|one| one["name"] == *name), "{method} {path}: no {name}");
        }
        let Some(schema) = schema(&description, path, operation) else { continue };
        let every = |round| of(&description, &schema, Every(round));
        (0..ROUNDS).for_each(|round| check(&every(round), read));
        let least = of(&description, &schema, Least);
        read(&least.to_string()).unwrap_or_else(|error| panic!("{error}: {least:#}"));
    }
}

#[apply(embedded)]
async fn what_the_client_sends_and_the_problems_that_it_tells_apart_are_described(setup: Setup) {
    let stack = setup.start(&[]).await;
    let description = stack.get("/openapi.json").await.json();

    let sent = json!(NewRecord { log: "127.0.0.1 GET / 200" });
    let described = of(&description, &named("NewRecord"), Every(0));
    assert_eq!(names(&sent), names(&described));

    check(&of(&description, &named("Problem"), Every(0)), &|json| {
        serde_json::from_str::<Problem>(json).map(|problem| format!("{problem:#?}"))
    });
    let words = |name: &str| description["components"]["schemas"][name]["enum"].as_array().unwrap().clone();
    for code in CODES {
        assert!(words("Code").contains(&json!(code)), "no problem {code}");
    }
    let statuses = &description["components"]["schemas"]["Task"]["properties"]["status"]["enum"];
    assert_eq!(*statuses, json!(Status::ALL.map(Status::name)));
}

/// Checks that an answer with every described field is read, and that no field is missing which the client looks for.
fn check(answer: &Value, read: &dyn Fn(&str) -> serde_json::Result<String>) {
    let said = read(&answer.to_string()).unwrap_or_else(|error| panic!("{error}: {answer:#}"));
    assert!(!said.contains("None"), "a field that is not described: {said} of {answer:#}");
}

/// Returns the schema of a call's answer; `None` if that is plain text, or the description itself, which was just read.
fn schema(description: &Value, path: &str, operation: &Value) -> Option<Value> {
    let responses = operation["responses"].as_object().unwrap();
    let successes = responses.iter().filter(|(status, _)| status.starts_with('2'));
    let content: Vec<&Value> = successes.map(|(_, response)| &response["content"]).collect();
    let of_type = |name: &str| content.iter().find_map(|content| content.get(name));
    if path == "/openapi.json" {
        assert!(description["info"]["version"].is_string());
        return None;
    }
    if of_type("text/event-stream").is_some() {
        return Some(named("Task"));
    }
    let json = of_type("application/x-ndjson").or_else(|| of_type("application/json"));
    assert!(json.is_some() || of_type("text/plain").is_some(), "{operation:#}");
    Some(json?["schema"].clone())
}

fn named(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// The fields of a made-up answer.
#[derive(Debug, Clone, Copy)]
enum Fields {
    /// Every one has a value; of several words it is the one with this number.
    Every(usize),
    /// Only those that are required, and null where that is possible.
    Least,
}

/// Makes a value up that a schema describes. Of alternatives, an object has the fields of all.
fn of(description: &Value, schema: &Value, fields: Fields) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let named = description.pointer(reference.trim_start_matches('#'));
        return of(description, named.unwrap_or_else(|| panic!("no {reference}")), fields);
    }
    if let Some(parts) = schema["allOf"].as_array().or(schema["oneOf"].as_array()) {
        let is_nullable = parts.iter().any(|part| part["type"] == "null");
        if is_nullable && matches!(fields, Least) {
            return Value::Null;
        }
        let parts = parts.iter().filter(|part| part["type"] != "null");
        let mut values: Vec<Value> = parts.map(|part| of(description, part, fields)).collect();
        if schema["oneOf"].is_array() && matches!(fields, Least) {
            values.truncate(1);
        }
        let mut all = Map::new();
        for value in &values {
            let Value::Object(of_part) = value else { return value.clone() };
            all.extend(of_part.clone());
        }
        return all.into();
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if types.contains(&"null") && matches!(fields, Least) {
        return Value::Null;
    }
    if let (Some(words), Every(round)) = (schema["enum"].as_array(), fields) {
        return words[round % words.len()].clone();
    }
    match types[0] {
        "object" => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            let is_there = |name: &String| matches!(fields, Every(_)) || required.contains(&json!(name));
            let there = properties.iter().filter(|(name, _)| is_there(name));
            there.map(|(name, schema)| (name.clone(), of(description, schema, fields))).collect()
        }
        "array" => vec![of(description, &schema["items"], fields)].into(),
        "integer" => schema["minimum"].as_i64().unwrap_or(200).into(),
        "number" => json!(1.5),
        "boolean" => true.into(),
        _ => match schema["format"].as_str() {
            Some("uuid") => "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d".into(),
            Some("date-time") => "2026-01-02T03:04:05.678901Z".into(),
            _ => schema["enum"].get(0).cloned().unwrap_or_else(|| "a word".into()),
        },
    }
}

fn names(object: &Value) -> Vec<&String> {
    object.as_object().unwrap().keys().collect()
}
