//! A forked child goes on with its copy of a pool that other threads were in the middle of using. What it finds it
//! tells by its exit code: between `fork` and `_exit` it does nothing but use the pool, and its copy of a sweeper.
#![cfg(unix)]
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::cached::{BASE, UNIT, UNITS, alloc, bound, non_null, pool, release};
use common::{Actor, Gate, Owners, Random, at, join};
use mempool::{BlockState, Budget, MemoryPool, ReleaseError, Sweeper};

/// Ends the child, also where something in it panics.
struct Child;

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: `_exit` may be called anywhere.
        unsafe { libc::_exit(100) }
    }
}

/// Forks, has the child do something, and returns what that returned, or the number of the signal that killed it below
/// zero.
fn fork(child: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the child uses only the pool, whose memory it has a copy of, `alarm` and `_exit`, and of the C library
    // what that itself keeps fit for children: its allocator and new threads.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => {
            let _child = Child;
            // SAFETY: `alarm` and `_exit` may be called in a forked child. A child that hangs is killed.
            unsafe { libc::alarm(60) };
            let found = child();
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(found)) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `status` may be written.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
        }
    }
}

/// The number of the first condition that does not hold, from 1; 0 if all do.
macro_rules! first_fault {
    ($($condition:expr),+ $(,)?) => {{
        let mut number = 0;
        $(
            number += 1;
            if !$condition {
                return number;
            }
        )+
        0
    }};
}

/// No two free buddies are left.
fn is_merged(pool: &MemoryPool) -> bool {
    let pairs = pool.heap_map().zip(pool.heap_map().skip(1));
    pairs.into_iter().all(|(one, next)| {
        let free = one.state == BlockState::Free && next.state == BlockState::Free;
        let buddies =
            one.size == next.size && one.offset.is_multiple_of(2 * one.size) && one.offset + one.size == next.offset;
        !(free && buddies)
    })
}

fn twice(pool: &MemoryPool, block: usize) -> bool {
    pool.hl_release(at(block)) == Ok(()) && pool.hl_release(at(block)) == Err(ReleaseError::NotLive)
}

/// Allocates smallest blocks until there are no more, into `blocks`; how many.
fn fill(pool: &MemoryPool, blocks: &mut [usize]) -> usize {
    let mut count = 0;
    while let Some(place) = blocks.get_mut(count) {
        *place = pool.hl_alloc(UNIT).addr();
        if *place == 0 {
            break;
        }
        count += 1;
    }
    count
}

#[test]
fn a_child_of_a_thread_while_others_rest() {
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    thread::scope(|scope| {
        let other = Actor::new(scope);
        let theirs = other.run(|| {
            let blocks = [(); 100].map(|()| alloc(shared, 2 * UNIT));
            let more = [(); 100].map(|()| alloc(shared, UNIT));
            more.iter().for_each(|block| release(shared, *block));
            blocks
        });
        shared.largest_free_block();
        let cached = shared.stats().cached;
        assert!(cached > 0);
        let mine = [(); 100].map(|()| alloc(shared, UNIT));
        let mut blocks = vec![0; UNITS + 1];
        let before = shared.stats();
        let found = fork(|| {
            let count = fill(shared, &mut blocks);
            let full = shared.stats();
            first_fault![
                // All but what the other thread has cached.
                count * UNIT == full.capacity - cached - 300 * UNIT,
                (full.free, full.in_transit, full.cached) == (0, 0, cached),
                blocks[..count].iter().all(|block| twice(shared, *block)),
                mine.iter().all(|block| twice(shared, *block)),
                // The blocks of the other thread are live, until the child releases them.
                theirs.iter().all(|block| shared.block_size(non_null(*block)) == Ok(2 * UNIT)),
                theirs.iter().all(|block| twice(shared, *block)),
                shared.hl_release(at(BASE - 1)) == Err(ReleaseError::Foreign),
                shared.sweep().largest_after == shared.largest_free_block(),
                is_merged(shared),
                !shared.hl_alloc(shared.largest_free_block()).is_null(),
                // The other thread was asked, and is not there to answer.
                shared.stats().cached == cached,
            ]
        });
        assert_eq!(found, 0, "the first condition that did not hold in the child");
        // Nothing of that has happened here.
        assert_eq!(shared.stats(), before);
        mine.iter().chain(&theirs).for_each(|block| release(shared, *block));
        other.leave();
    });
    pool.finish(|_| 0);
}

/// Allocates and releases; whoever has claimed units owns a live block.
fn churn(pool: &MemoryPool, owners: &Owners, mut random: Random, ended: &AtomicBool) {
    let mut held: Vec<(usize, usize)> = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let size = UNIT << random.below(5);
        if random.below(2) == 0 && held.len() < 200 {
            let block = alloc(pool, size);
            owners.claim(at(block), size);
            held.push((block, size));
        } else if !held.is_empty() {
            let (block, size) = held.swap_remove(random.below(held.len()));
            owners.resign(at(block), size);
            release(pool, block);
        }
        if random.below(500) == 0 {
            pool.sweep();
        }
    }
    for (block, size) in held {
        owners.resign(at(block), size);
        release(pool, block);
    }
}

