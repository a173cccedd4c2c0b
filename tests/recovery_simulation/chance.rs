//! Draws from distributions, exact and fast enough for thousands of runs in an unoptimised build.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub(crate) struct Chance {
    rng: SmallRng,
}

impl Chance {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed) }
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.rng.random::<f64>()
    }

    /// Uniform between two positive numbers on a logarithmic scale.
    pub(crate) fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        (low.ln() + self.uniform() * (high / low).ln()).exp()
    }

    /// Successes out of `n`, each with probability `p`: the rarer side is counted by geometric gaps.
    pub(crate) fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        if p <= 0.0 {
            return 0;
        }
        let scale = (1.0 - p).ln();
        let (mut at, mut hits) = (0.0, 0);
        loop {
            at += ((1.0 - self.uniform()).ln() / scale).floor() + 1.0;
            if at > n as f64 {
                return hits;
            }
            hits += 1;
        }
    }

    /// The `q`-quantile (nearest rank) of `n` uniform numbers: drawn from the top, one order statistic after another.
    pub(crate) fn uniform_quantile(&mut self, n: u64, q: f64) -> f64 {
        let rank = ((q * n as f64).ceil() as u64).clamp(1, n);
        let mut at: f64 = 1.0;
        for left in (rank..=n).rev() {
            at *= (1.0 - self.uniform()).powf(1.0 / left as f64);
        }
        at
    }
}

/// Poisson counts of one mean, by inversion of a table.
pub(crate) struct Poisson {
    cumulative: Vec<f64>,
}

impl Poisson {
    pub(crate) fn new(mean: f64) -> Self {
        let mut term = (-mean).exp();
        let mut sum = term;
        let mut cumulative = vec![sum];
        while sum < 1.0 - 1e-12 && cumulative.len() < 10_000 {
            term *= mean / cumulative.len() as f64;
            sum += term;
            cumulative.push(sum);
        }
        Self { cumulative }
    }

    pub(crate) fn draw(&self, chance: &mut Chance) -> u64 {
        let u = chance.uniform();
        self.cumulative.partition_point(|c| *c < u) as u64
    }
}
