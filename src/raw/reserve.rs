//! Takes given units, wherever in free blocks they lie.
//!
//! A free block that begins before the units is halved until one begins with them. The blocks that follow are taken as
//! a row. So only wanted units are in transit, and the rest of the last block.

use core::ops::Range;

use super::buddy::Buddy;
use super::class::Class;
use super::order::BlockIndex;
use super::shards::Shard;
use super::state::{Kind, Node, State};

/// Why units were not taken, as seen afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupied {
    /// The first of the units that was not free.
    pub first: Option<BlockIndex>,
    /// How many of them are in `Live` blocks.
    pub live: u32,
    /// How many are in `Cached` ones.
    pub cached: u32,
    /// How many were in transit.
    pub in_transit: u32,
}

impl Buddy {
    /// Takes the block of `class` at `block`, which becomes `Live`, if all of its units are free. Lock-free. O(blocks
    /// there + orders).
    ///
    /// # Errors
    ///
    /// When they are not all free, or another thread was faster. All is as it was then, except that blocks may be
    /// halved.
    pub fn reserve(&self, block: BlockIndex, class: Class, shard: Shard) -> Result<(), Occupied> {
        let units = block.get()..block.get() + class.units();
        self.take_units(&units, shard)?;
        // Its node may stand in a stack. The release of the block sees to that.
        let (Node::Idle | Node::Elsewhere) = self.assign_block(block, State::live(class));
        Ok(())
    }

    /// Takes exactly these units, as the fewest `Live` blocks of orders. Returns how many. As
    /// [`reserve`](Self::reserve).
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    pub fn reserve_all(&self, units: &Range<u32>, shard: Shard) -> Result<u32, Occupied> {
        self.take_units(units, shard)?;
        let mut blocks = 0;
        for (block, order) in self.geometry.blocks(units.clone()) {
            // As above.
            let (Node::Idle | Node::Elsewhere) = self.states.at(block).assign(State::live(order.into()));
            blocks += 1;
        }
        Ok(blocks)
    }

    /// May a block of `class` begin at `block`, and end in the heap?
    pub fn may_begin(&self, block: BlockIndex, class: Class) -> bool {
        let is_there = class.covering().is_some_and(|order| order <= self.geometry.max_order());
        let is_inside = class.end(block) <= u64::from(self.geometry.units());
        is_there && is_inside && self.geometry.is_aligned(block, class.alignment())
    }

    /// Free → in transit: these units and no others.
    fn take_units(&self, units: &Range<u32>, shard: Shard) -> Result<(), Occupied> {
        let first = BlockIndex::new(units.start);
        let there = || self.block_before(first).unwrap_or_else(|| (first, self.states.at(first).read()));
        let is_too_large = |head, seen: State| head < first || seen.order().units() > units.end - units.start;
        loop {
            let (head, seen) = there();
            if seen.kind() != Kind::Free || !is_too_large(head, seen) {
                break;
            }
            // Else another thread has changed it.
            if self.halve(head, seen.order(), shard) < seen.order() {
                // Its node stays behind in a stack.
                self.note_displaced();
            }
        }
        match self.absorb_row(units.start, units.end, shard) {
            Some(taken) => {
                self.publish_range(units.end..taken, shard);
                Ok(())
            }
            None => Err(self.occupied(units)),
        }
    }

    /// How these units are used.
    fn occupied(&self, units: &Range<u32>) -> Occupied {
        let mut seen_all = Occupied::default();
        let mut note = |from: u32, to: u32, seen: State| {
            let (from, count) = (from.max(units.start), to.min(units.end) - from.max(units.start));
            let counter = match seen.kind() {
                Kind::Free => return,
                Kind::Inner => &mut seen_all.in_transit,
                Kind::Cached => &mut seen_all.cached,
                Kind::Live | Kind::Tail => &mut seen_all.live,
            };
            *counter += count;
            seen_all.first = seen_all.first.or(Some(BlockIndex::new(from)));
        };
        let mut at = units.start;
        if let Some((head, seen)) = self.block_before(BlockIndex::new(at)) {
            // A block ends inside the heap.
            let end = seen.size().end(head) as u32;
            note(at, end, seen);
            at = end;
        }
        while at < units.end {
            let seen = self.states.at(BlockIndex::new(at)).read();
            let end = seen.size().end(BlockIndex::new(at)) as u32;
            note(at, end, seen);
            at = end;
        }
        seen_all
    }
}
