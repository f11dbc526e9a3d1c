//! What a `PoolAllocator` needs besides its heap: a fiftieth of it at most, and no more of it for a program that
//! repeats itself.

use std::alloc::{GlobalAlloc, Layout};

use mempool::PoolAllocator;

/// As for a program that is not looked for errors: a checked allocator has a table of what is live besides.
fn allocator() -> PoolAllocator {
    PoolAllocator::builder().checked(false).on_demand(usize::MAX)
}

/// Allocates `bytes` bytes in blocks of `size`, each of them used.
fn fill(allocator: &PoolAllocator, size: usize, bytes: usize) -> Vec<*mut u8> {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    let block = |_| {
        // SAFETY: the size is not 0.
        let block = unsafe { allocator.alloc(layout) };
        assert!(!block.is_null());
        // SAFETY: the block has that byte.
        unsafe { block.write(1) };
        block
    };
    (0..bytes / size).map(block).collect()
}

fn release(allocator: &PoolAllocator, size: usize, blocks: Vec<*mut u8>) {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    for block in blocks {
        // SAFETY: a live block of this layout.
        unsafe { allocator.dealloc(block, layout) };
    }
}

#[test]
fn metadata_is_a_fiftieth_of_the_heap_at_most() {
    for size in [16, 32, 48, 64, 100, 1000, 5000, 64 << 10, 1 << 20] {
        let allocator = allocator();
        let blocks = fill(&allocator, size, 16 << 20);
        let stats = allocator.stats();
        assert!(stats.metadata * 50 <= stats.heap, "blocks of {size} bytes: {stats}");
        release(&allocator, size, blocks);
    }
}

/// Pages that are cut into small slots need more metadata than others, for as long as they are.
#[test]
fn pages_that_change_their_use_need_no_more_metadata() {
    let allocator = allocator();
    let mut kept = Vec::new();
    let mut round = || {
        for size in [16, 32, 48, 1000] {
            let blocks = fill(&allocator, size, 2 << 20);
            // So that the pages are others each time.
            kept.extend(fill(&allocator, 64 << 10, 64 << 10));
            release(&allocator, size, blocks);
            allocator.sweep();
        }
        let stats = allocator.stats();
        // Of each page 22 bytes and three bits.
        let pages = stats.heap / 4096;
        stats.metadata - pages * 22 - pages / 8 - pages / 4
    };
    round();
    let before = round();
    let after = (0..20).map(|_| round()).max();
    assert_eq!(after, Some(before));
    release(&allocator, 64 << 10, kept);
}
