//! Publishes blocks merged with their free buddies at once. So a heap whose blocks have many sizes keeps large ones
//! without a sweep. Two buddies that are published at the same moment may miss each other. Then a sweep merges them.

use core::ops::Range;

use super::buddy::Buddy;
use super::class::Class;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use crate::sync::{Ordering, model_or};

/// What a heap with blocks of several parts merges at once is at most this part of it: a thread that is stopped then
/// withholds no more. Sweeps merge what is larger.
/// Under loom all of it: no model has so many units.
const PART: u32 = model_or(1, 8);
/// Nodes that may be out of place before an allocation tidies the stacks, and one more for so many units.
const DISPLACED: u64 = 16;
const UNITS_FOR_A_DISPLACED: u32 = 1024;

impl Buddy {
    /// Notes that there are blocks of several parts. From now on releases merge.
    pub(super) fn note_parts(&self) {
        // Relaxed, both: a hint.
        if self.has_parts.load(Ordering::Relaxed) == 0 {
            self.has_parts.store(1, Ordering::Relaxed);
        }
    }

    /// Shall a block of the caller's be merged when it is published? Each block of several parts is, and others in a
    /// heap where there are such.
    #[inline]
    pub(super) fn is_to_merge(&self, block: BlockIndex, class: Class) -> bool {
        // Relaxed: a hint.
        !class.is_order()
            || self.has_parts.load(Ordering::Relaxed) != 0 && self.free_buddy(block, class.order()).is_some()
    }

    /// The buddy of a block, if it is free, and the order of both together.
    pub(super) fn free_buddy(&self, block: BlockIndex, order: Order) -> Option<(BlockIndex, Order)> {
        self.geometry.buddy_of(block, order).filter(|(buddy, _)| self.states.at(*buddy).read().is_free(order))
    }

    /// In transit → `Free`: publishes a block of the caller's, merged with its free buddies to blocks of at most `most`
    /// units. Returns the merged one. O(orders). Lock-free.
    pub(super) fn publish_merged(
        &self,
        block: BlockIndex,
        order: Order,
        most: u32,
        shard: Shard,
    ) -> (BlockIndex, Order) {
        let (mut head, mut size) = (block, order);
        while let Some((buddy, up)) = self.free_buddy(head, size).filter(|(_, up)| up.units() <= most) {
            if self.states.at(buddy).absorb(size).is_err() {
                break;
            }
            // Its node stays behind in a stack.
            self.note_displaced();
            (head, size) = (head.min(buddy), up);
        }
        self.publish(head, size, shard);
        (head, size)
    }

    /// Publishes a range of units that the caller has, as the fewest blocks, merged with their free buddies as far as
    /// one thread may withhold them.
    pub(super) fn publish_range_merged(&self, range: Range<u32>, shard: Shard) {
        let most = self.geometry.units() / PART;
        for (block, order) in self.geometry.blocks(range) {
            self.publish_merged(block, order, most, shard);
        }
    }

    /// Tidies the stacks, if many nodes are out of place because their blocks were merged. For allocations that would
    /// cut up a larger block. Under loom only sweeps do: the models would have too many interleavings.
    pub(super) fn tidy_if_many(&self, shard: Shard) {
        let units = self.geometry.units();
        // Relaxed: a hint.
        let is_due = !cfg!(modelled)
            && self.has_parts.load(Ordering::Relaxed) != 0
            && self.displaced() > DISPLACED + u64::from(units / UNITS_FOR_A_DISPLACED);
        if is_due && self.start_to_tidy() {
            self.tidy(None, u64::from(units), shard);
        }
    }
}
