//! Figures of a pool at one moment: what they are, and how they are counted.

#[cfg(all(feature = "allocator", not(modelled)))]
mod allocator;
mod figures;
mod orders;
#[cfg(feature = "metrics")]
mod record;
#[cfg(all(feature = "std", not(modelled)))]
mod sweeper;
mod text;
#[cfg(feature = "serde")]
mod wire;

use crate::cache::Served;
use crate::heaps::Heap;
use crate::id::HeapId;
use crate::raw::{Coalescer, Kind, Order, State};
use crate::units::saturated;

#[cfg(all(feature = "allocator", not(modelled)))]
pub use allocator::AllocatorStats;
pub use orders::OrderStats;
use orders::Orders;
#[cfg(feature = "metrics")]
pub use record::describe_metrics;
#[cfg(all(feature = "std", not(modelled)))]
pub use sweeper::SweeperStats;

/// What one heap has, as [`MemoryPool::stats_of`](crate::MemoryPool::stats_of) counted it.
///
/// Exact while nobody uses the pool. Else each block is counted as it was when the count came to it.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// let heap = pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let stats = pool.stats_of(heap).expect("the pool has the heap");
/// assert_eq!((stats.capacity, stats.largest_possible), (4096, 4096));
/// println!("{stats}"); // heap 0: capacity 4 KiB, free 4 KiB, …
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HeapStats {
    /// The heap.
    pub heap: HeapId,
    /// Bytes in blocks, of whatever state; what the ends of an odd heap waste is not in it.
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
    /// The largest block in bytes that the heap forms when all of it is free. Blocks are aligned to their size, so
    /// that depends on its base.
    #[cfg_attr(feature = "serde", serde(default))]
    pub largest_possible: usize,
    /// The largest block in bytes that a better base would allow: a multiple of that block's size.
    #[cfg_attr(feature = "serde", serde(default))]
    pub largest_if_aligned: usize,
}

impl HeapStats {
    /// Counts the blocks of a heap, and adds them to the `orders` of its pool. O(blocks).
    fn count(heap: &Heap, orders: &mut Orders) -> Self {
        let unit = orders[Order::ZERO].block_size;
        let block_size = |seen: State| (seen.size().units() as usize).saturating_mul(unit);
        let (mut live, mut cached, mut free, mut in_transit) = (0, 0, 0, 0);
        // A range of offsets may have more bytes than a `usize` can count.
        let add = usize::saturating_add;
        let mut coalescer = Coalescer::new(heap.buddy().geometry());
        for (block, seen) in heap.buddy().scan() {
            let of_order = &mut orders[seen.order()];
            let bytes = block_size(seen);
            match seen.kind() {
                Kind::Inner => in_transit = add(in_transit, bytes),
                Kind::Free => {
                    of_order.free += 1;
                    free = add(free, bytes);
                    coalescer.free(block, seen.order());
                }
                Kind::Cached => {
                    of_order.cached += 1;
                    cached = add(cached, bytes);
                }
                Kind::Live => {
                    of_order.live += 1;
                    live = add(live, bytes);
                }
                // The block was another one when the scan came to its beginning.
                Kind::Tail => live = add(live, bytes),
            }
        }
        let geometry = heap.buddy().geometry();
        Self {
            heap: heap.id,
            capacity: saturated(heap.capacity()),
            live,
            cached,
            free,
            in_transit,
            largest_free: coalescer.largest().map_or(0, |order| orders[order].block_size),
            largest_possible: orders[geometry.max_order()].block_size,
            largest_if_aligned: orders[geometry.max_order_if_aligned()].block_size,
        }
    }

    /// The figures of a heap of a pool. `block_size` tells the bytes of an order.
    pub(crate) fn of(heap: &Heap, block_size: impl Fn(Order) -> usize) -> Self {
        Self::count(heap, &mut PoolStats::new(block_size).orders)
    }

    /// Whether the base of the heap keeps it from forming a block that is twice as large, or larger. Half of it or
    /// more is lost to the largest blocks then. The addresses of a `Vec` are usually such a base.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// let region = |base: usize| std::ptr::without_provenance_mut(base);
    /// let good = pool.add_heap(region(1 << 30), 1 << 26)?;
    /// let bad = pool.add_heap(region((1 << 31) + 4096), 1 << 26)?;
    /// assert!(pool.stats_of(good).is_some_and(|heap| heap.largest_possible == 1 << 26 && !heap.is_misaligned()));
    /// assert!(pool.stats_of(bad).is_some_and(|heap| heap.largest_possible == 1 << 25 && heap.is_misaligned()));
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn is_misaligned(&self) -> bool {
        self.largest_possible < self.largest_if_aligned
    }

    /// As [`PoolStats::external_fragmentation`], of this heap.
    pub fn external_fragmentation(&self) -> f64 {
        external_fragmentation(self.largest_free, self.free)
    }
}

fn external_fragmentation(largest_free: usize, free: usize) -> f64 {
    if free == 0 { 0.0 } else { 1.0 - largest_free as f64 / free as f64 }
}

