//! What a run asks for: the body of `PUT /api/v1/runs/{id}`, read and checked.

use std::cell::RefCell;
use std::time::Duration;

use super::instance::cure_for_unknown;
use crate::client::wire::{Foreign, Proxy};
use crate::diagnostics::{Node, Problems, Reader};
use crate::rules::{self, Ceilings, RuleSpec};

/// A run's wishes, every value known.
pub(super) struct Wanted {
    pub(super) proxies: Vec<String>,
    pub(super) lease: Duration,
    pub(super) enabled: bool,
    pub(super) foreign: Foreign,
    /// Ready for the store: on the locked proxies only, on the run's lease, off if the run is.
    pub(super) rules: Vec<RuleSpec>,
    /// The rules as sent.
    pub(super) json: serde_json::Value,
}

/// Reads a body; every mistake at once.
pub(super) fn read(
    request: &str,
    json: &serde_json::Value,
    known: &[Proxy],
    ceilings: Ceilings,
) -> Result<Wanted, Problems> {
    let node = Node::from_json(json);
    let problems = RefCell::default();
    let mut top = Reader::new(request, &node, "", &problems);
    let proxies = top.required::<Vec<String>>("proxies", "[\"inventory\"]");
    check_proxies(&mut top, proxies.as_deref().unwrap_or_default(), known);
    let lease = top.required::<Duration>("lease", "\"30s\"");
    if lease.is_some_and(|lease| lease.is_zero()) {
        top.reject("lease", "would be over at once", Some("a time above zero such as \"30s\""));
    }
    let enabled = top.or("enabled", true);
    let foreign = read_foreign(&mut top);
    let specs = rules::read_rules(&mut top);
    top.finish();
    let mut problems = problems.into_inner();
    let (proxies, lease) = (proxies.unwrap_or_default(), lease.unwrap_or_default());
    let rules = bound(specs, &proxies, lease, enabled, &mut problems);
    problems.extend(ceilings.problems(&rules));
    if problems.is_empty() {
        problems.extend(rules::check::couples(&rules));
    }
    let json = json.get("rule").cloned().unwrap_or_else(|| serde_json::json!([]));
    problems.or(Wanted { proxies, lease, enabled, foreign, rules, json })
}

fn check_proxies(top: &mut Reader<'_>, proxies: &[String], known: &[Proxy]) {
    if top.has("proxies") && proxies.is_empty() {
        top.reject("proxies", "is empty: there is nothing to lock", Some("for example [\"inventory\"]"));
    }
    for proxy in proxies {
        if let Some(cure) = cure_for_unknown(proxy, known) {
            top.reject("proxies", format!("there is no proxy \"{proxy}\""), Some(&cure));
        }
    }
}

fn read_foreign(top: &mut Reader<'_>) -> Foreign {
    match top.optional::<String>("foreign").as_deref() {
        None | Some("refuse") => Foreign::Refuse,
        Some("allow") => Foreign::Allow,
        Some(other) => {
            top.reject("foreign", format!("\"{other}\" is not valid"), Some("\"refuse\" or \"allow\""));
            Foreign::Refuse
        }
    }
}

/// Ties rules to their run: to its proxies, and to its lease alone, for they live as long as it does.
fn bound(
    mut rules: Vec<RuleSpec>,
    proxies: &[String],
    lease: Duration,
    enabled: bool,
    problems: &mut Problems,
) -> Vec<RuleSpec> {
    for rule in &mut rules {
        for other in rule.proxies.iter().flatten().filter(|name| !proxies.contains(name)) {
            let message = format!("rule \"{}\": proxy \"{other}\" is not one that the run locks", rule.name);
            problems.extend(Problems::one(rule.origin.file.to_string(), message, Some("add it to proxies")));
        }
        rule.proxies.get_or_insert_with(|| proxies.to_vec());
        rule.lease = Some(lease);
        rule.enabled &= enabled;
    }
    rules
}
