//! The operations of a pool, and of a sweeper of one.

use alloc::vec::Vec;
use alloc::{format, vec};
use core::alloc::Layout;
use core::iter;
use core::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::run::{Block, Blocks, Fault, Found, Operation, World};
use crate::pool::Cycle;
use crate::{HeapId, MemoryPool};

const UNIT: usize = 64;
/// Bytes of the two heaps.
const FIRST: usize = 256 << 10;
const SECOND: usize = 64 << 10;
/// Where heaps begin. Nothing is there.
const BASES: [usize; 4] = [1 << 30, 1 << 31, 3 << 30, 5 << 30];
/// Most steps of an operation of another thread.
const MOST_STEPS: u64 = 1 << 20;

/// A pool, and what the operations on it have counted.
pub struct Pool {
    pool: MemoryPool,
    first: HeapId,
    second: Mutex<HeapId>,
    /// Allocations and releases.
    counts: Mutex<(u64, u64)>,
}

fn at(address: usize) -> *mut u8 {
    ptr::without_provenance_mut(address)
}

fn non_null(address: usize) -> NonNull<u8> {
    NonNull::new(at(address)).expect("no block is at null")
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("it is small")
}

impl Pool {
    fn second(&self) -> HeapId {
        *self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, allocations: usize, releases: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.0 += allocations as u64;
        counts.1 += releases as u64;
    }

    fn alloc(&self, size: usize) -> Option<Block> {
        let block = self.pool.hl_alloc(size).addr();
        self.count(usize::from(block != 0), 0);
        (block != 0).then_some((block, size))
    }

    fn alloc_some(&self, count: usize, size: usize) -> Vec<Block> {
        iter::from_fn(|| self.alloc(size)).take(count).collect()
    }

    fn free(&self, (block, _): Block) {
        self.pool.hl_release(at(block)).expect("it is live");
        self.count(0, 1);
    }

    /// Allocates all that is free, as smallest blocks.
    fn fill(&self) -> Vec<Block> {
        self.alloc_some(usize::MAX, UNIT)
    }

    fn batch(&self, count: usize) -> Vec<Block> {
        let mut blocks = vec![ptr::null_mut(); count];
        let got = self.pool.alloc_batch(layout(UNIT), &mut blocks).unwrap_or_default();
        self.count(got, 0);
        blocks[..got].iter().map(|block| (block.addr(), UNIT)).collect()
    }

    fn release_batch(&self, blocks: Vec<Block>) {
        let addresses = blocks.iter().map(|(block, _)| at(*block)).collect::<Vec<_>>();
        self.pool.release_batch(&addresses).expect("they are live");
        self.count(0, blocks.len());
    }

    /// Releases every other block, and keeps the others.
    fn thin(&self, blocks: Vec<Block>) -> Vec<Block> {
        let (odd, even): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|(block, _)| block / UNIT % 2 == 1);
        odd.into_iter().for_each(|block| self.free(block));
        even
    }

    /// A thread that leaves something in its cache.
    fn gone(&self) {
        let leave = || self.release(self.alloc_some(40, UNIT));
        thread::scope(|scope| scope.spawn(leave).join().expect("it does not panic"));
    }
}

impl World for Pool {
    fn new() -> Self {
        let pool = MemoryPool::new();
        let add = |base, size| pool.add_heap(at(base), size).expect("a heap");
        let (first, second) = (add(BASES[0], FIRST), Mutex::new(add(BASES[1], SECOND)));
        Self { pool, first, second, counts: Mutex::new((0, 0)) }
    }

    fn others(&self, found: &mut Found) -> Vec<Block> {
        let pool = &self.pool;
        for size in [UNIT, 2 * UNIT, 1 << 12, 1 << 15] {
            let block = found.operation("hl_alloc", MOST_STEPS, || self.alloc(size));
            if let Some(block) = block {
                found.operation("resize_in_place", MOST_STEPS, || {
                    _ = pool.resize_in_place(non_null(block.0), 2 * size);
                    pool.resize_in_place(non_null(block.0), size).expect("a block can be made smaller")
                });
                found.operation("hl_release", MOST_STEPS, || self.free(block));
            }
        }
        let blocks = found.operation("alloc_batch", MOST_STEPS, || self.batch(50));
        found.operation("release_batch", MOST_STEPS, || self.release_batch(blocks));
        for heap in [self.first, self.second()] {
            let block = found.operation("alloc_in", MOST_STEPS, || pool.alloc_in(heap, layout(UNIT)));
            if let Ok(block) = block {
                self.count(1, 0);
                found.operation("release", MOST_STEPS, || pool.release(block)).expect("it is live");
                self.count(0, 1);
            }
        }
        found.operation("largest_free_block", MOST_STEPS, || pool.largest_free_block());
        found.operation("stats", MOST_STEPS, || pool.stats());
        found.operation("heaps", MOST_STEPS, || pool.heap_stats().count());
        found.operation("heap_map", MOST_STEPS, || pool.heap_map().count());
        found.operation("heap_of", MOST_STEPS, || pool.heap_of(non_null(BASES[1])));
        found.operation("block_size", MOST_STEPS, || _ = pool.block_size(non_null(BASES[1])));
        found.operation("flush_thread_cache", MOST_STEPS, || pool.flush_thread_cache());
        found.operation("sweep", MOST_STEPS, || pool.sweep());
        let added = found.operation("add_heap", MOST_STEPS, || pool.add_heap(at(BASES[2]), SECOND));
        let removed = added.map(|heap| found.operation("remove_heap", MOST_STEPS, || pool.remove_heap(heap)));
        found.demand(Fault::Refused, removed == Ok(Ok(())), || format!("{removed:?}"));
        // Live blocks keep it, and so do blocks of a thread that does not run.
        let second = self.second();
        if found.operation("remove_heap", MOST_STEPS, || pool.remove_heap(second)).is_ok() {
            let again = pool.add_heap(at(BASES[1]), SECOND);
            found.demand(Fault::Refused, again.is_ok(), || format!("a heap that was removed: {again:?}"));
            *self.second.lock().unwrap_or_else(PoisonError::into_inner) = again.unwrap_or(second);
        }
        let mut taken = vec![];
        while let Some(block) = found.operation("hl_alloc of all", MOST_STEPS, || self.alloc(UNIT)) {
            taken.push(block);
        }
        found.operation("hl_alloc that fails again", MOST_STEPS, || pool.hl_alloc(UNIT));
        taken
    }

