//! A pool whose tables can't be had: this program's global allocator fails when it is told to, in one thread, and
//! counts what is allocated there. Each allocation of each operation fails once; it is an error then, the pool is as it
//! was, and nothing leaks.

use crate::common::at;
use crate::common::failing::{BALANCE, with};
use mempool::{AddHeapError, Block, MemoryPool, ReleaseError};

#[test]
fn every_allocation_of_add_heap_fails_once() {
    // The first use of any set of heaps by a thread allocates.
    assert_eq!(MemoryPool::new().stats().heaps, 0);
    for heaps in 0..4usize {
        let start = BALANCE.get();
        let pool = MemoryPool::new();
        for heap in 0..heaps {
            pool.add_heap(at((heap + 1) << 16), 4096).expect("nothing fails yet");
        }
        let mut failures = 0;
        loop {
            let block = pool.hl_alloc(64);
            let before: Vec<Block> = pool.heap_map().collect();
            let balance = BALANCE.get();
            let added = with(failures, || pool.add_heap(at(1 << 24), 1 << 16));
            match added {
                Ok(id) => {
                    assert_eq!(id.get() as usize, heaps, "failures use up no ids");
                    break;
                }
                Err(AddHeapError::MetadataUnavailable { bytes }) => assert!(bytes > 0),
                Err(other) => panic!("{other}"),
            }
            // What an earlier heap replaced may go only now.
            assert!(BALANCE.get() <= balance, "failure {failures} leaks");
            assert_eq!(pool.heap_map().collect::<Vec<_>>(), before, "failure {failures} changed the pool");
            assert_eq!(pool.stats().heaps, heaps);
            assert_eq!(pool.hl_release(block), Ok(()), "without heaps it is null");
            failures += 1;
        }
        // States, links, the heap, two tables of the snapshot, the snapshot.
        assert!(failures >= 4, "{failures} allocations were seen to fail");
        assert_eq!(pool.stats().heaps, heaps + 1);
        drop(pool);
        assert_eq!(BALANCE.get(), start, "a pool of {} heaps leaks", heaps + 1);
        // Only now, for printing allocates.
        println!("{heaps} heaps: {failures} allocations failed");
    }
}

#[test]
fn a_thread_for_whose_cache_there_is_no_memory_works_without() {
    let pool = MemoryPool::new();
    let whole = 1 << 20;
    pool.add_heap(at(1 << 20), whole).expect("a heap");
    with(0, || {
        let block = pool.hl_alloc(100);
        assert!(!block.is_null());
        assert_eq!(pool.hl_release(block), Ok(()));
        assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive));
        let stats = pool.stats();
        assert_eq!((stats.caches, stats.cached, stats.free), (0, 0, whole));
    });
    // As soon as there is memory, the thread has one.
    assert_eq!(pool.hl_release(pool.hl_alloc(100)), Ok(()));
    assert!(pool.stats().cached > 0);
    assert_eq!(pool.largest_free_block(), whole);
}

// In 32 bits of addresses is no heap of that number of units.
#[cfg(target_pointer_width = "64")]
#[test]
fn tables_that_no_allocator_has() {
    let start = BALANCE.get();
    let pool = MemoryPool::builder().min_block(16).build().expect("valid");
    // 2^31 units: the global allocator is not even asked for what it would have to refuse.
    let added = with(0, || pool.add_heap(at(1 << 40), 1 << 35));
    assert!(matches!(added, Err(AddHeapError::MetadataUnavailable { bytes: 0x1_0000_0000.. })), "{added:?}");
    drop(pool);
    assert_eq!(BALANCE.get(), start);
}
