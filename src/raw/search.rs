//! When an allocation may fail: only with a certificate that the block was not there.
//!
//! A failing allocation reads the version, sweeps, and looks at every block. It may fail if it saw nothing unsettled,
//! and the version did not move. Then what it saw at different times it could have seen at one. Why that is enough:
//!
//! - A block that was free all the time would have been seen, and taken.
//! - A block that became free meanwhile was published. Either its publisher's bump of the version is counted, and the
//!   search goes on. Or that has not come yet: then the release has not returned, and may be said to come after this
//!   failure. A thread with such a release under way withholds nothing else, so that N threads that have at most one
//!   block each can't hide one of N blocks from each other.
//! - A block that was being split, merged or resized shows as transit, and the search goes on. Two free buddies that
//!   nobody has merged are merged by the search itself, or it loses a race for them and goes on.
//! - Another sweep that merges keeps the version until its pass ends. It hides nothing: a pass that finds an upper
//!   buddy free and the lower one not looks at the upper one again. If that was taken meanwhile, the search goes on.
//!
//! A thread may be stopped with something in transit, for ever. If a certificate is missing only for that, the search
//! *waits*: another pass would find the same, until something is published, or the unit that was found first is in
//! transit no more. Waits are bounded, and so are attempts: bounds count steps, whatever is found at them. Then the
//! allocation fails without a certificate. That failure is remembered, too, with the unit: while that is in transit and
//! nothing is published, failures as hard are immediate.

use super::buddy::Buddy;
use super::class::Class;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use super::state::{Node, State};
use super::sweep::merge::Sweep;
use super::withheld::Waited;
use crate::sync::{AtomicU64, MAX_WAITS, Ordering, const_unless_loom, model_or, wait, yield_now};

/// Most attempts of one search. Four threads on four blocks had 2 failures in 10 million with 16 attempts, none with 1
/// 000.
/// Under loom few: an attempt costs an execution for every interleaving.
const MAX_ATTEMPTS: u32 = model_or(3, 1000);

/// Nodes of each stack that a search looks at for a short row, before it looks at all blocks.
/// Under loom none: a model of its own looks at some.
const MANY: usize = model_or(0, 1024);

/// Attempts that every search gets. Beyond `MAX_STEPS` steps it gets no more: in a heap of millions of blocks that
/// others keep busy, an allocation shall fail within a second, not after a thousand passes.
const MIN_ATTEMPTS: u32 = 8;
const MAX_STEPS: u64 = 1 << 24;

/// What there was instead of the block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exhausted {
    /// The order of the largest free block.
    pub largest: Option<Order>,
    /// Free units, in all heaps together.
    pub free_units: u64,
}

/// A unit that was in transit, and the place of its heap among those that were searched.
#[derive(Clone, Copy, Debug)]
struct Stall {
    heap: u32,
    unit: BlockIndex,
}

impl Stall {
    fn of(heap: usize, transit: Option<BlockIndex>) -> Option<Self> {
        Some(Self { heap: u32::try_from(heap).unwrap_or(u32::MAX), unit: transit? })
    }

    const fn bits(self) -> u64 {
        (self.heap as u64) << u32::BITS | self.unit.get() as u64
    }

    const fn from_bits(bits: u64) -> Self {
        Self { heap: (bits >> u32::BITS) as u32, unit: BlockIndex::new(bits as u32) }
    }

    /// Is it still in transit?
    fn lasts<'a>(self, mut heaps: impl Iterator<Item = &'a Buddy>) -> bool {
        heaps.nth(self.heap as usize).is_some_and(|heap| heap.is_in_transit(self.unit))
    }
}

