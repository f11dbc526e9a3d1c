//! The sweeper in the background: what is free is merged though nobody asks for it, and nothing is lost, however many
//! sweepers there are and whenever they stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::alloc_beside;
use crate::common::pieces::{InTurn, is_whole, shatter, shatter_rest, uncached, wait_until};
use crate::common::{Gate, Lockstep, Random, at, join};
use mempool::{Budget, MemoryPool, Sweeper};

const NEVER: Duration = Duration::MAX;
const OFTEN: Duration = Duration::from_millis(1);

#[test]
fn a_static_pool_and_a_shared_one_coalesce_by_themselves() {
    static POOL: MemoryPool = MemoryPool::new();
    POOL.add_heap(at(1 << 30), 1 << 20).expect("a heap");
    let shared = Arc::new(MemoryPool::new());
    for number in 1..4 {
        shared.add_heap(at(number << 24), 1 << (15 + number)).expect("a heap");
    }
    let sweeper = Sweeper::builder().interval(OFTEN).pool(&POOL).pool(Arc::clone(&shared)).spawn().expect("a thread");
    for round in 0..5 {
        let work = || {
            for size in (0..3000).map(|number| 64 + number * (7 + round) % 900) {
                let blocks = [&POOL, &*shared].map(|pool| (pool, pool.hl_alloc(size)));
                blocks.iter().for_each(|(pool, block)| pool.hl_release(*block).expect("it is live or null"));
            }
        };
        // What these threads have cached is free for all once they are gone.
        thread::scope(|scope| join((0..3).map(|_| scope.spawn(work)).collect()));
        wait_until("the static pool to be whole", || is_whole(&POOL));
        wait_until("the shared pool to be whole", || is_whole(&shared));
    }
    println!("{sweeper:?}");
    drop(sweeper);
    assert_eq!(Arc::strong_count(&shared), 1, "the thread is gone, and what it held");
}

#[test]
fn small_budgets_only_take_more_passes() {
    for budget in [Budget::Units(0), Budget::Units(50), Budget::Time(Duration::ZERO), Budget::Units(usize::MAX)] {
        // Two heaps that share no size with a piece of work, and a lead before the first block.
        let pool = Arc::new(MemoryPool::builder().thread_cache(0).build().expect("valid"));
        pool.add_heap(at((1 << 20) + 64 * 5), 64 * 700).expect("a heap");
        pool.add_heap(at(1 << 30), 1 << 18).expect("a heap");
        let whole: Vec<_> = pool.heap_map().collect();
        shatter(&pool);
        assert_ne!(pool.heap_map().count(), whole.len());
        let sweeper = Sweeper::builder().interval(Duration::ZERO).budget(budget).pool(Arc::clone(&pool)).spawn();
        let sweeper = sweeper.expect("a thread");
        wait_until("the pool to be whole", || pool.heap_map().eq(whole.iter().copied()));
        // The stacks are tidied as well: a large block is found without a search.
        wait_until("the round to end", || pool.stats().sweeps > 0);
        let block = pool.hl_alloc(1 << 18);
        assert!(!block.is_null() && pool.stats().searches == 0);
        pool.hl_release(block).expect("it is live");
        drop(sweeper);
        assert!(is_whole(&pool) || pool.stats().heaps == 2);
    }
}

#[test]
fn a_heap_at_rest_is_left_alone() {
    let pool = Arc::new(uncached(1 << 20));
    shatter(&pool);
    let sweeper = Sweeper::builder().interval(OFTEN).pool(Arc::clone(&pool)).spawn().expect("a thread");
    let cycles = |more| {
        let now = sweeper.stats().cycles;
        wait_until("cycles", || sweeper.stats().cycles >= now + more);
    };
    wait_until("the pool to be whole", || is_whole(&pool));
    cycles(4);
    let sweeps = pool.stats().sweeps;
    cycles(10);
    assert_eq!(pool.stats().sweeps, sweeps, "nothing was published");
    shatter(&pool);
    wait_until("the pool to be whole again", || is_whole(&pool));
    cycles(1);
    assert!(pool.stats().sweeps > sweeps);
}

