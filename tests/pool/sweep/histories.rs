//! Sweeps of heaps that are large enough for all that a sweep does: it merges runs, takes the nodes in hand, and walks
//! along the stacks on many paths. At the end nothing overlaps, all has coalesced, and the stacks have neither too
//! little nor too much.

use std::alloc::Layout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Lockstep, Owners, Random, at, join};
use mempool::{Budget, MemoryPool, Sweeper};

const UNIT: usize = 64;
const BASE: usize = 1 << 30;

/// So many that a walk along all of them goes on many paths: a multiple of 4 096, and not a power of two.
const UNITS: usize = 5 << 13;

/// A pool without caches over `units` units that begin `skew` units behind a boundary.
fn pool(units: usize, skew: usize) -> MemoryPool {
    let pool = MemoryPool::builder().min_block(UNIT).thread_cache(0).build().expect("a right configuration");
    pool.add_heap(at(BASE + skew * UNIT), units * UNIT).expect("a heap");
    pool
}

/// All of a pool in blocks of this size.
fn all(pool: &MemoryPool, size: usize) -> Vec<usize> {
    std::iter::from_fn(|| Some(pool.hl_alloc(size).addr()).filter(|block| *block != 0)).collect()
}

/// Everything was released and swept: is it as it was when the heap was added, and do allocations find it in the
/// stacks?
fn check_whole(pool: &MemoryPool, units: usize, skew: usize) {
    let report = pool.sweep();
    assert_eq!((report.merges, report.stale_entries), (0, 0), "the sweep before has left something");
    let fresh = self::pool(units, skew);
    let blocks = |pool: &MemoryPool| pool.heap_map().map(|block| (block.offset, block.order, block.state)).collect();
    let (are, were): (Vec<_>, Vec<_>) = (blocks(pool), blocks(&fresh));
    assert_eq!(are, were, "everything has coalesced");
    // The largest first, each from the stacks.
    let searches = pool.stats().searches;
    let mut orders: Vec<_> = were.iter().map(|(_, order, _)| *order).collect();
    orders.sort_unstable();
    let taken: Vec<_> = orders.iter().rev().map(|order| pool.hl_alloc(UNIT << order)).collect();
    assert!(taken.iter().all(|block| !block.is_null()));
    assert_eq!(pool.stats().searches, searches, "the stacks lost a block");
    assert_eq!(pool.stats().free, 0);
    taken.into_iter().for_each(|block| pool.hl_release(block).expect("it is live"));
}

#[test]
fn blocks_released_in_any_order_become_whole() {
    let random = Random::from_environment();
    for (skew, units) in [(0, UNITS), (77, UNITS - 5), (0, 1024), (3, 1023), (1, 4097)] {
        let pool = pool(units, skew);
        let mut random = random.stream(units as u64);
        for (round, within) in [1, units, 4096, 64, 2].into_iter().enumerate() {
            let mut blocks = all(&pool, UNIT << (round % 3));
            blocks.sort_unstable();
            let size = UNIT << (round % 3);
            blocks.extend(all(&pool, UNIT));
            assert_eq!(pool.stats().free, 0, "blocks of {size} and single units fill the heap");
            for part in blocks.chunks_mut(within) {
                (1..part.len()).rev().for_each(|last| part.swap(last, random.below(last + 1)));
            }
            let count = blocks.len() as u64;
            blocks.into_iter().for_each(|block| pool.hl_release(at(block)).expect("it is live"));
            let report = pool.sweep();
            assert_eq!(report.blocks, count, "each block is counted once");
            assert_eq!(report.merges, count - pool.heap_map().count() as u64);
            check_whole(&pool, units, skew);
        }
    }
}