#[test]
fn children_of_a_thread_while_others_allocate_and_release() {
    const OTHERS: usize = 3;
    const FORKS: usize = 30;
    let random = Random::from_environment();
    let mut pool = pool(UNITS);
    let shared = &pool.pool;
    let (owners, ended, gate) = (&Owners::new(BASE, UNIT, UNITS), &AtomicBool::new(false), &Gate::new(OTHERS + 1));
    let bound = bound(shared, usize::MAX);
    // Of each of the others: its cache, what it had in its hand, and a magazine that was being copied.
    let most_cached = OTHERS * (bound + 2 * bound / 32);
    thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS as u64)
            .map(|number| {
                let random = random.stream(number);
                scope.spawn(move || {
                    gate.pass();
                    churn(shared, owners, random, ended);
                })
            })
            .collect();
        gate.pass();
        let mine = [(); 100].map(|()| alloc(shared, UNIT));
        let mut blocks = vec![0; UNITS + 1];
        let found: Vec<i32> = (0..FORKS)
            .map(|_| {
                fork(|| {
                    let live = shared.stats().live - mine.len() * UNIT;
                    let released = mine.iter().all(|block| twice(shared, *block));
                    let count = fill(shared, &mut blocks);
                    let full = shared.stats();
                    first_fault![
                        released,
                        count >= mine.len(),
                        // No block of another thread, and none twice.
                        blocks[..count].iter().all(|block| owners.is_free(at(*block), UNIT)),
                        blocks[..count].iter().all(|block| {
                            owners.claim(at(*block), UNIT);
                            true
                        }),
                        full.free == 0,
                        full.cached <= most_cached,
                        full.live == live + count * UNIT,
                        full.live + full.cached + full.in_transit == full.capacity,
                        blocks[..count].iter().all(|block| twice(shared, *block)),
                        shared.stats().live == live,
                        shared.sweep().largest_after > 0,
                        is_merged(shared),
                        !shared.hl_alloc(shared.largest_free_block()).is_null(),
                    ]
                })
            })
            .collect();
        ended.store(true, Ordering::Relaxed);
        join(others);
        assert_eq!(found, [0; FORKS], "the first condition that did not hold in each child");
        mine.iter().for_each(|block| release(shared, *block));
    });
    pool.finish(|_| 0);
}

/// A pool without caches, of one heap that nobody has touched.
fn uncached() -> Arc<MemoryPool> {
    let pool = MemoryPool::builder().thread_cache(0).build().expect("valid");
    pool.add_heap(at(BASE), UNITS * UNIT).expect("a heap");
    Arc::new(pool)
}

/// A sweeper that never rests, nor does its lock.
fn restless(pool: &Arc<MemoryPool>) -> Sweeper {
    let builder = Sweeper::builder().interval(Duration::ZERO).budget(Budget::Units(usize::MAX));
    builder.pool(Arc::clone(pool)).spawn().expect("a thread")
}

#[test]
fn a_child_does_not_wait_for_the_lock_of_a_sweeper() {
    const FORKS: usize = 200;
    let pool = uncached();
    let (sweeper, ended) = (&restless(&pool), &AtomicBool::new(false));
    thread::scope(|scope| {
        let others = (0..2).map(|_| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    sweeper.wake();
                }
            })
        });
        let others = others.collect();
        let found: Vec<i32> = (0..FORKS)
            .map(|_| {
                fork(|| {
                    let (stats, added) = (sweeper.stats(), uncached());
                    sweeper.add(Arc::clone(&added));
                    sweeper.add_weak(Arc::downgrade(&added));
                    sweeper.wake();
                    first_fault![
                        !sweeper.wait_for_pass(),
                        sweeper.stats() == stats,
                        // Nobody keeps what was to be added.
                        (Arc::strong_count(&added), Arc::weak_count(&added)) == (1, 0),
                    ]
                })
            })
            .collect();
        ended.store(true, Ordering::Relaxed);
        join(others);
        assert_eq!(found, [0; FORKS], "the first condition that did not hold in each child");
    });
}

#[test]
fn a_child_drops_its_copy_of_a_sweeper_and_has_one_of_its_own() {
    let pool = uncached();
    for _ in 0..10 {
        let mut sweeper = Some(restless(&pool));
        let found = fork(|| {
            let (of_child, mut blocks) = (uncached(), vec![0; UNITS]);
            let own = restless(&of_child);
            // The C library may have given the thread the place of the one that is not here.
            drop(sweeper.take());
            first_fault![
                fill(&of_child, &mut blocks) == UNITS,
                blocks.iter().all(|block| twice(&of_child, *block)),
                own.wait_for_pass(),
                is_merged(&of_child),
                own.stats().merges >= UNITS as u64 - 1,
                {
                    // Joins the thread.
                    drop(own);
                    Arc::strong_count(&of_child) == 1
                },
            ]
        });
        assert_eq!(found, 0, "the first condition that did not hold in the child");
        // Here it goes on.
        assert!(sweeper.is_some_and(|sweeper| sweeper.wait_for_pass()));
    }
    assert_eq!(Arc::strong_count(&pool), 1);
}
