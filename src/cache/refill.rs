//! What a cache does when a bin has no block for its owner.

use crate::check::check;
use crate::heaps::Heap;
use crate::id::HeapId;
use crate::raw::{BlockIndex, Order, Owner, State};
use crate::sync::model_or;

use super::bin::{BinIndex, Entry};
use super::budget::Limit;
use super::cache::{OwnCache, add};
use super::caches::Reach;
use super::depot::MAGAZINE;
use super::tiles::Sorted;

/// Blocks that a refill takes from a heap at once.
const BATCH: usize = 64;
/// Batches of a refill of which blocks go to other threads: these may give them back to the heap, to be popped again.
/// Under loom one: each costs executions.
const SENDS: usize = model_or(1, 16);

impl OwnCache<'_> {
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

    /// Hands out a block of `order` of this heap, if the next one in the bin is, and the heap is in the window or aside.
    pub fn pop_from(self, heap: HeapId, order: Order, min_shift: u32) -> Option<*mut u8> {
        let is_it = |known: &Heap| known.id == heap;
        if self.shown().is_some_and(is_it) {
            self.pop(order, min_shift)
        } else if self.shown_aside().is_some_and(is_it) {
            self.pop_aside(order, min_shift)
        } else {
            None
        }
    }

    /// Turns the window to the heap of a block that this cache holds.
    pub(super) fn show_heap_of(self, reach: &Reach<'_>, entry: Entry) {
        let pinned = reach.set.pin();
        if let Some((heap, _)) = pinned.view().numbered(entry.0) {
            self.show(heap);
        }
    }

    /// Fills an empty bin: from what others brought owner, else from the first heap that has something in its stacks.
    fn refill(self, order: Order, reach: &Reach<'_>) {
        let (limit, bin) = (reach.limit(), BinIndex::of(order));
        self.grow(order, &limit, reach);
        let capacity = self.capacity(bin);
        if capacity == 0 {
            return;
        }
        // Half of what fits; but a whole stretch, so that no other thread gets a part of one.
        let stretch = (Heap::TILE / order.units()) as usize;
        let wanted = capacity.div_ceil(2).max(capacity.min(stretch));
        if self.take_owner(order, wanted, &limit, reach) {
            return;
        }
        let first = self.own().budget.is_peak(order, capacity);
        let is_fit = |heap: &Heap| heap.start().is_some();
        reach.heaps.take_first(order, is_fit, |heap| self.refill_from(heap, order, wanted, first, reach).then_some(()));
    }

    /// Fills an empty bin from the depot, until it has `wanted` blocks or no room for another magazine; false, if there was
    /// nothing.
    fn take_owner(self, order: Order, wanted: usize, limit: &Limit, reach: &Reach<'_>) -> bool {
        let bin = BinIndex::of(order);
        let mut magazine = [Entry::NONE; MAGAZINE];
        let mut room = self.capacity(bin);
        while self.len(bin) == 0 || (self.len(bin) < wanted && limit.magazine(order) <= room) {
            let count = self.cache().depot.take(order, &mut magazine);
            if count == 0 {
                break;
            }
            let (fit, rest) = magazine[..count].split_at(count.min(room));
            self.take_in(order, fit);
            room -= fit.len();
            // The bin may have become smaller than a magazine since.
            reach.flush_to_heaps(order, rest);
        }
        self.len(bin) > 0
    }

    /// Fills an empty bin with about `wanted` blocks of this heap, not more; false, if it had none.
    ///
    /// Blocks that lie among those of another running thread go to that one, as long as it has a place for them. The rest
    /// of them is taken as others are, and so are all after many, but for the `first` blocks of a bin only when nothing else is
    /// there: so a thread gets stretches of its own, and what it cuts up for that is bounded by what it may cache.
    fn refill_from(self, heap: &Heap, order: Order, wanted: usize, first: bool, reach: &Reach<'_>) -> bool {
        let Some(start) = heap.start() else { return false };
        let block_of = |entry: &Entry| BlockIndex::new(entry.0.wrapping_sub(start));
        let owner_of = |entry: Entry| heap.tile_owner(block_of(&entry));
        let (bin, shard) = (BinIndex::of(order), self.shard());
        let mut blocks = [BlockIndex::new(0); BATCH];
        let mut sends = SENDS;
        while self.len(bin) < wanted {
            let left = wanted - self.len(bin);
            let popped = heap.buddy().pop_take_batch(State::cached(order), shard, &mut blocks[..BATCH.min(left)]);
            if popped == 0 {
                break;
            }
            let mut entries = blocks.map(|block| Entry(start.wrapping_add(block.get())));
            let entries = &mut entries[..popped];
            let Sorted { own, refused, sent } =
                if sends > 0 { self.bring_owner(order, entries, owner_of, reach) } else { Sorted::unsorted(entries) };
            sends -= usize::from(sends > 0 && sent + refused.len() > 0);
            self.take_in(order, own);
            for entry in own.iter().filter(|entry| owner_of(**entry) == Owner::NONE) {
                self.settle(heap, block_of(entry));
            }
            if first && (sends == 0 || !refused.is_empty()) {
                self.carve(heap, start, order, wanted);
                if self.len(bin) > 0 {
                    reach.flush_to_heaps(order, refused);
                    return true;
                }
            }
            self.take_in(order, refused);
            if sent > 0 && 2 * self.len(bin) >= wanted {
                // Instead of a few more for the few that were another's, and so on.
                return true;
            }
        }
        self.carve(heap, start, order, wanted);
        self.len(bin) > 0
    }

    /// Cuts larger blocks up until a bin has `wanted` blocks, neighbours if possible.
    fn carve(self, heap: &Heap, start: u32, order: Order, wanted: usize) {
        let mut blocks = [BlockIndex::new(0); BATCH];
        while let left @ 1.. = wanted.saturating_sub(self.len(BinIndex::of(order))) {
            let carved = heap.buddy().carve(State::cached(order), self.shard(), &mut blocks[..BATCH.min(left)]);
            if carved == 0 {
                break;
            }
            let entries = blocks.map(|block| Entry(start.wrapping_add(block.get())));
            self.take_in(order, &entries[..carved]);
            blocks[..carved].iter().for_each(|block| self.settle(heap, *block));
        }
    }

    /// Puts blocks into a bin that has room for them, the first on top.
    fn take_in(self, order: Order, blocks: &[Entry]) {
        let bin = BinIndex::of(order);
        for block in blocks.iter().rev() {
            let room = self.room(bin);
            check!(room.is_some(), "there is room");
            let Some(top) = room else { break };
            self.put(bin, top, *block);
        }
        add(&self.cache().counts.refilled, blocks.len());
    }

    /// A bin missed: lets it hold more, if the limit allows, or else of what another one needs less.
    pub(super) fn grow(self, order: Order, limit: &Limit, reach: &Reach<'_>) {
        let capacity = |order: Order| self.capacity(BinIndex::of(order));
        let budget = &self.own().budget;
        let has = capacity(order);
        self.move_counts(if budget.miss(order) { Order::ZERO.through(Order::MAX) } else { order.through(order) });
        let wanted = budget.wanted(limit, order, has, self.places(order));
        let mut may = budget.grow(limit, order, has, wanted);
        if may == has
            && has < wanted
            && let Some(other) = budget.least_needed(limit, order, capacity)
        {
            self.reduce(other, capacity(other) / 2, limit, reach);
            may = budget.grow(limit, order, has, wanted);
        }
        self.set_capacity(BinIndex::of(order), may);
    }
}
