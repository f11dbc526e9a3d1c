//! How much a cache may hold, and of what: bounded in all, and shifted to the sizes that miss.

use core::cell::Cell;

use crate::raw::Order;

use super::bin::ENTRIES;
use super::depot::MAGAZINE;

/// Most blocks of one size that a cache holds.
const MOST_BLOCKS: usize = 1024;
/// Blocks that a bin may hold when it comes into use.
const FIRST_BLOCKS: usize = 8;
/// A cache holds at most this part of the pool.
const PART_OF_POOL: usize = 64;
/// A magazine is at most this part of what a cache may hold.
const MAGAZINE_PART: usize = 32;
/// A bin that did not miss in so many misses of others is idle.
const IDLE: u32 = 32;

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

    fn size(&self, order: Order) -> usize {
        1usize.checked_shl(self.min_shift + order.get()).unwrap_or(usize::MAX)
    }

    /// Bytes of the blocks that the bins may hold; the rest is for the outboxes.
    fn bins(bytes: usize) -> usize {
        bytes - bytes / 4
    }

    /// Bytes of the blocks that the outboxes may hold.
    pub fn outboxes(&self) -> usize {
        self.bytes / 4
    }

    /// Bytes of `blocks` blocks of `order`.
    pub fn bytes_of(&self, order: Order, blocks: usize) -> usize {
        self.size(order).saturating_mul(blocks)
    }

    /// Blocks of a magazine of `order`; 0 where one block is too much.
    pub fn magazine(&self, order: Order) -> usize {
        (self.bytes / MAGAZINE_PART / self.size(order)).min(MAGAZINE)
    }

    /// How many entries the bin of `order` has, whatever the size of the pool.
    pub fn room(&self, order: Order) -> usize {
        let part = |most: usize, order: Order| most.min(Self::bins(self.configured) / self.size(order));
        // As many as there are, but not more than all bins together have room for.
        let mut most = MOST_BLOCKS;
        while most > 1 && Order::ZERO.through(Order::MAX).map(|order| part(most, order)).sum::<usize>() > BIN_ENTRIES {
            most /= 2;
        }
        part(most, order)
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
}

impl Budget {
    /// A bin missed: it had no block, or no room for one. Returns how many blocks it may hold from now on: twice as many if
    /// that is within the limit, or else what is left of it.
    pub fn grow(&self, limit: &Limit, order: Order, has: usize) -> usize {
        let now = self.misses.get().wrapping_add(1);
        self.misses.set(now);
        self.missed[order.slot()].set(now);
        let wanted = (2 * has).max(FIRST_BLOCKS).min(limit.room(order)).max(has);
        let left = Limit::bins(limit.bytes).saturating_sub(self.bytes.get()) / limit.size(order);
        let more = (wanted - has).min(left);
        self.bytes.set(self.bytes.get() + limit.bytes_of(order, more));
        has + more
    }

    /// A bin may hold fewer blocks from now on.
    pub fn shrink(&self, limit: &Limit, order: Order, less: usize) {
        self.bytes.set(self.bytes.get().saturating_sub(limit.bytes_of(order, less)));
    }

    /// The idle bin, other than that of `order`, that missed longest ago; `capacity` tells how much each may hold.
    pub fn idle(&self, order: Order, capacity: impl Fn(Order) -> usize) -> Option<Order> {
        let age = |order: &Order| self.misses.get().wrapping_sub(self.missed[order.slot()].get());
        let others = Order::ZERO.through(Order::MAX).filter(|other| *other != order && capacity(*other) > 0);
        others.max_by_key(age).filter(|other| age(other) >= IDLE)
    }
}
