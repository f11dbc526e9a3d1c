//! The errors that only offsets have.

use thiserror::Error;

use crate::error::AddHeapError;
use crate::id::HeapId;

/// Why a range was not added. The pool is as it was.
///
/// # Examples
///
/// ```
/// use mempool::{AddRangeError, OffsetPool};
///
/// let pool = OffsetPool::new();
/// let range = pool.add_range(0, 1 << 20)?;
/// assert_eq!(pool.add_range(4096, 4096), Err(AddRangeError::Overlap { range }));
/// assert_eq!(pool.add_range(u64::MAX, 2), Err(AddRangeError::Overflow { start: u64::MAX, len: 2 }));
/// # Ok::<(), AddRangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddRangeError {
    /// The range has 0 bytes.
    #[error("the range has 0 bytes")]
    Empty,
    /// The range would go past the last offset, `u64::MAX`.
    #[error("{len} bytes from offset {start:#x} on go past the last offset")]
    Overflow {
        /// The first offset.
        start: u64,
        /// Bytes of the range.
        len: u64,
    },
    /// No aligned block fits into the range.
    #[error("no block of {min_block} bytes, aligned to its size, fits into {len} bytes from offset {start:#x} on")]
    TooSmall {
        /// The first offset.
        start: u64,
        /// Bytes of the range.
        len: u64,
        /// The smallest block, in bytes.
        min_block: u64,
    },
    /// The range has more than 2^32 − 1 blocks of the smallest size.
    #[error("the range has {len} bytes; with this min_block one range may have {max} (add it in parts)")]
    TooLarge {
        /// Bytes of the range.
        len: u64,
        /// The most that a range of this pool may have.
        max: u64,
    },
    /// The number of a smallest block is more than a `usize` holds. Only on targets of less than 64 bits.
    #[error("the range ends at offset {last:#x}; with this min_block the last one on this target is {most:#x}")]
    OutOfReach {
        /// The last offset of the range.
        last: u64,
        /// The last offset that a range of this pool may have.
        most: u64,
    },
    /// The range shares blocks with one that the pool has.
    #[error("the range overlaps {range}")]
    Overlap {
        /// The range that was there first.
        range: HeapId,
    },
    /// The tables that the caller gave are too small.
    #[error("the tables have {size} bytes; this range, in this pool, needs {needed}")]
    TablesTooSmall {
        /// Bytes of the tables that were given.
        size: usize,
        /// Bytes that suffice.
        needed: usize,
    },
    /// There was no memory for the tables of the range.
    #[error("{bytes} bytes for the tables of the range were not to be had")]
    MetadataUnavailable {
        /// The size of the table that failed in bytes; `usize::MAX` if a `usize` can't count them.
        bytes: usize,
    },
}

impl AddRangeError {
    /// Why the set of heaps did not take a range.
    pub(super) fn of(error: AddHeapError) -> Self {
        match error {
            AddHeapError::Overlap { heap } => Self::Overlap { range: heap },
            AddHeapError::TablesTooSmall { size, needed } => Self::TablesTooSmall { size, needed },
            AddHeapError::MetadataUnavailable { bytes } => Self::MetadataUnavailable { bytes },
            // These are about addresses, and were checked as offsets before.
            AddHeapError::Null
            | AddHeapError::Empty
            | AddHeapError::AddressOverflow { .. }
            | AddHeapError::TooSmall { .. }
            | AddHeapError::TooLarge { .. }
            | AddHeapError::TablesOverlap { .. } => Self::Empty,
        }
    }
}

/// Why bytes were not reserved. None of them was taken.
///
/// # Examples
///
/// ```
/// use mempool::{OffsetPool, ReserveError};
///
/// let pool = OffsetPool::new();
/// pool.add_range(0, 1 << 20)?;
/// pool.reserve_at(8192, 4096)?;
/// let error = pool.reserve_at(0, 16_384).unwrap_err();
/// assert!(matches!(error, ReserveError::InUse { first: 8192, live: 4096, .. }));
/// assert!(matches!(pool.reserve_at(1 << 20, 1), Err(ReserveError::Foreign { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The request was for 0 bytes.
    #[error("0 bytes can't be reserved")]
    ZeroSize,
    /// The bytes, or the smallest blocks in which they lie, are not all in one range of the pool.
    #[error("{len} bytes from offset {start:#x} on are not all in one range of the pool")]
    Foreign {
        /// The first offset that was asked for.
        start: u64,
        /// Bytes that were asked for.
        len: u64,
    },
    /// They are not all free.
    ///
    /// Other threads with some of it in their caches were asked to give it back at their next operation, so a second
    /// try may succeed, if nothing is live.
    #[error(
        "{len} bytes from offset {start:#x} on are not free, the first of them at {first:#x}: {live} bytes are live, \
         {cached} in the caches of running threads, {in_transit} being split or merged"
    )]
    InUse {
        /// The first offset that was asked for.
        start: u64,
        /// Bytes that were asked for.
        len: u64,
        /// The first offset that is not free.
        first: u64,
        /// Bytes that are with the user.
        live: u64,
        /// Bytes in caches.
        cached: u64,
        /// Bytes that another thread was splitting, merging or resizing.
        in_transit: u64,
    },
}
