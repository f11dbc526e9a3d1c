//! Bad pointers while blocks are in caches: doubles, also racing ones, interior and foreign ones. Each is told for what
//! it is, by whichever thread, and nothing is lost by it.

use std::alloc::Layout;
use std::thread;

use crate::common::cached::{BASE, UNIT, UNITS, alloc, block_at, non_null, pool, refuses, release};
use crate::common::{Actor, at, released_once, together};
use mempool::BlockState::Cached;
use mempool::ReleaseError::{Foreign, Interior, NotLive};
use mempool::{MemoryPool, ReleaseError};

#[test]
fn a_block_in_the_own_cache() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    for size in (0..5).map(|order| UNIT << order) {
        // The last one that was allocated, and one that was not.
        let (first, last) = (alloc(shared, size), alloc(shared, size));
        for block in [last, first] {
            release(shared, block);
            assert_eq!(block_at(shared, block), Some((size, Cached)));
            refuses(shared, block, NotLive);
            refuses(shared, block + 1, NotLive);
            refuses(shared, block + size - 1, NotLive);
            refuses(shared, block + size / 2, NotLive);
        }
        refuses(shared, last, NotLive);
        // Whichever is handed out again is live once.
        let again = alloc(shared, size);
        assert!(again == first || again == last);
        refuses(shared, first + last - again, NotLive);
        release(shared, again);
        refuses(shared, again, NotLive);
    }
    pool.finish(|_| 0);
}

#[test]
fn a_block_in_the_cache_of_another_thread_and_on_its_way_home() {
    const BLOCKS: usize = 60;
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    thread::scope(|scope| {
        let [home, away, third] = std::array::from_fn(|_| Actor::new(scope));
        let told_by_all = |block: usize| {
            for actor in [&home, &away, &third] {
                actor.run(move || refuses(shared, block, NotLive));
            }
            refuses(shared, block, NotLive);
        };
        let blocks = home.run(|| [(); BLOCKS].map(|()| alloc(shared, UNIT)));
        let at_home = shared.stats().cached;
        // In the outbox of the other thread.
        away.run(move || release(shared, blocks[0]));
        assert_eq!(block_at(shared, blocks[0]), Some((UNIT, Cached)));
        told_by_all(blocks[0]);
        // The last one that the home allocated, which it then takes for its own no more.
        away.run(move || release(shared, blocks[BLOCKS - 1]));
        told_by_all(blocks[BLOCKS - 1]);
        // In the depot of its home: what is cached and does not go with the outboxes.
        away.run(move || blocks[1..BLOCKS - 1].iter().for_each(|block| release(shared, *block)));
        assert_eq!(shared.stats().cached, at_home + BLOCKS * UNIT);
        away.run(|| shared.flush_thread_cache());
        assert!((at_home + UNIT..at_home + BLOCKS * UNIT).contains(&shared.stats().cached));
        assert_eq!(block_at(shared, blocks[0]), Some((UNIT, Cached)));
        blocks.iter().for_each(|block| told_by_all(*block));
        // Back in the hands of its home.
        let taken = home.run(move || {
            let mut taken = Vec::new();
            while taken.last() != Some(&blocks[0]) {
                taken.push(alloc(shared, UNIT));
            }
            taken
        });
        third.run(move || {
            release(shared, blocks[0]);
            refuses(shared, blocks[0], NotLive);
        });
        told_by_all(blocks[0]);
        let others = taken[..taken.len() - 1].to_vec();
        home.run(move || others.iter().for_each(|block| release(shared, *block)));
        taken.iter().for_each(|block| told_by_all(*block));
        [home, away, third].into_iter().for_each(Actor::leave);
    });
    pool.finish(|_| 0);
}

#[test]
fn a_block_that_was_allocated_last_and_is_another_one_now() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    // Resized: a release takes what it is now.
    let block = alloc(shared, 4 * UNIT);
    assert_eq!(shared.resize_in_place(non_null(block), UNIT), Ok(UNIT));
    release(shared, block);
    assert_eq!(block_at(shared, block).map(|(size, _)| size), Some(UNIT));
    refuses(shared, block, NotLive);
    // Released to the heap, merged, and handed out past the cache, larger.
    shared.sweep();
    let block = alloc(shared, UNIT);
    shared.release_batch(&[at(block)]).expect("the block is live");
    refuses(shared, block, NotLive);
    shared.sweep();
    let mut blocks = [at(0)];
    let layout = Layout::from_size_align(8 * UNIT, 1).expect("a layout");
    assert_eq!(shared.alloc_batch(layout, &mut blocks), Ok(1));
    assert_eq!((blocks[0].addr(), shared.stats().live), (block, 8 * UNIT));
    refuses(shared, block + UNIT, Interior);
    release(shared, block);
    assert_eq!(block_at(shared, block).map(|(size, _)| size), Some(8 * UNIT));
    refuses(shared, block, NotLive);
    // Released by another thread, which hands it out again: a block of that thread now.
    thread::scope(|scope| {
        let other = Actor::new(scope);
        shared.sweep();
        let block = alloc(shared, UNIT);
        other.run(move || {
            release(shared, block);
            shared.flush_thread_cache();
        });
        refuses(shared, block, NotLive);
        let taken = other.run(move || {
            let mut taken = Vec::new();
            while taken.last() != Some(&block) {
                taken.push(alloc(shared, UNIT));
            }
            taken
        });
        release(shared, block);
        refuses(shared, block, NotLive);
        other.run(move || {
            refuses(shared, block, NotLive);
            taken[..taken.len() - 1].iter().for_each(|block| release(shared, *block));
        });
        other.leave();
    });
    pool.finish(|_| 0);
}

