//! Merging: one pass over the state words that joins free buddies.

use crate::sync::model_or;
use core::ops::Range;

use super::gather::Gathered;
use super::skip::Skipped;
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::shards::Shard;
use crate::raw::stack::Chain;
use crate::raw::state::{Kind, State};

/// Orders by which a batch merge may enlarge a block: 2^8 blocks are merged at once. If they are single units, their
/// states fill eight cache lines.
/// Under loom four blocks, the least that are not merged pair by pair.
const BATCH_ORDERS: u32 = model_or(2, 8);
/// The part of the heap that a batch merge may take into transit, 1 / `BATCH_PART`: others find the rest, should the
/// sweep be stopped then.
/// Under loom all of it: no model has as many units.
const BATCH_PART: u32 = model_or(1, 16);

/// Units after which a sweep looks whether the others have large blocks left. A search goes on for as many after it has
/// found its block.
const OFFER: u32 = 1 << 16;

/// What a sweep did and saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    /// Blocks that it visited.
    pub blocks: u64,
    /// Pairs of buddies that it merged.
    pub merges: u64,
    /// Stale entries that it dropped from the stacks.
    pub dropped: u64,
    /// Units that it saw free, without those that it took.
    pub free_units: u64,
    /// The order of the largest free block that it found, before it merged that with others.
    pub largest_found: Option<Order>,
    /// The order of the largest free block that it left.
    pub largest: Option<Order>,
    /// It lost a race: what it saw is not the whole truth.
    pub raced: bool,
    /// The first unit that it found in transit.
    pub transit: Option<BlockIndex>,
    /// Units that it found in transit.
    pub in_transit: u64,
    /// The block that it took, `Live` now, if it was asked for one.
    pub taken: Option<BlockIndex>,
}

/// The order of the block that a pass is to take for the caller, if any.
pub type Want = Option<Order>;

impl Sweep {
    /// Adds the results of the sweep of another heap.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.merges += other.merges;
        self.dropped += other.dropped;
        self.free_units += other.free_units;
        self.largest_found = self.largest_found.max(other.largest_found);
        self.largest = self.largest.max(other.largest);
        self.raced |= other.raced;
        self.transit = self.transit.or(other.transit);
        self.in_transit += other.in_transit;
    }

    /// Is what it saw the whole truth, if nothing was published meanwhile?
    pub fn is_settled(&self) -> bool {
        !self.raced && self.transit.is_none()
    }

    /// Its work: the states that it had to look at.
    pub fn steps(&self) -> u64 {
        self.blocks + self.in_transit
    }
}

impl Buddy {
    /// Merges all free buddies and tidies the stacks. With `want`, takes the first block of that order that it finds
    /// or forms. So a failing caller can't lose the block that its own sweep made. It leaves blocks in the stacks of
    /// `shard`. O(blocks). Lock-free; any number may run at once. A sweep that is abandoned anywhere hides the blocks
    /// of the nodes that it has gathered, which scans still find, and those that it merges; no others.
    pub fn sweep(&self, want: Want, shard: Shard) -> Sweep {
        self.sweep_first(self.geometry.units(), want, shard)
    }

    /// The same for a heap of which only the first `units` units were ever published.
    pub(crate) fn sweep_first(&self, units: u32, want: Want, shard: Shard) -> Sweep {
        let mut pass = Pass { gathers: true, ..Pass::new(self, want, shard) };
        pass.run(0..units);
        let Pass { mut sweep, gathered, .. } = pass;
        // Not with `||`: `start_to_tidy` notes that the stacks are tidied.
        if self.start_to_tidy() | gathered.is_some() {
            sweep.dropped += self.tidy(gathered, sweep.blocks, shard);
        }
        sweep
    }

    /// One pass, ascending, block by block. It merges each free block with what lies left of it, as far up as that
    /// goes. It merges what lies right of it when it gets there. The stacks are left as they are.
    pub(in crate::raw) fn merge(&self, range: Range<u32>, want: Want, shard: Shard) -> Sweep {
        let mut pass = Pass::new(self, want, shard);
        pass.run(range);
        pass.sweep
    }
}

/// A pass over the states.
struct Pass<'a> {
    heap: &'a Buddy,
    want: Want,
    shard: Shard,
    sweep: Sweep,
    /// Shall it gather the nodes before it merges?
    gathers: bool,
    gathered: Option<Gathered<'a>>,
    /// The unit at which it last looked whether the others have large blocks left.
    offered: u32,
}

