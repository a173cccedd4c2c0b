//! gRPC's status, as a fault's table gives it.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::diagnostics::node::Value;
use crate::diagnostics::{Reader, nearest};

/// The index is the code.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Reads `grpc_status`, by name or number, and `grpc_message` into the fields that carry them; empty without them.
pub(super) fn read(reader: &mut Reader<'_>) -> HeaderMap {
    let mut fields = HeaderMap::new();
    let status = code(reader);
    let message: Option<String> = reader.optional("grpc_message");
    if message.is_some() && !reader.has("grpc_status") {
        reader.reject("grpc_message", "has no effect without grpc_status", Some("add grpc_status = \"UNAVAILABLE\""));
    }
    if let Some(status) = status {
        fields.insert(STATUS, HeaderValue::from(status));
        let message = message.and_then(|message| HeaderValue::try_from(escaped(&message)).ok());
        fields.extend(message.map(|message| (MESSAGE, message)));
    }
    fields
}

fn code(reader: &mut Reader<'_>) -> Option<u32> {
    let node = reader.node("grpc_status")?;
    let text = match &node.value {
        Value::Integer(code) => match u32::try_from(*code) {
            Ok(code) => return Some(code),
            Err(_) => code.to_string(),
        },
        Value::Text(text) => match NAMES.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            Some(code) => return Some(code as u32),
            None => text.clone(),
        },
        _ => String::new(),
    };
    let cure = match nearest(&text.to_ascii_uppercase(), NAMES) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("a number, or one of {}", NAMES.join(", ")),
    };
    reader.reject("grpc_status", format!("there is no \"{text}\""), Some(&cure));
    None
}

/// The message as the header carries it: what is not printable ASCII, and `%`, in percent escapes.
fn escaped(message: &str) -> String {
    let escape = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    message.bytes().map(escape).collect()
}

/// The name of the status in these fields, or its number.
pub(super) fn name(fields: &HeaderMap) -> Option<String> {
    let code = fields.get(STATUS)?.to_str().ok()?;
    let named = code.parse::<usize>().ok().and_then(|code| NAMES.get(code));
    Some(named.map_or_else(|| code.to_owned(), |name| (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_escaped_as_grpc_wants_it() {
        assert_eq!(escaped("try later: 50% of ünits\n"), "try later: 50%25 of %C3%BCnits%0A");
    }
}
