//! [`OffsetPool`]: the pool over spaces of `u64` that begin at 0. This file has its making and its ranges.

mod alloc;
mod builder;
mod error;
mod inspect;
mod release;
mod reserve;
mod space;

use core::fmt;
use core::iter;

pub use builder::OffsetPoolBuilder;
pub use error::{AddRangeError, ReserveError};

use crate::error::RemoveHeapError;
use crate::heaps::{Heap, Region};
use crate::id::HeapId;
use crate::pool::{Config, MemoryPool};
use crate::sync::const_unless_loom;

/// A pool of offsets: device memory, registered memory, a file, or any other space of bytes that begins at 0. Any
/// number of threads share it.
///
/// It is a [`MemoryPool`] with two differences:
///
/// - A block is a `u64` and no address. 0 is one, too.
/// - A block can be reserved at a given offset, to rebuild a pool from the blocks that are live.
///
/// Sizes, caches, exact releases, merging, progress and failures are the same. So the pool's other figures and errors
/// are those of a `MemoryPool`, in which a range is a heap. All methods are safe. They read and write the pool's own
/// tables only.
///
/// | | |
/// |---|---|
/// | offsets | `0 ..= u64::MAX`. On a target of 32 bits below 2^32 − 1 smallest blocks: 16 TiB with those of 4 KiB |
/// | a range | at most 2^32 − 1 smallest blocks |
/// | a block | at most 2^31 smallest blocks |
/// | tables | 49 bits for each smallest block: 98 MiB for 64 GiB in blocks of 4 KiB, 196 KiB in those of 2 MiB |
/// | caches | a thread keeps a 64th of the pool at most, or less: [`thread_cache`](OffsetPoolBuilder::thread_cache) |
///
/// Figures of type `usize` that a target of 32 bits can't hold are `usize::MAX`.
///
/// # Progress
///
/// All methods are lock-free, with the exceptions of a [`MemoryPool`](MemoryPool#progress): `add_range`, `remove_range`
/// and the first call of a thread may wait for the global allocator.
///
/// # Examples
///
/// ```
/// use mempool::{OffsetPool, Sizes};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // 16 GiB of a device, and its number.
/// let pool = OffsetPool::builder().min_block(4096).sizes(Sizes::Eighths).build()?;
/// pool.add_range_for(0, 16 << 30, 7)?;
/// let tensor = pool.alloc(3_120_000, 256)?;
/// assert_eq!(pool.word_of(tensor), Some(7));
/// assert_eq!(pool.block_size(tensor)?, 3_145_728);
/// pool.release(tensor)?;
/// assert!(pool.release(tensor).is_err());
/// # Ok(())
/// # }
/// ```
pub struct OffsetPool {
    /// The pool of the units, whose addresses are their numbers and one more.
    pub(crate) pool: MemoryPool,
}

/// A range of an [`OffsetPool`]: the whole smallest blocks of what was added.
///
/// # Examples
///
/// ```
/// let pool = mempool::OffsetPool::new();
/// let id = pool.add_range_for(100, 10_000, 5)?;
/// let range = pool.ranges().next().expect("there is one");
/// assert_eq!((range.id, range.start, range.len, range.word), (id, 4096, 4096, 5));
/// # Ok::<(), mempool::AddRangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetRange {
    /// Its id.
    pub id: HeapId,
    /// The offset of its first block.
    pub start: u64,
    /// Bytes in blocks.
    pub len: u64,
    /// The word that it was added with.
    pub word: u64,
}

impl OffsetPool {
    const_unless_loom! {
        /// A pool without ranges, with blocks from 4 KiB up. Fit for a `static`.
        pub fn new() -> Self {
            Self { pool: MemoryPool::with(Config::OFFSETS) }
        }
    }

    fn min_shift(&self) -> u32 {
        self.pool.config.min_shift
    }

