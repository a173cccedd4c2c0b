//! When requests are due. Pure: a pacer knows neither clock nor sleep, so that its test is a table.

use std::time::Duration;

use crate::dice::{Dice, hash_name};
use crate::units::Rate;

/// Gives the intended starts of a load, one after another.
pub trait Pacer {
    /// The offset of the next intended start from the run's origin, never before the one given last; `None` when
    /// the load is over, and from then on.
    fn next(&mut self) -> Option<Duration>;
}

/// How intended starts are spread at a given mean rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrivals {
    /// Independently, as from many users: exponential gaps.
    #[default]
    Poisson,
    /// Evenly.
    Constant,
}

impl Arrivals {
    /// All kinds by their name in files and flags.
    pub const ALL: [(&'static str, Self); 2] = [("poisson", Self::Poisson), ("constant", Self::Constant)];

    /// The name in files, flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Constant => "constant",
        }
    }

    /// A pacer at this mean rate for this long. The same seed gives the same arrivals.
    pub fn pacer(self, rate: Rate, duration: Duration, seed: u64) -> Box<dyn Pacer> {
        match self {
            Self::Poisson => Box::new(Poisson::new(rate, duration, seed)),
            Self::Constant => Box::new(Constant::new(rate, duration)),
        }
    }
}

/// Even gaps: the n-th start, from 0, lies at n / rate.
#[derive(Debug, Clone)]
pub struct Constant {
    rate: f64,
    duration: Duration,
    n: u64,
}

impl Constant {
    /// Starts at 0, then every 1 / rate, all before `duration`.
    pub fn new(rate: Rate, duration: Duration) -> Self {
        Self { rate: rate.per_second(), duration, n: 0 }
    }
}

impl Pacer for Constant {
    fn next(&mut self) -> Option<Duration> {
        // Divided anew each time: adding up gaps would add up their rounding.
        let at = Duration::from_nanos((self.n as f64 / self.rate * 1e9).round() as u64);
        (at < self.duration).then(|| {
            self.n += 1;
            at
        })
    }
}

/// Exponential gaps with mean 1 / rate, by the inverse of their distribution function.
#[derive(Debug, Clone)]
pub struct Poisson {
    mean_gap_ns: f64,
    duration: Duration,
    seed: u64,
    n: u64,
    /// Whole nanoseconds so far, and the rest below one: split, so that the error does not grow with time.
    whole_ns: u64,
    rest_ns: f64,
}

impl Poisson {
    /// Starts drawn with this seed, all before `duration`.
    pub fn new(rate: Rate, duration: Duration, seed: u64) -> Self {
        Self { mean_gap_ns: 1e9 / rate.per_second(), duration, seed, n: 0, whole_ns: 0, rest_ns: 0.0 }
    }
}

