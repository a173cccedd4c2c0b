//! What kind of file a document is, told by what stands in it.

use crate::diagnostics::Node;
use crate::diagnostics::node::Value;

/// The kinds of files that a user writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of `serve`.
    Config,
    /// Of the rules folder.
    Rules,
    /// Of `run`.
    Experiment,
}

/// The first kind of which a key is there decides: an experiment has proxies and rules as well.
const MARKS: [(Kind, &[&str]); 3] = [
    (Kind::Experiment, &["experiment", "load", "phases", "slo", "expect", "policy"]),
    (Kind::Config, &["proxy", "admin", "metrics", "rules", "safety", "log", "drain", "toxiproxy"]),
    (Kind::Rules, &["rule"]),
];

impl Kind {
    /// The kind of a document; `None` when no key tells.
    pub fn of(document: &Node) -> Option<Self> {
        let Value::Table(table) = &document.value else { return None };
        let has_any = |keys: &[&str]| keys.iter().any(|key| table.contains_key(*key));
        MARKS.iter().find(|(_, keys)| has_any(keys)).map(|(kind, _)| *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_what_stands_in_it() {
        for (text, kind) in [
            ("[[rule]]\n[[proxy]]\n[experiment]", Some(Kind::Experiment)),
            ("[load]\n[[rule]]", Some(Kind::Experiment)),
            ("[[proxy]]", Some(Kind::Config)),
            ("[drain]\n[[rule]]", Some(Kind::Config)),
            ("[[rule]]", Some(Kind::Rules)),
            ("[package]", None),
            ("", None),
        ] {
            assert_eq!(Kind::of(&Node::from_toml("f.toml", text).unwrap()), kind, "{text:?}");
        }
    }
}
