//! Taking a whole heap out of use.

use super::buddy::Buddy;
use super::shards::Shard;
use crate::sync::Ordering;

impl Buddy {
    /// Closes the heap: from now on allocations should leave it alone, and searches do. False: it was closed already.
    pub fn close(&self) -> bool {
        // Relaxed: a hint. What can be had of the heap is in its states.
        self.closed.swap(1, Ordering::Relaxed) == 0
    }

    /// Opens it again, for who closed it.
    pub fn open(&self) {
        // Relaxed: published by the next line.
        self.closed.store(0, Ordering::Relaxed);
        // Something was published, as it were: a search that passed over the heap must look again, and a failure that
        // was remembered is void. Whoever counts this sees that the heap is open.
        self.note_displaced();
    }

    /// Shall allocations leave the heap alone? A hint, but for a search that has read the version before.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Relaxed: see `open`.
        self.closed.load(Ordering::Relaxed) != 0
    }

    /// Takes all of the heap, if all of it is free and merged: every block is in transit then, for ever, unless
    /// [`give_back`](Self::give_back) comes. O(blocks of the merged heap). Lock-free.
    pub fn take_all(&self, shard: Shard) -> bool {
        for (block, order) in self.geometry.blocks(0..self.geometry.units()) {
            if self.states.at(block).absorb(order).is_err() {
                self.publish_range(0..block.get(), shard);
                return false;
            }
        }
        true
    }

    /// Publishes all of a heap that was seized.
    pub fn give_back(&self, shard: Shard) {
        self.publish_range(0..self.geometry.units(), shard);
    }
}
