//! A sweeper in the background merges the ranges, as it does the heaps of a pool of memory.

use std::sync::Arc;
use std::time::Duration;

use mempool::{Budget, OffsetPool, Sweeper, SweeperBuilder};

use crate::common::pieces::wait_until;

const RANGE: u64 = 1 << 30;

/// A pool without caches, with a range of 256 blocks.
fn pool() -> OffsetPool {
    let pool = OffsetPool::builder().min_block(RANGE / 256).thread_cache(0).build().expect("valid");
    pool.add_range(0, RANGE).expect("a range");
    pool
}

/// Cuts all of it into smallest blocks, which are free then, and far from merged.
fn shatter(pool: &OffsetPool) {
    let mut blocks = [0; 256];
    assert_eq!(pool.alloc_batch(1, 1, &mut blocks), Ok(256));
    pool.release_batch(&blocks).expect("all are live");
    assert_eq!(pool.heap_map().count(), 256);
}

fn is_whole(pool: &OffsetPool) -> bool {
    pool.heap_map().count() == 1
}

/// No pass by itself but the first one, and all that there is to do in each.
fn by_hand() -> SweeperBuilder {
    Sweeper::builder().interval(Duration::MAX).budget(Budget::Units(usize::MAX))
}

#[test]
fn pools_that_it_keeps_and_one_that_it_forgets() {
    let (kept, added, forgotten) = (Arc::new(pool()), Arc::new(pool()), Arc::new(pool()));
    let sweeper = by_hand().wake_on_demand(false).pool(Arc::clone(&kept)).weak_pool(Arc::downgrade(&forgotten));
    let sweeper = sweeper.spawn().expect("a thread");
    sweeper.add(Arc::clone(&added));
    for _ in 0..3 {
        [&kept, &added, &forgotten].into_iter().for_each(|pool| shatter(pool));
        assert!(sweeper.wait_for_pass());
        assert!([&kept, &added, &forgotten].iter().all(|pool| is_whole(pool)));
    }
    drop(forgotten);
    assert!(sweeper.wait_for_pass());
    assert_eq!((Arc::strong_count(&kept), Arc::strong_count(&added)), (2, 2));
    drop(sweeper);
    assert_eq!((Arc::strong_count(&kept), Arc::strong_count(&added)), (1, 1));
}

#[test]
fn an_allocation_that_has_to_sweep_wakes_it() {
    let pool = Arc::new(pool());
    let sweeper = by_hand().pool(Arc::clone(&pool)).spawn().expect("a thread");
    assert!(sweeper.wait_for_pass());
    let passes = sweeper.stats().passes;
    shatter(&pool);
    // Half of the range has to be merged for it.
    let block = pool.alloc(RANGE / 2, 1).expect("it is free");
    wait_until("a pass", || sweeper.stats().passes > passes);
    pool.release(block).expect("it is live");
}
