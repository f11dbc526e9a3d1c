//! A region: the memory that a heap lies in.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Memory of any size, aligned so that a heap in it has as few blocks as possible: one, if the size is a power of two.
#[derive(Debug)]
pub struct Region {
    memory: *mut u8,
    layout: Layout,
    base: *mut u8,
    size: usize,
}

impl Region {
    /// `size` zeroed bytes; `None` if the system refuses them.
    pub fn new(size: usize) -> Option<Self> {
        let align = 1usize << size.checked_ilog2()?;
        // The memory is larger by the alignment, instead of aligned by the allocator: an allocator that aligns writes
        // all of the zeros. Of a large region without alignment the system brings in only the pages in use.
        let layout = Layout::from_size_align(size.checked_add(align)?, 16).ok()?;
        // SAFETY: the layout has a size above 0.
        let memory = unsafe { alloc_zeroed(layout) };
        let lead = memory.addr().next_multiple_of(align) - memory.addr();
        // Where there is no memory, no base is used.
        (!memory.is_null()).then(|| Self { memory, layout, base: memory.wrapping_add(lead), size })
    }

    /// The first byte.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

// SAFETY: a shared region gives its address and its size, and nothing of its memory; whoever writes there answers for
// that.
unsafe impl Sync for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed only here.
        unsafe { dealloc(self.memory, self.layout) };
    }
}
