//! Reads `match`, `exclude`, `not` and route tables.

use std::net::IpAddr;

use http::Method;
use http::header::HeaderName;
use ipnet::IpNet;

use super::json::{DEFAULT_BODY_LIMIT, JsonField, MAX_BODY_LIMIT};
use super::matcher::Conditions;
use super::path::PathPattern;
use super::pattern::{Pattern, regex};
use super::response::{ResponseConditions, Statuses};
use super::value::{WRITTEN, Wanted};
use crate::diagnostics::Reader;
use crate::diagnostics::node::{Node, Value};
use crate::units::ByteSize;

const REGEX: &str = "see docs.rs/regex for the syntax";

/// What a table may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The request, its body and its answer.
    Rule,
    /// What is known when the request's head has been read.
    Head,
}

/// Reads the conditions of a table that is looked at when the request's head has been read: an `exclude`, a route.
pub fn read_conditions(reader: Reader<'_>) -> Conditions {
    read(reader, Scope::Head)
}

/// Reads the `match` table of a rule, which may also ask about the body and the answer.
pub(super) fn read_match(reader: Reader<'_>) -> Conditions {
    read(reader, Scope::Rule)
}

/// Reads one table under `key`, or a list of tables of which any may hold. `owner` names the rule in messages. A table
/// without a condition would always hold, which is a mistake.
pub fn read_any_of(reader: &mut Reader<'_>, key: &'static str, owner: &str) -> Vec<Conditions> {
    let Some(node) = reader.node(key) else { return Vec::new() };
    let one = std::slice::from_ref(node);
    let tables = if let Value::Array(tables) = &node.value { tables.as_slice() } else { one };
    let context = if owner.is_empty() { key.to_owned() } else { format!("{owner}: {key}") };
    let mut all = Vec::with_capacity(tables.len());
    for table in tables {
        let reader = Reader::new(reader.file(), table, &*context, reader.problems());
        if matches!(&table.value, Value::Table(keys) if keys.is_empty()) {
            reader.complain("has no condition and would spare everything".to_owned(), Some("leave it out"));
        }
        all.push(read_conditions(reader));
    }
    all
}

fn read(mut reader: Reader<'_>, scope: Scope) -> Conditions {
    let mut conditions = Conditions {
        methods: each(&mut reader, "method", read_method),
        paths: each(&mut reader, "path", |text| {
            PathPattern::parse(text).map_err(|(problem, cure)| (problem, cure.to_owned()))
        }),
        path_regexes: each(&mut reader, "path_regex", |text| regex(text).map_err(|e| (e, REGEX.to_owned()))),
        hosts: each(&mut reader, "host", read_host),
        clients: each(&mut reader, "client", read_network),
        grpc: each(&mut reader, "grpc", read_grpc),
        headers: read_values(&mut reader, "header", |name| {
            HeaderName::try_from(name).map_err(|_| "is not a header name")
        }),
        cookies: read_values(&mut reader, "cookie", |name| Ok(name.into())),
        query: read_values(&mut reader, "query", |name| Ok(name.into())),
        not: read_not(&mut reader),
        ..Conditions::default()
    };
    if scope == Scope::Rule {
        conditions.json = read_json(&mut reader);
        conditions.json_limit = read_json_limit(&mut reader, !conditions.json.is_empty());
        conditions.response = reader.table("response").map(read_response);
    } else {
        for key in ["json", "json_limit", "response"] {
            if reader.node(key).is_some() {
                reader.reject(key, "is not known yet when this is looked at", Some("only the match of a rule has it"));
            }
        }
    }
    reader.finish();
    conditions
}

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

/// One text or a list of them; an empty list, which nothing could match, is a mistake.
pub(super) fn read_list(reader: &mut Reader<'_>, key: &'static str) -> Option<Vec<String>> {
    let list: Vec<String> = reader.optional(key)?;
    if list.is_empty() {
        reader.reject(key, "is an empty list, which nothing matches", Some("leave it out to match everything"));
    }
    Some(list)
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

/// A network, or one address as the network of itself. Bits beyond the prefix are a mistake: they are a mistyped one.
fn read_network(text: &str) -> Result<IpNet, (String, String)> {
    const CURE: &str = "such as \"10.0.0.0/8\", \"192.168.1.7\" or \"fd00::/8\"";
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text
        .parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| ("is neither a network nor an address".to_owned(), CURE.to_owned()))?;
    if network.addr() != network.network() {
        return Err(("has bits beyond its prefix".to_owned(), format!("write \"{}\"", network.trunc())));
    }
    Ok(network)
}

