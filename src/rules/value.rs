//! What the values under a name (a header, a cookie, a query parameter) have to be like.

use super::pattern::Pattern;
use crate::diagnostics::node::{Node, Value};

/// A test of all the values that a request has under one name.
///
/// Written as a text or a list of texts ([`Pattern`]s, of which one must fit one value), `true` (there is a value,
/// whatever it is), `false` (there is none) or `{ not = .. }` around a text or a list (no value fits any of them; none
/// at all is fine too).
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A value that one of them fits.
    Any(Vec<Pattern>),
    /// No value that one of them fits.
    None(Vec<Pattern>),
    /// Any value.
    Present,
    /// No value.
    Absent,
}

/// How a [`Wanted`] is written, for messages.
pub(super) const WRITTEN: &str = "expected a text in quotes, a list of such, true, false or { not = .. }";

impl Wanted {
    /// Whether these values pass.
    pub fn holds<'a>(&self, mut values: impl Iterator<Item = &'a [u8]>) -> bool {
        let fits = |patterns: &[Pattern], value: &[u8]| patterns.iter().any(|pattern| pattern.matches(value));
        match self {
            Self::Any(patterns) => values.any(|value| fits(patterns, value)),
            Self::None(patterns) => !values.any(|value| fits(patterns, value)),
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
        }
    }

    /// Reads one; each pattern that is wrong is given to `complain` as `(text, what is wrong)`. `None`: it is nothing
    /// of the kind.
    pub(super) fn read(node: &Node, mut complain: impl FnMut(&str, String)) -> Option<Self> {
        match &node.value {
            Value::Bool(true) => Some(Self::Present),
            Value::Bool(false) => Some(Self::Absent),
            Value::Table(table) => match table.get("not") {
                Some(not) if table.len() == 1 => read_patterns(not, &mut complain).map(Self::None),
                _ => None,
            },
            _ => read_patterns(node, &mut complain).map(Self::Any),
        }
    }
}

/// One pattern or several.
pub(super) fn read_patterns(node: &Node, complain: &mut impl FnMut(&str, String)) -> Option<Vec<Pattern>> {
    let one = std::slice::from_ref(node);
    let nodes = if let Value::Array(nodes) = &node.value { nodes.as_slice() } else { one };
    let mut patterns = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Value::Text(text) = &node.value else { return None };
        match Pattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(problem) => complain(text, problem),
        }
    }
    (!nodes.is_empty()).then_some(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Option<Wanted> {
        let document = Node::from_toml("r.toml", &format!("v = {toml}")).unwrap();
        let Value::Table(table) = &document.value else { unreachable!() };
        Wanted::read(&table["v"], |text, problem| panic!("{text} {problem}"))
    }

    #[test]
    fn values_pass_as_they_are_wanted() {
        let cases: [(&str, &[&str], bool); 13] = [
            ("\"a\"", &["b", "a"], true),
            ("\"a\"", &[], false),
            ("[\"a\", \"b*\"]", &["c", "bc"], true),
            ("\"*\"", &[""], true),
            ("true", &["x"], true),
            ("true", &[], false),
            ("false", &[], true),
            ("false", &[""], false),
            ("{ not = \"a*\" }", &["b"], true),
            ("{ not = \"a*\" }", &["b", "ab"], false),
            ("{ not = \"a*\" }", &[], true),
            ("{ not = [\"a\", \"~^b\"] }", &["bc"], false),
            ("{ not = [\"a\", \"~^b\"] }", &["c"], true),
        ];
        for (toml, values, passes) in cases {
            let wanted = read(toml).unwrap();
            assert_eq!(wanted.holds(values.iter().map(|v| v.as_bytes())), passes, "{toml} {values:?}");
        }
    }

    #[test]
    fn anything_else_is_nothing_of_the_kind() {
        for toml in ["7", "[]", "[7]", "{}", "{ not = true }", "{ no = \"a\" }", "{ not = \"a\", or = \"b\" }"] {
            assert!(read(toml).is_none(), "{toml}");
        }
    }
}
