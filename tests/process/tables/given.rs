//! A pool whose heaps come with their tables takes nothing from the global allocator.

use std::alloc::Layout;

use crate::common::at;
use crate::common::failing::{ASKED, with};
use mempool::{HeapId, MemoryPool};

/// All of it while each allocation would fail.
#[test]
fn heaps_with_tables_allocate_nothing() {
    let pool = MemoryPool::builder().thread_cache(0).build().expect("a right configuration");
    const SIZE: usize = (1 << 16) + 17;
    let mut tables: Vec<&'static mut [u8]> =
        (0..4).map(|_| vec![0; MemoryPool::tables_size(SIZE, 64)].leak()).collect();
    let asked = ASKED.get();
    with(0, || {
        for round in 0..20 {
            let mut heaps = [None::<HeapId>; 4];
            for (number, heap) in heaps.iter_mut().enumerate() {
                let tables = tables.pop().expect("there are four");
                *heap = pool.add_heap_with(at((number + 1) << 20), SIZE, tables).ok();
            }
            let layout = Layout::new::<[u8; 100]>();
            let mut blocks = [at(0); 100];
            assert_eq!(pool.alloc_batch(layout, &mut blocks), Ok(100));
            let block = pool.alloc(layout).expect("there is room");
            assert!(pool.resize_in_place(block, 1000).is_ok() | pool.resize_in_place(block, 1).is_ok());
            assert!(pool.alloc(Layout::new::<[u8; 1 << 18]>()).is_err());
            assert!(pool.release(block).is_ok() && pool.release_batch(&blocks).is_ok());
            pool.sweep();
            assert_eq!((pool.stats().heaps, pool.stats().live), (4, 0));
            assert!(pool.heap_map().count() >= 4);
            // In another order each time.
            for number in 0..4 {
                let heap = heaps[(number + round) % 4].expect("it was added");
                assert_eq!(pool.remove_heap(heap), Ok(()));
            }
            while let Some(back) = pool.take_tables() {
                tables.push(back);
            }
            assert_eq!(tables.len(), 4);
        }
    });
    assert_eq!(ASKED.get(), asked, "something was allocated");
}
