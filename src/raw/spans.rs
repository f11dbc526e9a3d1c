//! Spans: any number of units in a row, as the blocks that they consist of; what a power of two has too much goes back.
//!
//! A span is released block by block, and each is merged with its free buddies at once, as far as they go: spans are large and
//! few, so that this costs little, and the heap needs no sweep to have large blocks again. Two buddies that are released at
//! the same moment may miss each other; then a sweep merges them.

use core::ops::{ControlFlow, Range};

use super::buddy::Buddy;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use super::state::{Kind, Node, State};
use crate::check::check;

impl Buddy {
    /// Takes `units` units in a row from the stacks, the first aligned to a block of `align`, and publishes what is too much.
    /// `None` says only that the stacks did not have a block that large. Lock-free.
    pub fn alloc_span(&self, units: u32, align: Order) -> Option<BlockIndex> {
        let order = Order::covering(units as usize)?.max(align);
        let shard = Shard::here();
        let (block, from) = self.take_near(order, State::live(order), shard)?;
        self.split(block, from, order, shard);
        self.cut(block, order, units);
        Some(block)
    }

    /// Cuts a `Live` block of `order`, which the caller owns, down to `units` units.
    fn cut(&self, block: BlockIndex, order: Order, units: u32) {
        if units == order.units() {
            return;
        }
        for (part, size) in self.geometry.blocks(Self::span(block, units)) {
            let word = self.states.at(part);
            if part == block {
                let mut seen = word.read();
                // The node's holder may clear `Listed` meanwhile.
                while let Err(now) = word.resize(seen, size) {
                    seen = now;
                }
            } else {
                // Wherever its node stands: who releases it sees to that.
                let (Node::Idle | Node::Elsewhere) = word.claim(State::live(size));
            }
        }
        self.publish_range(block.get() + units..block.after(1, order).get(), Shard::here());
    }

    /// Releases a span that the caller owns, and merges it with what is free around it. Lock-free.
    pub fn release_span(&self, block: BlockIndex, units: u32) {
        for (part, order) in self.geometry.blocks(Self::span(block, units)) {
            check!(matches!(self.states.at(part).read(), seen if seen.kind() == Kind::Live && seen.order() == order));
            self.release_merging(part, order);
        }
    }

    /// Releases the end of a span that the caller owns, and keeps the first `to` of its `from` units.
    pub fn shrink_span(&self, block: BlockIndex, from: u32, to: u32) {
        let keeps = block.get() + to;
        for (part, order) in self.geometry.blocks(Self::span(block, from)) {
            if part.get() >= keeps {
                self.release_merging(part, order);
            } else if part.end(order) > u64::from(keeps) {
                self.cut(part, order, keeps - part.get());
            }
        }
    }

    /// Makes a span that the caller owns longer, if the units behind it are free; false, if not, and then it is as it was.
    /// Lock-free; O(blocks behind it).
    pub fn grow_span(&self, block: BlockIndex, from: u32, to: u32) -> bool {
        let (behind, end) = (block.get() + from, block.get() + to);
        let Some(taken) = self.absorb_stretch(behind, end) else { return false };
        self.publish_range(end..taken, Shard::here());
        for (part, _) in self.geometry.blocks(Self::span(block, from)) {
            self.states.at(part).withdraw();
        }
        self.claim_span(block, to);
        true
    }

    /// Takes the first span of free blocks that lie one behind the other within `within`: a single one need not be large enough. Looks at
    /// `most` blocks. O(blocks). Lock-free.
    pub fn find_span(&self, within: Range<u32>, units: u32, align: Order, most: u32) -> Option<BlockIndex> {
        let (mut stretch, mut at) = (within.start, within.start);
        for _ in 0..most {
            if at >= within.end {
                break;
            }
            let next = BlockIndex::new(at);
            let seen = self.states.at(next).read();
            at = next.after(1, if seen.kind() == Kind::Inner { Order::ZERO } else { seen.order() }).get();
            if seen.kind() != Kind::Free {
                stretch = at;
                continue;
            }
            let start = u64::from(stretch) + u64::from(self.geometry.gap(BlockIndex::new(stretch), align));
            if u64::from(at) < start + u64::from(units) {
                continue;
            }
            // It ends before `at`, which is a unit.
            let (block, end) = (BlockIndex::new(start as u32), start as u32 + units);
            match self.absorb_stretch(stretch, end) {
                Some(taken) => {
                    self.publish_range(stretch..block.get(), Shard::here());
                    self.publish_range(end..taken, Shard::here());
                    self.claim_span(block, units);
                    return Some(block);
                }
                None => stretch = at,
            }
        }
        None
    }

