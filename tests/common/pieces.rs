//! What tests of the sweeper share: pools in pieces, and a look whether they are merged.

use std::alloc::Layout;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mempool::MemoryPool;

use super::at;

/// Waits until something is so. The deadline is only for tests that fail.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited for two minutes: {what}");
        thread::yield_now();
    }
}

/// A pool without caches, over a heap of `size` bytes, a power of two, that is not there.
pub fn uncached(size: usize) -> MemoryPool {
    let pool = MemoryPool::builder().thread_cache(0).build().expect("valid");
    pool.add_heap(at(size), size).expect("a heap");
    pool
}

/// Cuts a whole pool into its smallest blocks, all of them free, and far from merged.
pub fn shatter(pool: &MemoryPool) {
    let mut blocks = vec![ptr::null_mut(); pool.stats().capacity / 64];
    let layout = Layout::new::<[u8; 64]>();
    assert_eq!(pool.alloc_batch(layout, &mut blocks).expect("all of it is free"), blocks.len());
    pool.release_batch(&blocks).expect("all are live");
}

/// As `shatter`, for what is free of a pool.
pub fn shatter_rest(pool: &MemoryPool) {
    let mut blocks = Vec::new();
    while blocks.len() < pool.stats().capacity / 64 && pool.stats().free > 0 {
        blocks.push(pool.hl_alloc(64));
    }
    pool.release_batch(&blocks).expect("all are live");
}

/// Is there one block in each heap, and is it free?
pub fn is_whole(pool: &MemoryPool) -> bool {
    let stats = pool.stats();
    stats.free == stats.capacity && pool.heap_map().count() == stats.heaps
}

/// As `is_whole`; a failure shows the figures.
pub fn assert_whole(pool: &MemoryPool) {
    assert!(is_whole(pool), "{}", pool.stats());
}

/// A `Deref` that yields another of these each time.
#[derive(Debug)]
pub struct InTurn<T> {
    turn: AtomicUsize,
    all: Vec<Arc<T>>,
}

impl<T> InTurn<T> {
    pub fn new(all: Vec<Arc<T>>) -> Self {
        Self { turn: AtomicUsize::new(0), all }
    }
}

impl<T> Deref for InTurn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.all[self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len()]
    }
}