#[test]
fn woken_early_by_an_allocation_that_had_to_sweep() {
    let idle = Arc::new(uncached(1 << 16));
    let pool = Arc::new(uncached(1 << 16));
    let builder = Sweeper::builder().interval(NEVER).pool(Arc::clone(&idle));
    let sweeper = builder.pool(Arc::clone(&pool)).spawn().expect("a thread");
    wait_until("the first pass", || sweeper.stats().passes == 1);
    for number in 1..4 {
        let cycles = sweeper.stats().cycles;
        // One block stays live, so that the whole can't be had, and a search comes to that only by merging all.
        let block = pool.hl_alloc(64);
        shatter_rest(&pool);
        assert!(pool.hl_alloc(1 << 16).is_null());
        wait_until("the sweeper to be called", || sweeper.stats().early >= number);
        assert!(sweeper.stats().cycles > cycles);
        pool.hl_release(block).expect("it is live");
    }
    let stats = sweeper.stats();
    assert_eq!(stats.passes, 1 + stats.early, "no other reason for a pass");
    // Nobody waits for the interval to end.
    drop(sweeper);
    // And nobody is called.
    shatter_rest(&pool);
    assert!(!pool.hl_alloc(1 << 16).is_null());
}

#[test]
fn dropped_anywhere() {
    let pool = Arc::new(uncached(1 << 26));
    let mut in_the_middle = 0;
    for round in 0..20 {
        if round % 5 == 0 {
            pool.sweep();
            shatter(&pool);
        }
        let sweeper = Sweeper::builder().budget(Budget::Units(usize::MAX)).pool(Arc::clone(&pool)).spawn();
        let sweeper = sweeper.expect("a thread");
        let most = round % 5 * 100;
        wait_until("some merges", || sweeper.stats().merges >= most || sweeper.stats().passes > 0);
        in_the_middle += u32::from(sweeper.stats().passes == 0);
        drop(sweeper);
        assert_eq!(Arc::strong_count(&pool), 1);
    }
    println!("{in_the_middle} of 20 were in the middle of a pass");
    let stats = pool.stats();
    assert_eq!((stats.free, stats.largest_free), (1 << 26, 1 << 26));
    assert!(!pool.hl_alloc(1 << 26).is_null());
}

#[test]
fn several_sweepers_come_and_go_while_threads_work() {
    let mut memory = Lockstep::new(64, None);
    for (base, size) in [(1 << 24, 1 << 18), ((1 << 26) + 1000, 300_000), (1 << 28, 1 << 14)] {
        memory.add(base, size);
    }
    // The oracle has no part in it until all is still.
    let pool = Arc::new(memory.pool);
    let random = Random::from_environment();
    let (gate, working) = (&Gate::new(4), &AtomicUsize::new(3));
    let often = || Sweeper::builder().interval(Duration::ZERO).budget(Budget::Units(2500)).pool(Arc::clone(&pool));
    let lasting = often().spawn().expect("a thread");
    thread::scope(|scope| {
        let work = |mut random: Random| {
            let mut held = Vec::new();
            gate.pass();
            for _ in 0..100_000 {
                if held.len() < 40 && random.below(2) == 0 {
                    let most = 64 << random.below(8);
                    held.push(pool.hl_alloc(1 + random.below(most)));
                } else if !held.is_empty() {
                    let block = held.swap_remove(random.below(held.len()));
                    pool.hl_release(block).expect("it is live or null");
                }
            }
            held.into_iter().for_each(|block| pool.hl_release(block).expect("it is live or null"));
            working.fetch_sub(1, Ordering::Relaxed);
        };
        let threads = (0..3).map(|number| {
            let random = random.stream(number);
            scope.spawn(move || work(random))
        });
        let threads = threads.collect();
        gate.pass();
        while working.load(Ordering::Relaxed) > 0 {
            let other = often().spawn().expect("a thread");
            wait_until("a pass", || other.stats().passes > 0);
        }
        join(threads);
    });
    wait_until("nothing to be live or cached", || {
        let stats = pool.stats();
        (stats.live, stats.cached, stats.in_transit, stats.free) == (0, 0, 0, stats.capacity)
    });
    drop(lasting);
    let pool = Arc::into_inner(pool).expect("all sweepers are gone");
    Lockstep { pool, oracle: memory.oracle }.finish(|_| 0);
}

