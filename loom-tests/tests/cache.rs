//! Models of who has a cache: the indices of threads, adoption, drains; and of requests to its owner.
#![cfg(loom)]

use loom_tests::{Pool, join, model, start};

/// Two threads that come to use the pool at once have two indices and two caches.
///
/// Seeded bugs: an index is taken without a compare-exchange; a segment of the table of caches is published without one
/// or without Release, or found without Acquire.
#[test]
fn claim_claim() {
    model("claim_claim", Some(3), || {
        let pool = Pool::new(&[2], 2);
        let [mine, theirs] = pool.alloc_past_caches();
        let other = start(&pool, move |pool| {
            pool.release(theirs, 1);
            pool.exit();
        });
        pool.release(mine, 1);
        join(other);
        pool.end(&[]);
    });
}

/// A cache comes into being while another thread looks whether it has something.
///
/// Seeded bugs: the cache is published without Release, or found without Acquire.
#[test]
fn new_cache_seen() {
    model("new_cache_seen", Some(3), || {
        let pool = Pool::new(&[2], 2);
        pool.raw.flush_thread_cache();
        let other = start(&pool, |pool| {
            pool.raw.flush_thread_cache();
            pool.exit();
        });
        assert!(!pool.raw.ask_others(), "nothing is in any cache");
        join(other);
        pool.end(&[]);
    });
}

/// A thread that uses its cache and exits, against one that comes to use the pool: it has an index of its own, or
/// adopts the cache with what is in it.
///
/// Seeded bugs: an index is given back without Release, or taken without Acquire.
#[test]
fn adopt() {
    model("adopt", Some(3), || {
        let pool = Pool::new(&[2], 2);
        let block = pool.alloc(1);
        let other = start(&pool, |pool| {
            let block = pool.alloc(1);
            pool.exit();
            block
        });
        pool.release(block, 1);
        pool.exit();
        let block = join(other);
        pool.end(&[block]);
    });
}

/// A thread that takes the index of one that is gone, and is gone itself, against a drain of the cache of that index:
/// before, after, or not at all.
///
/// Seeded bugs: the drain doesn't become the user, does so though the user is there, or without Acquire; the end of the
/// generation is not published with Release; the drain ends without Release, or the next user enters without Acquire.
#[test]
fn adopt_drain() {
    model("adopt_drain", Some(3), || {
        let pool = Pool::new(&[2], 2);
        // This thread has an index of its own.
        pool.raw.flush_thread_cache();
        join(start(&pool, Pool::visit));
        assert_eq!(pool.cached(), 1);
        let other = start(&pool, Pool::visit);
        pool.raw.reclaim();
        join(other);
        pool.end(&[]);
    });
}

/// The owner of a cache turns its window to another heap while it is asked to flush: it sees the request there, or
/// finds the window closed at its next operation.
///
/// Seeded bugs: the request doesn't close the window; the owner doesn't look for a request once it has turned the
/// window; either does not order what it writes before what it reads or writes next, by a fence.
#[test]
fn request_show() {
    model("request_show", Some(3), || {
        // The third heap only makes the pool large enough for a cache of 6 units, 3 of them in its bins.
        let pool = Pool::new(&[2, 2, 2], 6);
        // Two of one heap, then two of the next, whose window is open.
        let [second, third, first, live] = [(); 4].map(|()| pool.alloc(1));
        pool.release(first, 1);
        assert_eq!(pool.cached(), 1);
        let other = start(&pool, |pool| {
            assert!(pool.raw.ask_others());
            pool.exit();
        });
        pool.release(second, 1);
        join(other);
        // This takes the fast path if the window is open.
        pool.release(third, 1);
        assert!(pool.cached() <= 2, "the request was forgotten");
        pool.end(&[live]);
    });
}
