//! Gathering: a sweep takes the nodes off the stacks before it merges, so that it can tell the node of each block that
//! disappears. When it is done it puts the nodes back, each onto the stack of its block.

use super::marks::Marks;
use super::tables::GatherTables;
use super::walk::{TOPS, Ways};
use crate::check::check;
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::shards::Shard;
use crate::raw::stack::{Chain, FreeStack};
use crate::raw::state::Kind;
use crate::sync::{Ordering, model_or};

/// Nodes that a sweep pushes back at once. Few, so that others don't miss them for long.
const TIDY_BATCH: usize = 256;

/// What a sweep leaves in each stack while it has the other nodes: (units of the heap for each node left, most nodes
/// left).
/// Under loom one node.
const RESERVE: (u32, u32) = model_or((4, 1), (64, 4096));

/// What a sweep leaves when it detaches the stacks a second time: it looks at (this many of the first blocks of the
/// heap) for (at most this many nodes).
/// Under loom one.
const AHEAD: (u32, usize) = model_or((1, 1), (4096, TIDY_BATCH));

/// Units of the smallest heap in which a sweep gathers nodes: [before it merges, only to tidy]. A smaller heap is swept
/// as fast without. A sweep that only tidies gains no more than the walk on many paths.
/// Under loom there are heaps on both sides of the first limit. The second case is made of the same parts, and would
/// make each model larger.
const LEAST_UNITS: [u32; 2] = model_or([4, u32::MAX], [1024, 8192]);

/// A sweep gathers only if it has visited one block for this many units or more: to go through the tables takes as
/// long.
const UNITS_FOR_A_BLOCK: u64 = 256;

/// Units in which a sweep looks for the first node of a path, from a place in a region on.
const NEAR: u32 = 64;

/// The nodes that a sweep owns, all of them marked.
#[derive(Debug)]
pub(in crate::raw) struct Gathered<'a> {
    heap: &'a Buddy,
    nodes: &'a Marks,
}

impl Buddy {
    /// Is it worth while to gather nodes, for a sweep that has visited `blocks` blocks, and will merge, or only tidy?
    pub(in crate::raw) fn is_worth_gathering(&self, blocks: u64, will_merge: bool) -> bool {
        let (units, [to_merge, to_tidy]) = (self.geometry.units(), LEAST_UNITS);
        units >= if will_merge { to_merge } else { to_tidy } && blocks >= u64::from(units) / UNITS_FOR_A_BLOCK
    }

    /// Takes the stacks' nodes, except a reserve. `None`: another sweep has the tables. O(entries + units / 4 096).
    /// Lock-free.
    pub(in crate::raw) fn gather(&self) -> Option<Gathered<'_>> {
        let GatherTables { taken, nodes, paths } = &self.gather_tables;
        // Acquire: pairs with the Release in `put_back`; the tables are as the last sweep left them.
        if taken.swap(1, Ordering::Acquire) != 0 {
            return None;
        }
        let (share, most) = RESERVE;
        let reserve = most.min(self.geometry.units() / share);
        let mut ways = Ways { links: &self.links, end: self.links.end(), units: 0, tops: [None; TOPS] };
        for (stack, top) in self.used_stacks().zip(&mut ways.tops) {
            *top = self.detach_but(stack, reserve, nodes);
        }
        // Read after the nodes were taken: a thread that takes a node off a stack sees that there were tables for its
        // unit.
        ways.units = self.covered();
        if ways.tops.iter().all(Option::is_none) {
            nodes.clear_all(ways.units);
            return Some(Gathered { heap: self, nodes });
        }
        let units = ways.units;
        let is_listed = |unit: &BlockIndex| self.states.at(*unit).glance().is_listed();
        let begin = |from: u32, to: u32| {
            // Paths don't begin at equal distances: the lines that are read along them would share a few sets of the
            // processor's cache.
            let from = from.saturating_add((from >> 6).wrapping_mul(0x9E37_79B9) >> 20 & (to - from - 1) & !(NEAR - 1));
            let near = from..to.min(from.saturating_add(NEAR)).min(units);
            near.map(BlockIndex::new).find(is_listed)
        };
        paths.walk(&ways, nodes, begin);
        Some(Gathered { heap: self, nodes })
    }

    fn used_stacks(&self) -> impl Iterator<Item = &FreeStack> {
        self.shards.through(self.geometry.max_order().place())
    }

    /// Takes all nodes but `reserve` out of a stack, and marks the ones that stay. Returns the first of the others,
    /// which the caller owns.
    fn detach_but(&self, stack: &FreeStack, reserve: u32, marks: &Marks) -> Option<BlockIndex> {
        if reserve == 0 {
            return stack.detach(&self.links).top();
        }
        let mut chain: Option<Chain> = None;
        // One by one, as allocations do: a pop of many would hardly ever succeed while those go on.
        for node in core::iter::from_fn(|| stack.pop(&self.links)).take(reserve as usize) {
            marks.set(node);
            match &mut chain {
                Some(chain) => chain.append(&self.links, node),
                none => *none = Some(Chain::new(node)),
            }
        }
        stack.replace(&self.links, chain?).top()
    }

    /// Has some sweep gathered nodes?
    pub(in crate::raw) fn is_gathered(&self) -> bool {
        // Relaxed: a hint.
        self.gather_tables.taken.load(Ordering::Relaxed) != 0
    }

    /// Goes through the stacks, drops the stale entries and moves the ones that are in the wrong stack. The sweep has
    /// visited `blocks` blocks, and may have gathered nodes already. Returns how many entries it dropped. O(entries).
    #[cold]
    pub(in crate::raw) fn tidy<'a>(&'a self, gathered: Option<Gathered<'a>>, blocks: u64, shard: Shard) -> u64 {
        let gather = || self.is_worth_gathering(blocks, false).then(|| self.gather()).flatten();
        let dropped = match gathered.or_else(gather) {
            Some(mut gathered) => {
                gathered.gather_rest();
                gathered.put_back(shard)
            }
            None => self.tidy_singly(shard).0,
        };
        self.tell_of_stacks();
        dropped
    }

    /// The same without the tables. Returns how many entries it dropped, and how many there were.
    pub(in crate::raw) fn tidy_singly(&self, shard: Shard) -> (u64, u64) {
        let (mut dropped, mut entries) = (0, 0);
        // Descending: a node moves to the stack of a larger order as a rule, and is not visited again there.
        for order in Order::ZERO.through(self.geometry.max_order()).rev() {
            let mut chains = Chains::new(self, shard);
            for stack in self.shards.all(Shard::FIRST, order.place()) {
                let nodes = stack.detach(&self.links).inspect(|_| entries += 1);
                dropped += nodes.map(|block| chains.put(block)).sum::<u64>();
            }
        }
        (dropped, entries)
    }
}

