//! `hl_resize`, the one method that touches managed memory: what it keeps, what it copies, and what it leaves alone.

use std::slice;

use crate::common::{Random, at};
use mempool::{MemoryPool, ReleaseError};

const SIZE: usize = 1 << 16;

/// A pool over a vector. Only the pool's pointers are used while it is there.
fn pool() -> (Vec<u8>, MemoryPool) {
    let mut memory = vec![0u8; SIZE];
    let pool = MemoryPool::builder().min_block(16).build().expect("valid");
    pool.add_heap(memory.as_mut_ptr(), SIZE).expect("a heap");
    (memory, pool)
}

fn resize(pool: &MemoryPool, block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: each test has one thread, a vector as the heap, and passes blocks that are live, null or no block at all.
    unsafe { pool.hl_resize(block, size) }
}

fn write(block: *mut u8, size: usize, pattern: u8) {
    for place in 0..size {
        // SAFETY: the pool handed out a block of at least `size` bytes.
        unsafe { block.add(place).write(pattern.wrapping_add(place as u8)) };
    }
}

fn reads(block: *mut u8, size: usize, pattern: u8) -> bool {
    if size == 0 {
        return true;
    }
    // SAFETY: the first `size` bytes of the block were written, by `write`.
    let bytes = unsafe { slice::from_raw_parts(block, size) };
    bytes.iter().enumerate().all(|(place, byte)| *byte == pattern.wrapping_add(place as u8))
}

#[test]
fn null_allocates_and_zero_releases() {
    let (_memory, pool) = pool();
    let block = resize(&pool, at(0), 100);
    assert!(!block.is_null());
    assert_eq!(pool.stats().live, 128);
    assert!(resize(&pool, at(0), 0).is_null());
    assert!(resize(&pool, block, 0).is_null());
    assert_eq!(pool.stats().live, 0);
    assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive));
}

#[test]
fn what_is_no_block_is_left_alone() {
    let (_memory, pool) = pool();
    let block = pool.hl_alloc(100);
    write(block, 128, 3);
    let before: Vec<_> = pool.heap_map().collect();
    for wrong in [block.wrapping_add(1), block.wrapping_add(64), at(1), at(usize::MAX)] {
        for size in [0, 1, 64, 1000, usize::MAX] {
            assert!(resize(&pool, wrong, size).is_null());
        }
    }
    assert_eq!(pool.heap_map().collect::<Vec<_>>(), before);
    assert!(reads(block, 128, 3));
}

#[test]
fn contents_are_kept_where_it_moves() {
    let (_memory, pool) = pool();
    let block = pool.hl_alloc(100);
    write(block, 100, 7);
    // Its buddy stays taken, so it can't grow where it is; all else is free again.
    let others = std::iter::repeat_with(|| pool.hl_alloc(128)).take_while(|other| !other.is_null());
    let others: Vec<*mut u8> = others.collect();
    let apart = others.into_iter().filter(|other| other.addr() != block.addr() ^ 128);
    apart.for_each(|other| pool.hl_release(other).expect("the block is live"));
    let moved = resize(&pool, block, 5000);
    assert!(!moved.is_null() && moved.addr() != block.addr());
    assert!(reads(moved, 100, 7));
    assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive), "the old block is released");
    let same = resize(&pool, moved, 100);
    assert_eq!(same.addr(), moved.addr(), "a smaller block stays where it is");
    assert!(reads(same, 100, 7));
    let grown = resize(&pool, same, 8192);
    assert_eq!(grown.addr(), same.addr(), "what it gave back it takes again");
    assert!(reads(grown, 100, 7));
}

#[test]
fn a_failure_keeps_the_block() {
    let (_memory, pool) = pool();
    let block = pool.hl_alloc(SIZE / 4);
    write(block, SIZE / 4, 11);
    let rest: Vec<*mut u8> =
        std::iter::repeat_with(|| pool.hl_alloc(16)).take_while(|block| !block.is_null()).collect();
    let before: Vec<_> = pool.heap_map().collect();
    for size in [SIZE / 4 + 1, SIZE, SIZE * 2, isize::MAX as usize, usize::MAX] {
        assert!(resize(&pool, block, size).is_null());
    }
    assert!(reads(block, SIZE / 4, 11));
    assert_eq!(pool.heap_map().collect::<Vec<_>>(), before);
    assert_eq!(resize(&pool, block, SIZE / 4), block);
    assert_eq!(pool.release_batch(&rest), Ok(()));
    assert_eq!(pool.hl_release(block), Ok(()));
}

#[test]
fn random_sizes_keep_the_contents() {
    let (_memory, pool) = pool();
    let mut random = Random::from_environment();
    let mut blocks: Vec<(*mut u8, usize, u8)> = vec![(at(0), 0, 0); 20];
    for _ in 0..20_000 {
        let (block, size, pattern) = &mut blocks[random.below(20)];
        let most = 1 << random.below(13);
        let new_size = random.below(most);
        let new = resize(&pool, *block, new_size);
        if new.is_null() && new_size > 0 {
            assert!(reads(*block, *size, *pattern), "a failure keeps the block");
            continue;
        }
        if new_size > 0 {
            assert!(reads(new, new_size.min(*size), *pattern));
            write(new, new_size, random.next() as u8);
            // SAFETY: `write` has just written there.
            *pattern = unsafe { new.read() };
        }
        (*block, *size) = (new, new_size);
    }
    for (block, size, pattern) in blocks {
        assert!(reads(block, size, pattern));
        assert_eq!(pool.hl_release(block), Ok(()));
    }
    pool.sweep();
    assert_eq!(pool.stats().live, 0);
    assert!(pool.heap_map().all(|block| block.state == mempool::BlockState::Free));
}
