//! Calls that a heap profile counts: `record::profile` has the profile itself.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr::NonNull;

use mempool::PoolAllocator;
use record::profile;

use crate::chosen::{asked, profiled};

/// What a block pins.
fn pinned_by(block: *mut u8) -> usize {
    NonNull::new(block).zip(profiled()).map_or(0, |(block, allocator)| allocator.pinned_by(block))
}

/// A block of a layout, whose size is not 0, or null. What is counted before is a call that is the last one, so that
/// this needs no registers.
#[inline(always)]
pub fn alloc(allocator: &PoolAllocator, layout: Layout) -> *mut u8 {
    if profile::count(layout.size()) {
        return alloc_sample(allocator, layout, false);
    }
    // SAFETY: the size is not 0.
    unsafe { allocator.alloc(layout) }
}

/// The same, and it is zero.
#[inline(always)]
pub fn alloc_zeroed(allocator: &PoolAllocator, layout: Layout) -> *mut u8 {
    if profile::count(layout.size()) {
        return alloc_sample(allocator, layout, true);
    }
    // SAFETY: the size is not 0.
    unsafe { allocator.alloc_zeroed(layout) }
}

#[cold]
#[inline(never)]
fn alloc_sample(allocator: &PoolAllocator, layout: Layout, zeroed: bool) -> *mut u8 {
    // SAFETY: the size is not 0.
    let block = unsafe { if zeroed { allocator.alloc_zeroed(layout) } else { allocator.alloc(layout) } };
    profile::sample(block, layout.size(), &pinned_by);
    block
}

/// Releases a block.
///
/// # Safety
///
/// It is live, and nobody uses it any more.
#[inline(always)]
pub unsafe fn release(allocator: &PoolAllocator, block: NonNull<u8>) {
    if profile::may_be_sample(block.as_ptr()) {
        // SAFETY: the caller vouches for it.
        return unsafe { release_sample(allocator, block) };
    }
    // SAFETY: as above.
    unsafe { allocator.release(block) };
}

/// # Safety
///
/// As `release`.
#[cold]
#[inline(never)]
unsafe fn release_sample(allocator: &PoolAllocator, block: NonNull<u8>) {
    profile::forget(block.as_ptr());
    // SAFETY: the caller vouches for it.
    unsafe { allocator.release(block) };
}

/// Resizes a block. Null: there is no memory.
///
/// # Safety
///
/// It is live, and the caller may use it.
pub unsafe fn resize(allocator: &PoolAllocator, block: NonNull<u8>, size: usize) -> *mut c_void {
    let forgotten = if profile::may_be_sample(block.as_ptr()) { profile::forget(block.as_ptr()) } else { None };
    // SAFETY: the caller vouches for the block.
    let new = unsafe { crate::malloc::resize(allocator, block, size) };
    match (new.is_null(), forgotten) {
        (false, _) if profile::count(size) => profile::sample(new.cast(), size, &pinned_by),
        (true, Some(forgotten)) => profile::remember(block.as_ptr(), forgotten),
        _ => {}
    }
    new
}

#[used]
// SAFETY: the section is an array of functions of this type.
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

/// Begins the profile, once the loader is done with this library: stacks can be walked from then on.
extern "C" fn begin() {
    // The first call chooses, if there was none yet.
    _ = crate::chosen::allocator();
    let Some(asked) = asked().filter(|asked| asked.options.profiles()) else { return };
    if let Some(folder) = asked.options.profile {
        // Where there is no file, nothing is profiled.
        _ = profile::start_in(folder.get(), asked.options.rate, &mut [0; 1024]);
    }
}

/// At the end of the process.
pub fn end() {
    if profiled().is_some() {
        profile::stop(&pinned_by);
    }
}
