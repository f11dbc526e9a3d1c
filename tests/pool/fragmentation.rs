//! Threads that need much memory in turn, of other sizes each time, get what the others released: the heap is not cut
//! to pieces.

use std::thread;

use crate::common::cached::{UNIT, alloc, pool, release};
use crate::common::{Actor, Random};
use mempool::{BlockState, MemoryPool};

const THREADS: usize = 4;
/// Bytes that a thread has at most.
const MOST: usize = 14 << 20;
/// Bytes of which a block is to be had at any time.
const LARGE: usize = 1 << 20;
/// A thread goes on by this number of bytes before it is another one's turn.
const PIECE: usize = 1 << 20;
const TURNS: usize = 400;

/// What a thread has, and what it is about to do.
#[derive(Debug)]
struct Phases {
    random: Random,
    blocks: Vec<(usize, usize)>,
    live: usize,
    releases: bool,
    /// How often it has grown.
    number: usize,
}

impl Phases {
    fn new(number: usize, random: Random) -> Self {
        Self { random, blocks: Vec::new(), live: 0, releases: false, number }
    }

    /// Goes on by a piece.
    fn go_on(mut self, pool: &MemoryPool) -> Self {
        let before = self.live;
        while self.live.abs_diff(before) < PIECE {
            if self.releases {
                let (block, size) = self.blocks.swap_remove(self.random.below(self.blocks.len()));
                release(pool, block);
                self.live -= size;
                self.releases = self.live > MOST / 8;
            } else {
                let size = UNIT << ((self.random.below(4) + self.number) % 7);
                self.blocks.push((alloc(pool, size), size));
                self.live += size;
                self.releases = self.live >= MOST;
                self.number += usize::from(self.releases);
            }
        }
        release(pool, alloc(pool, LARGE));
        self
    }
}

/// More than half of the heap is free at any time. It had no large block left when threads cut up larger ones rather
/// than to take what others left.
#[test]
fn a_large_block_is_there_whatever_sizes_the_threads_had_before() {
    let heap = pool((128 << 20) / UNIT);
    let pool = &heap.pool;
    let random = Random::from_environment();
    thread::scope(|scope| {
        let start = |number| (Actor::new(scope), Phases::new(number, random.stream(number as u64)));
        let mut actors: Vec<_> = (0..THREADS).map(start).collect();
        for _ in 0..TURNS {
            actors = Vec::from_iter(actors.into_iter().map(|(actor, phases)| {
                let phases = actor.run(move || phases.go_on(pool));
                (actor, phases)
            }));
        }
        assert_eq!(pool.stats().searches, 0, "{}", pool.stats());
        for (actor, phases) in actors {
            actor.run(move || phases.blocks.into_iter().for_each(|(block, _)| release(pool, block)));
            actor.leave();
        }
    });
}

/// A thread takes its blocks from the stacks half a bin at a time, which is no power of two of them.
#[test]
fn what_a_thread_takes_leaves_no_regular_holes() {
    // Half a bin is 24 blocks of 8 KiB.
    const SIZE: usize = 8 << 10;
    const BLOCKS: usize = 2000;
    let mut pool = pool((64 << 20) / UNIT);
    let shared = &pool.pool;
    let blocks: Vec<usize> = (0..BLOCKS).map(|_| alloc(shared, SIZE)).collect();
    let holes = shared.heap_map().filter(|block| block.state == BlockState::Free && block.size < LARGE);
    let holes: usize = holes.map(|block| block.size).sum();
    assert!(holes < LARGE, "{holes} bytes of holes: {}", shared.stats());
    blocks.into_iter().for_each(|block| release(shared, block));
    pool.finish(|_| 0);
}
