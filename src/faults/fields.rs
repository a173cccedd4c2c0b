//! Header fields as a fault's table gives them.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::diagnostics::{FromNode, Reader};

/// What frames a message or belongs to a connection: the proxy writes these.
pub(super) const FRAMING: [&str; 8] =
    ["content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];
/// As [`FRAMING`], for those that may lie about the length.
pub(super) const CONNECTION: [&str; 7] =
    ["transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

/// Reads a table of names to one or several values; empty if the key is absent, `None` when a problem was recorded.
pub(super) fn read(reader: &mut Reader<'_>, key: &'static str, refused: &[&str]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    let mut sound = true;
    let mut table = if reader.has(key) { reader.table(key) } else { None };
    reader.node(key);
    for (written, node) in table.iter_mut().flat_map(Reader::entries) {
        let mut complain = |message: String, cure: &str| {
            reader.complain_at(node.line, format!("{key}: {message}"), Some(cure));
            sound = false;
        };
        let name = match name(written, refused) {
            Ok(name) => name,
            Err((message, cure)) => {
                complain(message, cure);
                continue;
            }
        };
        for text in Vec::<String>::from_node(node).unwrap_or_else(|expected| {
            complain(format!("{written} is not valid"), &format!("expected {expected}, or a list of such"));
            Vec::new()
        }) {
            match HeaderValue::try_from(&text) {
                Ok(value) => _ = fields.append(name.clone(), value),
                Err(_) => complain(format!("{written} = {text:?} is not valid"), "a header value is one line"),
            }
        }
    }
    sound.then_some(fields)
}

/// Reads a list of names.
pub(super) fn names(reader: &mut Reader<'_>, key: &'static str, refused: &[&str]) -> Vec<HeaderName> {
    let written: Vec<String> = reader.optional(key).unwrap_or_default();
    let mut names = Vec::with_capacity(written.len());
    for text in &written {
        match name(text, refused) {
            Ok(name) => names.push(name),
            Err((message, cure)) => reader.reject(key, message, Some(cure)),
        }
    }
    names
}

fn name(written: &str, refused: &[&str]) -> Result<HeaderName, (String, &'static str)> {
    let name = HeaderName::try_from(written)
        .map_err(|_| (format!("\"{written}\" is not a header name"), "for example retry-after = \"2\""))?;
    if refused.contains(&name.as_str()) {
        return Err((format!("\"{written}\" frames the message"), "leave it to the proxy"));
    }
    Ok(name)
}
