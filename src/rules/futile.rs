//! Finds rules that can never do anything: nobody should wait for a fault that cannot come.

use std::collections::HashMap;

use http::{HeaderMap, Method};

use super::check::problem;
use super::matcher::Conditions;
use super::odds::odds;
use super::path::PathPattern;
use super::schedule::Schedule;
use super::spec::RuleSpec;
use super::trigger::{How, Trigger};
use crate::diagnostics::{Problems, nearest};
use crate::faults::{RequestView, ResponseView};

/// Every rule that can never do anything, as far as can be told from its text: it names an HTTP proxy that is not among
/// `proxies`, spares all that it matches, never triggers, or always loses to another rule. Rules in composition order.
pub fn futile(rules: &[RuleSpec], proxies: &[&str]) -> Problems {
    let mut problems = Problems::default();
    let winners = Winners::among(rules);
    for (at, rule) in rules.iter().enumerate() {
        unknown_proxies(rule, proxies, &mut problems);
        if rule.exclude.iter().any(|exclude| covers(exclude, &rule.matching)) {
            let message = "spares everything that it matches".to_owned();
            problems.0.push(problem(rule, message, "make exclude narrower than match"));
        }
        if rule.trigger.how == How::Probability(0.0) {
            let message = "never triggers, its probability is 0".to_owned();
            problems.0.push(problem(rule, message, "enabled = false says so more plainly"));
        } else if let Some(partner) = sleeping_partner(rules, rule) {
            let message =
                format!("never triggers: it goes with \"{}\" ({}), which is disabled", partner.name, partner.origin);
            problems.0.push(problem(rule, message, "enable the other one too"));
        } else if let Some(winner) = winners.over(rules, at) {
            let message = format!("never acts: rule \"{}\" ({}) always wins", winner.name, winner.origin);
            problems.0.push(problem(rule, message, "give the other one a smaller probability or a narrower match"));
        }
    }
    problems
}

/// The disabled rule that an enabled one waits for. One that is not there at all is a mistake, told elsewhere.
fn sleeping_partner<'a>(rules: &'a [RuleSpec], rule: &RuleSpec) -> Option<&'a RuleSpec> {
    let with = rule.trigger.with.as_ref().filter(|_| rule.enabled)?;
    rules.iter().find(|other| other.name == *with).filter(|partner| !partner.enabled)
}

fn unknown_proxies(rule: &RuleSpec, proxies: &[&str], problems: &mut Problems) {
    for name in rule.proxies.iter().flatten().filter(|name| !proxies.contains(&name.as_str())) {
        let cure = match nearest(name, proxies.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if proxies.is_empty() => "there is none".to_owned(),
            None => format!("known HTTP proxies: {}", proxies.join(", ")),
        };
        problems.0.push(problem(rule, format!("there is no HTTP proxy \"{name}\""), &cure));
    }
}

/// Whether an `exclude` that looks at nothing but paths covers every path of `matching`.
fn covers(exclude: &Conditions, matching: &Conditions) -> bool {
    let covered = |path: &PathPattern| {
        let text = path.to_string();
        let literal = !text.contains(['*', '{', '\\']);
        exclude
            .paths
            .iter()
            .any(|other| other == path || other.to_string() == "/**" || (literal && other.matches(&text)))
    };
    exclude.looks_at_paths_only() && !matching.paths.is_empty() && matching.paths.iter().all(covered)
}

/// Rules that hit all they match, for good, by the text of their `match`: comparing each rule with each other one
/// would take minutes where there are many.
struct Winners(HashMap<String, Vec<usize>>);

impl Winners {
    /// Of rules with the same `match` only so many are looked at.
    const DEPTH: usize = 16;

