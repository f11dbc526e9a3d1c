//! Many blocks of one size for few atomic operations.

use core::mem;

use super::buddy::{Buddy, NotLive};
use super::class::Class;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use super::stack::Chain;
use super::state::{Node, State};
use super::visits::Visits;
#[cfg(modelled)]
use super::visits::WithoutOwner;

/// A batch of at most as many units is cut from one block, whatever that leaves: their states lie in two cache lines,
/// which one thread is to have.
const FEW_UNITS: usize = 64;
/// Tries to fill a batch from one stack. Each drops at most a batch of stale entries.
const POPS: usize = 8;
/// Orders by which a block may be larger than what is cut off it, so that a thread gets blocks side by side. A block
/// of the own shard is cut rather than one of another shard that fits better. Another shard gives up the largest of
/// these blocks, the rest of which is in the own shard then. Where the memory of several threads alternates,
/// processors that prefetch take lines from each other.
const NEAR: u32 = 4;

impl Buddy {
    /// Takes up to `out.len()` blocks from the stacks, which get the state `to`, and returns how many. Blocks of that
    /// order are popped together. For the others a larger block is carved, so that they are neighbours. Lock-free.
    pub fn alloc_batch(&self, to: State, shard: Shard, out: &mut [BlockIndex]) -> usize {
        let mut filled = self.pop_take_batch(to, shard, out);
        while filled < out.len() {
            match self.carve(to, shard, &mut out[filled..]) {
                0 => break,
                carved => filled += carved,
            }
        }
        filled
    }

    /// The first half: pops blocks of this order only. Blocks of several parts stand in no stack.
    pub fn pop_take_batch(&self, to: State, shard: Shard, out: &mut [BlockIndex]) -> usize {
        let want = to.order();
        if !to.class().is_order() {
            return 0;
        }
        let mut filled = 0;
        for stack in self.shards.all(shard, want.place()) {
            for _ in 0..POPS {
                let rest = &mut out[filled..];
                let popped = stack.pop_batch(&self.links, rest);
                if popped == 0 {
                    break;
                }
                let mut kept = 0;
                for place in 0..popped {
                    let block = rest[place];
                    if self.settle(block, want, to, shard) {
                        rest[kept] = block;
                        kept += 1;
                    }
                }
                filled += kept;
            }
        }
        filled
    }

    /// The second half: takes one larger block, and cuts it into blocks with the state `to`. Returns how many.
    pub fn carve(&self, to: State, shard: Shard, out: &mut [BlockIndex]) -> usize {
        if !to.class().is_order() {
            return self.carve_parts(to, shard, out);
        }
        let (want, max) = (to.order(), self.geometry.max_order());
        let Some(above) = want.up().filter(|above| *above <= max) else { return 0 };
        // A few units: one block for all of them, so that they are neighbours. More: as many as fill a whole block, and
        // the caller asks again for the others. A rest would be a hole that no later batch of this size fills.
        self.tidy_if_many(shard);
        let units = out.len().saturating_mul(want.units() as usize);
        let ideal = if units <= FEW_UNITS { Order::covering(units) } else { Order::new(units.ilog2()) };
        let ideal = ideal.unwrap_or(max);
        let ideal = ideal.max(above).min(max);
        // A block that is large enough; else the largest one that is not.
        let mut smaller = above.until(ideal).rev();
        let found =
            self.take_near(ideal, to, shard).or_else(|| smaller.find_map(|from| self.pop_take(from, from, to, shard)));
        let Some((block, from)) = found else { return 0 };

        let parts = from.units() >> want.get();
        let count = parts.min(u32::try_from(out.len()).unwrap_or(u32::MAX));
        let mut filled = 0;
        for part in 0..count {
            let place = block.after(part, want);
            if part > 0 && self.states.at(place).assign(to) == Node::Elsewhere && to == State::cached(want.into()) {
                // A cache has only blocks whose nodes are idle.
                self.publish(place, want, shard);
                continue;
            }
            out[filled] = place;
            filled += 1;
        }
        self.publish_range(block.after(count, want).get()..block.after(1, from).get(), shard);
        filled
    }

    /// Takes a block of at least `least` from a stack, which gets the state `to`, near to the blocks that the shard
    /// gave before. Returns its order, too. The caller publishes the rest of it.
    pub(super) fn take_near(&self, least: Order, to: State, shard: Shard) -> Option<(BlockIndex, Order)> {
        let max = self.geometry.max_order();
        if least > max {
            return None;
        }
        let near = Order::new(least.get() + NEAR).unwrap_or(max).min(max);
        let own = |from| self.pop_take_own(from, least, to, shard);
        let others = |from| self.pop_take_others(from, least, to, shard);
        let any = |from| self.pop_take(from, least, to, shard);
        let found = least.through(near).find_map(own).or_else(|| least.through(near).rev().find_map(others));
        found.or_else(|| near.through(max).skip(1).find_map(any))
    }

    /// Begins a batch of releases.
    pub fn release_batch(&self) -> Batch<'_> {
        Batch { heap: self, chain: None, displaced: false }
    }
}

/// Releases that share their pushes: blocks in succession of one order and shard go onto the stack with one
/// compare-exchange.
///
/// A block of an unfinished batch is free already. Until the batch ends, only scans find it.
#[derive(Debug)]
pub struct Batch<'a> {
    heap: &'a Buddy,
    chain: Option<(Order, Shard, Chain)>,
    displaced: bool,
}

impl Batch<'_> {
    /// [`release_by`](Self::release_by) of a block that no cache has handed out.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(modelled)]
    pub fn release(&mut self, block: BlockIndex, shard: Shard) -> Result<Class, NotLive> {
        self.release_by(block, shard, &WithoutOwner)
    }

    /// Releases one block, as [`Buddy::release_by`] does.
    ///
    /// # Errors
    ///
    /// When no `Live` block begins there, or its owner is releasing it; the batch goes on.
    pub fn release_by(&mut self, block: BlockIndex, shard: Shard, by: &impl Visits) -> Result<Class, NotLive> {
        let (class, node) = self.heap.release_state(block, shard, by)?;
        if let Some(node) = node {
            self.add(block, class.order(), shard, node);
        }
        Ok(class)
    }

    /// Publishes a `Cached` block of the caller's.
    pub fn flush(&mut self, block: BlockIndex, class: Class, shard: Shard) {
        if !self.heap.is_to_merge(block, class) {
            self.add(block, class.order(), shard, self.heap.states.at(block).publish(class.order()));
        } else {
            self.heap.flush_parts(block, class, shard);
        }
    }

    fn add(&mut self, block: BlockIndex, order: Order, shard: Shard, node: Node) {
        match (&mut self.chain, node) {
            (_, Node::Elsewhere) => self.displaced = true,
            (Some((of, to, chain)), Node::Idle) if (*of, *to) == (order, shard) => {
                chain.append(&self.heap.links, block)
            }
            (_, Node::Idle) => {
                self.push();
                self.chain = Some((order, shard, Chain::new(block)));
            }
        }
    }

    fn push(&mut self) {
        if let Some((order, shard, chain)) = self.chain.take() {
            self.heap.push(chain, order, shard);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.push();
        if mem::take(&mut self.displaced) {
            self.heap.note_displaced();
        }
    }
}
