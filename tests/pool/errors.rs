//! What the pool refuses: each bad address, size and configuration has its error, the error has the figures, and the
//! pool is as it was.

use std::alloc::Layout;
use std::error::Error;
use std::ptr::NonNull;

use crate::common::{Lockstep, at};
use mempool::{AllocError, Block, BlockState, ConfigError, MemoryPool, ReleaseBatchError, ReleaseError, ResizeError};

/// Bytes of the largest block that a heap can have: 2^62, in 64 bits of addresses.
const LARGEST_BLOCK: usize = usize::MAX / 4 + 1;

/// A pool over an odd heap, with live blocks of several sizes, free ones between them, and two heaps side by side.
fn pool() -> Lockstep {
    let mut pool = Lockstep::new(16, None);
    pool.add(16 * 1001 - 5, 16 * 61 + 13);
    pool.add(16 * 1062 + 8, 16 * 20);
    let blocks: Vec<usize> = [0, 3, 1, 0, 2, 4, 0, 1, 3].into_iter().filter_map(|order| pool.alloc(order)).collect();
    assert_eq!(blocks.len(), 9);
    for place in [2, 3, 7] {
        pool.release(blocks[place]).expect("the block is live");
    }
    pool.check();
    pool
}

#[test]
fn every_address_of_a_heap_released_as_if_it_were_a_block() {
    for sweep in [false, true] {
        let mut pool = pool();
        if sweep {
            pool.sweep();
        }
        let before = pool.map();
        let (mut interior, mut not_live, mut foreign) = (0, 0, 0);
        for address in 16 * 990..16 * 1100 {
            let Err(expected) = pool.oracle.lookup(address).map(drop) else { continue };
            // Checks the error of `block_size` too.
            match pool.release(address) {
                Err(ReleaseError::Interior) => interior += 1,
                Err(ReleaseError::NotLive) => not_live += 1,
                Err(ReleaseError::Foreign) => foreign += 1,
                other => panic!("{other:?}"),
            }
            for size in [1, 16, 17, 100_000, usize::MAX] {
                assert_eq!(pool.resize(address, size), Err(ResizeError::NoBlock(expected)));
            }
            assert_eq!(
                pool.pool
                    .release_batch(&[at(address), at(0), at(address)])
                    .map_err(|error| (error.failed, error.first)),
                Err((2, 0))
            );
            let inside = pool.oracle.heaps.iter().find(|heap| heap.contains(address)).map(|heap| heap.id);
            assert_eq!(pool.pool.heap_of(NonNull::new(at(address)).expect("not null")), inside);
        }
        assert!(interior > 100 && not_live > 100 && foreign > 100, "{interior} {not_live} {foreign}");
        assert_eq!(pool.map(), before, "a failed release changes nothing");
        pool.check();
        pool.finish_alone(|_| 0);
    }
}

#[test]
fn addresses_that_no_heap_has() {
    let mut pool = pool();
    let before = pool.map();
    assert_eq!(pool.pool.hl_release(at(0)), Ok(()), "null is fine");
    let end = pool.oracle.heaps[1].base + pool.oracle.heaps[1].size;
    let first = pool.oracle.heaps[0].base;
    let powers = (0..usize::BITS).map(|bit| 1 << bit).filter(|address| *address < first || *address >= end);
    for address in powers.chain([end, first - 1, usize::MAX, usize::MAX - 15, usize::MAX - 16, isize::MAX as usize]) {
        assert_eq!(pool.release(address), Err(ReleaseError::Foreign));
        assert_eq!(pool.resize(address, 1), Err(ResizeError::NoBlock(ReleaseError::Foreign)));
        assert_eq!(pool.pool.heap_of(NonNull::new(at(address)).expect("not null")), None);
    }
    assert_eq!(pool.map(), before);
    let empty = MemoryPool::new();
    assert_eq!(empty.hl_release(at(4096)), Err(ReleaseError::Foreign));
    assert_eq!(empty.release_batch(&[]), Ok(()));
    assert_eq!(empty.release_batch(&[at(0)]), Ok(()));
}

/// The live blocks that the pool shows. A search merges others, so the whole map may change without fault.
fn live_blocks(pool: &Lockstep) -> Vec<Block> {
    pool.map().into_iter().filter(|block| block.state == BlockState::Live).collect()
}

#[test]
fn sizes_from_nothing_to_everything() {
    let mut pool = pool();
    let live = live_blocks(&pool);
    assert!(pool.pool.hl_alloc(0).is_null());
    let empty = Layout::from_size_align(0, 8).expect("a layout");
    assert_eq!(pool.pool.alloc(empty), Err(AllocError::ZeroSize));
    assert_eq!(pool.pool.alloc_batch(empty, &mut [at(0); 4]), Err(AllocError::ZeroSize));
    assert_eq!(pool.pool.alloc_batch(Layout::new::<u64>(), &mut []), Ok(0));
    assert_eq!(pool.pool.alloc_in(pool.oracle.heaps[0].id, empty), Err(AllocError::ZeroSize));
    for size in [isize::MAX as usize, isize::MAX as usize + 1, usize::MAX - 1, usize::MAX, LARGEST_BLOCK, 1 << 20] {
        assert!(pool.pool.hl_alloc(size).is_null(), "{size}");
        let (address, order) = pool.oracle.live()[0];
        let has = pool.oracle.bytes(order);
        let block = NonNull::new(at(address)).expect("not null");
        let error = pool.pool.resize_in_place(block, size).expect_err("no block is so large");
        assert!(matches!(error, ResizeError::NoRoom { requested, size: was, .. } if (requested, was) == (size, has)));
        assert_eq!(pool.pool.resize_in_place(block, 0), Err(ResizeError::ZeroSize));
    }
    for bit in 9..usize::BITS - 1 {
        let layout = Layout::from_size_align(1, 1 << bit).expect("a layout");
        assert_eq!(pool.alloc_layout(layout), None, "no free block is aligned to 2^{bit}");
    }
    for size in [isize::MAX as usize, LARGEST_BLOCK, LARGEST_BLOCK >> 12] {
        let layout = Layout::from_size_align(size, 1).expect("a layout");
        assert_eq!(pool.alloc_layout(layout), None);
        assert_eq!(pool.alloc_batch(layout.size().ilog2() - 4, 3), Vec::<usize>::new());
    }
    assert_eq!(live_blocks(&pool), live, "what fails changes nothing");
    pool.check();
    let block = pool.pool.hl_alloc(1);
    assert!(!block.is_null());
    assert_eq!(pool.pool.block_size(NonNull::new(block).expect("not null")), Ok(16));
    assert_eq!(pool.pool.hl_release(block), Ok(()));
}

