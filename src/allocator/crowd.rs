//! How many threads allocate: those whose caches missed lately, not all that ever did.
//!
//! Time is counted in misses. A *period* ends when the caches that missed in it did so 32 times each, in the mean. A
//! thread without a miss does not count as one that allocates, whether it sleeps, has ended, or finds all its blocks in
//! its cache. Only bounds depend on these numbers, so each is read and written relaxed.

use core::cell::Cell;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Misses of a cache that are counted at once, as one tick.
const TICK: usize = 16;
/// Ticks of a period, for each cache that missed in it.
const TICKS: u32 = 2;

/// A period as one word.
///
/// | bits | meaning |
/// |---|---|
/// | 0 to 15 | caches that missed in the period before |
/// | 16 to 31 | caches that missed in this period |
/// | 32 to 63 | the tick at which this period began |
#[derive(Clone, Copy, Debug)]
struct Period(u64);

impl Period {
    const fn new(start: u32, now: u16, before: u16) -> Self {
        Self((start as u64) << 32 | (now as u64) << 16 | before as u64)
    }

    const fn start(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn now(self) -> u16 {
        (self.0 >> 16) as u16
    }

    const fn before(self) -> u16 {
        self.0 as u16
    }
}

/// The caches that miss.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Ticks of all caches.
    ticks: AtomicU32,
    /// The [`Period`].
    period: AtomicU64,
    /// 1, if fewer caches missed in the last period than in the one before, and nobody has asked since.
    has_fallen: AtomicU32,
}

impl Crowd {
    pub(super) fn new() -> Self {
        // Tick 0 stands for no period, in a cache that was never used.
        Self { ticks: AtomicU32::new(1), period: AtomicU64::new(Period::new(1, 0, 0).0), has_fallen: AtomicU32::new(0) }
    }

    fn period(&self) -> Period {
        // Relaxed: a number.
        Period(self.period.load(Ordering::Relaxed))
    }

    /// False: another thread was faster.
    fn change(&self, from: Period, to: Period) -> bool {
        // Relaxed, both: numbers.
        self.period.compare_exchange(from.0, to.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Number of threads that allocate, at least one.
    pub(super) fn len(&self) -> usize {
        let period = self.period();
        period.now().max(period.before()).max(1).into()
    }

    /// Counts the miss number `miss` of a cache. `seen` is the period of its last miss.
    pub(super) fn note_miss(&self, miss: usize, seen: &Cell<u32>) {
        let period = self.period();
        if seen.get() != period.start() {
            // If another thread was faster, the next miss counts.
            if self.change(period, Period::new(period.start(), period.now().saturating_add(1), period.before())) {
                seen.set(period.start());
            }
        }
        if miss.is_multiple_of(TICK) {
            // Relaxed: a number.
            let tick = self.ticks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if tick.wrapping_sub(period.start()) >= TICKS * u32::from(period.now().max(1)) {
                self.end_period(tick);
            }
        }
    }

    #[cold]
    fn end_period(&self, tick: u32) {
        let period = self.period();
        // If another thread was faster, it has ended the period.
        if self.change(period, Period::new(tick, 0, period.now())) && period.now() < period.before() {
            // Relaxed: a number.
            self.has_fallen.store(1, Ordering::Relaxed);
        }
    }

    /// Do fewer threads allocate than before? True for one caller each time.
    pub(super) fn take_has_fallen(&self) -> bool {
        // Relaxed, both: a number.
        self.has_fallen.load(Ordering::Relaxed) != 0 && self.has_fallen.swap(0, Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss<'a>(crowd: &Crowd, number: usize, caches: impl IntoIterator<Item = &'a Cell<u32>>) {
        caches.into_iter().for_each(|seen| crowd.note_miss(number, seen));
    }

    #[test]
    fn a_thread_that_misses_no_more_does_not_count() {
        let (crowd, caches) = (Crowd::new(), [const { Cell::new(0) }; 100]);
        assert_eq!(crowd.len(), 1);
        for count in [1, 100, 3, 50, 2, 1] {
            // The longest period that may have begun, one of these, and one after it.
            let misses = TICK * TICKS as usize * 103;
            (1..=misses).for_each(|number| miss(&crowd, number, &caches[..count]));
            assert_eq!(crowd.len(), count);
        }
    }

    #[test]
    fn a_thread_that_seldom_misses_soon_does_not_count() {
        let (crowd, caches) = (Crowd::new(), [const { Cell::new(0) }; 2]);
        (1..=1000).for_each(|number| miss(&crowd, number, &caches));
        assert_eq!(crowd.len(), 2);
        assert!(!crowd.take_has_fallen());
        (1001..=1200).for_each(|number| miss(&crowd, number, &caches[..1]));
        assert_eq!(crowd.len(), 1);
        assert!(crowd.take_has_fallen() && !crowd.take_has_fallen());
        miss(&crowd, 1201, &caches[1..]);
        miss(&crowd, 1202, &caches);
        assert_eq!(crowd.len(), 2);
    }
}
