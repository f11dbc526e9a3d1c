//! What allocates: adding a heap, and the first use of a pool by a thread; nothing else does. In a program of its own,
//! whose allocations are counted.

use std::alloc::Layout;

use crate::common::at;
use crate::common::failing::{ASKED, BALANCE};
use mempool::MemoryPool;

#[test]
fn nothing_but_add_heap_and_the_first_use_of_a_thread_allocates() {
    let pool = MemoryPool::new();
    for heap in 1..4 {
        pool.add_heap(at(heap << 16), 4096 * 3 + 17).expect("a heap");
    }
    let mut blocks = [at(0); 100];
    let mut held = [at(0); 2000];
    let (asked, balance) = (ASKED.get(), BALANCE.get());
    assert_eq!(pool.stats().cache_tables, 0);
    pool.flush_thread_cache();
    assert!(ASKED.get() > asked, "the thread has no cache");
    let tables = pool.stats().cache_tables;
    assert_eq!(tables as isize, BALANCE.get() - balance, "statistics show what was allocated");
    assert!(tables <= 113 << 10, "{tables} bytes for a cache");
    let asked = ASKED.get();
    let layout = Layout::new::<[u8; 100]>();
    for round in 0..50 {
        let filled = pool.alloc_batch(layout, &mut blocks).unwrap_or(0);
        let mut count = 0;
        while let block = pool.hl_alloc(64 << (round % 4))
            && !block.is_null()
        {
            held[count] = block;
            count += 1;
        }
        assert!(pool.alloc(layout).is_err() || round % 4 > 1);
        for block in held[..count].iter().step_by(2).chain(held[..count].iter().skip(1).step_by(2)) {
            assert_eq!(pool.hl_release(*block), Ok(()));
        }
        assert_eq!(pool.release_batch(&blocks[..filled]), Ok(()));
        assert!(pool.release_batch(&blocks).is_err());
        let block = pool.alloc(layout);
        assert!(block.is_ok_and(|block| {
            pool.resize_in_place(block, 1000).is_ok() | pool.resize_in_place(block, 1).is_ok()
                && pool.release(block).is_ok()
        }));
        pool.sweep();
        assert_eq!(pool.stats().live, 0);
        assert!(pool.heap_map().count() > 3 && pool.largest_free_block() > 1000);
    }
    assert_eq!(ASKED.get(), asked, "an operation has allocated");
}
