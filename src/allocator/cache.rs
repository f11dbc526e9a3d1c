//! The cache of a thread: a bin for each class, which is an array of blocks, the youngest on top.
//!
//! A bin is three places in its array: one pointer, and of the two others the lowest bits of the address, which say all, as the array is not
//! longer than that. To allocate is to compare two of them, to read what the top is, and to move it; to release is the same the
//! other way round.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::cache::{Lease, thread_registry};
use crate::raw::Shard;

use super::backend::Backend;
use super::class::{COUNT, size_of_class};
use super::depot::MAGAZINE;
use super::meta::MetaSize;

/// Blocks that a bin may hold when it comes into use, but for large ones.
const FIRST: usize = 8;
/// Most blocks of a bin. With 1 024, bursts of 1 000 fell together with it: what a refill had too much filled the bin each time, and half
/// of it went to the slabs and came back for ever.
const MOST: usize = 2048;
const _: () = assert!(MOST * size_of::<*mut u8>() <= MetaSize::LARGEST && MetaSize::LARGEST < 1 << u16::BITS);
/// A bin is not filled with more than so many blocks, or bytes, at once, but for a magazine.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 4096;
/// After so many misses one bin is looked at, whether it is used.
const LOOKS: usize = 4;
/// After so many misses without a rise of the heap a cache may hold more.
const CALM: u32 = 64;
/// A bin had no block.
const EMPTY: u8 = 1;
/// A bin had no room.
const FULL: u8 = 2;
/// A bin had no block since the heap rose.
const NEEDED: u8 = 4;
/// A bin gave its older half away since it grew.
const SHED: u8 = 8;
/// A bin missed since it was looked at.
const IN_USE: u16 = u16::MAX;
const _: () = assert!(MOST < IN_USE as usize);

/// Behind the youngest block of a bin. Null for one that was never used.
type Top = Cell<*mut *mut u8>;

/// What else there is to know of a bin. Zeroes for one that was never used: empty, and without room.
#[derive(Debug)]
struct Bounds {
    /// The lowest bits of where the array begins,
    bottom: Cell<u16>,
    /// and of where it may be filled to.
    limit: Cell<u16>,
    /// How many blocks it had when it was looked at, or [`IN_USE`].
    seen: Cell<u16>,
    /// How it missed since it grew.
    missed: Cell<u8>,
}
const _: () = assert!(size_of::<Bounds>() <= size_of::<u64>());

/// One bin.
#[derive(Clone, Copy, Debug)]
struct Bin<'a> {
    top: &'a Top,
    bounds: &'a Bounds,
}

/// A cache, for one thread at a time.
#[derive(Debug)]
pub(super) struct Cache {
    /// Of the bins, apart from the rest, so that both are found by their class without arithmetic.
    tops: [Top; COUNT],
    bounds: [Bounds; COUNT],
    pub(super) lease: Lease,
    /// Bytes of blocks that all bins together may hold.
    capacity: Cell<usize>,
    /// How often a bin missed.
    turn: Cell<usize>,
    /// In which period that was last; see [`Crowd`](super::crowd::Crowd).
    period: Cell<u32>,
    /// How often the heap had risen when a bin missed last.
    rises: Cell<u32>,
    /// How often a bin missed since.
    calm: Cell<u32>,
    /// The bin that was looked at last.
    hand: Cell<usize>,
}

/// The lowest bits of an address.
#[inline(always)]
fn low(place: *mut *mut u8) -> u16 {
    place.addr() as u16
}

impl Bin<'_> {
    /// Bytes from the bottom to another place.
    fn bytes_to(&self, low: u16) -> usize {
        low.wrapping_sub(self.bounds.bottom.get()).into()
    }

    /// Where the array begins; null, if there is none.
    fn array(&self) -> *mut *mut u8 {
        let top = self.top.get();
        top.wrapping_byte_sub(self.bytes_to(low(top)))
    }

    fn len(&self) -> usize {
        self.bytes_to(low(self.top.get())) / size_of::<*mut u8>()
    }

    fn capacity(&self) -> usize {
        self.bytes_to(self.bounds.limit.get()) / size_of::<*mut u8>()
    }

    fn set_len(&self, len: usize) {
        self.top.set(self.array().wrapping_add(len));
    }

    /// Gives it an array, in which it has `len` blocks, and may have `capacity`.
    fn set_array(&self, array: *mut *mut u8, len: usize, capacity: usize) {
        self.top.set(array.wrapping_add(len));
        self.bounds.bottom.set(low(array));
        self.bounds.limit.set(low(array.wrapping_add(capacity)));
    }

    fn array_size(&self) -> MetaSize {
        MetaSize::covering(self.capacity() * size_of::<*mut u8>())
    }
}

impl Cache {
    /// The youngest block of a class, if there is one.
    #[inline(always)]
    pub(super) fn pop(&self, class: usize) -> Option<NonNull<u8>> {
        let top = self.tops[class].get();
        if low(top) == self.bounds[class].bottom.get() {
            return None;
        }
        let top = top.wrapping_sub(1);
        self.tops[class].set(top);
        // SAFETY: between the bottom and the top, where only this thread writes, and wrote a block, which is not null.
        Some(unsafe { NonNull::new_unchecked(top.read()) })
    }

