//! Threads that want the same thing at the same moment: to release one block, to resize it, to sweep, to add heaps.
//! The addresses are made up; a table of owners sees every overlap.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Lockstep, Owners, Random, at, join, released_once, together};
use mempool::{AddHeapError, MemoryPool, ReleaseError, ResizeError};

const UNIT: usize = 64;
const BASE: usize = 1 << 30;

fn pool(units: usize) -> Lockstep {
    let mut pool = Lockstep::new(UNIT, None);
    pool.add(BASE, units * UNIT);
    pool
}

fn non_null(block: *mut u8) -> NonNull<u8> {
    NonNull::new(block).expect("there was a block")
}

#[test]
fn a_block_released_by_two_threads_at_once() {
    let mut pool = pool(64);
    let shared = &pool.pool;
    together(
        60_000,
        2,
        |round| shared.hl_alloc(UNIT << (round % 4)).addr(),
        |_, block| shared.hl_release(at(block)),
        |_, block, results| {
            released_once(&results);
            assert_eq!(shared.hl_release(at(block)), Err(ReleaseError::NotLive));
        },
    );
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn many_blocks_released_by_three_threads_at_once() {
    const BLOCKS: usize = 64;
    let mut pool = pool(256);
    let shared = &pool.pool;
    together(
        2_000,
        3,
        |round| {
            let sizes = |number: usize| UNIT << ((round + number) % 3);
            std::array::from_fn::<usize, BLOCKS, _>(|number| shared.hl_alloc(sizes(number)).addr())
        },
        |thread, blocks| -> usize {
            match thread {
                0 => blocks.iter().filter(|block| shared.hl_release(at(**block)).is_ok()).count(),
                1 => blocks.iter().rev().filter(|block| shared.release(non_null(at(**block))).is_ok()).count(),
                _ => match shared.release_batch(&blocks.map(at)) {
                    Ok(()) => BLOCKS,
                    Err(error) => BLOCKS - error.failed,
                },
            }
        },
        |_, blocks, results| {
            let given = blocks.iter().filter(|block| **block != 0).count();
            // Null is fine for each; of every block there is one release.
            assert_eq!(results.iter().sum::<usize>(), given + 3 * (BLOCKS - given));
            assert_eq!(shared.stats().live, 0);
        },
    );
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn a_release_against_resizes_of_the_same_block() {
    let mut pool = pool(32);
    let shared = &pool.pool;
    together(
        40_000,
        3,
        // In the middle of its room, so that it can grow and shrink.
        |round| (round, shared.hl_alloc(UNIT << (1 + round % 3)).addr()),
        |thread, (round, block)| match thread {
            0 => shared.hl_release(at(block)).map(|()| 0).map_err(ResizeError::from),
            1 => shared.resize_in_place(non_null(at(block)), UNIT << ((round / 3 + 2) % 5)),
            _ if round % 2 == 0 => shared.resize_in_place(non_null(at(block)), UNIT << (round / 5 % 4)),
            _ => {
                shared.sweep();
                Ok(0)
            }
        },
        |_, (_, block), results| {
            for result in &results {
                let fine = matches!(
                    result,
                    Ok(_) | Err(ResizeError::NoRoom { .. }) | Err(ResizeError::NoBlock(ReleaseError::NotLive))
                );
                assert!(fine, "{results:?}");
            }
            assert_eq!(shared.hl_release(at(block)), Err(ReleaseError::NotLive), "it was released once");
            let stats = shared.stats();
            assert_eq!((stats.live, stats.in_transit, stats.free), (0, 0, stats.capacity));
            assert_eq!(stats.largest_free, 32 * UNIT);
        },
    );
    pool.check();
    pool.finish(|_| 0);
}

/// Allocates, resizes and releases at random, and owns what it has.
fn churn(pool: &MemoryPool, owners: &Owners, mut random: Random, rounds: usize) {
    let mut held: Vec<(*mut u8, usize)> = Vec::new();
    for _ in 0..rounds {
        match random.below(10) {
            0..5 if held.len() < 12 => {
                let size = UNIT << random.below(5);
                let block = pool.hl_alloc(size);
                if !block.is_null() {
                    owners.claim(block, size);
                    held.push((block, size));
                }
            }
            5 if !held.is_empty() => {
                let place = random.below(held.len());
                let (block, old) = held[place];
                let new = UNIT << random.below(5);
                // What it may lose is given up before, what it gained is claimed after.
                if new < old {
                    owners.resign(block.wrapping_add(new), old - new);
                }
                match pool.resize_in_place(non_null(block), new) {
                    Ok(size) => {
                        assert_eq!(size, new);
                        if new > old {
                            owners.claim(block.wrapping_add(old), new - old);
                        }
                        held[place].1 = new;
                    }
                    Err(ResizeError::NoRoom { size, .. }) if new > old => assert_eq!(size, old),
                    Err(error) => panic!("{error:?}: {old} to {new}"),
                }
            }
            _ if !held.is_empty() => {
                let (block, size) = held.swap_remove(random.below(held.len()));
                assert_eq!(pool.block_size(non_null(block)), Ok(size));
                owners.resign(block, size);
                assert_eq!(pool.hl_release(block), Ok(()));
            }
            _ => {}
        }
    }
    for (block, size) in held {
        owners.resign(block, size);
        assert_eq!(pool.hl_release(block), Ok(()));
    }
}

#[test]
fn sweeps_against_each_other_and_against_everything() {
    let units = 256;
    let mut pool = pool(units);
    let owners = Owners::new(BASE, UNIT, units);
    let random = Random::from_environment();
    let done = AtomicBool::new(false);
    let (shared, ended) = (&pool.pool, &done);
    thread::scope(|scope| {
        let sweep = || {
            while !ended.load(Ordering::Relaxed) {
                shared.sweep();
                let stats = shared.stats();
                assert_eq!(stats.capacity, units * UNIT);
                assert!(shared.heap_map().map(|block| block.size).sum::<usize>() <= 2 * stats.capacity);
            }
        };
        let sweepers: Vec<_> = (0..2).map(|_| scope.spawn(sweep)).collect();
        let churners: Vec<_> = (0..3)
            .map(|number| (random.stream(number), &owners))
            .map(|(random, owners)| scope.spawn(move || churn(shared, owners, random, 150_000)))
            .collect();
        let results: Vec<_> = churners.into_iter().map(|churner| churner.join()).collect();
        done.store(true, Ordering::Relaxed);
        join(sweepers);
        assert!(results.iter().all(Result::is_ok));
    });
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn heaps_added_while_others_allocate() {
    const HEAPS: usize = 40;
    const UNITS: usize = 19;
    let mut pool = pool(UNITS);
    let owners = Owners::new(BASE, UNIT, UNITS * HEAPS);
    let random = Random::from_environment();
    let shared = &pool.pool;
    thread::scope(|scope| {
        let churners: Vec<_> = (0..3)
            .map(|number| (random.stream(number), &owners))
            .map(|(random, owners)| scope.spawn(move || churn(shared, owners, random, 150_000)))
            .collect();
        for number in 1..HEAPS {
            // Adjacent ones: no block may span two.
            let id = shared.add_heap(at(BASE + number * UNITS * UNIT), UNITS * UNIT).expect("a heap");
            assert_eq!(id.get() as usize, number);
            for _ in 0..50 {
                let block = shared.alloc_in(id, std::alloc::Layout::new::<[u8; UNIT]>());
                let Ok(block) = block else { continue };
                assert_eq!(shared.heap_of(block), Some(id));
                owners.claim(block.as_ptr(), UNIT);
                owners.resign(block.as_ptr(), UNIT);
                shared.release(block).expect("the block is live");
            }
        }
        join(churners);
    });
    for number in 1..HEAPS {
        let base = BASE + number * UNITS * UNIT;
        let id = shared.heap_of(non_null(at(base))).expect("it was added");
        pool.oracle.add(id, base, UNITS * UNIT);
    }
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn overlapping_heaps_added_at_once() {
    let pool = MemoryPool::new();
    let rounds = together(
        3_000,
        3,
        |round| BASE + round * 16 * UNIT,
        // Each overlaps the other two.
        |thread, base| pool.add_heap(at(base + thread * UNIT), 12 * UNIT),
        |round, base, results| {
            let won: Vec<_> = results.iter().filter_map(|result| result.ok()).collect();
            assert_eq!(won.len(), 1, "{results:?}");
            assert_eq!(won[0].get() as usize, round);
            let others = results.iter().filter(|result| **result == Err(AddHeapError::Overlap { heap: won[0] }));
            assert_eq!(others.count(), 2, "{results:?}");
            assert_eq!(pool.heap_of(non_null(at(base + 4 * UNIT))), Some(won[0]));
        },
    );
    assert_eq!(pool.stats().heaps, rounds);
    assert_eq!(pool.stats().capacity, rounds * 12 * UNIT);
}
