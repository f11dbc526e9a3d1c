//! The work of operations in pools of many heaps, in steps: it grows with the logarithm of the number of heaps.

use alloc::vec::Vec;
use core::ptr;

use super::hook::counted;
use crate::MemoryPool;

const UNIT: usize = 64;
/// Units of each heap.
const UNITS: usize = 8;
const FEW: usize = 64;
const MANY: usize = 4000;
/// Levels of the board's tree, which has 64 branches at each, in many heaps. In few it has one.
const LEVELS: u64 = 3;
/// An odd number, so that its multiples come to all blocks.
const STRIDE: usize = 7919;
const ENDLESS: u64 = 1 << 32;

/// Most steps of each kind of operation.
#[derive(Debug, Default)]
struct Most {
    alloc: u64,
    release: u64,
    failure: u64,
}

/// Fills a pool of `heaps` heaps, releases all blocks, each next one in another heap, and fills it again.
fn most_steps(heaps: usize, cache: usize) -> Most {
    let pool = MemoryPool::builder().thread_cache(cache).build().expect("the sizes are right");
    for heap in 0..heaps {
        let base = ptr::without_provenance_mut((1 << 30) + 2 * heap * UNITS * UNIT);
        pool.add_heap(base, UNITS * UNIT).expect("nothing is there");
    }
    let mut most = Most::default();
    let all = heaps * UNITS;
    let mut fill = || {
        let alloc = |_| {
            let (block, steps) = counted(ENDLESS, || pool.hl_alloc(UNIT));
            assert!(!block.is_null());
            most.alloc = most.alloc.max(steps);
            block
        };
        (0..all).map(alloc).collect::<Vec<_>>()
    };
    let blocks = fill();
    // The first failure is certified by a search, and the others are remembered.
    assert!(pool.hl_alloc(UNIT).is_null());
    let (block, failure) = counted(ENDLESS, || pool.hl_alloc(UNIT));
    assert!(block.is_null());
    let mut release = 0;
    for number in 0..all {
        let block = blocks[number * STRIDE % all];
        let (result, steps) = counted(ENDLESS, || pool.hl_release(block));
        result.expect("it is live");
        release = release.max(steps);
    }
    fill();
    Most { failure, release, ..most }
}

#[test]
fn work_grows_with_the_logarithm_of_the_heaps() {
    for cache in [0, 512] {
        let [few, many] = [FEW, MANY].map(|heaps| most_steps(heaps, cache));
        std::println!("a cache of {cache} bytes: {few:?} steps in {FEW} heaps, {many:?} in {MANY}");
        let kinds = [(few.alloc, many.alloc), (few.release, many.release), (few.failure, many.failure)];
        for (few, many) in kinds {
            assert!(many <= LEVELS * few, "{many} steps in {MANY} heaps, and {few} in {FEW}");
        }
    }
}
