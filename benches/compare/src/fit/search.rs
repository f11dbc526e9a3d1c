//! The smallest heap that will do.

/// Sizes are multiples of it.
pub const STEP: usize = 4096;

/// Heaps that will do, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The smallest one.
    pub smallest: usize,
    /// From this one on, none fails that is up to a quarter larger.
    pub sure: usize,
}

/// The smallest size from `least` to `most` that `fits`; `None` if there is none.
///
/// A larger heap may fail where a smaller one did: the cuts are elsewhere. So this tries one size after the other, each
/// larger by a 100th, instead of halving the whole range; and halves what lies below the first that fits, down to steps
/// of 4 KiB. Then it goes on to see whether larger ones fail.
pub fn search(least: usize, most: usize, mut fits: impl FnMut(usize) -> bool) -> Option<Found> {
    let mut smallest = least.max(1).next_multiple_of(STEP);
    let mut failed = smallest - STEP;
    while !fits(smallest) {
        failed = smallest;
        smallest = larger(smallest);
        if smallest > most {
            return None;
        }
    }
    while smallest - failed > STEP {
        let middle = failed + (smallest - failed) / STEP / 2 * STEP;
        if fits(middle) {
            smallest = middle;
        } else {
            failed = middle;
        }
    }
    let (mut size, mut sure) = (smallest, smallest);
    while size < sure + sure / 4 && larger(size) <= most {
        size = larger(size);
        if !fits(size) {
            sure = larger(size);
        }
    }
    Some(Found { smallest, sure })
}

/// By a 100th.
fn larger(size: usize) -> usize {
    (size + size / 100 + 1).next_multiple_of(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_found_to_a_step() {
        for bound in [1, STEP, STEP + 1, 1_000_000, 1_234_567, 7_654_321, 9_999_999] {
            for least in [1, 4096, 5000, 1_000_000] {
                let mut attempts = 0;
                let found = search(least, 10 << 20, |size| {
                    attempts += 1;
                    size >= bound
                });
                let smallest = bound.max(least).next_multiple_of(STEP);
                assert_eq!(found, Some(Found { smallest, sure: smallest }), "from {least} to {bound}");
                assert!(attempts < 1000);
            }
        }
    }

    #[test]
    fn a_gap_above_the_smallest_does_not_hide_it_and_is_told() {
        // A bisection of the whole range ends at one of the upper sizes.
        let fits = |size| (2 << 20..3 << 20).contains(&size) || size >= 7 << 19;
        let found = search(1 << 20, 16 << 20, fits).unwrap();
        // Beyond a quarter nobody looks.
        assert_eq!(found, Found { smallest: 2 << 20, sure: 2 << 20 });
        let fits = |size| (2 << 20..9 << 18).contains(&size) || size >= 10 << 18;
        let found = search(1 << 20, 16 << 20, fits).unwrap();
        assert_eq!(found.smallest, 2 << 20);
        assert!((10 << 18..103 << 15).contains(&found.sure), "{found:?}");
    }

    #[test]
    fn nothing_fits() {
        assert_eq!(search(1 << 20, 2 << 20, |_| false), None);
    }
}
