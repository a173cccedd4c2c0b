//! What is tried on any bytes: by libFuzzer, and by `tests/corpus.rs` on the bytes that were kept.

#![allow(clippy::panic, reason = "a finding is a panic")]

use std::cell::RefCell;
use std::path::Path;

use brownout::config::{Config, Kind};
use brownout::diagnostics::{Node, Reader};
use brownout::faults::RequestView;
use brownout::rules::{Layer, PathPattern, Store, read_rules};
use brownout::units::{ByteRate, ByteSize, Rate, Share, parse_duration, show_duration};

/// A file of rules, or a configuration: it is understood or refused, never worse; what is understood can be used.
pub fn rule_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = Node::from_toml_with("fuzz.toml", text, &|name| Some(name.to_owned())) else { return };
    if Kind::of(&document) == Some(Kind::Config) {
        let _ = Config::resolve(Path::new("fuzz.toml"), &document);
    }
    let problems = RefCell::default();
    let mut top = Reader::new("fuzz.toml", &document, "", &problems);
    let rules = read_rules(&mut top);
    top.finish();
    if !problems.into_inner().is_empty() {
        return;
    }
    let store = Store::new(1);
    store.replace(&Layer::File, rules);
    let (method, headers) = (http::Method::POST, http::HeaderMap::new());
    for path in ["/", "/api/checkout/7", "*", ""] {
        let query = Some("a=b&c");
        let request = RequestView { host: "shop", query, ..RequestView::of(&method, path, &headers) };
        let mut plan = store.load().plan("web", &request);
        let course = plan.request_course(&request);
        drop((course, plan.len()));
        plan.departed();
    }
    assert_eq!(store.total_active(), 0, "a request that has left suffers nothing");
}

/// A pattern in the first line and a path in the second: the matcher agrees with the definition.
pub fn path_match(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pattern, path)) = text.split_once('\n') else { return };
    let Ok(compiled) = PathPattern::parse(pattern) else { return };
    // The definition takes exponential time: short ones say as much.
    let wild = pattern.matches(['*', '{']).count();
    if pattern.len() > 40 || path.len() > 40 || wild > 5 {
        compiled.matches(path);
        return;
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    assert_eq!(compiled.matches(&path.join("/")), segments_fit(&pattern, &path), "{pattern:?} on {path:?}");
}

fn segments_fit(pattern: &[&str], path: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if *first == "**" {
        return (0..=path.len()).any(|taken| segments_fit(rest, &path[taken..]));
    }
    path.split_first()
        .is_some_and(|(segment, left)| characters_fit(first, segment.as_bytes()) && segments_fit(rest, left))
}

fn characters_fit(pattern: &str, text: &[u8]) -> bool {
    let Some(first) = pattern.chars().next() else { return text.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    let any = |rest: &str, from: usize| (from..=text.len()).any(|taken| characters_fit(rest, &text[taken..]));
    match first {
        '*' => any(rest, 0),
        '{' => any(rest.split_once('}').map_or("", |(_, rest)| rest), 1),
        '\\' => {
            let escaped = rest.chars().next().map_or(0, char::len_utf8);
            let (escaped, rest) = rest.split_at(escaped);
            text.strip_prefix(escaped.as_bytes()).is_some_and(|text| characters_fit(rest, text))
        }
        _ => {
            let mut bytes = [0; 4];
            let bytes = first.encode_utf8(&mut bytes).as_bytes();
            text.strip_prefix(bytes).is_some_and(|text| characters_fit(rest, text))
        }
    }
}

/// What is read as a unit can be shown, and what is shown reads back.
pub fn units(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(duration) = parse_duration(text) {
        let shown = show_duration(duration);
        assert!(!shown.is_empty(), "{text:?}");
    }
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.to_string().parse(), Ok(size), "{text:?}");
    }
    if let Ok(rate) = text.parse::<ByteRate>() {
        assert!(rate.per_second() > 0.0 && rate.to_string().ends_with("/s"), "{text:?}");
    }
    if let Ok(rate) = text.parse::<Rate>() {
        assert!(rate.per_second() > 0.0 && rate.to_string().ends_with("/s"), "{text:?}");
    }
    if let Ok(share) = text.parse::<Share>() {
        assert!((0.0..=1.0).contains(&share.get()), "{text:?}");
    }
}
