//! How much a cache may hold, and of what: bounded in all, and shifted to the sizes that miss.

use crate::sync::model_or;
use core::cell::Cell;

use crate::raw::Order;

use super::bin::ENTRIES;
use super::depot::MAGAZINE;

/// Most blocks of one size that a cache holds.
const MOST_BLOCKS: usize = 2048;
/// Blocks of so many bytes are *big*: what a cache may hold of them follows the pool. Of smaller ones a MiB is plenty.
const BIG: usize = 64 << 10;
/// Places that the bin of each size of big blocks has at least.
const FEWEST_BIG: usize = 64;
/// Blocks that a bin may hold when it comes into use.
const FIRST_BLOCKS: usize = 64;
/// But at most this part of what the cache may hold.
const FIRST_PART: usize = 8;
/// A cache holds at most this part of the pool.
/// Under loom all of it: no model has 64 blocks.
const PART_OF_POOL: usize = model_or(1, 64);
/// A magazine is at most this part of what a cache may hold, so that there can be eight outboxes at least.
/// Under loom all that outboxes may hold: a cache holds a few blocks.
const MAGAZINE_PART: usize = model_or(OUTBOXES_PART, 32);
/// Blocks from this order on are large.
const LARGE: u32 = 6;
/// Large blocks of one size are at most this part of what the bins may hold.
const LARGE_PART: usize = 2;
// An outbox can be opened, if all others are closed.
const _: () = assert!(MAGAZINE_PART >= OUTBOXES_PART);
/// After so many misses of all bins, those before count half.
const LATELY: u32 = 256;
/// A bin that has so many times the bytes for each miss gives half of them away.
const MANY_TIMES: u128 = 4;
/// This part of what a cache may hold is for the outboxes.
/// Under loom half of it, so that a cache of two blocks can have one of each.
const OUTBOXES_PART: usize = model_or(2, 4);

/// Outboxes of a cache.
/// Under loom two: each is a few tracked objects.
pub const OUTBOXES: usize = model_or(2, 32);

/// The entries of the bins of the orders: all but the outboxes', and one before each bin. The last place is none's, so that
/// the place after a bin is a place.
const BIN_ENTRIES: usize = ENTRIES - 1 - OUTBOXES * (MAGAZINE + 1) - Order::COUNT;

/// Bytes that the blocks of a cache may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Those that are not big.
    small: usize,
    /// All.
    all: usize,
}

impl Allowance {
    /// A MiB; and of big blocks as much as the pool allows.
    pub const DEFAULT: Self = Self { small: 1 << 20, all: usize::MAX };

    /// So many bytes, whatever the blocks; 0 for no caches.
    pub const fn of(bytes: usize) -> Self {
        Self { small: bytes, all: bytes }
    }

    /// Is there to be no cache?
    pub const fn is_none(self) -> bool {
        self.all == 0
    }

    /// No more than so many bytes.
    fn at_most(self, bytes: usize) -> Self {
        Self { small: self.small.min(bytes), all: self.all.min(bytes) }
    }

    /// A part of it.
    fn part(self, part: usize) -> Self {
        Self { small: self.small / part, all: self.all / part }
    }

    /// What the bins may hold of it; the rest is for the outboxes.
    fn of_bins(self) -> Self {
        let outboxes = self.part(OUTBOXES_PART);
        Self { small: self.small - outboxes.small, all: self.all - outboxes.all }
    }
}

/// What a cache of this pool may hold, by the configuration and the size of the pool.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    allowed: Allowance,
    /// What the configuration allows.
    configured: Allowance,
    min_shift: u32,
}

impl Limit {
    /// The limit of a cache in a pool of `capacity` bytes with blocks from 2^`min_shift` bytes on.
    pub fn new(configured: Allowance, capacity: usize, min_shift: u32) -> Self {
        Self { allowed: configured.at_most(capacity / PART_OF_POOL), configured, min_shift }
    }

    /// May a cache hold one block at least?
    pub fn holds_any(&self) -> bool {
        self.bytes(self.allowed.of_bins(), Order::ZERO) >= self.size(Order::ZERO)
    }

    fn is_big(&self, order: Order) -> bool {
        self.size(order) >= BIG
    }

    /// Bytes of an allowance that blocks of `order` may have.
    fn bytes(&self, allowance: Allowance, order: Order) -> usize {
        if self.is_big(order) { allowance.all } else { allowance.small }
    }

    fn size(&self, order: Order) -> usize {
        1usize.checked_shl(self.min_shift + order.get()).unwrap_or(usize::MAX)
    }

