//! Every error of the crate: small values that say why, with the figures that a person needs.

use thiserror::Error;

use crate::id::HeapId;

/// Why a pool was not built: a size is not allowed.
///
/// # Examples
///
/// ```
/// use mempool::{ConfigError, MemoryPool};
///
/// let error = MemoryPool::builder().min_block(100).build().unwrap_err();
/// assert_eq!(error, ConfigError::MinBlock { bytes: 100 });
/// assert_eq!(error.to_string(), "min_block is 100 bytes; it must be a power of two, at least 16");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The smallest block is not a power of two of at least 16 bytes.
    #[error("min_block is {bytes} bytes; it must be a power of two, at least 16")]
    MinBlock {
        /// The smallest block that was asked for, in bytes.
        bytes: usize,
    },
    /// The largest block is not a power of two of at least the smallest block.
    #[error("max_block is {bytes} bytes; it must be a power of two, at least min_block ({min_block} bytes)")]
    MaxBlock {
        /// The largest block that was asked for, in bytes.
        bytes: usize,
        /// The smallest block, in bytes.
        min_block: usize,
    },
}

/// Why a [`PoolAllocator`](crate::PoolAllocator) was not built.
///
/// # Examples
///
/// ```
/// use mempool::{AllocatorBuildError, PoolAllocator};
///
/// let error = PoolAllocator::with_capacity(100).unwrap_err();
/// assert_eq!(error, AllocatorBuildError::TooSmall { bytes: 100, page: 4096 });
/// ```
#[cfg(all(feature = "allocator", not(modelled)))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocatorBuildError {
    /// There is no room for one page in it.
    #[error("{bytes} bytes have no room for one page of {page} bytes")]
    TooSmall {
        /// The requested size in bytes.
        bytes: usize,
        /// Bytes of a page.
        page: usize,
    },
    /// One allocator can't have that number of bytes.
    #[error("{bytes} bytes are more than one allocator can have ({max})")]
    TooLarge {
        /// The requested size in bytes.
        bytes: usize,
        /// The most that one allocator can have.
        max: usize,
    },
    /// The operating system lacks the addresses or the memory for the heap and its tables.
    #[error("the operating system has no {bytes} bytes for the heap and its tables")]
    Unavailable {
        /// The requested size in bytes, without the tables.
        bytes: usize,
    },
    /// The operating system does not let this process lock that amount of memory.
    #[error("the operating system does not let this process lock {bytes} bytes")]
    NotLocked {
        /// The bytes that were to be locked.
        bytes: usize,
    },
}

/// Why a heap was not added. The pool is as it was.
///
/// # Examples
///
/// ```
/// use mempool::{AddHeapError, MemoryPool};
///
/// let pool = MemoryPool::new();
/// let region = std::ptr::without_provenance_mut(1 << 20);
/// let heap = pool.add_heap(region, 4096)?;
/// assert_eq!(pool.add_heap(region, 64), Err(AddHeapError::Overlap { heap }));
/// assert_eq!(pool.add_heap(std::ptr::null_mut(), 64), Err(AddHeapError::Null));
/// # Ok::<(), AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddHeapError {
    /// The base is null.
    #[error("the base of the heap is null")]
    Null,
    /// The heap has 0 bytes.
    #[error("the heap has 0 bytes")]
    Empty,
    /// The heap would go past the end of the address space.
    #[error("{size} bytes from address {base:#x} on go past the end of the address space")]
    AddressOverflow {
        /// The base of the heap.
        base: usize,
        /// Its size in bytes.
        size: usize,
    },
    /// No aligned block fits into the heap.
    #[error("no block of {min_block} bytes, aligned to its size, fits into a heap of {size} bytes at {base:#x}")]
    TooSmall {
        /// The base of the heap.
        base: usize,
        /// Its size in bytes.
        size: usize,
        /// The smallest block, in bytes.
        min_block: usize,
    },
    /// The heap has more than `isize::MAX` bytes, or more than 2^32 − 1 blocks of the smallest size.
    #[error("the heap has {size} bytes; with this min_block one heap may have {max} (add it in parts)")]
    TooLarge {
        /// The size of the heap in bytes.
        size: usize,
        /// The largest size of a heap of this pool in bytes.
        max: usize,
    },
    /// The heap shares addresses with one that the pool has.
    #[error("the heap overlaps {heap}")]
    Overlap {
        /// The heap that was there first.
        heap: HeapId,
    },
    /// The tables that the caller gave are too small.
    #[error("the tables have {size} bytes; this heap, in this pool, needs {needed}")]
    TablesTooSmall {
        /// Bytes of the tables that were given.
        size: usize,
        /// Bytes that suffice.
        needed: usize,
    },
    /// The tables that the caller gave lie in the heap itself, or a part of them does.
    #[error("the tables, {size} bytes from {base:#x} on, lie in the heap, which can have only the rest of the region")]
    TablesOverlap {
        /// The beginning of the tables.
        base: usize,
        /// Bytes of the tables.
        size: usize,
    },
    /// There was no memory for the tables of the heap.
    #[error("{bytes} bytes for the tables of the heap were not to be had")]
    MetadataUnavailable {
        /// The size of the table that failed in bytes; `usize::MAX` if a `usize` can't count them.
        bytes: usize,
    },
}

