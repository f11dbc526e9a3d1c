//! Random numbers that cost next to nothing.

/// A stream of random numbers (Marsaglia: Xorshift RNGs, 2003), the same in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of thread `number`.
    pub fn of_thread(number: usize) -> Self {
        let mut random = Self(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(2 * number as u64 + 1));
        // The first numbers of similar seeds are similar.
        (0..16).for_each(|_| _ = random.next());
        random
    }

    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        (((self.next() >> 32) * bound as u64) >> 32) as usize
    }

    /// A number from 0 up to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