    /// The orders of which the bins may hold a block, however large the pool is going to be.
    fn orders(&self) -> impl Iterator<Item = Order> {
        let bins = self.configured.of_bins();
        Order::ZERO.through(Order::MAX).filter(move |order| self.size(*order) <= self.bytes(bins, *order))
    }

    /// Most blocks of `order` in a cache of such an allowance: small ones may have all of it, larger ones a part, but one at least
    /// if there is room.
    fn most(&self, allowance: Allowance, order: Order) -> usize {
        let (size, bins) = (self.size(order), self.bytes(allowance.of_bins(), order));
        let part = if order.get() < LARGE { bins } else { bins / LARGE_PART };
        (part / size).max(usize::from(size <= bins)).min(MOST_BLOCKS)
    }

    /// Bytes of `blocks` blocks of `order`.
    pub fn bytes_of(&self, order: Order, blocks: usize) -> usize {
        self.size(order).saturating_mul(blocks)
    }

    /// Blocks of a magazine of `order`; 0 where one block is too much.
    pub fn magazine(&self, order: Order) -> usize {
        (self.bytes(self.allowed, order) / MAGAZINE_PART / self.size(order)).min(MAGAZINE)
    }

    /// How many entries the bin of each order has, whatever the size of the pool is going to be.
    pub fn rooms(self) -> impl Iterator<Item = (Order, usize)> {
        let orders = || Order::ZERO.through(Order::MAX);
        let big = orders().filter(|order| self.is_big(*order)).count();
        // As many as there are to be, but not more than all bins together have entries. Those of big blocks share what is left.
        let most = move |order: Order, limit: usize| self.most(self.configured, order).min(limit);
        let small = move |limit: usize| {
            orders().filter(move |order| !self.is_big(*order)).map(move |order| most(order, limit)).sum::<usize>()
        };
        let halves = core::iter::successors(Some(MOST_BLOCKS), |limit| Some(limit / 2));
        let fits = |limit: &usize| small(*limit) + big * FEWEST_BIG <= BIN_ENTRIES;
        let of_small = halves.take_while(|limit| *limit > 0).find(fits).unwrap_or(0);
        let of_big = (BIN_ENTRIES - small(of_small)).checked_div(big).unwrap_or(0);
        orders().map(move |order| (order, most(order, if self.is_big(order) { of_big } else { of_small })))
    }
}

/// Bytes of blocks that a cache may have now: of those that are not big, and of all.
#[derive(Debug, Default)]
struct Given {
    small: Cell<usize>,
    all: Cell<usize>,
}

impl Given {
    /// What an allowance leaves for blocks of `order`.
    fn left(&self, limit: &Limit, allowance: Allowance, order: Order) -> usize {
        let all = allowance.all.saturating_sub(self.all.get());
        if limit.is_big(order) { all } else { all.min(allowance.small.saturating_sub(self.small.get())) }
    }

    /// Is it the bound for blocks that are not big that leaves least?
    fn is_small_bound(&self, allowance: Allowance) -> bool {
        allowance.small.saturating_sub(self.small.get()) < allowance.all.saturating_sub(self.all.get())
    }

    fn change(&self, limit: &Limit, order: Order, change: impl Fn(usize) -> usize) {
        self.all.set(change(self.all.get()));
        if !limit.is_big(order) {
            self.small.set(change(self.small.get()));
        }
    }

    fn give(&self, limit: &Limit, order: Order, bytes: usize) {
        self.change(limit, order, |given| given.saturating_add(bytes));
    }

    fn take_back(&self, limit: &Limit, order: Order, bytes: usize) {
        self.change(limit, order, |given| given.saturating_sub(bytes));
    }
}

/// What the bins of a cache may hold now. The owner's.
#[derive(Debug, Default)]
pub struct BinBudget {
    /// For the blocks of all bins together.
    bins: Given,
    /// How often the bin of the order missed lately.
    misses: [Cell<u32>; Order::COUNT],
    /// Misses of all bins until these count half.
    until_half: Cell<u32>,
    /// The most blocks that the bin of the order was filled for.
    peak: [Cell<u16>; Order::COUNT],
    /// For the blocks of all outboxes together.
    outboxes: Given,
    /// Which outbox is the next to be closed, where they are too many.
    next_outbox: Cell<usize>,
}

impl BinBudget {
    /// The bin of `order` missed: it had no block, or no room for one. True each time that older misses count half from now on.
    pub fn miss(&self, order: Order) -> bool {
        let missed = &self.misses[order.slot()];
        missed.set(missed.get() + 1);
        match self.until_half.get() {
            0 => {
                self.misses.iter().for_each(|misses| misses.set(misses.get() / 2));
                self.until_half.set(LATELY);
                true
            }
            left => {
                self.until_half.set(left - 1);
                false
            }
        }
    }

