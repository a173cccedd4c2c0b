//! A fast hash for looking up what is configured.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys come from the configuration. Requests only look up in it, so nobody can fill it with collisions,
/// and the protection of the standard hash (which costs as much as the whole lookup) is not needed.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// Multiply and rotate, eight bytes at a time, as in the Fx hash of Firefox and rustc.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct FastHasher(u64);

const FACTOR: u64 = 0xF135_7AEA_2E62_A9C5;

impl FastHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        // The map takes buckets from the low bits and tags from the high ones: both get a share of all entropy.
        let folded = (self.0 ^ (self.0 >> 32)).wrapping_mul(FACTOR);
        folded ^ (folded >> 29)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn paths_that_differ_in_a_number_spread_over_low_and_high_bits() {
        let hasher = BuildHasherDefault::<FastHasher>::default();
        let hash = |n: u32| hasher.hash_one(format!("/api/tenant-{n}/orders"));
        let low: HashSet<u64> = (0..10_000).map(|n| hash(n) & 0xFFFF).collect();
        let high: HashSet<u64> = (0..10_000).map(|n| hash(n) >> 48).collect();
        // 10,000 even throws into 65,536 places leave about 9,274 of them taken.
        assert!(low.len() > 8_500 && high.len() > 8_500, "{} {}", low.len(), high.len());
    }
}
