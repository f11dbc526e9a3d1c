//! The budget of a cache: it is bounded in all, and shifted to the classes that miss.

use core::cell::Cell;

use crate::raw::Class;

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
    /// What an allowance leaves for blocks of `class`.
    fn left(&self, limit: &Limit, allowance: Allowance, class: Class) -> usize {
        let all = allowance.all.saturating_sub(self.all.get());
        if limit.is_big(class) { all } else { all.min(allowance.small.saturating_sub(self.small.get())) }
    }

    /// Does the bound for blocks that are not big leave less than the one for all?
    fn is_small_bound(&self, allowance: Allowance) -> bool {
        allowance.small.saturating_sub(self.small.get()) < allowance.all.saturating_sub(self.all.get())
    }

    fn change(&self, limit: &Limit, class: Class, change: impl Fn(usize) -> usize) {
        self.all.set(change(self.all.get()));
        if !limit.is_big(class) {
            self.small.set(change(self.small.get()));
        }
    }

    fn give(&self, limit: &Limit, class: Class, bytes: usize) {
        self.change(limit, class, |given| given.saturating_add(bytes));
    }

    fn take_back(&self, limit: &Limit, class: Class, bytes: usize) {
        self.change(limit, class, |given| given.saturating_sub(bytes));
    }
}

/// What the bins and outboxes of a cache may hold now. Only the owner of the cache uses it.
#[derive(Debug)]
pub struct BinBudget {
    /// For the blocks of all bins together.
    bins: Given,
    /// How often the bin of each class missed lately.
    misses: [Cell<u32>; Class::COUNT],
    /// Misses of all bins until those count half.
    until_half: Cell<u32>,
    /// The most blocks that the bin of each class was filled for.
    peak: [Cell<u16>; Class::COUNT],
    /// For the blocks of all outboxes together.
    outboxes: Given,
    /// The outbox to be closed next, when they hold too much.
    next_outbox: Cell<usize>,
}

impl Default for BinBudget {
    fn default() -> Self {
        Self {
            bins: Given::default(),
            misses: core::array::from_fn(|_| Cell::new(0)),
            until_half: Cell::new(0),
            peak: core::array::from_fn(|_| Cell::new(0)),
            outboxes: Given::default(),
            next_outbox: Cell::new(0),
        }
    }
}

