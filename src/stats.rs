//! Figures of a pool at one moment.

use core::fmt;

/// How many blocks of one size there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderStats {
    /// The size of each of these blocks in bytes.
    pub block_size: usize,
    /// Blocks that are free.
    pub free: usize,
    /// Blocks in caches.
    pub cached: usize,
    /// Blocks with the user.
    pub live: usize,
}

/// What a pool has, as [`MemoryPool::stats`](crate::MemoryPool::stats) counted it.
///
/// Exact while nobody uses the pool; else each block is counted as it was when the count came to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Heaps.
    pub heaps: usize,
    /// Bytes in blocks, of whatever state; what the ends of odd heaps waste is not in it.
    pub capacity: usize,
    /// Bytes of blocks with the user.
    pub live: usize,
    /// Bytes of blocks in the caches of threads and in what those have for each other.
    pub cached: usize,
    /// Bytes of free blocks.
    pub free: usize,
    /// Bytes of blocks that some thread was splitting, merging or resizing.
    pub in_transit: usize,
    /// The largest block in bytes that merging forms of what is free now.
    pub largest_free: usize,
    /// Threads that have a cache, or had one that no other thread has taken over yet.
    pub caches: usize,
    /// Allocations that the caches served.
    pub cache_allocations: u64,
    /// Releases that the caches took.
    pub cache_releases: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Allocations that the free stacks could not serve, so that a search swept for them, or remembered that it had.
    pub searches: u64,
    /// Sweeps, by hand or for a search.
    pub sweeps: u64,
    /// Pairs of buddies that sweeps merged.
    pub merges: u64,
    orders: [OrderStats; crate::raw::Order::COUNT],
}

impl PoolStats {
    pub(crate) fn new(block_size: impl Fn(usize) -> usize) -> Self {
        let order = |order| OrderStats { block_size: block_size(order), ..OrderStats::default() };
        Self {
            heaps: 0,
            capacity: 0,
            live: 0,
            cached: 0,
            free: 0,
            in_transit: 0,
            largest_free: 0,
            caches: 0,
            cache_allocations: 0,
            cache_releases: 0,
            failures: 0,
            searches: 0,
            sweeps: 0,
            merges: 0,
            orders: core::array::from_fn(order),
        }
    }

    pub(crate) fn order_mut(&mut self, order: usize) -> &mut OrderStats {
        &mut self.orders[order]
    }

    /// The sizes of which there are blocks, the smallest first.
    pub fn orders(&self) -> impl Iterator<Item = OrderStats> + '_ {
        self.orders.iter().copied().filter(|order| order.free + order.cached + order.live > 0)
    }

    /// How much of the free memory the largest request can't use: 1 − largest free block / free bytes; 0 where nothing
    /// is free.
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// assert_eq!(pool.stats().external_fragmentation(), 0.0);
    /// ```
    pub fn external_fragmentation(&self) -> f64 {
        if self.free == 0 { 0.0 } else { 1.0 - self.largest_free as f64 / self.free as f64 }
    }
}

impl fmt::Display for PoolStats {
    /// One line for the pool and one for each size of which there are blocks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "heaps {}, capacity {} B, live {} B, cached {} B, free {} B, in transit {} B, largest free {} B, external \
             fragmentation {:.1} %, caches {} with {} allocations and {} releases, failures {}, searches {}, sweeps {}, merges {}",
            self.heaps,
            self.capacity,
            self.live,
            self.cached,
            self.free,
            self.in_transit,
            self.largest_free,
            self.external_fragmentation() * 100.0,
            self.caches,
            self.cache_allocations,
            self.cache_releases,
            self.failures,
            self.searches,
            self.sweeps,
            self.merges
        )?;
        for OrderStats { block_size, free, cached, live } in self.orders() {
            write!(f, "\n  {block_size:>12} B: {live:>9} live {cached:>9} cached {free:>9} free")?;
        }
        Ok(())
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Blocks that it visited.
    pub blocks: u64,
    /// Pairs of buddies that it merged.
    pub merges: u64,
    /// Stale entries that it dropped from the free stacks.
    pub stale_entries: u64,
    /// The largest free block before, in bytes.
    pub largest_before: usize,
    /// The largest free block afterwards, in bytes.
    pub largest_after: usize,
}

impl fmt::Display for SweepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, merges, stale_entries, largest_before, largest_after } = self;
        write!(
            f,
            "{blocks} blocks visited, {merges} merges, {stale_entries} stale entries dropped, largest free block \
             {largest_before} B before and {largest_after} B after"
        )
    }
}
