//! Models of the board: what the heaps of a pool tell together.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{Address, Pool, join, model, start};

/// An allocation fails for want of a merge, against the release that makes one possible: the next allocation does not
/// take that failure for one of now.
///
/// Seeded bugs: a publication is not told, or its look at the news is not behind a fence.
#[test]
fn news() {
    model("news", Some(3), || {
        let pool = Pool::new(&[2], 0);
        let [first, second] = [(); 2].map(|()| pool.alloc(1));
        pool.release(first, 1);
        let other = start(&pool, move |pool| pool.release(second, 1));
        let block = pool.try_alloc(2);
        join(other);
        let block = block.unwrap_or_else(|| pool.alloc(2));
        pool.release(block, 2);
        pool.end(&[]);
    });
}

/// An allocation finds that a heap has nothing, against a release there: the next one finds the heap without a search.
///
/// Seeded bugs: a publication does not raise the number of its heap, or looks at it without a fence.
#[test]
fn lower_published() {
    model("lower_published", Some(2), || {
        let pool = Pool::new(&[1, 1], 0);
        let [first, second] = [(); 2].map(|()| pool.alloc(1));
        released_is_found(&pool, second, first);
    });
}

/// The same where the maximum of two heaps is lowered.
///
/// Seeded bugs: the maximum is lowered without a fence; numbers are raised without one.
#[test]
fn settle_raise() {
    model("settle_raise", Some(2), || {
        let pool = Pool::new(&[1, 1, 1], 0);
        let [first, second, third] = [(); 3].map(|()| pool.alloc(1));
        // This finds that the third heap has nothing, and leaves the maximum as it is.
        assert!(pool.try_alloc(1).is_none());
        pool.disown(second, 1);
        released_is_found(&pool, third, first);
    });
}

/// A block is released, against an allocation. If that fails, the next one gets the block, and need not search.
fn released_is_found(pool: &Arc<Pool>, released: Address, _live: Address) {
    let other = start(pool, move |pool| pool.release(released, 1));
    let block = pool.try_alloc(1);
    join(other);
    let searches = pool.raw.stats().searches;
    if block.is_none() {
        pool.alloc(1);
    }
    assert_eq!(pool.raw.stats().searches, searches, "the heap was forgotten");
}
