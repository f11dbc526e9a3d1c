//! What the cache of a thread holds and serves: bounds, configurations, bursts, flushes.

use std::mem;
use std::thread;

use crate::common::cached::{BASE, UNIT, UNITS, alloc, bound, most_in_depot, pool, release};
use crate::common::{Actor, Lockstep, Random};
use mempool::MemoryPool;

const MIB: usize = 1 << 20;

fn with_cache(thread_cache: usize, units: usize) -> Lockstep {
    let mut pool = Lockstep::with(UNIT, None, MemoryPool::builder().thread_cache(thread_cache));
    pool.add(BASE, units * UNIT);
    pool
}

/// Many blocks of one size, allocated and released in some order; or only one of both.
fn burst(pool: &MemoryPool, random: &mut Random, held: &mut Vec<usize>) {
    let size = UNIT << random.below(12);
    let count = 1 + random.below(300);
    for _ in 0..count {
        let block = pool.hl_alloc(size);
        if block.is_null() {
            break;
        }
        held.push(block.addr());
    }
    let keeps = if random.below(4) == 0 { held.len() / 2 } else { 0 };
    while held.len() > keeps {
        release(pool, held.swap_remove(random.below(held.len())));
    }
}

#[test]
fn a_thread_caches_no_more_than_its_bound() {
    let mut random = Random::from_environment();
    let pools = [(MIB, UNITS), (10_000, 4 * UNITS), (MIB, 16 * UNITS), (100_000, 128 * UNITS), (usize::MAX, 2 * UNITS)];
    for (configured, units) in pools {
        let mut pool = with_cache(configured, units);
        let shared = &pool.pool;
        let bound = bound(shared, configured);
        let with_depot = bound + most_in_depot(bound, UNIT);
        let (mut most, mut most_with_depot) = (0, 0);
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        thread::scope(|scope| {
            let actor = Actor::new(scope);
            for round in 0..60 {
                let (mut own, mut held) = (random.stream(round), mem::take(&mut mine));
                mine = actor.run(move || {
                    burst(shared, &mut own, &mut held);
                    held
                });
                let cached = shared.stats().cached;
                // Later this thread has a cache, too.
                let all = if round > 20 { 2 * with_depot } else { with_depot };
                assert!(cached <= all, "{cached} of {all} bytes: {}", shared.stats());
                most_with_depot = most_with_depot.max(cached);
                // Drains the depots, and what this thread has.
                shared.largest_free_block();
                let cached = shared.stats().cached;
                assert!(cached <= bound, "{cached} of {bound} bytes: {}", shared.stats());
                most = most.max(cached);
                // From now on each also has blocks of the other, so that its outboxes fill.
                if round > 20 {
                    burst(shared, &mut random, &mut theirs);
                    mem::swap(&mut mine, &mut theirs);
                }
            }
            mine.drain(..).chain(theirs.drain(..)).for_each(|block| release(shared, block));
            actor.leave();
        });
        println!("{most} of {bound} bytes, with the depot {most_with_depot}");
        assert!(most > bound / 2, "the cache was used");
        random.next();
        pool.finish(|_| 0);
    }
}

#[test]
fn blocks_for_many_homes_stay_within_the_bound() {
    const HOMES: usize = 12;
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    let bound = bound(shared, MIB);
    thread::scope(|scope| {
        let homes: Vec<_> = (0..HOMES).map(|_| Actor::new(scope)).collect();
        let releaser = Actor::new(scope);
        for _ in 0..10 {
            // Of each home, and of each size of which there are magazines, a magazine.
            let sizes = || [(UNIT, 8), (2 * UNIT, 4), (4 * UNIT, 2), (8 * UNIT, 1)].into_iter();
            let magazines =
                move || sizes().flat_map(|(size, count)| (0..count).map(move |_| alloc(shared, size))).collect();
            let blocks: Vec<Vec<usize>> = homes.iter().map(|home| home.run(magazines)).collect();
            homes.iter().for_each(|home| home.run(|| shared.flush_thread_cache()));
            releaser.run(move || {
                // As much of its own as its cache takes.
                let own: Vec<usize> = (0..300).map(|_| alloc(shared, UNIT)).collect();
                own.iter().for_each(|block| release(shared, *block));
                blocks.iter().flatten().for_each(|block| release(shared, *block));
            });
            shared.largest_free_block();
            let stats = shared.stats();
            assert!((bound / 2..=bound).contains(&stats.cached), "{stats}");
        }
        homes.into_iter().chain([releaser]).for_each(Actor::leave);
    });
    pool.finish(|_| 0);
}