/// The last failure. While nothing is published, failures as hard as that one are immediate.
#[derive(Debug)]
pub struct LastFailure {
    /// The version; whether it failed for a unit in transit; in the low bits, the class.
    certificate: AtomicU64,
    /// The unit in transit, if it failed for one. If another thread wrote it last, that one has seen the unit in
    /// transit after a version at most as large.
    stall: AtomicU64,
    /// The last wait in vain for threads that withhold what is cached.
    pub waited: Waited,
    /// Free units and, in the low bits, one more than the largest order, 0 for none.
    figures: AtomicU64,
}

const ORDER_BITS: u32 = 6;
const ORDER_MASK: u64 = (1 << ORDER_BITS) - 1;
const STALLED: u64 = 1 << u8::BITS;
/// After 2^55 publications an old failure may be taken for one of now.
const VERSION_SHIFT: u32 = u8::BITS + 1;
const _: () = assert!(Order::COUNT < 1 << ORDER_BITS);

impl LastFailure {
    const_unless_loom! {
        /// None yet.
        pub fn new() -> Self {
            Self {
                certificate: AtomicU64::new(u64::MAX),
                stall: AtomicU64::new(0),
                waited: Waited::new(),
                figures: AtomicU64::new(0),
            }
        }
    }

    fn read(&self) -> u64 {
        // Acquire: pairs with the Release in `note`; orders the readings behind the certificate before the reader's own
        // reading of the version. That is then as large in every counter, so that equal sums mean equal counters. No
        // model needs the Acquire: it takes two publishers, a thread that fails and one that reads the failure, more
        // threads than a model has.
        self.certificate.load(Ordering::Acquire)
    }

    fn covers(certificate: u64, version: u64, want: Class) -> bool {
        certificate >> VERSION_SHIFT == version & (u64::MAX >> VERSION_SHIFT)
            && want.implies(Class::from_code(certificate as u8))
    }

    /// The unit that was in transit when this failure was noted.
    fn stall(&self, certificate: u64) -> Option<Stall> {
        // Relaxed: made visible by the Acquire in `read`.
        (certificate & STALLED != 0).then(|| Stall::from_bits(self.stall.load(Ordering::Relaxed)))
    }

    fn note(&self, version: u64, want: Class, exhausted: Exhausted, stall: Option<Stall>) {
        let largest = exhausted.largest.map_or(0, |order| u64::from(order.get()) + 1);
        // Relaxed: for people to read; nothing depends on their agreement with the certificate.
        self.figures.store(exhausted.free_units << ORDER_BITS | largest, Ordering::Relaxed);
        if let Some(stall) = stall {
            // Relaxed: published by the next line.
            self.stall.store(stall.bits(), Ordering::Relaxed);
        }
        let stalled = if stall.is_some() { STALLED } else { 0 };
        // Release: pairs with the Acquire in `read`. No model needs the Release: as there.
        self.certificate.store(version << VERSION_SHIFT | stalled | u64::from(want.code()), Ordering::Release);
    }

    fn figures(&self) -> Exhausted {
        // Relaxed: as in `note`.
        let figures = self.figures.load(Ordering::Relaxed);
        let largest = (figures & ORDER_MASK).checked_sub(1).and_then(|order| Order::new(order as u32));
        Exhausted { largest, free_units: figures >> ORDER_BITS }
    }
}

impl Default for LastFailure {
    fn default() -> Self {
        Self::new()
    }
}

/// The end of a search, and its work.
#[derive(Clone, Copy, Debug)]
pub struct SearchEnd {
    /// The place of the heap among the ones that were searched, and the block, `Live` now.
    pub found: Result<(usize, BlockIndex), Exhausted>,
    /// If it failed: was the block certainly not there?
    #[cfg_attr(not(modelled), allow(dead_code, reason = "only models ask"))]
    pub is_certain: bool,
    /// The version of the heaps before the last look at them.
    pub version: u64,
    /// Attempts: sweeps over all heaps. 0, if the last failure answered.
    pub attempts: u32,
    /// Steps of these attempts. An attempt that found the block counts none.
    pub steps: u64,
    /// Pairs of buddies that it merged.
    pub merges: u64,
}

