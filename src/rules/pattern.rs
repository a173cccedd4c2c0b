//! What a value (of a header, a query parameter, a host) has to look like: exact, glob or regular expression.

use std::fmt;

use regex::bytes::Regex;

use super::glob::{Glob, Token};

/// One pattern for values.
///
/// `beta` is that text, `beta-*` any text that begins so (`*` = any number of characters, also none), `~^v[12]$` a
/// regular expression that is searched for anywhere in the value. `\` takes the special meaning away from what
/// follows: `\*`, `\~` (only needed at the beginning), `\\`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Exact(Box<[u8]>),
    Glob(Glob),
    Regex(Regex),
}

impl Pattern {
    /// Reads a pattern as described above.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let kind = match text.strip_prefix('~') {
            Some(expression) => Kind::Regex(regex(expression)?),
            None => {
                let glob = Glob::new(tokens(text)?);
                glob.literal().map_or(Kind::Glob(glob), |bytes| Kind::Exact(bytes.into()))
            }
        };
        Ok(Self { text: text.into(), kind })
    }

    /// Whether the value is as the pattern says.
    pub fn matches(&self, value: &[u8]) -> bool {
        match &self.kind {
            Kind::Exact(bytes) => **bytes == *value,
            Kind::Glob(glob) => glob.matches(value),
            Kind::Regex(regex) => regex.is_match(value),
        }
    }

    /// The only value that matches, if there is only one.
    pub(super) fn exact(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Exact(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compiles a regular expression.
///
/// # Errors
/// The last line of the compiler's complaint: the others draw the expression.
pub(super) fn regex(expression: &str) -> Result<Regex, String> {
    Regex::new(expression).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim();
        format!("is not a regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
    })
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        tokens.push(match byte {
            b'*' => Token::Many,
            b'\\' => Token::Byte(bytes.next().ok_or("ends with a single \\")?),
            byte => Token::Byte(byte),
        });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(value.as_bytes())
    }

    #[test]
    fn values_are_exact_globs_or_regular_expressions() {
        for (pattern, value, expected) in [
            ("beta", "beta", true),
            ("beta", "beta-1", false),
            ("beta", "Beta", false),
            ("beta-*", "beta-1", true),
            ("beta-*", "beta-", true),
            ("*-1", "beta-1", true),
            ("*a*", "beta", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("~^v[12]$", "v2", true),
            ("~^v[12]$", "v21", false),
            ("~et", "beta", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            (r"\~v", "~v", true),
            (r"a\\b", r"a\b", true),
            ("ä*", "äö", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} on {value}");
        }
        assert!(Pattern::parse("~^caf\u{e9}").unwrap().matches("café".as_bytes()));
        assert!(Pattern::parse("*").unwrap().matches(&[0xff, 0x80]), "values need not be UTF-8");
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        assert_eq!(Pattern::parse("~(").unwrap_err(), "is not a regular expression: unclosed group");
        assert_eq!(Pattern::parse(r"a\").unwrap_err(), r"ends with a single \");
    }

    /// The definition, letter by letter.
    fn naive(pattern: &[char], value: &[char]) -> bool {
        match (pattern.split_first(), value.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => naive(rest, value) || (!value.is_empty() && naive(pattern, &value[1..])),
            (Some((a, pattern)), Some((b, value))) => a == b && naive(pattern, value),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn globs_agree_with_their_definition(pattern in "[ab*]{0,8}", value in "[ab]{0,10}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &value), naive(&chars(&pattern), &chars(&value)));
        }

        #[test]
        fn no_pattern_makes_the_parser_panic(pattern in "\\PC{0,24}", value in "\\PC{0,24}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(value.as_bytes());
            }
        }
    }
}
