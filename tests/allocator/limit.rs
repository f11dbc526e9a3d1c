//! A `PoolAllocator` at its limit, whatever that is: what goes beyond is refused at once, and what is made smaller is
//! not.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::thread;

use crate::common::filled::{Block, assert_free, kinds};
use crate::common::{Actor, Random, join};
use mempool::{AllocatorBuildError, PoolAllocator, ReleaseError};

const PAGE: usize = 4096;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
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
            says_no(&kind.huge_pages(true).prefault(true).lock(true).on_demand(limit));
            assert!(matches!(kind.build(limit), Err(AllocatorBuildError::TooSmall { .. })), "{limit}");
        }
        assert!(matches!(PoolAllocator::with_capacity(limit), Err(AllocatorBuildError::TooSmall { .. })), "{limit}");
    }
}

#[test]
fn regions_without_a_page_are_refused() {
    let mut memory = vec![0_u8; 4 * PAGE];
    let first = memory.as_mut_ptr().wrapping_add(memory.as_ptr().align_offset(PAGE));
    for (skip, len) in [(0, 0), (0, 1), (0, PAGE - 1), (1, 0), (1, 1), (1, PAGE), (1, 2 * PAGE - 2), (PAGE - 1, PAGE)] {
        // SAFETY: within the memory, which nobody uses meanwhile.
        let region = unsafe { PoolAllocator::from_region(first.wrapping_add(skip), len) };
        assert!(matches!(region, Err(AllocatorBuildError::TooSmall { .. })), "{len} bytes from {skip}");
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

/// All that there is for blocks of these sizes is taken, down to the smallest.
fn fill_up(allocator: &PoolAllocator, sizes: impl Iterator<Item = usize>) -> Vec<Block> {
    let all = |size| std::iter::from_fn(move || Block::new(allocator, layout(size), 0xee));
    sizes.flat_map(all).collect()
}

/// All is free again, and in one piece as far as may be.
fn end(allocator: &PoolAllocator, blocks: impl IntoIterator<Item = Block>) {
    blocks.into_iter().for_each(|block| block.release(allocator));
    assert_free(allocator);
}

/// A block of each size is made one of each smaller size where nothing else is left, in one step and in several.
#[test]
fn making_a_block_smaller_never_fails() {
    const SIZES: [usize; 9] = [16, 48, 80, 1000, 4096, 5000, 64 << 10, (64 << 10) + 1, 300_000];
    for (kind, align) in kinds().into_iter().flat_map(|kind| [8, 64, 8192].map(|align| (kind, align))) {
        for (number, from) in SIZES.into_iter().enumerate() {
            for to in SIZES[..number].iter().rev() {
                let allocator = &kind.on_demand((64 << 10) + 4 * from);
                let wanted = Layout::from_size_align(from, align).expect("a small one");
                let mut block = Block::new(allocator, wanted, 7).expect("there is memory");
                let mut several = Block::new(allocator, wanted, 9).expect("there is memory");
                let rest = fill_up(allocator, (4..=16).rev().map(|shift| 1 << shift));
                assert!(block.resize(allocator, *to), "{from} to {to}, aligned to {align}");
                for smaller in SIZES[..number].iter().rev() {
                    assert!(several.resize(allocator, *smaller), "{from} to {smaller}, aligned to {align}");
                }
                end(allocator, rest.into_iter().chain([block, several]));
                // What stayed in a larger block is one of those again.
                let again = Vec::from_iter((0..3).map_while(|_| Block::new(allocator, wanted, 1)));
                assert_eq!(again.len(), 3);
                end(allocator, again);
            }
        }
    }
}

/// What stayed in a block that is aligned less is in the hands of nobody who wants more.
#[test]
fn what_stayed_is_no_better_aligned_than_it_was() {
    for kind in kinds() {
        let allocator = &kind.on_demand(64 << 10);
        let mut all = fill_up(allocator, [80].into_iter());
        let few = all.split_off(40);
        all.iter_mut().for_each(|block| assert!(block.resize(allocator, 60)));
        assert!(all.iter().any(|block| block.at.addr() % 64 > 0));
        all.into_iter().for_each(|block| block.release(allocator));
        let aligned = |size, align| Layout::from_size_align(size, align).expect("a small one");
        // Those that are aligned by chance may be had; all of them are, as what they were.
        let mut more = Vec::from_iter(std::iter::from_fn(|| Block::new(allocator, aligned(64, 64), 5)));
        more.extend(fill_up(allocator, [80].into_iter()));
        assert!(more.len() >= 40, "{}", more.len());
        end(allocator, few.into_iter().chain(more));
    }
}

/// Threads with programs of their own at a limit: whatever there is, blocks are made smaller, and nobody sees another
/// one's bytes.
#[test]
fn random_programs_at_the_limit() {
    const ALIGNS: [usize; 6] = [1, 8, 64, 512, 4096, 16_384];
    let random = Random::from_environment();
    for (round, kind) in (0..6).flat_map(|round| kinds().map(|kind| (round, kind))) {
        let allocator = &kind.on_demand((64 << 10) << round);
        let threads = 1 + round as u64 % 3;
        let program = |number: u64| {
            let mut random = random.stream(round as u64 * 8 + number);
            let (mut blocks, mut shrunk, mut failed) = (Vec::new(), 0, 0);
            let size = |random: &mut Random| {
                let doubling = random.below(18);
                1 + random.below(1 << doubling)
            };
            for step in 0..6000_u32 {
                let count = blocks.len();
                match random.below(8) {
                    0..4 => {
                        let layout = Layout::from_size_align(size(&mut random), ALIGNS[random.below(6)]);
                        let new = Block::new(allocator, layout.expect("a small one"), step as u8);
                        failed += usize::from(new.is_none());
                        blocks.extend(new);
                    }
                    4 | 5 if count > 0 => {
                        let block: &mut Block = &mut blocks[random.below(count)];
                        let smaller = 1 + random.below(block.layout.size());
                        assert!(
                            block.resize(allocator, smaller),
                            "{:?} to {smaller}: {}",
                            block.layout,
                            allocator.stats()
                        );
                        shrunk += 1;
                    }
                    6 if count > 0 => {
                        let larger = size(&mut random);
                        let block = &mut blocks[random.below(count)];
                        let larger = block.layout.size().max(larger);
                        _ = block.resize(allocator, larger);
                    }
                    _ if count > 0 && (failed > 0 || step % 4 == 0) => {
                        blocks.swap_remove(random.below(count)).release(allocator);
                    }
                    _ => {}
                }
            }
            assert!(shrunk > 500 && failed > 50, "{shrunk} {failed}");
            blocks.into_iter().for_each(|block| block.release(allocator));
        };
        std::thread::scope(|scope| {
            let program = &program;
            join((0..threads).map(|number| scope.spawn(move || program(number))).collect());
        });
        end(allocator, []);
    }
}

/// Half of the limit in one block, where what is free is scattered: each second page is live.
#[test]
fn scattered_pages_are_no_reason_to_refuse_what_is_within_the_limit() {
    const PAGES: usize = 4096;
    for kind in kinds() {
        let allocator = &kind.on_demand(PAGES * PAGE);
        let mut small = fill_up(allocator, [PAGE].into_iter());
        assert_eq!(small.len(), PAGES);
        small.sort_by_key(|block| block.at);
        for round in 0..3 {
            let mut place = 0;
            let (odd, even): (Vec<_>, Vec<_>) = small.into_iter().partition(|_| {
                place += 1;
                place % 2 > 0
            });
            odd.into_iter().for_each(|block| block.release(allocator));
            let half = PAGES / 2 * PAGE;
            let large = Block::new(allocator, layout(half), round).expect("half of the limit is free");
            let stats = allocator.stats();
            assert!(stats.heap > stats.limit && stats.heap <= 2 * stats.limit, "{stats}");
            assert_eq!(stats.heap - stats.free, stats.limit, "{stats}");
            assert!(stats.resident <= stats.limit + stats.metadata, "{stats}");
            assert!(Block::new(allocator, layout(1), 0).is_none(), "not a page more");
            large.release(allocator);
            small = even;
            small.extend(fill_up(allocator, [PAGE].into_iter()));
            assert_eq!(small.len(), PAGES);
            let stats = allocator.stats();
            assert!(stats.resident <= stats.limit + stats.metadata, "{stats}");
        }
        end(allocator, small);
    }
}

/// Threads that sleep have a little cached, anywhere in the heap.
#[test]
fn half_of_the_limit_is_there_beside_threads_that_sleep() {
    const THREADS: usize = 8;
    const LIMIT: usize = 64 << 20;
    let random = Random::from_environment();
    for kind in kinds() {
        let allocator = &kind.on_demand(LIMIT);
        thread::scope(|scope| {
            let threads = Vec::from_iter((0..THREADS).map(|_| Actor::new(scope)));
            Actor::all(&threads, |place| {
                let mut random = random.stream(place as u64);
                let (mut blocks, mut bytes) = (Vec::new(), 0);
                while bytes < LIMIT / THREADS * 9 / 10 {
                    let most = 1 << random.below(15);
                    let size = 1 + random.below(most);
                    blocks.extend(Block::new(allocator, layout(size), 1));
                    bytes += size.max(16);
                }
                blocks.into_iter().for_each(|block| block.release(allocator));
            });
            let half = Block::new(allocator, layout(LIMIT / 2), 2).expect("nothing is live");
            half.release(allocator);
            threads.into_iter().for_each(Actor::leave);
        });
        assert_free(allocator);
    }
}
