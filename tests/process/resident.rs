//! Memory goes back to the operating system: what is resident falls after a spike. In a program of its own, so that
//! nobody else's memory is counted.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::{Lockstep, at, resident};
use mempool::{Budget, MemoryPool, PoolAllocator, Sweeper};

const MIB: usize = 1 << 20;

/// One test at a time: what is resident is all of the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// How often this thread waited for a page.
fn faults() -> libc::c_long {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the usage is where it is written to, which it is if there is no error.
    unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()), 0);
        usage.assume_init().ru_minflt
    }
}

#[test]
fn a_small_heap_that_stays_as_large_soon_faults_no_more() {
    let allocator = PoolAllocator::builder().decay(Duration::MAX).on_demand(usize::MAX);
    // As tables that grow, with what they had moved each time.
    let grow = || {
        let mut block: Option<(*mut u8, Layout)> = None;
        for size in [70_000, 120_000, 230_000].map(|size| Layout::array::<u8>(size).expect("a small one")) {
            // SAFETY: the size is not 0.
            let new = unsafe { allocator.alloc(size) };
            // SAFETY: the block is that long.
            unsafe { new.write_bytes(1, size.size()) };
            if let Some((old, size)) = block.replace((new, size)) {
                // SAFETY: a live block of this layout, given up here.
                unsafe { allocator.dealloc(old, size) };
            }
        }
        // SAFETY: as above.
        block.into_iter().for_each(|(block, size)| unsafe { allocator.dealloc(block, size) });
    };
    (0..500).for_each(|_| grow());
    let before = faults();
    (0..500).for_each(|_| grow());
    let faults = faults() - before;
    assert!(faults < 50, "{faults} faults, {}", allocator.stats());
}

/// The zeroes of a static array, or of fresh pages, are only read.
#[test]
fn tables_of_the_caller_are_not_resident_before_they_are_used() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const HEAP: usize = 1 << 30;
    let (pool, tables) = (MemoryPool::new(), vec![0; MemoryPool::tables_size(HEAP, 64)].leak());
    assert!(tables.len() > 96 * MIB);
    let before = resident();
    pool.add_heap_with(at(HEAP), HEAP, tables).expect("they suffice");
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
}

#[test]
fn what_is_resident_falls_to_what_is_live() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let allocator = PoolAllocator::builder().decay(Duration::MAX).on_demand(usize::MAX);
    let small = Layout::new::<[u8; 100]>();
    let large = Layout::new::<[u8; 300_000]>();
    let before = resident();
    let alloc = |layout: Layout, count: usize| -> Vec<*mut u8> {
        let one = |_| {
            // SAFETY: the size is not 0.
            let block = unsafe { allocator.alloc(layout) };
            assert!(!block.is_null());
            // SAFETY: the block is that long.
            unsafe { block.write_bytes(1, layout.size()) };
            block
        };
        (0..count).map(one).collect()
    };
    let release = |blocks: &[*mut u8], layout: Layout| {
        // SAFETY: live blocks of this layout, given up here.
        blocks.iter().for_each(|block| unsafe { allocator.dealloc(*block, layout) });
    };
    let spike = alloc(small, 400_000);
    let kept = alloc(large, 20);
    let more = alloc(large, 180);
    let at_most = resident();
    assert!(at_most > before + 90 * MIB, "{before} {at_most}");
    release(&spike, small);
    release(&more, large);
    let trimmed = allocator.trim();
    let after = resident();
    // What is live has 6 MB, and the tables of the spike stay.
    assert!(trimmed > 80 * MIB, "{trimmed} {}", allocator.stats());
    assert!(after < before + 12 * MIB, "{before} {at_most} {after} {}", allocator.stats());
    // What was given back is taken again, and is zero where that was asked for.
    // SAFETY: as above.
    let again: Vec<*mut u8> = (0..180).map(|_| unsafe { allocator.alloc_zeroed(large) }).collect();
    for block in &again {
        assert!(!block.is_null());
        // SAFETY: the block is that long, which are initialised.
        assert!(unsafe { std::slice::from_raw_parts(*block, large.size()) }.iter().all(|byte| *byte == 0));
    }
    for block in &kept {
        // SAFETY: the block is that long, all written.
        assert!(unsafe { std::slice::from_raw_parts(*block, large.size()) }.iter().all(|byte| *byte == 1));
    }
    release(&again, large);
    release(&kept, large);
}

/// Fills a block and releases it, then takes one that is to be zero, and returns by how much that makes more resident
/// than there was before the first one. What is zero is only read here.
fn zeroed_again(allocator: &PoolAllocator, filled: usize, zeroed: usize) -> isize {
    let layout = |size| Layout::array::<u8>(size).expect("a layout");
    let before = resident();
    // SAFETY: the size is not 0, the block is that long, and is released once.
    unsafe {
        let block = allocator.alloc(layout(filled));
        assert!(!block.is_null());
        block.write_bytes(1, filled);
        allocator.dealloc(block, layout(filled));
    }
    // SAFETY: the size is not 0.
    let block = unsafe { allocator.alloc_zeroed(layout(zeroed)) };
    assert!(!block.is_null());
    let after = resident();
    // SAFETY: the block is that long, which are initialised.
    assert!(unsafe { std::slice::from_raw_parts(block, zeroed) }.iter().all(|byte| *byte == 0));
    // SAFETY: a live block of this layout.
    unsafe { allocator.dealloc(block, layout(zeroed)) };
    after as isize - before as isize
}

