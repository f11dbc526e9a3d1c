//! Sweeping by hand, and seeing inside.

use core::iter;

use super::{MemoryPool, count};
use crate::heaps::Pinned;
use crate::id::HeapId;
use crate::map::HeapMap;
use crate::raw::{Coalescer, Kind, Order, Sweep};
use crate::stats::{HeapStats, PoolStats, SweepReport};
use crate::thread;

impl MemoryPool {
    /// Merges all free buddies, and drops stale entries from the free stacks.
    ///
    /// First it gives cached blocks back to the heaps: those of the calling thread, of ended threads, and those on
    /// their way between threads. The other threads are asked to give back theirs. They do so at their next operation,
    /// or at the one after it if the next one releases the block that they allocated last.
    ///
    /// Once nobody uses the pool, one sweep leaves every heap fully merged, except for blocks in the caches of running
    /// threads.
    /// A thread has ended when it was joined; the end of a thread scope does not mean that all its threads have. A pool
    /// need not be swept: an allocation that finds no block sweeps by itself.
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
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 16];
    /// # pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// println!("{}", pool.sweep());
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn sweep(&self) -> SweepReport {
        let pinned = self.begin_sweep();
        let mut total = Sweep::default();
        for heap in pinned.view().by_age() {
            total.add(&heap.buddy().sweep(None, thread::sweep_shard()));
        }
        self.swept(&total)
    }

    /// Before a sweep: what is cached goes back to the heaps, or is asked for.
    pub(super) fn begin_sweep(&self) -> Pinned<'_> {
        self.begin();
        self.collect();
        let pinned = self.pin();
        let (own, reach) = (self.cache(), self.reach(&pinned));
        reach.reclaim(own);
        reach.ask_others(own);
        pinned
    }

    /// Counts a sweep, and reports it.
    pub(super) fn swept(&self, total: &Sweep) -> SweepReport {
        count(&self.counters.sweeps, 1);
        count(&self.counters.merges, total.merges);
        let bytes = |order: Option<Order>| order.map_or(0, |order| self.config.bytes(order));
        SweepReport {
            blocks: total.blocks,
            merges: total.merges,
            stale_entries: total.dropped,
            largest_before: bytes(total.largest_found),
            largest_after: bytes(total.largest),
        }
    }

    /// Counts the blocks, and returns all figures of the pool.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(blocks).
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 16];
    /// # pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(1000);
    /// let stats = pool.stats();
    /// assert_eq!(stats.live, 1024);
    /// assert_eq!(stats.live + stats.free, stats.capacity);
    /// println!("{stats}");
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.begin();
        let mut stats = PoolStats::new(|order| self.config.bytes(order));
        let pinned = self.heaps.pin();
        for heap in pinned.view().by_age() {
            stats.add_heap(heap);
        }
        for (_, cache) in self.caches.iter() {
            let (biased, words) = cache.biased();
            stats.add_cache(cache.served(), biased, words.fences());
            stats.refused_fences |= u64::from(words.is_refused());
        }
        stats.cache_tables = self.caches.table_bytes();
        stats.refused_fences |= u64::from(self.caches.is_refused());
        self.counters.add_to(&mut stats);
        stats
    }

    /// Counts the blocks of one heap. `None` if the pool has no such heap.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(blocks of the heap).
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 16];
    /// let id = pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(1000);
    /// assert_eq!(pool.stats_of(id).map(|heap| heap.live), Some(1024));
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn stats_of(&self, heap: HeapId) -> Option<HeapStats> {
        self.begin();
        self.heaps.pin().view().get(heap).map(|heap| HeapStats::of(heap, |order| self.config.bytes(order)))
    }

    /// The figures of each heap, in the order in which the heaps were added. Each heap is counted when the iterator
    /// comes to it. Heaps that are added meanwhile come, too.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(blocks of the heap + heaps) for each.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 16];
    /// # pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// for heap in pool.heap_stats() {
    ///     println!("{}: {} of {} bytes are live", heap.heap, heap.live, heap.capacity);
    /// }
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn heap_stats(&self) -> impl Iterator<Item = HeapStats> + '_ {
        self.begin();
        let mut last = None;
        iter::from_fn(move || {
            let pinned = self.heaps.pin();
            let view = pinned.view();
            let heap = view.by_age().find(|heap| Some(heap.id) > last)?;
            last = Some(heap.id);
            Some(HeapStats::of(heap, |order| self.config.bytes(order)))
        })
    }

    /// The largest block in bytes that the next allocation can have. Blocks that merging would form count as if they
    /// were formed. Cached blocks within reach go back to the heaps first, as for an allocation that finds no block.
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
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// assert!(!pool.hl_alloc(64).is_null());
    /// assert_eq!(pool.largest_free_block(), 2048);
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn largest_free_block(&self) -> usize {
        self.largest_free_order().map_or(0, |order| self.config.bytes(order))
    }

    /// The order of the largest block that the next allocation can have.
    pub(crate) fn largest_free_order(&self) -> Option<Order> {
        self.begin();
        let pinned = self.pin();
        self.reach(&pinned).reclaim(self.cache());
        let largest = pinned.view().by_age().map(|heap| {
            let mut coalescer = Coalescer::new(heap.buddy().geometry());
            let free = heap.buddy().scan().filter(|(_, seen)| seen.kind() == Kind::Free);
            free.for_each(|(block, seen)| coalescer.free(block, seen.order()));
            coalescer.largest()
        });
        largest.max().flatten()
    }

    /// The blocks of all heaps, one by one.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(blocks) for all of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// # let mut heap = vec![0u8; 1 << 16];
    /// # pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// for block in pool.heap_map() {
    ///     println!("{} at {:#x}: {} bytes, {:?}", block.heap, block.offset, block.size, block.state);
    /// }
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn heap_map(&self) -> HeapMap<'_> {
        self.begin();
        HeapMap::new(&self.heaps, self.config.min_shift)
    }
}
