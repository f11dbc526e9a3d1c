//! `GlobalAlloc`: the layout is known, most often when the program is compiled, so that the class is a constant and each call a
//! few instructions in a row.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use super::PoolAllocator;
use super::class::{self, PAGE};

#[inline(always)]
fn pointer(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(ptr::null_mut(), NonNull::as_ptr)
}

/// Bytes that a block of this layout has.
#[inline]
pub(super) const fn capacity(layout: Layout) -> usize {
    let class = class::of(layout);
    if class < class::COUNT {
        class::size_of_class(class)
    } else {
        // The size of a layout is at most `isize::MAX`.
        layout.size().div_ceil(PAGE) * PAGE
    }
}

impl PoolAllocator {
    /// Makes a block of the one layout one of the other, of the same alignment, where it is. A growth of a large block takes the free
    /// pages behind it.
    #[inline]
    pub(super) fn resize_in_place(&self, block: *mut u8, from: Layout, to: Layout) -> bool {
        let (has, wanted) = (capacity(from), capacity(to));
        if has == wanted {
            return true;
        }
        class::of(from) >= class::COUNT && class::of(to) >= class::COUNT && self.resize_large(block, wanted)
    }
}

// SAFETY: blocks have the size and the alignment of the layout, and are no one else's until they are released; nothing here unwinds.
unsafe impl GlobalAlloc for PoolAllocator {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class::of(layout);
        if class < class::COUNT {
            pointer(self.alloc_small(class))
        } else {
            pointer(self.alloc_large(layout.size(), layout.align()).map(|(block, _)| block))
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = class::of(layout);
        if class < class::COUNT { self.release_small(class, block) } else { self.release_large(block, layout.size()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let class = class::of(layout);
        if class >= class::COUNT {
            return pointer(self.alloc_large_zeroed(layout.size(), layout.align()));
        }
        let block = pointer(self.alloc_small(class));
        if !block.is_null() {
            // SAFETY: the block has so many bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller vouches that the new size, rounded up to the alignment, fits an `isize`.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // Most often nothing is to be done.
        if !self.is_checked() && capacity(layout) == capacity(new) {
            return block;
        }
        let Some(resizing) = self.begin_resize(block, layout) else { return ptr::null_mut() };
        if self.resize_in_place(block, layout, new) {
            Self::end_resize(resizing, block, new);
            return block;
        }
        // SAFETY: the layout's size is not 0, as the caller vouches.
        let moved = unsafe { self.alloc(new) };
        if moved.is_null() {
            Self::end_resize(resizing, block, layout);
            return moved;
        }
        // SAFETY: both have so many bytes, and no two blocks overlap.
        unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
        // SAFETY: the caller vouches for the block.
        unsafe { self.end_resize_elsewhere(resizing, block, layout) };
        moved
    }
}
