//! What two threads have of a `PoolAllocator` lies apart, though they allocate in turn.
#![cfg(unix)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::thread;

use common::Actor;
use mempool::PoolAllocator;

const TURNS: usize = 64;
const PAGE: usize = 4096;
const LAYOUT: Layout = Layout::new::<[u64; 8]>();

/// Allocates as many small blocks as fill a page.
fn alloc_page(allocator: &PoolAllocator) -> Vec<usize> {
    // SAFETY: the layout has a size.
    let block = |_| unsafe { allocator.alloc(LAYOUT) }.expose_provenance();
    (0..PAGE / LAYOUT.size()).map(block).collect()
}

/// Where the memory of two threads alternates, processors that look ahead take lines from each other. Pages alternated when each thread took
/// the next free one.
#[test]
fn pages_of_threads_that_allocate_in_turn_lie_in_rows() {
    let allocator = PoolAllocator::new();
    thread::scope(|scope| {
        let threads = [Actor::new(scope), Actor::new(scope)];
        let allocator = &allocator;
        let mut blocks = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (blocks, thread) in blocks.iter_mut().zip(&threads) {
                blocks.extend(thread.run(|| alloc_page(allocator)));
            }
        }
        let mut owners = BTreeMap::<usize, usize>::new();
        for (thread, blocks) in blocks.iter().enumerate() {
            owners.extend(blocks.iter().map(|block| (block / PAGE, thread)));
        }
        let owners: Vec<usize> = owners.into_values().collect();
        let changes = owners.windows(2).filter(|two| two[0] != two[1]).count();
        assert!(owners.len() >= 2 * TURNS && changes < TURNS / 4, "{changes} changes in {} pages", owners.len());
        for (blocks, thread) in blocks.into_iter().zip(&threads) {
            let release = move |block| {
                // SAFETY: a live block of this layout.
                unsafe { allocator.dealloc(std::ptr::with_exposed_provenance_mut(block), LAYOUT) };
            };
            thread.run(move || blocks.into_iter().for_each(release));
        }
        threads.into_iter().for_each(Actor::leave);
    });
}
