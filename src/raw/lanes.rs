//! Lanes: a heap has its free stacks several times, so that threads seldom meet at one.
//!
//! A thread takes from the stacks of its own lane first; then, before it cuts a larger block up, from those of the others, so that
//! a heap gets no more fragmented by that. It pushes to its own, too, but for what is another one's: so what a thread releases it gets
//! back, and with it the cache lines that it has; as a processor has its own queue before it steals (Blumofe and Leiserson, Scheduling
//! multithreaded computations by work stealing, 1999). Who finds nothing has looked into all of them; the states tell what was there, as ever.

use crossbeam_utils::CachePadded;

use super::stack::FreeStack;
use super::state::Home;
use crate::thread;

/// Most lanes of a heap, a power of two.
#[cfg(not(all(loom, feature = "loom")))]
const MOST: usize = 8;
/// Under loom as many as threads may meet in.
#[cfg(all(loom, feature = "loom"))]
const MOST: usize = 2;

/// Units of a heap for each lane, at least: in a small heap there is little to be had of one's own.
const LEAST_UNITS: u32 = 2048;

/// Which of the lanes: a number below [`MOST`]. A heap that has fewer of them counts on from the first one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(usize);

impl Lane {
    /// The one of sweeps, and of who has no reason to choose.
    pub const FIRST: Self = Self(0);

    /// The one of this number. Beyond the last one they begin again.
    pub const fn of(number: usize) -> Self {
        Self(number % MOST)
    }

    /// The lane of a cache: of the first [`MOST`] ones, each has its own. What is at home nowhere is at home with the calling thread.
    #[inline]
    pub fn of_home(home: Home) -> Self {
        home.cache().map_or_else(Self::here, Self::of)
    }

    /// Its number, from 0.
    pub const fn number(self) -> usize {
        self.0
    }

    /// Where the calling thread leaves what it sweeps: in the lane of its number, so that it finds it again itself; in the first one, if it has
    /// no number, as the thread of a sweeper, so that where blocks are does not depend on where its stack lies.
    pub fn of_sweep() -> Self {
        thread::index().map_or(Self::FIRST, Self::of)
    }

    /// The lane of the calling thread: that of its number, which is the one of its caches, too. Of a thread without a number its stack tells, by
    /// where it lies: a guess. The stacks of threads lie side by side, so that Fibonacci hashing spreads them (Knuth, The art of
    /// computer programming 3, 6.4).
    #[inline]
    pub fn here() -> Self {
        if cfg!(all(loom, feature = "loom")) {
            return Self::FIRST;
        }
        if let Some(number) = thread::index() {
            return Self::of(number);
        }
        /// Bits within which a stack lies as a rule, or what of it is in use.
        const STACK_BITS: u32 = 20;
        let local = 0_u8;
        let place = (&raw const local).addr() as u64 >> STACK_BITS;
        Self((place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - MOST.trailing_zeros())) as usize)
    }
}

/// Lanes by number, for what is kept for each of them elsewhere.
#[cfg(any(feature = "std", all(loom, feature = "loom")))]
impl Lane {
    /// How many there are, a power of two.
    pub const COUNT: usize = MOST;
    /// Bits of a number.
    #[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
    pub const BITS: u32 = MOST.trailing_zeros();

    /// All lanes.
    #[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// In each lane `STACKS` free stacks.
#[derive(Debug)]
pub(super) struct Lanes<const STACKS: usize> {
    /// One less than there are.
    mask: usize,
    stacks: [CachePadded<[FreeStack; STACKS]>; MOST],
}

impl<const STACKS: usize> Lanes<STACKS> {
    /// How many stacks there may be.
    pub(super) const ALL: usize = MOST * STACKS;

    /// Empty stacks, in so many lanes as a heap of so many units is worth.
    pub(super) fn for_units(units: u32) -> Self {
        Self::of((units / LEAST_UNITS) as usize)
    }

    /// In so many, as far as that is a power of two between one and the most.
    pub(super) fn of(count: usize) -> Self {
        let count = 1 << count.clamp(1, MOST).ilog2();
        Self {
            mask: count - 1,
            stacks: [(); MOST].map(|()| CachePadded::new([(); STACKS].map(|()| FreeStack::default()))),
        }
    }

    /// The stack of this number in this lane.
    #[inline]
    pub(super) fn own(&self, lane: Lane, number: usize) -> &FreeStack {
        &self.stacks[lane.0 & self.mask][number]
    }

    /// The stacks of this number in the other lanes.
    #[inline]
    pub(super) fn others(&self, lane: Lane, number: usize) -> impl Iterator<Item = &FreeStack> {
        (1..=self.mask).map(move |step| self.own(Lane::of(lane.0 + step), number))
    }

    /// The stacks of this number, the one of this lane first.
    pub(super) fn all(&self, lane: Lane, number: usize) -> impl Iterator<Item = &FreeStack> {
        core::iter::once(self.own(lane, number)).chain(self.others(lane, number))
    }

    /// All stacks of the numbers up to `last`.
    pub(super) fn through(&self, last: usize) -> impl Iterator<Item = &FreeStack> {
        self.stacks[..=self.mask].iter().flat_map(move |lane| &lane[..=last])
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn lanes_for_the_size() {
        let lanes = |units| Lanes::<1>::for_units(units).mask + 1;
        assert_eq!([1, 4095, 4096, 8191, 16384, 1 << 24].map(lanes), [1, 1, 2, 2, 8, 8]);
    }

    #[test]
    fn a_thread_stays_in_its_lane_and_threads_spread() {
        let barrier = std::sync::Barrier::new(MOST);
        let lane = || {
            let lane = Lane::here();
            assert_eq!(lane, Lane::here());
            barrier.wait();
            lane.0
        };
        let lanes: std::collections::HashSet<usize> = std::thread::scope(|scope| {
            let threads: std::vec::Vec<_> = (0..MOST).map(|_| scope.spawn(lane)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        });
        assert!(lanes.len() > MOST / 4, "{MOST} threads are in lanes {lanes:?}");
        assert!(lanes.iter().all(|lane| *lane < MOST));
    }

    #[test]
    fn own_comes_first_and_then_each_other_once() {
        let lanes = Lanes::<3>::of(MOST);
        for number in 0..2 * MOST {
            let lane = Lane::of(number);
            let all: std::vec::Vec<_> = lanes.all(lane, 1).map(core::ptr::from_ref).collect();
            assert_eq!(all[0], core::ptr::from_ref(lanes.own(lane, 1)));
            assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), MOST);
        }
        assert_eq!((lanes.through(2).count(), lanes.through(0).count()), (Lanes::<3>::ALL, MOST));
    }
}
