//! The state words of a heap: the table, and looking at many of them at once.

use super::order::{BlockIndex, Geometry, Order};
use super::state::{KIND, Kind, ORDER, State, StateWord};
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU16, Ordering, model_or};

/// Blocks that are looked at together: their states, if they are single units, fill two cache lines.
/// Under loom few: no model has more units.
const RUN: usize = model_or(4, 64);

/// After so many of them a look that is in vain ends.
/// Under loom all of them.
const GROUP: usize = model_or(4, 16);

/// Units of a stretch, and how many of them are walked through side by side. Under loom the same: no model has so many.
const STRETCH: usize = 1024;
const ABREAST: usize = 3;

const _: () = assert!(RUN.is_multiple_of(GROUP) && GROUP.is_multiple_of(LANES));
const _: () = assert!(ORDER as u32 == u32::BITS - 1, "to shift by a state is to shift by its order");

/// States in one word of the processor.
const LANES: usize = 4;
/// One bit in each of them, the lowest and the highest.
const LOWEST: u64 = 0x0001_0001_0001_0001;
const HIGHEST: u64 = LOWEST << 15;

/// What was walked through side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// Where it ends.
    pub(super) next: u32,
    pub(super) blocks: u64,
    pub(super) free_units: u64,
    /// The orders of the free ones, a bit for each.
    pub(super) free_orders: u32,
}

/// The state words of a heap.
#[derive(Debug)]
pub struct States(Table<AtomicU16>);

impl States {
    /// How many blocks [`quiet_run`](Self::quiet_run) looks at.
    pub(super) const RUN: u32 = RUN as u32;

    /// The states of a heap in which nothing was published yet.
    pub(crate) fn new(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        // Blocks of whole cache lines of states begin at the beginning of one.
        source.table_in_lines(geometry.units() as usize, geometry.lead() as usize).map(Self)
    }

    /// The state word of `block`.
    #[inline]
    pub fn at(&self, block: BlockIndex) -> StateWord<'_> {
        StateWord(&self.0[block.slot()])
    }

    /// All of them, to be looked at from elsewhere by [`StateWord`].
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU16] {
        &self.0
    }

    /// Looks whether [`RUN`](Self::RUN) blocks of `order` begin at `first`, none of them in transit, and, with `in_pairs`,
    /// whether at least one of each two is not free; returns how many are free then. A glance at each: an Acquire fence is to follow.
    #[inline]
    pub(super) fn quiet_run(&self, first: BlockIndex, order: Order, in_pairs: bool) -> Option<u32> {
        let words = self.0.get(first.slot()..)?.get(..RUN << order.get())?;
        match order {
            // A loop of its own, in which the distance is known.
            Order::ZERO => quiet(words, 0, Order::ZERO, in_pairs),
            _ => quiet(words, order.get(), order, in_pairs),
        }
    }

    /// The first unit from `from` on at which a block begins; `end`, if none does before that. For who is where a block is in transit.
    /// A glance at each: an Acquire fence is to follow.
    pub(super) fn skip_inner(&self, from: u32, end: u32) -> u32 {
        let Some(words) = self.0.get(from as usize..end as usize) else { return end };
        let is_inner = |run: &[AtomicU16; RUN]| {
            let mut sums = [0; LANES];
            // Several sums at once, which need not wait for each other.
            for states in run.as_chunks::<LANES>().0 {
                for (sum, state) in sums.iter_mut().zip(states) {
                    // Relaxed: as in `StateWord::glance`.
                    *sum |= state.load(Ordering::Relaxed);
                }
            }
            sums.iter().all(|sum| sum & KIND == 0)
        };
        let passed = RUN * words.as_chunks().0.iter().take_while(|run| is_inner(run)).count();
        let rest = words.get(passed..).unwrap_or(&[]);
        // Relaxed: as above.
        let passed = passed + rest.iter().take_while(|state| state.load(Ordering::Relaxed) & KIND == 0).count();
        // Not past `end`.
        from + passed as u32
    }

    /// May [`walk_abreast`](Self::walk_abreast) begin here? Where blocks of the order of a stretch begin, so that no
    /// smaller one reaches from one stretch into the next, and buddies lie in one.
    #[inline]
    pub(super) fn is_stretch(geometry: &Geometry, unit: u32) -> bool {
        (unit.wrapping_add(geometry.lead()) as usize).is_multiple_of(STRETCH)
    }

    /// Walks from head to head, from the block at `from` on, through [`ABREAST`] stretches before `end`, all at once: so the
    /// processor need not wait for one state to know which is the next. `None`: there is a block in transit, or a free one with its
    /// lower buddy or as large as a stretch, or one that reaches beyond its stretch, but for the last one.
    ///
    /// It is one walk, done in another order: the first stretch begins where a block does, and each other one where
    /// the walk through the one before has come to, exactly; so no unit is passed over that such a walk would not, and none in
    /// transit. A glance at each: an Acquire fence is to follow.
    #[inline(never)]
    pub(super) fn walk_abreast(&self, from: u32, end: u32) -> Option<Walk> {
        let words = self.0.get(from as usize..end as usize)?;
        let mut walkers = words.as_chunks().0.first_chunk::<ABREAST>()?.each_ref().map(Walker::new);
        let mut sum = Sum::default();
        while walkers.iter().all(Walker::is_within) {
            walkers.iter_mut().for_each(|walker| walker.step(&mut sum));
            if !sum.is_quiet() {
                return None;
            }
        }
        for walker in &mut walkers {
            while walker.is_within() {
                walker.step(&mut sum);
            }
        }
        let [inner @ .., last] = walkers.map(|walker| walker.at);
        let next = from.checked_add((ABREAST as u32 - 1) * STRETCH as u32 + last)?;
        let Sum { blocks, free_units, free_orders, .. } = sum;
        let is_whole = sum.is_quiet() && inner.iter().all(|at| *at == STRETCH as u32);
        is_whole.then_some(Walk { next, blocks, free_units, free_orders })
    }
}

