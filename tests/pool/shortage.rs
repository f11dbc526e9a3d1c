//! Nothing is stranded: what is free can be had, whatever happened before, and what is not free is counted where it is.
//! A failure says so, and costs no more than it must.

use std::alloc::Layout;
use std::sync::Mutex;
use std::{mem, ptr, thread};

use crate::common::cached::{BASE, UNIT, UNITS, alloc, alloc_all, bound, fill, most_in_depot, non_null, pool, release};
use crate::common::{Actor, History, Lockstep, Random, at};
use mempool::{AllocError, BlockState, MemoryPool, PoolStats};

const THREADS: usize = 4;
const WHOLE: usize = UNITS * UNIT;

/// Blocks that threads have left for each other.
type Pile = Mutex<Vec<usize>>;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

/// Ways to allocate; 0 where there is no block.
const WAYS: [fn(&MemoryPool, usize) -> usize; 4] = [
    |pool, size| pool.hl_alloc(size).addr(),
    |pool, size| pool.alloc(layout(size)).map_or(0, |block| block.addr().get()),
    |pool, size| {
        let block = pool.heap_stats().find_map(|heap| pool.alloc_in(heap.heap, layout(size)).ok());
        block.map_or(0, |block| block.addr().get())
    },
    |pool, size| {
        let mut block = [ptr::null_mut()];
        pool.alloc_batch(layout(size), &mut block).map_or(0, |_| block[0].addr())
    },
];

/// An allocation fails, and says what there is. Returns the figures.
fn fails(pool: &MemoryPool, requested: usize) -> PoolStats {
    let error = pool.alloc(layout(requested)).expect_err("some of it is not free");
    let stats = pool.stats();
    let PoolStats { largest_free, free, capacity, .. } = stats;
    assert_eq!(error, AllocError::OutOfMemory { requested, largest_free, free, capacity }, "{stats}");
    stats
}

/// Threads that each have a part in a history, and then do nothing, but keep what they have cached.
fn histories<'scope>(
    pool: &'scope MemoryPool,
    threads: &[Actor<'scope>],
    pile: &'scope Pile,
    random: &mut Random,
    largest: usize,
) {
    let streams = random.clone();
    Actor::all(threads, move |thread| History::new(pool, largest, pile, streams.stream(thread as u64)).run(600));
    random.next();
}

/// Releases the blocks of a pile, except the first few.
fn release_pile(pool: &MemoryPool, pile: &Pile, keep: usize) {
    let mut pile = pile.lock().expect("no thread died");
    let keep = keep.min(pile.len());
    pile.drain(keep..).for_each(|block| release(pool, block));
}

#[test]
fn one_sweep_merges_all_that_threads_left_whatever_they_did() {
    let mut random = Random::from_environment();
    // Of several sizes, with ends of every size, and two side by side.
    let heaps = [(BASE + 1000, 700_001), (2 * BASE, 1 << 20), (2 * BASE + (1 << 20), 12_345), (3 * BASE - 16, 250_000)];
    for (min_block, max_block, thread_cache) in [
        (64, None, usize::MAX),
        (16, None, 5000),
        (64, Some(1 << 10), usize::MAX),
        (1024, None, usize::MAX),
        (128, Some(1 << 16), 0),
    ] {
        let builder = MemoryPool::builder().thread_cache(thread_cache);
        let mut pool = Lockstep::with(min_block, max_block, builder);
        heaps.iter().for_each(|(base, size)| _ = pool.add(*base, *size));
        let pile = Pile::default();
        let mut most_left = 0;
        // No block is live at last, then a few, then many.
        for keep in [0, 20, usize::MAX] {
            let shared = &pool.pool;
            thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| Actor::new(scope));
                histories(shared, &threads, &pile, &mut random, 1 << 17);
                threads.into_iter().for_each(Actor::leave);
            });
            release_pile(shared, &pile, keep);
            most_left = most_left.max(shared.stats().cached);
            let live = mem::take(&mut *pile.lock().expect("no thread died"));
            for block in &live {
                let size = pool.pool.block_size(non_null(*block)).expect("the block is live");
                pool.oracle.take(*block, (size / min_block).ilog2(), |_| true);
            }
            pool.sweep();
            pool.check();
            assert_eq!(pool.pool.stats().cached, 0);
            live.iter().for_each(|block| pool.release(*block).expect("the block is live"));
        }
        assert_eq!(most_left > 0, thread_cache > 0, "ended threads left something");
        pool.finish(|_| 0);
    }
}

