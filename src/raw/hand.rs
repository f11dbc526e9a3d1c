//! The nodes that a sweep has in hand: taken off the stacks before it merges, so that it can tell the node of each block that
//! disappears, and put back when it is done, each onto the stack where its block belongs.

use super::buddy::Buddy;
use super::lanes::Lane;
use super::order::{BlockIndex, Order};
use super::stack::{Chain, FreeStack};
use super::walk::{Bits, HandTables, TOPS, Ways};
use crate::sync::Ordering;

/// Nodes that are pushed back at once, so that others don't miss them for long.
const TIDY_BATCH: usize = 256;

/// Of each stack, what a sweep leaves to the others as long as it has the rest in hand: one node for so many units of the heap,
/// but so many at most.
#[cfg(not(all(loom, feature = "loom")))]
const RESERVE: (u32, u32) = (64, 4096);
/// Under loom one.
#[cfg(all(loom, feature = "loom"))]
const RESERVE: (u32, u32) = (4, 1);

/// Units of the smallest heap in which a sweep takes nodes in hand before it merges, and of the smallest one in which it does so only to
/// tidy the stacks, for which a walk on many paths is all that there is to be had: in others it is as fast without.
#[cfg(not(all(loom, feature = "loom")))]
const LEAST_UNITS: [u32; 2] = [1024, 8192];
/// Under loom so many that there are heaps in which it does the one, and smaller ones, in which it does not. The other is made of
/// the same parts, and would be more to explore in all models.
#[cfg(all(loom, feature = "loom"))]
const LEAST_UNITS: [u32; 2] = [4, u32::MAX];

/// It is not worth while before a sweep has visited one block for so many units: to go through the tables takes as long.
const UNITS_FOR_A_BLOCK: u64 = 256;

/// Units of a heap in which a sweep looks for a node that a path may begin at, from the beginning of a region on.
const NEAR: u32 = 64;

/// The nodes that a sweep has in hand.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    heap: &'a Buddy,
    nodes: &'a Bits,
}

impl Buddy {
    /// Is it worth while to take nodes in hand, for a sweep that has visited so many blocks, and will merge, or only tidy?
    pub(super) fn is_worth_a_hand(&self, blocks: u64, will_merge: bool) -> bool {
        let (units, [to_merge, to_tidy]) = (self.geometry.units(), LEAST_UNITS);
        units >= if will_merge { to_merge } else { to_tidy } && blocks >= u64::from(units) / UNITS_FOR_A_BLOCK
    }

