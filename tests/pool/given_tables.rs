//! Heaps that come with their tables: how many bytes these take, where they may lie, and how they go back.

use std::thread;

use crate::common::{Random, at};
use mempool::{AddHeapError, HeapId, MemoryPool, RemoveHeapError};

const UNIT: usize = 64;
const BASE: usize = 1 << 30;

/// Bytes of any values: none of them is zero.
fn dirty(len: usize) -> &'static mut [u8] {
    vec![0xA5; len].leak()
}

fn needed(pool: &MemoryPool, base: usize, size: usize) -> usize {
    match pool.add_heap_with(at(base), size, &mut []) {
        Err(AddHeapError::TablesTooSmall { size: 0, needed }) => needed,
        other => panic!("{other:?}"),
    }
}

/// Allocates all single blocks, then releases them.
fn use_all(pool: &MemoryPool, blocks: usize) {
    let all: Vec<_> = std::iter::repeat_with(|| pool.hl_alloc(UNIT)).take_while(|block| !block.is_null()).collect();
    assert_eq!(all.len(), blocks);
    all.iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
    pool.sweep();
}

#[test]
fn the_size_suffices_wherever_heap_and_tables_begin() {
    let mut random = Random::from_environment();
    for len in [64, 65, 127, 128, 1000, 4096, 1 << 16, (1 << 20) + 8191] {
        for _ in 0..20 {
            let (lead, skip) = (random.below(4096), random.below(257));
            let pool = MemoryPool::builder().thread_cache(0).build().expect("a right configuration");
            let size = MemoryPool::tables_size(len, UNIT);
            let tables = &mut dirty(size + skip)[skip..];
            let units = (BASE + lead + len) / UNIT - (BASE + lead).div_ceil(UNIT);
            match pool.add_heap_with(at(BASE + lead), len, tables) {
                Ok(_) => use_all(&pool, units),
                Err(AddHeapError::TooSmall { .. }) => assert_eq!(units, 0),
                Err(error) => panic!("{len} bytes after {lead}, tables after {skip}: {error}"),
            }
        }
    }
}

#[test]
fn tables_that_are_too_small_say_how_many_bytes_suffice() {
    let pool = MemoryPool::new();
    let needed = needed(&pool, BASE, 1 << 16);
    assert!(needed <= MemoryPool::tables_size(1 << 16, UNIT));
    let short = AddHeapError::TablesTooSmall { size: needed - 1, needed };
    assert_eq!(pool.add_heap_with(at(BASE), 1 << 16, dirty(needed - 1)), Err(short));
    assert_eq!(pool.take_tables().map(|tables| tables.len()), Some(needed - 1));
    assert!(pool.take_tables().is_none());
    assert_eq!(
        short.to_string(),
        format!("the tables have {} bytes; this heap, in this pool, needs {needed}", needed - 1)
    );
    let heap = pool.add_heap_with(at(BASE), 1 << 16, dirty(needed)).expect("enough");
    assert_eq!(pool.stats_of(heap).map(|heap| heap.free), Some(1 << 16));
}

#[test]
fn an_error_leaves_the_tables_to_be_taken_back() {
    let pool = MemoryPool::new();
    let tables = dirty(MemoryPool::tables_size(4096, UNIT));
    let (len, first) = (tables.len(), tables.as_ptr());
    assert_eq!(pool.add_heap_with(at(0), 4096, tables), Err(AddHeapError::Null));
    let tables = pool.take_tables().expect("they go back");
    assert_eq!((tables.len(), tables.as_ptr()), (len, first));
    let heap = pool.add_heap(at(BASE), 64).expect("a heap");
    let overlap = Err(AddHeapError::Overlap { heap });
    assert_eq!(pool.add_heap_with(at(BASE - 64), 4096, tables), overlap);
    assert_eq!(pool.take_tables().map(|tables| tables.len()), Some(len));
    // They are lost.
    assert!(pool.add_heap_with(at(0), 4096, dirty(7)).is_err());
    assert!(pool.take_tables().is_none());
}

#[test]
fn tables_lie_anywhere_but_in_the_heap() {
    let pool = MemoryPool::new();
    let size = MemoryPool::tables_size(4096, UNIT);
    let region = dirty(4096 + 2 * size);
    let first = region.as_mut_ptr();
    let mut tables = &mut region[size..2 * size];
    // The heap is around them, ends in them, is inside of them, or begins in them.
    for (begin, len) in [(0, 4096 + 2 * size), (0, size + 1), (size + 1, 128), (2 * size - 1, 128)] {
        let overlap = AddHeapError::TablesOverlap { base: tables.as_ptr().addr(), size };
        assert_eq!(pool.add_heap_with(first.wrapping_add(begin), len, tables), Err(overlap), "{begin}, {len}");
        assert!(overlap.to_string().starts_with(&format!("the tables, {size} bytes from 0x")));
        tables = pool.take_tables().expect("they go back");
    }
    // They begin where it ends.
    pool.add_heap_with(first, size, tables).expect("they don't overlap");
    // They are a block of another heap: that is the caller's as any memory is.
    let heap = dirty(1 << 17);
    pool.add_heap(heap.as_mut_ptr(), heap.len()).expect("a heap");
    let block = pool.hl_alloc(size);
    assert!(!block.is_null());
    // SAFETY: a live block of that length, which is never released.
    let tables = unsafe { std::slice::from_raw_parts_mut(block, size) };
    pool.add_heap_with(at(BASE), 4096, tables).expect("they don't overlap");
}

