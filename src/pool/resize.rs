//! Resizing.

use core::ptr::{self, NonNull};

use super::MemoryPool;
use crate::error::{ReleaseError, ResizeError};
use crate::raw::{CantResize, Class};

impl MemoryPool {
    /// Makes the block at `block` one of at least `size` bytes without moving it. Returns its new size in bytes. A
    /// smaller block gives its tail back; a larger one takes the free buddies behind it.
    ///
    /// # Errors
    ///
    /// When the size is 0, when no live block begins there, or when the block can't be so large where it is. To grow,
    /// it needs free memory behind it. Its address has to be a multiple of the largest power of two that divides the
    /// new size. After an error the block is as it was.
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
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 16];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.alloc(std::alloc::Layout::new::<[u8; 4096]>())?;
    /// assert_eq!(pool.resize_in_place(block, 1000)?, 1024);
    /// assert_eq!(pool.resize_in_place(block, 3000)?, 4096);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resize_in_place(&self, block: NonNull<u8>, size: usize) -> Result<usize, ResizeError> {
        if size == 0 {
            return Err(ResizeError::ZeroSize);
        }
        self.resize_at(block.addr().get(), self.config.class_for(size), size).map(|class| self.config.bytes(class))
    }

    /// Gives the block at an address this class, as [`resize_in_place`](Self::resize_in_place), and returns it. Without
    /// a class it is the error that there is no room for `requested` bytes.
    pub(crate) fn resize_at(
        &self,
        address: usize,
        class: Option<Class>,
        requested: usize,
    ) -> Result<Class, ResizeError> {
        self.begin_release(address, class.map_or(usize::MAX, |class| self.config.addresses(class)));
        let pinned = self.heaps.pin();
        let (heap, index) = pinned.view().locate(address)?;
        let no_room = || match self.class_at(address) {
            Ok(has) => ResizeError::NoRoom { requested, size: self.config.bytes(has) },
            Err(gone) => gone.into(),
        };
        let class = class.ok_or_else(no_room)?;
        match heap.buddy().resize_by(index, class, heap.shard(index), &self.visitor(address)) {
            Ok(_) => {
                self.acquired(address);
                Ok(class)
            }
            Err(CantResize::NoRoom) => Err(no_room()),
            Err(CantResize::NotLive(reason)) => Err(ReleaseError::from(reason).into()),
        }
    }

    /// Resizes the block at `block` to at least `size` bytes, as C's `realloc`: in place where that works, else it
    /// allocates another block, copies, and releases the old one.
    ///
    /// Null for `block` allocates. A `size` of 0 releases, and returns null. Null for any other reason means that
    /// there was no memory or no such block. Nothing is changed then.
    ///
    /// # Safety
    ///
    /// This is the one method that touches managed memory. If `block` is a live block of this pool:
    ///
    /// - its bytes are readable,
    /// - the heaps are readable and writable through the pointers that [`add_heap`](Self::add_heap) got,
    /// - no other thread accesses or releases the block during the call.
    ///
    /// # Progress
    ///
    /// As [`hl_alloc`](Self::hl_alloc).
    ///
    /// # Complexity
    ///
    /// As [`resize_in_place`](Self::resize_in_place), or as [`hl_alloc`](Self::hl_alloc) and O(bytes copied).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 16];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(64);
    /// // SAFETY: the block is live, in a vector that may be written, and nobody else's.
    /// let block = unsafe { pool.hl_resize(block, 10_000) };
    /// assert!(!block.is_null());
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    #[must_use = "the block may have moved"]
    pub unsafe fn hl_resize(&self, block: *mut u8, size: usize) -> *mut u8 {
        let Some(old) = NonNull::new(block) else { return self.hl_alloc(size) };
        if size == 0 {
            // A bad pointer has no channel to be reported through here; nothing is changed for it.
            let _ = self.release(old);
            return ptr::null_mut();
        }
        // The pool's own pointer to the block: the caller's may be good for less than all of it.
        let (Ok(whole), Ok(old_size)) = (self.pointer_to(old), self.block_size(old)) else {
            return ptr::null_mut();
        };
        if self.resize_in_place(old, size).is_ok() {
            return whole;
        }
        let new = self.hl_alloc(size);
        if !new.is_null() {
            // SAFETY: the caller vouches that both blocks may be accessed and that `old` stays live; `new` was
            // allocated apart from it, and each has at least the smaller of both sizes.
            unsafe { ptr::copy_nonoverlapping(whole.cast_const(), new, old_size.min(size)) };
            // It was live, and by the contract still is.
            let _ = self.release(old);
        }
        new
    }

    /// The pool's own pointer to the block at an address, derived from the base of its heap.
    fn pointer_to(&self, block: NonNull<u8>) -> Result<*mut u8, ReleaseError> {
        let pinned = self.heaps.pin();
        let (heap, index) = pinned.view().locate(block.addr().get())?;
        Ok(heap.pointer(index).as_ptr())
    }
}
