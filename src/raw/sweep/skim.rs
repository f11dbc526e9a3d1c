//! Looks at many state words at once: probes of 64 blocks of one order, and walks through three windows of 1 024 units
//! side by side. `skip` says when a sweep tries which.

use crate::raw::order::{BlockIndex, Geometry, Order};
use crate::raw::state::{KIND, KIND_SHIFT, Kind, ORDER, State};
use crate::raw::states::States;
use crate::sync::{AtomicU16, Ordering, model_or};

/// Blocks that one probe looks at. If they are single units, their states fill two cache lines.
/// Under loom few: no model has more units.
const PROBE: usize = model_or(4, 64);

/// Blocks after which a probe that has failed ends.
/// Under loom all of them.
const PROBE_PART: usize = model_or(4, 16);

/// Units of a window. Under loom the same: no model has as many.
const WINDOW: usize = 1024;
/// Windows that are walked through side by side.
const ABREAST: usize = 3;

/// States that fit into one word of the processor, 16 bits each.
const IN_WORD: usize = 4;
/// The lowest bit of each.
const LOWEST: u64 = 0x0001_0001_0001_0001;
/// The highest bit of each.
const HIGHEST: u64 = LOWEST << 15;

const _: () = assert!(PROBE.is_multiple_of(PROBE_PART) && PROBE_PART.is_multiple_of(IN_WORD));
const _: () = assert!(ORDER as u32 == u32::BITS - 1, "to shift by a state is to shift by its order");

/// The result of a walk through windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// The unit at which it ended.
    pub(super) next: u32,
    pub(super) blocks: u64,
    pub(super) free_units: u64,
    /// The orders of the free blocks, a bit for each.
    pub(super) free_orders: u32,
}

impl States {
    /// Blocks that [`probe`](Self::probe) looks at.
    pub(super) const PROBE: u32 = PROBE as u32;

    /// Looks at [`PROBE`](Self::PROBE) blocks from `first` on: do blocks of `order` begin there, none of them in
    /// transit, and, with `in_pairs`, is at most one of each two buddies free? Returns how many are free then. Glances
    /// only: an Acquire fence is to follow.
    #[inline]
    pub(super) fn probe(&self, first: BlockIndex, order: Order, in_pairs: bool) -> Option<u32> {
        let words = self.words().get(first.place()..)?.get(..PROBE << order.get())?;
        match order {
            // A loop of its own, in which the distance is known.
            Order::ZERO => probe(words, 0, Order::ZERO, in_pairs),
            _ => probe(words, order.get(), order, in_pairs),
        }
    }

    /// The first unit from `from` on at which a block begins; `end`, if none does before that. For a caller that is
    /// inside a block in transit. Glances only: an Acquire fence is to follow.
    pub(super) fn skip_inner(&self, from: u32, end: u32) -> u32 {
        let Some(words) = self.words().get(from as usize..end as usize) else { return end };
        let is_inner = |probed: &[AtomicU16; PROBE]| {
            let mut sums = [0; IN_WORD];
            // Several sums at once, which need not wait for each other.
            for states in probed.as_chunks::<IN_WORD>().0 {
                for (sum, state) in sums.iter_mut().zip(states) {
                    // Relaxed: as in `StateWord::glance`.
                    *sum |= state.load(Ordering::Relaxed);
                }
            }
            sums.iter().all(|sum| sum & KIND == 0)
        };
        let passed = PROBE * words.as_chunks().0.iter().take_while(|probed| is_inner(probed)).count();
        let rest = words.get(passed..).unwrap_or(&[]);
        // Relaxed: as above.
        let passed = passed + rest.iter().take_while(|state| state.load(Ordering::Relaxed) & KIND == 0).count();
        // Not past `end`.
        from + passed as u32
    }

    /// Does a window begin here? Windows begin where blocks of their size may. So no smaller block reaches from one
    /// window into the next, and two buddies lie in one window.
    #[inline]
    pub(super) fn is_window(geometry: &Geometry, unit: u32) -> bool {
        (unit.wrapping_add(geometry.lead()) as usize).is_multiple_of(WINDOW)
    }

