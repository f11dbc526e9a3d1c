//! An allocation near the limit, beside a thread that sweeps. In a program of its own: a thread that begins adopts what
//! one has left that is gone, and here no other does.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

#[path = "../common/mod.rs"]
mod common;

use common::alloc_beside;
use mempool::PoolAllocator;

const MIB: usize = 1 << 20;

/// Allocates blocks of these sizes, and releases them.
fn churn(allocator: &PoolAllocator, sizes: impl IntoIterator<Item = usize>) {
    let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
    // SAFETY: the sizes are not 0.
    let blocks = sizes.into_iter().map(|size| (unsafe { allocator.alloc(layout(size)) }, size));
    let blocks: Vec<(*mut u8, usize)> = blocks.collect();
    for (block, size) in blocks {
        assert!(!block.is_null(), "{size}: {}", allocator.stats());
        // SAFETY: a live block of this layout, given up here.
        unsafe { allocator.dealloc(block, layout(size)) };
    }
}

/// Ends the other thread, also where an assertion fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Beside another thread that sweeps all the time: it withholds caches, slabs and blocks meanwhile.
#[test]
fn a_block_as_large_as_the_heap_is_had_beside_sweeps() {
    let allocator = PoolAllocator::with_capacity(4 * MIB).expect("4 MiB");
    // The heap grows to what it may be.
    churn(&allocator, [100_000; 40]);
    let (allocator, large) = (&allocator, Layout::new::<[u8; 3 * MIB]>());
    let (sweeps, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                allocator.sweep();
                sweeps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _over = Over(&is_over);
        for round in 0..3000 {
            // Blocks of all classes in the cache of an ended thread, which are left to whoever sweeps.
            let gone = scope.spawn(move || churn(allocator, (0..300).map(|number| 1 + number * (7 + round) % 8000)));
            gone.join().expect("no panic");
            // SAFETY: the size is not 0.
            let block = alloc_beside(|| unsafe { allocator.alloc(large) }, || sweeps.load(Ordering::Relaxed));
            // SAFETY: a live block of this layout.
            unsafe { allocator.dealloc(block, large) };
        }
    });
}
