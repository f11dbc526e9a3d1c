//! Heaps that go while others use the pool.

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::{Random, join};
use mempool::{AllocError, HeapId, MemoryPool, ReleaseError, RemoveHeapError};

/// Only a number: nothing is there.
const BASE: usize = 1 << 30;
const SIZE: usize = 1 << 20;

fn base(number: usize) -> *mut u8 {
    ptr::without_provenance_mut(BASE + number * SIZE)
}

fn one_heap() -> (MemoryPool, HeapId) {
    let pool = MemoryPool::new();
    let id = pool.add_heap(base(0), SIZE).unwrap();
    (pool, id)
}

#[test]
fn a_heap_that_nobody_uses_goes_and_its_addresses_are_free() {
    let (pool, first) = one_heap();
    let second = pool.add_heap(base(1), SIZE).unwrap();
    pool.remove_heap(first).unwrap();
    assert_eq!(pool.stats().capacity, SIZE);
    assert_eq!(pool.remove_heap(first), Err(RemoveHeapError::UnknownHeap { heap: first }));
    assert_eq!(pool.hl_release(base(0)), Err(ReleaseError::Foreign));
    let unit = Layout::new::<[u8; 64]>();
    assert!(matches!(pool.alloc_in(first, unit), Err(AllocError::UnknownHeap { .. })));
    // Ids are not used again, and the others keep theirs.
    let third = pool.add_heap(base(0), SIZE).unwrap();
    assert!(third > second);
    let block = pool.alloc_in(third, unit).unwrap();
    assert_eq!(pool.heap_of(block), Some(third));
    pool.release(block).unwrap();
    pool.remove_heap(second).unwrap();
    pool.remove_heap(third).unwrap();
    assert!(matches!(pool.alloc(unit), Err(AllocError::NoHeap { .. })));
    assert!(pool.hl_alloc(64).is_null());
    assert_eq!(pool.heap_map().count(), 0);
}

#[test]
fn a_heap_in_use_stays_as_it_was() {
    let (pool, id) = one_heap();
    let live = pool.hl_alloc(1000);
    // Some of the heap is in this thread's cache, which is no reason.
    pool.hl_release(pool.hl_alloc(64)).unwrap();
    for _ in 0..3 {
        let refused = pool.remove_heap(id).unwrap_err();
        assert!(matches!(refused, RemoveHeapError::InUse { live: 1024, cached: 0, in_transit: 0, .. }), "{refused}");
        let next = pool.hl_alloc(5000);
        assert!(!next.is_null());
        pool.hl_release(next).unwrap();
    }
    pool.hl_release(live).unwrap();
    pool.remove_heap(id).unwrap();
}

#[test]
fn what_another_thread_has_cached_is_named_and_comes_back() {
    let (pool, id) = one_heap();
    let pool = &pool;
    let (turn, refused) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            pool.hl_release(pool.hl_alloc(64)).unwrap();
            turn.store(1, Ordering::Release);
            while !refused.load(Ordering::Acquire) {
                thread::yield_now();
            }
            // The next operation gives it back, though it is none of this heap.
            pool.flush_thread_cache();
            turn.store(2, Ordering::Release);
        });
        while turn.load(Ordering::Acquire) < 1 {
            thread::yield_now();
        }
        let error = pool.remove_heap(id).unwrap_err();
        assert!(matches!(error, RemoveHeapError::InUse { live: 0, cached: 64.., caches: 1, .. }), "{error}");
        refused.store(true, Ordering::Release);
        while turn.load(Ordering::Acquire) < 2 {
            thread::yield_now();
        }
        pool.remove_heap(id).unwrap();
        join(vec![other]);
    });
}

#[test]
fn what_a_thread_left_that_is_gone_is_no_reason() {
    let (pool, id) = one_heap();
    thread::scope(|scope| {
        join(vec![scope.spawn(|| {
            let blocks = [(); 100].map(|()| pool.hl_alloc(64));
            blocks.iter().for_each(|block| pool.hl_release(*block).unwrap());
        })]);
    });
    pool.remove_heap(id).unwrap();
}

/// The window of this thread shows a heap that is gone when another one has its addresses, and its numbers.
#[test]
fn a_new_heap_at_the_addresses_of_one_that_is_gone_is_another_one() {
    let (pool, mut id) = one_heap();
    for round in 0..100 {
        let blocks = [(); 200].map(|()| pool.hl_alloc(64 + round));
        assert!(blocks.iter().all(|block| !block.is_null()));
        assert_eq!(pool.stats().live, 200 * 64usize.max((64 + round).next_power_of_two()));
        blocks.iter().for_each(|block| pool.hl_release(*block).unwrap());
        pool.remove_heap(id).unwrap();
        assert_eq!(pool.hl_release(blocks[199]), Err(ReleaseError::Foreign));
        id = pool.add_heap(base(0), SIZE).unwrap();
        assert_eq!(pool.hl_release(blocks[199]), Err(ReleaseError::NotLive));
        assert_eq!(pool.hl_release(blocks[0]), Err(ReleaseError::NotLive));
    }
}

