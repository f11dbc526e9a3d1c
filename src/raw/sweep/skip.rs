//! Passing over blocks with which a sweep has nothing to do: all that a pass does where nothing can be merged.
//!
//! The states are loaded `Relaxed`, in any order, before one fence, and a block for which there may be something to do is left to
//! the pass. What was passed over tells a search that the block that it wants is not there, if nothing was published
//! meanwhile (`search`): then a block that was seen live or cached stays so, and one that was seen free has at most been taken, or
//! merged with a buddy that was free as well; so if one of two buddies was seen live, the two can't be merged, whichever was
//! looked at first. Each of two free buddies is seen free, then, in a walk that looks at each block once.

use crate::raw::buddy::Buddy;
use crate::raw::order::{BlockIndex, Order};
use crate::raw::state::{Kind, State, StateWord};
use crate::raw::states::{States, Walk};
use crate::sync::{Ordering, fence, model_or};

/// Blocks of one order in succession after which there may be a whole run of them.
const SIGN_OF_A_RUN: u32 = 4;

/// Blocks in succession that are not free, after which only such ones are expected; and of one order among those, after which
/// there may be a run again. No model has as many.
const SIGN_OF_MANY: (u32, u32) = (8, 16);

/// Skipped blocks in succession, outside of runs, after which a walk through several stretches at once is tried: what is in vain of
/// it takes less time than those took. No model has as many.
const SIGN_OF_MOST: u64 = 256;

/// Look for the lower buddy before it is known whether that matters? A branch that nobody can foretell costs more.
/// Under loom a look more is more executions.
const BLINDLY: bool = model_or(false, true);

/// What a pass passed over, and where it has to stop.
#[derive(Clone, Copy, Debug)]
pub(in crate::raw) struct Skipped {
    pub(in crate::raw) blocks: u64,
    pub(in crate::raw) free_units: u64,
    /// The order of the largest free block among them.
    pub(in crate::raw) largest: Option<Order>,
    /// The first block that is not quiet, and what was seen there; `None`, if all were.
    pub(in crate::raw) found: Option<(BlockIndex, State)>,
}

