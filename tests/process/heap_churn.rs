//! 100 000 heaps come and go under load: nothing is leaked, and nothing is read that was freed.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use mempool::{MemoryPool, RemoveHeapError};

/// Counts what is allocated, and overwrites what is freed: states that are read in it are those of live blocks where
/// none are, and links and pointers lead nowhere.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: what the system allocator does, and the caller's promises are handed on to it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the block is the allocator's from here on, and has that many bytes.
        unsafe { block.write_bytes(0x45, layout.size()) };
        // SAFETY: handed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_hundred_thousand_heaps_leave_nothing() {
    const ROUNDS: usize = 100_000;
    const SIZE: usize = 1 << 14;
    let base = |number: usize| ptr::without_provenance_mut((1 << 30) + number * SIZE);
    let pool = MemoryPool::builder().min_block(64).build().unwrap();
    // A heap that stays, so that there is always one.
    let stays = pool.add_heap(base(8), 4 * SIZE).unwrap();
    let (stop, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let users: Vec<_> = (0..2)
            .map(|number: usize| {
                let (pool, stop) = (&pool, &stop);
                scope.spawn(move || {
                    let mut turn = number;
                    while !stop.load(Ordering::Relaxed) {
                        turn += 1;
                        let blocks = [64, 200, 64, 1000, 64].map(|size| pool.hl_alloc(size << (turn % 3)));
                        blocks.iter().for_each(|block| pool.hl_release(*block).unwrap());
                        if turn.is_multiple_of(5) {
                            _ = pool.hl_alloc(1 << 20);
                        }
                        pool.flush_thread_cache();
                    }
                })
            })
            .collect();
        let (mut ids, mut gone) = ([None; 4], 0);
        while gone < ROUNDS {
            let place = gone % ids.len();
            match ids[place].map(|id| pool.remove_heap(id)) {
                None | Some(Ok(())) => {
                    ids[place] = Some(pool.add_heap(base(place), SIZE).unwrap());
                    gone += 1;
                }
                Some(Err(RemoveHeapError::InUse { .. })) => thread::yield_now(),
                Some(Err(error)) => panic!("{error}"),
            }
            if gone.is_multiple_of(1000) {
                most.fetch_max(ALLOCATED.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        stop.store(true, Ordering::Relaxed);
        for user in users {
            user.join().unwrap();
        }
        for id in ids.into_iter().flatten() {
            pool.remove_heap(id).unwrap();
        }
    });
    pool.remove_heap(stays).unwrap();
    // A heap's tables have 1.5 KiB: 100 000 of them would be 150 MiB. What there is at a time is what waits to be
    // freed.
    let most = most.load(Ordering::Relaxed);
    println!("{most} bytes were allocated at most");
    assert!(most < 16 << 20, "{most} bytes were allocated at a time");
}
