//! Reads `[[rule]]` tables, from whatever document they stand in: a rule file, an experiment, a JSON body.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::HeaderName;

use super::matcher::Conditions;
use super::path::PathPattern;
use super::pattern::{Pattern, regex};
use super::spec::{FaultSpec, Origin, RuleSpec};
use super::trigger::Trigger;
use crate::diagnostics::node::{Node, Value};
use crate::diagnostics::{FromNode, Reader};
use crate::faults;

/// More faults than anyone composes, and no more than a hit can keep account of.
pub const MAX_FAULTS: usize = 16;
const MAX_NAME: usize = 64;

/// Takes the `rule` array out of a document. Rules with a mistake are left out, their problems recorded.
pub fn read_rules(top: &mut Reader<'_>) -> Vec<RuleSpec> {
    let readers = top.tables("rule");
    let Some(Value::Array(nodes)) = top.node("rule").map(|node| &node.value) else { return Vec::new() };
    let mut first_lines: HashMap<Arc<str>, Option<usize>> = HashMap::new();
    let mut specs = Vec::with_capacity(nodes.len());
    for (reader, node) in readers.into_iter().zip(nodes) {
        let problems = reader.problems();
        let (before, line) = (problems.borrow().0.len(), reader.line());
        let Some(spec) = read_rule(reader, node) else { continue };
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
    let proxies = read_list(&mut reader, "proxy");
    let matching = reader.table("match").map(read_conditions).unwrap_or_default();
    let exclude = read_excludes(&mut reader, &owner);
    let probes = reader.or("probes", false);
    let trigger = reader.table("trigger").map(Trigger::read).unwrap_or_default();
    let concurrent = reader.table("limit").and_then(read_limit);
    let lease: Option<Duration> = reader.optional("lease");
    if lease.is_some_and(|lease| lease.is_zero()) {
        reader.reject("lease", "would be over at once", Some("a time above zero such as \"10m\""));
    }
    let enabled = reader.or("enabled", true);
    let faults = read_faults(&mut reader, &owner);
    let origin = Origin { file: reader.file().into(), line: reader.line() };
    reader.finish();
    let mut json = node.to_json();
    // What goes to another process must stand by itself.
    for (spec, written) in faults.iter().zip(json["fault"].as_array_mut().into_iter().flatten()) {
        spec.fault.inline(written);
    }
    Some(RuleSpec {
        name: name?,
        proxies,
        matching,
        exclude,
        probes,
        trigger,
        concurrent,
        lease,
        enabled,
        faults,
        origin,
        json,
    })
}

fn read_name(reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let name: String = reader.required("name", "\"slow-checkout\"")?;
    let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(sane) {
        let cure = format!("1 to {MAX_NAME} letters, digits, \"-\", \"_\" and \".\"");
        reader.reject("name", format!("{name:?} is not valid"), Some(&cure));
        return None;
    }
    Some(name.into())
}

/// One text or a list of them; an empty list, which nothing could match, is a mistake.
fn read_list(reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<String>> {
    let list: Vec<String> = reader.optional(key)?;
    if list.is_empty() {
        reader.reject(key, "is an empty list, which nothing matches", Some("leave it out to match everything"));
    }
    Some(list)
}

fn read_limit(mut reader: Reader<'_>) -> Option<u64> {
    let concurrent: Option<u64> = reader.optional("concurrent");
    if concurrent == Some(0) {
        reader.reject("concurrent", "0 lets nothing through", Some("a count from 1; enabled = false turns a rule off"));
    }
    reader.finish();
    concurrent
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

/// One table, or a list of which any may hold.
fn read_excludes(reader: &mut Reader<'_>, owner: &str) -> Vec<Conditions> {
    let Some(node) = reader.node("exclude") else { return Vec::new() };
    let one = std::slice::from_ref(node);
    let tables = if let Value::Array(tables) = &node.value { tables.as_slice() } else { one };
    let mut excludes = Vec::with_capacity(tables.len());
    for table in tables {
        let reader = Reader::new(reader.file(), table, format!("{owner}: exclude"), reader.problems());
        if matches!(&table.value, Value::Table(keys) if keys.is_empty()) {
            reader.complain("has no condition and would spare everything".to_owned(), Some("leave it out"));
        }
        excludes.push(read_conditions(reader));
    }
    excludes
}

/// Reads the conditions of a `match`, `exclude` or route table.
pub fn read_conditions(mut reader: Reader<'_>) -> Conditions {
    let conditions = Conditions {
        methods: each(&mut reader, "method", read_method),
        paths: each(&mut reader, "path", |text| {
            PathPattern::parse(text).map_err(|(problem, cure)| (problem, cure.to_owned()))
        }),
        path_regexes: each(&mut reader, "path_regex", |text| regex(text).map_err(|e| (e, REGEX.to_owned()))),
        hosts: each(&mut reader, "host", read_host),
        headers: read_values(&mut reader, "header", |name| {
            HeaderName::try_from(name).map_err(|_| "is not a header name")
        }),
        query: read_values(&mut reader, "query", |name| Ok(name.into())),
    };
    reader.finish();
    conditions
}

const REGEX: &str = "see docs.rs/regex for the syntax";

/// Reads a list of texts under `key` with a parser that knows what is wrong and the cure.
fn each<T>(reader: &mut Reader<'_>, key: &'static str, parse: impl Fn(&str) -> Result<T, (String, String)>) -> Vec<T> {
    let mut items = Vec::new();
    for text in read_list(reader, key).unwrap_or_default() {
        match parse(&text) {
            Ok(item) => items.push(item),
            Err((problem, cure)) => reader.reject(key, format!("{text:?} {problem}"), Some(&cure)),
        }
    }
    items
}

fn read_method(text: &str) -> Result<Method, (String, String)> {
    const COMMON: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    let upper = text.to_ascii_uppercase();
    if upper != text && COMMON.contains(&upper.as_str()) {
        return Err(("would match no request: methods are case-sensitive".to_owned(), format!("write {upper:?}")));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| ("is not a method".to_owned(), "such as \"POST\"".to_owned()))
}

fn read_host(text: &str) -> Result<Pattern, (String, String)> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let (text, plain) = match text.strip_prefix('~') {
        Some(expression) => (format!("~(?i){expression}"), false),
        None => (text.to_ascii_lowercase(), true),
    };
    // The colons of a bare IPv6 address are not followed by a port.
    if plain
        && let Some((host, port)) = text.rsplit_once(':')
        && is_port(port)
        && (host.ends_with(']') || !host.contains(':'))
    {
        return Err(("has a port".to_owned(), format!("hosts are compared without it: write {host:?}")));
    }
    Pattern::parse(&text).map_err(|problem| (problem, REGEX.to_owned()))
}

/// Reads a table of names to one or several patterns.
fn read_values<K>(
    reader: &mut Reader<'_>,
    key: &'static str,
    name: impl Fn(&str) -> Result<K, &'static str>,
) -> Vec<(K, Vec<Pattern>)> {
    if !reader.has(key) {
        reader.node(key);
        return Vec::new();
    }
    let mut values = Vec::new();
    for (written, node) in reader.table(key).iter_mut().flat_map(Reader::entries) {
        let complain = |message: String, cure: &str| {
            reader.complain_at(node.line, format!("{key}: {message}"), Some(cure));
        };
        let texts = match Vec::<String>::from_node(node) {
            Ok(texts) if !texts.is_empty() => texts,
            _ => {
                complain(format!("{written} is not valid"), "expected a text in quotes, or a list of such");
                continue;
            }
        };
        let mut patterns = Vec::with_capacity(texts.len());
        for text in texts {
            match Pattern::parse(&text) {
                Ok(pattern) => patterns.push(pattern),
                Err(problem) => complain(format!("{written} = {text:?} {problem}"), REGEX),
            }
        }
        match name(written) {
            Ok(name) => values.push((name, patterns)),
            Err(problem) => complain(format!("\"{written}\" {problem}"), "for example x-tenant"),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Request, read, rule, rules};
    use super::super::{PROBE_AGENT, Trigger};
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
        assert_eq!((spec.trigger.clone(), spec.concurrent), (Trigger::Probability(0.25), Some(50)));
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
limit = { concurrent = 0, total = 7 }
lease = "0s"
exclude = {}

[[rule]]
name = "twice"
match = { header = { "x y" = "a", x-z = ["~["] }, query = { q = 7 } }
schedule = { duration = "30s" }
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
r.toml:10: rule: limit: concurrent: 0 lets nothing through (a count from 1; enabled = false turns a rule off)
r.toml:10: rule: limit: unknown key "total" (known keys: concurrent)
r.toml:11: rule: lease: would be over at once (a time above zero such as "10m")
r.toml:8: rule: has no fault (add [[rule.fault]] with kind = "latency", for example)
r.toml:16: rule "twice": match: header: "x y" is not a header name (for example x-tenant)
r.toml:16: rule "twice": match: header: x-z = "~[" is not a regular expression: unclosed character class (see docs.rs/regex for the syntax)
r.toml:16: rule "twice": match: query: q is not valid (expected a text in quotes, or a list of such)
r.toml:17: rule "twice": unknown key "schedule" (known keys: name, proxy, match, exclude, probes, trigger, limit, lease, enabled, fault)
r.toml:23: rule "twice": trigger: probability = "140%" is not valid (expected a share from 0 to 1 such as 0.25 or "25%")
r.toml:25: rule "twice": fault: kind: there is no "gremlin" (known kinds: latency, error, timeout, slow-body, abort, truncate, corrupt, malformed, header, body, rate-limit, duplicate, goaway, stream-reset)
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
