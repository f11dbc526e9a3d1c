//! What the whole process sees: a last message, and the figures of `malloc`.

use core::ffi::CStr;

use mempool::AllocatorStats;

use crate::chosen::allocator;

/// Says why, and ends the program.
pub fn die(why: &CStr) -> ! {
    let text = why.to_bytes();
    // SAFETY: so many bytes.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        libc::abort()
    }
}

/// The figures of `malloc`, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MallocStats {
    /// What the heap may grow to.
    pub limit: usize,
    /// What it has grown to.
    pub heap: usize,
    /// What of it, and of its tables, is in memory.
    pub resident: usize,
    /// What of the heap is free.
    pub free: usize,
    /// What of that is in slabs that nobody uses.
    pub idle: usize,
    /// What the tables have.
    pub metadata: usize,
    /// How many caches of threads there are.
    pub caches: usize,
    /// How many releases were refused, because no block was there.
    pub refused_releases: u64,
}

/// Writes the figures of `malloc` to `stats`. O(pages).
///
/// # Safety
///
/// `stats` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_malloc_stats(stats: *mut MallocStats) {
    let AllocatorStats { limit, heap, resident, free, idle, metadata, caches, refused_releases, .. } =
        allocator().stats();
    // SAFETY: the caller vouches for it.
    unsafe { stats.write(MallocStats { limit, heap, resident, free, idle, metadata, caches, refused_releases }) };
}

/// Gives back what `malloc` has cached within reach, makes whole pages of what is free, and gives the memory behind
/// them back to the system. Returns how many bytes of it were in memory. O(pages).
#[unsafe(no_mangle)]
pub extern "C" fn hm_malloc_trim() -> usize {
    allocator().trim()
}
