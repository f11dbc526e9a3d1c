//! Rows near the free blocks that the stacks lead to: a short row that fits, without a look at all blocks.
//!
//! A row of n units has a free block of a quarter of n or more, if free buddies are merged. So the stacks of a few
//! orders lead to all rows that are hardly longer than wanted. Nodes are looked at where they stand. They are hints: a
//! row is taken by the states of its blocks.

use super::buddy::Buddy;
use super::class::Class;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use super::state::Kind;

/// A row is followed to this many times the units that are wanted. All longer ones are as good.
const LONG: u32 = 4;

impl Buddy {
    /// Takes the first units of a short row where a block of `want` may begin, into transit. It is the shortest that is
    /// long enough, of the rows around `most` nodes from the tops of the stacks on and `most` further down, for each
    /// order that leads to one. `None` says only that there was none. Lock-free.
    pub(super) fn find_row_near(&self, want: Class, most: usize, shard: Shard) -> Option<BlockIndex> {
        // A heap serves no class that no order of its own covers.
        let largest = want.covering().filter(|order| most > 0 && *order <= self.geometry.max_order())?;
        let units = want.units();
        let (mut best, mut length) = (None, u32::MAX);
        let least = want.order().down().unwrap_or(Order::ZERO);
        for order in least.through(largest).rev() {
            let stacks = self.shards.all(shard, order.place());
            let tops = stacks.flat_map(|stack| stack.look(&self.links)).take(most);
            let further = self.links.behind(self.looked.last(order)).take(most);
            let mut last = None;
            for block in tops.chain(further) {
                last = Some(block);
                let Some((first, end)) = self.row_around(block, want) else { continue };
                let begin = u64::from(first) + u64::from(self.geometry.gap(BlockIndex::new(first), want.alignment()));
                if begin + u64::from(units) <= u64::from(end) && end - first < length {
                    // Not past `end`.
                    (best, length) = (Some((first, begin as u32)), end - first);
                }
                if length == units {
                    break;
                }
            }
            if let Some(last) = last {
                self.looked.note(order, last);
            }
        }
        let (first, begin) = best?;
        let block = BlockIndex::new(begin);
        self.take_row(first, block, begin + units, shard).then_some(block)
    }

    /// Where the row of free blocks begins and ends that a free block is in, as far as it is of use for `want`.
    fn row_around(&self, block: BlockIndex, want: Class) -> Option<(u32, u32)> {
        let most = want.units().saturating_mul(LONG);
        let seen = self.states.at(block).read();
        let size = (seen.kind() == Kind::Free).then_some(seen.order())?;
        let (mut first, mut end) = (block.get(), block.after(1, size).get());
        while let Some(head) = self.free_before(first, want).filter(|_| end - first < most) {
            first = head.get();
        }
        while end - first < most && end < self.geometry.units() {
            let next = BlockIndex::new(end);
            let seen = self.states.at(next).read();
            if seen.kind() != Kind::Free {
                break;
            }
            end = next.after(1, seen.order()).get();
        }
        Some((first, end))
    }

    /// The free block that ends before `unit`, if it is as large as to be of use for `want`.
    fn free_before(&self, unit: u32, want: Class) -> Option<BlockIndex> {
        let last = BlockIndex::new(unit.checked_sub(1)?);
        for order in Class::eighth(want.order()).through(want.covering()?) {
            // A free block is aligned to its size. Where no block begins, a larger one may.
            let head = self.geometry.enclosing(last, order)?;
            let seen = self.states.at(head).read();
            if seen.kind() != Kind::Inner {
                return (seen.kind() == Kind::Free && seen.order() >= order).then_some(head);
            }
        }
        None
    }
}
