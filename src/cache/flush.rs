//! Giving blocks back to their heaps.

use core::{iter, ptr};

use crate::check::check;
use crate::heaps::Heap;
use crate::raw::{Batch, BlockIndex, Class};

use super::bin::BinIndex;
use super::cache::{Cache, OwnCache};
use super::caches::Reach;
use super::counts::add;
use super::entry::Entry;
use super::layout::MAGAZINE;

impl OwnCache<'_> {
    /// Does what the owner is asked for, and opens the window again. Leaves a heap that was removed, before the cache
    /// gets blocks of another heap with its addresses or its numbers.
    pub(super) fn attend(self, reach: &Reach<'_>) {
        if self.take_request() {
            self.flush(reach);
        }
        let window = self.window();
        if window.shown_aside().is_some_and(|heap| reach.heaps.get(heap.id).is_none()) {
            window.leave_aside();
        }
        if let Some(heap) = window.shown() {
            if reach.heaps.get(heap.id).is_none() {
                self.leave();
            } else if window.is_closed() {
                self.show(heap);
            }
        }
    }

    /// Gives all blocks of this cache, and all in its depot, back to their heaps. Returns how many there were.
    pub fn flush(self, reach: &Reach<'_>) -> usize {
        let mut flushed = 0;
        self.move_counts(self.sizes().classes());
        for class in self.sizes().classes() {
            let blocks = self.empty(BinIndex::of(class), class, reach);
            add(&self.cache().counts.flushed, blocks);
            flushed += blocks;
        }
        for (number, outbox) in self.own().outboxes.iter().enumerate() {
            flushed += self.empty(BinIndex::of_outbox(number), outbox.of().class(), reach);
        }
        flushed + self.cache().drain_depot(reach)
    }

    fn empty(self, bin: BinIndex, class: Class, reach: &Reach<'_>) -> usize {
        let mut oldest = [Entry::NONE; MAGAZINE];
        let mut taken = || match self.bins().take_oldest(bin, &mut oldest) {
            0 => None,
            count => Some(reach.flush_to_heaps(class, &oldest[..count])),
        };
        iter::from_fn(&mut taken).sum()
    }
}

impl Cache {
    /// Gives the blocks in the depot back to the heaps. Returns how many there were. For any thread.
    pub fn drain_depot(&self, reach: &Reach<'_>) -> usize {
        let mut drained = 0;
        let flush = |class, blocks: &[Entry]| drained += reach.flush_to_heaps(class, blocks);
        self.depot.drain(self.sizes, &reach.caches.withheld, flush);
        drained
    }
}

impl Reach<'_> {
    /// Gives cached blocks of one class back to their heaps: `Cached` → `Free`. Returns how many.
    pub(super) fn flush_to_heaps(&self, class: Class, blocks: &[Entry]) -> usize {
        // Cached blocks keep their heaps in the set: the heaps of now have these blocks.
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
                // Into the shard where the owner of its tile looks first, and others last.
                batch.flush(block, class, heap.shard(block));
            }
        }
        blocks.len()
    }

    /// Gives all cached blocks back to the heaps that can be had at once: those of this thread's cache, if it has one,
    /// of all depots, and of the caches of ended threads. Returns how many there were. If `withheld` of the caches
    /// counts nobody afterwards, other threads withhold none of these.
    pub fn reclaim(&self, own: Option<OwnCache<'_>>) -> usize {
        let mut blocks = own.map_or(0, |cache| cache.flush(self));
        for (index, cache) in self.caches.iter() {
            blocks += cache.drain_depot(self);
            let is_over = |generation| self.registry.is_over(index, generation);
            if cache.lease.is_left(is_over) && !cache.is_empty() {
                self.caches.withheld.during(|| {
                    if cache.lease.begin_drain(is_over) {
                        // SAFETY: this thread has the lease until the drain ends.
                        blocks += unsafe { cache.owner() }.flush(self);
                        cache.lease.end_drain();
                    }
                });
            }
        }
        blocks
    }

    /// Asks the other threads to flush their caches at their next operation. True, if one has blocks.
    pub fn ask_others(&self, own: Option<OwnCache<'_>>) -> bool {
        self.others(own).map(Cache::ask).count() > 0
    }

    /// The other threads' caches that have blocks.
    pub fn others<'a>(&'a self, own: Option<OwnCache<'a>>) -> impl Iterator<Item = &'a Cache> {
        let caches = self.caches.iter().map(|(_, cache)| cache);
        caches.filter(move |cache| !own.is_some_and(|own| ptr::eq(own.cache(), *cache)) && !cache.is_empty())
    }
}
