//! The operations of an allocator, and of a sweeper of one.

use alloc::vec::Vec;
use alloc::{format, vec};
use core::alloc::{GlobalAlloc, Layout};
use core::iter;
use core::ptr::{self, NonNull};
use core::time::Duration;
use std::thread;

use super::run::{Block, Blocks, Fault, Found, Operation, World};
use crate::PoolAllocator;
use crate::raw::slabs::{Cycle, Discards};

const PAGE: usize = 4096;
const UNIT: usize = 64;
/// Bytes of the heap that may be in use.
const LIMIT: usize = 256 * PAGE;
/// Most steps of an operation of another thread.
const MOST_STEPS: u64 = 1 << 20;

/// An allocator, which checks releases or does not.
pub struct Allocator<const CHECKED: bool>(PoolAllocator);

fn at(address: usize) -> *mut u8 {
    ptr::with_exposed_provenance_mut(address)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("it is small")
}

impl<const CHECKED: bool> Allocator<CHECKED> {
    fn alloc(&self, size: usize) -> Option<Block> {
        // SAFETY: no size here is 0.
        let block = unsafe { self.0.alloc(layout(size)) };
        if !block.is_null() {
            // SAFETY: the block has a byte.
            unsafe { block.write(1) };
        }
        (!block.is_null()).then(|| (block.expose_provenance(), size))
    }

    fn alloc_some(&self, count: usize, size: usize) -> Vec<Block> {
        iter::from_fn(|| self.alloc(size)).take(count).collect()
    }

    fn free(&self, (block, size): Block) {
        // SAFETY: a live block of this layout. No thread uses it any more.
        unsafe { self.0.dealloc(at(block), layout(size)) };
    }

    fn realloc(&self, (block, size): Block, new_size: usize) -> Block {
        // SAFETY: as in `free`; if it is refused, nothing is changed.
        let new = unsafe { self.0.realloc(at(block), layout(size), new_size) };
        if new.is_null() { (block, size) } else { (new.expose_provenance(), new_size) }
    }
}

impl<const CHECKED: bool> World for Allocator<CHECKED> {
    fn new() -> Self {
        Self(PoolAllocator::builder().checked(CHECKED).decay(Duration::MAX).on_demand(LIMIT))
    }

    fn others(&self, found: &mut Found) -> Vec<Block> {
        let allocator = &self.0;
        for size in [UNIT, 24, 1000, PAGE, 3 * PAGE, 25 * PAGE] {
            if let Some(block) = found.operation("alloc", MOST_STEPS, || self.alloc(size)) {
                let block = found.operation("realloc", MOST_STEPS, || self.realloc(block, 2 * size));
                let (block, _) = found.operation("realloc, smaller", MOST_STEPS, || self.realloc(block, size));
                found.operation("dealloc", MOST_STEPS, || self.free((block, size)));
            }
        }
        let blocks = found.operation("100 times alloc", 100 * MOST_STEPS, || self.alloc_some(100, UNIT));
        found.operation("100 times dealloc", 100 * MOST_STEPS, || self.release(blocks));
        found.operation("stats", MOST_STEPS, || allocator.stats());
        found.operation("sweep", MOST_STEPS, || allocator.sweep());
        found.operation("trim", MOST_STEPS, || allocator.trim());
        let mut taken = vec![];
        for size in [PAGE, UNIT] {
            while let Some(block) = found.operation("alloc of all", MOST_STEPS, || self.alloc(size)) {
                taken.push(block);
            }
        }
        found.operation("alloc that fails again", MOST_STEPS, || self.alloc(UNIT));
        taken
    }

    fn release(&self, blocks: Vec<Block>) {
        blocks.into_iter().for_each(|block| self.free(block));
    }