impl Default for SearchEnd {
    /// Nothing yet.
    fn default() -> Self {
        let found = Err(Exhausted::default());
        Self { found, is_certain: false, version: 0, attempts: 0, steps: 0, merges: 0 }
    }
}

/// Is it enough for one search, after `attempts` attempts of `steps` steps?
pub fn is_enough(attempts: u32, steps: u64) -> bool {
    attempts >= MAX_ATTEMPTS || attempts >= MIN_ATTEMPTS && steps > MAX_STEPS
}

/// Searches `heaps` for a block of `want` when their stacks had none. Closed heaps are passed over. `version` is a
/// number that is the same twice only if nothing was published in between, in closed heaps either. Lock-free: it goes
/// on only while others publish or have blocks in transit, and not for ever. O(blocks) an attempt; units in transit
/// count as blocks.
///
/// It fails if the block was certainly not there; after a bounded number of attempts, if another thread published
/// something in each of them; or if a thread had something in transit for as long as a search waits.
#[cold]
pub fn search<'a, H>(heaps: H, version: impl Fn() -> u64, want: Class, last: &LastFailure, shard: Shard) -> SearchEnd
where
    H: Iterator<Item = &'a Buddy> + Clone,
{
    let mut outcome = SearchEnd::default();
    let Some(order) = want.covering() else { return outcome };
    let mut waits = 0;
    loop {
        // The certificate before the version: see `LastFailure::read`.
        let certificate = last.read();
        outcome.version = version();
        if LastFailure::covers(certificate, outcome.version, want) {
            let stall = last.stall(certificate);
            if stall.is_none_or(|stall| stall.lasts(heaps.clone())) {
                return SearchEnd { found: Err(last.figures()), is_certain: stall.is_none(), ..outcome };
            }
        }
        outcome.attempts += 1;
        let (mut seen, mut stall) = (Sweep::default(), None);
        if !want.is_order() {
            // Blocks that follow each other may do: first those that the stacks lead to, then all.
            for (place, heap) in heaps.clone().enumerate().filter(|(_, heap)| !heap.is_closed()) {
                if let Some(block) = heap.take_near_row(want, MANY, shard) {
                    return SearchEnd { found: Ok((place, block)), ..outcome };
                }
            }
            for (place, heap) in heaps.clone().enumerate().filter(|(_, heap)| !heap.is_closed()) {
                let row = heap.find_row(0..heap.covered(), want.units(), want.alignment(), u32::MAX, shard, None);
                if let Some(block) = row.found {
                    // Its node may stand in a stack. The release of the block sees to that.
                    let (Node::Idle | Node::Elsewhere) = heap.assign_block(block, State::live(want));
                    return SearchEnd { found: Ok((place, block)), ..outcome };
                }
                outcome.steps += row.steps;
                stall = stall.or_else(|| Stall::of(place, row.transit));
                (seen.raced, seen.transit) = (seen.raced | row.raced, seen.transit.or(row.transit));
            }
        }
        for (place, heap) in heaps.clone().enumerate().filter(|(_, heap)| !heap.is_closed()) {
            let sweep = heap.sweep(Some(order), shard);
            stall = stall.or_else(|| Stall::of(place, sweep.transit));
            seen.add(&sweep);
            if let Some(block) = sweep.taken {
                if !want.is_order() && heap.resize(block, want, shard).is_err() {
                    // Somebody released it, though nobody has its address.
                    seen.raced = true;
                    continue;
                }
                return SearchEnd { found: Ok((place, block)), merges: outcome.merges + seen.merges, ..outcome };
            }
        }
        outcome.steps += seen.steps();
        outcome.merges += seen.merges;
        let exhausted = Exhausted { largest: seen.largest, free_units: seen.free_units };
        outcome.found = Err(exhausted);
        if seen.is_settled() && version() == outcome.version {
            last.note(outcome.version, want, exhausted, None);
            return SearchEnd { is_certain: true, ..outcome };
        }
        if seen.raced {
            yield_now();
        } else if let Some(stall) = stall {
            // Until then another pass would find the same.
            let is_same = || version() == outcome.version && stall.lasts(heaps.clone());
            while waits < MAX_WAITS && is_same() {
                wait(waits);
                waits += 1;
            }
            if waits == MAX_WAITS && is_same() {
                last.note(outcome.version, want, exhausted, Some(stall));
                return outcome;
            }
        }
        if is_enough(outcome.attempts, outcome.steps) {
            return outcome;
        }
    }
}

