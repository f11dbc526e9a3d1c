//! Shards: a heap has several sets of free stacks, so that threads seldom meet at one.
//!
//! A thread takes from the stacks of its own shard first. Then it takes from those of the others, before it cuts up a
//! larger block. So a heap is no more fragmented than with one set. It pushes its own blocks to its own shard, and
//! blocks of other owners to theirs. So a thread gets back the blocks that it released, with cache lines that it has.
//! A processor does the same that serves its own queue before it steals (Blumofe and Leiserson, Scheduling
//! multithreaded computations by work stealing, 1999). A thread that finds nothing has looked into all shards.

use crate::sync::model_or;
use crossbeam_utils::CachePadded;

use super::stack::FreeStack;
use crate::check::at;

/// Most shards of a heap, a power of two.
/// Under loom as many as threads may meet in; in turns none meet, and the stacks of loom's threads are small.
const MOST: usize = if cfg!(in_turns) { 2 } else { model_or(2, 8) };

/// Least units of a heap for each shard: a thread's share of a small heap would be of little use.
const LEAST_UNITS: u32 = 2048;

/// A number below [`MOST`]. In a heap with fewer shards it counts on from the first one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard(usize);

impl Shard {
    /// The first one, for callers that have no reason to choose.
    pub const FIRST: Self = Self(0);

    /// The shard of this number, modulo [`MOST`].
    pub const fn of(number: usize) -> Self {
        Self(number % MOST)
    }

    /// Its number, from 0.
    pub const fn number(self) -> usize {
        // The remainder changes nothing; it saves a bounds check.
        self.0 % MOST
    }
}

/// Shards by number, for tables elsewhere that have an entry for each.
impl Shard {
    /// How many there are, a power of two.
    #[cfg(any(feature = "std", modelled))]
    pub const COUNT: usize = MOST;
    /// Bits of a number.
    pub const BITS: u32 = MOST.trailing_zeros();

    /// All shards.
    #[cfg(any(feature = "allocator", modelled))]
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// `STACKS` free stacks in each shard.
#[derive(Debug)]
pub(super) struct Shards<const STACKS: usize> {
    /// The number of shards less one.
    mask: usize,
    stacks: [CachePadded<[FreeStack; STACKS]>; MOST],
}

impl<const STACKS: usize> Shards<STACKS> {
    /// Most stacks of all shards.
    pub(super) const ALL: usize = MOST * STACKS;

    /// Empty stacks, in as many shards as a heap of `units` units deserves.
    pub(super) fn for_units(units: u32) -> Self {
        Self::of((units / LEAST_UNITS) as usize)
    }

    /// Empty stacks in `count` shards, rounded down to a power of two, at least one and at most [`MOST`].
    pub(super) fn of(count: usize) -> Self {
        let count = 1 << count.clamp(1, MOST).ilog2();
        Self {
            mask: count - 1,
            stacks: [(); MOST].map(|()| CachePadded::new([(); STACKS].map(|()| FreeStack::default()))),
        }
    }

    /// The stack of this number in this shard.
    #[inline]
    pub(super) fn own(&self, shard: Shard, number: usize) -> &FreeStack {
        // As above.
        at(&self.stacks[(shard.0 & self.mask) % MOST][..], number)
    }

    /// The stacks of this number in the other shards.
    #[inline]
    pub(super) fn others(&self, shard: Shard, number: usize) -> impl Iterator<Item = &FreeStack> {
        (1..=self.mask).map(move |step| self.own(Shard::of(shard.0 + step), number))
    }

    /// The stacks of this number, the one of this shard first.
    pub(super) fn all(&self, shard: Shard, number: usize) -> impl Iterator<Item = &FreeStack> {
        core::iter::once(self.own(shard, number)).chain(self.others(shard, number))
    }

    /// All stacks of the numbers up to `last`.
    pub(super) fn through(&self, last: usize) -> impl Iterator<Item = &FreeStack> {
        self.stacks.iter().take(self.mask + 1).flat_map(move |shard| shard.iter().take(last + 1))
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn shards_for_the_size() {
        let shards = |units| Shards::<1>::for_units(units).mask + 1;
        assert_eq!([1, 4095, 4096, 8191, 16384, 1 << 24].map(shards), [1, 1, 2, 2, 8, 8]);
    }

    #[test]
    fn own_comes_first_and_then_each_other_once() {
        let shards = Shards::<3>::of(MOST);
        for number in 0..2 * MOST {
            let shard = Shard::of(number);
            let all: std::vec::Vec<_> = shards.all(shard, 1).map(core::ptr::from_ref).collect();
            assert_eq!(all[0], core::ptr::from_ref(shards.own(shard, 1)));
            assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), MOST);
        }
        assert_eq!((shards.through(2).count(), shards.through(0).count()), (Shards::<3>::ALL, MOST));
    }
}
