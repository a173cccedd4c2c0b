//! Finds the rules that may match a request, without looking at each: by proxy, host and path.

use smallvec::SmallVec;

use super::hash::FastMap;
use super::matcher::lowered;
use super::path::{PathPattern, Segment};
use super::spec::RuleSpec;
use super::trie::{Posts, Trie};
use crate::faults::RequestView;

/// Numbers of rules, ascending, each once: composition order.
pub(super) type Candidates = SmallVec<[u32; 16]>;

/// An index over the rules of one layer.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_proxy: FastMap<Box<str>, ByHost>,
    any_proxy: ByHost,
}

/// The rules of one proxy.
#[derive(Debug, Default)]
struct ByHost {
    /// Rules all of whose hosts are plain texts.
    by_host: FastMap<Box<[u8]>, ByPath>,
    any_host: ByPath,
}

/// The rules of one host.
#[derive(Debug, Default)]
struct ByPath {
    /// Rules without a path pattern: always looked at.
    always: Posts,
    /// Paths without wildcards.
    literal: FastMap<Box<str>, Posts>,
    patterns: Option<Box<Trie>>,
}

impl Index {
    /// An index over these rules by their numbers, which ascend.
    pub(super) fn new<'a>(rules: impl IntoIterator<Item = (u32, &'a RuleSpec)>) -> Self {
        let mut index = Self::default();
        for (number, rule) in rules {
            match &rule.proxies {
                None => index.any_proxy.insert(rule, number),
                Some(proxies) => {
                    for proxy in proxies {
                        index.by_proxy.entry(proxy.as_str().into()).or_default().insert(rule, number);
                    }
                }
            }
        }
        index
    }

    /// Every rule that matches the request, and some that do not.
    pub(super) fn candidates(&self, proxy: &str, request: &RequestView<'_>) -> Candidates {
        let mut found = Candidates::new();
        self.any_proxy.find(request, &mut found);
        if let Some(own) = self.by_proxy.get(proxy) {
            own.find(request, &mut found);
        }
        // Several lists may have contributed, and a rule with several paths may stand in them twice.
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl ByHost {
    fn insert(&mut self, rule: &RuleSpec, number: u32) {
        let exact: Option<Vec<&[u8]>> = rule.matching.hosts.iter().map(|host| host.exact()).collect();
        match exact {
            Some(hosts) if !hosts.is_empty() => {
                for host in hosts {
                    self.by_host.entry(host.into()).or_default().insert(rule, number);
                }
            }
            _ => self.any_host.insert(rule, number),
        }
    }

    fn find(&self, request: &RequestView<'_>, found: &mut Candidates) {
        self.any_host.find(request.path, found);
        if !self.by_host.is_empty()
            && let Some(own) = self.by_host.get(&*lowered(request.host))
        {
            own.find(request.path, found);
        }
    }
}

impl ByPath {
    fn insert(&mut self, rule: &RuleSpec, number: u32) {
        if rule.matching.paths.is_empty() {
            return self.insert_pathless(rule, number);
        }
        for path in &rule.matching.paths {
            match literal(path) {
                Some(text) => self.literal.entry(text.into()).or_default().push(number),
                None => self.patterns.get_or_insert_default().insert(path.segments(), number),
            }
        }
    }

    /// gRPC calls that are named in full have one path each.
    fn insert_pathless(&mut self, rule: &RuleSpec, number: u32) {
        let calls: Option<Vec<&str>> =
            rule.matching.grpc.iter().map(|call| std::str::from_utf8(call.exact()?).ok()).collect();
        match calls {
            Some(calls) if !calls.is_empty() => {
                for call in calls {
                    self.literal.entry(format!("/{call}").into()).or_default().push(number);
                }
            }
            _ => self.always.push(number),
        }
    }

    fn find(&self, path: &str, found: &mut Candidates) {
        found.extend_from_slice(&self.always);
        if !self.literal.is_empty()
            && let Some(own) = self.literal.get(path)
        {
            found.extend_from_slice(own);
        }
        if let Some(patterns) = &self.patterns {
            patterns.find(path, found);
        }
    }
}

/// The only path that the pattern covers, if there is only one.
fn literal(path: &PathPattern) -> Option<String> {
    let texts = path.segments().iter().map(|segment| match segment {
        Segment::Literal(text) => Some(&**text),
        _ => None,
    });
    texts.collect::<Option<Vec<_>>>().map(|texts| texts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{Request, rule, rules};
    use super::*;

    /// A rule for each of these bodies.
    fn indexed(bodies: &[String]) -> (Vec<RuleSpec>, Index) {
        let toml = bodies.iter().enumerate().map(|(n, body)| rule(&format!("r{n}"), body)).collect::<String>();
        let rules = rules(&toml);
        let index = Index::new((0..).zip(&rules));
        (rules, index)
    }

    #[test]
    fn a_rule_is_found_by_each_of_its_proxies_hosts_and_paths_and_only_once() {
        let (_, index) = indexed(&[
            "proxy = [\"a\", \"b\"]\nmatch = { path = [\"/x\", \"/x\", \"/{y}\"], host = [\"h\", \"I\"] }".to_owned(),
            String::new(),
            "match = { host = \"*.example\" }".to_owned(),
        ]);
        let found = |proxy: &str, request: Request| index.candidates(proxy, &request.view()).to_vec();
        assert_eq!(found("a", Request::get("/x").host("H")), [0, 1, 2]);
        assert_eq!(found("b", Request::get("/z").host("i")), [0, 1, 2]);
        assert_eq!(found("c", Request::get("/x").host("h")), [1, 2]);
        assert_eq!(found("a", Request::get("/x").host("j")), [1, 2]);
        assert_eq!(found("a", Request::get("/x/y").host("h")), [1, 2]);
    }

    #[test]
    fn a_thousand_rules_of_any_shape_leave_few_candidates() {
        for shape in [
            "path = \"/t{n}/x\"",
            "path = \"/t{n}/**\"",
            "path = \"/api/t{n}/{{id}}\"",
            "path = \"/files/t{n}-*\"",
            "path = \"/**/t{n}\"",
            "host = \"t{n}.example\"",
        ] {
            let bodies = (0..1000)
                .map(|n| format!("match = {{ {} }}", shape.replace("{n}", &n.to_string()).replace("{{id}}", "{id}")));
            let (_, index) = indexed(&bodies.collect::<Vec<_>>());
            for path in ["/t7/x", "/api/t7/9", "/files/t7-1", "/a/b/t7", "/none"] {
                let request = Request::get(path).host("t7.example");
                assert!(index.candidates("p", &request.view()).len() <= 1, "{shape} on {path}");
            }
        }
    }

    /// A rule that asks for one of everything, or for nothing of it.
    fn any_conditions() -> impl Strategy<Value = String> {
        let one_of = |all: &[&'static str]| prop::sample::select(all.to_vec());
        (
            one_of(&["", "method = \"GET\",", "method = [\"POST\", \"PUT\"],"]),
            one_of(&["", "path = \"/s.T/m\",", "path = [\"/a\", \"/s.T/*\"],", "path_regex = \"^/s\","]),
            one_of(&["", "host = \"h\",", "host = [\"h\", \"g*\"],"]),
            one_of(&["", "client = \"10.0.0.0/8\",", "client = [\"11.0.0.1\", \"10.0.0.1\"],"]),
            one_of(&["", "grpc = \"s.T/m\",", "grpc = [\"s.T/m\", \"a\\\\.b/c\"],", "grpc = \"s.T/*\","]),
            one_of(&[
                "",
                "header = { x = \"1\" },",
                "header = { x = true },",
                "header = { x = false, y = { not = \"2\" } },",
            ]),
            one_of(&["", "cookie = { c = \"1*\" },", "cookie = { c = { not = [\"1\", \"~2\"] } },"]),
            one_of(&["", "query = { q = true },", "query = { q = \"v\" },"]),
            one_of(&["", "not = { method = \"GET\" },", "not = [{ host = \"h\" }, { header = { x = true } }],"]),
            one_of(&[
                "",
                "json = { \"/a\" = 1 },",
                "json = { \"/a\" = { not = 1 } },",
                "json = { \"/b\" = { present = true } },",
            ]),
        )
            .prop_map(|(a, b, c, d, e, f, g, h, i, j)| format!("match = {{ {a}{b}{c}{d}{e}{f}{g}{h}{i}{j} }}"))
    }

    fn any_request() -> impl Strategy<Value = Request> {
        let one_of = |all: &[&'static str]| prop::sample::select(all.to_vec());
        let body =
            prop::sample::select(vec![None, Some(serde_json::json!({ "a": 1 })), Some(serde_json::json!({ "b": 2 }))]);
        let headers = (any::<bool>(), one_of(&["", "1", "2"]), one_of(&["", "c=1", "c=2; d=1"]));
        let head =
            (one_of(&["GET", "POST"]), one_of(&["/s.T/m", "/s.T/m?q=v", "/a?q", "/a.b/c"]), one_of(&["h", "g", ""]));
        (head, one_of(&["10.0.0.1", "12.0.0.1"]), headers, body).prop_map(|(head, client, headers, body)| {
            let (method, target, host) = head;
            let (is_grpc, x, cookie) = headers;
            let mut request = Request::new(method, target).host(host).client(client);
            for (name, value) in
                [("content-type", if is_grpc { "application/grpc" } else { "" }), ("x", x), ("cookie", cookie)]
            {
                if !value.is_empty() {
                    request = request.header(name, value);
                }
            }
            body.iter().fold(request, Request::json)
        })
    }

    fn a_path() -> impl Strategy<Value = String> {
        let segment = prop::sample::select(vec!["a", "b", "ab", "abc", ""]);
        prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn a_rule() -> impl Strategy<Value = String> {
        let segment =
            prop::sample::select(vec!["a", "b", "ab", "abc", "", "*", "a*", "ab*", "*c", "{x}", "a{x}", "**"]);
        let path = prop::collection::vec(segment, 0..5).prop_map(|segments| format!("\"/{}\"", segments.join("/")));
        let paths = prop::collection::vec(path, 0..3);
        let host = prop::sample::select(vec!["", "host = \"h\",", "host = [\"h\", \"g*\"],", "host = \"G\","]);
        let proxy = prop::sample::select(vec!["", "proxy = \"p\"\n", "proxy = [\"q\", \"p\"]\n", "proxy = \"q\"\n"]);
        (proxy, host, paths).prop_map(|(proxy, host, paths)| {
            let paths = if paths.is_empty() { String::new() } else { format!("path = [{}]", paths.join(", ")) };
            format!("{proxy}match = {{ {host} {paths} }}")
        })
    }

    proptest! {
        #[test]
        fn looking_up_finds_what_looking_at_every_rule_finds(
            bodies in prop::collection::vec(any_conditions(), 1..12),
            request in any_request(),
        ) {
            let (rules, index) = indexed(&bodies);
            let view = request.view();
            let spares = |number: &u32| rules[*number as usize].spares("p", &view).is_some();
            let found: Vec<u32> = index.candidates("p", &view).into_iter().filter(|number| !spares(number)).collect();
            let naive: Vec<u32> = (0..rules.len() as u32).filter(|number| !spares(number)).collect();
            prop_assert_eq!(found, naive);
        }

        #[test]
        fn the_index_never_misses_a_rule_that_matches(
            bodies in prop::collection::vec(a_rule(), 1..12),
            path in a_path(),
            host in prop::sample::select(vec!["h", "H", "g", "gg", ""]),
            proxy in prop::sample::select(vec!["p", "q", "r"]),
        ) {
            let (rules, index) = indexed(&bodies);
            let request = Request::get(&path).host(host);
            let candidates = index.candidates(proxy, &request.view());
            prop_assert!(candidates.is_sorted_by(|a, b| a < b));
            for (number, rule) in (0u32..).zip(&rules) {
                let matches = rule.spares(proxy, &request.view()).is_none();
                prop_assert!(!matches || candidates.contains(&number), "{} on {} {}", rule.json, proxy, path);
                prop_assert!(!candidates.contains(&number) || rule.acts_on(proxy), "candidates act on the proxy");
            }
        }
    }
}
