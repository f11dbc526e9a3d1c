//! Giving blocks back to their heaps.

use core::{iter, ptr};

use crate::heap::Heap;
use crate::raw::{Batch, BlockIndex, Order};

use super::bin::{BinIndex, Entry};
use super::cache::{Cache, Owner, add};
use super::caches::Reach;
use super::depot::MAGAZINE;

impl Owner<'_> {
    /// Does what the owner is asked for, and opens the window again; or leaves a heap that was removed, before the cache gets
    /// blocks of another one that has its addresses or its numbers.
    pub(super) fn attend(self, reach: &Reach<'_>) {
        if self.take_request() {
            self.flush(reach);
        }
        if let Some(heap) = self.shown() {
            if reach.heaps.get(heap.id).is_none() {
                self.leave();
            } else if self.is_closed() {
                self.show(heap);
            }
        }
    }

    /// Gives all blocks that this cache has, and all that others brought home to it, back to their heaps. Only for the owner:
    /// its user. Returns how many there were.
    pub fn flush(self, reach: &Reach<'_>) -> usize {
        let mut flushed = 0;
        for order in Order::ZERO.through(Order::MAX) {
            let blocks = self.empty(BinIndex::of(order), order, reach);
            add(&self.cache().counts.flushed, blocks);
            flushed += blocks;
        }
        for (number, outbox) in self.own().outboxes.iter().enumerate() {
            flushed += self.empty(BinIndex::of_outbox(number), outbox.of().order(), reach);
        }
        flushed + self.cache().drain_depot(reach)
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
    /// Gives what others brought home to this cache back to the heaps. For any thread. Returns how many blocks there were.
    pub fn drain_depot(&self, reach: &Reach<'_>) -> usize {
        if self.depot.is_empty() {
            return 0;
        }
        let mut blocks = [Entry::NONE; MAGAZINE];
        let mut drained = 0;
        for order in Order::ZERO.through(Order::MAX) {
            loop {
                let count = self.depot.take(order, &mut blocks);
                if count == 0 {
                    break;
                }
                drained += reach.flush_to_heaps(order, &blocks[..count]);
            }
        }
        drained
    }
}

impl Reach<'_> {
    /// `Held` → `Free`, for blocks of one order that the caller has. Returns how many.
    pub(super) fn flush_to_heaps(&self, order: Order, blocks: &[Entry]) -> usize {
        // Held blocks keep their heaps in the set, so that those of now have these.
        let pinned = self.set.pin();
        let mut batch: Option<(&Heap, Batch<'_>)> = None;
        for block in blocks {
            let current = batch.as_ref().and_then(|(heap, _)| heap.numbered(block.0));
            let found = current.map(|block| (None, block));
            let found = found.or_else(|| pinned.view().numbered(block.0).map(|(heap, block)| (Some(heap), block)));
            let Some((heap, block)): Option<(Option<&Heap>, BlockIndex)> = found else {
                debug_assert!(false, "a heap is not removed while a cache has blocks of it");
                continue;
            };
            if let Some(heap) = heap {
                batch = Some((heap, heap.buddy().release_batch()));
            }
            if let Some((_, batch)) = &mut batch {
                batch.flush(block, order);
            }
        }
        blocks.len()
    }

    /// Gives back to the heaps all that is cached and can be had at once: by this thread, if it has a cache, in the depots, and
    /// by threads that are gone. True, if there was something.
    pub fn reclaim(&self, own: Option<Owner<'_>>) -> bool {
        let mut flushed = own.map_or(0, |cache| cache.flush(self));
        for (index, cache) in self.caches.iter() {
            flushed += cache.drain_depot(self);
            if !cache.is_empty() && cache.user.begin_drain(|term| self.indices.is_over(index, term)) {
                // SAFETY: this thread uses the cache until the drain ends.
                flushed += unsafe { cache.owner() }.flush(self);
                cache.user.end_drain();
            }
        }
        flushed > 0
    }

    /// Asks the other threads to flush their caches at their next operation. True, if one has something.
    pub fn ask_others(&self, own: Option<Owner<'_>>) -> bool {
        self.others(own).map(Cache::ask).count() > 0
    }

    /// The other threads' caches that have something.
    pub fn others<'a>(&'a self, own: Option<Owner<'a>>) -> impl Iterator<Item = &'a Cache> {
        let caches = self.caches.iter().map(|(_, cache)| cache);
        caches.filter(move |cache| !own.is_some_and(|own| ptr::eq(own.cache(), *cache)) && !cache.is_empty())
    }
}
