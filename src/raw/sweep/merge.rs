//! Merging, deferred to sweeps: a pass over the state words that joins free buddies.

use crate::sync::model_or;
use core::ops::Range;

use super::gather::Gathered;
use super::skip::Skipped;
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::shards::Shard;
use crate::raw::stack::Chain;
use crate::raw::state::{Kind, State};

/// Blocks of one order that are merged at once, as a number of orders: their states, if they are single units, fill eight cache
/// lines.
/// Under loom four blocks, the least that are not merged pair by pair.
const RUN_ORDERS: u32 = model_or(2, 8);
/// But no more at once than this part of the heap, so that others find enough of it, should the sweep be stopped then.
/// Under loom all of it: no model has so many units.
const RUN_PART: u32 = model_or(1, 16);

/// Units after which a sweep looks whether the others have large blocks left; and that a search goes on for at least when it has
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
    /// Units that it saw free, but for the ones that it took.
    pub free_units: u64,
    /// The order of the largest free block that it came upon, before it merged that with others.
    pub largest_found: Option<Order>,
    /// The order of the largest free block that it left.
    pub largest: Option<Order>,
    /// It lost a race: what it saw is not the whole truth.
    pub raced: bool,
    /// The first unit that it found in transit, which it can't see what becomes of, and how many there were.
    pub transit: Option<BlockIndex>,
    pub in_transit: u64,
    /// The block that it took, `Live` now, if it was asked for one.
    pub taken: Option<BlockIndex>,
}

/// What a pass may take for the caller: a block of this order.
pub type Want = Option<Order>;

impl Sweep {
    /// Adds what the sweep of another heap did and saw.
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

    /// What it saw is the whole truth, if nothing was published meanwhile.
    pub fn is_settled(&self) -> bool {
        !self.raced && self.transit.is_none()
    }

    /// How much work it was, whatever it found: states that it had to look at.
    pub fn steps(&self) -> u64 {
        self.blocks + self.in_transit
    }
}

impl Buddy {
    /// Merges all free buddies and tidies the stacks. With `want`, takes the first block of that order that it finds
    /// or forms, so that a failing caller can't lose what its own sweep made. O(blocks). Lock-free; any number may run
    /// at once; abandoned anywhere, it hides at most the blocks whose nodes it has in gathered from all but scans, and those that it merges.
    pub fn sweep(&self, want: Want, shard: Shard) -> Sweep {
        self.sweep_first(self.geometry.units(), want, shard)
    }

    /// The same for a heap of which only the first `units` units were ever published.
    pub(crate) fn sweep_first(&self, units: u32, want: Want, shard: Shard) -> Sweep {
        let mut pass = Pass { gathers: true, ..Pass::new(self, want, shard) };
        pass.run(0..units);
        let Pass { mut sweep, gathered, .. } = pass;
        // Not with `||`: it is noted that they are tidied.
        if self.start_to_tidy() | gathered.is_some() {
            sweep.dropped += self.tidy(gathered, sweep.blocks, shard);
        }
        sweep
    }

    /// The pass: ascending, block by block. Whatever can be merged with what lies left of it is, as far up as it
    /// goes; what lies right of it is merged when the pass gets there. The stacks are left as they are.
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
    /// Shall it take the nodes in gathered before it merges?
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
                Kind::Cached | Kind::Live => {
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

    /// Passes over what there is nothing to do about.
    fn skip(&mut self, from: u32, end: u32) -> Option<(BlockIndex, State)> {
        let Skipped { blocks, free_units, largest, found } = self.heap.skip_quiet(from, end, self.want);
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
        let run = self.merge_run(block, order, end);
        let (mut head, mut size) = run.unwrap_or((block, order));
        let next = if run.is_some() { head.after(1, size) } else { block.after(1, order) };
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

    /// Takes a free block that the pass came upon, and publishes what of it is too much.
    fn take_found(&mut self, block: BlockIndex, order: Order, want: Order) -> u32 {
        let size = if order > want { self.heap.halve(block, order, self.shard) } else { order };
        let is_taken = self.heap.states.at(block).take(State::free(size), want).is_ok();
        if is_taken || size < order {
            // Its node stays behind in a stack, or in gathered.
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

    /// Free → in transit; the node becomes idle, if it is in gathered.
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

    /// Before it merges.
    fn begin_to_merge(&mut self) {
        if self.gathers && self.heap.is_worth_gathering(self.sweep.blocks, true) {
            self.gathers = false;
            self.gathered = self.heap.gather();
        }
    }

    /// Merges an upper buddy with its lower one and with what follows, if these are four free blocks of one order or more, in one
    /// step: all of them but the first are in transit for so long. Returns the merged block; `None`: there was nothing of the
    /// kind, or somebody was faster.
    ///
    /// It goes on to no larger block than there is to be in one of the pass, and to none that is wanted.
    fn merge_run(&mut self, upper: BlockIndex, order: Order, end: u32) -> Option<(BlockIndex, Order)> {
        let heap = self.heap;
        let head = heap.geometry.lower_buddy(upper, order)?;
        let is_free = |place: &u32| heap.states.at(head.after(*place, order)).read().is_free(order);
        let largest = order.until(Order::MAX).skip(1).take(RUN_ORDERS as usize).take_while(|up| {
            *up <= heap.geometry.max_order()
                && up.units() <= heap.geometry.units() / RUN_PART
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
        let count = 1 << count.ilog2();
        let absorbed = (1..count).take_while(|place| self.absorb(head.after(*place, order), order)).count() as u32;
        // As many as there are up to a power of two are merged; the others are published again.
        let orders = (1 + absorbed).ilog2();
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

    /// Merges an upper buddy with its lower one, if both are free; returns the merged block, if it is still free.
    ///
    /// The lower half never disappears from scans: it is raised in one step, or else the upper half, which was taken
    /// first, is published again.
    fn merge_left(&mut self, upper: BlockIndex, order: Order) -> Option<(BlockIndex, Order)> {
        let heap = self.heap;
        let lower = heap.geometry.lower_buddy(upper, order)?;
        let up = order.up()?;
        let word = heap.states.at(lower);
        if !word.read().is_free(order) {
            // Or another sweep has merged the two since the upper one was seen; then the lower one is free, but larger.
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

    /// Gives a block to the others that the sweep has the node of in gathered, if they have none as large: else the next allocation that
    /// finds the stacks empty would begin a sweep of its own.
    fn offer(&mut self, block: BlockIndex, order: Order) {
        let Some(gathered) = self.gathered.as_mut().filter(|gathered| gathered.has(block)) else { return };
        let heap = self.heap;
        let mut larger =
            order.through(heap.geometry.max_order()).flat_map(|order| heap.shards.all(self.shard, order.slot()));
        if larger.all(|stack| stack.is_empty(&heap.links)) {
            gathered.let_go(block);
            heap.push(Chain::new(block), order, self.shard);
        }
    }
}