impl Buddy {
    /// Passes over blocks from the one at `from` on, up to the unit `end` or to one for which there may be something to do: it is in
    /// transit, or what `want` asks for, or the upper one of two buddies that are both free. Returns that one, and what was seen there.
    pub(in crate::raw) fn skip_quiet(&self, from: u32, end: u32, want: Option<Order>) -> Skipped {
        let (geometry, max) = (&self.geometry, self.geometry.max_order());
        let want = want.map_or(u32::MAX, Order::get);
        let (mut at, mut last, mut alike, mut taken) = (from, Order::ZERO, SIGN_OF_A_RUN, 0);
        let (mut blocks, mut free_units, mut largest) = (0u64, 0u64, 0);
        let (mut found, mut enough) = (None, SIGN_OF_MOST);
        // No branch depends on what a quiet block is, but for its being one of many alike.
        while at < end {
            if blocks >= enough && States::is_stretch(geometry, at) {
                enough = blocks + SIGN_OF_MOST;
                if let Some(walk) = self.walk(at, end, want) {
                    blocks += walk.blocks;
                    free_units += walk.free_units;
                    largest = largest.max(u32::BITS - walk.free_orders.leading_zeros());
                    // Where they all are as large as the first one, as far as one can tell, there may be runs.
                    let order = self.states.at(BlockIndex::new(at)).glance().order();
                    let are_alike = walk.blocks << order.get() == u64::from(walk.next - at);
                    (at, enough) = (walk.next, if are_alike { blocks + SIGN_OF_MOST } else { blocks });
                    continue;
                }
            }
            let block = BlockIndex::new(at);
            let seen = self.states.at(block).glance();
            let order = seen.order();
            alike = (alike + 1) * u32::from(order == last);
            last = order;
            let is_upper = geometry.is_upper(block, order);
            if alike >= SIGN_OF_A_RUN {
                alike = 0;
                if let Some((next, free)) = self.skip_run(block, order, end, want) {
                    blocks += u64::from(States::RUN);
                    free_units += u64::from(free) << order.get();
                    largest = largest.max((order.get() + 1) * u32::from(free > 0));
                    (at, alike, enough) = (next, SIGN_OF_A_RUN, blocks + SIGN_OF_MOST);
                    continue;
                }
            }
            let is_free = seen.kind() == Kind::Free;
            taken = (taken + 1) * u32::from(!is_free);
            if taken > SIGN_OF_MANY.0 {
                let (next, passed) = self.skip_taken(at, end, enough.saturating_sub(blocks));
                blocks += passed;
                (taken, alike) = (0, SIGN_OF_A_RUN);
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

    /// Walks through several stretches at once; `None`: not all of their blocks are quiet, or it can't be done here.
    fn walk(&self, from: u32, end: u32, want: u32) -> Option<Walk> {
        self.states.walk_abreast(from, end).filter(|walk| walk.free_orders.checked_shr(want).unwrap_or(0) == 0)
    }

    /// Passes over blocks that are live or cached, until there are many of one order, or after `enough` of them where a walk may begin;
    /// returns where it ends, and how many there were.
    fn skip_taken(&self, from: u32, end: u32, enough: u64) -> (u32, u64) {
        let (mut at, mut last, mut alike, mut blocks) = (from, Order::ZERO, 0, 0);
        while at < end {
            let seen = self.states.at(BlockIndex::new(at)).glance();
            let order = seen.order();
            alike = if order == last { alike + 1 } else { 0 };
            let is_taken = matches!(seen.kind(), Kind::Cached | Kind::Live);
            if !is_taken || alike > SIGN_OF_MANY.1 || blocks >= enough && States::is_stretch(&self.geometry, at) {
                break;
            }
            last = order;
            blocks += 1;
            at = BlockIndex::new(at).after(1, order).get();
        }
        (at, blocks)
    }

    /// Looks at a run of blocks of `order`, all at once: where it ends, and how many are free. `None`: one of them is not quiet.
    fn skip_run(&self, first: BlockIndex, order: Order, end: u32, want: u32) -> Option<(u32, u32)> {
        // As wide as it must be for large blocks.
        let next = u64::from(first.get()) + (u64::from(States::RUN) << order.get());
        if self.geometry.is_upper(first, order) || next > u64::from(end) {
            return None;
        }
        let free = self.states.quiet_run(first, order, order < self.geometry.max_order())?;
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
            let Skipped { blocks: passed, found, free_units, .. } = heap.skip_quiet(0, units, None);
            assert_eq!((passed, found, free_units), (all, None, 0), "skew {skew}, rare {rare}");
            for (number, (block, seen)) in blocks.iter().enumerate() {
                let word = &heap.states.words()[block.slot()];
                // In transit, with the node in use or idle; or free, which is what is wanted.
                let other = [0, 0x80, State::free(seen.order()).bits()][number % 3];
                word.store(other, Ordering::Relaxed);
                let Skipped { blocks: passed, found, .. } = heap.skip_quiet(0, units, Some(Order::ZERO));
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
            let passed = heap.skip_quiet(0, units, None);
            assert_eq!((passed.blocks, passed.found), (blocks.len() as u64, None), "skew {skew}, rare {rare}");
            assert_eq!((passed.free_units, passed.largest), (free_units, largest), "skew {skew}, rare {rare}");
            for want in Order::ZERO.through(Order::MAX) {
                let wanted = blocks.iter().position(|(_, seen)| seen.kind() == Kind::Free && seen.order() >= want);
                let passed = heap.skip_quiet(0, units, Some(want));
                assert_eq!(passed.found, wanted.map(|number| blocks[number]), "skew {skew}, rare {rare}, {want:?}");
                assert_eq!(passed.blocks, wanted.unwrap_or(blocks.len()) as u64, "skew {skew}, rare {rare}, {want:?}");
            }
            for (number, (upper, seen)) in blocks.iter().enumerate() {
                let order = seen.order();
                let lower = heap.geometry.lower_buddy(*upper, order).filter(|_| seen.kind() == Kind::Free);
                let Some(word) = lower.map(|lower| &heap.states.words()[lower.slot()]) else { continue };
                let before = word.load(Ordering::Relaxed);
                if State::from_bits(before).order() == order {
                    word.store(State::free(order).bits(), Ordering::Relaxed);
                    let passed = heap.skip_quiet(0, units, None);
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
            let passed = heap.skip_quiet(0, block.get(), None);
            assert_eq!((passed.blocks, passed.found), (number as u64, None));
            let passed = heap.skip_quiet(block.get(), 20_000, None);
            assert_eq!((passed.blocks, passed.found), ((blocks.len() - number) as u64, None));
        }
    }
}
