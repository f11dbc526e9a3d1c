//! Allocation.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::MemoryPool;
use super::scope::Scope;
use super::shortage::Refused;
use crate::cache::{current, return_to};
use crate::error::AllocError;
use crate::heaps::Heap;
use crate::id::HeapId;
use crate::raw::{BlockIndex, Class, Shard, State};

/// Blocks of a batch that are taken from a heap at once.
const BATCH: usize = 64;

impl MemoryPool {
    /// Allocates a block of at least `size` bytes. Null when there is none, or for 0 bytes; [`alloc`](Self::alloc)
    /// says why.
    ///
    /// # Progress
    ///
    /// Lock-free. Null means that the block was not there. One exception: the work of a search is bounded. If in every
    /// round of it another thread published blocks, or was in the middle of a split, a merge or a flush, it ends
    /// without that proof.
    ///
    /// # Complexity
    ///
    /// O(orders), or O(blocks) where the free stacks don't have the block.
    ///
    /// # Examples
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 4096];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(100);
    /// assert!(!block.is_null() && block.addr() % 128 == 0);
    /// assert!(pool.hl_alloc(0).is_null() && pool.hl_alloc(usize::MAX).is_null());
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    #[inline]
    #[must_use = "a block that nobody releases stays live"]
    pub fn hl_alloc(&self, size: usize) -> *mut u8 {
        self.begin();
        let class = self.config.class_for(size);
        let block = match class.and_then(|class| self.pop(class)) {
            Some(block) => block,
            None if size == 0 => ptr::null_mut(),
            None => self.take_slow(class).map_or(ptr::null_mut(), NonNull::as_ptr),
        };
        self.acquired(block.addr());
        block
    }

    /// Allocates a block of at least `layout.size()` bytes, aligned to `layout.align()` and to the largest power of two
    /// that divides its own size.
    ///
    /// # Errors
    ///
    /// When the size is 0, when no heap can form such a block, or when none is there. The error has the figures.
    ///
    /// # Progress
    ///
    /// As [`hl_alloc`](Self::hl_alloc).
    ///
    /// # Complexity
    ///
    /// As [`hl_alloc`](Self::hl_alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 16];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.alloc(Layout::from_size_align(100, 4096)?)?;
    /// assert_eq!(block.addr().get() % 4096, 0);
    /// pool.release(block)?;
    /// println!("{}", pool.alloc(Layout::from_size_align(1 << 20, 1)?).unwrap_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn alloc(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let requested = bytes_of(layout)?;
        self.alloc_class(self.config.class_for(requested), requested)
    }

    /// Allocates a block of `class`, as [`alloc`](Self::alloc). Without a class it is the error that `requested` bytes
    /// are too many.
    #[inline]
    pub(crate) fn alloc_class(&self, class: Option<Class>, requested: usize) -> Result<NonNull<u8>, AllocError> {
        self.begin();
        if let Some(block) = class.and_then(|class| self.pop(class)).and_then(NonNull::new) {
            self.acquired(block.addr().get());
            return Ok(block);
        }
        self.alloc_slow(class, requested)
    }

    #[cold]
    fn alloc_slow(&self, class: Option<Class>, requested: usize) -> Result<NonNull<u8>, AllocError> {
        let taken = self.take_slow(class).inspect(|block| self.acquired(block.addr().get()));
        taken.map_err(|refused| self.explain(&Scope::All(self.heaps.pin().view()), requested, refused))
    }

    /// Allocates as [`alloc`](Self::alloc), from one heap: a NUMA node, a DMA region.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), of that heap alone; and when the pool has no such heap.
    ///
    /// # Progress
    ///
    /// As [`hl_alloc`](Self::hl_alloc).
    ///
    /// # Complexity
    ///
    /// O(orders), or O(blocks) where the free stacks of the heap don't have the block. Each failure searches. A block
    /// of this heap that is among the next ones in the thread's cache is taken from there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let near = pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let far = pool.add_heap(std::ptr::without_provenance_mut(1 << 30), 4096)?;
    /// let block = pool.alloc_in(far, Layout::new::<[u8; 64]>())?;
    /// assert_eq!(pool.heap_of(block), Some(far));
    /// # assert_ne!(near, far);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alloc_in(&self, heap: HeapId, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let requested = bytes_of(layout)?;
        self.alloc_class_in(heap, self.config.class_for(requested), requested)
    }

    /// Allocates a block of `class`, as [`alloc_in`](Self::alloc_in).
    pub(crate) fn alloc_class_in(
        &self,
        heap: HeapId,
        class: Option<Class>,
        requested: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        self.begin();
        let pinned = self.heaps.pin();
        let found = pinned.view().get(heap).ok_or(AllocError::UnknownHeap { requested, heap })?;
        let scope = Scope::One(found);
        let cached = class.and_then(|class| current(&self.caches)?.pop_from(heap, class, self.config.address_shift));
        if let Some(block) = cached.and_then(NonNull::new) {
            self.acquired(block.addr().get());
            return Ok(block);
        }
        let taken = self.take_from_heaps(&scope, class).inspect(|block| self.acquired(block.addr().get()));
        self.count_past_cache(usize::from(taken.is_ok()), 0);
        taken.map_err(|refused| self.explain(&scope, requested, refused))
    }

    /// Allocates up to `blocks.len()` blocks of one layout, for few atomic operations, and returns how many there were;
    /// their addresses are the first of `blocks` then, and the rest is left as it was. They tend to be neighbours.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), when there was not even one. A smaller number than asked for means that one more was
    /// not to be had. For an empty slice the number is 0.
    ///
    /// # Progress
    ///
    /// As [`hl_alloc`](Self::hl_alloc).
    ///
    /// # Complexity
    ///
    /// O(orders + blocks asked for), or O(blocks of the heaps) where the free stacks don't have them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 16];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let mut blocks = [std::ptr::null_mut(); 32];
    /// assert_eq!(pool.alloc_batch(Layout::new::<[u8; 64]>(), &mut blocks)?, 32);
    /// pool.release_batch(&blocks)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alloc_batch(&self, layout: Layout, blocks: &mut [*mut u8]) -> Result<usize, AllocError> {
        let (requested, most) = (bytes_of(layout)?, blocks.len());
        let mut places = blocks.iter_mut();
        self.alloc_class_batch(self.config.class_for(requested), requested, most, |block| {
            if let Some(place) = places.next() {
                *place = block.as_ptr();
            }
        })
    }

    /// Allocates up to `most` blocks of `class`, and gives them to `give`, as [`alloc_batch`](Self::alloc_batch).
    pub(crate) fn alloc_class_batch(
        &self,
        class: Option<Class>,
        requested: usize,
        most: usize,
        mut give: impl FnMut(NonNull<u8>),
    ) -> Result<usize, AllocError> {
        self.begin();
        let pinned = self.heaps.pin();
        let scope = Scope::All(pinned.view());
        let mut filled = 0;
        let mut give = |block: NonNull<u8>| {
            self.acquired(block.addr().get());
            give(block);
        };
        while filled < most {
            if let Some((class, order)) = class.and_then(|class| Some((class, class.covering()?))) {
                scope.take_first(order, |heap| {
                    filled += fill(heap, class, self.shard(), most - filled, &mut give);
                    (filled == most).then_some(())
                });
            }
            if filled == most {
                break;
            }
            // The stacks are empty: a search for one more also merges and tidies them.
            match self.take_from_heaps(&scope, class) {
                Ok(block) => give(block),
                Err(refused) if filled == 0 => return Err(self.explain(&scope, requested, refused)),
                Err(_) => break,
            }
            filled += 1;
        }
        self.count_past_cache(filled, 0);
        Ok(filled)
    }

    /// Pops a block from the cache of this thread.
    #[inline]
    fn pop(&self, class: Class) -> Option<*mut u8> {
        current(&self.caches)?.pop(class, self.config.address_shift)
    }

    /// Pops a block from the cache of this thread, if that is the one of a pool that it used before the last one, or
    /// the block is in the heap aside of the one that the cache works with.
    fn pop_aside(&self, class: Class) -> Option<*mut u8> {
        match current(&self.caches) {
            Some(cache) => cache.pop_aside(class, self.config.address_shift),
            None => {
                let (cache, shift) = (return_to(&self.caches)?, self.config.address_shift);
                cache.pop(class, shift).or_else(|| cache.pop_aside(class, shift))
            }
        }
    }

    /// Takes a block that the fast path could not: by way of the cache, where there can be one, or from the heaps.
    #[cold]
    fn take_slow(&self, want: Option<Class>) -> Result<NonNull<u8>, Refused> {
        if let Some(block) = want.and_then(|want| self.pop_aside(want)).and_then(NonNull::new) {
            return Ok(block);
        }
        let pinned = self.pin();
        if let (Some(want), Some(cache)) = (want, self.cache())
            && let Some(block) = cache.pop_slow(want, &self.reach(&pinned)).and_then(NonNull::new)
        {
            return Ok(block);
        }
        let taken = self.take_from_heaps(&Scope::All(pinned.view()), want);
        self.count_past_cache(usize::from(taken.is_ok()), 0);
        taken
    }
}

/// Gives up to `most` blocks of the stacks of one heap to `give`; returns how many there were.
fn fill(heap: &Heap, class: Class, shard: Shard, most: usize, mut give: impl FnMut(NonNull<u8>)) -> usize {
    let mut filled = 0;
    while filled < most {
        let mut taken = [BlockIndex::new(0); BATCH];
        let wanted = BATCH.min(most - filled);
        let count = heap.buddy().alloc_batch(State::live(class), shard, &mut taken[..wanted]);
        taken[..count].iter().for_each(|block| give(heap.pointer(*block)));
        filled += count;
        if count < wanted {
            break;
        }
    }
    filled
}

/// Bytes that a block for `layout` needs. It is aligned to the largest power of two that divides its size. So that is a
/// multiple of the alignment.
#[inline]
fn bytes_of(layout: Layout) -> Result<usize, AllocError> {
    match layout.size() {
        0 => Err(AllocError::ZeroSize),
        // The size rounded up: the last byte has ones below the alignment. No layout is as large as to overflow.
        size => Ok(((size - 1) | (layout.align() - 1)).wrapping_add(1)),
    }
}
