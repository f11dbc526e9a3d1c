//! Spans: any number of consecutive units, as the blocks that they consist of. A larger block is cut, and the rest goes
//! back.
//!
//! A span is released block by block, and each is merged with its free buddies at once, as far up as that goes. Spans
//! are large and few, so that this costs little, and the heap needs no sweep to have large blocks again. Two buddies
//! that are released at the same moment may miss each other. Then a sweep merges them.

use core::ops::{ControlFlow, Range};

use super::buddy::Buddy;
use super::order::{BlockIndex, Order};
use super::outline::Outlines;
use super::shards::Shard;
use super::state::{Kind, Node, State};
use crate::check::check;
use crate::sync::model_or;

/// The part of the heap that a release has in transit while it merges, 1 / `TRANSIT_PART`.
const TRANSIT_PART: u32 = model_or(2, 4);

impl Buddy {
    /// Takes a block from the stacks, cuts it down to `units` units, the first aligned to a block of `align`, and
    /// publishes the others. `None` says only that the stacks did not have a block that large. Lock-free.
    pub fn alloc_span(&self, units: u32, align: Order, shard: Shard) -> Option<BlockIndex> {
        let order = Order::covering(units as usize)?.max(align);
        let (block, from) = self.take_near(order, State::live(order.into()), shard)?;
        self.split(block, from, order, shard);
        self.cut(block, order, units, shard);
        Some(block)
    }

    /// Cuts a `Live` block of `order`, which the caller has, down to `units` units.
    fn cut(&self, block: BlockIndex, order: Order, units: u32, shard: Shard) {
        if units == order.units() {
            return;
        }
        for (part, size) in self.geometry.blocks(Self::span(block, units)) {
            let word = self.states.at(part);
            if part == block {
                let mut seen = word.read();
                // The owner of the node may clear `Listed` meanwhile.
                while let Err(now) = word.resize(seen, size.into()) {
                    seen = now;
                }
            } else {
                // Its node may stand in a stack. The release of the block sees to that.
                let (Node::Idle | Node::Elsewhere) = word.assign(State::live(size.into()));
            }
        }
        self.publish_range(block.get() + units..block.after(1, order).get(), shard);
    }

    /// Releases a span that the caller has, and merges it with the free blocks around it. Lock-free.
    pub fn release_span(&self, block: BlockIndex, units: u32, shard: Shard) {
        for (part, order) in self.geometry.blocks(Self::span(block, units)) {
            check!(matches!(self.states.at(part).read(), seen if seen.kind() == Kind::Live && seen.order() == order));
            self.release_merging(part, order, shard);
        }
    }

    /// Releases the end of a span that the caller has, and keeps the first `to` of its `from` units.
    pub fn shrink_span(&self, block: BlockIndex, from: u32, to: u32, shard: Shard) {
        let keeps = block.get() + to;
        for (part, order) in self.geometry.blocks(Self::span(block, from)) {
            if part.get() >= keeps {
                self.release_merging(part, order, shard);
            } else if part.end(order) > u64::from(keeps) {
                self.cut(part, order, keeps - part.get(), shard);
            }
        }
    }

    /// Makes a span that the caller has longer, if the units behind it are free. If not, it stays as it is, and the
    /// answer is false. Lock-free. O(blocks behind it).
    pub fn grow_span(&self, block: BlockIndex, from: u32, to: u32, shard: Shard) -> bool {
        let (behind, end) = (block.get() + from, block.get() + to);
        let Some(taken) = self.absorb_row(behind, end, shard) else { return false };
        self.publish_range(end..taken, shard);
        for (part, _) in self.geometry.blocks(Self::span(block, from)) {
            self.states.at(part).withdraw();
        }
        self.claim_span(block, to);
        true
    }

