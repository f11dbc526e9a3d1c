//! The cache of a thread: a bin for each class, which is an array of blocks, the youngest on top.
//!
//! An allocation compares the top with the bottom, reads the block below the top, and moves the top. A release compares
//! the top with the limit, writes the block, and moves the top.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::check::at;
use crate::raw::slabs::Growth;
use crate::thread;
use crate::thread::lease::Lease;

use super::backend::Backend;
use super::bin::{Bin, Bounds, EMPTY, FULL, IN_USE, NEEDED, SHED, Top, low};
use super::class::{COUNT, size_of_class};
use super::decay::Visits;
use super::depot::MAGAZINE;
use super::meta::MetaSize;

/// Most blocks that a bin may hold when it comes into use.
const FIRST: usize = 8;
/// Most blocks of a bin.
const MOST: usize = 2048;
const _: () = assert!(MOST < IN_USE as usize);
const _: () = assert!(MOST * size_of::<*mut u8>() <= MetaSize::LARGEST && MetaSize::LARGEST < 1 << u16::BITS);
/// Most blocks of a refill from slabs.
const BATCH: usize = 64;
/// Most bytes of a refill from slabs, unless the bin is large.
const BATCH_BYTES: usize = 4096;
/// One bin is inspected after this many misses.
const INSPECTION: usize = 4;
/// The heap is calm after this many misses without a rise.
const CALM: u32 = 64;
/// A cache, for one thread at a time.
#[derive(Debug)]
pub(super) struct Cache {
    /// The tops of all bins. They are apart from the bounds: so each is found by the class alone, without arithmetic.
    tops: [Top; COUNT],
    bounds: [Bounds; COUNT],
    pub(super) lease: Lease,
    /// Bytes of blocks that all bins together may hold.
    capacity: Cell<usize>,
    /// Number of misses.
    misses: Cell<usize>,
    /// The period of the last miss; see [`Crowd`](super::crowd::Crowd).
    period: Cell<u32>,
    /// Rises of the heap at the last miss.
    rises: Cell<u32>,
    /// Misses since the last rise, up to [`CALM`].
    calm: Cell<u32>,
    /// The class of the bin that was inspected last.
    inspected: Cell<usize>,
    pub(super) visits: Visits,
}

impl Cache {
    /// An empty cache.
    pub(super) fn new() -> Self {
        Self {
            tops: [const { Top::new(ptr::null_mut()) }; COUNT],
            bounds: core::array::from_fn(|_| Bounds::default()),
            lease: Lease::default(),
            capacity: Cell::new(0),
            misses: Cell::new(0),
            period: Cell::new(0),
            rises: Cell::new(0),
            calm: Cell::new(0),
            inspected: Cell::new(0),
            visits: Visits::new(),
        }
    }

    /// The youngest block of a class, if there is one.
    #[inline(always)]
    pub(super) fn pop(&self, class: usize) -> Option<NonNull<u8>> {
        let top = at(&self.tops, class).get();
        if low(top) == at(&self.bounds, class).bottom.get() {
            return None;
        }
        let top = top.wrapping_sub(1);
        at(&self.tops, class).set(top);
        // SAFETY: a place between bottom and top; only this thread writes there, and wrote a block, which is not null.
        Some(unsafe { NonNull::new_unchecked(top.read()) })
    }

    /// Keeps a block of a class, if there is room.
    #[inline(always)]
    pub(super) fn push(&self, class: usize, block: *mut u8) -> bool {
        let top = at(&self.tops, class).get();
        if low(top) == at(&self.bounds, class).limit.get() {
            return false;
        }
        // SAFETY: a place between top and limit; only this thread writes there.
        unsafe { top.write(block) };
        at(&self.tops, class).set(top.wrapping_add(1));
        true
    }

