//! The usage that the project was specified with, word for word.

#[test]
#[rustfmt::skip]
#[allow(unused_mut, unused_must_use, clippy::unnecessary_cast)]
fn the_specified_usage() {
    use mempool::MemoryPool;
    let mut memory_pool = MemoryPool::new();
    let heap_size = 4096;
    let heap = vec![0u8; heap_size as usize];
    memory_pool.add_heap(heap.as_ptr() as *mut u8, heap_size);
    let block_size = 256;
    let block = memory_pool.hl_alloc(block_size);
    if !block.is_null() { memory_pool.hl_release(block); }

    assert!(!block.is_null());
    assert_eq!(memory_pool.stats().live, 0);
}
