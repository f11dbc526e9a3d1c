//! The limit in practice: arrays of freed blocks for each thread and power of two. Nothing is bounded, merged or
//! given back, and blocks that have become blocks of a size stay that for ever. Not an allocator that one could use.
//!
//! Once without any check, and once with the least that it takes to have each release checked exactly, by whatever
//! thread: a word of state for each block, which an allocation stores to and a release changes by a compare-exchange.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use super::REGION;
use super::regions::region;
use crate::subject::{Subject, moved};

/// Blocks of a stack: more than any of the workloads releases at once.
const DEPTH: usize = 8192;
/// Powers of two, from 16 bytes on.
const ORDERS: usize = 28;
const LEAST: u32 = 16;
/// Bytes, and blocks, that are cut from the region at once, unless one block is more.
const CARVED: (usize, usize) = (1 << 14, 64);

/// The stack of an order: its blocks, the first `len` of them.
#[derive(Debug)]
struct Stack {
    len: Cell<usize>,
    blocks: [Cell<*mut u8>; DEPTH],
}

type Stacks = [Stack; ORDERS];

thread_local! {
    static STACKS: Cell<Option<&'static Stacks>> = const { Cell::new(None) };
    /// Has them while the thread has not ended.
    static OWNER: Owner = const { Owner };
}

struct Owner;

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(stacks) = STACKS.take() {
            let mut shared = SHARED.lock().expect("no panic under the lock");
            shared.left.push(Left(stacks));
        }
    }
}

/// The stacks of a thread that is gone.
struct Left(&'static Stacks);

// SAFETY: no other thread has them.
unsafe impl Send for Left {}

/// What all threads share.
struct Shared {
    /// The region.
    base: usize,
    bytes: usize,
    /// Where the rest of the region begins, and how many bytes it has.
    rest: (usize, usize),
    left: Vec<Left>,
    /// Halves of stacks, of each order.
    halves: [Vec<Vec<usize>>; ORDERS],
}

static SHARED: Mutex<Shared> =
    Mutex::new(Shared { base: 0, bytes: 0, rest: (0, 0), left: Vec::new(), halves: [const { Vec::new() }; ORDERS] });

/// Without checks. There is one.
#[derive(Debug)]
pub struct Limit;

impl Limit {
    /// All have the same region, which the first one reserves.
    pub fn new() -> Self {
        let mut shared = SHARED.lock().expect("no panic under the lock");
        if shared.bytes == 0 {
            let (base, bytes) = region(REGION);
            (shared.base, shared.bytes) = (base.expose_provenance(), bytes);
            shared.rest = (shared.base, bytes);
        }
        Self
    }
}

fn order(size: u32) -> usize {
    (size.max(LEAST) - 1).ilog2() as usize - 3
}

/// The block itself, where it stays large enough, but not too large.
///
/// # Safety
///
/// As [`Subject::resize`].
#[inline]
unsafe fn resized(subject: &impl Subject, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
    if order(old_size) == order(size) {
        return block;
    }
    // SAFETY: the same contract.
    unsafe { moved(subject, block, old_size, size) }
}

impl Subject for Limit {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        let order = order(size);
        let Some(stacks) = STACKS.get() else { return slow(order) };
        let stack = &stacks[order];
        match stack.len.get() {
            0 => slow(order),
            len => {
                stack.len.set(len - 1);
                stack.blocks[len - 1].get()
            }
        }
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, size: u32) {
        let stacks = STACKS.get().unwrap_or_else(attach);
        let stack = &stacks[order(size)];
        if stack.len.get() == DEPTH {
            share(stack, order(size));
        }
        let len = stack.len.get();
        stack.blocks[len].set(block);
        stack.len.set(len + 1);
    }

    #[inline]
    unsafe fn resize(&self, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
        // SAFETY: the same contract.
        unsafe { resized(self, block, old_size, size) }
    }
}

/// In a state, beside an order.
const LIVE: u16 = 1 << 8;

/// With checks. Of the same blocks.
#[derive(Debug)]
pub struct CheckedLimit {
    blocks: Limit,
    base: usize,
    /// For each place where a block may begin: [`LIVE`] and its order while it is live, else 0.
    states: &'static [AtomicU16],
}

