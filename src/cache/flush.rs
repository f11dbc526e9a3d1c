//! Giving blocks back to their heaps.

use core::{iter, ptr};

use crate::check::check;
use crate::heaps::Heap;
use crate::raw::{Batch, BlockIndex, Order};

use super::bin::{BinIndex, Entry};
use super::cache::{Cache, OwnCache, add};
use super::caches::Reach;
use super::depot::MAGAZINE;

/// An odd number, as irregular as can be: a sum of its multiples is 0 by chance only.
const DRAINS: u64 = 0x9E37_79B9_7F4A_7C15;

/// What came of giving back to the heaps what is cached and can be had at once.
#[derive(Clone, Copy, Debug)]
pub struct Reclaimed {
    /// How many blocks there were.
    pub blocks: usize,
    /// Other threads are giving back what was cached: they may have in their hands what this one did not find. A number that tells where
    /// they are, as far as one can: it is another one where they go on.
    pub under_way: Option<u64>,
}

impl OwnCache<'_> {
    /// Does what the owner is asked for, and opens the window again; or leaves a heap that was removed, before the cache gets
    /// blocks of another one that has its addresses or its numbers.
    pub(super) fn attend(self, reach: &Reach<'_>) {
        if self.take_request() {
            self.flush(reach);
        }
        if self.shown_aside().is_some_and(|heap| reach.heaps.get(heap.id).is_none()) {
            self.leave_aside();
        }
        if let Some(heap) = self.shown() {
            if reach.heaps.get(heap.id).is_none() {
                self.leave();
            } else if self.is_closed() {
                self.show(heap);
            }
        }
    }

    /// Gives all blocks that this cache has, and all that others brought owner to it, back to their heaps. Only for the owner:
    /// its lease. Returns how many there were.
    pub fn flush(self, reach: &Reach<'_>) -> usize {
        let mut flushed = 0;
        self.move_counts(Order::ZERO.through(Order::MAX));
        for order in Order::ZERO.through(Order::MAX) {
            let blocks = self.empty(BinIndex::of(order), order, reach);
            add(&self.cache().counts.flushed, blocks);
            flushed += blocks;
        }
        for (number, outbox) in self.own().outboxes.iter().enumerate() {
            flushed += self.empty(BinIndex::of_outbox(number), outbox.of().order(), reach);
        }
        flushed + self.cache().drain_depot(reach).blocks
    }

    fn empty(self, bin: BinIndex, order: Order, reach: &Reach<'_>) -> usize {
        let mut oldest = [Entry::NONE; MAGAZINE];
        let mut taken = || match self.take_oldest(bin, &mut oldest) {
            0 => None,
            count => Some(reach.flush_to_heaps(order, &oldest[..count])),
        };
        iter::from_fn(&mut taken).sum()
    }
}

impl Cache {
    /// Gives what others brought owner to this cache back to the heaps. For any thread.
    pub fn drain_depot(&self, reach: &Reach<'_>) -> Reclaimed {
        let mut drained = 0;
        let under_way = self.depot.drain(|order, blocks| drained += reach.flush_to_heaps(order, blocks));
        Reclaimed { blocks: drained, under_way }
    }
}

impl Reach<'_> {
    /// `Cached` → `Free`, for blocks of one order that the caller has. Returns how many.
    pub(super) fn flush_to_heaps(&self, order: Order, blocks: &[Entry]) -> usize {
        // Cached blocks keep their heaps in the set, so that those of now have these.
        let pinned = self.set.pin();
        let mut batch: Option<(&Heap, Batch<'_>)> = None;
        for block in blocks {
            let current = batch.as_ref().and_then(|(heap, _)| heap.numbered(block.0));
            let found = current.map(|block| (None, block));
            let found = found.or_else(|| pinned.view().numbered(block.0).map(|(heap, block)| (Some(heap), block)));
            check!(found.is_some(), "a heap is not removed while a cache has blocks of it");
            let Some((heap, block)): Option<(Option<&Heap>, BlockIndex)> = found else { continue };
            if let Some(heap) = heap {
                batch = Some((heap, heap.buddy().release_batch()));
            }
            if let Some((heap, batch)) = &mut batch {
                // Where its owner finds it first, and others last.
                batch.flush(block, order, heap.shard(block));
            }
        }
        blocks.len()
    }

    /// Gives back to the heaps all that is cached and can be had at once: by this thread, if it has a cache, in the depots, and
    /// by threads that are gone.
    pub fn reclaim(&self, own: Option<OwnCache<'_>>) -> Reclaimed {
        let mut blocks = own.map_or(0, |cache| cache.flush(self));
        let mut drains = 0_u64;
        for (index, cache) in self.caches.iter() {
            let in_depot = cache.drain_depot(self);
            blocks += in_depot.blocks;
            // Empty or not: what was there may be in the hand of a thread that drains it.
            if cache.lease.begin_drain(|generation| self.registry.is_over(index, generation)) {
                if !cache.is_empty() {
                    // SAFETY: this thread uses the cache until the drain ends.
                    blocks += unsafe { cache.owner() }.flush(self);
                }
                cache.lease.end_drain();
            }
            let is_drained = u64::from(cache.lease.is_drained());
            let of_cache = in_depot.under_way.unwrap_or(0) << 1 | is_drained;
            drains = drains.rotate_left(1).wrapping_add(of_cache.wrapping_mul(DRAINS));
        }
        Reclaimed { blocks, under_way: (drains != 0).then_some(drains) }
    }

    /// Asks the other threads to flush their caches at their next operation. True, if one has something.
    pub fn ask_others(&self, own: Option<OwnCache<'_>>) -> bool {
        self.others(own).map(Cache::ask).count() > 0
    }

    /// The other threads' caches that have something.
    pub fn others<'a>(&'a self, own: Option<OwnCache<'a>>) -> impl Iterator<Item = &'a Cache> {
        let caches = self.caches.iter().map(|(_, cache)| cache);
        caches.filter(move |cache| !own.is_some_and(|own| ptr::eq(own.cache(), *cache)) && !cache.is_empty())
    }
}
