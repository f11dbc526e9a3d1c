//! What tests of the thread caches share: a pool that is large enough for them, and what they may hold.

use std::ptr::NonNull;

use mempool::{BlockState, MemoryPool, ReleaseError, ResizeError};

use super::{Actor, Lockstep, at};

/// Bytes of the smallest block.
pub const UNIT: usize = 64;
/// Where the first heap begins.
pub const BASE: usize = 1 << 30;
/// Units of a pool of which a cache may hold 16 KiB.
pub const UNITS: usize = 1 << 14;

/// A pool of one heap.
pub fn pool(units: usize) -> Lockstep {
    let mut pool = Lockstep::new(UNIT, None);
    pool.add(BASE, units * UNIT);
    pool
}

pub fn non_null(address: usize) -> NonNull<u8> {
    NonNull::new(at(address)).expect("there is a block")
}

/// Allocates a block that must be there.
pub fn alloc(pool: &MemoryPool, size: usize) -> usize {
    let block = pool.hl_alloc(size);
    assert!(!block.is_null(), "{size} bytes were not there: {}", pool.stats());
    block.addr()
}

/// Releases a block that must be live.
pub fn release(pool: &MemoryPool, block: usize) {
    assert_eq!(pool.hl_release(at(block)), Ok(()), "release of {block:#x}");
}

/// Allocates smallest blocks until there are no more.
pub fn alloc_all(pool: &MemoryPool) -> Vec<usize> {
    let blocks = std::iter::from_fn(|| NonNull::new(pool.hl_alloc(UNIT)));
    blocks.map(|block| block.addr().get()).collect()
}

/// Bytes that the cache of one thread may hold in a pool.
pub fn bound(pool: &MemoryPool, configured: usize) -> usize {
    configured.min(pool.stats().capacity / 64)
}

/// Bytes that there may be besides in the depot of one cache: eight magazines of each size.
pub fn most_in_depot(bound: usize, unit: usize) -> usize {
    let sizes = (0..).map(|order| unit << order).take_while(|size| *size <= bound / 32);
    sizes.map(|size| 8 * 128.min(bound / 32 / size) * size).sum()
}

/// Fills the caches of threads, and what they have for each other, one thread after the other. Returns how many bytes
/// each has then; in depots there is nothing.
pub fn fill<'scope>(pool: &'scope MemoryPool, threads: &[Actor<'scope>]) -> Vec<usize> {
    let blocks = || (0..400).map(|number| alloc(pool, UNIT << (number % 4 * (number % 2)))).collect();
    let mut blocks: Vec<Vec<usize>> = threads.iter().map(|thread| thread.run(blocks)).collect();
    threads.iter().for_each(|thread| thread.run(|| pool.flush_thread_cache()));
    // Each gets its neighbour's last blocks, for its outboxes.
    let theirs: Vec<Vec<usize>> = blocks.iter_mut().map(|blocks| blocks.split_off(300)).collect();
    let mut held = Vec::new();
    pool.largest_free_block();
    for (number, thread) in threads.iter().enumerate() {
        let released = [&blocks[number], &theirs[(number + 1) % threads.len()]].map(Clone::clone).concat();
        let before = pool.stats().cached;
        thread.run(move || released.iter().for_each(|block| release(pool, *block)));
        pool.largest_free_block();
        held.push(pool.stats().cached - before);
    }
    held
}

/// The size and the state of the block that begins at an address in the first heap.
pub fn block_at(pool: &MemoryPool, address: usize) -> Option<(usize, BlockState)> {
    let mut blocks = pool.heap_map();
    let block = blocks.find(|block| block.heap.get() == 0 && block.offset == address - BASE)?;
    Some((block.size, block.state))
}

/// No live block begins at an address, as every method says that can; and nothing changes by it.
pub fn refuses(pool: &MemoryPool, address: usize, error: ReleaseError) {
    let figures = || {
        let stats = pool.stats();
        (stats.live, stats.cached, stats.free, stats.cache_releases)
    };
    let before = figures();
    assert_eq!(pool.hl_release(at(address)), Err(error), "{address:#x}");
    assert_eq!(pool.release(non_null(address)), Err(error), "{address:#x}");
    assert_eq!(pool.release_batch(&[at(address)]).map_err(|failed| failed.error), Err(error), "{address:#x}");
    assert_eq!(pool.block_size(non_null(address)), Err(error), "{address:#x}");
    assert_eq!(pool.resize_in_place(non_null(address), UNIT), Err(ResizeError::NoBlock(error)), "{address:#x}");
    assert_eq!(figures(), before, "{address:#x}");
}
