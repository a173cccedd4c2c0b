//! What a file may say, as data: from this the reference in `docs/` and the JSON Schemas for editors are made.
//!
//! The readers are what really decides; tests hold these tables against the keys that the readers ask for.

use serde_json::{Value, json};

/// One table of a file.
#[derive(Debug)]
pub struct Section {
    /// How others refer to it, such as `match`.
    pub name: &'static str,
    /// How it is written, such as `[[rule]]`.
    pub written: &'static str,
    /// All its keys, in the order of the reference.
    pub keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// What is meant, in Markdown, default included.
    pub meaning: &'static str,
    /// An example of the value, in TOML.
    pub example: &'static str,
}

/// The values that a key may have.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A text.
    Text,
    /// A text or a list of texts.
    Texts,
    /// true or false.
    Flag,
    /// A whole number from 0 or 1.
    Count(u64),
    /// A share: 0.25 or "25%".
    Share,
    /// A duration: "250ms".
    Duration,
    /// Events a second: "20/s".
    Rate,
    /// A size: "64KiB".
    Size,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Names to what their values must be like.
    Wanted,
    /// JSON pointers to what the fields must be like.
    Fields,
    /// Statuses: 503, "5xx", "500-504", or a list of such.
    Statuses,
    /// A date with its time.
    Date,
    /// A table of this name.
    Table(&'static str),
    /// Such a table or a list of them.
    TableOrTables(&'static str),
    /// `[[..]]`: a list of such tables.
    Tables(&'static str),
    /// `[key.NAME]`: tables by a name that the user chooses.
    Named(&'static str),
    /// A table whose keys depend on another key.
    Open,
}

impl Shape {
    /// The JSON Schema of the values.
    pub fn schema(self) -> Value {
        let number_or_text = || json!({ "type": ["number", "string"] });
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Texts => one_or_many(&json!({ "type": "string" })),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Count(least) => json!({ "type": "integer", "minimum": least }),
            Self::Share => json!({ "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 1 },
                { "type": "string", "pattern": "^\\s*[0-9.]+\\s*%?\\s*$" },
            ]}),
            Self::Duration => json!({ "type": "string", "pattern": "^\\s*(0|([0-9.]+\\s*[a-zµμ]+\\s*)+)$" }),
            Self::Rate | Self::Size => number_or_text(),
            Self::Words(words) => json!({ "enum": words }),
            Self::Wanted => map_of(&with_not(one_or_many(&json!({ "type": "string" })), json!({ "type": "boolean" }))),
            Self::Fields => {
                let scalar = json!({ "type": ["string", "number", "boolean"] });
                let present = json!({ "type": "object", "additionalProperties": false, "required": ["present"],
                    "properties": { "present": { "type": "boolean" } } });
                map_of(&with_not(one_or_many(&scalar), present))
            }
            Self::Statuses => one_or_many(&json!({ "anyOf": [
                { "type": "integer", "minimum": 100, "maximum": 599 },
                { "type": "string", "pattern": "^([1-5]xx|[1-5][0-9]{2}( *- *[1-5][0-9]{2})?)$" },
            ]})),
            Self::Date => json!({ "type": "string", "description": "a date with its time, in UTC" }),
            Self::Table(name) => reference(name),
            Self::TableOrTables(name) => one_or_many(&reference(name)),
            Self::Tables(name) => json!({ "type": "array", "items": reference(name) }),
            Self::Named(name) => map_of(&reference(name)),
            Self::Open => json!({ "type": "object" }),
        }
    }
}

/// The schema of a table whose keys are these and no others.
pub fn schema_of(section: &Section) -> Value {
    let property = |key: &Key| {
        let mut schema = key.shape.schema();
        // `$ref` takes company only since 2019-09, which is what the schemas say they are.
        schema["description"] = key.meaning.replace('`', "").into();
        (key.name.to_owned(), schema)
    };
    let properties: serde_json::Map<_, _> = section.keys.iter().map(property).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// The keys of a table as Markdown.
pub fn markdown_of(section: &Section) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text = format!("### `{}`\n\n| key | for example | |\n|---|---|---|\n", section.written);
    for key in section.keys {
        text.push_str(&format!("| `{}` | `{}` | {} |\n", key.name, cell(key.example), cell(key.meaning)));
    }
    text
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn one_or_many(item: &Value) -> Value {
    json!({ "anyOf": [item, { "type": "array", "items": item }] })
}

fn map_of(value: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

fn with_not(values: Value, other: Value) -> Value {
    let not = json!({ "type": "object", "additionalProperties": false, "required": ["not"], "properties": { "not": values } });
    json!({ "anyOf": [values, other, not] })
}
