//! A season: all threads from beginning to end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle, yield_now};
use std::time::{Duration, Instant};

use fastrand::Rng;
use mempool::{RemoveHeapError, Sweeper};

use crate::stop::{self, Thread};
use crate::worker::{Block, Worker};
use crate::world::{Count, World};

/// Steps of a worker, which all may see.
type Steps = AtomicU64;
/// Each other worker goes on by this number of steps while one is stopped.
const GO_ON: u64 = 1000;
/// For them to do that. An allocation that is about to fail waits some hundred times for the stopped thread, and each
/// time other processes may run.
const PATIENCE: Duration = Duration::from_secs(600);
/// Short threads at once, and steps of each.
const SHORT: (usize, usize) = (8, 40);

/// A season of `time`. At its end nothing is live, and the threads have ended.
pub fn run(world: &World, threads: u64, time: Duration, seed: u64) {
    let random = &mut Rng::with_seed(seed);
    let mut sweeper = Sweeper::builder().pool(Arc::clone(&world.pool)).interval(Duration::from_millis(20));
    for allocator in &world.allocators {
        sweeper = sweeper.allocator(Arc::clone(allocator));
    }
    let sweeper = sweeper.trim_after(Duration::from_millis(300)).spawn().expect("a thread");
    let is_over = &AtomicBool::new(false);
    let steps: &Vec<Steps> = &(0..threads).map(|_| Steps::new(0)).collect();
    // The first worker is the one that is stopped. While it is there, this has its name.
    let first: &Mutex<Option<Thread>> = &Mutex::new(None);
    thread::scope(|scope| {
        let mut all = Vec::new();
        for (number, steps) in steps.iter().enumerate() {
            let mut worker = Worker::greedy(world, random.u64(..), threads);
            all.push(scope.spawn(move || {
                if number == 0 {
                    *first.lock().expect("nobody panics") = Some(stop::this());
                }
                while !is_over.load(Ordering::Relaxed) {
                    worker.step();
                    steps.fetch_add(1, Ordering::Relaxed);
                }
                if number == 0 {
                    *first.lock().expect("nobody panics") = None;
                }
                worker.end();
            }));
        }
        let seeds: [u64; 2] = [random.u64(..), random.u64(..)];
        all.push(scope.spawn(move || short_threads(world, seeds[0], is_over)));
        all.push(scope.spawn(move || heaps(world, seeds[1], is_over)));
        // Also if something is found: then the threads end, and so does the program.
        let over = Over(is_over);
        let began = Instant::now();
        while began.elapsed() < time {
            stop_one(world, steps, first);
            thread::park_timeout(time / 20);
        }
        drop(over);
        join(all);
    });
    drop(sweeper);
    let mut count = Count::default();
    let rest: Vec<Block> = world.pile.lock().expect("nobody panics").drain(..).collect();
    rest.into_iter().for_each(|block| block.release(world, &mut count));
    world.count.add(count);
}

/// Ends the season when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for the very end of threads. The end of a scope comes earlier: it does not wait for what threads do when they
/// exit.
fn join(threads: Vec<ScopedJoinHandle<'_, ()>>) {
    threads.into_iter().for_each(|thread| thread.join().expect("it found something that is written above"));
}

/// Stops the first worker, until each of the others has gone on.
fn stop_one(world: &World, steps: &[Steps], first: &Mutex<Option<Thread>>) {
    let now = |steps: &Steps| steps.load(Ordering::Relaxed);
    // By then each has all that it ever takes from `malloc`, whose locks a stopped thread may have.
    while steps.iter().any(|steps| now(steps) < GO_ON) {
        yield_now();
    }
    let first = first.lock().expect("nobody panics");
    let Some(thread) = *first else { return };
    // SAFETY: it is there, since it can't end while this has the lock. Only this function stops threads.
    unsafe { stop::stop(thread) };
    let (before, began): (Vec<_>, _) = (steps.iter().map(now).collect(), Instant::now());
    let go_on = || steps.iter().zip(&before).skip(1).all(|(steps, before)| now(steps) >= before + GO_ON);
    while !go_on() && began.elapsed() < PATIENCE {
        yield_now();
    }
    let went_on = go_on();
    stop::go_on();
    assert!(went_on, "a thread was stopped, and others waited for it: {before:?}, then {steps:?}");
    world.count.add(Count { stops: 1, ..Count::default() });
}

/// Threads that come, use a little, leave some of it to others, and go.
fn short_threads(world: &World, seed: u64, is_over: &AtomicBool) {
    let mut random = Rng::with_seed(seed);
    while !is_over.load(Ordering::Relaxed) {
        let short = |seed| {
            let mut worker = Worker::new(world, seed, 65536.0, 64);
            (0..SHORT.1).for_each(|_| worker.step());
            worker.end();
        };
        thread::scope(|scope| {
            join((0..SHORT.0).map(|_| random.u64(..)).map(|seed| scope.spawn(move || short(seed))).collect());
        });
        world.count.add(Count { threads: SHORT.0 as u64, ..Count::default() });
    }
}

/// Heaps that come and go. One that others use stays until it can go, or until the season ends.
fn heaps(world: &World, seed: u64, is_over: &AtomicBool) {
    let mut random = Rng::with_seed(seed);
    let mut worker = Worker::new(world, random.u64(..), 1e6, 64);
    let mut ids = vec![None; world.regions.len()];
    while !is_over.load(Ordering::Relaxed) {
        let place = random.usize(..ids.len());
        match ids[place] {
            None => {
                let region = &world.regions[place];
                let heap = world.pool.add_heap(region.base(), region.len()).expect("it is free");
                ids[place] = Some(heap);
                worker.use_heap(heap);
            }
            Some(heap) => match world.pool.remove_heap(heap) {
                Ok(()) => {
                    ids[place] = None;
                    worker.count.heaps += 1;
                }
                Err(RemoveHeapError::InUse { .. }) => {}
                Err(error) => panic!("{error}"),
            },
        }
        yield_now();
    }
    worker.end();
}
