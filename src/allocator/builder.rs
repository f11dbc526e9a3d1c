//! The options of an allocator.

use crate::error::AllocatorBuildError;

use super::PoolAllocator;
use super::backend::{Backend, Memory};

/// Options of an allocator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Bytes of heap.
    pub(super) limit: usize,
    pub(super) huge_pages: bool,
    pub(super) prefault: bool,
    pub(super) lock: bool,
    pub(super) checked: bool,
}

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
        };
        Self { options }
    }

    /// Whether the allocator asks the operating system for huge pages, where it has some. Large heaps have fewer misses of the address
    /// cache then, and small ones more memory behind them. It does not unless set.
    pub const fn huge_pages(mut self, huge_pages: bool) -> Self {
        self.options.huge_pages = huge_pages;
        self
    }

    /// Whether [`build`](Self::build) touches every page, so that no later use of the memory faults. It does not unless set.
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.options.prefault = prefault;
        self
    }

    /// Whether [`build`](Self::build) locks the memory, so that it is never swapped out. It does not unless set.
    pub const fn lock(mut self, lock: bool) -> Self {
        self.options.lock = lock;
        self
    }

    /// Whether each release is checked: that a live block begins at the address, and has the size that is said. In builds with
    /// debug assertions it is unless set, else not.
    ///
    /// A checked allocator refuses what is wrong: a block that was released already, wherever it is now; an address inside a block,
    /// of no block, of another allocator; a layout that the block does not have. Nothing is changed then, so that no block is ever
    /// handed out twice, and [`AllocatorStats::refused_releases`](crate::AllocatorStats::refused_releases) counts it. Nothing panics,
    /// or is written to a log: it may be the global allocator. The same goes for reallocations, which return null then. Of several
    /// releases of one block, also racing ones, exactly one is not refused, until the address has been handed out again; then it is
    /// that allocation's block.
    ///
    /// A release or reallocation that is refused changes nothing for others either: whoever has the right one meanwhile is not refused.
    ///
    /// That takes 260 bytes for each page of 4 KiB that is used, and an atomic exchange for each block, so that a pair of calls takes
    /// several times as long. An allocator that does not check pays nothing for it.
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
    /// // SAFETY: the size is not 0; the block is released once, and a second time only because the allocator checks that.
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

    /// An allocator of `bytes` bytes of heap, mapped now; it does not grow.
    ///
    /// # Errors
    ///
    /// [`AllocatorBuildError::TooSmall`] and [`AllocatorBuildError::TooLarge`] for sizes that no allocator can have; [`AllocatorBuildError::Unavailable`], if the
    /// operating system has not so many addresses; [`AllocatorBuildError::NotLocked`], if it does not lock so much.
    ///
    /// # Progress
    ///
    /// As the operating system's calls.
    pub fn build(mut self, bytes: usize) -> Result<PoolAllocator, AllocatorBuildError> {
        self.options.limit = bytes;
        Ok(PoolAllocator::started(Backend::map(Memory::Reserved(bytes), &self.options)?, self.options))
    }

    /// An allocator of memory that the caller has, as [`PoolAllocator::from_region`], with these options: but
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
        Ok(PoolAllocator::started(Backend::map(Memory::Given(base, len), &self.options)?, self.options))
    }

    /// An allocator that grows on demand up to `limit` bytes of heap, for a `static`. It maps its addresses at the first allocation,
    /// and touches and locks nothing before it is used, so that [`prefault`](Self::prefault) and [`lock`](Self::lock) don't count.
    pub const fn on_demand(mut self, limit: usize) -> PoolAllocator {
        self.options.limit = limit;
        self.options.prefault = false;
        self.options.lock = false;
        PoolAllocator::with(self.options)
    }
}
