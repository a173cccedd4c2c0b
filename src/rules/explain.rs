//! Says what the rules would do to a request, without sending one.

use std::fmt;

use serde::Serialize;

use super::matcher::Conditions;
use super::odds::odds;
use super::spec::{RuleSpec, Spared};
use crate::faults::{RequestView, ResponseView};
use crate::units::{show_duration, show_share};

/// What the rules would do to one request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// All rules, in composition order.
    pub rules: Vec<Explained>,
    /// The share of such requests on which nothing acts.
    pub untouched: f64,
    /// Whether the shares were computed; else they were estimated from 20,000 draws.
    pub exact: bool,
}

/// What one rule would do to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The rule.
    pub rule: String,
    /// Where it was written.
    pub origin: String,
    /// Whether the request is one of its.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a request is one of a rule's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is not.
    Spared {
        /// Why not.
        reason: String,
    },
    /// It would be, but the rule is not enabled.
    Disabled,
    /// It is.
    Matches {
        /// Which matches are hit, in words, with limit and lease.
        when: String,
        /// What they suffer.
        faults: Vec<ExplainedFault>,
    },
}

/// What one fault would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedFault {
    /// Its kind.
    pub kind: &'static str,
    /// What it does, in words.
    pub does: String,
    /// The share of such requests on which it acts: less than the trigger's where another rule comes first.
    pub share: f64,
}

/// What is taken for granted in an explanation.
#[derive(Debug, Clone, Copy)]
pub struct Supposed<'a> {
    /// The upstream's answer.
    pub response: ResponseView<'a>,
    /// `[rules] exclude`.
    pub excludes: &'a [Conditions],
}

/// Holds a request to `proxy` against rules in composition order.
pub fn explain<'a>(
    rules: impl IntoIterator<Item = &'a RuleSpec>,
    proxy: &str,
    request: &RequestView<'_>,
    supposed: &Supposed<'_>,
) -> Explanation {
    let response = &supposed.response;
    let rules: Vec<&RuleSpec> = rules.into_iter().collect();
    let spared: Vec<_> = rules.iter().map(|rule| spares(rule, proxy, request, supposed)).collect();
    let acting = rules.iter().zip(&spared).filter(|(rule, spared)| rule.enabled && spared.is_none());
    let odds = odds(&acting.map(|(rule, _)| *rule).collect::<Vec<_>>(), request, response);
    let mut shares = odds.shares.into_iter();
    let explained = rules.iter().zip(spared).map(|(rule, spared)| {
        let verdict = match spared {
            Some(reason) => Verdict::Spared { reason: reason.to_string() },
            None if !rule.enabled => Verdict::Disabled,
            None => matches(rule, &shares.next().unwrap_or_default()),
        };
        Explained { rule: rule.name.to_string(), origin: rule.origin.to_string(), verdict }
    });
    Explanation { rules: explained.collect(), untouched: odds.untouched, exact: odds.exact }
}

fn spares<'a>(
    rule: &'a RuleSpec,
    proxy: &str,
    request: &RequestView<'_>,
    supposed: &Supposed<'_>,
) -> Option<Spared<'a>> {
    let globally = || supposed.excludes.iter().any(|conditions| conditions.hold(request)).then_some(Spared::Globally);
    let by_answer = || {
        let wanted = rule.matching.response.as_ref()?;
        (!wanted.hold(&supposed.response)).then_some(Spared::Response)
    };
    rule.spares(proxy, request).or_else(globally).or_else(by_answer)
}

fn matches(rule: &RuleSpec, shares: &[f64]) -> Verdict {
    let mut when = format!("hits {}", rule.trigger.describe());
    for part in [rule.limits.describe(), rule.schedule.describe()].iter().filter(|part| !part.is_empty()) {
        when.push_str(&format!(", {part}"));
    }
    if let Some(lease) = rule.lease {
        when.push_str(&format!(", for {} unless renewed", show_duration(lease)));
    }
    let fault = |(spec, share): (&super::spec::FaultSpec, &f64)| ExplainedFault {
        kind: spec.kind,
        does: spec.fault.describe(),
        share: *share,
    };
    Verdict::Matches { when, faults: rule.faults.iter().zip(shares).map(fault).collect() }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for explained in &self.rules {
            writeln!(f, "{} ({})", explained.rule, explained.origin)?;
            match &explained.verdict {
                Verdict::Spared { reason } => writeln!(f, "  spared: {reason}")?,
                Verdict::Disabled => writeln!(f, "  matches, but is disabled")?,
                Verdict::Matches { when, faults } => {
                    writeln!(f, "  matches: {when}")?;
                    for fault in faults {
                        writeln!(f, "  {:>6} of requests: {}: {}", show_share(fault.share), fault.kind, fault.does)?;
                    }
                }
            }
        }
        let about = if self.exact { "" } else { "about " };
        writeln!(f, "{about}{} of such requests are left alone", show_share(self.untouched))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, rule, rules};
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn explain_plain(rules: &[RuleSpec], request: &Request) -> Explanation {
        let headers = HeaderMap::new();
        let response = ResponseView { status: StatusCode::OK, headers: &headers };
        explain(rules, "p", &request.view(), &Supposed { response, excludes: &[] })
    }

    #[test]
    fn an_explanation_reads_like_this() {
        let rules = rules(
            &(rule("first", "trigger = { probability = 0.5 }\nlease = \"10m\"")
                + &rule("elsewhere", "match = { path = \"/other\" }")
                + &rule("asleep", "enabled = false")
                + &rule("second", "trigger = { probability = 0.5 }\nlimit = { concurrent = 7 }")
                + "[[rule]]\nname = \"slow\"\n[[rule.fault]]\nkind = \"slow-body\"\nrate = \"1KiB/s\"\n"),
        );
        let text = explain_plain(&rules, &Request::get("/")).to_string();
        let expected = "\
first (r.toml:1)
  matches: hits 50.0% of matches, for 10m00s unless renewed
   50.0% of requests: error: answers 503 in the upstream's place
elsewhere (r.toml:8)
  spared: path does not match
asleep (r.toml:14)
  matches, but is disabled
second (r.toml:20)
  matches: hits 50.0% of matches, at most 7 at once
   25.0% of requests: error: answers 503 in the upstream's place
slow (r.toml:27)
  matches: hits every match
   25.0% of requests: slow-body: sends the body at 1KiB/s
0% of such requests are left alone
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_explanation_is_json_too() {
        let rules = rules(&(rule("a", "") + &rule("b", "proxy = \"q\"")));
        let json = serde_json::to_value(explain_plain(&rules, &Request::get("/"))).unwrap();
        assert_eq!(json["rules"][0]["verdict"], "matches");
        assert_eq!(json["rules"][0]["faults"][0]["share"], 1.0);
        assert_eq!(json["rules"][1]["reason"], "it acts on another proxy");
        assert_eq!(json["untouched"], 0.0);
    }
}
