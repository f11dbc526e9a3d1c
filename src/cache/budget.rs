//! The budget of a cache: it is bounded in all, and shifted to the orders that miss.

use core::cell::Cell;

use crate::raw::Order;

use super::layout::OUTBOXES;
use super::limit::{Allowance, Limit, MOST_BLOCKS};

/// After this many misses of all bins, earlier ones count half.
const LATELY: u32 = 256;
/// A bin with this many times the bytes for each miss gives half of them away.
const MANY_TIMES: u128 = 4;

/// Bytes that were given to bins or to outboxes.
#[derive(Debug, Default)]
struct Given {
    /// For blocks that are not big.
    small: Cell<usize>,
    /// For all blocks.
    all: Cell<usize>,
}

impl Given {
    /// What an allowance leaves for blocks of `order`.
    fn left(&self, limit: &Limit, allowance: Allowance, order: Order) -> usize {
        let all = allowance.all.saturating_sub(self.all.get());
        if limit.is_big(order) { all } else { all.min(allowance.small.saturating_sub(self.small.get())) }
    }

    /// Does the bound for blocks that are not big leave less than the one for all?
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

/// What the bins and outboxes of a cache may hold now. Only the owner of the cache uses it.
#[derive(Debug, Default)]
pub struct BinBudget {
    /// For the blocks of all bins together.
    bins: Given,
    /// How often the bin of each order missed lately.
    misses: [Cell<u32>; Order::COUNT],
    /// Misses of all bins until those count half.
    until_half: Cell<u32>,
    /// The most blocks that the bin of each order was filled for.
    peak: [Cell<u16>; Order::COUNT],
    /// For the blocks of all outboxes together.
    outboxes: Given,
    /// The outbox to be closed next, when they hold too much.
    next_outbox: Cell<usize>,
}

impl BinBudget {
    /// The bin of `order` missed: it had no block, or no room for one. True if earlier misses count half from now on.
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
        (2 * has).max(limit.first(order)).min(limit.most(order)).min(room).max(has)
    }

    /// A bin that may hold `has` blocks is to hold `wanted`. Returns how many it may hold within the limit.
    pub fn grow(&self, limit: &Limit, order: Order, has: usize, wanted: usize) -> usize {
        let left = self.bins.left(limit, limit.of_bins(), order) / limit.size(order);
        let more = (wanted - has).min(left);
        self.bins.give(limit, order, limit.bytes_of(order, more));
        has + more
    }

    /// The order of the bin that has the most memory for each of its misses, if that is many times as much as the bin
    /// of `order` has. `capacity` tells how many blocks each bin may hold. Misses fall with the square of the blocks
    /// that a bin has: one more block spares a bin of n blocks about 2/n of its misses.
    pub fn least_needed(&self, limit: &Limit, order: Order, capacity: impl Fn(Order) -> usize) -> Option<Order> {
        let misses = |order: Order| u128::from(self.misses[order.slot()].get()) + 1;
        // In units: a block has fewer than 2^32, a bin at most 2^11 blocks, and misses have 32 bits. No product
        // overflows.
        let units = |order: Order, blocks: usize| blocks as u128 * u128::from(order.units());
        // If small blocks may have no more bytes, the bytes of a big one are of no use to them.
        let all = limit.is_big(order) || !self.bins.is_small_bound(limit.of_bins());
        let of_use = |other: &Order| all || !limit.is_big(*other);
        let others = limit.orders().filter(|other| *other != order && capacity(*other) > 0).filter(of_use);
        let least = others.max_by_key(|other| units(*other, capacity(*other)) / misses(*other))?;
        let own = units(order, capacity(order).max(1));
        (units(least, capacity(least)) * misses(order) >= MANY_TIMES * own * misses(least)).then_some(least)
    }

    /// A bin that may hold this many blocks is to be filled. Was it never filled for as many?
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

    /// An outbox for `blocks` blocks of `order` is to be opened. `None`: the outboxes are within the limit with it.
    /// Else the caller closes the outbox of this number, and asks again.
    pub fn open_outbox(&self, limit: &Limit, order: Order, blocks: usize) -> Option<usize> {
        let bytes = limit.bytes_of(order, blocks);
        if bytes <= self.outboxes.left(limit, limit.of_outboxes(), order) {
            self.outboxes.give(limit, order, bytes);
            return None;
        }
        let next = self.next_outbox.get();
        self.next_outbox.set((next + 1) % OUTBOXES);
        Some(next)
    }

    /// An outbox for `blocks` blocks of `order` was closed.
    pub fn close_outbox(&self, limit: &Limit, order: Order, blocks: usize) {
        self.outboxes.take_back(limit, order, limit.bytes_of(order, blocks));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Bytes that the bins may hold.
    fn of_bins() -> usize {
        Limit::new(Allowance::of(BYTES), usize::MAX, 6).of_bins().all
    }

    const BYTES: usize = 1 << 20;

    /// Bins that grow as those of a cache do.
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

        /// Returns whether another bin gave something up.
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
        assert_eq!(bins.bytes(order(4)), of_bins());
        (0..100).for_each(|_| _ = bins.miss(order(0)));
        assert_eq!(bins.capacities[0], MOST_BLOCKS);
        (0..1000).for_each(|_| _ = bins.miss(order(5)));
        assert!(bins.bytes(order(5)) > of_bins() / 2);
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
        assert!((0..11).map(|number| bins.bytes(order(number))).sum::<usize>() <= of_bins());
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
        // Where one bound holds for both, they take from each other.
        let mut one = Bins::of(Limit::new(Allowance::DEFAULT, 64 << 20, 6));
        (0..100).for_each(|_| _ = one.miss(order(11)));
        assert!(one.bytes(order(11)) > 0);
        (0..1000).for_each(|_| _ = one.miss(order(4)));
        assert_eq!((one.bytes(order(11)), one.bytes(order(4))), (0, 768 << 10));
    }
}
