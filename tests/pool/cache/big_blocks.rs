//! Big blocks in a big pool: how many operations its caches serve, and what they hold then.

use std::thread;

use crate::common::{Actor, Random, at};
use mempool::MemoryPool;

/// Sizes from 64 KiB to 4 MiB.
const SMALLEST: usize = 64 << 10;
const LARGEST: usize = 4 << 20;
/// Blocks that each thread has.
const LIVE: usize = 4096;
/// How often it replaces one of them.
const REPLACED: usize = 20_000;
const POOL: usize = 64 << 30;
/// What a cache of this pool may hold. What is in depots comes on top, until a sweep empties them.
const LIMIT: usize = POOL / 64;
/// What bins may have of it: the rest is the outboxes'.
const BINS: usize = LIMIT / 4 * 3;
/// The least that the bins of a cache hold when its thread has released all its blocks. A bin that overflows gives its
/// older half away, so that all are at least half full. They share all of `BINS` except what the last one that gave
/// room to another has lost: half of its own, and the largest blocks have half of all. The smallest sizes are an
/// exception: of those there may be too few blocks to fill a bin, of 128 at most.
const LEAST: usize = (BINS - BINS / 2 / 2) / 2 - 128 * (2 * SMALLEST + SMALLEST) / 2;

/// Replaces blocks at random by ones of other sizes: each size in bytes as likely as the others, or each doubling.
fn replace(pool: &MemoryPool, doublings: bool, mut random: Random) {
    let size = |random: &mut Random| match doublings {
        true => SMALLEST << random.below((LARGEST / SMALLEST).ilog2() as usize + 1),
        false => SMALLEST + random.below(LARGEST - SMALLEST + 1),
    };
    let mut blocks: Vec<*mut u8> = (0..LIVE).map(|_| pool.hl_alloc(size(&mut random))).collect();
    for _ in 0..REPLACED {
        let place = random.below(LIVE);
        pool.hl_release(blocks[place]).expect("it is live");
        blocks[place] = pool.hl_alloc(size(&mut random));
        assert!(!blocks[place].is_null(), "there is room");
    }
    blocks.iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
}

#[test]
fn caches_serve_big_blocks_of_a_big_pool() {
    let random = Random::from_environment();
    for (threads, doublings) in [(1, false), (2, false), (2, true)] {
        let pool = &MemoryPool::new();
        pool.add_heap(at(POOL), POOL).expect("the heap is one");
        thread::scope(|scope| {
            let actors: Vec<Actor<'_>> = (0..threads).map(|_| Actor::new(scope)).collect();
            for (number, actor) in actors.iter().enumerate() {
                let own = random.stream(number as u64);
                actor.run(move || replace(pool, doublings, own));
            }
            let stats = pool.stats();
            let past = stats.heap_allocations + stats.heap_releases;
            let all = stats.allocations() + stats.releases();
            assert_eq!(all, 2 * (threads * (LIVE + REPLACED)) as u64);
            // Most were past the caches when these had a MiB.
            assert!(past * 100 < all, "{past} of {all} operations went past the caches: {stats}");
            let with_depots = stats.cached;
            pool.largest_free_block();
            let cached = pool.stats().cached;
            println!("{threads} threads: {cached} bytes in bins, {with_depots} with depots, of {LIMIT} each");
            assert!(cached > threads * LEAST, "{cached} bytes are cached: {stats}");
            assert!(cached <= threads * LIMIT, "{cached} bytes are cached: {stats}");
            // Small blocks have a MiB of it.
            for actor in &actors {
                actor.run(|| pool.flush_thread_cache());
                actor.run(|| {
                    let blocks: Vec<*mut u8> = (0..60_000).map(|number| pool.hl_alloc(64 << (number % 10))).collect();
                    blocks.iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
                });
            }
            pool.largest_free_block();
            let cached = pool.stats().cached;
            assert!(cached > threads << 19 && cached <= threads << 20, "{cached} bytes are cached: {}", pool.stats());
            actors.into_iter().for_each(Actor::leave);
        });
        pool.sweep();
        let stats = pool.stats();
        assert_eq!((stats.live, stats.cached, stats.largest_free), (0, 0, POOL), "{stats}");
    }
}