impl From<crate::metadata::Unavailable> for AddHeapError {
    fn from(unavailable: crate::metadata::Unavailable) -> Self {
        Self::MetadataUnavailable { bytes: unavailable.bytes }
    }
}

/// Why a heap was not removed. The pool is as it was.
///
/// # Examples
///
/// ```
/// use mempool::{MemoryPool, RemoveHeapError};
///
/// let pool = MemoryPool::new();
/// let heap = pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let block = pool.hl_alloc(1000);
/// match pool.remove_heap(heap) {
///     Err(RemoveHeapError::InUse { live, .. }) => assert_eq!(live, 1024),
///     other => panic!("{other:?}"),
/// }
/// pool.hl_release(block)?;
/// pool.remove_heap(heap)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoveHeapError {
    /// The pool has no such heap, or not any more.
    #[error("the pool has no {heap}")]
    UnknownHeap {
        /// The heap that was named.
        heap: HeapId,
    },
    /// Another thread is removing the heap.
    #[error("another thread is removing {heap}")]
    BeingRemoved {
        /// The heap that was named.
        heap: HeapId,
    },
    /// Some of the heap is in use.
    #[error(
        "{heap} is in use: {live} bytes are live, {cached} in the caches of {caches} running threads, \
         {in_transit} being split or merged"
    )]
    InUse {
        /// The heap that was named.
        heap: HeapId,
        /// Bytes of the heap that are with the user.
        live: usize,
        /// Bytes of the heap that other threads have in their caches. They were asked to give them back at their next
        /// operation.
        cached: usize,
        /// Running threads, of all the pool, that have something in their caches, the calling one left out.
        caches: usize,
        /// Bytes of the heap that another thread was splitting, merging or resizing.
        in_transit: usize,
    },
    /// There was no memory for a new set of heaps.
    #[error("{bytes} bytes for the set of heaps were not to be had")]
    MetadataUnavailable {
        /// The size of the table that failed in bytes.
        bytes: usize,
    },
}

