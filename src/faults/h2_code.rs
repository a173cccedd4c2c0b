//! HTTP/2 error codes by their names.

use crate::diagnostics::{Reader, nearest};

/// RFC 9113 section 7: the index is the code.
const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// Reads a code by name or number; `default` if it is absent.
pub(super) fn read(reader: &mut Reader<'_>, key: &'static str, default: u32) -> u32 {
    use crate::diagnostics::node::Value;
    let Some(node) = reader.node(key) else { return default };
    match &node.value {
        Value::Integer(code) => {
            if let Ok(code) = u32::try_from(*code) {
                return code;
            }
            reader.reject(key, format!("{code} is not valid"), Some("a code from 0, or its name"));
        }
        Value::Text(text) => {
            if let Some(code) = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text)) {
                return code as u32;
            }
            let cure = match nearest(&text.to_ascii_uppercase(), NAMES) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("a number, or one of {}", NAMES.join(", ")),
            };
            reader.reject(key, format!("there is no \"{text}\""), Some(&cure));
        }
        _ => reader.reject(key, "is not a code", Some("for example \"REFUSED_STREAM\"")),
    }
    default
}

/// The name of a code, or the code.
pub(super) fn name(code: u32) -> String {
    NAMES.get(code as usize).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}
