//! `PoolAllocator` as an allocator that is not the global one: every block is its owner's alone, limits hold, nothing
//! is lost.

use std::alloc::GlobalAlloc;
use std::sync::mpsc::channel;
use std::thread;

use crate::common::Random;
use crate::common::filled::{Block, assert_free, kinds, layout};
use mempool::{AllocatorBuildError, PoolAllocator};

/// Small sizes as likely as large ones, up to 2 MiB.
fn size(random: &mut Random) -> usize {
    let doubling = random.below(21);
    (1 << doubling) + random.below(1 << doubling)
}

/// Allocates, resizes and releases at random, and hands blocks to whom `give` says.
fn churn(allocator: &PoolAllocator, random: &mut Random, steps: usize, mut give: impl FnMut(Block) -> Option<Block>) {
    let mut blocks: Vec<Block> = Vec::new();
    for step in 0..steps {
        match random.below(8) {
            0..4 => {
                let (size, align) = (size(random), 1 << random.below(14));
                let new = if random.below(4) == 0 { Block::zeroed } else { Block::new };
                blocks.extend(new(allocator, layout(size, align), step as u8));
            }
            4 if !blocks.is_empty() => {
                let (place, size) = (random.below(blocks.len()), size(random));
                blocks[place].resize(allocator, size);
            }
            5 if !blocks.is_empty() => {
                let block = blocks.swap_remove(random.below(blocks.len()));
                blocks.extend(give(block));
            }
            _ if !blocks.is_empty() => {
                let block = blocks.swap_remove(random.below(blocks.len()));
                let release = if random.below(2) == 0 { Block::release } else { Block::release_by_address };
                release(block, allocator);
            }
            _ => {}
        }
    }
    blocks.into_iter().for_each(|block| block.release(allocator));
}

#[test]
fn blocks_are_their_owners_alone() {
    for kind in kinds() {
        let allocator = kind.on_demand(usize::MAX);
        churn(&allocator, &mut Random::from_environment(), 20_000, Some);
        assert_free(&allocator);
    }
}

#[test]
fn a_heap_of_a_few_pages() {
    let mut random = Random::from_environment();
    for (kind, pages) in kinds().into_iter().flat_map(|kind| [1, 2, 3, 7, 30, 200].map(|pages| (kind, pages))) {
        let allocator = kind.build(pages * 4096).expect("a few pages");
        churn(&allocator, &mut random, 3000, Some);
        assert_free(&allocator);
    }
}

#[test]
fn threads_hand_blocks_to_each_other() {
    kinds().into_iter().for_each(|kind| hand_blocks_on(&kind.on_demand(512 << 20)));
}

fn hand_blocks_on(allocator: &PoolAllocator) {
    let random = Random::from_environment();
    thread::scope(|scope| {
        let (mut senders, mut receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| channel::<Block>()).unzip();
        senders.rotate_left(1);
        let threads: Vec<_> = senders
            .into_iter()
            .zip(receivers.drain(..))
            .enumerate()
            .map(|(number, (next, mine))| {
                let mut random = random.stream(number as u64);
                scope.spawn(move || {
                    churn(allocator, &mut random, 5000, |block| {
                        next.send(block).err().map(|unsent| unsent.0).or_else(|| mine.try_recv().ok())
                    });
                    drop(next);
                    mine.into_iter().for_each(|block| block.release_by_address(allocator));
                })
            })
            .collect();
        crate::common::join(threads);
    });
    assert_free(allocator);
}

#[test]
fn what_short_threads_had_is_had_again() {
    kinds().into_iter().for_each(|kind| have_again(&kind.on_demand(1 << 20)));
}

fn have_again(allocator: &PoolAllocator) {
    for round in 0..1000 {
        let fill = round as u8;
        thread::scope(|scope| {
            let work = move || {
                let sizes = (1..40).map(|size| size * 50);
                let blocks: Vec<_> =
                    sizes.map(|size| Block::new(allocator, layout(size, 8), fill).expect("it fits")).collect();
                blocks.into_iter().for_each(|block| block.release(allocator));
            };
            crate::common::join(vec![scope.spawn(work), scope.spawn(work)]);
        });
    }
    assert_free(allocator);
}

/// Every round is another one of the same kind, and nothing is left of it but what is in the cache.
#[test]
fn a_program_that_repeats_itself_needs_no_more() {
    let allocator = PoolAllocator::new();
    let mut random = Random::from_environment();
    let mut round = || {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        for _ in 0..1500 {
            // Few large ones: they need what the small ones of the round before have left.
            let size = if random.below(40) == 0 { 70_000 + random.below(1 << 20) } else { 1 + random.below(4000) };
            blocks.extend(Block::new(&allocator, layout(size, 8), 3));
            bytes += size;
            if random.below(3) == 0 {
                blocks.swap_remove(random.below(blocks.len())).release_by_address(&allocator);
            }
        }
        blocks.into_iter().for_each(|block| block.release_by_address(&allocator));
        bytes
    };
    let most = (0..60).map(|_| round()).max().unwrap_or(0);
    let heap = allocator.stats().heap;
    assert!(heap < 2 * most, "{heap} bytes of heap for {most} bytes in a round");
}

