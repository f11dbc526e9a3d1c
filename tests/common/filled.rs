//! Blocks of a `PoolAllocator` that are filled with a number, so that a block that is not its owner's alone is seen.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use mempool::{AllocatorBuilder, AllocatorStats, PoolAllocator};

/// Allocators that don't check releases, and ones that do: they have the same slow paths, and other fast ones.
pub fn kinds() -> [AllocatorBuilder; 2] {
    [false, true].map(|checked| PoolAllocator::builder().checked(checked))
}

pub fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// All that the heap has is free after a sweep by the last thread that used it, and no release was refused.
pub fn assert_free(allocator: &PoolAllocator) {
    allocator.sweep();
    let stats @ AllocatorStats { heap, free, idle, refused_releases, .. } = allocator.stats();
    assert_eq!((free, idle, refused_releases), (heap, 0, 0), "{stats}");
}

/// A live block.
#[derive(Debug)]
pub struct Block {
    pub at: *mut u8,
    pub layout: Layout,
    fill: u8,
}

// SAFETY: a block is its holder's, whatever thread that is.
unsafe impl Send for Block {}

impl Block {
    /// None where there is no memory.
    pub fn new(allocator: &PoolAllocator, layout: Layout, fill: u8) -> Option<Self> {
        // SAFETY: the size is not 0.
        Self::filled(allocator, unsafe { allocator.alloc(layout) }, layout, fill)
    }

    /// The same by `alloc_zeroed`.
    pub fn zeroed(allocator: &PoolAllocator, layout: Layout, fill: u8) -> Option<Self> {
        // SAFETY: the size is not 0.
        let at = unsafe { allocator.alloc_zeroed(layout) };
        if !at.is_null() {
            // SAFETY: the block is that long, which are initialised.
            let bytes = unsafe { std::slice::from_raw_parts(at, layout.size()) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{layout:?}");
        }
        Self::filled(allocator, at, layout, fill)
    }

    fn filled(allocator: &PoolAllocator, at: *mut u8, layout: Layout, fill: u8) -> Option<Self> {
        let address = NonNull::new(at)?;
        assert_eq!(at.addr() % layout.align(), 0, "{layout:?}");
        // SAFETY: a live block.
        let usable = unsafe { allocator.usable_size(address) };
        assert!(usable >= layout.size(), "{layout:?} has {usable}");
        let block = Self { at, layout, fill };
        block.fill();
        Some(block)
    }

    fn fill(&self) {
        // SAFETY: the block is that long.
        unsafe { self.at.write_bytes(self.fill, self.layout.size()) };
    }

    /// The first bytes are what they were filled with.
    fn check(&self, len: usize) {
        // SAFETY: the block is that long, all written.
        let bytes = unsafe { std::slice::from_raw_parts(self.at, len) };
        let is_kept = bytes.iter().all(|byte| *byte == self.fill);
        assert!(is_kept, "{:?} at {:?} is not its owner's alone", self.layout, self.at);
    }

    /// False: there is no memory, and nothing has changed.
    pub fn resize(&mut self, allocator: &PoolAllocator, size: usize) -> bool {
        self.check(self.layout.size());
        // SAFETY: a live block of this layout; the size is not 0.
        let at = unsafe { allocator.realloc(self.at, self.layout, size) };
        let is_done = !at.is_null();
        if is_done {
            let kept = size.min(self.layout.size());
            (self.at, self.layout) = (at, layout(size, self.layout.align()));
            assert_eq!(at.addr() % self.layout.align(), 0, "{:?}", self.layout);
            self.check(kept);
            self.fill();
        }
        is_done
    }

    pub fn release(self, allocator: &PoolAllocator) {
        self.check(self.layout.size());
        // SAFETY: a live block of this layout, given up here.
        unsafe { allocator.dealloc(self.at, self.layout) };
    }

    /// The same by its address alone.
    pub fn release_by_address(self, allocator: &PoolAllocator) {
        self.check(self.layout.size());
        // SAFETY: a live block of this allocator, given up here.
        unsafe { allocator.release(NonNull::new(self.at).expect("no block is at null")) };
    }
}