/// What a free block adds to a sum, by the kind and the order: its units, nothing for one that is taken; and for what is in transit as much
/// as for one that is too large.
const FREE_UNITS: [u32; (KIND | ORDER) as usize + 1] = {
    let mut units = [0; (KIND | ORDER) as usize + 1];
    let mut bits = 0;
    while bits < units.len() {
        let state = State::from_bits(bits as u16);
        units[bits] = match state.kind() {
            Kind::Inner => 1 << 31,
            Kind::Free => state.order().units(),
            Kind::Cached | Kind::Live => 0,
        };
        bits += 1;
    }
    units
};

/// What walks through stretches have seen by now.
#[derive(Default)]
struct Sum {
    blocks: u64,
    free_units: u64,
    /// The orders of the free ones, a bit for each.
    free_orders: u32,
    /// Those of free buddies.
    pairs: u32,
}

impl Sum {
    #[inline(always)]
    fn is_quiet(&self) -> bool {
        self.free_orders & !(STRETCH as u32 - 1) | self.pairs == 0
    }
}

/// A walk through one stretch.
struct Walker<'a> {
    stretch: &'a [AtomicU16; STRETCH],
    at: u32,
    /// The units of the block before this one, if that was free.
    last: u32,
}

impl<'a> Walker<'a> {
    fn new(stretch: &'a [AtomicU16; STRETCH]) -> Self {
        Self { stretch, at: 0, last: 0 }
    }

    #[inline(always)]
    fn is_within(&self) -> bool {
        (self.at as usize) < STRETCH
    }

    /// Passes over one block. Without branches, and with as few instructions as can be.
    #[inline(always)]
    fn step(&mut self, sum: &mut Sum) {
        // Relaxed: as in `StateWord::glance`.
        let seen = self.stretch[self.at as usize].load(Ordering::Relaxed);
        let free = FREE_UNITS[(seen & (KIND | ORDER)) as usize];
        sum.blocks += 1;
        sum.free_units += u64::from(free);
        sum.free_orders |= free;
        // All of these are powers of two but the place, which has that bit if the block is an upper one; its lower buddy was the last one, if
        // that is free and as large.
        sum.pairs |= self.at & free & self.last;
        self.last = free;
        // By the lowest five bits, which are the order, and for what is no head 0.
        self.at += 1u32.wrapping_shl(seen.into());
    }
}