    /// Takes the first span of consecutive free blocks within `within`: no single one need be large enough. Looks at
    /// `most` blocks or outlines. O(blocks). Lock-free.
    pub fn find_span(
        &self,
        within: Range<u32>,
        units: u32,
        align: Order,
        most: u32,
        shard: Shard,
        outlines: Option<&Outlines>,
    ) -> Option<BlockIndex> {
        let block = self.find_row(within, units, align, most, shard, outlines).found?;
        self.claim_span(block, units);
        Some(block)
    }

    /// In transit → `Live`, all of a span.
    fn claim_span(&self, block: BlockIndex, units: u32) {
        for (part, order) in self.geometry.blocks(Self::span(block, units)) {
            // Its node may stand in a stack. The release of the block sees to that.
            let (Node::Idle | Node::Elsewhere) = self.states.at(part).assign(State::live(order.into()));
        }
    }

    /// Takes each free block of at least `order` that begins within `units`, gives it to `with`, and publishes it
    /// again, until `with` wants no more. O(blocks). Lock-free.
    pub fn visit_free(
        &self,
        units: Range<u32>,
        order: Order,
        shard: Shard,
        mut with: impl FnMut(BlockIndex, Order) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut at = units.start;
        while at < units.end {
            let block = BlockIndex::new(at);
            let seen = self.states.at(block).read();
            let size = seen.extent();
            if seen.kind() == Kind::Free && size >= order && self.states.at(block).absorb(size).is_ok() {
                let next = with(block, size);
                self.publish(block, size, shard);
                next?;
            }
            at = block.after(1, size).get();
        }
        ControlFlow::Continue(())
    }

    /// Tells of each free block of the first `units` units. O(blocks).
    pub fn scan_first(&self, units: u32, mut free: impl FnMut(Order)) {
        let blocks = self.scan().take_while(|(block, _)| block.get() < units);
        blocks.filter(|(_, state)| state.kind() == Kind::Free).for_each(|(_, state)| free(state.order()));
    }

    /// Where the row of free blocks begins that ends with the first `units` units. O(blocks).
    pub fn free_tail(&self, units: u32) -> u32 {
        let blocks = self.scan().take_while(|(block, _)| block.get() < units);
        let taken = blocks.filter(|(_, state)| state.kind() != Kind::Free);
        let ends = taken.map(|(block, state)| block.after(1, state.extent()).get());
        ends.last().unwrap_or(0).min(units)
    }

    fn span(block: BlockIndex, units: u32) -> Range<u32> {
        block.get()..block.get() + units
    }

    /// `Live` → `Free`, merged with the free blocks around it as far up as that goes. A block of up to a `TRANSIT_PART`
    /// of the heap is in transit meanwhile, and is pushed as a whole. A larger one stays free while it is merged,
    /// except for its upper half: should the thread be stopped, others have the lower one.
    fn release_merging(&self, block: BlockIndex, order: Order, shard: Shard) {
        let most = self.covered() / TRANSIT_PART;
        let (mut head, mut size) = (block, order);
        if order.units() > most {
            let released = self.release(block, shard);
            check!(released.is_ok());
        } else {
            self.states.at(block).withdraw();
            (head, size) = self.publish_merged(block, order, most, shard);
        }
        while let Some(merged) = self.merge_free(head, size, shard) {
            (head, size) = merged;
        }
    }

    /// Merges a block with its buddy, if both are free.
    fn merge_free(&self, block: BlockIndex, order: Order, shard: Shard) -> Option<(BlockIndex, Order)> {
        let (buddy, up) = self.free_buddy(block, order)?;
        let [lower, upper] = [block.min(buddy), block.max(buddy)];
        let [word, upper_word] = [lower, upper].map(|block| self.states.at(block));
        if !self.states.at(block).read().is_free(order) || upper_word.absorb(order).is_err() {
            return None;
        }
        if word.raise(order, up).is_err() {
            self.publish(upper, order, shard);
            return None;
        }
        // Their nodes stay behind, in a stack of smaller blocks.
        self.note_displaced();
        Some((lower, up))
    }

    /// Publishes units that were in no block so far.
    pub fn extend(&self, units: Range<u32>, shard: Shard) {
        self.publish_range(units, shard);
    }
}