impl Gathered<'_> {
    /// Does the sweep own the node of this block?
    #[inline]
    pub(in crate::raw) fn has(&self, block: BlockIndex) -> bool {
        self.nodes.has(block)
    }

    /// The sweep does not own it any more: it has become idle, or stands in a stack.
    #[inline]
    pub(in crate::raw) fn let_go(&mut self, block: BlockIndex) {
        self.nodes.clear(block);
    }

    /// Takes what was pushed meanwhile, and leaves nodes of the first blocks of the heap in its stead, so that others
    /// find something until the rest is put back.
    fn gather_rest(&mut self) {
        let heap = self.heap;
        // Into the first shard: a chain for each order.
        let mut first = self.first_blocks().into_iter().take(heap.geometry.max_order().place() + 1);
        for stack in heap.used_stacks() {
            let nodes = match first.next().flatten() {
                Some(chain) => stack.replace(&heap.links, chain),
                None => stack.detach(&heap.links),
            };
            for node in nodes {
                check!(!self.nodes.has(node), "a gathered node stands in no stack");
                self.nodes.set(node);
            }
        }
    }

    /// Lets go of the nodes of some of the first blocks of the heap, as chains for the stacks of their orders.
    fn first_blocks(&mut self) -> [Option<Chain>; Order::COUNT] {
        let (heap, mut chains) = (self.heap, [None; Order::COUNT]);
        let (share, _) = RESERVE;
        let (blocks, nodes) = AHEAD;
        let ahead = heap.scan().take(blocks.min(heap.geometry.units() / share) as usize);
        let gathered = ahead.filter(|(block, seen)| seen.kind() == Kind::Free && self.nodes.has(*block));
        for (block, seen) in gathered.take(nodes) {
            // Its state may change before the push; then this is a stale entry.
            self.nodes.clear(block);
            match &mut chains[seen.order().place()] {
                Some(chain) => Chain::append(chain, &heap.links, block),
                none => *none = Some(Chain::new(block)),
            }
        }
        chains
    }

    /// Pushes the nodes of free blocks onto the stacks of their orders, so that the first blocks of the heap are at the
    /// tops, drops the others, and gives the tables back. Returns how many it dropped.
    fn put_back(self, shard: Shard) -> u64 {
        let Self { heap, nodes } = self;
        let mut chains = Chains::new(heap, shard);
        let words = (0..nodes.words(heap.covered())).rev();
        let dropped = words.flat_map(|place| nodes.drain_word(place)).map(|block| chains.put(block)).sum();
        // The last ones, too, before another sweep has the tables.
        drop(chains);
        // Release: pairs with the Acquire in `gather`.
        heap.gather_tables.taken.store(0, Ordering::Release);
        dropped
    }
}

/// Nodes on the way to the stacks where they belong.
struct Chains<'a> {
    heap: &'a Buddy,
    shard: Shard,
    of_order: [Option<Chain>; Order::COUNT],
    count: usize,
}

impl<'a> Chains<'a> {
    fn new(heap: &'a Buddy, shard: Shard) -> Self {
        Self { heap, shard, of_order: [None; Order::COUNT], count: 0 }
    }

    /// Adds a node, which the caller owns, or drops it and returns 1.
    fn put(&mut self, block: BlockIndex) -> u64 {
        // Dropped ones count as well: nodes that come between many dropped ones don't wait for the end.
        self.count += 1;
        if self.count > TIDY_BATCH {
            self.push();
        }
        let Some(order) = self.heap.put_away_slow(block) else {
            return 1;
        };
        match &mut self.of_order[order.place()] {
            Some(chain) => chain.prepend(&self.heap.links, block),
            none => *none = Some(Chain::new(block)),
        }
        0
    }

    fn push(&mut self) {
        self.count = 0;
        for (order, chain) in Order::ZERO.through(Order::MAX).zip(&mut self.of_order) {
            if let Some(chain) = chain.take() {
                self.heap.push(chain, order, self.shard);
            }
        }
    }
}

impl Drop for Chains<'_> {
    fn drop(&mut self) {
        self.push();
    }
}
