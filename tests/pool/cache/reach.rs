//! Allocations that find nothing free: they get what is cached and can be had, and fail only where nothing is.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::cached::{BASE, UNIT, UNITS, alloc, alloc_all, bound, most_in_depot, pool, release};
use crate::common::{Actor, Gate, Owners, Random, at, join};
use mempool::{MemoryPool, ReleaseError};

const THREADS: usize = 4;

#[test]
fn a_failing_allocation_gets_what_it_has_cached_itself() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    let blocks: Vec<usize> = (0..300).map(|number| alloc(shared, UNIT << (number % 4))).collect();
    blocks.iter().for_each(|block| release(shared, *block));
    assert!(shared.stats().cached > 0);
    let all = alloc(shared, UNITS * UNIT);
    release(shared, all);
    pool.finish(|_| 0);
}

#[test]
fn a_failing_allocation_gets_what_is_in_depots() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    thread::scope(|scope| {
        let [home, away] = std::array::from_fn(|_| Actor::new(scope));
        let blocks = home.run(|| [(); 60].map(|()| alloc(shared, UNIT)));
        home.run(|| shared.flush_thread_cache());
        away.run(move || {
            blocks.iter().for_each(|block| release(shared, *block));
            shared.flush_thread_cache();
        });
        // What is cached now is neither in the cache of the one nor in the outboxes of the other.
        assert!(shared.stats().cached > 0);
        let all = alloc(shared, UNITS * UNIT);
        release(shared, all);
        [home, away].into_iter().for_each(Actor::leave);
    });
    pool.finish(|_| 0);
}

#[test]
fn a_failing_allocation_asks_and_gets_what_others_give_at_their_next_operation() {
    /// What the other thread does then; it has a block for it.
    type Operation = fn(&MemoryPool, usize);
    let operations: [Operation; 7] = [
        |pool, block| {
            release(pool, block);
            release(pool, alloc(pool, UNIT));
        },
        |pool, block| {
            // The block was not the last one.
            release(pool, block);
        },
        |pool, block| {
            assert!(pool.hl_alloc(UNITS * UNIT).is_null());
            release(pool, block);
        },
        |pool, block| {
            pool.sweep();
            release(pool, block);
        },
        |pool, block| {
            pool.flush_thread_cache();
            release(pool, block);
        },
        |pool, block| {
            assert_eq!(pool.hl_release(at(block)), Ok(()));
            assert_eq!(pool.hl_release(at(block)), Err(ReleaseError::NotLive));
        },
        |pool, block| {
            // A release of the block that was allocated last sees nothing of it; but the next operation does.
            release(pool, block);
            release(pool, alloc(pool, 4 * UNIT));
        },
    ];
    for (number, operation) in operations.into_iter().enumerate() {
        let mut pool = pool(UNITS);
        let shared = &pool.pool;
        thread::scope(|scope| {
            let [first, second] = std::array::from_fn(|_| Actor::new(scope));
            let kept = first.run(move || {
                let kept = alloc(shared, UNIT);
                let blocks: Vec<usize> = (0..300).map(|number| alloc(shared, UNIT << (number % 4))).collect();
                blocks.iter().for_each(|block| release(shared, *block));
                match number {
                    6 => {
                        release(shared, kept);
                        alloc(shared, UNIT)
                    }
                    _ => kept,
                }
            });
            let cached = shared.stats().cached;
            let taken = second.run(|| alloc_all(shared));
            let stats = shared.stats();
            assert!(stats.cached <= cached && stats.cached > bound(shared, usize::MAX) / 4, "{stats}");
            assert_eq!((stats.free, stats.live + stats.cached), (0, stats.capacity), "{stats}");
            assert_eq!(second.run(|| shared.hl_alloc(1).addr()), 0, "nobody has given anything");
            first.run(move || operation(shared, kept));
            let given = second.run(|| alloc_all(shared));
            let after = shared.stats();
            // It may have a batch of a few blocks again.
            assert!(!given.is_empty() && after.cached < stats.cached / 2, "operation {number}: {after}");
            assert_eq!(after.live, UNIT * (taken.len() + given.len()));
            assert_eq!((after.free, after.live + after.cached), (0, after.capacity), "{after}");
            second.run(move || taken.iter().chain(&given).for_each(|block| release(shared, *block)));
            [first, second].into_iter().for_each(Actor::leave);
        });
        pool.finish(|_| 0);
    }
}

/// What the threads of the test share.
struct Run<'a> {
    pool: &'a MemoryPool,
    owners: Owners,
    /// Blocks of each thread that others are to release.
    handed: [Mutex<Vec<(usize, usize)>>; THREADS],
    /// Bytes of blocks that each has allocated and nobody has released.
    live: [AtomicUsize; THREADS],
}

