//! An allocator with a heap profile.

use std::alloc::{GlobalAlloc, Layout};
use std::io;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use mempool::PoolAllocator;

use super::{count, forget, may_be_sample, remember, sample, start, stop};

/// An allocator that knows how much free memory a block pins.
pub trait Pins {
    /// Bytes of free memory that can't go back to the system because of this block. Any address may be asked for.
    fn pinned_by(&self, block: *mut u8) -> usize;
}

impl Pins for PoolAllocator {
    fn pinned_by(&self, block: *mut u8) -> usize {
        NonNull::new(block).map_or(0, |block| PoolAllocator::pinned_by(self, block))
    }
}

/// Any allocator, with a profile between [`start`](Self::start) and [`stop`](Self::stop).
#[derive(Debug, Default)]
pub struct Profiled<A>(A);

impl<A> Profiled<A> {
    /// `allocator`, which can be profiled.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }

    /// The allocator itself.
    pub const fn inner(&self) -> &A {
        &self.0
    }
}

impl<A: Pins> Profiled<A> {
    /// Begins the profile of this process, in a new file in this folder, with `mean` bytes from sample to sample;
    /// returns the path. A thread that allocated before takes part from its next 64 KiB on.
    ///
    /// # Errors
    ///
    /// When the file can't be made, or the process has a profile already.
    pub fn start(&self, folder: &Path, mean: u64) -> io::Result<PathBuf> {
        start(folder, mean)
    }

    /// Ends the profile. What other threads do in this moment may be in it, or not.
    pub fn stop(&self) {
        stop(&|block| self.0.pinned_by(block));
    }

    #[inline]
    fn note(&self, block: *mut u8, size: usize) {
        if count(size) {
            sample(block, size, &|block| self.0.pinned_by(block));
        }
    }
}

// SAFETY: it does what the allocator does, and counts without allocating.
unsafe impl<A: GlobalAlloc + Pins> GlobalAlloc for Profiled<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for it.
        let block = unsafe { self.0.alloc(layout) };
        self.note(block, layout.size());
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller vouches for it.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        self.note(block, layout.size());
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if may_be_sample(block) {
            forget(block);
        }
        // SAFETY: the caller vouches for it.
        unsafe { self.0.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let forgotten = if may_be_sample(block) { forget(block) } else { None };
        // SAFETY: the caller vouches for it.
        let new = unsafe { self.0.realloc(block, layout, new_size) };
        match (new.is_null(), forgotten) {
            (false, _) => self.note(new, new_size),
            (true, Some(forgotten)) => remember(block, forgotten),
            (true, None) => {}
        }
        new
    }
}
