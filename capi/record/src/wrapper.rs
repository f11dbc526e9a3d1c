//! An allocator whose calls are recorded.

use std::alloc::{GlobalAlloc, Layout};

use crate::recorder::{allocated, freed, resize_begins, resize_ended};

/// Any allocator, recorded between [`start`](crate::start) and [`stop`](crate::stop).
#[derive(Debug, Default)]
pub struct Recorded<A>(A);

impl<A> Recorded<A> {
    /// `allocator`, recorded.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }

    /// The allocator itself.
    pub const fn inner(&self) -> &A {
        &self.0
    }
}

// SAFETY: it does what the allocator does, and writes that down without allocating.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recorded<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for it.
        let block = unsafe { self.0.alloc(layout) };
        allocated(block, layout.size(), layout.align(), false);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for it.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        allocated(block, layout.size(), layout.align(), true);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        freed(block);
        // SAFETY: the caller vouches for it.
        unsafe { self.0.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        resize_begins(block);
        // SAFETY: the caller vouches for it.
        let new = unsafe { self.0.realloc(block, layout, new_size) };
        resize_ended(new, new_size);
        new
    }
}