#[test]
fn a_deref_that_yields_another_pool_each_time() {
    for (count, budget) in [(2, Budget::Units(500)), (3, Budget::Time(Duration::ZERO)), (2, Budget::Units(usize::MAX))]
    {
        // The second one has no unit where the first one's sweep is after a piece.
        let pools = (0..count).map(|number| Arc::new(uncached(1 << [22, 16, 19][number]))).collect::<Vec<_>>();
        let builder = Sweeper::builder().interval(Duration::ZERO).budget(budget);
        let sweeper = builder.pool(InTurn::new(pools.clone())).spawn();
        let sweeper = sweeper.expect("a thread");
        for _ in 0..20 {
            for pool in &pools {
                shatter(pool);
                // It has to sweep, and so calls the sweeper, if that has entered this pool.
                let whole = alloc_beside(|| pool.hl_alloc(pool.stats().capacity), || sweeper.stats().passes);
                assert!(pool.hl_release(whole).is_ok());
                shatter(pool);
            }
            (0..10).for_each(|_| assert!(sweeper.wait_for_pass(), "the thread is there"));
        }
        drop(sweeper);
        assert_eq!(pools.iter().map(Arc::strong_count).max(), Some(1), "the thread is gone, and what it held");
    }
}

#[test]
fn pools_come_and_go_while_a_sweeper_runs() {
    let sweeper = Sweeper::builder().interval(OFTEN).spawn().expect("a thread");
    let lasting = Arc::new(uncached(1 << 18));
    sweeper.add(Arc::clone(&lasting));
    for _ in 0..20 {
        let pool = Arc::new(uncached(1 << 20));
        shatter(&pool);
        sweeper.add_weak(Arc::downgrade(&pool));
        wait_until("the pool to be seen", || pool.stats().merges > 0);
        let weak = Arc::downgrade(&pool);
        drop(pool);
        wait_until("the pool to be gone", || weak.strong_count() == 0);
    }
    shatter(&lasting);
    wait_until("the pool that stayed to be whole", || is_whole(&lasting));
    let forgotten = Arc::downgrade(&Arc::new(MemoryPool::new()));
    sweeper.add_weak(forgotten);
    let passes = sweeper.stats().passes;
    wait_until("more passes", || sweeper.stats().passes > passes + 2);
}

#[cfg(feature = "rayon")]
#[test]
fn a_sweep_in_parallel_is_a_sweep() {
    // Heaps of one piece, of several, and with ends of every size.
    for heaps in
        [&[(1 << 24, 1 << 12)][..], &[(1 << 24, 1 << 23)], &[((1 << 24) + 3000, (5 << 20) + 77), (1 << 26, 1 << 24)]]
    {
        let pools = [(); 2].map(|()| {
            let pool = MemoryPool::new();
            for (base, size) in heaps {
                pool.add_heap(at(*base), *size).expect("a heap");
            }
            shatter(&pool);
            pool
        });
        let (by_one, by_many) = (pools[0].sweep(), pools[1].sweep_parallel());
        assert_eq!(by_many, by_one);
        assert!(by_one.merges > 0 && pools[0].heap_map().eq(pools[1].heap_map()));
        assert_eq!(pools[1].sweep_parallel().merges, 0);
        assert_eq!(pools[1].stats().sweeps, 2);
    }
}
