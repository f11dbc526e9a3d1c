//! Merging, deferred to sweeps: a pass over the state words that joins free buddies, and the tidying of the stacks
//! behind it.

use core::ops::Range;

use super::buddy::Buddy;
use super::order::{BlockIndex, Order};
use super::stack::Chain;
use super::state::Kind;

/// Nodes that a sweep has in hand before it pushes them back, so that others don't miss them for long.
const TIDY_BATCH: usize = 256;

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
    /// It met a block in transit, or lost a race: what it saw is not the whole truth.
    pub unsettled: bool,
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
        self.unsettled |= other.unsettled;
    }
}

impl Buddy {
    /// Merges all free buddies and tidies the stacks. With `want`, takes the first block of that order that it finds
    /// or forms, so that a failing caller can't lose what its own sweep made. O(blocks). Lock-free; any number may run
    /// at once; abandoned anywhere, it hides at most the blocks in its hand from all but scans.
    pub fn sweep(&self, want: Want) -> Sweep {
        self.sweep_first(self.geometry.units(), want)
    }

    /// The same for a heap of which only the first `units` units were ever published.
    pub(crate) fn sweep_first(&self, units: u32, want: Want) -> Sweep {
        let mut sweep = self.merge(0..units, want);
        if self.start_to_tidy() {
            sweep.dropped = self.tidy();
        }
        sweep
    }

    /// The pass: ascending, block by block. Whatever can be merged with what lies left of it is, as far up as it
    /// goes; what lies right of it is merged when the pass gets there. The stacks are left as they are.
    pub(super) fn merge(&self, range: Range<u32>, want: Want) -> Sweep {
        let mut sweep = Sweep::default();
        let mut at = range.start;
        while at < range.end {
            let block = BlockIndex::new(at);
            let seen = self.states.at(block).read();
            at = match seen.kind() {
                Kind::Inner => {
                    // A head is due here: its block is in transit.
                    sweep.unsettled = true;
                    block.after(1, Order::ZERO).get()
                }
                Kind::Free => self.merge_block(block, seen.order(), want, &mut sweep),
                Kind::Held | Kind::Live => {
                    sweep.blocks += 1;
                    block.after(1, seen.order()).get()
                }
            };
        }
        if sweep.merges > 0 {
            self.note_displaced();
        }
        sweep
    }

    /// One free block of the pass; returns where to go on.
    fn merge_block(&self, block: BlockIndex, order: Order, want: Want, sweep: &mut Sweep) -> u32 {
        sweep.blocks += 1;
        let want = want.filter(|_| sweep.taken.is_none());
        if let Some(want) = want.filter(|want| *want <= order) {
            return self.take_found(block, order, want, sweep);
        }
        sweep.free_units += u64::from(order.units());
        sweep.largest_found = sweep.largest_found.max(Some(order));
        let (mut head, mut size) = (block, order);
        while let Some((lower, up)) = self.merge_left(head, size, want, sweep) {
            (head, size) = (lower, up);
        }
        sweep.largest = sweep.largest.max(Some(size));
        block.after(1, order).get()
    }

    /// Takes a free block that the pass came upon, and publishes what of it is too much.
    fn take_found(&self, block: BlockIndex, order: Order, want: Order, sweep: &mut Sweep) -> u32 {
        let word = self.states.at(block);
        if word.take(super::State::free(order), want).is_err() {
            sweep.unsettled = true;
            return block.after(1, order).get();
        }
        // Its node stays behind in a stack.
        self.note_displaced();
        self.split(block, order, want);
        sweep.taken = Some(block);
        block.after(1, want).get()
    }

    /// Merges an upper buddy with its lower one, if both are free; returns the merged block, if it is still free.
    ///
    /// The lower half never disappears from scans: it is raised in one step, or else the upper half, which was taken
    /// first, is published again.
    fn merge_left(
        &self,
        upper: BlockIndex,
        order: Order,
        want: Want,
        sweep: &mut Sweep,
    ) -> Option<(BlockIndex, Order)> {
        let lower = self.geometry.lower_buddy(upper, order)?;
        let up = order.up()?;
        let word = self.states.at(lower);
        if !word.read().is_free(order) {
            // Or another sweep has merged the two since the upper one was seen; then the lower one is free, but larger.
            sweep.unsettled |= !self.states.at(upper).read().is_free(order);
            return None;
        }
        if self.states.at(upper).absorb(order).is_err() {
            sweep.unsettled = true;
            return None;
        }
        let keep = want == Some(up) && sweep.taken.is_none();
        let raised = if keep { word.raise_and_take(order, up) } else { word.raise(order, up) };
        if raised.is_err() {
            self.publish(upper, order);
            sweep.unsettled = true;
            return None;
        }
        sweep.merges += 1;
        if keep {
            sweep.taken = Some(lower);
            sweep.free_units = sweep.free_units.saturating_sub(u64::from(up.units()));
            return None;
        }
        Some((lower, up))
    }

    /// Goes through the stacks, drops the entries that are stale and moves the ones that are in the wrong stack;
    /// returns how many it dropped.
    #[cold]
    pub(super) fn tidy(&self) -> u64 {
        let mut dropped = 0;
        // Descending: a node moves to the stack of a larger order as a rule, and is not visited again there.
        for order in Order::ZERO.through(self.geometry.max_order()).rev() {
            let mut chains = [None; Order::COUNT];
            let mut in_hand = 0;
            for block in self.stacks[order.slot()].detach(&self.links) {
                let Some(order) = self.put_away_slow(block) else {
                    dropped += 1;
                    continue;
                };
                match &mut chains[order.slot()] {
                    Some(chain) => Chain::append(chain, &self.links, block),
                    none => *none = Some(Chain::new(block)),
                }
                in_hand += 1;
                if in_hand == TIDY_BATCH {
                    self.push_chains(&mut chains);
                    in_hand = 0;
                }
            }
            self.push_chains(&mut chains);
        }
        dropped
    }

    fn push_chains(&self, chains: &mut [Option<Chain>; Order::COUNT]) {
        for (stack, chain) in self.stacks.iter().zip(chains) {
            if let Some(chain) = chain.take() {
                stack.push(&self.links, chain);
            }
        }
    }
}
