//! `PoolAllocator`: a pool of pages behind Rust's allocator traits. README.md has the files in order.
//!
//! Nothing in here reaches another allocator, a lock, a panic or a log: it may be the global allocator of a program.

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-03", feature = "allocator-api2-04"))]
mod api;
mod backend;
mod builder;
mod cache;
mod class;
mod crowd;
mod cycle;
mod depot;
mod global;
mod instance;
mod meta;
mod options;
mod page_heap;
#[cfg(test)]
mod refused;
mod release;
mod slow;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod unload;

pub use builder::AllocatorBuilder;

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::cache::{number, remember, remembered};
use crate::error::AllocatorBuildError;
use crate::stats::AllocatorStats;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use crate::units::Bytes;
use crate::wakers::Wakers;

use self::cache::Cache;
use self::class::PAGE;
use self::instance::Instance;
use self::options::Options;
use crate::raw::slabs::Found;

/// An allocator of its own pages, shared by all threads: a global allocator, or one for some collections.
///
/// It reserves addresses at its first use and puts memory behind them as it grows; or it has all its memory from the
/// beginning.
///
/// Blocks up to 64 KiB have one of 56 sizes, at most a quarter larger than the request, from 1 to 8 KiB an eighth.
/// Larger blocks are whole pages of 4 KiB. A block that is made smaller stays in place if there is no smaller one, so
/// that never fails, unless it is to be aligned better than before.
///
/// Each thread has a cache, which serves most calls without an atomic read-modify-write. All caches together are
/// bounded:
///
/// | the heap | all caches | each cache |
/// |---|---|---|
/// | grows | a twelfth of the heap, or 544 KiB | 2 MiB |
/// | does not grow | half of the heap, or 4.25 MiB | 32 MiB |
///
/// The threads that allocate share that. Blocks in the caches of sleeping threads count, but leave a quarter for the
/// others. An allocation that would fail takes back what is cached, except from threads that are alive and sleep:
/// each block that these have cached keeps its page.
///
/// The [guide](crate::guide) has more.
///
/// # Progress
///
/// Lock-free, except for the operating system's calls: when the heap is first used, when it grows, and when memory is
/// given back.
///
/// # Memory
///
/// It reserves half of the addresses that there are, at most. Core dumps, limits of data and `mlockall` count what it
/// uses. Beyond 32 MiB of heap it asks for huge pages. A library that is unloaded gives back what its static
/// allocators don't use, on Linux with glibc; it keeps everything elsewhere, and where others are linked with it.
///
/// # Fork
///
/// A child has a copy of the allocator, and may use it. Blocks in the caches of other threads stay there.
///
/// # Examples
///
/// ```
/// use mempool::PoolAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
///
/// let words: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
/// assert_eq!(words.concat().len(), 2890);
/// println!("{}", ALLOCATOR.stats());
/// ```
///
/// With a hard limit, a program can go on where there is no more:
///
/// ```
/// use mempool::PoolAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: PoolAllocator = PoolAllocator::with_limit(64 << 20);
///
/// let mut large: Vec<u8> = Vec::new();
/// assert!(large.try_reserve(1 << 30).is_err());
/// assert!(large.try_reserve(1 << 20).is_ok());
/// ```
pub struct PoolAllocator {
    /// The name by which the fast paths know caches: the instance's. It is 0 until there is one, and for ever if
    /// releases are checked. No cache has the name 0, so all calls of a checked allocator take the slow paths, where
    /// the checks are.
    name: AtomicU64,
    instance: AtomicPtr<Instance>,
    options: Options,
    /// Number of releases that were refused.
    refused: AtomicU64,
    /// The sweepers. Their places are memory of the program's allocator, which may be this one; an allocation only
    /// reads them.
    pub(crate) wakers: Wakers,
    owns: PhantomData<Instance>,
}

impl PoolAllocator {
    /// An allocator that grows as long as the operating system has memory.
    pub const fn new() -> Self {
        Self::with_limit(usize::MAX)
    }

    /// An allocator that never has more than `bytes` bytes of heap. Its own metadata is not counted. With a limit of
    /// less than a page of 4 KiB, 0 among them, each allocation fails.
    pub const fn with_limit(bytes: usize) -> Self {
        Self::builder().on_demand(bytes)
    }

    /// An allocator of `bytes` bytes of heap, mapped now. It does not grow.
    ///
    /// # Errors
    ///
    /// As [`AllocatorBuilder::build`].
    pub fn with_capacity(bytes: usize) -> Result<Self, AllocatorBuildError> {
        Self::builder().build(bytes)
    }

