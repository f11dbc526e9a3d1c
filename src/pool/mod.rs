//! [`MemoryPool`]: the pool as the user has it. This file has its making and its heaps; the others one group of
//! methods each.

mod alloc;
mod builder;
mod config;
mod counters;
#[cfg(all(feature = "std", not(modelled)))]
mod cycle;
mod inspect;
#[cfg(all(feature = "rayon", not(modelled)))]
mod parallel;
#[cfg(all(test, feature = "std", unix, not(loom)))]
mod refused;
mod release;
mod remove;
mod reserve;
mod resize;
mod scope;
mod shortage;
mod tables;
mod turns;

use core::fmt;
use core::ptr::NonNull;

#[cfg(all(feature = "std", not(modelled)))]
pub(crate) use cycle::Cycle;

use crate::cache::{Caches, OwnCache, Reach, current, registry, with_current};
#[cfg(feature = "alloc")]
use crate::error::AddHeapError;
use crate::heaps::{Heaps, Pinned};
#[cfg(feature = "alloc")]
use crate::heaps::{Region, Tables};
use crate::id::HeapId;
use crate::raw::{Order, Shard};
use crate::sync::const_unless_loom;
use crate::thread;
use crate::units::Bytes;
#[cfg(all(feature = "std", not(modelled)))]
use crate::wakers::Wakers;
pub use builder::PoolBuilder;
pub(crate) use config::Config;
use counters::{Counters, count};

/// A pool of memory over heaps that the caller gives. Any number of threads share it.
///
/// Blocks are powers of two of bytes, aligned to their size, or [sizes](crate::Sizes) between them: a buddy system. The
/// pool deals in *addresses*. It never reads or writes the memory that it hands out, and keeps its tables elsewhere. So
/// every method is safe, except [`hl_resize`](Self::hl_resize), which copies.
///
/// The memory of a heap is the caller's. It must outlive the use of its blocks; the pool does not keep it alive.
/// Everybody who has the pool can release any block of it. Unsafe code that relies on a block being its own keeps the
/// pool to itself, or trusts the others.
///
/// The [guide](crate::guide) has more.
///
/// # Progress
///
/// All methods are lock-free: a thread that is stopped anywhere never keeps others from finishing. Some use other code,
/// and can wait where that waits:
///
/// | call | uses | except |
/// |---|---|---|
/// | `add_heap`, `remove_heap`, a `sweep` after them | the global allocator | [`add_heap_with`](Self::add_heap_with) |
/// | with `std`, a thread's first call | the same, for its cache | [`thread_cache(0)`](PoolBuilder::thread_cache) |
/// | `sweep_parallel` | rayon's threads | |
///
/// # Complexity
///
/// An allocation is O(orders) while the free stacks have a block, else O(blocks). A release is O(1) in one heap.
/// Merging is deferred to [`sweep`](Self::sweep) and to allocations that find no block.
///
/// # Fork
///
/// A child process has one thread, and a copy of the pool that it may use. The parent's pool is not affected.
///
/// - Blocks of other threads stay live until the child releases them.
/// - Cached blocks of other threads stay cached: for each thread at most the [bound of a
///   cache](crate::PoolBuilder::thread_cache).
/// - Blocks that another thread withheld, because it was splitting or merging them, are lost to the child. A failing
///   allocation then searches for longer.
/// - Where parent and child share the heap itself, only one of them may go on.
///
/// # Examples
///
/// ```
/// use mempool::MemoryPool;
///
/// static POOL: MemoryPool = MemoryPool::new();
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut heap = vec![0u8; 1 << 20];
/// POOL.add_heap(heap.as_mut_ptr(), heap.len())?;
/// std::thread::scope(|scope| {
///     for byte in 0..4 {
///         scope.spawn(move || {
///             let block = POOL.hl_alloc(1000);
///             assert!(!block.is_null());
///             // SAFETY: the block has 1000 bytes or more, and is this thread's until it is released.
///             unsafe { block.write_bytes(byte, 1000) };
///             POOL.hl_release(block).expect("the block is live");
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
pub struct MemoryPool {
    pub(crate) config: Config,
    pub(crate) heaps: Heaps,
    caches: Caches,
    counters: Counters,
    /// The threads of sweepers, to be woken by an allocation that had to sweep by itself.
    #[cfg(all(feature = "std", not(modelled)))]
    pub(crate) wakers: Wakers,
}