    /// Adds the `len` bytes from offset `start` on, also while other threads use the pool. Its word is 0.
    ///
    /// Any start and any length will do. The ends are cut into the largest blocks that fit; less than a smallest block
    /// is left out. No block lies in two ranges. A start that is a multiple of the largest power of two within `len`
    /// gives the largest block.
    ///
    /// The pool takes 49 bits of tables for each smallest block from the global allocator. Tables of a huge range are
    /// not touched before they are used.
    ///
    /// # Errors
    ///
    /// When the range is empty, too small or too large, goes past the last offset, or shares blocks with another range;
    /// or when there is no memory for the tables. The pool is then as it was.
    ///
    /// # Progress
    ///
    /// Lock-free, except for the global allocator.
    ///
    /// # Complexity
    ///
    /// O(ranges).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 30)?;
    /// pool.add_range(1 << 40, 1 << 30)?;
    /// assert_eq!(pool.largest_free(), 1 << 30);
    /// # Ok::<(), mempool::AddRangeError>(())
    /// ```
    #[cfg(feature = "alloc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "alloc")))]
    pub fn add_range(&self, start: u64, len: u64) -> Result<HeapId, AddRangeError> {
        self.add_range_for(start, len, 0)
    }

    /// Adds a range as [`add_range`](Self::add_range) does, with a word of the user's own: a registration key, the
    /// number of a device. [`word_of`](Self::word_of) tells it of each block.
    ///
    /// # Errors
    ///
    /// As [`add_range`](Self::add_range).
    ///
    /// # Progress
    ///
    /// As [`add_range`](Self::add_range).
    ///
    /// # Complexity
    ///
    /// As [`add_range`](Self::add_range).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range_for(0, 1 << 20, 0xfeed)?;
    /// assert_eq!(pool.word_of(12_345), Some(0xfeed));
    /// assert_eq!(pool.word_of(1 << 20), None);
    /// # Ok::<(), mempool::AddRangeError>(())
    /// ```
    #[cfg(feature = "alloc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "alloc")))]
    pub fn add_range_for(&self, start: u64, len: u64, word: u64) -> Result<HeapId, AddRangeError> {
        self.pool.add_region(self.region(start, len, word)?).map_err(AddRangeError::of)
    }

    /// Adds a range with a word, and with tables in memory of the caller instead of the global allocator's:
    /// [`MemoryPool::add_heap_with`] has the rules for it. [`tables_size`](Self::tables_size) tells how many bytes they
    /// take.
    ///
    /// # Errors
    ///
    /// As [`add_range`](Self::add_range), and when the tables are too small. They can be
    /// [taken back](Self::take_tables) then.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(ranges + bytes of tables).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::OffsetPool;
    ///
    /// let pool = OffsetPool::new();
    /// let tables = vec![0; OffsetPool::tables_size(1 << 30, 4096)].leak();
    /// pool.add_range_with(0, 1 << 30, 7, tables)?;
    /// # Ok::<(), mempool::AddRangeError>(())
    /// ```
    pub fn add_range_with(
        &self,
        start: u64,
        len: u64,
        word: u64,
        tables: &'static mut [u8],
    ) -> Result<HeapId, AddRangeError> {
        self.pool.add_region_with(self.region(start, len, word), tables, AddRangeError::of)
    }

    fn region(&self, start: u64, len: u64, word: u64) -> Result<Region, AddRangeError> {
        space::region(start, len, self.min_shift(), word)
    }

