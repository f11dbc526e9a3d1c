//! Random numbers for the tests that proptest does not drive: splitmix64, seeded from `HEAPMASTER_SEED` or the clock,
//! and printed, so that a run can be repeated.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of random numbers (Steele, Lea and Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From the environment or the clock. The seed is printed; the test harness shows it when the test fails.
    pub fn from_environment() -> Self {
        let given = env::var("HEAPMASTER_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        let seed = given.unwrap_or_else(clock);
        println!("HEAPMASTER_SEED={seed}");
        Self(seed)
    }

    /// A stream of its own for thread `number`.
    pub fn stream(&self, number: u64) -> Self {
        let mut stream = Self(self.0 ^ (number + 1).wrapping_mul(0xA076_1D64_78BD_642F));
        stream.next();
        stream
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
