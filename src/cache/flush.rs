//! Giving blocks back to their heaps.

use core::iter;

use crate::heap::Heap;
use crate::raw::{Batch, BlockIndex, Order};

use super::bin::{BinIndex, Entry};
use super::cache::{Cache, add};
use super::caches::Reach;
use super::depot::MAGAZINE;

impl Cache {
    /// Does what the owner is asked for, and opens the window again.
    pub(super) fn attend(&self, reach: &Reach<'_>) {
        if self.take_request() {
            self.flush(reach);
        }
        if let Some(heap) = self.window.heap()
            && self.window.is_closed()
        {
            self.window.show(heap, || reach.heaps.get(heap.id).is_some(), || self.is_asked());
        }
    }

    /// Gives all blocks that this cache has, and all that others brought home to it, back to their heaps. Only for the owner:
    /// the thread of this number, or who claimed it. Returns how many there were.
    pub fn flush(&self, reach: &Reach<'_>) -> usize {
        let mut flushed = 0;
        for order in Order::ZERO.through(Order::MAX) {
            let blocks = self.empty(BinIndex::of(order), order, reach);
            add(&self.counts.flushed, blocks as u64);
            flushed += blocks;
        }
        for (number, outbox) in self.outboxes.iter().enumerate() {
            flushed += self.empty(BinIndex::of_outbox(number), outbox.of().order(), reach);
        }
        flushed + self.drain_depot(reach)
    }

    fn empty(&self, bin: BinIndex, order: Order, reach: &Reach<'_>) -> usize {
        let mut oldest = [Entry::NONE; MAGAZINE];
        let mut taken = || match self.bins.take_oldest(bin, &mut oldest) {
            0 => None,
            count => Some(self.flush_to_heaps(order, &oldest[..count], reach)),
        };
        iter::from_fn(&mut taken).sum()
    }

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
                drained += self.flush_to_heaps(order, &blocks[..count], reach);
            }
        }
        drained
    }

    /// `Held` → `Free`, for blocks of one order that the caller has. Returns how many.
    pub(super) fn flush_to_heaps(&self, order: Order, blocks: &[Entry], reach: &Reach<'_>) -> usize {
        let mut batch: Option<(&Heap, Batch<'_>)> = None;
        for block in blocks {
            let current = batch.as_ref().and_then(|(heap, _)| heap.numbered(block.0));
            let found = current.map(|block| (None, block));
            let found = found.or_else(|| reach.heaps.numbered(block.0).map(|(heap, block)| (Some(heap), block)));
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
}

impl Reach<'_> {
    /// Gives back to the heaps all that is cached and can be had at once: by this thread, if it has a cache, in the depots, and
    /// by threads that are gone. True, if there was something.
    pub fn reclaim(&self, own: Option<&Cache>) -> bool {
        let mut flushed = own.map_or(0, |cache| cache.flush(self));
        for (index, cache) in self.caches.iter() {
            flushed += cache.drain_depot(self);
            if !cache.is_empty() && self.indices.claim_free(index) {
                flushed += cache.flush(self);
                self.indices.release(index);
            }
        }
        flushed > 0
    }

    /// Asks the other threads to flush their caches at their next operation. True, if one has something.
    pub fn ask_others(&self, own: Option<&Cache>) -> bool {
        let others = self.caches.iter().map(|(_, cache)| cache);
        let others = others.filter(|cache| !own.is_some_and(|own| core::ptr::eq(own, *cache)) && !cache.is_empty());
        others.map(Cache::ask).count() > 0
    }
}
