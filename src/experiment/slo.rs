//! The service-level objective of an experiment: `[slo]`.

use std::time::Duration;

use crate::diagnostics::Reader;
use crate::units::Share;

/// What the file promises; a promise that it does not make is absent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Slo {
    /// `success`: the share of requests that are good.
    pub success: Option<Share>,
    /// `latency`: a success that took longer is not good (`L`). Without it the client's timeout is the limit.
    pub latency: Option<Duration>,
    /// `p50` ... `p999`: the quantile that windows are judged on and its limit. Never used as `L`.
    pub objective: Option<Objective>,
}

/// A limit on one quantile of the latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The key, such as `p99`.
    pub key: &'static str,
    /// The quantile, such as 0.99.
    pub quantile: f64,
    /// What it may be at most.
    pub limit: Duration,
}

/// The quantiles that an objective can be set on.
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)];

/// The quantile that windows are judged on without an objective.
const DEFAULT_QUANTILE: f64 = 0.95;

impl Slo {
    /// Reads the `[slo]` table; every mistake is recorded in the reader.
    pub fn read(mut reader: Reader<'_>) -> Self {
        let (success, latency) = (reader.optional("success"), reader.optional("latency"));
        let mut objectives: Vec<Objective> = Vec::new();
        for (key, quantile) in QUANTILES {
            objectives.extend(reader.optional(key).map(|limit| Objective { key, quantile, limit }));
        }
        if let [first, second, ..] = objectives[..] {
            let cure = format!("keep {} or {}", first.key, second.key);
            reader.reject(second.key, "windows are judged on one quantile only", Some(&cure));
        }
        for (key, limit) in objectives.iter().map(|o| (o.key, o.limit)).chain(latency.map(|limit| ("latency", limit))) {
            if limit.is_zero() {
                reader.reject(key, "nothing is as fast as that", Some("a duration above 0"));
            }
        }
        reader.finish();
        Self { success, latency, objective: objectives.first().copied() }
    }

    /// The quantile that windows are judged on.
    pub fn quantile(&self) -> f64 {
        self.objective.map_or(DEFAULT_QUANTILE, |objective| objective.quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Node;
    use std::cell::RefCell;

    fn read(text: &str) -> (Slo, Vec<String>) {
        let node = Node::from_toml("x.toml", text).unwrap();
        let problems = RefCell::default();
        let slo = Slo::read(Reader::new("x.toml", &node, "slo", &problems));
        (slo, problems.into_inner().0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_objective_names_the_judged_quantile() {
        let (slo, problems) = read("success = \"99%\"\np99 = \"250ms\"");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(slo.quantile(), 0.99);
        assert_eq!(slo.objective.unwrap().limit, Duration::from_millis(250));
        assert_eq!((slo.success.unwrap().get(), slo.latency), (0.99, None));
        assert_eq!(read("").0.quantile(), 0.95);
    }

    #[test]
    fn all_mistakes_are_reported() {
        let (_, problems) = read("success = 2\np95 = \"1s\"\np99 = \"2s\"\nlatency = \"0s\"\np98 = \"1s\"");
        assert_eq!(problems.len(), 4, "{problems:#?}");
    }
}
