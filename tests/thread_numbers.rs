//! More threads than have numbers. Alone in its program: numbers are the program's.

mod common;

use std::sync::mpsc::channel;
use std::thread;

use common::cached::{BASE, UNIT};
use common::{Owners, at};
use mempool::{MemoryPool, ReleaseError};

/// The table has 4 096 numbers. Others work without a cache, and get a number once there is one.
#[test]
fn more_threads_than_numbers() {
    const NUMBERS: usize = 4096;
    const MANY: usize = NUMBERS + 100;
    // What so many threads cache leaves a part of it.
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
            match thread::PoolBuilder::new().stack_size(64 << 10).spawn_scoped(scope, parked) {
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
