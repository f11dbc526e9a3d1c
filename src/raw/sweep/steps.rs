//! Merging in bounded steps: for sweeps that pause in between, and for several threads at one heap.

use core::ops::Range;

use super::merge::Sweep;
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::shards::Shard;
use crate::raw::state::Kind;

/// The place of a sweeper in one heap, and what it has found there since its cycle began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    next: u32,
    /// Version of the heap when the cycle began.
    version: u64,
    /// Has a step merged anything, or seen anything unsettled?
    changed: bool,
    /// Blocks that the steps visited.
    blocks: u64,
}

impl Cursor {
    /// The first unit of the next step.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The version of the heap when the cycle began.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Buddy {
    /// A cursor at the beginning of the heap.
    pub fn cursor(&self) -> Cursor {
        Cursor { version: self.version(), ..Cursor::default() }
    }

    /// The next step of a cycle, over at most `units` units. Returns the pairs that it merged and the units that it
    /// passed over; it does not look into a large block.
    pub fn step(&self, cursor: &mut Cursor, units: u32, shard: Shard) -> (u64, u32) {
        let (sweep, next) = self.merge_step(cursor.next, units, shard);
        cursor.changed |= sweep.merges > 0 || !sweep.is_settled();
        cursor.blocks += sweep.blocks;
        let passed = next.wrapping_sub(cursor.next).min(units);
        cursor.next = next;
        (sweep.merges, passed)
    }

    /// Tidies the stacks after the last step. If the cycle found nothing to do, the heap is *at rest*: returns the
    /// version, which stays as long as there is nothing to merge.
    pub fn end_cycle(&self, cursor: &Cursor, shard: Shard) -> Option<u64> {
        let dropped = self.finish_steps(cursor.blocks, shard);
        (!cursor.changed && dropped == 0).then_some(cursor.version)
    }

    /// One step: merges the blocks that begin in the `units` units from `from` on with the blocks left of them, also
    /// left of `from`. Also returns where the next step begins: the number of units, once the heap is done, or `from`,
    /// if the heap has no such unit. Consecutive steps merge the same as one pass, if nobody changes anything.
    /// O(orders + blocks of the step). Lock-free.
    pub fn merge_step(&self, from: u32, units: u32, shard: Shard) -> (Sweep, u32) {
        if from >= self.geometry.units() {
            return (Sweep::default(), from);
        }
        let end = from.saturating_add(units).min(self.geometry.units());
        // The step may begin inside a block, which the step before has visited.
        let begin = self.next_head(BlockIndex::new(from));
        (self.merge(begin..end, None, shard), end.max(begin))
    }

    /// Tidies the stacks, if they want it, after all steps, which have visited `blocks` blocks. Returns how many
    /// entries it dropped. O(entries). Lock-free.
    pub fn finish_steps(&self, blocks: u64, shard: Shard) -> u64 {
        if self.start_to_tidy() { self.tidy(None, blocks, shard) } else { 0 }
    }

    /// Cuts the heap into steps where blocks of `order` may begin. Several threads may merge the steps at once, in any
    /// order. Then
    /// [`merge_seams`](Self::merge_seams) merges what is larger than a step.
    #[cfg_attr(not(feature = "rayon"), allow(dead_code, reason = "only several threads need it"))]
    pub fn steps(&self, order: Order) -> impl Iterator<Item = Range<u32>> + use<> {
        let geometry = self.geometry;
        let mut next = 0;
        core::iter::from_fn(move || {
            let begin = next;
            let room = geometry.units().checked_sub(begin).filter(|room| *room > 0)?;
            let passed = begin.wrapping_add(geometry.lead()) & (order.units() - 1);
            next = begin + room.min(order.units() - passed);
            Some(begin..next)
        })
    }

