//! Rows: free blocks that follow each other, taken together. No single one need be large enough.

use core::ops::Range;

use super::buddy::Buddy;
use super::order::{BlockIndex, Order};
use super::outline::{Outline, Outlines};
use super::shards::Shard;
use super::state::Kind;

/// What a look for a row has found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// The first unit of the row, in transit now.
    pub(super) found: Option<BlockIndex>,
    /// The first unit that was in transit before.
    pub(super) transit: Option<BlockIndex>,
    /// Another thread was faster at some row.
    pub(super) raced: bool,
    /// Blocks and units in transit that it looked at.
    pub(super) steps: u64,
}

/// A search for a row of free blocks.
#[derive(Debug)]
struct Search {
    /// The row lies within these.
    within: Range<u32>,
    /// Units of the row.
    units: u32,
    /// A block of this order may begin where the row does.
    align: Order,
    /// Most looks.
    most: u32,
    /// The next block.
    at: u32,
    /// Where the row of free blocks begins that ends there. By outlines it may begin too early: its first units may
    /// have been taken since.
    first: u32,
    /// It has looked at each state from this unit on.
    walked_from: u32,
    /// Blocks and outlines that it has looked at.
    looks: u32,
    /// It looks at each state up to this unit.
    walks_to: u32,
}

impl Search {
    /// Goes back to where the row begins, to look at each state up to `walks_to`.
    fn go_back(&mut self, outlines: &Outlines, walks_to: u32) {
        self.walks_to = walks_to;
        self.first = outlines.start(self.first).max(self.within.start);
        (self.at, self.walked_from) = (self.first, self.first);
    }

    /// May it look at more?
    const fn goes_on(&self) -> bool {
        self.looks < self.most && self.at < self.within.end
    }
}

impl Buddy {
    /// Takes the first row of `units` free units within `within`, the first of them where a block of `align` may begin,
    /// into transit. Looks at `most` blocks or outlines. O(blocks). Lock-free.
    pub(super) fn find_row(
        &self,
        within: Range<u32>,
        units: u32,
        align: Order,
        most: u32,
        shard: Shard,
        outlines: Option<&Outlines>,
    ) -> Row {
        let start = within.start;
        let mut search =
            Search { within, units, align, most, at: start, first: start, walked_from: start, looks: 0, walks_to: 0 };
        let (mut row, mut drawing) = (Row::default(), None);
        while search.goes_on() {
            if let Some(outlines) = outlines.filter(|outlines| outlines.has(search.at)) {
                if self.pass(&mut search, outlines) {
                    continue;
                }
                drawing = outlines.draw(search.at);
            }
            search.looks = search.looks.saturating_add(1);
            let next = BlockIndex::new(search.at);
            let seen = self.states.at(next).read();
            row.steps += 1;
            drawing = drawing.and_then(|drawing| drawing.with(seen));
            search.at = next.after(1, seen.extent()).get();
            let Search { first, at, .. } = search;
            if seen.kind() == Kind::Inner {
                row.transit = row.transit.or(Some(next));
            }
            if seen.kind() != Kind::Free {
                search.first = at;
                continue;
            }
            let end = self.end_of_row(&search);
            if u64::from(at) < end {
                continue;
            }
            if let Some(outlines) = outlines.filter(|_| first < search.walked_from) {
                search.go_back(outlines, at);
                drawing = None;
                continue;
            }
            // Not after `at`, which is a unit or one past the last.
            let end = end as u32;
            let block = BlockIndex::new(end - units);
            if self.take_row(first, block, end, shard) {
                return Row { found: Some(block), ..row };
            }
            (search.first, row.raced) = (at, true);
        }
        row
    }

    /// Takes the units from `block` up to `end` into transit, of a row of free blocks of which one begins at `first`,
    /// no later. False: they are not all free, and none was taken.
    pub(super) fn take_row(&self, first: u32, block: BlockIndex, end: u32, shard: Shard) -> bool {
        let Some(taken) = self.absorb_row(first, end, shard) else { return false };
        self.publish_range(first..block.get(), shard);
        self.publish_range(end..taken, shard);
        true
    }

    /// Where the row that is wanted would end, if it were in the free blocks that a search has come to.
    fn end_of_row(&self, search: &Search) -> u64 {
        let gap = self.geometry.gap(BlockIndex::new(search.first), search.align);
        u64::from(search.first) + u64::from(gap) + u64::from(search.units)
    }