    /// Takes the stacks' nodes in hand, but for a reserve, if no other sweep has some there.
    /// O(entries + units / 4 096). Lock-free.
    pub(super) fn gather(&self) -> Option<Hand<'_>> {
        let HandTables { taken, nodes, paths } = &self.hand;
        // Acquire: pairs with the Release in `put_back`; the tables are as the last one has left them, the bits clear.
        if taken.swap(1, Ordering::Acquire) != 0 {
            return None;
        }
        let (share, most) = RESERVE;
        let reserve = most.min(self.geometry.units() / share);
        let mut ways = Ways { links: &self.links, end: self.links.end(), tops: [None; TOPS] };
        for (stack, top) in self.used_stacks().zip(&mut ways.tops) {
            *top = self.detach_but(stack, reserve, nodes);
        }
        if ways.tops.iter().all(Option::is_none) {
            nodes.drain().for_each(drop);
            return Some(Hand { heap: self, nodes });
        }
        let is_listed = |unit: &BlockIndex| self.states.at(*unit).glance().is_listed();
        paths.walk(&ways, nodes, |from, to| {
            // Not in step with each other, or the lines of all that is read along them would be in each other's way.
            let from = from.saturating_add((from >> 6).wrapping_mul(0x9E37_79B9) >> 20 & (to - from - 1) & !(NEAR - 1));
            let near = from..to.min(from.saturating_add(NEAR)).min(self.geometry.units());
            near.map(BlockIndex::new).find(is_listed)
        });
        Some(Hand { heap: self, nodes })
    }

    fn used_stacks(&self) -> impl Iterator<Item = &FreeStack> {
        self.lanes.through(self.geometry.max_order().slot())
    }

    /// Takes all nodes but so many out of a stack, and marks the ones that stay. Returns the first of the others, which are in the
    /// caller's hand.
    fn detach_but(&self, stack: &FreeStack, reserve: u32, marks: &Bits) -> Option<BlockIndex> {
        if reserve == 0 {
            return stack.detach_top(&self.links);
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
        stack.replace(&self.links, chain?)
    }

    /// Has some sweep nodes in hand?
    pub(super) fn is_gathered(&self) -> bool {
        // Relaxed: a hint.
        self.hand.taken.load(Ordering::Relaxed) != 0
    }

    /// Goes through the stacks, drops the entries that are stale and moves the ones that are in the wrong stack; with what the
    /// sweep, which has visited so many blocks, has in hand already. Returns how many it dropped.
    #[cold]
    pub(super) fn tidy(&self, hand: Option<Hand<'_>>, blocks: u64) -> u64 {
        match hand.or_else(|| self.is_worth_a_hand(blocks, false).then(|| self.gather()).flatten()) {
            Some(mut hand) => {
                hand.gather_rest();
                hand.put_back()
            }
            None => self.tidy_singly(),
        }
    }

    /// The same without the tables.
    pub(super) fn tidy_singly(&self) -> u64 {
        let mut dropped = 0;
        // Descending: a node moves to the stack of a larger order as a rule, and is not visited again there.
        for order in Order::ZERO.through(self.geometry.max_order()).rev() {
            let mut chains = Chains::new(self);
            for stack in self.lanes.all(Lane::FIRST, order.slot()) {
                for block in stack.detach(&self.links) {
                    dropped += chains.put(block);
                }
            }
        }
        dropped
    }
}

impl Hand<'_> {
    /// Is the node of this block in hand?
    #[inline]
    pub(super) fn has(&self, block: BlockIndex) -> bool {
        self.nodes.has(block)
    }

    /// It is not any more: it has become idle, or stands in a stack.
    #[inline]
    pub(super) fn let_go(&mut self, block: BlockIndex) {
        self.nodes.clear(block);
    }

    /// Takes what stands in the stacks by now.
    fn gather_rest(&mut self) {
        for stack in self.heap.used_stacks() {
            for node in stack.detach(&self.heap.links) {
                debug_assert!(!self.nodes.has(node), "a node in hand stands in no stack");
                self.nodes.set(node);
            }
        }
    }

    /// Pushes the nodes onto the stacks where they belong, so that the first blocks of the heap are at the top, and drops those
    /// of blocks that are not free; returns how many.
    fn put_back(self) -> u64 {
        let mut chains = Chains::new(self.heap);
        let dropped = self.nodes.drain().map(|block| chains.put(block)).sum();
        drop(chains);
        // Release: pairs with the Acquire in `gather`.
        self.heap.hand.taken.store(0, Ordering::Release);
        dropped
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
        let Some(order) = self.heap.put_away_slow(block) else {
            return 1;
        };
        match &mut self.of_order[order.slot()] {
            Some(chain) => chain.prepend(&self.heap.links, block),
            none => *none = Some(Chain::new(block)),
        }
        self.count += 1;
        if self.count == TIDY_BATCH {
            self.push();
        }
        0
    }

    fn push(&mut self) {
        self.count = 0;
        for (order, chain) in Order::ZERO.through(Order::MAX).zip(&mut self.of_order) {
            if let Some(chain) = chain.take() {
                self.heap.push(chain, order, Lane::FIRST);
            }
        }
    }
}

impl Drop for Chains<'_> {
    fn drop(&mut self) {
        self.push();
    }
}
