//! The schemas that are shipped for editors: made from the code, and held against every file that is shipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

use brownout::config::{Kind, schema};
use brownout::diagnostics::Node;
use jsonschema::Validator;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schemas() -> [(Kind, &'static str, Value); 3] {
    [
        (Kind::Config, "config", schema::config()),
        (Kind::Rules, "rules", schema::rules()),
        (Kind::Experiment, "experiment", schema::experiment()),
    ]
}

fn validator(kind: Kind) -> Validator {
    let (_, _, schema) = schemas().into_iter().find(|(of, ..)| *of == kind).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect()
}

/// What is wrong with a document, in the validator's words.
fn complaints(document: &Value, kind: Kind) -> Vec<String> {
    validator(kind).iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_shipped_schemas_are_those_of_the_code() {
    for (_, name, schema) in schemas() {
        let path = root().join(format!("config/schema/{name}.json"));
        let expected = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("BROWNOUT_WRITE_SCHEMAS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &expected).unwrap();
        }
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        assert!(shipped == expected, "{} is old: brownout schema {name} > {}", path.display(), path.display());
    }
}

#[test]
fn every_shipped_file_is_as_its_schema_says() {
    let mut seen = Vec::new();
    let folders = ["config", "config/experiments", "rules", "src/demo"];
    for path in folders.into_iter().flat_map(toml_files) {
        let document = Node::from_toml_file(&path).or_else(|_| {
            // One that takes its token from the environment.
            let text = fs::read_to_string(&path).unwrap();
            Node::from_toml_with("f", &text, &|_| Some("x".to_owned()))
        });
        let document = document.unwrap();
        let kind = Kind::of(&document).unwrap_or_else(|| panic!("{}", path.display()));
        assert_eq!(complaints(&document.to_json(), kind), [""; 0], "{}", path.display());
        seen.push(kind);
    }
    for (kind, ..) in schemas() {
        assert!(seen.contains(&kind), "{kind:?}");
    }
}

#[test]
fn what_the_reader_refuses_the_schema_refuses_too() {
    let rule = |more: Value| {
        let mut rule = json!({ "name": "r", "fault": [{ "kind": "error", "status": 503 }] });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "rule": [rule] })
    };
    assert_eq!(complaints(&rule(json!({})), Kind::Rules), [""; 0]);
    for good in [
        json!({ "match": { "header": { "x": true, "y": { "not": ["a", "b"] } }, "json": { "/a": [1, "b", false] } } }),
        json!({ "match": { "response": { "status": [503, "5xx", "500-504"] } } }),
        json!({ "exclude": [{ "path": "/a" }, { "client": "10.0.0.0/8" }], "lease": "10m" }),
        json!({ "trigger": { "probability": "25%" }, "limit": { "rate": "20/s", "share": 0.1 } }),
        json!({ "schedule": { "start": "2026-03-01T09:00:00Z", "ramp": "1m 30s", "ramp_of": "strength" } }),
    ] {
        assert_eq!(complaints(&rule(good.clone()), Kind::Rules), [""; 0], "{good}");
    }
    for bad in [
        json!({ "mtch": {} }),
        json!({ "match": { "heder": {} } }),
        json!({ "match": { "header": { "x": 7 } } }),
        json!({ "match": { "response": { "status": "9xx" } } }),
        json!({ "exclude": { "json": { "/a": 1 } } }),
        json!({ "trigger": { "probability": 1.5 } }),
        json!({ "limit": { "concurrent": 0 } }),
        json!({ "schedule": { "ramp_of": "power" } }),
        json!({ "lease": 10 }),
        json!({ "fault": [{ "kind": "gremlin" }] }),
        json!({ "fault": [{ "kind": "latency", "dely": "1s" }] }),
    ] {
        assert!(!complaints(&rule(bad.clone()), Kind::Rules).is_empty(), "{bad}");
    }
    assert!(!complaints(&json!({ "proxy": [{ "name": "a", "lisen": "127.0.0.1:80" }] }), Kind::Config).is_empty());
    assert!(!complaints(&json!({ "rules": {} }), Kind::Config).is_empty(), "there would be nothing to serve");
}
