//! Blocks of several parts: those whose size lies between two orders.
//!
//! The first part is as large as the order of the class. Its state has the class. Each further part is a `Tail`, half
//! as large as the one before it or smaller, three at most. So a scan goes from part to part by the orders in the
//! states, and where the parts begin follows from the class.
//!
//! A block gets its tails while it is in transit, and loses them there: first it is taken into transit, by one
//! exchange, of which one of several threads is the winner. Its first part becomes live last. So a thread that wins a
//! live block finds all of its tails. A cache moves the first part only.

use super::buddy::{Buddy, NotLive};
use super::class::Class;
use super::order::{BlockIndex, Order};
use super::resize::CantResize;
use super::shards::Shard;
use super::state::{Kind, Node, State};
use super::visits::Visits;
use crate::sync::model_or;

/// Orders by which a block may be larger than those that it is cut into: so eight of them or more, if as many are
/// wanted, leave few units over.
const PARENT: u32 = 4;

/// Nodes that an allocation looks at for a short row.
/// Under loom none, as in a search: a model of its own looks at some.
const FEW: usize = model_or(0, 16);

impl Buddy {
    /// Allocates a block of several parts: from a short row near the blocks of the stacks, else from the smallest block
    /// that is large enough. Lock-free.
    #[cold]
    pub(super) fn alloc_parts_slow(&self, want: Class, shard: Shard) -> Option<BlockIndex> {
        self.note_parts();
        self.tidy_if_many(shard);
        if let Some(block) = self.take_near_row(want, FEW, shard) {
            return Some(block);
        }
        let least = want.covering()?;
        let mut orders = least.through(self.geometry.max_order());
        let (block, from) = orders.find_map(|from| self.pop_take(from, least, State::TRANSIT, shard))?;
        // Its own node is idle, since it was popped.
        let (Node::Idle | Node::Elsewhere) = self.assign_block(block, State::live(want));
        self.publish_range(block.get() + want.units()..block.after(1, from).get(), shard);
        Some(block)
    }

    /// Takes a block of several parts from a short row near `most` nodes of each of the stacks' ends.
    pub fn take_near_row(&self, want: Class, most: usize, shard: Shard) -> Option<BlockIndex> {
        let block = self.find_row_near(want, most, shard)?;
        // Its node may stand in a stack. The release of the block sees to that.
        let (Node::Idle | Node::Elsewhere) = self.assign_block(block, State::live(want));
        Some(block)
    }

    /// Takes one larger block, and cuts it into blocks of several parts with the state `to`, side by side: one by one
    /// each would leave a rest that no other fits into. Returns how many.
    pub(super) fn carve_parts(&self, to: State, shard: Shard, out: &mut [BlockIndex]) -> usize {
        let (class, max) = (to.class(), self.geometry.max_order());
        self.note_parts();
        self.tidy_if_many(shard);
        let Some(least) = class.covering().filter(|least| *least <= max) else { return 0 };
        let all = Order::covering(out.len().saturating_mul(class.units() as usize)).unwrap_or(max);
        let most = Order::new(least.get() + PARENT).unwrap_or(max);
        let ideal = all.min(most).min(max).max(least);
        let mut smaller = least.until(ideal).rev();
        let found = self.take_near(ideal, State::TRANSIT, shard);
        let found = found.or_else(|| smaller.find_map(|from| self.pop_take(from, from, State::TRANSIT, shard)));
        let Some((block, from)) = found else { return 0 };
        let count = (from.units() / class.units()).min(u32::try_from(out.len()).unwrap_or(u32::MAX));
        let (mut filled, place) = (0, |number: u32| BlockIndex::new(block.get() + number * class.units()));
        for number in 0..count {
            if self.assign_block(place(number), to) == Node::Elsewhere && to == State::cached(class) {
                // A cache has only blocks whose nodes are idle.
                self.flush_parts(place(number), class, shard);
                continue;
            }
            out[filled] = place(number);
            filled += 1;
        }
        self.publish_range(place(count).get()..block.after(1, from).get(), shard);
        filled
    }

    /// In transit → `to`, all parts of a block, the first one last.
    pub(super) fn assign_block(&self, block: BlockIndex, to: State) -> Node {
        for (part, order) in to.class().tails(block) {
            // Its node may stand in a stack. The release of the block sees to that.
            let (Node::Idle | Node::Elsewhere) = self.states.at(part).assign(State::tail(order));
        }
        self.states.at(block).assign(to)
    }

    /// Publishes all parts of a block whose first one the caller has in transit.
    pub(super) fn publish_parts(&self, block: BlockIndex, class: Class, shard: Shard) {
        self.withdraw_tails(block, class);
        self.publish_range_merged(block.get()..block.get() + class.units(), shard);
    }

    /// `Cached` → `Free`, all parts of a block that the caller has.
    #[cold]
    pub(super) fn flush_parts(&self, block: BlockIndex, class: Class, shard: Shard) {
        self.states.at(block).withdraw();
        self.publish_parts(block, class, shard);
    }

    fn withdraw_tails(&self, block: BlockIndex, class: Class) {
        class.tails(block).for_each(|(part, _)| self.states.at(part).withdraw());
    }

    /// Gives the `Live` block at `block` the class `to`, where one of both has several parts. The block is in transit
    /// for a moment: a release that races with it releases it as it was, and the resize fails; or as it will be; or
    /// finds no block.
    #[cold]
    pub(super) fn resize_parts(
        &self,
        block: BlockIndex,
        from: Class,
        to: Class,
        shard: Shard,
        by: &impl Visits,
    ) -> Result<Class, CantResize> {
        let geometry = &self.geometry;
        let is_fit = to.covering().is_some_and(|order| order <= geometry.max_order());
        if !is_fit || !geometry.is_aligned(block, to.alignment()) || to.end(block) > u64::from(geometry.units()) {
            return Err(CantResize::NoRoom);
        }
        let (behind, end) = (block.get() + from.units(), block.get() + to.units());
        // The units behind it first, while the block is still the small one: a release that wins now releases that.
        let taken = self.absorb_row(behind, end, shard).ok_or(CantResize::NoRoom)?;
        self.publish_range(end.max(behind)..taken, shard);
        let word = self.states.at(block);
        let mut seen = word.read();
        loop {
            if seen.kind() != Kind::Live || seen.class() != from {
                self.publish_range(behind..end, shard);
                return Err(match seen.kind() {
                    Kind::Live => CantResize::NoRoom,
                    _ => CantResize::NotLive(self.why_not_live_slow(block)),
                });
            }
            match by.during(seen, || word.take_back(seen)) {
                Some(Ok(())) => break,
                Some(Err(now)) => seen = now,
                None => {
                    self.publish_range(behind..end, shard);
                    return Err(CantResize::NotLive(NotLive::Vacant));
                }
            }
        }
        self.withdraw_tails(block, from);
        let (Node::Idle | Node::Elsewhere) = self.assign_block(block, seen.resized(to));
        self.publish_range_merged(end..behind, shard);
        Ok(from)
    }

    /// The class of the `Live` block that begins at `block`, or why there is none.
    #[inline]
    pub fn live_class(&self, block: BlockIndex) -> Result<Class, NotLive> {
        let seen = self.states.at(block).read();
        if seen.kind() == Kind::Live { Ok(seen.class()) } else { Err(self.why_not_live_slow(block)) }
    }
}