    /// Walks from head to head, from the block at `from` on, through [`ABREAST`] windows before `end`, all at once: so
    /// the processor need not wait for one state to know which is the next. `None`: a block is in transit, two buddies
    /// are free, a free block is as large as a window, or a block reaches beyond a window that is not the last.
    ///
    /// It is one walk, done in another order. The first window begins at a block. The walk through each of the others
    /// counts only if the walk through the window before has ended just there. So it passes over no unit that a plain
    /// walk would visit, and over none in transit. Glances only: an Acquire fence is to follow.
    #[inline(never)]
    pub(super) fn walk_windows(&self, from: u32, end: u32) -> Option<Walk> {
        let words = self.words().get(from as usize..end as usize)?;
        let mut walkers = words.as_chunks().0.first_chunk::<ABREAST>()?.each_ref().map(Walker::new);
        let mut sum = Sum::default();
        while walkers.iter().all(Walker::is_within) {
            walkers.iter_mut().for_each(|walker| walker.step(&mut sum));
            if !sum.is_skippable() {
                return None;
            }
        }
        for walker in &mut walkers {
            while walker.is_within() {
                walker.step(&mut sum);
            }
        }
        let [inner @ .., last] = walkers.map(|walker| walker.at);
        let next = from.checked_add((ABREAST as u32 - 1) * WINDOW as u32 + last)?;
        let Sum { blocks, free_units, free_orders, .. } = sum;
        let is_whole = sum.is_skippable() && inner.iter().all(|at| *at == WINDOW as u32);
        is_whole.then_some(Walk { next, blocks, free_units, free_orders })
    }
}

/// The units that a block of the smallest order adds to the free ones, by its kind: none if it is taken. A block in
/// transit adds as much as one that is too large.
const FREE_UNITS: [u32; 4] = {
    let mut units = [0; 4];
    units[Kind::Inner as usize] = 1 << 31;
    units[Kind::Free as usize] = 1;
    units
};

/// The sums over all blocks that the walkers have passed.
#[derive(Default)]
struct Sum {
    blocks: u64,
    free_units: u64,
    /// The orders of the free blocks, a bit for each.
    free_orders: u32,
    /// The orders of free blocks whose lower buddy is free as well.
    pairs: u32,
}

impl Sum {
    #[inline(always)]
    fn is_skippable(&self) -> bool {
        self.free_orders & !(WINDOW as u32 - 1) | self.pairs == 0
    }
}

/// A walk through one window.
struct Walker<'a> {
    window: &'a [AtomicU16; WINDOW],
    at: u32,
    /// The units of the block before this one, if that was free.
    last: u32,
}

impl<'a> Walker<'a> {
    fn new(window: &'a [AtomicU16; WINDOW]) -> Self {
        Self { window, at: 0, last: 0 }
    }

    #[inline(always)]
    fn is_within(&self) -> bool {
        (self.at as usize) < WINDOW
    }

    /// Passes over one block, without branches and with few instructions.
    #[inline(always)]
    fn step(&mut self, sum: &mut Sum) {
        // Relaxed: as in `StateWord::glance`.
        let seen = self.window[self.at as usize].load(Ordering::Relaxed);
        // The lowest five bits of a state are the order, and 0 where no block begins.
        let free = FREE_UNITS[usize::from((seen & KIND) >> KIND_SHIFT)].wrapping_shl(seen.into());
        sum.blocks += 1;
        sum.free_units += u64::from(free);
        sum.free_orders |= free;
        // `free` and `last` are powers of two. `at` has that bit if the block is an upper one. Its lower buddy was the
        // last block, if that is free and as large.
        sum.pairs |= self.at & free & self.last;
        self.last = free;
        self.at += 1u32.wrapping_shl(seen.into());
    }
}

