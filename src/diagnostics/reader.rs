//! Takes a table apart key by key and keeps every complaint.

use std::cell::RefCell;
use std::time::Duration;

use indexmap::IndexMap;

use super::json_words::in_json;
use super::node::{Node, Value};
use super::{Problem, Problems, nearest};
use crate::units::{ByteRate, ByteSize, Rate, Share, parse_duration};

/// A type that can be read from one value of a document.
pub trait FromNode: Sized {
    /// # Errors
    /// What was expected (`a duration such as "250ms"`), to be put after the value that was found.
    fn from_node(node: &Node) -> Result<Self, String>;
}

/// One table of a document while it is being read.
///
/// Every key that is asked for counts as known; [`Reader::finish`] complains about all others. A value that is
/// missing or wrong is recorded as a problem and read as `None`, so that reading goes on to the next mistake.
pub struct Reader<'a> {
    file: &'a str,
    table: Option<&'a IndexMap<String, Node>>,
    line: Option<usize>,
    /// The flag that wrote the table, if it is not the file.
    set: Option<&'a str>,
    context: String,
    known: Vec<&'static str>,
    problems: &'a RefCell<Problems>,
}

impl<'a> Reader<'a> {
    /// Starts to read `node`, which should be a table; `context` names it in messages (`rule "slow"`, or "").
    pub fn new(file: &'a str, node: &'a Node, context: impl Into<String>, problems: &'a RefCell<Problems>) -> Self {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            _ => None,
        };
        let set = node.set.as_deref();
        let reader = Self { file, table, line: node.line, set, context: context.into(), known: Vec::new(), problems };
        if table.is_none() {
            let (what, cure) = match reader.is_json() {
                true => ("an object", "write it as {\"key\": value}"),
                false => ("a table", "write it as key = value pairs"),
            };
            reader.complain_about(node, format!("{} is not {what}", shown(node)), Some(cure));
        }
        reader
    }

    /// The name of the file that is read.
    pub fn file(&self) -> &'a str {
        self.file
    }

    /// How messages name this table.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The keys that were asked for so far.
    pub fn known(&self) -> &[&'static str] {
        &self.known
    }

    /// The line of the table, if known.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Changes how messages name this table, once its own name has been read.
    pub fn rename(&mut self, context: impl Into<String>) {
        self.context = context.into();
    }

    /// The value under a key as it stands, if there is one.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.table?.get(key)
    }

    /// The keys of this table, in file order, all counted as known. For tables whose keys are names.
    pub fn entries(&mut self) -> Vec<(&'a str, &'a Node)> {
        let table = self.table;
        self.table = None;
        table.into_iter().flatten().map(|(k, v)| (k.as_str(), v)).collect()
    }

    /// Whether the key is given, without counting it as known.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// The value under a key: `None` if it is absent, or wrong (which is then recorded).
    pub fn optional<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        match T::from_node(node) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.complain_about(
                    node,
                    format!("{key} = {} is not valid", shown(node)),
                    Some(&format!("expected {expected}")),
                );
                None
            }
        }
    }

    /// The value under a key, or the default if it is absent (or wrong, which is recorded).
    pub fn or<T: FromNode>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value under a key; absence is recorded as a problem.
    pub fn required<T: FromNode>(&mut self, key: &'static str, example: &str) -> Option<T> {
        if self.table.is_some() && !self.has(key) {
            self.known.push(key);
            self.complain(format!("\"{key}\" is missing"), Some(&format!("for example {key} = {example}")));
            return None;
        }
        self.optional(key)
    }

    /// The sub-table under a key.
    pub fn table(&mut self, key: &'static str) -> Option<Reader<'a>> {
        let node = self.node(key)?;
        let context = if self.context.is_empty() { key.to_owned() } else { format!("{}: {key}", self.context) };
        Some(Reader::new(self.file, node, context, self.problems))
    }

    /// The tables of an array of tables (`[[key]]`), none if it is absent.
    pub fn tables(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let Value::Array(items) = &node.value else {
            self.complain_about(node, format!("\"{key}\" is not a list of tables"), Some(&format!("write [[{key}]]")));
            return Vec::new();
        };
        items.iter().map(|item| Reader::new(self.file, item, key, self.problems)).collect()
    }

    /// Records that the value under `key` is wrong although its type is right.
    pub fn reject(&self, key: &str, message: impl AsRef<str>, cure: Option<&str>) {
        let message = format!("{key}: {}", message.as_ref());
        match self.table.and_then(|table| table.get(key)) {
            Some(node) => self.complain_about(node, message, cure),
            None => self.complain(message, cure),
        }
    }

    /// Records a problem with the table as a whole.
    pub fn complain(&self, message: String, cure: Option<&str>) {
        self.record(self.set, self.line, message, cure);
    }

    /// Records a problem at a given line.
    pub fn complain_at(&self, line: Option<usize>, message: String, cure: Option<&str>) {
        self.record(None, line, message, cure);
    }

    /// Records a problem with a value, where it was written: in the file, or by a flag.
    pub fn complain_about(&self, node: &Node, message: String, cure: Option<&str>) {
        self.record(node.set.as_deref(), node.line.or(self.line), message, cure);
    }

    fn record(&self, set: Option<&str>, line: Option<usize>, message: String, cure: Option<&str>) {
        let message = if self.context.is_empty() { message } else { format!("{}: {message}", self.context) };
        let worded = |text: &str| if self.is_json() { in_json(text) } else { text.to_owned() };
        self.problems.borrow_mut().0.push(Problem {
            file: set.unwrap_or(self.file).to_owned(),
            line: line.filter(|_| set.is_none()),
            message: worded(&message),
            cure: cure.map(worded),
        });
    }

    /// What is read came as JSON: it has no lines, and other words for tables and keys.
    fn is_json(&self) -> bool {
        self.line.is_none() && self.set.is_none()
    }

    /// Where the problems of this reading are kept, for reading a part with another reader.
    pub fn problems(&self) -> &'a RefCell<Problems> {
        self.problems
    }

    /// Complains about every key that nobody asked for.
    pub fn finish(self) {
        for (key, node) in self.table.into_iter().flatten() {
            if !self.known.contains(&key.as_str()) {
                let cure = match nearest(key, self.known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known keys: {}", self.known.join(", ")),
                };
                self.complain_about(node, format!("unknown key \"{key}\""), Some(&cure));
            }
        }
    }
}

