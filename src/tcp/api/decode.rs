//! Bodies of requests, read as Go's decoder reads them: keys in any case, unknown ones ignored, nothing after the first
//! value looked at, and numbers only where numbers are meant.

use serde_json::{Map, Value};

/// The first JSON value of a body.
///
/// # Errors
/// The decoder's words.
pub(super) fn first(body: &[u8]) -> Result<Value, String> {
    match serde_json::Deserializer::from_slice(body).into_iter::<Value>().next() {
        None => Err("EOF".to_owned()),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if error.is_eof() => Err("unexpected EOF".to_owned()),
        Some(Err(error)) => Err(match culprit(body, error.line(), error.column()) {
            Some(c) => format!("invalid character '{c}' looking for beginning of value"),
            None => error.to_string(),
        }),
    }
}

fn culprit(body: &[u8], line: usize, column: usize) -> Option<char> {
    let line = body.split(|byte| *byte == b'\n').nth(line.checked_sub(1)?)?;
    line.get(column.checked_sub(1)?).map(|byte| char::from(*byte))
}

/// The fields of one object of a body.
pub(super) struct Fields<'a> {
    /// The struct that errors name.
    owner: &'static str,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    /// `null` is an object without fields.
    ///
    /// # Errors
    /// When the value is something else than an object.
    pub(super) fn of(owner: &'static str, value: &'a Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self { owner, map: None }),
            Value::Object(map) => Ok(Self { owner, map: Some(map) }),
            other => Err(format!("json: cannot unmarshal {} into Go value of type toxiproxy.{owner}", word(other))),
        }
    }

    /// The last field of this name, whatever its case. `null` is as good as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        let mut found = self.map?.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        found.next_back().filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, value: &Value, wanted: &str) -> String {
        let owner = self.owner;
        format!("json: cannot unmarshal {} into Go struct field {owner}.{name} of type {wanted}", word(value))
    }

    /// A text; absent is empty.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong(name, other, "string")),
        }
    }

    /// A list of texts; absent is empty.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let text =
                    |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, item, "string"));
                items.iter().map(text).collect()
            }
            Some(other) => Err(self.wrong(name, other, "[]string")),
        }
    }

    /// A truth value.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(name, other, "bool")),
        }
    }

    /// A number of single precision.
    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number as f32)),
                None => Err(self.wrong(name, value, "float32")),
            },
        }
    }

    /// A whole number; one with a fraction is none.
    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(name, value, "int64")),
            },
        }
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if number.is_f64() => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_go_reads_them() {
        assert_eq!(first(b"").unwrap_err(), "EOF");
        assert_eq!(first(b"  ").unwrap_err(), "EOF");
        assert_eq!(first(b"{\"a\":").unwrap_err(), "unexpected EOF");
        assert_eq!(first(b"x").unwrap_err(), "invalid character 'x' looking for beginning of value");
        assert_eq!(first(b"{} trailing").unwrap(), serde_json::json!({}));
        let value = first(br#"{"NAME":"a","name":null,"Enabled":true,"n":1.5,"m":7,"other":[]}"#).unwrap();
        let fields = Fields::of("Proxy", &value).unwrap();
        assert_eq!(fields.text("name").unwrap(), "");
        assert_eq!(fields.truth("enabled").unwrap(), Some(true));
        assert_eq!(fields.whole("m").unwrap(), Some(7));
        assert_eq!(
            fields.whole("n").unwrap_err(),
            "json: cannot unmarshal number 1.5 into Go struct field Proxy.n of type int64"
        );
        assert_eq!(
            fields.text("other").unwrap_err(),
            "json: cannot unmarshal array into Go struct field Proxy.other of type string"
        );
        assert!(Fields::of("Proxy", &Value::from(3)).is_err());
    }
}