    /// Takes free blocks in a row, from the one that begins at `start` on, until there are all units before `end`; returns where the
    /// last one ends. `None`: they are not all free, and none was taken.
    fn absorb_stretch(&self, start: u32, end: u32) -> Option<u32> {
        let mut at = start;
        while at < end {
            let next = BlockIndex::new(at);
            let Some(size) = self.absorb_units(next, end - at) else {
                self.publish_range(start..at, Shard::here());
                return None;
            };
            // Not past the last unit: the whole block is in the heap.
            at = next.after(1, size).get();
        }
        Some(at)
    }

    /// Takes a free block into transit, or its lower half, if that has `units` units, when the upper one is there for others; returns the
    /// order of what it took.
    fn absorb_units(&self, block: BlockIndex, units: u32) -> Option<Order> {
        let seen = self.states.at(block).read();
        let from = (seen.kind() == Kind::Free).then_some(seen.order())?;
        let is_larger = Order::covering(units as usize).is_some_and(|needed| from > needed);
        let size = if is_larger { self.halve(block, from, Shard::here()) } else { from };
        let is_absorbed = self.states.at(block).absorb(size).is_ok();
        if is_absorbed || size < from {
            // Its node stays behind in a stack.
            self.note_displaced();
        }
        is_absorbed.then_some(size)
    }

    /// In transit → `Live`, all of a span.
    fn claim_span(&self, block: BlockIndex, units: u32) {
        for (part, order) in self.geometry.blocks(Self::span(block, units)) {
            // Wherever its node stands: who releases it sees to that.
            let (Node::Idle | Node::Elsewhere) = self.states.at(part).claim(State::live(order));
        }
    }

    /// Takes each free block of at least `order` that begins within `units`, hands it to `with`, and publishes it again, until `with` wants no
    /// more. O(blocks). Lock-free.
    pub fn visit_free(
        &self,
        units: Range<u32>,
        order: Order,
        mut with: impl FnMut(BlockIndex, Order) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut at = units.start;
        while at < units.end {
            let block = BlockIndex::new(at);
            let seen = self.states.at(block).read();
            let size = if seen.kind() == Kind::Inner { Order::ZERO } else { seen.order() };
            if seen.kind() == Kind::Free && size >= order && self.states.at(block).absorb(size).is_ok() {
                let next = with(block, size);
                self.publish(block, size, Shard::here());
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

    /// Where the free blocks begin that lie one behind the other up to the end of the first `units` units. O(blocks).
    pub fn free_tail(&self, units: u32) -> u32 {
        let blocks = self.scan().take_while(|(block, _)| block.get() < units);
        let ends = blocks.filter(|(_, state)| state.kind() != Kind::Free).map(|(block, state)| {
            let order = if state.kind() == Kind::Inner { Order::ZERO } else { state.order() };
            block.after(1, order).get()
        });
        ends.last().unwrap_or(0).min(units)
    }

    fn span(block: BlockIndex, units: u32) -> Range<u32> {
        block.get()..block.get() + units
    }

    fn release_merging(&self, block: BlockIndex, order: Order) {
        let (mut head, mut size) = (block, order);
        self.states.at(block).withdraw();
        while let Some((buddy, up)) = self.buddy_of(head, size) {
            let word = self.states.at(buddy);
            if !word.read().is_free(size) || word.absorb(size).is_err() {
                break;
            }
            // Its node stays behind in a stack.
            self.note_displaced();
            (head, size) = (head.min(buddy), up);
        }
        self.publish(head, size, Shard::here());
    }

    /// The buddy of a block, and the order of both together, if the heap has them.
    fn buddy_of(&self, block: BlockIndex, order: Order) -> Option<(BlockIndex, Order)> {
        let up = order.up().filter(|up| *up <= self.geometry.max_order())?;
        let buddy = if self.geometry.is_upper(block, order) {
            self.geometry.lower_buddy(block, order)?
        } else {
            block.after(1, order)
        };
        (self.geometry.fits(block.min(buddy), up)).then_some((buddy, up))
    }

    /// Publishes units that no block was in so far.
    pub fn extend(&self, units: Range<u32>) {
        self.publish_range(units, Shard::here());
    }
}
