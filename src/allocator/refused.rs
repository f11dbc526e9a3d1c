//! Each call of the operating system refused in turn: an allocation fails or gets a smaller service, nothing panics,
//! and nothing is lost.

extern crate std;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::iter::repeat_n;
use std::thread;

use super::PoolAllocator;
use super::class::PAGE;
use crate::error::AllocatorBuildError;
use crate::raw::slabs::{Cycle, Discards};
use crate::sys::Refusal;

const LIMIT: usize = 6 << 20;
/// Sizes of small blocks, of slabs with extra bitmaps, and of large ones.
const SIZES: [usize; 7] = [16, 48, 700, 5000, 60_000, 300_000, 1 << 20];
const LARGE: usize = 1 << 20;

/// A live block, filled with a byte that its address says.
#[derive(Debug)]
struct Block(*mut u8, usize);

// SAFETY: it owns its bytes.
unsafe impl Send for Block {}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a layout")
}

impl Block {
    fn new(allocator: &PoolAllocator, size: usize) -> Option<Self> {
        // SAFETY: no size here is 0.
        Self(unsafe { allocator.alloc(layout(size)) }, size).filled()
    }

    fn byte(&self) -> u8 {
        (self.0.addr() >> 4) as u8 | 1
    }

    fn filled(self) -> Option<Self> {
        // SAFETY: a block of that length, if it is one.
        (!self.0.is_null()).then(|| unsafe { self.0.write_bytes(self.byte(), self.1) })?;
        Some(self)
    }

    /// Has it all of its bytes, up to `size`?
    fn check(&self, byte: u8, size: usize) {
        // SAFETY: a live block.
        let bytes = unsafe { core::slice::from_raw_parts(self.0, size.min(self.1)) };
        assert!(bytes.iter().all(|is| *is == byte), "{self:?}");
    }

    fn resized(self, allocator: &PoolAllocator, size: usize) -> Self {
        let byte = self.byte();
        // SAFETY: it is live.
        let new = unsafe { allocator.realloc(self.0, layout(self.1), size) };
        if new.is_null() {
            assert!(size > self.1, "to become smaller never fails");
            self.check(byte, self.1);
            return self;
        }
        let new = Self(new, size);
        new.check(byte, self.1);
        new.filled().expect("it is not null")
    }

    fn release(self, allocator: &PoolAllocator) {
        self.check(self.byte(), self.1);
        // SAFETY: it is live.
        unsafe { allocator.dealloc(self.0, layout(self.1)) };
    }
}

fn blocks(allocator: &PoolAllocator, sizes: impl IntoIterator<Item = usize>) -> Vec<Block> {
    sizes.into_iter().filter_map(|size| Block::new(allocator, size)).collect()
}

/// Some blocks of each size.
fn mixed(allocator: &PoolAllocator) -> Vec<Block> {
    blocks(allocator, SIZES.into_iter().flat_map(|size| repeat_n(size, 1 + (40_000 / size).min(300))))
}

fn release(allocator: &PoolAllocator, blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.release(allocator));
}

fn used(allocator: &PoolAllocator) -> Vec<Block> {
    release(allocator, mixed(allocator));
    Vec::new()
}

/// Its time is what the test says.
fn decay(allocator: &PoolAllocator) {
    const AFTER: u64 = 1000;
    let Some(instance) = allocator.started() else { return };
    let Some(own) = instance.own_cache() else { return };
    (AFTER..8 * AFTER).step_by(50).for_each(|now| instance.decay_at(now, AFTER, own));
}

fn cycles(allocator: &PoolAllocator) {
    let mut cycle = Cycle::default();
    for discards in [Discards::Old, Discards::Old, Discards::All] {
        while !allocator.sweep_step(&mut cycle, 64, || discards).0.is_last {}
    }
}

/// Something before an operation, and the operation.
type Prepare = fn(&PoolAllocator) -> Vec<Block>;
type Act = fn(&PoolAllocator, Vec<Block>) -> Vec<Block>;
const OPERATIONS: [(&str, Prepare, Act); 10] = [
    ("the first allocation", |_| Vec::new(), |allocator, _| blocks(allocator, [64])),
    ("growth", |_| Vec::new(), |allocator, _| mixed(allocator)),
    ("a large span", used, |allocator, _| blocks(allocator, [LARGE, 2 * LARGE])),
    ("zeroed memory", used, |allocator, _| {
        // SAFETY: the size is not 0.
        let block = Block(unsafe { allocator.alloc_zeroed(layout(2 * LARGE)) }, 2 * LARGE);
        if !block.0.is_null() {
            block.check(0, block.1);
        }
        block.filled().into_iter().collect()
    }),
    (
        "growth of a block",
        |allocator| blocks(allocator, [60, 5000, 300_000]),
        |allocator, blocks| blocks.into_iter().map(|block| block.resized(allocator, LARGE)).collect(),
    ),
    (
        "a block becomes smaller",
        |allocator| blocks(allocator, [LARGE, 300_000, 5000]),
        |allocator, blocks| blocks.into_iter().map(|block| block.resized(allocator, 40)).collect(),
    ),
    ("release of all, and trim", mixed, |allocator, blocks| {
        release(allocator, blocks);
        allocator.trim();
        Vec::new()
    }),
    ("decay", used, |allocator, blocks| {
        decay(allocator);
        blocks
    }),
    ("cycles of a sweeper", used, |allocator, blocks| {
        cycles(allocator);
        blocks
    }),
    (
        "near the limit",
        |allocator| blocks(allocator, repeat_n(PAGE, LIMIT / PAGE)),
        |allocator, mut all| {
            // Each second page; then the heap discards them where it uses others.
            let odd = all.extract_if(.., |block| block.0.addr() / PAGE % 2 == 1).collect();
            release(allocator, odd);
            all.extend(Block::new(allocator, LARGE));
            all
        },
    ),
];

