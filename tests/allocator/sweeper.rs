//! A sweeper of allocators: it gives back what is free, in pieces, and is in nobody's way.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::common::alloc_beside;
use crate::common::pieces::{InTurn, wait_until};
use mempool::{Budget, PoolAllocator, Sweeper, SweeperBuilder, SweeperStats};

const MIB: usize = 1 << 20;

/// Passes only when somebody waits for one, each over everything.
/// An allocator that gives nothing back by itself.
fn unhurried() -> PoolAllocator {
    PoolAllocator::builder().decay(Duration::MAX).on_demand(usize::MAX)
}

fn by_hand() -> SweeperBuilder {
    Sweeper::builder().interval(Duration::MAX).budget(Budget::Units(usize::MAX))
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// Blocks with their lengths, all written.
struct Blocks<'a>(&'a PoolAllocator, Vec<(*mut u8, usize)>);

impl<'a> Blocks<'a> {
    fn new(allocator: &'a PoolAllocator, sizes: impl IntoIterator<Item = usize>) -> Self {
        let one = |size| {
            // SAFETY: the size is not 0.
            let block = unsafe { allocator.alloc(layout(size)) };
            assert!(!block.is_null(), "{size}: {}", allocator.stats());
            // SAFETY: the block is that long.
            unsafe { block.write_bytes(size as u8, size) };
            (block, size)
        };
        Self(allocator, sizes.into_iter().map(one).collect())
    }

    fn check(&self) {
        for (block, size) in &self.1 {
            // SAFETY: the block is that long, all written.
            let bytes = unsafe { std::slice::from_raw_parts(*block, *size) };
            assert!(bytes.iter().all(|byte| *byte == *size as u8), "a block of {size} bytes is not its owner's alone");
        }
    }
}

impl Drop for Blocks<'_> {
    fn drop(&mut self) {
        self.check();
        // SAFETY: live blocks of these layouts, given up here.
        self.1.iter().for_each(|(block, size)| unsafe { self.0.dealloc(*block, layout(*size)) });
    }
}

/// What a thread does that is gone afterwards, so that nothing of it stays in a cache.
fn elsewhere(work: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(work).join().expect("no panic"));
}

fn is_free(allocator: &PoolAllocator) -> bool {
    let stats = allocator.stats();
    (stats.free, stats.idle) == (stats.heap, 0)
}

#[test]
fn what_gone_threads_left_is_whole_pages() {
    let allocator = Arc::new(unhurried());
    let sweeper = by_hand().allocator(Arc::clone(&allocator)).spawn().expect("a thread");
    assert!(sweeper.wait_for_pass(), "of an allocator that was never used");
    for round in 0..20 {
        elsewhere(|| drop(Blocks::new(&allocator, (0..2000).map(|number| 1 + number * (7 + round) % 3000))));
        assert!(!is_free(&allocator));
        assert!(sweeper.wait_for_pass());
        assert!(is_free(&allocator), "{}", allocator.stats());
    }
    assert_eq!(sweeper.stats().trimmed, 0, "nobody asked for that");
    assert!(sweeper.stats().cycles >= 20);
    drop(sweeper);
    assert_eq!(Arc::strong_count(&allocator), 1, "the thread is gone, and what it held");
}

#[test]
fn what_is_free_is_given_back_at_once() {
    let allocator = Arc::new(unhurried());
    let sweeper = by_hand().trim_after(Duration::ZERO).spawn().expect("a thread");
    sweeper.add_allocator(Arc::clone(&allocator));
    let kept = Blocks::new(&allocator, [100, 10_000, MIB]);
    for _ in 0..3 {
        let before = sweeper.stats().trimmed as usize;
        elsewhere(|| drop(Blocks::new(&allocator, [100_000; 100].into_iter().chain((0..1000).map(|size| 1 + size)))));
        assert!(sweeper.wait_for_pass());
        let trimmed = sweeper.stats().trimmed as usize - before;
        assert!((10 * MIB..12 * MIB).contains(&trimmed), "{trimmed} {}", allocator.stats());
        assert!(sweeper.wait_for_pass());
        assert_eq!(sweeper.stats().trimmed as usize - before, trimmed, "nothing is left");
        kept.check();
        // SAFETY: the size is not 0.
        let zeroed = unsafe { allocator.alloc_zeroed(layout(4 * MIB)) };
        // SAFETY: that many bytes, which are initialised.
        assert!(unsafe { std::slice::from_raw_parts(zeroed, 4 * MIB) }.iter().all(|byte| *byte == 0));
        // SAFETY: a live block of this layout.
        unsafe { allocator.dealloc(zeroed, layout(4 * MIB)) };
        assert!(sweeper.wait_for_pass());
    }
}