/// A value as a user would recognise it, cut to a readable length.
pub fn shown(node: &Node) -> String {
    let text = match &node.value {
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        _ => node.to_json().to_string(),
    };
    if text.chars().count() > 60 { format!("{}...", text.chars().take(57).collect::<String>()) } else { text }
}

impl FromNode for String {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err("a text in quotes".to_owned()),
        }
    }
}

impl FromNode for bool {
    fn from_node(node: &Node) -> Result<Self, String> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => Err("true or false".to_owned()),
        }
    }
}

macro_rules! whole_numbers {
    ($($int:ty),*) => {$(
        impl FromNode for $int {
            fn from_node(node: &Node) -> Result<Self, String> {
                match node.value {
                    Value::Integer(number) => <$int>::try_from(number).ok(),
                    _ => None,
                }
                .ok_or_else(|| format!("a whole number from {} to {}", <$int>::MIN, <$int>::MAX))
            }
        }
    )*};
}
whole_numbers!(u16, u32, u64, usize);

impl FromNode for f64 {
    fn from_node(node: &Node) -> Result<Self, String> {
        match node.value {
            Value::Integer(number) => Ok(number as Self),
            Value::Float(number) if number.is_finite() => Ok(number),
            _ => Err("a number".to_owned()),
        }
    }
}

impl FromNode for Duration {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::Text(text) => parse_duration(text).map_err(|e| e.0),
            _ => Err("a duration with its unit, in quotes, such as \"250ms\"".to_owned()),
        }
    }
}

/// Units that may also be written as a bare number.
macro_rules! from_text_or_number {
    ($($unit:ty),*) => {$(
        impl FromNode for $unit {
            fn from_node(node: &Node) -> Result<Self, String> {
                match &node.value {
                    Value::Text(text) => text.parse::<$unit>(),
                    Value::Integer(_) | Value::Float(_) => node.to_json().to_string().parse::<$unit>(),
                    _ => "".parse::<$unit>(),
                }
                .map_err(|e| e.0)
            }
        }
    )*};
}
from_text_or_number!(ByteSize, ByteRate, Rate, Share);

/// A list, or one item that stands for a list of one.
impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::Array(items) => items.iter().map(T::from_node).collect(),
            _ => Ok(vec![T::from_node(node)?]),
        }
    }
}

