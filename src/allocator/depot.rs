//! Depots: for each class, full magazines that go from cache to cache, each by one compare-exchange and without a visit to any
//! of its blocks (Bonwick and Adams, Magazines and Vmem, 2001).

use core::ptr::NonNull;

use crate::raw::stack::FreeStack;
use crate::sync::{AtomicU32, Ordering};

use super::class;
use super::slab::{PieceSize, Slab};

/// Blocks of a magazine.
pub(super) const MAGAZINE: usize = 64;
const SIZE: PieceSize = PieceSize::covering(MAGAZINE * size_of::<*mut u8>());

/// The depots of all classes.
#[derive(Debug)]
pub(super) struct Depots {
    full: [FreeStack; class::COUNT],
    /// How many magazines of each class there are, or are about to be.
    counts: [AtomicU32; class::COUNT],
}

impl Depots {
    /// Without magazines, which are pieces of `slab`.
    pub(super) fn new(slab: &Slab) -> Self {
        Self { full: core::array::from_fn(|_| slab.stack()), counts: [const { AtomicU32::new(0) }; class::COUNT] }
    }

    /// Leaves a magazine, unless there are `most` already, or there is no memory for it.
    pub(super) fn put(&self, class: usize, blocks: &[*mut u8; MAGAZINE], most: u32, slab: &Slab) -> bool {
        let (full, count) = (&self.full[class], &self.counts[class]);
        // Relaxed, all: a bound that nothing depends on.
        if count.load(Ordering::Relaxed) >= most {
            return false;
        }
        let Some(magazine) = slab.alloc(SIZE) else { return false };
        // SAFETY: a piece of this size, which is this thread's alone.
        unsafe { magazine.cast().write(*blocks) };
        count.fetch_add(1, Ordering::Relaxed);
        // The Release of the push pairs with the Acquire of the pop; makes the blocks visible to who takes the magazine.
        slab.push(full, magazine);
        true
    }

    /// Takes a magazine to `out`; false, if there is none.
    ///
    /// # Safety
    ///
    /// `out` has room for a magazine.
    pub(super) unsafe fn take(&self, class: usize, out: NonNull<*mut u8>, slab: &Slab) -> bool {
        let (full, count) = (&self.full[class], &self.counts[class]);
        // Relaxed: a hint; who has left a magazine has counted it before.
        if count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let Some(magazine) = slab.pop(full) else { return false };
        // Relaxed: as in `put`.
        count.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: `put` wrote it, and it is this thread's now; the caller vouches for `out`.
        unsafe { magazine.cast::<[*mut u8; MAGAZINE]>().copy_to_nonoverlapping(out.cast(), 1) };
        slab.free(magazine, SIZE);
        true
    }
}
