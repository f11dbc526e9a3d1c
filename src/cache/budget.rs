//! How much a cache may hold, and of what: bounded in all, and shifted to the sizes that miss.

use core::cell::Cell;

use crate::raw::Order;

use super::bin::ENTRIES;
use super::depot::MAGAZINE;

/// Most blocks of one size that a cache holds.
const MOST_BLOCKS: usize = 2048;
/// Blocks that a bin may hold when it comes into use.
const FIRST_BLOCKS: usize = 64;
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
/// Large blocks of one size are at most this part of what the bins may hold, so that they leave the small ones their share.
const LARGE_PART: usize = 8;
// An outbox can be opened, if all others are closed.
const _: () = assert!(MAGAZINE_PART >= OUTBOXES_PART);
/// A bin that did not miss in so many misses of others is idle.
const IDLE: u32 = 32;
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
    misses: Cell<u32>,
    /// `misses` when the bin of the order missed last.
    missed: [Cell<u32>; Order::COUNT],
    /// The most blocks that the bin of the order was filled for.
    peak: [Cell<u16>; Order::COUNT],
    /// Bytes of the blocks that all outboxes together may hold.
    outboxes: Cell<usize>,
    /// Which outbox is the next to be closed, where they are too many.
    next_outbox: Cell<usize>,
}

impl Budget {
    /// A bin, with entries for `room` blocks, missed: it had no block, or no room for one. Returns how many blocks it may hold
    /// from now on: twice as many if that is within the limit, or else what is left of it.
    pub fn grow(&self, limit: &Limit, order: Order, has: usize, room: usize) -> usize {
        let now = self.misses.get().wrapping_add(1);
        self.misses.set(now);
        self.missed[order.slot()].set(now);
        let wanted = (2 * has)
            .max(FIRST_BLOCKS.min(limit.most(limit.bytes / LARGE_PART, order)))
            .max(1)
            .min(limit.most(limit.bytes, order))
            .min(room)
            .max(has);
        let left = Limit::bins(limit.bytes).saturating_sub(self.bytes.get()) / limit.size(order);
        let more = (wanted - has).min(left);
        self.bytes.set(self.bytes.get() + limit.bytes_of(order, more));
        has + more
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

    /// The idle bin, other than that of `order`, that missed longest ago; `capacity` tells how much each may hold.
    pub fn idle(&self, order: Order, capacity: impl Fn(Order) -> usize) -> Option<Order> {
        let age = |order: &Order| self.misses.get().wrapping_sub(self.missed[order.slot()].get());
        let others = Order::ZERO.through(Order::MAX).filter(|other| *other != order && capacity(*other) > 0);
        others.max_by_key(age).filter(|other| age(other) >= IDLE)
    }
}
