//! Reads `[[rule]]` tables, from whatever document they stand in: a rule file, an experiment, a JSON body.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::conditions::{read_any_of, read_list, read_match};
use super::defaults::Defaults;
use super::limit::Limits;
use super::schedule::Schedule;
use super::spec::{FaultSpec, Origin, RuleSpec};
use super::trigger::Trigger;
use super::vain;
use crate::diagnostics::Reader;
use crate::diagnostics::node::{Node, Value};
use crate::faults;

/// More faults than anyone composes, and no more than a hit can keep account of.
pub const MAX_FAULTS: usize = 16;
const MAX_NAME: usize = 64;

/// Takes the `rule` array out of a document, and the `defaults` that they refer to. Rules with a mistake are left out,
/// their problems recorded.
pub fn read_rules(top: &mut Reader<'_>) -> Vec<RuleSpec> {
    let defaults = Defaults::read(top);
    // Complains if it is no list of tables.
    let _ = top.tables("rule");
    let Some(Value::Array(nodes)) = top.node("rule").map(|node| &node.value) else { return Vec::new() };
    let mut first_lines: HashMap<Arc<str>, Option<usize>> = HashMap::new();
    let mut specs = Vec::with_capacity(nodes.len());
    for node in nodes {
        let problems = top.problems();
        let (before, line) = (problems.borrow().0.len(), node.line);
        let node = defaults.applied_to(node, top);
        let reader = Reader::new(top.file(), &node, "rule", problems);
        let Some(spec) = read_rule(reader, &node) else { continue };
        if let Some(first) = first_lines.get(&spec.name) {
            // JSON has no lines.
            let first = first.map_or_else(|| "an earlier rule".to_owned(), |line| format!("the rule of line {line}"));
            let message = format!("rule \"{}\": has the name of {first}", spec.name);
            top.complain_at(line, message, Some("names are unique within a layer"));
        } else {
            first_lines.insert(spec.name.clone(), line);
        }
        if problems.borrow().0.len() == before {
            specs.push(spec);
        }
    }
    specs
}

/// Reads one rule. `Some` does not mean that there was no problem; `None` means that it has no usable name.
fn read_rule(mut reader: Reader<'_>, node: &Node) -> Option<RuleSpec> {
    let name = read_name(&mut reader);
    let owner = name.as_ref().map_or_else(|| "rule".to_owned(), |name| format!("rule \"{name}\""));
    reader.rename(owner.clone());
    let groups = read_groups(&mut reader);
    let proxies = read_list(&mut reader, "proxy");
    let matching = reader.table("match").map(read_match).unwrap_or_default();
    let exclude = read_any_of(&mut reader, "exclude", &owner);
    let probes = reader.or("probes", false);
    let trigger = reader.table("trigger").map(Trigger::read).unwrap_or_default();
    let limits = reader.table("limit").map(Limits::read).unwrap_or_default();
    let schedule = reader.table("schedule").map(Schedule::read).unwrap_or_default();
    let lease: Option<Duration> = reader.optional("lease");
    if lease.is_some_and(|lease| lease.is_zero()) {
        reader.reject("lease", "would be over at once", Some("a time above zero such as \"10m\""));
    }
    let enabled = reader.or("enabled", true);
    let faults = read_faults(&mut reader, &owner);
    vain::complain(&reader, &matching, &schedule, &faults);
    let origin = Origin { file: reader.file().into(), line: reader.line() };
    reader.finish();
    let mut json = node.to_json();
    // What goes to another process must stand by itself.
    for (spec, written) in faults.iter().zip(json["fault"].as_array_mut().into_iter().flatten()) {
        spec.fault.inline(written);
    }
    Some(RuleSpec {
        name: name?,
        groups,
        proxies,
        matching,
        exclude,
        probes,
        trigger,
        limits,
        schedule,
        lease,
        enabled,
        faults,
        origin,
        json,
    })
}

fn read_name(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let name: String = reader.required("name", "\"slow-checkout\"")?;
    is_name(reader, "name", &name).then(|| name.into())
}

/// Whether a name can stand in labels, paths and marks; complains if not.
fn is_name(reader: &Reader<'_>, key: &str, name: &str) -> bool {
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(sane);
    if !is_name {
        let cure = format!("1 to {MAX_NAME} letters, digits, \"-\", \"_\" and \".\"");
        reader.reject(key, format!("{name:?} is not valid"), Some(&cure));
    }
    is_name
}

fn read_groups(reader: &mut Reader<'_>) -> Vec<String> {
    let mut groups: Vec<String> = reader.or("group", Vec::new());
    groups.retain(|group| is_name(reader, "group", group));
    groups
}

