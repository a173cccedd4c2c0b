//! Path patterns: `/api/checkout/{id}`, `/static/*.css`, `/api/**`.

use std::fmt;

use super::glob::{Glob, Token};
use super::wildcard::{Part, covers};

/// One pattern for a raw path: case-sensitive, no decoding, no dot or slash normalisation.
///
/// A path is taken apart at its slashes. `{name}` stands for one segment that is not empty (inside a segment: for at
/// least one character), `*` for any number of characters within a segment, also none, `**` for any number of whole
/// segments, also none: `/api/**` covers `/api`, `/api/` and `/api/a/b`. `\` takes the special meaning of `*`, `{`,
/// `}` and `\` away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text.
    Literal(Box<str>),
    /// `{name}`: any text but none.
    Name,
    /// A text with wildcards in it.
    Glob(Glob),
    /// `**`: any segments.
    Deep,
}

impl PathPattern {
    /// Reads a pattern as described above.
    ///
    /// # Errors
    /// What is wrong with it and how to cure it.
    pub fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        if !(text.starts_with('/') || text.starts_with("**") || text == "\\*") {
            return Err(("does not begin with \"/\"".to_owned(), "paths begin with a slash, such as \"/api/**\""));
        }
        if text.contains('?') {
            return Err(("holds a \"?\", which no path does".to_owned(), "put the query into match = { query = .. }"));
        }
        if let Some(odd) = text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '#') {
            return Err((format!("holds {odd:?}, which no path does"), "paths are compared as sent: write %20 or %23"));
        }
        let segments = split(text).iter().map(|segment| Segment::parse(segment)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), segments })
    }

    /// Whether the raw path, without its query, is as the pattern says.
    pub fn matches(&self, path: &str) -> bool {
        covers(
            &self.segments,
            path.split('/'),
            |segment| if matches!(segment, Segment::Deep) { Part::Many } else { Part::One },
            |segment, text| segment.matches(text),
        )
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits at slashes, whatever stands before them: a backslash cannot hide one, since no segment holds one.
fn split(text: &str) -> Vec<&str> {
    text.split('/').collect()
}

impl Segment {
    fn parse(text: &str) -> Result<Self, (String, &'static str)> {
        match text {
            "**" => return Ok(Self::Deep),
            _ if whole_name(text) => return Ok(Self::Name),
            _ => {}
        }
        let glob = Glob::new(tokens(text)?);
        // The bytes come from a `str` and are only cut at ASCII marks: they stay UTF-8.
        Ok(match glob.literal().map(String::from_utf8) {
            Some(Ok(literal)) => Self::Literal(literal.into()),
            _ => Self::Glob(glob),
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Name => !text.is_empty(),
            Self::Glob(glob) => glob.matches(text.as_bytes()),
            Self::Deep => true,
        }
    }
}

fn whole_name(text: &str) -> bool {
    text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn tokens(segment: &str) -> Result<Vec<Token>, (String, &'static str)> {
    let mut tokens = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(first) = rest.chars().next() {
        let (head, tail) = rest.split_at(first.len_utf8());
        rest = tail;
        match first {
            '*' if rest.starts_with('*') => {
                return Err((format!("\"{segment}\" holds \"**\""), "\"**\" stands alone between two slashes"));
            }
            '*' => tokens.push(Token::Many),
            '{' => {
                let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
                if !is_name(name) || !rest.contains('}') {
                    return Err((format!("\"{segment}\" has no name in its braces"), "such as {id}; \\{ is a brace"));
                }
                tokens.extend([Token::Any, Token::Many]);
                rest = after;
            }
            '}' => return Err((format!("\"{segment}\" closes a brace that is not open"), "\\} is a brace")),
            '\\' => {
                let Some(escaped) = rest.chars().next() else {
                    return Err((format!("\"{segment}\" ends with a single \\"), "\\\\ is a backslash"));
                };
                let (escaped, after) = rest.split_at(escaped.len_utf8());
                tokens.extend(escaped.bytes().map(Token::Byte));
                rest = after;
            }
            _ => tokens.extend(head.bytes().map(Token::Byte)),
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn paths_are_compared_raw_segment_by_segment() {
        for (pattern, path, expected) in [
            ("/", "/", true),
            ("/api", "/api", true),
            ("/api", "/api/", false),
            ("/api", "/API", false),
            ("/api/", "/api", false),
            ("/a/{id}", "/a/7", true),
            ("/a/{id}", "/a/", false),
            ("/a/{id}", "/a", false),
            ("/a/{id}", "/a/7/b", false),
            ("/a/{id}/b", "/a/7/b", true),
            ("/a/v{n}", "/a/v", false),
            ("/a/v{n}", "/a/v12", true),
            ("/a/*", "/a/", true),
            ("/a/*", "/a/x", true),
            ("/a/*", "/a/x/y", false),
            ("/a/*", "/a", false),
            ("/*.css", "/x.css", true),
            ("/*.css", "/x.css.map", false),
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/a/**/z", "/a/z", true),
            ("/a/**/z", "/a/b/c/z", true),
            ("/a/**/z", "/a/b/c", false),
            ("/**/b/**/d", "/a/b/c/b/d", true),
            ("/**", "/", true),
            ("/**", "*", false),
            ("**", "*", true),
            ("**", "", true),
            (r"\*", "*", true),
            (r"/\*", "/*", true),
            (r"/\*", "/x", false),
            (r"/\{id\}", "/{id}", true),
            ("/a", "//a", false),
            ("/a/b", "/a/./b", false),
            ("/a b".replace(' ', "%20").as_str(), "/a%20b", true),
            ("/ä/{id}", "/ä/ö", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_is_no_path_pattern_says_why_and_what_would_be_right() {
        for (pattern, wanted) in [
            ("api", "does not begin with"),
            ("", "does not begin with"),
            ("/a?b=c", "holds a \"?\""),
            ("/a b", "holds ' '"),
            ("/a**", "holds \"**\""),
            ("/***", "holds \"**\""),
            ("/{}", "no name in its braces"),
            ("/{id", "no name in its braces"),
            ("/id}", "closes a brace"),
            (r"/a\", "ends with a single"),
        ] {
            let (problem, cure) = PathPattern::parse(pattern).unwrap_err();
            assert!(problem.contains(wanted) && !cure.is_empty(), "{pattern}: {problem}");
        }
    }

    /// The definition on whole segments, without any cleverness.
    fn naive(pattern: &[&str], path: &[&str]) -> bool {
        let Some((first, pattern_rest)) = pattern.split_first() else { return path.is_empty() };
        if *first == "**" {
            return (0..=path.len()).any(|taken| naive(pattern_rest, &path[taken..]));
        }
        let Some((segment, path_rest)) = path.split_first() else { return false };
        let fits = match *first {
            "{x}" => !segment.is_empty(),
            first => naive_glob(first.as_bytes(), segment.as_bytes()),
        };
        fits && naive(pattern_rest, path_rest)
    }

    fn naive_glob(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| naive_glob(rest, &text[taken..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(b, text)| b == byte && naive_glob(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_its_definition(
            pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "", "*", "a*", "{x}", "**"]), 0..6),
            path in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "", "abb"]), 0..7),
        ) {
            let mut pattern = pattern;
            pattern.insert(0, "");
            let (text, path) = (pattern.join("/"), format!("/{}", path.join("/")));
            prop_assume!(text.starts_with('/'));
            prop_assert_eq!(matches(&text, &path), naive(&pattern, &path.split('/').collect::<Vec<_>>()), "{} on {}", text, path);
        }

        #[test]
        fn no_pattern_makes_the_parser_panic(pattern in "/\\PC{0,24}", path in "\\PC{0,24}") {
            if let Ok(pattern) = PathPattern::parse(&pattern) {
                pattern.matches(&path);
            }
        }
    }
}