/// With a nanosecond any two passes are far enough from each other.
#[test]
fn what_is_used_again_is_not_given_back() {
    let allocator = Arc::new(unhurried());
    let builder = by_hand().trim_after(Duration::from_nanos(1)).allocator(Arc::clone(&allocator));
    let sweeper = builder.spawn().expect("a thread");
    let work = || elsewhere(|| drop(Blocks::new(&allocator, [10 * MIB])));
    for _ in 0..5 {
        work();
        assert!(sweeper.wait_for_pass());
    }
    assert_eq!(sweeper.stats().trimmed, 0, "it was all in use between any two passes");
    assert!(sweeper.wait_for_pass());
    let trimmed = sweeper.stats().trimmed as usize;
    assert_eq!(trimmed, 10 * MIB);
    work();
    assert!(sweeper.wait_for_pass());
    assert_eq!(sweeper.stats().trimmed as usize, trimmed);
}

#[test]
fn nothing_is_given_back_before_its_time() {
    let allocator = Arc::new(unhurried());
    let builder = by_hand().trim_after(Duration::from_secs(1 << 40)).allocator(Arc::clone(&allocator));
    let sweeper = builder.spawn().expect("a thread");
    elsewhere(|| drop(Blocks::new(&allocator, [100_000; 10])));
    for _ in 0..10 {
        assert!(sweeper.wait_for_pass());
    }
    assert_eq!(sweeper.stats().trimmed, 0);
}

#[test]
fn small_budgets_only_take_more_passes() {
    for units in [0, 500, 1 << 14, 1 << 19] {
        let allocator = Arc::new(unhurried());
        let live = Blocks::new(&allocator, (0..50).map(|number| 3000 + number));
        // A hole behind each live block, and a large block.
        let some: Vec<_> = (0..20).map(|_| Blocks::new(&allocator, [70_000])).collect();
        for (number, block) in some.into_iter().enumerate() {
            if number % 2 == 0 {
                drop(block);
            } else {
                std::mem::forget(block);
            }
        }
        drop(Blocks::new(&allocator, [4 * MIB]));
        let builder = by_hand().budget(Budget::Units(units)).trim_after(Duration::ZERO);
        let sweeper = builder.allocator(Arc::clone(&allocator)).spawn().expect("a thread");
        // A pass gives no more back than one page for each 16 units, and one.
        let most = units / 16 * 4096 + 4096;
        let (mut trimmed, mut passes) = (0, 0_usize);
        while trimmed < 4 * MIB {
            assert!(sweeper.wait_for_pass());
            let now = sweeper.stats();
            assert!(now.trimmed as usize <= most * now.passes as usize, "{units}: {now:?}");
            (trimmed, passes) = (now.trimmed as usize, passes + 1);
            assert!(passes < 40_000, "{units}: {now:?} {}", allocator.stats());
        }
        println!("{units} units: {passes} passes");
        live.check();
    }
}

#[test]
fn a_region_of_the_caller_and_locked_memory_stay() {
    let mut memory = vec![0_u8; 4 * MIB];
    // SAFETY: nobody uses the memory otherwise while the allocator is there.
    let own = unsafe { PoolAllocator::from_region(memory.as_mut_ptr(), memory.len()) }.expect("many pages");
    let own = Arc::new(own);
    let sweeper = by_hand().trim_after(Duration::ZERO).allocator(Arc::clone(&own)).spawn().expect("a thread");
    elsewhere(|| drop(Blocks::new(&own, [100_000; 30])));
    assert!(sweeper.wait_for_pass() && is_free(&own));
    assert_eq!(sweeper.stats().trimmed, 0);
    drop(sweeper);
    drop(own);
}

