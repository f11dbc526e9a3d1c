//! Bins: the blocks that a cache holds, of one size each, the youngest on top.
//!
//! A bin is a piece of the cache's table of entries, which only the owner of the cache uses. The tops are atomic, though
//! only the owner changes them, so that others may look at them.
//!
//! | bits of a top | meaning |
//! |---|---|
//! | 0 to 13 | the place above the youngest block |
//! | 14 to 63 | how many blocks were popped |
//!
//! So the count of allocations costs nothing: a pop adds one number to the top, a push another. The count is moved to 64 bits of the cache
//! long before it wraps: whenever the bin misses after 2^40 pops, all bins when the cache is flushed and at every 256th miss of any. Only a bin that
//! is popped 2^50 times between two such moments, which takes 13 days at 1 ns each, loses count: by 2^50, and nothing else. And below the oldest block
//! there is an entry that is no block, so that what is done to an entry anyway, to find it in the window, also tells that
//! the bin is empty.

use core::cell::Cell;

use crate::raw::Order;
use crate::sync::{AtomicU32, AtomicU64, Ordering, model_or};

use super::budget::OUTBOXES;
use super::cache::OwnCache;

/// A block of a pool as a number: the number of the first unit of its heap, plus its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u32);

impl Entry {
    /// No block: no unit of any heap has this number.
    pub const NONE: Self = Self(u32::MAX);
}

const PLACE_BITS: u32 = 14;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
const PUSH: u64 = 1;
/// One more popped, one place down: a single addition.
const POP: u64 = (1 << PLACE_BITS) - PUSH;

/// A count of so many pops is moved out of a top.
const MANY_POPS: u64 = 1 << 40;

/// How many entries the bins of a cache have together.
/// Under loom few: each is a tracked object.
pub const ENTRIES: usize = model_or(32, 1 << PLACE_BITS);
const _: () = assert!(ENTRIES.is_power_of_two() && ENTRIES <= PLACE as usize + 1);

/// A bin for each order, and for each outbox.
const BINS: usize = Order::COUNT + OUTBOXES;

/// Which bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinIndex(usize);

impl BinIndex {
    /// The bin of the cache's own blocks of an order.
    #[inline]
    pub const fn of(order: Order) -> Self {
        Self(order.slot())
    }

    /// The bin of an outbox.
    pub const fn of_outbox(outbox: usize) -> Self {
        Self(Order::COUNT + outbox)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BINS).map(Self)
    }
}

/// The tops of the bins, for others to look at.
#[derive(Debug)]
pub struct Tops {
    tops: [AtomicU64; BINS],
    /// The places of the first entries; never changed.
    firsts: [AtomicU32; BINS],
}

/// What only the owner uses.
#[derive(Debug)]
pub struct Bins {
    /// The places after the last entries.
    limits: [Cell<u32>; BINS],
    entries: [Cell<u32>; ENTRIES],
}

/// The top of a bin as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Top(u64);

impl Default for Tops {
    fn default() -> Self {
        let (top, first) = (|_| AtomicU64::new(0), |_| AtomicU32::new(0));
        Self { tops: core::array::from_fn(top), firsts: core::array::from_fn(first) }
    }
}

impl Default for Bins {
    fn default() -> Self {
        let cell = |_| Cell::new(0);
        Self { limits: core::array::from_fn(cell), entries: core::array::from_fn(cell) }
    }
}

impl Tops {
    #[inline]
    fn get(&self, bin: BinIndex) -> u64 {
        // Relaxed: the owner wrote it itself; for others it is a hint.
        self.tops[bin.0].load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, bin: BinIndex, top: u64) {
        // Relaxed: for the owner, and for others a hint.
        self.tops[bin.0].store(top, Ordering::Relaxed);
    }

    fn first(&self, bin: BinIndex) -> usize {
        // Relaxed: never changed since the cache was published.
        self.firsts[bin.0].load(Ordering::Relaxed) as usize
    }

    /// Blocks in a bin.
    pub fn len(&self, bin: BinIndex) -> usize {
        ((self.get(bin) & PLACE) as usize).saturating_sub(self.first(bin))
    }

    /// How many blocks were popped since the count was moved out.
    pub fn popped(&self, bin: BinIndex) -> u64 {
        self.get(bin) >> PLACE_BITS
    }
}

impl Bins {
    #[inline]
    fn entry(&self, place: u64) -> &Cell<u32> {
        // The mask is without effect, as there are no other places; it spares a check.
        &self.entries[place as usize & (ENTRIES - 1)]
    }
}

