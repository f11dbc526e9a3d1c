//! How many threads allocate: those whose caches missed lately, and not all that ever did.
//!
//! Time goes by misses. A *period* ends when the caches that missed in it did so some dozens of times each, in the mean; who did not miss at all is
//! not among those that allocate, whether it sleeps, is gone, or finds all that it wants in its cache. All of it are numbers that nothing depends
//! on but bounds, so each is read and written relaxed.

use core::cell::Cell;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Misses of a cache that it counts at once.
const TICK: usize = 16;
/// A period has so many ticks for each cache that missed in it.
const TICKS: u32 = 2;

/// A period, as one word: in the upper half the tick that it began at, then how many caches missed in it, and how many in the one before.
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
    /// Misses of all, in [`TICK`]s.
    ticks: AtomicU32,
    /// The [`Period`].
    period: AtomicU64,
    /// 1, if fewer missed in the last one than in the one before, and nobody has asked since.
    has_fallen: AtomicU32,
}

impl Crowd {
    pub(super) fn new() -> Self {
        // A cache that was never used has seen the period of tick 0.
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

    /// How many allocate, at least one.
    pub(super) fn len(&self) -> usize {
        let period = self.period();
        period.now().max(period.before()).max(1).into()
    }

    /// A cache missed for the `turn`th time. `seen`: the last period in which it did.
    pub(super) fn note_miss(&self, turn: usize, seen: &Cell<u32>) {
        let period = self.period();
        if seen.get() != period.start() {
            // Where another thread was faster this one is counted at its next miss.
            if self.change(period, Period::new(period.start(), period.now().saturating_add(1), period.before())) {
                seen.set(period.start());
            }
        }
        if turn.is_multiple_of(TICK) {
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
        // Another thread that was faster has ended it.
        if self.change(period, Period::new(tick, 0, period.now())) && period.now() < period.before() {
            // Relaxed: a number.
            self.has_fallen.store(1, Ordering::Relaxed);
        }
    }

    /// Did fewer allocate lately than before? True for one caller each time.
    pub(super) fn take_has_fallen(&self) -> bool {
        // Relaxed, both: a number.
        self.has_fallen.load(Ordering::Relaxed) != 0 && self.has_fallen.swap(0, Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miss<'a>(crowd: &Crowd, turn: usize, caches: impl IntoIterator<Item = &'a Cell<u32>>) {
        caches.into_iter().for_each(|seen| crowd.note_miss(turn, seen));
    }

    #[test]
    fn who_misses_no_more_is_counted_no_more() {
        let (crowd, caches) = (Crowd::new(), [const { Cell::new(0) }; 100]);
        assert_eq!(crowd.len(), 1);
        for count in [1, 100, 3, 50, 2, 1] {
            // As long as the longest period may be that has begun, one of these, and one after it.
            let turns = TICK * TICKS as usize * 103;
            (1..=turns).for_each(|turn| miss(&crowd, turn, &caches[..count]));
            assert_eq!(crowd.len(), count);
        }
    }

    #[test]
    fn who_seldom_misses_is_counted_no_more_soon() {
        let (crowd, caches) = (Crowd::new(), [const { Cell::new(0) }; 2]);
        (1..=1000).for_each(|turn| miss(&crowd, turn, &caches));
        assert_eq!(crowd.len(), 2);
        assert!(!crowd.take_has_fallen());
        (1001..=1200).for_each(|turn| miss(&crowd, turn, &caches[..1]));
        assert_eq!(crowd.len(), 1);
        assert!(crowd.take_has_fallen() && !crowd.take_has_fallen());
        miss(&crowd, 1201, &caches[1..]);
        miss(&crowd, 1202, &caches);
        assert_eq!(crowd.len(), 2);
    }
}
