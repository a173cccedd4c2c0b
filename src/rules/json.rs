//! Conditions on fields of a JSON body.

use std::fmt;

use serde_json::Value as Json;

use super::pattern::Pattern;
use super::value::read_patterns;
use crate::diagnostics::node::{Node, Value};

/// Unless a rule says otherwise, bodies beyond this size are not looked at.
pub const DEFAULT_BODY_LIMIT: u64 = 64 << 10;
/// No rule may ask for more: what is looked at is held in memory for each request.
pub const MAX_BODY_LIMIT: u64 = 1 << 20;

/// One field of a JSON body, by its pointer (RFC 6901), and what it has to be like.
#[derive(Debug, Clone)]
pub struct JsonField {
    pointer: Box<str>,
    wanted: Wanted,
}

#[derive(Debug, Clone)]
enum Wanted {
    Any(Vec<Literal>),
    None(Vec<Literal>),
    Present(bool),
}

/// What one value is compared with.
#[derive(Debug, Clone)]
enum Literal {
    /// A string of the document; the other scalars as JSON writes them.
    Pattern(Pattern),
    Bool(bool),
    Number(f64),
}

impl JsonField {
    /// Reads `pointer = wanted`, where `wanted` is a text (a pattern), a number, true or false, a list of such,
    /// `{ not = .. }` around one of these, or `{ present = true | false }`.
    ///
    /// # Errors
    /// What is wrong, and the cure.
    pub(super) fn read(pointer: &str, node: &Node) -> Result<Self, (String, &'static str)> {
        const POINTER: &str = "a JSON pointer such as \"/user/plan\" or \"/items/0/sku\"";
        if !pointer.starts_with('/') {
            return Err((format!("{pointer:?} does not begin with \"/\""), POINTER));
        }
        let wanted = match &node.value {
            Value::Table(table) => match (table.get("not"), table.get("present").map(|n| &n.value), table.len()) {
                (Some(not), None, 1) => Wanted::None(literals(pointer, not)?),
                (None, Some(Value::Bool(present)), 1) => Wanted::Present(*present),
                _ => return Err((format!("{pointer} is not valid"), "expected { not = .. } or { present = true }")),
            },
            _ => Wanted::Any(literals(pointer, node)?),
        };
        Ok(Self { pointer: pointer.into(), wanted })
    }

    /// Whether the document is as wanted.
    pub(super) fn holds(&self, document: &Json) -> bool {
        let found = document.pointer(&self.pointer);
        let fits = |literals: &[Literal]| found.is_some_and(|v| literals.iter().any(|literal| literal.fits(v)));
        match &self.wanted {
            Wanted::Any(literals) => fits(literals),
            Wanted::None(literals) => !fits(literals),
            Wanted::Present(present) => found.is_some() == *present,
        }
    }
}

impl fmt::Display for JsonField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pointer)
    }
}

fn literals(pointer: &str, node: &Node) -> Result<Vec<Literal>, (String, &'static str)> {
    const CURE: &str = "expected a text, a number, true or false, or a list of such";
    let one = std::slice::from_ref(node);
    let nodes = if let Value::Array(nodes) = &node.value { nodes.as_slice() } else { one };
    let mut literals = Vec::with_capacity(nodes.len());
    for node in nodes {
        literals.push(match &node.value {
            Value::Bool(value) => Literal::Bool(*value),
            Value::Integer(number) => Literal::Number(*number as f64),
            Value::Float(number) if number.is_finite() => Literal::Number(*number),
            Value::Text(text) => {
                let mut wrong = None;
                let patterns = read_patterns(node, &mut |_, problem| wrong = Some(problem));
                match patterns.and_then(|mut patterns| patterns.pop()) {
                    Some(pattern) => Literal::Pattern(pattern),
                    None => {
                        let problem = wrong.unwrap_or_else(|| "is not valid".to_owned());
                        return Err((format!("{pointer} = {text:?} {problem}"), "see docs.rs/regex for the syntax"));
                    }
                }
            }
            _ => return Err((format!("{pointer} is not valid"), CURE)),
        });
    }
    if literals.is_empty() { Err((format!("{pointer} is an empty list"), CURE)) } else { Ok(literals) }
}

impl Literal {
    fn fits(&self, value: &Json) -> bool {
        match (self, value) {
            (Self::Pattern(pattern), Json::String(text)) => pattern.matches(text.as_bytes()),
            (Self::Pattern(_), Json::Array(_) | Json::Object(_)) => false,
            (Self::Pattern(pattern), scalar) => pattern.matches(scalar.to_string().as_bytes()),
            (Self::Bool(wanted), Json::Bool(value)) => wanted == value,
            (Self::Number(wanted), Json::Number(value)) => value.as_f64() == Some(*wanted),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pointer: &str, toml: &str) -> Result<JsonField, (String, &'static str)> {
        let document = Node::from_toml("r.toml", &format!("v = {toml}")).unwrap();
        let Value::Table(table) = &document.value else { unreachable!() };
        JsonField::read(pointer, &table["v"])
    }

    #[test]
    fn a_field_is_found_by_its_pointer_and_compared_by_its_kind() {
        let body = json!({ "user": { "plan": "free-2", "vip": true, "a/b": null }, "items": [{ "price": 12.5 }] });
        for (pointer, toml, holds) in [
            ("/user/plan", "\"free-*\"", true),
            ("/user/plan", "[\"gold\", \"~^free\"]", true),
            ("/user/plan", "{ not = \"free-*\" }", false),
            ("/user/name", "{ not = \"x\" }", true),
            ("/user/name", "\"*\"", false),
            ("/user/name", "{ present = false }", true),
            ("/user/a~1b", "{ present = true }", true),
            ("/user/a~1b", "\"null\"", true),
            ("/user/vip", "true", true),
            ("/user/vip", "\"true\"", true),
            ("/user/vip", "1", false),
            ("/items/0/price", "12.5", true),
            ("/items/0/price", "[1, 12.5]", true),
            ("/items/1/price", "12.5", false),
            ("/items", "\"*\"", false),
        ] {
            assert_eq!(read(pointer, toml).unwrap().holds(&body), holds, "{pointer} = {toml}");
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        for (pointer, toml, wanted) in [
            ("user", "1", "\"user\" does not begin with \"/\""),
            ("/a", "[]", "/a is an empty list"),
            ("/a", "{ not = 1, present = true }", "/a is not valid"),
            ("/a", "[[1]]", "/a is not valid"),
            ("/a", "\"~(\"", "/a = \"~(\" is not a regular expression: unclosed group"),
        ] {
            assert_eq!(read(pointer, toml).unwrap_err().0, wanted);
        }
    }
}
