//! Heaps that are removed while others use them.
#![cfg(loom)]

use loom_tests::{Pool, join, model, start};

/// A thread allocates, writes and releases while the heap is removed: the heap goes only if the thread has none of it,
/// and then nobody gets any of it. If it does not go, nothing is lost.
///
/// Seeded bugs: a heap is taken though a part of it is not free; what was taken in vain is not given back; a heap is
/// freed while a thread reads it, or without Acquire of that it no longer does.
#[test]
fn remove_alloc_release() {
    model("remove_alloc_release", Some(3), || {
        let pool = Pool::new(&[3], 0);
        pool.watch();
        let other = start(&pool, |pool| {
            if let Some(block) = pool.try_alloc(1) {
                pool.release(block, 1);
            }
        });
        let removed = pool.remove(0);
        join(other);
        pool.raw.sweep();
        let stats = pool.raw.stats();
        assert_eq!((stats.heaps == 0, stats.free, stats.in_transit), (removed, stats.capacity, 0));
    });
}

/// Two threads remove a heap each, which replaces the same set. Heaps came with their tables: both look for a place for
/// the next snapshot in those of the heap that stays, and free the last one there.
///
/// Seeded bugs: the set is replaced whatever it is; it forgets another heap; two snapshots lie in one place; it is
/// occupied without Acquire of that the last one is gone.
#[test]
fn remove_two() {
    model("remove_two", Some(1), || {
        let pool = Pool::given(&[1, 1, 1]);
        pool.watch();
        let other = start(&pool, |pool| pool.remove(1));
        assert!(pool.remove(0));
        assert!(join(other));
        assert_eq!(pool.raw.stats().heaps, 1);
        pool.raw.sweep();
    });
}

/// A heap goes in whose tables the replaced snapshot lies, while another thread frees that.
///
/// Seeded bugs: the heap is freed too early, or without Acquire or Release of that the snapshot is gone.
#[test]
fn remove_given() {
    model("remove_given", Some(2), || {
        let pool = Pool::given(&[1, 1]);
        pool.watch();
        let other = start(&pool, |pool| pool.raw.free_removed());
        assert!(pool.remove(1));
        join(other);
        pool.raw.sweep();
    });
}

/// A thread reads the set while it is replaced again and again: it finds the heap that stays, in a set that nobody
/// frees meanwhile.
///
/// Seeded bugs: a reader does not look whether its era is over; a snapshot begins in a later era than the one in which
/// it is published, or ends in an earlier one than the one in which it is replaced; the fences between readers and who
/// replaces; a reader leaves without Release.
#[test]
fn read_remove_three() {
    model("read_remove_three", Some(2), || {
        let pool = Pool::new(&[1, 1, 1, 1], 0);
        pool.watch();
        let other = start(&pool, |pool| {
            assert!(pool.remove(0) && pool.remove(1));
            // Of no account but that to go to the other thread here is no preemption.
            loom::thread::yield_now();
            assert!(pool.remove(2));
        });
        assert!(pool.raw.heap_of(Pool::address(3, 0)).is_some());
        join(other);
        assert_eq!(pool.raw.stats().heaps, 1);
    });
}

/// The window of a thread shows a heap that is gone. The thread looks into it once more, and leaves it for another one,
/// while what nobody can see any more is freed.
///
/// Seeded bug: a heap is freed though a window shows it.
#[test]
fn free_window() {
    model("free_window", Some(3), || {
        let pool = Pool::new(&[2, 2], 4);
        pool.watch();
        let block = pool.alloc(1);
        pool.release(block, 1);
        pool.raw.flush_thread_cache();
        assert!(pool.remove(0));
        let other = start(&pool, |pool| pool.raw.free_removed());
        assert!(pool.try_release(block).is_err());
        let next = pool.alloc(1);
        join(other);
        pool.end(&[next]);
    });
}

