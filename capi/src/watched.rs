//! Calls that are looked at: of an allocator that checks releases, or of a process that is recorded. Those that a heap
//! profile counts pass through here, too.
//!
//! A wrong release is told on standard error, with its stack, and the program goes on, or ends, as the environment
//! says. Events are recorded where nobody else can have the address: an allocation behind the call, a release before
//! it.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::ptr::{self, NonNull};

use mempool::ReleaseError;

use crate::chosen::{Asked, profiled, watched};
use crate::environment::Wrong;
use crate::malloc::{ALIGN, layout};
use crate::profiled;

/// A block of a layout, whose size is not 0, or null. `zeroed`: it is zero.
#[inline(never)]
pub fn alloc(layout: Layout, zeroed: bool) -> *mut u8 {
    match profiled() {
        Some(allocator) if zeroed => profiled::alloc_zeroed(allocator, layout),
        Some(allocator) => profiled::alloc(allocator, layout),
        None => alloc_watched(layout, zeroed),
    }
}

/// The same, aligned as all are: the compiler knows it then.
#[inline(never)]
pub fn alloc_as_all(size: usize) -> *mut u8 {
    match (profiled(), layout(size, ALIGN)) {
        (Some(allocator), Some(layout)) => profiled::alloc(allocator, layout),
        (None, Some(layout)) => alloc_watched(layout, false),
        (_, None) => ptr::null_mut(),
    }
}

#[cold]
fn alloc_watched(layout: Layout, zeroed: bool) -> *mut u8 {
    let (allocator, records) = match watched() {
        Ok(asked) => (&asked.allocator, asked.options.trace.is_some()),
        Err(fast) => (fast, false),
    };
    // SAFETY: the size is not 0.
    let block = unsafe { if zeroed { allocator.alloc_zeroed(layout) } else { allocator.alloc(layout) } };
    if records {
        record::allocated(block, layout.size(), layout.align(), zeroed);
    }
    block
}

/// Releases a block, if it is one.
///
/// # Safety
///
/// Nobody uses it any more.
#[inline(never)]
pub unsafe fn release(block: NonNull<u8>) {
    match profiled() {
        // SAFETY: the caller vouches for it.
        Some(allocator) => unsafe { profiled::release(allocator, block) },
        // SAFETY: as above.
        None => unsafe { release_watched(block) },
    }
}

/// # Safety
///
/// As `release`.
#[cold]
unsafe fn release_watched(block: NonNull<u8>) {
    match watched() {
        // SAFETY: the caller vouches for it.
        Err(fast) => unsafe { fast.release(block) },
        // SAFETY: as above.
        Ok(asked) => unsafe { asked.release(block) },
    }
}

/// Resizes a block. Null: it was none, or there is no memory.
///
/// # Safety
///
/// It is a live block, or the allocator checks releases. The caller may use it.
#[inline(never)]
pub unsafe fn resize(block: NonNull<u8>, size: usize) -> *mut c_void {
    if let Some(allocator) = profiled() {
        // SAFETY: the caller vouches for the block.
        return unsafe { profiled::resize(allocator, block, size) };
    }
    let asked = match watched() {
        Ok(asked) => asked,
        // SAFETY: the caller vouches for the block.
        Err(fast) => return unsafe { crate::malloc::resize(fast, block, size) },
    };
    let records = asked.options.trace.is_some();
    if records {
        record::resize_begins(block.as_ptr());
    }
    // SAFETY: the caller vouches for the block.
    let new =
        unsafe { if asked.options.checked.is_some() { asked.move_to(block, size) } else { asked.resize(block, size) } };
    if records {
        record::resize_ended(new, size);
    }
    new.cast()
}

impl Asked {
    /// # Safety
    ///
    /// As `release`.
    unsafe fn release(&self, block: NonNull<u8>) {
        if self.options.trace.is_some() {
            record::freed(block.as_ptr());
        }
        match self.options.checked {
            // SAFETY: the caller vouches for it.
            None => unsafe { self.allocator.release(block) },
            // SAFETY: the allocator checks it.
            Some(_) => _ = unsafe { self.try_release(block, "released") },
        }
    }

    /// # Safety
    ///
    /// It is a live block, which the caller may use.
    unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the block.
        unsafe { crate::malloc::resize(&self.allocator, block, size) }.cast()
    }

    /// Moves a block to one of another size: so the release says whether it was one. A block stays where it is, if it
    /// is to be smaller and there is no other.
    ///
    /// # Safety
    ///
    /// If it is a live block, the caller may use it.
    unsafe fn move_to(&self, block: NonNull<u8>, size: usize) -> *mut u8 {
        // SAFETY: of a block that is not live it is the size of one that could be there, or 0.
        let has = unsafe { self.allocator.usable_size(block) };
        if has == 0 {
            // SAFETY: no block is there, and the allocator says why.
            _ = unsafe { self.try_release(block, "resized") };
            return ptr::null_mut();
        }
        // SAFETY: the size is not 0.
        let new = layout(size, ALIGN).map(|layout| unsafe { self.allocator.alloc(layout) });
        let Some(moved) = new.and_then(NonNull::new) else {
            return if size <= has { block.as_ptr() } else { ptr::null_mut() };
        };
        // SAFETY: both are that long, and blocks don't overlap.
        unsafe { moved.copy_from_nonoverlapping(block, has.min(size)) };
        // SAFETY: the allocator checks it.
        if unsafe { self.try_release(block, "resized") }.is_ok() {
            return moved.as_ptr();
        }
        // SAFETY: allocated above, and nobody has it.
        unsafe { self.allocator.release(moved) };
        ptr::null_mut()
    }

    /// # Safety
    ///
    /// If a live block is there, nobody uses it any more.
    unsafe fn try_release(&self, block: NonNull<u8>, what: &str) -> Result<(), ReleaseError> {
        // SAFETY: the caller vouches for it.
        let released = unsafe { self.allocator.try_release(block) };
        if let Err(why) = released {
            report(block, why, what);
            if self.options.checked == Some(Wrong::Stop) {
                // SAFETY: it ends the program.
                unsafe { libc::abort() };
            }
        }
        released
    }
}

/// Tells of a wrong release. This is no allocator's path any more: the C library may allocate for the stack.
fn report(block: NonNull<u8>, why: ReleaseError, what: &str) {
    // SAFETY: it returns a number.
    let process = unsafe { libc::getpid() };
    // It does not fail.
    _ = writeln!(Descriptor(libc::STDERR_FILENO), "heapmaster: process {process} {what} {block:p}: {why}");
    #[cfg(target_env = "gnu")]
    {
        let mut frames = [ptr::null_mut(); 32];
        // SAFETY: there is room for that many.
        unsafe {
            let count = libc::backtrace(frames.as_mut_ptr(), frames.len() as i32);
            libc::backtrace_symbols_fd(frames.as_ptr(), count, libc::STDERR_FILENO);
        }
    }
}

/// Text for a file that is open.
pub struct Descriptor(pub core::ffi::c_int);

impl Write for Descriptor {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: that many bytes. What can't be written is lost: there is nobody to tell.
        unsafe { libc::write(self.0, text.as_ptr().cast(), text.len()) };
        Ok(())
    }
}