#[test]
fn what_parked_threads_hold_is_counted_to_the_byte_and_given_at_their_next_operation() {
    // What they do next, of which they have nothing in their caches afterwards.
    let operations: [fn(&MemoryPool); 5] = [
        MemoryPool::flush_thread_cache,
        |pool| _ = pool.sweep(),
        |pool| _ = pool.largest_free_block(),
        |pool| assert!(pool.hl_alloc(WHOLE).is_null(), "the last thread has something still"),
        // Too large for a cache.
        |pool| _ = alloc(pool, WHOLE / 16),
    ];
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    let bound = bound(shared, usize::MAX);
    thread::scope(|scope| {
        let threads = operations.map(|_| Actor::new(scope));
        for _ in 0..3 {
            let held = fill(shared, &threads);
            assert!(held.iter().all(|held| (bound / 2..=bound).contains(held)), "{held:?} of {bound} bytes");
            let mut cached = held.iter().sum();
            for ((thread, operation), held) in threads.iter().zip(operations).zip(held) {
                let stats = fails(shared, WHOLE);
                assert_eq!((stats.cached, stats.free + stats.cached), (cached, WHOLE), "{stats}");
                thread.run(move || operation(shared));
                cached -= held;
            }
            assert_eq!((fails(shared, WHOLE).cached, cached), (0, 0));
            let live = shared.heap_map().find(|block| block.state == BlockState::Live).expect("the last one's");
            release(shared, BASE + live.offset);
            release(shared, alloc(shared, WHOLE));
        }
        threads.into_iter().for_each(Actor::leave);
    });
    pool.finish(|_| 0);
}

#[test]
fn what_gone_threads_left_goes_back_before_an_allocation_fails() {
    for way in WAYS {
        let mut pool = pool(UNITS);
        let shared = &pool.pool;
        let live = alloc(shared, UNIT);
        for fails_first in [true, false, true] {
            thread::scope(|scope| {
                let threads = [(); THREADS].map(|()| Actor::new(scope));
                let held = fill(shared, &threads);
                assert!(held.iter().all(|held| *held > 0), "{held:?}");
                // What others have brought home, where nobody is then, too.
                let blocks = threads[0].run(|| [(); 60].map(|()| alloc(shared, UNIT)));
                threads[1].run(move || blocks.iter().for_each(|block| release(shared, *block)));
                threads.into_iter().for_each(Actor::leave);
            });
            let before = shared.stats();
            assert!(before.cached > THREADS * UNIT, "{before}");
            if fails_first {
                assert_eq!(way(shared, WHOLE), 0, "a block is live");
                let after = fails(shared, WHOLE);
                assert_eq!((after.cached, after.free), (0, WHOLE - UNIT), "{after}");
                assert_eq!((after.failures, after.searches), (before.failures + 2, before.searches + 2), "{after}");
            }
            let half = way(shared, WHOLE / 2);
            assert_ne!(half, 0, "the half without the live block is free: {}", shared.stats());
            release(shared, half);
        }
        release(shared, live);
        pool.finish(|_| 0);
    }
}

