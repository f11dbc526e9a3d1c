//! A checked `PoolAllocator`: whatever it is asked to release, no block is handed out twice, and what was refused is
//! counted.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Barrier;
use std::thread;

use crate::common::Random;
use mempool::{PoolAllocator, ReleaseError};

/// A block, or what may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Block(NonNull<u8>);

// SAFETY: an address. What is there is touched only by the thread that has just allocated it.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    fn new(allocator: &PoolAllocator, size: usize) -> Self {
        // SAFETY: the size is not 0.
        let block = NonNull::new(unsafe { allocator.alloc(layout(size)) }).expect("there is memory");
        // SAFETY: the block is that long.
        unsafe { block.write_bytes(0xb7, size) };
        Self(block)
    }

    fn after(self, bytes: usize) -> Self {
        Self(NonNull::new(self.0.as_ptr().wrapping_add(bytes)).expect("not at the end of all addresses"))
    }

    /// Tries to release it. No test uses a block that it has released.
    fn release(self, allocator: &PoolAllocator) -> Result<(), ReleaseError> {
        // SAFETY: the allocator checks it.
        unsafe { allocator.try_release(self.0) }
    }

    /// The same as a block of this size.
    fn dealloc(self, allocator: &PoolAllocator, size: usize) {
        // SAFETY: the allocator checks it.
        unsafe { allocator.dealloc(self.0.as_ptr(), layout(size)) };
    }

    /// Tries to resize it, as a block of this size.
    fn realloc(self, allocator: &PoolAllocator, size: usize, to: usize) -> Option<Self> {
        // SAFETY: the allocator checks it; the size is not 0.
        NonNull::new(unsafe { allocator.realloc(self.0.as_ptr(), layout(size), to) }).map(Self)
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn checked() -> PoolAllocator {
    PoolAllocator::builder().checked(true).on_demand(64 << 20)
}

fn refused(allocator: &PoolAllocator) -> u64 {
    allocator.stats().refused_releases
}

/// These are all that are live: each can be released once, and then everything is free.
fn end(allocator: &PoolAllocator, live: &[Block]) {
    let before = refused(allocator);
    for block in live {
        assert_eq!(block.release(allocator), Ok(()));
        assert_eq!(block.release(allocator), Err(ReleaseError::NotLive));
    }
    assert_eq!(refused(allocator), before + live.len() as u64);
    allocator.sweep();
    let stats = allocator.stats();
    assert_eq!((stats.free, stats.idle), (stats.heap, 0), "{stats}");
}

/// More than an allocator has addresses for.
const TOO_MUCH: usize = if usize::BITS > 32 { 1 << (usize::BITS - 24) } else { 1 << 30 };

/// Small ones of one group and several, a slot of several pages, spans of one block and several.
const SIZES: [usize; 8] = [1, 64, 100, 1000, 5000, 40_000, 70_000, 300_000];

#[test]
fn twice_by_each_way() {
    for size in SIZES {
        let allocator = checked();
        let block = Block::new(&allocator, size);
        block.dealloc(&allocator, size);
        assert_eq!(refused(&allocator), 0);
        block.dealloc(&allocator, size);
        assert_eq!(refused(&allocator), 1, "{size}");
        // SAFETY: the allocator checks it.
        unsafe { allocator.release(block.0) };
        assert_eq!(refused(&allocator), 2, "{size}");
        assert_eq!(block.release(&allocator), Err(ReleaseError::NotLive));
        // In place, elsewhere, and to what has no room.
        for to in [size, 3 * size + 100, TOO_MUCH] {
            assert_eq!(block.realloc(&allocator, size, to), None, "{size} to {to}");
        }
        assert_eq!(refused(&allocator), 6, "{size}");
        end(&allocator, &[]);
    }
}

/// While a block that was released sits in a cache, in a depot, in its run, or in pages that the heap has back, and
/// then all are had again.
#[test]
fn twice_wherever_it_is() {
    for size in SIZES {
        let allocator = checked();
        let count = (4 << 20) / size.max(1000);
        let all = || Vec::from_iter((0..count).map(|_| Block::new(&allocator, size)));
        let blocks = all();
        for block in &blocks {
            assert_eq!(block.release(&allocator), Ok(()));
        }
        for _ in 0..2 {
            for block in &blocks {
                assert_eq!(block.release(&allocator), Err(ReleaseError::NotLive), "{size}");
            }
            allocator.trim();
        }
        let again = all();
        assert_eq!(HashSet::<_>::from_iter(&again).len(), count, "a block was handed out twice");
        assert_eq!(refused(&allocator), 2 * count as u64);
        end(&allocator, &again);
    }
}

#[test]
fn twice_by_another_thread() {
    for size in SIZES {
        let allocator = &checked();
        let elsewhere = |block: Block| {
            thread::scope(|scope| scope.spawn(move || block.release(allocator)).join().expect("no panic"))
        };
        let block = Block::new(allocator, size);
        assert_eq!(block.release(allocator), Ok(()));
        assert_eq!(elsewhere(block), Err(ReleaseError::NotLive));
        let block = Block::new(allocator, size);
        assert_eq!(elsewhere(block), Ok(()));
        assert_eq!(block.release(allocator), Err(ReleaseError::NotLive));
        assert_eq!(elsewhere(block), Err(ReleaseError::NotLive));
        end(allocator, &[]);
    }
}

/// Threads that release the same blocks at the same time, one of which resizes each before.
#[test]
fn of_releases_at_the_same_time_one_is_not_refused() {
    const THREADS: usize = 4;
    let allocator = &checked();
    for round in 0..200 {
        let blocks: Vec<_> = SIZES.iter().map(|size| (Block::new(allocator, *size), *size)).collect();
        let (blocks, barrier) = (&blocks, &Barrier::new(THREADS));
        let before = refused(allocator);
        let released: usize = thread::scope(|scope| {
            let work = move |thread: usize| {
                let try_one = |(block, size): (Block, usize)| {
                    // Where it is: others must not know the new address.
                    let is_gone = thread == 0 && block.realloc(allocator, size, size).is_none();
                    !is_gone && block.release(allocator).is_ok()
                };
                barrier.wait();
                let first = round % 2 * thread;
                (0..blocks.len()).filter(|turn| try_one(blocks[(turn + first) % blocks.len()])).count()
            };
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(released, blocks.len());
        assert_eq!(refused(allocator), before + ((THREADS - 1) * blocks.len()) as u64);
    }
    end(allocator, &[]);
}

/// Two threads that release one block within nanoseconds of each other.
#[test]
fn exactly_one_of_two_succeeds() {
    let allocator = &checked();
    crate::common::together(
        200_000,
        2,
        |round| Block::new(allocator, SIZES[round % 4]),
        |_, block| block.release(allocator),
        |_, _, results| crate::common::released_once(&results),
    );
    end(allocator, &[]);
}

#[test]
fn inside_of_blocks() {
    for size in SIZES {
        let allocator = checked();
        let blocks = [(); 3].map(|()| Block::new(&allocator, size));
        for block in blocks {
            for inside in
                [1, 8, 16, 24, 48, 4095, 4096, 4112, 65_536, 299_999].into_iter().filter(|bytes| *bytes < size)
            {
                let inside = block.after(inside);
                assert_eq!(inside.release(&allocator), Err(ReleaseError::Interior), "{size}");
                inside.dealloc(&allocator, size);
                assert_eq!(inside.realloc(&allocator, size, 2 * size), None);
            }
        }
        let [first, rest @ ..] = blocks;
        assert_eq!(first.release(&allocator), Ok(()));
        assert_eq!(first.after(1).release(&allocator), Err(ReleaseError::NotLive));
        end(&allocator, &rest);
    }
}

#[test]
fn addresses_of_no_block() {
    let (allocator, other) = (checked(), PoolAllocator::new());
    let wild = [1, 16, 4096, usize::MAX, usize::MAX - 4095]
        .map(|address| Block(NonNull::new(std::ptr::without_provenance_mut(address)).expect("it is not null")));
    let foreign = SIZES.map(|size| Block::new(&other, size));
    let own = Box::new(7_u64);
    let outside = wild.into_iter().chain(foreign).chain([Block(NonNull::from(&*own).cast())]);
    // Before it has anything, and afterwards.
    for turn in 0..2 {
        for block in outside.clone() {
            let before = refused(&allocator);
            assert_eq!(block.release(&allocator), Err(ReleaseError::Foreign), "{block:?} {turn}");
            for size in SIZES {
                block.dealloc(&allocator, size);
                assert_eq!(block.realloc(&allocator, size, size), None);
            }
            assert_eq!(refused(&allocator), before + 1 + 2 * SIZES.len() as u64);
        }
        // SAFETY: the allocator checks it; null is fine.
        SIZES.iter().for_each(|size| unsafe { allocator.dealloc(std::ptr::null_mut(), layout(*size)) });
        let before = refused(&allocator);
        let block = Block::new(&allocator, 100);
        assert_eq!(block.release(&allocator), Ok(()));
        assert_eq!(refused(&allocator), before, "null, and a live block");
        // Far behind what the heap has grown to.
        assert_eq!(block.after(32 << 20).release(&allocator), Err(ReleaseError::NotLive));
    }
    end(&allocator, &[]);
    foreign.into_iter().zip(SIZES).for_each(|(block, size)| block.dealloc(&other, size));
    assert_eq!(refused(&other), 0);
}

/// A block is released only with a layout that it may have been asked for with.
#[test]
fn wrong_layouts() {
    let allocator = checked();
    for size in SIZES {
        let block = Block::new(&allocator, size);
        // SAFETY: a live block.
        let usable = unsafe { allocator.usable_size(block.0) };
        for wrong in SIZES.into_iter().filter(|wrong| *wrong != size).chain([usable + 1, usable + 4096]) {
            let before = refused(&allocator);
            block.dealloc(&allocator, wrong);
            assert_eq!(block.realloc(&allocator, wrong, size), None);
            assert_eq!(refused(&allocator), before + 2, "{size} as {wrong}");
        }
        let before = refused(&allocator);
        block.dealloc(&allocator, usable);
        assert_eq!(refused(&allocator), before, "{size} as {usable}, which it has");
    }
    end(&allocator, &[]);
}

#[test]
fn a_block_that_was_resized_is_live_once() {
    for (size, to) in [(100, 105), (100, 1000), (1000, 100), (1000, 100_000), (100_000, 1000), (300_000, 100_000)] {
        let allocator = checked();
        let block = Block::new(&allocator, size);
        let moved = block.realloc(&allocator, size, to).expect("there is memory");
        assert_eq!(moved.realloc(&allocator, to, TOO_MUCH), None, "there is not so much");
        if moved == block {
            moved.dealloc(&allocator, to);
        } else {
            assert_eq!(block.release(&allocator), Err(ReleaseError::NotLive));
            moved.dealloc(&allocator, to);
        }
        assert_eq!(moved.release(&allocator), Err(ReleaseError::NotLive));
        assert_eq!(refused(&allocator), if moved == block { 1 } else { 2 });
        end(&allocator, &[]);
    }
}

/// In a region of the caller's, with more of everything at once.
#[test]
fn a_program_full_of_mistakes() {
    let mut random = Random::from_environment();
    let mut memory = vec![0_u8; 8 << 20];
    let builder = PoolAllocator::builder().checked(true);
    // SAFETY: nobody uses the memory otherwise while the allocator is there.
    let allocator = unsafe { builder.build_in(memory.as_mut_ptr(), memory.len()) }.expect("many pages");
    let (mut live, mut gone): (Vec<(Block, usize)>, Vec<Block>) = (Vec::new(), Vec::new());
    for _ in 0..50_000 {
        match random.below(8) {
            0..4 if live.len() < 500 => {
                let doubling = random.below(17);
                let size = 1 + random.below(1 << doubling);
                // SAFETY: the size is not 0.
                if let Some(block) = NonNull::new(unsafe { allocator.alloc(layout(size)) }) {
                    live.push((Block(block), size));
                }
            }
            4 | 5 if !live.is_empty() => {
                let (block, size) = live.swap_remove(random.below(live.len()));
                block.dealloc(&allocator, size);
                gone.push(block);
            }
            6 if !gone.is_empty() => {
                let block = gone[random.below(gone.len())];
                // It may be out again.
                let is_live = live.iter().any(|(live, _)| *live == block);
                if !is_live {
                    assert!(block.release(&allocator).is_err());
                }
            }
            _ if !live.is_empty() => {
                let (block, size) = live[random.below(live.len())];
                let inside = block.after(1 + random.below(size));
                if inside.0 < block.after(size).0 {
                    assert_eq!(inside.release(&allocator), Err(ReleaseError::Interior));
                }
            }
            _ => {}
        }
    }
    assert!(refused(&allocator) > 1000);
    end(&allocator, &Vec::from_iter(live.into_iter().map(|(block, _)| block)));
}

/// Unless it is said, releases are checked in builds that check other things, too.
#[test]
fn debug_builds_check() {
    let allocator = PoolAllocator::new();
    let block = Block::new(&allocator, 100);
    let inside = block.after(16);
    if cfg!(debug_assertions) {
        assert_eq!(inside.release(&allocator), Err(ReleaseError::Interior));
        assert_eq!(refused(&allocator), 1);
    }
    block.dealloc(&allocator, 100);
    let unchecked = PoolAllocator::builder().checked(false).on_demand(1 << 20);
    let nothing = Block::new(&unchecked, 5000).after(512 << 10);
    assert_eq!(nothing.release(&unchecked), Err(ReleaseError::NotLive));
    // SAFETY: no block can be there, so that it is ignored.
    unsafe { unchecked.release(nothing.0) };
    nothing.dealloc(&unchecked, 100_000);
    assert_eq!(nothing.after(1 << 30).release(&unchecked), Err(ReleaseError::Foreign));
    assert_eq!(refused(&unchecked), 4);
    assert!(unchecked.stats().to_string().ends_with("refused releases 4"));
}
