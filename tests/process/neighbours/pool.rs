//! Threads stay out of each other's cache lines: blocks that were mixed up find back to the thread among whose blocks
//! they lie.

use std::alloc::Layout;
use std::collections::HashMap;
use std::thread;
use std::{mem, ptr};

use crate::common::cached::{BASE, UNIT, alloc, pool, release};
use crate::common::{Actor, Random};
use mempool::MemoryPool;

/// Units of which the states lie in one cache line.
const IN_A_LINE: usize = 32;
const BLOCKS: usize = 2000;
const BURST: usize = 500;

fn alloc_many(pool: &MemoryPool, count: usize) -> Vec<usize> {
    (0..count).map(|_| alloc(pool, UNIT)).collect()
}

/// As many blocks as have their states in two cache lines, past the cache.
fn alloc_stretch(pool: &MemoryPool) -> Vec<usize> {
    let mut blocks = vec![ptr::null_mut(); 2 * IN_A_LINE];
    assert_eq!(pool.alloc_batch(Layout::new::<[u8; UNIT]>(), &mut blocks), Ok(2 * IN_A_LINE));
    blocks.into_iter().map(<*mut u8>::addr).collect()
}

fn release_all(pool: &MemoryPool, blocks: Vec<usize>) {
    blocks.into_iter().for_each(|block| release(pool, block));
}

/// The part of the cache lines of states of these blocks in which both threads have blocks.
fn shared_lines(blocks: &[Vec<usize>; 2]) -> f64 {
    let mut lines = HashMap::<usize, [bool; 2]>::new();
    for (thread, blocks) in blocks.iter().enumerate() {
        for block in blocks {
            lines.entry((block - BASE) / UNIT / IN_A_LINE).or_default()[thread] = true;
        }
    }
    lines.values().filter(|has| **has == [true; 2]).count() as f64 / lines.len() as f64
}

/// Two threads allocate, one after the other; exchange random halves; release what they have then. Returns what they
/// get in bursts of their own afterwards.
fn exchange<'scope>(pool: &'scope MemoryPool, random: &mut Random, threads: &[Actor<'scope>; 2]) -> f64 {
    let mut blocks = [0, 1].map(|thread: usize| threads[thread].run(move || alloc_many(pool, BLOCKS)));
    blocks.iter_mut().for_each(|blocks| random.shuffle(blocks));
    let [given, returned] = [0, 1].map(|thread: usize| blocks[thread].split_off(BLOCKS / 2));
    blocks[0].extend(returned);
    blocks[1].extend(given);
    for (thread, blocks) in threads.iter().zip(&mut blocks) {
        random.shuffle(blocks);
        let blocks = mem::take(blocks);
        thread.run(move || release_all(pool, blocks));
    }
    let bursts = [0, 1].map(|thread: usize| threads[thread].run(move || alloc_many(pool, BURST)));
    let shared = shared_lines(&bursts);
    for (thread, blocks) in threads.iter().zip(bursts) {
        thread.run(move || release_all(pool, blocks));
    }
    shared
}

/// A mixture must not spread: it did when a whole stretch changed its home with the first block that another thread
/// got, up to nine lines of ten; and two of ten were mixed when blocks for which there was no room at home went into
/// the stacks of the thread that released them, and not to where their home looks first.
#[test]
fn threads_that_exchange_blocks_keep_lines_to_themselves() {
    let _alone = crate::alone();
    let pool = pool(1 << 20).pool;
    let mut random = Random::from_environment();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        let shared: Vec<f64> = (0..12).map(|_| exchange(&pool, &mut random, &threads)).collect();
        assert!(shared.iter().all(|shared| *shared == 0.0), "{shared:.2?}");
        threads.into_iter().for_each(Actor::leave);
    });
}

/// Where the memory of two threads alternates, processors that look ahead take lines from each other, though no line is
/// shared. It alternated from stretch to stretch when each took the next best one, whatever shard it was in.
#[test]
fn what_threads_carve_in_turn_lies_in_rows() {
    let _alone = crate::alone();
    const TURNS: usize = 64;
    let pool = pool(1 << 20).pool;
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        let pool = &pool;
        let mut blocks = Vec::new();
        for _ in 0..TURNS {
            for (number, thread) in threads.iter().enumerate() {
                blocks.extend(thread.run(|| alloc_stretch(pool)).into_iter().map(|block| (block, number)));
            }
        }
        blocks.sort_unstable();
        let changes = blocks.windows(2).filter(|two| two[0].1 != two[1].1).count();
        assert!(changes < TURNS / 4, "{changes} changes between {TURNS} stretches of either");
        for (number, thread) in threads.iter().enumerate() {
            let own = blocks.iter().filter(|block| block.1 == number).map(|block| block.0).collect();
            thread.run(move || release_all(pool, own));
        }
        threads.into_iter().for_each(Actor::leave);
    });
}

/// Whoever had blocks before, in however many stretches: the first ones of another thread are its own, as long as there
/// is something to cut up. They were taken as they came once there had been too many to send home.
#[test]
fn the_first_blocks_of_a_thread_lie_apart_from_the_many_that_another_released() {
    let _alone = crate::alone();
    let pool = pool(1 << 20).pool;
    let mut random = Random::from_environment();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        // Of each stretch something stays, so that none is merged.
        let mut blocks = threads[0].run(|| alloc_many(&pool, 32 * BLOCKS));
        random.shuffle(&mut blocks);
        let kept = blocks.split_off(16 * BLOCKS);
        let pool = &pool;
        threads[0].run(move || release_all(pool, blocks));
        // What was at home is in the stacks then: as many can be sent there as go at once, and none is refused.
        pool.sweep();
        let first = threads[1].run(|| alloc_many(pool, BURST));
        let blocks = [kept, first];
        assert_eq!(shared_lines(&blocks), 0.0);
        for (thread, blocks) in threads.iter().zip(blocks) {
            thread.run(move || release_all(pool, blocks));
        }
        threads.into_iter().for_each(Actor::leave);
    });
}