    /// Merges each block at the beginning of a step with the blocks left of it. All smaller pairs lie inside a step, so
    /// nothing else is left when the steps are done. O(steps). Lock-free.
    #[cfg_attr(not(feature = "rayon"), allow(dead_code, reason = "only several threads need it"))]
    pub fn merge_seams(&self, order: Order, shard: Shard) -> Sweep {
        let mut total = Sweep::default();
        // Where no block begins there is nothing to merge. `merge` would take such a unit for one in transit.
        let heads = self.steps(order).skip(1).map(|step| BlockIndex::new(step.start));
        for head in heads.filter(|head| self.states.at(*head).read().kind() == Kind::Free) {
            total.add(&self.merge(head.get()..head.get() + 1, None, shard));
        }
        total
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use crate::raw::{Geometry, State};

    /// A heap of single units, all of them free except those that `keep` names.
    fn in_units(units: u32, first_unit: u64, keep: impl Fn(u32) -> bool) -> Buddy {
        let heap = Buddy::new(Geometry::new(units, first_unit, Order::MAX)).expect("a few bytes");
        let blocks = [(); 300].map(|()| heap.alloc(Order::ZERO, Shard::FIRST));
        assert_eq!(blocks.iter().flatten().count(), units as usize);
        for block in blocks.into_iter().flatten().filter(|block| !keep(block.get())) {
            heap.release(block, Shard::FIRST).expect("it is live");
        }
        heap
    }

    fn blocks(heap: &Buddy) -> alloc::vec::Vec<(BlockIndex, State)> {
        heap.scan().collect()
    }

    #[test]
    fn steps_do_what_one_pass_does() {
        for (units, skew, every) in [(256, 0, 300), (256, 0, 37), (255, 3, 300), (200, 77, 41), (1, 1, 300), (97, 5, 2)]
        {
            let heap = || in_units(units, skew, |unit| unit % every == every - 1);
            let whole = heap();
            let all = whole.sweep(None, Shard::FIRST);
            for step in [1, 2, 3, 7, 16, 64, 1000, u32::MAX] {
                let heap = heap();
                let (mut total, mut next) = (Sweep::default(), 0);
                while next < units {
                    let (sweep, end) = heap.merge_step(next, step, Shard::FIRST);
                    assert!(end > next);
                    total.add(&sweep);
                    next = end;
                }
                assert_eq!(heap.finish_steps(total.blocks, Shard::FIRST) > 0, total.merges > 0);
                assert_eq!(blocks(&heap), blocks(&whole), "{units} units in steps of {step}");
                assert_eq!((total.blocks, total.merges, total.is_settled()), (all.blocks, all.merges, true));
                assert_eq!((total.largest, total.largest_found), (all.largest, all.largest_found));
            }
        }
    }

    #[test]
    fn steps_in_any_order_and_their_seams_do_what_one_pass_does() {
        for (units, skew, every) in [(256, 0, 300), (256, 0, 37), (255, 3, 300), (200, 77, 41), (1, 1, 300), (97, 5, 2)]
        {
            let heap = || in_units(units, skew, |unit| unit % every == every - 1);
            let whole = heap();
            let all = whole.sweep(None, Shard::FIRST);
            for order in [0, 1, 3, 6, 31].map(|order| Order::new(order).expect("an order")) {
                let heap = heap();
                let mut steps: alloc::vec::Vec<_> = heap.steps(order).collect();
                let length: u32 = steps.iter().map(|step| step.end - step.start).sum();
                assert_eq!(length, units);
                steps.reverse();
                let mut total = Sweep::default();
                for step in steps {
                    total.add(&heap.merge_step(step.start, step.end - step.start, Shard::FIRST).0);
                }
                assert_eq!(total.blocks, all.blocks);
                total.add(&heap.merge_seams(order, Shard::FIRST));
                heap.finish_steps(total.blocks, Shard::FIRST);
                assert_eq!(blocks(&heap), blocks(&whole), "{units} units in steps of order {}", order.get());
                assert_eq!((total.merges, total.largest), (all.merges, all.largest));
            }
        }
    }

    /// A large heap whose stacks want tidying: all units but each 100th were released, neighbours far from each other
    /// in time, and merged. So most entries are stale, and the others are in the wrong stack.
    fn merged(units: u32, tables: bool) -> (Buddy, u64) {
        let heap = Buddy::new(Geometry::new(units, 3, Order::MAX)).expect("some memory");
        while heap.alloc(Order::ZERO, Shard::FIRST).is_some() {}
        let step = 7919;
        for unit in (0..units).map(|number| (u64::from(number) * step % u64::from(units)) as u32) {
            if unit % 100 != 0 {
                heap.release(BlockIndex::new(unit), Shard::FIRST).expect("it is live");
            }
        }
        let sweep = heap.merge(0..units, None, Shard::FIRST);
        assert!(sweep.merges > 0 && sweep.is_settled());
        (heap, if tables { sweep.blocks } else { 0 })
    }

    /// The blocks that allocations find in the stacks, by order, without looking at the states.
    fn in_stacks(heap: &Buddy) -> usize {
        let orders = Order::ZERO.through(heap.geometry.max_order()).rev();
        orders
            .map(|order| {
                core::iter::from_fn(|| heap.pop_take(order, order, State::live(order.into()), Shard::FIRST)).count()
            })
            .sum()
    }

    #[test]
    fn tidying_leaves_all_free_blocks_in_the_stacks_of_their_orders() {
        let units = 3 * 40_961;
        for tables in [true, false] {
            let (heap, visited) = merged(units, tables);
            let free = || blocks(&heap).iter().filter(|(_, state)| state.kind() == Kind::Free).count();
            let (entries, free) = (u64::from(units - units.div_ceil(100)), free());
            assert_eq!(heap.finish_steps(visited, Shard::FIRST), entries - free as u64);
            assert_eq!(heap.finish_steps(visited, Shard::FIRST), 0);
            assert_eq!(in_stacks(&heap), free);
        }
    }
}