    /// How many blocks a bin, with entries for `room` blocks, should hold after a miss: twice as many as it `has`.
    pub fn wanted(&self, limit: &Limit, order: Order, has: usize, room: usize) -> usize {
        let first = FIRST_BLOCKS.min(limit.most(limit.allowed.part(FIRST_PART), order)).max(1);
        (2 * has).max(first).min(limit.most(limit.allowed, order)).min(room).max(has)
    }

    /// A bin that has room for `has` blocks is to have room for `wanted`. Returns for how many it may have, within the limit.
    pub fn grow(&self, limit: &Limit, order: Order, has: usize, wanted: usize) -> usize {
        let left = self.bins.left(limit, limit.allowed.of_bins(), order) / limit.size(order);
        let more = (wanted - has).min(left);
        self.bins.give(limit, order, limit.bytes_of(order, more));
        has + more
    }

    /// The order of the bin that has the most memory for each of its misses, if that is many times as much as the bin of `order`
    /// has; `capacity` tells how many blocks each may hold. One more block spares a bin of n blocks about 2/n of its misses.
    pub fn least_needed(&self, limit: &Limit, order: Order, capacity: impl Fn(Order) -> usize) -> Option<Order> {
        let misses = |order: Order| u128::from(self.misses[order.slot()].get()) + 1;
        // In units: fewer than 2^32 to each of 2^11 blocks, and misses have 32 bits, so that none of the products overflows.
        let units = |order: Order, blocks: usize| blocks as u128 * u128::from(order.units());
        // What a big one gives up is of no use to a small one that may have no more of its own kind.
        let all = limit.is_big(order) || !self.bins.is_small_bound(limit.allowed.of_bins());
        let of_use = |other: &Order| all || !limit.is_big(*other);
        let others = limit.orders().filter(|other| *other != order && capacity(*other) > 0).filter(of_use);
        let least = others.max_by_key(|other| units(*other, capacity(*other)) / misses(*other))?;
        let own = units(order, capacity(order).max(1));
        (units(least, capacity(least)) * misses(order) >= MANY_TIMES * own * misses(least)).then_some(least)
    }

    /// A bin is to be filled that may hold so many blocks: was it never filled for as many?
    pub fn is_peak(&self, order: Order, blocks: usize) -> bool {
        let peak = &self.peak[order.slot()];
        let is_peak = blocks > usize::from(peak.get());
        if is_peak {
            peak.set(blocks.min(MOST_BLOCKS) as u16);
        }
        is_peak
    }

    /// A bin may hold fewer blocks from now on.
    pub fn shrink(&self, limit: &Limit, order: Order, less: usize) {
        self.bins.take_back(limit, order, limit.bytes_of(order, less));
    }

    /// An outbox that may hold `blocks` blocks of `order` is to be opened. Returns one that is to be closed first, and asked again
    /// after; `None`: the outboxes are within the limit with it.
    pub fn open_outbox(&self, limit: &Limit, order: Order, blocks: usize) -> Option<usize> {
        let bytes = limit.bytes_of(order, blocks);
        if bytes <= self.outboxes.left(limit, limit.allowed.part(OUTBOXES_PART), order) {
            self.outboxes.give(limit, order, bytes);
            return None;
        }
        let next = self.next_outbox.get();
        self.next_outbox.set((next + 1) % OUTBOXES);
        Some(next)
    }

