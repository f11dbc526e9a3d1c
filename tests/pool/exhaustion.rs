//! No spurious failure: as long as there is memory for everyone at any moment, no allocation fails, whatever the others
//! do at that moment.

use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::common::{Gate, Lockstep, Owners, Random};

const UNIT: usize = 64;
const BASE: usize = 1 << 30;

/// How a run goes.
#[derive(Clone, Copy, Debug)]
struct Run {
    threads: usize,
    rounds: usize,
    /// Another thread sweeps all the time, and has what it finds in its hand for a moment.
    swept: bool,
}

/// All threads with at most one block each at a time, of an order that `choose` gives: none may fail.
fn run(Run { threads, rounds, swept }: Run, pool: &mut Lockstep, choose: impl Fn(&mut Random) -> u32 + Sync) {
    let units = pool.oracle.capacity() / UNIT;
    let owners = &Owners::new(BASE, UNIT, units);
    let random = Random::from_environment();
    let (failures, working) = (&AtomicUsize::new(0), &AtomicUsize::new(threads));
    let gate = &Gate::new(threads);
    let (shared, choose) = (&pool.pool, &choose);
    thread::scope(|scope| {
        for number in 0..threads {
            let mut random = random.stream(number as u64);
            scope.spawn(move || {
                gate.pass();
                for _ in 0..rounds {
                    let size = UNIT << choose(&mut random);
                    let block = shared.hl_alloc(size);
                    if block.is_null() {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                    if failures.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                    owners.claim(block, size);
                    // More threads than processors: let others run while this one has its block, or all would take
                    // turns.
                    if random.below(64) == 0 {
                        thread::yield_now();
                    }
                    owners.resign(block, size);
                    assert_eq!(shared.hl_release(block), Ok(()));
                }
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while swept && working.load(Ordering::Relaxed) > 0 {
            shared.sweep();
        }
    });
    assert_eq!(failures.load(Ordering::Relaxed), 0, "of {threads} times {rounds} allocations, {}", shared.stats());
    pool.check();
    pool.finish(|_| 0);
    let stats = pool.pool.stats();
    println!("{threads} threads, swept {swept}: {} searches, {} merges", stats.searches, stats.merges);
}

#[test]
fn as_many_largest_blocks_as_threads() {
    for threads in [2, 3, 4, 8] {
        for (order, swept, rounds) in [(0, false, 100_000), (0, true, 20_000), (3, false, 100_000)] {
            let largest = UNIT << order;
            let mut pool = Lockstep::uncached(UNIT, Some(largest));
            pool.add(BASE, threads * largest);
            run(Run { threads, rounds, swept }, &mut pool, |_| order);
        }
    }
}

/// The same in heaps of one block each.
#[test]
fn as_many_heaps_as_threads() {
    for threads in [2, 4] {
        let mut pool = Lockstep::uncached(UNIT, None);
        for number in 0..threads {
            pool.add(BASE + number * 4 * UNIT, 4 * UNIT);
        }
        run(Run { threads, rounds: 30_000, swept: true }, &mut pool, |_| 2);
    }
}

/// Smallest blocks: they never block each other, but are merged by every sweep and split again.
#[test]
fn as_many_units_as_threads() {
    for threads in [2, 4, 8] {
        let mut pool = Lockstep::uncached(UNIT, None);
        pool.add(BASE, threads * UNIT);
        run(Run { threads, rounds: 30_000, swept: true }, &mut pool, |_| 0);
    }
}

/// Blocks of any size, one for each thread. A block of any size lies within one of the largest blocks, so that one of
/// these is always free for the thread that has none, if perhaps in pieces.
#[test]
fn any_block_within_as_many_largest_blocks_as_threads() {
    for threads in [2, 3, 4] {
        for swept in [false, true] {
            let mut pool = Lockstep::uncached(UNIT, Some(8 * UNIT));
            pool.add(BASE, threads * 8 * UNIT);
            run(Run { threads, rounds: 40_000, swept }, &mut pool, |random| random.below(4) as u32);
        }
    }
}

/// The same far apart in a heap that is full otherwise, so that a search takes long and blocks move behind its back.
#[test]
fn pairs_far_apart_in_a_full_heap() {
    const UNITS: usize = 4096;
    for threads in [2, 3, 4] {
        let mut pool = Lockstep::uncached(UNIT, Some(2 * UNIT));
        pool.add(BASE, UNITS * UNIT);
        assert_eq!(pool.alloc_batch(0, UNITS).len(), UNITS);
        for thread in 0..threads {
            let pair = BASE + (2 * thread + 1) * UNITS / (2 * threads) / 2 * 2 * UNIT;
            pool.release_batch(&[pair, pair + UNIT]);
        }
        run(Run { threads, rounds: 20_000, swept: false }, &mut pool, |random| random.below(2) as u32);
    }
}

/// One thread wants all that there is, and it is all free, in pieces that others are merging at the same moment, in
/// step with its own search.
#[test]
fn the_whole_heap_while_others_merge_it() {
    for (threads, units, seconds) in [(2, 2, 2.0), (2, 4, 0.5), (2, 16, 0.5), (3, 16, 0.5)] {
        let mut pool = Lockstep::uncached(UNIT, None);
        pool.add(BASE, units * UNIT);
        let (shared, gate, done) = (&pool.pool, &Gate::new(threads), &AtomicBool::new(false));
        let tear = |whole: *mut u8| {
            assert_eq!(shared.hl_release(whole), Ok(()));
            let mut pieces = vec![std::ptr::null_mut(); units];
            assert_eq!(shared.alloc_batch(Layout::new::<[u8; UNIT]>(), &mut pieces), Ok(units));
            assert_eq!(shared.release_batch(&pieces), Ok(()));
        };
        let mut rounds = 0;
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(move || {
                    let _watch = gate.watch();
                    while gate.pass() && !done.load(Ordering::Relaxed) {
                        shared.sweep();
                        gate.pass();
                    }
                });
            }
            let _watch = gate.watch();
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < seconds {
                gate.pass();
                let whole = shared.hl_alloc(units * UNIT);
                assert!(!whole.is_null(), "round {rounds}: {}", shared.stats());
                gate.pass();
                tear(whole);
                rounds += 1;
            }
            done.store(true, Ordering::Relaxed);
            gate.pass();
        });
        println!("{threads} threads, {units} units: {rounds} rounds");
        pool.check();
        pool.finish(|_| 0);
    }
}