    /// An allocator of memory that the caller has. Its metadata comes from the operating system.
    ///
    /// # Errors
    ///
    /// As [`AllocatorBuilder::build`]. Where the region does not begin or end at a page, up to a page at either end
    /// is not used.
    ///
    /// # Safety
    ///
    /// The `len` bytes from `base` on are readable and writable, and nobody else uses them for as long as the
    /// allocator or one of its blocks is used.
    pub unsafe fn from_region(base: *mut u8, len: usize) -> Result<Self, AllocatorBuildError> {
        // SAFETY: the caller vouches for the heap.
        unsafe { Self::builder().build_in(base, len) }
    }

    /// A builder, for other options.
    pub const fn builder() -> AllocatorBuilder {
        AllocatorBuilder::new()
    }

    const fn with(options: Options) -> Self {
        let (instance, refused) = (AtomicPtr::new(core::ptr::null_mut()), AtomicU64::new(0));
        Self { name: AtomicU64::new(0), instance, options, refused, wakers: Wakers::new(), owns: PhantomData }
    }

    fn of_instance(instance: NonNull<Instance>, options: Options) -> Self {
        let mut new = Self::with(options);
        // SAFETY: it was mapped just now.
        new.name = AtomicU64::new(new.fast_name(unsafe { instance.as_ref() }));
        new.instance = AtomicPtr::new(instance.as_ptr());
        new
    }

    fn fast_name(&self, instance: &Instance) -> u64 {
        if self.options.checked { 0 } else { instance.name }
    }

    /// What it has now.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(pages).
    pub fn stats(&self) -> AllocatorStats {
        // Relaxed: a number.
        let refused_releases = self.refused.load(Ordering::Relaxed);
        match self.started() {
            Some(instance) => AllocatorStats { refused_releases, ..instance.stats() },
            None => AllocatorStats { limit: self.options.limit, refused_releases, ..AllocatorStats::default() },
        }
    }

    /// Gives back what is cached within reach, and makes whole pages of what is free. Within reach are the caches of
    /// this thread and of gone threads, and what is on its way between threads.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(pages).
    pub fn sweep(&self) {
        if let Some(instance) = self.started() {
            instance.reclaim(Self::cache_or_attach(instance));
        }
    }

    /// Gives the memory behind free pages back to the operating system, after a [`sweep`](Self::sweep); returns how
    /// many bytes of it were resident, or where the operating system doesn't tell, how many it took. It comes back by
    /// itself, zeroed, when they are used again. Of a region of the caller's nothing is given back.
    ///
    /// # Progress
    ///
    /// As the operating system's calls. Other threads never wait for it.
    ///
    /// # Complexity
    ///
    /// O(pages), and a call of the operating system for each stretch of free ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    /// use mempool::PoolAllocator;
    ///
    /// let allocator = PoolAllocator::with_limit(64 << 20);
    /// let layout = Layout::new::<[u8; 1 << 20]>();
    /// // SAFETY: the size is not 0, the block has as many bytes, and it is released once.
    /// unsafe {
    ///     let block = allocator.alloc(layout);
    ///     assert!(!block.is_null());
    ///     block.write_bytes(1, layout.size());
    ///     allocator.dealloc(block, layout);
    /// }
    /// println!("{} bytes went back", allocator.trim());
    /// ```
    pub fn trim(&self) -> usize {
        self.sweep();
        self.started().map_or(0, |instance| instance.backend.heap.trim())
    }

    fn started(&self) -> Option<&Instance> {
        // Acquire: as in `instance`.
        // SAFETY: as in `instance`.
        unsafe { self.instance.load(Ordering::Acquire).as_ref() }
    }

    #[inline]
    fn instance(&self) -> Option<&Instance> {
        // Acquire: pairs with the Release in `start`; makes the instance visible.
        // SAFETY: null, or an instance that lives as long as `self`.
        match unsafe { self.instance.load(Ordering::Acquire).as_ref() } {
            Some(instance) => Some(instance),
            None => self.start(),
        }
    }