    fn finish(&self, found: &mut Found) {
        let allocator = &self.0;
        allocator.sweep();
        let stats = allocator.stats();
        found.demand(Fault::Accounts, (stats.free, stats.idle) == (stats.heap, 0), || format!("at last {stats}"));
        found.demand(Fault::Refused, stats.refused_releases == 0, || format!("{stats}"));
        let whole = self.alloc(stats.heap.clamp(PAGE, stats.limit));
        found.demand(Fault::Scattered, whole.is_some(), || format!("not one block: {stats}"));
        self.release(whole.into_iter().collect());
    }
}

/// Nothing is there before the operation, not even a heap.
fn nothing<const CHECKED: bool>(_: &Allocator<CHECKED>) -> Blocks {
    Blocks::default()
}

/// There is something in the thread's cache.
fn warm<const CHECKED: bool>(allocator: &Allocator<CHECKED>) -> Blocks {
    allocator.release(allocator.alloc_some(100, UNIT));
    Blocks::default()
}

/// All is live.
fn full<const CHECKED: bool>(allocator: &Allocator<CHECKED>) -> Blocks {
    let mut kept = allocator.alloc_some(usize::MAX, PAGE);
    kept.extend(allocator.alloc_some(usize::MAX, UNIT));
    Blocks { kept, used: vec![] }
}

/// Every other page is live.
fn scattered<const CHECKED: bool>(allocator: &Allocator<CHECKED>) -> Blocks {
    let pages = allocator.alloc_some(100, PAGE);
    let (odd, kept) = pages.into_iter().partition(|(page, _)| page / PAGE % 2 == 1);
    allocator.release(odd);
    Blocks { kept, used: vec![] }
}

/// All is free in single pages, none of them in the thread's cache.
fn small_blocks<const CHECKED: bool>(allocator: &Allocator<CHECKED>) -> Blocks {
    thread::scope(|scope| {
        let leave = || allocator.release(allocator.alloc_some(usize::MAX, PAGE));
        scope.spawn(leave).join().expect("it does not panic");
    });
    Blocks::default()
}

/// The thread has `COUNT` blocks of `SIZE` bytes.
fn some<const CHECKED: bool, const COUNT: usize, const SIZE: usize>(allocator: &Allocator<CHECKED>) -> Blocks {
    Blocks { kept: vec![], used: allocator.alloc_some(COUNT, SIZE) }
}

/// The same; the thread that allocated them has ended.
fn of_another<const CHECKED: bool, const COUNT: usize>(allocator: &Allocator<CHECKED>) -> Blocks {
    let used = thread::scope(|scope| scope.spawn(|| allocator.alloc_some(COUNT, UNIT)).join());
    Blocks { kept: vec![], used: used.expect("it does not panic") }
}

/// A thread left its cache.
fn left<const CHECKED: bool>(allocator: &Allocator<CHECKED>) -> Blocks {
    thread::scope(|scope| scope.spawn(|| warm(allocator)).join().expect("it does not panic"))
}

fn alloc<const CHECKED: bool, const COUNT: usize, const SIZE: usize>(
    allocator: &Allocator<CHECKED>,
    _: Vec<Block>,
) -> Vec<Block> {
    allocator.alloc_some(COUNT, SIZE)
}

fn release<const CHECKED: bool>(allocator: &Allocator<CHECKED>, blocks: Vec<Block>) -> Vec<Block> {
    allocator.release(blocks);
    vec![]
}

fn realloc<const CHECKED: bool, const SIZE: usize>(allocator: &Allocator<CHECKED>, blocks: Vec<Block>) -> Vec<Block> {
    blocks.into_iter().map(|block| allocator.realloc(block, SIZE)).collect()
}

fn cycles<const CHECKED: bool>(allocator: &Allocator<CHECKED>, blocks: Vec<Block>) -> Vec<Block> {
    let mut cycle = Cycle::default();
    for discards in [Discards::Nothing, Discards::Old, Discards::All] {
        while !allocator.0.sweep_step(&mut cycle, 64, || discards).0.is_last {}
    }
    blocks
}

