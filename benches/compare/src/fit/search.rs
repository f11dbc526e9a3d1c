//! The smallest heap that will do.

/// Sizes are multiples of it.
pub const STEP: usize = 4096;

/// The smallest size from `least` to `most` that `fits`; `None` if there is none.
///
/// A larger heap may fail where a smaller one did: the cuts are elsewhere. So this tries one size after the other, each
/// larger by a 100th, instead of halving the whole range; and halves what lies below the first that fits, down to steps
/// of 4 KiB.
pub fn smallest(least: usize, most: usize, mut fits: impl FnMut(usize) -> bool) -> Option<usize> {
    let mut size = least.max(1).next_multiple_of(STEP);
    let mut failed = size - STEP;
    while !fits(size) {
        failed = size;
        size = (size + size / 100 + 1).next_multiple_of(STEP);
        if size > most {
            return None;
        }
    }
    while size - failed > STEP {
        let middle = failed + (size - failed) / STEP / 2 * STEP;
        if fits(middle) {
            size = middle;
        } else {
            failed = middle;
        }
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_found_to_a_step() {
        for bound in [1, STEP, STEP + 1, 1_000_000, 1_234_567, 7_654_321, 9_999_999] {
            for least in [1, 4096, 5000, 1_000_000] {
                let mut attempts = 0;
                let found = smallest(least, 10 << 20, |size| {
                    attempts += 1;
                    size >= bound
                });
                assert_eq!(found, Some(bound.max(least).next_multiple_of(STEP)), "from {least} to {bound}");
                assert!(attempts < 1000);
            }
        }
    }

    #[test]
    fn a_gap_above_the_smallest_does_not_hide_it() {
        // A bisection of the whole range ends at one of the upper sizes.
        let fits = |size| (2 << 20..3 << 20).contains(&size) || size >= 7 << 20;
        assert_eq!(smallest(1 << 20, 16 << 20, fits), Some(2 << 20));
    }

    #[test]
    fn nothing_fits() {
        assert_eq!(smallest(1 << 20, 2 << 20, |_| false), None);
    }
}