/// Why there was no block.
///
/// # Examples
///
/// ```
/// use std::alloc::Layout;
/// use mempool::{AllocError, MemoryPool};
///
/// let pool = MemoryPool::new();
/// let layout = Layout::new::<[u8; 8192]>();
/// assert_eq!(pool.alloc(layout), Err(AllocError::NoHeap { requested: 8192 }));
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// match pool.alloc(layout) {
///     Err(AllocError::TooLarge { largest_block, .. }) => assert_eq!(largest_block, 4096),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AllocError {
    /// The request was for 0 bytes.
    #[error("0 bytes were requested")]
    ZeroSize,
    /// The alignment is no power of two. Only requests for offsets can have one that is none.
    #[error("an alignment of {align} bytes was requested; it must be a power of two")]
    Alignment {
        /// The alignment that was asked for, in bytes.
        align: u64,
    },
    /// The pool has no heap.
    #[error("{requested} bytes were requested of a pool without heaps")]
    NoHeap {
        /// Bytes requested; the alignment, where that is larger.
        requested: usize,
    },
    /// The pool has no heap of this id.
    #[error("{requested} bytes were requested from {heap}, which this pool does not have")]
    UnknownHeap {
        /// Bytes requested; the alignment, where that is larger.
        requested: usize,
        /// The heap.
        heap: HeapId,
    },
    /// No heap could have such a block even if all of it were free.
    #[error(
        "{requested} bytes were requested; the largest block that a heap can form is {largest_block} bytes \
         (capacity {capacity} bytes)"
    )]
    TooLarge {
        /// Bytes requested; the alignment, where that is larger.
        requested: usize,
        /// The largest block that any of the heaps can form, in bytes.
        largest_block: usize,
        /// Bytes of all heaps that were searched.
        capacity: usize,
    },
    /// The block was not there.
    ///
    /// The free bytes are those of the search that found it missing. That may have been an earlier call: while nothing
    /// is released, further failures are immediate.
    #[error(
        "{requested} bytes were requested; the largest free block is {largest_free} bytes, {free} of {capacity} \
         bytes are free"
    )]
    OutOfMemory {
        /// Bytes requested; the alignment, where that is larger.
        requested: usize,
        /// The largest free block in bytes.
        largest_free: usize,
        /// Free bytes in total.
        free: usize,
        /// Bytes of all heaps that were searched.
        capacity: usize,
    },
}

/// Why an address is not that of a live block. Nothing was changed.
///
/// # Examples
///
/// ```
/// use mempool::{MemoryPool, ReleaseError};
///
/// let pool = MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let block = pool.hl_alloc(256);
/// assert_eq!(pool.hl_release(block.wrapping_add(8)), Err(ReleaseError::Interior));
/// assert_eq!(pool.hl_release(block), Ok(()));
/// assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive));
/// # Ok::<(), mempool::AddHeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It lies outside every heap.
    #[error("the address is in none of the pool's heaps")]
    Foreign,
    /// It lies inside a live block, not at its beginning.
    #[error("the address is inside a live block, not at its beginning")]
    Interior,
    /// It lies in a heap, but in no live block: it was released already, or never handed out.
    #[error("no live block is at the address: it was released already, or never handed out")]
    NotLive,
}

/// Why some blocks of a batch were not released. All the others were.
///
/// # Examples
///
/// ```
/// use std::alloc::Layout;
/// use mempool::{MemoryPool, ReleaseError};
///
/// let pool = MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let block = pool.alloc(Layout::new::<[u8; 256]>())?;
/// let error = pool.release_batch(&[block.as_ptr(), block.as_ptr()]).unwrap_err();
/// assert_eq!((error.failed, error.first, error.error), (1, 1, ReleaseError::NotLive));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{failed} of the blocks were not released; the first is number {first}: {error}")]
#[non_exhaustive]
pub struct ReleaseBatchError {
    /// How many blocks were not released.
    pub failed: usize,
    /// The index of the first of them.
    pub first: usize,
    /// Why that one was not.
    pub error: ReleaseError,
}

/// Why a block was not resized in place. It is as it was.
///
/// # Examples
///
/// ```
/// use std::alloc::Layout;
/// use mempool::{MemoryPool, ResizeError};
///
/// let pool = MemoryPool::new();
/// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
/// let block = pool.alloc(Layout::new::<[u8; 256]>())?;
/// assert_eq!(pool.resize_in_place(block, 0), Err(ResizeError::ZeroSize));
/// let error = pool.resize_in_place(block, 8192).unwrap_err();
/// assert_eq!(error, ResizeError::NoRoom { requested: 8192, size: 256 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// The request was for 0 bytes.
    #[error("a block can't be resized to 0 bytes")]
    ZeroSize,
    /// The address is not that of a live block.
    #[error(transparent)]
    NoBlock(#[from] ReleaseError),
    /// What follows the block is not all free, or the block is not aligned to the size that it would have.
    #[error("the block can't grow to {requested} bytes where it is; it has {size}")]
    NoRoom {
        /// Bytes requested.
        requested: usize,
        /// The size of the block in bytes.
        size: usize,
    },
}
