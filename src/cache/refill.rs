//! Allocations from an empty bin: the cache refills it. `../README.md` has the steps in their order.

use core::iter;

use crate::check::check;
use crate::heaps::Heap;
use crate::id::HeapId;
use crate::raw::{BlockIndex, Class, Owner, State};
use crate::sync::model_or;

use super::bin::BinIndex;
use super::cache::OwnCache;
use super::caches::Reach;
use super::counts::add;
use super::entry::Entry;
use super::layout::MAGAZINE;
use super::limit::Limit;
use super::tiles::Sorted;

/// Blocks that a refill takes from a heap at once.
const BATCH: usize = 64;
/// A refill sends blocks of this many batches to other threads. These may flush them to the heap, where it pops them
/// again.
/// Under loom one: each costs executions.
const SENDS: usize = model_or(1, 16);

impl OwnCache<'_> {
    /// Allocates a block of `class` when [`pop`](Self::pop) could not. Does what the owner is asked for, refills an
    /// empty bin, and makes the window show the heap of the block. `None`: the stacks have no such block, or a cache
    /// may not hold it.
    #[cold]
    pub fn pop_slow(self, class: Class, reach: &Reach<'_>) -> Option<*mut u8> {
        self.attend(reach);
        let bin = BinIndex::of(class);
        if self.bins().len(bin) == 0 {
            self.refill(class, reach);
            if self.bins().len(bin) == 0 {
                return None;
            }
        }
        let (entry, _) = self.bins().youngest(bin);
        if self.window().unit_of(entry).is_none() {
            self.show_heap_of(reach, entry);
        }
        self.pop(class, reach.address_shift)
    }

    /// Hands out one of the youngest blocks of `class`, if one is of this heap, and the heap is in the window or aside.
    pub fn pop_from(self, heap: HeapId, class: Class, address_shift: u32) -> Option<*mut u8> {
        let (window, bin) = (self.window(), BinIndex::of(class));
        let is_it = |known: &Heap| known.id == heap;
        if window.shown().is_some_and(is_it) {
            self.bins().bring_up(bin, |entry| window.unit_of(entry).is_some());
            self.pop(class, address_shift)
        } else if window.shown_aside().is_some_and(is_it) {
            self.bins().bring_up(bin, |entry| window.entry_aside(entry, address_shift).is_some());
            self.pop_aside(class, address_shift)
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

    /// Fills an empty bin: from the depot, else from the first heap that has something in its stacks.
    fn refill(self, class: Class, reach: &Reach<'_>) {
        let (limit, bin) = (reach.limit(), BinIndex::of(class));
        self.grow(class, &limit, reach);
        let capacity = self.bins().capacity(bin);
        if capacity == 0 {
            return;
        }
        // Half of what fits; but a whole tile, so that no other thread gets a part of it.
        let tile = (Heap::TILE / class.units()) as usize;
        let wanted = capacity.div_ceil(2).max(capacity.min(tile));
        if self.refill_from_depot(class, wanted, &limit, reach) {
            return;
        }
        let first = self.own().budget.is_peak(class, capacity);
        let is_fit = |heap: &Heap| heap.start().is_some();
        let Some(order) = class.covering() else { return };
        reach.heaps.take_first(order, is_fit, |heap| self.refill_from(heap, class, wanted, first, reach).then_some(()));
    }

    /// Fills an empty bin from the depot, until it has `wanted` blocks or no room for another magazine. False, if there
    /// was nothing.
    fn refill_from_depot(self, class: Class, wanted: usize, limit: &Limit, reach: &Reach<'_>) -> bool {
        let bin = BinIndex::of(class);
        let mut magazine = [Entry::NONE; MAGAZINE];
        let bins = self.bins();
        let mut room = bins.capacity(bin);
        while bins.len(bin) == 0 || (bins.len(bin) < wanted && self.magazine(class, limit) <= room) {
            let count = self.cache().depot.take(class, &mut magazine);
            if count == 0 {
                break;
            }
            let (fit, rest) = magazine[..count].split_at(count.min(room));
            self.take_in(class, fit);
            room -= fit.len();
            // The bin may have become smaller than a magazine since.
            reach.flush_to_heaps(class, rest);
        }
        bins.len(bin) > 0
    }

    /// Fills an empty bin with about `wanted` blocks of this heap, not more. False, if the heap had none.
    ///
    /// Blocks in another running thread's tiles go to that thread's depot, as long as it has a place for them and for
    /// [`SENDS`] batches at most. This cache takes the other blocks. If the bin is filled for the `first` time, it
    /// prefers carving to blocks in others' tiles: so a thread gets tiles of its own, and its limit bounds what it cuts
    /// up for that.
    fn refill_from(self, heap: &Heap, class: Class, wanted: usize, first: bool, reach: &Reach<'_>) -> bool {
        let Some(start) = heap.start() else { return false };
        let block_of = |entry: &Entry| BlockIndex::new(entry.0.wrapping_sub(start));
        let owner_of = |entry: Entry| heap.tile_owner(block_of(&entry));
        let (bin, shard) = (BinIndex::of(class), self.shard());
        let mut blocks = [BlockIndex::new(0); BATCH];
        let mut sends = SENDS;
        while let left @ 1.. = wanted.saturating_sub(self.bins().len(bin)) {
            let popped = heap.buddy().pop_take_batch(State::cached(class), shard, &mut blocks[..BATCH.min(left)]);
            if popped == 0 {
                break;
            }
            let mut entries = blocks.map(|block| Entry(start.wrapping_add(block.get())));
            let entries = &mut entries[..popped];
            let Sorted { own, refused, sent } = if sends > 0 {
                self.send_to_owners(class, entries, owner_of, reach)
            } else {
                Sorted::unsorted(entries)
            };
            sends -= usize::from(sends > 0 && sent + refused.len() > 0);
            self.take_in(class, own);
            for entry in own.iter().filter(|entry| owner_of(**entry) == Owner::NONE) {
                heap.set_tile_owner(block_of(entry), self.owner());
            }
            if first && (sends == 0 || !refused.is_empty()) {
                self.carve(heap, start, class, wanted);
                if self.bins().len(bin) > 0 {
                    reach.flush_to_heaps(class, refused);
                    return true;
                }
            }
            self.take_in(class, refused);
            if sent > 0 && 2 * self.bins().len(bin) >= wanted {
                // Enough: a few more may be another's again, and so on.
                return true;
            }
        }
        self.carve(heap, start, class, wanted);
        self.bins().len(bin) > 0
    }

    /// Cuts larger blocks up until a bin has `wanted` blocks, neighbours if possible. Their tiles are this cache's
    /// then.
    fn carve(self, heap: &Heap, start: u32, class: Class, wanted: usize) {
        let mut blocks = [BlockIndex::new(0); BATCH];
        while let left @ 1.. = wanted.saturating_sub(self.bins().len(BinIndex::of(class))) {
            let carved = heap.buddy().carve(State::cached(class), self.shard(), &mut blocks[..BATCH.min(left)]);
            if carved == 0 {
                break;
            }
            let entries = blocks.map(|block| Entry(start.wrapping_add(block.get())));
            self.take_in(class, &entries[..carved]);
            blocks[..carved].iter().for_each(|block| heap.set_tile_owner(*block, self.owner()));
        }
    }

    /// Puts blocks into a bin that has room for them, the first on top.
    fn take_in(self, class: Class, blocks: &[Entry]) {
        let bin = BinIndex::of(class);
        for block in blocks.iter().rev() {
            let room = self.bins().room(bin);
            check!(room.is_some(), "there is room");
            let Some(top) = room else { break };
            self.bins().put(bin, top, *block);
        }
        add(&self.cache().counts.refilled, blocks.len());
    }

    /// A bin missed: lets it hold more, from what the limit leaves, or else from the bin that needs its memory least.
    pub(super) fn grow(self, class: Class, limit: &Limit, reach: &Reach<'_>) {
        let (bins, budget) = (self.bins(), &self.own().budget);
        let capacity = |class: Class| bins.capacity(BinIndex::of(class));
        let has = capacity(class);
        if budget.miss(class) {
            self.move_counts(self.sizes().classes());
        } else {
            self.move_counts(iter::once(class));
        }
        let wanted = budget.wanted(limit, class, has, bins.places(class));
        let mut may = budget.grow(limit, class, has, wanted);
        if may == has
            && has < wanted
            && let Some(other) = budget.least_needed(limit, class, capacity)
        {
            self.reduce(other, capacity(other) / 2, limit, reach);
            may = budget.grow(limit, class, has, wanted);
        }
        bins.set_capacity(BinIndex::of(class), may);
    }
}
