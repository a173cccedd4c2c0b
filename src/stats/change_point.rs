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

/// The most likely moment between a worse and a better share, and the moments that are nearly as likely. Moments are
/// counted in slices: 4.3 lies three tenths into the fifth slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The change.
    pub at: f64,
    /// The first moment within the likelihood interval.
    pub low: f64,
    /// The last moment within the likelihood interval.
    pub high: f64,
    /// Share of successes before the change.
    pub before: f64,
    /// Share of successes after it.
    pub after: f64,
}

/// A slice is tried in this many places: a change seldom waits for the end of a slice.
const STEPS: u32 = 10;

/// Finds the moment (out of `range`, in slices) at which two free success shares, the first below the second, make the
/// counts most likely. Within a slice both shares count, each for its part. The interval holds the moments whose
/// log-likelihood is at most `drop` below the best. A change point is not a regular parameter: Wilks' 1.92 covers less
/// than 95 %; Hansen, "Sample splitting and threshold estimation" (2000), has 3.68 for small steps.
///
/// `None` if no moment has trials on both sides and a share that rises.
pub fn rising_change(slices: &[Trials], range: RangeInclusive<f64>, drop: f64) -> Option<ChangePoint> {
    let candidates = candidates(slices, &range);
    // Of equally likely moments in a row (nothing was tried between them) the middle one.
    let best = candidates.iter().map(|c| c.likelihood).max_by(f64::total_cmp)?;
    let first = candidates.iter().position(|c| c.likelihood >= best - 1e-9)?;
    let equal = candidates[first..].iter().take_while(|c| c.likelihood >= best - 1e-9).count();
    let change = &candidates[first + (equal - 1) / 2];
    let mut near = candidates.iter().filter(|c| c.likelihood >= best - drop).map(|c| c.at);
    let low = near.next().unwrap_or(change.at);
    let high = near.next_back().unwrap_or(low).max(change.at);
    Some(ChangePoint { at: change.at, low, high, before: change.before, after: change.after })
}

struct Candidate {
    at: f64,
    likelihood: f64,
    before: f64,
    after: f64,
}

/// Every moment of the range at which the share rises.
fn candidates(slices: &[Trials], range: &RangeInclusive<f64>) -> Vec<Candidate> {
    let total = slices.iter().fold(Trials::default(), |sum, slice| sum.plus(slice));
    let mut before = Trials::default();
    let mut found = Vec::new();
    for (index, slice) in slices.iter().chain([&Trials::default()]).enumerate() {
        let after = total.minus(&before).minus(slice);
        for step in 0..STEPS {
            let part = f64::from(step) / f64::from(STEPS);
            let at = index as f64 + part;
            if !range.contains(&at) {
                continue;
            }
            // On an edge the slice belongs to what follows; inside it tells nothing about either share alone.
            let rest = if step == 0 { after.plus(slice) } else { after };
            let (Some(low), Some(high)) = (before.share(), rest.share()) else { continue };
            if low < high {
                let mixed = if step == 0 { 0.0 } else { slice.log_likelihood_of(part * low + (1.0 - part) * high) };
                let likelihood = before.log_likelihood_of(low) + rest.log_likelihood_of(high) + mixed;
                found.push(Candidate { at, likelihood, before: low, after: high });
            }
        }
        before = before.plus(slice);
    }
    found
}

impl Trials {
    fn plus(self, other: &Self) -> Self {
        Self { trials: self.trials + other.trials, successes: self.successes + other.successes }
    }

    fn minus(self, other: &Self) -> Self {
        Self { trials: self.trials - other.trials, successes: self.successes - other.successes }
    }

    fn share(self) -> Option<f64> {
        (self.trials > 0).then(|| self.successes as f64 / self.trials as f64)
    }

    /// Without the binomial coefficient, which does not depend on where the change is.
    fn log_likelihood_of(self, share: f64) -> f64 {
        let part = |count: u64, share: f64| if count == 0 { 0.0 } else { count as f64 * share.ln() };
        part(self.successes, share) + part(self.trials.saturating_sub(self.successes), 1.0 - share)
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
        let change = rising_change(&slices(&[0, 0, 1, 0, 10, 10, 9, 10]), 0.0..=8.0, 1.92).unwrap();
        assert!((change.at - 4.0).abs() < 0.15 && change.low > 3.5 && change.high < 4.5, "{change:?}");
        assert!((change.before - 0.025).abs() < 1e-12 && (change.after - 0.975).abs() < 1e-12, "{change:?}");
    }

    #[test]
    fn a_faint_step_has_a_wide_interval() {
        let change = rising_change(&slices(&[8, 9, 8, 9, 9, 10, 9, 10]), 0.0..=8.0, 1.92).unwrap();
        assert!(change.low < change.at && change.at < change.high, "{change:?}");
    }

    #[test]
    fn shares_that_fall_or_stay_have_no_rising_change() {
        assert_eq!(rising_change(&slices(&[10, 10, 0, 0]), 0.0..=4.0, 1.92), None);
        assert_eq!(rising_change(&slices(&[10, 10, 10]), 0.0..=3.0, 1.92), None);
        assert_eq!(rising_change(&[], 0.0..=0.0, 1.92), None);
        assert_eq!(rising_change(&[Trials::default(); 4], 0.0..=4.0, 1.92), None);
    }

    #[test]
    fn only_the_edges_allowed_are_considered() {
        let change = rising_change(&slices(&[0, 10, 10, 10, 10]), 3.0..=4.0, 1.92).unwrap();
        assert_eq!(change.at, 3.0);
    }

    proptest! {
        #[test]
        fn a_planted_step_is_recovered(step in 1usize..20, trials in 10u64..60, low in 0.0..0.4f64, high in 0.9..1.0f64) {
            let good = |share: f64| Trials { trials, successes: (share * trials as f64).round() as u64 };
            let slices: Vec<Trials> = (0..21).map(|i| good(if i < step { low } else { high })).collect();
            let change = rising_change(&slices, 0.0..=21.0, 1.92).unwrap();
            let step = step as f64;
            prop_assert!((change.at - step).abs() < 1.0, "{change:?}");
            prop_assert!(change.low <= step && step <= change.high, "{change:?}");
        }

        #[test]
        fn the_answer_is_in_order_and_never_nan(counts in proptest::collection::vec((0u64..50, 0u64..50), 0..30)) {
            let slices: Vec<Trials> =
                counts.iter().map(|(n, k)| Trials { trials: *n, successes: (*k).min(*n) }).collect();
            if let Some(change) = rising_change(&slices, 0.0..=slices.len() as f64, 1.92) {
                prop_assert!(change.low <= change.at && change.at <= change.high);
                prop_assert!(change.before < change.after);
            }
        }
    }
}
