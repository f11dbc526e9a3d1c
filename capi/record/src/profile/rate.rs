//! When a thread samples, and how much a sample stands for. The functions of the C library's mathematics are not used:
//! a library that is loaded with every program should not load that one, too.

use std::ptr;

/// A random number, and whether it is the thread's first one. (Marsaglia, Xorshift RNGs, 2003; the seed by SplitMix64.)
pub fn random(state: &mut u64) -> (u64, bool) {
    let is_first = *state == 0;
    if is_first {
        *state = seed(ptr::from_ref(state).addr() as u64);
    }
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state, is_first)
}

fn seed(thread: u64) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it may be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let mut mixed = thread ^ (now.tv_nsec as u64).rotate_left(32) ^ now.tv_sec as u64;
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb_u64] {
        mixed = (mixed ^ mixed >> 30).wrapping_mul(factor);
    }
    (mixed ^ mixed >> 31) | 1
}

/// Bytes until the next sample: exponentially distributed, so that each byte has the same chance.
pub fn until_next(random: u64, mean: u64) -> i64 {
    // From 2^-53 to 1.
    let uniform = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-ln(uniform) * mean as f64) as i64
}

/// Objects, in 256ths, and bytes that a sample of `size` bytes stands for.
pub fn weight(size: usize, mean: u64) -> (u64, u64) {
    let chance = chance(size as f64 / mean as f64);
    ((256.0 / chance) as u64, (size as f64 / chance) as u64)
}

/// `1 - exp(-x)`, for `x` above 0.
fn chance(x: f64) -> f64 {
    let (mut part, mut halvings) = (x, 0);
    while part > 1.0 / 64.0 {
        part /= 2.0;
        halvings += 1;
        if halvings == 64 {
            return 1.0;
        }
    }
    // exp's series. Then twice the exponent: 1 - (1 - p)^2.
    let mut chance = part * (1.0 - part / 2.0 * (1.0 - part / 3.0 * (1.0 - part / 4.0)));
    for _ in 0..halvings {
        chance *= 2.0 - chance;
    }
    chance
}

/// The natural logarithm of a normal number above 0.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut part = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if part > core::f64::consts::SQRT_2 {
        part /= 2.0;
        exponent += 1;
    }
    let t = (part - 1.0) / (part + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0)));
    exponent as f64 * core::f64::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_functions() {
        for x in [1e-12, 1e-3, 0.1, 0.5, 1.0, 2.0, 10.0, 1e3, 1e30] {
            assert!((ln(x) - x.ln()).abs() < 1e-7, "{x}: {}", ln(x));
            let expected = -(-x).exp_m1();
            assert!((chance(x) / expected - 1.0).abs() < 1e-7, "{x}: {}", chance(x));
        }
    }

    #[test]
    fn samples_are_so_far_apart_in_the_mean() {
        let mut state = 88_172_645_463_325_252;
        let sum: i64 = (0..100_000).map(|_| until_next(random(&mut state).0, 1000)).sum();
        // The deviation of the mean is 1000 / sqrt(100 000).
        assert!((sum / 100_000 - 1000).abs() < 16, "{sum}");
    }
}