impl<'a> Pass<'a> {
    fn new(heap: &'a Buddy, want: Want, shard: Shard) -> Self {
        Self { heap, want, shard, sweep: Sweep::default(), gathers: false, gathered: None, offered: 0 }
    }

    fn run(&mut self, range: Range<u32>) {
        let (mut at, mut end) = (range.start, range.end);
        while let Some((block, seen)) = self.skip(at, end) {
            let wanted = self.want;
            at = match seen.kind() {
                Kind::Inner => {
                    // A head is due here: its block is in transit.
                    self.sweep.transit = self.sweep.transit.or(Some(block));
                    let next = self.heap.states.skip_inner(block.get(), end).max(block.after(1, Order::ZERO).get());
                    self.sweep.in_transit += u64::from(next - block.get());
                    next
                }
                Kind::Free => self.merge_block(block, seen.order(), end),
                Kind::Cached | Kind::Live | Kind::Tail => {
                    self.sweep.blocks += 1;
                    block.after(1, seen.order()).get()
                }
            };
            if self.want != wanted && self.gathered.is_none() && self.heap.is_gathered() {
                // It has what it wants, and there is another sweep that merges the rest.
                end = end.min(at.saturating_add(OFFER));
            }
        }
        if self.sweep.merges > 0 {
            self.heap.note_displaced();
        }
    }

    /// Skips the blocks that the sweep leaves alone.
    fn skip(&mut self, from: u32, end: u32) -> Option<(BlockIndex, State)> {
        let Skipped { blocks, free_units, largest, found } = self.heap.skip(from, end, self.want);
        self.sweep.add(&Sweep { blocks, free_units, largest, largest_found: largest, ..Sweep::default() });
        found
    }

    /// One free block of the pass; returns where to go on.
    fn merge_block(&mut self, block: BlockIndex, order: Order, end: u32) -> u32 {
        self.sweep.blocks += 1;
        if let Some(want) = self.want.filter(|want| *want <= order) {
            return self.take_found(block, order, want);
        }
        self.sweep.free_units += u64::from(order.units());
        self.sweep.largest_found = self.sweep.largest_found.max(Some(order));
        let merged = self.merge_batch(block, order, end);
        let (mut head, mut size) = merged.unwrap_or((block, order));
        let next = if merged.is_some() { head.after(1, size) } else { block.after(1, order) };
        while let Some((lower, up)) = self.merge_left(head, size) {
            (head, size) = (lower, up);
        }
        self.sweep.largest = self.sweep.largest.max(Some(size));
        if next.get().wrapping_sub(self.offered) >= OFFER {
            self.offered = next.get();
            self.offer(head, size);
        }
        next.get()
    }

    /// Takes a free block that the pass found, and publishes the part of it that is too much.
    fn take_found(&mut self, block: BlockIndex, order: Order, want: Order) -> u32 {
        let size = if order > want { self.heap.halve(block, order, self.shard) } else { order };
        let is_taken = self.heap.states.at(block).take(State::free(size), want).is_ok();
        if is_taken || size < order {
            // Its node stays behind in a stack, or gathered.
            self.heap.note_displaced();
        }
        if !is_taken {
            self.sweep.raced = true;
            return block.after(1, size).get();
        }
        self.heap.split(block, size, want, self.shard);
        self.has_taken(block);
        block.after(1, want).get()
    }

    fn has_taken(&mut self, block: BlockIndex) {
        self.sweep.taken = Some(block);
        self.want = None;
    }

    /// Free → in transit. Its node becomes idle, if it is gathered.
    fn absorb(&mut self, block: BlockIndex, order: Order) -> bool {
        let word = self.heap.states.at(block);
        match &mut self.gathered {
            Some(gathered) if gathered.has(block) => {
                let absorbed = word.absorb_with_node(order).is_ok();
                if absorbed {
                    gathered.let_go(block);
                    self.sweep.dropped += 1;
                }
                absorbed
            }
            _ => word.absorb(order).is_ok(),
        }
    }

    /// Gathers the nodes before the first merge.
    fn begin_to_merge(&mut self) {
        if self.gathers && self.heap.is_worth_gathering(self.sweep.blocks, true) {
            self.gathers = false;
            self.gathered = self.heap.gather();
        }
    }

