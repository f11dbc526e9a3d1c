//! How large bins become, and what goes to depots.

extern crate std;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::time::Duration;
use std::sync::Barrier;
use std::thread;

use crate::allocator::PoolAllocator;
use crate::allocator::backend::Backend;

const LAYOUT: Layout = Layout::new::<[u64; 8]>();
const CLASS: usize = 3;

/// The caches change by misses alone, not with the time.
fn allocator() -> PoolAllocator {
    PoolAllocator::builder().checked(false).decay(Duration::MAX).on_demand(usize::MAX)
}

fn alloc(allocator: &PoolAllocator, count: usize) -> Vec<usize> {
    // SAFETY: the layout has a size.
    (0..count).map(|_| unsafe { allocator.alloc(LAYOUT) }.expose_provenance()).collect()
}

fn release(allocator: &PoolAllocator, blocks: Vec<usize>) {
    for block in blocks {
        // SAFETY: `alloc` allocated it.
        unsafe { allocator.dealloc(ptr::with_exposed_provenance_mut(block), LAYOUT) };
    }
}

/// Allocates `length` blocks, and releases them in the same order.
fn burst(allocator: &PoolAllocator, length: usize) {
    release(allocator, alloc(allocator, length));
}

/// Depots would else fill with blocks that nobody takes: a thread that only releases others' blocks has some of its
/// own, too.
#[test]
fn only_magazines_of_others_go_to_depots() {
    const THREADS: usize = 8;
    const BLOCKS: usize = 4000;
    let allocator = &allocator();
    let mine = alloc(allocator, BLOCKS);
    let gate = Barrier::new(THREADS);
    // That many threads at the same moment are not all in the shard of this one.
    let blocks_of_others = thread::scope(|scope| {
        let alloc = || {
            let blocks = alloc(allocator, BLOCKS);
            gate.wait();
            (crate::thread::shard(), blocks)
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(alloc)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    let Backend { depots, meta, .. } = &allocator.started().expect("it was used").backend;
    release(allocator, mine);
    assert_eq!(depots.count(CLASS), 0);
    let here = crate::thread::shard();
    let (shard, theirs) = blocks_of_others.into_iter().find(|(shard, _)| *shard != here).expect("another shard");
    release(allocator, theirs);
    assert!(!depots.is_empty(CLASS, shard, meta));
    assert!(depots.is_empty(CLASS, here, meta));

    // Before the heap grows they are used, whoever's they are.
    let heap = allocator.stats().heap;
    while allocator.stats().heap == heap {
        assert_eq!(alloc(allocator, 1).len(), 1);
    }
    assert_eq!(depots.count(CLASS), 0);
}

#[test]
fn bursts_settle_into_a_bin() {
    // Each begins with another number of blocks in the bin.
    for (before, length) in (0..40).map(|step| 997 + 50 * step).flat_map(|before| [(before, 500), (before, 1000)]) {
        let allocator = allocator();
        let misses = || allocator.cache().map(|cache| cache.misses.get());
        burst(&allocator, before);
        for _ in 0..10 {
            burst(&allocator, length);
        }
        let settled = misses();
        assert!(settled.is_some());
        burst(&allocator, length);
        assert_eq!(misses(), settled, "bursts of {length} after one of {before}");
    }
}
/// Slow paths of a thousand pairs, once they are what they stay, of random blocks below 2 KiB and of bursts.
fn slow_paths(allocator: &PoolAllocator) -> usize {
    let (mut live, mut number) = (Vec::new(), 1_usize);
    let mut random = |below: usize| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) % below
    };
    let mut before = 0;
    for round in 0..40 {
        if round == 30 {
            before = allocator.cache().map_or(0, |cache| cache.misses.get());
        }
        for _ in 0..5000 {
            let layout = Layout::from_size_align(16 + random(2000), 8).expect("a small one");
            // SAFETY: the layout has a size.
            live.push((unsafe { allocator.alloc(layout) }, layout));
            if live.len() > 400 {
                let (block, layout) = live.swap_remove(random(400));
                // SAFETY: allocated above.
                unsafe { allocator.dealloc(block, layout) };
            }
        }
        burst(allocator, 500);
    }
    for (block, layout) in live {
        // SAFETY: allocated above.
        unsafe { allocator.dealloc(block, layout) };
    }
    (allocator.cache().expect("it was used").misses.get() - before) * 1000 / (10 * 5500)
}

/// A thread has what it would have alone, after many came and went, whether they had little or much, and beside ones
/// that sleep.
#[test]
fn caches_of_threads_that_allocate_no_more_are_no_loss() {
    let alone = slow_paths(&allocator());
    for (crowd, blocks, sleepers) in [(128, 100, 0), (64, 10_000, 0), (2, 10_000, 1), (32, 10_000, 32)] {
        let allocator = &allocator();
        let (all, end) = (&Barrier::new(crowd + 1), &Barrier::new(sleepers + 1));
        _ = slow_paths(allocator);
        let after = thread::scope(|scope| {
            let work = move |number: usize| {
                (0..3).for_each(|_| burst(allocator, blocks));
                all.wait();
                if number < sleepers {
                    end.wait();
                }
            };
            let threads: Vec<_> = (0..crowd).map(|number| scope.spawn(move || work(number))).collect();
            all.wait();
            threads.into_iter().skip(sleepers).for_each(|thread| thread.join().expect("it does not panic"));
            _ = slow_paths(allocator);
            let after = slow_paths(allocator);
            end.wait();
            after
        });
        assert!(after <= alone + alone / 4 + 1, "{after} instead of {alone} beside {sleepers} of {crowd}");
    }
}
