//! Heaps whose tables the caller gives.

use super::MemoryPool;
#[cfg(not(modelled))]
use super::config::Config;
use crate::error::AddHeapError;
use crate::heaps::{Region, Tables};
use crate::id::HeapId;

impl MemoryPool {
    /// Adds a heap as [`add_heap`](Self::add_heap) does, with tables in memory of the caller instead of the global
    /// allocator's. [`tables_size`](Self::tables_size) tells how many bytes they take.
    ///
    /// A pool whose heaps all came with their tables takes nothing from the global allocator to add heaps, to remove
    /// them, or to hand out blocks. Without the feature `alloc` the crate does not link it. With the feature `std`, the
    /// caches of threads are the global allocator's; [`thread_cache(0)`](crate::PoolBuilder::thread_cache) does without
    /// them.
    ///
    /// `tables` may lie anywhere but in the heap itself, and its beginning need not be aligned. Its bytes may have any
    /// values: they are zeroed here. Pages that are zero already are only read, so that those of a static array are not
    /// resident before they are used.
    ///
    /// The memory is the pool's from then on. After the heap was [removed](Self::remove_heap), or not added,
    /// [`take_tables`](Self::take_tables) gives it back. The memory of the *first* heap also holds the pool's own
    /// tables, at most 1 KiB at its end. These stay with the pool. The rest is enough for the same heap again.
    ///
    /// # Errors
    ///
    /// As `add_heap`; [`TablesTooSmall`](AddHeapError::TablesTooSmall) tells how many bytes suffice, and
    /// [`TablesOverlap`](AddHeapError::TablesOverlap) that the tables lie in the region. The pool is then as it was.
    /// The tables can be taken back, unless they are smaller than a few cache lines.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(heaps + bytes of tables).
    ///
    /// # Examples
    ///
    /// A region that is used to the last byte, its tables at the end:
    ///
    /// ```
    /// use mempool::MemoryPool;
    ///
    /// static POOL: MemoryPool = MemoryPool::new();
    ///
    /// # fn main() -> Result<(), mempool::AddHeapError> {
    /// let region = vec![0u8; 1 << 20].leak();
    /// let tables = MemoryPool::tables_size_within(region.len(), 64);
    /// let (heap, tables) = region.split_at_mut(region.len() - tables);
    /// POOL.add_heap_with(heap.as_mut_ptr(), heap.len(), tables)?;
    /// assert!(!POOL.hl_alloc(1000).is_null());
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_heap_with(&self, base: *mut u8, size: usize, tables: &'static mut [u8]) -> Result<HeapId, AddHeapError> {
        let overlap = AddHeapError::TablesOverlap { base: tables.as_ptr().addr(), size: tables.len() };
        let lie_in = |region: &Region| region.meets(tables.as_ptr().addr(), tables.len());
        let region = Region::new(base, size, self.config.min_shift)
            .and_then(|region| if lie_in(&region) { Err(overlap) } else { Ok(region) });
        self.add_region_with(region, tables, |error| error)
    }

    /// Adds a region with these tables, or gives them back.
    pub(crate) fn add_region_with<E>(
        &self,
        region: Result<Region, E>,
        tables: &'static mut [u8],
        error: impl FnOnce(AddHeapError) -> E,
    ) -> Result<HeapId, E> {
        self.begin();
        let mut tables = Tables::given(tables);
        self.collect();
        self.ask_for_fences();
        let added = region.and_then(|region| {
            Self::with_stack(|| self.heaps.add(region, self.config.max_order, &mut tables)).map_err(error)
        });
        if added.is_err() {
            self.heaps.give_back(tables);
        }
        added
    }

    /// Takes back the tables of a heap after it was removed, or was not added. `None`: there are none. The
    /// tables of a removed heap are there when no thread can be reading them any more:
    /// [`remove_heap`](Self::remove_heap) tells when. Their bytes have any values.
    ///
    /// Tables that nobody takes back stay with the pool, and are lost with it.
    ///
    /// # Progress
    ///
    /// Lock-free. While another thread calls this, or removes a heap, it may find nothing though there is something.
    ///
    /// # Complexity
    ///
    /// O(tables to be taken back).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::MemoryPool;
    ///
    /// let pool = MemoryPool::new();
    /// let (base, size) = (std::ptr::without_provenance_mut(1 << 20), 1 << 16);
    /// let tables = vec![0; MemoryPool::tables_size(size, 64)].leak();
    /// let heap = pool.add_heap_with(base, size, tables)?;
    /// pool.remove_heap(heap)?;
    /// let tables = pool.take_tables().expect("nobody reads them");
    /// pool.add_heap_with(base, size, tables)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_tables(&self) -> Option<&'static mut [u8]> {
        self.begin();
        self.collect();
        self.heaps.take_tables()
    }

    /// Bytes that suffice for the tables of a heap of at most `len` bytes, wherever the heap and the tables begin. It
    /// is for a pool of up to 8 heaps whose smallest block has `min_block` bytes or more: 6.14 bytes for each of these,
    /// and about 9 KiB. In larger pools [`TablesTooSmall`](AddHeapError::TablesTooSmall) tells how many it takes.
    ///
    /// # Panics
    ///
    /// When `min_block` is no size that a [builder](crate::PoolBuilder::min_block) takes. In a constant that is an
    /// error of the compiler.
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::MemoryPool;
    ///
    /// const HEAP: usize = 1 << 20;
    /// const TABLES: usize = MemoryPool::tables_size(HEAP, 64);
    /// assert!(TABLES < HEAP / 9);
    /// assert!(MemoryPool::tables_size(1 << 30, 4096) < (1 << 30) / 500);
    /// ```
    #[cfg(not(modelled))]
    pub const fn tables_size(len: usize, min_block: usize) -> usize {
        assert!(Config::is_min_block(min_block as u64), "no size of a smallest block");
        crate::heaps::size(len / min_block)
    }

    /// The least bytes of tables that suffice for the rest of a region of `len` bytes: heap and tables together are the
    /// region. Where it is too small to have a heap, it is more than `len`.
    ///
    /// # Panics
    ///
    /// As [`tables_size`](Self::tables_size).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::MemoryPool;
    ///
    /// let region = 1 << 20;
    /// let tables = MemoryPool::tables_size_within(region, 64);
    /// assert!(MemoryPool::tables_size(region - tables, 64) <= tables);
    /// assert!(MemoryPool::tables_size(region - tables + 1, 64) > tables - 1);
    /// ```
    #[cfg(not(modelled))]
    pub const fn tables_size_within(len: usize, min_block: usize) -> usize {
        let (mut least, mut most) = (Self::tables_size(0, min_block), Self::tables_size(len, min_block));
        // More tables leave less for the heap, so this is a search for where they begin to suffice.
        while least < most {
            let tables = least.midpoint(most);
            if Self::tables_size(len.saturating_sub(tables), min_block) <= tables {
                most = tables;
            } else {
                least = tables + 1;
            }
        }
        least
    }
}
