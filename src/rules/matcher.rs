//! Whether a request meets all conditions of a `match` or `exclude` table.

use std::fmt;
use std::net::IpAddr;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName};
use ipnet::IpNet;
use regex::bytes::Regex;
use smallvec::SmallVec;

use super::cookie;
use super::json::JsonField;
use super::path::PathPattern;
use super::pattern::Pattern;
use super::response::ResponseConditions;
use super::value::Wanted;
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
    /// Networks of the client's address.
    pub(super) clients: Vec<IpNet>,
    /// Patterns for `package.Service/Method` of a gRPC call.
    pub(super) grpc: Vec<Pattern>,
    /// What the values of a header must be like.
    pub(super) headers: Vec<(HeaderName, Wanted)>,
    /// What the values of a cookie must be like.
    pub(super) cookies: Vec<(Box<str>, Wanted)>,
    /// What the raw values of a query parameter must be like.
    pub(super) query: Vec<(Box<str>, Wanted)>,
    /// Tables of which none may hold.
    pub(super) not: Vec<Conditions>,
    /// Fields of a JSON body.
    pub(super) json: Vec<JsonField>,
    /// Bodies beyond this size are not looked at.
    pub(super) json_limit: u64,
    /// What the upstream's answer must be like. Not looked at by [`Conditions::unmet`], which sees only the request.
    pub(super) response: Option<ResponseConditions>,
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
    /// None of the networks.
    Client,
    /// Not a gRPC call, or another one.
    Grpc,
    /// The values of this header.
    Header(&'a str),
    /// The values of this cookie.
    Cookie(&'a str),
    /// The values of this query parameter.
    Query(&'a str),
    /// A `not` table holds.
    Not,
    /// A field of the body, which is not JSON, too large, or not as wanted. Looked at last.
    Json,
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method => f.write_str("method"),
            Self::Host => f.write_str("host"),
            Self::Path => f.write_str("path"),
            Self::PathRegex => f.write_str("path_regex"),
            Self::Client => f.write_str("client"),
            Self::Grpc => f.write_str("grpc"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Not => f.write_str("not"),
            Self::Json => f.write_str("json"),
        }
    }
}

impl Conditions {
    /// Whether no condition is given, so that every request meets them.
    pub fn is_empty(&self) -> bool {
        self.looks_at_paths_only() && self.paths.is_empty()
    }

    /// Whether there is no condition on anything else than the path's pattern.
    pub(super) fn looks_at_paths_only(&self) -> bool {
        self.methods.is_empty()
            && self.path_regexes.is_empty()
            && self.hosts.is_empty()
            && self.clients.is_empty()
            && self.grpc.is_empty()
            && self.headers.is_empty()
            && self.cookies.is_empty()
            && self.query.is_empty()
            && self.not.is_empty()
            && self.json.is_empty()
            && self.response.is_none()
    }

    /// Whether the request meets all conditions.
    pub fn hold(&self, request: &RequestView<'_>) -> bool {
        self.unmet(request).is_none()
    }

    /// The first condition that the request does not meet, the cheap ones looked at first and the body's last. What
    /// is asked of the answer cannot be known yet and is not looked at.
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
        if lacks(&self.clients, |network| request.client.is_some_and(|client| covers(network, client))) {
            return Some(Unmet::Client);
        }
        if !self.grpc.is_empty() && !is_grpc_call(&self.grpc, request) {
            return Some(Unmet::Grpc);
        }
        self.unmet_value(request).or_else(|| {
            if lacks(&self.path_regexes, |regex| regex.is_match(request.path.as_bytes())) {
                return Some(Unmet::PathRegex);
            }
            if self.not.iter().any(|conditions| conditions.hold(request)) {
                return Some(Unmet::Not);
            }
            let unmet = |field: &JsonField| !request.json.is_some_and(|document| field.holds(document));
            self.json.iter().any(unmet).then_some(Unmet::Json)
        })
    }

    /// What has a name and values.
    fn unmet_value(&self, request: &RequestView<'_>) -> Option<Unmet<'_>> {
        for (name, wanted) in &self.headers {
            if !wanted.holds(request.headers.get_all(name).iter().map(|value| value.as_bytes())) {
                return Some(Unmet::Header(name.as_str()));
            }
        }
        for (name, wanted) in &self.cookies {
            if !wanted.holds(cookie::values(request.headers, name)) {
                return Some(Unmet::Cookie(name));
            }
        }
        for (name, wanted) in &self.query {
            if !wanted.holds(query_values(request.query, name).map(str::as_bytes)) {
                return Some(Unmet::Query(name));
            }
        }
        None
    }
}

fn host_is_among(patterns: &[Pattern], host: &str) -> bool {
    let host = lowered(host);
    patterns.iter().any(|pattern| pattern.matches(&host))
}

/// An IPv4 client may have come over an IPv6 socket: its address is compared as what it is.
fn covers(network: &IpNet, client: IpAddr) -> bool {
    network.contains(&client.to_canonical())
}

fn is_grpc_call(patterns: &[Pattern], request: &RequestView<'_>) -> bool {
    let is_grpc =
        request.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let call = request.path.strip_prefix('/');
    is_grpc && call.is_some_and(|call| patterns.iter().any(|pattern| pattern.matches(call.as_bytes())))
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

    #[test]
    fn presence_absence_and_negation_hold_for_headers_cookies_and_the_query() {
        let request =
            Request::get("/?flag&user=7").header("X-Tenant", "beta-1").header("cookie", "plan=free; theme=dark");
        for (toml, name) in [
            ("header = { x-tenant = true, x-other = false }", None),
            ("header = { x-tenant = false }", Some("header x-tenant")),
            ("header = { x-other = true }", Some("header x-other")),
            ("header = { x-tenant = { not = \"gamma*\" }, x-other = { not = \"a\" } }", None),
            ("header = { x-tenant = { not = [\"a\", \"beta-*\"] } }", Some("header x-tenant")),
            ("cookie = { plan = \"fr*\", theme = true, session = false }", None),
            ("cookie = { plan = [\"gold\", \"~^silver\"] }", Some("cookie plan")),
            ("cookie = { Plan = true }", Some("cookie Plan")),
            ("query = { flag = true, user = { not = \"8\" }, other = false }", None),
            ("query = { user = false }", Some("query user")),
            ("not = { path = \"/\", header = { x-tenant = true } }", Some("not")),
            ("not = { path = \"/\", header = { x-tenant = false } }", None),
            ("not = [{ path = \"/a\" }, { method = \"GET\" }]", Some("not")),
        ] {
            assert_eq!(unmet(toml, &request).as_deref(), name, "{toml}");
        }
    }

    #[test]
    fn clients_are_known_by_their_networks() {
        for (client, toml, holds) in [
            ("10.1.2.3", "client = \"10.0.0.0/8\"", true),
            ("11.1.2.3", "client = \"10.0.0.0/8\"", false),
            ("::ffff:10.1.2.3", "client = [\"192.168.0.1\", \"10.1.2.3\"]", true),
            ("fd00::7", "client = \"fd00::/8\"", true),
            ("fd00::7", "client = \"0.0.0.0/0\"", false),
        ] {
            let request = Request::get("/").client(client);
            assert_eq!(unmet(toml, &request).is_none(), holds, "{client} {toml}");
        }
        assert_eq!(unmet("client = \"0.0.0.0/0\"", &Request::get("/")).as_deref(), Some("client"));
    }

    #[test]
    fn grpc_calls_are_known_by_service_and_method_and_only_if_they_are_such() {
        let call = Request::new("POST", "/shop.v1.Cart/AddItem").header("content-type", "application/grpc+proto");
        for (toml, holds) in [
            ("grpc = \"shop.v1.Cart/AddItem\"", true),
            ("grpc = \"shop.v1.Cart/*\"", true),
            ("grpc = [\"shop.v1.Stock/*\", \"~Item$\"]", true),
            ("grpc = \"shop.v1.Cart/additem\"", false),
            ("grpc = \"Cart/AddItem\"", false),
        ] {
            assert_eq!(unmet(toml, &call).is_none(), holds, "{toml}");
        }
        let plain = Request::new("POST", "/shop.v1.Cart/AddItem").header("content-type", "application/json");
        assert_eq!(unmet("grpc = \"*\"", &plain).as_deref(), Some("grpc"));
    }

    #[test]
    fn a_body_is_looked_at_last_and_only_if_it_is_known() {
        let body = serde_json::json!({ "user": { "plan": "free" } });
        let toml = "method = \"POST\"\njson = { \"/user/plan\" = \"free\" }";
        assert_eq!(unmet(toml, &Request::new("POST", "/").json(&body)), None);
        assert_eq!(unmet(toml, &Request::new("POST", "/")).as_deref(), Some("json"));
        assert_eq!(unmet(toml, &Request::new("PUT", "/").json(&body)).as_deref(), Some("method"));
        let gold = "json = { \"/user/plan\" = \"gold\" }";
        assert_eq!(unmet(gold, &Request::new("POST", "/").json(&body)).as_deref(), Some("json"));
    }
}
