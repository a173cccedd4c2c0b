//! A document of tables, arrays and scalars in which every value knows its line.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::{Problem, Problems};

/// One value of a document and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line, from 1, if the source has lines.
    pub line: Option<usize>,
    /// The flag that wrote it (`--set key=value`), if the source did not.
    pub set: Option<Arc<str>>,
    /// What stands there.
    pub value: Value,
}

/// The shapes a value can have: TOML's and JSON's, without dates and null.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text, with `${ENV}` already filled in.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// true or false.
    Bool(bool),
    /// An ordered list.
    Array(Vec<Node>),
    /// Keys with values, in file order.
    Table(IndexMap<String, Node>),
}

impl Node {
    /// Reads a TOML text; `file` is the name that problems carry. `${NAME}` in a text value is replaced by
    /// the environment's, `$$` by `$`.
    ///
    /// # Errors
    /// Every syntax error that the parser can tell apart, and every `${NAME}` that is not set.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, Problems> {
        Self::from_toml_with(file, text, &|name| std::env::var(name).ok())
    }

    /// As [`Node::from_toml`], with the environment given.
    ///
    /// # Errors
    /// As [`Node::from_toml`].
    pub fn from_toml_with(
        file: &str,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems = Problems::default();
        for error in errors {
            problems.0.push(Problem {
                file: file.to_owned(),
                line: error.span().map(|span| lines.at(span.start)),
                message: error.message().trim().replace('\n', ", "),
                cure: None,
            });
        }
        if !problems.is_empty() {
            // The parser complains in its own order and about the wreckage too: the first of each line is enough.
            problems.0.sort_by_key(|p| p.line);
            problems.0.dedup_by_key(|p| p.line);
            return Err(problems);
        }
        let mut reading = Reading { file, lines: &lines, environment, problems: &mut problems };
        let node = Self { line: Some(1), set: None, value: reading.table(table.get_ref()) };
        problems.or(node)
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// As [`Node::from_toml`], or that the file cannot be read.
    pub fn from_toml_file(path: &Path) -> Result<Self, Problems> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_toml(&file, &text),
            Err(error) => Err(Problems::one(file, format!("cannot be read: {error}"), None)),
        }
    }

    /// Reads a TOML file and applies assignments such as `load.rate=100/s` to it, in order.
    ///
    /// # Errors
    /// As [`Node::from_toml_file`], or every assignment that cannot be made.
    pub fn from_toml_file_with(path: &Path, sets: &[String]) -> Result<Self, Problems> {
        let mut document = Self::from_toml_file(path)?;
        let mut problems = Problems::default();
        for assignment in sets {
            if let Err(wrong) = document.set(assignment) {
                problems.extend(wrong);
            }
        }
        problems.or(document)
    }

    /// Takes a JSON value as a document without lines; null is left out of tables.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Text(String::new()),
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Integer),
            Json::String(s) => Value::Text(s.clone()),
            Json::Array(items) => Value::Array(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => Value::Table(
                map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), Self::from_json(v))).collect(),
            ),
        };
        Self { line: None, set: None, value }
    }

    /// The document as JSON, for answers of the API and for comparing two versions of a rule.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(s) => s.clone().into(),
            Value::Integer(i) => (*i).into(),
            Value::Float(x) => serde_json::Number::from_f64(*x).map_or(serde_json::Value::Null, Into::into),
            Value::Bool(b) => (*b).into(),
            Value::Array(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(table) => {
                serde_json::Value::Object(table.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }

    /// Sets `a.b.c` (array items by their index: `proxy.0.listen`) to a value written as in a TOML file; a value
    /// that is not TOML is taken as a text.
    ///
    /// # Errors
    /// Says why the key cannot be set.
    pub fn set(&mut self, assignment: &str) -> Result<(), Problems> {
        let origin = format!("--set {assignment}");
        let wrong = |message: &str| Problems::one(origin.clone(), message, Some("--set key=value, key as a.b.c"));
        let (path, text) = assignment.split_once('=').ok_or_else(|| wrong("has no \"=\""))?;
        if path.split('.').any(str::is_empty) {
            return Err(wrong("has an empty key"));
        }
        let value = match Self::from_toml(&origin, &format!("v = {text}")) {
            Ok(Self { value: Value::Table(mut table), .. }) => table.swap_remove("v"),
            _ => None,
        };
        let by: Arc<str> = origin.as_str().into();
        let written = |value| Self { line: None, set: Some(by.clone()), value };
        let value = value.unwrap_or_else(|| written(Value::Text(text.to_owned()))).set_by(&by);
        let mut at = self;
        for key in path.split('.') {
            at = match &mut at.value {
                Value::Table(table) => {
                    table.entry(key.to_owned()).or_insert_with(|| written(Value::Table(IndexMap::new())))
                }
                Value::Array(items) => key
                    .parse::<usize>()
                    .ok()
                    .and_then(|i| items.get_mut(i))
                    .ok_or_else(|| wrong(&format!("\"{key}\" is not the index of an item, from 0")))?,
                _ => return Err(wrong(&format!("\"{key}\" lies below a plain value"))),
            };
        }
        *at = value;
        Ok(())
    }

    /// The same, written by a flag: lines of the flag are nobody's.
    fn set_by(mut self, flag: &Arc<str>) -> Self {
        (self.line, self.set) = (None, Some(flag.clone()));
        self.value = match self.value {
            Value::Array(items) => Value::Array(items.into_iter().map(|item| item.set_by(flag)).collect()),
            Value::Table(table) => Value::Table(table.into_iter().map(|(k, v)| (k, v.set_by(flag))).collect()),
            plain => plain,
        };
        self
    }
}

/// Turns byte offsets into line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i).collect())
    }

    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|newline| *newline < offset) + 1
    }
}