    /// Keeps a block of a class, if there is room.
    #[inline(always)]
    pub(super) fn push(&self, class: usize, block: *mut u8) -> bool {
        let top = self.tops[class].get();
        if low(top) == self.bounds[class].limit.get() {
            return false;
        }
        // SAFETY: between the top and the limit, where only this thread writes.
        unsafe { top.write(block) };
        self.tops[class].set(top.wrapping_add(1));
        true
    }

    fn bin(&self, class: usize) -> Bin<'_> {
        Bin { top: &self.tops[class], bounds: &self.bounds[class] }
    }

    /// Fills an empty bin, and takes a block of it. `None`: there is no memory within the limit.
    #[cold]
    pub(super) fn pop_slow(&self, class: usize, backend: &Backend) -> Option<NonNull<u8>> {
        // Where others leave magazines for this shard, blocks go round: the bin is to hold more.
        let shard = Shard::here();
        let goes_round = !backend.depots.is_empty(class, shard, &backend.meta);
        self.grow(class, if goes_round { EMPTY | FULL } else { EMPTY }, backend);
        let bin = self.bin(class);
        let capacity = bin.capacity();
        if capacity == 0 {
            return backend.take_one(class);
        }
        if goes_round && capacity >= MAGAZINE {
            // SAFETY: places of the array, which is this thread's, and as a piece of the meta initialised.
            let places = unsafe { &mut *bin.array().cast::<[*mut u8; MAGAZINE]>() };
            bin.set_len(backend.depots.take(class, shard, places, &backend.meta));
            if let Some(block) = self.pop(class) {
                return Some(block);
            }
        }
        let batch = (BATCH_BYTES / size_of_class(class)).clamp(1, BATCH);
        let wanted = capacity.div_ceil(2).max(capacity.min(batch)).min(BATCH);
        // SAFETY: places of the array, which is this thread's, and as a piece of the meta initialised.
        let places = unsafe { core::slice::from_raw_parts_mut(bin.array(), wanted) };
        bin.set_len(backend.take(class, places));
        self.pop(class)
    }

    /// Keeps a block for which there was no room: in a bin that may hold more now, or without its older half.
    #[cold]
    pub(super) fn push_slow(&self, class: usize, block: *mut u8, backend: &Backend) {
        // Where others took what this bin gave away, blocks go round: it is to hold more. So it is where all of that went to the slabs, as
        // what is at home here does: the bin is full again before it was ever empty.
        let bin = self.bin(class);
        let is_gone = backend.depots.count(class) == 0 || backend.heap.shard_of(block) == Shard::here();
        let goes_round = bin.bounds.missed.get() & SHED != 0 && is_gone;
        self.grow(class, if goes_round { EMPTY | FULL } else { FULL }, backend);
        if self.push(class, block) {
            return;
        }
        let most = backend.depots_limit();
        bin.bounds.missed.set(bin.bounds.missed.get() | SHED);
        self.shed(class, bin.capacity().div_ceil(2), most, backend);
        if !self.push(class, block) {
            backend.heap.give_slots(&[block]);
        }
    }

    /// Takes the oldest blocks out of a bin: to the depots of others, while all depots have no more than `most` bytes, or else to their slabs.
    fn shed(&self, class: usize, count: usize, most: usize, backend: &Backend) {
        let bin = self.bin(class);
        let (len, count) = (bin.len(), count.min(bin.len()));
        if count == 0 {
            return;
        }
        let bottom = bin.array();
        // SAFETY: the first `len` places of the array, where this thread wrote blocks; nobody else uses them meanwhile.
        let oldest = unsafe { core::slice::from_raw_parts(bottom, count) };
        for magazine in oldest.chunks(MAGAZINE) {
            if !backend.send_to_depot(class, magazine, most) {
                backend.heap.give_slots(magazine);
            }
        }
        // SAFETY: both are within the places that have blocks.
        unsafe { bottom.copy_from(bottom.add(count), len - count) };
        bin.set_len(len - count);
    }

    /// A bin missed: lets it hold twice as much, if the thread may. A bin that only fills, or only empties, is not to hold more than
    /// what is moved at once; but one that does both in turn is too small for what the program does.
    fn grow(&self, class: usize, miss: u8, backend: &Backend) {
        let (bin, size) = (self.bin(class), size_of_class(class));
        // In use, wherever its top is when it is looked at.
        bin.bounds.seen.set(IN_USE);
        self.look_at_next(backend);
        backend.crowd.note_miss(self.turn.get(), &self.period);
        let limit = self.limit(backend);
        let misses = bin.bounds.missed.get() | miss | if miss & EMPTY != 0 { NEEDED } else { 0 };
        bin.bounds.missed.set(misses);
        let has = bin.capacity();
        let batch = (BATCH_BYTES / size).min(BATCH);
        let wanted = match has {
            0 if batch > 0 => batch.min(FIRST),
            _ if has < batch => (2 * has).min(batch),
            _ if misses & (EMPTY | FULL) == EMPTY | FULL => (2 * has).clamp(1, MOST),
            _ => return,
        };
        let may = limit.saturating_sub(self.capacity.get()) / size;
        if wanted > has + may && backend.crowd.take_has_fallen() {
            // For the next time: it has what those that are gone have left.
            backend.collect_gone(thread_registry());
        }
        let wanted = wanted.min(has + may);
        if wanted > has {
            bin.bounds.missed.set(misses & NEEDED);
            self.resize(class, wanted, backend);
        }
    }

    /// Bytes that the bins together may hold: little while the heap rises, more where it has what it needs, since what is cached then
    /// was needed before. When it rises again the bins shed what is too much.
    fn limit(&self, backend: &Backend) -> usize {
        let rises = backend.heap.rises();
        if self.rises.replace(rises) == rises {
            let calm = self.calm.get();
            if calm >= CALM {
                return backend.cache_limit(true, self.capacity.get());
            }
            self.calm.set(calm + 1);
            return backend.cache_limit(false, self.capacity.get());
        }
        let tight = backend.cache_limit(false, self.capacity.get());
        self.calm.set(0);
        let has = self.capacity.get();
        for (class, bin) in (0..COUNT).map(|class| (class, self.bin(class))).filter(|(_, bin)| bin.capacity() > 0) {
            let missed = bin.bounds.missed.replace(bin.bounds.missed.get() & !NEEDED);
            if has > tight {
                self.keep(class, bin.capacity() * tight / has, backend);
            }
            if missed & NEEDED == 0 {
                self.shed(class, bin.len().div_ceil(2), 0, backend);
            }
        }
        tight
    }

    /// Lets a bin hold `capacity` blocks, which is fewer than it might.
    fn keep(&self, class: usize, capacity: usize, backend: &Backend) {
        self.shed(class, self.bin(class).len().saturating_sub(capacity), 0, backend);
        self.resize(class, capacity, backend);
    }

    /// Lets a bin hold `capacity` blocks, which is not fewer than it has.
    fn resize(&self, class: usize, capacity: usize, backend: &Backend) {
        let (bin, size) = (self.bin(class), size_of_class(class));
        let (len, had) = (bin.len(), bin.capacity());
        let (from, to) = (bin.array_size(), MetaSize::covering(capacity * size_of::<*mut u8>()));
        let mut array = bin.array();
        if had == 0 || from != to {
            let Some(new) = backend.meta.alloc(to) else { return };
            let new = new.cast::<*mut u8>().as_ptr();
            if let Some(old) = NonNull::new(array) {
                // SAFETY: the old array has `len` blocks, the new one has room for more than that, and is this thread's.
                unsafe { new.copy_from_nonoverlapping(old.as_ptr(), len) };
                backend.meta.free(old.cast(), from);
            }
            array = new;
        }
        bin.set_array(array, len, capacity);
        self.set_capacity((self.capacity.get() + capacity * size).saturating_sub(had * size), backend);
    }

    fn set_capacity(&self, bytes: usize, backend: &Backend) {
        backend.note_held(self.capacity.replace(bytes), bytes);
    }

    /// Looks at one bin: if it was not used since the last time, it may hold half as much from now on.
    fn look_at_next(&self, backend: &Backend) {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        if !turn.is_multiple_of(LOOKS) {
            return;
        }
        // The next one that may hold something.
        let class =
            (1..=COUNT).map(|step| (self.hand.get() + step) % COUNT).find(|class| self.bin(*class).capacity() > 0);
        let Some(class) = class else { return };
        self.hand.set(class);
        let bin = self.bin(class);
        let len = bin.len() as u16;
        if bin.bounds.seen.replace(len) != len {
            return;
        }
        let capacity = bin.capacity();
        if capacity > 0 {
            self.keep(class, capacity / 2, backend);
            bin.bounds.seen.set(bin.len() as u16);
        }
    }

    /// Gives all blocks back, for the user of the cache.
    pub(super) fn flush(&self, backend: &Backend) {
        for class in 0..COUNT {
            let bin = self.bin(class);
            if bin.len() > 0 {
                // SAFETY: as in `shed`.
                let blocks = unsafe { core::slice::from_raw_parts(bin.array(), bin.len()) };
                backend.heap.give_slots(blocks);
                bin.set_len(0);
            }
        }
    }

    /// The same, and the bins' arrays, too: nobody uses the cache for now.
    pub(super) fn empty(&self, backend: &Backend) {
        self.flush(backend);
        for bin in (0..COUNT).map(|class| self.bin(class)) {
            if let Some(array) = NonNull::new(bin.array()) {
                backend.meta.free(array.cast(), bin.array_size());
                bin.set_array(ptr::null_mut(), 0, 0);
            }
        }
        self.set_capacity(0, backend);
    }
}

#[cfg(test)]
mod tests;
