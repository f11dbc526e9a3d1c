//! `Allocator`, the trait of collections that have an allocator of their own: of each version of `allocator-api2` whose
//! feature is on.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use super::global::capacity;
use super::pool_allocator::PoolAllocator;

/// An aligned address for a layout of size 0.
fn dangling(layout: Layout) -> NonNull<u8> {
    NonNull::new(core::ptr::without_provenance_mut(layout.align())).unwrap_or(NonNull::dangling())
}

impl PoolAllocator {
    /// A block as a slice of all its bytes; `zeroed`: all of them are zero. Inlined, so that the class of a type's
    /// layout is a constant.
    #[inline]
    fn alloc_slice(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        let len = capacity(layout);
        if layout.size() == 0 {
            // There is no block.
            return Some(NonNull::slice_from_raw_parts(dangling(layout), 0));
        }
        // All of the block is zeroed, not only the bytes of the layout.
        let whole = Layout::from_size_align(len, layout.align()).ok()?;
        // SAFETY: both: the size is not 0.
        let block = unsafe { if zeroed { self.alloc_zeroed(whole) } else { self.alloc(layout) } };
        let block = NonNull::new(block)?;
        Some(NonNull::slice_from_raw_parts(block, len))
    }

    /// Resizes a block, in place or by moving its contents to another one.
    ///
    /// # Safety
    ///
    /// It is a live block of this allocator, and fits `from`.
    unsafe fn move_slice(&self, block: NonNull<u8>, from: Layout, to: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        let len = capacity(to);
        if from.size() == 0 {
            // There is no block.
            return self.alloc_slice(to, zeroed);
        }
        let resizing = self.begin_resize(block.as_ptr(), from)?;
        let stays = to.size() != 0 && self.resize_in_place(block.as_ptr(), from, to);
        let new = if stays { None } else { self.alloc_slice(to, zeroed) };
        let Some(new) = new else {
            let stays = stays || self.stay(block.as_ptr(), from, to);
            Self::end_resize(resizing, block.as_ptr(), if stays { to } else { from });
            if stays && zeroed {
                // SAFETY: the block has `len` bytes now, and had fewer before.
                unsafe { block.add(from.size()).write_bytes(0, len - from.size()) };
            }
            return stays.then_some(NonNull::slice_from_raw_parts(block, len));
        };
        // SAFETY: both blocks are that long, and no two blocks overlap.
        unsafe { new.cast::<u8>().copy_from_nonoverlapping(block, from.size().min(to.size())) };
        // SAFETY: the caller vouches for the block.
        unsafe { self.end_resize_elsewhere(resizing, block.as_ptr(), from) };
        Some(new)
    }

    /// # Safety
    ///
    /// As `move_slice`, and nobody uses the block any more.
    #[inline]
    unsafe fn release_slice(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller vouches for it.
            unsafe { self.dealloc(block.as_ptr(), layout) };
        }
    }
}

#[allow(unused_macros, reason = "each feature uses it")]
macro_rules! allocator {
    ($version:ident) => {
        allocator!($version: grow false, grow_zeroed true, shrink false);
    };
    ($version:ident: $($resize:ident $zeroed:literal),*) => {
        // SAFETY: blocks have the size and the alignment of the layout, and nobody else has them until they are
        // released. They stay valid where the reference is moved or copied; the allocator outlives them, since they
        // borrow it.
        unsafe impl $version::alloc::Allocator for &PoolAllocator {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                self.alloc_slice(layout, false).ok_or($version::alloc::AllocError)
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                self.alloc_slice(layout, true).ok_or($version::alloc::AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller vouches for the block.
                unsafe { self.release_slice(block, layout) };
            }

            $(unsafe fn $resize(
                &self,
                block: NonNull<u8>,
                from: Layout,
                to: Layout,
            ) -> Result<NonNull<[u8]>, $version::alloc::AllocError> {
                // SAFETY: the caller vouches for the block.
                unsafe { self.move_slice(block, from, to, $zeroed) }.ok_or($version::alloc::AllocError)
            })*
        }
    };
}

#[cfg(feature = "allocator-api2-02")]
allocator!(allocator_api2_02);
#[cfg(feature = "allocator-api2-03")]
allocator!(allocator_api2_03);
#[cfg(feature = "allocator-api2-04")]
allocator!(allocator_api2_04);