/// A table of names to values.
impl<T: FromNode> FromNode for IndexMap<String, T> {
    fn from_node(node: &Node) -> Result<Self, String> {
        match &node.value {
            Value::Table(table) => table.iter().map(|(k, v)| Ok((k.clone(), T::from_node(v)?))).collect(),
            _ => Err("a table of name = value".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_reported_at_once_with_place_value_and_cure() {
        let node = Node::from_toml("r.toml", "dely = \"1s\"\nshare = \"140%\"\nname = 7\n[extra]\nx = 1\n").unwrap();
        let problems = RefCell::default();
        let mut reader = Reader::new("r.toml", &node, "fault \"latency\"", &problems);
        assert_eq!(reader.required::<Duration>("delay", "\"80ms\""), None);
        assert_eq!(reader.optional::<Share>("share"), None);
        assert_eq!(reader.optional::<String>("name"), None);
        reader.finish();
        let text = problems.into_inner().to_string();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "r.toml:1: fault \"latency\": \"delay\" is missing (for example delay = \"80ms\")",
                "r.toml:2: fault \"latency\": share = \"140%\" is not valid (expected a share from 0 to 1 such as 0.25 or \"25%\")",
                "r.toml:3: fault \"latency\": name = 7 is not valid (expected a text in quotes)",
                "r.toml:1: fault \"latency\": unknown key \"dely\" (did you mean \"delay\"?)",
                "r.toml:4: fault \"latency\": unknown key \"extra\" (known keys: delay, share, name)",
            ]
        );
    }

    #[test]
    fn whoever_sent_json_is_told_in_its_words() {
        let node = Node::from_json(&serde_json::json!({ "share": "140%", "rule": 7, "extra": 1 }));
        let problems = RefCell::default();
        let mut reader = Reader::new("PUT /x", &node, "fault \"latency\"", &problems);
        assert_eq!(reader.required::<Duration>("delay", "\"80ms\""), None);
        assert_eq!(reader.optional::<Share>("share"), None);
        assert!(reader.tables("rule").is_empty());
        reader.finish();
        let text = problems.into_inner().to_string();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "PUT /x: fault \"latency\": \"delay\" is missing (for example \"delay\": \"80ms\")",
                "PUT /x: fault \"latency\": \"share\": \"140%\" is not valid (expected a share from 0 to 1 such as 0.25 or \"25%\")",
                "PUT /x: fault \"latency\": \"rule\" is not a list of tables (write \"rule\": [{..}])",
                "PUT /x: fault \"latency\": unknown key \"extra\" (known keys: delay, share, rule)",
            ]
        );
    }

    #[test]
    fn what_a_flag_set_is_blamed_on_the_flag_and_not_on_the_file() {
        let mut node = Node::from_toml("r.toml", "a = 1\n[b]\nc = 1\n").unwrap();
        for set in ["b.c=soon", "d.e=1", "a=2"] {
            node.set(set).unwrap();
        }
        let problems = RefCell::default();
        let mut top = Reader::new("r.toml", &node, "", &problems);
        assert_eq!(top.optional::<u32>("a"), Some(2));
        top.reject("a", "2 is too much", None);
        let mut b = top.table("b").unwrap();
        assert_eq!(b.optional::<Duration>("c"), None);
        b.finish();
        let mut d = top.table("d").unwrap();
        assert_eq!(d.required::<u32>("f", "1"), None);
        d.finish();
        top.finish();
        let problems = problems.into_inner();
        let places: Vec<_> = problems.0.iter().map(|problem| (problem.file.as_str(), problem.line)).collect();
        let flags = ["--set a=2", "--set b.c=soon", "--set d.e=1", "--set d.e=1"];
        assert_eq!(places, flags.map(|flag| (flag, None)), "{problems}");
    }

    #[test]
    fn one_value_stands_for_a_list_of_one() {
        let node = Node::from_toml("r.toml", "a = \"GET\"\nb = [\"GET\", \"PUT\"]").unwrap();
        let problems = RefCell::default();
        let mut reader = Reader::new("r.toml", &node, "", &problems);
        assert_eq!(reader.optional::<Vec<String>>("a").unwrap(), ["GET"]);
        assert_eq!(reader.optional::<Vec<String>>("b").unwrap(), ["GET", "PUT"]);
        reader.finish();
        assert!(problems.borrow().is_empty());
    }
}