/// Threads that release the same blocks at once: of each, one release succeeds.
fn doubles(threads: usize, alloc_one: impl Fn(&MemoryPool, usize, usize) -> usize + Sync) {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    together(
        15_000,
        threads,
        |round| alloc_one(shared, round, UNIT << (round % 5)),
        |_, block| shared.hl_release(at(block)),
        |round, block, results: Vec<Result<(), ReleaseError>>| {
            released_once(&results);
            assert_eq!(shared.hl_release(at(block)), Err(NotLive));
            if round % 500 == 0 {
                assert_eq!(shared.stats().live, 0);
            }
        },
    );
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn the_block_allocated_last_released_by_two_threads_at_once() {
    doubles(2, |pool, _, size| alloc(pool, size));
}

#[test]
fn a_block_released_by_three_threads_at_once() {
    doubles(3, |pool, round, size| {
        let block = alloc(pool, size);
        // In some rounds it is not the one that was allocated last.
        if round % 3 == 0 {
            let last = alloc(pool, size);
            release(pool, last);
        }
        block
    });
}

#[test]
fn a_magazine_of_blocks_released_by_three_threads_at_once() {
    const BLOCKS: usize = 64;
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    together(
        2_000,
        3,
        |round| [(); BLOCKS].map(|()| alloc(shared, UNIT << (round % 3))),
        |thread, blocks| {
            let ok = |block: &&usize| shared.hl_release(at(**block)).is_ok();
            match thread {
                // The one that has allocated them.
                0 => blocks.iter().rev().filter(ok).count(),
                1 => blocks.iter().filter(ok).count(),
                _ => BLOCKS - shared.release_batch(&blocks.map(at)).map_or_else(|error| error.failed, |()| 0),
            }
        },
        |_, blocks, results| {
            assert_eq!(results.iter().sum::<usize>(), BLOCKS);
            assert_eq!(shared.stats().live, 0);
            assert!(blocks.iter().all(|block| shared.hl_release(at(*block)) == Err(NotLive)));
        },
    );
    pool.check();
    pool.finish(|_| 0);
}

#[test]
fn interior_and_foreign_pointers() {
    // Units that are not where the heap begins, a gap, and a second heap.
    let mut pool = pool(UNITS);
    let second = BASE + 2 * UNITS * UNIT + 24;
    pool.add(second, 100 * UNIT);
    let ids: Vec<_> = pool.oracle.heaps.iter().map(|heap| heap.id).collect();
    let shared = &pool.pool;
    let sizes = (0..5).map(|order| UNIT << order);
    let layouts = || sizes.clone().map(|size| Layout::from_size_align(size, 1).expect("a layout"));
    let in_heap = |id| layouts().map(move |layout| shared.alloc_in(id, layout).expect("there is room").addr().get());
    let blocks: Vec<usize> =
        ids.iter().flat_map(|id| in_heap(*id)).chain(sizes.clone().map(|size| alloc(shared, size))).collect();
    let outside = [
        1,
        BASE - UNIT,
        BASE - 1,
        BASE + UNITS * UNIT,
        BASE + (UNITS + 1) * UNIT,
        second - 24 - UNIT,
        second + 100 * UNIT,
        second + 101 * UNIT,
        usize::MAX,
        usize::MAX - UNIT + 1,
    ];
    // The cache works with the heap of the block that was allocated or released last.
    for turn in blocks.iter().rev().chain(&blocks) {
        let size = shared.block_size(non_null(*turn)).expect("the block is live");
        release(shared, *turn);
        refuses(shared, *turn, NotLive);
        let heap = shared.heap_of(non_null(*turn)).expect("it is in a heap");
        let again = shared.alloc_in(heap, Layout::from_size_align(size, 1).expect("a layout")).expect("there is room");
        assert_eq!(again.addr().get(), *turn, "the one that was released last");
        for address in outside {
            refuses(shared, address, Foreign);
        }
        for block in &blocks {
            let size = shared.block_size(non_null(*block)).expect("the block is live");
            for inside in [1, UNIT / 2, UNIT - 1, size / 2, size - UNIT, size - 1] {
                if inside > 0 {
                    refuses(shared, block + inside, Interior);
                }
            }
            // As far away as an index of 32 bits reaches, and a number of units; and at the other end of the address
            // space.
            let far = [1usize.checked_shl(32), UNIT.checked_shl(32), Some(1 << (usize::BITS - 1))];
            for far in far.into_iter().flatten() {
                refuses(shared, block.wrapping_add(far), Foreign);
            }
        }
        // Before the first unit of the second heap, and behind the last.
        refuses(shared, second, NotLive);
        refuses(shared, second + 100 * UNIT - 24, NotLive);
    }
    blocks.iter().for_each(|block| release(shared, *block));
    pool.finish(|_| 0);
}
