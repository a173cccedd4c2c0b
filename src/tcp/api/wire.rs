//! Bodies of answers, byte for byte as Go's encoder writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

use crate::faults::toxics::ToxicSpec;
use crate::tcp::registry::Shown;

/// A toxic.
pub(super) fn toxic(spec: &ToxicSpec) -> Value {
    json!({
        "attributes": Value::Object(spec.attributes.clone()),
        "name": spec.name,
        "type": spec.kind,
        "stream": spec.stream_written,
        "toxicity": float(spec.toxicity),
    })
}

/// A proxy with its toxics.
pub(super) fn proxy(shown: &Shown) -> Value {
    json!({
        "name": shown.name,
        "listen": shown.listen.to_string(),
        "upstream": shown.upstream,
        "enabled": shown.enabled,
        "toxics": toxics(shown),
    })
}

/// The toxics of a proxy.
pub(super) fn toxics(shown: &Shown) -> Value {
    shown.toxics.iter().map(|installed| toxic(&installed.spec)).collect()
}

/// All proxies, by name.
pub(super) fn proxies(all: &[Shown], http: impl Iterator<Item = (String, Value)>) -> Value {
    let tcp = all.iter().map(|shown| (shown.name.clone(), proxy(shown)));
    let sorted: BTreeMap<String, Value> = tcp.chain(http).collect();
    Value::Object(sorted.into_iter().collect::<Map<_, _>>())
}

/// A list that is null when nothing was ever put into it.
pub(super) fn populated(all: &[Shown]) -> Value {
    if all.is_empty() { Value::Null } else { all.iter().map(proxy).collect() }
}

/// The shortest digits that mean this number, without a fraction if it has none.
pub(super) fn float(number: f32) -> Value {
    number.to_string().parse::<Number>().map_or(Value::Null, Value::Number)
}

/// A value as text. What could end a script element is escaped.
pub(super) fn encode(value: &Value) -> String {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text as a JSON string.
pub(super) fn text(text: &str) -> String {
    encode(&Value::from(text))
}