/// The operations.
pub fn operations<const CHECKED: bool>() -> Vec<Operation<Allocator<CHECKED>>> {
    let operation = |names: [&'static str; 2], prepare, act| {
        let name = names[usize::from(CHECKED)];
        Operation { name, prepare, act, exits: false }
    };
    macro_rules! names {
        ($name:literal) => {
            [concat!("allocator: ", $name), concat!("checked allocator: ", $name)]
        };
    }
    vec![
        operation(names!("alloc, the first"), nothing, alloc::<CHECKED, 1, UNIT>),
        operation(names!("alloc, cached"), warm, alloc::<CHECKED, 1, UNIT>),
        operation(names!("alloc, refills"), nothing, alloc::<CHECKED, 200, UNIT>),
        operation(names!("alloc, of slabs of several bitmaps"), nothing, alloc::<CHECKED, 300, 16>),
        operation(names!("alloc, of 100 KiB"), warm, alloc::<CHECKED, 3, { 25 * PAGE }>),
        operation(names!("alloc, of single pages"), small_blocks, alloc::<CHECKED, 1, { 100 * PAGE }>),
        operation(names!("alloc, fails"), full, alloc::<CHECKED, 1, UNIT>),
        operation(names!("alloc, fails for a span"), scattered, alloc::<CHECKED, 1, LIMIT>),
        operation(names!("alloc, of what an ended thread left"), left, alloc::<CHECKED, 1, LIMIT>),
        operation(names!("alloc, by the next thread with the index"), left, alloc::<CHECKED, 100, UNIT>),
        operation(names!("alloc_zeroed"), small_blocks, |allocator, _| {
            // SAFETY: the size is not 0.
            let block = unsafe { allocator.0.alloc_zeroed(layout(20 * PAGE)) };
            NonNull::new(block).map(|block| (block.as_ptr().expose_provenance(), 20 * PAGE)).into_iter().collect()
        }),
        operation(names!("dealloc, into the cache"), some::<CHECKED, 1, UNIT>, release),
        operation(names!("dealloc, of more than the cache holds"), some::<CHECKED, 500, UNIT>, release),
        operation(names!("dealloc, of another thread's"), of_another::<CHECKED, 300>, release),
        operation(names!("dealloc, of spans"), some::<CHECKED, 3, { 25 * PAGE }>, release),
        operation(names!("realloc, to another class"), some::<CHECKED, 1, UNIT>, realloc::<CHECKED, 1000>),
        operation(
            names!("realloc, grows in place"),
            some::<CHECKED, 1, { 20 * PAGE }>,
            realloc::<CHECKED, { 40 * PAGE }>,
        ),
        operation(names!("realloc, shrinks"), some::<CHECKED, 1, { 40 * PAGE }>, realloc::<CHECKED, { 20 * PAGE }>),
        operation(names!("sweep"), scattered, |allocator, blocks| {
            allocator.0.sweep();
            blocks
        }),
        operation(names!("sweep, of what an ended thread left"), small_blocks, |allocator, blocks| {
            allocator.0.sweep();
            blocks
        }),
        operation(names!("trim"), scattered, |allocator, blocks| {
            allocator.0.trim();
            blocks
        }),
        operation(names!("stats"), scattered, |allocator, blocks| {
            allocator.0.stats();
            blocks
        }),
        operation(names!("release, usable_size"), some::<CHECKED, 2, UNIT>, |allocator, blocks| {
            for (block, _) in blocks {
                let block = NonNull::new(at(block)).expect("no block is at null");
                // SAFETY: it is live, and nobody uses it any more.
                unsafe {
                    allocator.0.usable_size(block);
                    allocator.0.release(block);
                }
            }
            vec![]
        }),
        operation(names!("a sweeper's cycles"), scattered, cycles),
        operation(names!("a sweeper's cycles, of what an ended thread left"), small_blocks, cycles),
        Operation { exits: true, ..operation(names!("the end of a thread"), warm, |_, blocks| blocks) },
    ]
}