    fn bin(&self, class: usize) -> Bin<'_> {
        Bin { top: at(&self.tops, class), bounds: at(&self.bounds, class) }
    }

    /// Refills an empty bin, and takes a block of it. `None`: there is no memory within the limit. `collect_gone` gives
    /// back the blocks of ended threads.
    #[cold]
    pub(super) fn pop_slow(&self, class: usize, backend: &Backend, collect_gone: impl FnOnce()) -> Option<NonNull<u8>> {
        // Where other threads leave magazines for this shard, blocks go round: the bin has to hold more.
        let shard = thread::shard();
        let goes_round = !backend.depots.is_empty(class, shard, &backend.meta);
        self.grow(class, if goes_round { EMPTY | FULL } else { EMPTY }, backend, collect_gone);
        let bin = self.bin(class);
        let capacity = bin.capacity();
        if capacity == 0 {
            return backend.take_one(class, Growth::ToLimit);
        }
        if goes_round && capacity >= MAGAZINE {
            // SAFETY: places of the array, which is this thread's, and initialised, as all of `Meta` is.
            let places = unsafe { &mut *bin.array().cast::<[*mut u8; MAGAZINE]>() };
            bin.set_len(backend.depots.take(class, shard, places, &backend.meta));
            if let Some(block) = self.pop(class) {
                return Some(block);
            }
        }
        let batch = (BATCH_BYTES / size_of_class(class)).clamp(1, BATCH);
        let wanted = capacity.div_ceil(2).max(capacity.min(batch)).min(BATCH);
        // SAFETY: as above.
        let places = unsafe { core::slice::from_raw_parts_mut(bin.array(), wanted) };
        bin.set_len(backend.take(class, Growth::ToLimit, places));
        self.pop(class)
    }

    /// Keeps a block for which the bin had no room: the bin grows, or gives its older half away. `collect_gone` is as
    /// in `pop_slow`.
    #[cold]
    pub(super) fn push_slow(&self, class: usize, block: *mut u8, backend: &Backend, collect_gone: impl FnOnce()) {
        // Blocks go round if others took the half that this bin gave away: the bin has to hold more. The same goes if
        // that half went to its slabs, as blocks of the own shard do: the bin is full again before it was ever empty.
        let bin = self.bin(class);
        let is_gone = backend.depots.count(class) == 0 || backend.heap.shard_of(block) == thread::shard();
        let goes_round = bin.bounds.missed.get() & SHED != 0 && is_gone;
        self.grow(class, if goes_round { EMPTY | FULL } else { FULL }, backend, collect_gone);
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

    /// Moves the oldest blocks of a bin to the depots of other shards, up to `most` bytes in all depots, else to their
    /// slabs.
    fn shed(&self, class: usize, count: usize, most: usize, backend: &Backend) {
        let bin = self.bin(class);
        let (len, count) = (bin.len(), count.min(bin.len()));
        if count == 0 {
            return;
        }
        let bottom = bin.array();
        // SAFETY: some of the first `len` places, where this thread wrote blocks; nobody else uses them meanwhile.
        let oldest = unsafe { core::slice::from_raw_parts(bottom, count) };
        for magazine in oldest.chunks(MAGAZINE) {
            if !backend.send_to_depot(class, magazine, most) {
                backend.heap.give_slots(magazine);
            }
        }
        // SAFETY: both ranges are within the places that have blocks.
        unsafe { bottom.copy_from(bottom.add(count), len - count) };
        bin.set_len(len - count);
    }

    /// After a miss, doubles the capacity of a bin, if the cache's bound has room. A bin that only fills, or only
    /// empties, needs room for no more than one batch. A bin that does both in turn is too small for the program.
    fn grow(&self, class: usize, miss: u8, backend: &Backend, collect_gone: impl FnOnce()) {
        let (bin, size) = (self.bin(class), size_of_class(class));
        bin.bounds.seen.set(IN_USE);
        self.inspect_next(backend);
        backend.crowd.note_miss(self.misses.get(), &self.period);
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
            // For the next miss: then there is room for what the ended threads have held.
            collect_gone();
        }
        let wanted = wanted.min(has + may);
        if wanted > has {
            bin.bounds.missed.set(misses & NEEDED);
            self.resize(class, wanted, backend);
        }
    }

    /// Bytes that all bins together may hold. That is little while the heap rises, and more while it is calm: what is
    /// cached then was needed before. When the heap rises again, the bins shed what is too much.
    fn limit(&self, backend: &Backend) -> usize {
        let rises = backend.heap.slabs.rises();
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

    /// Sets a smaller capacity of a bin.
    fn keep(&self, class: usize, capacity: usize, backend: &Backend) {
        self.shed(class, self.bin(class).len().saturating_sub(capacity), 0, backend);
        self.resize(class, capacity, backend);
    }

    /// Sets a capacity of a bin that is not below the number of its blocks.
    fn resize(&self, class: usize, capacity: usize, backend: &Backend) {
        let (bin, size) = (self.bin(class), size_of_class(class));
        let (len, had) = (bin.len(), bin.capacity());
        let (from, to) = (bin.array_size(), MetaSize::covering(capacity * size_of::<*mut u8>()));
        let mut array = bin.array();
        if had == 0 || from != to {
            let Some(new) = backend.meta.alloc(to) else { return };
            let new = new.cast::<*mut u8>().as_ptr();
            if let Some(old) = NonNull::new(array) {
                // SAFETY: the old array has `len` blocks; the new one is this thread's, and has room for them.
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

    /// Counts a miss, and after some of them inspects the next bin: halves its capacity, if it was not used since the
    /// last time.
    fn inspect_next(&self, backend: &Backend) {
        let misses = self.misses.get().wrapping_add(1);
        self.misses.set(misses);
        if !misses.is_multiple_of(INSPECTION) {
            return;
        }
        let mut others = (1..=COUNT).map(|step| (self.inspected.get() + step) % COUNT);
        let Some(class) = others.find(|class| self.bin(*class).capacity() > 0) else { return };
        self.inspected.set(class);
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

    /// Gives all blocks back to their slabs.
    pub(super) fn flush(&self, backend: &Backend) {
        (0..COUNT).for_each(|class| self.flush_bin(class, backend));
    }

    fn flush_bin(&self, class: usize, backend: &Backend) {
        let bin = self.bin(class);
        if bin.len() > 0 {
            // SAFETY: as in `shed`.
            let blocks = unsafe { core::slice::from_raw_parts(bin.array(), bin.len()) };
            backend.heap.give_slots(blocks);
            bin.set_len(0);
        }
    }

    /// The same, and frees the arrays of the bins, for a cache that no thread uses.
    pub(super) fn empty(&self, backend: &Backend) {
        (0..COUNT).for_each(|class| self.empty_bin(class, backend));
        self.set_capacity(0, backend);
    }

    /// Gives back the blocks and arrays of the bins that did not miss since the last time, and hold as many blocks as
    /// then.
    pub(super) fn empty_unused(&self, backend: &Backend) {
        for class in 0..COUNT {
            let bin = self.bin(class);
            let len = bin.len() as u16;
            if bin.bounds.seen.replace(len) == len {
                let bytes = bin.capacity() * size_of_class(class);
                self.empty_bin(class, backend);
                self.set_capacity(self.capacity.get().saturating_sub(bytes), backend);
            }
        }
    }

    /// Bytes of the pages that may be in use only because this cache has blocks of them.
    #[cfg(test)]
    pub(super) fn pinned(&self) -> usize {
        (0..COUNT).map(|class| self.bin(class).len() * size_of_class(class).max(super::class::PAGE)).sum()
    }

    fn empty_bin(&self, class: usize, backend: &Backend) {
        self.flush_bin(class, backend);
        let bin = self.bin(class);
        if let Some(array) = NonNull::new(bin.array()) {
            backend.meta.free(array.cast(), bin.array_size());
            bin.set_array(ptr::null_mut(), 0, 0);
        }
    }
}

#[cfg(test)]
mod tests;