impl Pacer for Poisson {
    fn next(&mut self) -> Option<Duration> {
        if Duration::from_nanos(self.whole_ns) >= self.duration {
            return None;
        }
        let draw = Dice::new(self.seed, hash_name("arrivals"), self.n).uniform(0);
        let gap_ns = -(-draw).ln_1p() * self.mean_gap_ns + self.rest_ns;
        // A gap of centuries (an absurdly low rate) ends the load rather than wrapping round.
        self.whole_ns = self.whole_ns.saturating_add(gap_ns as u64);
        self.rest_ns = gap_ns.fract();
        self.n += 1;
        let at = Duration::from_nanos(self.whole_ns);
        (at < self.duration).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn rate(per_second: f64) -> Rate {
        Rate::new(per_second).unwrap()
    }

    fn all(mut pacer: impl Pacer) -> Vec<Duration> {
        std::iter::from_fn(|| pacer.next()).collect()
    }

    #[test]
    fn constant_arrivals_start_at_zero_and_end_before_the_end() {
        let starts = all(Constant::new(rate(4.0), Duration::from_secs(1)));
        assert_eq!(starts, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn each_second_of_a_constant_load_has_exactly_its_rate() {
        for per_second in [1.0, 3.0, 7.0, 500.0, 1_000.0] {
            let starts = all(Constant::new(rate(per_second), Duration::from_secs(50)));
            for second in 0..50 {
                let inside = starts.iter().filter(|at| at.as_secs() == second).count();
                assert_eq!(inside as f64, per_second, "second {second} at {per_second}/s");
            }
        }
    }

    #[test]
    fn a_pacer_that_has_ended_stays_ended() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let mut pacer = arrivals.pacer(rate(50.0), Duration::from_secs(1), 7);
            while pacer.next().is_some() {}
            assert_eq!((pacer.next(), pacer.next()), (None, None));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_seed_others() {
        let starts = |seed| all(Poisson::new(rate(100.0), Duration::from_secs(10), seed));
        assert_eq!(starts(42), starts(42));
        assert_ne!(starts(42), starts(43));
    }

    #[test]
    fn poisson_counts_have_the_mean_and_the_variance_of_their_rate() {
        // 1,000 windows of 100 ms at 1,000/s: counts of mean 100 and variance 100; five standard errors.
        let starts = all(Poisson::new(rate(1_000.0), Duration::from_secs(100), 5));
        let mut counts = vec![0.0; 1_000];
        starts.iter().for_each(|at| counts[at.as_millis() as usize / 100] += 1.0);
        let mean = counts.iter().sum::<f64>() / 1_000.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 999.0;
        assert!((mean - 100.0).abs() < 5.0 * (100.0f64 / 1_000.0).sqrt(), "mean {mean}");
        assert!((variance - 100.0).abs() < 5.0 * 100.0 * (2.0f64 / 999.0).sqrt(), "variance {variance}");
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let starts = all(Poisson::new(rate(1.0), Duration::from_secs(50_000), 11));
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        for at in [0.1, 0.5, 1.0, 2.0, 4.0] {
            let share = gaps.iter().filter(|gap| **gap > at).count() as f64 / gaps.len() as f64;
            let expected = (-at).exp();
            let error = 5.0 * (expected * (1.0 - expected) / gaps.len() as f64).sqrt();
            assert!((share - expected).abs() < error, "P(gap > {at}) = {share}, not {expected}");
        }
    }

    #[test]
    fn the_sum_of_poisson_gaps_does_not_drift_over_a_day() {
        let per_second = 3.7;
        let starts = all(Poisson::new(rate(per_second), DAY, 3));
        // The same gaps, each rounded to 2^-32 ns and summed as integers: a sum without any growing error.
        let mut exact: u128 = 0;
        for (n, at) in starts.iter().enumerate() {
            let draw = Dice::new(3, hash_name("arrivals"), n as u64).uniform(0);
            exact += (-(-draw).ln_1p() * (1e9 / per_second) * 4_294_967_296.0) as u128;
            let exact_ns = exact as f64 / 4_294_967_296.0;
            assert!((at.as_nanos() as f64 - exact_ns).abs() <= 1.1, "arrival {n}: {at:?}, not {exact_ns} ns");
        }
        assert!(starts.len() > 300_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn constant_arrivals_do_not_drift_over_a_day(per_second in 0.01f64..5.0) {
            let mut pacer = Constant::new(rate(per_second), DAY);
            let mut n = 0u64;
            while let Some(at) = pacer.next() {
                let error = at.as_secs_f64() - n as f64 / per_second;
                prop_assert!(error.abs() <= 1e-9, "arrival {} is off by {} s", n, error);
                n += 1;
            }
            prop_assert_eq!(n, (per_second * 86_400.0).ceil() as u64);
        }

        #[test]
        fn arrivals_never_go_back_and_never_pass_the_end(per_second in 0.1f64..5_000.0, seed: u64) {
            let duration = Duration::from_secs(3);
            for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
                let mut pacer = arrivals.pacer(rate(per_second), duration, seed);
                let mut last = Duration::ZERO;
                while let Some(at) = pacer.next() {
                    prop_assert!(at >= last && at < duration);
                    last = at;
                }
            }
        }
    }
}