    fn among(rules: &[RuleSpec]) -> Self {
        let mut winners: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, rule) in rules.iter().enumerate() {
            let unlimited = rule.limits.is_none() && rule.lease.is_none() && rule.exclude.is_empty();
            let certain = rule.faults.iter().all(|spec| spec.fault.is_certain());
            let at_all_times = rule.schedule == Schedule::default() && !rule.awaits_response();
            if unlimited && certain && at_all_times && rule.enabled && rule.trigger == Trigger::default() {
                winners.entry(match_text(rule)).or_default().push(at);
            }
        }
        Self(winners)
    }

    /// A rule that hits everything that the rule at `at` hits, and beside which none of its faults ever acts.
    fn over<'a>(&self, rules: &'a [RuleSpec], at: usize) -> Option<&'a RuleSpec> {
        let rule = rules.get(at)?;
        let text = match_text(rule);
        // Who has the same match, and who matches everything.
        let texts = [Some(text.as_str()), Some("").filter(|_| !text.is_empty())];
        let candidates = texts.into_iter().flatten().filter_map(|text| self.0.get(text));
        let mut candidates = candidates.flat_map(|group| group.iter().take(Self::DEPTH));
        let winner = candidates.find(|other| {
            **other != at
                && rules.get(**other).is_some_and(|winner| {
                    let pair = if **other < at { [winner, rule] } else { [rule, winner] };
                    reaches(winner, rule) && wins(pair, usize::from(**other < at))
                })
        });
        winner.and_then(|other| rules.get(*other))
    }
}

/// What a rule matches, as text; empty if everything.
fn match_text(rule: &RuleSpec) -> String {
    if rule.matching.is_empty() { String::new() } else { rule.json["match"].to_string() }
}

/// Whether `other` acts wherever `rule` does.
fn reaches(other: &RuleSpec, rule: &RuleSpec) -> bool {
    let proxies = match (&other.proxies, &rule.proxies) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(of), Some(names)) => names.iter().all(|name| of.contains(name)),
    };
    proxies && (other.probes || !rule.probes)
}

/// Whether no fault of the `loser`-th of two rules ever acts when both hit.
fn wins(rules: [&RuleSpec; 2], loser: usize) -> bool {
    let headers = HeaderMap::new();
    let request = RequestView::of(&Method::GET, "/", &headers);
    let shares = odds(&rules, &request, &ResponseView::typical()).shares;
    shares.get(loser).is_some_and(|shares| shares.iter().all(|share| *share == 0.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{rule, rules};
    use super::*;

    fn found(toml: &str) -> Vec<String> {
        futile(&rules(toml), &["payments", "stock"]).0.into_iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn what_can_never_do_anything_is_found() {
        assert_eq!(
            found(&rule("r", "proxy = [\"payment\", \"stock\"]")),
            ["r.toml:1: rule \"r\": there is no HTTP proxy \"payment\" (did you mean \"payments\"?)"]
        );
        assert_eq!(
            found(&rule("r", "match = { path = [\"/a\", \"/b/{id}\"] }\nexclude = { path = [\"/b/{id}\", \"/*\"] }")),
            ["r.toml:1: rule \"r\": spares everything that it matches (make exclude narrower than match)"]
        );
        assert_eq!(found(&rule("r", "trigger = { probability = 0 }")).len(), 1);
        assert_eq!(
            found(&(rule("a", "proxy = \"stock\"") + &rule("b", "proxy = \"stock\"\nmatch = { path = \"/x\" }"))),
            ["r.toml:7: rule \"b\": never acts: rule \"a\" (r.toml:1) always wins \
              (give the other one a smaller probability or a narrower match)"]
        );
        let slow = "[[rule]]\nname = \"slow\"\n[[rule.fault]]\nkind = \"slow-body\"\nrate = \"1KiB/s\"\n";
        assert_eq!(found(&(slow.to_owned() + &rule("a", ""))).len(), 1, "no body comes where all is answered for");
    }

    #[test]
    fn what_can_do_something_is_not() {
        for toml in [
            rule("a", "match = { path = \"/x\" }\nexclude = { path = \"/x\", method = \"PUT\" }"),
            rule("a", "match = { path = \"/{x}\" }\nexclude = { path = \"/x\" }"),
            rule("a", "trigger = { probability = 0.5 }") + &rule("b", ""),
            rule("a", "lease = \"1m\"") + &rule("b", ""),
            rule("a", "proxy = \"stock\"") + &rule("b", ""),
            rule("a", "match = { path = \"/x\" }") + &rule("b", "match = { path = \"/y\" }"),
            rule("a", "enabled = false") + &rule("b", ""),
            rule("a", "") + "[[rule]]\nname = \"b\"\n[[rule.fault]]\nkind = \"latency\"\ndelay = \"1s\"\n",
        ] {
            assert_eq!(found(&toml), [""; 0], "{toml}");
        }
    }
}
