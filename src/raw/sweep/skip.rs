//! Skipping: a sweep passes over the blocks that it leaves alone, which are most.
//!
//! The states are loaded `Relaxed`, in any order, before one fence. A block for which there may be something to do is
//! left to the pass. A search relies on what was skipped: the block that it wants was not among it, if nothing was
//! published meanwhile (`search`).
//!
//! - A block that was seen live or cached stays so.
//! - A block that was seen free has at most been taken, or merged with a buddy that was free as well.
//! - So if one of two buddies was seen live, the two can't be merged, whichever was looked at first.
//! - Each of two free buddies is therefore seen free, in a walk that looks at each block once.

use super::skim::Walk;
use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::state::{Kind, State, StateWord};
use crate::raw::states::States;
use crate::sync::{Ordering, fence, model_or};

/// Blocks of one order in succession after which a probe is tried.
const ALIKE_BEFORE_PROBE: u32 = 4;

/// Blocks in succession that are not free, after which the loop for such blocks is tried.
/// No model has as many.
const TAKEN_BEFORE_LOOP: u32 = 8;

/// Blocks of one order in succession after which that loop ends, so that a probe is tried.
const ALIKE_ENDS_LOOP: u32 = 16;

/// Blocks skipped in succession, not by probes, after which a walk through windows is tried: a walk in vain takes less
/// time than those took. No model has as many.
const BLOCKS_BEFORE_WALK: u64 = 256;

/// Look at the lower buddy before it is known whether that matters? A branch that nobody can foretell costs more.
/// Under loom a look more is more executions.
const BLINDLY: bool = model_or(false, true);

/// The blocks that a pass skipped, and where it has to stop.
#[derive(Clone, Copy, Debug)]
pub(in crate::raw) struct Skipped {
    pub(in crate::raw) blocks: u64,
    pub(in crate::raw) free_units: u64,
    /// The order of the largest free block among them.
    pub(in crate::raw) largest: Option<Order>,
    /// The first block that can't be skipped, and what was seen there; `None`, if all could.
    pub(in crate::raw) found: Option<(BlockIndex, State)>,
}

impl Buddy {
    /// Skips blocks from the one at `from` on, up to the unit `end` or to a block for which there may be something to
    /// do: it is in transit, or it is what `want` asks for, or it is the upper one of two free buddies. Returns that
    /// one, and what was seen there.
    pub(in crate::raw) fn skip(&self, from: u32, end: u32, want: Option<Order>) -> Skipped {
        let (geometry, max) = (&self.geometry, self.geometry.max_order());
        let want = want.map_or(u32::MAX, Order::get);
        let (mut at, mut last, mut alike, mut taken) = (from, Order::ZERO, ALIKE_BEFORE_PROBE, 0);
        let (mut blocks, mut free_units, mut largest) = (0u64, 0u64, 0);
        let (mut found, mut enough) = (None, BLOCKS_BEFORE_WALK);
        // No branch depends on the state of a skipped block, except on whether it is one of many alike.
        while at < end {
            if blocks >= enough && States::is_window(geometry, at) {
                enough = blocks + BLOCKS_BEFORE_WALK;
                if let Some(walk) = self.walk(at, end, want) {
                    blocks += walk.blocks;
                    free_units += walk.free_units;
                    largest = largest.max(u32::BITS - walk.free_orders.leading_zeros());
                    // Where they all seem to be as large as the first one, probes may do.
                    let order = self.states.at(BlockIndex::new(at)).glance().order();
                    let are_alike = walk.blocks << order.get() == u64::from(walk.next - at);
                    (at, enough) = (walk.next, if are_alike { blocks + BLOCKS_BEFORE_WALK } else { blocks });
                    continue;
                }
            }
            let block = BlockIndex::new(at);
            let seen = self.states.at(block).glance();
            let order = seen.order();
            alike = (alike + 1) * u32::from(order == last);
            last = order;
            let is_upper = geometry.is_upper(block, order);
            if alike >= ALIKE_BEFORE_PROBE {
                alike = 0;
                if let Some((next, free)) = self.probe(block, order, end, want) {
                    blocks += u64::from(States::PROBE);
                    free_units += u64::from(free) << order.get();
                    largest = largest.max((order.get() + 1) * u32::from(free > 0));
                    (at, alike, enough) = (next, ALIKE_BEFORE_PROBE, blocks + BLOCKS_BEFORE_WALK);
                    continue;
                }
            }
            let is_free = seen.kind() == Kind::Free;
            taken = (taken + 1) * u32::from(!is_free);
            if taken > TAKEN_BEFORE_LOOP {
                let (next, passed) = self.skip_taken(at, end, enough.saturating_sub(blocks));
                blocks += passed;
                (taken, alike) = (0, ALIKE_BEFORE_PROBE);
                if next != at {
                    at = next;
                    continue;
                }
            }
            // The lower buddy of an upper one; else the block itself. None: it would begin before the heap.
            let lower = at.wrapping_sub(order.units() * u32::from(is_upper));
            let is_pair = (BLINDLY || is_free & is_upper)
                && self.states.words().get(lower as usize).is_some_and(|lower| {
                    let lower = StateWord(lower).glance();
                    lower.may_have_an_upper_buddy(order)
                });
            let is_mergeable = is_free & is_upper & (order < max) & is_pair;
            if is_mergeable | is_free & (want <= order.get()) | (seen.kind() == Kind::Inner) {
                found = Some((block, seen));
                break;
            }
            blocks += 1;
            free_units += u64::from(order.units()) * u64::from(is_free);
            largest = largest.max((order.get() + 1) * u32::from(is_free));
            at = block.after(1, order).get();
        }
        // Acquire: pairs with the Release of every transition, as in `StateWord::read`.
        fence(Ordering::Acquire);
        Skipped { blocks, free_units, largest: largest.checked_sub(1).and_then(Order::new), found }
    }

