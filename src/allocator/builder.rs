//! The options of an allocator.

use crate::error::MapError;

use super::PoolAllocator;
use super::shared::{Memory, Shared};

/// Options of an allocator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Bytes of heap.
    pub(super) limit: usize,
    pub(super) huge_pages: bool,
    pub(super) prefault: bool,
    pub(super) lock: bool,
}

/// Builds a [`PoolAllocator`] that is not the default one.
///
/// # Examples
///
/// ```
/// use mempool::PoolAllocator;
///
/// // 64 MiB, behind which there is memory from the beginning.
/// let allocator = PoolAllocator::builder().huge_pages().prefault().build(64 << 20)?;
/// assert_eq!(allocator.stats().limit, 64 << 20);
/// # Ok::<(), mempool::MapError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder does nothing before `build` or `on_demand`"]
pub struct AllocatorBuilder {
    options: Options,
}

impl AllocatorBuilder {
    pub(super) const fn new() -> Self {
        Self { options: Options { limit: usize::MAX, huge_pages: false, prefault: false, lock: false } }
    }

    pub(super) const fn into_options(self) -> Options {
        self.options
    }

    /// Asks the operating system for huge pages, where it has some: fewer misses of the address cache for large heaps, and more
    /// memory behind small ones.
    pub const fn huge_pages(mut self) -> Self {
        self.options.huge_pages = true;
        self
    }

    /// [`build`](Self::build) touches every page, so that no later use of the memory is interrupted for that.
    pub const fn prefault(mut self) -> Self {
        self.options.prefault = true;
        self
    }

    /// [`build`](Self::build) locks the memory, so that it is never swapped out.
    pub const fn lock(mut self) -> Self {
        self.options.lock = true;
        self
    }

    /// An allocator of `bytes` bytes of heap, mapped now; it does not grow.
    ///
    /// # Errors
    ///
    /// [`MapError::TooSmall`] and [`MapError::TooLarge`] for sizes that no allocator can have; [`MapError::Unavailable`], if the
    /// operating system has not so many addresses; [`MapError::NotLocked`], if it does not lock so much.
    ///
    /// # Progress
    ///
    /// As the operating system's calls.
    pub fn build(mut self, bytes: usize) -> Result<PoolAllocator, MapError> {
        self.options.limit = bytes;
        Ok(PoolAllocator::started(Shared::map(Memory::Reserved(bytes), &self.options)?, self.options))
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
