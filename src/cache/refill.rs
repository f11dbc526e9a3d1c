//! What a cache does when a bin has no block for its owner.

use crate::heap::{Heap, HeapId};
use crate::raw::{BlockIndex, Home, Order, State};

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

    /// Fills an empty bin: from what others brought home, else from the first heap that has something in its stacks. Blocks
    /// that lie among those of another thread are left to that one as long as there are others.
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
        reach.heaps.by_age().find(|heap| self.refill_from(heap, order, wanted, reach));
    }

    /// Fills a bin with up to `wanted` blocks of this heap; false, if it had none.
    fn refill_from(self, heap: &Heap, order: Order, wanted: usize, reach: &Reach<'_>) -> bool {
        if heap.start().is_none() {
            return false;
        }
        let (to, mut left) = (State::held(order), wanted);
        let (mut blocks, mut foreign) = ([BlockIndex::new(0); BATCH], 0);
        // First what others don't have the neighbours of.
        while left > 0 && foreign == 0 {
            let popped = heap.buddy().pop_take_batch(to, &mut blocks[..BATCH.min(left)]);
            if order.units() < Heap::STRETCH {
                foreign = self.neighbours_of_others(heap, &mut blocks[..popped], reach);
            }
            self.take_in_from(heap, order, &blocks[foreign..popped]);
            left -= popped - foreign;
            if popped == 0 {
                break;
            }
        }
        // Then new neighbours.
        let mut carved = [BlockIndex::new(0); BATCH];
        while left > 0 {
            let count = heap.buddy().carve(to, &mut carved[..BATCH.min(left)]);
            self.take_in_from(heap, order, &carved[..count]);
            left -= count;
            if count == 0 {
                break;
            }
        }
        // What is left goes to them; or else, where nothing else was to be had, it is for this thread.
        let foreign = &blocks[..foreign];
        if left == wanted {
            self.take_in_from(heap, order, foreign);
            return !foreign.is_empty();
        }
        self.bring_home(heap, order, foreign, reach);
        true
    }

    /// Brings blocks forward that lie among those of another thread that is there; returns how many they are.
    fn neighbours_of_others(self, heap: &Heap, blocks: &mut [BlockIndex], reach: &Reach<'_>) -> usize {
        let mut found = 0;
        for place in 0..blocks.len() {
            let home = heap.home(blocks[place]);
            if home != Home::NONE && home != self.home() && reach.running(home).is_some() {
                blocks.swap(found, place);
                found += 1;
            }
        }
        found
    }

    /// Leaves blocks of a heap to those whose neighbours they are, in their depots or in the heap.
    fn bring_home(self, heap: &Heap, order: Order, blocks: &[BlockIndex], reach: &Reach<'_>) {
        let Some(start) = heap.start() else { return debug_assert!(false, "caches have blocks of numbered heaps") };
        for run in blocks.chunk_by(|one, next| heap.home(*one) == heap.home(*next)) {
            let mut entries = [Entry::NONE; BATCH];
            for (entry, block) in entries.iter_mut().zip(run) {
                *entry = Entry(start + block.get());
            }
            let entries = &entries[..run.len()];
            for magazine in entries.chunks(reach.limit().magazine(order).max(1)) {
                let home = reach.running(heap.home(run[0]));
                if !home.is_some_and(|home| home.depot.put(order, magazine)) {
                    reach.flush_to_heaps(order, magazine);
                }
            }
        }
    }

    /// Puts blocks of a heap into a bin that has room for them, the first on top.
    fn take_in_from(self, heap: &Heap, order: Order, blocks: &[BlockIndex]) {
        let Some(start) = heap.start() else { return debug_assert!(false, "caches have blocks of numbered heaps") };
        let mut entries = [Entry::NONE; BATCH];
        for (entry, block) in entries.iter_mut().zip(blocks.iter().rev()) {
            *entry = Entry(start + block.get());
            heap.set_home(*block, self.home());
        }
        self.take_in(order, &entries[..blocks.len()]);
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
