//! Reserving: blocks where the caller wants them.

use super::OffsetPool;
use super::error::ReserveError;
use super::space;
use crate::heaps::{Heap, Pinned};
use crate::raw::{BlockIndex, Occupied};

impl OffsetPool {
    /// Takes `len` bytes from offset `start` on, to rebuild a pool from what is known to be live. Returns how many
    /// blocks that are.
    ///
    /// | `start` | it takes | offsets to release |
    /// |---|---|---|
    /// | may be the offset of a block for `len` bytes | that block, as [`alloc`](Self::alloc) makes it | `start` only |
    /// | may not | the smallest blocks that the bytes touch: [`reserve_exact`](Self::reserve_exact) | of each block |
    ///
    /// So a block is had back by its offset and the length that it was allocated with, or its
    /// [size](Self::block_size). It is always one block then.
    ///
    /// All is taken or nothing. Other threads may allocate and release meanwhile.
    ///
    /// # Errors
    ///
    /// When `len` is 0, when the bytes are not all in one range, or when they are not all free. Bytes that other
    /// running threads have in their caches are not free.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(orders + blocks that lie there). Where some of it is cached, also O(what is cached).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::{OffsetPool, Sizes};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let new = || OffsetPool::builder().sizes(Sizes::Eighths).build();
    /// let old = new()?;
    /// old.add_range(0, 1 << 30)?;
    /// let live = [(old.alloc(643_000, 1)?, 643_000), (old.alloc(5000, 1 << 20)?, 5000)];
    ///
    /// let rebuilt = new()?;
    /// rebuilt.add_range(0, 1 << 30)?;
    /// for (offset, len) in live {
    ///     assert_eq!(rebuilt.reserve_at(offset, len)?, 1);
    /// }
    /// assert!(rebuilt.reserve_at(live[0].0, 1).is_err());
    /// for (offset, _) in live {
    ///     rebuilt.release(offset)?;
    /// }
    /// assert_eq!(rebuilt.largest_free(), 1 << 30);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reserve_at(&self, start: u64, len: u64) -> Result<u64, ReserveError> {
        let last = len.checked_sub(1).ok_or(ReserveError::ZeroSize)?;
        let pinned = self.pool.pin();
        let (heap, block) = self.find(&pinned, start, len)?;
        let class = self.pool.config.class_of_offsets(last);
        let begins = start & ((1 << self.min_shift()) - 1) == 0;
        let Some(class) = class.filter(|class| begins && heap.buddy().may_begin(block, *class)) else {
            return self.reserve_units(&pinned, heap, block, start, len);
        };
        let taken = self.pool.reserve(&pinned, heap, |buddy, shard| buddy.reserve(block, class, shard).map(|()| 1));
        taken.map(u64::from).map_err(|occupied| self.in_use(heap, start, len, occupied))
    }

    /// Takes the smallest blocks in which the `len` bytes from offset `start` on lie, and no more. Use it for bytes
    /// that belong to somebody else: firmware, a header. They become the fewest blocks of powers of two, and the
    /// number of these is returned. They lie one behind the other: the next one begins where the
    /// [size](Self::block_size) of the one before ends. Each is a live block of its own. Release each by its own
    /// offset.
    ///
    /// # Errors
    ///
    /// As [`reserve_at`](Self::reserve_at).
    ///
    /// # Progress
    ///
    /// As [`reserve_at`](Self::reserve_at).
    ///
    /// # Complexity
    ///
    /// As [`reserve_at`](Self::reserve_at).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::OffsetPool::new();
    /// pool.add_range(0, 1 << 20)?;
    /// // Three smallest blocks: one of two, and one.
    /// assert_eq!(pool.reserve_exact(4096 + 5, 8192)?, 2);
    /// assert_eq!((pool.block_size(4096)?, pool.block_size(8192)?), (4096, 8192));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve_exact(&self, start: u64, len: u64) -> Result<u64, ReserveError> {
        if len == 0 {
            return Err(ReserveError::ZeroSize);
        }
        let pinned = self.pool.pin();
        let (heap, block) = self.find(&pinned, start, len)?;
        self.reserve_units(&pinned, heap, block, start, len)
    }

    fn reserve_units(
        &self,
        pinned: &Pinned<'_>,
        heap: &Heap,
        first: BlockIndex,
        start: u64,
        len: u64,
    ) -> Result<u64, ReserveError> {
        let shift = self.min_shift();
        // All of it is in the heap.
        let units = first.get()..first.get() + (((start + (len - 1)) >> shift) - (start >> shift) + 1) as u32;
        let taken = self.pool.reserve(pinned, heap, |buddy, shard| buddy.reserve_all(&units, shard));
        taken.map(u64::from).map_err(|occupied| self.in_use(heap, start, len, occupied))
    }

    /// The range that has all of these bytes, and the unit in which the first one lies.
    fn find<'a>(&self, pinned: &'a Pinned<'_>, start: u64, len: u64) -> Result<(&'a Heap, BlockIndex), ReserveError> {
        let foreign = ReserveError::Foreign { start, len };
        let last = start.checked_add(len - 1).ok_or(foreign)?;
        let [first, last] = [start, last].map(|offset| space::address_within(offset, self.min_shift()));
        let (heap, block) = pinned.view().locate(first).map_err(|_| foreign)?;
        if heap.region().contains(last) { Ok((heap, block)) } else { Err(foreign) }
    }

    fn in_use(&self, heap: &Heap, start: u64, len: u64, occupied: Occupied) -> ReserveError {
        let bytes = |units: u32| u64::from(units) << self.min_shift();
        let Occupied { first, live, cached, in_transit } = occupied;
        let first =
            first.map_or(start, |block| (heap.region().first_unit() + u64::from(block.get())) << self.min_shift());
        ReserveError::InUse {
            start,
            len,
            first,
            live: bytes(live),
            cached: bytes(cached),
            in_transit: bytes(in_transit),
        }
    }
}
