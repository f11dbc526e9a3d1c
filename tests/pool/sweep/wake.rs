//! Who wants a pass of the sweeper now wakes it, and may wait until it is over; so a program may have all its passes
//! where it wants them.

use std::io::{self, Write};
use std::ops::Deref;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::pieces::{is_whole, shatter, shatter_rest, uncached, wait_until};
use crate::common::{Gate, join};
use mempool::{Budget, MemoryPool, Sweeper, SweeperBuilder};

const NEVER: Duration = Duration::MAX;

/// Ends the program if a test has not dropped this after two minutes: one that fails may wait for ever.
#[must_use]
fn deadline() -> Sender<()> {
    let (running, ended) = mpsc::channel();
    let name = thread::current().name().map(String::from);
    thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            // Not by `eprintln`, whose words the harness keeps to itself.
            _ = writeln!(io::stderr(), "{name:?} waited for two minutes");
            process::abort();
        }
    });
    running
}

/// A sweeper that does nothing by itself except its first pass, and all that there is to do when it is told to.
fn by_hand() -> SweeperBuilder {
    Sweeper::builder().interval(NEVER).wake_on_demand(false).budget(Budget::Units(usize::MAX))
}

#[test]
fn one_pass_whenever_somebody_waits_for_one() {
    let _running = deadline();
    let pool = Arc::new(uncached(1 << 18));
    for is_empty in [true, false] {
        let sweeper = if is_empty { by_hand() } else { by_hand().pool(Arc::clone(&pool)) };
        let sweeper = sweeper.spawn().expect("a thread");
        // It may be the first pass that begins now, or another one after that.
        assert!(sweeper.wait_for_pass());
        for _ in 0..30 {
            let passes = sweeper.stats().passes;
            shatter(&pool);
            assert!(sweeper.wait_for_pass());
            assert_eq!(sweeper.stats().passes, passes + 1, "no other reason for a pass");
            assert!(is_empty || is_whole(&pool));
        }
        // What only wakes it does not wait.
        let passes = sweeper.stats().passes;
        sweeper.wake();
        wait_until("a pass", || sweeper.stats().passes == passes + 1);
    }
}

#[test]
fn a_pass_that_is_under_way_is_not_the_one_that_is_waited_for() {
    let _running = deadline();
    // With passes all the time, and ones that are called for. Each thread has a pool of its own, so that most of a pass
    // is elsewhere.
    for interval in [Duration::ZERO, NEVER] {
        let pools = [(); 4].map(|()| Arc::new(uncached(1 << 16)));
        let builder = Sweeper::builder().interval(interval).budget(Budget::Units(usize::MAX));
        let builder = pools.iter().fold(builder, |builder, pool| builder.pool(Arc::clone(pool)));
        let (sweeper, gate) = (&builder.spawn().expect("a thread"), &Gate::new(pools.len()));
        let work = |pool: &MemoryPool| {
            gate.pass();
            for round in 0..300 {
                shatter(pool);
                assert!(sweeper.wait_for_pass());
                assert!(is_whole(pool), "in round {round}");
            }
        };
        thread::scope(|scope| join(pools.iter().map(|pool| scope.spawn(move || work(pool))).collect()));
    }
}

#[test]
fn whoever_wakes_it_ends_its_pause() {
    let _running = deadline();
    const LONG: Duration = Duration::from_millis(60);
    /// A pool to look at takes its time, and is counted.
    struct Slow(MemoryPool, Arc<AtomicUsize>);
    impl Deref for Slow {
        type Target = MemoryPool;

        fn deref(&self) -> &MemoryPool {
            let begun = Instant::now();
            self.1.fetch_add(1, Ordering::Relaxed);
            while begun.elapsed() < LONG {
                thread::yield_now();
            }
            &self.0
        }
    }
    let looks = Arc::new(AtomicUsize::new(0));
    let sweeper = by_hand().pool(Slow(MemoryPool::new(), Arc::clone(&looks))).spawn().expect("a thread");
    assert!(sweeper.wait_for_pass() && sweeper.wait_for_pass());
    // After a pass it would pause for as long as the pass took.
    let waited = (0..4).map(|_| {
        let (begun, before) = (Instant::now(), looks.load(Ordering::Relaxed));
        assert!(sweeper.wait_for_pass());
        let pass = LONG * (looks.load(Ordering::Relaxed) - before) as u32;
        begun.elapsed().saturating_sub(pass)
    });
    let least = waited.min().expect("four times");
    assert!(least < LONG, "{least:?} more than the pass");
}

