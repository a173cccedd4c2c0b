//! The recorder of every latency: fixed memory, microsecond resolution, a known relative error.

use std::time::Duration;

use hdrhistogram::Counter;

/// Counts of durations in buckets of one microsecond, or of the given number of significant digits where that
/// is coarser. Memory is set when it is made and does not grow; nothing recorded is ever lost, because what is
/// longer than the longest duration counts as that.
#[derive(Debug, Clone)]
pub struct Histogram<C: Counter = u64> {
    buckets: hdrhistogram::Histogram<C>,
    /// The largest value as it was recorded: buckets alone would round it up.
    largest: Duration,
}

impl<C: Counter> Histogram<C> {
    /// A histogram of durations up to `longest` (two microseconds to 24 hours, else the nearest of them), exact to
    /// `digits` significant digits (one to four).
    pub fn new(longest: Duration, digits: u8) -> Self {
        let longest = (longest.as_micros() as u64).clamp(2, 24 * 3_600_000_000);
        let buckets = match hdrhistogram::Histogram::new_with_bounds(1, longest, digits.clamp(1, 4)) {
            Ok(buckets) => buckets,
            Err(error) => unreachable!("bounds from 1 to {longest} us are valid: {error}"),
        };
        Self { buckets, largest: Duration::ZERO }
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        // Rounded to the nearest microsecond: truncating would bias every latency by half of one.
        let micros = (duration.as_nanos() as u64 + 500) / 1_000;
        self.buckets.saturating_record(micros.min(self.buckets.high()));
        self.largest = self.largest.max(duration);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.len()
    }

    /// The duration in seconds that this share of all counted ones does not exceed, rounded up to its bucket's
    /// upper end but never above the largest; absent when nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        (self.count() > 0).then(|| {
            let micros = self.buckets.value_at_quantile(share);
            Duration::from_micros(micros).min(self.largest).as_secs_f64()
        })
    }

    /// The largest counted duration in seconds, exactly; absent when nothing was counted.
    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.largest.as_secs_f64())
    }

    /// Forgets everything counted; keeps its memory.
    pub fn reset(&mut self) {
        self.buckets.reset();
        self.largest = Duration::ZERO;
    }

    /// Bytes of memory that it holds, now and at any later time.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.buckets.distinct_values() * size_of::<C>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        let empty = Histogram::<u64>::new(ms(1000), 3);
        assert_eq!((empty.count(), empty.quantile(0.5), empty.max()), (0, None, None));
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::<u64>::new(ms(10_000), 3);
        (1..=1000).for_each(|n| histogram.record(ms(n)));
        for (share, expected) in [(0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (1.0, 1.0)] {
            let found = histogram.quantile(share).unwrap();
            assert!((found / expected - 1.0).abs() <= 1e-3, "q {share}: {found}");
        }
        assert_eq!(histogram.max(), Some(1.0));
    }

    #[test]
    fn the_largest_is_exact_and_no_quantile_exceeds_it() {
        let mut histogram = Histogram::<u32>::new(ms(2_000), 3);
        (0..100).for_each(|_| histogram.record(ms(2_000)));
        assert_eq!((histogram.quantile(0.5), histogram.max()), (Some(2.0), Some(2.0)));
    }

    #[test]
    fn what_is_too_long_is_counted_and_its_length_kept() {
        let mut histogram = Histogram::<u32>::new(ms(100), 2);
        histogram.record(ms(5_000));
        assert_eq!((histogram.count(), histogram.max()), (1, Some(5.0)));
        assert!(histogram.quantile(0.5).unwrap() >= 0.1);
    }

    #[test]
    fn memory_is_set_when_it_is_made() {
        let mut histogram = Histogram::<u32>::new(ms(2_000), 3);
        let bytes = histogram.bytes();
        (0..100_000).for_each(|n| histogram.record(Duration::from_micros(n * 37 % 3_000_000)));
        assert_eq!(histogram.bytes(), bytes);
        assert!(bytes < 56 * 1024, "{bytes} bytes");
        histogram.reset();
        assert_eq!((histogram.count(), histogram.max()), (0, None));
    }

    proptest! {
        #[test]
        fn a_single_duration_is_kept_within_a_microsecond_or_a_thousandth(nanos in 0u64..3_000_000_000) {
            let mut histogram = Histogram::<u32>::new(ms(3_000), 3);
            let duration = Duration::from_nanos(nanos);
            histogram.record(duration);
            let found = histogram.quantile(0.5).unwrap();
            let error = (found - duration.as_secs_f64()).abs();
            prop_assert!(error <= 1e-6 || error <= 1e-3 * duration.as_secs_f64(), "{} for {:?}", found, duration);
        }
    }
}