    fn release(&self, blocks: Vec<Block>) {
        blocks.into_iter().for_each(|block| self.free(block));
    }

    fn finish(&self, found: &mut Found) {
        let pool = &self.pool;
        pool.sweep();
        let more = pool.heap_stats().map(|heap| heap.heap).filter(|heap| ![self.first, self.second()].contains(heap));
        for heap in more.collect::<Vec<_>>() {
            let removed = pool.remove_heap(heap);
            found.demand(Fault::Refused, removed.is_ok(), || format!("at last {removed:?}"));
        }
        let stats = pool.stats();
        let (allocations, releases) = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let all = (stats.live, stats.cached, stats.in_transit, stats.free);
        found.demand(Fault::Accounts, all == (0, 0, 0, FIRST + SECOND), || format!("at last {stats}"));
        let blocks = pool.heap_map().map(|block| block.size).collect::<Vec<_>>();
        found.demand(Fault::Scattered, blocks == [FIRST, SECOND], || format!("{blocks:?}"));
        let counted = (stats.allocations(), stats.releases());
        found.demand(Fault::Figures, counted == (allocations, releases), || {
            format!("{counted:?} operations in the statistics, and there were {:?}", (allocations, releases))
        });
        let whole = pool.hl_alloc(FIRST);
        found.demand(Fault::Scattered, pool.hl_release(whole).is_ok() && !whole.is_null(), || "a whole heap".into());
    }
}

/// Nothing is there before the operation.
fn nothing(_: &Pool) -> Blocks {
    Blocks::default()
}

/// There is something in the thread's cache.
fn warm(pool: &Pool) -> Blocks {
    pool.release(pool.alloc_some(40, UNIT));
    Blocks::default()
}

/// There are many small blocks, of which every other one is live.
fn scattered(pool: &Pool) -> Blocks {
    let blocks = pool.alloc_some(1000, UNIT);
    Blocks { kept: pool.thin(blocks), used: vec![] }
}

/// All is live.
fn full(pool: &Pool) -> Blocks {
    Blocks { kept: pool.fill(), used: vec![] }
}

/// All is free in small blocks, none of them in the thread's cache.
fn small_blocks<const SIZE: usize>(pool: &Pool) -> Blocks {
    let blocks = pool.alloc_some(usize::MAX, SIZE);
    pool.release(blocks);
    pool.pool.flush_thread_cache();
    Blocks::default()
}

/// The thread has `COUNT` blocks of `SIZE` bytes.
fn some<const COUNT: usize, const SIZE: usize>(pool: &Pool) -> Blocks {
    Blocks { kept: vec![], used: pool.alloc_some(COUNT, SIZE) }
}

/// The same; the thread that allocated them has ended.
fn of_another<const COUNT: usize>(pool: &Pool) -> Blocks {
    let used = thread::scope(|scope| scope.spawn(|| pool.alloc_some(COUNT, UNIT)).join());
    Blocks { kept: vec![], used: used.expect("it does not panic") }
}

/// A thread left its cache.
fn left(pool: &Pool) -> Blocks {
    pool.gone();
    Blocks::default()
}

/// The thread has a block that can grow.
fn growing(pool: &Pool) -> Blocks {
    let used = pool.alloc_some(1, 1 << 12);
    pool.pool.sweep();
    Blocks { kept: vec![], used }
}

fn alloc<const COUNT: usize, const SIZE: usize>(pool: &Pool, _: Vec<Block>) -> Vec<Block> {
    pool.alloc_some(COUNT, SIZE)
}

fn release(pool: &Pool, blocks: Vec<Block>) -> Vec<Block> {
    pool.release(blocks);
    vec![]
}

