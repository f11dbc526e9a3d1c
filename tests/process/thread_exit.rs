//! Threads that use a pool while they exit: in destructors of other thread-locals, before and after the pool itself has
//! let the thread go.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::at;
use common::cached::{BASE, UNIT, UNITS};
use mempool::{MemoryPool, ReleaseError};

/// Tests that count numbers of threads take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A pool that destructors can name.
struct Named {
    pool: MemoryPool,
    /// What went wrong in destructors, which must not panic.
    faults: AtomicUsize,
    /// How many ran, and in how many of them the cache served.
    ran: AtomicUsize,
    served: AtomicUsize,
}

impl Named {
    fn new() -> &'static Self {
        let pool = MemoryPool::new();
        pool.add_heap(at(BASE), UNITS * UNIT).expect("a heap");
        let (faults, ran, served) = Default::default();
        Box::leak(Box::new(Self { pool, faults, ran, served }))
    }

    /// Allocates and releases as threads do, many blocks and one, and looks at the errors.
    fn work(&self) -> bool {
        let mut fine = true;
        let blocks: [*mut u8; 60] = std::array::from_fn(|number| self.pool.hl_alloc(UNIT << (number % 3)));
        fine &= blocks.iter().all(|block| !block.is_null());
        for block in blocks {
            fine &= self.pool.hl_release(block).is_ok();
            fine &= self.pool.hl_release(block) == Err(ReleaseError::NotLive);
        }
        let block = self.pool.hl_alloc(4 * UNIT);
        fine &= self.pool.hl_release(block.wrapping_add(UNIT)) == Err(ReleaseError::Interior);
        fine && self.pool.hl_release(block).is_ok()
    }

    /// The same in a destructor, alone in the pool.
    fn work_at_exit(&self) {
        let before = self.pool.stats().cache_allocations;
        if !self.work() {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        self.ran.fetch_add(1, Ordering::Relaxed);
        if self.pool.stats().cache_allocations > before {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All threads are gone. Returns how many destructors ran, and in how many of them the cache served.
    fn end(&self) -> (usize, usize) {
        self.pool.sweep();
        let stats = self.pool.stats();
        assert_eq!((stats.live, stats.cached, stats.in_transit), (0, 0, 0), "{stats}");
        assert_eq!((stats.free, stats.largest_free), (stats.capacity, UNITS * UNIT), "{stats}");
        assert_eq!(self.pool.heap_map().count(), 1);
        assert_eq!(self.faults.load(Ordering::Relaxed), 0);
        (self.ran.load(Ordering::Relaxed), self.served.load(Ordering::Relaxed))
    }
}

/// Uses a pool when its thread exits.
struct AtExit(&'static Named);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.work_at_exit();
    }
}

thread_local! {
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}

/// So many threads, one after the other.
const THREADS: usize = 50;

fn threads(run: impl Fn() + Copy + Send + 'static) {
    for _ in 0..THREADS {
        thread::spawn(run).join().expect("the thread did not panic");
    }
}

#[test]
fn destructors_before_and_after_the_pool_has_let_the_thread_go() {
    let _turn = TURN.lock();
    let served = [true, false].map(|pool_first| {
        let named = Named::new();
        threads(move || {
            if pool_first {
                assert!(named.work());
            }
            AT_EXIT.with_borrow_mut(|at_exit| *at_exit = Some(AtExit(named)));
            if !pool_first {
                assert!(named.work());
            }
        });
        assert!(named.pool.stats().caches <= 4, "numbers are given again");
        let (ran, served) = named.end();
        assert_eq!(ran, THREADS);
        assert!(served == 0 || served == THREADS, "{served} of {THREADS}");
        served
    });
    if cfg!(unix) {
        assert_eq!(served, [THREADS; 2], "thread-locals are gone before the pool lets the thread go");
    } else if cfg!(windows) {
        assert_eq!(served, [0; 2], "the pool lets the thread go before its thread-locals are");
    } else {
        // Destructors run in the opposite order of the first uses, but no promise is made of it.
        assert_ne!(served[0], served[1], "with a cache in one of both orders");
    }
}

#[test]
fn a_thread_that_uses_the_pool_first_when_it_exits() {
    let _turn = TURN.lock();
    let named = Named::new();
    threads(move || AT_EXIT.with_borrow_mut(|at_exit| *at_exit = Some(AtExit(named))));
    assert!(named.pool.stats().caches <= 4, "numbers are given again");
    assert_eq!(named.end().0, THREADS);
}

#[test]
fn blocks_that_are_released_when_their_thread_exits() {
    thread_local! {
        static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
    }
    struct Kept(&'static Named, [usize; 30]);
    impl Drop for Kept {
        fn drop(&mut self) {
            let failed = self.1.iter().filter(|block| self.0.pool.hl_release(at(**block)).is_err()).count();
            self.0.faults.fetch_add(failed, Ordering::Relaxed);
        }
    }
    let _turn = TURN.lock();
    for pool_first in [true, false] {
        let named = Named::new();
        threads(move || {
            let alloc = || std::array::from_fn(|_| named.pool.hl_alloc(UNIT).addr());
            if !pool_first {
                KEPT.set(Some(Kept(named, [0; 30])));
            }
            KEPT.set(Some(Kept(named, alloc())));
        });
        named.end();
    }
}

#[cfg(unix)]
#[test]
fn destructors_of_a_pthread_key() {
    use std::ffi::c_void;
    use std::ptr;

    extern "C" fn at_exit(named: *mut c_void) {
        // SAFETY: the value of the key is a `Named` that lives for ever.
        unsafe { &*named.cast_const().cast::<Named>() }.work_at_exit();
    }
    let _turn = TURN.lock();
    let mut key = 0;
    // SAFETY: `key` may be written, and the destructor may be called by any thread.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(at_exit)) }, 0);
    let named = Named::new();
    threads(move || {
        // SAFETY: the key was created; the value is what its destructor expects.
        assert_eq!(unsafe { libc::pthread_setspecific(key, ptr::from_ref(named).cast()) }, 0);
        assert!(named.work());
    });
    assert_eq!(named.end().0, THREADS);
}
