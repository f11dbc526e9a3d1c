//! Lanes: each heap has its free stacks several times, so that threads seldom meet at one.
//!
//! A thread pushes to the stacks of its own lane, and takes from them first; then, before it cuts a larger block up, from those of
//! the others, so that a heap gets no more fragmented by that. So what a thread releases it gets back, and with it the cache lines
//! that it has; as a processor has its own queue before it steals (Blumofe and Leiserson, Scheduling multithreaded computations by
//! work stealing, 1999). Who finds nothing has looked into all of them; the states tell what was there, as ever.

use crossbeam_utils::CachePadded;

use super::order::{Geometry, Order};
use super::stack::FreeStack;

/// Most lanes of a heap, a power of two.
#[cfg(not(all(loom, feature = "loom")))]
const MOST: usize = 8;
/// Under loom as many as threads may meet in.
#[cfg(all(loom, feature = "loom"))]
const MOST: usize = 2;

/// Units of a heap for each lane, at least: in a small heap there is little to be had of one's own.
const LEAST_UNITS: u32 = 2048;

/// Which of the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(usize);

impl Lane {
    /// The one that sweeps put blocks into, and who has no reason to choose.
    pub const FIRST: Self = Self(0);

    /// The one of this number.
    #[cfg(all(loom, feature = "loom"))]
    pub const fn of(number: usize) -> Self {
        Self(number)
    }

    /// The lane of the calling thread, as its stack tells by where it lies: a guess, which needs no thread-local variable. The
    /// stacks of threads lie side by side, so that Fibonacci hashing spreads them (Knuth, The art of computer programming 3, 6.4).
    #[inline]
    pub fn here() -> Self {
        if cfg!(all(loom, feature = "loom")) {
            return Self::FIRST;
        }
        /// Bits within which a stack lies as a rule, or what of it is in use.
        const STACK_BITS: u32 = 20;
        let local = 0_u8;
        let place = (&raw const local).addr() as u64 >> STACK_BITS;
        Self((place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - MOST.trailing_zeros())) as usize)
    }
}

/// The free stacks of a heap: in each lane, one for each order.
#[derive(Debug)]
pub(super) struct Lanes {
    /// One less than there are.
    mask: usize,
    stacks: [CachePadded<[FreeStack; Order::COUNT]>; MOST],
}

impl Lanes {
    /// How many stacks there may be.
    pub(super) const STACKS: usize = MOST * Order::COUNT;

    /// Empty stacks for a heap of `geometry`, in at most so many lanes.
    pub(super) fn new(geometry: &Geometry, most: usize) -> Self {
        let wanted = (geometry.units() / LEAST_UNITS) as usize;
        Self::of(wanted.clamp(1, most.clamp(1, MOST)))
    }

    /// In so many.
    pub(super) fn of(count: usize) -> Self {
        Self { mask: (1 << count.ilog2()) - 1, stacks: core::array::from_fn(|_| CachePadded::default()) }
    }

    /// The stack that a thread of this lane pushes to.
    #[inline]
    pub(super) fn own(&self, lane: Lane, order: Order) -> &FreeStack {
        &self.stacks[lane.0 & self.mask][order.slot()]
    }

    /// The stacks of an order in the other lanes.
    #[inline]
    pub(super) fn others(&self, lane: Lane, order: Order) -> impl Iterator<Item = &FreeStack> {
        (1..=self.mask).map(move |step| self.own(Lane(lane.0 + step), order))
    }

    /// The stacks of an order, the one of this lane first.
    pub(super) fn all(&self, lane: Lane, order: Order) -> impl Iterator<Item = &FreeStack> {
        core::iter::once(self.own(lane, order)).chain(self.others(lane, order))
    }

    /// All stacks of the orders up to `last`.
    pub(super) fn through(&self, last: Order) -> impl Iterator<Item = &FreeStack> {
        self.stacks[..=self.mask].iter().flat_map(move |lane| &lane[..=last.slot()])
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn lanes_for_the_size() {
        let lanes = |units| Lanes::new(&Geometry::new(units, 0, Order::MAX), usize::MAX).mask + 1;
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
        let lanes = Lanes::of(MOST);
        let order = Order::ZERO;
        for number in 0..2 * MOST {
            let lane = Lane(number);
            let all: std::vec::Vec<_> = lanes.all(lane, order).map(core::ptr::from_ref).collect();
            assert_eq!(all[0], core::ptr::from_ref(lanes.own(lane, order)));
            assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), MOST);
        }
        assert_eq!(lanes.through(Order::MAX).count(), Lanes::STACKS);
    }
}
