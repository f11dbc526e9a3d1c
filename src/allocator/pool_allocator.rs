//! The allocator as its users see it.

use core::fmt;
use core::ptr::NonNull;

use super::cache::Cache;
use super::class::{self, PAGE};
use super::instance::Instance;
use super::options::Options;
use super::root::Root;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
use super::unload;
use crate::raw::slabs::Found;
use crate::stats::AllocatorStats;
use crate::sync::{AtomicU64, Ordering};
use crate::units::Bytes;
use crate::wakers::Wakers;

/// An allocator of its own pages, shared by all threads: a global allocator, or one for some collections.
///
/// It reserves addresses at its first use and puts memory behind them as it grows; or it has all its memory from the
/// beginning.
///
/// Blocks up to 64 KiB have one of 56 sizes. Larger blocks are whole pages of 4 KiB.
///
/// | a request | its block is larger by at most |
/// |---|---|
/// | up to 128 bytes | 15 bytes: it has the next multiple of 16 |
/// | up to 1 KiB | a quarter |
/// | up to 8 KiB | an eighth |
/// | up to 64 KiB | a quarter |
///
/// A block that is made smaller stays in place if there is no smaller one. So that never fails, unless the new layout
/// has a larger alignment.
///
/// Each thread has a cache, which serves most calls without an atomic read-modify-write. Each miss of a cache brings it
/// to its share of a bound for all:
///
/// | the heap | all caches | each cache |
/// |---|---|---|
/// | grows | a twelfth of the heap, or 544 KiB | 2 MiB |
/// | does not grow | half of the heap, or 4.25 MiB | 32 MiB |
///
/// The threads that allocate share the bound. Blocks in the caches of sleeping threads count, but each allocating
/// thread has a quarter of its share in any case. Before an allocation fails, it takes cached blocks back, except from
/// sleeping threads: each of their cached blocks keeps its page.
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
/// uses. Beyond 32 MiB of heap it asks for huge pages. Memory that was not used for a second goes back to the system
/// while the program goes on; see [`AllocatorBuilder::decay`](crate::AllocatorBuilder::decay).
///
/// On Linux with glibc a library that is unloaded gives back the unused memory of its static allocators. It keeps
/// everything elsewhere, and where others are linked with it.
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
    pub(super) root: Root,
    pub(super) options: Options,
    /// Number of releases that were refused.
    pub(super) refused: AtomicU64,
    /// The sweepers. Their places are memory of the program's allocator, which may be this one; an allocation only
    /// reads them.
    pub(crate) wakers: Wakers,
}

impl PoolAllocator {
    /// An allocator with this root.
    pub(super) const fn with(root: Root, options: Options) -> Self {
        Self { root, options, refused: AtomicU64::new(0), wakers: Wakers::new() }
    }

    /// The figures of now.
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

    /// Gives back the cached blocks within reach, and makes whole pages of free slots. Within reach are the caches of
    /// this thread and of ended threads, and the magazines on their way between threads.
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
            instance.reclaim(instance.own_cache());
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
    /// O(pages), and a call of the operating system for each row of free pages.
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
        self.started().map_or(0, |instance| {
            instance.decay.note_trim();
            instance.backend.heap.trim()
        })
    }

    /// The instance, if there is one.
    #[inline(always)]
    pub(super) fn started(&self) -> Option<&Instance> {
        self.root.started()
    }

    /// The instance, started if need be.
    #[inline]
    pub(super) fn instance(&self) -> Option<&Instance> {
        match self.root.started() {
            Some(instance) => Some(instance),
            None => self.start(),
        }
    }

    #[cold]
    fn start(&self) -> Option<&Instance> {
        let (instance, is_first) = self.root.start(&self.options)?;
        if is_first {
            #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
            unload::note(&self.root);
        }
        Some(instance)
    }

    /// The cache of the calling thread, if it used this allocator last, and releases are not checked.
    #[inline(always)]
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.root.cache()
    }

    #[cold]
    pub(super) fn resize_large(&self, block: *mut u8, bytes: usize) -> bool {
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

    /// Bytes of free memory that a block *pins*: they can't go back to the system while the block and its neighbours
    /// live. Small blocks share a *slab*, whose pages go back when none of its blocks is live. So each live block of it
    /// pins an equal share of the slab's free bytes. A block of more than 64 KiB pins nothing.
    ///
    /// The sum over all live blocks is all that is pinned. Blocks in the caches of threads count as live. The heap
    /// profiles of `capi/record/` have this figure for each call site. An address without a live block gives some
    /// number, or 0.
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
    ///     assert!(allocator.pinned_by(block) < 4096);
    ///     allocator.release(block);
    /// }
    /// ```
    pub fn pinned_by(&self, block: NonNull<u8>) -> usize {
        self.started().map_or(0, |instance| instance.backend.heap.pinned_by(block.addr().get()))
    }

    #[inline(always)]
    pub(super) fn alloc_small(&self, class: usize) -> Option<NonNull<u8>> {
        match self.cache().and_then(|cache| cache.pop(class)) {
            Some(block) => Some(block),
            None => self.alloc_small_slow(class),
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
impl Drop for PoolAllocator {
    fn drop(&mut self) {
        unload::forget(&self.root);
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