    /// Walks through several windows at once; `None`: not all of their blocks can be skipped, or it can't be done here.
    fn walk(&self, from: u32, end: u32, want: u32) -> Option<Walk> {
        self.states.walk_windows(from, end).filter(|walk| walk.free_orders.checked_shr(want).unwrap_or(0) == 0)
    }

    /// Skips blocks that are live or cached, until there are many of one order, or, after `enough` blocks, to where a
    /// window begins. Returns where it ends, and how many there were.
    fn skip_taken(&self, from: u32, end: u32, enough: u64) -> (u32, u64) {
        let (mut at, mut last, mut alike, mut blocks) = (from, Order::ZERO, 0, 0);
        while at < end {
            let seen = self.states.at(BlockIndex::new(at)).glance();
            let order = seen.order();
            alike = if order == last { alike + 1 } else { 0 };
            let is_taken = matches!(seen.kind(), Kind::Cached | Kind::Live | Kind::Tail);
            if !is_taken || alike > ALIKE_ENDS_LOOP || blocks >= enough && States::is_window(&self.geometry, at) {
                break;
            }
            last = order;
            blocks += 1;
            at = BlockIndex::new(at).after(1, order).get();
        }
        (at, blocks)
    }

    /// Probes blocks of `order`: where the last one ends, and how many are free. `None`: one of them can't be skipped.
    fn probe(&self, first: BlockIndex, order: Order, end: u32, want: u32) -> Option<(u32, u32)> {
        // As wide as it must be for large blocks.
        let next = u64::from(first.get()) + (u64::from(States::PROBE) << order.get());
        if self.geometry.is_upper(first, order) || next > u64::from(end) {
            return None;
        }
        let free = self.states.probe(first, order, order < self.geometry.max_order())?;
        // Not past `end`.
        (free == 0 || want > order.get()).then_some((next as u32, free))
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use crate::raw::Geometry;
    use crate::raw::shards::Shard;

    /// splitmix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed ^ mixed >> 27
        }
    }

    /// A heap, all of it live, in blocks of random orders: of this one rarely, else of small ones.
    fn live(units: u32, first_unit: u64, rare: u32) -> (Buddy, alloc::vec::Vec<(BlockIndex, State)>) {
        let heap = Buddy::new(Geometry::new(units, first_unit, Order::MAX)).expect("some memory");
        let mut random = Random(u64::from(rare) + first_unit);
        let mut is_full = false;
        while !is_full {
            let order = if random.next().is_multiple_of(97) { rare } else { random.next().trailing_zeros().min(4) };
            is_full = heap.alloc(Order::new(order).expect("an order"), Shard::FIRST).is_none();
        }
        while heap.alloc(Order::ZERO, Shard::FIRST).is_some() {}
        let blocks = heap.scan().collect();
        (heap, blocks)
    }

    #[test]
    fn live_blocks_are_passed_over_and_all_else_is_found() {
        let units = 20_000;
        for (skew, rare) in [(0, 0), (0, 6), (77, 9), (1023, 10), (1, 11), (4095, 13)] {
            let (heap, blocks) = live(units, skew, rare);
            let all = blocks.len() as u64;
            let Skipped { blocks: passed, found, free_units, .. } = heap.skip(0, units, None);
            assert_eq!((passed, found, free_units), (all, None, 0), "skew {skew}, rare {rare}");
            for (number, (block, seen)) in blocks.iter().enumerate() {
                let word = &heap.states.words()[block.place()];
                // In transit, with the node in use or idle; or free, which is what is wanted.
                let other = [0, 0x400, State::free(seen.order()).bits()][number % 3];
                word.store(other, Ordering::Relaxed);
                let Skipped { blocks: passed, found, .. } = heap.skip(0, units, Some(Order::ZERO));
                let expected = Some((*block, State::from_bits(other)));
                assert_eq!((passed, found), (number as u64, expected), "skew {skew}, rare {rare}");
                word.store(seen.bits(), Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn free_blocks_are_passed_over_and_pairs_of_them_are_found() {
        let units = 20_000;
        for (skew, rare) in [(0, 0), (0, 6), (77, 9), (1023, 8), (4095, 7)] {
            let (heap, blocks) = live(units, skew, rare);
            let mut random = Random(skew);
            let free = blocks.iter().filter(|_| random.next().is_multiple_of(2));
            for (block, _) in free {
                _ = heap.release(*block, Shard::FIRST).expect("it is live");
            }
            heap.sweep(None, Shard::FIRST);
            let blocks: alloc::vec::Vec<_> = heap.scan().collect();
            let free = || blocks.iter().filter(|(_, seen)| seen.kind() == Kind::Free);
            let largest = free().map(|(_, seen)| seen.order()).max();
            let free_units: u64 = free().map(|(_, seen)| u64::from(seen.order().units())).sum();
            let passed = heap.skip(0, units, None);
            assert_eq!((passed.blocks, passed.found), (blocks.len() as u64, None), "skew {skew}, rare {rare}");
            assert_eq!((passed.free_units, passed.largest), (free_units, largest), "skew {skew}, rare {rare}");
            for want in Order::ZERO.through(Order::MAX) {
                let wanted = blocks.iter().position(|(_, seen)| seen.kind() == Kind::Free && seen.order() >= want);
                let passed = heap.skip(0, units, Some(want));
                assert_eq!(passed.found, wanted.map(|number| blocks[number]), "skew {skew}, rare {rare}, {want:?}");
                assert_eq!(passed.blocks, wanted.unwrap_or(blocks.len()) as u64, "skew {skew}, rare {rare}, {want:?}");
            }
            for (number, (upper, seen)) in blocks.iter().enumerate() {
                let order = seen.order();
                let lower = heap.geometry.lower_buddy(*upper, order).filter(|_| seen.kind() == Kind::Free);
                let Some(word) = lower.map(|lower| &heap.states.words()[lower.place()]) else { continue };
                let before = word.load(Ordering::Relaxed);
                if State::from_bits(before).order() == order {
                    word.store(State::free(order).bits(), Ordering::Relaxed);
                    let passed = heap.skip(0, units, None);
                    let expected = (number as u64, Some((*upper, *seen)));
                    assert_eq!((passed.blocks, passed.found), expected, "skew {skew}, rare {rare}");
                    word.store(before, Ordering::Relaxed);
                }
            }
        }
    }

    #[test]
    fn it_ends_where_it_is_to_end() {
        let (heap, blocks) = live(20_000, 5, 9);
        for (number, (block, _)) in blocks.iter().enumerate().skip(1) {
            let passed = heap.skip(0, block.get(), None);
            assert_eq!((passed.blocks, passed.found), (number as u64, None));
            let passed = heap.skip(block.get(), 20_000, None);
            assert_eq!((passed.blocks, passed.found), ((blocks.len() - number) as u64, None));
        }
    }
}