impl CheckedLimit {
    /// Of the region that all have.
    pub fn new() -> Self {
        let blocks = Limit::new();
        let shared = SHARED.lock().expect("no panic under the lock");
        let places = shared.bytes / LEAST as usize;
        let layout = Layout::array::<AtomicU16>(places).expect("fewer bytes than the region has");
        // SAFETY: a layout with a size.
        let first = NonNull::new(unsafe { System.alloc_zeroed(layout) }).expect("there is memory for states");
        // SAFETY: that many words, which are zero, and nobody frees them.
        let states = unsafe { NonNull::slice_from_raw_parts(first.cast(), places).as_ref() };
        Self { blocks, base: shared.base, states }
    }

    #[inline]
    fn state(&self, block: *mut u8) -> &AtomicU16 {
        &self.states[(block.addr() - self.base) / LEAST as usize]
    }
}

fn live(size: u32) -> u16 {
    LIVE | order(size) as u16
}

impl Subject for CheckedLimit {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        let block = self.blocks.alloc(size);
        if !block.is_null() {
            // Release: pairs with the Acquire in `release`; nobody else writes there while nobody has the block.
            self.state(block).store(live(size), Ordering::Release);
        }
        block
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, size: u32) {
        // AcqRel: who has the block next comes after all that was done with it.
        let released = self.state(block).compare_exchange(live(size), 0, Ordering::AcqRel, Ordering::Acquire);
        released.expect("a live block is released");
        // SAFETY: the same contract.
        unsafe { self.blocks.release(block, size) };
    }

    #[inline]
    unsafe fn resize(&self, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
        // SAFETY: the same contract.
        unsafe { resized(self, block, old_size, size) }
    }
}

/// Stacks for the calling thread.
#[cold]
fn attach() -> &'static Stacks {
    OWNER.with(|_| ());
    let left = SHARED.lock().expect("no panic under the lock").left.pop();
    let stacks = left.map_or_else(leaked, |left| left.0);
    STACKS.set(Some(stacks));
    stacks
}

fn leaked() -> &'static Stacks {
    // SAFETY: a layout with a size; zeroes are empty stacks, and nobody frees them.
    unsafe { System.alloc_zeroed(Layout::new::<Stacks>()).cast::<Stacks>().as_ref() }
        .expect("there is memory for stacks")
}

/// Fills the stack of an order, and takes a block of it.
#[cold]
fn slow(order: usize) -> *mut u8 {
    let stack = &STACKS.get().unwrap_or_else(attach)[order];
    if stack.len.get() == 0 {
        let mut shared = SHARED.lock().expect("no panic under the lock");
        let blocks = shared.halves[order].pop().unwrap_or_else(|| carve(&mut shared.rest, order));
        for (place, block) in stack.blocks.iter().zip(&blocks) {
            place.set(ptr::with_exposed_provenance_mut(*block));
        }
        stack.len.set(blocks.len());
    }
    let Some(len) = stack.len.get().checked_sub(1) else { return ptr::null_mut() };
    stack.len.set(len);
    stack.blocks[len].get()
}

/// New blocks; none, if there is no memory left.
fn carve(rest: &mut (usize, usize), order: usize) -> Vec<usize> {
    let size = (LEAST as usize) << order;
    let count = (CARVED.0 / size).clamp(1, CARVED.1).min(rest.1 / size);
    let base = rest.0;
    *rest = (base + count * size, rest.1 - count * size);
    (0..count).rev().map(|place| base + place * size).collect()
}

/// Half of a full stack, for who has none.
#[cold]
fn share(stack: &Stack, order: usize) {
    let half = stack.blocks[DEPTH / 2..].iter().map(|block| block.get().expose_provenance()).collect();
    stack.len.set(DEPTH / 2);
    SHARED.lock().expect("no panic under the lock").halves[order].push(half);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a live block is released")]
    fn a_second_release_is_found() {
        let subject = CheckedLimit::new();
        let block = subject.alloc(64);
        for _ in 0..2 {
            // SAFETY: at first; the second time nobody else can have it, and it is found before anything is done with
            // it.
            unsafe { subject.release(block, 64) };
        }
    }
}
