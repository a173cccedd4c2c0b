//! Texts with fields of the request in them.

use super::RequestView;

/// A text in which `{{method}}`, `{{path}}`, `{{query}}`, `{{host}}` and `{{header.NAME}}` stand for what the request
/// says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// What is filled in is escaped as within a JSON string.
    json: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Method,
    Path,
    Query,
    Host,
    Header(String),
}

/// The fields that there are, for messages.
pub(super) const FIELDS: &str = "{{method}}, {{path}}, {{query}}, {{host}}, {{header.NAME}}";

impl Template {
    /// # Errors
    /// The first `{{...}}` that is not closed or not known.
    pub(super) fn parse(text: &str, json: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((field, after)) = after.split_once("}}") else {
                return Err("has a {{ that is not closed".to_owned());
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(match field.trim() {
                "method" => Part::Method,
                "path" => Part::Path,
                "query" => Part::Query,
                "host" => Part::Host,
                other => match other.strip_prefix("header.").filter(|name| !name.is_empty()) {
                    Some(name) => Part::Header(name.to_ascii_lowercase()),
                    None => return Err(format!("names {{{{{other}}}}}, which there is not")),
                },
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts, json })
    }

    /// The text for this request; what it lacks is empty.
    pub fn render(&self, request: &RequestView<'_>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let value = match part {
                Part::Text(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Part::Method => request.method.as_str().into(),
                Part::Path => request.path.into(),
                Part::Query => request.query.unwrap_or_default().into(),
                Part::Host => request.host.into(),
                Part::Header(name) => {
                    request.headers.get(name).map_or("".into(), |value| String::from_utf8_lossy(value.as_bytes()))
                }
            };
            if self.json {
                // A JSON string without its quotes.
                let quoted = serde_json::Value::from(&*value).to_string();
                text.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            } else {
                text.push_str(&value);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{HeaderName, HeaderValue};

    use super::super::testing::request;
    use super::*;

    #[test]
    fn fields_are_filled_in_and_escaped_where_json_needs_it() {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-user"), HeaderValue::from_static("a\"b"))]);
        let view = RequestView { headers: &headers, ..request() };
        let text = "{{method}} {{ path }}?{{query}} of {{header.X-User}}{{header.none}} at {{host}}";
        assert_eq!(Template::parse(text, false).unwrap().render(&view), "GET /? of a\"b at h");
        let json = Template::parse(r#"{"user":"{{header.x-user}}"}"#, true).unwrap();
        assert_eq!(json.render(&view), r#"{"user":"a\"b"}"#);
    }

    #[test]
    fn what_is_no_field_is_a_mistake() {
        assert_eq!(Template::parse("{{methd}}", false).unwrap_err(), "names {{methd}}, which there is not");
        assert_eq!(Template::parse("a {{ b", false).unwrap_err(), "has a {{ that is not closed");
    }
}
