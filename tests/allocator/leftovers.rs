//! What many threads have left of the pages of a `PoolAllocator` is there for another one, where memory is short.

use std::alloc::{GlobalAlloc, Layout};
use std::{iter, ptr, thread};

use crate::common::Actor;
use mempool::PoolAllocator;

/// More than there are shards.
const THREADS: usize = 12;
/// A heap has all shards.
const LIMIT: usize = 16 << 20;
const LAYOUT: Layout = Layout::new::<[u64; 8]>();

fn alloc(allocator: &PoolAllocator) -> Option<usize> {
    // SAFETY: the layout has a size.
    let block = unsafe { allocator.alloc(LAYOUT) };
    (!block.is_null()).then(|| block.expose_provenance())
}

fn release(allocator: &PoolAllocator, block: usize) {
    // SAFETY: a live block of this layout.
    unsafe { allocator.dealloc(ptr::with_exposed_provenance_mut(block), LAYOUT) };
}

#[test]
fn what_is_left_of_others_pages_is_not_lost() {
    let allocator = &PoolAllocator::with_limit(LIMIT);
    let mut blocks = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| Actor::new(scope)).collect();
        let fill = || iter::from_fn(|| alloc(allocator)).take(LIMIT / LAYOUT.size() / THREADS).collect();
        let blocks: Vec<Vec<usize>> = threads.iter().map(|thread| thread.run(fill)).collect();
        threads.into_iter().for_each(Actor::leave);
        blocks.concat()
    });
    let all = blocks.len();
    assert!(all > LIMIT / LAYOUT.size() * 9 / 10, "{all} blocks fit");
    // Every second one goes, so that no page is free.
    let mut keeps = false;
    blocks.retain(|block| {
        keeps = !keeps;
        if !keeps {
            release(allocator, *block);
        }
        keeps
    });
    blocks.extend(iter::from_fn(|| alloc(allocator)));
    assert!(blocks.len() >= all, "{} of {all}", blocks.len());
    blocks.into_iter().for_each(|block| release(allocator, block));
}
