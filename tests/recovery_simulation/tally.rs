//! Counts what the simulated runs say and prints it with its uncertainty.

use brownout::results::Recovery;
use brownout::stats::{clopper_pearson, quantile};

/// How often something happened.
#[derive(Clone, Copy, Default)]
pub(crate) struct Share {
    pub(crate) hits: u64,
    pub(crate) runs: u64,
}

impl Share {
    pub(crate) fn add(&mut self, hit: bool) {
        self.runs += 1;
        self.hits += u64::from(hit);
    }

    pub(crate) fn share(&self) -> f64 {
        self.hits as f64 / self.runs.max(1) as f64
    }

    /// Exact 95 % interval.
    pub(crate) fn interval(&self) -> (f64, f64) {
        clopper_pearson(self.hits, self.runs, 0.95)
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.interval();
        let percent = 100.0 * self.share();
        write!(f, "{percent:.2}% [{:.2}, {:.2}] of {}", 100.0 * low, 100.0 * high, self.runs)
    }
}

/// Errors of the recovery time, in windows.
#[derive(Default)]
pub(crate) struct Accuracy {
    errors: Vec<f64>,
    pub(crate) within: Share,
    pub(crate) covered: Share,
    pub(crate) unsteady: Share,
}

impl Accuracy {
    pub(crate) fn add(&mut self, recovery: Option<&Recovery>, truth_s: f64, window_s: f64) {
        self.unsteady.add(recovery.is_none());
        let Some(recovery) = recovery else { return };
        let error = recovery.ttr_s.map(|ttr| (ttr - truth_s) / window_s);
        self.errors.extend(error);
        self.within.add(error.is_some_and(|error| error.abs() <= 1.0));
        let covers = |(low, high): (f64, f64)| low <= truth_s && truth_s <= high;
        self.covered.add(recovery.ttr_interval_s.is_some_and(covers));
    }

    /// Mean error and its standard error.
    pub(crate) fn bias(&self) -> (f64, f64) {
        mean_and_error(&self.errors)
    }

    /// The same without the outermost hundredth on either side: one run in which chance made a bad run within the hold
    /// is off by dozens of windows. Such runs are counted by `within`.
    pub(crate) fn trimmed_bias(&self) -> (f64, f64) {
        let mut sorted = self.errors.clone();
        sorted.sort_by(f64::total_cmp);
        let cut = sorted.len() / 100;
        mean_and_error(&sorted[cut..sorted.len() - cut])
    }

    pub(crate) fn line(&self, name: &str) -> String {
        let ((bias, error), (trimmed, _)) = (self.bias(), self.trimmed_bias());
        let at = |q| quantile(&self.errors, q).unwrap_or(0.0);
        format!(
            "{name:<42} bias {bias:+.3} +-{error:.3} w, trimmed {trimmed:+.3}  5..95% {:+.3}..{:+.3}  within w {}  covered {}",
            at(0.05),
            at(0.95),
            self.within,
            self.covered
        )
    }
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(2) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}
