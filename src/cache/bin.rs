//! Bins: the blocks that a cache holds, each bin those of one class, the youngest on top.
//!
//! All bins of a cache share one table of entries, which only the owner of the cache uses. The tops are atomic, though
//! only the owner changes them: other threads may look at them.
//!
//! | bits of a top | meaning |
//! |---|---|
//! | 0 to 13 | the place above the youngest block |
//! | 14 to 63 | how many blocks were popped |
//!
//! The count of pops costs nothing: a pop adds one number to the top, a push another. A count moves to 64 bits of the
//! cache long before it wraps: a bin with 2^40 pops or more gives its count up when it misses; all bins do when the
//! cache is flushed, and at every 256th miss of any. A bin that is popped 2^50 times between two such moments, which
//! takes 13 days at 1 ns each, loses 2^50 pops of its count, and nothing else.
//!
//! Below the oldest block lies an entry that is no block. The fast path looks for the heap of the entry anyway, so that
//! "the bin is empty" and "the window shows another heap" are one comparison.

use core::cell::Cell;

use crate::raw::{Class, Sizes};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::entry::Entry;
use super::layout::{ENTRIES, OUTBOXES, PLACE_BITS};

const PLACE: u64 = (1 << PLACE_BITS) - 1;
const PUSH: u64 = 1;
/// One more popped, one place down: a single addition.
const POP: u64 = (1 << PLACE_BITS) - PUSH;

/// Blocks among which one of a certain heap is looked for.
const FEW: usize = 8;

/// A count of this many pops moves out of a top.
const MANY_POPS: u64 = 1 << 40;

/// A bin for each class, and for each outbox.
const BINS: usize = Class::COUNT + OUTBOXES;

/// Which bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinIndex(usize);

impl BinIndex {
    /// The bin of the cache's own blocks of a class.
    #[inline]
    pub const fn of(class: Class) -> Self {
        Self(class.place())
    }

    /// The bin of an outbox.
    pub const fn of_outbox(outbox: usize) -> Self {
        Self(Class::COUNT + outbox)
    }

    /// Those of these classes, and of all outboxes.
    pub fn all(sizes: Sizes) -> impl Iterator<Item = Self> {
        sizes.classes().map(Self::of).chain((0..OUTBOXES).map(Self::of_outbox))
    }
}

/// The tops of the bins, for all threads to look at.
#[derive(Debug)]
pub struct Tops {
    tops: [AtomicU64; BINS],
    /// The places of the first entries. They never change.
    firsts: [AtomicU32; BINS],
}

/// The part of the bins that only the owner uses.
#[derive(Debug)]
pub struct Bins {
    /// The places after the last entries that the bins may use now.
    limits: [Cell<u32>; BINS],
    /// How many places the bins have. They never change.
    places: [Cell<u32>; BINS],
    entries: [Cell<u32>; ENTRIES],
}

/// The top of a bin as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Top(u64);

impl Top {
    /// How many blocks were popped since the count moved out.
    #[inline]
    pub fn popped(self) -> u64 {
        self.0 >> PLACE_BITS
    }
}

impl Default for Tops {
    fn default() -> Self {
        let (top, first) = (|_| AtomicU64::new(0), |_| AtomicU32::new(0));
        Self { tops: core::array::from_fn(top), firsts: core::array::from_fn(first) }
    }
}

impl Default for Bins {
    fn default() -> Self {
        let cell = |_| Cell::new(0);
        Self {
            limits: core::array::from_fn(cell),
            places: core::array::from_fn(cell),
            entries: core::array::from_fn(cell),
        }
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

    /// Counts pops that were none, as if the bin had been popped for days.
    #[cfg(all(test, not(loom)))]
    pub(super) fn add_pops(&self, bin: BinIndex, times: u64) {
        self.set(bin, self.get(bin).wrapping_add(times << PLACE_BITS));
    }

    /// How many blocks were popped since the count moved out.
    pub fn popped(&self, bin: BinIndex) -> u64 {
        self.get(bin) >> PLACE_BITS
    }
}

impl Bins {
    #[inline]
    fn entry(&self, place: u64) -> &Cell<u32> {
        // The mask has no effect, as there are no other places. It saves a check.
        &self.entries[place as usize & (ENTRIES - 1)]
    }
}

/// The bins of a cache for its owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnBins<'a> {
    pub(super) tops: &'a Tops,
    pub(super) bins: &'a Bins,
}

