//! This crate's pool, over one region, with the caches of its threads and without.

use mempool::MemoryPool;

use super::regions::region;
use crate::subject::Subject;

/// A pool with one heap.
#[derive(Debug)]
pub struct Pool {
    pool: MemoryPool,
}

impl Pool {
    /// As it is by default.
    pub fn cached(size: usize) -> Self {
        Self::over(MemoryPool::new(), size)
    }

    pub fn without_cache(size: usize) -> Self {
        Self::over(MemoryPool::builder().thread_cache(0).build().expect("sizes as by default"), size)
    }

    /// Each release takes a locked operation.
    pub fn without_bias(size: usize) -> Self {
        Self::over(MemoryPool::builder().biased(false).build().expect("sizes as by default"), size)
    }

    fn over(pool: MemoryPool, size: usize) -> Self {
        let (base, size) = region(size);
        pool.add_heap(base, size).expect("a fresh region");
        Self { pool }
    }

    /// The pool itself, to look into it.
    #[cfg(test)]
    pub fn inside(&self) -> &MemoryPool {
        &self.pool
    }
}

impl Subject for Pool {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        self.pool.hl_alloc(size as usize)
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, _: u32) {
        self.pool.hl_release(block).expect("a live block is released");
    }

    #[inline]
    unsafe fn resize(&self, block: *mut u8, _: u32, size: u32) -> *mut u8 {
        // SAFETY: the caller vouches for the block; the region is readable and writable.
        unsafe { self.pool.hl_resize(block, size as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Plan;
    use crate::subjects::Measured;
    use crate::workloads::{Inputs, Kind};

    #[test]
    fn every_workload_leaves_the_pool_as_one_free_block() {
        const SIZE: usize = 256 << 20;
        let inputs = Inputs::built_in().expect("the built-in trace is sound");
        for subject in [Pool::cached(SIZE), Pool::without_cache(SIZE)] {
            for kind in Kind::all() {
                for threads in [1, 2, 3] {
                    assert!(subject.round(kind, &Plan::brief(threads), &inputs) > 0.0);
                    subject.inside().sweep();
                    let stats = subject.inside().stats();
                    assert_eq!((stats.live, stats.failures), (0, 0), "{} on {threads} threads", kind.label());
                    let blocks: Vec<_> = subject.inside().heap_map().map(|block| block.size).collect();
                    assert_eq!(blocks, [SIZE], "{} on {threads} threads", kind.label());
                }
            }
        }
    }
}
