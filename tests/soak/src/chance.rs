//! Numbers at random that a seed repeats.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A seed that no run had before.
pub(crate) fn any() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(1, |now| now.as_secs())
}

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Chance(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, but without, 1.
    pub(crate) fn share(&mut self) -> f64 {
        // As many bits as a double has.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of several; there is at least one.
    pub(crate) fn of<'a, T>(&mut self, several: &'a [T]) -> &'a T {
        &several[(self.share() * several.len() as f64) as usize]
    }

    /// Between two times.
    pub(crate) fn between(&mut self, least_s: f64, most_s: f64) -> Duration {
        Duration::from_secs_f64(least_s + self.share() * (most_s - least_s))
    }

    /// The time until something that happens at random, once in `mean_s` on average.
    pub(crate) fn until_next(&mut self, mean_s: f64) -> Duration {
        Duration::from_secs_f64(-mean_s * (1.0 - self.share()).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers_and_they_are_spread() {
        let shares = |seed| -> Vec<f64> {
            let mut chance = Chance::new(seed);
            (0..1000).map(|_| chance.share()).collect()
        };
        assert_eq!(shares(7), shares(7));
        assert_ne!(shares(7), shares(8));
        let mean = shares(7).iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        let mut chance = Chance::new(7);
        let waits = (0..1000).map(|_| chance.until_next(10.0).as_secs_f64());
        let mean = waits.sum::<f64>() / 1000.0;
        assert!((8.5..11.5).contains(&mean), "{mean}");
    }
}
