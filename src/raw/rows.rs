//! Rows: free blocks that follow each other, taken together. No single one need be large enough.

use core::ops::Range;

use super::buddy::Buddy;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use super::state::Kind;

/// What a look for a row has found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// The first unit of the row, in transit now.
    pub(super) found: Option<BlockIndex>,
    /// The first unit that was in transit before.
    pub(super) transit: Option<BlockIndex>,
    /// Another thread was faster at some row.
    pub(super) raced: bool,
    /// Blocks and units in transit that it looked at.
    pub(super) steps: u64,
}

impl Buddy {
    /// Takes the first row of `units` free units within `within`, the first of them where a block of `align` may begin,
    /// into transit. Looks at `most` blocks. O(blocks). Lock-free.
    pub(super) fn find_row(&self, within: Range<u32>, units: u32, align: Order, most: u32, shard: Shard) -> Row {
        let (mut row, mut first, mut at) = (Row::default(), within.start, within.start);
        for _ in 0..most {
            if at >= within.end {
                break;
            }
            let next = BlockIndex::new(at);
            let seen = self.states.at(next).read();
            row.steps += 1;
            at = next.after(1, seen.extent()).get();
            if seen.kind() == Kind::Inner {
                row.transit = row.transit.or(Some(next));
            }
            if seen.kind() != Kind::Free {
                first = at;
                continue;
            }
            let start = u64::from(first) + u64::from(self.geometry.gap(BlockIndex::new(first), align));
            if u64::from(at) < start + u64::from(units) {
                continue;
            }
            // It ends before `at`, which is a unit.
            let (block, end) = (BlockIndex::new(start as u32), start as u32 + units);
            match self.absorb_row(first, end, shard) {
                Some(taken) => {
                    self.publish_range(first..block.get(), shard);
                    self.publish_range(end..taken, shard);
                    return Row { found: Some(block), ..row };
                }
                None => (first, row.raced) = (at, true),
            }
        }
        row
    }

    /// Takes free blocks in a row, from the one at `start` on, until it has all units before `end`. Returns where the
    /// last one ends. `None`: they are not all free, and none was taken.
    pub(super) fn absorb_row(&self, start: u32, end: u32, shard: Shard) -> Option<u32> {
        let mut at = start;
        while at < end {
            let next = BlockIndex::new(at);
            let Some(size) = self.absorb_units(next, end - at, shard) else {
                self.publish_range(start..at, shard);
                return None;
            };
            // Not past the last unit: the whole block is in the heap.
            at = next.after(1, size).get();
        }
        Some(at)
    }

    /// Takes a free block into transit. If half of it has `units` units, it publishes the upper half first, and takes
    /// the lower one. Returns the order of what it took.
    fn absorb_units(&self, block: BlockIndex, units: u32, shard: Shard) -> Option<Order> {
        let seen = self.states.at(block).read();
        let from = (seen.kind() == Kind::Free).then_some(seen.order())?;
        let is_larger = Order::covering(units as usize).is_some_and(|needed| from > needed);
        let size = if is_larger { self.halve(block, from, shard) } else { from };
        let is_absorbed = self.states.at(block).absorb(size).is_ok();
        if is_absorbed || size < from {
            // Its node stays behind in a stack.
            self.note_displaced();
        }
        is_absorbed.then_some(size)
    }
}
