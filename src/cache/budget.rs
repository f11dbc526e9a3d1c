//! How much a cache may hold, and of what: bounded in all, and shifted to the sizes that miss.

use core::cell::Cell;

use crate::raw::Order;

use super::bin::ENTRIES;
use super::depot::MAGAZINE;

/// Most blocks of one size that a cache holds.
const MOST_BLOCKS: usize = 2048;
/// Blocks that a bin may hold when it comes into use.
const FIRST_BLOCKS: usize = 64;
/// But at most this part of what the cache may hold.
const FIRST_PART: usize = 8;
/// A cache holds at most this part of the pool.
#[cfg(not(all(loom, feature = "loom")))]
const PART_OF_POOL: usize = 64;
/// Under loom all of it: no model has 64 blocks.
#[cfg(all(loom, feature = "loom"))]
const PART_OF_POOL: usize = 1;
/// A magazine is at most this part of what a cache may hold, so that there can be eight outboxes at least.
#[cfg(not(all(loom, feature = "loom")))]
const MAGAZINE_PART: usize = 32;
/// Under loom all that outboxes may hold: a cache holds a few blocks.
#[cfg(all(loom, feature = "loom"))]
const MAGAZINE_PART: usize = OUTBOXES_PART;
/// Blocks from this order on are large.
const LARGE: u32 = 6;
/// Large blocks of one size are at most this part of what the bins may hold.
const LARGE_PART: usize = 2;
// An outbox can be opened, if all others are closed.
const _: () = assert!(MAGAZINE_PART >= OUTBOXES_PART);
/// After so many misses of all bins, those before count half.
const LATELY: u32 = 256;
/// A bin that has so many times the bytes for each miss gives half of them away.
const MANY_TIMES: u64 = 4;
/// This part of what a cache may hold is for the outboxes.
#[cfg(not(all(loom, feature = "loom")))]
const OUTBOXES_PART: usize = 4;
/// Under loom half of it, so that a cache of two blocks can have one of each.
#[cfg(all(loom, feature = "loom"))]
const OUTBOXES_PART: usize = 2;

/// Outboxes of a cache.
#[cfg(not(all(loom, feature = "loom")))]
pub const OUTBOXES: usize = 32;
/// Under loom two: each is a few tracked objects.
#[cfg(all(loom, feature = "loom"))]
pub const OUTBOXES: usize = 2;

/// The entries of the bins of the orders: all but the outboxes', and one before each bin. The last place is none's, so that
/// the place after a bin is a place.
const BIN_ENTRIES: usize = ENTRIES - 1 - OUTBOXES * (MAGAZINE + 1) - Order::COUNT;

/// What a cache of this pool may hold, by the configuration and the size of the pool.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Bytes, in all.
    bytes: usize,
    /// Bytes that the configuration allows.
    configured: usize,
    min_shift: u32,
}

impl Limit {
    /// The limit of a cache in a pool of `capacity` bytes with blocks from 2^`min_shift` bytes on.
    pub fn new(configured: usize, capacity: usize, min_shift: u32) -> Self {
        Self { bytes: configured.min(capacity / PART_OF_POOL), configured, min_shift }
    }

    /// May a cache hold one block at least?
    pub fn holds_any(&self) -> bool {
        Self::bins(self.bytes) >= self.size(Order::ZERO)
    }

    fn size(&self, order: Order) -> usize {
        1usize.checked_shl(self.min_shift + order.get()).unwrap_or(usize::MAX)
    }

    /// Bytes of the blocks that the bins may hold; the rest is for the outboxes.
    fn bins(bytes: usize) -> usize {
        bytes - bytes / OUTBOXES_PART
    }

    /// The orders of which the bins may hold a block, however large the pool is going to be.
    fn orders(&self) -> impl Iterator<Item = Order> {
        let bins = Self::bins(self.configured);
        Order::ZERO.through(Order::MAX).take_while(move |order| self.size(*order) <= bins)
    }

    /// Bytes of the blocks that the outboxes may hold.
    pub fn outboxes(&self) -> usize {
        self.bytes / OUTBOXES_PART
    }

    /// Most blocks of `order` in a cache of `bytes` bytes: small ones may have all of it, larger ones a part, but one at least
    /// if there is room.
    fn most(&self, bytes: usize, order: Order) -> usize {
        let (size, bins) = (self.size(order), Self::bins(bytes));
        let part = if order.get() < LARGE { bins } else { bins / LARGE_PART };
        (part / size).max(usize::from(size <= bins)).min(MOST_BLOCKS)
    }

    /// Bytes of `blocks` blocks of `order`.
    pub fn bytes_of(&self, order: Order, blocks: usize) -> usize {
        self.size(order).saturating_mul(blocks)
    }

    /// Blocks of a magazine of `order`; 0 where one block is too much.
    pub fn magazine(&self, order: Order) -> usize {
        (self.bytes / MAGAZINE_PART / self.size(order)).min(MAGAZINE)
    }