#[test]
fn parked_threads_hold_no_more_than_their_bound_each_and_all_the_rest_can_be_had() {
    const ROUNDS: usize = 20;
    let mut random = Random::from_environment();
    let mut pool = pool(UNITS);
    let (shared, pile) = (&pool.pool, &Pile::default());
    let bound = bound(shared, usize::MAX);
    let mut most = 0;
    let mut kept: Vec<_> = (0..=ROUNDS).map(|_| alloc(shared, UNIT)).collect();
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| Actor::new(scope));
        for _ in 0..ROUNDS {
            histories(shared, &threads, pile, &mut random, WHOLE / 64);
            // Something is published, so that the next failure has the figures of now, and not those of one in the
            // history.
            release(shared, kept.pop().expect("one for each round"));
            let adds_up = |stats: PoolStats| {
                let live = pile.lock().expect("no thread died");
                let size = |block: &usize| shared.block_size(non_null(*block)).expect("the block is live");
                let sizes = live.iter().chain(&kept).map(size);
                assert_eq!((stats.live, stats.in_transit), (sizes.sum(), 0), "{stats}");
                assert_eq!(stats.free + stats.cached + stats.live, WHOLE, "{stats}");
                stats.cached
            };
            assert!(adds_up(shared.stats()) <= THREADS * (bound + most_in_depot(bound, UNIT)));
            // What is in depots goes back; then each has what it has, and all the rest can be had.
            let mut cached = adds_up(fails(shared, WHOLE));
            let rest = alloc_all(shared);
            let stats = shared.stats();
            assert_eq!((stats.free, stats.in_transit, stats.cached), (0, 0, cached), "{stats}");
            rest.iter().for_each(|block| release(shared, *block));
            assert_eq!(adds_up(fails(shared, WHOLE)), cached);
            for thread in &threads {
                thread.run(|| shared.flush_thread_cache());
                let rest = adds_up(shared.stats());
                assert!(cached - rest <= bound, "{} of {bound} bytes", cached - rest);
                most = most.max(cached - rest);
                cached = rest;
            }
            assert_eq!(cached, 0, "all have given what they had");
        }
        threads.into_iter().for_each(Actor::leave);
    });
    assert!(most > bound / 2, "the caches were used: {most} of {bound} bytes");
    pile.lock().expect("no thread died").append(&mut kept);
    release_pile(shared, pile, 0);
    pool.finish(|_| 0);
}

#[test]
fn the_largest_free_block_is_what_the_next_allocation_can_have() {
    let mut random = Random::from_environment();
    for max_block in [None, Some(1 << 12)] {
        let mut pool = Lockstep::new(UNIT, max_block);
        for (base, size) in [(BASE + 40, 300_000), (2 * BASE, 1 << 17), (3 * BASE + 64, 90_000)] {
            pool.add(base, size);
        }
        let (shared, pile) = (&pool.pool, &Pile::default());
        thread::scope(|scope| {
            let threads = [(); THREADS].map(|()| Actor::new(scope));
            for round in 0..30 {
                histories(shared, &threads, pile, &mut random, 1 << (8 + round % 10));
                if round % 5 == 4 {
                    // Nothing at all is left, but what the others have cached.
                    pile.lock().expect("no thread died").append(&mut alloc_all(shared));
                    assert_eq!(shared.largest_free_block(), 0);
                }
                let largest = shared.largest_free_block();
                let way = WAYS[random.below(WAYS.len())];
                let above_first = random.below(2) == 0;
                for above in [above_first, !above_first] {
                    let block = way(shared, largest + usize::from(above));
                    assert_eq!(block != 0, !above && largest > 0, "{largest} bytes: {}", shared.stats());
                    assert_eq!(shared.hl_release(at(block)), Ok(()));
                }
                release_pile(shared, pile, [usize::MAX, 500][round % 2]);
            }
            threads.into_iter().for_each(Actor::leave);
        });
        release_pile(shared, pile, 0);
        pool.finish(|_| 0);
    }
}

