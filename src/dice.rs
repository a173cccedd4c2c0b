//! Seeded chance that does not depend on thread timing.
//!
//! A [`Dice`] belongs to one match of one rule: the n-th matching request of a rule gets the same
//! decisions in every run with the same seed, whatever the threads do. It is counter-based: a draw is
//! a function of (seed, rule, n, index), so no draw shifts another one. The mixing is SplitMix64's
//! finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).

/// The chance of one rule for one of its matching requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dice {
    key: u64,
}

/// Draw indices below this are a rule's own; each fault of the rule owns a block of as many above it.
const BLOCK: u64 = 64;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stable 64-bit hash of a name (FNV-1a), so that a rule keeps its decisions when the file around it changes.
pub fn hash_name(name: &str) -> u64 {
    hash_bytes(name.as_bytes())
}

/// As [`hash_name`], of any bytes.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01B3))
}

impl Dice {
    /// The dice of the `n`-th match (from 0) of the rule with this [`hash_name`].
    pub fn new(seed: u64, rule: u64, n: u64) -> Self {
        Self { key: mix(mix(mix(seed ^ GOLDEN) ^ rule).wrapping_add(n.wrapping_mul(GOLDEN))) }
    }

    /// The draw with this index as 64 even bits. The same index gives the same bits.
    pub fn bits(self, index: u64) -> u64 {
        mix(self.key ^ mix((index + 1).wrapping_mul(GOLDEN)))
    }

    /// The draw with this index, uniform in `[0, 1)`.
    pub fn uniform(self, index: u64) -> f64 {
        (self.bits(index) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with the given probability: never at 0, always at 1.
    pub fn happens(self, index: u64, probability: f64) -> bool {
        self.uniform(index) < probability
    }

    /// The dice of the `n`-th part (from 0) of what these dice are for: a message of a connection, say.
    pub fn of_part(self, n: u64) -> Self {
        Self { key: mix(self.key ^ mix(n.wrapping_add(1).wrapping_mul(GOLDEN)).rotate_left(32)) }
    }

    /// The dice of a rule's `fault`-th fault (from 0): draws of one fault never collide with another's.
    pub fn of_fault(self, fault: usize) -> Self {
        Self { key: mix(self.key.wrapping_add((fault as u64 + 1).wrapping_mul(BLOCK).wrapping_mul(GOLDEN))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rule_and_count_decide_the_same() {
        let a = Dice::new(42, hash_name("slow"), 17);
        assert_eq!(a.bits(3), Dice::new(42, hash_name("slow"), 17).bits(3));
        assert_ne!(a.bits(3), Dice::new(43, hash_name("slow"), 17).bits(3));
        assert_ne!(a.bits(3), Dice::new(42, hash_name("slow"), 18).bits(3));
        assert_ne!(a.bits(3), Dice::new(42, hash_name("fast"), 17).bits(3));
        assert_ne!(a.bits(3), a.of_fault(0).bits(3));
        assert_ne!(a.of_fault(0).bits(0), a.of_fault(1).bits(0));
        assert_ne!(a.of_part(0).bits(0), a.of_part(1).bits(0));
        assert_ne!(a.of_part(0).bits(0), a.bits(0));
    }

    #[test]
    fn a_probability_is_met_within_five_standard_errors_and_its_ends_are_exact() {
        let n = 200_000u64;
        for p in [0.01, 0.25, 0.5, 0.9] {
            let hits = (0..n).filter(|&i| Dice::new(7, 99, i).happens(0, p)).count() as f64;
            let error = (hits - n as f64 * p).abs() / (n as f64 * p * (1.0 - p)).sqrt();
            assert!(error < 5.0, "{p}: {error} standard errors off");
        }
        assert!((0..1000).all(|i| Dice::new(7, 99, i).happens(0, 1.0)));
        assert!((0..1000).all(|i| !Dice::new(7, 99, i).happens(0, 0.0)));
    }

    #[test]
    fn neighbouring_counts_and_indices_are_uncorrelated() {
        let n = 100_000u64;
        let pairs: [fn(u64) -> (f64, f64); 2] = [
            |i| (Dice::new(1, 2, i).uniform(0), Dice::new(1, 2, i + 1).uniform(0)),
            |i| (Dice::new(1, 2, i).uniform(0), Dice::new(1, 2, i).uniform(1)),
        ];
        for pair in pairs {
            let covariance: f64 = (0..n).map(pair).map(|(a, b)| (a - 0.5) * (b - 0.5)).sum::<f64>() / n as f64;
            assert!((covariance * 12.0).abs() < 5.0 / (n as f64).sqrt(), "correlation {}", covariance * 12.0);
        }
    }
}
