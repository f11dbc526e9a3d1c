//! A library with an allocator of its own, to be loaded and unloaded by a test.

use std::hint::black_box;

use mempool::PoolAllocator;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// Uses some memory, and releases it.
#[unsafe(no_mangle)]
pub extern "C" fn work(count: usize) -> usize {
    let vectors: Vec<Vec<u8>> = (0..count).map(|number| vec![1; 10 + number]).collect();
    vectors.iter().map(Vec::len).sum()
}

/// Uses some, and keeps it.
#[unsafe(no_mangle)]
pub extern "C" fn keep(count: usize) -> *mut u8 {
    black_box(vec![7u8; count].leak()).as_mut_ptr()
}
