//! Whether a request meets all conditions of a `match` or `exclude` table.

use std::fmt;

use http::Method;
use http::header::HeaderName;
use regex::bytes::Regex;
use smallvec::SmallVec;

use super::path::PathPattern;
use super::pattern::Pattern;
use crate::faults::RequestView;

/// The conditions of one table. All that are given must hold; one that lists several values holds if any does.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Methods, case-sensitive.
    pub(super) methods: Vec<Method>,
    /// Patterns for the raw path.
    pub(super) paths: Vec<PathPattern>,
    /// Regular expressions that are searched for in the raw path.
    pub(super) path_regexes: Vec<Regex>,
    /// Patterns for the host without its port, in lower case.
    pub(super) hosts: Vec<Pattern>,
    /// Patterns for the values of a header: any of its values may match any of them.
    pub(super) headers: Vec<(HeaderName, Vec<Pattern>)>,
    /// Patterns for the raw values of a query parameter.
    pub(super) query: Vec<(Box<str>, Vec<Pattern>)>,
}

/// The first condition that a request does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet<'a> {
    /// None of the methods.
    Method,
    /// None of the hosts.
    Host,
    /// None of the path patterns.
    Path,
    /// None of the regular expressions.
    PathRegex,
    /// No value of this header.
    Header(&'a str),
    /// No value of this query parameter.
    Query(&'a str),
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::PathRegex => f.write_str("path_regex"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
        }
    }
}

impl Conditions {
    /// Whether no condition is given, so that every request meets them.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty()
            && self.paths.is_empty()
            && self.path_regexes.is_empty()
            && self.hosts.is_empty()
            && self.headers.is_empty()
            && self.query.is_empty()
    }

    /// Whether the request meets all conditions.
    pub fn hold(&self, request: &RequestView<'_>) -> bool {
        self.unmet(request).is_none()
    }

    /// The first condition that the request does not meet, the cheap ones looked at first.
    pub fn unmet(&self, request: &RequestView<'_>) -> Option<Unmet<'_>> {
        fn lacks<T>(wanted: &[T], is: impl FnMut(&T) -> bool) -> bool {
            !wanted.is_empty() && !wanted.iter().any(is)
        }
        if lacks(&self.methods, |method| method == request.method) {
            return Some(Unmet::Method);
        }
        if lacks(&self.paths, |path| path.matches(request.path)) {
            return Some(Unmet::Path);
        }
        if !self.hosts.is_empty() && !host_is_among(&self.hosts, request.host) {
            return Some(Unmet::Host);
        }
        for (name, patterns) in &self.headers {
            let values = request.headers.get_all(name);
            if !values.iter().any(|value| patterns.iter().any(|pattern| pattern.matches(value.as_bytes()))) {
                return Some(Unmet::Header(name.as_str()));
            }
        }
        for (name, patterns) in &self.query {
            let mut values = query_values(request.query, name);
            if !values.any(|value| patterns.iter().any(|pattern| pattern.matches(value.as_bytes()))) {
                return Some(Unmet::Query(name));
            }
        }
        lacks(&self.path_regexes, |regex| regex.is_match(request.path.as_bytes())).then_some(Unmet::PathRegex)
    }
}

fn host_is_among(patterns: &[Pattern], host: &str) -> bool {
    let host = lowered(host);
    patterns.iter().any(|pattern| pattern.matches(&host))
}

/// A host in lower case, without allocation as long as it is not absurd.
pub(super) fn lowered(host: &str) -> SmallVec<[u8; 64]> {
    host.bytes().map(|byte| byte.to_ascii_lowercase()).collect()
}

/// The raw values of a query parameter, in order; one without `=` has an empty value.
fn query_values<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).filter(move |(key, _)| *key == name).map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, conditions};

    fn unmet(toml: &str, request: &Request) -> Option<String> {
        conditions(toml).unmet(&request.view()).map(|unmet| unmet.to_string())
    }

    #[test]
    fn all_conditions_that_are_given_must_hold() {
        let request = Request::new("POST", "/api/checkout/7?user=42&flag&user=7")
            .host("Shop.Example")
            .header("X-Tenant", "beta-1")
            .header("x-tenant", "gamma");
        let everything = "method = [\"PUT\", \"POST\"]\npath = \"/api/checkout/{id}\"\npath_regex = '/\\d+$'\n\
                          host = \"shop.*\"\nheader = { x-tenant = \"gam*\" }\nquery = { user = \"7\", flag = \"\" }";
        assert_eq!(unmet(everything, &request), None);
        for (toml, name) in [
            ("", None),
            ("method = \"PUT\"", Some("method")),
            ("method = \"POST\"\npath = \"/api/checkout\"", Some("path")),
            ("path_regex = '^/\\d'", Some("path_regex")),
            ("path_regex = ['^/\\d', '7$']", None),
            ("host = \"shop\"", Some("host")),
            ("host = [\"shop\", \"SHOP.EXAMPLE\"]", None),
            ("host = \"~^Shop\"", None),
            ("header = { x-tenant = \"delta\" }", Some("header x-tenant")),
            ("header = { x-tenant = [\"delta\", \"beta-*\"] }", None),
            ("header = { X-Other = \"*\" }", Some("header x-other")),
            ("query = { user = \"4\" }", Some("query user")),
            ("query = { User = \"42\" }", Some("query User")),
            ("query = { flag = \"*\", user = \"~^4\" }", None),
        ] {
            assert_eq!(unmet(toml, &request).as_deref(), name, "{toml}");
        }
    }

    #[test]
    fn methods_and_query_values_are_compared_as_sent() {
        assert_eq!(unmet("method = \"GET\"", &Request::new("get", "/")).as_deref(), Some("method"));
        assert_eq!(unmet("query = { a = \"b c\" }", &Request::new("GET", "/?a=b%20c")).as_deref(), Some("query a"));
        assert_eq!(unmet("query = { a = \"b%20c\" }", &Request::new("GET", "/?a=b%20c")), None);
        assert_eq!(unmet("query = { a = \"*\" }", &Request::new("GET", "/")).as_deref(), Some("query a"));
    }
}
