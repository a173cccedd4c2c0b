//! Problems are written in the words of TOML; whoever sent JSON is told in those of JSON.

/// Rewrites what stands outside of quotes: `key = value` becomes `"key": value`, `[[a.b]]` becomes `"b": [{..}]`.
pub(super) fn in_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '"' => quoted(rest).map(|length| (length, rest[..length].to_owned())),
            '[' => tables(rest),
            letter if is_key(letter) => Some(word(rest)),
            _ => None,
        };
        let (length, written) = taken.unwrap_or_else(|| (next.len_utf8(), next.to_string()));
        out.push_str(&written);
        rest = &rest[length..];
    }
    out
}

fn is_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.')
}

/// How long the text in quotes at the start is; `None` if they are not closed.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return Some(at + 1),
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    None
}

fn tables(text: &str) -> Option<(usize, String)> {
    let name = text.strip_prefix("[[")?.split("]]").next()?;
    let key = name.rsplit('.').next().filter(|_| !name.is_empty() && name.chars().all(is_key))?;
    Some((name.len() + "[[]]".len(), format!("\"{key}\": [{{..}}]")))
}

fn word(text: &str) -> (usize, String) {
    let length = text.find(|letter| !is_key(letter)).unwrap_or(text.len());
    let (word, rest) = text.split_at(length);
    match rest.strip_prefix(" = ") {
        Some(_) => (length + " = ".len(), format!("\"{word}\": ")),
        None => (length, word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_tables_are_written_as_in_json_and_what_was_quoted_is_left_alone() {
        for (toml, json) in [
            ("for example delay = \"80ms\"", "for example \"delay\": \"80ms\""),
            ("match = { path = \"/a = b\" }", "\"match\": { \"path\": \"/a = b\" }"),
            ("\"a \\\" b = c\" is not valid", "\"a \\\" b = c\" is not valid"),
            ("write [[rule]]", "write \"rule\": [{..}]"),
            ("write [[rule.fault]] too", "write \"fault\": [{..}] too"),
            ("a list [\"GET\"], one = 1", "a list [\"GET\"], \"one\": 1"),
            ("p50 <= p99", "p50 <= p99"),
            ("an open \" quote = 1", "an open \" \"quote\": 1"),
        ] {
            assert_eq!(in_json(toml), json);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            in_json(&text);
        }
    }
}
