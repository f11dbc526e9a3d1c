//! Threads that allocate, release and reserve at once: what one has, no other gets, and all of it merges.

use std::thread;

use mempool::{OffsetPool, OffsetPoolBuilder, ReserveError, Sizes};

use crate::common::{Gate, Owners, Random, at, join, released_once, together};

const UNIT: u64 = 1 << 16;
const UNITS: u64 = 700;
const START: u64 = 1 << 40;
const THREADS: usize = 4;

/// The owner of units is known by a made-up address.
fn place(offset: u64) -> *mut u8 {
    at((UNIT + offset - START) as usize)
}

fn pool(builder: OffsetPoolBuilder) -> OffsetPool {
    let pool = builder.min_block(UNIT).build().expect("valid");
    pool.add_range(START, UNITS * UNIT).expect("the only range");
    pool
}

/// The pool has all of it in the largest blocks.
fn is_whole(pool: &OffsetPool) {
    pool.sweep();
    let fresh = self::pool(OffsetPool::builder());
    assert_eq!(pool.heap_map().collect::<Vec<_>>(), fresh.heap_map().collect::<Vec<_>>());
}

#[test]
fn what_a_thread_has_no_other_gets() {
    for (sizes, thread_cache) in
        [(Sizes::PowersOfTwo, None), (Sizes::Eighths, Some(0)), (Sizes::Eighths, Some(1 << 22))]
    {
        let builder = OffsetPool::builder().sizes(sizes);
        let pool = &pool(thread_cache.map_or(builder.clone(), |bytes| builder.thread_cache(bytes)));
        let owners = &Owners::new(UNIT as usize, UNIT as usize, UNITS as usize);
        let (gate, random) = (&Gate::new(THREADS), Random::from_environment());
        let reserved: usize = thread::scope(|scope| {
            let threads = (0..THREADS).map(|number| {
                let mut random = random.stream(number as u64);
                scope.spawn(move || {
                    let (mut blocks, mut reserved) = (Vec::<(u64, u64)>::new(), 0);
                    gate.pass();
                    for _ in 0..3000 {
                        let len = UNIT * (1 + random.below(24) as u64);
                        let got = match random.below(8) {
                            0..2 if blocks.len() < 12 => pool.alloc(len, 1).ok(),
                            2..5 if blocks.len() < 12 => {
                                let start = START + UNIT * random.below(UNITS as usize) as u64;
                                // More than one block is more than these threads note.
                                let got = pool.reserve_at(start, len).ok().map(|blocks| (start, blocks));
                                match got {
                                    Some((start, 1)) => {
                                        reserved += 1;
                                        Some(start)
                                    }
                                    Some((mut next, blocks)) => {
                                        for _ in 0..blocks {
                                            let size = pool.block_size(next).expect("they follow each other");
                                            owners.claim(place(next), size as usize);
                                            owners.resign(place(next), size as usize);
                                            pool.release(next).expect("it is live");
                                            next += size;
                                        }
                                        None
                                    }
                                    None => None,
                                }
                            }
                            _ if blocks.is_empty() => None,
                            _ => {
                                let (offset, size) = blocks.swap_remove(random.below(blocks.len()));
                                owners.resign(place(offset), size as usize);
                                pool.release(offset).expect("it is live");
                                None
                            }
                        };
                        if let Some(offset) = got {
                            let size = pool.block_size(offset).expect("it is live");
                            owners.claim(place(offset), size as usize);
                            blocks.push((offset, size));
                        }
                        if random.below(300) == 0 {
                            pool.sweep();
                        }
                    }
                    for (offset, size) in blocks {
                        owners.resign(place(offset), size as usize);
                        pool.release(offset).expect("it is live");
                    }
                    pool.flush_thread_cache();
                    reserved
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert!(reserved > 0);
        is_whole(pool);
    }
}

/// Of threads that reserve the same bytes one gets them, and of those that release them, too.
#[test]
fn one_of_several_reserves_and_one_releases() {
    let pool = pool(OffsetPool::builder().sizes(Sizes::Eighths).thread_cache(0));
    let offset = |round: usize| START + UNIT * (round as u64 * 8 % 600);
    let rounds = together(
        2000,
        3,
        offset,
        |_, start| (pool.reserve_at(start, 5 * UNIT), start),
        |_, start, results| {
            let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(|(result, _)| result.is_ok());
            assert_eq!((won.len(), lost.len()), (1, 2));
            assert!(lost.iter().all(|(result, _)| matches!(result, Err(ReserveError::InUse { .. }))));
            pool.release(start).expect("it is live");
        },
    );
    assert!(rounds > 0);
    let rounds = together(
        2000,
        3,
        |round| {
            let start = offset(round);
            assert_eq!(pool.reserve_at(start, 5 * UNIT), Ok(1));
            start
        },
        |_, start| pool.release(start),
        |_, _, results| released_once(&results),
    );
    assert!(rounds > 0);
    is_whole(&pool);
}

/// What other threads have cached comes back when they go on, and a thread that has ended leaves it.
#[cfg(feature = "std")]
#[test]
fn what_others_cached_is_reserved_when_they_are_gone() {
    let pool = &pool(OffsetPool::builder());
    let block = thread::scope(|scope| {
        let other = scope.spawn(|| {
            let block = pool.alloc(UNIT, 1).expect("there is room");
            pool.release(block).expect("it is live");
            block
        });
        other.join().expect("no panic")
    });
    assert_eq!(pool.reserve_at(block, UNIT), Ok(1));
    pool.release(block).expect("it is live");
    let gate = &Gate::new(2);
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            let block = pool.alloc(UNIT, 1).expect("there is room");
            pool.release(block).expect("it is live");
            gate.pass();
            gate.pass();
        });
        gate.pass();
        let cached = pool.stats().cached as u64;
        let refused = pool.reserve_exact(START, UNITS * UNIT).expect_err("the other one has some of it");
        assert!(
            matches!(refused, ReserveError::InUse { live: 0, cached: had, in_transit: 0, .. } if had == cached && had > 0),
            "{refused}"
        );
        gate.pass();
        join(vec![other]);
    });
    is_whole(pool);
}