struct Reading<'a> {
    file: &'a str,
    lines: &'a Lines,
    environment: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Problems,
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>) -> Value {
        let mut nodes = IndexMap::new();
        for (key, value) in table {
            // A table header's span starts at its first key's; the key's line is what a user looks for.
            let line = self.lines.at(key.span().start);
            let node = self.node(line, value.get_ref());
            nodes.insert(key.get_ref().to_string(), node);
        }
        Value::Table(nodes)
    }

    fn node(&mut self, line: usize, value: &DeValue<'_>) -> Node {
        let value = match value {
            DeValue::String(text) => Value::Text(self.filled(line, text)),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => Value::Float(f64::NAN),
            },
            DeValue::Float(number) => Value::Float(number.as_str().replace('_', "").parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(date) => Value::Text(date.to_string()),
            DeValue::Array(items) => Value::Array(
                items.iter().map(|item| self.node(self.lines.at(item.span().start), item.get_ref())).collect(),
            ),
            DeValue::Table(table) => self.table(table),
        };
        Node { line: Some(line), set: None, value }
    }

    /// Fills `${NAME}` in; `$$` stands for one dollar sign.
    fn filled(&mut self, line: usize, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let tail = &rest[at + 1..];
            if let Some(after) = tail.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = tail.strip_prefix('{').and_then(|t| t.split_once('}')) {
                match (self.environment)(name) {
                    Some(value) => out.push_str(&value),
                    None => self.problems.0.push(Problem {
                        file: self.file.to_owned(),
                        line: Some(line),
                        message: format!("\"${{{name}}}\": the environment has no {name}"),
                        cure: Some(format!("set {name}, or write $${{{name}}} for the text itself")),
                    }),
                }
                rest = after;
            } else {
                out.push('$');
                rest = tail;
            }
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, Problems> {
        Node::from_toml_with("f.toml", text, &|name| (name == "PORT").then(|| "8080".to_owned()))
    }

    #[test]
    fn every_value_knows_its_line() {
        let node = read("a = 1\n\n[[b]]\nc = [\n  \"x\",\n  \"y\",\n]\n[[b]]\nd = { e = 2.5 }\n").unwrap();
        let Value::Table(top) = &node.value else { panic!("a table") };
        assert_eq!(top["a"].line, Some(1));
        let Value::Array(b) = &top["b"].value else { panic!("an array") };
        let Value::Table(first) = &b[0].value else { panic!("a table") };
        let Value::Array(c) = &first["c"].value else { panic!("an array") };
        assert_eq!((c[0].line, c[1].line), (Some(5), Some(6)));
        assert_eq!((b[0].line, b[1].line), (Some(3), Some(8)));
    }

    #[test]
    fn all_syntax_errors_are_reported_with_their_line() {
        let problems = read("a = \nb = 1\nc = = 2\n").unwrap_err();
        assert_eq!(problems.0.iter().map(|p| p.line).collect::<Vec<_>>(), [Some(1), Some(3)], "{problems}");
    }

    #[test]
    fn the_environment_is_filled_in_and_a_missing_name_is_a_problem() {
        let node = read("a = \"127.0.0.1:${PORT}\"\nb = \"$$5 $x\"").unwrap();
        assert_eq!(node.to_json(), serde_json::json!({ "a": "127.0.0.1:8080", "b": "$5 $x" }));
        let problems = read("\na = \"${GONE}\"").unwrap_err();
        assert_eq!(problems.0[0].line, Some(2));
    }

    #[test]
    fn a_key_can_be_set_from_the_command_line() {
        let mut node = read("[[proxy]]\nlisten = \"a\"").unwrap();
        node.set("proxy.0.listen=127.0.0.1:1").unwrap();
        node.set("load.rate=50").unwrap();
        node.set("load.on=true").unwrap();
        assert_eq!(
            node.to_json(),
            serde_json::json!({ "proxy": [{ "listen": "127.0.0.1:1" }], "load": { "rate": 50, "on": true } })
        );
        assert!(node.set("proxy.7.listen=x").is_err());
        assert!(node.set("nothing").is_err());
        assert!(node.set("=1").is_err() && node.set("load..rate=1").is_err());
        assert!(node.set("load.rate.x=1").is_err());
    }
}