/// The figures of a pool, as [`MemoryPool::stats`](crate::MemoryPool::stats) counted them. Printed, they are a report
/// for a person; [`log_line`](Self::log_line) is for logs.
///
/// Bytes are exact while nobody uses the pool. Else each block is counted as it was when the count came to it.
///
/// Counts are totals since the pool was made. They are exact once all threads that used the pool were joined, or have
/// synchronised with this thread. Two kinds of pools count no allocations and no releases, because each would be a
/// write to shared memory: those [without caches](crate::PoolBuilder::thread_cache), and all without the feature
/// `std`.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// assert!(!pool.hl_alloc(1000).is_null());
/// let stats = pool.stats();
/// assert_eq!((stats.live, stats.free), (1024, 3072));
/// println!("{stats}");
/// println!("{}", stats.log_line());
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
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
    /// The largest block in bytes that any of the heaps forms when all of it is free.
    pub largest_possible: usize,
    /// Heaps whose largest possible block would be twice as large at another base; see [`HeapStats::is_misaligned`].
    pub misaligned_heaps: usize,
    /// Caches of running threads, and of ended ones until another thread takes them over.
    pub caches: usize,
    /// Bytes of the tables of caches: their bins and depots, without the blocks, about 112 KiB each. They come from
    /// the global allocator as zeroes. Pages of them without a use have no memory behind them, as a rule.
    pub cache_tables: usize,
    /// Allocations that the caches served.
    pub cache_allocations: u64,
    /// Releases that the caches took.
    pub cache_releases: u64,
    /// Of these releases, those of another cache's blocks, which were sent back to it.
    pub cache_sent: u64,
    /// Blocks that caches took in for their threads' allocations, from heaps and from depots.
    pub cache_refilled: u64,
    /// Blocks that caches gave away: because they had no room for them, or were flushed.
    pub cache_flushed: u64,
    /// Allocations past a thread's cache: of blocks that are too large for it, batches, blocks from a search, most of
    /// [`alloc_in`](crate::MemoryPool::alloc_in), and all of threads without a cache.
    pub heap_allocations: u64,
    /// Releases that went past a thread's cache.
    pub heap_releases: u64,
    /// Sizes of caches whose blocks are biased now: the thread that allocated such a block releases it without a locked
    /// operation. A thread comes to this after a thousand of its own releases.
    pub biased_sizes: usize,
    /// Fences for all threads of the process at once. A bias takes one when it begins, and one when it ends because
    /// another thread released such a block.
    pub heavy_fences: u64,
    /// 1 where the system refused such a fence. Then the pool, or the cache that it was for, has no bias any more.
    pub refused_fences: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Allocations that the free stacks could not serve: a search swept for them, or the result of one was remembered.
    pub searches: u64,
    /// Sweeps, by hand or for a search.
    pub sweeps: u64,
    /// Pairs of buddies that sweeps merged.
    pub merges: u64,
    orders: Orders,
}

impl PoolStats {
    /// Of nothing yet. `block_size` tells the bytes of an order.
    pub(crate) fn new(block_size: impl Fn(Order) -> usize) -> Self {
        let mut stats = Self::default();
        for order in Order::ZERO.through(Order::MAX) {
            stats.orders[order] =
                OrderStats { order: order.get(), block_size: block_size(order), ..OrderStats::default() };
        }
        stats
    }

    /// Counts the blocks of one more heap. O(blocks).
    pub(crate) fn add_heap(&mut self, heap: &Heap) {
        let counted = HeapStats::count(heap, &mut self.orders);
        let HeapStats { capacity, live, cached, free, in_transit, largest_free, largest_possible, .. } = counted;
        self.heaps += 1;
        self.capacity = self.capacity.saturating_add(capacity);
        self.live = self.live.saturating_add(live);
        self.cached = self.cached.saturating_add(cached);
        self.free = self.free.saturating_add(free);
        self.in_transit = self.in_transit.saturating_add(in_transit);
        self.largest_free = self.largest_free.max(largest_free);
        self.largest_possible = self.largest_possible.max(largest_possible);
        self.misaligned_heaps += usize::from(counted.is_misaligned());
    }

    /// Adds what one more cache counted.
    pub(crate) fn add_cache(&mut self, served: Served, biased: usize, fences: u64) {
        let Served { allocations, releases, sent, refilled, flushed, past_allocations, past_releases } = served;
        self.caches += 1;
        self.biased_sizes += biased;
        self.heavy_fences = self.heavy_fences.wrapping_add(fences);
        for (total, more) in [
            (&mut self.cache_allocations, allocations),
            (&mut self.cache_releases, releases),
            (&mut self.cache_sent, sent),
            (&mut self.cache_refilled, refilled),
            (&mut self.cache_flushed, flushed),
            (&mut self.heap_allocations, past_allocations),
            (&mut self.heap_releases, past_releases),
        ] {
            *total = total.wrapping_add(more);
        }
    }

    /// The sizes of which there are blocks, the smallest first.
    pub fn orders(&self) -> impl Iterator<Item = OrderStats> + '_ {
        self.orders.with_blocks().copied()
    }

    /// Allocations, from caches and past them.
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 20];
    /// # pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let blocks = [100, 1000, 500_000].map(|size| pool.hl_alloc(size));
    /// pool.hl_release(blocks[0]).expect("it is live");
    /// let stats = pool.stats();
    /// # #[cfg(feature = "std")]
    /// assert_eq!((stats.allocations(), stats.releases()), (3, 1));
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn allocations(&self) -> u64 {
        self.cache_allocations.wrapping_add(self.heap_allocations)
    }

    /// Releases, into caches and past them.
    pub fn releases(&self) -> u64 {
        self.cache_releases.wrapping_add(self.heap_releases)
    }

    /// The part of the free bytes that the largest request can't use: 1 − largest free block / free bytes. 0 where
    /// nothing is free.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// assert_eq!(pool.stats().external_fragmentation(), 0.0);
    /// ```
    pub fn external_fragmentation(&self) -> f64 {
        external_fragmentation(self.largest_free, self.free)
    }
}

/// What a sweep did.
///
/// # Examples
///
/// ```
/// let pool = mempool::MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// pool.hl_release(pool.hl_alloc(1024)).expect("the block is live");
/// let report = pool.sweep();
/// assert_eq!(report.largest_after, 4096);
/// println!("{report}");
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
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