impl Run<'_> {
    /// Allocates for a thread, unless that would be above its quota; `None` where the block was not there.
    fn alloc(&self, me: usize, size: usize, quota: usize) -> Option<Option<usize>> {
        if self.live[me].load(Ordering::Relaxed) + size > quota {
            return None;
        }
        let block = self.pool.hl_alloc(size);
        if block.is_null() {
            return Some(None);
        }
        self.owners.claim(block, size);
        self.live[me].fetch_add(size, Ordering::Relaxed);
        Some(Some(block.addr()))
    }

    fn release(&self, of: usize, (block, size): (usize, usize)) {
        self.owners.resign(at(block), size);
        release(self.pool, block);
        self.live[of].fetch_sub(size, Ordering::Relaxed);
    }

    fn release_handed(&self, of: usize) {
        let handed = mem::take(&mut *self.handed[of].lock().expect("no thread died"));
        handed.into_iter().for_each(|block| self.release(of, block));
    }

    /// Allocates, releases and hands over at random, never more than `quota` bytes: then a smallest block is always
    /// there, even if all others have as much as they may have, and cache as much as they may cache.
    fn churn(&self, me: usize, quota: usize, random: &mut Random) {
        let mut held: Vec<(usize, usize)> = Vec::new();
        for _ in 0..20_000 {
            match random.below(8) {
                0..5 => {
                    let size = if random.below(3) == 0 { UNIT << random.below(7) } else { UNIT };
                    match self.alloc(me, size, quota) {
                        Some(Some(block)) => held.push((block, size)),
                        Some(None) => assert!(size > UNIT, "{}", self.pool.stats()),
                        None => {}
                    }
                }
                5 => {
                    let rest = held.len() - random.below(8).min(held.len());
                    self.handed[me].lock().expect("no thread died").extend(held.drain(rest..));
                }
                6 => self.release_handed(random.below(THREADS)),
                _ => {
                    for _ in 0..random.below(6).min(held.len()) {
                        self.release(me, held.swap_remove(random.below(held.len())));
                    }
                }
            }
        }
        held.into_iter().for_each(|block| self.release(me, block));
    }
}

#[test]
fn a_nearly_full_pool_serves_every_thread_until_all_is_live() {
    let random = Random::from_environment();
    let units = UNITS / 2;
    let mut pool = pool(units);
    let shared = &pool.pool;
    let bound = bound(shared, usize::MAX);
    // What each may have in its cache, in its depot, and in its hand between both.
    let cached = bound + most_in_depot(bound, UNIT) + 2 * bound / 32;
    let quota = (units * UNIT - THREADS * cached) / THREADS;
    assert!(quota * THREADS > units * UNIT * 4 / 5, "nearly full");
    let run = &Run {
        pool: shared,
        owners: Owners::new(BASE, UNIT, units),
        handed: [(); THREADS].map(|()| Mutex::default()),
        live: [(); THREADS].map(|()| AtomicUsize::new(0)),
    };
    let (gate, all) = (&Gate::new(THREADS), &Mutex::new(Vec::new()));
    let work = |me: usize| {
        let mut random = random.stream(me as u64);
        let _watch = gate.watch();
        for _ in 0..15 {
            gate.pass();
            run.churn(me, quota, &mut random);
            gate.pass();
            run.release_handed(me);
            // Now all that there is. The last thread to fail has had everything from the others, who had failed before.
            gate.pass();
            let blocks = alloc_all(shared);
            blocks.iter().for_each(|block| run.owners.claim(at(*block), UNIT));
            all.lock().expect("no thread died").extend(blocks);
            gate.pass();
            if me == 0 {
                let stats = shared.stats();
                assert_eq!((stats.live, stats.cached, stats.free), (stats.capacity, 0, 0), "{stats}");
                assert_eq!(all.lock().expect("no thread died").len(), units);
            }
            gate.pass();
            // Each releases what may be another's.
            loop {
                let mut all = all.lock().expect("no thread died");
                let rest = all.len().saturating_sub(1 + random.below(50));
                let some = all.split_off(rest);
                drop(all);
                if some.is_empty() {
                    break;
                }
                for block in some {
                    run.owners.resign(at(block), UNIT);
                    release(shared, block);
                }
            }
        }
    };
    thread::scope(|scope| join((0..THREADS).map(|me| scope.spawn(move || work(me))).collect()));
    pool.check();
    pool.finish(|_| 0);
}
