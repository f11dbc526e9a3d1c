//! How allocators are made.

use core::time::Duration;

use crate::error::AllocatorBuildError;

use super::instance::{Instance, Memory};
use super::options::Options;
use super::pool_allocator::PoolAllocator;
use super::root::Root;

/// Builds a [`PoolAllocator`] that is not the default one.
///
/// # Examples
///
/// ```
/// use mempool::PoolAllocator;
///
/// // 64 MiB, behind which there is memory from the beginning.
/// let allocator = PoolAllocator::builder().huge_pages(true).prefault(true).build(64 << 20)?;
/// assert_eq!(allocator.stats().limit, 64 << 20);
/// # Ok::<(), mempool::AllocatorBuildError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing before `build` or `on_demand`"]
pub struct AllocatorBuilder {
    options: Options,
}

impl AllocatorBuilder {
    pub(super) const fn new() -> Self {
        let options = Options {
            limit: usize::MAX,
            huge_pages: false,
            prefault: false,
            lock: false,
            checked: cfg!(debug_assertions),
            decay: Duration::from_secs(1),
        };
        Self { options }
    }

    /// Whether the allocator asks the operating system for huge pages from the beginning, where it has some. Unless
    /// set, it does not. Large heaps miss the address cache less often then; small ones have more memory behind them.
    pub const fn huge_pages(mut self, huge_pages: bool) -> Self {
        self.options.huge_pages = huge_pages;
        self
    }

    /// Whether [`build`](Self::build) touches every page, so that no later use of the memory faults. Unless
    /// set, it does not.
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.options.prefault = prefault;
        self
    }

    /// Whether [`build`](Self::build) locks the memory, so that it is never swapped out. It does not unless set.
    pub const fn lock(mut self, lock: bool) -> Self {
        self.options.lock = lock;
        self
    }

    /// Whether each release is checked: that a live block begins at the address, and that the layout is the block's.
    /// Unless set, it is in builds with debug assertions.
    ///
    /// A checked allocator refuses a wrong release: of a block that was released already, of an address inside a
    /// block, of another allocator's block, with a wrong layout. Nothing is changed then, for nobody.
    /// [`AllocatorStats::refused_releases`](crate::AllocatorStats::refused_releases) counts it. A wrong reallocation
    /// returns null. Nothing panics or is logged: it may be the global allocator. Of several releases of one block,
    /// even by several threads at once, exactly one is not refused. This holds until the address is handed out again.
    ///
    /// A checked allocator takes 260 bytes for each page of 4 KiB in use, and an atomic exchange for each block: a
    /// pair of calls takes some ten times as long. An allocator that does not check pays nothing for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::{GlobalAlloc, Layout};
    /// use mempool::PoolAllocator;
    ///
    /// static CHECKED: PoolAllocator = PoolAllocator::builder().checked(true).on_demand(1 << 20);
    ///
    /// let layout = Layout::new::<[u64; 8]>();
    /// // SAFETY: the size is not 0; the block is released a second time only because the allocator checks that.
    /// unsafe {
    ///     let block = CHECKED.alloc(layout);
    ///     CHECKED.dealloc(block, layout);
    ///     CHECKED.dealloc(block, layout);
    /// }
    /// assert_eq!(CHECKED.stats().refused_releases, 1);
    /// ```
    pub const fn checked(mut self, checked: bool) -> Self {
        self.options.checked = checked;
        self
    }

    /// After `time` without use, memory goes back to the operating system, while the program allocates or releases
    /// something now and then. Unless set, one second. With [`Duration::MAX`] it stays until [`PoolAllocator::trim`],
    /// or a sweeper with [`trim_after`](crate::SweeperBuilder::trim_after).
    ///
    /// The calls of the program do that, a little at a time, and no other thread. A released page goes back after one
    /// to three times `time`, a page of cached blocks after two to five times. Up to 1 MiB stays. The caches of
    /// threads that sleep stay as they are.
    ///
    /// Memory that comes and goes in turns shorter than `time` does not go back. Memory of
    /// [`prefault`](Self::prefault), of [`lock`](Self::lock) and of a region of the caller's does not either.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use mempool::PoolAllocator;
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: PoolAllocator = PoolAllocator::builder().decay(Duration::from_secs(10)).on_demand(usize::MAX);
    /// ```
    pub const fn decay(mut self, time: Duration) -> Self {
        self.options.decay = time;
        self
    }

    /// An allocator of `bytes` bytes of heap, mapped now. It does not grow.
    ///
    /// # Errors
    ///
    /// - [`AllocatorBuildError::TooSmall`], [`AllocatorBuildError::TooLarge`]: no allocator can have this size.
    /// - [`AllocatorBuildError::Unavailable`]: the operating system has not enough addresses.
    /// - [`AllocatorBuildError::NotLocked`]: it does not lock that amount.
    ///
    /// # Progress
    ///
    /// As the operating system's calls.
    pub fn build(mut self, bytes: usize) -> Result<PoolAllocator, AllocatorBuildError> {
        self.options.limit = bytes;
        self.started(Memory::Reserved(bytes))
    }

    /// An allocator of memory that the caller has, as [`PoolAllocator::from_region`], with these options.
    /// [`huge_pages`](Self::huge_pages), [`prefault`](Self::prefault) and [`lock`](Self::lock) don't count.
    ///
    /// # Errors
    ///
    /// As [`PoolAllocator::from_region`].
    ///
    /// # Safety
    ///
    /// As [`PoolAllocator::from_region`].
    pub unsafe fn build_in(mut self, base: *mut u8, len: usize) -> Result<PoolAllocator, AllocatorBuildError> {
        self.options.limit = usize::MAX;
        self.started(Memory::Given(base, len))
    }

    /// An allocator that grows on demand, while at most `limit` bytes of its heap are in use. Fit for a `static`. It
    /// reserves its addresses at the first allocation, and touches nothing before it is used, so
    /// [`prefault`](Self::prefault) and [`lock`](Self::lock) don't count.
    pub const fn on_demand(mut self, limit: usize) -> PoolAllocator {
        self.options.limit = limit;
        self.options.prefault = false;
        self.options.lock = false;
        PoolAllocator::with(Root::new(), self.options)
    }

    fn started(self, memory: Memory) -> Result<PoolAllocator, AllocatorBuildError> {
        let instance = Instance::map(memory, &self.options)?;
        Ok(PoolAllocator::with(Root::of(instance, &self.options), self.options))
    }
}

impl PoolAllocator {
    /// An allocator that grows as long as the operating system has memory.
    pub const fn new() -> Self {
        Self::with_limit(usize::MAX)
    }

    /// An allocator that never has more than `bytes` bytes of heap in use. Its own metadata is not counted. It has
    /// addresses for twice as much: no allocation fails because free pages are scattered. With a limit
    /// of less than a page of 4 KiB, 0 among them, each allocation fails.
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
}

impl Default for PoolAllocator {
    fn default() -> Self {
        Self::new()
    }
}
