//! Release.

use core::ptr::NonNull;

use super::MemoryPool;
use crate::cache::{current, return_to};
use crate::error::{ReleaseBatchError, ReleaseError};
use crate::heaps::Heap;
use crate::heaps::View;
use crate::raw::{Batch, Class};

impl MemoryPool {
    /// Releases the block at `block`. Null is fine, and does nothing.
    ///
    /// Exact in every build. If a block is released more than once, even by several threads at once, one release
    /// succeeds and the others get an error. This holds until the address is handed out again. Then it is that
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
    /// O(1) in one heap, O(log heaps) in several.
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::ReleaseError;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 4096];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(256);
    /// assert_eq!(pool.hl_release(block.wrapping_add(8)), Err(ReleaseError::Interior));
    /// assert_eq!(pool.hl_release(block), Ok(()));
    /// assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive));
    /// assert_eq!(pool.hl_release(1 as *mut u8), Err(ReleaseError::Foreign));
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    #[inline]
    pub fn hl_release(&self, block: *mut u8) -> Result<(), ReleaseError> {
        self.begin_release(block.addr(), 0);
        // Null is in no window, so that the fast path need not ask for it.
        match self.push(block.addr()) {
            Some(()) => Ok(()),
            None if block.is_null() => Ok(()),
            None => self.release_slow(block.addr()),
        }
    }

    /// Releases the block at `block`, as [`hl_release`](Self::hl_release) does.
    ///
    /// # Errors
    ///
    /// As [`hl_release`](Self::hl_release).
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// As [`hl_release`](Self::hl_release).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    /// use mempool::ReleaseError;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let block = pool.alloc(Layout::new::<[u8; 100]>())?;
    /// pool.release(block)?;
    /// assert_eq!(pool.release(block), Err(ReleaseError::NotLive));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn release(&self, block: NonNull<u8>) -> Result<(), ReleaseError> {
        self.release_at(block.addr().get())
    }

    /// Releases the block at an address.
    #[inline]
    fn release_at(&self, address: usize) -> Result<(), ReleaseError> {
        self.begin_release(address, 0);
        match self.push(address) {
            Some(()) => Ok(()),
            None => self.release_slow(address),
        }
    }

    /// Pushes a block into the cache of this thread.
    #[inline]
    pub(crate) fn push(&self, address: usize) -> Option<()> {
        current(&self.caches)?.push(address, self.config.address_shift)
    }

    #[cold]
    pub(crate) fn release_slow(&self, address: usize) -> Result<(), ReleaseError> {
        let address_shift = self.config.address_shift;
        let pushed = match current(&self.caches) {
            Some(cache) => {
                cache.push_aside(address, address_shift).or_else(|| cache.push_to_outbox(address, address_shift))
            }
            // It may have used another pool since.
            None => return_to(&self.caches).and_then(|cache| {
                cache.push(address, address_shift).or_else(|| cache.push_aside(address, address_shift))
            }),
        };
        if pushed.is_some() {
            return Ok(());
        }
        let pinned = self.pin();
        let (heap, block) = pinned.view().locate(address)?;
        match self.cache() {
            Some(cache) => cache.push_slow(heap, block, &self.reach(&pinned)),
            None => {
                heap.buddy().release(block, heap.shard(block))?;
                self.count_past_cache(0, 1);
                Ok(())
            }
        }
    }

    /// Releases many blocks. It takes few atomic operations where blocks of one size and heap follow each other. It
    /// releases every block that can be released, whatever the others are, and passes over nulls.
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
    /// O(blocks); in several heaps O(blocks × log heaps).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let blocks = [(); 4].map(|()| pool.hl_alloc(64));
    /// pool.release_batch(&blocks)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_batch(&self, blocks: &[*mut u8]) -> Result<(), ReleaseBatchError> {
        let all = blocks.iter().enumerate().filter(|(_, block)| !block.is_null());
        self.release_all(all.map(|(number, block)| (number, Ok(block.addr()))))
    }

    /// Releases the blocks at addresses, each with its number, as [`release_batch`](Self::release_batch). Instead of an
    /// address there may be the reason why there is none.
    pub(crate) fn release_all(
        &self,
        addresses: impl Iterator<Item = (usize, Result<usize, ReleaseError>)> + Clone,
    ) -> Result<(), ReleaseBatchError> {
        addresses.clone().filter_map(|(_, address)| address.ok()).for_each(|address| self.begin_release(address, 0));
        let (mut result, mut released) = (Ok(()), 0);
        let pinned = self.heaps.pin();
        let mut batch: Option<(&Heap, Batch<'_>)> = None;
        for (number, address) in addresses {
            match address.and_then(|address| release_into(pinned.view(), &mut batch, address)) {
                Ok(()) => released += 1,
                Err(error) => {
                    let (failed, first, error) = match result {
                        Ok(()) => (1, number, error),
                        Err(ReleaseBatchError { failed, first, error }) => (failed + 1, first, error),
                    };
                    result = Err(ReleaseBatchError { failed, first, error });
                }
            }
        }
        self.count_past_cache(0, released);
        result
    }

    /// The size of the live block at `block` in bytes: the requested size, rounded up to the next of the pool's
    /// [sizes](crate::Sizes).
    ///
    /// # Errors
    ///
    /// When no live block begins there, as [`release`](Self::release).
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// As [`hl_release`](Self::hl_release).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let block = pool.alloc(Layout::new::<[u8; 100]>())?;
    /// assert_eq!(pool.block_size(block)?, 128);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn block_size(&self, block: NonNull<u8>) -> Result<usize, ReleaseError> {
        self.begin();
        self.class_at(block.addr().get()).map(|class| self.config.bytes(class))
    }

    /// The class of the live block at an address.
    pub(crate) fn class_at(&self, address: usize) -> Result<Class, ReleaseError> {
        let pinned = self.heaps.pin();
        let (heap, block) = pinned.view().locate(address)?;
        Ok(heap.buddy().live_class(block)?)
    }
}

/// Releases one block of a batch.
fn release_into<'a>(
    heaps: View<'a>,
    batch: &mut Option<(&'a Heap, Batch<'a>)>,
    address: usize,
) -> Result<(), ReleaseError> {
    let (heap, block) = heaps.locate(address)?;
    let shard = heap.shard(block);
    match batch {
        Some((current, batch)) if current.id == heap.id => batch.release(block, shard)?,
        _ => batch.insert((heap, heap.buddy().release_batch())).1.release(block, shard)?,
    };
    Ok(())
}
