//! `[expect]`: what the user expects of a run, and whether the measurement says so.

mod judge;

use std::time::Duration;

use crate::diagnostics::{FromNode, Node, Reader};
use crate::results::Outcome;
use crate::units::{Share, show_duration, show_share};

pub use judge::judge;

/// One line of `[expect]`.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// The run ends with one of these outcomes.
    Outcome(Vec<Outcome>),
    /// The recovery time is at most this.
    RecoveredWithin(Duration),
    /// At least this share of the requests that start in the fault phase are good.
    SuccessDuringFault(Share),
    /// This quantile (key, value) of the requests that start in the fault phase is at most so long.
    QuantileDuringFault(&'static str, f64, Duration),
    /// Attainment falls by at most this share of its baseline, over two windows.
    DepthBelow(Share),
    /// At most this much time of full outage is lost.
    ResilienceLossBelow(Duration),
    /// Calls per request rise at most by this factor.
    RetryAmplificationBelow(f64),
}

/// The quantiles that windows keep.
const QUANTILES: [(&str, f64); 3] = [("p50_during_fault", 0.5), ("p95_during_fault", 0.95), ("p99_during_fault", 0.99)];

/// Reads the `[expect]` table in a fixed order; every mistake is recorded in the reader.
pub fn read(mut reader: Reader<'_>) -> Vec<Expected> {
    let mut expected = Vec::new();
    expected.extend(reader.optional::<Vec<Named>>("outcome").map(|named| {
        if named.is_empty() {
            reader.reject("outcome", "no outcome would do", Some("name at least one"));
        }
        Expected::Outcome(named.into_iter().map(|Named(outcome)| outcome).collect())
    }));
    expected.extend(reader.optional("recovered_within").map(Expected::RecoveredWithin));
    expected.extend(reader.optional("success_during_fault").map(Expected::SuccessDuringFault));
    for (key, quantile) in QUANTILES {
        expected.extend(reader.optional(key).map(|limit| Expected::QuantileDuringFault(key, quantile, limit)));
    }
    expected.extend(reader.optional("depth_below").map(Expected::DepthBelow));
    expected.extend(reader.optional("resilience_loss_below").map(Expected::ResilienceLossBelow));
    if let Some(factor) = reader.optional::<f64>("retry_amplification_below") {
        if factor < 1.0 {
            reader.reject(
                "retry_amplification_below",
                format!("{factor} is too low"),
                Some("1 means no retries at all"),
            );
        }
        expected.push(Expected::RetryAmplificationBelow(factor));
    }
    reader.finish();
    expected
}

/// The `recovered_within` among these, for the plan.
pub fn recovered_within(expected: &[Expected]) -> Option<Duration> {
    expected.iter().find_map(|one| match one {
        Expected::RecoveredWithin(bound) => Some(*bound),
        _ => None,
    })
}

/// The outcomes that these ask for by name, none if they name none.
pub fn named_outcomes(expected: &[Expected]) -> &[Outcome] {
    expected
        .iter()
        .find_map(|one| match one {
            Expected::Outcome(outcomes) => Some(outcomes.as_slice()),
            _ => None,
        })
        .unwrap_or_default()
}

impl Expected {
    /// As a line of the file.
    pub fn text(&self) -> String {
        match self {
            Self::Outcome(outcomes) => {
                let names: Vec<&str> = outcomes.iter().map(|outcome| outcome.name()).collect();
                format!("outcome = {}", names.join(" or "))
            }
            Self::RecoveredWithin(bound) => format!("recovered_within = {}", show_duration(*bound)),
            Self::SuccessDuringFault(bound) => format!("success_during_fault = {}", show_share(bound.get())),
            Self::QuantileDuringFault(key, _, bound) => format!("{key} = {}", show_duration(*bound)),
            Self::DepthBelow(bound) => format!("depth_below = {}", show_share(bound.get())),
            Self::ResilienceLossBelow(bound) => format!("resilience_loss_below = {}", show_duration(*bound)),
            Self::RetryAmplificationBelow(bound) => format!("retry_amplification_below = {bound}"),
        }
    }
}

/// An outcome by its name in a file: only those that say something about the system can be expected.
struct Named(Outcome);

/// The outcomes that can be expected.
const NAMEABLE: [Outcome; 5] =
    [Outcome::Recovered, Outcome::Withstood, Outcome::RemovalTransient, Outcome::Relapsed, Outcome::NeverRecovered];

impl FromNode for Named {
    fn from_node(node: &Node) -> Result<Self, String> {
        let written = String::from_node(node).unwrap_or_default().replace(['_', '-'], " ");
        NAMEABLE
            .into_iter()
            .find(|outcome| outcome.name() == written)
            .map(Named)
            .ok_or_else(|| format!("one of {}", NAMEABLE.map(|outcome| format!("\"{}\"", outcome.name())).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn read_text(text: &str) -> (Vec<String>, Vec<String>) {
        let node = Node::from_toml("x.toml", text).unwrap();
        let problems = RefCell::default();
        let expected = read(Reader::new("x.toml", &node, "expect", &problems));
        let problems = problems.into_inner().0.iter().map(ToString::to_string).collect();
        (expected.iter().map(Expected::text).collect(), problems)
    }

    #[test]
    fn every_expectation_is_read_and_shown_as_written() {
        let (expected, problems) = read_text(
            "recovered_within = \"5s\"\nsuccess_during_fault = \"95%\"\np99_during_fault = \"1s\"\n\
             outcome = [\"recovered\", \"removal_transient\"]\ndepth_below = 0.2\nresilience_loss_below = \"4s\"\n\
             retry_amplification_below = 1.5",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            expected,
            [
                "outcome = recovered or removal transient",
                "recovered_within = 5.00s",
                "success_during_fault = 95.0%",
                "p99_during_fault = 1.00s",
                "depth_below = 20.0%",
                "resilience_loss_below = 4.00s",
                "retry_amplification_below = 1.5",
            ]
        );
    }

    #[test]
    fn all_mistakes_are_reported() {
        let (_, problems) = read_text(
            "recovered_within = 5\noutcome = \"driver lost\"\nretry_amplification_below = 0.5\nrecoverd_within = \"5s\"",
        );
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[0].contains("\"never recovered\""), "{}", problems[0]);
        assert!(problems[3].contains("did you mean \"recovered_within\"?"), "{}", problems[3]);
    }

    #[test]
    fn the_plan_and_the_verdict_find_what_they_need() {
        let within = Expected::RecoveredWithin(Duration::from_secs(5));
        assert_eq!(recovered_within(std::slice::from_ref(&within)), Some(Duration::from_secs(5)));
        assert_eq!(named_outcomes(&[within.clone(), Expected::Outcome(vec![Outcome::Relapsed])]), [Outcome::Relapsed]);
        assert!(named_outcomes(&[within]).is_empty());
    }
}
