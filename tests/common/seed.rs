//! Random numbers for the tests that proptest does not drive, seeded from `HEAPMASTER_SEED` or the clock. The seed is
//! printed, so that a run can be repeated.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// From the environment or the clock. The test harness shows the seed when the test fails.
    pub fn from_environment() -> Self {
        let given = env::var("HEAPMASTER_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let seed = given.unwrap_or_else(clock);
        println!("HEAPMASTER_SEED={seed}");
        Self(Rng::with_seed(seed))
    }

    /// A stream of its own for thread `number`.
    pub fn stream(&self, number: u64) -> Self {
        let mut seeds = Rng::with_seed(self.0.get_seed() ^ (number + 1));
        Self(Rng::with_seed(seeds.u64(..)))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }

    /// Every order as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
