//! How often each fault of several rules acts in the end, by the law of composition.

use crate::dice::Dice;
use crate::faults::compose::{self, Source};
use crate::faults::{RequestEffect, RequestView, ResponseEffect, ResponseView};

use super::spec::RuleSpec;
use super::vain;

/// Up to so many uncertain rules every combination is looked at; beyond, that many requests are drawn.
const EXACT_UP_TO: usize = 12;
const DRAWS: u64 = 20_000;

/// The odds of the faults of some rules.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Odds {
    /// For each rule and fault, the share of requests on which it acts.
    pub(super) shares: Vec<Vec<f64>>,
    /// The share of requests on which nothing acts.
    pub(super) untouched: f64,
    /// Computed over all combinations, not estimated from draws.
    pub(super) exact: bool,
}

/// What the faults of one rule ask for.
struct Asked {
    odds: f64,
    /// The place of the rule that it is coupled with; one that is nowhere never hits.
    with: Option<usize>,
    faults: Vec<(RequestEffect, ResponseEffect)>,
}

/// The odds for rules that all match the request, in composition order. Each is taken to trigger by itself with its
/// long-run share; limits are not looked at. It is the law itself that is asked, once for each combination of rules.
pub(super) fn odds(rules: &[&RuleSpec], request: &RequestView<'_>, response: &ResponseView<'_>) -> Odds {
    let place = |name: &str| rules.iter().position(|rule| *rule.name == *name).unwrap_or(usize::MAX);
    let ask = |rule: &&RuleSpec| Asked {
        odds: rule.trigger.share(),
        with: rule.trigger.with.as_deref().map(place),
        faults: rule.faults.iter().map(|spec| vain::effects(&*spec.fault, request, response)).collect(),
    };
    let asked: Vec<Asked> = rules.iter().map(ask).collect();
    let mut odds =
        Odds { shares: asked.iter().map(|rule| vec![0.0; rule.faults.len()]).collect(), untouched: 0.0, exact: true };
    let uncertain = asked.iter().filter(|rule| rule.odds > 0.0 && rule.odds < 1.0).count();
    if uncertain <= EXACT_UP_TO {
        for combination in 0..1u64 << uncertain {
            let mut bit = 0;
            let mut weight = 1.0;
            let hit = |rule: &Asked| {
                if rule.odds <= 0.0 || rule.odds >= 1.0 {
                    return rule.odds >= 1.0;
                }
                let hit = combination >> bit & 1 == 1;
                bit += 1;
                weight *= if hit { rule.odds } else { 1.0 - rule.odds };
                hit
            };
            let hits = coupled(&asked, asked.iter().map(hit).collect());
            odds.add(&asked, &hits, weight);
        }
    } else {
        odds.exact = false;
        for n in 0..DRAWS {
            let draw = |(index, rule): (u64, &Asked)| Dice::new(0, index, n).happens(0, rule.odds);
            let hits = coupled(&asked, (0u64..).zip(&asked).map(draw).collect());
            odds.add(&asked, &hits, 1.0 / DRAWS as f64);
        }
    }
    odds
}

impl Odds {
    /// Adds the share `weight` of requests, on which these rules hit.
    fn add(&mut self, asked: &[Asked], hits: &[bool], weight: f64) {
        let effects = || {
            let rules = asked.iter().zip(hits).enumerate().filter(|(_, (_, hit))| **hit);
            rules.flat_map(|(hit, (rule, _))| {
                rule.faults.iter().enumerate().map(move |(fault, effects)| (Source { hit, fault }, effects))
            })
        };
        let request = compose::request_course(effects().map(|(source, (effect, _))| (source, effect.clone())));
        let response = compose::response_course(effects().map(|(source, (_, effect))| (source, effect.clone())));
        let acting = compose::acting(&request, &response);
        if acting.is_empty() {
            self.untouched += weight;
        }
        for Source { hit, fault } in acting {
            self.shares[hit][fault] += weight;
        }
    }
}

/// Of those that would hit by themselves the ones whose partners hit too, and theirs.
fn coupled(asked: &[Asked], by_itself: Vec<bool>) -> Vec<bool> {
    let hits = |start: usize| {
        let mut at = start;
        // As many steps as there are rules: then it goes in circles, and nobody in a circle hits.
        for _ in 0..=asked.len() {
            match (by_itself.get(at), asked.get(at).and_then(|rule| rule.with)) {
                (Some(true), Some(partner)) => at = partner,
                (Some(true), None) => return true,
                _ => return false,
            }
        }
        false
    };
    (0..asked.len()).map(hits).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, rules};
    use super::*;

    /// Rules from lines of `name probability: fault; fault`.
    fn shares(lines: &[(&str, &[&str])]) -> Odds {
        let toml = lines.iter().enumerate().map(|(n, (probability, faults))| {
            let faults = faults.iter().map(|fault| format!("[[rule.fault]]\n{}\n", fault.replace("; ", "\n")));
            let faults = faults.collect::<String>();
            format!("[[rule]]\nname = \"r{n}\"\ntrigger = {{ probability = {probability} }}\n{faults}")
        });
        let rules = rules(&toml.collect::<String>());
        odds(&rules.iter().collect::<Vec<_>>(), &Request::get("/").view(), &ResponseView::typical())
    }

    const ERROR: &str = "kind = \"error\"; status = 503";
    const LATE: &str = "kind = \"latency\"; delay = \"1s\"";
    const LATE_ANSWER: &str = "kind = \"latency\"; delay = \"1s\"; side = \"response\"";
    const SLOW: &str = "kind = \"slow-body\"; rate = \"1KiB/s\"";
    const SLOWER: &str = "kind = \"slow-body\"; rate = \"1B/s\"";

    fn close(odds: &Odds, expected: &[&[f64]], untouched: f64) {
        for (shares, expected) in odds.shares.iter().zip(expected) {
            for (share, expected) in shares.iter().zip(*expected) {
                assert!((share - expected).abs() < 1e-12, "{odds:?}");
            }
        }
        assert!((odds.untouched - untouched).abs() < 1e-12 && odds.exact, "{odds:?}");
    }

    #[test]
    fn two_errors_of_fifty_percent_split_fifty_to_twenty_five() {
        close(&shares(&[("0.5", &[ERROR]), ("0.5", &[ERROR])]), &[&[0.5], &[0.25]], 0.25);
    }

    #[test]
    fn delays_always_act_and_a_terminal_effect_hides_what_comes_after() {
        let odds = shares(&[("0.5", &[ERROR, LATE]), ("0.2", &[LATE, LATE_ANSWER, SLOW])]);
        close(&odds, &[&[0.5, 0.5], &[0.2, 0.1, 0.1]], 0.4);
    }

    #[test]
    fn the_slowest_rate_wins_whatever_the_order() {
        close(&shares(&[("1", &[SLOW]), ("0.25", &[SLOWER])]), &[&[0.75], &[0.25]], 0.0);
        close(&shares(&[("0", &[ERROR]), ("1", &[SLOW])]), &[&[0.0], &[1.0]], 0.0);
    }

    #[test]
    fn many_uncertain_rules_are_estimated() {
        let rules = vec![("0.05", &[ERROR][..]); 20];
        let odds = shares(&rules);
        assert!(!odds.exact && (odds.untouched - 0.95f64.powi(20)).abs() < 0.02, "{odds:?}");
    }
}
