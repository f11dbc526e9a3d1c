//! Each call of the operating system that a pool makes refused in turn. There are three: for the key that tells of a
//! thread's exit, for the thread's value of it, and for a fence of all threads. A thread without the first two has no
//! cache, and works. Without fences no release is biased.

extern crate std;

use alloc::vec::Vec;
use core::ptr;
use std::thread;

use crate::MemoryPool;
use crate::stops::alone;
use crate::sys::Refusal;
use crate::thread::registry::ThreadIndex;
use crate::thread::take_index;

const BYTES: usize = 1 << 20;

/// In a process of its own, since the key is made once in a process.
#[test]
fn a_pool_lives_with_each_refusal() {
    alone("pool::refused::a_pool_lives_with_each_refusal", || {
        let refused = Refusal::walk(|refusal| {
            let pool = MemoryPool::new();
            let work = || {
                // The key is asked for once in a process: so it comes first.
                _ = take_index();
                let heap = pool.add_heap(ptr::without_provenance_mut(BYTES), BYTES).expect("a region");
                let blocks = (0..1000).map(|_| pool.hl_alloc(64).addr()).collect::<Vec<_>>();
                pool.take_bias(0);
                (heap, blocks)
            };
            let ((heap, blocks), refused) = thread::scope(|scope| {
                let thread = scope.spawn(|| refusal.during(work));
                thread.join().unwrap_or_else(|_| panic!("{refusal:?}: it panics"))
            });
            let stats = || pool.stats_of(heap).expect("the pool has it");
            assert_eq!(stats().live, 64 * 1000, "{refusal:?}, {refused:?}: {}", stats());
            for block in blocks {
                pool.hl_release(ptr::without_provenance_mut(block)).expect("it is live");
            }
            pool.flush_thread_cache();
            pool.sweep();
            // The thread without a key has given its index back, too.
            let next = thread::scope(|scope| scope.spawn(take_index).join());
            assert_eq!(next.expect("it does not panic").map(ThreadIndex::place), Some(1), "{refusal:?}, {refused:?}");
            assert_eq!(stats().largest_free, BYTES, "{refusal:?}, {refused:?}: {}", stats());
            refused
        });
        assert_eq!(refused.into_iter().collect::<Vec<_>>(), ["at_exit", "fence", "key"]);
    });
}
