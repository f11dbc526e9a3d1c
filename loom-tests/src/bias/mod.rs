//! Biased releases: the owner of a block releases it by a plain store, until another thread releases a block of that
//! owner and order. `README.md` has the states, the steps, and the proof.
//!
//! The files use nothing but `sync`, so that they can move to the caches as they are.

mod fences;
mod patience;

pub use patience::Patience;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// In an intent: no release is under way. In the word of an order: settled, and none was under way. No block begins at
/// this address, nor at the next two.
const NONE: u64 = 0;
/// In the word of an order: revoked, but maybe not to the owner's knowledge.
const REVOKED: u64 = 1;
/// In the word of an order: the owner releases by plain stores.
const BIASED: u64 = 2;

/// How an owner's release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// By a plain store.
    Plainly,
    /// By a compare-exchange.
    ByExchange,
    /// Not at all: the state was no longer as the owner had read it.
    Not,
}

/// The bias of a cache for each of its orders, as its owner and all others use it. Zeroes are a cache without bias.
#[derive(Debug)]
pub struct Bias<const ORDERS: usize> {
    /// The address of the block that the owner is releasing, or [`NONE`].
    intent: AtomicU64,
    /// For each order [`BIASED`], [`REVOKED`], or settled: the intent as a heavy fence found it after the revocation.
    orders: [AtomicU64; ORDERS],
}

impl<const ORDERS: usize> Default for Bias<ORDERS> {
    fn default() -> Self {
        Self { intent: AtomicU64::new(NONE), orders: core::array::from_fn(|_| AtomicU64::new(NONE)) }
    }
}

impl<const ORDERS: usize> Bias<ORDERS> {
    /// All orders are biased. Before others see the cache, and where there are heavy fences.
    pub fn begin(&self) {
        // Relaxed: published with the cache.
        self.orders.iter().for_each(|order| order.store(BIASED, Ordering::Relaxed));
    }

    /// The owner releases its block of `order` at `address`, the state of which it has just read: by `store`, or by
    /// `exchange` from that state, which tells whether it did.
    #[inline]
    pub fn release(
        &self,
        order: usize,
        address: u64,
        store: impl FnOnce(),
        exchange: impl FnOnce() -> bool,
    ) -> Released {
        // Release: pairs with the Acquire in `settle`; a thread that sees this release under way sees the one before
        // it done.
        self.intent.store(address, Ordering::Release);
        // Pairs with the heavy fence in `settle`: that thread sees the intent, or this one sees the order revoked.
        fences::light();
        // Relaxed: ordered by the fence.
        let released = if self.orders[order].load(Ordering::Relaxed) == BIASED {
            store();
            Released::Plainly
        } else if exchange() {
            Released::ByExchange
        } else {
            Released::Not
        };
        // Release: pairs with the Acquire in `settle` and in `may_release`; a thread that sees no release under way
        // sees the state that this one left.
        self.intent.store(NONE, Ordering::Release);
        released
    }

    /// The owner takes the bias of `order` back. `is_visited` looks whether another thread visits this owner. False:
    /// one does, and the order stays without bias.
    pub fn restore(&self, order: usize, is_visited: impl FnOnce() -> bool) -> bool {
        let word = &self.orders[order];
        // Relaxed: ordered by the fence.
        word.store(BIASED, Ordering::Relaxed);
        // Pairs with the light fences of visits: this thread sees the visit, or the visitor sees the order biased.
        fences::heavy();
        let is_restored = !is_visited();
        if !is_restored {
            // Relaxed, both: the order is settled at once, for the owner has no release under way, and its last one
            // lies before the heavy fence. If this fails, a visitor has revoked the order meanwhile.
            let _ = word.compare_exchange(BIASED, NONE, Ordering::Relaxed, Ordering::Relaxed);
        }
        is_restored
    }

    /// May a thread that visits the owner change the state of the block of `order` at `address` by a compare-exchange,
    /// as it was when the thread read it? False: the owner is releasing the block. The answer stands until the visit
    /// ends.
    pub fn may_release(&self, order: usize, address: u64) -> bool {
        // Acquire: pairs with the Release in `release`; the exchange that follows finds the state that the owner left.
        self.settle(order) != address || self.intent.load(Ordering::Acquire) != address
    }

    /// Revokes the bias of `order`, and makes that known to the owner. Returns the address of the block that the owner
    /// may be releasing by a plain store still, if any.
    fn settle(&self, order: usize) -> u64 {
        let word = &self.orders[order];
        // Acquire, here and on failure: pairs with the Release below; this thread is behind the heavy fence of the one
        // that settled the order, and sees the releases done that that one saw done.
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let next = match seen {
                // Relaxed: ordered by the heavy fence.
                BIASED => word.compare_exchange(BIASED, REVOKED, Ordering::Relaxed, Ordering::Acquire).map(|_| REVOKED),
                REVOKED => {
                    // Pairs with the light fence in `release`.
                    fences::heavy();
                    // Acquire: pairs with both Releases in `release`.
                    let intent = self.intent.load(Ordering::Acquire);
                    // Release: pairs with the Acquire above.
                    word.compare_exchange(REVOKED, intent, Ordering::Release, Ordering::Acquire).map(|_| intent)
                }
                settled => return settled,
            };
            seen = next.unwrap_or_else(|now| now);
        }
    }
}

/// The visit of a thread that has a cache, in that cache: a hazard that keeps one owner from taking a bias back.
#[derive(Debug, Default)]
pub struct Visit(AtomicU32);

/// Nobody is visited.
const NOBODY: u32 = 0;

impl Visit {
    /// The thread begins to release a block of the cache number `owner`, and ends each other visit.
    #[inline]
    pub fn begin(&self, owner: usize) {
        // Release: pairs with the Acquire in `is_to`, for the visit before.
        self.0.store(owner as u32 + 1, Ordering::Release);
        // Pairs with the heavy fence in `restore`.
        fences::light();
    }

    /// The thread has released it, or not.
    #[inline]
    pub fn end(&self) {
        // Release: pairs with the Acquire in `is_to`.
        self.0.store(NOBODY, Ordering::Release);
    }

    /// Does the thread visit this cache?
    pub fn is_to(&self, owner: usize) -> bool {
        // Acquire: pairs with the Releases above; the owner sees what a visit that has ended did to its blocks.
        self.0.load(Ordering::Acquire) == owner as u32 + 1
    }
}

/// Visits of threads without a cache, to any owner.
#[derive(Debug, Default)]
pub struct Guests(AtomicU32);

impl Guests {
    /// A visit begins.
    pub fn begin(&self) {
        // Relaxed: ordered by the fence.
        self.0.fetch_add(1, Ordering::Relaxed);
        // Pairs with the heavy fence in `restore`.
        fences::light();
    }

    /// A visit ends.
    pub fn end(&self) {
        // Release: pairs with the Acquire in `is_any`.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Is there a visit?
    pub fn is_any(&self) -> bool {
        // Acquire: pairs with the Release in `end`, as in `is_to`.
        self.0.load(Ordering::Acquire) != 0
    }
}