fn read_faults(reader: &mut Reader<'_>, owner: &str) -> Vec<FaultSpec> {
    let tables = reader.tables("fault");
    if tables.is_empty() {
        reader.complain("has no fault".to_owned(), Some("add [[rule.fault]] with kind = \"latency\", for example"));
    } else if tables.len() > MAX_FAULTS {
        reader.complain(format!("has {} faults", tables.len()), Some(&format!("at most {MAX_FAULTS}")));
    }
    let compiled = tables.into_iter().filter_map(|table| faults::compile(table, owner));
    compiled.map(|(kind, fault)| FaultSpec::new(kind, fault)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PROBE_AGENT;
    use super::super::testing::{Request, read, rule, rules};
    use super::super::trigger::How;
    use super::*;
    use crate::diagnostics::Node;

    const FULL: &str = r#"
[[rule]]
name     = "slow-checkout"
proxy    = "payments"
match    = { method = ["POST"], path = "/api/checkout/**", header = { x-tenant = "beta-*" } }
exclude  = { path = ["/api/checkout/healthz", "/readyz"] }
trigger  = { probability = 0.25 }
limit    = { concurrent = 50 }
lease    = "10m"

[[rule.fault]]
kind  = "latency"
delay = { distribution = "percentiles", p50 = "80ms", p90 = "200ms", p99 = "900ms" }
"#;

    #[test]
    fn a_rule_is_read_as_it_was_written() {
        let spec = rules(FULL).remove(0);
        assert_eq!((&*spec.name, spec.origin.to_string()), ("slow-checkout", "r.toml:2".to_owned()));
        assert_eq!((spec.trigger.how.clone(), spec.limits.concurrent), (How::Probability(0.25), Some(50)));
        assert_eq!((spec.lease, spec.enabled, spec.probes), (Some(Duration::from_secs(600)), true, false));
        assert_eq!(spec.faults[0].kind, "latency");
        assert_eq!(spec.json["match"]["header"]["x-tenant"], "beta-*");
        let request = Request::new("POST", "/api/checkout/7").header("x-tenant", "beta-1");
        assert_eq!(spec.spares("payments", &request.view()), None);
        assert_eq!(spec.spares("stock", &request.view()).unwrap().to_string(), "it acts on another proxy");
        let healthz = Request::new("POST", "/api/checkout/healthz").header("x-tenant", "beta-1");
        assert_eq!(spec.spares("payments", &healthz.view()).unwrap().to_string(), "exclude covers it");
        let other = Request::new("POST", "/api/checkout/7").header("x-tenant", "gamma");
        assert_eq!(spec.spares("payments", &other.view()).unwrap().to_string(), "header x-tenant does not match");
    }

    #[test]
    fn a_rule_reads_the_same_from_its_own_json() {
        let spec = rules(FULL).remove(0);
        let body = serde_json::json!({ "rule": [spec.json] });
        let problems = std::cell::RefCell::default();
        let node = Node::from_json(&body);
        let again = read_rules(&mut Reader::new("PUT /api/v1/rules", &node, "", &problems)).remove(0);
        assert!(problems.into_inner().is_empty() && again.same_content(&spec));
        assert_eq!(again.origin.to_string(), "PUT /api/v1/rules");
    }

    #[test]
    fn two_rules_of_one_name_are_told_also_where_there_are_no_lines() {
        let spec = rules(FULL).remove(0);
        let body = serde_json::json!({ "rule": [spec.json.clone(), spec.json] });
        let problems = std::cell::RefCell::default();
        let kept = read_rules(&mut Reader::new("PUT /api/v1/rules", &Node::from_json(&body), "", &problems));
        assert_eq!(kept.len(), 1);
        assert_eq!(
            problems.into_inner().to_string(),
            "PUT /api/v1/rules: rule \"slow-checkout\": has the name of an earlier rule (names are unique within a layer)"
        );
    }

    #[test]
    fn any_of_several_excludes_spares_a_request() {
        let exclude = "exclude = [{ path = \"/a\" }, { method = \"PUT\", path = \"/b\" }]";
        let spec = rules(&rule("r", exclude)).remove(0);
        let spared = |method, path| spec.spares("p", &Request::new(method, path).view()).is_some();
        assert!(spared("GET", "/a") && spared("PUT", "/b") && !spared("GET", "/b"));
    }

    #[test]
    fn probes_of_a_kubelet_are_spared_unless_the_rule_says_otherwise() {
        let probe = Request::get("/").header("user-agent", &format!("{PROBE_AGENT}1.31"));
        let reason = rules(&rule("r", "")).remove(0).spares("p", &probe.view()).unwrap().to_string();
        assert_eq!(reason, "user agents kube-probe/* are spared unless probes = true");
        assert_eq!(rules(&rule("r", "probes = true")).remove(0).spares("p", &probe.view()), None);
    }

    #[test]
    fn only_a_changed_content_is_a_changed_rule() {
        let one = |toml: &str| rules(toml).remove(0);
        let base = one(&rule("r", "lease = \"1m\""));
        assert!(base.same_content(&one(&rule("r", "enabled = false\n# a comment\nlease = \"1m\""))));
        assert!(!base.same_content(&one(&rule("r", "lease = \"2m\""))));
        assert!(!base.same_content(&one(&rule("r", ""))));
        assert!(!one(&rule("r", "")).same_content(&base));
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_place_value_and_cure() {
        let toml = r#"[[rule]]
proxy = []
match = { method = "post", path = ["api", "/a?b"], path_regex = "(", host = "shop:80", headr = {} }
[[rule.fault]]
kind = "latency"
dely = "80ms"

[[rule]]
name = "a b"
limit = { concurrent = 0, totl = 7 }
lease = "0s"
exclude = {}

[[rule]]
name = "twice"
match = { header = { "x y" = "a", x-z = ["~["] }, query = { q = 7 } }
shedule = { duration = "30s" }
[[rule.fault]]
kind = "error"
status = 503
[[rule]]
name = "twice"
trigger = { probability = "140%" }
[[rule.fault]]
kind = "gremlin"
"#;
        let problems = read(toml).unwrap_err().to_string();
        let expected = r#"r.toml:1: rule: "name" is missing (for example name = "slow-checkout")
r.toml:2: rule: proxy: is an empty list, which nothing matches (leave it out to match everything)
r.toml:3: rule: match: method: "post" would match no request: methods are case-sensitive (write "POST")
r.toml:3: rule: match: path: "api" does not begin with "/" (paths begin with a slash, such as "/api/**")
r.toml:3: rule: match: path: "/a?b" holds a "?", which no path does (put the query into match = { query = .. })
r.toml:3: rule: match: path_regex: "(" is not a regular expression: unclosed group (see docs.rs/regex for the syntax)
r.toml:3: rule: match: host: "shop:80" has a port (hosts are compared without it: write "shop")
r.toml:3: rule: match: unknown key "headr" (did you mean "header"?)
r.toml:4: rule: fault "latency": "delay" is missing (for example delay = "80ms")
r.toml:6: rule: fault "latency": unknown key "dely" (did you mean "delay"?)
r.toml:9: rule: name: "a b" is not valid (1 to 64 letters, digits, "-", "_" and ".")
r.toml:12: rule: exclude: has no condition and would spare everything (leave it out)
r.toml:10: rule: limit: concurrent: 0 lets nothing through (more than 0; enabled = false turns a rule off)
r.toml:10: rule: limit: unknown key "totl" (did you mean "total"?)
r.toml:11: rule: lease: would be over at once (a time above zero such as "10m")
r.toml:8: rule: has no fault (add [[rule.fault]] with kind = "latency", for example)
r.toml:16: rule "twice": match: header: "x y" is not a header name (for example x-tenant)
r.toml:16: rule "twice": match: header: x-z = "~[" is not a regular expression: unclosed character class (see docs.rs/regex for the syntax)
r.toml:16: rule "twice": match: query: q is not valid (expected a text in quotes, a list of such, true, false or { not = .. })
r.toml:17: rule "twice": unknown key "shedule" (did you mean "schedule"?)
r.toml:23: rule "twice": trigger: probability = "140%" is not valid (expected a share from 0 to 1 such as 0.25 or "25%")
r.toml:25: rule "twice": fault: kind: there is no "gremlin" (known kinds: latency, error, timeout, slow-body, abort, truncate, corrupt, malformed, header, body, rate-limit, duplicate, goaway, stream-reset, websocket)
r.toml:21: rule "twice": has the name of the rule of line 14 (names are unique within a layer)"#;
        let (problems, expected) = (problems.lines().collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>());
        for (problem, expected) in problems.iter().zip(&expected) {
            assert_eq!(problem, expected);
        }
        assert_eq!(problems.len(), expected.len());
    }

    #[test]
    fn a_document_without_rules_has_none_and_one_with_a_wrong_shape_says_so() {
        assert!(rules("").is_empty());
        assert!(read("rule = 7").unwrap_err().to_string().contains("write [[rule]]"));
        assert!(read("[rule]\nname = \"a\"").unwrap_err().to_string().contains("write [[rule]]"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(name in "\\PC{0,12}", path in "\\PC{0,12}", value in "\\PC{0,12}") {
            let body = serde_json::json!({ "rule": [{
                "name": name, "match": { "path": path, "host": value, "header": { path: value } }, "fault": [{ "kind": name }],
            }] });
            let problems = std::cell::RefCell::default();
            read_rules(&mut Reader::new("f", &Node::from_json(&body), "", &problems));
        }
    }
}