#[cfg(all(test, not(modelled)))]
mod tests {
    use super::super::Geometry;
    use super::*;

    const UNITS: u32 = 1 << 20;

    fn order(order: u32) -> Order {
        Order::new(order).expect("an order")
    }

    /// A heap of one block. Its upper half is in transit, as in a split or a merge. The lower one is live.
    fn half_in_transit() -> (Buddy, BlockIndex, Order) {
        let heap = Buddy::new(Geometry::new(UNITS, 0, Order::MAX)).expect("some memory");
        let half = order(UNITS.ilog2() - 1);
        let lower = heap.alloc(half, Shard::FIRST).expect("free");
        let upper = lower.after(1, half);
        heap.states.at(upper).absorb(half).expect("free");
        (heap, upper, half)
    }

    fn search_for(heap: &Buddy, want: Order, last: &LastFailure) -> SearchEnd {
        search(core::iter::once(heap), || heap.version(), want.into(), last, Shard::FIRST)
    }

    #[test]
    fn what_stays_in_transit_costs_one_pass_and_the_next_failure_none() {
        let (heap, upper, half) = half_in_transit();
        let last = LastFailure::new();
        let first = search_for(&heap, order(6), &last);
        assert!(first.found.is_err() && !first.is_certain);
        // The live block, and each unit in transit once.
        assert_eq!((first.attempts, first.steps), (1, 1 + u64::from(UNITS / 2)));
        for want in [6, 7, 19] {
            let again = search_for(&heap, order(want), &last);
            assert!(again.found.is_err() && !again.is_certain);
            assert_eq!((again.attempts, again.steps), (0, 0), "order {want}");
        }
        assert_eq!(search_for(&heap, order(5), &last).attempts, 1, "a smaller one might have been there");
        heap.publish(upper, half, Shard::FIRST);
        assert_eq!(search_for(&heap, half, &last).found, Ok((0, upper)));
    }

    #[test]
    fn a_merge_that_goes_on_voids_the_failure_though_it_publishes_nothing() {
        let (heap, upper, half) = half_in_transit();
        let lower = BlockIndex::new(0);
        heap.release(lower, Shard::FIRST).expect("it is live");
        let (last, whole) = (LastFailure::new(), order(UNITS.ilog2()));
        for attempts in [1, 0] {
            let failed = search_for(&heap, whole, &last);
            assert!(failed.found.is_err() && !failed.is_certain);
            assert_eq!(failed.attempts, attempts);
        }
        let version = heap.version();
        heap.states.at(lower).raise(half, whole).expect("free");
        assert_eq!((heap.version(), heap.is_in_transit(upper)), (version, false));
        assert_eq!(search_for(&heap, whole, &last).found, Ok((0, lower)));
    }

    #[test]
    fn a_failure_is_certain_when_nothing_is_in_transit() {
        let (heap, upper, half) = half_in_transit();
        heap.publish(upper, half, Shard::FIRST);
        // Nodes that it had to tidy would cost another attempt.
        heap.sweep(None, Shard::FIRST);
        let (last, whole) = (LastFailure::new(), order(UNITS.ilog2()));
        for attempts in [1, 0] {
            let failed = search_for(&heap, whole, &last);
            assert!(failed.found.is_err() && failed.is_certain);
            assert_eq!(failed.attempts, attempts);
        }
    }
}