impl MemoryPool {
    const_unless_loom! {
        /// A pool without heaps, with blocks from 64 bytes up. Fit for a `static`.
        pub fn new() -> Self {
            Self::with(Config::DEFAULT)
        }
    }

    const_unless_loom! {
        pub(crate) fn with(config: Config) -> Self {
            let caches = Caches::new(config.thread_cache, config.sizes);
            Self {
                config,
                heaps: Heaps::new(),
                caches,
                counters: Counters::new(),
                #[cfg(all(feature = "std", not(modelled)))]
                wakers: Wakers::new(),
            }
        }
    }

    /// Adds the region of `size` bytes at `base` as a heap, also while other threads use the pool.
    ///
    /// Any base and any size will do. The ends are cut into the largest blocks that fit; less than a smallest block
    /// is left out. No block lies in two heaps.
    ///
    /// The base decides how large blocks can be, because they are aligned to their size. A base that is a multiple of
    /// the largest power of two within `size` gives the largest block. Other bases lose half of the heap or more to
    /// requests of that size; [`HeapStats::is_misaligned`](crate::HeapStats::is_misaligned) tells.
    ///
    /// The pool takes 49 bits of tables for each smallest block from the global allocator. Tables of a huge heap are
    /// not touched before they are used. [`add_heap_with`](Self::add_heap_with) does without the global allocator.
    ///
    /// Pointers to blocks are derived from `base`. Give a pointer that may write, such as `as_mut_ptr` returns, if
    /// anybody writes to the blocks. The pool itself never accesses the region, so it may be memory that this program
    /// can't reach. It must stay the caller's for as long as blocks of it are in use.
    ///
    /// # Errors
    ///
    /// When the region is null, empty, too small or too large, goes past the end of the address space, or overlaps
    /// another heap; or when there is no memory for the tables. The pool is then as it was.
    ///
    /// # Progress
    ///
    /// Lock-free, except for the global allocator.
    ///
    /// # Complexity
    ///
    /// O(heaps).
    #[cfg(feature = "alloc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "alloc")))]
    pub fn add_heap(&self, base: *mut u8, size: usize) -> Result<HeapId, AddHeapError> {
        self.add_region(Region::new(base, size, self.config.min_shift)?)
    }

    /// Adds a region with tables from the global allocator.
    #[cfg(feature = "alloc")]
    pub(crate) fn add_region(&self, region: Region) -> Result<HeapId, AddHeapError> {
        self.begin();
        self.collect();
        self.ask_for_fences();
        Self::with_stack(|| self.heaps.add(region, self.config.max_order, &mut Tables::Global))
    }

    /// Before there is a heap, and so before there is a bias.
    fn ask_for_fences(&self) {
        if self.config.biased && !self.config.thread_cache.is_none() {
            self.caches.ask_for_fences();
        }
    }