#[test]
fn what_is_to_be_zero_is_not_written_to_if_it_is_much() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mib = MIB as isize;
    let much = zeroed_again(&PoolAllocator::with_limit(64 * MIB), 64 * MIB, 64 * MIB);
    assert!(much < 4 * mib, "{much}");
    // An odd length, and a place that is no beginning of a block of a power of two.
    let allocator = PoolAllocator::with_limit(64 * MIB);
    // SAFETY: the size is not 0.
    let first = unsafe { allocator.alloc(Layout::new::<[u8; 70_000]>()) };
    let odd = zeroed_again(&allocator, 40 * MIB + 1, 40 * MIB - 4095);
    assert!(odd < 4 * mib, "{odd}");
    // SAFETY: a live block of this layout.
    unsafe { allocator.dealloc(first, Layout::new::<[u8; 70_000]>()) };
    // What was never used stays so, though not all of the block was.
    let mixed = zeroed_again(&PoolAllocator::new(), 4 * MIB, 16 * MIB);
    assert!((4 * mib..6 * mib).contains(&mixed), "{mixed}");
    // Small blocks are written to; that takes less time.
    let little = zeroed_again(&PoolAllocator::new(), 4 * MIB, 4 * MIB);
    assert!(little >= 4 * mib, "{little}");
}

#[test]
fn prefaulted_memory_stays() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let allocator = PoolAllocator::builder().prefault(true).build(64 * MIB).expect("64 MiB");
    let (before, size) = (resident(), 40 * MIB);
    zeroed_again(&allocator, size, size);
    assert!(resident() >= before, "{before} {}", resident());
    // The third one has no room where the first one was.
    let layout = |mib| Layout::array::<u8>(mib * MIB).expect("a layout");
    // SAFETY: the sizes are not 0, and each block is released once.
    unsafe {
        let blocks = [20, 20].map(|mib| allocator.alloc(layout(mib)));
        allocator.dealloc(blocks[0], layout(20));
        let third = allocator.alloc(layout(24));
        assert!(!third.is_null(), "{}", allocator.stats());
        assert!(resident() >= before, "{before} {}", resident());
        allocator.dealloc(blocks[1], layout(20));
        allocator.dealloc(third, layout(24));
    }
}

/// The same by a sweeper, when what is free was so for long enough; no thread asks for it.
#[test]
fn a_sweeper_makes_it_fall() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (time, passes) in [(Duration::ZERO, 1), (Duration::from_nanos(1), 2)] {
        let allocator = Arc::new(PoolAllocator::builder().decay(Duration::MAX).on_demand(usize::MAX));
        // Passes only when they are waited for, each over everything.
        let by_hand =
            Sweeper::builder().interval(Duration::MAX).wake_on_demand(false).budget(Budget::Units(usize::MAX));
        let sweeper = by_hand.allocator(Arc::clone(&allocator)).trim_after(time).spawn().expect("a thread");
        assert!(sweeper.wait_for_pass());
        let before = resident();
        let spike = || {
            for layout in [Layout::new::<[u8; 100]>(), Layout::new::<[u8; 300_000]>()] {
                let blocks = (0..50 * MIB / layout.size()).map(|_| {
                    // SAFETY: the size is not 0.
                    let block = unsafe { allocator.alloc(layout) };
                    assert!(!block.is_null());
                    // SAFETY: the block is that long.
                    unsafe { block.write_bytes(1, layout.size()) };
                    block
                });
                let blocks: Vec<*mut u8> = blocks.collect();
                // SAFETY: live blocks of this layout, given up here.
                blocks.into_iter().for_each(|block| unsafe { allocator.dealloc(block, layout) });
            }
        };
        // By an ended thread.
        thread::scope(|scope| scope.spawn(spike).join().expect("no panic"));
        let at_most = resident();
        assert!(at_most > before + 40 * MIB, "{before} {at_most}");
        for pass in 0..passes {
            assert!(resident() > before + 40 * MIB, "before pass {pass}");
            assert!(sweeper.wait_for_pass());
        }
        let after = resident();
        // The tables of the spike stay.
        assert!(after < before + 6 * MIB, "{before} {at_most} {after} {sweeper:?} {}", allocator.stats());
        assert!(sweeper.stats().trimmed > 40 << 20, "{sweeper:?}");
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn huge_heaps_of_a_pool_cost_only_what_is_used() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A TiB in units of 1 KiB; 64 GiB in units of 64 bytes: 2^30 units each, and 5 GiB of tables.
    for (min_block, size) in [(1 << 10, 1 << 40), (64, 1 << 36)] {
        let mut pool = Lockstep::new(min_block, None);
        let before = resident();
        // An odd base, so that every order occurs.
        pool.add((1 << 41) + 13 * min_block + 5, size);
        for order in [0, 29, 5, 0, 12, 20] {
            assert!(pool.alloc(order).is_some());
        }
        pool.check();
        pool.finish(|_| 0);
        let grown = resident().saturating_sub(before);
        println!("{size} bytes in blocks of {min_block}: {grown} bytes became resident");
        assert!(grown < 16 * MIB, "{grown} bytes for a heap of which next to nothing was used");
    }
}