impl BinBudget {
    /// The bin of `class` missed: it had no block, or no room for one. True if earlier misses count half from now on.
    pub fn miss(&self, class: Class) -> bool {
        let missed = &self.misses[class.place()];
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
    pub fn wanted(&self, limit: &Limit, class: Class, has: usize, room: usize) -> usize {
        (2 * has).max(limit.first(class)).min(limit.most(class)).min(room).max(has)
    }

    /// A bin that may hold `has` blocks is to hold `wanted`. Returns how many it may hold within the limit.
    pub fn grow(&self, limit: &Limit, class: Class, has: usize, wanted: usize) -> usize {
        let left = self.bins.left(limit, limit.of_bins(), class) / limit.size(class);
        let more = (wanted - has).min(left);
        self.bins.give(limit, class, limit.bytes_of(class, more));
        has + more
    }

    /// The class of the bin with the most memory for each of its misses, if that is many times as much as the bin of
    /// `class` has. `capacity` tells how many blocks each bin may hold. Misses fall with the square of the blocks
    /// that a bin has: one more block saves a bin of n blocks about 2/n of its misses.
    pub fn least_needed(&self, limit: &Limit, class: Class, capacity: impl Fn(Class) -> usize) -> Option<Class> {
        let misses = |class: Class| u128::from(self.misses[class.place()].get()) + 1;
        // In units: a block has fewer than 2^32, a bin at most 2^11 blocks, and misses have 32 bits. No product
        // overflows.
        let units = |class: Class, blocks: usize| blocks as u128 * u128::from(class.units());
        // If small blocks may have no more bytes, the bytes of a big one are of no use to them.
        let all = limit.is_big(class) || !self.bins.is_small_bound(limit.of_bins());
        let of_use = |other: &Class| all || !limit.is_big(*other);
        let others = limit.sizes().classes().filter(|other| capacity(*other) > 0 && *other != class).filter(of_use);
        let least = others.max_by_key(|other| units(*other, capacity(*other)) / misses(*other))?;
        let own = units(class, capacity(class).max(1));
        (units(least, capacity(least)) * misses(class) >= MANY_TIMES * own * misses(least)).then_some(least)
    }

    /// A bin that may hold this many blocks is to be filled. Was it never filled for as many?
    pub fn is_peak(&self, class: Class, blocks: usize) -> bool {
        let peak = &self.peak[class.place()];
        let is_peak = blocks > usize::from(peak.get());
        if is_peak {
            peak.set(blocks.min(MOST_BLOCKS) as u16);
        }
        is_peak
    }

    /// A bin may hold fewer blocks from now on.
    pub fn shrink(&self, limit: &Limit, class: Class, less: usize) {
        self.bins.take_back(limit, class, limit.bytes_of(class, less));
    }

    /// An outbox for `blocks` blocks of `class` is to be opened. `None`: the outboxes are within the limit with it.
    /// Else the caller closes the outbox of this number, and asks again.
    pub fn open_outbox(&self, limit: &Limit, class: Class, blocks: usize) -> Option<usize> {
        let bytes = limit.bytes_of(class, blocks);
        if bytes <= self.outboxes.left(limit, limit.of_outboxes(), class) {
            self.outboxes.give(limit, class, bytes);
            return None;
        }
        let next = self.next_outbox.get();
        self.next_outbox.set((next + 1) % OUTBOXES);
        Some(next)
    }

    /// An outbox for `blocks` blocks of `class` was closed.
    pub fn close_outbox(&self, limit: &Limit, class: Class, blocks: usize) {
        self.outboxes.take_back(limit, class, limit.bytes_of(class, blocks));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::raw::{Order, Sizes};

    /// Bytes that the bins may hold.
    fn of_bins() -> usize {
        Limit::new(Allowance::of(BYTES), usize::MAX, 6, Sizes::PowersOfTwo).of_bins().all
    }

    const BYTES: usize = 1 << 20;

    /// Bins that grow as those of a cache do.
    struct Bins {
        budget: BinBudget,
        limit: Limit,
        capacities: [usize; Class::COUNT],
    }

    impl Bins {
        fn new() -> Self {
            Self::of(Limit::new(Allowance::of(BYTES), usize::MAX, 6, Sizes::PowersOfTwo))
        }

        fn of(limit: Limit) -> Self {
            Self { budget: BinBudget::default(), limit, capacities: [0; Class::COUNT] }
        }

        /// Returns whether another bin gave something up.
        fn miss(&mut self, class: Class) -> bool {
            let Self { budget, limit, capacities } = self;
            budget.miss(class);
            let has = capacities[class.place()];
            let wanted = budget.wanted(limit, class, has, usize::MAX);
            capacities[class.place()] = budget.grow(limit, class, has, wanted);
            if capacities[class.place()] > has || has == wanted {
                return false;
            }
            let Some(other) = budget.least_needed(limit, class, |class| capacities[class.place()]) else {
                return false;
            };
            let less = capacities[other.place()].div_ceil(2);
            capacities[other.place()] -= less;
            budget.shrink(limit, other, less);
            capacities[class.place()] = budget.grow(limit, class, has, wanted);
            true
        }

        fn bytes(&self, class: Class) -> usize {
            self.limit.bytes_of(class, self.capacities[class.place()])
        }
    }

    fn class(order: u32) -> Class {
        Order::new(order).expect("an order of a heap").into()
    }

    #[test]
    fn a_bin_gets_what_another_one_no_longer_needs() {
        let mut bins = Bins::new();
        (0..100).for_each(|_| _ = bins.miss(class(4)));
        assert_eq!(bins.bytes(class(4)), of_bins());
        (0..100).for_each(|_| _ = bins.miss(class(0)));
        assert_eq!(bins.capacities[0], MOST_BLOCKS);
        (0..1000).for_each(|_| _ = bins.miss(class(5)));
        assert!(bins.bytes(class(5)) > of_bins() / 2);
    }

    #[test]
    fn bins_that_need_theirs_keep_them() {
        let mut bins = Bins::new();
        for _ in 0..100 {
            (0..11).for_each(|number| _ = bins.miss(class(number)));
        }
        let moved = (0..100).flat_map(|_| 0..11).filter(|number| bins.miss(class(*number))).count();
        assert_eq!(moved, 0, "they miss alike");
        for number in 0..11 {
            assert!(bins.capacities[number as usize] > 0, "{:?}", bins.capacities);
        }
        assert!((0..11).map(|number| bins.bytes(class(number))).sum::<usize>() <= of_bins());
    }

    #[test]
    fn big_blocks_have_what_the_pool_allows_and_small_ones_a_mebibyte() {
        // A 64th of 64 GiB is a GiB.
        let mut bins = Bins::of(Limit::new(Allowance::DEFAULT, 64 << 30, 6, Sizes::PowersOfTwo));
        for _ in 0..1000 {
            (0..17).for_each(|number| _ = bins.miss(class(number)));
        }
        let bytes = |bins: &Bins, classes: core::ops::Range<u32>| {
            classes.map(|number| bins.bytes(class(number))).sum::<usize>()
        };
        // From 64 KiB on they are big.
        let (small, big) = (bytes(&bins, 0..10), bytes(&bins, 10..17));
        assert!((700 << 10..=768 << 10).contains(&small), "{small}");
        assert!((512 << 20..=768 << 20).contains(&(small + big)), "{big}");
        assert!((0..17).all(|number| bins.capacities[number as usize] > 0), "{:?}", bins.capacities);
        // Where one bound holds for both, they take from each other.
        let mut one = Bins::of(Limit::new(Allowance::DEFAULT, 64 << 20, 6, Sizes::PowersOfTwo));
        (0..100).for_each(|_| _ = one.miss(class(11)));
        assert!(one.bytes(class(11)) > 0);
        (0..1000).for_each(|_| _ = one.miss(class(4)));
        assert_eq!((one.bytes(class(11)), one.bytes(class(4))), (0, 768 << 10));
    }
}