/// The window of a thread shows a heap that is gone when another one has its addresses, and the thread releases a block
/// of that: it looks into the window, finds nothing, and leaves it, while what nobody can see any more is freed.
///
/// Seeded bug: who frees looks at the window without Acquire.
#[test]
fn leave_window() {
    model("leave_window", None, || {
        let pool = Pool::new(&[2], 2);
        pool.watch();
        let block = pool.alloc(1);
        pool.release(block, 1);
        pool.raw.flush_thread_cache();
        assert!(pool.remove(0));
        pool.disown(block, 2);
        pool.add(0);
        // Without a look at the window.
        let [block] = pool.alloc_past_caches();
        let other = start(&pool, |pool| pool.raw.free_removed());
        pool.release(block, 1);
        join(other);
        pool.end(&[]);
    });
}

/// A heap is removed that the window of another thread shows; that one's releases look into it all the same.
///
/// Seeded bug: a heap is freed though a window shows it.
#[test]
fn remove_in_window() {
    model("remove_in_window", Some(2), || {
        let pool = Pool::new(&[2, 2], 4);
        pool.watch();
        let block = pool.alloc(1);
        pool.release(block, 1);
        pool.raw.flush_thread_cache();
        let other = start(&pool, |pool| {
            let removed = pool.remove(0);
            pool.exit();
            removed
        });
        // By the fast path, while the window shows the heap.
        assert!(pool.try_release(block).is_err());
        let removed = join(other);
        // This leaves the window.
        let next = pool.try_alloc(1);
        pool.raw.sweep();
        assert!(!removed || pool.try_release(block).is_err());
        pool.end(&Vec::from_iter(next));
    });
}

/// Two threads add the first heaps of a pool: both find no board. A failure is remembered with the news of the board,
/// and void after a release in each heap.
///
/// Seeded bug: each makes a board.
#[test]
fn add_two() {
    model("add_two", Some(2), || {
        let pool = Pool::to_grow(&[], &[1, 1], 0);
        let other = start(&pool, |pool| pool.add(1));
        pool.add(0);
        join(other);
        let mut blocks = [(); 2].map(|()| pool.alloc(1));
        for block in &mut blocks {
            assert!(pool.try_alloc(1).is_none());
            pool.release(*block, 1);
            *block = pool.alloc(1);
        }
        pool.end(&blocks);
    });
}

/// A thread adds a heap; another one allocates from it.
///
/// Seeded bug: the set is read without Acquire.
#[test]
fn add_alloc() {
    model("add_alloc", Some(3), || {
        let pool = Pool::to_grow(&[1], &[2], 0);
        pool.watch();
        let other = start(&pool, |pool| pool.add(1));
        let block = pool.try_alloc(2);
        join(other);
        let next = pool.try_alloc(2);
        assert!(block.is_some() != next.is_some());
    });
}

/// A thread adds the first heap of a pool; another one looks at what all heaps have, and sees all of that heap or
/// nothing. (To add a further one is to make room on the board, whose fence stands before the set is replaced, and does
/// the same as its Release.)
///
/// Seeded bug: the set is replaced without Release.
#[test]
fn add_stats() {
    model("add_stats", Some(3), || {
        let pool = Pool::to_grow(&[], &[2], 0);
        pool.watch();
        let other = start(&pool, |pool| pool.add(0));
        let stats = pool.raw.stats();
        assert_eq!((stats.free, stats.in_transit), (stats.capacity, 0));
        join(other);
    });
}

/// A thread adds a heap, caches a block of it and is gone, while a sweep begins that knows the heaps of before: what
/// it finds in that cache goes back to its heap all the same.
///
/// Seeded bug: what is found is looked for in the heaps of when the sweep began.
#[test]
fn add_sweep() {
    model("add_sweep", Some(2), || {
        let pool = Pool::to_grow(&[2], &[2], 2);
        pool.watch();
        // The number that the other thread takes is not this one's.
        let live = [(); 2].map(|()| pool.alloc(1));
        let other = start(&pool, |pool| {
            pool.add(1);
            pool.visit();
        });
        pool.raw.reclaim();
        join(other);
        pool.end(&live);
    });
}
