//! The nodes that a sweep has in hand: taken off the stacks before it merges, so that it can tell the node of each block that
//! disappears, and put back when it is done, each onto the stack where its block belongs.

use super::marks::Marks;
use super::stop::Stop;
use super::walk::{GatherTables, IDLE, LEFT, TAKEN, TOPS, UNCLEAR, Ways};
use crate::check::check;
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::shards::Shard;
use crate::raw::stack::{Chain, Detached, FreeStack};
use crate::raw::state::Kind;
use crate::sync::{Ordering, model_or};

/// Nodes that are pushed back at once, so that others don't miss them for long.
const TIDY_BATCH: usize = 256;

/// Of each stack, what a sweep leaves to the others as long as it has the rest in hand: one node for so many units of the heap,
/// but so many at most.
/// Under loom one.
const RESERVE: (u32, u32) = model_or((4, 1), (64, 4096));

/// Blocks, from the first one of the heap on, among which it looks for nodes to leave when it takes what stands in the stacks at
/// the end; and how many it leaves at most.
/// Under loom one.
const AHEAD: (u32, usize) = model_or((1, 1), (4096, TIDY_BATCH));

/// Units of the smallest heap in which a sweep takes nodes in hand before it merges, and of the smallest one in which it does so only to
/// tidy the stacks, for which a walk on many paths is all that there is to be had: in others it is as fast without.
/// Under loom so many that there are heaps in which it does the one, and smaller ones, in which it does not. The other is made of
/// the same parts, and would be more to explore in all models.
const LEAST_UNITS: [u32; 2] = model_or([4, u32::MAX], [1024, 8192]);

/// It is not worth while before a sweep has visited one block for so many units: to go through the tables takes as long.
const UNITS_FOR_A_BLOCK: u64 = 256;

/// Units of a heap in which a sweep looks for a node that a path may begin at, from the beginning of a region on.
const NEAR: u32 = 64;

/// The nodes that a sweep has in hand.
#[derive(Debug)]
pub(in crate::raw) struct Gathered<'a> {
    heap: &'a Buddy,
    nodes: &'a Marks,
    /// Nodes of blocks that were not free, and so became idle.
    dropped: u64,
}

impl Buddy {
    /// Is it worth while to take nodes in hand, for a sweep that has visited so many blocks, and will merge, or only tidy?
    pub(in crate::raw) fn is_worth_gathering(&self, blocks: u64, will_merge: bool) -> bool {
        let (units, [to_merge, to_tidy]) = (self.geometry.units(), LEAST_UNITS);
        units >= if will_merge { to_merge } else { to_tidy } && blocks >= u64::from(units) / UNITS_FOR_A_BLOCK
    }

