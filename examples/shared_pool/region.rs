//! The memory that the pool's heap lies in.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Memory of any size, aligned so that a heap of it is as few blocks as can be: if the size is a power of two, one.
#[derive(Debug)]
pub struct Region {
    memory: *mut u8,
    layout: Layout,
    base: *mut u8,
    size: usize,
}

impl Region {
    /// `size` zeroed bytes; `None` if they can't be had.
    pub fn new(size: usize) -> Option<Self> {
        let align = 1usize << size.checked_ilog2()?;
        // The memory is larger by the alignment, instead of aligned by the allocator: that one would write all of the
        // zeros, while of a large region without alignment the operating system brings in only what is used.
        let layout = Layout::from_size_align(size.checked_add(align)?, 16).ok()?;
        // SAFETY: the layout has a size above 0.
        let memory = unsafe { alloc_zeroed(layout) };
        let lead = memory.addr().next_multiple_of(align) - memory.addr();
        // Where there is no memory, no base is used.
        (!memory.is_null()).then(|| Self { memory, layout, base: memory.wrapping_add(lead), size })
    }

    pub fn base(&self) -> *mut u8 {
        self.base
    }

    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed only here.
        unsafe { dealloc(self.memory, self.layout) };
    }
}