/// The sum of what the blocks have, if each is pages of its own.
fn pages_of(blocks: &[Block]) -> Option<usize> {
    let bytes = |block: &Block| (block.1 > 64 << 10).then(|| block.1.next_multiple_of(PAGE));
    blocks.iter().map(bytes).sum()
}

/// Nothing is lost: figures are exact, all that is free can be had, and goes back to the system.
fn look(allocator: &PoolAllocator, live: Vec<Block>, says: &str) {
    allocator.sweep();
    let stats = allocator.stats();
    if let Some(pages) = pages_of(&live) {
        assert_eq!(stats.heap - stats.free, pages, "{says}: {stats}");
    }
    let (counted, _) = Refusal(0..u32::MAX).during(|| allocator.stats().resident);
    // Where the system does not tell, what was used and did not go back counts.
    assert!(counted >= stats.resident, "{says}: {counted}, {stats}");
    assert!(stats.refused_releases == 0, "{says}: {stats}");
    release(allocator, live);
    allocator.sweep();
    let stats = allocator.stats();
    assert_eq!((stats.free, stats.idle), (stats.heap, 0), "{says}: {stats}");
    let whole = Block::new(allocator, LIMIT).unwrap_or_else(|| panic!("{says}: not one block, {stats}"));
    whole.release(allocator);
    allocator.trim();
    let stats = allocator.stats();
    assert!(stats.resident <= stats.metadata, "{says}: {stats}");
}

/// Each operation, with each of its calls refused. It is done by a thread of its own, and so is its first use of the
/// allocator, and its end.
fn operations(checked: bool) -> BTreeSet<&'static str> {
    let mut all = BTreeSet::new();
    for (name, prepare, act) in OPERATIONS {
        let refused = Refusal::walk(|refusal| {
            let allocator = PoolAllocator::builder().checked(checked).on_demand(LIMIT);
            let (live, refused) = thread::scope(|scope| {
                let prepared = prepare(&allocator);
                let work = || refusal.during(|| act(&allocator, prepared));
                scope.spawn(work).join().unwrap_or_else(|_| panic!("{name}, {refusal:?}: it panics"))
            });
            look(&allocator, live, &std::format!("{name}, refused: {refusal:?} {refused:?}"));
            refused
        });
        all.extend(refused);
    }
    all
}

#[test]
fn an_allocator_lives_with_each_refusal() {
    let refused = operations(false);
    let expected = ["at_exit", "clock", "commit", "discard", "release", "reserve", "resident", "wish"];
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), expected, "the seams of `sys` that were tried");
}

#[test]
fn a_checked_allocator_lives_with_each_refusal() {
    assert!(operations(true).contains("discard"));
}

/// A mapping that is refused is an error; a wish is not. Whoever drops an allocator need not know what is refused.
#[test]
fn an_allocator_is_built_or_not() {
    let builder = PoolAllocator::builder().checked(true).prefault(true).lock(true);
    let mut errors = BTreeSet::new();
    let refused = Refusal::walk(|refusal| {
        let build_and_drop = || match builder.build(1 << 20) {
            Ok(allocator) => release(&allocator, blocks(&allocator, [64, 100_000])),
            Err(AllocatorBuildError::Unavailable { bytes }) => _ = errors.insert(("unavailable", bytes)),
            Err(AllocatorBuildError::NotLocked { bytes }) => _ = errors.insert(("not locked", bytes)),
            Err(error) => panic!("{refusal:?}: {error}"),
        };
        refusal.during(build_and_drop).1
    });
    assert_eq!(errors.into_iter().collect::<Vec<_>>(), [("not locked", 1 << 20), ("unavailable", 1 << 20)]);
    for name in ["reserve", "commit", "populate", "lock", "release"] {
        assert!(refused.contains(name), "{name}: {refused:?}");
    }
}