    /// Takes the stacks' nodes in hand, but for a reserve, if no other sweep has some there. What one has left that stopped is put
    /// back before. O(entries + units / 4 096). Lock-free. `None` also if it stopped; then the nodes stand in the stacks
    /// again.
    pub(in crate::raw) fn gather(&self, stop: &mut Stop<'_>) -> Option<Gathered<'_>> {
        let GatherTables { taken, nodes, paths } = &self.hand;
        // Acquire: pairs with the Release in `put_back` and below; the tables are as the last one has left them.
        let before = taken.swap(TAKEN, Ordering::Acquire);
        if before == TAKEN {
            return None;
        }
        let mut hand = Gathered { heap: self, nodes, dropped: 0 };
        match before {
            LEFT if !hand.put_all(stop) => {
                // Release: as in `put_back`.
                taken.store(LEFT, Ordering::Release);
                return None;
            }
            UNCLEAR => nodes.clear_all(self.reached()),
            _ => {}
        }
        let (share, most) = RESERVE;
        let reserve = most.min(self.geometry.units() / share);
        let mut ways = Ways { links: &self.links, end: self.links.end(), units: 0, tops: [None; TOPS] };
        for (stack, top) in self.used_stacks().zip(&mut ways.tops) {
            if stop.is_stopped() {
                break;
            }
            *top = self.detach_but(stack, reserve, nodes);
            stop.is_due(if top.is_some() { reserve } else { 0 });
        }
        // Whoever took a node off a stack sees that there were tables for its unit.
        ways.units = self.reached();
        if ways.tops.iter().all(Option::is_none) {
            nodes.clear_all(ways.units);
            return Some(hand);
        }
        let units = ways.units;
        let is_listed = |unit: &BlockIndex| self.states.at(*unit).glance().is_listed();
        let begin = |from: u32, to: u32| {
            // Not in step with each other, or the lines of all that is read along them would be in each other's way.
            let from = from.saturating_add((from >> 6).wrapping_mul(0x9E37_79B9) >> 20 & (to - from - 1) & !(NEAR - 1));
            let near = from..to.min(from.saturating_add(NEAR)).min(units);
            near.map(BlockIndex::new).find(is_listed)
        };
        if !stop.is_stopped() && paths.walk(&ways, nodes, stop, begin) {
            return Some(hand);
        }
        // Nothing was written to their links.
        for (stack, top) in self.used_stacks().zip(ways.tops) {
            stack.put_below(&self.links, Detached::from(&self.links, top));
        }
        // Release: pairs with the Acquire above.
        taken.store(UNCLEAR, Ordering::Release);
        None
    }

    fn used_stacks(&self) -> impl Iterator<Item = &FreeStack> {
        self.shards.through(self.geometry.max_order().slot())
    }

    /// Takes all nodes but so many out of a stack, and marks the ones that stay. Returns the first of the others, which are in the
    /// caller's hand.
    fn detach_but(&self, stack: &FreeStack, reserve: u32, marks: &Marks) -> Option<BlockIndex> {
        if reserve == 0 {
            return stack.detach(&self.links).top();
        }
        let mut chain: Option<Chain> = None;
        // One by one, as allocations do: more of them together would hardly ever be had while those go on.
        for node in core::iter::from_fn(|| stack.pop(&self.links)).take(reserve as usize) {
            marks.set(node);
            match &mut chain {
                Some(chain) => chain.append(&self.links, node),
                none => *none = Some(Chain::new(node)),
            }
        }
        stack.replace(&self.links, chain?).top()
    }

    /// Has some sweep nodes in hand?
    pub(in crate::raw) fn is_gathered(&self) -> bool {
        // Relaxed: a hint.
        self.hand.taken.load(Ordering::Relaxed) == TAKEN
    }

    /// Has one that stopped left some?
    fn is_left(&self) -> bool {
        // Relaxed: who sees that the stacks want tidying, because one stopped, sees this, too. Else a hint.
        self.hand.taken.load(Ordering::Relaxed) == LEFT
    }

    /// Goes through the stacks, drops the entries that are stale and moves the ones that are in the wrong stack; with what the
    /// sweep, which has visited so many blocks, has in hand already. Returns how many it dropped.
    ///
    /// If it stops, the stacks want tidying again, and nothing is lost: what it has not walked along is in the stacks as it was,
    /// and what it has not put back is left to the next one.
    #[cold]
    pub(in crate::raw) fn tidy<'a>(&'a self, mut hand: Option<Gathered<'a>>, blocks: u64, stop: &mut Stop<'_>) -> u64 {
        if hand.is_none() && (self.is_worth_gathering(blocks, false) || self.is_left()) {
            hand = self.gather(stop);
        }
        let dropped = match hand {
            Some(mut hand) => {
                hand.gather_rest(stop);
                hand.put_back(stop)
            }
            None => self.tidy_singly(stop),
        };
        if stop.is_stopped() {
            // Last, with its Release: who sees it sees what was left.
            self.note_displaced();
        }
        self.tell_of_stacks();
        dropped
    }

    /// The same without the tables.
    pub(in crate::raw) fn tidy_singly(&self, stop: &mut Stop<'_>) -> u64 {
        let mut dropped = 0;
        // Descending: a node moves to the stack of a larger order as a rule, and is not visited again there.
        for order in Order::ZERO.through(self.geometry.max_order()).rev() {
            let mut chains = Chains::new(self);
            for stack in self.shards.all(Shard::FIRST, order.slot()) {
                if stop.is_stopped() {
                    return dropped;
                }
                let mut nodes = stack.detach(&self.links);
                while !stop.is_due(1)
                    && let Some(block) = nodes.next()
                {
                    dropped += chains.put(block);
                }
                stack.put_below(&self.links, nodes);
            }
        }
        dropped
    }
}