    /// Takes back the tables of a range after it was removed, or was not added, as [`MemoryPool::take_tables`] does.
    ///
    /// # Progress
    ///
    /// Lock-free. While another thread calls this, or removes a range, it may find nothing though there is something.
    ///
    /// # Complexity
    ///
    /// O(tables to be taken back).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::OffsetPool;
    ///
    /// let pool = OffsetPool::new();
    /// let tables = vec![0; OffsetPool::tables_size(1 << 20, 4096)].leak();
    /// let range = pool.add_range_with(0, 1 << 20, 0, tables)?;
    /// pool.remove_range(range)?;
    /// assert!(pool.take_tables().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_tables(&self) -> Option<&'static mut [u8]> {
        self.pool.take_tables()
    }

    /// Bytes that suffice for the tables of a range of at most `len` bytes, in a pool of up to 8 ranges with smallest
    /// blocks of `min_block` bytes or more. `usize::MAX` if a `usize` can't count them.
    ///
    /// # Panics
    ///
    /// When `min_block` is no size that a [builder](OffsetPoolBuilder::min_block) takes. In a constant that is an error
    /// of the compiler.
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::OffsetPool;
    ///
    /// const TABLES: usize = OffsetPool::tables_size(1 << 30, 2 << 20);
    /// assert!(TABLES < 16 << 10);
    /// ```
    #[cfg(not(modelled))]
    pub const fn tables_size(len: u64, min_block: u64) -> usize {
        assert!(Config::is_min_block(min_block), "no size of a smallest block");
        let units = len / min_block;
        // No range has more units.
        if units > u32::MAX as u64 { usize::MAX } else { crate::heaps::size(units as usize) }
    }

    /// Removes a range that nobody uses any more, also while other threads use the pool, as
    /// [`MemoryPool::remove_heap`] does. Its offsets may be added again.
    ///
    /// # Errors
    ///
    /// - The pool has no such range, or another thread is removing it.
    /// - Some of it is live, or in the cache of another running thread.
    /// - There is no memory for the new set of ranges.
    ///
    /// # Progress
    ///
    /// Lock-free, except for the global allocator.
    ///
    /// # Complexity
    ///
    /// O(blocks of the range + ranges).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::RemoveHeapError;
    ///
    /// let pool = mempool::OffsetPool::new();
    /// let range = pool.add_range(0, 1 << 20)?;
    /// let block = pool.alloc(4096, 1)?;
    /// assert!(matches!(pool.remove_range(range), Err(RemoveHeapError::InUse { live: 4096, .. })));
    /// pool.release(block)?;
    /// pool.remove_range(range)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_range(&self, range: HeapId) -> Result<(), RemoveHeapError> {
        self.pool.remove_heap(range)
    }

    /// The range that an offset is in, whatever is there.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a range is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(log ranges).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// let id = pool.add_range(1 << 20, 1 << 20)?;
    /// assert_eq!(pool.range_of((1 << 20) + 5).map(|range| range.id), Some(id));
    /// assert_eq!(pool.range_of(0), None);
    /// # Ok::<(), mempool::AddRangeError>(())
    /// ```
    pub fn range_of(&self, offset: u64) -> Option<OffsetRange> {
        let pinned = self.pool.heaps.pin();
        let heap = pinned.view().find(space::address_within(offset, self.min_shift()))?;
        Some(self.range(heap))
    }

    /// The word of the range that an offset is in.
    ///
    /// # Progress
    ///
    /// As [`range_of`](Self::range_of).
    ///
    /// # Complexity
    ///
    /// As [`range_of`](Self::range_of).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range_for(0, 1 << 20, 3)?;
    /// let block = pool.alloc(100, 1)?;
    /// assert_eq!(pool.word_of(block), Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn word_of(&self, offset: u64) -> Option<u64> {
        self.range_of(offset).map(|range| range.word)
    }

    /// The ranges, in the order in which they were added. Ranges that are added meanwhile come, too.
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a range is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// O(log ranges) for each.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// pool.add_range(1 << 30, 1 << 21)?;
    /// assert_eq!(pool.ranges().map(|range| range.len).sum::<u64>(), 3 << 20);
    /// # Ok::<(), mempool::AddRangeError>(())
    /// ```
    pub fn ranges(&self) -> impl Iterator<Item = OffsetRange> + '_ {
        let mut next = HeapId(0);
        iter::from_fn(move || {
            let pinned = self.pool.heaps.pin();
            let range = self.range(pinned.view().from(next)?);
            next = range.id.next();
            Some(range)
        })
    }

    fn range(&self, heap: &Heap) -> OffsetRange {
        let region = heap.region();
        OffsetRange {
            id: heap.id,
            start: region.first_unit() << self.min_shift(),
            len: heap.capacity(),
            word: region.word(),
        }
    }
}

impl Default for OffsetPool {
    fn default() -> Self {
        Self::new()
    }
}

/// One line, with `{:#?}` too, as of a [`MemoryPool`].
impl fmt::Debug for OffsetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OffsetPool {{ pool: {:?} }}", self.pool)
    }
}