#[test]
fn alignments_are_kept() {
    let mut pool = Lockstep::new(LARGEST_BLOCK >> 22, None);
    pool.add(LARGEST_BLOCK, LARGEST_BLOCK + LARGEST_BLOCK / 2);
    for bit in 0..usize::BITS - 1 {
        let layout = Layout::from_size_align(1, 1 << bit).expect("a layout");
        let block = pool.alloc_layout(layout).expect("there is room");
        assert_eq!(block % (1 << bit), 0);
        pool.release(block).expect("the block is live");
    }
    // With the largest alignment of all there is only one layout, an empty one.
    let layout = Layout::from_size_align(0, 2 * LARGEST_BLOCK).expect("a layout");
    assert_eq!(pool.pool.alloc(layout), Err(AllocError::ZeroSize));
    assert!(Layout::from_size_align(1, 2 * LARGEST_BLOCK).is_err());
    pool.finish_alone(|_| 0);
}

#[test]
fn texts_have_the_figures() {
    let has = |error: &dyn Error, figures: &[&str]| {
        let text = error.to_string();
        assert!(figures.iter().all(|figure| text.contains(figure)), "{text}: {figures:?}");
    };
    let pool = MemoryPool::builder().min_block(16).build().expect("valid");
    let layout = |size| Layout::from_size_align(size, 1).expect("a layout");
    has(&pool.alloc(layout(333)).unwrap_err(), &["333"]);
    assert_eq!(pool.alloc(layout(333)), Err(AllocError::NoHeap { requested: 333 }));
    let heap = pool.add_heap(at(1 << 20), 1024 + 32).expect("a heap");
    has(&pool.alloc(layout(5000)).unwrap_err(), &["5000", "1024", "1056"]);
    let block = pool.alloc(layout(512)).expect("there is room");
    // 512 + 32 are free.
    has(&pool.alloc(layout(999)).unwrap_err(), &["999", "512", "544", "1056"]);
    has(&pool.alloc_in(heap, layout(999)).unwrap_err(), &["999", "512", "544", "1056"]);
    has(&pool.resize_in_place(block, 2000).unwrap_err(), &["2000", "512"]);
    let wrong = [block.as_ptr().wrapping_add(1), at(1), block.as_ptr()];
    let error: ReleaseBatchError = pool.release_batch(&wrong).unwrap_err();
    assert_eq!((error.failed, error.first, error.error), (2, 0, ReleaseError::Interior));
    has(&error, &["2", "0", &ReleaseError::Interior.to_string()]);
    let texts = [ReleaseError::Foreign, ReleaseError::Interior, ReleaseError::NotLive].map(|error| error.to_string());
    assert!(texts[0] != texts[1] && texts[1] != texts[2] && texts[0] != texts[2]);
    has(&pool.add_heap(at(1 << 20), 64).unwrap_err(), &["heap 0"]);
    has(&pool.add_heap(at(usize::MAX - 100), 4096).unwrap_err(), &["4096", "0xffffffffffffff9b"]);
    has(&pool.add_heap(at(8), 20).unwrap_err(), &["20", "0x8", "16"]);
    let other = MemoryPool::new();
    has(&other.alloc_in(heap, layout(77)).unwrap_err(), &["77", "heap 0"]);
    assert_eq!(other.alloc_in(heap, layout(77)), Err(AllocError::UnknownHeap { requested: 77, heap }));
}

#[test]
fn configurations() {
    let build = |min: usize, max: Option<usize>| {
        let builder = MemoryPool::builder().min_block(min);
        max.map_or(builder.clone(), |max| builder.max_block(max)).build().map(drop)
    };
    for bytes in [0, 1, 2, 8, 15, 17, 48, 63, usize::MAX, usize::MAX - 15, 2 * LARGEST_BLOCK + 1, 3 << 20] {
        let error = build(bytes, None).unwrap_err();
        assert_eq!(error, ConfigError::MinBlock { bytes });
        assert!(error.to_string().contains(&bytes.to_string()));
    }
    for (max, min) in
        [(0, 64), (1, 64), (32, 64), (63, 64), (65, 64), (96, 64), (usize::MAX, 64), (16, 2 * LARGEST_BLOCK)]
    {
        let error = build(min, Some(max)).unwrap_err();
        assert_eq!(error, ConfigError::MaxBlock { bytes: max, min_block: min });
        assert!([max, min].iter().all(|figure| error.to_string().contains(&figure.to_string())));
    }
    for bit in 4..usize::BITS {
        assert_eq!(build(1 << bit, None), Ok(()));
        for larger in bit..usize::BITS {
            assert_eq!(build(1 << bit, Some(1 << larger)), Ok(()));
        }
    }
}
