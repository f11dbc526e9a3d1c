//! Bins: the blocks that a cache holds, of one size each, the youngest on top.
//!
//! A bin is a piece of the cache's table of entries. Only the owner of the cache uses it, so that all accesses are
//! `Relaxed`: they are atomic only so that a look from elsewhere, for statistics, is no data race. The next owner sees
//! what the last one wrote by the hand-over of the thread's number (`indices`).
//!
//! | bits of a top | meaning |
//! |---|---|
//! | 0 to 13 | the place above the youngest block |
//! | 14 to 63 | how many blocks were popped |
//!
//! So the count of allocations costs nothing: a pop adds one number to the top, a push another. And below the oldest block
//! there is an entry that is no block, so that what is done to an entry anyway, to find it in the window, also tells that
//! the bin is empty.

use crate::raw::Order;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::budget::OUTBOXES;

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

/// How many entries the bins of a cache have together.
#[cfg(not(all(loom, feature = "loom")))]
pub const ENTRIES: usize = 1 << PLACE_BITS;
/// Under loom few: each is a tracked object.
#[cfg(all(loom, feature = "loom"))]
pub const ENTRIES: usize = 32;
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
        Self(Order::COUNT + outbox % OUTBOXES)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BINS).map(Self)
    }
}

/// The bins of a cache.
#[derive(Debug)]
#[repr(C)]
pub struct Bins {
    tops: [AtomicU64; BINS],
    /// The places after the last ones.
    limits: [AtomicU32; BINS],
    /// The places of the first ones.
    firsts: [AtomicU32; BINS],
    entries: [AtomicU32; ENTRIES],
}

/// The top of a bin as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Top(u64);

impl Default for Bins {
    fn default() -> Self {
        Self {
            tops: core::array::from_fn(|_| AtomicU64::new(0)),
            limits: core::array::from_fn(|_| AtomicU32::new(0)),
            firsts: core::array::from_fn(|_| AtomicU32::new(0)),
            entries: core::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Bins {
    /// Gives a bin the places from `first` on; the one before is no other's. It is empty then, with room for none.
    pub fn place(&self, bin: BinIndex, first: usize) {
        self.write(first - 1, Entry::NONE);
        // Relaxed, all: see the head of the file.
        self.firsts[bin.0].store(first as u32, Ordering::Relaxed);
        self.limits[bin.0].store(first as u32, Ordering::Relaxed);
        self.tops[bin.0].store(first as u64, Ordering::Relaxed);
    }

    #[inline]
    fn entry(&self, place: u64) -> &AtomicU32 {
        // The mask is without effect, as there are no other places; it spares a check.
        &self.entries[place as usize & (ENTRIES - 1)]
    }

    fn read(&self, place: usize) -> Entry {
        // Relaxed: see the head of the file.
        Entry(self.entry(place as u64).load(Ordering::Relaxed))
    }

    fn write(&self, place: usize, entry: Entry) {
        // Relaxed: see the head of the file.
        self.entry(place as u64).store(entry.0, Ordering::Relaxed);
    }

    #[inline]
    fn top(&self, bin: BinIndex) -> u64 {
        // Relaxed: see the head of the file.
        self.tops[bin.0].load(Ordering::Relaxed)
    }

    /// The youngest block of a bin, to be taken by [`pop`](Self::pop); [`Entry::NONE`] if there is none.
    #[inline]
    pub fn youngest(&self, bin: BinIndex) -> (Entry, Top) {
        let below = self.top(bin).wrapping_add(POP);
        // Relaxed: see the head of the file.
        (Entry(self.entry(below & PLACE).load(Ordering::Relaxed)), Top(below))
    }

    /// Takes the block that [`youngest`](Self::youngest) was.
    #[inline]
    pub fn pop(&self, bin: BinIndex, Top(below): Top) {
        // Relaxed: see the head of the file.
        self.tops[bin.0].store(below, Ordering::Relaxed);
    }

    /// Room for one more, to be filled by [`push`](Self::push).
    #[inline]
    pub fn room(&self, bin: BinIndex) -> Option<Top> {
        let top = self.top(bin);
        // Relaxed: see the head of the file.
        if top & PLACE == u64::from(self.limits[bin.0].load(Ordering::Relaxed)) { None } else { Some(Top(top)) }
    }

    /// Puts a block into the room that there was.
    #[inline]
    pub fn push(&self, bin: BinIndex, Top(top): Top, entry: Entry) {
        // Relaxed, both: see the head of the file.
        self.entry(top & PLACE).store(entry.0, Ordering::Relaxed);
        self.tops[bin.0].store(top + PUSH, Ordering::Relaxed);
    }

    fn first(&self, bin: BinIndex) -> usize {
        // Relaxed: see the head of the file.
        self.firsts[bin.0].load(Ordering::Relaxed) as usize
    }

    /// Blocks in a bin.
    pub fn len(&self, bin: BinIndex) -> usize {
        (self.top(bin) & PLACE) as usize - self.first(bin)
    }

    /// Blocks that a bin may hold.
    pub fn capacity(&self, bin: BinIndex) -> usize {
        // Relaxed: see the head of the file.
        self.limits[bin.0].load(Ordering::Relaxed) as usize - self.first(bin)
    }

    /// Sets how many blocks a bin may hold: no fewer than it has, no more than it has places.
    pub fn set_capacity(&self, bin: BinIndex, blocks: usize) {
        // Relaxed: see the head of the file.
        self.limits[bin.0].store((self.first(bin) + blocks) as u32, Ordering::Relaxed);
    }

    /// How many blocks were popped, over all its time.
    pub fn popped(&self, bin: BinIndex) -> u64 {
        self.top(bin) >> PLACE_BITS
    }

    /// Copies the oldest blocks to `out`, as many as fit there or are in the bin, and lets the others move up. Returns
    /// how many.
    pub fn take_oldest(&self, bin: BinIndex, out: &mut [Entry]) -> usize {
        let (first, len) = (self.first(bin), self.len(bin));
        let count = out.len().min(len);
        for (to, place) in out[..count].iter_mut().zip(first..) {
            *to = self.read(place);
        }
        for place in first + count..first + len {
            self.write(place - count, self.read(place));
        }
        // Relaxed: see the head of the file. Pushes taken back: nothing was popped.
        self.tops[bin.0].store(self.top(bin) - count as u64 * PUSH, Ordering::Relaxed);
        count
    }
}
