//! Depots: for each class, magazines that go from cache to cache, each by one compare-exchange and without a visit to any
//! of its blocks (Bonwick and Adams, Magazines and Vmem, 2001).

use core::ptr::{self, NonNull};

use crossbeam_utils::CachePadded;

use crate::raw::stack::FreeStack;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::class::{self, size_of_class};
use super::slab::{PieceSize, Slab};

/// Most blocks of a magazine.
pub(super) const MAGAZINE: usize = 64;
const SIZE: PieceSize = PieceSize::covering(MAGAZINE * size_of::<*mut u8>());

/// The depots of all classes.
#[derive(Debug)]
pub(super) struct Depots {
    full: [CachePadded<FreeStack>; class::COUNT],
    /// How many magazines of each class there are, or are about to be.
    counts: [AtomicU32; class::COUNT],
    /// Bytes of all their blocks.
    bytes: AtomicU64,
}

impl Depots {
    /// Without magazines.
    pub(super) fn new() -> Self {
        Self {
            full: core::array::from_fn(|_| CachePadded::default()),
            counts: [const { AtomicU32::new(0) }; class::COUNT],
            bytes: AtomicU64::new(0),
        }
    }

    /// How many magazines of a class there are, as far as one can tell.
    pub(super) fn count(&self, class: usize) -> u32 {
        // Relaxed: a hint.
        self.counts[class].load(Ordering::Relaxed)
    }

    /// Leaves a magazine of a few blocks, unless all magazines together would have more than `most` bytes then, or those of
    /// this class more than a quarter of that, or there is no memory for it.
    pub(super) fn put(&self, class: usize, blocks: &[*mut u8], most: usize, slab: &Slab) -> bool {
        let (full, count) = (&self.full[class], &self.counts[class]);
        let bytes = blocks.len() * size_of_class(class);
        // Relaxed, all: a bound that nothing depends on.
        if blocks.len() > MAGAZINE
            || self.bytes.load(Ordering::Relaxed) as usize + bytes > most
            || (count.load(Ordering::Relaxed) as usize + 1) * bytes > most / 4
        {
            return false;
        }
        let Some(magazine) = slab.alloc(SIZE) else { return false };
        let places = magazine.cast::<*mut u8>();
        // SAFETY: a piece of this size, which is this thread's alone; there are no more blocks than it has places.
        unsafe {
            places.copy_from_nonoverlapping(NonNull::from(blocks).cast(), blocks.len());
            if blocks.len() < MAGAZINE {
                places.add(blocks.len()).write(ptr::null_mut());
            }
        }
        count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // The Release of the push pairs with the Acquire of the pop; makes the blocks visible to who takes the magazine.
        slab.push(full, magazine);
        true
    }

    /// Takes a magazine to `out`; returns how many blocks it had, 0 if there is none.
    pub(super) fn take(&self, class: usize, out: &mut [*mut u8; MAGAZINE], slab: &Slab) -> usize {
        // Who has left a magazine has counted it before.
        if self.count(class) == 0 {
            return 0;
        }
        let Some(magazine) = slab.pop(&self.full[class]) else { return 0 };
        // Relaxed: as in `put`.
        self.counts[class].fetch_sub(1, Ordering::Relaxed);
        // SAFETY: `put` wrote it up to a null, if that is not its whole length, and it is this thread's now.
        let blocks = unsafe { magazine.cast::<[*mut u8; MAGAZINE]>().as_ref() };
        let count = blocks.iter().position(|block| block.is_null()).unwrap_or(MAGAZINE);
        out[..count].copy_from_slice(&blocks[..count]);
        // Relaxed: as in `put`.
        self.bytes.fetch_sub((count * size_of_class(class)) as u64, Ordering::Relaxed);
        slab.free(magazine, SIZE);
        count
    }
}
