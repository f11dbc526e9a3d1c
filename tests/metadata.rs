//! A pool whose tables can't be had: this program's global allocator fails when it is told to, in one thread, and counts
//! what is allocated there. Each allocation of each operation fails once; it is an error then, the pool is as it was,
//! and nothing leaks.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;

use common::{Gate, at};
use mempool::{AddHeapError, Block, MemoryPool, ReleaseError};

thread_local! {
    /// Allocations of this thread that still succeed; `None`: all do.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    /// Allocations that this thread has asked for.
    static ASKED: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread has allocated and not freed.
    static BALANCE: Cell<isize> = const { Cell::new(0) };
}

struct Failing;

impl Failing {
    /// Does this allocation succeed?
    fn grant(layout: Layout) -> bool {
        ASKED.set(ASKED.get() + 1);
        let granted = LEFT.get() != Some(0);
        if granted {
            LEFT.set(LEFT.get().map(|left| left - 1));
            BALANCE.set(BALANCE.get() + layout.size() as isize);
        }
        granted
    }
}

// SAFETY: what is granted is the system's memory; null is a failure, as the trait says. The thread-locals have no
// destructors and are initialised without allocating.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout is passed on.
        if Self::grant(layout) { unsafe { System.alloc(layout) } } else { at(0) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        if Self::grant(layout) { unsafe { System.alloc_zeroed(layout) } } else { at(0) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        BALANCE.set(BALANCE.get() - layout.size() as isize);
        // SAFETY: the caller's promise about the place is passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static GLOBAL: Failing = Failing;

/// Runs with only `allowed` allocations of this thread succeeding.
fn with<R>(allowed: usize, run: impl FnOnce() -> R) -> R {
    LEFT.set(Some(allowed));
    let result = run();
    LEFT.set(None);
    result
}

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
            assert_eq!(BALANCE.get(), balance, "failure {failures} leaks");
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

/// Threads that add heaps at the same moment build snapshots of which one is used and the others are freed.
#[test]
fn racing_additions_leak_nothing() {
    const THREADS: usize = 3;
    for round in 0..400 {
        let pool = MemoryPool::new();
        let (shared, gate) = (&pool, &Gate::new(THREADS));
        let add = move |thread: usize| {
            // The first use of the set by a thread allocates.
            assert_eq!(shared.stats().live, 0);
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

#[test]
fn nothing_but_add_heap_and_the_first_use_of_a_thread_allocates() {
    let pool = MemoryPool::new();
    for heap in 1..4 {
        pool.add_heap(at(heap << 16), 4096 * 3 + 17).expect("a heap");
    }
    let mut blocks = [at(0); 100];
    let mut held = [at(0); 2000];
    let asked = ASKED.get();
    pool.flush_thread_cache();
    assert!(ASKED.get() > asked, "the thread has no cache");
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
