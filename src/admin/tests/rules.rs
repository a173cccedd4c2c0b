//! `/api/v1/rules`.

use std::cell::RefCell;

use serde_json::json;

use super::*;
use crate::diagnostics::{Problems, Reader};
use crate::rules::{Layer, read_rules};

const PATH: &str = "/api/v1/rules";

/// Puts rules into the layer of the files.
fn load_file(instance: &Instance, toml: &str) {
    let node = Node::from_toml("rules/a.toml", toml).unwrap();
    let problems = RefCell::default();
    let specs = read_rules(&mut Reader::new("rules/a.toml", &node, "", &problems));
    instance.api.store.replace(&Layer::File, problems.into_inner().or(specs).unwrap());
}

const FILE: &str = "[[rule]]\nname = \"a\"\n[[rule.fault]]\nkind = \"error\"\nstatus = 500\n";

#[tokio::test]
async fn a_put_replaces_layer_api_alone_and_every_layer_is_listed() {
    let instance = Instance::start().await;
    load_file(&instance, FILE);
    let answer = instance.send("PUT", PATH, "", &json!({ "rule": [rule("a"), rule("b")] })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let listed: wire::Rules = answer.json();
    let names: Vec<_> = listed.rules.iter().map(|rule| (rule.layer.as_str(), rule.name.as_str())).collect();
    assert_eq!(names, [("file", "a"), ("api", "a"), ("api", "b")]);
    assert_eq!(listed.rules[0].origin, "rules/a.toml:1");
    assert_eq!(listed.rules[1].rule, rule("a"), "as it was sent");
    assert_eq!(listed.rules[2].faults[0].kind, "error");
    drop(instance.plan("stock"));
    let listed = instance.client.rules().await.unwrap();
    assert_eq!((listed.rules[1].counts.matched, listed.rules[1].counts.active), (1, 0));
    instance.send("PUT", PATH, "", &json!({ "rule": [] })).await;
    assert_eq!(instance.client.rules().await.unwrap().rules.len(), 1);
}

#[tokio::test]
async fn all_mistakes_are_told_at_once_and_nothing_is_changed() {
    let ceilings = Ceilings { max_probability: 0.5, require_lease: true };
    let instance = Instance::with(Options { ceilings, ..Options::default() }).await;
    let good = json!({ "name": "g", "lease": "1m", "trigger": { "probability": 0.5 },
        "fault": [{ "kind": "error", "status": 503 }] });
    assert_eq!(instance.send("PUT", PATH, "", &json!({ "rule": [good] })).await.status, 200);
    let body = json!({ "rule": [
        { "name": "a", "fault": [{ "kind": "latency", "dely": "1s" }] },
        rule_on("b", "stok"),
    ], "rules": [] });
    let (kind, problem) = instance.send("PUT", PATH, "", &body).await.problem();
    assert_eq!((kind.as_str(), problem.status), ("invalid", 422));
    let told: Vec<_> = problem.problems.iter().map(ToString::to_string).collect();
    let all = told.join("\n");
    for part in
        ["\"dely\"", "\"delay\"", "\"rules\"", "\"stok\"", "did you mean \"stock\"?", "max_probability", "lease"]
    {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
    assert!(told.iter().all(|line| line.starts_with("PUT /api/v1/rules: ")), "{all}");
    assert_eq!(instance.client.rules().await.unwrap().rules[0].name, "g");
    let (_, problem) = instance.send("PUT", PATH, "", &json!({})).await.problem();
    assert_eq!(problem.problems.len(), 1, "an empty body removes nothing by accident: {problem}");
    assert_eq!(instance.send("PUT", PATH, "", &json!([])).await.status, 422);
}

#[tokio::test]
async fn of_two_writers_that_read_the_same_state_one_is_refused() {
    let instance = Instance::start().await;
    let read = instance.get(PATH).await;
    let tag = format!("If-Match: {}", read.header("etag").unwrap());
    let (a, b) = (json!({ "rule": [rule("a")] }), json!({ "rule": [rule("b")] }));
    let (first, second) = tokio::join!(instance.send("PUT", PATH, &tag, &a), instance.send("PUT", PATH, &tag, &b));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let (winner, loser) = if first.status == 200 { (first, second) } else { (second, first) };
    assert_eq!(loser.problem().0, "stale");
    assert_eq!(instance.get(PATH).await.header("etag"), winner.header("etag"));
    let fresh = format!("If-Match: \"other\", {}", winner.header("etag").unwrap());
    assert_eq!(instance.send("PUT", PATH, &fresh, &a).await.status, 200);
    assert_eq!(instance.send("PUT", PATH, "If-Match: *", &b).await.status, 200);
    assert_eq!(instance.send("PUT", PATH, "", &a).await.status, 200);
}

#[tokio::test]
async fn many_writers_that_read_before_they_write_lose_nothing() {
    let instance = Instance::start().await;
    let writer = |name: String| {
        let instance = &instance;
        async move {
            loop {
                let read = instance.get(PATH).await;
                let tag = format!("If-Match: {}", read.header("etag").unwrap());
                let mut rules: Vec<_> = read.json::<wire::Rules>().rules.into_iter().map(|rule| rule.rule).collect();
                rules.push(rule(&name));
                match instance.send("PUT", PATH, &tag, &json!({ "rule": rules })).await.status {
                    200 => return,
                    status => assert_eq!(status, 412),
                }
            }
        }
    };
    futures_util::future::join_all((0..12).map(|n| writer(format!("rule-{n}")))).await;
    assert_eq!(instance.client.rules().await.unwrap().rules.len(), 12);
}

#[tokio::test]
async fn the_tag_is_that_of_layer_api_alone() {
    let instance = Instance::start().await;
    instance.send("PUT", PATH, "", &json!({ "rule": [rule("b")] })).await;
    let tag = |answer: Answer| answer.header("etag").unwrap().to_owned();
    let before = tag(instance.get(PATH).await);
    load_file(&instance, FILE);
    drop(instance.plan("stock"));
    assert_eq!(tag(instance.get(PATH).await), before, "neither a reload nor a request is another writer");
    instance.post("/api/v1/rules/b/disable").await;
    assert_ne!(tag(instance.get(PATH).await), before);
    assert_ne!(tag(Instance::start().await.get(PATH).await), tag(Instance::start().await.get(PATH).await));
}

#[tokio::test]
async fn a_rule_is_switched_by_its_name() {
    let instance = Instance::start().await;
    load_file(&instance, FILE);
    let disabled: wire::Rule = instance.post("/api/v1/rules/a/disable").await.json();
    assert!(!disabled.enabled);
    assert!(instance.plan("stock").is_empty());
    let enabled: wire::Rule = instance.post("/api/v1/rules/a/enable").await.json();
    assert!(enabled.enabled);
    assert!(!instance.plan("stock").is_empty());
    let unknown = instance.post("/api/v1/rules/c/enable").await;
    assert_eq!((unknown.status, unknown.problem().0.as_str()), (404, "unknown-rule"));
}

#[tokio::test]
async fn a_name_in_two_layers_needs_the_layer() {
    let instance = Instance::start().await;
    load_file(&instance, FILE);
    instance.send("PUT", PATH, "", &json!({ "rule": [rule("a")] })).await;
    let (kind, problem) = instance.post("/api/v1/rules/a/disable").await.problem();
    assert_eq!((kind.as_str(), problem.rules), ("ambiguous-rule", vec!["file/a".to_owned(), "api/a".to_owned()]));
    let switched: wire::Rule = instance.post("/api/v1/rules/a/disable?layer=api").await.json();
    assert_eq!((switched.layer.as_str(), switched.enabled), ("api", false));
    let rules = instance.client.rules().await.unwrap().rules;
    assert_eq!(rules.iter().map(|rule| rule.enabled).collect::<Vec<_>>(), [true, false]);
    assert_eq!(instance.post("/api/v1/rules/a/disable?layer=files").await.status, 400);
    assert_eq!(instance.post("/api/v1/rules/a/disable?lyer=api").await.status, 400);
    assert_eq!(instance.post("/api/v1/rules/%ff/disable").await.status, 400);
}

#[tokio::test]
async fn a_reload_that_failed_is_shown_with_file_and_line() {
    let instance = Instance::start().await;
    assert_eq!(instance.client.rules().await.unwrap().last_reload, None);
    let reloads = instance.api.metrics.reloads();
    reloads.record(Node::from_toml("rules/a.toml", "\n[[rule]\n").unwrap_err());
    let reload = instance.client.rules().await.unwrap().last_reload.unwrap();
    assert!(!reload.successful);
    assert_eq!((reload.problems[0].file.as_str(), reload.problems[0].line), ("rules/a.toml", Some(2)));
    reloads.record(Problems::default());
    assert!(instance.client.rules().await.unwrap().last_reload.unwrap().successful);
}

#[tokio::test]
async fn a_group_is_switched_by_its_name_and_idle_rules_are_named() {
    let instance = Instance::start().await;
    load_file(&instance, &FILE.replace("name = \"a\"", "name = \"a\"\ngroup = \"day\""));
    let mut grouped = rule("b");
    grouped["group"] = json!("day");
    instance.send("PUT", PATH, "", &json!({ "rule": [grouped, rule("c")] })).await;
    let (_, tag) = instance.client.rules_with_tag().await.unwrap();
    let group = instance.client.switch_group("day", false).await.unwrap();
    let switched: Vec<_> =
        group.rules.iter().map(|rule| (rule.layer.as_str(), rule.name.as_str(), rule.enabled)).collect();
    assert_eq!(switched, [("file", "a", false), ("api", "b", false)]);
    let (rules, after) = instance.client.rules_with_tag().await.unwrap();
    assert_eq!(rules.rules.iter().map(|rule| rule.enabled).collect::<Vec<_>>(), [false, false, true]);
    assert_ne!(tag, after, "layer api was changed");
    assert!(rules.idle.is_empty(), "a minute has not passed");
    let unknown = instance.post("/api/v1/groups/night/enable").await;
    assert_eq!((unknown.status, unknown.problem().0.as_str()), (404, "unknown-group"));
    assert!(instance.client.put_rules(&[rule("c")], &tag).await.is_err(), "somebody was faster");
    assert_eq!(instance.client.put_rules(&[rule("c")], &after).await.unwrap().rules.len(), 2);
    assert!(!instance.client.switch_rule("a", Some("file"), false).await.unwrap().enabled);
}
