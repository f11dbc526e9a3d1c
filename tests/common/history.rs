//! A random history: whatever a thread may do to a pool, together with others, and what it has of it.

use std::alloc::Layout;
use std::ptr;
use std::sync::Mutex;

use mempool::{HeapId, MemoryPool};

use super::cached::{non_null, release};
use super::{Random, at};

/// Blocks of one thread, at most.
const MOST: usize = 300;

/// One thread's part of a history.
#[derive(Debug)]
pub struct History<'a> {
    pool: &'a MemoryPool,
    heaps: Vec<HeapId>,
    /// Sizes are up to this one; small ones are as likely as large ones.
    largest: usize,
    /// Blocks that threads have left for each other.
    pile: &'a Mutex<Vec<usize>>,
    random: Random,
    live: Vec<usize>,
}

impl<'a> History<'a> {
    pub fn new(pool: &'a MemoryPool, largest: usize, pile: &'a Mutex<Vec<usize>>, random: Random) -> Self {
        let heaps = pool.heap_stats().map(|heap| heap.heap).collect();
        Self { pool, heaps, largest, pile, random, live: Vec::new() }
    }

    /// Does `steps` steps, releases some of what it has then, and leaves the rest on the pile.
    pub fn run(mut self, steps: usize) {
        (0..steps).for_each(|_| self.step());
        for _ in 0..self.random.below(self.live.len() + 1) {
            release(self.pool, self.live.swap_remove(0));
        }
        self.leave(self.live.len());
    }

    fn step(&mut self) {
        let Self { pool, heaps, random, live, .. } = self;
        let most = (self.largest >> random.below(self.largest.ilog2() as usize + 1)).max(1);
        let size = 1 + random.below(most);
        let layout = Layout::from_size_align(size, 1 << random.below(7)).expect("a layout");
        match random.below(16) {
            0..5 => live.push(pool.hl_alloc(size).addr()),
            5 => live.extend(pool.alloc(layout).map(|block| block.addr().get())),
            6 => {
                let block = pool.alloc_in(heaps[random.below(heaps.len())], layout);
                live.extend(block.map(|block| block.addr().get()));
            }
            7 => {
                let mut blocks = [ptr::null_mut(); 40];
                let count = pool.alloc_batch(layout, &mut blocks).unwrap_or(0);
                live.extend(blocks[..count].iter().map(|block| block.addr()));
            }
            8..12 if !live.is_empty() => release(pool, live.swap_remove(random.below(live.len()))),
            12 => {
                let rest = live.len() - random.below(live.len() + 1);
                let blocks: Vec<*mut u8> = live.drain(rest..).map(at).collect();
                assert_eq!(pool.release_batch(&blocks), Ok(()));
            }
            13 => {
                if let Some(block) = live.last() {
                    _ = pool.resize_in_place(non_null(*block), size);
                }
            }
            14 => {
                let some = random.below(20);
                self.leave(some);
                let mut pile = self.pile.lock().expect("no thread died");
                let rest = pile.len().saturating_sub(self.random.below(20));
                self.live.extend(pile.drain(rest..));
            }
            15 => match random.below(24) {
                0 => pool.flush_thread_cache(),
                1 => _ = pool.sweep(),
                2 => _ = pool.largest_free_block(),
                _ => {}
            },
            _ => {}
        }
        self.live.retain(|block| *block != 0);
        while self.live.len() > MOST {
            release(self.pool, self.live.swap_remove(0));
        }
    }

    /// Leaves `count` blocks for others.
    fn leave(&mut self, count: usize) {
        let rest = self.live.len().saturating_sub(count);
        self.pile.lock().expect("no thread died").extend(self.live.drain(rest..));
    }
}
