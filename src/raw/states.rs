//! The state words of a heap: the table, and looking at many of them at once.

use super::order::{BlockIndex, Geometry, Order};
use super::state::{KIND, ORDER, State, StateWord, TAKEN};
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::{AtomicU16, Ordering};

/// Blocks that are looked at together: their states, if they are single units, fill two cache lines.
#[cfg(not(all(loom, feature = "loom")))]
const RUN: usize = 64;
/// Under loom few: no model has more units.
#[cfg(all(loom, feature = "loom"))]
const RUN: usize = 4;

/// After so many of them a look that is in vain ends.
#[cfg(not(all(loom, feature = "loom")))]
const GROUP: usize = 16;
/// Under loom all of them.
#[cfg(all(loom, feature = "loom"))]
const GROUP: usize = 4;

/// Units of a stretch, and how many of them are walked through side by side. Under loom the same: no model has so many.
const STRETCH: usize = 1024;
const ABREAST: usize = 4;

const _: () = assert!(RUN.is_multiple_of(GROUP) && GROUP.is_multiple_of(LANES));

/// States in one word of the processor.
const LANES: usize = 4;
/// One bit in each of them, the lowest and the highest.
const LOWEST: u64 = 0x0001_0001_0001_0001;
const HIGHEST: u64 = LOWEST << 15;

/// What was walked through side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Where it ends.
    pub(super) next: u32,
    pub(super) blocks: u64,
    /// Were they all of one order?
    pub(super) are_alike: bool,
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

    /// May [`taken_abreast`](Self::taken_abreast) begin here? Where blocks of the order of a stretch begin, so that no
    /// smaller one reaches from one stretch into the next.
    #[inline]
    pub(super) fn is_stretch(geometry: &Geometry, unit: u32) -> bool {
        (unit.wrapping_add(geometry.lead()) as usize).is_multiple_of(STRETCH)
    }

    /// Walks from head to head, from the block at `from` on, through [`ABREAST`] stretches before `end`, all at once: so the
    /// processor need not wait for one state to know which is the next. `None`: not all blocks are live or cached, or one
    /// reaches beyond its stretch, but for the last one.
    ///
    /// It is one walk, done in another order: the first stretch begins where a block does, and each other one where
    /// the walk through the one before has come to, exactly; so no unit is passed over that such a walk would not, and none in
    /// transit. A glance at each: an Acquire fence is to follow.
    pub(super) fn taken_abreast(&self, from: u32, end: u32) -> Option<Taken> {
        let words = self.0.get(from as usize..end as usize)?.get(..ABREAST * STRETCH)?;
        let stretches: [&[AtomicU16]; ABREAST] =
            core::array::from_fn(|number| &words[number * STRETCH..(number + 1) * STRETCH]);
        let (mut places, mut all, mut any, mut blocks) = ([0; ABREAST], u16::MAX, 0, 0);
        let mut step = |place: &mut usize, word: &AtomicU16| {
            // Relaxed: as in `StateWord::glance`.
            let seen = word.load(Ordering::Relaxed);
            (all, any) = (all & seen, any | seen);
            // Small for what is no head: its bits of the order are clear.
            *place += 1 << (seen & ORDER);
            all & TAKEN != 0
        };
        'all: loop {
            let mut next = [None; ABREAST];
            for ((next, stretch), place) in next.iter_mut().zip(&stretches).zip(&places) {
                *next = stretch.get(*place);
            }
            let [Some(a), Some(b), Some(c), Some(d)] = next else { break 'all };
            let [at_a, at_b, at_c, at_d] = &mut places;
            if !(step(at_a, a) & step(at_b, b) & step(at_c, c) & step(at_d, d)) {
                return None;
            }
            blocks += ABREAST as u64;
        }
        for (place, stretch) in places.iter_mut().zip(&stretches) {
            while let Some(word) = stretch.get(*place) {
                if !step(place, word) {
                    return None;
                }
                blocks += 1;
            }
        }
        let [inner @ .., last] = places;
        let next = from.checked_add(((ABREAST - 1) * STRETCH + last) as u32)?;
        inner.iter().all(|place| *place == STRETCH).then_some(Taken {
            next,
            blocks,
            are_alike: (all ^ any) & ORDER == 0,
        })
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

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::super::state::Home;
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
            let live = State::live_from(Home::of(200)).of_order(order);
            assert_eq!(look(order, true, |_| live), Some(0));
            assert_eq!(look(order, true, |_| State::held(order)), Some(0));
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
    fn walk(order: Order, odd: Option<(usize, State)>) -> Option<Taken> {
        let units = ABREAST * STRETCH;
        let table = States::new(&Geometry::new(units as u32, 0, Order::MAX), &mut Source::Global).expect("some memory");
        for head in (0..units).step_by(order.units() as usize) {
            table.words()[head].store(State::live(order).bits(), Ordering::Relaxed);
        }
        if let Some((unit, state)) = odd {
            table.words()[unit].store(state.bits(), Ordering::Relaxed);
        }
        table.taken_abreast(0, units as u32)
    }

    #[test]
    fn a_walk_abreast_is_one_walk() {
        let [small, next, large] = [2, 3, 10].map(|order| Order::new(order).expect("an order"));
        let units = (ABREAST * STRETCH) as u32;
        let taken = |order: Order, more: u64| Taken {
            next: units,
            blocks: u64::from(units >> order.get()) + more,
            are_alike: true,
        };
        for order in [Order::ZERO, small, large] {
            assert_eq!(walk(order, None), Some(taken(order, 0)));
        }
        for head in (0..units as usize).step_by(4) {
            for other in [State::from_bits(0), State::from_bits(0x80), State::free(small)] {
                assert_eq!(walk(small, Some((head, other))), None, "{other:?} at {head}");
            }
            // As who reads the states while blocks change hands may see it: a block is there twice, or ends inside another.
            let twice = Some((head, State::live(next)));
            let is_inside = (head + 4) % STRETCH != 0;
            let at_end = head + 4 == units as usize;
            let expected = Taken { next: units + if at_end { 4 } else { 0 }, are_alike: false, ..taken(small, 0) };
            let blocks = expected.blocks - u64::from(is_inside);
            assert_eq!(walk(small, twice), (is_inside || at_end).then_some(Taken { blocks, ..expected }), "at {head}");
            let hole = Some((head, State::live(Order::ZERO)));
            assert_eq!(walk(small, hole), None, "at {head}");
            let unseen = Some((head + 1, State::live(next)));
            assert_eq!(walk(small, unseen), Some(taken(small, 0)));
        }
    }
}
