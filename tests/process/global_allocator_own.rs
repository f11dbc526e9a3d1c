//! The crate's own tests in a program whose global allocator is the crate's too: threads that race and hand blocks on,
//! heaps that come and go, sweepers, and other allocators of pages beside it.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

use std::alloc::{GlobalAlloc, Layout};

use mempool::PoolAllocator;

/// The allocator by calls that are never inlined. With them inlined rustc 1.95 does not get through `races`: its LLVM
/// crashes.
struct Called(PoolAllocator);

#[global_allocator]
static ALLOCATOR: Called = Called(PoolAllocator::new());

// SAFETY: all is the allocator's, and the caller's promises are handed on to it.
unsafe impl GlobalAlloc for Called {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: handed on.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: handed on.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: handed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: handed on.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

#[path = "../allocator/blocks.rs"]
mod blocks;
#[path = "../common/mod.rs"]
mod common;
#[path = "../pool/handover.rs"]
mod handover;
#[path = "../pool/races.rs"]
mod races;
#[path = "../pool/remove_heap.rs"]
mod remove_heap;
#[path = "../pool/sweep/sweeper.rs"]
mod sweeper;
