//! Threads that use a pool in destructors of `pthread_key`s, of which the pool has one itself. Alone in its program, so
//! that it is known when the pool's is created.
#![cfg(unix)]
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::at;
use common::cached::{BASE, UNIT, UNITS};
use mempool::{MemoryPool, ReleaseError};

static POOL: MemoryPool = MemoryPool::new();
/// Destructors that did what they should, and those that the cache served.
static FINE: AtomicUsize = AtomicUsize::new(0);
static SERVED: AtomicUsize = AtomicUsize::new(0);

/// How often [`work`] was done.
static WORKED: AtomicUsize = AtomicUsize::new(0);

/// So many threads, one after the other.
const THREADS: usize = 50;

fn work() -> bool {
    WORKED.fetch_add(1, Ordering::Relaxed);
    let blocks: [*mut u8; 60] = std::array::from_fn(|number| POOL.hl_alloc(UNIT << (number % 3)));
    let twice =
        |block: &*mut u8| POOL.hl_release(*block) == Ok(()) && POOL.hl_release(*block) == Err(ReleaseError::NotLive);
    blocks.iter().all(|block| !block.is_null()) && blocks.iter().all(twice)
}

extern "C" fn at_exit(_: *mut c_void) {
    let before = POOL.stats().cache_allocations;
    if work() {
        FINE.fetch_add(1, Ordering::Relaxed);
    }
    if POOL.stats().cache_allocations > before {
        SERVED.fetch_add(1, Ordering::Relaxed);
    }
}

fn key() -> libc::pthread_key_t {
    let mut key = 0;
    // SAFETY: `key` may be written, and the destructor may be called by any thread.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(at_exit)) }, 0);
    key
}

/// Threads that have a value of this key, and use the pool before they exit, or first then; in how many the cache
/// served.
fn threads(key: libc::pthread_key_t, before: bool) -> usize {
    [&FINE, &SERVED].iter().for_each(|count| count.store(0, Ordering::Relaxed));
    let run = move || {
        // SAFETY: the key was created; its destructor takes any value.
        assert_eq!(unsafe { libc::pthread_setspecific(key, ptr::dangling()) }, 0);
        assert!(!before || work());
    };
    (0..THREADS).for_each(|_| thread::spawn(run).join().expect("no panic"));
    assert_eq!(FINE.load(Ordering::Relaxed), THREADS);
    SERVED.load(Ordering::Relaxed)
}

#[test]
fn keys_that_are_older_and_younger_than_the_pools() {
    POOL.add_heap(at(BASE), UNITS * UNIT).expect("a heap");
    let older = key();
    assert!(work());
    let younger = key();
    let served =
        [(older, true), (older, false), (younger, true), (younger, false)].map(|(key, before)| threads(key, before));
    assert!(POOL.stats().caches <= 4, "numbers are given again");
    // The C library calls the oldest first, and those that were set meanwhile once more; no promise is made of it.
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        assert_eq!(served, [THREADS, THREADS, 0, THREADS]);
    }
    POOL.sweep();
    let stats = POOL.stats();
    assert_eq!((stats.live, stats.cached, stats.in_transit), (0, 0, 0), "{stats}");
    assert_eq!(stats.largest_free, UNITS * UNIT, "{stats}");
    // Also by threads that had no cache any more.
    let done = 60 * WORKED.load(Ordering::Relaxed) as u64;
    assert_eq!((stats.allocations(), stats.releases()), (done, done), "{stats}");
}