#[test]
fn not_woken_early_unless_it_is_to_be() {
    let _running = deadline();
    let pool = Arc::new(uncached(1 << 16));
    let sweeper = by_hand().pool(Arc::clone(&pool)).spawn().expect("a thread");
    let other = Sweeper::builder().interval(NEVER).pool(Arc::clone(&pool)).spawn().expect("a thread");
    assert!(sweeper.wait_for_pass() && other.wait_for_pass());
    let passes = sweeper.stats().passes;
    for number in 1..10 {
        let block = pool.hl_alloc(64);
        shatter_rest(&pool);
        assert!(pool.hl_alloc(1 << 16).is_null());
        wait_until("the other sweeper to be called", || other.stats().early >= number);
        pool.hl_release(block).expect("it is live");
    }
    assert!(sweeper.wait_for_pass());
    let stats = sweeper.stats();
    assert_eq!((stats.early, stats.passes), (0, passes + 1));
}

/// On the sweeper's own thread, in the middle of a pass.
#[test]
fn a_pool_that_wakes_its_sweeper() {
    let _running = deadline();
    struct Wakes {
        pool: MemoryPool,
        sweeper: Arc<OnceLock<Weak<Sweeper>>>,
        looks: Arc<AtomicUsize>,
        waited: Arc<AtomicUsize>,
    }
    impl Deref for Wakes {
        type Target = MemoryPool;

        fn deref(&self) -> &MemoryPool {
            if self.looks.fetch_add(1, Ordering::Relaxed) < 100
                && let Some(sweeper) = self.sweeper.get().and_then(Weak::upgrade)
            {
                sweeper.wake();
                self.waited.fetch_add(sweeper.wait_for_pass().into(), Ordering::Relaxed);
            }
            &self.pool
        }
    }
    let sweeper = Arc::new(by_hand().spawn().expect("a thread"));
    let (looks, waited) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let known = Arc::new(OnceLock::from(Arc::downgrade(&sweeper)));
    sweeper.add(Wakes {
        pool: uncached(1 << 16),
        sweeper: known,
        looks: Arc::clone(&looks),
        waited: Arc::clone(&waited),
    });
    wait_until("a pass after each in which it was woken", || looks.load(Ordering::Relaxed) > 100);
    assert!(sweeper.wait_for_pass());
    assert_eq!(waited.load(Ordering::Relaxed), 0, "it can't wait for itself");
}

/// What is wrong with a pool's `Deref` is not the program's end.
#[test]
fn a_pool_that_panics() {
    let _running = deadline();
    struct Panics;
    impl Deref for Panics {
        type Target = MemoryPool;

        fn deref(&self) -> &MemoryPool {
            panic!("no pool, as this test wants it")
        }
    }
    let good = Arc::new(uncached(1 << 16));
    let sweeper = Sweeper::builder().interval(NEVER).pool(Arc::clone(&good)).spawn().expect("a thread");
    assert!(sweeper.wait_for_pass());
    thread::scope(|scope| {
        let waits = || sweeper.wait_for_pass();
        // It ends while they wait, or before.
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(waits)).collect();
        sweeper.add(Panics);
        let passed = waiting.into_iter().map(|thread| thread.join().expect("no panic"));
        println!("{} of 3 had a pass before", passed.filter(|passed| *passed).count());
    });
    assert!(!sweeper.wait_for_pass());
    assert_eq!(Arc::strong_count(&good), 1, "what it held is gone");
    sweeper.add(Arc::clone(&good));
    sweeper.wake();
    drop(sweeper);
    let block = good.hl_alloc(100);
    assert!(!good.hl_alloc(100).is_null() && good.hl_release(block).is_ok());
}