#[test]
fn a_limit_holds_and_all_of_it_is_had_again() {
    for (size, percent) in [(16, 90), (100, 85), (1000, 90), (5000, 80), (40_000, 75), (70_000, 70)] {
        let allocator = PoolAllocator::with_limit(8 << 20);
        for round in 0..3 {
            let one = || Block::new(&allocator, layout(size, 8), 7);
            let blocks = std::iter::from_fn(one).collect::<Vec<_>>();
            let stats = allocator.stats();
            assert!(stats.heap - stats.free <= 8 << 20, "{stats}");
            let bytes = blocks.len() * size;
            assert!(bytes * 100 >= (8 << 20) * percent, "{size}, round {round}: {bytes} bytes are live, {stats}");
            blocks.into_iter().for_each(|block| block.release(&allocator));
            // A block of another size, so that the pages change their use.
            let other = Block::new(&allocator, layout(4 << 20, 8), 1).expect("half of it");
            other.release(&allocator);
        }
        assert_free(&allocator);
    }
}

/// What no block of a power of two has room for behind what the heap has grown to.
#[test]
fn a_span_may_end_where_the_heap_must() {
    for builder in kinds() {
        let allocator = builder.on_demand(4 << 20);
        let first = Block::new(&allocator, layout(600 << 10, 8), 1).expect("a small part");
        let second = Block::new(&allocator, layout(3 << 20, 8), 2).expect("there is room behind it");
        assert!(allocator.stats().heap <= 4 << 20);
        [first, second].into_iter().for_each(|block| block.release(&allocator));
    }
}

#[test]
fn impossible_layouts_fail() {
    let allocator = PoolAllocator::with_limit(1 << 20);
    let large = 1usize.checked_shl(40).unwrap_or(1 << 30);
    for bad in [layout(isize::MAX as usize, 1), layout(large, 8), layout(1, usize::MAX / 4 + 1), layout(1 << 21, 8)] {
        // SAFETY: the size is not 0.
        assert!(unsafe { allocator.alloc(bad) }.is_null(), "{bad:?}");
        // SAFETY: as above.
        assert!(unsafe { allocator.alloc_zeroed(bad) }.is_null(), "{bad:?}");
    }
    let mut block = Block::new(&allocator, layout(100_000, 8), 3).expect("there is room");
    block.resize(&allocator, isize::MAX as usize - 8);
    assert_eq!(block.layout.size(), 100_000);
    block.release(&allocator);
}

#[test]
fn a_large_block_grows_and_shrinks_where_it_is() {
    let allocator = PoolAllocator::with_capacity(64 << 20).expect("64 MiB");
    let mut block = Block::new(&allocator, layout(1 << 20, 8), 9).expect("there is room");
    let at = block.at;
    for pages in [300, 500, 2000, 16_000, 5000, 260, 17, 40] {
        block.resize(&allocator, pages * 4096 - 100);
        assert_eq!(block.at, at, "{pages} pages: nothing is behind it");
    }
    block.release(&allocator);
    assert_free(&allocator);
}

#[test]
fn regions_of_the_caller() {
    let mut memory = vec![0xffu8; 1 << 20];
    for (skip, len) in [(0, 1 << 20), (1, (1 << 20) - 1), (4095, 500_000), (77, 300_001)] {
        // SAFETY: a part of the memory, which nobody uses otherwise while the allocator is there.
        let allocator =
            unsafe { PoolAllocator::builder().checked(skip % 2 == 1).build_in(memory.as_mut_ptr().add(skip), len) }
                .expect("many pages");
        churn(&allocator, &mut Random::from_environment(), 2000, Some);
        assert!(allocator.stats().limit <= len);
        assert_eq!(allocator.trim(), 0, "it is the caller's memory");
        assert_free(&allocator);
    }
    // SAFETY: as above; nothing fits in there.
    let none = unsafe { PoolAllocator::from_region(memory.as_mut_ptr(), 4095) };
    assert!(matches!(none.map(drop), Err(AllocatorBuildError::TooSmall { .. })));
}

#[test]
fn two_allocators_in_turn_and_their_ends() {
    let kept = PoolAllocator::new();
    let mut blocks = Vec::new();
    for round in 0..100 {
        let other = PoolAllocator::with_capacity(1 << 20).expect("a MiB");
        for _ in 0..20 {
            blocks.push(Block::new(&kept, layout(64, 8), round).expect("there is room"));
            Block::new(&other, layout(64, 8), round).expect("there is room").release(&other);
        }
    }
    blocks.into_iter().for_each(|block| block.release(&kept));
    assert_free(&kept);
}

#[test]
fn what_a_thread_has_cached_is_given_back_after_it_used_another_allocator() {
    let (first, other) = (PoolAllocator::with_capacity(1 << 20), PoolAllocator::with_capacity(1 << 20));
    let (first, other) = (first.expect("a MiB"), other.expect("a MiB"));
    let use_and_leave = || {
        let blocks: Vec<Block> = std::iter::from_fn(|| Block::new(&first, layout(500, 8), 1)).collect();
        assert!(blocks.len() > 1800);
        blocks.into_iter().for_each(|block| block.release(&first));
        Block::new(&other, layout(500, 8), 2).expect("there is room").release(&other);
    };
    use_and_leave();
    assert_free(&first);
    use_and_leave();
    // All of it.
    Block::new(&first, layout(1 << 20, 8), 3).expect("there is room").release(&first);
}

#[test]
fn wrong_sizes_are_errors() {
    assert_eq!(PoolAllocator::with_capacity(0).map(drop), Err(AllocatorBuildError::TooSmall { bytes: 0, page: 4096 }));
    assert!(matches!(PoolAllocator::with_capacity(usize::MAX).map(drop), Err(AllocatorBuildError::TooLarge { .. })));
}
