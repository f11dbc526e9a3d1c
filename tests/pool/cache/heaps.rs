//! Caches in front of several heaps, and one thread's caches in several pools.

use std::alloc::Layout;

use crate::common::cached::{BASE, UNIT, UNITS, alloc, alloc_all, bound, most_in_depot, non_null, pool, release};
use crate::common::{Lockstep, Owners, Random, at};
use mempool::{HeapId, MemoryPool};

const MIB: usize = 1 << 20;

#[test]
fn the_bound_follows_heaps_that_are_added() {
    let mut pool = pool(1024);
    let mut sum = 1024;
    for (number, units) in [2048, 1 << 14, 1 << 17, 1 << 21].into_iter().enumerate() {
        let bound = bound(&pool.pool, MIB);
        for _ in 0..4 {
            let live: Vec<_> = (0..1000).map_while(|_| pool.alloc(0)).collect();
            live.iter().for_each(|block| pool.release(*block).expect("the block is live"));
        }
        let cached = pool.pool.stats().cached;
        assert!(cached <= bound + most_in_depot(bound, UNIT), "{cached} of {bound}");
        assert!(cached >= (bound / 2).min(500 * UNIT), "{cached} of {bound}");
        pool.add(BASE + (number + 1) * (1 << 30), units * UNIT);
        sum += units;
        assert_eq!(pool.pool.stats().capacity, sum * UNIT);
    }
    pool.finish(|_| 0);
}

/// Four heaps, adjacent, the first of them the smallest.
fn four_heaps() -> (Lockstep, Vec<HeapId>, Owners) {
    let mut pool = Lockstep::new(UNIT, None);
    let mut base = BASE;
    let ids = [100, 1 << 12, 5001, 1 << 14].map(|units| {
        let id = pool.add(base, units * UNIT);
        base += units * UNIT;
        id
    });
    (pool, ids.to_vec(), Owners::new(BASE, UNIT, (base - BASE) / UNIT))
}

#[test]
fn several_heaps_in_turn() {
    let mut random = Random::from_environment();
    let (mut pool, ids, owners) = four_heaps();
    let shared = &pool.pool;
    let mut held = Vec::new();
    for _ in 0..40_000 {
        let (heap, size) = (ids[random.below(ids.len())], UNIT << random.below(4));
        match random.below(8) {
            0..3 => {
                if let Ok(block) = shared.alloc_in(heap, Layout::from_size_align(size, 1).expect("a layout")) {
                    assert_eq!(shared.heap_of(block), Some(heap));
                    owners.claim(block.as_ptr(), size);
                    held.push((block.as_ptr().addr(), size));
                }
            }
            3 => {
                let block = alloc(shared, size);
                owners.claim(at(block), size);
                held.push((block, size));
            }
            _ if !held.is_empty() => {
                let (block, size) = held.swap_remove(random.below(held.len()));
                owners.resign(at(block), size);
                release(shared, block);
            }
            _ => {}
        }
    }
    let live: usize = held.iter().map(|(_, size)| size).sum();
    assert_eq!(shared.stats().live, live);
    held.iter().for_each(|(block, _)| release(shared, *block));
    // What the cache has of each heap is that heap's to give.
    for id in &ids {
        let size = shared.heap_map().filter(|block| block.heap == *id).map(|block| block.size).sum::<usize>();
        let largest = 1 << size.ilog2();
        let largest = Layout::from_size_align(largest / 2, 1).expect("a layout");
        let block = shared.alloc_in(*id, largest).expect("all is free");
        shared.release(block).expect("the block is live");
    }
    pool.finish_alone(|_| 0);
}

#[test]
fn an_exhausted_heap_is_followed_by_the_next() {
    let (mut pool, ids, owners) = four_heaps();
    let shared = &pool.pool;
    let units = shared.stats().capacity / UNIT;
    for round in 0..3 {
        let blocks = alloc_all(shared);
        assert_eq!(blocks.len(), units);
        blocks.iter().for_each(|block| owners.claim(at(*block), UNIT));
        if round == 0 {
            // The one that was added first serves first.
            let heaps = blocks.iter().map(|block| shared.heap_of(non_null(*block)).expect("in a heap"));
            assert!(heaps.take(100).all(|heap| heap == ids[0]));
        }
        assert!(shared.hl_alloc(1).is_null());
        // Block for block from both ends, so that the heaps take turns.
        for number in 0..units.div_ceil(2) {
            for number in [number, units - 1 - number] {
                if number != units / 2 || units.is_multiple_of(2) {
                    owners.resign(at(blocks[number]), UNIT);
                    release(shared, blocks[number]);
                }
            }
        }
        if !units.is_multiple_of(2) {
            owners.resign(at(blocks[units / 2]), UNIT);
            release(shared, blocks[units / 2]);
        }
    }
    pool.finish_alone(|_| 0);
}

#[test]
fn one_cache_serves_two_heaps_in_turn() {
    let (mut pool, ids, _) = four_heaps();
    let shared = &pool.pool;
    let turn = || {
        for heap in &ids[2..] {
            let block = shared.alloc_in(*heap, Layout::new::<[u8; UNIT]>()).expect("nothing is live");
            assert_eq!(shared.heap_of(block), Some(*heap));
            release(shared, block.as_ptr().addr());
        }
    };
    (0..10).for_each(|_| turn());
    let before = shared.stats().cache_allocations;
    (0..1000).for_each(|_| turn());
    // Each 64th use of the heap aside turns the window, and the other heap is in neither until its next block.
    assert_eq!(shared.stats().cache_allocations - before, 2000 - 2000 / 64);
    pool.finish_alone(|_| 0);
}

#[test]
fn pools_used_in_turn_do_not_evict_each_other() {
    let mut pools = [pool(UNITS), pool(UNITS), pool(4 * UNITS)];
    let figures = |pool: &Lockstep| {
        let stats = pool.pool.stats();
        (stats.cache_allocations, stats.cache_releases, stats.free, stats.searches)
    };
    let turn = |first: &MemoryPool, second: &MemoryPool, size: usize| {
        let (one, two) = (alloc(first, size), alloc(second, size));
        release(second, two);
        let three = alloc(second, size);
        release(first, one);
        release(second, three);
    };
    let [one, two, third] = &pools;
    let all = || [UNIT, 2 * UNIT, 4 * UNIT].iter().for_each(|size| turn(&one.pool, &two.pool, *size));
    (0..10).for_each(|_| all());
    let before = [one, two, third].map(figures);
    for _ in 0..1000 {
        all();
        turn(&one.pool, &third.pool, UNIT);
        turn(&third.pool, &two.pool, UNIT);
    }
    let after = [one, two, third].map(figures);
    // Of `first` 3 + 1 a round, of `second` 2 * 3 + 2, of the third 2 + 1; and never a visit to the heaps, but where
    // the third warmed up.
    let counts = [4000, 8000, 3000];
    for ((before, after), count) in before.iter().zip(after).zip(counts) {
        assert_eq!((after.0 - before.0, after.1 - before.1), (count, count));
    }
    assert_eq!((before[0].2, before[0].3, before[1].2), (after[0].2, after[0].3, after[1].2));
    pools.iter_mut().for_each(|pool| pool.finish_alone(|_| 0));
}