    #[cold]
    fn start(&self) -> Option<&Instance> {
        let new = Instance::map_growing(&self.options)?;
        // AcqRel: the Release pairs with the Acquire in `instance`. Acquire on failure: pairs with that Release, of a
        // faster thread.
        let stored =
            self.instance.compare_exchange(core::ptr::null_mut(), new.as_ptr(), Ordering::AcqRel, Ordering::Acquire);
        let instance = match stored {
            Ok(_) => {
                // Relaxed: each thread compares it with a name that it has remembered itself.
                // SAFETY: it lives as long as `self`.
                self.name.store(self.fast_name(unsafe { new.as_ref() }), Ordering::Relaxed);
                #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
                unload::note(self);
                new
            }
            Err(first) => {
                // SAFETY: it was not stored, so nobody else has it.
                unsafe { Instance::unmap(new) };
                NonNull::new(first)?
            }
        };
        // SAFETY: it lives as long as `self`.
        Some(unsafe { instance.as_ref() })
    }

    /// The cache of the calling thread, if it used this allocator last, and releases are not checked.
    #[inline(always)]
    fn cache(&self) -> Option<&Cache> {
        // Relaxed: compared with a name in this thread's own memory.
        let cache = remembered(self.name.load(Ordering::Relaxed))?;
        // SAFETY: `attach` stored the cache with the name, which no other allocator ever has, so the cache lives as
        // long as `self`.
        Some(unsafe { cache.cast::<Cache>().as_ref() })
    }

    /// The cache of the calling thread, if it can have one now.
    fn attach(instance: &Instance) -> Option<&Cache> {
        let (index, registry) = number()?;
        let cache = instance.cache(index)?;
        if !cache.lease.enter(registry.generation(index)) {
            return None;
        }
        remember(instance.name, NonNull::from(cache).cast());
        Some(cache)
    }

    /// The same, faster if the thread used this allocator last.
    fn cache_or_attach(instance: &Instance) -> Option<&Cache> {
        match remembered(instance.name) {
            // SAFETY: as in `cache`.
            Some(cache) => Some(unsafe { cache.cast::<Cache>().as_ref() }),
            None => Self::attach(instance),
        }
    }

    #[cold]
    fn resize_large(&self, block: *mut u8, bytes: usize) -> bool {
        let pages = u32::try_from(bytes / PAGE);
        pages
            .is_ok_and(|pages| self.started().is_some_and(|instance| instance.backend.resize_span(block.addr(), pages)))
    }

    /// Bytes of the block that begins at `block`: as many as were requested, or more.
    ///
    /// # Safety
    ///
    /// It is a live block of this allocator.
    ///
    /// # Progress
    ///
    /// Wait-free.
    ///
    /// # Complexity
    ///
    /// O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    /// use std::ptr::NonNull;
    /// use mempool::PoolAllocator;
    ///
    /// let allocator = PoolAllocator::with_limit(1 << 20);
    /// // SAFETY: the size is not 0, and the block is live until it is released once.
    /// unsafe {
    ///     let block = NonNull::new(allocator.alloc(Layout::new::<[u8; 100]>())).expect("there is room");
    ///     assert_eq!(allocator.usable_size(block), 112);
    ///     allocator.release(block);
    /// }
    /// ```
    pub unsafe fn usable_size(&self, block: NonNull<u8>) -> usize {
        match self.instance().map(|instance| instance.backend.heap.find(block.addr().get())) {
            Some(Found::Slab { class, .. }) => class::size_of_class(class),
            Some(Found::Span { pages }) => pages as usize * PAGE,
            _ => 0,
        }
    }

    #[inline(always)]
    fn alloc_small(&self, class: usize) -> Option<NonNull<u8>> {
        match self.cache().and_then(|cache| cache.pop(class)) {
            Some(block) => Some(block),
            None => self.alloc_small_slow(class),
        }
    }
}

impl Default for PoolAllocator {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PoolAllocator {
    fn drop(&mut self) {
        #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
        unload::forget(self);
        // Relaxed: `&mut self`, nobody else is there.
        if let Some(instance) = NonNull::new(self.instance.load(Ordering::Relaxed)) {
            // SAFETY: it came from `Instance::map`. Blocks borrow the allocator, or their users vouched that it
            // outlives them.
            unsafe { Instance::unmap(instance) };
        }
    }
}

/// One line, with `{:#?}` too: the bytes that the heap has grown to, and whether releases are checked.
/// [`stats`](PoolAllocator::stats) has all figures.
impl fmt::Debug for PoolAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heap = Bytes(self.started().map_or(0, |instance| instance.backend.heap.bytes()) as u64);
        write!(f, "PoolAllocator {{ heap: {heap}, checked: {} }}", self.options.checked)
    }
}
