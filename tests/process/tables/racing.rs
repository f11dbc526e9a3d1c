//! Heaps that are added at the same moment. In a program of its own, whose allocations are counted.

use std::thread;

use crate::common::failing::BALANCE;
use crate::common::{Gate, at};
use mempool::{AddHeapError, MemoryPool};

/// Threads that add heaps at the same moment build snapshots of which one is used and the others are freed.
#[test]
fn racing_additions_leak_nothing() {
    const THREADS: usize = 3;
    for round in 0..400 {
        let pool = MemoryPool::new();
        let (shared, gate) = (&pool, &Gate::new(THREADS));
        let add = move |thread: usize| {
            gate.pass();
            let before = BALANCE.get();
            for heap in 0..8 {
                // Every second one is a heap that all want, and one gets.
                let place = if heap % 2 == 0 { heap } else { heap + 8 * (thread + 1) };
                let added = shared.add_heap(at((place + 1) << 16), 1024);
                assert!(added.is_ok() || heap % 2 == 0 && matches!(added, Err(AddHeapError::Overlap { .. })));
            }
            BALANCE.get() - before
        };
        let taken: isize = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || add(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("the thread found no fault")).sum()
        });
        assert_eq!(pool.stats().heaps, 4 + 4 * THREADS);
        let before = BALANCE.get();
        drop(pool);
        assert_eq!(taken, before - BALANCE.get(), "round {round} leaks");
    }
}
