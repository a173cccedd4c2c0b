//! Counters and histograms that a data path can write at the price of an uncontended atomic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::names::metrics::BUCKETS;

/// A counter. Cheap when one thread writes it, right when several do.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One more than the bounds: the last counts what lies above all of them.
const CELLS: usize = BUCKETS.len() + 1;

/// The bounds in whole nanoseconds, so that finding a bucket needs no floating point.
const BOUNDS: [u64; BUCKETS.len()] = {
    let mut bounds = [0; BUCKETS.len()];
    let mut i = 0;
    while i < BUCKETS.len() {
        bounds[i] = (BUCKETS[i] * 1e9 + 0.5) as u64;
        i += 1;
    }
    bounds
};

/// A histogram of durations with the buckets of [`BUCKETS`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    buckets: [Count; CELLS],
    nanos: Count,
}

impl Tally {
    pub(super) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // From the small end: most exchanges are short.
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.nanos.add(nanos);
    }
}

/// The sum of several [`Tally`]s at one moment. The count is the buckets' sum, so that the two always agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tallied {
    buckets: [u64; CELLS],
    nanos: u64,
}

impl Tallied {
    pub(super) fn add(&mut self, tally: &Tally) {
        for (sum, count) in self.buckets.iter_mut().zip(&tally.buckets) {
            *sum += count.get();
        }
        self.nanos = self.nanos.wrapping_add(tally.nanos.get());
    }

    /// How many lie in each bucket alone, the one above all bounds included.
    pub(super) fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_counts_below_it_and_one_above_all_bounds_is_kept() {
        let tally = Tally::default();
        for micros in [0, 500, 501, 1_000, 60_000_000, 60_000_001, 3_600_000_000] {
            tally.observe(Duration::from_micros(micros));
        }
        let mut all = Tallied::default();
        all.add(&tally);
        assert_eq!(all.buckets()[..3], [2, 2, 0]);
        assert_eq!(all.buckets()[15..], [1, 2]);
        assert_eq!(all.count(), 7);
        assert!((all.seconds() - 3720.002002).abs() < 1e-6);
    }

    #[test]
    fn the_sum_of_several_tallies_has_all_their_counts() {
        let tallies = [Tally::default(), Tally::default()];
        for tally in &tallies {
            tally.observe(Duration::from_millis(3));
        }
        let mut all = Tallied::default();
        tallies.iter().for_each(|tally| all.add(tally));
        assert_eq!((all.count(), all.seconds()), (2, 0.006));
    }
}
