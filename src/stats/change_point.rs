//! Where a share of successes changed for the better.

use std::ops::RangeInclusive;

/// Successes out of trials, in one slice of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trials {
    /// How many were tried.
    pub trials: u64,
    /// Of them successful.
    pub successes: u64,
}

/// The most likely edge between a worse and a better share, and the edges that are nearly as likely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The change lies between slice `edge - 1` and slice `edge`.
    pub edge: usize,
    /// The first edge within the likelihood interval.
    pub low: usize,
    /// The last edge within the likelihood interval.
    pub high: usize,
    /// Share of successes before the edge.
    pub before: f64,
    /// Share of successes from the edge on.
    pub after: f64,
}

/// Finds the edge (`0..=slices.len()`, out of `edges`) at which two free success shares, the first below the second,
/// make the counts most likely; its interval holds the edges whose log-likelihood is at most `drop` below the best
/// (1.92 for 95 %: half the 95 % quantile of chi-squared with one degree of freedom, Wilks 1938).
///
/// `None` if no edge has trials on both sides and a share that rises.
pub fn rising_change(slices: &[Trials], edges: RangeInclusive<usize>, drop: f64) -> Option<ChangePoint> {
    let total = slices.iter().fold(Trials::default(), |sum, slice| sum.plus(slice));
    let mut before = Trials::default();
    let mut rising = Vec::new();
    for edge in 0..=slices.len() {
        let after = Trials { trials: total.trials - before.trials, successes: total.successes - before.successes };
        if edges.contains(&edge)
            && let (Some(low), Some(high)) = (before.share(), after.share())
            && low < high
        {
            rising.push((edge, before.log_likelihood() + after.log_likelihood(), low, high));
        }
        if let Some(slice) = slices.get(edge) {
            before = before.plus(slice);
        }
    }
    let &(edge, best, low_share, high_share) = rising.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut near = rising.iter().filter(|(_, likelihood, ..)| *likelihood >= best - drop).map(|(edge, ..)| *edge);
    let low = near.next().unwrap_or(edge);
    Some(ChangePoint { edge, low, high: near.next_back().unwrap_or(edge), before: low_share, after: high_share })
}

impl Trials {
    fn plus(self, other: &Self) -> Self {
        Self { trials: self.trials + other.trials, successes: self.successes + other.successes }
    }

    fn share(self) -> Option<f64> {
        (self.trials > 0).then(|| self.successes as f64 / self.trials as f64)
    }

    /// Of the share that fits best, without the binomial coefficient, which does not depend on the edge.
    fn log_likelihood(self) -> f64 {
        let part = |count: u64| if count == 0 { 0.0 } else { count as f64 * (count as f64 / self.trials as f64).ln() };
        part(self.successes) + part(self.trials.saturating_sub(self.successes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slices(good: &[u64]) -> Vec<Trials> {
        good.iter().map(|successes| Trials { trials: 10, successes: *successes }).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let change = rising_change(&slices(&[0, 0, 1, 0, 10, 10, 9, 10]), 0..=8, 1.92).unwrap();
        assert_eq!((change.edge, change.low, change.high), (4, 4, 4));
        assert!((change.before - 0.025).abs() < 1e-12 && (change.after - 0.975).abs() < 1e-12, "{change:?}");
    }

    #[test]
    fn a_faint_step_has_a_wide_interval() {
        let change = rising_change(&slices(&[8, 9, 8, 9, 9, 10, 9, 10]), 0..=8, 1.92).unwrap();
        assert!(change.low < change.edge && change.edge < change.high, "{change:?}");
    }

    #[test]
    fn shares_that_fall_or_stay_have_no_rising_change() {
        assert_eq!(rising_change(&slices(&[10, 10, 0, 0]), 0..=4, 1.92), None);
        assert_eq!(rising_change(&slices(&[10, 10, 10]), 0..=3, 1.92), None);
        assert_eq!(rising_change(&[], 0..=0, 1.92), None);
        assert_eq!(rising_change(&[Trials::default(); 4], 0..=4, 1.92), None);
    }

    #[test]
    fn only_the_edges_allowed_are_considered() {
        let change = rising_change(&slices(&[0, 10, 10, 10, 10]), 3..=4, 1.92).unwrap();
        assert_eq!(change.edge, 3);
    }

    proptest! {
        #[test]
        fn a_planted_step_is_recovered(step in 1usize..20, trials in 10u64..60, low in 0.0..0.4f64, high in 0.9..1.0f64) {
            let good = |share: f64| Trials { trials, successes: (share * trials as f64).round() as u64 };
            let slices: Vec<Trials> = (0..21).map(|i| good(if i < step { low } else { high })).collect();
            let change = rising_change(&slices, 0..=21, 1.92).unwrap();
            prop_assert_eq!(change.edge, step);
            prop_assert!(change.low <= step && step <= change.high);
        }

        #[test]
        fn the_answer_is_in_order_and_never_nan(counts in proptest::collection::vec((0u64..50, 0u64..50), 0..30)) {
            let slices: Vec<Trials> =
                counts.iter().map(|(n, k)| Trials { trials: *n, successes: (*k).min(*n) }).collect();
            if let Some(change) = rising_change(&slices, 0..=slices.len(), 1.92) {
                prop_assert!(change.low <= change.edge && change.edge <= change.high);
                prop_assert!(change.before < change.after);
            }
        }
    }
}
