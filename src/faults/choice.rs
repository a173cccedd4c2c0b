//! Keys whose value is one of a few words.

use crate::diagnostics::node::Value;
use crate::diagnostics::reader::shown;
use crate::diagnostics::{Reader, nearest};

/// The value that the word under `key` stands for, or `default` if the key is absent. A word that is none of
/// `words` is recorded as a problem and read as the default.
pub(crate) fn choice<T: Copy>(reader: &mut Reader<'_>, key: &'static str, words: &[(&str, T)], default: T) -> T {
    let Some(node) = reader.node(key) else { return default };
    let written = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        _ => String::new(),
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == written) {
        return *value;
    }
    let cure = match nearest(&written, words.iter().map(|(word, _)| *word)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => {
            format!("expected {}", words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "))
        }
    };
    reader.reject(key, format!("{} is not valid", shown(node)), Some(&cure));
    default
}