    /// A batch merge: four or more free blocks of one order that follow each other become one block at once. All of
    /// them, except the first, are in transit meanwhile. `upper` is the second of them. Returns the merged block;
    /// `None`: there was no batch, or another thread was faster.
    ///
    /// It makes no larger block than `end` and `BATCH_PART` allow, and none as large as the wanted one.
    fn merge_batch(&mut self, upper: BlockIndex, order: Order, end: u32) -> Option<(BlockIndex, Order)> {
        let heap = self.heap;
        let head = heap.geometry.lower_buddy(upper, order)?;
        let is_free = |place: &u32| heap.states.at(head.after(*place, order)).read().is_free(order);
        let largest = order.until(Order::MAX).skip(1).take(BATCH_ORDERS as usize).take_while(|up| {
            *up <= heap.geometry.max_order()
                && up.units() <= heap.geometry.units() / BATCH_PART
                && self.want.is_none_or(|want| *up < want)
                && heap.geometry.is_aligned(head, *up)
                && head.end(*up) <= u64::from(end)
        });
        let most = 1 << (largest.last()?.get() - order.get());
        let count = (0..most).take_while(is_free).count();
        if count < 4 {
            return None;
        }
        self.begin_to_merge();
        let count = 1 << count.checked_ilog2().unwrap_or(0);
        let absorbed = (1..count).take_while(|place| self.absorb(head.after(*place, order), order)).count() as u32;
        // A power of two of them is merged; the others are published again.
        let orders = (1 + absorbed).checked_ilog2().unwrap_or(0);
        let up = Order::new(order.get() + orders)?;
        let is_raised = absorbed > 0 && heap.states.at(head).raise(order, up).is_ok();
        let merged = if is_raised { 1 << orders } else { 1 };
        let rest = head.after(merged, order).get()..head.after(1 + absorbed, order).get();
        let published = heap.geometry.blocks(rest.clone()).count();
        heap.publish_range(rest, self.shard);
        self.sweep.raced |= !is_raised || 1 + absorbed < count;
        self.sweep.merges += u64::from(absorbed) - published as u64;
        if !is_raised {
            return None;
        }
        // The first two were counted.
        self.sweep.blocks += u64::from(merged - 2);
        self.sweep.free_units += u64::from(merged - 2) << order.get();
        Some((head, up))
    }

    /// Merges an upper buddy with its lower one, if both are free. Returns the merged block, if it is still free.
    ///
    /// The lower half never disappears from scans: it is raised in one step. If that fails, the upper half, which was
    /// taken first, is published again.
    fn merge_left(&mut self, upper: BlockIndex, order: Order) -> Option<(BlockIndex, Order)> {
        let heap = self.heap;
        let lower = heap.geometry.lower_buddy(upper, order)?;
        let up = order.up()?;
        let word = heap.states.at(lower);
        if !word.read().is_free(order) {
            // Another sweep may have merged the two since the upper one was seen. Then the lower one is free, but
            // larger.
            self.sweep.raced |= !heap.states.at(upper).read().is_free(order);
            return None;
        }
        self.begin_to_merge();
        if !self.absorb(upper, order) {
            self.sweep.raced = true;
            return None;
        }
        let keep = self.want == Some(up);
        let raised = if keep { word.raise_and_take(order, up) } else { word.raise(order, up) };
        if raised.is_err() {
            heap.publish(upper, order, self.shard);
            self.sweep.raced = true;
            return None;
        }
        self.sweep.merges += 1;
        if keep {
            self.has_taken(lower);
            self.sweep.free_units = self.sweep.free_units.saturating_sub(u64::from(up.units()));
            return None;
        }
        Some((lower, up))
    }

    /// Pushes the gathered node of a block, if no stack has a block as large: else the next allocation that finds the
    /// stacks empty would begin a sweep of its own.
    fn offer(&mut self, block: BlockIndex, order: Order) {
        let Some(gathered) = self.gathered.as_mut().filter(|gathered| gathered.has(block)) else { return };
        let heap = self.heap;
        let mut larger =
            order.through(heap.geometry.max_order()).flat_map(|order| heap.shards.all(self.shard, order.place()));
        if larger.all(|stack| stack.is_empty(&heap.links)) {
            gathered.let_go(block);
            heap.push(Chain::new(block), order, self.shard);
        }
    }
}
