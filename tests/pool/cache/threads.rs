//! Threads that come and go, and pools that come and go while threads live on.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Mutex;
use std::thread;

use crate::common::cached::{BASE, UNIT, UNITS, alloc, non_null, pool, release};
use crate::common::pieces::assert_whole;
use crate::common::{Actor, Lockstep, Owners, at};
use mempool::{MemoryPool, ReleaseError};
use rayon::prelude::*;

#[test]
fn what_a_gone_thread_left_is_free_though_a_thread_of_another_pool_has_its_number() {
    let (mut pool, mut other) = (pool(UNITS), pool(UNITS));
    let (shared, elsewhere) = (&pool.pool, &other.pool);
    thread::scope(|scope| {
        let first = Actor::new(scope);
        first.run(|| shared.hl_release(shared.hl_alloc(UNIT))).expect("the block is live");
        assert!(shared.stats().cached > 0);
        first.leave();
        // More than one, in case that tests which run beside this one give numbers back.
        let next: Vec<_> = (0..8).map(|_| Actor::new(scope)).collect();
        for actor in &next {
            actor.run(|| elsewhere.hl_release(elsewhere.hl_alloc(UNIT))).expect("the block is live");
        }
        shared.sweep();
        assert_whole(&pool.pool);
        let all = shared.hl_alloc(UNITS * UNIT);
        assert_eq!(all.addr(), BASE);
        shared.hl_release(at(BASE)).expect("the block is live");
        next.into_iter().for_each(Actor::leave);
    });
    pool.finish(|_| 0);
    other.finish(|_| 0);
}

#[test]
fn pools_at_one_address_one_after_the_other() {
    // These threads live on, and each remembers a pool that was there before.
    let mut place: Option<Lockstep> = None;
    let mut addresses = BTreeSet::new();
    for round in 0..400usize {
        let units = UNITS >> (round % 3);
        let pool = place.insert(pool(units));
        addresses.insert((&raw const pool.pool).addr());
        let shared = &pool.pool;
        let owners = &Owners::new(BASE, UNIT, units);
        let work = |_: rayon::BroadcastContext<'_>| {
            let blocks: Vec<usize> = (0..40).map(|number| alloc(shared, UNIT << (number % 3))).collect();
            for (number, block) in blocks.iter().enumerate() {
                assert!((BASE..BASE + units * UNIT).contains(block));
                owners.claim(at(*block), UNIT << (number % 3));
            }
            for (number, block) in blocks.iter().enumerate() {
                owners.resign(at(*block), UNIT << (number % 3));
                release(shared, *block);
            }
            // In every other pool they leave what they have cached.
            if round % 2 == 0 {
                shared.flush_thread_cache();
            }
        };
        rayon::broadcast(work);
        work_here(shared);
        let stats = shared.stats();
        assert_eq!((stats.capacity, stats.live, stats.in_transit), (units * UNIT, 0, 0), "{stats}");
        assert!(stats.caches <= rayon::current_num_threads() + 64);
        if round % 2 == 0 {
            pool.finish(|_| 0);
        }
    }
    assert_eq!(addresses.len(), 1);
}

/// A pair on this thread, which lives on, too.
fn work_here(pool: &MemoryPool) {
    let block = alloc(pool, 4 * UNIT);
    assert_eq!(pool.block_size(non_null(block)), Ok(4 * UNIT));
    release(pool, block);
    assert_eq!(pool.hl_release(at(block)), Err(ReleaseError::NotLive));
}

#[test]
fn a_pool_takes_its_caches_along_when_it_is_moved() {
    let (mut one, mut two) = (pool(UNITS), pool(4 * UNITS));
    let blocks = [&one, &two].map(|pool| [(); 50].map(|()| alloc(&pool.pool, UNIT)));
    release(&one.pool, blocks[0][0]);
    // Each is now where the other was, and this thread has just used the one there.
    mem::swap(&mut one, &mut two);
    release(&two.pool, blocks[0][1]);
    release(&one.pool, blocks[1][0]);
    mem::swap(&mut one.pool, &mut two.pool);
    mem::swap(&mut one.oracle, &mut two.oracle);
    blocks[0][2..].iter().for_each(|block| release(&one.pool, *block));
    let mut boxed = [Box::new(one), Box::new(two)];
    blocks[1][1..].iter().for_each(|block| release(&boxed[1].pool, *block));
    assert_eq!(boxed[1].pool.hl_release(at(blocks[1][1])), Err(ReleaseError::NotLive));
    boxed.iter_mut().for_each(|pool| pool.finish(|_| 0));
}

#[test]
fn a_static_pool() {
    static POOL: MemoryPool = MemoryPool::new();
    let (here, there) = (BASE, BASE + UNITS * UNIT);
    POOL.add_heap(at(here), UNITS * UNIT).expect("a heap");
    // Blocks of ended threads, in caches that are never flushed.
    for _ in 0..20 {
        let threads = [(); 4].map(|()| {
            thread::spawn(|| {
                let blocks = [(); 100].map(|()| alloc(&POOL, UNIT));
                blocks[1..].iter().for_each(|block| release(&POOL, *block));
                blocks[0]
            })
        });
        for thread in threads {
            let block = thread.join().expect("the thread did not panic");
            assert!((here..there).contains(&block));
            release(&POOL, block);
        }
    }
    assert!(POOL.stats().cached > 0);
    POOL.sweep();
    assert_whole(&POOL);
    // What this thread caches now stays there when the program ends.
    release(&POOL, alloc(&POOL, UNIT));
}

/// Tasks within tasks: a thread that waits for one does others meanwhile, and other threads release what it allocates.
fn tasks(pool: &MemoryPool, owners: &Owners, depth: usize) -> usize {
    let size = UNIT << (depth % 4);
    let block = alloc(pool, size);
    owners.claim(at(block), size);
    let below = match depth {
        0 => 0,
        _ if depth.is_multiple_of(3) => (0..3).into_par_iter().map(|_| tasks(pool, owners, depth - 1)).sum(),
        _ => {
            let (left, right) = rayon::join(|| tasks(pool, owners, depth - 1), || tasks(pool, owners, depth - 1));
            left + right
        }
    };
    let released = &Mutex::new(0);
    rayon::scope(|scope| {
        scope.spawn(move |_| {
            owners.resign(at(block), size);
            release(pool, block);
            *released.lock().expect("no task died") += 1;
        });
    });
    below + *released.lock().expect("no task died")
}

#[test]
fn tasks_of_rayon() {
    let mut pool = pool(UNITS);
    let (shared, owners) = (&pool.pool, &Owners::new(BASE, UNIT, UNITS));
    // Twice as many tasks, thrice at every third level.
    let count = (1..=12usize).fold(1, |below, depth| 1 + below * if depth.is_multiple_of(3) { 3 } else { 2 });
    for _ in 0..3 {
        assert_eq!(tasks(shared, owners, 12), count);
        assert_eq!(shared.stats().live, 0);
    }
    assert!(shared.stats().cached > 0);
    rayon::broadcast(|_| shared.flush_thread_cache());
    shared.flush_thread_cache();
    assert_eq!(shared.stats().cached, 0);
    pool.finish(|_| 0);
}
