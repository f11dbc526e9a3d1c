//! Sweeping by hand, and seeing inside.

use super::OffsetPool;
use super::space;
use crate::id::HeapId;
use crate::map::HeapMap;
use crate::raw::Class;
use crate::stats::{HeapStats, PoolStats, SweepReport};

impl OffsetPool {
    /// Gives back everything that the calling thread has cached, as [`MemoryPool::flush_thread_cache`] does.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(blocks in the cache).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 30)?;
    /// pool.release(pool.alloc(4096, 1)?)?;
    /// pool.flush_thread_cache();
    /// assert_eq!(pool.stats().cached, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`MemoryPool::flush_thread_cache`]: crate::MemoryPool::flush_thread_cache
    pub fn flush_thread_cache(&self) {
        self.pool.flush_thread_cache();
    }

    /// Merges all free buddies, as [`MemoryPool::sweep`](crate::MemoryPool::sweep) does. A pool need not be swept: an
    /// allocation that finds no block sweeps by itself.
    ///
    /// # Progress
    ///
    /// Lock-free. Any number of threads may sweep at once, and allocate and release meanwhile.
    ///
    /// # Complexity
    ///
    /// O(blocks).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// pool.release(pool.alloc(4096, 1)?)?;
    /// assert_eq!(pool.sweep().largest_after, 1 << 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sweep(&self) -> SweepReport {
        self.pool.sweep()
    }

    /// Counts the blocks, and returns all figures of the pool. Its heaps are the ranges.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a range is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(blocks).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// pool.alloc(5000, 1)?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.live, stats.capacity), (8192, 1 << 20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Counts the blocks of one range. `None` if the pool has no such range.
    ///
    /// # Progress
    ///
    /// As [`stats`](Self::stats).
    ///
    /// # Complexity
    ///
    /// O(blocks of the range).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// let range = pool.add_range(0, 1 << 20)?;
    /// pool.alloc(5000, 1)?;
    /// assert_eq!(pool.stats_of(range).map(|range| range.live), Some(8192));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats_of(&self, range: HeapId) -> Option<HeapStats> {
        self.pool.stats_of(range)
    }

    /// The largest block in bytes that the next allocation can have. Blocks that merging would form count as if they
    /// were formed. Cached blocks within reach go back to the ranges first, as for an allocation that finds no block.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(blocks).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// pool.alloc(4096, 1)?;
    /// assert_eq!(pool.largest_free(), 1 << 19);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn largest_free(&self) -> u64 {
        self.pool.largest_free_order().map_or(0, |order| space::bytes(Class::of(order), self.min_shift()))
    }

    /// The blocks of all ranges, one by one, and pictures of them. A block's `offset` counts from the
    /// [start](crate::OffsetRange::start) of its range.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a range is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(blocks) for all of it.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// pool.alloc(1 << 18, 1)?;
    /// println!("{}", pool.heap_map().text(64, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn heap_map(&self) -> HeapMap<'_> {
        self.pool.heap_map()
    }
}