fn resize<const SIZE: usize>(pool: &Pool, mut blocks: Vec<Block>) -> Vec<Block> {
    if let Ok(size) = pool.pool.resize_in_place(non_null(blocks[0].0), SIZE) {
        blocks[0].1 = size;
    }
    blocks
}

fn sweep_steps(pool: &Pool, blocks: Vec<Block>) -> Vec<Block> {
    let mut cycle = Cycle::default();
    while !pool.pool.sweep_step(&mut cycle, 1 << 10).is_last {}
    blocks
}

/// The operations.
pub fn operations() -> Vec<Operation<Pool>> {
    let operation = |name, prepare, act| Operation { name, prepare, act, exits: false };
    vec![
        operation("hl_alloc, the first of a heap", nothing, alloc::<1, UNIT>),
        operation("hl_alloc, cached", warm, alloc::<1, UNIT>),
        operation("hl_alloc, refills", nothing, alloc::<100, UNIT>),
        operation("hl_alloc, refills from small blocks", small_blocks::<UNIT>, alloc::<100, UNIT>),
        operation("hl_alloc, of 32 KiB", nothing, alloc::<1, { 32 << 10 }>),
        operation("hl_alloc, searches", small_blocks::<1024>, alloc::<1, { 32 << 10 }>),
        operation("hl_alloc, fails", full, alloc::<1, UNIT>),
        operation("hl_alloc, fails among small blocks", scattered, alloc::<1, FIRST>),
        operation("hl_alloc, of what an ended thread left", left, alloc::<1, FIRST>),
        operation("hl_alloc, by the next thread with the index", left, alloc::<60, UNIT>),
        operation("alloc_in, another heap", warm, |pool, _| {
            let block = pool.pool.alloc_in(pool.second(), layout(UNIT));
            pool.count(usize::from(block.is_ok()), 0);
            block.iter().map(|block| (block.addr().get(), UNIT)).collect()
        }),
        operation("alloc_batch", nothing, |pool, _| pool.batch(40)),
        operation("release_batch", some::<40, UNIT>, |pool, blocks| {
            pool.release_batch(blocks);
            vec![]
        }),
        operation("hl_release, into the cache", some::<1, UNIT>, release),
        operation("hl_release, of more than the cache holds", some::<300, UNIT>, release),
        operation("hl_release, of large ones", some::<3, { 32 << 10 }>, release),
        operation("hl_release, of another thread's", of_another::<200>, release),
        operation(
            "hl_release, in two heaps in turn",
            |pool| {
                let block = || pool.pool.alloc_in(pool.second(), layout(UNIT)).map(|block| (block.addr().get(), UNIT));
                let second = iter::from_fn(|| block().ok()).take(20).collect::<Vec<_>>();
                pool.count(second.len(), 0);
                let first = pool.alloc_some(20, UNIT);
                Blocks {
                    kept: vec![],
                    used: first.into_iter().zip(second).flat_map(|(one, other)| [one, other]).collect(),
                }
            },
            release,
        ),
        operation("resize_in_place, grows", growing, resize::<{ 1 << 14 }>),
        operation("resize_in_place, shrinks", some::<1, { 1 << 14 }>, resize::<UNIT>),
        operation("flush_thread_cache", warm, |pool, blocks| {
            pool.pool.flush_thread_cache();
            blocks
        }),
        operation("sweep", scattered, |pool, blocks| {
            pool.pool.sweep();
            blocks
        }),
        operation("sweep, merges all", small_blocks::<1024>, |pool, blocks| {
            pool.pool.sweep();
            blocks
        }),
        operation("sweep, of what an ended thread left", left, |pool, blocks| {
            pool.pool.sweep();
            blocks
        }),
        operation("a sweeper's cycle", small_blocks::<1024>, sweep_steps),
        operation("a sweeper's cycle, of what an ended thread left", left, sweep_steps),
        operation("stats", scattered, |pool, blocks| {
            pool.pool.stats();
            blocks
        }),
        operation("heaps", scattered, |pool, blocks| {
            pool.pool.heap_stats().count();
            blocks
        }),
        operation("heap_map", scattered, |pool, blocks| {
            pool.pool.heap_map().count();
            blocks
        }),
        operation("largest_free_block", scattered, |pool, blocks| {
            pool.pool.largest_free_block();
            blocks
        }),
        operation("heap_of", nothing, |pool, blocks| {
            pool.pool.heap_of(non_null(BASES[1]));
            blocks
        }),
        operation("block_size", some::<1, UNIT>, |pool, blocks| {
            pool.pool.block_size(non_null(blocks[0].0)).expect("it is live");
            blocks
        }),
        operation("add_heap, remove_heap", warm, |pool, blocks| {
            let heap = pool.pool.add_heap(at(BASES[3]), SECOND).expect("nobody has it");
            // If others have blocks of it by now, it stays.
            _ = pool.pool.remove_heap(heap);
            blocks
        }),
        operation("remove_heap, in use", some::<1, UNIT>, |pool, blocks| {
            pool.pool.remove_heap(pool.first).expect_err("a block is live");
            blocks
        }),
        Operation { name: "the end of a thread", prepare: warm, act: |_, blocks| blocks, exits: true },
    ]
}
