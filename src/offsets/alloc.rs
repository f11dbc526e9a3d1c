//! Allocation.

use core::ptr::NonNull;

use super::OffsetPool;
use super::space;
use crate::error::AllocError;
use crate::id::HeapId;
use crate::raw::Class;
use crate::units::saturated;

/// What an allocation asks for.
#[derive(Clone, Copy)]
struct Request {
    /// `None`: no pool has such blocks.
    class: Option<Class>,
    /// Bytes.
    bytes: usize,
}

impl OffsetPool {
    /// Allocates a block of at least `len` bytes, and returns its offset: a multiple of `align`, a power of two, and of
    /// the largest power of two that divides the block's own size.
    ///
    /// A block is a multiple of its alignment: `len` is rounded up to one of `align`, and then to the next of the
    /// pool's [sizes](crate::Sizes).
    ///
    /// # Errors
    ///
    /// When `len` is 0, when `align` is no power of two, when no range can form such a block, or when none is there.
    /// The error has the figures.
    ///
    /// # Progress
    ///
    /// Lock-free. An error means that the block was not there. One exception: the work of a search is bounded. If in
    /// every round of it another thread published blocks, or was in the middle of a split, a merge or a flush, it ends
    /// without that proof.
    ///
    /// # Complexity
    ///
    /// O(orders), or O(blocks) where the free stacks don't have the block.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 30)?;
    /// let block = pool.alloc(5000, 1 << 16)?;
    /// assert_eq!(block % (1 << 16), 0);
    /// println!("{}", pool.alloc(1 << 40, 1).unwrap_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn alloc(&self, len: u64, align: u64) -> Result<u64, AllocError> {
        let Request { class, bytes } = self.request(len, align)?;
        self.pool.alloc_class(class, bytes).map(|block| self.offset(block))
    }

    /// Allocates as [`alloc`](Self::alloc), from one range.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), of that range alone; and when the pool has no such range.
    ///
    /// # Progress
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Complexity
    ///
    /// O(orders), or O(blocks) where the free stacks of the range don't have the block. Each failure searches.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// let far = pool.add_range(1 << 40, 1 << 20)?;
    /// assert!(pool.alloc_in(far, 4096, 1)? >= 1 << 40);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alloc_in(&self, range: HeapId, len: u64, align: u64) -> Result<u64, AllocError> {
        let Request { class, bytes } = self.request(len, align)?;
        self.pool.alloc_class_in(range, class, bytes).map(|block| self.offset(block))
    }

    /// Allocates up to `blocks.len()` blocks alike, for few atomic operations, and returns how many there were; their
    /// offsets are the first of `blocks` then, and the rest is left as it was. They tend to be neighbours.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), when there was not even one. A smaller number than asked for means that one more was
    /// not to be had. For an empty slice the number is 0.
    ///
    /// # Progress
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Complexity
    ///
    /// O(orders + blocks asked for), or O(blocks of the ranges) where the free stacks don't have them.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// let mut blocks = [0; 32];
    /// assert_eq!(pool.alloc_batch(4096, 1, &mut blocks)?, 32);
    /// pool.release_batch(&blocks)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alloc_batch(&self, len: u64, align: u64, blocks: &mut [u64]) -> Result<usize, AllocError> {
        let (Request { class, bytes }, most) = (self.request(len, align)?, blocks.len());
        let mut places = blocks.iter_mut();
        self.pool.alloc_class_batch(class, bytes, most, |block| {
            if let Some(place) = places.next() {
                *place = self.offset(block);
            }
        })
    }

    #[inline]
    fn request(&self, len: u64, align: u64) -> Result<Request, AllocError> {
        if len == 0 {
            return Err(AllocError::ZeroSize);
        }
        if !align.is_power_of_two() {
            return Err(AllocError::Alignment { align });
        }
        // The length rounded up: the last byte has ones below the alignment. A block is aligned to the largest power of
        // two that divides its size.
        let last = (len - 1) | (align - 1);
        Ok(Request { class: self.pool.config.class_of_offsets(last), bytes: saturated(last.saturating_add(1)) })
    }

    #[inline]
    fn offset(&self, block: NonNull<u8>) -> u64 {
        space::offset(block, self.min_shift())
    }
}