/// Compares four states at a time with `order`, each in 16 bits of its own.
#[inline(always)]
fn probe(words: &[AtomicU16], shift: u32, order: Order, in_pairs: bool) -> Option<u32> {
    const FREE: u64 = (State::free(Order::ZERO).bits() & KIND) as u64 * LOWEST;
    const ORDERS: u64 = ORDER as u64 * LOWEST;
    let (order, mask) = (u64::from(order.get()) * LOWEST, u64::from(KIND | ORDER) * LOWEST);
    // The highest bits of the lower buddies.
    let lower = if in_pairs { HIGHEST & 0xffff_0000_ffff } else { 0 };
    let mut free_in_each = 0;
    for part in words.chunks_exact(PROBE_PART << shift) {
        let (mut other, mut both_free) = (0, 0);
        for states in part.chunks_exact(IN_WORD << shift) {
            // Relaxed: as in `StateWord::glance`.
            let at = |place: usize| u64::from(states[place << shift].load(Ordering::Relaxed)) << (16 * place);
            let seen = (at(0) | at(1) | at(2) | at(3)) & mask;
            // 0 for a free block of the order, and more for other kinds. In transit is less than free: then the highest
            // bit comes to be set. Where the order is another one, some of the bits of `ORDERS` are set.
            let above_free = (seen ^ order).wrapping_sub(FREE);
            other |= above_free;
            // If all four are as they should be, they are less than 2^15. Then the highest bit is set of those that are
            // 0.
            let is_free = HIGHEST.wrapping_sub(above_free);
            both_free |= is_free & (is_free >> 16);
            free_in_each += (is_free >> 15) & LOWEST;
        }
        if (other & (ORDERS | HIGHEST)) | (both_free & lower) != 0 {
            return None;
        }
    }
    // The sum of the four, none of which overflows, is in the highest 16 bits.
    Some((free_in_each.wrapping_mul(LOWEST) >> 48) as u32)
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::*;
    use crate::metadata::Source;
    use crate::raw::class::Class;
    use crate::raw::owner::Owner;

    /// Probes blocks of `order` with these states.
    fn look(order: Order, in_pairs: bool, states: impl Fn(usize) -> State) -> Option<u32> {
        let geometry = Geometry::new((PROBE as u32) << order.get(), 0, Order::MAX);
        let table = States::new(&geometry, &mut Source::Global).expect("a few bytes");
        for place in 0..PROBE {
            table.words()[place << order.get()].store(states(place).bits(), Ordering::Relaxed);
        }
        table.probe(BlockIndex::new(0), order, in_pairs)
    }

    #[test]
    fn a_probe_succeeds_only_if_each_block_is_skippable() {
        for order in [0, 1, 3].map(|order| Order::new(order).expect("an order")) {
            let up = order.up().expect("an order");
            let live = State::live_from(Owner::of(30)).of_class(order.into());
            assert_eq!(look(order, true, |_| live), Some(0));
            assert_eq!(look(order, true, |_| State::cached(order.into())), Some(0));
            assert_eq!(look(order, false, |_| State::free(order)), Some(PROBE as u32));
            assert_eq!(look(order, true, |_| State::free(order)), None);
            for odd in 0..PROBE {
                let half = |place: usize| if place % 2 == odd % 2 { State::free(order) } else { live };
                assert_eq!(look(order, true, half), Some(PROBE as u32 / 2));
                let and = |other: State| move |place: usize| if place == odd { other } else { live };
                assert_eq!(look(order, true, and(State::free(order))), Some(1));
                for other in [State::from_bits(0), State::from_bits(0x400), State::live(up.into()), State::free(up)] {
                    assert_eq!(look(order, true, and(other)), None, "block {odd} is {other:?}");
                    assert_eq!(look(order, false, and(other)), None, "block {odd} is {other:?}");
                }
                let pair = |place: usize| if place / 2 == odd / 2 { State::free(order) } else { live };
                assert_eq!((look(order, true, pair), look(order, false, pair)), (None, Some(2)));
                let not_buddies = |place: usize| if place.div_ceil(2) == odd / 2 { State::free(order) } else { live };
                let count = (0..PROBE).filter(|place| place.div_ceil(2) == odd / 2).count() as u32;
                assert_eq!(look(order, true, not_buddies), Some(count));
            }
        }
    }

    #[test]
    fn a_probe_does_not_go_past_the_end() {
        let geometry = Geometry::new(PROBE as u32, 0, Order::MAX);
        let table = States::new(&geometry, &mut Source::Global).expect("a few bytes");
        assert_eq!(table.probe(BlockIndex::new(1), Order::ZERO, true), None);
        assert_eq!(table.probe(BlockIndex::new(0), Order::MAX, true), None);
    }

    #[test]
    fn states_without_a_head_are_passed_over_exactly() {
        let table = States::new(&Geometry::new(1000, 0, Order::ZERO), &mut Source::Global).expect("a few bytes");
        let words = table.words();
        for head in [0, 1, 3, 63, 64, 65, 500, 999] {
            for state in [State::live(Class::UNIT), State::cached(Class::UNIT), State::free(Order::ZERO)] {
                words[head].store(state.bits(), Ordering::Relaxed);
                for from in [0, 1, 2, 63, 64, 400, head as u32].into_iter().filter(|from| *from <= head as u32) {
                    assert_eq!(table.skip_inner(from, 1000), head as u32, "from {from}");
                    assert_eq!(table.skip_inner(from, from), from);
                }
                // In transit, with its node in use.
                words[head].store(0x400, Ordering::Relaxed);
                assert_eq!(table.skip_inner(0, 1000), 1000);
            }
            words[head].store(0, Ordering::Relaxed);
        }
    }

    /// Windows of live blocks of `order`, except for the word of one unit.
    fn walk(order: Order, odd: Option<(usize, State)>) -> Option<Walk> {
        let units = ABREAST * WINDOW;
        let table = States::new(&Geometry::new(units as u32, 0, Order::MAX), &mut Source::Global).expect("some memory");
        for head in (0..units).step_by(order.units() as usize) {
            table.words()[head].store(State::live(order.into()).bits(), Ordering::Relaxed);
        }
        if let Some((unit, state)) = odd {
            table.words()[unit].store(state.bits(), Ordering::Relaxed);
        }
        table.walk_windows(0, units as u32)
    }

    #[test]
    fn a_walk_through_windows_is_one_walk() {
        let [small, next, large] = [2, 3, 10].map(|order| Order::new(order).expect("an order"));
        let units = (ABREAST * WINDOW) as u32;
        let taken = |order: Order, more: u64| Walk {
            next: units,
            blocks: u64::from(units >> order.get()) + more,
            free_units: 0,
            free_orders: 0,
        };
        for order in [Order::ZERO, small, large] {
            assert_eq!(walk(order, None), Some(taken(order, 0)));
        }
        for head in (0..units as usize).step_by(4) {
            for other in [State::from_bits(0), State::from_bits(0x400)] {
                assert_eq!(walk(small, Some((head, other))), None, "{other:?} at {head}");
            }
            let free = Walk { free_units: 4, free_orders: 4, ..taken(small, 0) };
            assert_eq!(walk(small, Some((head, State::free(small)))), Some(free), "at {head}");
            // A reader may see this while blocks change hands: a block is there twice, or ends inside another.
            let twice = Some((head, State::live(next.into())));
            let is_inside = (head + 4) % WINDOW != 0;
            let at_end = head + 4 == units as usize;
            let expected = Walk { next: units + if at_end { 4 } else { 0 }, ..taken(small, 0) };
            let blocks = expected.blocks - u64::from(is_inside);
            assert_eq!(walk(small, twice), (is_inside || at_end).then_some(Walk { blocks, ..expected }), "at {head}");
            let hole = Some((head, State::live(Class::UNIT)));
            assert_eq!(walk(small, hole), None, "at {head}");
            let unseen = Some((head + 1, State::live(next.into())));
            assert_eq!(walk(small, unseen), Some(taken(small, 0)));
        }
        // The lower buddy of a free block as large as a window may be in another window.
        assert_eq!(walk(large, Some((WINDOW, State::free(large)))), None);
    }
}