#[test]
fn configurations_and_tiny_pools() {
    for (configured, min_block, units) in [
        (0, UNIT, 4096),
        (1, UNIT, 4096),
        (UNIT - 1, UNIT, 4096),
        (UNIT, UNIT, 4096),
        (2 * UNIT, UNIT, 4096),
        (usize::MAX, UNIT, 4096),
        (usize::MAX, 16, 100_000),
        (MIB, 4096, 5000),
    ] {
        let builder = MemoryPool::builder().thread_cache(configured);
        let mut pool = Lockstep::with(min_block, None, builder);
        pool.add(BASE, units * min_block);
        let bound = bound(&pool.pool, configured);
        for order in [0, 1, 2, 5, 0] {
            let live: Vec<_> = (0..300).map_while(|_| pool.alloc(order)).collect();
            live.iter().for_each(|block| pool.release(*block).expect("the block is live"));
            let stats = pool.pool.stats();
            assert!(stats.cached <= bound + most_in_depot(bound, min_block), "{stats}");
        }
        let stats = pool.pool.stats();
        if configured == 0 {
            assert_eq!((stats.caches, stats.cache_allocations, stats.cache_releases), (0, 0, 0));
        }
        assert_eq!(stats.cached > 0, bound >= 2 * min_block, "{configured} B: {stats}");
        pool.finish_alone(|_| 0);
    }
    for units in 1..200 {
        let mut pool = pool(units);
        for _ in 0..3 {
            let live: Vec<_> = std::iter::from_fn(|| pool.alloc(0)).collect();
            assert_eq!(live.len(), units, "the last block is not kept from its only thread");
            live.iter().rev().for_each(|block| pool.release(*block).expect("the block is live"));
            assert!(pool.pool.stats().cached <= units * UNIT / 64);
        }
        pool.finish_alone(|_| 0);
    }
}

#[test]
fn a_burst_settles_into_the_cache() {
    const BLOCKS: usize = 1000;
    // Longer ones before it leave a part of their blocks in the depot, and some blocks stay live.
    let before = (0..=4).flat_map(|longer| (0..=9).map(move |kept| (1000 * longer, 100 * kept)));
    for (oldest_first, (longer, kept)) in before.flat_map(|before| [(false, before), (true, before)]) {
        let mut pool = pool(64 * MIB / UNIT);
        let shared = &pool.pool;
        let burst = |length: usize, look: &mut dyn FnMut()| {
            let mut blocks: Vec<usize> = Vec::new();
            for _ in 0..length {
                blocks.push(alloc(shared, UNIT));
                look();
            }
            for number in 0..length {
                let place = if oldest_first { number } else { length - 1 - number };
                release(shared, blocks[place]);
                look();
            }
        };
        let round = |look: &mut dyn FnMut()| burst(BLOCKS, look);
        burst(longer, &mut || {});
        let kept: Vec<usize> = (0..kept).map(|_| alloc(shared, UNIT)).collect();
        // A bin holds twice as many each time that it misses, from 64 to 2 048 blocks.
        (0..4).for_each(|_| round(&mut || {}));
        let before = shared.stats();
        assert!(before.cached >= BLOCKS * UNIT, "{before}");
        for number in 1..=10 {
            // Nothing goes to the heaps or comes from there.
            round(&mut || {
                if number == 5 {
                    let now = shared.stats();
                    assert_eq!((now.free, now.live + now.cached), (before.free, before.live + before.cached));
                }
            });
            let after = shared.stats();
            assert_eq!(after.cache_allocations, before.cache_allocations + number * BLOCKS as u64);
            assert_eq!(after.cache_releases, before.cache_releases + number * BLOCKS as u64);
            assert_eq!((after.cached, after.free, after.searches), (before.cached, before.free, before.searches));
            let moved = |stats: &mempool::PoolStats| (stats.cache_refilled, stats.cache_flushed);
            assert_eq!(moved(&after), moved(&before), "after bursts of {longer}, {} live", kept.len());
        }
        kept.into_iter().for_each(|block| release(shared, block));
        pool.finish_alone(|_| 0);
    }
}

#[test]
fn a_flush_gives_all_that_the_thread_has_and_nothing_of_others() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    thread::scope(|scope| {
        let [home, away] = std::array::from_fn(|_| Actor::new(scope));
        let blocks = home.run(|| [(); 64].map(|()| alloc(shared, UNIT)));
        let more = away.run(|| [(); 64].map(|()| alloc(shared, 2 * UNIT)));
        home.run(|| shared.flush_thread_cache());
        let of_away = shared.stats().cached;
        assert!(of_away > 0);
        // Some come home, others stay in the outbox.
        away.run(move || blocks.iter().for_each(|block| release(shared, *block)));
        assert_eq!(shared.stats().cached, of_away + 64 * UNIT);
        home.run(|| shared.flush_thread_cache());
        let in_outbox = shared.stats().cached - of_away;
        assert!(in_outbox > 0 && in_outbox < 64 * UNIT);
        home.run(|| shared.flush_thread_cache());
        assert_eq!(shared.stats().cached - of_away, in_outbox);
        away.run(|| shared.flush_thread_cache());
        assert_eq!(shared.stats().cached, 0);
        away.run(move || more.iter().for_each(|block| release(shared, *block)));
        assert!(shared.stats().cached > 0);
        away.run(|| shared.flush_thread_cache());
        assert_eq!(shared.stats().cached, 0);
        [home, away].into_iter().for_each(Actor::leave);
    });
    pool.finish(|_| 0);
}