/// Units have 32-bit numbers in a pool: here they are used up after a few hundred heaps.
#[test]
fn numbers_of_units_are_used_again() {
    let pool = MemoryPool::builder().min_block(16).build().unwrap();
    let size = 256 << 20;
    let keep = pool.add_heap(base(0), SIZE).unwrap();
    for _ in 0..600 {
        let id = pool.add_heap(base(2), size).unwrap();
        let block = pool.alloc_in(id, Layout::new::<[u8; 16]>()).unwrap();
        pool.release(block).unwrap();
        // Through the cache: so the heap has numbers.
        let blocks = [(); 10].map(|()| pool.hl_alloc(16));
        blocks.iter().for_each(|block| pool.hl_release(*block).unwrap());
        pool.remove_heap(id).unwrap();
    }
    pool.remove_heap(keep).unwrap();
    let before = pool.stats().cache_allocations;
    pool.add_heap(base(2), size).unwrap();
    pool.hl_release(pool.hl_alloc(16)).unwrap();
    assert!(pool.stats().cache_allocations > before, "the heap is used with caches");
}

/// A failure that was remembered does not outlive what made it true.
#[test]
fn failures_are_forgotten_when_heaps_come_and_go() {
    let pool = MemoryPool::builder().thread_cache(0).build().unwrap();
    let mut ids = vec![pool.add_heap(base(0), SIZE).unwrap()];
    for round in 1..200 {
        let whole = pool.alloc(Layout::from_size_align(SIZE, 1).unwrap()).unwrap();
        assert!(pool.hl_alloc(64).is_null() && pool.hl_alloc(SIZE).is_null());
        ids.push(pool.add_heap(base(round), SIZE).unwrap());
        let block = pool.hl_alloc(64);
        assert!(!block.is_null(), "round {round}");
        assert!(pool.hl_alloc(SIZE).is_null());
        pool.hl_release(block).unwrap();
        pool.release(whole).unwrap();
        pool.remove_heap(ids.remove(0)).unwrap();
    }
}

/// Threads allocate, release and fail in three heaps that come and go. Nobody has a block of a heap that is gone, and
/// no heap goes of which somebody has a block.
#[test]
fn heaps_come_and_go_under_load() {
    const HEAPS: usize = 4;
    let rounds = 4000;
    let random = Random::from_environment();
    let pool = MemoryPool::new();
    let ids: Vec<_> = (0..HEAPS).map(|number| pool.add_heap(base(number), SIZE).unwrap()).collect();
    let (pool, stop) = (&pool, AtomicBool::new(false));
    thread::scope(|scope| {
        let users: Vec<_> = (0..3)
            .map(|number| {
                let (stop, random) = (&stop, &random);
                scope.spawn(move || {
                    let (mut live, mut random) = (Vec::new(), random.stream(number));
                    while !stop.load(Ordering::Relaxed) {
                        let choice = random.next();
                        if choice.is_multiple_of(3) || live.len() > 50 {
                            // Now and then all of it, so that heaps can go.
                            let keep = if choice.is_multiple_of(7) { 0 } else { live.len() / 2 };
                            for block in live.drain(keep..) {
                                pool.hl_release(block).unwrap();
                            }
                            pool.flush_thread_cache();
                        } else if choice.is_multiple_of(64) {
                            _ = pool.hl_alloc(2 * SIZE);
                            pool.heap_map().count();
                        } else {
                            let block = pool.hl_alloc(1 << (choice >> 4 & 15));
                            if !block.is_null() {
                                live.push(block);
                            }
                        }
                    }
                    live.into_iter().for_each(|block| pool.hl_release(block).unwrap());
                })
            })
            .collect();
        let (mut ids, mut gone) = (ids, 0);
        for round in 0..rounds {
            let place = round % HEAPS;
            match pool.remove_heap(ids[place]) {
                Ok(()) => {
                    gone += 1;
                    ids[place] = pool.add_heap(base(place), SIZE).unwrap();
                }
                Err(RemoveHeapError::InUse { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        join(users);
        assert!(gone > 0, "some heaps have gone");
        for id in ids {
            pool.remove_heap(id).unwrap();
        }
    });
    assert_eq!(pool.stats().capacity, 0);
}
