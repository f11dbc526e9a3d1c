//! Threads of a program that has so many `pthread_key`s that there is none for the pools, or that the C library
//! allocates to set theirs: from the allocator itself, as where that is the program's malloc. Alone in its program.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::at;
use common::cached::{BASE, UNIT, UNITS};
use mempool::{MemoryPool, PoolAllocator};

static POOL: MemoryPool = MemoryPool::new();
static ALLOCATOR: PoolAllocator = PoolAllocator::new();
/// How often the C library allocated within an allocation.
static WITHIN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread is allocating.
    static ALLOCATES: Cell<bool> = const { Cell::new(false) };
}

/// Called in the place of the C library's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    unsafe extern "C" {
        fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    }
    if ALLOCATES.get() {
        WITHIN.fetch_add(1, Ordering::Relaxed);
        allocate();
    }
    // SAFETY: the C library's own.
    unsafe { __libc_calloc(count, size) }
}

fn allocate() {
    let layout = Layout::new::<[u64; 20]>();
    // SAFETY: the size is not 0.
    let block = unsafe { ALLOCATOR.alloc_zeroed(layout) };
    assert!(!block.is_null());
    // SAFETY: a live block of this layout, which nobody uses any more.
    unsafe { ALLOCATOR.dealloc(block, layout) };
}

/// So many threads, one after the other, which use the pool and the allocator.
fn threads(count: usize) {
    let run = || {
        ALLOCATES.set(true);
        allocate();
        ALLOCATES.set(false);
        let block = POOL.hl_alloc(UNIT);
        assert_eq!(POOL.hl_release(block), Ok(()));
    };
    (0..count).for_each(|_| thread::spawn(run).join().expect("no panic"));
}

#[test]
fn more_keys_than_there_are() {
    POOL.add_heap(at(BASE), UNITS * UNIT).expect("a heap");
    let mut key = 0;
    // SAFETY: `key` may be written.
    let next = || (unsafe { libc::pthread_key_create(&raw mut key, None) } == 0).then_some(key);
    let keys: Vec<_> = std::iter::from_fn(next).collect();
    assert!(keys.len() > 100);
    // More than there are numbers: each would be lost that is not given back.
    threads(5000);
    assert_eq!((POOL.stats().caches, ALLOCATOR.stats().caches), (0, 0), "nobody would tell of the end");
    assert_eq!(WITHIN.load(Ordering::Relaxed), 0);

    // SAFETY: it was created, and nobody uses it.
    assert_eq!(unsafe { libc::pthread_key_delete(*keys.last().expect("some")) }, 0);
    threads(100);
    assert_eq!(WITHIN.load(Ordering::Relaxed), 100, "the C library allocates for the last key");
    assert!((1..=4).contains(&POOL.stats().caches), "numbers are given, and given again");
    assert!((1..=4).contains(&ALLOCATOR.stats().caches));
    ALLOCATOR.sweep();
    let stats = ALLOCATOR.stats();
    assert_eq!((stats.free, stats.idle), (stats.heap, 0), "{stats}");
}
