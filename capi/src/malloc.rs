//! `malloc` and its family, as glibc and musl have them. Where the two differ, each target has what its C library does;
//! `README.md` has the table.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};

use mempool::PoolAllocator;

use crate::chosen::{allocator, fast};
use crate::errno::fail;
use crate::watched;

/// Every block is aligned to this.
pub const ALIGN: usize = 16;

/// Is the C library musl? Else it is glibc, or does as glibc.
const MUSL: bool = cfg!(target_env = "musl");

/// The layout of `size` bytes, of which 0 are 1: each block is one of its own. `None`: that size can't be addressed.
#[inline(always)]
pub fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size.max(1), align).ok()
}

/// A block, or null.
#[inline(always)]
pub fn alloc(size: usize, align: usize) -> *mut c_void {
    match (fast(), layout(size, align)) {
        // SAFETY: the size is not 0.
        (Some(allocator), Some(layout)) => unsafe { allocator.alloc(layout) }.cast(),
        (None, _) if align == ALIGN => watched::alloc_as_all(size).cast(),
        (None, Some(layout)) => watched::alloc(layout, false).cast(),
        (_, None) => ptr::null_mut(),
    }
}

/// The block, or null and `ENOMEM`.
#[inline(always)]
fn or_fail(block: *mut c_void) -> *mut c_void {
    if block.is_null() { fail(libc::ENOMEM) } else { block }
}

#[inline(always)]
fn alloc_zeroed(size: usize) -> *mut c_void {
    match (layout(size, ALIGN), fast()) {
        // SAFETY: the size is not 0.
        (Some(layout), Some(allocator)) => or_fail(unsafe { allocator.alloc_zeroed(layout) }.cast()),
        (Some(layout), None) => or_fail(watched::alloc(layout, true).cast()),
        (None, _) => fail(libc::ENOMEM),
    }
}

/// Releases a block. An address where no block is, is left alone.
///
/// # Safety
///
/// It is null, or a live block of this `malloc` that nobody uses any more.
#[inline(always)]
pub unsafe fn release(block: *mut c_void) {
    if let Some(block) = NonNull::new(block.cast()) {
        match fast() {
            // SAFETY: the caller vouches for the block.
            Some(allocator) => unsafe { allocator.release(block) },
            // SAFETY: as above.
            None => unsafe { watched::release(block) },
        }
    }
}

/// # Safety
///
/// The block is a live one of this allocator.
pub unsafe fn resize(allocator: &PoolAllocator, block: NonNull<u8>, size: usize) -> *mut c_void {
    // SAFETY: the caller vouches for the block.
    let has = unsafe { allocator.usable_size(block) };
    match layout(size, ALIGN).zip(layout(has, ALIGN)) {
        // There is no block.
        _ if has == 0 => fail(libc::EINVAL),
        // SAFETY: the block has the size and the alignment of this layout, and the new size can be addressed.
        Some((new, old)) => or_fail(unsafe { allocator.realloc(block.as_ptr(), old, new.size()) }.cast()),
        None => fail(libc::ENOMEM),
    }
}

/// Allocates `size` bytes. Of 0 bytes each call has a block of its own, too.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    or_fail(alloc(size, ALIGN))
}

/// Allocates an array of zeroes.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(bytes) => alloc_zeroed(bytes),
        None => fail(libc::ENOMEM),
    }
}

/// Releases a block, or does nothing for null. `errno` stays as it is.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller vouches for the block.
    unsafe { release(block) };
}

/// Gives a block another size, in place or elsewhere. glibc's releases a block that is to have 0 bytes; musl's makes it
/// a small one.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    match NonNull::new(block.cast::<u8>()) {
        None => or_fail(alloc(size, ALIGN)),
        Some(_) if size == 0 && !MUSL => {
            // SAFETY: the caller vouches for the block.
            unsafe { release(block) };
            ptr::null_mut()
        }
        Some(block) => match fast() {
            // SAFETY: as above.
            Some(allocator) => unsafe { resize(allocator, block, size) },
            // SAFETY: as above.
            None => or_fail(unsafe { watched::resize(block, size) }),
        },
    }
}

/// [`realloc`] of an array.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller vouches for the block.
        Some(bytes) => unsafe { realloc(block, bytes) },
        None => fail(libc::ENOMEM),
    }
}

/// Writes the address of an aligned block to `place`, and returns 0; or returns why it can't.
///
/// # Safety
///
/// As POSIX's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    let block = alloc(size, align.max(ALIGN));
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller vouches for the place.
    unsafe { place.write(block) };
    0
}

/// Allocates `size` bytes, aligned to a power of two.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { or_fail(alloc(size, align.max(ALIGN))) } else { fail(libc::EINVAL) }
}

/// The same. glibc's takes the next power of two of what is none.
///
/// # Safety
///
/// As that of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(power) if !MUSL || power == align => or_fail(alloc(size, power.max(ALIGN))),
        _ => fail(libc::EINVAL),
    }
}

fn page() -> usize {
    // SAFETY: it returns a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Allocates `size` bytes, aligned to a page.
///
/// # Safety
///
/// As that of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    or_fail(alloc(size, page()))
}

/// Allocates whole pages.
///
/// # Safety
///
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(page()) {
        Some(bytes) => or_fail(alloc(bytes, page())),
        None => fail(libc::ENOMEM),
    }
}

/// Bytes of a block: as many as were asked for, or more. 0 for null.
///
/// # Safety
///
/// As that of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller vouches for the block.
    NonNull::new(block.cast()).map_or(0, |block| unsafe { allocator().usable_size(block) })
}

/// C23: [`free`] of a block of `malloc`, `calloc` or `realloc`. The block knows its size itself, so that a wrong one
/// does no harm.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut c_void, _size: usize) {
    // SAFETY: the caller vouches for the block.
    unsafe { release(block) };
}

/// C23: [`free`] of a block of `aligned_alloc`.
///
/// # Safety
///
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _align: usize, _size: usize) {
    // SAFETY: the caller vouches for the block.
    unsafe { release(block) };
}

/// glibc: gives the memory behind free pages back to the system; 1 if there was some.
///
/// # Safety
///
/// It is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_trim(_pad: usize) -> c_int {
    (allocator().trim() > 0).into()
}
