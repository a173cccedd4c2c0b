//! One kind of request that the driver sends.

use http::{HeaderName, HeaderValue, Method, Uri};
use indexmap::IndexMap;

use super::template::{Template, VARIABLES, Variables};
use crate::diagnostics::Reader;

/// One kind of request: what is sent, and its weight among the others.
///
/// Only made by [`Operation::new`] and from an `operation` table, which see to it that any request of it can be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) body: Template,
    pub(super) weight: f64,
}

/// An operation as written: `[[load.operation]]`, or the flags of `brownout load`.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationText {
    /// Its name in reports; by default method and path.
    pub name: Option<String>,
    /// By default GET, or POST with a body.
    pub method: Option<String>,
    /// Path and query, variables allowed.
    pub path: String,
    /// Name and value; values may have variables.
    pub headers: Vec<(String, String)>,
    /// Variables allowed.
    pub body: String,
    /// How often, relative to the other operations.
    pub weight: f64,
}

/// What is wrong with an operation, and under which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationError {
    /// `method`, `path`, `headers`, `body` or `weight`.
    pub key: &'static str,
    /// Names the value.
    pub message: String,
    /// What would be right.
    pub cure: String,
}

impl Operation {
    /// Checks an operation.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(text: OperationText) -> Result<Self, Vec<OperationError>> {
        let mut wrong = Vec::new();
        let default_method = if text.body.is_empty() { "GET" } else { "POST" };
        let method_text = text.method.as_deref().unwrap_or(default_method);
        let method = Method::from_bytes(method_text.as_bytes()).ok();
        if method.is_none() {
            wrong.push(error("method", format!("\"{method_text}\" is no HTTP method"), "expected GET, POST, ..."));
        }
        let path = template("path", &text.path, &mut wrong);
        if let Some(path) = &path {
            check_path(path, &text.path, &mut wrong);
        }
        let headers = text.headers.iter().filter_map(|(name, value)| header(name, value, &mut wrong)).collect();
        let body = template("body", &text.body, &mut wrong);
        if !(text.weight.is_finite() && text.weight > 0.0) {
            wrong.push(error("weight", format!("{} is not above zero", text.weight), "for example weight = 1"));
        }
        match (method, path, body) {
            (Some(method), Some(path), Some(body)) if wrong.is_empty() => Ok(Self {
                name: text.name.unwrap_or_else(|| format!("{method} {}", text.path)),
                method,
                path,
                headers,
                body,
                weight: text.weight,
            }),
            _ => Err(wrong),
        }
    }

    /// Reads a `[[load.operation]]`. `base` goes before its path, `shared` before its headers.
    pub(super) fn read(mut reader: Reader<'_>, base: &str, shared: &[(String, String)]) -> Option<Self> {
        let name = reader.optional::<String>("name");
        if let Some(name) = &name {
            reader.rename(format!("operation \"{name}\""));
        }
        let method = reader.optional::<String>("method");
        let path = reader.or::<String>("path", "/".to_owned());
        if !path.starts_with('/') {
            reader.reject("path", format!("\"{path}\" does not start with \"/\""), None);
        }
        let own = reader.or::<IndexMap<String, String>>("headers", IndexMap::new());
        let mut headers = shared.to_vec();
        headers.retain(|(name, _)| !own.keys().any(|key| key.eq_ignore_ascii_case(name)));
        headers.extend(own);
        let body = reader.or::<String>("body", String::new());
        let weight = reader.or::<f64>("weight", 1.0);
        let text = OperationText { name, method, path: format!("{base}{path}"), headers, body, weight };
        let operation = Self::new(text)
            .map_err(|wrong| wrong.into_iter().for_each(|e| reader.reject(e.key, e.message, Some(&e.cure))))
            .ok();
        reader.finish();
        operation
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn error(key: &'static str, message: String, cure: &str) -> OperationError {
    OperationError { key, message, cure: cure.to_owned() }
}

fn template(key: &'static str, text: &str, wrong: &mut Vec<OperationError>) -> Option<Template> {
    Template::parse(text)
        .map_err(|unknown| wrong.push(error(key, unknown.to_string(), &format!("known: {VARIABLES}"))))
        .ok()
}

/// Variables only add letters, digits and dashes: what one request can be made of, all can.
fn check_path(path: &Template, text: &str, wrong: &mut Vec<OperationError>) {
    const LONGEST: usize = 16 * 1024; // the http crate allows 64 KiB; variables may add to this
    let sample = path.rendered(Variables::new(0, 0));
    if sample.len() > LONGEST || !sample.starts_with('/') || sample.parse::<Uri>().is_err() {
        let cure = "a path such as \"/items/{{id}}?full=1\", at most 16 KiB, with anything unusual percent-encoded";
        wrong.push(error("path", format!("\"{text}\" cannot be sent"), cure));
    }
}

fn header(name: &str, value: &str, wrong: &mut Vec<OperationError>) -> Option<(HeaderName, Template)> {
    /// What HTTP itself makes of a request; a second one would make it ambiguous where the body ends.
    const FRAMING: [HeaderName; 3] =
        [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION];
    let parsed = name.trim().parse::<HeaderName>().ok();
    match &parsed {
        None => wrong.push(error("headers", format!("\"{name}\" is no header name"), "expected name = \"value\"")),
        Some(name) if FRAMING.contains(name) => {
            wrong.push(error("headers", format!("\"{name}\" is set by the driver itself"), "leave it out"));
        }
        Some(_) => {}
    }
    let template = template("headers", value, wrong)?;
    if HeaderValue::try_from(template.rendered(Variables::new(0, 0))).is_err() {
        let message = format!("the value of \"{name}\" has a control character");
        wrong.push(error("headers", message, "leave it out"));
    }
    Some((parsed?, template))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> OperationText {
        OperationText {
            name: None,
            method: None,
            path: "/".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            weight: 1.0,
        }
    }

    #[test]
    fn the_method_follows_from_the_body_unless_it_is_given() {
        assert_eq!(Operation::new(text()).unwrap().method, Method::GET);
        let posted = OperationText { body: "x".to_owned(), ..text() };
        assert_eq!(Operation::new(posted.clone()).unwrap().method, Method::POST);
        let put = OperationText { method: Some("PUT".to_owned()), ..posted };
        assert_eq!(Operation::new(put).unwrap().name(), "PUT /");
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let bad = OperationText {
            method: Some("G T".to_owned()),
            path: "/{{user}}".to_owned(),
            headers: vec![("a b".to_owned(), "x".to_owned()), ("content-length".to_owned(), "3".to_owned())],
            body: "{{nothing}}".to_owned(),
            weight: 0.0,
            ..text()
        };
        let keys: Vec<_> = Operation::new(bad).unwrap_err().into_iter().map(|e| e.key).collect();
        assert_eq!(keys, ["method", "path", "headers", "headers", "body", "weight"]);
    }

    #[test]
    fn a_path_that_cannot_be_sent_is_refused() {
        for path in ["", "a", "/a b", "/\u{7f}"] {
            assert!(Operation::new(OperationText { path: path.to_owned(), ..text() }).is_err(), "{path}");
        }
        let long = OperationText { path: format!("/{}", "a".repeat(17_000)), ..text() };
        assert!(Operation::new(long).is_err());
    }
}
