//! Takes a whole heap out of use.

use super::buddy::Buddy;
use super::shards::Shard;
use crate::sync::Ordering;

impl Buddy {
    /// Closes the heap: from now on searches pass over it, and so do allocations that see it in time. False: it was
    /// closed already.
    pub fn close(&self) -> bool {
        // Relaxed: a hint. The states tell what can be had of the heap.
        self.closed.swap(1, Ordering::Relaxed) == 0
    }

    /// Opens the heap again. For the thread that closed it.
    pub fn open(&self) {
        // Relaxed: published by the next line.
        self.closed.store(0, Ordering::Relaxed);
        // This counts as a publication: a search that passed over the heap must look again, and a failure that was
        // remembered is void. A thread that counts it sees that the heap is open.
        self.note_displaced();
    }

    /// Shall allocations leave the heap alone? A hint, but exact for a search that has read the version before.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Relaxed: see `open`.
        self.closed.load(Ordering::Relaxed) != 0
    }

    /// Takes all of the heap, if all of it is free and merged. Every block is in transit then, for ever, or until
    /// [`give_back`](Self::give_back). O(blocks of the merged heap). Lock-free.
    pub fn take_all(&self, shard: Shard) -> bool {
        for (block, order) in self.geometry.blocks(0..self.geometry.units()) {
            if self.states.at(block).absorb(order).is_err() {
                self.publish_range(0..block.get(), shard);
                return false;
            }
        }
        true
    }

    /// Publishes all of a heap that was taken.
    pub fn give_back(&self, shard: Shard) {
        self.publish_range(0..self.geometry.units(), shard);
    }
}
