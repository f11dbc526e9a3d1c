//! What a cache does when a bin has no block for its owner.

use crate::heap::HeapId;
use crate::raw::{BlockIndex, Order, State};

use super::bin::{BinIndex, Entry};
use super::budget::Limit;
use super::cache::{Owner, add};
use super::caches::Reach;
use super::depot::MAGAZINE;

/// Blocks that a refill takes from a heap at once.
const BATCH: usize = 64;

impl Owner<'_> {
    /// Allocates a block of `order` when [`pop`](Self::pop) could not: does what the owner is asked for, turns the window to
    /// the heap of the block, refills the bin. `None`: it is not there without a search, or not for a cache to hold.
    #[cold]
    pub fn pop_slow(self, order: Order, reach: &Reach<'_>) -> Option<*mut u8> {
        self.attend(reach);
        let bin = BinIndex::of(order);
        if self.len(bin) == 0 {
            self.refill(order, reach);
            if self.len(bin) == 0 {
                return None;
            }
        }
        let (entry, _) = self.youngest(bin);
        if self.unit_of(entry).is_none() {
            self.show_heap_of(reach, entry);
        }
        self.pop(order, reach.min_shift)
    }

    /// Hands out a block of `order` of this heap, if the next one in the bin is, and the window shows it.
    pub fn pop_from(self, heap: HeapId, order: Order, min_shift: u32) -> Option<*mut u8> {
        let shown = self.shown().is_some_and(|shown| shown.id == heap);
        if shown { self.pop(order, min_shift) } else { None }
    }

    /// Turns the window to the heap of a block that this cache holds.
    pub(super) fn show_heap_of(self, reach: &Reach<'_>, entry: Entry) {
        if let Some((heap, _)) = reach.heaps.numbered(entry.0) {
            self.show(heap, || reach.heaps.get(heap.id).is_some());
        }
    }

    /// Fills an empty bin: from what others brought home, else from the first heap that has something in its stacks.
    fn refill(self, order: Order, reach: &Reach<'_>) {
        let limit = reach.limit();
        self.grow(order, &limit, reach);
        let capacity = self.capacity(BinIndex::of(order));
        if capacity == 0 {
            return;
        }
        let mut came_home = [Entry::NONE; MAGAZINE];
        let count = self.cache().depot.take(order, &mut came_home);
        let (fit, rest) = came_home[..count].split_at(count.min(capacity));
        self.take_in(order, fit);
        // The bin may have become smaller than a magazine since.
        reach.flush_to_heaps(order, rest);
        if count > 0 {
            return;
        }
        // Half of what fits; but whole cache lines of states, so that no other thread gets a part of one.
        let wanted = capacity.div_ceil(2).max(capacity.min(BATCH));
        for heap in reach.heaps.by_age() {
            let Some(start) = heap.start() else { continue };
            let (mut filled, mut blocks) = (0, [BlockIndex::new(0); BATCH]);
            while filled < wanted {
                let batch = BATCH.min(wanted - filled);
                let taken = heap.buddy().alloc_batch(State::held(order), &mut blocks[..batch]);
                let mut entries = [Entry::NONE; BATCH];
                // The lowest address on top.
                for (entry, block) in entries.iter_mut().zip(blocks[..taken].iter().rev()) {
                    *entry = Entry(start + block.get());
                }
                self.take_in(order, &entries[..taken]);
                filled += taken;
                if taken < batch {
                    break;
                }
            }
            if filled > 0 {
                return;
            }
        }
    }

    /// Puts blocks into a bin that has room for them.
    fn take_in(self, order: Order, blocks: &[Entry]) {
        let bin = BinIndex::of(order);
        for block in blocks {
            let Some(top) = self.room(bin) else { return debug_assert!(false, "there is room") };
            self.put(bin, top, *block);
        }
        add(&self.cache().counts.refilled, blocks.len());
    }

    /// A bin missed: lets it hold more, if the limit allows, or else what another one no longer needs.
    pub(super) fn grow(self, order: Order, limit: &Limit, reach: &Reach<'_>) {
        let capacity = |order: Order| self.capacity(BinIndex::of(order));
        let (has, places) = (capacity(order), self.places(order));
        let mut may = self.own().budget.grow(limit, order, has, places);
        if may == has
            && has < places
            && let Some(idle) = self.own().budget.idle(order, capacity)
        {
            let keeps = capacity(idle) / 2;
            self.reduce(idle, keeps, limit, reach);
            may = self.own().budget.grow(limit, order, has, places);
        }
        self.set_capacity(BinIndex::of(order), may);
    }
}
