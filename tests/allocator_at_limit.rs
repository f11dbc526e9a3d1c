//! A `PoolAllocator` at its limit, whatever that is: what goes beyond is refused at once, and what is made smaller is not.
#![cfg(unix)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use mempool::{AllocatorBuilder, MapError, PoolAllocator, ReleaseError};

const PAGE: usize = 4096;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn kinds() -> [AllocatorBuilder; 2] {
    [false, true].map(|checked| PoolAllocator::builder().checked(checked))
}

/// It says no to everything, at once, and nothing else happens.
fn says_no(allocator: &PoolAllocator) {
    let own = Box::new(7_u64);
    for size in [1, 16, 100, PAGE - 1, PAGE, PAGE + 1, 64 << 10, 1 << 20, 1 << 40] {
        for layout in [layout(size), Layout::from_size_align(size, 2 * PAGE).expect("a layout")] {
            // SAFETY: the size is not 0.
            assert!(unsafe { allocator.alloc(layout) }.is_null(), "{layout:?}");
            // SAFETY: the size is not 0.
            assert!(unsafe { allocator.alloc_zeroed(layout) }.is_null(), "{layout:?}");
        }
    }
    // SAFETY: nothing is there that it may be, so that it is refused.
    assert_eq!(unsafe { allocator.try_release(NonNull::from(&*own).cast()) }, Err(ReleaseError::Foreign));
    allocator.sweep();
    assert_eq!(allocator.trim(), 0);
    let stats = allocator.stats();
    assert_eq!((stats.heap, stats.free, stats.caches), (0, 0, 0), "{stats}");
}

#[test]
fn limits_below_a_page_say_no() {
    for limit in [0, 1, 15, 16, PAGE - 1] {
        says_no(&PoolAllocator::with_limit(limit));
        for kind in kinds() {
            says_no(&kind.on_demand(limit));
            says_no(&kind.huge_pages().prefault().lock().on_demand(limit));
            assert!(matches!(kind.build(limit), Err(MapError::TooSmall { .. })), "{limit}");
        }
        assert!(matches!(PoolAllocator::with_capacity(limit), Err(MapError::TooSmall { .. })), "{limit}");
    }
}

#[test]
fn regions_without_a_page_are_refused() {
    let mut memory = vec![0_u8; 4 * PAGE];
    let first = memory.as_mut_ptr().wrapping_add(memory.as_ptr().align_offset(PAGE));
    for (skip, len) in [(0, 0), (0, 1), (0, PAGE - 1), (1, 0), (1, 1), (1, PAGE), (1, 2 * PAGE - 2), (PAGE - 1, PAGE)] {
        // SAFETY: within the memory, which nobody uses meanwhile.
        let region = unsafe { PoolAllocator::from_region(first.wrapping_add(skip), len) };
        assert!(matches!(region, Err(MapError::TooSmall { .. })), "{len} bytes from {skip}");
    }
    // SAFETY: nothing is there.
    assert!(unsafe { PoolAllocator::from_region(std::ptr::null_mut(), 0) }.is_err());
    // SAFETY: as above.
    let region = unsafe { PoolAllocator::from_region(first.wrapping_add(1), 2 * PAGE - 1) }.expect("one whole page");
    assert_eq!(region.stats().limit, PAGE);
}

/// As many blocks of a page as the limit has pages, and not one more, whatever the limit; then all of them again.
#[test]
fn a_limit_is_rounded_down_to_pages() {
    for pages in [1, 2, 3, 5, 17, 63, 64, 65, 100] {
        for limit in [pages * PAGE, pages * PAGE + 1, pages * PAGE + PAGE - 1] {
            let built = kinds().map(|kind| kind.build(limit).expect("a few pages"));
            for allocator in kinds().map(|kind| kind.on_demand(limit)).into_iter().chain(built) {
                for _ in 0..2 {
                    // SAFETY: the size is not 0.
                    let blocks = Vec::from_iter((0..=pages).map(|_| unsafe { allocator.alloc(layout(PAGE)) }));
                    assert_eq!(blocks.iter().position(|block| block.is_null()), Some(pages), "limit {limit}");
                    let stats = allocator.stats();
                    assert_eq!((stats.limit, stats.heap), (pages * PAGE, pages * PAGE), "{stats}");
                    for block in &blocks[..pages] {
                        // SAFETY: allocated above.
                        unsafe { allocator.dealloc(*block, layout(PAGE)) };
                    }
                }
            }
        }
    }
}

/// The largest numbers are limits like others: no sum or product of them overflows.
#[test]
fn limits_may_be_huge() {
    for limit in [usize::MAX, usize::MAX - 1, usize::MAX - PAGE, isize::MAX as usize, isize::MAX as usize + 1, 1 << 47]
    {
        for kind in kinds() {
            let allocator = kind.on_demand(limit);
            for size in [100, 100_000] {
                // SAFETY: the size is not 0.
                let block = unsafe { allocator.alloc(layout(size)) };
                assert!(!block.is_null(), "limit {limit}");
                // SAFETY: allocated just now.
                unsafe { allocator.dealloc(block, layout(size)) };
            }
            assert!(kind.build(limit).is_err(), "so much can't be mapped");
        }
    }
}
