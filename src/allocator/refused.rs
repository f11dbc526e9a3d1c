//! A call that the operating system refuses makes an allocation fail, and does no other harm.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};

use super::PoolAllocator;
use crate::sys::refuse_after;

/// Sizes of small blocks, of slabs with extra bitmaps, and of large ones.
const SIZES: [usize; 7] = [16, 48, 700, 5000, 60_000, 300_000, 3 << 20];

/// Allocates some blocks of each size, and writes to them; returns the ones that it got.
fn allocate(allocator: &PoolAllocator) -> Vec<(*mut u8, Layout)> {
    let layouts = SIZES.into_iter().map(|size| Layout::from_size_align(size, 16).expect("a layout"));
    let layouts = layouts.flat_map(|layout| core::iter::repeat_n(layout, 1 + (40_000 / layout.size()).min(300)));
    // SAFETY: the sizes are not 0.
    let blocks = layouts.map(|layout| (unsafe { allocator.alloc(layout) }, layout));
    let blocks = blocks.filter(|(block, _)| !block.is_null());
    // SAFETY: it has so many bytes.
    blocks.inspect(|(block, layout)| unsafe { block.write_bytes(0xA5, layout.size()) }).collect()
}

fn release(allocator: &PoolAllocator, blocks: Vec<(*mut u8, Layout)>) {
    for (block, layout) in blocks {
        // SAFETY: `allocate` had it from this allocator.
        unsafe { allocator.dealloc(block, layout) };
    }
    allocator.sweep();
    let stats = allocator.stats();
    assert_eq!(stats.free, stats.heap, "nothing is live");
}

/// Has each call of the system refused in turn, alone or with all that follow, and looks at the allocator.
fn with_refusals(make: impl Fn() -> PoolAllocator) {
    let (all, calls) = refuse_after(u32::MAX, 0, || {
        let allocator = make();
        let blocks = allocate(&allocator);
        let all = blocks.len();
        release(&allocator, blocks);
        all
    });
    assert!(calls > 5, "{calls} calls");
    for call in 0..calls {
        for count in [1, u32::MAX] {
            let allocator = make();
            let (blocks, _) = refuse_after(call, count, || allocate(&allocator));
            assert!(blocks.len() <= all);
            // All blocks can be had later.
            let more = allocate(&allocator);
            assert_eq!(more.len(), all, "call {call} was refused, {count} in a row");
            release(&allocator, blocks.into_iter().chain(more).collect());
        }
    }
}

#[test]
fn an_allocator_on_demand_lives_with_each_refusal() {
    with_refusals(|| PoolAllocator::builder().checked(false).on_demand(64 << 20));
    with_refusals(|| PoolAllocator::builder().checked(true).on_demand(64 << 20));
    with_refusals(|| PoolAllocator::builder().checked(true).on_demand(usize::MAX));
}

#[test]
fn a_mapping_that_is_refused_is_an_error() {
    let build = || PoolAllocator::builder().checked(true).prefault(true).build(64 << 20);
    let (built, calls) = refuse_after(u32::MAX, 0, || build().is_ok());
    assert!(built);
    let outcomes: Vec<_> = (0..calls).map(|call| refuse_after(call, 1, || build().is_ok()).0).collect();
    // The addresses and the memory behind them are needed; only wishes may be refused.
    assert!(outcomes.iter().filter(|built| !**built).count() >= 2, "{outcomes:?}");
    assert!(outcomes.iter().any(|built| *built));
}
