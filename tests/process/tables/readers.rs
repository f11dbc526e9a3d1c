//! A thread that is stopped while it reads the set of heaps, and other users of `crossbeam-epoch` in the same program:
//! neither keeps the tables of heaps that are gone, and neither side runs or delays what is the other's. In a program
//! of its own, whose allocations are counted.

use std::alloc::Layout;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common::failing::{ASKED, BALANCE};
use crate::common::{at, join};
use mempool::MemoryPool;

/// Adds `heaps` heaps, uses and removes them, one after the other; returns the bytes of tables that are left.
fn come_and_go(pool: &MemoryPool, heaps: usize) -> isize {
    let before = BALANCE.get();
    for heap in 0..heaps {
        let id = pool.add_heap(at((1 << 30) + (heap % 7) * (1 << 20)), 1 << 16).expect("the addresses are free");
        let block = pool.alloc_in(id, Layout::new::<[u8; 64]>()).expect("all is free");
        pool.release(block).expect("the block is live");
        pool.remove_heap(id).expect("nobody uses it");
    }
    BALANCE.get() - before
}

/// Opens a gate when it is dropped, so that nobody waits at it for ever when an assertion fails.
struct Opens<'a>(&'a AtomicBool);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Where somebody reads and is stopped: at the first character, until the gate is open.
struct Stopped<'a> {
    stopped: &'a AtomicUsize,
    open: &'a AtomicBool,
}

impl Write for Stopped<'_> {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        self.stopped.fetch_add(1, Ordering::Relaxed);
        while !self.open.load(Ordering::Acquire) {
            thread::yield_now();
        }
        Ok(())
    }
}

/// Heaps come and go beside threads that are stopped while they draw a map. Each of them keeps what the set had when it
/// began.
#[test]
fn a_stopped_reader_keeps_what_it_reads_and_no_more() {
    const READERS: usize = 3;
    const ROUNDS: usize = 2000;
    /// More than the tables of a heap, and of two snapshots.
    const TABLES: isize = 16 << 10;
    let pool = &MemoryPool::new();
    for heap in 1..4 {
        pool.add_heap(at(heap << 20), 1 << 16).expect("the addresses are free");
    }
    come_and_go(pool, 10);
    let asked = ASKED.get();
    assert_eq!(come_and_go(pool, ROUNDS), 0, "without a reader");
    let work = ASKED.get() - asked;
    let (stopped, open) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    thread::scope(|scope| {
        let opens = Opens(open);
        let mut readers = Vec::new();
        let mut kept = 0;
        for reader in 0..READERS {
            readers.push(scope.spawn(move || write!(Stopped { stopped, open }, "{}", pool.heap_map().text(64, 1))));
            while stopped.load(Ordering::Relaxed) <= reader {
                thread::yield_now();
            }
            // What the set had before and after one replacement.
            kept += come_and_go(pool, 10);
            assert!((1..TABLES * (reader as isize + 1)).contains(&kept), "{kept} bytes beside {reader} other readers");
            let asked = ASKED.get();
            assert_eq!(come_and_go(pool, ROUNDS), 0, "more and more");
            assert_eq!(ASKED.get() - asked, work);
        }
        drop(opens);
        for reader in readers {
            assert_eq!(reader.join().expect("it has drawn"), Ok(()));
        }
        assert_eq!(come_and_go(pool, 1), -kept, "what they had is freed");
    });
}

/// A function that another user of `crossbeam-epoch` in this thread defers is not run by a pool, and one who keeps an
/// epoch pinned for ever is none of a pool's readers.
#[test]
fn other_users_of_epochs_are_left_alone() {
    let pool = MemoryPool::new();
    pool.add_heap(at(1 << 20), 1 << 16).expect("the addresses are free");
    let open = Arc::new(AtomicBool::new(false));
    let (pinned, may_go) = (&AtomicBool::new(false), &AtomicBool::new(false));
    thread::scope(|scope| {
        let (opens, lets_go) = (Opens(&open), Opens(may_go));
        // Whoever runs it in here waits for ever.
        let gate = Arc::clone(&open);
        let other = crossbeam_epoch::pin();
        other.defer(move || {
            while !gate.load(Ordering::Acquire) {
                thread::yield_now();
            }
        });
        other.flush();
        drop(other);
        come_and_go(&pool, 2000);
        for _ in 0..2000 {
            assert_eq!(pool.stats().live, 0);
            assert!(pool.heap_of(std::ptr::NonNull::dangling()).is_none());
        }
        drop(opens);
        let other = scope.spawn(|| {
            let _pinned = crossbeam_epoch::pin();
            pinned.store(true, Ordering::Release);
            while !may_go.load(Ordering::Acquire) {
                thread::yield_now();
            }
        });
        while !pinned.load(Ordering::Acquire) {
            thread::yield_now();
        }
        assert_eq!(come_and_go(&pool, 1000), 0, "a foreign guard keeps tables");
        drop(lets_go);
        join(vec![other]);
    });
}
