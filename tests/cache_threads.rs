//! Threads that come and go, and what their caches hold meanwhile and afterwards.

mod common;

use std::thread;

use common::{Actor, Lockstep, at};

const UNIT: usize = 64;
const BASE: usize = 1 << 30;
/// A pool large enough that its caches hold something: a 64th of it at most.
const UNITS: usize = 1 << 14;

fn pool() -> Lockstep {
    let mut pool = Lockstep::new(UNIT, None);
    pool.add(BASE, UNITS * UNIT);
    pool
}

/// All is free, and one block.
fn is_whole(pool: &Lockstep) {
    let stats = pool.pool.stats();
    assert_eq!((stats.live, stats.cached, stats.in_transit), (0, 0, 0), "{stats}");
    assert_eq!((stats.free, stats.largest_free), (stats.capacity, UNITS * UNIT), "{stats}");
    assert_eq!(pool.map().len(), 1);
}

#[test]
fn what_a_gone_thread_left_is_free_though_a_thread_of_another_pool_has_its_number() {
    let (pool, other) = (pool(), pool());
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
        is_whole(&pool);
        let all = shared.hl_alloc(UNITS * UNIT);
        assert_eq!(all.addr(), BASE);
        shared.hl_release(at(BASE)).expect("the block is live");
        next.into_iter().for_each(Actor::leave);
    });
    other.pool.sweep();
    is_whole(&other);
}