impl OwnBins<'_> {
    /// Gives a bin `places` places from `first` on. The place before is no bin's. The bin is empty, and may hold
    /// nothing.
    pub(super) fn place(self, bin: BinIndex, first: usize, places: usize) {
        self.bins.places[bin.0].set(places as u32);
        self.bins.entry(first as u64 - 1).set(Entry::NONE.0);
        self.bins.limits[bin.0].set(first as u32);
        // Relaxed: the cache is not published yet.
        self.tops.firsts[bin.0].store(first as u32, Ordering::Relaxed);
        self.tops.set(bin, first as u64);
    }

    /// The youngest block of a bin, to be taken by [`take`](Self::take); [`Entry::NONE`] if there is none.
    #[inline]
    pub(super) fn youngest(self, bin: BinIndex) -> (Entry, Top) {
        let below = self.tops.get(bin).wrapping_add(POP);
        (Entry(self.bins.entry(below & PLACE).get()), Top(below))
    }

    /// Takes the block that [`youngest`](Self::youngest) returned.
    #[inline]
    pub(super) fn take(self, bin: BinIndex, Top(below): Top) {
        self.tops.set(bin, below);
    }

    /// Puts a block that is `wanted` on top, in exchange for the youngest, if one of the last few is.
    pub(super) fn bring_up(self, bin: BinIndex, wanted: impl Fn(Entry) -> bool) {
        let end = (self.tops.get(bin) & PLACE) as usize;
        let entry = |place: usize| self.bins.entry(place as u64);
        let mut last = (self.tops.first(bin)..end).rev().take(FEW);
        if let Some(place) = last.find(|place| wanted(Entry(entry(*place).get()))) {
            entry(place).swap(entry(end - 1));
        }
    }

    /// Room for one more, to be filled by [`put`](Self::put).
    #[inline]
    pub(super) fn room(self, bin: BinIndex) -> Option<Top> {
        let top = self.tops.get(bin);
        if (top & PLACE) as u32 == self.bins.limits[bin.0].get() { None } else { Some(Top(top)) }
    }

    /// Puts a block into the room that there was.
    #[inline]
    pub(super) fn put(self, bin: BinIndex, Top(top): Top, entry: Entry) {
        self.bins.entry(top & PLACE).set(entry.0);
        self.tops.set(bin, top + PUSH);
    }

    /// Takes the count of pops out of a top that has many. Returns how many.
    pub(super) fn take_many_pops(self, bin: BinIndex) -> u64 {
        let popped = Some(self.tops.popped(bin)).filter(|popped| *popped >= MANY_POPS);
        if popped.is_some() {
            self.tops.set(bin, self.tops.get(bin) & PLACE);
        }
        popped.unwrap_or(0)
    }

    /// Blocks in a bin.
    pub(super) fn len(self, bin: BinIndex) -> usize {
        self.tops.len(bin)
    }

    /// Blocks that a bin may hold.
    pub(super) fn capacity(self, bin: BinIndex) -> usize {
        self.bins.limits[bin.0].get() as usize - self.tops.first(bin)
    }

    /// How many places the bin of a class has.
    pub(super) fn places(self, class: Class) -> usize {
        self.bins.places[BinIndex::of(class).0].get() as usize
    }

    /// Sets how many blocks a bin may hold: no fewer than it has, no more than it has places.
    pub(super) fn set_capacity(self, bin: BinIndex, blocks: usize) {
        self.bins.limits[bin.0].set((self.tops.first(bin) + blocks) as u32);
    }

    /// Moves the oldest blocks to `out`, as many as fit there or are in the bin, and lets the others move up. Returns
    /// how many.
    pub(super) fn take_oldest(self, bin: BinIndex, out: &mut [Entry]) -> usize {
        let (bins, tops) = (self.bins, self.tops);
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