impl OwnCache<'_> {
    /// Gives a bin the places from `first` on; the one before is no other's. It is empty then, with room for none.
    pub(super) fn place_bin(self, bin: BinIndex, first: usize) {
        let bins = &self.own().bins;
        bins.entry(first as u64 - 1).set(Entry::NONE.0);
        bins.limits[bin.0].set(first as u32);
        // Relaxed: the cache is not published yet.
        self.cache().tops.firsts[bin.0].store(first as u32, Ordering::Relaxed);
        self.cache().tops.set(bin, first as u64);
    }

    /// The youngest block of a bin, to be taken by [`take`](Self::take); [`Entry::NONE`] if there is none.
    #[inline]
    pub(super) fn youngest(self, bin: BinIndex) -> (Entry, Top) {
        let below = self.cache().tops.get(bin).wrapping_add(POP);
        (Entry(self.own().bins.entry(below & PLACE).get()), Top(below))
    }

    /// Takes the block that [`youngest`](Self::youngest) was.
    #[inline]
    pub(super) fn take(self, bin: BinIndex, Top(below): Top) {
        self.cache().tops.set(bin, below);
    }

    /// Room for one more, to be filled by [`put`](Self::put).
    #[inline]
    pub(super) fn room(self, bin: BinIndex) -> Option<Top> {
        let top = self.cache().tops.get(bin);
        if (top & PLACE) as u32 == self.own().bins.limits[bin.0].get() { None } else { Some(Top(top)) }
    }

    /// Puts a block into the room that there was.
    #[inline]
    pub(super) fn put(self, bin: BinIndex, Top(top): Top, entry: Entry) {
        self.own().bins.entry(top & PLACE).set(entry.0);
        self.cache().tops.set(bin, top + PUSH);
    }

    /// Takes the count of pops out of a top that has many; returns how many.
    pub(super) fn take_many_pops(self, bin: BinIndex) -> u64 {
        let tops = &self.cache().tops;
        let popped = Some(tops.popped(bin)).filter(|popped| *popped >= MANY_POPS);
        if popped.is_some() {
            tops.set(bin, tops.get(bin) & PLACE);
        }
        popped.unwrap_or(0)
    }

    /// Blocks in a bin.
    pub(super) fn len(self, bin: BinIndex) -> usize {
        self.cache().tops.len(bin)
    }

    /// Blocks that a bin may hold.
    pub(super) fn capacity(self, bin: BinIndex) -> usize {
        self.own().bins.limits[bin.0].get() as usize - self.cache().tops.first(bin)
    }

    /// How many places the bin of an order has.
    pub(super) fn places(self, order: Order) -> usize {
        let (tops, bin) = (&self.cache().tops, BinIndex::of(order));
        // The next one is that of the next order, or of the first outbox.
        tops.first(BinIndex(bin.0 + 1)) - 1 - tops.first(bin)
    }

    /// Sets how many blocks a bin may hold: no fewer than it has, no more than it has places.
    pub(super) fn set_capacity(self, bin: BinIndex, blocks: usize) {
        self.own().bins.limits[bin.0].set((self.cache().tops.first(bin) + blocks) as u32);
    }

    /// Copies the oldest blocks to `out`, as many as fit there or are in the bin, and lets the others move up. Returns
    /// how many.
    pub(super) fn take_oldest(self, bin: BinIndex, out: &mut [Entry]) -> usize {
        let (bins, tops) = (&self.own().bins, &self.cache().tops);
        let (first, len) = (tops.first(bin), tops.len(bin));
        let count = out.len().min(len);
        if count == 0 {
            return 0;
        }
        for (to, place) in out[..count].iter_mut().zip(first..) {
            *to = Entry(bins.entry(place as u64).get());
        }
        for place in first + count..first + len {
            bins.entry((place - count) as u64).set(bins.entry(place as u64).get());
        }
        // Pushes taken back: nothing was popped.
        tops.set(bin, tops.get(bin) - count as u64 * PUSH);
        count
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::budget::{Allowance, Limit};
    use super::super::cache::Cache;
    use super::*;
    use crate::metadata::Owned;
    use crate::thread::registry::ThreadIndex;

    #[test]
    fn counts_of_pops_do_not_wrap() {
        let cache = Owned::<Cache>::zeroed().expect("there is memory for it");
        // SAFETY: nobody else knows the cache.
        let owner = unsafe { cache.owner() };
        owner.prepare(ThreadIndex::new(0).expect("it is a number"), &Limit::new(Allowance::DEFAULT, 0, 6));
        let (bin, other) = (BinIndex::of(Order::ZERO), BinIndex::of(Order::MAX));
        let pop = |bin: BinIndex, times: u64| {
            cache.tops.set(bin, cache.tops.get(bin).wrapping_add(times << PLACE_BITS));
        };
        pop(other, 5);
        // As many as the bits of a top can count, several times.
        let most = (1 << (u64::BITS - PLACE_BITS)) - 1;
        for round in 1..=20 {
            pop(bin, most);
            assert_eq!(cache.served().allocations, 5 + round * most);
            owner.move_counts(Order::ZERO.through(Order::MAX));
            assert_eq!(cache.served().allocations, 5 + round * most);
            assert_eq!((cache.tops.popped(bin), cache.tops.popped(other)), (0, 5), "few stay where they are");
            assert_eq!((cache.tops.len(bin), owner.len(bin)), (0, 0));
        }
        assert_eq!((cache.served().releases, cache.served().past_allocations), (5 + 20 * most, 0));
    }
}