    /// Passes over the units of outlines, as long as no row that is wanted can end there; or goes back to look at the
    /// states of such a row. False: neither.
    fn pass(&self, search: &mut Search, outlines: &Outlines) -> bool {
        let begin = search.at;
        if begin < search.walks_to {
            return false;
        }
        for outline in outlines.from(begin) {
            let Some(outline) = outline.filter(|_| search.goes_on()) else { break };
            let at = search.at;
            let ends_here = u64::from(at) + u64::from(outline.first) >= self.end_of_row(search);
            if ends_here || outline.longest >= search.units {
                search.go_back(outlines, at + Outline::UNITS);
                return true;
            }
            search.looks += 1;
            search.at += Outline::UNITS;
            if outline.first < Outline::UNITS {
                search.first = search.at - outline.last;
            }
        }
        if search.at > begin {
            search.walked_from = search.at;
            return true;
        }
        // A block may have grown over units that were passed over.
        let around = self.block_before(BlockIndex::new(begin)).filter(|(head, _)| head.get() >= search.within.start);
        if let Some((head, seen)) = around {
            search.walks_to = seen.class().end(head) as u32;
            (search.at, search.walked_from) = (head.get(), head.get());
            search.first = search.first.min(search.at);
        }
        around.is_some()
    }

    /// Takes consecutive free blocks, from the one at `start` on, until it has all units before `end`. Returns where
    /// the last one ends. `None`: they are not all free, and none was taken.
    pub(super) fn absorb_row(&self, start: u32, end: u32, shard: Shard) -> Option<u32> {
        let mut at = start;
        while at < end {
            let next = BlockIndex::new(at);
            let Some(size) = self.absorb_units(next, end - at, shard) else {
                self.publish_range(start..at, shard);
                return None;
            };
            // Not past the last unit: the whole block is in the heap.
            at = next.after(1, size).get();
        }
        Some(at)
    }

    /// Takes a free block into transit. If half of it has `units` units, it publishes the upper half first, and takes
    /// the lower one. Returns the order of what it took.
    fn absorb_units(&self, block: BlockIndex, units: u32, shard: Shard) -> Option<Order> {
        let seen = self.states.at(block).read();
        let from = (seen.kind() == Kind::Free).then_some(seen.order())?;
        let is_larger = Order::covering(units as usize).is_some_and(|needed| from > needed);
        let size = if is_larger { self.halve(block, from, shard) } else { from };
        let is_absorbed = self.states.at(block).absorb(size).is_ok();
        if is_absorbed || size < from {
            // Its node stays behind in a stack.
            self.note_displaced();
        }
        is_absorbed.then_some(size)
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::Source;
    use crate::raw::order::Geometry;

    const UNITS: u32 = 1500;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A row: its units, and the order of the blocks that may begin where it begins.
        Find(u32, u32),
        /// A span of this number of units, from the stacks.
        Alloc(u32),
        Release(prop::sample::Index),
        Merge,
    }

    fn step() -> impl Strategy<Value = Step> {
        let units = || prop_oneof![1..4_u32, 1..40_u32, 40..300_u32];
        let align = prop_oneof![3 => Just(0), 1 => 1..9_u32];
        prop_oneof![
            6 => (units(), align).prop_map(|(units, align)| Step::Find(units, align)),
            6 => units().prop_map(Step::Alloc),
            10 => any::<prop::sample::Index>().prop_map(Step::Release),
            1 => Just(Step::Merge),
        ]
    }

    /// The first unit of the first row of that length, by all states.
    fn first_row(heap: &Buddy, units: u32, align: Order) -> Option<u32> {
        let mut first = 0;
        heap.scan().find_map(|(block, seen)| {
            let end = block.after(1, seen.extent()).get();
            if seen.kind() != Kind::Free {
                first = end;
                return None;
            }
            let start = first + heap.geometry.gap(BlockIndex::new(first), align);
            (start + units <= end).then_some(start)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever outlines have seen before: the first row that is long enough is found.
        #[test]
        fn a_search_with_outlines_finds_what_one_without_does(lead in 0..128_u32, steps in vec(step(), 0..300)) {
            let geometry = Geometry::new(UNITS, lead.into(), Order::MAX);
            let heap = Buddy::in_source(geometry, &mut Source::Global).expect("some KiB");
            let outlines = Outlines::in_source(UNITS, lead, &mut Source::Global).expect("some bytes");
            let (shard, mut spans) = (Shard::FIRST, Vec::new());
            for step in steps {
                match step {
                    Step::Find(units, align) => {
                        let align = Order::new(align).expect("a small one");
                        let expected = first_row(&heap, units, align);
                        let found = heap.find_span(0..UNITS, units, align, u32::MAX, shard, Some(&outlines));
                        prop_assert_eq!(found.map(BlockIndex::get), expected, "{} units", units);
                        spans.extend(found.map(|block| (block, units)));
                    }
                    Step::Alloc(units) => {
                        let Some(block) = heap.alloc_span(units, Order::ZERO, shard) else { continue };
                        spans.push((block, units));
                    }
                    Step::Release(which) if !spans.is_empty() => {
                        let (block, units) = spans.swap_remove(which.index(spans.len()));
                        heap.release_span(block, units, shard);
                        outlines.note_freed(block.get()..block.get() + units);
                    }
                    Step::Release(_) => {}
                    Step::Merge => _ = heap.merge(0..UNITS, None, shard),
                }
            }
        }
    }
}