/// Four states at a time: each is compared with what it should be in a lane of its own.
#[inline(always)]
fn quiet(words: &[AtomicU16], shift: u32, order: Order, in_pairs: bool) -> Option<u32> {
    const FREE: u64 = (State::free(Order::ZERO).bits() & KIND) as u64 * LOWEST;
    const ORDERS: u64 = ORDER as u64 * LOWEST;
    let (order, mask) = (u64::from(order.get()) * LOWEST, u64::from(KIND | ORDER) * LOWEST);
    // The highest bits of the lanes of lower buddies.
    let lower = if in_pairs { HIGHEST & 0xffff_0000_ffff } else { 0 };
    let mut free_in_lanes = 0;
    for group in words.chunks_exact(GROUP << shift) {
        let (mut other, mut both_free) = (0, 0);
        for states in group.chunks_exact(LANES << shift) {
            // Relaxed: as in `StateWord::glance`.
            let at = |lane: usize| u64::from(states[lane << shift].load(Ordering::Relaxed)) << (16 * lane);
            let seen = (at(0) | at(1) | at(2) | at(3)) & mask;
            // 0 for a free block of the order, and more for others by as much as their kinds are. In transit is less than free:
            // then the highest bit comes to be set; where the order is another one, some of its bits are.
            let above_free = (seen ^ order).wrapping_sub(FREE);
            other |= above_free;
            // Where all lanes are what they should be, so that they are less than 2^15, the highest bit is set of those that are 0.
            let is_free = HIGHEST.wrapping_sub(above_free);
            both_free |= is_free & (is_free >> 16);
            free_in_lanes += (is_free >> 15) & LOWEST;
        }
        if (other & (ORDERS | HIGHEST)) | (both_free & lower) != 0 {
            return None;
        }
    }
    // The sum of the lanes, none of which overflows, is in the highest one.
    Some((free_in_lanes.wrapping_mul(LOWEST) >> 48) as u32)
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::super::state::Owner;
    use super::*;

    /// The states of a run of blocks of `order`, and what a look at them must say.
    fn look(order: Order, in_pairs: bool, states: impl Fn(usize) -> State) -> Option<u32> {
        let geometry = Geometry::new((RUN as u32) << order.get(), 0, Order::MAX);
        let table = States::new(&geometry, &mut Source::Global).expect("a few bytes");
        for place in 0..RUN {
            table.words()[place << order.get()].store(states(place).bits(), Ordering::Relaxed);
        }
        table.quiet_run(BlockIndex::new(0), order, in_pairs)
    }

    #[test]
    fn a_run_is_quiet_only_if_each_block_is() {
        for order in [0, 1, 3].map(|order| Order::new(order).expect("an order")) {
            let up = order.up().expect("an order");
            let live = State::live_from(Owner::of(200)).of_order(order);
            assert_eq!(look(order, true, |_| live), Some(0));
            assert_eq!(look(order, true, |_| State::cached(order)), Some(0));
            assert_eq!(look(order, false, |_| State::free(order)), Some(RUN as u32));
            assert_eq!(look(order, true, |_| State::free(order)), None);
            for odd in 0..RUN {
                let half = |place: usize| if place % 2 == odd % 2 { State::free(order) } else { live };
                assert_eq!(look(order, true, half), Some(RUN as u32 / 2));
                let and = |other: State| move |place: usize| if place == odd { other } else { live };
                assert_eq!(look(order, true, and(State::free(order))), Some(1));
                for other in [State::from_bits(0), State::from_bits(0x80), State::live(up), State::free(up)] {
                    assert_eq!(look(order, true, and(other)), None, "block {odd} is {other:?}");
                    assert_eq!(look(order, false, and(other)), None, "block {odd} is {other:?}");
                }
                let pair = |place: usize| if place / 2 == odd / 2 { State::free(order) } else { live };
                assert_eq!((look(order, true, pair), look(order, false, pair)), (None, Some(2)));
                let not_buddies = |place: usize| if place.div_ceil(2) == odd / 2 { State::free(order) } else { live };
                let count = (0..RUN).filter(|place| place.div_ceil(2) == odd / 2).count() as u32;
                assert_eq!(look(order, true, not_buddies), Some(count));
            }
        }
    }

    #[test]
    fn a_run_does_not_go_past_the_end() {
        let geometry = Geometry::new(RUN as u32, 0, Order::MAX);
        let table = States::new(&geometry, &mut Source::Global).expect("a few bytes");
        assert_eq!(table.quiet_run(BlockIndex::new(1), Order::ZERO, true), None);
        assert_eq!(table.quiet_run(BlockIndex::new(0), Order::MAX, true), None);
    }

    /// Stretches of live blocks of `order`, but for the word of one unit.
    fn walk(order: Order, odd: Option<(usize, State)>) -> Option<Walk> {
        let units = ABREAST * STRETCH;
        let table = States::new(&Geometry::new(units as u32, 0, Order::MAX), &mut Source::Global).expect("some memory");
        for head in (0..units).step_by(order.units() as usize) {
            table.words()[head].store(State::live(order).bits(), Ordering::Relaxed);
        }
        if let Some((unit, state)) = odd {
            table.words()[unit].store(state.bits(), Ordering::Relaxed);
        }
        table.walk_abreast(0, units as u32)
    }

    #[test]
    fn a_walk_abreast_is_one_walk() {
        let [small, next, large] = [2, 3, 10].map(|order| Order::new(order).expect("an order"));
        let units = (ABREAST * STRETCH) as u32;
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
            for other in [State::from_bits(0), State::from_bits(0x80)] {
                assert_eq!(walk(small, Some((head, other))), None, "{other:?} at {head}");
            }
            let free = Walk { free_units: 4, free_orders: 4, ..taken(small, 0) };
            assert_eq!(walk(small, Some((head, State::free(small)))), Some(free), "at {head}");
            // As who reads the states while blocks change hands may see it: a block is there twice, or ends inside another.
            let twice = Some((head, State::live(next)));
            let is_inside = (head + 4) % STRETCH != 0;
            let at_end = head + 4 == units as usize;
            let expected = Walk { next: units + if at_end { 4 } else { 0 }, ..taken(small, 0) };
            let blocks = expected.blocks - u64::from(is_inside);
            assert_eq!(walk(small, twice), (is_inside || at_end).then_some(Walk { blocks, ..expected }), "at {head}");
            let hole = Some((head, State::live(Order::ZERO)));
            assert_eq!(walk(small, hole), None, "at {head}");
            let unseen = Some((head + 1, State::live(next)));
            assert_eq!(walk(small, unseen), Some(taken(small, 0)));
        }
        // A whole stretch may have its lower buddy in another one.
        assert_eq!(walk(large, Some((STRETCH, State::free(large)))), None);
    }
}