impl Gathered<'_> {
    /// Is the node of this block in hand?
    #[inline]
    pub(in crate::raw) fn has(&self, block: BlockIndex) -> bool {
        self.nodes.has(block)
    }

    /// It is not any more: it has become idle, or stands in a stack.
    #[inline]
    pub(in crate::raw) fn let_go(&mut self, block: BlockIndex) {
        self.nodes.clear(block);
    }

    /// Takes what stands in the stacks by now, and leaves some of the first blocks of the heap in its stead, so that others find
    /// something there until the rest is put back.
    fn gather_rest(&mut self, stop: &mut Stop<'_>) {
        let heap = self.heap;
        let mut first = self.first_blocks().into_iter().take(heap.geometry.max_order().slot() + 1);
        for stack in heap.used_stacks() {
            // Into the first shard.
            let chain = first.next().flatten();
            if stop.is_stopped() {
                chain.into_iter().for_each(|chain| stack.push(&heap.links, chain));
                continue;
            }
            let mut nodes = match chain {
                Some(chain) => stack.replace(&heap.links, chain),
                None => stack.detach(&heap.links),
            };
            while !stop.is_due(1)
                && let Some(node) = nodes.next()
            {
                check!(!self.nodes.has(node), "a node in hand stands in no stack");
                self.nodes.set(node);
            }
            stack.put_below(&heap.links, nodes);
        }
    }

    /// Takes out of the hand the nodes of some of the first blocks of the heap, for the stacks of their orders.
    fn first_blocks(&mut self) -> [Option<Chain>; Order::COUNT] {
        let (heap, mut chains) = (self.heap, [None; Order::COUNT]);
        let (share, _) = RESERVE;
        let (blocks, nodes) = AHEAD;
        let ahead = heap.scan().take(blocks.min(heap.geometry.units() / share) as usize);
        let in_hand = ahead.filter(|(block, seen)| seen.kind() == Kind::Free && self.nodes.has(*block));
        for (block, seen) in in_hand.take(nodes) {
            // Its state may change before the push; then this is a stale entry.
            self.nodes.clear(block);
            match &mut chains[seen.order().slot()] {
                Some(chain) => Chain::append(chain, &heap.links, block),
                none => *none = Some(Chain::new(block)),
            }
        }
        chains
    }

    /// Pushes the nodes onto the stacks where they belong, so that the first blocks of the heap are at the top, and drops those
    /// of blocks that are not free; returns how many.
    fn put_back(mut self, stop: &mut Stop<'_>) -> u64 {
        let to = if self.put_all(stop) { IDLE } else { LEFT };
        // Release: pairs with the Acquire in `gather`.
        self.heap.hand.taken.store(to, Ordering::Release);
        self.dropped
    }

    /// The same, but that the tables stay in hand. False, if it stopped: some of the nodes are left there.
    fn put_all(&mut self, stop: &mut Stop<'_>) -> bool {
        let mut chains = Chains::new(self.heap);
        let mut handled = 0;
        for place in (0..self.nodes.words(self.heap.reached())).rev() {
            if stop.is_due(1 + handled) {
                return false;
            }
            handled = 0;
            for block in self.nodes.drain_word(place) {
                self.dropped += chains.put(block);
                handled += 1;
            }
        }
        true
    }
}

/// Nodes on the way to the stacks where they belong.
struct Chains<'a> {
    heap: &'a Buddy,
    of_order: [Option<Chain>; Order::COUNT],
    count: usize,
}

impl<'a> Chains<'a> {
    fn new(heap: &'a Buddy) -> Self {
        Self { heap, of_order: [None; Order::COUNT], count: 0 }
    }

    /// Adds a node, which is in the caller's hand, or else drops it and returns 1.
    fn put(&mut self, block: BlockIndex) -> u64 {
        // Dropped ones count as well: what comes between long stretches of them is not to wait for the end.
        self.count += 1;
        if self.count > TIDY_BATCH {
            self.push();
        }
        let Some(order) = self.heap.put_away_slow(block) else {
            return 1;
        };
        match &mut self.of_order[order.slot()] {
            Some(chain) => chain.prepend(&self.heap.links, block),
            none => *none = Some(Chain::new(block)),
        }
        0
    }

    fn push(&mut self) {
        self.count = 0;
        for (order, chain) in Order::ZERO.through(Order::MAX).zip(&mut self.of_order) {
            if let Some(chain) = chain.take() {
                self.heap.push(chain, order, Shard::of_sweep());
            }
        }
    }
}

impl Drop for Chains<'_> {
    fn drop(&mut self) {
        self.push();
    }
}
