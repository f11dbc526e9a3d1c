//! The trait between the workloads and the subjects.

/// An allocator that several threads use.
pub trait Subject: Sync {
    /// A block of at least `size` bytes, which is not 0, aligned as a type of that size needs it, to at most 8; null if
    /// there is none.
    fn alloc(&self, size: u32) -> *mut u8;

    /// Releases a block.
    ///
    /// # Safety
    ///
    /// The block is from `alloc` or `resize` of this subject, was asked for with this size, and is used no more.
    unsafe fn release(&self, block: *mut u8, size: u32);

    /// Moves a block to one of `size` bytes, which is not 0, with its contents as far as they fit; null if there is
    /// none, and the block stays. For subjects without a way of their own: allocate, copy and release.
    ///
    /// # Safety
    ///
    /// As `release`, with `old_size`; nobody else uses the block meanwhile.
    unsafe fn resize(&self, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
        // SAFETY: the same contract.
        unsafe { moved(self, block, old_size, size) }
    }
}

/// Allocates, copies and releases.
///
/// # Safety
///
/// As [`Subject::resize`].
pub unsafe fn moved<S: Subject + ?Sized>(subject: &S, block: *mut u8, old_size: u32, size: u32) -> *mut u8 {
    let new = subject.alloc(size);
    if !new.is_null() {
        // SAFETY: both are blocks of at least that length, and no two blocks overlap.
        unsafe { new.copy_from_nonoverlapping(block, old_size.min(size) as usize) };
        // SAFETY: the caller vouches for the block.
        unsafe { subject.release(block, old_size) };
    }
    new
}
