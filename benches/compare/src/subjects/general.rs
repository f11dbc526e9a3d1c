//! General allocators: each a static that is called through `GlobalAlloc`, as a program that uses it does.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::subject::{Subject, moved};

pub static POOL: mempool::PoolAllocator = mempool::PoolAllocator::new();
pub static MIMALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;
#[cfg(feature = "peers")]
pub static JEMALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
#[cfg(feature = "peers")]
pub static RPMALLOC: rpmalloc::RpMalloc = rpmalloc::RpMalloc;
pub static SYSTEM: System = System;
#[cfg(feature = "snmalloc")]
pub static SNMALLOC: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

/// Whatever implements `GlobalAlloc`.
#[derive(Debug)]
pub struct Global<A>(pub A);

const _: () = assert!(usize::BITS > u32::BITS, "every size of 32 bits is one that a layout can have");

/// The layout of a type of `size` bytes that has words in it: sizes of types are multiples of their alignments.
#[inline]
pub fn layout(size: u32) -> Layout {
    let align = if size >= 8 { 8 } else { 1 };
    // SAFETY: the alignment is a power of two, and a size of 32 bits is far below `isize::MAX`, as asserted above.
    unsafe { Layout::from_size_align_unchecked(size as usize, align) }
}

impl<A: GlobalAlloc + Sync + 'static> Subject for Global<&'static A> {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        // SAFETY: the size is not 0, by the trait's contract.
        unsafe { self.0.alloc(layout(size)) }
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, size: u32) {
        // SAFETY: the caller vouches for the block and the size, hence for the layout.
        unsafe { self.0.dealloc(block, layout(size)) };
    }

    #[inline]
    unsafe fn resize(&self, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
        if layout(old_size).align() != layout(size).align() {
            // SAFETY: the same contract.
            return unsafe { moved(self, block, old_size, size) };
        }
        // SAFETY: the caller vouches for the block and the old size; the new one is not 0.
        unsafe { self.0.realloc(block, layout(old_size), size as usize) }
    }
}
