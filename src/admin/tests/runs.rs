//! `/api/v1/runs`, and what the sweeper does to them.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::client::wire::{Foreign, RunRequest};
use crate::clock;
use crate::rules::Layer;
use crate::telemetry::events::Observer;

fn request(proxies: &[&str], enabled: bool, rules: &[serde_json::Value]) -> RunRequest {
    RunRequest {
        proxies: proxies.iter().map(|proxy| (*proxy).to_owned()).collect(),
        lease: "30s".to_owned(),
        enabled,
        foreign: Foreign::Refuse,
        rules: rules.to_vec(),
    }
}

#[tokio::test]
async fn a_run_locks_its_proxies_and_a_second_one_is_told_who_holds_them() {
    let instance = Instance::start().await;
    let client = &instance.client;
    let taken = client.put_run("one", &request(&["stock", "payments"], false, &[])).await.unwrap();
    assert!(taken.created);
    let problem = refusal(client.put_run("two", &request(&["payments"], false, &[])).await);
    assert_eq!((problem.status, problem.holder.as_deref()), (409, Some("one")));
    assert!(problem.kind.ends_with(":locked") && problem.detail.contains("payments"), "{problem}");
    let again = client.put_run("one", &request(&["stock", "payments"], false, &[])).await.unwrap();
    assert!(!again.created);
    client.put_run("one", &request(&["stock"], false, &[])).await.unwrap();
    assert!(client.put_run("two", &request(&["payments"], false, &[])).await.unwrap().created);
    let listed: wire::Runs = instance.get("/api/v1/runs").await.json();
    assert_eq!(listed.runs.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn a_run_acts_on_its_proxies_only_and_keeps_its_counters_when_it_is_switched_off() {
    let instance = Instance::start().await;
    let client = &instance.client;
    client.put_run("r", &request(&["stock"], false, &[rule("a")])).await.unwrap();
    assert!(instance.plan("stock").is_empty());
    client.put_run("r", &request(&["stock"], true, &[rule("a")])).await.unwrap();
    assert!(instance.plan("payments").is_empty());
    let suffering = instance.plan("stock");
    instance.api.metrics.request_received("stock");
    let run = client.get_run("r").await.unwrap().unwrap();
    assert_eq!((run.active, run.enabled, run.received["stock"]), (1, true, 1));
    let off = client.put_run("r", &request(&["stock"], false, &[rule("a")])).await.unwrap().run;
    assert!(suffering.is_released(0));
    assert_eq!(off.active, 1, "released, and not yet gone");
    drop(suffering);
    let run = client.get_run("r").await.unwrap().unwrap();
    assert_eq!((run.active, run.rules[0].counts.matched, run.rules[0].counts.released), (0, 1, 1));
    assert_eq!(run.instance, client.instance().await.unwrap().id);
}

#[tokio::test]
async fn changed_rules_replace_the_runs_layer() {
    let instance = Instance::start().await;
    let client = &instance.client;
    client.put_run("r", &request(&["stock"], true, &[rule("a")])).await.unwrap();
    let before = instance.plan("stock");
    let changed = client.put_run("r", &request(&["stock"], true, &[rule("b")])).await.unwrap();
    assert!(!changed.created && before.is_released(0));
    assert_eq!(changed.run.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn deleting_a_run_leaves_nothing_behind() {
    let instance = Instance::start().await;
    let client = &instance.client;
    client.put_run("r", &request(&["stock"], true, &[rule("a")])).await.unwrap();
    let suffering = instance.plan("stock");
    let left = client.delete_run("r").await.unwrap().unwrap();
    assert_eq!((left.active, left.enabled, suffering.is_released(0)), (1, false, true));
    assert_eq!(client.get_run("r").await.unwrap(), None);
    assert_eq!(client.delete_run("r").await.unwrap(), None);
    assert!(instance.plan("stock").is_empty());
    assert!(client.put_run("other", &request(&["stock"], false, &[])).await.unwrap().created);
}

#[tokio::test]
async fn faults_of_somebody_else_are_refused_unless_allowed() {
    let instance = Instance::start().await;
    let client = &instance.client;
    let rules = json!({ "rule": [rule_on("mine", "payments"), rule("everywhere")] });
    instance.send("PUT", "/api/v1/rules", "", &rules).await;
    let problem = refusal(client.put_run("r", &request(&["stock"], false, &[])).await);
    assert_eq!((problem.status, problem.rules), (409, vec!["api/everywhere".to_owned()]));
    let allowed = RunRequest { foreign: Foreign::Allow, ..request(&["stock"], false, &[]) };
    assert_eq!(client.put_run("r", &allowed).await.unwrap().run.foreign, ["api/everywhere"]);
    client.delete_run("r").await.unwrap();
    instance.post("/api/v1/rules/everywhere/disable").await;
    assert!(client.put_run("r", &request(&["stock"], false, &[])).await.is_ok());
    instance.post("/api/v1/rules/everywhere/enable").await;
    let renewed = client.put_run("r", &request(&["stock"], false, &[])).await.unwrap().run;
    assert_eq!(renewed.foreign, ["api/everywhere"], "a renewal tells, and does not fail half way through a run");
}

#[tokio::test]
async fn a_run_whose_faults_would_not_act_is_refused() {
    let instance = Instance::start().await;
    let client = &instance.client;
    client.put_run("r", &request(&["stock"], false, &[rule("a")])).await.unwrap();
    client.off().await.unwrap();
    let problem = refusal(client.put_run("r", &request(&["stock"], true, &[rule("a")])).await);
    assert!(problem.status == 409 && problem.kind.ends_with(":faults-off"), "{problem}");
    assert!(client.put_run("r", &request(&["stock"], false, &[rule("a")])).await.unwrap().run.off);
    assert!(client.put_run("lock", &request(&["payments"], true, &[])).await.is_ok(), "a lock alone injects nothing");
}

#[tokio::test]
async fn all_mistakes_of_a_run_are_told_at_once() {
    let ceilings = Ceilings { max_probability: 0.5, require_lease: true };
    let instance = Instance::with(Options { ceilings, ..Options::default() }).await;
    let body = json!({ "proxies": ["stok"], "foreign": "maybe", "rules": [], "rule": [rule_on("a", "payments")] });
    let (_, problem) = instance.send("PUT", "/api/v1/runs/r", "", &body).await.problem();
    let all = problem.to_string();
    let parts = [
        "did you mean \"stock\"?",
        "\"lease\" is missing",
        "\"maybe\"",
        "\"rules\"",
        "\"payments\"",
        "max_probability",
    ];
    for part in parts {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
    assert!(!all.contains("require_lease"), "a run's lease is its rules' lease\n{all}");
    let empty = json!({ "proxies": [], "lease": "0s" });
    let (_, problem) = instance.send("PUT", "/api/v1/runs/r", "", &empty).await.problem();
    assert_eq!(problem.problems.len(), 2, "{problem}");
    assert_eq!(instance.send("PUT", "/api/v1/runs/a%20b", "", &empty).await.status, 400);
}

#[tokio::test]
async fn a_run_that_is_gone_is_not_renewed_into_life() {
    let instance = Instance::start().await;
    let problem = refusal(instance.client.renew("r", &request(&["stock"], true, &[rule("a")])).await);
    assert!(problem.status == 412 && problem.kind.ends_with(":run-gone"), "{problem}");
    assert!(instance.plan("stock").is_empty());
    instance.client.put_run("r", &request(&["stock"], false, &[])).await.unwrap();
    assert!(!instance.client.renew("r", &request(&["stock"], false, &[])).await.unwrap().created);
}

/// An API without a socket, its sweeper running: under a paused clock only timers may be waited for.
fn swept() -> Arc<Api> {
    let api = api(Ceilings::default(), "127.0.0.1:1".parse().unwrap(), None, None);
    tokio::spawn(sweep(api.clone()));
    api
}

fn put(api: &Api, id: &str, enabled: bool) {
    let body = json!({ "proxies": ["stock"], "lease": "30s", "enabled": enabled, "rule": [rule("a")] });
    let wanted = wanted::read("PUT", &body, &api.proxies(), api.ceilings).unwrap();
    api.put_run(id, wanted, false, clock::now()).unwrap_or_else(|refusal| panic!("{refusal:?}"));
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_was_killed_leaves_no_fault_behind() {
    let api = swept();
    put(&api, "r", true);
    let suffering = plan(&api.store, "stock");
    assert_eq!(suffering.len(), 1);
    let started = clock::now();
    // Nothing renews: the suffering request is let go when the lease ends, by the sweeper alone.
    suffering.released(0).await;
    let waited = clock::now() - started;
    assert!((30.0..30.1).contains(&waited.as_secs_f64()), "{waited:?}");
    tokio::task::yield_now().await;
    assert!(api.run("r").is_none());
    assert!(plan(&api.store, "stock").is_empty());
    assert!(api.store.status().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_lives_as_long_as_it_is_renewed() {
    let api = swept();
    put(&api, "r", true);
    for _ in 0..10 {
        clock::sleep(Duration::from_secs(10)).await;
        put(&api, "r", true);
    }
    assert_eq!(plan(&api.store, "stock").len(), 1);
    clock::sleep(Duration::from_secs(29)).await;
    assert!(api.run("r").is_some());
    clock::sleep(Duration::from_secs(2)).await;
    assert!(api.run("r").is_none() && plan(&api.store, "stock").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lock_without_rules_ends_too_and_a_later_lease_does_not_wait_for_an_earlier_one() {
    let api = swept();
    let body = json!({ "proxies": ["stock"], "lease": "1h" });
    let wanted = wanted::read("PUT", &body, &api.proxies(), api.ceilings).unwrap();
    assert!(api.put_run("long", wanted, false, clock::now()).is_ok());
    // The sweeper now sleeps until the long lease ends.
    clock::sleep(Duration::from_secs(1)).await;
    let short = json!({ "rule": [{ "name": "s", "lease": "5s", "fault": [{ "kind": "error", "status": 503 }] }] });
    let problems = std::cell::RefCell::default();
    let node = Node::from_json(&short);
    let specs = crate::rules::read_rules(&mut crate::diagnostics::Reader::new("r", &node, "", &problems));
    api.store.replace(&Layer::Api, specs);
    clock::sleep(Duration::from_secs(6)).await;
    assert!(api.store.status()[0].expired);
    assert!(api.run("long").is_some());
    clock::sleep(Duration::from_secs(3600)).await;
    assert!(api.runs().get("long").is_none(), "the sweeper has ended it, nobody else looked");
}