    /// Gives all blocks in the calling thread's cache back to the heaps, and those in its depot, which other threads
    /// left there.
    ///
    /// Of use before a thread sleeps for long: cached blocks are free for their thread only.
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
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 20];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// pool.hl_release(pool.hl_alloc(100)).expect("the block is live");
    /// # #[cfg(feature = "std")]
    /// assert!(pool.stats().cached > 0);
    /// pool.flush_thread_cache();
    /// assert_eq!(pool.stats().cached, 0);
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn flush_thread_cache(&self) {
        self.begin();
        let pinned = self.pin();
        if let Some(cache) = self.cache() {
            cache.flush(&self.reach(&pinned));
        }
    }

    /// What the exit of the calling thread does. Threads of a model don't exit by themselves.
    #[cfg(modelled)]
    #[doc(hidden)]
    pub fn exit_thread(&self) {
        crate::cache::exit(&self.caches);
    }

    /// The pool with biases, before it is used: models without one have fewer schedules.
    #[cfg(modelled)]
    #[doc(hidden)]
    pub fn with_bias(mut self) -> Self {
        self.caches.begin_bias();
        self
    }

    /// The calling thread takes the bias of its blocks of this order, if nobody visits it.
    #[cfg(any(modelled, all(test, feature = "std")))]
    #[doc(hidden)]
    pub fn take_bias(&self, order: u32) {
        if let (Some(cache), Some(order)) = (self.cache(), Order::new(order)) {
            cache.take_bias(order.into(), &self.caches);
        }
    }

    /// What a sweep does first: gives back to the heaps what is cached and can be had at once. True, if there was
    /// something.
    #[cfg(modelled)]
    #[doc(hidden)]
    pub fn reclaim(&self) -> bool {
        let pinned = self.pin();
        self.reach(&pinned).reclaim(self.cache()) > 0
    }

    /// What a sweep does next: asks the other threads to flush. True, if one has something.
    #[cfg(modelled)]
    #[doc(hidden)]
    pub fn ask_others(&self) -> bool {
        let pinned = self.pin();
        self.reach(&pinned).ask_others(self.cache())
    }

    /// Has the readers of the set of heaps counted, for models of them. Before the threads of the model start.
    #[cfg(modelled)]
    #[doc(hidden)]
    pub fn watch_heaps(&self) {
        self.heaps.watch();
    }

    /// The heaps now, for an operation that may use the thread's cache. That is made first: who had it before may have
    /// left blocks in it of heaps that were added just then.
    pub(crate) fn pin(&self) -> Pinned<'_> {
        self.make_cache();
        self.heaps.pin()
    }

    /// Makes the calling thread's cache, if it has none and one would be of use.
    fn make_cache(&self) {
        let min_shift = self.config.min_shift;
        if current(&self.caches).is_none() && self.caches.are_of_use(|| self.heaps.pin().view().capacity(), min_shift) {
            with_current(&self.caches, min_shift);
        }
    }

    /// The cache of the calling thread, after [`make_cache`](Self::make_cache).
    fn cache(&self) -> Option<OwnCache<'_>> {
        current(&self.caches)
    }

    /// Where the calling thread looks first in the heaps.
    fn shard(&self) -> Shard {
        self.cache().map_or_else(thread::shard, OwnCache::shard)
    }

    /// Counts operations of the calling thread that went past its cache, in the counters of the cache. The cache is
    /// made first, where there can be one. The pool counts where there is none: another thread drains it, the pool
    /// is too small, or the thread has no index or is about to exit. A pool without caches counts nothing, since
    /// that would cost each operation something.
    fn count_past_cache(&self, allocations: usize, releases: usize) {
        // Not under loom, where it would be more to explore.
        #[cfg(all(feature = "std", not(modelled)))]
        if !self.config.thread_cache.is_none() {
            self.make_cache();
            match self.cache() {
                Some(cache) => cache.count_past(allocations, releases),
                None => self.counters.count_uncached(allocations, releases),
            }
        }
        #[cfg(not(all(feature = "std", not(modelled))))]
        let _ = (allocations, releases);
    }

    /// What a cache of this pool reaches.
    fn reach<'a>(&'a self, heaps: &'a Pinned<'_>) -> Reach<'a> {
        Reach {
            heaps: heaps.view(),
            set: &self.heaps,
            caches: &self.caches,
            registry: registry(&self.caches),
            address_shift: self.config.address_shift,
            min_shift: self.config.min_shift,
        }
    }

    /// The heap that an address is in, whatever is there.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(log heaps).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ptr::NonNull;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let heap = pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let block = NonNull::new(pool.hl_alloc(64)).expect("there is room");
    /// assert_eq!(pool.heap_of(block), Some(heap));
    /// assert_eq!(pool.heap_of(NonNull::dangling()), None);
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    pub fn heap_of(&self, address: NonNull<u8>) -> Option<HeapId> {
        self.begin();
        self.heaps.pin().view().find(address.addr().get()).map(|heap| heap.id)
    }
}

impl Default for MemoryPool {
    fn default() -> Self {
        Self::new()
    }
}

/// One line, with `{:#?}` too: the number of heaps, their bytes, and the sizes of blocks.
/// [`stats`](MemoryPool::stats) has all figures.
impl fmt::Debug for MemoryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned = self.heaps.pin();
        let heaps = pinned.view();
        let (count, capacity) = (heaps.count(), Bytes(heaps.capacity() as u64));
        let [min, max] = [Order::ZERO, self.config.max_order].map(|order| Bytes(self.config.bytes(order) as u64));
        write!(f, "MemoryPool {{ heaps: {count}, capacity: {capacity}, blocks: {min} to {max} }}")
    }
}
