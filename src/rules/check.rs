//! What can be wrong with rules that are each well written: a name twice, more than is allowed.

use std::collections::HashMap;

use super::spec::RuleSpec;
use crate::diagnostics::{Problem, Problems, nearest};
use crate::units::show_share;

/// What `[safety]` allows a rule to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// No rule may hit a larger share of its matches.
    pub max_probability: f64,
    /// Every rule must end by itself.
    pub require_lease: bool,
}

impl Default for Ceilings {
    /// Everything is allowed.
    fn default() -> Self {
        Self { max_probability: 1.0, require_lease: false }
    }
}

impl Ceilings {
    /// Every rule that goes beyond what is allowed.
    pub fn problems(&self, rules: &[RuleSpec]) -> Problems {
        let mut problems = Problems::default();
        for rule in rules {
            if rule.trigger.share() > self.max_probability {
                let (share, most) = (show_share(rule.trigger.share()), show_share(self.max_probability));
                let message = format!("hits {share} of its matches, safety.max_probability is {most}");
                problems.0.push(problem(rule, message, "lower trigger.probability"));
            }
            if self.require_lease && rule.lease.is_none() {
                let message = "has no lease, and safety.require_lease is set".to_owned();
                problems.0.push(problem(rule, message, "for example lease = \"10m\""));
            }
        }
        problems
    }
}

/// Every rule that has the name of an earlier one; for rules of one layer that come from several documents.
pub fn duplicates(rules: &[RuleSpec]) -> Problems {
    let mut seen: HashMap<&str, &RuleSpec> = HashMap::new();
    let mut problems = Problems::default();
    for rule in rules {
        match seen.get(&*rule.name) {
            Some(first) => {
                let message = format!("has the name of the rule at {}", first.origin);
                problems.0.push(problem(rule, message, "names are unique within a layer"));
            }
            None => _ = seen.insert(&rule.name, rule),
        }
    }
    problems
}

/// Every rule that is coupled with one that is not there, or with itself, be it over others; for all rules of one layer.
pub fn couples(rules: &[RuleSpec]) -> Problems {
    let mut problems = Problems::default();
    if rules.iter().all(|rule| rule.trigger.with.is_none()) {
        return problems;
    }
    let by_name: HashMap<&str, &RuleSpec> = rules.iter().map(|rule| (&*rule.name, rule)).collect();
    let partner = |rule: &RuleSpec| rule.trigger.with.as_deref().and_then(|with| by_name.get(with).copied());
    for rule in rules {
        let Some(with) = rule.trigger.with.as_deref() else { continue };
        if partner(rule).is_none() {
            let cure = match nearest(with, by_name.keys().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "it must be in the same layer: rule files, API, or the same experiment".to_owned(),
            };
            problems.0.push(problem(rule, format!("trigger: with: there is no rule \"{with}\""), &cure));
            continue;
        }
        let chain = std::iter::successors(partner(rule), |next| partner(next));
        if chain.take(rules.len()).any(|next| next.name == rule.name) {
            let message = format!("trigger: with: \"{with}\" waits for this rule in turn");
            problems.0.push(problem(rule, message, "one of them must decide by itself"));
        }
    }
    problems
}

pub(super) fn problem(rule: &RuleSpec, message: String, cure: &str) -> Problem {
    Problem {
        file: rule.origin.file.to_string(),
        line: rule.origin.line,
        message: format!("rule \"{}\": {message}", rule.name),
        cure: Some(cure.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{rule, rules};
    use super::*;

    #[test]
    fn ceilings_hold_for_every_way_to_trigger() {
        let all = rules(
            &(rule("a", "lease = \"1m\"\ntrigger = { every = 4 }")
                + &rule("b", "trigger = { probability = 0.5 }")
                + &rule("c", "")
                + &rule("d", "trigger = { first = 3 }")),
        );
        assert!(Ceilings::default().problems(&all).is_empty());
        let problems = Ceilings { max_probability: 0.5, require_lease: true }.problems(&all).to_string();
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "r.toml:8: rule \"b\": has no lease, and safety.require_lease is set (for example lease = \"10m\")",
                "r.toml:14: rule \"c\": hits 100% of its matches, safety.max_probability is 50.0% (lower trigger.probability)",
                "r.toml:14: rule \"c\": has no lease, and safety.require_lease is set (for example lease = \"10m\")",
                "r.toml:20: rule \"d\": hits 100% of its matches, safety.max_probability is 50.0% (lower trigger.probability)",
                "r.toml:20: rule \"d\": has no lease, and safety.require_lease is set (for example lease = \"10m\")",
            ]
        );
    }

    #[test]
    fn a_name_that_two_documents_use_is_found() {
        let mut all = rules(&rule("a", ""));
        all.extend(rules(&(rule("b", "") + &rule("a", ""))));
        let problems = duplicates(&all).to_string();
        assert_eq!(
            problems,
            "r.toml:7: rule \"a\": has the name of the rule at r.toml:1 (names are unique within a layer)"
        );
    }

    #[test]
    fn a_couple_that_cannot_be_is_found() {
        let with = |name: &str, other: &str| rule(name, &format!("trigger = {{ with = \"{other}\" }}"));
        let told = |toml: &str| couples(&rules(toml)).to_string();
        assert_eq!(told(&(rule("a", "") + &with("b", "a") + &with("c", "b"))), "");
        assert_eq!(
            told(&(rule("slow", "") + &with("b", "slo"))),
            "r.toml:7: rule \"b\": trigger: with: there is no rule \"slo\" (did you mean \"slow\"?)"
        );
        assert!(told(&with("a", "a")).contains("\"a\" waits for this rule in turn"));
        assert_eq!(told(&(with("a", "b") + &with("b", "c") + &with("c", "a"))).lines().count(), 3);
        assert_eq!(told(&(with("a", "b") + &with("b", "c") + &with("c", "b"))).lines().count(), 2, "a only looks on");
    }
}