/// Where nearly all that there is is needed by one allocation, it does not fail because the sweeper has some of it in
/// its hand.
#[test]
fn a_block_as_large_as_the_heap_is_always_had() {
    let allocator = Arc::new(PoolAllocator::with_capacity(16 * MIB).expect("16 MiB"));
    // The heap grows to what it may be.
    elsewhere(|| drop(Blocks::new(&allocator, [100_000; 160])));
    let builder = Sweeper::builder().interval(Duration::ZERO).trim_after(Duration::ZERO);
    let sweeper = builder.allocator(Arc::clone(&allocator)).spawn().expect("a thread");
    let large = layout(15 * MIB);
    for _ in 0..60 {
        // In the middle of a round; or, if nothing is left to be given back, after one.
        let before = sweeper.stats();
        let is_over = |now: SweeperStats| now.trimmed > before.trimmed || now.cycles > before.cycles + 1;
        while !is_over(sweeper.stats()) {
            thread::yield_now();
        }
        // SAFETY: the size is not 0.
        let block = alloc_beside(|| unsafe { allocator.alloc(large) }, || sweeper.stats().passes);
        // So that there is something to give back.
        // SAFETY: the block is that long.
        (0..15 * MIB).step_by(4096).for_each(|at| unsafe { block.add(at).write(1) });
        // SAFETY: a live block of this layout.
        unsafe { allocator.dealloc(block, large) };
    }
    println!("{sweeper:?}");
}

/// No interval, and nobody who asks: all passes but the first are for allocations that had to sweep.
#[test]
#[cfg_attr(
    not(any(target_os = "linux", target_vendor = "apple")),
    ignore = "elsewhere it may take a lock to wake a thread"
)]
fn woken_early_by_an_allocation_that_had_to_sweep() {
    let idle = Arc::new(PoolAllocator::with_limit(MIB));
    let allocator = Arc::new(PoolAllocator::with_limit(4 * MIB));
    let builder = by_hand().allocator(Arc::clone(&idle)).allocator(Arc::clone(&allocator));
    let sweeper = builder.spawn().expect("a thread");
    wait_until("the first pass", || sweeper.stats().passes == 1);
    for number in 1..4 {
        let kept = Blocks::new(&allocator, [1000]);
        // SAFETY: the size is not 0.
        assert!(unsafe { allocator.alloc(layout(4 * MIB)) }.is_null());
        wait_until("the sweeper to be called", || sweeper.stats().early >= number);
        drop(kept);
    }
    // One that sweeps before the heap grows.
    let (early, growing) = (sweeper.stats().early, Arc::new(unhurried()));
    sweeper.add_allocator(Arc::clone(&growing));
    assert!(sweeper.wait_for_pass());
    // Each second one of these is free then, and none of that is enough.
    let kept: Vec<_> = (0..100).map(|_| Blocks::new(&growing, [80_000])).collect();
    let _kept: Vec<_> = kept.into_iter().step_by(2).collect();
    drop(Blocks::new(&growing, [1_200_000]));
    wait_until("the sweeper to be called by an allocator that grows", || sweeper.stats().early > early);
    let stats = sweeper.stats();
    assert_eq!(idle.stats().heap, 0);
    drop(sweeper);
    assert_eq!(Arc::strong_count(&allocator), 1);
    println!("{stats:?} {}", growing.stats());
    // And nobody is called.
    // SAFETY: the size is not 0.
    assert!(unsafe { allocator.alloc(layout(5 * MIB)) }.is_null());
}

/// And not if it is not to be.
#[test]
fn not_woken_early_unless_it_is_to_be() {
    let allocator = Arc::new(PoolAllocator::with_limit(MIB));
    let sweeper = by_hand().wake_on_demand(false).allocator(Arc::clone(&allocator)).spawn().expect("a thread");
    assert!(sweeper.wait_for_pass());
    let passes = sweeper.stats().passes;
    // SAFETY: the size is not 0.
    assert!(unsafe { allocator.alloc(layout(2 * MIB)) }.is_null());
    assert!(sweeper.wait_for_pass());
    let stats = sweeper.stats();
    assert_eq!((stats.early, stats.passes), (0, passes + 1));
}

#[test]
fn a_deref_that_yields_another_allocator_each_time() {
    for budget in [Budget::Units(500), Budget::Units(usize::MAX)] {
        let allocators = [(); 2].map(|()| Arc::new(unhurried())).to_vec();
        let builder = Sweeper::builder().interval(Duration::ZERO).budget(budget).trim_after(Duration::ZERO);
        let sweeper = builder.allocator(InTurn::new(allocators.clone())).spawn().expect("a thread");
        for _ in 0..5 {
            for (allocator, pages) in allocators.iter().zip([5000, 10]) {
                elsewhere(|| drop(Blocks::new(allocator, [4096; 2].into_iter().cycle().take(pages))));
            }
            (0..10).for_each(|_| assert!(sweeper.wait_for_pass(), "the thread is there"));
        }
        drop(sweeper);
        assert_eq!(allocators.iter().map(Arc::strong_count).max(), Some(1), "the thread is gone, and what it held");
    }
}
