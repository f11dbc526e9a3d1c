//! Collections that have an allocator of their own, by `allocator-api2` 0.4.

use allocator_api2_04::alloc::Allocator;
use allocator_api2_04::boxed::Box;
use allocator_api2_04::vec::Vec;
use mempool::PoolAllocator;

#[test]
fn collections() {
    let allocator = PoolAllocator::with_limit(16 << 20);
    let mut numbers = Vec::new_in(&allocator);
    numbers.extend(0..100_000u64);
    assert_eq!(numbers.iter().sum::<u64>(), 99_999 * 50_000);
    numbers.truncate(10);
    numbers.shrink_to_fit();
    assert_eq!(numbers.as_slice(), (0..10).collect::<std::vec::Vec<_>>());
    let boxed = Box::new_in([7u8; 5000], &allocator);
    assert!(boxed.iter().all(|byte| *byte == 7));
    // More than the limit.
    assert!(numbers.try_reserve(1 << 30).is_err());
    assert_eq!(numbers.len(), 10);
}

#[test]
fn blocks_come_with_all_their_bytes() {
    let allocator = &PoolAllocator::new();
    for size in [0, 1, 17, 1000, 5000, 70_000] {
        let layout = std::alloc::Layout::from_size_align(size, 8).expect("a small one");
        let block = allocator.allocate_zeroed(layout).expect("there is memory");
        assert!(block.len() >= size);
        // SAFETY: that many bytes, which are initialised.
        let bytes = unsafe { block.as_ref() };
        assert!(bytes.iter().all(|byte| *byte == 0));
        let larger = std::alloc::Layout::from_size_align(2 * size + 1, 8).expect("a small one");
        // SAFETY: a live block of this layout.
        let block = unsafe { allocator.grow_zeroed(block.cast(), layout, larger) }.expect("there is memory");
        assert!(block.len() > 2 * size);
        // SAFETY: that many bytes, which are initialised.
        let bytes = unsafe { block.as_ref() };
        assert!(bytes.iter().all(|byte| *byte == 0));
        // SAFETY: a live block of this layout.
        let block = unsafe { allocator.shrink(block.cast(), larger, layout) }.expect("it is smaller");
        assert!(block.len() >= size);
        // SAFETY: a live block of this layout, used no more.
        unsafe { allocator.deallocate(block.cast(), layout) };
    }
}

#[test]
fn what_is_not_live_is_not_moved() {
    let allocator = PoolAllocator::builder().checked(true).on_demand(1 << 20);
    let by = &allocator;
    let layout = |size| std::alloc::Layout::from_size_align(size, 8).expect("a small one");
    for (size, to) in [(100, 105), (100, 200), (200, 100), (70_000, 80_000)] {
        let before = allocator.stats().refused_releases;
        let block = by.allocate(layout(size)).expect("there is memory").cast();
        let resize = |block, from, to| {
            // SAFETY: the allocator checks that the block is live.
            unsafe {
                if to > from {
                    by.grow(block, layout(from), layout(to))
                } else {
                    by.shrink(block, layout(from), layout(to))
                }
            }
        };
        // More than there is: the block stays.
        assert!(resize(block, size, 1 << 30).is_err());
        let moved = resize(block, size, to).expect("there is memory").cast();
        assert_eq!(allocator.stats().refused_releases, before);
        // SAFETY: a live block of this layout, used no more.
        unsafe { by.deallocate(moved, layout(to)) };
        assert!(resize(moved, to, size).is_err(), "it is gone");
        // SAFETY: the allocator checks it.
        unsafe { by.deallocate(moved, layout(to)) };
        assert_eq!(allocator.stats().refused_releases, before + 2);
    }
    allocator.sweep();
    assert_eq!(allocator.stats().free, allocator.stats().heap);
}

/// Where nothing is left, what is made smaller is kept, whatever it is to be aligned to, if that is no better than
/// before; and where it is, nothing has changed if it fails.
#[test]
fn to_shrink_never_fails_where_nothing_is_left() {
    const ALIGNS: [usize; 6] = [1, 16, 64, 1024, 4096, 16_384];
    const SIZES: [usize; 8] = [40, 60, 1000, 5000, 33_000, 65_536, 70_000, 200_000];
    let layout = |size, align| std::alloc::Layout::from_size_align(size, align).expect("a small one");
    for checked in [false, true] {
        let pairs = || SIZES.into_iter().flat_map(|size| ALIGNS.map(|align| (size, align)));
        for ((size, align), (smaller, other)) in pairs().flat_map(|from| pairs().map(move |to| (from, to))) {
            if smaller > size {
                continue;
            }
            let (from, to) = (layout(size, align), layout(smaller, other));
            let allocator = PoolAllocator::builder().checked(checked).on_demand((128 << 10) + 2 * size);
            let by = &allocator;
            let block = by.allocate(from).expect("there is memory");
            let is_kept = |block: std::ptr::NonNull<[u8]>, bytes: usize| {
                // SAFETY: that many bytes were written.
                let bytes = unsafe { std::slice::from_raw_parts(block.cast::<u8>().as_ptr(), bytes) };
                bytes.iter().all(|byte| *byte == 7)
            };
            // SAFETY: the block is that long.
            unsafe { block.cast::<u8>().write_bytes(7, size) };
            let taken = [65_536, 4096, 1024, 112, 16].map(|size| {
                let layout = layout(size, 1);
                let blocks = std::iter::from_fn(|| by.allocate(layout).ok()).collect::<std::vec::Vec<_>>();
                (layout, blocks)
            });
            // SAFETY: a live block of this layout.
            let (block, now) = match unsafe { by.shrink(block.cast(), from, to) } {
                Ok(block) => (block, to),
                Err(_) => (block, from),
            };
            assert!(now == to || other > align, "{from:?} to {to:?}: {}", allocator.stats());
            assert!(is_kept(block, now.size()) && block.cast::<u8>().as_ptr().addr() % now.align() == 0);
            // SAFETY: live blocks of these layouts, used no more.
            unsafe {
                by.deallocate(block.cast(), now);
                for (layout, blocks) in taken {
                    blocks.into_iter().for_each(|block| by.deallocate(block.cast(), layout));
                }
            }
            allocator.sweep();
            let stats = allocator.stats();
            assert_eq!(
                (stats.free, stats.idle, stats.refused_releases),
                (stats.heap, 0, 0),
                "{from:?} to {to:?}: {stats}"
            );
        }
    }
}