fn read_grpc(text: &str) -> Result<Pattern, (String, String)> {
    const CURE: &str = "such as \"shop.v1.Cart/AddItem\" or \"shop.v1.Cart/*\"";
    if text.starts_with('/') {
        return Err(("begins with a slash".to_owned(), CURE.to_owned()));
    }
    if !text.starts_with('~') && !text.contains(['/', '*']) {
        return Err(("has no method".to_owned(), CURE.to_owned()));
    }
    Pattern::parse(text).map_err(|problem| (problem, REGEX.to_owned()))
}

/// Reads a table of names to what their values must be like.
fn read_values<K>(
    reader: &mut Reader<'_>,
    key: &'static str,
    name: impl Fn(&str) -> Result<K, &'static str>,
) -> Vec<(K, Wanted)> {
    let mut values = Vec::new();
    for (written, node) in entries(reader, key) {
        let complain = |message: String, cure: &str| {
            reader.complain_at(node.line, format!("{key}: {message}"), Some(cure));
        };
        let wrong = |text: &str, problem: String| complain(format!("{written} = {text:?} {problem}"), REGEX);
        let Some(wanted) = Wanted::read(node, wrong) else {
            complain(format!("{written} is not valid"), WRITTEN);
            continue;
        };
        match name(written) {
            Ok(name) => values.push((name, wanted)),
            Err(problem) => complain(format!("\"{written}\" {problem}"), "for example x-tenant"),
        }
    }
    values
}

/// The names and values of a table whose keys are names.
fn entries<'a>(reader: &mut Reader<'a>, key: &'static str) -> Vec<(&'a str, &'a Node)> {
    reader.table(key).iter_mut().flat_map(Reader::entries).collect()
}

fn read_not(reader: &mut Reader<'_>) -> Vec<Conditions> {
    let owner = reader.context().to_owned();
    read_any_of(reader, "not", &owner)
}

fn read_json(reader: &mut Reader<'_>) -> Vec<JsonField> {
    let mut fields = Vec::new();
    for (pointer, node) in entries(reader, "json") {
        match JsonField::read(pointer, node) {
            Ok(field) => fields.push(field),
            Err((problem, cure)) => reader.complain_at(node.line, format!("json: {problem}"), Some(cure)),
        }
    }
    fields
}

fn read_json_limit(reader: &mut Reader<'_>, looks_at_body: bool) -> u64 {
    let Some(limit) = reader.optional::<ByteSize>("json_limit") else { return DEFAULT_BODY_LIMIT };
    if !looks_at_body {
        reader.reject("json_limit", "limits nothing", Some("it belongs to json = { \"/pointer\" = .. }"));
    } else if limit.0 == 0 || limit.0 > MAX_BODY_LIMIT {
        let cure = format!("1B to {}", ByteSize(MAX_BODY_LIMIT));
        reader.reject("json_limit", format!("{limit} cannot be held in memory for each request"), Some(&cure));
    }
    limit.0
}

fn read_response(mut reader: Reader<'_>) -> ResponseConditions {
    if !reader.has("status") && !reader.has("header") {
        reader.complain("has no condition".to_owned(), Some("status = [503, \"5xx\"] or header = { .. }"));
    }
    let statuses = match reader.node("status") {
        Some(node) => {
            let one = std::slice::from_ref(node);
            let nodes = if let Value::Array(nodes) = &node.value { nodes.as_slice() } else { one };
            let read: Option<Vec<_>> = nodes.iter().map(Statuses::read).collect();
            read.filter(|read| !read.is_empty()).unwrap_or_else(|| {
                reader.reject("status", "is not valid", Some("503, \"5xx\", \"500-504\" or a list of such"));
                Vec::new()
            })
        }
        None => Vec::new(),
    };
    let headers =
        read_values(&mut reader, "header", |name| HeaderName::try_from(name).map_err(|_| "is not a header name"));
    reader.finish();
    ResponseConditions { statuses, headers }
}