/// What was merged by a search leaves its nodes in the stacks, and single blocks stay live everywhere.
#[test]
fn random_histories_and_searches_in_between() {
    let mut random = Random::from_environment();
    let mut pool = Lockstep::uncached(UNIT, None);
    pool.add(BASE + 5 * UNIT, (UNITS / 4 - 7) * UNIT);
    let mut live = Vec::new();
    for round in 0..12 {
        for _ in 0..6_000 {
            let order = (random.next().trailing_zeros()).min(4);
            if random.below(100) < if round % 2 == 0 { 80 } else { 30 } {
                let block = pool.pool.hl_alloc(UNIT << order).addr();
                if block != 0 {
                    pool.oracle.take(block, order, |_| true);
                    live.push(block);
                }
            } else if !live.is_empty() {
                let block = live.swap_remove(random.below(live.len()));
                pool.oracle.release(block).expect("it is live");
                pool.pool.hl_release(at(block)).expect("it is live");
            }
        }
        if round % 3 == 2 {
            // It finds it by a search, or not at all.
            let largest = pool.oracle.order_for(pool.oracle.largest_free(|_| true));
            live.extend(pool.alloc(largest));
        }
        pool.sweep();
        pool.check();
        let report = pool.pool.sweep();
        assert_eq!((report.merges, report.stale_entries), (0, 0), "the sweep before has left something");
        assert_eq!(report.blocks, pool.pool.heap_map().count() as u64, "each block is counted once");
    }
    pool.finish_alone(|count| random.below(count));
}

/// Threads that allocate, release and sweep, beside sweepers that stop in the middle of a round.
#[test]
fn threads_that_allocate_and_sweep_beside_sweepers_that_are_dropped() {
    const THREADS: u64 = 3;
    let mut random = Random::from_environment();
    let pool = Arc::new(pool(UNITS, 0));
    let owners = Owners::new(BASE, UNIT, UNITS);
    let (stop, cycles) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (pool, owners, stop, cycles) = (&pool, &owners, &stop, &cycles);
        let threads = (0..THREADS).map(|number| {
            let mut random = random.stream(number);
            scope.spawn(move || {
                let unit = Layout::from_size_align(UNIT, 1).expect("a small size");
                let mut live = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut batch = [at(0); 3000];
                    let wanted = random.below(batch.len());
                    let got = pool.alloc_batch(unit, &mut batch[..wanted]).unwrap_or(0);
                    live.extend(batch[..got].iter().map(|block| (block.addr(), 0)));
                    batch[..got].iter().for_each(|block| owners.claim(*block, UNIT));
                    let order = random.below(10) as u32;
                    let large = pool.hl_alloc(UNIT << order).addr();
                    if large != 0 {
                        owners.claim(at(large), UNIT << order);
                        live.push((large, order));
                    }
                    let keep = random.below(live.len() + 1).min(UNITS / 8);
                    while live.len() > keep {
                        let (block, order) = live.swap_remove(random.below(live.len()));
                        owners.resign(at(block), UNIT << order);
                        pool.hl_release(at(block)).expect("it is live");
                    }
                    if random.below(4) == 0 {
                        pool.sweep();
                    }
                    cycles.fetch_add(1, Ordering::Relaxed);
                }
                for (block, order) in live {
                    owners.resign(at(block), UNIT << order);
                    pool.hl_release(at(block)).expect("it is live");
                }
            })
        });
        let threads = threads.collect();
        for round in 0..40 {
            let budget = Budget::Units(1 << (round % 16));
            let sweeper = Sweeper::builder().interval(Duration::ZERO).budget(budget).pool(Arc::clone(pool)).spawn();
            // While the threads go on for a while, and then wherever the sweeper is.
            let enough = cycles.load(Ordering::Relaxed) + random.below(40);
            while cycles.load(Ordering::Relaxed) < enough {
                thread::yield_now();
            }
            drop(sweeper.expect("a thread"));
        }
        stop.store(true, Ordering::Relaxed);
        join(threads);
    });
    pool.sweep();
    check_whole(&pool, UNITS, 0);
}
