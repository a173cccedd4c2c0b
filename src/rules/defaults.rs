//! Named defaults: what several rules of a document have in common, written once.

use std::borrow::Cow;

use indexmap::IndexMap;

use crate::diagnostics::node::{Node, Value};
use crate::diagnostics::{Reader, nearest};

/// The `[defaults.NAME]` tables of a document.
pub(super) struct Defaults<'a>(IndexMap<&'a str, &'a IndexMap<String, Node>>);

/// What makes a rule that rule, and is therefore its own.
const OWN: [&str; 2] = ["name", "defaults"];

impl<'a> Defaults<'a> {
    pub(super) fn read(top: &mut Reader<'a>) -> Self {
        let mut all = IndexMap::new();
        for (name, node) in top.table("defaults").iter_mut().flat_map(Reader::entries) {
            let reader = Reader::new(top.file(), node, format!("defaults.{name}"), top.problems());
            let Value::Table(table) = &node.value else { continue };
            for key in OWN.into_iter().filter(|key| table.contains_key(*key)) {
                reader.reject(key, "is a rule's own", Some("write it in the rule"));
            }
            all.insert(name, table);
        }
        Self(all)
    }

    /// The rule with every key filled in that it does not give itself. A key that it gives replaces the default's value
    /// as a whole: `trigger` is not mixed from two.
    pub(super) fn applied_to<'n>(&self, rule: &'n Node, top: &Reader<'_>) -> Cow<'n, Node> {
        let Value::Table(own) = &rule.value else { return Cow::Borrowed(rule) };
        let Some(wanted) = own.get("defaults") else { return Cow::Borrowed(rule) };
        let mut table = own.clone();
        table.shift_remove("defaults");
        let name = if let Value::Text(name) = &wanted.value { name.as_str() } else { "" };
        match self.0.get(name) {
            Some(defaults) => {
                for (key, value) in defaults.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
                    table.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            None => {
                let cure = match nearest(name, self.0.keys().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "write [defaults.NAME] in this file, and its name here".to_owned(),
                };
                top.complain_at(wanted.line, format!("rule: defaults: there are no defaults \"{name}\""), Some(&cure));
            }
        }
        Cow::Owned(Node { line: rule.line, set: rule.set.clone(), value: Value::Table(table) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, rules};

    const SHARED: &str = r#"
[defaults.checkout]
match   = { path = "/api/checkout/**" }
trigger = { probability = 0.25 }
lease   = "10m"
[[defaults.checkout.fault]]
kind  = "latency"
delay = "80ms"

[[rule]]
name     = "slow"
defaults = "checkout"

[[rule]]
name     = "failing"
defaults = "checkout"
trigger  = { first = 3 }
[[rule.fault]]
kind   = "error"
status = 503
"#;

    #[test]
    fn a_rule_takes_what_it_does_not_say_and_replaces_what_it_does() {
        let rules = rules(SHARED);
        assert_eq!(rules[0].faults[0].kind, "latency");
        assert_eq!((rules[1].faults.len(), rules[1].faults[0].kind), (1, "error"));
        assert_eq!(rules[0].trigger.describe(), "25.0% of matches");
        assert_eq!(rules[1].trigger.describe(), "the first 3 matches");
        assert_eq!(rules[0].lease, rules[1].lease);
        assert_eq!(rules[0].json["match"]["path"], "/api/checkout/**");
        assert!(rules[0].json.get("defaults").is_none(), "the rule stands for itself");
        assert_eq!(rules[1].origin.to_string(), "r.toml:14");
    }

    #[test]
    fn mistakes_in_defaults_and_in_their_names_are_told() {
        let problems = read(&SHARED.replace("\"checkout\"\ntrigger", "\"chekout\"\ntrigger")).unwrap_err().to_string();
        assert_eq!(
            problems,
            "r.toml:16: rule: defaults: there are no defaults \"chekout\" (did you mean \"checkout\"?)"
        );
        let problems = read(&SHARED.replace("80ms", "80")).unwrap_err().to_string();
        assert!(problems.starts_with("r.toml:8: rule \"slow\": fault \"latency\": "), "{problems}");
        let problems = read("[defaults.a]\nname = \"a\"").unwrap_err().to_string();
        assert!(problems.starts_with("r.toml:2: defaults.a: name: is a rule's own"), "{problems}");
    }
}
