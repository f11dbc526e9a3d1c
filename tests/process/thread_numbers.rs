//! More threads than have indices, and indices that are used again. Indices are the process's.

#[path = "../common/mod.rs"]
mod common;

use std::mem;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use common::cached::{BASE, UNIT, UNITS, alloc, bound, most_in_depot, pool, release};
use common::pieces::assert_whole;
use common::{Owners, Random, at, join};
use mempool::{MemoryPool, ReleaseError};

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The table has 4 096 numbers. Others work without a cache, and get a number once there is one.
#[test]
fn more_threads_than_numbers() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const NUMBERS: usize = 4096;
    const MANY: usize = NUMBERS + 100;
    // The caches of these threads leave some of it.
    const PLENTY: usize = 1 << 17;
    let pool = MemoryPool::builder().thread_cache(16 * UNIT).build().expect("a pool");
    pool.add_heap(at(BASE), PLENTY * UNIT).expect("a heap");
    let (pool, owners) = (&pool, &Owners::new(BASE, UNIT, PLENTY));
    // True, if all is as it must be: a thread that panics would not be waited for.
    let work = |count: usize| {
        let blocks: Vec<*mut u8> = (0..count).map(|_| pool.hl_alloc(UNIT)).filter(|block| !block.is_null()).collect();
        blocks.iter().for_each(|block| owners.claim(*block, UNIT));
        let released = |block: &&*mut u8| {
            owners.resign(**block, UNIT);
            pool.hl_release(**block).is_ok()
        };
        blocks.iter().filter(released).count() == count
    };
    thread::scope(|scope| {
        let (done, is_done) = channel();
        let (mut threads, mut leave) = (Vec::new(), Vec::new());
        for _ in 0..MANY {
            let (done, (go, gone)) = (done.clone(), channel::<()>());
            let parked = move || {
                done.send(work(2)).expect("somebody counts");
                // Until the sender is gone.
                _ = gone.recv();
                work(2)
            };
            match thread::Builder::new().stack_size(64 << 10).spawn_scoped(scope, parked) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    println!("only {} threads: {error}", threads.len());
                    break;
                }
            }
            leave.push(go);
        }
        assert!(is_done.iter().take(threads.len()).all(|fine| fine));
        let stats = pool.stats();
        assert_eq!((stats.live, stats.caches), (0, threads.len().min(NUMBERS)), "{stats}");
        let done = 2 * threads.len() as u64;
        assert_eq!((stats.allocations(), stats.releases()), (done, done), "{stats}");
        // This one has no number either, if there were threads enough.
        let before = stats.cache_allocations;
        assert!(work(100));
        let without = pool.stats().cache_allocations == before;
        assert_eq!(without, threads.len() >= NUMBERS);
        // Now that nobody takes the block in between: a release without a cache is checked as any other.
        let block = pool.hl_alloc(UNIT);
        assert_eq!(pool.hl_release(block), Ok(()));
        assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive));
        drop(leave);
        assert!(threads.into_iter().all(|thread| thread.join().expect("no thread panics")));
        // There are numbers again.
        assert!(work(10));
        assert!(pool.stats().cache_allocations > before);
    });
    pool.sweep();
    let stats = pool.stats();
    assert_eq!((stats.free, stats.largest_free), (stats.capacity, PLENTY * UNIT), "{stats}");
}

#[test]
fn ten_thousand_threads_leave_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const AT_ONCE: usize = 16;
    const BATCHES: usize = 625;
    let random = Random::from_environment();
    let mut pool = pool(UNITS);
    let (shared, owners) = (&pool.pool, &Owners::new(BASE, UNIT, UNITS));
    // Blocks that a thread left for another one, of this batch or a later one.
    let handed: &Mutex<Vec<(usize, usize)>> = &Mutex::new(Vec::new());
    let live = |(block, size): (usize, usize)| {
        owners.resign(at(block), size);
        release(shared, block);
    };
    for batch in 0..BATCHES {
        let work = |number: usize| {
            let mut random = random.stream((batch * AT_ONCE + number) as u64);
            let sizes: Vec<usize> = (0..1 + random.below(30)).map(|_| UNIT << random.below(5)).collect();
            for size in sizes {
                let block = alloc(shared, size);
                owners.claim(at(block), size);
                match random.below(3) {
                    0 => live((block, size)),
                    1 => handed.lock().expect("no thread died").push((block, size)),
                    _ => {
                        let other = mem::replace(&mut *handed.lock().expect("no thread died"), vec![(block, size)]);
                        other.into_iter().for_each(live);
                    }
                }
            }
        };
        thread::scope(|scope| {
            join((0..AT_ONCE).map(|number| scope.spawn(move || work(number))).collect());
        });
        if batch % 100 == 0 {
            // Threads of the same number take over what others left.
            let stats = shared.stats();
            let left: usize = handed.lock().expect("no thread died").iter().map(|(_, size)| size).sum();
            assert_eq!((stats.live, stats.in_transit), (left, 0), "{stats}");
            let bound = bound(shared, usize::MAX);
            assert!(stats.cached <= stats.caches * (bound + most_in_depot(bound, UNIT)), "{stats}");
        }
    }
    mem::take(&mut *handed.lock().expect("no thread died")).into_iter().for_each(live);
    shared.sweep();
    assert_whole(shared);
    let stats = shared.stats();
    // One is of this thread.
    assert!(stats.caches <= AT_ONCE + 1, "{stats}");
    pool.finish(|_| 0);
}