    /// How many entries the bin of each order has, whatever the size of the pool is going to be.
    pub fn rooms(self) -> impl Iterator<Item = (Order, usize)> {
        // As many as there are to be, but not more than all bins together have entries.
        let most = move |limit| {
            Order::ZERO.through(Order::MAX).map(move |order| (order, self.most(self.configured, order).min(limit)))
        };
        let fits = |limit: &usize| most(*limit).map(|(_, room)| room).sum::<usize>() <= BIN_ENTRIES;
        let halves = core::iter::successors(Some(MOST_BLOCKS), |limit| Some(limit / 2));
        most(halves.take_while(|limit| *limit > 0).find(fits).unwrap_or(0))
    }
}

/// What the bins of a cache may hold now. The owner's.
#[derive(Debug, Default)]
pub struct Budget {
    /// Bytes of the blocks that all bins together may hold.
    bytes: Cell<usize>,
    /// How often the bin of the order missed lately.
    misses: [Cell<u32>; Order::COUNT],
    /// Misses of all bins until these count half.
    until_half: Cell<u32>,
    /// The most blocks that the bin of the order was filled for.
    peak: [Cell<u16>; Order::COUNT],
    /// Bytes of the blocks that all outboxes together may hold.
    outboxes: Cell<usize>,
    /// Which outbox is the next to be closed, where they are too many.
    next_outbox: Cell<usize>,
}

impl Budget {
    /// The bin of `order` missed: it had no block, or no room for one.
    pub fn miss(&self, order: Order) {
        let missed = &self.misses[order.slot()];
        missed.set(missed.get() + 1);
        match self.until_half.get() {
            0 => {
                self.misses.iter().for_each(|misses| misses.set(misses.get() / 2));
                self.until_half.set(LATELY);
            }
            left => self.until_half.set(left - 1),
        }
    }

    /// How many blocks a bin, with entries for `room` blocks, should hold after a miss: twice as many as it `has`.
    pub fn wanted(&self, limit: &Limit, order: Order, has: usize, room: usize) -> usize {
        let first = FIRST_BLOCKS.min(limit.most(limit.bytes / FIRST_PART, order)).max(1);
        (2 * has).max(first).min(limit.most(limit.bytes, order)).min(room).max(has)
    }

    /// A bin that has room for `has` blocks is to have room for `wanted`. Returns for how many it may have, within the limit.
    pub fn grow(&self, limit: &Limit, order: Order, has: usize, wanted: usize) -> usize {
        let left = Limit::bins(limit.bytes).saturating_sub(self.bytes.get()) / limit.size(order);
        let more = (wanted - has).min(left);
        self.bytes.set(self.bytes.get() + limit.bytes_of(order, more));
        has + more
    }

    /// The order of the bin that has the most memory for each of its misses, if that is many times as much as the bin of `order`
    /// has; `capacity` tells how many blocks each may hold. One more block spares a bin of n blocks about 2/n of its misses.
    pub fn least_needed(&self, limit: &Limit, order: Order, capacity: impl Fn(Order) -> usize) -> Option<Order> {
        let misses = |order: Order| u64::from(self.misses[order.slot()].get()) + 1;
        // In units, of which there are so few that none of the products overflows.
        let units = |order: Order, blocks: usize| blocks as u64 * u64::from(order.units());
        let others = limit.orders().filter(|other| *other != order && capacity(*other) > 0);
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
        self.bytes.set(self.bytes.get().saturating_sub(limit.bytes_of(order, less)));
    }

    /// An outbox that may hold `bytes` bytes is to be opened. Returns one that is to be closed first, and asked again after;
    /// `None`: the outboxes are within the limit with it.
    pub fn open_outbox(&self, limit: &Limit, bytes: usize) -> Option<usize> {
        let all = self.outboxes.get() + bytes;
        if all <= limit.outboxes() {
            self.outboxes.set(all);
            return None;
        }
        let next = self.next_outbox.get();
        self.next_outbox.set((next + 1) % OUTBOXES);
        Some(next)
    }

    /// An outbox that might hold `bytes` bytes was closed.
    pub fn close_outbox(&self, bytes: usize) {
        self.outboxes.set(self.outboxes.get().saturating_sub(bytes));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const BYTES: usize = 1 << 20;

    /// Bins that grow as a cache has them grow.
    struct Bins {
        budget: Budget,
        limit: Limit,
        capacities: [usize; Order::COUNT],
    }

    impl Bins {
        fn new() -> Self {
            let limit = Limit::new(BYTES, usize::MAX, 6);
            Self { budget: Budget::default(), limit, capacities: [0; Order::COUNT] }
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
        assert_eq!(bins.bytes(order(4)), Limit::bins(BYTES));
        (0..100).for_each(|_| _ = bins.miss(order(0)));
        assert_eq!(bins.capacities[0], MOST_BLOCKS);
        (0..1000).for_each(|_| _ = bins.miss(order(5)));
        assert!(bins.bytes(order(5)) > Limit::bins(BYTES) / 2);
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
        assert!((0..11).map(|number| bins.bytes(order(number))).sum::<usize>() <= Limit::bins(BYTES));
    }
}