#[test]
fn a_storm_of_failing_callers_sweeps_once_each_for_what_was_published() {
    const CALLS: usize = 100;
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    // Every other block is released, so that nothing merges, and some of those into a cache that nobody flushes.
    let blocks = alloc_all(shared).into_iter();
    let (kept, released): (Vec<usize>, Vec<usize>) =
        blocks.partition(|block| ((block - BASE) / UNIT).is_multiple_of(2));
    let (cached, released) = released.split_at(100);
    thread::scope(|scope| {
        let parked = Actor::new(scope);
        let threads = [(); THREADS].map(|()| Actor::new(scope));
        parked.run(|| cached.iter().for_each(|block| release(shared, *block)));
        assert!(fails(shared, 2 * UNIT).cached > 0);
        let storm = || {
            let before = shared.stats();
            Actor::all(&threads, move |_| (0..CALLS).for_each(|_| assert!(shared.hl_alloc(2 * UNIT).is_null())));
            let after = shared.stats();
            let calls = (THREADS * CALLS) as u64;
            assert_eq!((after.failures - before.failures, after.searches - before.searches), (calls, calls), "{after}");
            assert_eq!((after.cached, after.merges), (before.cached, before.merges), "{after}");
            (after.sweeps - before.sweeps) as usize
        };
        for some in released.chunks(2500) {
            let blocks: Vec<_> = some.iter().copied().map(at).collect();
            assert_eq!(shared.release_batch(&blocks), Ok(()));
            // Each may be the first to see that there is something new.
            let sweeps = storm();
            assert!((1..=THREADS).contains(&sweeps), "{sweeps} sweeps");
            assert_eq!(storm(), 0, "nothing was published");
        }
        threads.into_iter().chain([parked]).for_each(Actor::leave);
    });
    kept.iter().for_each(|block| release(shared, *block));
    pool.finish(|_| 0);
}

#[test]
fn a_size_that_no_heap_can_have_is_refused_without_a_sweep() {
    let mut pool = Lockstep::new(UNIT, Some(WHOLE / 4));
    let [_, small] = [(BASE, WHOLE), (2 * BASE, 100 * UNIT)].map(|(base, size)| pool.add(base, size));
    let shared = &pool.pool;
    thread::scope(|scope| {
        let parked = [Actor::new(scope)];
        let threads = [(); THREADS].map(|()| Actor::new(scope));
        assert!(fill(shared, &parked)[0] > 0);
        threads.iter().for_each(|thread| thread.run(|| release(shared, alloc(shared, UNIT))));
        let before = shared.stats();
        let sizes = [WHOLE / 4 + 1, WHOLE, isize::MAX as usize];
        Actor::all(&threads, move |_| {
            for size in sizes {
                WAYS.iter().for_each(|way| assert_eq!(way(shared, size), 0));
                let error = shared.alloc(layout(size));
                assert!(matches!(error, Err(AllocError::TooLarge { requested, .. }) if requested == size));
            }
            // The other heap could have it.
            assert!(matches!(shared.alloc_in(small, layout(100 * UNIT)), Err(AllocError::TooLarge { .. })));
            assert!(shared.hl_alloc(usize::MAX).is_null());
        });
        let after = shared.stats();
        assert_eq!((after.searches, after.sweeps, after.merges), (before.searches, before.sweeps, before.merges));
        // One of the ways asks each heap.
        let calls = THREADS * (sizes.len() * (WAYS.len() + 2) + 2);
        assert_eq!(after.failures - before.failures, calls as u64, "{after}");
        // Nobody gave back what it has, or was asked to.
        parked[0].run(|| release(shared, alloc(shared, UNIT)));
        let after = shared.stats();
        assert_eq!((after.cached, after.cache_flushed), (before.cached, before.cache_flushed), "{after}");
        threads.into_iter().chain(parked).for_each(Actor::leave);
    });
    pool.finish(|_| 0);
}

#[test]
fn an_allocation_that_asks_others_counts_once() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    let live = alloc(shared, UNIT);
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| Actor::new(scope));
        threads[0].run(|| release(shared, alloc(shared, UNIT)));
        for number in 1..4 {
            let stats = fails(shared, WHOLE);
            assert_eq!((stats.failures, stats.searches), (number, number), "{stats}");
            assert!(stats.cached > 0, "there is somebody to be asked");
        }
        // Threads that get what others give just in time, or not: each knows how often it got nothing.
        let before = shared.stats().failures;
        let failed = Actor::all(&threads, |_| {
            let pairs = (0..500).map(|_| {
                let blocks = [WHOLE / 2, UNIT].map(|size| shared.hl_alloc(size));
                blocks.iter().for_each(|block| assert_eq!(shared.hl_release(*block), Ok(())));
                blocks.iter().filter(|block| block.is_null()).count()
            });
            pairs.sum::<usize>()
        });
        assert_eq!((shared.stats().failures - before) as usize, failed.iter().sum::<usize>());
        threads.into_iter().for_each(Actor::leave);
    });
    release(shared, live);
    pool.finish(|_| 0);
}