    /// An outbox that might hold `blocks` blocks of `order` was closed.
    pub fn close_outbox(&self, limit: &Limit, order: Order, blocks: usize) {
        self.outboxes.take_back(limit, order, limit.bytes_of(order, blocks));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BYTES: usize = 1 << 20;

    /// Bins that grow as a cache has them grow.
    struct Bins {
        budget: BinBudget,
        limit: Limit,
        capacities: [usize; Order::COUNT],
    }

    impl Bins {
        fn new() -> Self {
            Self::of(Limit::new(Allowance::of(BYTES), usize::MAX, 6))
        }

        fn of(limit: Limit) -> Self {
            Self { budget: BinBudget::default(), limit, capacities: [0; Order::COUNT] }
        }

        /// Returns whether another one gave something up.
        fn miss(&mut self, order: Order) -> bool {
            let Self { budget, limit, capacities } = self;
            budget.miss(order);
            let has = capacities[order.slot()];
            let wanted = budget.wanted(limit, order, has, usize::MAX);
            capacities[order.slot()] = budget.grow(limit, order, has, wanted);
            if capacities[order.slot()] > has || has == wanted {
                return false;
            }
            let Some(other) = budget.least_needed(limit, order, |order| capacities[order.slot()]) else { return false };
            let less = capacities[other.slot()].div_ceil(2);
            capacities[other.slot()] -= less;
            budget.shrink(limit, other, less);
            capacities[order.slot()] = budget.grow(limit, order, has, wanted);
            true
        }

        fn bytes(&self, order: Order) -> usize {
            self.limit.bytes_of(order, self.capacities[order.slot()])
        }
    }

    fn order(order: u32) -> Order {
        Order::new(order).expect("there are so many")
    }

    #[test]
    fn a_bin_gets_what_another_one_no_longer_needs() {
        let mut bins = Bins::new();
        (0..100).for_each(|_| _ = bins.miss(order(4)));
        assert_eq!(bins.bytes(order(4)), Allowance::of(BYTES).of_bins().all);
        (0..100).for_each(|_| _ = bins.miss(order(0)));
        assert_eq!(bins.capacities[0], MOST_BLOCKS);
        (0..1000).for_each(|_| _ = bins.miss(order(5)));
        assert!(bins.bytes(order(5)) > Allowance::of(BYTES).of_bins().all / 2);
    }

    #[test]
    fn bins_that_need_theirs_keep_them() {
        let mut bins = Bins::new();
        for _ in 0..100 {
            (0..11).for_each(|number| _ = bins.miss(order(number)));
        }
        let moved = (0..100).flat_map(|_| 0..11).filter(|number| bins.miss(order(*number))).count();
        assert_eq!(moved, 0, "they miss alike");
        for number in 0..11 {
            assert!(bins.capacities[number as usize] > 0, "{:?}", bins.capacities);
        }
        assert!((0..11).map(|number| bins.bytes(order(number))).sum::<usize>() <= Allowance::of(BYTES).of_bins().all);
    }

    #[test]
    fn big_blocks_have_what_the_pool_allows_and_small_ones_a_mebibyte() {
        // A 64th of 64 GiB is a GiB.
        let mut bins = Bins::of(Limit::new(Allowance::DEFAULT, 64 << 30, 6));
        for _ in 0..1000 {
            (0..17).for_each(|number| _ = bins.miss(order(number)));
        }
        let bytes =
            |bins: &Bins, orders: core::ops::Range<u32>| orders.map(|number| bins.bytes(order(number))).sum::<usize>();
        // From 64 KiB on they are big.
        let (small, big) = (bytes(&bins, 0..10), bytes(&bins, 10..17));
        assert!((700 << 10..=768 << 10).contains(&small), "{small}");
        assert!((512 << 20..=768 << 20).contains(&(small + big)), "{big}");
        assert!((0..17).all(|number| bins.capacities[number as usize] > 0), "{:?}", bins.capacities);
        // Where one bound holds both, they take from each other as ever.
        let mut one = Bins::of(Limit::new(Allowance::DEFAULT, 64 << 20, 6));
        (0..100).for_each(|_| _ = one.miss(order(11)));
        assert!(one.bytes(order(11)) > 0);
        (0..1000).for_each(|_| _ = one.miss(order(4)));
        assert_eq!((one.bytes(order(11)), one.bytes(order(4))), (0, 768 << 10));
    }

    #[test]
    fn all_bins_have_places() {
        for (allowance, min_shift, small, big) in [
            (Allowance::DEFAULT, 4, 1024, 128),
            (Allowance::DEFAULT, 6, 2048, 128),
            (Allowance::DEFAULT, 12, 192, 128),
            (Allowance::DEFAULT, 21, 0, 128),
            (Allowance::of(1 << 30), 6, 1024, 64),
            (Allowance::of(1 << 20), 6, 2048, 6),
        ] {
            let limit = Limit::new(allowance, 0, min_shift);
            let rooms: alloc::vec::Vec<(Order, usize)> = limit.rooms().collect();
            assert!(rooms.iter().map(|(_, room)| room).sum::<usize>() <= BIN_ENTRIES);
            let first_big = rooms.iter().find(|(order, _)| limit.is_big(*order)).expect("there are big ones");
            assert!(first_big.1 >= big, "{allowance:?} {min_shift}: {first_big:?}");
            assert!(limit.is_big(rooms[0].0) || rooms[0].1 >= small, "{allowance:?} {min_shift}: {:?}", rooms[0]);
        }
    }
}
