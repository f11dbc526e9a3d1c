//! Release, and what is at an offset.

use super::OffsetPool;
use super::space;
use crate::error::{ReleaseBatchError, ReleaseError, ResizeError};
use crate::units::saturated;

impl OffsetPool {
    /// Releases the block at `offset`.
    ///
    /// Exact in every build. If a block is released more than once, even by several threads at once, one release
    /// succeeds and the others get an error. This holds until the offset is handed out again. Then it is that
    /// allocation's block.
    ///
    /// # Errors
    ///
    /// When no live block begins there. Nothing is changed then.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(1) in one range, O(log ranges) in several.
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::ReleaseError;
    ///
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// let block = pool.alloc(8192, 1)?;
    /// assert_eq!(pool.release(block + 8), Err(ReleaseError::Interior));
    /// assert_eq!(pool.release(block), Ok(()));
    /// assert_eq!(pool.release(block), Err(ReleaseError::NotLive));
    /// assert_eq!(pool.release(1 << 20), Err(ReleaseError::Foreign));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn release(&self, offset: u64) -> Result<(), ReleaseError> {
        let address = space::address(offset, self.min_shift());
        self.pool.begin_release(address, 0);
        match self.pool.push(address) {
            Some(()) => Ok(()),
            None => self.release_slow(offset),
        }
    }

    #[cold]
    fn release_slow(&self, offset: u64) -> Result<(), ReleaseError> {
        self.pool.release_slow(self.address(offset)?)
    }

    /// Releases many blocks. It takes few atomic operations where blocks of one size and range follow each other. It
    /// releases every block that can be released, whatever the others are.
    ///
    /// # Errors
    ///
    /// When some could not be released: how many, the number of the first, and why.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(blocks); in several ranges O(blocks × log ranges).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// let block = pool.alloc(4096, 1)?;
    /// let error = pool.release_batch(&[block, 77, block]).unwrap_err();
    /// assert_eq!((error.failed, error.first), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_batch(&self, offsets: &[u64]) -> Result<(), ReleaseBatchError> {
        self.pool.release_all(offsets.iter().map(|offset| self.address(*offset)).enumerate())
    }

    /// The size of the live block at `offset` in bytes: the requested size, rounded up to the next of the pool's
    /// [sizes](crate::Sizes).
    ///
    /// # Errors
    ///
    /// When no live block begins there, as [`release`](Self::release).
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a range is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// As [`release`](Self::release).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// let block = pool.alloc(5000, 1)?;
    /// assert_eq!(pool.block_size(block)?, 8192);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn block_size(&self, offset: u64) -> Result<u64, ReleaseError> {
        let class = self.pool.class_at(self.address(offset)?)?;
        Ok(space::bytes(class, self.min_shift()))
    }

    /// Makes the block at `offset` one of at least `len` bytes without moving it. Returns its new size in bytes. A
    /// smaller block gives its tail back; a larger one takes the free buddies behind it.
    ///
    /// # Errors
    ///
    /// When `len` is 0, when no live block begins there, or when the block can't be so large where it is. To grow, it
    /// needs free bytes behind it. Its offset has to be a multiple of the largest power of two that divides the new
    /// size. After an error the block is as it was.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(orders); where the free buddies lie in parts, O(parts).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// let block = pool.alloc(1 << 16, 1)?;
    /// assert_eq!(pool.resize_in_place(block, 5000)?, 8192);
    /// assert_eq!(pool.resize_in_place(block, 1 << 16)?, 1 << 16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resize_in_place(&self, offset: u64, len: u64) -> Result<u64, ResizeError> {
        let last = len.checked_sub(1).ok_or(ResizeError::ZeroSize)?;
        let (address, class) = (self.address(offset)?, self.pool.config.class_of_offsets(last));
        let class = self.pool.resize_at(address, class, saturated(len))?;
        Ok(space::bytes(class, self.min_shift()))
    }

    /// The address of the unit that begins at an offset, or why no block begins there.
    fn address(&self, offset: u64) -> Result<usize, ReleaseError> {
        if offset & ((1 << self.min_shift()) - 1) == 0 {
            return Ok(space::address(offset, self.min_shift()));
        }
        let within = space::address_within(offset, self.min_shift());
        let pinned = self.pool.heaps.pin();
        let (heap, unit) = pinned.view().locate(within)?;
        Err(heap.inside_slow(unit))
    }
}