#[test]
fn a_region_is_used_to_the_last_byte() {
    for len in [20_000, 65_536, (1 << 20) + 77] {
        let region = dirty(len);
        let tables = MemoryPool::tables_size_within(len, UNIT);
        let (heap, tables) = region.split_at_mut(len - tables);
        assert!(MemoryPool::tables_size(heap.len(), UNIT) <= tables.len());
        assert!(MemoryPool::tables_size(heap.len() + 1, UNIT) > tables.len() - 1);
        let pool = MemoryPool::builder().thread_cache(0).build().expect("a right configuration");
        pool.add_heap_with(heap.as_mut_ptr(), heap.len(), tables).expect("a heap");
        let blocks: Vec<_> =
            std::iter::repeat_with(|| pool.hl_alloc(UNIT)).take_while(|block| !block.is_null()).collect();
        // Less than a unit is lost at each end.
        assert!((heap.len() / UNIT).saturating_sub(blocks.len()) <= 1);
        for block in &blocks {
            // SAFETY: a live block, and nobody else's.
            unsafe { block.write_bytes(0xFF, UNIT) };
        }
        assert_eq!(pool.stats().live, blocks.len() * UNIT);
        blocks.iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
        pool.sweep();
        assert_eq!((pool.stats().free, pool.stats().live), (blocks.len() * UNIT, 0));
    }
    assert!(MemoryPool::tables_size_within(100, UNIT) > 100, "there is no room for a heap");
}

#[test]
fn tables_go_back_and_are_used_again() {
    let pool = MemoryPool::new();
    let mut tables = dirty(MemoryPool::tables_size(1 << 16, UNIT));
    let all = tables.len();
    let mut rest = None;
    for round in 0..100 {
        let heap = pool.add_heap_with(at(BASE), 1 << 16, tables).expect("they suffice");
        assert_eq!(heap.get(), round);
        let block = pool.hl_alloc(1000);
        assert!(pool.take_tables().is_none(), "they are in use");
        assert!(matches!(pool.remove_heap(heap), Err(RemoveHeapError::InUse { .. })));
        pool.hl_release(block).expect("it is live");
        pool.remove_heap(heap).expect("nobody uses it");
        // A window shows the heap until the thread comes by.
        assert!(pool.hl_alloc(1).is_null());
        tables = pool.take_tables().expect("they go back");
        assert!(pool.take_tables().is_none());
        assert_eq!(*rest.get_or_insert(tables.len()), tables.len());
        tables.fill(0x5A);
    }
    let kept = all - rest.expect("there were rounds");
    assert!(0 < kept && kept <= 1024, "{kept} bytes stay with the pool");
}

/// More heaps than `tables_size` is for, of both kinds, which go in another order than they came.
#[test]
fn many_heaps_of_both_kinds() {
    let pool = MemoryPool::new();
    let size = |heap: usize| UNIT << (heap % 5);
    let base = |heap: usize| at(BASE + (heap << 12));
    let mut given = 0;
    let mut heaps: Vec<HeapId> = (0..200)
        .map(|heap| {
            if heap % 7 == 6 {
                return pool.add_heap(base(heap), size(heap)).expect("a heap");
            }
            let needed = needed(&pool, BASE + (heap << 12), size(heap));
            let suffices = MemoryPool::tables_size(size(heap), UNIT);
            assert!(heap >= 8 || needed <= suffices, "heap {heap}: {needed} of {suffices}");
            given += 1;
            pool.add_heap_with(base(heap), size(heap), dirty(needed)).expect("they suffice")
        })
        .collect();
    assert!(heaps.is_sorted());
    let capacity: usize = (0..200).map(size).sum();
    use_all(&pool, capacity / UNIT);
    let mut random = Random::from_environment();
    let mut back = 0;
    while !heaps.is_empty() {
        let heap = heaps.swap_remove(random.below(heaps.len()));
        pool.remove_heap(heap).expect("nobody uses it");
        back += std::iter::from_fn(|| pool.take_tables()).count();
        assert_eq!(pool.stats().heaps, heaps.len());
    }
    _ = pool.hl_alloc(1);
    back += std::iter::from_fn(|| pool.take_tables()).count();
    assert_eq!(back, given);
}

/// Heaps with their tables come and go while others allocate and read the set.
#[test]
fn heaps_with_tables_come_and_go_under_load() {
    const SIZE: usize = 1 << 14;
    const ROUNDS: usize = if cfg!(miri) { 10 } else { 2000 };
    let pool = MemoryPool::new();
    let (stop, base) = (std::sync::atomic::AtomicBool::new(false), |heap: usize| at(BASE + heap * SIZE));
    let tables = MemoryPool::tables_size(SIZE, UNIT);
    pool.add_heap_with(base(9), SIZE, dirty(tables)).expect("a heap");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let blocks = [64, 200, 1000].map(|size| pool.hl_alloc(size));
                    assert!(pool.stats().heaps > 0);
                    blocks.iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
                    pool.flush_thread_cache();
                }
            });
        }
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let pool = &pool;
                scope.spawn(move || {
                    let mut own = vec![dirty(tables), dirty(tables)];
                    let mut heaps: [Option<HeapId>; 2] = [None; 2];
                    for round in 0..ROUNDS {
                        let place = round % 2;
                        if let Some(heap) = heaps[place] {
                            match pool.remove_heap(heap) {
                                Ok(()) => heaps[place] = None,
                                // Or its new set finds no place: readers have the last ones.
                                Err(RemoveHeapError::InUse { .. } | RemoveHeapError::MetadataUnavailable { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                        own.extend(pool.take_tables());
                        if heaps[place].is_none()
                            && let Some(tables) = own.pop()
                        {
                            let heap = pool.add_heap_with(base(2 * worker + place), SIZE, tables);
                            heaps[place] = Some(heap.expect("they suffice"));
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().expect("it does not panic"));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    pool.sweep();
    let stats = pool.stats();
    assert_eq!((stats.live, stats.in_transit), (0, 0));
}
