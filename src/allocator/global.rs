//! `GlobalAlloc`. Most often the layout is known when the program is compiled; then the class is a constant, and each
//! call a few instructions without a branch on the size.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use super::class::{self, PAGE};
use super::pool_allocator::PoolAllocator;

#[inline(always)]
fn pointer(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(ptr::null_mut(), NonNull::as_ptr)
}

/// Does an address, or null, have the layout's alignment?
#[inline(always)]
fn is_aligned(block: *mut u8, layout: Layout) -> bool {
    block.addr() & (layout.align() - 1) == 0
}

/// Bytes of a block of this layout.
#[inline]
pub(super) const fn capacity(layout: Layout) -> usize {
    let class = class::of(layout);
    if class < class::COUNT {
        class::size_of_class(class)
    } else {
        // The size of a layout is at most `isize::MAX`.
        class::pages(layout.size()) * PAGE
    }
}

impl PoolAllocator {
    /// Resizes a block in place, from one layout to the other. A large block grows into the free pages behind it.
    #[inline]
    pub(super) fn resize_in_place(&self, block: *mut u8, from: Layout, to: Layout) -> bool {
        let (class, wanted) = (class::of(from), class::of(to));
        if !is_aligned(block, to) {
            false
        } else if class < class::COUNT || wanted < class::COUNT {
            class == wanted
        } else {
            capacity(from) == capacity(to) || self.resize_large(block, capacity(to))
        }
    }

    /// Makes a block smaller in place though the smaller layout has a class of its own, because there is no block of
    /// that class. A span keeps the pages that it needs.
    ///
    /// The block is one of the smaller class from then on, perhaps larger and less aligned than others. When it goes
    /// back, the page map tells where it came from.
    #[cold]
    pub(super) fn stay(&self, block: *mut u8, from: Layout, to: Layout) -> bool {
        let bytes = capacity(to);
        let fits = class::of(to) < class::COUNT && bytes <= capacity(from) && is_aligned(block, to);
        fits && (class::of(from) < class::COUNT || self.resize_large(block, bytes.next_multiple_of(PAGE)))
    }

    /// A block with a larger alignment than all classes have. Inlined, so that the class of a type's layout is a
    /// constant. Each call in it is its last one, so it needs no registers of its caller.
    #[inline(always)]
    fn alloc_aligned(&self, layout: Layout) -> *mut u8 {
        let class = class::of(layout);
        if class >= class::COUNT {
            return self.alloc_span(layout);
        }
        let block = pointer(self.cache().and_then(|cache| cache.pop(class)));
        if !block.is_null() && is_aligned(block, layout) {
            return block;
        }
        self.alloc_aligned_slow(class, block, layout)
    }

    /// The same if the cache had no block, or one that [stayed](Self::stay). Sends such a block back to where it came
    /// from, and tries another one. There it has another class, so this ends.
    #[cold]
    fn alloc_aligned_slow(&self, class: usize, first: *mut u8, layout: Layout) -> *mut u8 {
        let mut block = first;
        loop {
            if let Some(misaligned) = NonNull::new(block) {
                // SAFETY: allocated just now, and nobody uses it.
                unsafe { self.release(misaligned) };
            }
            block = pointer(self.alloc_small(class));
            if is_aligned(block, layout) {
                return block;
            }
        }
    }

    #[cold]
    fn alloc_span(&self, layout: Layout) -> *mut u8 {
        pointer(self.alloc_large(layout.size(), layout.align()).map(|(block, _)| block))
    }
}

// SAFETY: blocks have the size and the alignment of the layout, and nobody else has them until they are released;
// nothing here unwinds.
unsafe impl GlobalAlloc for PoolAllocator {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > class::ALIGN {
            return self.alloc_aligned(layout);
        }
        let class = class::of_size(layout.size());
        if class < class::COUNT { pointer(self.alloc_small(class)) } else { self.alloc_span(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = class::of(layout);
        if class < class::COUNT { self.release_small(class, block) } else { self.release_large(block, layout.size()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class::of(layout) >= class::COUNT {
            return pointer(self.alloc_large_zeroed(layout.size(), layout.align()));
        }
        // SAFETY: the caller vouches that the size is not 0.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block is that long.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller vouches that the new size, rounded up to the alignment, fits an `isize`.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // Most often there is nothing to do.
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
            let stays = self.stay(block, layout, new);
            Self::end_resize(resizing, block, if stays { new } else { layout });
            return if stays { block } else { moved };
        }
        // SAFETY: both blocks are that long, and no two blocks overlap.
        unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
        // SAFETY: the caller vouches for the block.
        unsafe { self.end_resize_elsewhere(resizing, block, layout) };
        moved
    }
}
